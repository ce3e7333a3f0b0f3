//! `/buckets`: buckets themselves.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use strongroom_iam::{Arn, Scope};
use strongroom_objects::request::CreateBucket;
use strongroom_objects::{BucketInfo, Versioning};
use utoipa::{IntoParams, ToSchema};

use super::Rest;
use super::caller::Caller;
use super::encryption::Encryption;
use super::objects::{bucket_name, json_time};
use super::openapi::{Conflict, Missing, Refused};
use super::pages::{Paged, page_size};
use crate::refusal::{Body, Names, Parameters, Refusal};

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// When it was made (RFC 3339).
    pub created: String,
    /// Whether it keeps versions; left out for who may not know (`s3:GetBucketVersioning`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versioning: Option<BucketVersioning>,
    /// What objects get that ask for no encryption; left out for who may not know (`s3:GetEncryptionConfiguration`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
}

/// Whether a bucket keeps versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BucketVersioning {
    /// It never did.
    Off,
    /// Each write makes a version.
    Enabled,
    /// It has versions and makes no more.
    Suspended,
}

impl From<Versioning> for BucketVersioning {
    fn from(versioning: Versioning) -> Self {
        match versioning {
            Versioning::Off => Self::Off,
            Versioning::Enabled => Self::Enabled,
            Versioning::Suspended => Self::Suspended,
        }
    }
}

/// A page of buckets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BucketList {
    /// The buckets, by name.
    pub buckets: Vec<Bucket>,
    /// `after` of the next page, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Paged for BucketList {
    type Entry = Bucket;

    fn page(&mut self) -> (&mut Vec<Bucket>, &mut Option<String>) {
        (&mut self.buckets, &mut self.next)
    }
}

/// A bucket to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBucket {
    /// Its name: 3 to 63 lower case letters, digits, dots and hyphens, as S3 has it.
    #[schema(min_length = 3, max_length = 63, pattern = "^[a-z0-9][a-z0-9.-]+[a-z0-9]$")]
    pub name: String,
}

/// Which buckets.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Only names that start with this.
    prefix: Option<String>,
    /// Only names after this one: `next` of the page before.
    after: Option<String>,
    /// How many at most.
    #[param(minimum = 1, maximum = 1000)]
    max: Option<u32>,
}

/// List buckets
#[utoipa::path(get, path = "/api/v1/buckets", tag = "buckets", params(Which),
    responses((status = 200, description = "A page", body = BucketList), Refused))]
pub(super) async fn list(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Parameters(which): Parameters<Which>,
) -> Result<Json<BucketList>, Refusal> {
    rest.allow(&caller, (Scope::BucketsRead, "s3:ListAllMyBuckets"), &Arn::all(), &caller.facts())?;
    let Which { prefix, after, max } = which;
    let found =
        rest.0.objects.list_buckets(&prefix.unwrap_or_default(), after.as_deref(), page_size(max)?).await?;
    let buckets = found.buckets.iter().map(|info| rest.shown(&caller, info)).collect();
    Ok(Json(BucketList { buckets, next: found.next }))
}

/// Make a bucket
#[utoipa::path(post, path = "/api/v1/buckets", tag = "buckets", request_body = NewBucket,
    responses((status = 201, description = "Made; durable", body = Bucket), Refused, Conflict))]
pub(super) async fn create(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Body(new): Body<NewBucket>,
) -> Result<(StatusCode, [(axum::http::HeaderName, String); 1], Json<Bucket>), Refusal> {
    let name = bucket_name(&new.name)?;
    rest.allow(
        &caller,
        (Scope::BucketsWrite, "s3:CreateBucket"),
        &Arn::bucket(name.as_str()),
        &caller.facts(),
    )?;
    let settings = rest.0.objects.new_bucket_settings();
    let request = CreateBucket { owner: caller.identity.to_string(), settings };
    let made = rest.0.objects.create_bucket(&name, request).await?;
    let location = [(LOCATION, format!("/api/v1/buckets/{name}"))];
    Ok((StatusCode::CREATED, location, Json(rest.shown(&caller, &made))))
}

/// Describe a bucket
#[utoipa::path(get, path = "/api/v1/buckets/{bucket}", tag = "buckets",
    params(("bucket" = String, Path, description = "The bucket")),
    responses((status = 200, description = "The bucket", body = Bucket), Refused, Missing))]
pub(super) async fn get(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Names(bucket): Names<String>,
) -> Result<Json<Bucket>, Refusal> {
    let name = bucket_name(&bucket)?;
    rest.allow_in(
        &name,
        &caller,
        (Scope::BucketsRead, "s3:ListBucket"),
        &Arn::bucket(name.as_str()),
        &caller.facts(),
    )?;
    Ok(Json(rest.shown(&caller, &rest.0.objects.head_bucket(&name).await?)))
}

/// Delete a bucket
///
/// It has to be empty. The key of everything that was in it goes with it.
#[utoipa::path(delete, path = "/api/v1/buckets/{bucket}", tag = "buckets",
    params(("bucket" = String, Path, description = "The bucket")),
    responses((status = 204, description = "It is gone; durable"), Refused, Missing, Conflict))]
pub(super) async fn delete(
    State(rest): State<Rest>,
    Extension(caller): Extension<Caller>,
    Names(bucket): Names<String>,
) -> Result<StatusCode, Refusal> {
    let name = bucket_name(&bucket)?;
    rest.allow_in(
        &name,
        &caller,
        (Scope::BucketsWrite, "s3:DeleteBucket"),
        &Arn::bucket(name.as_str()),
        &caller.facts(),
    )?;
    rest.0.objects.delete_bucket(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl Rest {
    /// A bucket as the caller may see it: a setting that a request of its own would not tell is left out.
    fn shown(&self, caller: &Caller, info: &BucketInfo) -> Bucket {
        let resource = Arn::bucket(info.name.as_str());
        let may = |action| {
            let action = (Scope::BucketsRead, action);
            self.allow_in(&info.name, caller, action, &resource, &caller.facts()).is_ok()
        };
        Bucket {
            name: info.name.to_string(),
            created: json_time(info.created),
            versioning: may("s3:GetBucketVersioning").then(|| info.settings.versioning.into()),
            encryption: may("s3:GetEncryptionConfiguration").then(|| Encryption::of(&info.settings)),
        }
    }
}
