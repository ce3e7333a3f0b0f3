//! `strongroom inspect`: looks at a data directory that no server has open, and changes nothing in it.

mod keyring;
mod log;
mod output;
mod pages;
mod unlock;
mod verify;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use strongroom_store::inspect::{InspectError, Offline};

use unlock::UnlockArgs;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Nothing was found out, as opposed to damage that was found.
const EXIT_NOTHING_LEARNT: u8 = 2;

#[derive(Debug, Subcommand)]
pub(crate) enum InspectCommand {
    /// List the log: segments, frames and, with the root key, the commands in them
    #[command(
        after_help = "Without the root key (--no-keys): places, LSNs, groups, key ids and lengths; nothing of it is\n\
                            authenticated. That also works while a server runs."
    )]
    Log(log::LogArgs),
    /// Describe the page files and, with the root key, list their rows
    #[command(
        after_help = "Without the root key (--no-keys): root slots, key ids and sizes. That also works while a server runs."
    )]
    Pages(pages::PagesArgs),
    /// Describe the keyring: which root key it needs and, with that key, groups and their keys. Never prints a key
    Keyring(keyring::KeyringArgs),
    /// Authenticate every page, log frame, entry and blob, and report damage by name
    #[command(
        after_help = "Exit code: 0 all is as it was written, 1 damage was found, 2 it could not be looked at.\n\
                            Content under customers' keys (SSE-C) is checked for length and header; only the customer can open it."
    )]
    Verify(verify::VerifyArgs),
}

/// What all of them take.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// The data directory
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// One JSON object per line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    unlock: UnlockArgs,
}

pub(crate) fn run(command: InspectCommand) -> ExitCode {
    let result = match command {
        InspectCommand::Log(args) => log::run(&args).map(|()| ExitCode::SUCCESS),
        InspectCommand::Pages(args) => pages::run(&args).map(|()| ExitCode::SUCCESS),
        InspectCommand::Keyring(args) => keyring::run(&args).map(|()| ExitCode::SUCCESS),
        InspectCommand::Verify(args) => verify::run(&args),
    };
    match result {
        Ok(code) => code,
        // Whoever reads has seen enough.
        Err(failure) if is_broken_pipe(&failure) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("strongroom: {failure}");
            ExitCode::from(EXIT_NOTHING_LEARNT)
        }
    }
}

fn is_broken_pipe(failure: &Failure) -> bool {
    failure.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

impl Common {
    fn look(&self) -> Result<Offline, Failure> {
        Ok(Offline::look(&self.dir)?)
    }
}

/// What an error means for who typed the command.
fn explain(error: InspectError) -> Failure {
    match error {
        InspectError::InUse { dir } => format!(
            "the store in {} is in use by a running server; stop it, or list without keys: --no-keys",
            dir.display()
        )
        .into(),
        error => error.into(),
    }
}
