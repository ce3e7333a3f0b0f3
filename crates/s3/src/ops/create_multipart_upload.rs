//! `CreateMultipartUpload`.

use s3s::S3Response;
use s3s::dto::{CreateMultipartUploadInput, CreateMultipartUploadOutput};
use strongroom_objects::request::CreateUpload;

use super::bucket_settings::lifecycle::abortion;
use super::common::refuse_acl;
use super::object_lock;
use super::take::{meta_headers, write_headers};
use crate::checksum;
use crate::convert;
use crate::error::ApiError;
use crate::face::{Answer, Call};
use crate::sse::{self, answer_sse};

pub(crate) async fn run(
    call: Call,
    input: CreateMultipartUploadInput,
) -> Answer<CreateMultipartUploadOutput> {
    refuse_acl(input.acl.as_ref().map(|acl| acl.as_str()), &call.headers)?;
    let locks = object_lock::of_headers(&call.headers)?;
    let sse = write_headers!(input);
    let meta = meta_headers!(input);
    let kind = checksum::kind(input.checksum_type.as_ref())?;
    let algorithm = input
        .checksum_algorithm
        .as_ref()
        .map(|algorithm| checksum::algorithm("x-amz-checksum-algorithm", algorithm.as_str()))
        .transpose()?;
    if kind.is_some() && algorithm.is_none() {
        return Err(ApiError::invalid_request(
            "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
        ));
    }
    let mut request = CreateUpload {
        bucket: convert::bucket_name(&input.bucket)?,
        name: convert::object_name(input.key.clone())?,
        meta: convert::object_meta(meta, locks, &call.headers)?,
        sse: sse::write_request(sse, call.sse_setting(&input.bucket))?,
        checksum: algorithm.map(|algorithm| (algorithm, kind)),
    };
    request.sse = call.authorise_write(&request.bucket, &request.name, request.sse)?;
    let (bucket, name) = (request.bucket.clone(), request.name.clone());
    let begun = call.objects().create_upload(request).await?;
    let (abort_date, abort_rule_id) = abortion(&call, &bucket, &name, begun.upload).unzip();
    let mut output = CreateMultipartUploadOutput {
        abort_date,
        abort_rule_id,
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(begun.upload.to_string()),
        // Only what was asked for is told, as on AWS.
        checksum_algorithm: begun
            .checksum
            .filter(|_| algorithm.is_some())
            .map(|(algorithm, _)| checksum::algorithm_out(algorithm)),
        checksum_type: begun
            .checksum
            .filter(|_| algorithm.is_some())
            .map(|(_, kind)| checksum::kind_out(kind)),
        ..CreateMultipartUploadOutput::default()
    };
    answer_sse!(output, &begun.sse, with context);
    Ok(S3Response::new(output))
}
