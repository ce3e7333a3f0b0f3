//! `admin policy`.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::value::RawValue;
use strongroom_api::rest::{Policy, PolicyList};

use super::answer::{Done, Output, facts};
use super::connection::{Connection, IfMatch, Versioned};
use super::error::AdminFailure;
use super::table::{Side, Table};

/// Longer than any policy may be.
const FILE_BYTES_MAX: u64 = 64 * 1024;

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Make a policy from a JSON file as AWS writes them, or replace it
    Put(PutArgs),
    /// Show all policies, with those that come with the program
    List,
    /// Show a policy's document
    Show(PolicyArgs),
    /// Delete a policy that is attached to nothing
    Delete(DeleteArgs),
    /// Attach a policy to a user or a group
    Attach(AttachArgs),
    /// Detach a policy from a user or a group
    Detach(AttachArgs),
}

#[derive(Debug, Args)]
pub(super) struct PutArgs {
    /// The policy's name
    #[arg(value_name = "POLICY")]
    policy: String,
    /// The file with its document; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    if_match: IfMatch,
}

#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    /// The policy's name
    #[arg(value_name = "POLICY")]
    policy: String,
    #[command(flatten)]
    if_match: IfMatch,
}

#[derive(Debug, Args)]
pub(super) struct PolicyArgs {
    /// The policy's name
    #[arg(value_name = "POLICY")]
    policy: String,
}

#[derive(Debug, Args)]
pub(super) struct AttachArgs {
    /// The policy's name: one of yours, or readonly, readwrite, writeonly, consoleAdmin
    #[arg(value_name = "POLICY")]
    policy: String,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// To or from this user
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// To or from this group
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
}

pub(super) async fn run(
    door: &Connection,
    output: Output,
    command: PolicyCommand,
) -> Result<(), AdminFailure> {
    match command {
        PolicyCommand::Put(PutArgs { policy, file, if_match }) => {
            let document = document(&file)?;
            let path = ["policies", policy.as_str()];
            let stored: Versioned<Policy> =
                door.change(Method::PUT, &path, &if_match, Some(&document)).await?;
            output.show(&stored, |stored| format!("policy {} stored\n", stored.value.name))
        }
        PolicyCommand::List => {
            let list: PolicyList = door.get_all(&["policies"]).await?;
            output.show(&list, words)
        }
        PolicyCommand::Show(PolicyArgs { policy }) => {
            let policy: Versioned<Policy> = door.get_versioned(&["policies", &policy]).await?;
            output.show(&policy, shown)
        }
        PolicyCommand::Delete(DeleteArgs { policy, if_match }) => {
            door.carry_out_if(Method::DELETE, &["policies", &policy], &if_match).await?;
            output.show(&Done { done: "deleted", what: "policy", name: &policy }, Done::words)
        }
        PolicyCommand::Attach(args) => attach(door, output, Method::PUT, "attached to", &args).await,
        PolicyCommand::Detach(args) => attach(door, output, Method::DELETE, "detached from", &args).await,
    }
}

async fn attach(
    door: &Connection,
    output: Output,
    method: Method,
    done: &str,
    args: &AttachArgs,
) -> Result<(), AdminFailure> {
    let (kind, path, name) = match (&args.target.user, &args.target.group) {
        (Some(user), _) => ("user", "users", user),
        (None, Some(group)) => ("group", "groups", group),
        (None, None) => return Err(AdminFailure::Input("name a --user or a --group".into())),
    };
    door.carry_out(method, &[path, name, "policies", &args.policy]).await?;
    let done = format!("{done} {kind} {name}");
    output.show(&Done { done: &done, what: "policy", name: &args.policy }, Done::words)
}

/// The JSON in a file, as it was written: what is wrong with it as a policy is for the server to say, a member that is there twice as well.
pub(super) fn document(file: &Path) -> Result<Box<RawValue>, AdminFailure> {
    let wrong = |problem: String| AdminFailure::Input(format!("{}: {problem}", file.display()));
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().take(FILE_BYTES_MAX).read_to_string(&mut text)
    } else {
        let opened = std::fs::File::open(file).map_err(|error| wrong(error.to_string()))?;
        opened.take(FILE_BYTES_MAX).read_to_string(&mut text)
    };
    read.map_err(|error| wrong(error.to_string()))?;
    RawValue::from_string(text).map_err(|error| wrong(format!("is not JSON: {error}")))
}

fn words(list: &PolicyList) -> String {
    let mut table = Table::new([("POLICY", Side::Left), ("CHANGED", Side::Left)]);
    for policy in &list.policies {
        let changed = policy.updated.clone().unwrap_or_else(|| "(comes with the program)".to_owned());
        table.row([policy.name.clone(), changed]);
    }
    table.render()
}

fn shown(shown: &Versioned<Policy>) -> String {
    let policy = &shown.value;
    let changed = policy.updated.clone().unwrap_or_else(|| "(comes with the program)".to_owned());
    let document = serde_json::to_string_pretty(&policy.document).unwrap_or_default();
    let mut of = vec![("policy", policy.name.clone()), ("changed", changed)];
    of.extend(shown.version.clone().map(|version| ("version", version)));
    facts(&of) + &document + "\n"
}
