//! Rows of buckets' documents (`docs/spec/object-entry.md` §2).

use strongroom_seal::codec::DecodeError;
use strongroom_store::GroupId;

use super::key::{DOCUMENTS, end_of_prefix};
use super::{RowError, versioned, writer};
use crate::DocumentKind;

/// The row of a document in the system group.
pub(crate) fn document(kind: DocumentKind, group: GroupId) -> Vec<u8> {
    let mut key = DOCUMENTS.to_vec();
    key.push(kind.number());
    key.extend_from_slice(&group.0.to_be_bytes());
    key
}

/// The first key of document rows and the first past them.
pub(crate) fn system_documents() -> (Vec<u8>, Vec<u8>) {
    (DOCUMENTS.to_vec(), end_of_prefix(DOCUMENTS))
}

/// The kind and the bucket's group that a document's key has.
pub(crate) fn document_of_key(key: &[u8]) -> Option<(DocumentKind, GroupId)> {
    let (kind, group) = key.strip_prefix(DOCUMENTS)?.split_first()?;
    Some((DocumentKind::of_number(*kind)?, GroupId(u32::from_be_bytes(group.try_into().ok()?))))
}

/// The value of a document's row.
pub(crate) fn encode_document(bytes: &[u8]) -> Vec<u8> {
    let mut out = writer();
    out.bytes(bytes);
    out.finish()
}

/// Reads [`encode_document`]'s output.
pub(crate) fn decode_document(kind: DocumentKind, value: &[u8]) -> Result<&[u8], RowError> {
    let mut input = versioned(value)?;
    let bytes = input.bytes(kind.len_max(), "document")?;
    if bytes.is_empty() {
        return Err(DecodeError::OutOfRange { field: "document" }.into());
    }
    input.finish("document")?;
    Ok(bytes)
}
