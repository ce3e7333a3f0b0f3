//! `strongroom`: an S3-compatible object store in which nothing rests in the clear.
//!
//! This crate is the shell: it reads the command line and the configuration, wires the other crates together
//! and says what happened. What the store does is in the crates below it (ARCHITECTURE.md).

mod admin;
mod cli;
mod client;
mod config;
mod events;
#[cfg(test)]
mod fuzzing;
mod inspect;
mod server;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command, ConfigCommand};

/// Requests allocate and free across threads all the time, which is what the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Server(args) => server::run(&args),
        Command::Config(ConfigCommand::Check(args)) => config::check(&args),
        // Its exit codes say more than that it failed.
        Command::Inspect(command) => return inspect::run(command),
        Command::Admin(args) => admin::run(args),
        // So do these.
        Command::Client(command) => return client::run(command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("strongroom: {failure}");
            ExitCode::FAILURE
        }
    }
}
