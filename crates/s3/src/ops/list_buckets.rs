//! `ListBuckets`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use s3s::S3Response;
use s3s::dto::{Bucket, ListBucketsInput, ListBucketsOutput};

use strongroom_objects::BucketInfo;

use super::common::owner;
use crate::access::Resource;
use crate::convert;
use crate::error::ApiError;
use crate::face::{Answer, Call};

/// Most buckets of one page (AWS).
const PAGE_MAX: u32 = 10_000;

pub(crate) async fn run(call: Call, input: ListBucketsInput) -> Answer<ListBucketsOutput> {
    let prefix = input.prefix.unwrap_or_default();
    let asked = input.max_buckets.map(|count| {
        u32::try_from(count).ok().filter(|count| (1..=PAGE_MAX).contains(count)).ok_or_else(|| {
            ApiError::invalid_argument(
                "max-buckets",
                count,
                "Argument max-buckets must be an integer between 1 and 10000",
            )
        })
    });
    let asked = asked.transpose()?;
    let mut after = input.continuation_token.as_deref().map(token_in).transpose()?;
    // Who may not list all buckets sees those of which something may be known, as on MinIO.
    let all = call.may("s3:ListAllMyBuckets", Resource::Service);
    let seen = |bucket: &BucketInfo| {
        let resource = Resource::Bucket(bucket.name.as_str());
        all || call.may("s3:ListBucket", resource) || call.may("s3:GetBucketLocation", resource)
    };
    let mut buckets: Vec<BucketInfo> = Vec::new();
    // All buckets are here.
    let mut more = input.bucket_region.is_none_or(|region| region == call.region());
    // Without a limit all buckets are listed, as AWS does for clients that know no pages.
    while more {
        let page = asked.map_or(PAGE_MAX, |count| count - u32::try_from(buckets.len()).unwrap_or(count));
        let listing = call.objects().list_buckets(&prefix, after.as_deref(), page).await?;
        buckets.extend(listing.buckets.into_iter().filter(seen));
        after = listing.next;
        let full = asked.is_some_and(|count| buckets.len() >= count as usize);
        more = after.is_some() && !full;
    }
    if !all && buckets.is_empty() {
        call.authorise("s3:ListAllMyBuckets", Resource::Service)?;
    }
    let region = call.region();
    let buckets = buckets
        .into_iter()
        .map(|bucket| Bucket {
            bucket_region: asked.map(|_| region.to_owned()),
            creation_date: Some(convert::time_out(bucket.created)),
            name: Some(bucket.name.to_string()),
        })
        .collect();
    Ok(S3Response::new(ListBucketsOutput {
        buckets: Some(buckets),
        continuation_token: after.map(|name| URL_SAFE_NO_PAD.encode(name)),
        owner: Some(owner()),
        prefix: Some(prefix).filter(|prefix| !prefix.is_empty()),
    }))
}

pub(crate) fn token_in(token: &str) -> Result<String, ApiError> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(|| {
        ApiError::invalid_argument(
            "continuation-token",
            token,
            "The continuation token provided is incorrect",
        )
    })
}
