//! What "the store is ready" means: a command is committed and read back.

use strongroom_api::{Check, CheckError};
use strongroom_store::{Command, GroupId, Store, Write};

/// The row that probes write. Its value never changes, so probing takes no space.
const ROW: &[u8] = b"health/probe";
const VALUE: &[u8] = b"1";

/// Whether a row of the system group is the probe's, and whether it is as the probe writes it.
pub(super) fn check_row(key: &[u8], value: &[u8]) -> Option<bool> {
    (key == ROW).then_some(value == VALUE)
}

/// Commits and reads one row of the system group.
pub(super) fn store(store: Store) -> Check {
    Check::new("store", move || {
        let store = store.clone();
        async move {
            let writes = vec![Write::Put { key: ROW.to_vec(), value: VALUE.to_vec() }];
            let command = Command { group: GroupId::SYSTEM, checks: Vec::new(), writes };
            store.commit(command).await.map_err(|error| CheckError::new("not_writable", error))?;
            tokio::task::spawn_blocking(move || store.read(GroupId::SYSTEM)?.get(ROW).map(drop))
                .await
                .map_err(|error| CheckError::new("stopping", error))?
                .map_err(|error| CheckError::new("not_readable", error))
        }
    })
}
