//! Using a store from the shell: `mb`, `rb`, `ls`, `cp`, `rm`, `cat`, `stat`.

mod copy;
mod error;
mod interrupt;
mod list;
mod location;
mod progress;
mod remove;
mod s3;
mod transfer;
mod xml;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use error::ClientError;
use location::Location;
use s3::Connection;

/// Whether a text is a whole document and all that the client reads of one that says so, for tests with mangled ones.
#[cfg(test)]
pub(crate) fn is_answer(text: &str) -> bool {
    let _read = (
        quick_xml::de::from_str::<xml::ErrorAnswer>(text),
        quick_xml::de::from_str::<xml::ListBuckets>(text),
        quick_xml::de::from_str::<xml::ListObjects>(text),
        quick_xml::de::from_str::<xml::InitiateMultipartUpload>(text),
        quick_xml::de::from_str::<xml::DeleteResult>(text),
    );
    xml::root(text).is_some()
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// Make a bucket
    Mb(BucketArgs),
    /// Remove an empty bucket
    Rb(BucketArgs),
    /// List buckets, or what is in one
    Ls(ListArgs),
    /// Copy files and objects, either way or inside the store
    Cp(CopyArgs),
    /// Remove objects
    Rm(RemoveArgs),
    /// Write an object's content to standard output
    Cat(ObjectArgs),
    /// Show what is known of an object
    Stat(StatArgs),
}

/// Where the store is and who asks. Credentials come from the environment only, so that they show in no list of
/// processes: STRONGROOM_ACCESS_KEY and STRONGROOM_SECRET_KEY, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; with
/// temporary ones STRONGROOM_SESSION_TOKEN or AWS_SESSION_TOKEN too.
#[derive(Debug, Args)]
pub(crate) struct ConnectionArgs {
    /// Where the store listens; AWS_ENDPOINT_URL holds too [default: http://127.0.0.1:9000]
    #[arg(long, value_name = "URL", env = "STRONGROOM_ENDPOINT")]
    endpoint: Option<String>,
    /// The store's region; AWS_DEFAULT_REGION holds too [default: us-east-1]
    #[arg(long, value_name = "NAME", env = "STRONGROOM_REGION")]
    region: Option<String>,
    /// Certificate (PEM) to trust besides the system's
    #[arg(long, value_name = "FILE", env = "STRONGROOM_CA_CERT")]
    ca_cert: Option<std::path::PathBuf>,
    /// Do not verify the store's certificate: for trials with a server's --tls-self-signed
    #[arg(long)]
    no_verify_tls: bool,
    /// No progress bars
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BucketArgs {
    /// s3://bucket
    location: Location,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// s3://bucket or s3://bucket/prefix; nothing lists the buckets
    location: Option<Location>,
    /// Everything below the prefix, not just one level
    #[arg(short, long)]
    recursive: bool,
    /// One JSON object per line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CopyArgs {
    /// A file, a directory (with -r), `-` for standard input, or s3://bucket/key
    from: String,
    /// A file, a directory, `-` for standard output, or s3://bucket/key; a trailing / keeps the name
    to: String,
    /// Everything below the directory or folder; s3://bucket/logs means logs/, and leaves logs-old alone
    #[arg(short, long)]
    recursive: bool,
    /// Content type of uploads [default: what the name's ending says]
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// Length of the parts that large uploads are sent in; what is shorter than two of them goes in one request
    /// [default: 16, or 64 from standard input; more if 10,000 parts would not be enough]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(5..=2048))]
    part_size: Option<u64>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// s3://bucket/key, or s3://bucket/folder with -r
    location: Location,
    /// Everything below the folder; s3://bucket/logs means logs/, and leaves logs-old alone
    #[arg(short, long)]
    recursive: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ObjectArgs {
    /// s3://bucket/key
    location: Location,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
pub(crate) struct StatArgs {
    /// s3://bucket/key
    location: Location,
    /// As one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Runs a client command to its end.
pub(crate) fn run(command: ClientCommand) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("strongroom: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(dispatch(command));
    // A read of a silent pipe would never end.
    runtime.shutdown_background();
    let Err(failure) = result else { return ExitCode::SUCCESS };
    eprintln!("strongroom: {failure}");
    match failure {
        // What shells answer for a command that a signal ended.
        ClientError::Interrupted { signal } => {
            u8::try_from(128 + signal).map_or(ExitCode::FAILURE, Into::into)
        }
        _ => ExitCode::FAILURE,
    }
}

async fn dispatch(command: ClientCommand) -> Result<(), ClientError> {
    match command {
        ClientCommand::Mb(args) => {
            let bucket = args.location.bucket_only()?;
            Connection::new(&args.connection)?.create_bucket(bucket).await?;
            println!("made s3://{bucket}");
            Ok(())
        }
        ClientCommand::Rb(args) => {
            let bucket = args.location.bucket_only()?;
            Connection::new(&args.connection)?.delete_bucket(bucket).await?;
            println!("removed s3://{bucket}");
            Ok(())
        }
        ClientCommand::Ls(args) => list::run(&args).await,
        ClientCommand::Cp(args) => copy::run(&args).await,
        ClientCommand::Rm(args) => remove::run(&args).await,
        ClientCommand::Cat(args) => {
            let (bucket, key) = args.location.object()?;
            let connection = Connection::new(&args.connection)?;
            transfer::to_stdout(&connection, bucket, key).await
        }
        ClientCommand::Stat(args) => list::stat(&args).await,
    }
}
