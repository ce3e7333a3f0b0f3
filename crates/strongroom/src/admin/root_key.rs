//! `admin keys root show` and `admin keys root change`.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use reqwest::Method;
use strongroom_api::admin::{ChangeRootKey, RootKey, RootKeyChange};

use super::answer::{Output, count};
use super::connection::Connection;
use super::error::AdminFailure;
use super::keys_groups::root_key;

#[derive(Debug, Subcommand)]
pub(super) enum RootCommand {
    /// Show which root key wraps the others
    Show,
    /// Wrap all keys anew: under the newest version of the root key, or under another one
    Change(ChangeArgs),
}

#[derive(Debug, Args)]
pub(super) struct ChangeArgs {
    /// The id of another key at the KMS [default: the present one]
    #[arg(long, value_name = "ID")]
    key_id: Option<String>,
    /// Have the KMS make that key first
    #[arg(long, requires = "key_id", conflicts_with = "new_version")]
    create_key: bool,
    /// Have the KMS make a new version of the key first
    #[arg(long)]
    new_version: bool,
}

pub(super) async fn run(door: &Connection, output: Output, command: RootCommand) -> Result<(), AdminFailure> {
    match command {
        RootCommand::Show => {
            let root: RootKey = door.ask(Method::GET, "/keys/root", None).await?;
            output.show(&root, shown)
        }
        RootCommand::Change(ChangeArgs { key_id, create_key, new_version }) => {
            let change = ChangeRootKey { key_id, create_key, new_version };
            let done: RootKeyChange = door.tell(Method::POST, "/keys/root/change", &change).await?;
            output.show(&done, changed)
        }
    }
}

fn shown(root: &RootKey) -> String {
    let mut text = format!("root key   {}\n", root_key(&root.root));
    for wraps in &root.wraps {
        let line = format!("wraps      {} keys under {}", count(wraps.keys), root_key(&wraps.root));
        writeln!(text, "{line}").expect("a String takes everything");
    }
    if let Some(newest) = root.newest_version.filter(|newest| *newest > root.root.key_version) {
        writeln!(text, "the KMS has version {newest}; to use it: strongroom admin keys root change")
            .expect("a String takes everything");
    }
    text
}

fn changed(done: &RootKeyChange) -> String {
    if done.from == done.to {
        return format!(
            "nothing to change: {} wraps the keys already, and the KMS has no newer version (--new-version makes one)\n",
            root_key(&done.to)
        );
    }
    let (from, to) = (root_key(&done.from), root_key(&done.to));
    format!("{} keys are wrapped by {to} now; it was {from}\n", count(done.keys))
}
