//! `GetObject`.

use futures::StreamExt;
use http::header::EXPIRES;
use http_body::Frame;
use http_body_util::StreamBody;
use s3s::dto::{GetObjectInput, GetObjectOutput, StreamingBlob};
use s3s::{Body, S3Response};
use strongroom_objects::{ObjectBody, ObjectError};

use super::common::{Asked, answer_info, expiration, further_headers, tag_count};
use super::object_lock;
use super::take::read_headers;
use crate::convert;
use crate::error::{Subject, answer, log_failure};
use crate::face::{Answer, Call};
use crate::request::RequestState;

/// Not an `async fn`: what the library took from the request is far more than the little that is left of it, and would be moved
/// with the work each time that it is.
pub(crate) fn run(call: Call, input: GetObjectInput) -> impl Future<Output = Answer<GetObjectOutput>> {
    let by_part = input.part_number.is_some();
    let with_expires = input.response_expires.is_none();
    let (with_checksums, range, read) = read_headers!(input);
    let request = read.into_request(&call);
    async move {
        let request = request?;
        let is_current = request.version.is_none();
        let named = (request.bucket.clone(), request.name.clone());
        let mut found = call
            .objects()
            .get(request)
            .await
            .map_err(|error| answer(&error, Subject { range: range.as_deref(), ..Subject::default() }))?;
        // Nothing has been sent yet.
        call.authorise_found(&found.info.meta.tags)?;
        call.authorise_read(&named.0, &named.1, &found.info.sse)?;
        object_lock::hide(&call, (named.0.as_str(), named.1.as_str()), &mut found.info);
        let asked = Asked { by_part, answered: found.range };
        let mut headers = further_headers(&found.info, with_expires);
        headers.extend(call.expires_answered.clone().map(|expires| (EXPIRES, expires)));
        let mut output = GetObjectOutput {
            content_length: Some(convert::size_out(found.body.length())),
            expiration: expiration(&call, is_current.then_some(&named), &found.info),
            tag_count: tag_count(&found.info.meta),
            body: Some(blob(found.body, call.state().clone())),
            ..GetObjectOutput::default()
        };
        let with_checksums = with_checksums && (asked.whole() || found.info.part_checksum.is_some());
        answer_info!(output, found.info, asked, with_checksums).put_into(&mut headers);
        Ok(S3Response::with_headers(output, headers))
    }
}

/// The content as the library takes it. An error in the middle cuts the connection: the client sees that bytes are
/// missing, and the operator sees why.
fn blob(body: ObjectBody, state: RequestState) -> StreamingBlob {
    let body = match body.into_ready() {
        Ok(bytes) => return StreamingBlob::from(Body::from(bytes)),
        Err(body) => body,
    };
    let frames = body.map(move |piece| match piece {
        Ok(bytes) => Ok(Frame::data(bytes)),
        Err(error) => {
            state.span().in_scope(|| log_failure(&error));
            Err(Cut(error))
        }
    });
    StreamingBlob::from(Body::http_body_unsync(StreamBody::new(frames)))
}

/// The answer ended before its end.
#[derive(Debug, thiserror::Error)]
#[error("the object could not be read to its end")]
struct Cut(#[source] ObjectError);
