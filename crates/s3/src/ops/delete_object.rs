//! `DeleteObject`.

use s3s::S3Response;
use s3s::dto::{DeleteObjectInput, DeleteObjectOutput};
use strongroom_objects::request::DeleteRequest;

use crate::convert;
use crate::error::ApiError;
use crate::face::{Answer, Call};

pub(crate) async fn run(call: Call, input: DeleteObjectInput) -> Answer<DeleteObjectOutput> {
    if input.if_match_last_modified_time.is_some() || input.if_match_size.is_some() {
        return Err(ApiError::not_implemented(
            "Conditions on size or time of deletes are only for directory buckets, which are not implemented.",
        ));
    }
    let request = DeleteRequest {
        bucket: convert::bucket_name(&input.bucket)?,
        name: convert::object_name(input.key)?,
        version: convert::version_in(input.version_id.as_deref())?,
        if_match: convert::if_match(input.if_match),
    };
    let deleted = call.objects().delete(request).await?;
    Ok(S3Response::new(DeleteObjectOutput {
        delete_marker: Some(true).filter(|_| deleted.delete_marker),
        version_id: deleted.version.and_then(convert::version_out),
        ..DeleteObjectOutput::default()
    }))
}
