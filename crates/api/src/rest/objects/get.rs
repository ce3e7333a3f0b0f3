//! `GET` and `HEAD /buckets/{bucket}/objects/{key}`.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY, ETAG, HeaderName, LAST_MODIFIED,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use strongroom_iam::{Arn, Facts, Scope};
use strongroom_objects::request::{ContentRange, GetRequest, ObjectInfo};
use strongroom_objects::{BucketName, EntityTags, ObjectError, ObjectName, Tags};

use super::{OfVersion, bucket_name, headers, http_date, object_name, quoted, sse};
use crate::refusal::{Names, Parameters, Refusal};
use crate::rest::Rest;
use crate::rest::caller::Caller;
use crate::rest::object_error::log_failure;
use crate::rest::openapi::{Missing, PreconditionFailed, Refused};

/// Read an object
///
/// The body is the content, or the range of it that was asked for. What it is and how it is encrypted is in the header, under
/// the names that S3 has for it.
#[utoipa::path(get, path = "/api/v1/buckets/{bucket}/objects/{key}", tag = "objects",
    params(
        ("bucket" = String, Path, description = "The bucket"),
        ("key" = String, Path, description = "The object's name; slashes need not be escaped"),
        OfVersion,
        ("Range" = Option<String>, Header, description = "`bytes=FIRST-LAST`, `bytes=FIRST-` or `bytes=-COUNT`"),
        ("If-Range" = Option<String>, Header, description = "The range only of the object with this entity tag or date"),
        ("If-Match" = Option<String>, Header, description = "Only if the object has this entity tag"),
        ("If-None-Match" = Option<String>, Header, description = "304 if the object has this entity tag"),
        ("If-Modified-Since" = Option<String>, Header, description = "304 if the object is no newer"),
        ("If-Unmodified-Since" = Option<String>, Header, description = "Only if the object is no newer"),
        ("x-amz-server-side-encryption-customer-algorithm" = Option<String>, Header, description = "`AES256`, for an object under a client's own key"),
        ("x-amz-server-side-encryption-customer-key" = Option<String>, Header, description = "Base64 of that key"),
        ("x-amz-server-side-encryption-customer-key-MD5" = Option<String>, Header, description = "Base64 of its MD5"),
    ),
    responses(
        (status = 200, description = "The content", body = String, content_type = "*/*"),
        (status = 206, description = "The range of it", body = String, content_type = "*/*"),
        (status = 304, description = "The client's copy is current"),
        Refused, Missing, PreconditionFailed,
        (status = 416, description = "The range is past the end", body = crate::rest::ErrorAnswer),
    ))]
pub(in crate::rest) async fn get(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Names((bucket, key)): Names<(String, String)>,
    Parameters(version): Parameters<OfVersion>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let asked = Asked::parse(&caller, &bucket, &key, &version, &headers)?;
    let found = rest.0.objects.get(asked.request.clone()).await;
    rest.allow_read(&caller, &asked, found.as_ref().map(|found| &found.info)).await?;
    let found = found?;
    let (length, body) = (found.body.length(), found.body);
    let body = body.map(|piece| piece.inspect_err(log_failure));
    Ok(answer(&found.info, found.range, length, Body::from_stream(body)))
}

/// Describe an object
///
/// The header of what a read would answer.
#[utoipa::path(head, path = "/api/v1/buckets/{bucket}/objects/{key}", tag = "objects",
    params(
        ("bucket" = String, Path, description = "The bucket"),
        ("key" = String, Path, description = "The object's name; slashes need not be escaped"),
        OfVersion,
        ("Range" = Option<String>, Header, description = "As for a read"),
        ("If-Range" = Option<String>, Header, description = "The range only of the object with this entity tag or date"),
        ("If-Match" = Option<String>, Header, description = "Only if the object has this entity tag"),
        ("If-None-Match" = Option<String>, Header, description = "304 if the object has this entity tag"),
        ("If-Modified-Since" = Option<String>, Header, description = "304 if the object is no newer"),
        ("If-Unmodified-Since" = Option<String>, Header, description = "Only if the object is no newer"),
        ("x-amz-server-side-encryption-customer-algorithm" = Option<String>, Header, description = "`AES256`, for an object under a client's own key"),
        ("x-amz-server-side-encryption-customer-key" = Option<String>, Header, description = "Base64 of that key"),
        ("x-amz-server-side-encryption-customer-key-MD5" = Option<String>, Header, description = "Base64 of its MD5"),
    ),
    responses(
        (status = 200, description = "There is such an object"),
        (status = 206, description = "There is such a range of it"),
        (status = 304, description = "The client's copy is current"),
        (status = 400, description = "The request makes no sense"),
        (status = 401, description = "There is no token, or it is not known"),
        (status = 403, description = "The caller may not do it"),
        (status = 404, description = "There is no such thing"),
        (status = 412, description = "A condition does not hold"),
        (status = 416, description = "The range is past the end"),
        (status = 500, description = "The server could not do it"),
        (status = 503, description = "Something that is needed does not answer"),
    ))]
pub(in crate::rest) async fn head(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Names((bucket, key)): Names<(String, String)>,
    Parameters(version): Parameters<OfVersion>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let asked = Asked::parse(&caller, &bucket, &key, &version, &headers)?;
    let found = rest.0.objects.head(asked.request.clone()).await;
    rest.allow_read(&caller, &asked, found.as_ref().map(|found| &found.info)).await?;
    let found = found?;
    Ok(answer(&found.info, found.range, found.length, Body::empty()))
}

/// A read, taken apart.
struct Asked {
    bucket: BucketName,
    resource: Arn,
    action: &'static str,
    facts: Facts,
    request: GetRequest,
}

impl Asked {
    fn parse(
        caller: &Caller,
        bucket: &str,
        key: &str,
        version: &OfVersion,
        headers: &HeaderMap,
    ) -> Result<Self, Refusal> {
        let (bucket, name) = (bucket_name(bucket)?, object_name(key.to_owned())?);
        headers::refuse_others(headers, &sse::READ)?;
        let mut facts = caller.facts();
        let asked_version = version.parse()?;
        if let Some(version) = &asked_version {
            facts.set("s3:versionid", version.to_string());
        }
        let request = GetRequest {
            version: asked_version,
            range: headers::range(headers),
            conditions: headers::read_conditions(headers)?,
            customer_key: sse::customer_key(headers, caller.is_private())?,
            ..GetRequest::new(bucket.clone(), name)
        };
        let action = if asked_version.is_some() { "s3:GetObjectVersion" } else { "s3:GetObject" };
        Ok(Self { resource: Arn::object(bucket.as_str(), key), bucket, action, facts, request })
    }
}

impl Rest {
    /// Lets the caller read what was found, or refuses. Nothing of it has been sent yet: conditions about an object's tags
    /// can be decided only when it is known, and this way they are decided for the version that is sent.
    async fn allow_read(
        &self,
        caller: &Caller,
        asked: &Asked,
        found: Result<&ObjectInfo, &ObjectError>,
    ) -> Result<(), Refusal> {
        let mut facts = asked.facts.clone();
        // A condition that does not hold and a range past the end tell of the object as well, so its tags count for them too.
        let tags = match found {
            Ok(info) => info.meta.tags.clone(),
            Err(_) => self.tags_of(asked).await?,
        };
        for (name, value) in &tags {
            facts.set_tag("s3:existingobjecttag/", name, value);
        }
        self.allow_in(&asked.bucket, caller, (Scope::ObjectsRead, asked.action), &asked.resource, &facts)?;
        match found {
            Ok(info) => {
                let object = (&asked.bucket, asked.request.name.as_str());
                self.allow_opening(object, caller, &info.sse, &facts)
            }
            // As S3 does: that a name is free is told to those only who may list names.
            Err(error) => {
                let action = match error {
                    ObjectError::NoSuchKey { .. } => "s3:ListBucket",
                    ObjectError::NoSuchVersion { .. } => "s3:ListBucketVersions",
                    _ => return Ok(()),
                };
                let (action, bucket) = ((Scope::ObjectsRead, action), Arn::bucket(asked.bucket.as_str()));
                self.allow_in(&asked.bucket, caller, action, &bucket, &caller.facts())
            }
        }
    }

    /// The tags of what was asked for; none if it is not there.
    async fn tags_of(&self, asked: &Asked) -> Result<Tags, Refusal> {
        let GetRequest { name, version, .. } = &asked.request;
        match self.0.objects.object_tags(&asked.bucket, name, *version).await {
            Ok(found) => Ok(found.tags),
            Err(error) if error.is_ours() => Err(error.into()),
            Err(_) => Ok(Tags::new()),
        }
    }
}

impl Rest {
    /// Lets a write or delete compare the tag of what is there, or refuses, as S3 does: who may not read an object could guess its
    /// content by the tag. Whether there is something at all (`*`) is no such question.
    pub(super) async fn allow_comparing(
        &self,
        (bucket, name): (&BucketName, &ObjectName),
        caller: &Caller,
        conditions: [Option<&EntityTags>; 2],
    ) -> Result<(), Refusal> {
        if !conditions.iter().any(|condition| matches!(condition, Some(EntityTags::Tags(_)))) {
            return Ok(());
        }
        let mut facts = caller.facts();
        match self.0.objects.object_tags(bucket, name, None).await {
            Ok(found) => {
                for (tag, value) in found.tags {
                    facts.set_tag("s3:existingobjecttag/", &tag, value);
                }
            }
            // That it is not there is for the operation to say.
            Err(ObjectError::NoSuchKey { .. } | ObjectError::NoSuchBucket { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let object = Arn::object(bucket.as_str(), name.as_str());
        self.allow_in(bucket, caller, (Scope::ObjectsRead, "s3:GetObject"), &object, &facts)
    }
}

fn answer(info: &ObjectInfo, range: Option<ContentRange>, length: u64, body: Body) -> Response {
    let mut headers = HeaderMap::new();
    headers::answer_meta(&mut headers, &info.meta);
    let mut say = |name, value: &str| headers::put(&mut headers, name, value);
    say(ETAG, &quoted(&info.etag));
    say(LAST_MODIFIED, &http_date(info.mtime));
    say(ACCEPT_RANGES, "bytes");
    say(CONTENT_LENGTH, &length.to_string());
    // A browser that shows what somebody stored must not run it as a part of this server.
    say(CONTENT_SECURITY_POLICY, "sandbox");
    if let Some(version) = info.version {
        say(HeaderName::from_static("x-amz-version-id"), &version.to_string());
    }
    if !info.meta.tags.is_empty() {
        say(HeaderName::from_static("x-amz-tagging-count"), &info.meta.tags.len().to_string());
    }
    let status = match range {
        None => StatusCode::OK,
        Some(ContentRange { first, last, total }) => {
            say(CONTENT_RANGE, &format!("bytes {first}-{last}/{total}"));
            StatusCode::PARTIAL_CONTENT
        }
    };
    sse::answer(&mut headers, &info.sse);
    (status, headers, body).into_response()
}
