//! `ListMultipartUploads`.

use s3s::S3Response;
use s3s::dto::{
    EncodingType, Initiator, ListMultipartUploadsInput, ListMultipartUploadsOutput, MultipartUpload,
    StorageClass,
};
use strongroom_objects::UploadId;
use strongroom_objects::request::{ListUploads, ListedUpload};

use super::common::{common_prefixes, delimiter, owner};
use crate::checksum;
use crate::convert;
use crate::error::ApiError;
use crate::face::{Answer, Call};

pub(crate) async fn run(call: Call, input: ListMultipartUploadsInput) -> Answer<ListMultipartUploadsOutput> {
    let encoding = convert::encoding_type(input.encoding_type)?;
    let max = convert::page_size("max-uploads", input.max_uploads)?;
    let name_after = input.key_marker.clone().filter(|marker| !marker.is_empty());
    // Without a key the other marker has no meaning and is passed over, as AWS says.
    let upload_after = match input.upload_id_marker.as_deref().filter(|marker| !marker.is_empty()) {
        Some(marker) if name_after.is_some() => Some(UploadId::parse(marker).map_err(|_| {
            ApiError::invalid_argument("upload-id-marker", marker, "Invalid uploadId marker")
        })?),
        _ => None,
    };
    let request = ListUploads {
        bucket: convert::bucket_name(&input.bucket)?,
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: delimiter(input.delimiter.as_ref()),
        name_after,
        upload_after,
        max,
    };
    let page = call.objects().list_uploads(request).await?;
    let shown = |text: &String| convert::listed(text, encoding.as_ref());
    Ok(S3Response::new(ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        prefix: Some(shown(&input.prefix.unwrap_or_default())),
        delimiter: input.delimiter.as_ref().map(shown),
        key_marker: Some(shown(&input.key_marker.unwrap_or_default())),
        upload_id_marker: Some(input.upload_id_marker.unwrap_or_default()),
        next_key_marker: page.next_name.as_ref().map(shown),
        next_upload_id_marker: page.next_upload.map(|upload| upload.to_string()),
        max_uploads: i32::try_from(max).ok(),
        is_truncated: Some(page.truncated),
        common_prefixes: common_prefixes(&page.common_prefixes, encoding.as_ref()),
        uploads: Some(page.uploads.into_iter().map(|upload| listed(upload, encoding.as_ref())).collect()),
        encoding_type: encoding,
        ..ListMultipartUploadsOutput::default()
    }))
}

fn listed(upload: ListedUpload, encoding: Option<&EncodingType>) -> MultipartUpload {
    let owner = owner();
    MultipartUpload {
        checksum_algorithm: upload.checksum.map(|(algorithm, _)| checksum::algorithm_out(algorithm)),
        checksum_type: upload.checksum.map(|(_, kind)| checksum::kind_out(kind)),
        initiated: Some(convert::time_out(upload.begun)),
        initiator: Some(Initiator { display_name: owner.display_name.clone(), id: owner.id.clone() }),
        key: Some(convert::listed(upload.name.as_str(), encoding)),
        owner: Some(owner),
        storage_class: Some(match upload.storage_class {
            Some(class) => StorageClass::from(class),
            None => StorageClass::from_static(StorageClass::STANDARD),
        }),
        upload_id: Some(upload.upload.to_string()),
    }
}
