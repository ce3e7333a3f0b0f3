//! `DeleteObject`.

use s3s::S3Response;
use s3s::dto::{DeleteObjectInput, DeleteObjectOutput};
use strongroom_objects::request::DeleteRequest;

use super::common::delete_conditions;
use crate::convert;
use crate::face::{Answer, Call};

pub(crate) async fn run(call: Call, input: DeleteObjectInput) -> Answer<DeleteObjectOutput> {
    let bypass = call.bypasses_governance(&input.bucket, &input.key);
    let request = DeleteRequest {
        bucket: convert::bucket_name(&input.bucket)?,
        name: convert::object_name(input.key)?,
        version: convert::version_in(input.version_id.as_deref())?,
        conditions: delete_conditions(
            convert::if_match(input.if_match),
            input.if_match_size,
            input.if_match_last_modified_time,
            bypass,
        )?,
    };
    let deleted = call.objects().delete(request).await?;
    Ok(S3Response::new(DeleteObjectOutput {
        delete_marker: Some(true).filter(|_| deleted.delete_marker),
        version_id: convert::version_out(deleted.version),
        ..DeleteObjectOutput::default()
    }))
}
