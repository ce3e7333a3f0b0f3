//! `DeleteObjects`.

use http::HeaderMap;
use s3s::S3Response;
use s3s::dto::{DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, Error, ObjectIdentifier};
use strongroom_objects::request::{DeleteItem, DeleteResult};
use strongroom_objects::{EntityTags, VersionId};

use super::common::delete_conditions;
use crate::checksum;
use crate::convert;
use crate::error::{ApiError, Subject, answer};
use crate::face::{Answer, Call};

/// Most objects of one request (AWS).
const OBJECTS_MAX: usize = 1000;

pub(crate) async fn run(call: Call, input: DeleteObjectsInput) -> Answer<DeleteObjectsOutput> {
    let bucket = convert::bucket_name(&input.bucket)?;
    require_digest(&call.headers)?;
    let asked = input.delete.objects;
    if asked.is_empty() || asked.len() > OBJECTS_MAX {
        return Err(ApiError::malformed_xml());
    }
    let mut errors = Vec::new();
    let mut names = Vec::with_capacity(asked.len());
    let mut items = Vec::with_capacity(asked.len());
    for object in asked {
        let named = (object.key.clone(), object.version_id.clone());
        match item(&call, &input.bucket, object).await {
            Ok(item) => {
                names.push(named);
                items.push(item);
            }
            Err(error) => errors.push(refused(named, error)),
        }
    }
    let mut deleted = Vec::new();
    // A bucket that is not there is one error, not one for each object.
    call.objects().head_bucket(&bucket).await?;
    let outcomes = call.objects().delete_many(&bucket, items).await;
    for (named, outcome) in names.into_iter().zip(outcomes) {
        match outcome {
            Ok(result) => deleted.push(done(named, result)),
            Err(error) => {
                let told = answer(&error, Subject { key: Some(&named.0), ..Subject::default() });
                errors.push(refused(named, told));
            }
        }
    }
    let quiet = input.delete.quiet == Some(true);
    Ok(S3Response::new(DeleteObjectsOutput {
        deleted: (!quiet && !deleted.is_empty()).then_some(deleted),
        errors: (!errors.is_empty()).then_some(errors),
        ..DeleteObjectsOutput::default()
    }))
}

/// AWS wants a digest of the list. A signature that covers the list does as well.
fn require_digest(headers: &HeaderMap) -> Result<(), ApiError> {
    let digest = |name: &str| name == "content-md5" || name == "x-amz-trailer" || checksum::is_value(name);
    let signed = headers.get("x-amz-content-sha256").is_some_and(|value| {
        !matches!(value.as_bytes(), b"UNSIGNED-PAYLOAD" | b"STREAMING-UNSIGNED-PAYLOAD-TRAILER")
    });
    match signed || headers.keys().any(|name| digest(name.as_str())) {
        true => Ok(()),
        false => Err(ApiError::invalid_request(
            "Missing required header for this request: Content-MD5 OR x-amz-checksum-*",
        )),
    }
}

/// An object's name and version as the request has them.
type Named = (String, Option<String>);

async fn item(call: &Call, bucket: &str, object: ObjectIdentifier) -> Result<DeleteItem, ApiError> {
    let bypass = call.authorise_one_of_batch(bucket, &object).await?;
    let tags = |tag: String| match tag.as_str() {
        "*" => EntityTags::Any,
        _ => EntityTags::Tags(vec![tag]),
    };
    Ok(DeleteItem {
        name: convert::object_name(object.key)?,
        version: version(object.version_id.as_deref())?,
        conditions: delete_conditions(
            object.e_tag.map(|tag| tags(tag.into_value())),
            object.size,
            object.last_modified_time,
            bypass,
        )?,
    })
}

/// A version of an object in a batch. What cannot be an id is that of no version: one object's error, as on AWS.
fn version(text: Option<&str>) -> Result<Option<VersionId>, ApiError> {
    let none = |_| {
        let message = "The specified version does not exist.";
        ApiError::new(http::StatusCode::NOT_FOUND, "NoSuchVersion", message)
    };
    text.map(|text| VersionId::parse(text).map_err(none)).transpose()
}

fn done((key, version): Named, result: DeleteResult) -> DeletedObject {
    DeletedObject {
        delete_marker: Some(true).filter(|_| result.delete_marker),
        delete_marker_version_id: convert::version_out(result.version).filter(|_| result.delete_marker),
        key: Some(key),
        version_id: version,
    }
}

fn refused((key, version_id): Named, error: ApiError) -> Error {
    Error {
        code: Some(error.code.into_owned()),
        key: Some(key),
        message: Some(error.message.into_owned()),
        version_id,
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn a_list_that_nothing_covers_is_refused() {
        let with = |name, value| {
            let pair = (HeaderName::from_static(name), HeaderValue::from_static(value));
            require_digest(&HeaderMap::from_iter([pair])).is_ok()
        };
        assert!(with("content-md5", "x") && with("x-amz-checksum-crc32", "x"));
        assert!(with("x-amz-content-sha256", "00"));
        assert!(!with("x-amz-content-sha256", "UNSIGNED-PAYLOAD"));
        assert!(!with("x-amz-checksum-type", "x"));
        assert!(require_digest(&HeaderMap::new()).is_err());
    }
}
