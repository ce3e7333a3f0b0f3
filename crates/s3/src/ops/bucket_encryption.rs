//! `PutBucketEncryption`, `GetBucketEncryption`, `DeleteBucketEncryption`.
//!
//! AWS S3 API Reference, "PutBucketEncryption"; the answers to wrong documents are those that AWS was seen to give.

use http::StatusCode;
use s3s::S3Response;
use s3s::dto::*;
use strongroom_objects::{BucketSettings, DefaultEncryption};

use crate::convert;
use crate::encryption_document::document;
use crate::error::ApiError;
use crate::face::{Answer, Call, OwnDocument};
use crate::sse::check_key_region;

/// Longest key id in bytes (AWS KMS, "GenerateDataKey"); what is stored of it has the same bound.
const KEY_ID_LEN_MAX: usize = 2048;

pub(crate) async fn get(call: Call, input: GetBucketEncryptionInput) -> Answer<GetBucketEncryptionOutput> {
    let settings = call.objects().bucket_settings(&convert::bucket_name(&input.bucket)?)?;
    let rule = rule(&settings);
    let mut response = S3Response::new(GetBucketEncryptionOutput {
        server_side_encryption_configuration: Some(ServerSideEncryptionConfiguration {
            rules: vec![rule.clone()],
        }),
    });
    let blocked = match (settings.customer_keys_blocked, settings.nothing_blocked) {
        (true, _) => Some(true),
        (false, true) => Some(false),
        (false, false) => None,
    };
    if let Some(blocked) = blocked {
        // The library does not know this element.
        response.extensions.insert(OwnDocument(document(&rule, blocked).into()));
    }
    Ok(response)
}

pub(crate) async fn put(call: Call, input: PutBucketEncryptionInput) -> Answer<PutBucketEncryptionOutput> {
    let bucket = convert::bucket_name(&input.bucket)?;
    // A bucket that is not there is told first, as AWS does.
    call.objects().bucket_settings(&bucket)?;
    let encryption = encryption(input.server_side_encryption_configuration, call.region())?;
    let blocked = call.customer_keys_blocked;
    let change = move |settings: &mut BucketSettings| {
        settings.encryption = encryption;
        // A client that does not know of it leaves it as it is.
        if let Some(blocked) = blocked {
            (settings.customer_keys_blocked, settings.nothing_blocked) = (blocked, !blocked);
        }
    };
    call.objects().set_bucket_settings(&bucket, change).await?;
    Ok(S3Response::new(PutBucketEncryptionOutput {}))
}

pub(crate) async fn delete(
    call: Call,
    input: DeleteBucketEncryptionInput,
) -> Answer<DeleteBucketEncryptionOutput> {
    let bucket = convert::bucket_name(&input.bucket)?;
    let change = |settings: &mut BucketSettings| {
        settings.encryption = DefaultEncryption::default();
        (settings.customer_keys_blocked, settings.nothing_blocked) = (false, false);
    };
    call.objects().set_bucket_settings(&bucket, change).await?;
    Ok(S3Response::with_status(DeleteBucketEncryptionOutput {}, StatusCode::NO_CONTENT))
}

/// The only rule there is.
fn rule(settings: &BucketSettings) -> ServerSideEncryptionRule {
    let bucket_key = settings.encryption.bucket_key();
    let (method, kms_master_key_id) = match &settings.encryption {
        DefaultEncryption::S3 | DefaultEncryption::S3Set { .. } => (ServerSideEncryption::AES256, None),
        DefaultEncryption::Kms { key_id, .. } => (ServerSideEncryption::AWS_KMS, key_id.clone()),
        DefaultEncryption::Dsse { key_id, .. } => (ServerSideEncryption::AWS_KMS_DSSE, key_id.clone()),
    };
    ServerSideEncryptionRule {
        apply_server_side_encryption_by_default: Some(ServerSideEncryptionByDefault {
            kms_master_key_id,
            sse_algorithm: ServerSideEncryption::from_static(method),
        }),
        bucket_key_enabled: Some(bucket_key),
    }
}

/// What a document asks for.
fn encryption(
    configuration: ServerSideEncryptionConfiguration,
    region: &str,
) -> Result<DefaultEncryption, ApiError> {
    let Ok([rule]) = <[ServerSideEncryptionRule; 1]>::try_from(configuration.rules) else {
        return Err(ApiError::malformed_xml());
    };
    let bucket_key = rule.bucket_key_enabled.unwrap_or(false);
    // A rule may be about the rest alone. It takes the place of the one before, whose default is gone with it.
    let Some(default) = rule.apply_server_side_encryption_by_default else {
        return Ok(match bucket_key {
            true => DefaultEncryption::S3Set { bucket_key },
            false => DefaultEncryption::S3,
        });
    };
    let key_id = default.kms_master_key_id.filter(|id| !id.is_empty());
    if let Some(id) = &key_id {
        check_key_region(id, region)?;
        if id.len() > KEY_ID_LEN_MAX {
            return Err(ApiError::invalid_argument("KMSMasterKeyID", "", "The key id is too long."));
        }
    }
    match default.sse_algorithm.as_str() {
        ServerSideEncryption::AES256 if key_id.is_some() => Err(ApiError::invalid_argument(
            "ApplyServerSideEncryptionByDefault",
            "",
            "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse",
        )),
        ServerSideEncryption::AES256 => Ok(DefaultEncryption::S3Set { bucket_key }),
        ServerSideEncryption::AWS_KMS => Ok(DefaultEncryption::Kms { key_id, bucket_key }),
        ServerSideEncryption::AWS_KMS_DSSE => Ok(DefaultEncryption::Dsse { key_id, bucket_key }),
        _ => Err(ApiError::malformed_xml()),
    }
}
