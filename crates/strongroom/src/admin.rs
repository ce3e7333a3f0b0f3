//! `strongroom admin`: telling a running server what to do, over the socket in its data directory.

mod answer;
mod backup;
mod checkpoint;
mod connection;
mod error;
mod keys_groups;
mod keys_rotate;
mod local_keys;
mod reseal;
mod restore;
mod root_key;
pub(crate) mod socket;
mod table;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use answer::Output;
pub(crate) use backup::{backup_progress, backup_snapshot};
use connection::Connection;
use error::AdminFailure;

/// Where the server is and how its answers are shown.
#[derive(Debug, Args)]
pub(crate) struct AdminArgs {
    /// The data directory of the server [default: ./data]
    #[arg(long, value_name = "DIR", env = "STRONGROOM_DATA_DIR", global = true)]
    data_dir: Option<PathBuf>,
    /// Answers as JSON, one object per line
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: AdminCommand,
}

#[derive(Debug, Subcommand)]
enum AdminCommand {
    /// Keys of buckets, and the root key that wraps them
    #[command(subcommand)]
    Keys(KeysCommand),
    /// The background work that moves what older keys sealed under the newest ones
    #[command(subcommand)]
    Reseal(reseal::ResealCommand),
    /// Make the index durable in its pages and give back log that is not needed any more
    Checkpoint,
    /// Take a consistent snapshot of everything while the server serves, or look at the snapshots there are
    Backup(backup::BackupArgs),
    /// Make a data directory, named by --data-dir and empty, from a backup; the root key is not in it
    Restore(restore::RestoreArgs),
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Show all keys: state, age, how much they sealed, what wraps them
    Groups(keys_groups::GroupsArgs),
    /// Give buckets a new key; what the old one sealed is moved in the background
    Rotate(keys_rotate::RotateArgs),
    /// The root key that wraps all others
    #[command(subcommand)]
    Root(root_key::RootCommand),
}

/// Runs one command to its end.
pub(crate) fn run(args: AdminArgs) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let output = Output { json: args.json };
    let dir = args.data_dir.clone().unwrap_or_else(|| crate::config::DATA_DIR.into());
    match &args.command {
        AdminCommand::Restore(restore) => return restore::run(&dir, output, restore).map_err(Into::into),
        AdminCommand::Backup(backup) if backup.is_offline() => {
            return backup::offline(&dir, output, backup).map_err(Into::into);
        }
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(dispatch(&dir, output, args.command)).map_err(Into::into)
}

async fn dispatch(dir: &Path, output: Output, command: AdminCommand) -> Result<(), AdminFailure> {
    let door = Connection::open(dir)?;
    match command {
        AdminCommand::Keys(KeysCommand::Groups(args)) => keys_groups::run(&door, output, &args).await,
        AdminCommand::Keys(KeysCommand::Rotate(args)) => keys_rotate::run(&door, output, args).await,
        AdminCommand::Keys(KeysCommand::Root(command)) => root_key::run(&door, output, command).await,
        AdminCommand::Reseal(command) => reseal::run(&door, output, command).await,
        AdminCommand::Checkpoint => checkpoint::run(&door, output).await,
        AdminCommand::Backup(args) => backup::run(&door, output, args).await,
        AdminCommand::Restore(args) => restore::run(dir, output, &args),
    }
}
