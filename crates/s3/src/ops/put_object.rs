//! `PutObject`.

use s3s::S3Response;
use s3s::dto::{PutObjectInput, PutObjectOutput};
use strongroom_objects::request::PutRequest;

use super::common::{expiration_of_written, refuse_acl};
use super::object_lock;
use super::take::{meta_headers, write_headers};
use crate::checksum::{self, Trailing, answer_checksums, checksum_out};
use crate::convert;
use crate::error::{ApiError, Subject, answer};
use crate::face::{Answer, Call};
use crate::sse::{self, answer_sse};
use crate::wire::content::{content, content_of_form};

pub(crate) async fn run(mut call: Call, input: PutObjectInput) -> Answer<PutObjectOutput> {
    refuse_acl(input.acl.as_ref().map(|acl| acl.as_str()), &call.headers)?;
    call.require_length()?;
    let locks = object_lock::of_headers(&call.headers)?;
    if !call.state().is_form() {
        object_lock::require_digest(&call.headers)?;
    }
    if input.write_offset_bytes.is_some() {
        return Err(ApiError::not_implemented("Appending to objects is not implemented."));
    }
    let sse = write_headers!(input);
    let meta = meta_headers!(input);
    let key = input.key.clone();
    let mut request = PutRequest {
        bucket: convert::bucket_name(&input.bucket)?,
        name: convert::object_name(input.key)?,
        content: match call.state().is_form() {
            true => content_of_form(input.body),
            false => {
                let trailing = Trailing::of(&call.headers, call.trailers.as_ref())?;
                content(input.body, input.content_length, &call.headers, trailing)?
            }
        },
        meta: convert::object_meta(meta, locks, &call.headers)?,
        sse: sse::write_request(sse, call.sse_setting(&input.bucket))?,
        conditions: convert::write_conditions(&call.headers)?,
        checksums: checksum::upload_request(&call.headers, call.trailers.take())?,
        content_md5: checksum::content_md5(input.content_md5.as_deref())?,
    };
    request.sse = call.authorise_write(&request.bucket, &request.name, request.sse)?;
    let named = (request.bucket.clone(), request.name.clone());
    let stored = call
        .objects()
        .put(request)
        .await
        .map_err(|error| answer(&error, Subject { key: Some(&key), ..Subject::default() }))?;
    let mut output = PutObjectOutput {
        expiration: expiration_of_written(&call, &named, &stored),
        e_tag: Some(convert::etag_out(&stored.etag)),
        version_id: convert::version_out(stored.version),
        checksum_type: stored.checksums.first().map(|checksum| checksum::kind_out(checksum.kind)),
        ..PutObjectOutput::default()
    };
    answer_sse!(output, &stored.sse, with context);
    let others = answer_checksums!(output, checksum_out(&stored.checksums));
    Ok(S3Response::with_headers(output, others.headers()))
}
