//! A keyring never becomes one that is not opened again.

use std::path::Path;

use super::*;
use crate::disk::Disk;
use crate::keyring::{KEPT_RETIRED, Room};
use crate::{CommitError, RootKeyChangeError};

/// As long as the keyring is now, in bytes.
fn length(disk: &SimDisk) -> usize {
    let file = disk.open(Path::new("/store/keyring")).unwrap();
    usize::try_from(file.len().unwrap()).unwrap()
}

fn roomy(disk: &SimDisk, vault: &Arc<Vault>, seed: u64, room: Room) -> StoreOptions {
    StoreOptions { keyring_room: room, ..with(disk, vault, seed) }
}

/// The answer to making one more group, and whether its row is there.
fn another(store: &Store, name: &str) -> (Result<GroupId, CommitError>, bool) {
    let made = block_on(store.create_group(|_| put(GroupId::SYSTEM, name, "a group")));
    (made.map(|(group, _)| group), get(store, GroupId::SYSTEM, name).is_some())
}

fn is_full<T>(answer: &Result<T, CommitError>) -> bool {
    matches!(answer, Err(CommitError::KeyringFull { .. }))
}

fn drop_group(store: &Store, group: GroupId) {
    let writes = vec![Write::DropGroup { group }];
    store.commit_blocking(Command { group: GroupId::SYSTEM, checks: vec![], writes }).unwrap();
}

#[test]
fn one_group_too_many_is_refused_before_anything_is_written() {
    let (disk, vault) = (SimDisk::from_seed(61), Vault::new());
    let room = Room { groups: 3, ..Room::default() };
    let store = Store::create_or_open(roomy(&disk, &vault, 1, room)).unwrap();
    let first = make_group(&store, "a");
    make_group(&store, "b");
    let (before, lsn) = (length(&disk), store.status().lsn);
    let (refused, row) = another(&store, "c");
    assert!(is_full(&refused) && !row, "{refused:?}");
    assert_eq!((length(&disk), store.status().lsn), (before, lsn));
    // All else goes on, and one that goes makes room for another.
    rotate(&store, first);
    drop_group(&store, first);
    let (made, row) = another(&store, "c");
    assert!(made.is_ok() && row, "{made:?}");
    store.close().unwrap();
    let store = Store::create_or_open(with(&disk, &vault, 2)).unwrap();
    assert_eq!(store.groups().len(), 3);
}

#[test]
fn a_full_keyring_takes_later_keys_for_longer_than_groups_and_opens_at_its_fullest() {
    let (disk, vault) = (SimDisk::from_seed(62), Vault::new());
    let room = Room { bytes_for_groups: 2000, bytes_for_keys: 2400, bytes: 2500, ..Room::default() };
    let store = Store::create_or_open(roomy(&disk, &vault, 1, room)).unwrap();
    let first = make_group(&store, "first");
    let groups = (0..100).take_while(|at| !is_full(&another(&store, &at.to_string()).0)).count();
    assert!((5..20).contains(&groups), "{groups}");
    assert!(length(&disk) <= 2000, "{}", length(&disk));
    let keys = (0..100).take_while(|_| !is_full(&block_on(store.rotate_group_key(first)))).count();
    assert!((1..10).contains(&keys), "{keys}");
    assert!((2000..=2400).contains(&length(&disk)), "{}", length(&disk));
    // What adds nothing is never refused.
    store.commit_blocking(put(first, "row", "value")).unwrap();
    store.checkpoint().unwrap();
    drop_group(&store, GroupId(first.0 + 1));
    drop(store);
    disk.kill();
    let store = Store::create_or_open(roomy(&disk, &vault, 2, room)).unwrap();
    assert_eq!(get(&store, first, "row").as_deref(), Some("value"));
    assert_eq!(store.groups().len(), groups + 1);
}

#[test]
fn groups_that_are_on_their_way_count() {
    let (disk, vault) = (SimDisk::from_seed(63), Vault::new());
    let room = Room { groups: 2, ..Room::default() };
    let store = Store::create_or_open(roomy(&disk, &vault, 1, room)).unwrap();
    let under_way = block_on(Arc::clone(&store.engine().making).read_owned());
    let (refused, row) = another(&store, "a");
    assert!(is_full(&refused) && !row, "{refused:?}");
    drop(under_way);
    assert!(another(&store, "a").0.is_ok());
}

#[test]
fn a_root_key_whose_envelopes_do_not_fit_changes_nothing() {
    let (disk, vault) = (SimDisk::from_seed(64), Vault::new());
    let store = Store::create_or_open(with(&disk, &vault, 1)).unwrap();
    let group = make_group(&store, "a");
    store.close().unwrap();
    let long = "a-root-key-with-a-rather-long-name";
    vault.add_version(long);
    vault.add_version("r2");
    let room = Room { bytes: length(&disk) + 16, ..Room::default() };
    let store = Store::create_or_open(roomy(&disk, &vault, 2, room)).unwrap();
    let refused = block_on(store.change_root_key(Some(long.into())));
    assert!(matches!(refused, Err(RootKeyChangeError::KeyringFull)), "{refused:?}");
    assert_eq!(store.key_report().root.key_id, "root");
    store.commit_blocking(put(group, "row", "value")).unwrap();
    assert_eq!(block_on(store.change_root_key(Some("r2".into()))).unwrap().to.key_id, "r2");
    drop(store);
    disk.kill();
    let store = Store::create_or_open(with(&disk, &vault, 3)).unwrap();
    assert_eq!(get(&store, group, "row").as_deref(), Some("value"));
}

#[test]
fn of_retired_keys_the_newest_keep_their_entry_and_no_id_comes_back() {
    let (disk, vault) = (SimDisk::from_seed(65), Vault::new());
    let store = Store::create_or_open(with(&disk, &vault, 1)).unwrap();
    let group = make_group(&store, "a");
    let last = 3 + u32::try_from(KEPT_RETIRED).unwrap() + 4;
    rotate(&store, group);
    rotate(&store, group);
    for id in 4..=last {
        assert_eq!(rotate(&store, group), id);
        // The first stays readable: only what is retired goes.
        store.engine().keyring.retire(group, id - 2).unwrap();
    }
    let kept = u32::try_from(KEPT_RETIRED).unwrap();
    let mut expected = vec![(1, KeyState::Readable)];
    expected.extend((last - 1 - kept..=last - 2).map(|id| (id, KeyState::Retired)));
    expected.extend([(last - 1, KeyState::Readable), (last, KeyState::Active)]);
    assert_eq!(states(&store, group), expected);
    store.close().unwrap();
    let store = Store::create_or_open(with(&disk, &vault, 2)).unwrap();
    assert_eq!(rotate(&store, group), last + 1);
}
