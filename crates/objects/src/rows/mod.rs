//! Rows of the index: their keys and values.
//!
//! Layout: `docs/spec/object-entry.md`.

mod body;
mod bucket;
mod document;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod head;
mod key;
mod upload;

use strongroom_seal::codec::{DecodeError, Reader, Writer};

pub(crate) use body::{Body, CLIENT_CONTEXT_LEN_MAX, ContentAt, PartAt, SealedAs, SseRow, TEXT_LEN_MAX};
pub(crate) use bucket::{BucketRow, GroupState, OWNER_LEN_MAX};
pub(crate) use document::{
    decode_document, document as document_key, document_of_key, encode_document, system_documents,
};
pub(crate) use head::{Head, HeadKind, ObjectHead, STORAGE_CLASS_LEN_MAX};
pub(crate) use key::{
    BLOBS_SWEPT, STATE, body as body_key, body_of_key, end_of_prefix, garbage as garbage_key,
    head as head_key, null_version as null_version_key, owner as owner_key, part as part_key, system_buckets,
    table, upload as upload_key, upload_of_key, uploads_of, version as version_key, version_of_key,
    versions_of,
};
pub(crate) use key::{BlobId, ContentId, Prefix, bucket as bucket_key};
pub(crate) use upload::{PartRow, UploadRow, of_key_and_value as upload_row};

use crate::{ChecksumAlgorithm, ObjectError};

const VERSION: u8 = 1;

/// The value of owner rows: there is nothing to say but that they are there.
pub(crate) const PRESENT: [u8; 1] = [VERSION];

/// Why a value is not a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowError {
    /// Written by a newer program.
    TooNew(u8),
    /// Not an encoding.
    Malformed(DecodeError),
}

impl From<DecodeError> for RowError {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(error)
    }
}

impl RowError {
    /// The error of a row of `table` that is no object's.
    pub(crate) fn of(self, table: &'static str) -> ObjectError {
        match self {
            Self::TooNew(version) => ObjectError::TooNew { table, version },
            Self::Malformed(_) => ObjectError::DamagedRow { table },
        }
    }
}

/// The version of rows that name a checksum algorithm which programs before it did not know: for those they are too new, and
/// not damaged. All other rows keep the version that every program reads.
const VERSION_OF_MORE_CHECKSUMS: u8 = 2;

/// The version of a row with checksums of these algorithms. There is one for each row, so that a value has one encoding.
fn version_for(algorithms: impl IntoIterator<Item = ChecksumAlgorithm>) -> u8 {
    match algorithms.into_iter().any(|algorithm| algorithm > ChecksumAlgorithm::Sha256) {
        true => VERSION_OF_MORE_CHECKSUMS,
        false => VERSION,
    }
}

/// [`versioned`] of a row that may name checksum algorithms. The version is to be checked with [`checked_version`] once they are known.
fn versioned_for_checksums(bytes: &[u8]) -> Result<(Reader<'_>, u8), RowError> {
    let mut input = Reader::new(bytes);
    match input.u8("version")? {
        version @ (VERSION | VERSION_OF_MORE_CHECKSUMS) => Ok((input, version)),
        version if version > VERSION_OF_MORE_CHECKSUMS => Err(RowError::TooNew(version)),
        _ => Err(DecodeError::OutOfRange { field: "version" }.into()),
    }
}

/// Refuses a version that is not the one of the row's algorithms.
fn checked_version(
    version: u8,
    algorithms: impl IntoIterator<Item = ChecksumAlgorithm>,
) -> Result<(), DecodeError> {
    match version == version_for(algorithms) {
        true => Ok(()),
        false => Err(DecodeError::OutOfRange { field: "version" }),
    }
}

/// A value with checksums of these algorithms.
fn writer_for(algorithms: impl IntoIterator<Item = ChecksumAlgorithm>) -> Writer {
    let mut out = Writer::new();
    out.u8(version_for(algorithms));
    out
}

/// Reads the version byte.
pub(crate) fn versioned(bytes: &[u8]) -> Result<Reader<'_>, RowError> {
    let mut input = Reader::new(bytes);
    match input.u8("version")? {
        VERSION => Ok(input),
        version if version > VERSION => Err(RowError::TooNew(version)),
        _ => Err(DecodeError::OutOfRange { field: "version" }.into()),
    }
}

/// A value that begins with its version.
pub(crate) fn writer() -> Writer {
    let mut out = Writer::new();
    out.u8(VERSION);
    out
}

pub(crate) fn write_opt_text(out: &mut Writer, text: Option<&str>) {
    match text {
        Some(text) => out.u8(1).text(text),
        None => out.u8(0),
    };
}

pub(crate) fn read_opt_text(
    input: &mut Reader<'_>,
    most: usize,
    field: &'static str,
) -> Result<Option<String>, DecodeError> {
    Ok(if input.flag(field)? { Some(input.text(most, field)?.to_owned()) } else { None })
}

/// Where the null version of a name is: the order of its head.
pub(crate) fn encode_order(order: u64) -> Vec<u8> {
    let mut out = writer();
    out.u64(order);
    out.finish()
}

/// Reads [`encode_order`]'s output.
pub(crate) fn decode_order(bytes: &[u8]) -> Result<u64, RowError> {
    let mut input = versioned(bytes)?;
    let order = input.u64("order")?;
    input.finish("null version")?;
    Ok(order)
}

/// An epoch: up to which nothing is left to sweep, or in which a blob became garbage.
pub(crate) fn encode_epoch(epoch: u32) -> Vec<u8> {
    let mut out = writer();
    out.u32(epoch);
    out.finish()
}

/// Reads [`encode_epoch`]'s output.
pub(crate) fn decode_epoch(bytes: &[u8]) -> Result<u32, RowError> {
    let mut input = versioned(bytes)?;
    let epoch = input.u32("epoch")?;
    input.finish("epoch")?;
    Ok(epoch)
}

#[cfg(test)]
mod tests;
