//! `PUT /buckets/{bucket}/objects/{key}`.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_LENGTH, ETAG};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, Stream};
use serde::{Deserialize, Serialize};
use strongroom_iam::{Arn, Scope};
use strongroom_objects::request::PutRequest;
use strongroom_objects::{ChecksumRequest, Content, ContentError, kms_key_id};
use tokio::time::timeout;
use utoipa::ToSchema;

use super::sse::{self, ObjectEncryption};
use super::{bucket_name, headers, json_time, object_name, quoted};
use crate::refusal::{Names, Refusal};
use crate::rest::Rest;
use crate::rest::caller::Caller;
use crate::rest::openapi::{Conflict, Missing, PreconditionFailed, Refused};

/// How long a client may send nothing of its content.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// An object that was stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoredObject {
    /// Its name.
    pub key: String,
    /// The entity tag, without quotes.
    pub etag: String,
    /// The version, if the bucket has versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The size in bytes.
    pub size: u64,
    /// When it was stored (RFC 3339).
    pub last_modified: String,
    /// How it is encrypted.
    pub encryption: ObjectEncryption,
}

/// Store an object
///
/// The body is the content, of any size up to 5 GiB. `Content-Type`, `Content-Encoding`, `Content-Language`,
/// `Content-Disposition`, `Cache-Control`, `Expires` and `x-amz-meta-*` are kept with it. Encryption is the bucket's, unless the
/// `x-amz-server-side-encryption*` headers ask for another, as in S3. Content-MD5 is checked.
#[utoipa::path(put, path = "/api/v1/buckets/{bucket}/objects/{key}", tag = "objects",
    params(
        ("bucket" = String, Path, description = "The bucket"),
        ("key" = String, Path, description = "The object's name; slashes need not be escaped"),
        ("If-Match" = Option<String>, Header, description = "Only if the current object has this entity tag"),
        ("If-None-Match" = Option<String>, Header, description = "`*`: only if there is no object of this name"),
        ("Content-MD5" = Option<String>, Header, description = "Base64 of the content's MD5, to be checked"),
        ("x-amz-server-side-encryption" = Option<String>, Header, description = "`AES256`, `aws:kms` or `aws:kms:dsse`"),
        ("x-amz-server-side-encryption-aws-kms-key-id" = Option<String>, Header, description = "The key of the KMS"),
        ("x-amz-server-side-encryption-context" = Option<String>, Header, description = "Base64 of JSON that is bound to the object's key"),
        ("x-amz-server-side-encryption-bucket-key-enabled" = Option<bool>, Header, description = "Whether a bucket key wraps the object's key"),
        ("x-amz-server-side-encryption-customer-algorithm" = Option<String>, Header, description = "`AES256`, with a key of the client's own"),
        ("x-amz-server-side-encryption-customer-key" = Option<String>, Header, description = "Base64 of that key"),
        ("x-amz-server-side-encryption-customer-key-MD5" = Option<String>, Header, description = "Base64 of its MD5"),
    ),
    request_body(content = String, content_type = "application/octet-stream", description = "The content"),
    responses(
        (status = 201, description = "Stored; durable", body = StoredObject),
        Refused, Missing, PreconditionFailed, Conflict,
        (status = 501, description = "Not supported", body = crate::rest::ErrorAnswer),
    ))]
pub(in crate::rest) async fn put(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Names((bucket, key)): Names<(String, String)>,
    request: Request,
) -> Result<Response, Refusal> {
    let (bucket, name) = (bucket_name(&bucket)?, object_name(key.clone())?);
    let (parts, body) = request.into_parts();
    headers::refuse_others(&parts.headers, &sse::WRITE)?;

    let mut facts = caller.facts();
    facts.set("s3:objectcreationoperation", "true");
    for (header, fact) in sse::CONDITIONS {
        if let Some(value) = headers::text(&parts.headers, header)? {
            facts.set(fact, value);
        }
    }
    if let Some(key_id) = headers::text(&parts.headers, sse::KMS_KEY_ID)? {
        facts.set(sse::KMS_KEY_CONDITION, Arn::kms_key(kms_key_id(key_id)).as_str());
    }
    rest.allow_in(
        &bucket,
        &caller,
        (Scope::ObjectsWrite, "s3:PutObject"),
        &Arn::object(bucket.as_str(), &key),
        &facts,
    )?;
    let conditions = headers::write_conditions(&parts.headers)?;
    let tags = [conditions.if_match.as_ref(), conditions.if_none_match.as_ref()];
    rest.allow_comparing((&bucket, &name), &caller, tags).await?;
    let sse = sse::write_request(&parts.headers, caller.is_private())?;
    let sse = rest.allow_sealing((&bucket, &key), &caller, sse, &facts)?;

    let request = PutRequest {
        bucket,
        name,
        content: Content::new(content_length(&parts.headers)?, pieces(body)),
        meta: headers::meta(&parts.headers)?,
        sse,
        conditions,
        checksums: ChecksumRequest::default(),
        content_md5: headers::content_md5(&parts.headers)?,
    };
    let stored = rest.0.objects.put(request).await?;
    let version = stored.version.map(|version| version.to_string());
    let mut answer = HeaderMap::new();
    headers::put(&mut answer, ETAG, &quoted(&stored.etag));
    if let Some(version) = &version {
        headers::put(&mut answer, HeaderName::from_static("x-amz-version-id"), version);
    }
    sse::answer(&mut answer, &stored.sse);
    let stored = StoredObject {
        key,
        etag: stored.etag.to_string(),
        version,
        size: stored.size,
        last_modified: json_time(stored.mtime),
        encryption: sse::encryption(&stored.sse),
    };
    Ok((StatusCode::CREATED, answer, Json(stored)).into_response())
}

pub(super) fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let invalid = || Refusal::bad_request("InvalidHeader", "Content-Length is not a number.");
    let text = headers::text(headers, CONTENT_LENGTH.as_str())?;
    text.map(|text| text.parse().map_err(|_| invalid())).transpose()
}

/// The content as it comes. A client that stops sending is given up.
fn pieces(body: Body) -> impl Stream<Item = Result<Bytes, ContentError>> + Send + 'static {
    stream::unfold(Some(body.into_data_stream()), |body| async {
        let mut body = body?;
        match timeout(IDLE_MAX, body.next()).await {
            Ok(Some(Ok(piece))) => Some((Ok(piece), Some(body))),
            Ok(Some(Err(_))) => Some((Err(ContentError::Disconnected), None)),
            Ok(None) => None,
            Err(_) => Some((Err(ContentError::TimedOut), None)),
        }
    })
}
