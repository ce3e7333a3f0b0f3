//! `admin bucket`.

use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use strongroom_api::rest::{Encryption, EncryptionAlgorithm, SetEncryption};

use super::answer::{Output, facts};
use super::connection::{Connection, IfMatch, Versioned};
use super::error::AdminFailure;

#[derive(Debug, Subcommand)]
pub(super) enum BucketCommand {
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
    let BucketCommand::Encryption(command) = command;
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
