//! `PostObject`: an upload by an HTML form, signed through the policy document that stands in it.
//!
//! AWS, "POST Object" and "Authenticating requests in browser-based uploads using POST". The form's fields become the
//! headers of a `PutObject` whose signature is known to be right already; that request goes the way of all others, so
//! authorisation, encryption, checksums and errors are the same. What it answers is put into the form's words.
//! The file is never held: it streams from the form into the object.

mod fields;
mod policy;
mod put;
mod reply;
mod signature;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Uri, header};
use http_body::Frame;
use http_body_util::StreamBody;
use s3s::Body;
use strongroom_iam::Iam;
use time::OffsetDateTime;

pub(crate) use self::fields::{FileSize, Form};
pub(crate) use self::reply::Reply;
use crate::error::ApiError;
use crate::lenient::Verified;
use crate::options::S3Options;
use crate::request::RequestState;

/// Whether this is the content type of a form with a file.
pub(crate) fn is_form(headers: &HeaderMap) -> bool {
    content_type(headers)
        .is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("multipart/form-data"))
}

/// Whether a request is about a bucket and no object in it, by its path or its host.
pub(crate) fn is_bucket(uri: &Uri, headers: &HeaderMap, domains: &[String]) -> bool {
    put::Target::of(uri, headers, domains).is_ok_and(|target| target.is_all_of(uri.path()))
}

fn content_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::CONTENT_TYPE)?.to_str().ok()
}

/// Reads the form up to its file, checks who signed it for what, and makes it a `PutObject`. With it comes what the
/// answer will need.
pub(crate) async fn as_put(
    request: Request<Body>,
    state: &RequestState,
    iam: &Iam,
    options: &S3Options,
) -> Result<(Request<Body>, Reply), ApiError> {
    state.set_operation("PostObject");
    state.set_form();
    let (head, body) = request.into_parts();
    if head.headers.contains_key(header::AUTHORIZATION) {
        return Err(ApiError::invalid_argument("Authorization", "", "Unsupported Authorization Type"));
    }
    let target = put::Target::of(&head.uri, &head.headers, &options.domains)?;
    let kind = content_type(&head.headers).unwrap_or_default();
    let form = Form::read(kind, body).await?;
    let signer = signature::check(&form, state, iam)?;
    if let Some(token) = form.field("x-amz-security-token") {
        state.set_session_token(token);
    }
    let size = match (&signer, form.field("policy")) {
        // Without a signature only a bucket's own policy decides, and a policy document of the client binds nobody.
        (None, _) | (_, None) => FileSize::default(),
        (Some(_), Some(document)) => {
            policy::check(document, &form, target.bucket(), OffsetDateTime::now_utc())?
        }
    };
    let reply = Reply::of(&form, &target, state.secure(), &head.headers);
    let (mut put, file) = put::request(form, &target, &head)?;
    if let Some(access_key) = signer {
        let verified = Verified {
            access_key: Some(access_key),
            trailers: None,
            expires: None,
            expires_answered: None,
            customer_keys_blocked: None,
            named_parts: None,
        };
        put.extensions_mut().insert(verified);
    }
    put.extensions_mut().insert(state.clone());
    let body = futures::StreamExt::map(file.limited(size), |piece| piece.map(Frame::<Bytes>::data));
    Ok((put.map(|()| Body::http_body_unsync(StreamBody::new(body))), reply))
}

/// Reads all that stands in a form, for tests with mangled ones.
#[cfg(feature = "fuzzing")]
pub(crate) fn try_all(form: Form) -> bool {
    let Ok(uri) = "/bucket".parse() else { return false };
    let Ok(target) = put::Target::of(&uri, &HeaderMap::new(), &[]) else { return false };
    let policy = form.field("policy").map_or(Ok(FileSize::default()), |document| {
        policy::check(document, &form, "b", OffsetDateTime::UNIX_EPOCH)
    });
    let (head, ()) = Request::new(()).into_parts();
    policy.is_ok() && put::request(form, &target, &head).is_ok()
}

/// `InvalidPolicyDocument` and its relatives: what AWS says of forms that break their own rules.
fn against_policy(what: impl std::fmt::Display) -> ApiError {
    ApiError::access_denied(format!("Invalid according to Policy: {what}"))
}

/// A form that cannot be read.
fn malformed(message: &'static str) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "MalformedPOSTRequest", message)
}
