//! `GetBucketOwnershipControls`, `PutBucketOwnershipControls`, `DeleteBucketOwnershipControls`.
//!
//! Objects belong to the bucket's owner and access control lists grant nothing: AWS's BucketOwnerEnforced, its default since
//! 2023. Other settings would promise lists that are not there. Removing the setting changes what is shown and no more.

use s3s::S3Response;
use s3s::dto::*;
use serde::{Deserialize, Serialize};
use strongroom_objects::DocumentKind;

use super::json;
use crate::convert;
use crate::error::ApiError;
use crate::face::{Answer, Call};

/// Whether these bytes are the document, for tests with mangled ones.
#[cfg(feature = "fuzzing")]
pub(crate) fn is_document(bytes: &[u8]) -> bool {
    let Ok(document) = serde_json::from_slice::<Ownership>(bytes) else { return false };
    let again = serde_json::to_vec(&document).unwrap_or_default();
    assert_eq!(serde_json::from_slice(&again).ok(), Some(document), "it says the same again");
    true
}

/// The document. No document is a bucket as it was made: BucketOwnerEnforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Ownership {
    BucketOwnerEnforced,
    /// The client removed it.
    Removed,
}

pub(crate) async fn get(
    call: Call,
    input: GetBucketOwnershipControlsInput,
) -> Answer<GetBucketOwnershipControlsOutput> {
    let bucket = convert::bucket_name(&input.bucket)?;
    let set = call.objects().bucket_document_json::<Ownership>(&bucket, DocumentKind::OwnershipControls)?;
    if set.is_some_and(|set| *set == Ownership::Removed) {
        return Err(ApiError::no_configuration(
            "OwnershipControlsNotFoundError",
            "The bucket ownership controls were not found",
            &input.bucket,
        ));
    }
    let object_ownership = ObjectOwnership::from_static(ObjectOwnership::BUCKET_OWNER_ENFORCED);
    let ownership_controls =
        Some(OwnershipControls { rules: vec![OwnershipControlsRule { object_ownership }] });
    Ok(S3Response::new(GetBucketOwnershipControlsOutput { ownership_controls }))
}

pub(crate) async fn put(
    call: Call,
    input: PutBucketOwnershipControlsInput,
) -> Answer<PutBucketOwnershipControlsOutput> {
    let [rule] = input.ownership_controls.rules.as_slice() else { return Err(ApiError::malformed_xml()) };
    match rule.object_ownership.as_str() {
        ObjectOwnership::BUCKET_OWNER_ENFORCED => {}
        ObjectOwnership::BUCKET_OWNER_PREFERRED | ObjectOwnership::OBJECT_WRITER => {
            return Err(ApiError::not_implemented(
                "Object ownership other than BucketOwnerEnforced is not implemented: buckets have no ACLs.",
            ));
        }
        _ => return Err(ApiError::malformed_xml()),
    }
    set(&call, &input.bucket, Ownership::BucketOwnerEnforced).await?;
    Ok(S3Response::new(PutBucketOwnershipControlsOutput::default()))
}

pub(crate) async fn delete(
    call: Call,
    input: DeleteBucketOwnershipControlsInput,
) -> Answer<DeleteBucketOwnershipControlsOutput> {
    set(&call, &input.bucket, Ownership::Removed).await?;
    Ok(S3Response::new(DeleteBucketOwnershipControlsOutput::default()))
}

async fn set(call: &Call, bucket: &str, ownership: Ownership) -> Result<(), ApiError> {
    let bucket = convert::bucket_name(bucket)?;
    let kind = DocumentKind::OwnershipControls;
    Ok(call.objects().set_bucket_document(&bucket, kind, Some(json(&ownership))).await?)
}
