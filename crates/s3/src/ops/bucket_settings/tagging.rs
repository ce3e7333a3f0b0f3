//! `GetBucketTagging`, `PutBucketTagging`, `DeleteBucketTagging`.

use http::StatusCode;
use s3s::S3Response;
use s3s::dto::*;
use strongroom_objects::Tags;

use crate::convert;
use crate::error::ApiError;
use crate::face::{Answer, Call};

pub(crate) async fn get(call: Call, input: GetBucketTaggingInput) -> Answer<GetBucketTaggingOutput> {
    let tags = call.objects().bucket_tags(&convert::bucket_name(&input.bucket)?)?;
    let Some(tags) = tags else {
        return Err(ApiError::no_configuration("NoSuchTagSet", "The TagSet does not exist", &input.bucket));
    };
    let tag_set = tags.into_iter().map(|(key, value)| Tag { key: Some(key), value: Some(value) }).collect();
    Ok(S3Response::new(GetBucketTaggingOutput { tag_set }))
}

pub(crate) async fn put(call: Call, input: PutBucketTaggingInput) -> Answer<PutBucketTaggingOutput> {
    let bucket = convert::bucket_name(&input.bucket)?;
    let tags = tags(input.tagging.tag_set)?;
    // No tags are no tag set, as after a delete.
    call.objects().set_bucket_tags(&bucket, Some(tags).filter(|tags| !tags.is_empty())).await?;
    Ok(S3Response::with_status(PutBucketTaggingOutput::default(), StatusCode::NO_CONTENT))
}

pub(crate) async fn delete(call: Call, input: DeleteBucketTaggingInput) -> Answer<DeleteBucketTaggingOutput> {
    call.objects().set_bucket_tags(&convert::bucket_name(&input.bucket)?, None).await?;
    Ok(S3Response::new(DeleteBucketTaggingOutput::default()))
}

/// A tag set as we hold it. Names and values must be there; what they may be, `objects` says.
pub(in crate::ops) fn tags(given: TagSet) -> Result<Tags, ApiError> {
    let tags = given.into_iter().map(|tag| Some((tag.key?, tag.value?))).collect::<Option<Tags>>();
    tags.ok_or_else(ApiError::malformed_xml)
}
