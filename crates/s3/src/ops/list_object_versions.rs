//! `ListObjectVersions`: as long as buckets have no versioning, each object is its own null version.

use s3s::S3Response;
use s3s::dto::{ListObjectVersionsInput, ListObjectVersionsOutput, ObjectVersion, ObjectVersionStorageClass};
use strongroom_objects::request::{ListRequest, ListedObject};

use super::common::{common_prefixes, delimiter, listed_object, owner};
use crate::convert;
use crate::error::ApiError;
use crate::face::{Answer, Call};

pub(crate) async fn run(call: Call, input: ListObjectVersionsInput) -> Answer<ListObjectVersionsOutput> {
    let encoding = convert::encoding_type(input.encoding_type)?;
    let max = convert::page_size("max-keys", input.max_keys)?;
    let marker = input.version_id_marker.as_deref().filter(|marker| !marker.is_empty());
    if marker.is_some() && input.key_marker.is_none() {
        return Err(ApiError::invalid_argument(
            "version-id-marker",
            marker.unwrap_or_default(),
            "A version-id marker cannot be specified without a key marker.",
        ));
    }
    let request = ListRequest {
        bucket: convert::bucket_name(&input.bucket)?,
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: delimiter(input.delimiter.as_ref()),
        after: input.key_marker.clone().filter(|marker| !marker.is_empty()),
        max,
    };
    let listing = call.objects().list(request).await?;
    let shown = |text: &String| convert::listed(text, encoding.as_ref());
    let next_is_object = listing.objects.last().map(|last| last.name.as_str()) == listing.next.as_deref();
    let next = listing.next.as_ref().filter(|_| listing.truncated);
    Ok(S3Response::new(ListObjectVersionsOutput {
        name: Some(input.bucket),
        prefix: Some(shown(&input.prefix.unwrap_or_default())),
        key_marker: Some(shown(&input.key_marker.unwrap_or_default())),
        version_id_marker: Some(input.version_id_marker.unwrap_or_default()),
        max_keys: i32::try_from(max).ok(),
        is_truncated: Some(listing.truncated),
        next_key_marker: next.map(shown),
        next_version_id_marker: next.filter(|_| next_is_object).map(|_| "null".to_owned()),
        common_prefixes: common_prefixes(&listing.common_prefixes, encoding.as_ref()),
        delimiter: input.delimiter.as_ref().map(shown),
        versions: Some(
            listing.objects.into_iter().map(|object| version(object, encoding.as_ref())).collect(),
        ),
        encoding_type: encoding,
        ..ListObjectVersionsOutput::default()
    }))
}

fn version(object: ListedObject, encoding: Option<&s3s::dto::EncodingType>) -> ObjectVersion {
    let version_id = object.version.to_string();
    let object = listed_object(object, encoding, false);
    ObjectVersion {
        checksum_algorithm: object.checksum_algorithm,
        checksum_type: object.checksum_type,
        e_tag: object.e_tag,
        is_latest: Some(true),
        key: object.key,
        last_modified: object.last_modified,
        owner: Some(owner()),
        restore_status: None,
        size: object.size,
        storage_class: object
            .storage_class
            .map(|class| ObjectVersionStorageClass::from(class.as_str().to_owned())),
        version_id: Some(version_id),
    }
}
