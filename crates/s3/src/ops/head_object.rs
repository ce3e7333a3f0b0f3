//! `HeadObject`.

use http::StatusCode;
use http::header::EXPIRES;
use s3s::S3Response;
use s3s::dto::{HeadObjectInput, HeadObjectOutput};

use super::common::{Asked, answer_info, expiration, further_headers, tag_count};
use super::object_lock;
use super::take::read_headers;
use crate::convert;
use crate::error::{Subject, answer};
use crate::face::{Answer, Call, OtherStatus};

pub(crate) async fn run(call: Call, input: HeadObjectInput) -> Answer<HeadObjectOutput> {
    let by_part = input.part_number.is_some();
    let (with_checksums, range, read) = read_headers!(input);
    let request = read.into_request(&call)?;
    let is_current = request.version.is_none();
    let named = (request.bucket.clone(), request.name.clone());
    let mut found = call
        .objects()
        .head(request)
        .await
        .map_err(|error| answer(&error, Subject { range: range.as_deref(), ..Subject::default() }))?;
    call.authorise_found(&found.info.meta.tags)?;
    // A checksum says something of the content, so it is for those alone who may read it.
    if with_checksums {
        call.authorise_read(&named.0, &named.1, &found.info.sse)?;
    }
    object_lock::hide(&call, (named.0.as_str(), named.1.as_str()), &mut found.info);
    let asked = Asked { by_part, answered: found.range };
    let mut headers = further_headers(&found.info, input.response_expires.is_none());
    headers.extend(call.expires_answered.clone().map(|expires| (EXPIRES, expires)));
    if let Some(count) = tag_count(&found.info.meta) {
        headers.insert("x-amz-tagging-count", count.into());
    }
    let mut output = HeadObjectOutput {
        expiration: expiration(&call, is_current.then_some(&named), &found.info),
        content_length: Some(convert::size_out(found.length)),
        ..HeadObjectOutput::default()
    };
    let with_checksums = with_checksums && (asked.whole() || found.info.part_checksum.is_some());
    let partial = asked.answered.is_some();
    answer_info!(output, found.info, asked, with_checksums).put_into(&mut headers);
    override_with(&mut output.content_type, input.response_content_type);
    override_with(&mut output.content_encoding, input.response_content_encoding);
    override_with(&mut output.content_language, input.response_content_language);
    override_with(&mut output.content_disposition, input.response_content_disposition);
    override_with(&mut output.cache_control, input.response_cache_control);
    output.expires = input.response_expires;
    let mut response = S3Response::with_headers(output, headers);
    if partial {
        response.extensions.insert(OtherStatus(StatusCode::PARTIAL_CONTENT));
    }
    Ok(response)
}

fn override_with(stored: &mut Option<String>, asked: Option<String>) {
    if asked.is_some() {
        *stored = asked;
    }
}
