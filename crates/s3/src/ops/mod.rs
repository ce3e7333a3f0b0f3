//! One operation per file: the library's input in, a request to `objects`, the library's output out.

pub(crate) mod abort_multipart_upload;
pub(crate) mod acl;
pub(crate) mod bucket_encryption;
pub(crate) mod bucket_settings;
mod common;
pub(crate) mod complete_multipart_upload;
pub(crate) mod copy_object;
pub(crate) mod create_bucket;
pub(crate) mod create_multipart_upload;
pub(crate) mod delete_bucket;
pub(crate) mod delete_object;
pub(crate) mod delete_objects;
pub(crate) mod get_object;
pub(crate) mod get_object_attributes;
pub(crate) mod head_bucket;
pub(crate) mod head_object;
pub(crate) mod list_buckets;
pub(crate) mod list_multipart_uploads;
pub(crate) mod list_object_versions;
pub(crate) mod list_objects;
pub(crate) mod list_objects_v2;
pub(crate) mod list_parts;
pub(crate) mod object_tagging;
pub(crate) mod put_object;
mod take;
pub(crate) mod upload_part;
pub(crate) mod upload_part_copy;
