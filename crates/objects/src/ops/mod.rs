//! One operation per file.

mod abort_upload;
mod attributes;
mod complete_again;
mod complete_upload;
pub(crate) mod copy;
mod copy_part;
mod create_upload;
mod delete;
pub(crate) mod get;
pub(crate) mod keys_of;
pub(crate) mod list;
mod list_parts;
mod list_uploads;
mod list_versions;
pub(crate) mod put;
pub(crate) mod put_part;
pub(crate) mod rewrap_copy;
pub(crate) mod tags;
mod versioning;

pub(crate) use get::find;

#[cfg(test)]
mod tests;
