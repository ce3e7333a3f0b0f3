//! `AbortMultipartUpload`.

use s3s::S3Response;
use s3s::dto::{AbortMultipartUploadInput, AbortMultipartUploadOutput};

use crate::convert;
use crate::error::ApiError;
use crate::face::{Answer, Call};

pub(crate) async fn run(call: Call, input: AbortMultipartUploadInput) -> Answer<AbortMultipartUploadOutput> {
    if input.if_match_initiated_time.is_some() {
        return Err(ApiError::not_implemented(
            "Conditions on the time an upload began are only for directory buckets, which are not implemented.",
        ));
    }
    let (bucket, name) = (convert::bucket_name(&input.bucket)?, convert::object_name(input.key)?);
    let upload = call.upload_id(&bucket, &input.upload_id).await?;
    call.objects().abort_upload(&bucket, &name, upload).await?;
    Ok(S3Response::new(AbortMultipartUploadOutput::default()))
}
