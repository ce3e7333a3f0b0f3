//! `GetObjectTagging`, `PutObjectTagging`, `DeleteObjectTagging`.

use s3s::S3Response;
use s3s::dto::*;
use strongroom_objects::Tags;

use crate::convert;
use crate::error::ApiError;
use crate::face::{Answer, Call};

pub(crate) async fn get(call: Call, input: GetObjectTaggingInput) -> Answer<GetObjectTaggingOutput> {
    let (bucket, name) = (convert::bucket_name(&input.bucket)?, convert::object_name(input.key)?);
    let version = convert::version_in(input.version_id.as_deref())?;
    let found = call.objects().object_tags(&bucket, &name, version).await?;
    call.authorise_found(&found.tags)?;
    let tag_set =
        found.tags.into_iter().map(|(key, value)| Tag { key: Some(key), value: Some(value) }).collect();
    Ok(S3Response::new(GetObjectTaggingOutput { tag_set, version_id: convert::version_out(found.version) }))
}

pub(crate) async fn put(call: Call, input: PutObjectTaggingInput) -> Answer<PutObjectTaggingOutput> {
    let (bucket, name) = (convert::bucket_name(&input.bucket)?, convert::object_name(input.key)?);
    let version = convert::version_in(input.version_id.as_deref())?;
    let tags = input
        .tagging
        .tag_set
        .into_iter()
        .map(|tag| Some((tag.key?, tag.value?)))
        .collect::<Option<Tags>>()
        .ok_or_else(ApiError::malformed_xml)?;
    let version = call.objects().set_object_tags(&bucket, &name, version, tags).await?;
    Ok(S3Response::new(PutObjectTaggingOutput { version_id: convert::version_out(version) }))
}

pub(crate) async fn delete(call: Call, input: DeleteObjectTaggingInput) -> Answer<DeleteObjectTaggingOutput> {
    let (bucket, name) = (convert::bucket_name(&input.bucket)?, convert::object_name(input.key)?);
    let version = convert::version_in(input.version_id.as_deref())?;
    let version = call.objects().set_object_tags(&bucket, &name, version, Tags::new()).await?;
    Ok(S3Response::new(DeleteObjectTaggingOutput { version_id: convert::version_out(version) }))
}
