//! `admin bucket`.

use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use strongroom_api::rest::{
    Bucket, BucketList, BucketVersioning, Encryption, EncryptionAlgorithm, NewBucket, SetEncryption,
};

use super::answer::{Done, Output, facts};
use super::connection::{Connection, IfMatch, Versioned};
use super::error::AdminFailure;
use super::table::{Side, Table};

#[derive(Debug, Subcommand)]
pub(super) enum BucketCommand {
    /// Make a bucket
    Create(BucketArgs),
    /// Show all buckets
    List,
    /// Show one bucket
    Show(BucketArgs),
    /// Delete a bucket that is empty, and the key of everything that was in it
    Delete(BucketArgs),
    /// What objects get that ask for no encryption
    #[command(subcommand)]
    Encryption(EncryptionCommand),
}

#[derive(Debug, Subcommand)]
pub(super) enum EncryptionCommand {
    /// Show it
    Get(BucketArgs),
    /// Set it, for objects that are stored from now on
    Set(SetArgs),
    /// Return to the default, SSE-S3
    Reset(ResetArgs),
}

#[derive(Debug, Args)]
pub(super) struct BucketArgs {
    /// The bucket
    #[arg(value_name = "BUCKET")]
    bucket: String,
}

#[derive(Debug, Args)]
pub(super) struct ResetArgs {
    /// The bucket
    #[arg(value_name = "BUCKET")]
    bucket: String,
    #[command(flatten)]
    if_match: IfMatch,
}

#[derive(Debug, Args)]
pub(super) struct SetArgs {
    /// The bucket
    #[arg(value_name = "BUCKET")]
    bucket: String,
    /// How objects' keys are kept [default: aws:kms if a key is named, else AES256]
    #[arg(long, value_name = "ALGORITHM", value_enum)]
    algorithm: Option<Algorithm>,
    /// The key of the KMS [default: the KMS's default key]
    #[arg(long, value_name = "ID")]
    kms_key_id: Option<String>,
    /// Ask the KMS once for many objects of the bucket
    #[arg(long)]
    bucket_key: bool,
    /// Refuse objects under keys of the clients (SSE-C), or take them again [default: as it is]
    #[arg(long, value_name = "BOOL")]
    block_customer_keys: Option<bool>,
    #[command(flatten)]
    if_match: IfMatch,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Algorithm {
    /// SSE-S3: under a key of the bucket
    #[value(name = "AES256")]
    Aes256,
    /// SSE-KMS: under a key of the KMS
    #[value(name = "aws:kms")]
    Kms,
    /// DSSE-KMS: two layers, each under a key of the KMS
    #[value(name = "aws:kms:dsse")]
    Dsse,
}

pub(super) async fn run(
    door: &Connection,
    output: Output,
    command: BucketCommand,
) -> Result<(), AdminFailure> {
    match command {
        BucketCommand::Create(BucketArgs { bucket }) => {
            let made: Bucket =
                door.call(Method::POST, &["buckets"], Some(&NewBucket { name: bucket })).await?;
            output.show(&made, |made| format!("bucket {} made\n", made.name))
        }
        BucketCommand::List => {
            let list: BucketList = door.get_all(&["buckets"]).await?;
            output.show(&list, |list| table(&list.buckets))
        }
        BucketCommand::Show(BucketArgs { bucket }) => {
            let bucket: Bucket = door.get(&["buckets", &bucket]).await?;
            output.show(&bucket, |bucket| {
                facts(&[
                    ("bucket", bucket.name.clone()),
                    ("versioning", versioning(bucket)),
                    ("encryption", algorithm(bucket)),
                    ("created", bucket.created.clone()),
                ])
            })
        }
        BucketCommand::Delete(BucketArgs { bucket }) => {
            door.carry_out(Method::DELETE, &["buckets", &bucket]).await?;
            output.show(&Done { done: "deleted", what: "bucket", name: &bucket }, Done::words)
        }
        BucketCommand::Encryption(command) => encryption(door, output, command).await,
    }
}

async fn encryption(
    door: &Connection,
    output: Output,
    command: EncryptionCommand,
) -> Result<(), AdminFailure> {
    let holds: Versioned<Encryption> = match command {
        EncryptionCommand::Get(BucketArgs { bucket }) => {
            door.get_versioned(&["buckets", &bucket, "encryption"]).await?
        }
        EncryptionCommand::Set(args) => {
            let set = SetEncryption {
                enabled: true,
                algorithm: args.algorithm.map(|algorithm| match algorithm {
                    Algorithm::Aes256 => EncryptionAlgorithm::Aes256,
                    Algorithm::Kms => EncryptionAlgorithm::Kms,
                    Algorithm::Dsse => EncryptionAlgorithm::Dsse,
                }),
                kms_key_id: args.kms_key_id,
                bucket_key_enabled: Some(args.bucket_key),
                customer_keys_blocked: args.block_customer_keys,
            };
            let path = ["buckets", &args.bucket, "encryption"];
            door.change(Method::PUT, &path, &args.if_match, Some(&set)).await?
        }
        EncryptionCommand::Reset(ResetArgs { bucket, if_match }) => {
            let path = ["buckets", &bucket, "encryption"];
            door.change(Method::DELETE, &path, &if_match, None::<&()>).await?
        }
    };
    output.show(&holds, words)
}

fn table(buckets: &[Bucket]) -> String {
    let mut table = Table::new([
        ("BUCKET", Side::Left),
        ("VERSIONING", Side::Left),
        ("ENCRYPTION", Side::Left),
        ("CREATED", Side::Left),
    ]);
    for bucket in buckets {
        table.row([bucket.name.clone(), versioning(bucket), algorithm(bucket), bucket.created.clone()]);
    }
    table.render()
}

/// What the caller may not know is not told.
const HIDDEN: &str = "-";

fn versioning(bucket: &Bucket) -> String {
    let words = match bucket.versioning {
        None => HIDDEN,
        Some(BucketVersioning::Off) => "off",
        Some(BucketVersioning::Enabled) => "enabled",
        Some(BucketVersioning::Suspended) => "suspended",
        Some(_) => "other",
    };
    words.to_owned()
}

fn algorithm(bucket: &Bucket) -> String {
    let words = match bucket.encryption.as_ref().map(|encryption| encryption.algorithm) {
        None => HIDDEN,
        Some(EncryptionAlgorithm::Aes256) => "AES256",
        Some(EncryptionAlgorithm::Kms) => "aws:kms",
        Some(EncryptionAlgorithm::Dsse) => "aws:kms:dsse",
        Some(_) => "other",
    };
    words.to_owned()
}

fn words(holds: &Versioned<Encryption>) -> String {
    let encryption = &holds.value;
    let of_kms = || encryption.kms_key_id.clone().unwrap_or_else(|| "the KMS's default key".to_owned());
    let (algorithm, key) = match encryption.algorithm {
        EncryptionAlgorithm::Aes256 => ("AES256 (SSE-S3)", "of the bucket".to_owned()),
        EncryptionAlgorithm::Kms => ("aws:kms (SSE-KMS)", of_kms()),
        _ => ("aws:kms:dsse (DSSE-KMS)", of_kms()),
    };
    let asked = if encryption.bucket_key_enabled { "once for many objects" } else { "for each object" };
    let mut of = vec![("algorithm", algorithm.to_owned()), ("key", key)];
    if matches!(encryption.algorithm, EncryptionAlgorithm::Kms) {
        of.push(("KMS asked", asked.to_owned()));
    }
    if encryption.customer_keys_blocked {
        of.push(("SSE-C", "refused".to_owned()));
    }
    of.extend(holds.version.clone().map(|version| ("version", version)));
    facts(&of)
}
