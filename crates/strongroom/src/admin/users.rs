//! `admin user`.

use clap::{Args, Subcommand};
use reqwest::Method;
use strongroom_api::rest::{
    AccessKey, AccessKeyList, AccessKeyWithSecret, NewUser, SetEnabled, User, UserList,
};

use super::answer::{Done, Output, enabled, facts, listed};
use super::connection::Connection;
use super::error::AdminFailure;
use super::table::{Side, Table};

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Make a user; it may do nothing until a policy is attached to it
    Create(UserArgs),
    /// Show all users
    List,
    /// Show one user
    Show(UserArgs),
    /// Take none of its credentials until it is enabled again
    Disable(UserArgs),
    /// Take its credentials again
    Enable(UserArgs),
    /// Delete it, with its access keys, service accounts and tokens
    Delete(UserArgs),
    /// Its access keys, for S3 clients
    #[command(subcommand)]
    Key(KeyCommand),
}

#[derive(Debug, Args)]
pub(super) struct UserArgs {
    /// The user's name
    #[arg(value_name = "USER")]
    user: String,
}

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Make an access key; its secret is shown this once
    Create(UserArgs),
    /// Show a user's access keys
    List(UserArgs),
    /// Do not take an access key until it is enabled again
    Disable(KeyArgs),
    /// Take an access key again
    Enable(KeyArgs),
    /// Delete an access key
    Delete(KeyArgs),
}

#[derive(Debug, Args)]
pub(super) struct KeyArgs {
    /// The user's name
    #[arg(value_name = "USER")]
    user: String,
    /// The access key
    #[arg(value_name = "ACCESS_KEY")]
    access_key: String,
}

pub(super) async fn run(door: &Connection, output: Output, command: UserCommand) -> Result<(), AdminFailure> {
    match command {
        UserCommand::Create(UserArgs { user }) => {
            let made: User = door.call(Method::POST, &["users"], Some(&NewUser { name: user })).await?;
            output.show(&made, |made| {
                let name = &made.name;
                format!(
                    "user {name} made; next:\n  strongroom admin policy attach readwrite --user {name}\n  strongroom admin user \
                     key create {name}\n"
                )
            })
        }
        UserCommand::List => {
            let list: UserList = door.get_all(&["users"]).await?;
            output.show(&list, |list| table(&list.users))
        }
        UserCommand::Show(UserArgs { user }) => {
            let user: User = door.get(&["users", &user]).await?;
            output.show(&user, shown)
        }
        UserCommand::Disable(args) => set(door, output, &args.user, false).await,
        UserCommand::Enable(args) => set(door, output, &args.user, true).await,
        UserCommand::Delete(UserArgs { user }) => {
            door.carry_out(Method::DELETE, &["users", &user]).await?;
            output.show(&Done { done: "deleted", what: "user", name: &user }, |done| {
                format!(
                    "{}# Policies of buckets that name it are left as they are; they mean whoever is made as {user} next.\n",
                    done.words()
                )
            })
        }
        UserCommand::Key(command) => key(door, output, command).await,
    }
}

async fn set(door: &Connection, output: Output, user: &str, to: bool) -> Result<(), AdminFailure> {
    let set = SetEnabled { enabled: to };
    let changed: User = door.call(Method::PATCH, &["users", user], Some(&set)).await?;
    output.show(&changed, |user| format!("user {} {}\n", user.name, enabled(user.enabled)))
}

async fn key(door: &Connection, output: Output, command: KeyCommand) -> Result<(), AdminFailure> {
    match command {
        KeyCommand::Create(UserArgs { user }) => {
            let path = ["users", user.as_str(), "keys"];
            let made: AccessKeyWithSecret = door.call(Method::POST, &path, None::<&()>).await?;
            output.show(&made, with_secret)
        }
        KeyCommand::List(UserArgs { user }) => {
            let list: AccessKeyList = door.get(&["users", &user, "keys"]).await?;
            output.show(&list, |list| {
                let mut table =
                    Table::new([("ACCESS KEY", Side::Left), ("STATE", Side::Left), ("CREATED", Side::Left)]);
                for key in &list.access_keys {
                    table.row([key.access_key.clone(), enabled(key.enabled), key.created.clone()]);
                }
                table.render()
            })
        }
        KeyCommand::Disable(args) => set_key(door, output, &args, false).await,
        KeyCommand::Enable(args) => set_key(door, output, &args, true).await,
        KeyCommand::Delete(KeyArgs { user, access_key }) => {
            door.carry_out(Method::DELETE, &["users", &user, "keys", &access_key]).await?;
            output.show(&Done { done: "deleted", what: "access key", name: &access_key }, Done::words)
        }
    }
}

async fn set_key(door: &Connection, output: Output, args: &KeyArgs, to: bool) -> Result<(), AdminFailure> {
    let path = ["users", &args.user, "keys", &args.access_key];
    let changed: AccessKey = door.call(Method::PATCH, &path, Some(&SetEnabled { enabled: to })).await?;
    output.show(&changed, |key| format!("access key {} {}\n", key.access_key, enabled(key.enabled)))
}

/// Credentials as a shell takes them, with the warning that they are not shown again.
pub(super) fn with_secret(made: &AccessKeyWithSecret) -> String {
    format!(
        "export AWS_ACCESS_KEY_ID={}\nexport AWS_SECRET_ACCESS_KEY={}\n# The secret is shown this once; it cannot be read \
         again.\n",
        made.access_key, made.secret_key
    )
}

fn table(users: &[User]) -> String {
    let mut table = Table::new([
        ("USER", Side::Left),
        ("STATE", Side::Left),
        ("POLICIES", Side::Left),
        ("GROUPS", Side::Left),
        ("CREATED", Side::Left),
    ]);
    for user in users {
        table.row([
            user.name.clone(),
            enabled(user.enabled),
            listed(&user.policies),
            listed(&user.groups),
            user.created.clone(),
        ]);
    }
    table.render()
}

fn shown(user: &User) -> String {
    facts(&[
        ("user", user.name.clone()),
        ("id", user.id.clone()),
        ("state", enabled(user.enabled)),
        ("policies", listed(&user.policies)),
        ("groups", listed(&user.groups)),
        ("created", user.created.clone()),
    ])
}
