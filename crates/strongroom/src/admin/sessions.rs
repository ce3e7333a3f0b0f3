//! `admin session`.

use clap::Subcommand;
use reqwest::Method;

use super::answer::{Done, Output};
use super::connection::Connection;
use super::error::AdminFailure;

#[derive(Debug, Subcommand)]
pub(super) enum SessionCommand {
    /// End all temporary credentials, of everybody; who needs new ones makes them as before
    RevokeAll,
}

pub(super) async fn run(
    door: &Connection,
    output: Output,
    command: SessionCommand,
) -> Result<(), AdminFailure> {
    let SessionCommand::RevokeAll = command;
    door.carry_out(Method::DELETE, &["sessions"]).await?;
    output.show(&Done { done: "revoked", what: "sessions", name: "all" }, Done::words)
}
