//! `/buckets/{bucket}/objects/…`: objects and their listing.

mod delete;
#[cfg(test)]
mod fuzzing;
mod get;
mod headers;
mod list;
mod put;
mod sse;

pub(super) use delete::{__path_delete, delete};
pub(super) use get::{__path_get, __path_head, get, head};
pub(super) use headers::{http_date, json_time, quoted};
pub(super) use list::{__path_list, list};
pub use list::{ListedObject, ObjectList};
pub use put::StoredObject;
pub(super) use put::{__path_put, put};
use serde::Deserialize;
pub use sse::ObjectEncryption;
use strongroom_objects::{BucketName, ObjectName, VersionId};
use utoipa::IntoParams;

use crate::refusal::Refusal;

/// Which version of an object.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct OfVersion {
    /// Its id; left out, the current one.
    version: Option<String>,
}

impl OfVersion {
    fn parse(&self) -> Result<Option<VersionId>, Refusal> {
        let message = "`version` cannot be the id of a version: take it from an answer.";
        let parse = |text: &String| {
            VersionId::parse(text).map_err(|_| Refusal::bad_request("InvalidVersion", message))
        };
        self.version.as_ref().map(parse).transpose()
    }
}

pub(super) fn bucket_name(text: &str) -> Result<BucketName, Refusal> {
    let message = "This cannot be the name of a bucket: those have 3 to 63 lower-case letters, digits, dots and \
                   hyphens, and begin and end with a letter or digit.";
    BucketName::parse(text).map_err(|_| Refusal::bad_request("InvalidBucketName", message))
}

fn object_name(text: String) -> Result<ObjectName, Refusal> {
    ObjectName::parse(text)
        .map_err(|_| Refusal::bad_request("InvalidKey", "An object's name has 1 to 1024 bytes of UTF-8."))
}
