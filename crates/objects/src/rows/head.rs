//! The head of an object's version: what a listing shows (`docs/spec/object-entry.md` §4).

use strongroom_seal::codec::{DecodeError, Reader, Writer};

use super::{
    ContentId, RowError, checked_version, read_opt_text, versioned_for_checksums, write_opt_text, writer_for,
};
use crate::{Checksum, ChecksumAlgorithm, ChecksumKind, ChecksumValue, ETag, Timestamp, VersionId};

pub(crate) const STORAGE_CLASS_LEN_MAX: usize = 64;

/// A version of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) version: VersionId,
    /// Newer versions of a name have a higher one, even if the clock went back.
    pub(crate) order: u64,
    pub(crate) mtime: Timestamp,
    pub(crate) kind: HeadKind,
}

/// What a version is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HeadKind {
    Object(ObjectHead),
    DeleteMarker,
}

/// What a listing shows of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObjectHead {
    pub(crate) size: u64,
    pub(crate) etag: ETag,
    pub(crate) content: ContentId,
    pub(crate) storage_class: Option<String>,
    /// Ascending by algorithm.
    pub(crate) checksums: Vec<Checksum>,
}

impl Head {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = writer_for(self.algorithms());
        out.u8(match self.kind {
            HeadKind::Object(_) => 1,
            HeadKind::DeleteMarker => 2,
        });
        match &self.version {
            VersionId::Null => out.u8(0),
            VersionId::Id(id) => out.u8(1).raw(id),
        };
        out.u64(self.order).u64(self.mtime.0);
        if let HeadKind::Object(object) = &self.kind {
            out.u64(object.size);
            write_etag(&mut out, &object.etag);
            out.raw(&object.content.0);
            write_opt_text(&mut out, object.storage_class.as_deref());
            out.u8(u8::try_from(object.checksums.len()).expect("there are ten algorithms"));
            for checksum in &object.checksums {
                out.u8(checksum.value.algorithm() as u8).u8(kind_number(checksum.kind)).u16(checksum.parts);
                out.raw(checksum.value.as_bytes());
            }
        }
        out.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, RowError> {
        let (mut input, row_version) = versioned_for_checksums(bytes)?;
        let kind = input.u8("kind")?;
        let version = if input.flag("version kind")? {
            match VersionId::from_bytes(*input.array("version id")?) {
                VersionId::Null => return Err(DecodeError::OutOfRange { field: "version id" }.into()),
                id => id,
            }
        } else {
            VersionId::Null
        };
        let order = input.u64("order")?;
        // An id leads to its row without a search, so it must say what the row's key says.
        if version.order().is_some_and(|named| named != order) {
            return Err(DecodeError::OutOfRange { field: "version id" }.into());
        }
        let mtime = Timestamp(input.u64("mtime")?);
        let kind = match kind {
            1 => HeadKind::Object(ObjectHead {
                size: input.u64("size")?,
                etag: read_etag(&mut input)?,
                content: ContentId(*input.array("content id")?),
                storage_class: read_opt_text(&mut input, STORAGE_CLASS_LEN_MAX, "storage class")?,
                checksums: read_checksums(&mut input)?,
            }),
            2 => HeadKind::DeleteMarker,
            _ => return Err(DecodeError::OutOfRange { field: "kind" }.into()),
        };
        input.finish("head")?;
        let head = Self { version, order, mtime, kind };
        checked_version(row_version, head.algorithms())?;
        Ok(head)
    }

    fn algorithms(&self) -> impl Iterator<Item = ChecksumAlgorithm> {
        let checksums = match &self.kind {
            HeadKind::Object(object) => object.checksums.as_slice(),
            HeadKind::DeleteMarker => &[],
        };
        checksums.iter().map(|checksum| checksum.value.algorithm())
    }
}

pub(super) fn write_etag(out: &mut Writer, etag: &ETag) {
    match etag {
        ETag::Md5(digest) => out.u8(1).raw(digest),
        ETag::Multipart { digest, parts } => out.u8(2).raw(digest).u16(*parts),
        ETag::Opaque(random) => out.u8(3).raw(random),
    };
}

pub(super) fn read_etag(input: &mut Reader<'_>) -> Result<ETag, DecodeError> {
    Ok(match input.u8("entity tag kind")? {
        1 => ETag::Md5(*input.array("entity tag")?),
        2 => ETag::Multipart { digest: *input.array("entity tag")?, parts: input.u16("entity tag parts")? },
        3 => ETag::Opaque(*input.array("entity tag")?),
        _ => return Err(DecodeError::OutOfRange { field: "entity tag kind" }),
    })
}

pub(super) fn kind_number(kind: ChecksumKind) -> u8 {
    match kind {
        ChecksumKind::FullObject => 1,
        ChecksumKind::Composite => 2,
    }
}

pub(super) fn read_kind(input: &mut Reader<'_>) -> Result<ChecksumKind, DecodeError> {
    match input.u8("checksum kind")? {
        1 => Ok(ChecksumKind::FullObject),
        2 => Ok(ChecksumKind::Composite),
        _ => Err(DecodeError::OutOfRange { field: "checksum kind" }),
    }
}

pub(super) fn read_algorithm(input: &mut Reader<'_>) -> Result<ChecksumAlgorithm, DecodeError> {
    let field = "checksum algorithm";
    ChecksumAlgorithm::from_number(input.u8(field)?).ok_or(DecodeError::OutOfRange { field })
}

pub(super) fn read_value(
    input: &mut Reader<'_>,
    algorithm: ChecksumAlgorithm,
) -> Result<ChecksumValue, DecodeError> {
    let field = "checksum value";
    let value = input.raw(algorithm.value_len(), field)?.to_vec();
    ChecksumValue::new(algorithm, value).ok_or(DecodeError::OutOfRange { field })
}

fn read_checksums(input: &mut Reader<'_>) -> Result<Vec<Checksum>, DecodeError> {
    let field = "checksums";
    let count = usize::from(input.u8(field)?);
    if count > ChecksumAlgorithm::ALL.len() {
        return Err(DecodeError::OutOfRange { field });
    }
    let mut checksums: Vec<Checksum> = Vec::with_capacity(count);
    for _ in 0..count {
        let algorithm = read_algorithm(input)?;
        let kind = read_kind(input)?;
        let parts = input.u16("checksum parts")?;
        let ordered = checksums.last().is_none_or(|last| last.value.algorithm() < algorithm);
        let counted = (kind == ChecksumKind::FullObject) == (parts == 0);
        if !ordered || !counted {
            return Err(DecodeError::OutOfRange { field });
        }
        checksums.push(Checksum { value: read_value(input, algorithm)?, kind, parts });
    }
    Ok(checksums)
}
