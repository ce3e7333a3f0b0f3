//! `/buckets/{bucket}/encryption`: what objects get that ask for no encryption.

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use strongroom_iam::{Arn, Scope};
use strongroom_objects::{BucketSettings, DefaultEncryption};
use utoipa::ToSchema;

use super::Rest;
use super::caller::Caller;
use super::objects::bucket_name;
use super::openapi::{Conflict, Missing, PreconditionFailed, Refused};
use super::versioned::{Expected, Versioned};
use crate::refusal::{Body, Names, Refusal};

/// A bucket's default encryption.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Encryption {
    /// Always true: there is no way to store anything in the clear.
    pub enabled: bool,
    /// How objects' keys are kept.
    pub algorithm: EncryptionAlgorithm,
    /// The key of the KMS; left out, the KMS's default key, if the algorithm uses one at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
    /// Whether the KMS is asked once for many objects of the bucket that are under SSE-KMS.
    pub bucket_key_enabled: bool,
    /// Whether objects under keys of the clients (SSE-C) are refused.
    #[serde(default)]
    pub customer_keys_blocked: bool,
}

/// How objects' keys are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub enum EncryptionAlgorithm {
    /// SSE-S3: under a key of the bucket.
    #[serde(rename = "AES256")]
    Aes256,
    /// SSE-KMS: under a key of the KMS.
    #[serde(rename = "aws:kms")]
    Kms,
    /// DSSE-KMS: two layers, each under a key of the KMS.
    #[serde(rename = "aws:kms:dsse")]
    Dsse,
}

/// How a bucket's default encryption shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetEncryption {
    /// False returns to the default, SSE-S3, whatever else is said: nothing is ever stored in the clear.
    pub enabled: bool,
    /// How objects' keys are kept. Left out, or `AES256`, it is `aws:kms` if a key of the KMS is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<EncryptionAlgorithm>,
    /// The key of the KMS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
    /// Whether the KMS is asked once for many objects of the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket_key_enabled: Option<bool>,
    /// Whether objects under keys of the clients (SSE-C) shall be refused. Left out, it stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_keys_blocked: Option<bool>,
}

/// What is to be changed.
struct Change {
    encryption: DefaultEncryption,
    customer_keys_blocked: Option<bool>,
}

impl Encryption {
    pub(super) fn of(settings: &BucketSettings) -> Self {
        let (algorithm, kms_key_id) = match &settings.encryption {
            DefaultEncryption::S3 | DefaultEncryption::S3Set { .. } => (EncryptionAlgorithm::Aes256, None),
            DefaultEncryption::Kms { key_id, .. } => (EncryptionAlgorithm::Kms, key_id.clone()),
            DefaultEncryption::Dsse { key_id, .. } => (EncryptionAlgorithm::Dsse, key_id.clone()),
        };
        Self {
            enabled: true,
            algorithm,
            kms_key_id,
            bucket_key_enabled: settings.encryption.bucket_key(),
            customer_keys_blocked: settings.customer_keys_blocked,
        }
    }
}

impl SetEncryption {
    fn wanted(self) -> DefaultEncryption {
        if !self.enabled {
            return DefaultEncryption::S3;
        }
        let bucket_key = self.bucket_key_enabled.unwrap_or(false);
        match (self.algorithm, self.kms_key_id) {
            // Clients that name the cipher beside the key mean that key.
            (Some(EncryptionAlgorithm::Kms), key_id) => DefaultEncryption::Kms { key_id, bucket_key },
            (Some(EncryptionAlgorithm::Dsse), key_id) => DefaultEncryption::Dsse { key_id, bucket_key },
            (Some(EncryptionAlgorithm::Aes256) | None, Some(key_id)) => {
                DefaultEncryption::Kms { key_id: Some(key_id), bucket_key }
            }
            (Some(EncryptionAlgorithm::Aes256) | None, None) => DefaultEncryption::S3Set { bucket_key },
        }
    }
}

/// Show a bucket's default encryption
#[utoipa::path(get, path = "/api/v1/buckets/{bucket}/encryption", tag = "buckets",
    params(("bucket" = String, Path, description = "The bucket")),
    responses(
        (status = 200, description = "The default encryption", body = Encryption,
            headers(("ETag" = String, description = "Its version, for If-Match"))),
        Refused, Missing))]
pub(super) async fn get(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Names(bucket): Names<String>,
) -> Result<Versioned<Encryption>, Refusal> {
    let bucket = bucket_name(&bucket)?;
    let resource = Arn::bucket(bucket.as_str());
    rest.allow_in(
        &bucket,
        &caller,
        (Scope::BucketsRead, "s3:GetEncryptionConfiguration"),
        &resource,
        &caller.facts(),
    )?;
    let info = rest.0.objects.head_bucket(&bucket).await?;
    Ok(Versioned::of(Encryption::of(&info.settings)))
}

/// Set a bucket's default encryption
///
/// For objects that are stored from now on; those that are there keep theirs.
#[utoipa::path(put, path = "/api/v1/buckets/{bucket}/encryption", tag = "buckets",
    params(
        ("bucket" = String, Path, description = "The bucket"),
        ("If-Match" = Option<String>, Header, description = "Only if the version is this one"),
    ),
    request_body = SetEncryption,
    responses(
        (status = 200, description = "What holds now; durable", body = Encryption,
            headers(("ETag" = String, description = "Its version, for If-Match"))),
        Refused, Missing, PreconditionFailed, Conflict))]
pub(super) async fn put(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Names(bucket): Names<String>,
    headers: HeaderMap,
    Body(set): Body<SetEncryption>,
) -> Result<Versioned<Encryption>, Refusal> {
    let customer_keys_blocked = set.customer_keys_blocked;
    let change = Change { encryption: set.wanted(), customer_keys_blocked };
    rest.set_encryption(&caller, &bucket, &headers, change).await
}

/// Return a bucket to the default encryption, SSE-S3
#[utoipa::path(delete, path = "/api/v1/buckets/{bucket}/encryption", tag = "buckets",
    params(
        ("bucket" = String, Path, description = "The bucket"),
        ("If-Match" = Option<String>, Header, description = "Only if the version is this one"),
    ),
    responses(
        (status = 200, description = "What holds now; durable", body = Encryption,
            headers(("ETag" = String, description = "Its version, for If-Match"))),
        Refused, Missing, PreconditionFailed, Conflict))]
pub(super) async fn delete(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Names(bucket): Names<String>,
    headers: HeaderMap,
) -> Result<Versioned<Encryption>, Refusal> {
    // As S3 has it: all that is set here goes.
    let change = Change { encryption: DefaultEncryption::S3, customer_keys_blocked: Some(false) };
    rest.set_encryption(&caller, &bucket, &headers, change).await
}

impl Rest {
    async fn set_encryption(
        &self,
        caller: &Caller,
        bucket: &str,
        headers: &HeaderMap,
        change: Change,
    ) -> Result<Versioned<Encryption>, Refusal> {
        let bucket = bucket_name(bucket)?;
        let resource = Arn::bucket(bucket.as_str());
        self.allow_in(
            &bucket,
            caller,
            (Scope::BucketsWrite, "s3:PutEncryptionConfiguration"),
            &resource,
            &caller.facts(),
        )?;
        let expected = Expected::parse(headers)?;
        let Change { encryption, customer_keys_blocked } = change;
        if let DefaultEncryption::Kms { key_id: Some(key_id), .. }
        | DefaultEncryption::Dsse { key_id: Some(key_id), .. } = &encryption
        {
            self.check_key_region(key_id)?;
        }
        let objects = &self.0.objects;
        // A bucket that is not there is told first.
        objects.bucket_settings(&bucket)?;
        objects.check_default_encryption(&encryption).await?;
        // In one step with the look, so that no other change comes between, through whichever face.
        let change = move |settings: &mut BucketSettings| {
            expected.check(Some(&Versioned::of(Encryption::of(settings)).tag))?;
            settings.encryption = encryption;
            settings.customer_keys_blocked = customer_keys_blocked.unwrap_or(settings.customer_keys_blocked);
            Ok::<_, Refusal>(Versioned::of(Encryption::of(settings)))
        };
        objects.try_set_bucket_settings(&bucket, change).await?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(json: &str) -> DefaultEncryption {
        serde_json::from_str::<SetEncryption>(json).unwrap().wanted()
    }

    #[test]
    fn each_form_means_what_it_says() {
        let kms = |key_id: Option<&str>, bucket_key| DefaultEncryption::Kms {
            key_id: key_id.map(str::to_owned),
            bucket_key,
        };
        for (json, expected) in [
            (r#"{"enabled": true, "algorithm": "AES256", "kms_key_id": "k"}"#, kms(Some("k"), false)),
            (r#"{"enabled": true, "kms_key_id": "k"}"#, kms(Some("k"), false)),
            (r#"{"enabled": true, "algorithm": "aws:kms"}"#, kms(None, false)),
            (r#"{"enabled": true, "algorithm": "aws:kms", "bucket_key_enabled": true}"#, kms(None, true)),
            (
                r#"{"enabled": true, "algorithm": "aws:kms:dsse", "kms_key_id": "k"}"#,
                DefaultEncryption::Dsse { key_id: Some("k".into()), bucket_key: false },
            ),
            (r#"{"enabled": true, "algorithm": "AES256"}"#, DefaultEncryption::S3Set { bucket_key: false }),
            (
                r#"{"enabled": true, "bucket_key_enabled": true}"#,
                DefaultEncryption::S3Set { bucket_key: true },
            ),
            (r#"{"enabled": false, "algorithm": "aws:kms", "kms_key_id": "k"}"#, DefaultEncryption::S3),
        ] {
            assert_eq!(wanted(json), expected, "{json}");
        }
        assert!(serde_json::from_str::<SetEncryption>(r#"{"enabled": true, "key": "k"}"#).is_err());
    }
}
