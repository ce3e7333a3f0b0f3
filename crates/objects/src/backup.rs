//! Backups with blobs: the store's snapshots and the files that its rows stand for (`docs/spec/backup.md`).

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use strongroom_store::backup::{
    Attachments, BackupError, BackupOptions, BackupProgress, FilePath, Pruned, RestoreOptions, Restored,
    SnapshotInfo,
};
use strongroom_store::{GroupId, StoreOptions};
use tokio::sync::RwLock;

use crate::Objects;
use crate::rows::{BlobId, table};

/// Owner rows stand for blobs: one for each blob that a part or a body refers to, and no other row.
#[derive(Debug)]
struct BlobFiles {
    dir: PathBuf,
}

impl Attachments for BlobFiles {
    fn dir(&self) -> &Path {
        &self.dir
    }

    fn keys(&self, group: GroupId) -> Option<(Vec<u8>, Vec<u8>)> {
        (group != GroupId::SYSTEM).then(|| (vec![table::OWNER], vec![table::OWNER + 1]))
    }

    fn file_of(&self, group: GroupId, key: &[u8]) -> Option<FilePath> {
        FilePath::parse(&format!("{group}/{}", BlobId::of_key(key)?))
    }
}

/// The backups that run, so that closing ends them.
#[derive(Debug, Default)]
pub(crate) struct Backups {
    stop: Arc<AtomicBool>,
    /// Shared by those that run.
    running: Arc<RwLock<()>>,
}

impl Backups {
    /// Ends those that run, and waits for that.
    pub(crate) async fn close(&self) {
        self.stop.store(true, Ordering::Release);
        drop(self.running.write().await);
    }
}

impl Objects {
    /// Takes a snapshot of everything, blobs included, while all goes on. `progress` is told how far it is and answers
    /// whether to go on; [`Self::close`] ends it, too. It is carried out to its end even if the caller goes away.
    ///
    /// # Errors
    /// After any error the target has the snapshots that it had.
    pub async fn backup(
        &self,
        target: PathBuf,
        mut progress: impl FnMut(&BackupProgress) -> bool + Send + 'static,
    ) -> Result<SnapshotInfo, BackupError> {
        let inner = Arc::clone(&self.0);
        let running = Arc::clone(&inner.backups.running).read_owned().await;
        let stop = Arc::clone(&inner.backups.stop);
        let work = move || {
            // Before the store's snapshot begins: what a row stands for then stays until this is dropped.
            let hold = inner.leases.hold();
            let attachments: Arc<dyn Attachments> =
                Arc::new(BlobFiles { dir: inner.options.blob_dir.clone() });
            let options = BackupOptions {
                disk: Arc::clone(&inner.options.disk),
                attachments: Some(attachments),
                ..BackupOptions::new(target)
            };
            let taken =
                inner.store.backup(&options, &mut |now| !stop.load(Ordering::Acquire) && progress(now));
            drop((hold, running));
            taken
        };
        // A task that does not end has lost its runtime.
        tokio::task::spawn_blocking(work).await.map_err(|_| BackupError::Stopped)?
    }
}

impl Objects {
    /// Keeps the newest `keep` snapshots of a target and removes the others, with what only they need.
    ///
    /// # Errors
    /// Nothing was removed, or less than there was to remove; what stays is whole either way.
    pub async fn prune_backups(&self, target: PathBuf, keep: NonZeroU64) -> Result<Pruned, BackupError> {
        let inner = Arc::clone(&self.0);
        let running = Arc::clone(&inner.backups.running).read_owned().await;
        let work = move || {
            let pruned = inner.store.prune_backups(&target, &inner.options.disk, keep);
            drop(running);
            pruned
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| BackupError::Stopped)?
    }
}

/// Makes a store and its blobs from a snapshot, the newest if none is named. `store` says where, and what unwraps the keys.
/// Blocks.
///
/// # Errors
/// Whatever the error, nothing of the store is left in the directory.
pub fn restore(
    target: &Path,
    snapshot: Option<u64>,
    store: StoreOptions,
    blob_dir: &Path,
    progress: &mut dyn FnMut(&BackupProgress) -> bool,
) -> Result<Restored, BackupError> {
    let attachments: Arc<dyn Attachments> = Arc::new(BlobFiles { dir: blob_dir.to_owned() });
    let options =
        RestoreOptions { snapshot, attachments: Some(attachments), ..RestoreOptions::new(target, store) };
    strongroom_store::backup::restore(&options, progress)
}
