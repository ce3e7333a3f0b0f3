//! `CompleteMultipartUpload`.

use http::header::HOST;
use s3s::dto::{CompleteMultipartUploadInput, CompleteMultipartUploadOutput};
use strongroom_objects::request::{CompleteUpload, CompletedPart};

use super::common::expiration_of_written;
use super::take::customer_headers;
use crate::checksum::{self, answer_checksums, checksum_out};
use crate::checksum_document::{self, NamedPart};
use crate::convert;
use crate::error::{ApiError, Subject, answer};
use crate::face::{Answer, Call};
use crate::sse::{self, Use};

/// Most parts of an object (AWS).
const PARTS_MAX: usize = 10_000;

pub(crate) async fn run(
    mut call: Call,
    input: CompleteMultipartUploadInput,
) -> Answer<CompleteMultipartUploadOutput> {
    let of_library = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
    let named: Vec<NamedPart> =
        call.named_parts.take().unwrap_or_else(|| of_library.into_iter().map(NamedPart::from).collect());
    if named.is_empty() || named.len() > PARTS_MAX {
        return Err(ApiError::malformed_xml());
    }
    let parts = named.into_iter().map(part_in).collect::<Result<Vec<_>, _>>()?;
    let customer = customer_headers!(input);
    let bucket = convert::bucket_name(&input.bucket)?;
    let request = CompleteUpload {
        name: convert::object_name(input.key.clone())?,
        upload: call.upload_id(&bucket, &input.upload_id).await?,
        bucket,
        parts,
        conditions: convert::write_conditions(&call.headers)?,
        checksum: checksum::given(&call.headers)?,
        checksum_kind: checksum::kind(input.checksum_type.as_ref())?,
        size: input
            .mpu_object_size
            .map(|size| {
                u64::try_from(size).map_err(|_| {
                    ApiError::invalid_request(format!(
                        "Value for x-amz-mp-object-size header is less than zero: '{size}'"
                    ))
                })
            })
            .transpose()?,
        customer_key: sse::customer_key(customer, call.channel(), Use::Write)?,
    };
    match call.authorise_parts(&request.bucket, &request.name, request.upload).await {
        // It may have been completed already, by this very request; then nothing is encrypted any more.
        Err(error) if error.code == "NoSuchUpload" => {}
        other => other?,
    }
    let named = (request.bucket.clone(), request.name.clone());
    let stored = call
        .objects()
        .complete_upload(request)
        .await
        .map_err(|error| answer(&error, Subject { key: Some(&input.key), ..Subject::default() }))?;
    let reply = sse::reply(&stored.sse);
    let mut output = CompleteMultipartUploadOutput {
        location: Some(location(&call, &input.bucket, &input.key)),
        bucket: Some(input.bucket),
        key: Some(input.key),
        e_tag: Some(convert::etag_out(&stored.etag)),
        expiration: expiration_of_written(&call, &named, &stored),
        checksum_type: stored.checksums.first().map(|checksum| checksum::kind_out(checksum.kind)),
        server_side_encryption: reply.method,
        ssekms_key_id: reply.kms_key_id,
        bucket_key_enabled: reply.bucket_key,
        version_id: convert::version_out(stored.version),
        ..CompleteMultipartUploadOutput::default()
    };
    let others = answer_checksums!(output, checksum_out(&stored.checksums));
    let own = others.document("CompleteMultipartUploadResult", &output);
    Ok(checksum_document::answer(output, own))
}

fn part_in(part: NamedPart) -> Result<CompletedPart, ApiError> {
    let checksum = checksum::completed(&part)?;
    let (Some(number), Some(etag)) = (part.number, part.etag) else {
        return Err(ApiError::malformed_xml());
    };
    if number < 1 {
        return Err(ApiError::invalid_argument("PartNumber", number, "PartNumber must be >= 1"));
    }
    Ok(CompletedPart { part: convert::part_number(number)?, etag: etag.into_value(), checksum })
}

/// Where the object can be had, as the client addressed it.
fn location(call: &Call, bucket: &str, key: &str) -> String {
    let scheme = if call.secure() { "https" } else { "http" };
    let host = call.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let url = s3s::dto::EncodingType::from_static(s3s::dto::EncodingType::URL);
    let key = convert::listed(key, Some(&url)).replace('+', "%20");
    if host.starts_with(&format!("{bucket}.")) {
        format!("{scheme}://{host}/{key}")
    } else {
        format!("{scheme}://{host}/{bucket}/{key}")
    }
}
