//! `admin backup`: asks the server for a snapshot, or looks at a target without one.

use std::fmt::Write as _;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use reqwest::Method;
use serde::Serialize;
use strongroom_api::admin::{
    BackupProgress, BackupState, BackupStatus, RemovedBackups, RootKeyName, Snapshot, StartBackup,
};
use strongroom_store::backup::{self, SnapshotInfo};
use strongroom_store::disk::{Disk, OsDisk};

use super::answer::{Output, bytes, count, counted};
use super::connection::Connection;
use super::error::AdminFailure;
use super::local_keys::{LocalKeys, UnlockArgs};

/// How often the server is asked how far it is.
const POLL: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// Directory of the backups, on the server's machine: empty, missing, or with earlier backups of this store. What those
    /// have is not written again
    #[arg(value_name = "TARGET")]
    target: PathBuf,
    /// Show the snapshots in TARGET; needs no server, but the root key
    #[arg(long, conflicts_with = "verify")]
    list: bool,
    /// Read a snapshot to its last byte and say whether all of it is there; needs no server, but the root key
    #[arg(long)]
    verify: bool,
    /// Which snapshot to verify [default: the newest]
    #[arg(long, value_name = "NUMBER", requires = "verify")]
    snapshot: Option<u64>,
    /// Once the new snapshot is there, remove all but the newest COUNT from TARGET, with what only they need
    #[arg(long, value_name = "COUNT", conflicts_with_all = ["list", "verify"])]
    keep: Option<NonZeroU64>,
    #[command(flatten)]
    unlock: UnlockArgs,
}

impl BackupArgs {
    /// Whether it is done without a server.
    pub(super) fn is_offline(&self) -> bool {
        self.list || self.verify
    }
}

/// Asks the server, and shows how far it is until it is done.
pub(super) async fn run(door: &Connection, output: Output, args: BackupArgs) -> Result<(), AdminFailure> {
    let target = std::path::absolute(&args.target)?;
    let start = StartBackup { target: target.to_string_lossy().into_owned(), keep: args.keep };
    let mut status: BackupStatus = door.tell(Method::POST, "/backup", &start).await?;
    let bar = bar(output);
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    let mut stopping = false;
    while status.state == BackupState::Running {
        bar.set_message(words_of(&status.progress));
        bar.tick();
        let method = tokio::select! {
            () = tokio::time::sleep(POLL) => Method::GET,
            // Whoever goes away does not want it any more. What it has copied counts the next time.
            _ = &mut interrupted, if !stopping => {
                stopping = true;
                Method::DELETE
            }
        };
        status = door.ask(method, "/backup", None).await?;
    }
    bar.finish_and_clear();
    match (&status.snapshot, &status.error) {
        (Some(_), error) => {
            output.show(&status, |status| {
                let mut said = status.snapshot.as_ref().map(taken).unwrap_or_default();
                said.extend(status.removed.as_ref().map(removed));
                said
            })?;
            match error {
                None => Ok(()),
                Some(error) => {
                    Err(AdminFailure::Backup(format!("older snapshots were not removed: {error}")))
                }
            }
        }
        (None, error) => Err(AdminFailure::Backup(error.clone().unwrap_or_default())),
    }
}

/// Looks at the target.
pub(super) fn offline(dir: &Path, output: Output, args: &BackupArgs) -> Result<(), AdminFailure> {
    let failed = |error: backup::BackupError| AdminFailure::Backup(error.to_string());
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let outline = backup::outline(&args.target, &disk).map_err(failed)?;
    let keys = LocalKeys::open(&args.unlock, dir, outline.last().map(|found| &found.root))?;
    if args.list {
        let found = backup::snapshots(&args.target, &disk, keys.root_keys()).map_err(failed)?;
        let found: Vec<Snapshot> = found.into_iter().map(backup_snapshot).collect();
        return output.show(&found, |found| table(found));
    }
    let bar = bar(output);
    let verified = backup::verify(&args.target, &disk, keys.root_keys(), args.snapshot, &mut |now| {
        bar.set_message(words_of(&backup_progress(now)));
        bar.tick();
        true
    });
    bar.finish_and_clear();
    let verified = verified.map_err(failed)?;
    let answer = Verified {
        chunks: verified.chunks,
        files: verified.files,
        snapshot: backup_snapshot(verified.snapshot),
    };
    output.show(&answer, |answer| {
        format!(
            "snapshot {} is whole: {} in {}, {}\n",
            answer.snapshot.number,
            counted(answer.snapshot.rows, "row"),
            counted(answer.chunks, "chunk"),
            counted(answer.files, "file")
        )
    })
}

#[derive(Debug, Serialize)]
struct Verified {
    snapshot: Snapshot,
    chunks: u64,
    files: u64,
}

/// A line that changes while something runs, where a person may watch.
pub(super) fn bar(output: Output) -> ProgressBar {
    if output.json { ProgressBar::hidden() } else { ProgressBar::new_spinner() }
}

pub(super) fn words_of(progress: &BackupProgress) -> String {
    format!(
        "{}: {} of {}, {}, {} with {}, {} written",
        progress.stage,
        count(progress.groups),
        counted(progress.groups_total, "bucket"),
        counted(progress.rows, "row"),
        counted(progress.files, "file"),
        bytes(progress.file_bytes),
        bytes(progress.written_bytes)
    )
}

fn taken(snapshot: &Snapshot) -> String {
    format!(
        "snapshot {}: {}, {} with {}; {} written, {}\n",
        snapshot.number,
        counted(snapshot.rows, "row"),
        counted(snapshot.files, "file"),
        bytes(snapshot.file_bytes),
        bytes(snapshot.new_bytes),
        counted(snapshot.new_files, "new file")
    )
}

fn removed(removed: &RemovedBackups) -> String {
    if removed.snapshots.is_empty() {
        return "no older snapshot had to go\n".to_owned();
    }
    let numbers: Vec<String> = removed.snapshots.iter().map(u64::to_string).collect();
    let freed = bytes(removed.bytes);
    format!(
        "removed: snapshots {}, {}, {}; {freed} freed\n",
        numbers.join(", "),
        counted(removed.chunks, "chunk"),
        counted(removed.files, "file")
    )
}

fn table(found: &[Snapshot]) -> String {
    let mut out = format!(
        "{:>8}  {:<20}  {:>12}  {:>10}  {:>12}  {:>12}  root key\n",
        "snapshot", "taken", "rows", "files", "content", "new"
    );
    for snapshot in found {
        let Snapshot { number, rows, files, root, .. } = snapshot;
        let line = writeln!(
            out,
            "{number:>8}  {:<20}  {:>12}  {:>10}  {:>12}  {:>12}  {} version {}",
            time(snapshot.taken_unix_seconds),
            count(*rows),
            count(*files),
            bytes(snapshot.file_bytes),
            bytes(snapshot.new_bytes),
            root.key_id,
            root.key_version
        );
        line.expect("a String takes everything");
    }
    out
}

/// A time in UTC, to the second.
pub(super) fn time(unix_seconds: u64) -> String {
    let seconds = i64::try_from(unix_seconds).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| unix_seconds.to_string(), |time| time.to_string())
}

/// A snapshot as the door shows it.
pub(crate) fn backup_snapshot(taken: SnapshotInfo) -> Snapshot {
    Snapshot {
        number: taken.number,
        taken_unix_seconds: taken.taken_at,
        lsn: taken.lsn.0,
        groups: taken.groups,
        rows: taken.rows,
        index_bytes: taken.index_bytes,
        files: taken.files,
        file_bytes: taken.file_bytes,
        new_files: taken.new_files,
        new_bytes: taken.new_bytes,
        root: RootKeyName {
            provider: taken.root.provider,
            key_id: taken.root.key_id,
            key_version: taken.root.key_version,
        },
    }
}

/// Progress as the door shows it.
pub(crate) fn backup_progress(now: &backup::BackupProgress) -> BackupProgress {
    let stage = match now.stage {
        backup::BackupStage::Rows => "rows",
        backup::BackupStage::Log => "log",
        backup::BackupStage::Files => "files",
        _ => "ending",
    };
    BackupProgress {
        stage: stage.to_owned(),
        groups: now.groups,
        groups_total: now.groups_total,
        rows: now.rows,
        files: now.files,
        file_bytes: now.file_bytes,
        written_bytes: now.written_bytes,
    }
}
