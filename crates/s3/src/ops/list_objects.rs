//! `ListObjects`, the first version.

use s3s::S3Response;
use s3s::dto::{ListObjectsInput, ListObjectsOutput};
use strongroom_objects::request::ListRequest;

use super::common::{common_prefixes, delimiter, listed_object};
use crate::convert;
use crate::face::{Answer, Call};

pub(crate) async fn run(call: Call, input: ListObjectsInput) -> Answer<ListObjectsOutput> {
    let encoding = convert::encoding_type(input.encoding_type)?;
    let max = convert::page_size("maxKeys", input.max_keys)?;
    let request = ListRequest {
        bucket: convert::bucket_name(&input.bucket)?,
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: delimiter(input.delimiter.as_ref()),
        after: input.marker.clone().filter(|marker| !marker.is_empty()),
        max,
    };
    let delimited = request.delimiter.is_some();
    let listing = call.objects().list(request).await?;
    let shown = |text: &String| convert::listed(text, encoding.as_ref());
    Ok(S3Response::new(ListObjectsOutput {
        name: Some(input.bucket),
        prefix: Some(shown(&input.prefix.unwrap_or_default())),
        marker: Some(shown(&input.marker.unwrap_or_default())),
        max_keys: i32::try_from(max).ok(),
        is_truncated: Some(listing.truncated),
        common_prefixes: common_prefixes(&listing.common_prefixes, encoding.as_ref()),
        delimiter: input.delimiter.as_ref().map(shown),
        // AWS leaves it out where the last key serves as well.
        next_marker: listing.next.as_ref().filter(|_| delimited && listing.truncated).map(shown),
        contents: Some(
            listing
                .objects
                .into_iter()
                .map(|object| listed_object(object, encoding.as_ref(), true))
                .collect(),
        ),
        encoding_type: encoding,
        ..ListObjectsOutput::default()
    }))
}
