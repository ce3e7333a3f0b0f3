//! `ListObjectsV2`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use s3s::S3Response;
use s3s::dto::{ListObjectsV2Input, ListObjectsV2Output};
use strongroom_objects::request::ListRequest;

use super::common::{common_prefixes, delimiter, entries, listed_object};
use crate::convert;
use crate::error::ApiError;
use crate::face::{Answer, Call};

pub(crate) async fn run(call: Call, input: ListObjectsV2Input) -> Answer<ListObjectsV2Output> {
    let encoding = convert::encoding_type(input.encoding_type)?;
    let max = convert::page_size("maxKeys", input.max_keys)?;
    let after = match input.continuation_token.as_deref() {
        Some(token) => Some(token_in(token)?),
        None => input.start_after.clone().filter(|name| !name.is_empty()),
    };
    let request = ListRequest {
        bucket: convert::bucket_name(&input.bucket)?,
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: delimiter(input.delimiter.as_ref()),
        after,
        max,
    };
    let listing = call.objects().list(request).await?;
    let shown = |text: &String| convert::listed(text, encoding.as_ref());
    let with_owner = input.fetch_owner == Some(true);
    Ok(S3Response::new(ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: Some(shown(&input.prefix.unwrap_or_default())),
        max_keys: i32::try_from(max).ok(),
        key_count: Some(entries(&listing)),
        continuation_token: input.continuation_token,
        is_truncated: Some(listing.truncated),
        next_continuation_token: listing
            .next
            .as_ref()
            .filter(|_| listing.truncated)
            .map(|name| URL_SAFE_NO_PAD.encode(name)),
        common_prefixes: common_prefixes(&listing.common_prefixes, encoding.as_ref()),
        delimiter: input.delimiter.as_ref().map(shown),
        start_after: input.start_after.as_ref().map(shown),
        contents: Some(
            listing
                .objects
                .into_iter()
                .map(|object| listed_object(object, encoding.as_ref(), with_owner))
                .collect(),
        ),
        encoding_type: encoding,
        ..ListObjectsV2Output::default()
    }))
}

/// The name that a continuation token of ours stands for.
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
