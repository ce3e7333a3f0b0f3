//! `admin restore`: a data directory from a snapshot. No server is asked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use strongroom_api::admin::Snapshot;
use strongroom_store::StoreOptions;
use strongroom_store::backup::{self, BackupError};
use strongroom_store::disk::{Disk, OsDisk};

use super::answer::{Output, bytes, counted};
use super::backup::{backup_progress, backup_snapshot, bar, time, words_of};
use super::error::AdminFailure;
use super::local_keys::{LocalKeys, UnlockArgs};

#[derive(Debug, Args)]
#[command(
    after_help = "The backup does not contain the root key. With the local key management service, its files \
                        have to be brought: --kms-from DIR copies them into the new data directory.\n\
                        Do not run the original store any more once the restored one serves."
)]
pub(super) struct RestoreArgs {
    /// Directory of the backups
    #[arg(long = "from", value_name = "TARGET")]
    target: PathBuf,
    /// Which snapshot [default: the newest]
    #[arg(long, value_name = "NUMBER")]
    snapshot: Option<u64>,
    #[command(flatten)]
    unlock: UnlockArgs,
}

#[derive(Debug, Serialize)]
struct Restored {
    data_dir: PathBuf,
    snapshot: Snapshot,
    replayed: u64,
}

/// Restores into `dir`, which has to be empty but for the local key files.
pub(super) fn run(dir: &Path, output: Output, args: &RestoreArgs) -> Result<(), AdminFailure> {
    let failed = |error: BackupError| AdminFailure::Backup(error.to_string());
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let outline = backup::outline(&args.target, &disk).map_err(failed)?;
    let wanted = |number: &u64| args.snapshot.is_none_or(|snapshot| snapshot == *number);
    let needed = outline.iter().rfind(|found| wanted(&found.number)).map(|found| &found.root);
    let keys = LocalKeys::open(&args.unlock, dir, needed)?;
    let brought = keys.bring_to(dir)?;
    let bar = bar(output);
    let store = StoreOptions::new(dir, keys.shared());
    let restored = strongroom_objects::backup::restore(
        &args.target,
        args.snapshot,
        store,
        &dir.join("blobs"),
        &mut |now| {
            bar.set_message(words_of(&backup_progress(now)));
            bar.tick();
            true
        },
    );
    bar.finish_and_clear();
    let restored = restored.inspect_err(|_| brought.take_back()).map_err(failed)?;
    let answer = Restored {
        data_dir: dir.to_owned(),
        snapshot: backup_snapshot(restored.snapshot),
        replayed: restored.replayed,
    };
    output.show(&answer, |answer| {
        let Snapshot { number, taken_unix_seconds, lsn, rows, files, file_bytes, .. } = answer.snapshot;
        format!(
            "restored snapshot {number} of {} (LSN {lsn}): {}, {} with {}\nstart it with `strongroom server \
             --data-dir {}`\n",
            time(taken_unix_seconds),
            counted(rows, "row"),
            counted(files, "file"),
            bytes(file_bytes),
            answer.data_dir.display()
        )
    })
}
