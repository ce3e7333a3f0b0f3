//! `GET /buckets/{bucket}/objects`.

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use strongroom_iam::{Arn, Scope};
use strongroom_objects::request::ListRequest;
use utoipa::{IntoParams, ToSchema};

use super::{bucket_name, json_time};
use crate::refusal::{Names, Parameters, Refusal};
use crate::rest::Rest;
use crate::rest::caller::Caller;
use crate::rest::openapi::{Missing, Refused};
use crate::rest::pages::page_size;

/// Which objects.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(in crate::rest) struct Which {
    /// Only names that start with this.
    prefix: Option<String>,
    /// Names that share what is before the first of this after the prefix are shown as one.
    delimiter: Option<String>,
    /// Only names after this one: `next` of the page before.
    after: Option<String>,
    /// How many at most.
    #[param(minimum = 1, maximum = 1000)]
    max: Option<u32>,
}

/// A page of objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ObjectList {
    /// The objects, by name.
    pub objects: Vec<ListedObject>,
    /// What names share before the delimiter.
    pub common_prefixes: Vec<String>,
    /// `after` of the next page, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// An object in a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ListedObject {
    /// Its name.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was stored (RFC 3339).
    pub last_modified: String,
    /// The entity tag, without quotes.
    pub etag: String,
}

/// List objects
///
/// A page of the current objects of a bucket, by name.
#[utoipa::path(get, path = "/api/v1/buckets/{bucket}/objects", tag = "objects",
    params(("bucket" = String, Path, description = "The bucket"), Which),
    responses((status = 200, description = "A page", body = ObjectList), Refused, Missing))]
pub(in crate::rest) async fn list(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Names(bucket): Names<String>,
    Parameters(which): Parameters<Which>,
) -> Result<Json<ObjectList>, Refusal> {
    let bucket = bucket_name(&bucket)?;
    let Which { prefix, delimiter, after, max } = which;
    let max = page_size(max)?;
    if delimiter.as_deref() == Some("") {
        return Err(Refusal::bad_request("InvalidQuery", "The delimiter is empty; leave it out for none."));
    }
    let mut facts = caller.facts();
    facts.set("s3:max-keys", max.to_string());
    for (fact, value) in [("s3:prefix", &prefix), ("s3:delimiter", &delimiter)] {
        if let Some(value) = value {
            facts.set(fact, value.clone());
        }
    }
    rest.allow_in(
        &bucket,
        &caller,
        (Scope::ObjectsRead, "s3:ListBucket"),
        &Arn::bucket(bucket.as_str()),
        &facts,
    )?;
    let prefix = prefix.unwrap_or_default();
    let found = rest.0.objects.list(ListRequest { bucket, prefix, delimiter, after, max }).await?;
    let objects = found.objects.into_iter().map(|object| ListedObject {
        key: object.name.as_str().to_owned(),
        size: object.size,
        last_modified: json_time(object.mtime),
        etag: object.etag.to_string(),
    });
    Ok(Json(ObjectList {
        objects: objects.collect(),
        common_prefixes: found.common_prefixes,
        next: found.next,
    }))
}
