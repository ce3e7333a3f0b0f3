//! Rows of multipart uploads and their parts (`docs/spec/object-entry.md` §6).

use super::body::{read_group_key_id, read_meta, read_sse, write_meta, write_sse};
use super::head::{
    STORAGE_CLASS_LEN_MAX, kind_number, read_algorithm, read_etag, read_kind, read_value, write_etag,
};
use super::{
    BlobId, ContentId, RowError, SseRow, checked_version, read_opt_text, upload_of_key,
    versioned_for_checksums, write_opt_text, writer_for,
};
use crate::{
    ChecksumAlgorithm, ChecksumKind, ChecksumValue, ETag, ObjectError, ObjectMeta, ObjectName, Timestamp,
    UploadId,
};

/// A row of the table of uploads: the name, the upload's id, and what is known of it.
pub(crate) fn of_key_and_value(
    key: &[u8],
    value: &[u8],
) -> Result<(ObjectName, UploadId, UploadRow), ObjectError> {
    let (name, upload) = upload_of_key(key).ok_or(ObjectError::DamagedRow { table: "upload" })?;
    Ok((name, upload, UploadRow::decode(value).map_err(|error| error.of("upload"))?))
}

/// An upload that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UploadRow {
    pub(crate) begun: Timestamp,
    pub(crate) content: ContentId,
    pub(crate) sse: SseRow,
    /// What the client named; without it parts have CRC64NVME.
    pub(crate) checksum: Option<(ChecksumAlgorithm, ChecksumKind)>,
    /// With the storage class.
    pub(crate) meta: ObjectMeta,
}

impl UploadRow {
    /// What the object will have.
    pub(crate) fn checksum_or_default(&self) -> (ChecksumAlgorithm, ChecksumKind) {
        self.checksum.unwrap_or((ChecksumAlgorithm::Crc64Nvme, ChecksumKind::FullObject))
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = writer_for(self.checksum.map(|(algorithm, _)| algorithm));
        out.u64(self.begun.0).raw(&self.content.0);
        write_sse(&mut out, &self.sse);
        match self.checksum {
            Some((algorithm, kind)) => out.u8(1).u8(algorithm as u8).u8(kind_number(kind)),
            None => out.u8(0),
        };
        write_opt_text(&mut out, self.meta.system.storage_class.as_deref());
        write_meta(&mut out, &self.meta);
        out.finish()
    }

    /// The id of the group's key that wraps the object key of this row, if one does.
    pub(crate) fn group_key_id(bytes: &[u8]) -> Result<Option<u32>, RowError> {
        let (mut input, _) = versioned_for_checksums(bytes)?;
        input.raw(8 + size_of::<ContentId>(), "begun and content id")?;
        Ok(read_group_key_id(&mut input)?)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, RowError> {
        let (mut input, version) = versioned_for_checksums(bytes)?;
        let begun = Timestamp(input.u64("begun")?);
        let content = ContentId(*input.array("content id")?);
        let sse = read_sse(&mut input)?;
        let checksum = if input.flag("checksum")? {
            Some((read_algorithm(&mut input)?, read_kind(&mut input)?))
        } else {
            None
        };
        let storage_class = read_opt_text(&mut input, STORAGE_CLASS_LEN_MAX, "storage class")?;
        let mut meta = read_meta(&mut input)?;
        meta.system.storage_class = storage_class;
        input.finish("upload row")?;
        checked_version(version, checksum.map(|(algorithm, _)| algorithm))?;
        Ok(Self { begun, content, sse, checksum, meta })
    }
}

/// A part that was uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartRow {
    pub(crate) mtime: Timestamp,
    pub(crate) size: u64,
    pub(crate) etag: ETag,
    pub(crate) blob: BlobId,
    pub(crate) checksum: ChecksumValue,
}

impl PartRow {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = writer_for([self.checksum.algorithm()]);
        out.u64(self.mtime.0).u64(self.size);
        write_etag(&mut out, &self.etag);
        out.raw(&self.blob.to_bytes());
        out.u8(self.checksum.algorithm() as u8).raw(self.checksum.as_bytes());
        out.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, RowError> {
        let (mut input, version) = versioned_for_checksums(bytes)?;
        let mtime = Timestamp(input.u64("mtime")?);
        let size = input.u64("size")?;
        let etag = read_etag(&mut input)?;
        let blob = BlobId::from_bytes(input.array("blob id")?);
        let algorithm = read_algorithm(&mut input)?;
        let checksum = read_value(&mut input, algorithm)?;
        input.finish("part row")?;
        checked_version(version, [algorithm])?;
        Ok(Self { mtime, size, etag, blob, checksum })
    }
}
