//! The backup that an administrator asked for: one at a time, looked at while it runs.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use strongroom_api::admin::{
    AdminError, BackupProgress, BackupState, BackupStatus, Fault, RemovedBackups, StartBackup,
};
use strongroom_objects::Objects;
use strongroom_store::backup::{BackupError, Pruned, SnapshotInfo};

use crate::admin::{backup_progress, backup_snapshot};

/// The backup that runs, or the last one.
#[derive(Debug, Clone, Default)]
pub(super) struct BackupJob(Arc<Mutex<Option<Job>>>);

#[derive(Debug)]
struct Job {
    status: BackupStatus,
    stop: Arc<AtomicBool>,
}

impl BackupJob {
    /// Starts one, if none runs.
    pub(super) fn start(&self, objects: &Objects, start: StartBackup) -> Result<BackupStatus, AdminError> {
        let target = PathBuf::from(&start.target);
        if !target.is_absolute() {
            let message = format!("the target {:?} is no absolute path", start.target);
            return Err(AdminError::new(Fault::Request, "RelativePath", message));
        }
        let stop = Arc::new(AtomicBool::new(false));
        let mut job = self.job();
        if let Some(job) = job.as_ref().filter(|job| job.status.state == BackupState::Running) {
            let message = format!("a backup to {} is running; wait for it or stop it", job.status.target);
            return Err(AdminError::new(Fault::Conflict, "BackupRunning", message));
        }
        let status = BackupStatus {
            target: start.target,
            state: BackupState::Running,
            progress: BackupProgress::default(),
            snapshot: None,
            removed: None,
            error: None,
        };
        let keep = start.keep;
        *job = Some(Job { status: status.clone(), stop: Arc::clone(&stop) });
        drop(job);
        let (objects, job, shown) = (objects.clone(), Arc::clone(&self.0), Arc::clone(&self.0));
        tokio::spawn(async move {
            let progress = move |now: &strongroom_store::backup::BackupProgress| {
                update(&shown, |status| status.progress = backup_progress(now));
                !stop.load(Ordering::Acquire)
            };
            let ended = objects.backup(target.clone(), progress).await;
            say(&ended);
            let pruned = match (&ended, keep) {
                (Ok(_), Some(keep)) => Some(objects.prune_backups(target, keep).await),
                _ => None,
            };
            update(&job, |status| {
                status.state = BackupState::Done;
                match ended {
                    Ok(taken) => status.snapshot = Some(backup_snapshot(taken)),
                    Err(error) => {
                        status.state = BackupState::Failed;
                        status.error = Some(error.to_string());
                    }
                }
                match pruned {
                    Some(Ok(pruned)) => status.removed = Some(removed(pruned)),
                    Some(Err(error)) => {
                        tracing::warn!(%error, "older backups were not removed");
                        status.state = BackupState::Failed;
                        status.error = Some(error.to_string());
                    }
                    None => {}
                }
            });
        });
        Ok(status)
    }

    /// How far the backup is that runs, or what came of the last one.
    pub(super) fn status(&self) -> Result<BackupStatus, AdminError> {
        self.job().as_ref().map(|job| job.status.clone()).ok_or_else(none)
    }

    /// Asks the backup that runs to stop. It does at its next step.
    pub(super) fn stop(&self) -> Result<BackupStatus, AdminError> {
        let job = self.job();
        let job = job.as_ref().ok_or_else(none)?;
        job.stop.store(true, Ordering::Release);
        Ok(job.status.clone())
    }

    fn job(&self) -> MutexGuard<'_, Option<Job>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn update(job: &Mutex<Option<Job>>, change: impl FnOnce(&mut BackupStatus)) {
    if let Some(job) = job.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        change(&mut job.status);
    }
}

fn none() -> AdminError {
    AdminError::new(Fault::Missing, "NoBackup", "no backup was taken since the server started")
}

fn removed(pruned: Pruned) -> RemovedBackups {
    let Pruned { snapshots, chunks, files, bytes, .. } = pruned;
    RemovedBackups { snapshots, chunks, files, bytes }
}

fn say(ended: &Result<SnapshotInfo, BackupError>) {
    match ended {
        Ok(taken) => {
            tracing::info!(snapshot = taken.number, lsn = %taken.lsn, new_bytes = taken.new_bytes, "backed up");
        }
        Err(error) => tracing::warn!(%error, "a backup failed"),
    }
}
