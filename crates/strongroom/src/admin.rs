//! `strongroom admin`: telling a running server what to do, over the socket in its data directory, or over its API.

mod answer;
mod audit;
mod backup;
mod bucket;
mod checkpoint;
mod connection;
mod error;
mod expires;
mod groups;
mod keys_groups;
mod keys_rotate;
mod local_keys;
mod policies;
mod reseal;
mod restore;
mod root_key;
mod service_accounts;
mod sessions;
pub(crate) mod socket;
mod table;
mod tokens;
mod users;
mod whoami;

use clap::{Args, Subcommand};

use answer::Output;
pub(crate) use backup::{backup_progress, backup_snapshot};
use connection::{Connection, ServerArgs};
use error::AdminFailure;

/// Where the server is and how its answers are shown.
#[derive(Debug, Args)]
pub(crate) struct AdminArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Answers as JSON, one object per line
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: AdminCommand,
}

#[derive(Debug, Subcommand)]
enum AdminCommand {
    /// Users and their access keys
    #[command(subcommand)]
    User(users::UserCommand),
    /// Groups of users
    #[command(subcommand)]
    Group(groups::GroupCommand),
    /// Policies: who may do what
    #[command(subcommand)]
    Policy(policies::PolicyCommand),
    /// Credentials for programs, which may do what their parent may, or less
    #[command(subcommand)]
    ServiceAccount(service_accounts::ServiceAccountCommand),
    /// Temporary credentials, which AssumeRole of STS gives
    #[command(subcommand)]
    Session(sessions::SessionCommand),
    /// Tokens for the REST API and for this program from elsewhere
    #[command(subcommand)]
    Token(tokens::TokenCommand),
    /// Buckets and their settings
    #[command(subcommand)]
    Bucket(bucket::BucketCommand),
    /// Show who the server takes you for
    Whoami,
    /// Keys of buckets, and the root key that wraps them
    #[command(subcommand)]
    Keys(KeysCommand),
    /// The background work that moves what older keys sealed under the newest ones
    #[command(subcommand)]
    Reseal(reseal::ResealCommand),
    /// Show what was done to identities, buckets and keys, and by whom
    Audit(audit::AuditArgs),
    /// Show who is told of events, and how many wait
    Events,
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
    let dir = args.server.dir();
    match &args.command {
        AdminCommand::Restore(restore) => return restore::run(&dir, output, restore).map_err(Into::into),
        AdminCommand::Backup(backup) if backup.is_offline() => {
            return backup::offline(&dir, output, backup).map_err(Into::into);
        }
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(dispatch(&args.server, output, args.command)).map_err(Into::into)
}

async fn dispatch(server: &ServerArgs, output: Output, command: AdminCommand) -> Result<(), AdminFailure> {
    let door = Connection::open(server)?;
    match command {
        AdminCommand::User(command) => users::run(&door, output, command).await,
        AdminCommand::Group(command) => groups::run(&door, output, command).await,
        AdminCommand::Policy(command) => policies::run(&door, output, command).await,
        AdminCommand::ServiceAccount(command) => service_accounts::run(&door, output, command).await,
        AdminCommand::Session(command) => sessions::run(&door, output, command).await,
        AdminCommand::Token(command) => tokens::run(&door, output, command).await,
        AdminCommand::Bucket(command) => bucket::run(&door, output, command).await,
        AdminCommand::Whoami => whoami::run(&door, output).await,
        AdminCommand::Keys(KeysCommand::Groups(args)) => keys_groups::run(&door, output, &args).await,
        AdminCommand::Keys(KeysCommand::Rotate(args)) => keys_rotate::run(&door, output, args).await,
        AdminCommand::Keys(KeysCommand::Root(command)) => root_key::run(&door, output, command).await,
        AdminCommand::Reseal(command) => reseal::run(&door, output, command).await,
        AdminCommand::Audit(args) => audit::run(&door, output, &args).await,
        AdminCommand::Events => audit::events(&door, output).await,
        AdminCommand::Checkpoint => checkpoint::run(&door, output).await,
        AdminCommand::Backup(args) => backup::run(&door, output, args).await,
        AdminCommand::Restore(args) => restore::run(&server.dir(), output, &args),
    }
}
