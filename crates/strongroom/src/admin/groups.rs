//! `admin group`.

use clap::{Args, Subcommand};
use reqwest::Method;
use strongroom_api::rest::{Group, GroupList, NewGroup};

use super::answer::{Done, Output, facts, listed};
use super::connection::Connection;
use super::error::AdminFailure;
use super::table::{Side, Table};

#[derive(Debug, Subcommand)]
pub(super) enum GroupCommand {
    /// Make a group
    Create(GroupArgs),
    /// Show all groups
    List,
    /// Show one group
    Show(GroupArgs),
    /// Delete a group that is empty
    Delete(GroupArgs),
    /// Put a user into a group
    Add(MemberArgs),
    /// Take a user out of a group
    Remove(MemberArgs),
}

#[derive(Debug, Args)]
pub(super) struct GroupArgs {
    /// The group's name
    #[arg(value_name = "GROUP")]
    group: String,
}

#[derive(Debug, Args)]
pub(super) struct MemberArgs {
    /// The group's name
    #[arg(value_name = "GROUP")]
    group: String,
    /// The user's name
    #[arg(value_name = "USER")]
    user: String,
}

pub(super) async fn run(
    door: &Connection,
    output: Output,
    command: GroupCommand,
) -> Result<(), AdminFailure> {
    match command {
        GroupCommand::Create(GroupArgs { group }) => {
            let made: Group = door.call(Method::POST, &["groups"], Some(&NewGroup { name: group })).await?;
            output.show(&made, |made| format!("group {} made\n", made.name))
        }
        GroupCommand::List => {
            let list: GroupList = door.get_all(&["groups"]).await?;
            output.show(&list, |list| table(&list.groups))
        }
        GroupCommand::Show(GroupArgs { group }) => {
            let group: Group = door.get(&["groups", &group]).await?;
            output.show(&group, |group| {
                facts(&[
                    ("group", group.name.clone()),
                    ("policies", listed(&group.policies)),
                    ("members", listed(&group.members)),
                    ("created", group.created.clone()),
                ])
            })
        }
        GroupCommand::Delete(GroupArgs { group }) => {
            door.carry_out(Method::DELETE, &["groups", &group]).await?;
            output.show(&Done { done: "deleted", what: "group", name: &group }, Done::words)
        }
        GroupCommand::Add(args) => member(door, output, Method::PUT, &args).await,
        GroupCommand::Remove(args) => member(door, output, Method::DELETE, &args).await,
    }
}

async fn member(
    door: &Connection,
    output: Output,
    method: Method,
    args: &MemberArgs,
) -> Result<(), AdminFailure> {
    let path = ["groups", &args.group, "members", &args.user];
    let group: Group = door.call(method, &path, None::<&()>).await?;
    output.show(&group, |group| format!("in {}: {}\n", group.name, listed(&group.members)))
}

fn table(groups: &[Group]) -> String {
    let mut table = Table::new([
        ("GROUP", Side::Left),
        ("POLICIES", Side::Left),
        ("MEMBERS", Side::Left),
        ("CREATED", Side::Left),
    ]);
    for group in groups {
        table.row([
            group.name.clone(),
            listed(&group.policies),
            listed(&group.members),
            group.created.clone(),
        ]);
    }
    table.render()
}
