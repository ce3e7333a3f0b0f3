//! `ListObjectVersions`.

use s3s::S3Response;
use s3s::dto::*;
use strongroom_objects::request::{ListVersions, ListedVersion};

use super::common::{common_prefixes, delimiter, listed_object, owner};
use crate::convert;
use crate::error::ApiError;
use crate::face::{Answer, Call};

pub(crate) async fn run(call: Call, input: ListObjectVersionsInput) -> Answer<ListObjectVersionsOutput> {
    let encoding = convert::encoding_type(input.encoding_type)?;
    if let Some(negative) = input.max_keys.filter(|count| *count < 0) {
        return Err(ApiError::invalid_argument("maxKeys", negative, "max-keys cannot be negative"));
    }
    let max = convert::page_size("maxKeys", input.max_keys)?;
    let marker = input.version_id_marker.as_deref().filter(|marker| !marker.is_empty());
    if marker.is_some() && input.key_marker.is_none() {
        return Err(ApiError::invalid_argument(
            "version-id-marker",
            marker.unwrap_or_default(),
            "A version-id marker cannot be specified without a key marker.",
        ));
    }
    let request = ListVersions {
        bucket: convert::bucket_name(&input.bucket)?,
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: delimiter(input.delimiter.as_ref()),
        name_after: input.key_marker.clone().filter(|marker| !marker.is_empty()),
        version_after: marker.map(|marker| convert::version_of("version-id-marker", marker)).transpose()?,
        max,
    };
    let listing = call.objects().list_versions(request).await?;
    let shown = |text: &String| convert::listed(text, encoding.as_ref());
    let (mut versions, mut delete_markers) = (Vec::new(), Vec::new());
    for listed in listing.versions {
        match version(listed, encoding.as_ref()) {
            Entry::Object(version) => versions.push(version),
            Entry::DeleteMarker(marker) => delete_markers.push(marker),
        }
    }
    Ok(S3Response::new(ListObjectVersionsOutput {
        name: Some(input.bucket),
        prefix: Some(shown(&input.prefix.unwrap_or_default())),
        key_marker: Some(shown(&input.key_marker.unwrap_or_default())),
        version_id_marker: Some(input.version_id_marker.unwrap_or_default()),
        max_keys: i32::try_from(max).ok(),
        is_truncated: Some(listing.truncated),
        next_key_marker: listing.next_name.as_ref().map(shown),
        next_version_id_marker: convert::version_out(listing.next_version),
        common_prefixes: common_prefixes(&listing.common_prefixes, encoding.as_ref()),
        delimiter: input.delimiter.as_ref().map(shown),
        versions: Some(versions),
        delete_markers: (!delete_markers.is_empty()).then_some(delete_markers),
        encoding_type: encoding,
        ..ListObjectVersionsOutput::default()
    }))
}

/// The answer has two kinds of elements.
enum Entry {
    Object(ObjectVersion),
    DeleteMarker(DeleteMarkerEntry),
}

fn version(listed: ListedVersion, encoding: Option<&EncodingType>) -> Entry {
    let version_id = Some(listed.version.to_string());
    let is_latest = Some(listed.latest);
    let Some(object) = listed.object else {
        return Entry::DeleteMarker(DeleteMarkerEntry {
            is_latest,
            key: Some(convert::listed(listed.name.as_str(), encoding)),
            last_modified: Some(convert::time_out(listed.mtime)),
            owner: Some(owner()),
            version_id,
        });
    };
    let object = listed_object(object, encoding, false);
    Entry::Object(ObjectVersion {
        checksum_algorithm: object.checksum_algorithm,
        checksum_type: object.checksum_type,
        e_tag: object.e_tag,
        is_latest,
        key: object.key,
        last_modified: object.last_modified,
        owner: Some(owner()),
        restore_status: None,
        size: object.size,
        storage_class: object
            .storage_class
            .map(|class| ObjectVersionStorageClass::from(class.as_str().to_owned())),
        version_id,
    })
}
