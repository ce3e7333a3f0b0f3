//! `DELETE /buckets/{bucket}/objects/{key}`.

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use strongroom_iam::{Arn, Scope};
use strongroom_objects::DeleteConditions;
use strongroom_objects::request::DeleteRequest;

use super::{OfVersion, bucket_name, headers, object_name};
use crate::refusal::{Names, Parameters, Refusal};
use crate::rest::Rest;
use crate::rest::caller::Caller;
use crate::rest::openapi::{Conflict, Missing, PreconditionFailed, Refused};

/// Delete an object
///
/// Without a version, in a bucket that has versions, a delete marker takes its place. Deleting what is not there succeeds.
#[utoipa::path(delete, path = "/api/v1/buckets/{bucket}/objects/{key}", tag = "objects",
    params(
        ("bucket" = String, Path, description = "The bucket"),
        ("key" = String, Path, description = "The object's name; slashes need not be escaped"),
        OfVersion,
        ("If-Match" = Option<String>, Header, description = "Only if the object has this entity tag"),
    ),
    responses(
        (status = 204, description = "It is gone; durable"),
        Refused, Missing, PreconditionFailed, Conflict,
    ))]
pub(in crate::rest) async fn delete(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Names((bucket, key)): Names<(String, String)>,
    Parameters(version): Parameters<OfVersion>,
    request: HeaderMap,
) -> Result<Response, Refusal> {
    let (bucket, name, version) = (bucket_name(&bucket)?, object_name(key.clone())?, version.parse()?);
    headers::refuse_others(&request, &[])?;
    let mut facts = caller.facts();
    if let Some(version) = &version {
        facts.set("s3:versionid", version.to_string());
    }
    let action = if version.is_some() { "s3:DeleteObjectVersion" } else { "s3:DeleteObject" };
    rest.allow_in(
        &bucket,
        &caller,
        (Scope::ObjectsWrite, action),
        &Arn::object(bucket.as_str(), &key),
        &facts,
    )?;
    let if_match = headers::if_match(&request)?;
    rest.allow_comparing((&bucket, &name), &caller, [if_match.as_ref(), None]).await?;
    let conditions = DeleteConditions { if_match, ..DeleteConditions::default() };
    let asked = DeleteRequest { bucket, name, version, conditions };
    let deleted = rest.0.objects.delete(asked).await?;
    let mut answer = HeaderMap::new();
    if let Some(version) = deleted.version {
        headers::put(&mut answer, HeaderName::from_static("x-amz-version-id"), &version.to_string());
    }
    if deleted.delete_marker {
        headers::put(&mut answer, HeaderName::from_static("x-amz-delete-marker"), "true");
    }
    Ok((StatusCode::NO_CONTENT, answer).into_response())
}
