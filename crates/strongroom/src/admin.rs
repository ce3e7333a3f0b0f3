//! `strongroom admin`: telling a running server what to do, over the socket in its data directory.

mod answer;
mod checkpoint;
mod connection;
mod error;
mod keys_groups;
mod keys_rotate;
mod reseal;
mod root_key;
pub(crate) mod socket;
mod table;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use answer::Output;
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
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(dispatch(args)).map_err(Into::into)
}

async fn dispatch(args: AdminArgs) -> Result<(), AdminFailure> {
    let dir = args.data_dir.unwrap_or_else(|| crate::config::DATA_DIR.into());
    let output = Output { json: args.json };
    let door = Connection::open(&dir)?;
    match args.command {
        AdminCommand::Keys(KeysCommand::Groups(args)) => keys_groups::run(&door, output, &args).await,
        AdminCommand::Keys(KeysCommand::Rotate(args)) => keys_rotate::run(&door, output, args).await,
        AdminCommand::Keys(KeysCommand::Root(command)) => root_key::run(&door, output, command).await,
        AdminCommand::Reseal(command) => reseal::run(&door, output, command).await,
        AdminCommand::Checkpoint => checkpoint::run(&door, output).await,
    }
}
