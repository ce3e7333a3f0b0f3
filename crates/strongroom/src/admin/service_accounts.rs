//! `admin service-account`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use reqwest::Method;
use strongroom_api::rest::{
    AccessKeyWithSecret, NewServiceAccount, ServiceAccount, ServiceAccountList, SetEnabled,
};

use super::answer::{Done, Output, enabled, facts};
use super::connection::Connection;
use super::error::AdminFailure;
use super::expires::{self, Expires};
use super::policies::document;
use super::table::{Side, Table};
use super::users::with_secret;

#[derive(Debug, Subcommand)]
pub(super) enum ServiceAccountCommand {
    /// Make a service account; its secret is shown this once
    Create(CreateArgs),
    /// Show all service accounts
    List,
    /// Show one service account
    Show(NameArgs),
    /// Do not take it until it is enabled again
    Disable(NameArgs),
    /// Take it again
    Enable(NameArgs),
    /// Delete it
    Delete(NameArgs),
    /// The policy that bounds it beside its parent's permissions
    #[command(subcommand)]
    Policy(PolicyCommand),
}

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Bound it by the policy in a file, in the place of the one it has
    Set(SetPolicyArgs),
    /// Take the policy away: it may do all that its parent may
    Remove(NameArgs),
}

#[derive(Debug, Args)]
pub(super) struct SetPolicyArgs {
    /// Its access key
    #[arg(value_name = "ACCESS_KEY")]
    access_key: String,
    /// The file with the document; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// The user whose permissions it has [default: you; at the server's own socket, root]
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// File with a policy that bounds it further
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// What it is for
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
    /// How long it is taken: 30d, 12h, or never
    #[arg(long, value_name = "TIME", value_parser = expires::parse, default_value = "never")]
    expires: Expires,
}

#[derive(Debug, Args)]
pub(super) struct NameArgs {
    /// Its access key
    #[arg(value_name = "ACCESS_KEY")]
    access_key: String,
}

const PATH: &str = "service-accounts";

pub(super) async fn run(
    door: &Connection,
    output: Output,
    command: ServiceAccountCommand,
) -> Result<(), AdminFailure> {
    match command {
        ServiceAccountCommand::Create(args) => {
            let new = NewServiceAccount {
                user: args.user,
                policy: args.policy.as_deref().map(document).transpose()?,
                description: args.description,
                expires_in_seconds: args.expires.0,
            };
            let made: AccessKeyWithSecret = door.call(Method::POST, &[PATH], Some(&new)).await?;
            output.show(&made, with_secret)
        }
        ServiceAccountCommand::List => {
            let list: ServiceAccountList = door.get_all(&[PATH]).await?;
            output.show(&list, words)
        }
        ServiceAccountCommand::Show(NameArgs { access_key }) => {
            let account: ServiceAccount = door.get(&[PATH, &access_key]).await?;
            output.show(&account, shown)
        }
        ServiceAccountCommand::Disable(args) => set(door, output, &args.access_key, false).await,
        ServiceAccountCommand::Enable(args) => set(door, output, &args.access_key, true).await,
        ServiceAccountCommand::Delete(NameArgs { access_key }) => {
            door.carry_out(Method::DELETE, &[PATH, &access_key]).await?;
            output.show(&Done { done: "deleted", what: "service account", name: &access_key }, Done::words)
        }
        ServiceAccountCommand::Policy(PolicyCommand::Set(SetPolicyArgs { access_key, file })) => {
            let document = document(&file)?;
            let path = [PATH, &access_key, "policy"];
            let changed: ServiceAccount = door.call(Method::PUT, &path, Some(&document)).await?;
            output.show(&changed, |account| format!("service account {} bounded\n", account.access_key))
        }
        ServiceAccountCommand::Policy(PolicyCommand::Remove(NameArgs { access_key })) => {
            let path = [PATH, &access_key, "policy"];
            let changed: ServiceAccount = door.call(Method::DELETE, &path, None::<&()>).await?;
            output.show(&changed, |account| {
                format!("service account {} bounded by nothing but its parent\n", account.access_key)
            })
        }
    }
}

async fn set(door: &Connection, output: Output, access_key: &str, to: bool) -> Result<(), AdminFailure> {
    let set = SetEnabled { enabled: to };
    let changed: ServiceAccount = door.call(Method::PATCH, &[PATH, access_key], Some(&set)).await?;
    output.show(&changed, |account| {
        format!("service account {} {}\n", account.access_key, enabled(account.enabled))
    })
}

fn words(list: &ServiceAccountList) -> String {
    let mut table = Table::new([
        ("ACCESS KEY", Side::Left),
        ("OF", Side::Left),
        ("STATE", Side::Left),
        ("EXPIRES", Side::Left),
        ("DESCRIPTION", Side::Left),
    ]);
    for account in &list.service_accounts {
        table.row([
            account.access_key.clone(),
            account.parent.clone(),
            enabled(account.enabled),
            expires::shown(account.expires.as_ref()),
            account.description.clone(),
        ]);
    }
    table.render()
}

fn shown(account: &ServiceAccount) -> String {
    let text = facts(&[
        ("access key", account.access_key.clone()),
        ("of", account.parent.clone()),
        ("state", enabled(account.enabled)),
        ("expires", expires::shown(account.expires.as_ref())),
        ("description", account.description.clone()),
        ("created", account.created.clone()),
    ]);
    match account.policy.as_ref().and_then(|policy| serde_json::to_string_pretty(policy).ok()) {
        Some(policy) => text + &policy + "\n",
        None => text,
    }
}
