//! A snapshot's manifest (`docs/spec/backup.md` §5).

use crc_fast::{CrcAlgorithm, checksum};
use strongroom_seal::codec::{DecodeError, Reader, Writer};
use strongroom_seal::{Context, Envelope, Label, MAC_LEN};

use super::chunk::ChunkRef;
use super::keys::TargetId;
use crate::directory::StoreId;
use crate::{GroupId, Lsn};

pub(super) const VERSION: u16 = 1;
pub(super) const LEN_MAX: u64 = 256 << 20;
const MAGIC: &[u8; 8] = b"SRBACKUP";
const ENVELOPE_LEN_MAX: usize = 20_000;
const KEYRING_LEN_MAX: usize = 64 << 20;
const GROUP_LEN_MIN: usize = 4 + 8 + 8 + 8 + 4;
const CHUNK_LEN: usize = MAC_LEN + 4;

/// What is readable without a key: whose snapshot it is and who can open it.
#[derive(Debug, Clone)]
pub(super) struct Header {
    pub(super) target: TargetId,
    pub(super) store: StoreId,
    pub(super) number: u64,
    pub(super) wrapped: Envelope,
    /// As in the file, checksum included: the body is bound to exactly these.
    pub(super) bytes: Vec<u8>,
}

/// Why bytes are no manifest.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeaderError {
    TooNew(u16),
    Malformed(&'static str),
}

impl From<DecodeError> for HeaderError {
    fn from(_: DecodeError) -> Self {
        Self::Malformed("its header is malformed")
    }
}

impl Header {
    pub(super) fn new(target: TargetId, store: StoreId, number: u64, wrapped: Envelope) -> Self {
        let bytes = Self::written(target, store, number, &wrapped.encode());
        Self { target, store, number, wrapped, bytes }
    }

    /// The bytes of a header with this envelope, with their checksum.
    pub(super) fn written(target: TargetId, store: StoreId, number: u64, envelope: &[u8]) -> Vec<u8> {
        let mut out = Writer::new();
        out.raw(MAGIC).u16(VERSION).u16(0).raw(&target.0).raw(&store.0).u64(number).bytes(envelope);
        let mut bytes = out.finish();
        let sum = crc32c(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Splits a file into header and sealed body.
    pub(super) fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), HeaderError> {
        let mut input = Reader::new(bytes);
        if input.array::<8>("magic")? != MAGIC {
            return Err(HeaderError::Malformed("it does not start as a manifest does"));
        }
        let version = input.u16("version")?;
        if version > VERSION {
            return Err(HeaderError::TooNew(version));
        }
        if version != VERSION || input.u16("reserved")? != 0 {
            return Err(HeaderError::Malformed("its header is malformed"));
        }
        let (target, store) = (TargetId(*input.array("target id")?), StoreId(*input.array("store id")?));
        let number = input.u64("number")?;
        let wrapped = input.bytes(ENVELOPE_LEN_MAX, "backup key")?;
        let summed = bytes.len() - input.remaining();
        if input.u32("header checksum")? != crc32c(&bytes[..summed]) {
            return Err(HeaderError::Malformed("its header does not match its checksum"));
        }
        let wrapped = Envelope::decode(wrapped)
            .map_err(|_| HeaderError::Malformed("the envelope in its header is malformed"))?;
        let (header, body) = bytes.split_at(bytes.len() - input.remaining());
        Ok((Self { target, store, number, wrapped, bytes: header.to_vec() }, body))
    }

    pub(super) fn context(&self) -> Context {
        Context::new(Label::BackupManifest, self.bytes.as_slice())
    }
}

/// What a snapshot consists of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Manifest {
    /// Seconds since 1970.
    pub(super) taken_at: u64,
    pub(super) from: Lsn,
    pub(super) to: Lsn,
    /// The newest log segment at `to`.
    pub(super) segment: u64,
    pub(super) keyring: Vec<u8>,
    /// Ascending by group.
    pub(super) groups: Vec<GroupPart>,
    pub(super) commands: u64,
    pub(super) command_chunks: Vec<ChunkRef>,
    pub(super) files: u64,
    pub(super) file_bytes: u64,
    /// Files that rows stood for, ascending by path.
    pub(super) file_chunks: Vec<ChunkRef>,
    /// Files that rows written meanwhile stand for.
    pub(super) late_file_chunks: Vec<ChunkRef>,
    pub(super) written: Written,
}

/// The rows of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GroupPart {
    pub(super) group: GroupId,
    pub(super) lsn: Lsn,
    /// What its page file's root was at.
    pub(super) root: u64,
    pub(super) rows: u64,
    pub(super) chunks: Vec<ChunkRef>,
}

/// What was not in the target before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Written {
    pub(super) chunks: u64,
    pub(super) chunk_bytes: u64,
    pub(super) files: u64,
    pub(super) file_bytes: u64,
}

impl Manifest {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u64(self.taken_at).u64(self.from.0).u64(self.to.0).u64(self.segment).bytes(&self.keyring);
        out.u32(count(self.groups.len()));
        for part in &self.groups {
            out.u32(part.group.0).u64(part.lsn.0).u64(part.root).u64(part.rows);
            write_chunks(&mut out, &part.chunks);
        }
        out.u64(self.commands);
        write_chunks(&mut out, &self.command_chunks);
        out.u64(self.files).u64(self.file_bytes);
        write_chunks(&mut out, &self.file_chunks);
        write_chunks(&mut out, &self.late_file_chunks);
        let Written { chunks, chunk_bytes, files, file_bytes } = self.written;
        out.u64(chunks).u64(chunk_bytes).u64(files).u64(file_bytes);
        out.finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        let taken_at = input.u64("time")?;
        let (from, to) = (Lsn(input.u64("from")?), Lsn(input.u64("to")?));
        let segment = input.u64("segment")?;
        let keyring = input.bytes(KEYRING_LEN_MAX, "keyring")?.to_vec();
        let mut groups: Vec<GroupPart> = Vec::new();
        for _ in 0..input.count(GROUP_LEN_MIN, "groups")? {
            let part = GroupPart {
                group: GroupId(input.u32("group")?),
                lsn: Lsn(input.u64("group's lsn")?),
                root: input.u64("group's root")?,
                rows: input.u64("group's rows")?,
                chunks: read_chunks(&mut input)?,
            };
            if groups.last().is_some_and(|last| last.group >= part.group) {
                return Err(DecodeError::OutOfRange { field: "group" });
            }
            groups.push(part);
        }
        let commands = input.u64("commands")?;
        let command_chunks = read_chunks(&mut input)?;
        let (files, file_bytes) = (input.u64("files")?, input.u64("bytes of files")?);
        let (file_chunks, late_file_chunks) = (read_chunks(&mut input)?, read_chunks(&mut input)?);
        let written = Written {
            chunks: input.u64("new chunks")?,
            chunk_bytes: input.u64("new bytes")?,
            files: input.u64("new files")?,
            file_bytes: input.u64("new files' bytes")?,
        };
        input.finish("manifest")?;
        Ok(Self {
            taken_at,
            from,
            to,
            segment,
            keyring,
            groups,
            commands,
            command_chunks,
            files,
            file_bytes,
            file_chunks,
            late_file_chunks,
            written,
        })
    }
}

fn write_chunks(out: &mut Writer, chunks: &[ChunkRef]) {
    out.u32(count(chunks.len()));
    for chunk in chunks {
        out.raw(&chunk.name).u32(chunk.length);
    }
}

fn read_chunks(input: &mut Reader<'_>) -> Result<Vec<ChunkRef>, DecodeError> {
    let count = input.count(CHUNK_LEN, "chunks")?;
    let mut chunks = Vec::with_capacity(count);
    for _ in 0..count {
        let chunk = ChunkRef { name: *input.array("chunk")?, length: input.u32("chunk's length")? };
        if chunk.length as usize > super::chunk::LEN_MAX {
            return Err(DecodeError::OutOfRange { field: "chunk's length" });
        }
        chunks.push(chunk);
    }
    Ok(chunks)
}

fn count(count: usize) -> u32 {
    u32::try_from(count).expect("a manifest is bounded far below 2^32 of anything")
}

fn crc32c(bytes: &[u8]) -> u32 {
    // The algorithm has 32 bits.
    u32::try_from(checksum(CrcAlgorithm::Crc32Iscsi, bytes)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Manifest {
        let chunk = |byte| ChunkRef { name: [byte; MAC_LEN], length: u32::from(byte) };
        Manifest {
            taken_at: 1_700_000_000,
            from: Lsn(4),
            to: Lsn(9),
            segment: 3,
            keyring: vec![1, 2, 3],
            groups: vec![
                GroupPart { group: GroupId(0), lsn: Lsn(4), root: 7, rows: 2, chunks: vec![chunk(1)] },
                GroupPart { group: GroupId(5), lsn: Lsn(8), root: 1, rows: 0, chunks: vec![] },
            ],
            commands: 2,
            command_chunks: vec![chunk(2)],
            files: 3,
            file_bytes: 99,
            file_chunks: vec![chunk(3), chunk(4)],
            late_file_chunks: vec![chunk(5)],
            written: Written { chunks: 5, chunk_bytes: 500, files: 1, file_bytes: 33 },
        }
    }

    #[test]
    fn a_manifest_reads_back_and_no_cut_of_it_does() {
        let bytes = example().encode();
        assert_eq!(Manifest::decode(&bytes), Ok(example()));
        for cut in 0..bytes.len() {
            assert!(Manifest::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn what_decodes_has_one_encoding() {
        let bytes = example().encode();
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x41;
            if let Ok(manifest) = Manifest::decode(&flipped) {
                assert_eq!(manifest.encode(), flipped, "byte {at}");
            }
        }
    }

    #[test]
    fn a_header_reads_back_and_any_flip_in_it_is_noticed() {
        let wrapped = Envelope { provider: "p".into(), key_id: "k".into(), key_version: 1, blob: vec![5; 9] };
        let header = Header::new(TargetId([1; 16]), StoreId([2; 16]), 3, wrapped);
        let file = [header.bytes.as_slice(), b"body"].concat();
        let (read, body) = Header::parse(&file).unwrap();
        assert_eq!((read.number, read.bytes.as_slice(), body), (3, header.bytes.as_slice(), &b"body"[..]));
        for at in 0..header.bytes.len() {
            let mut flipped = file.clone();
            flipped[at] ^= 1;
            assert!(Header::parse(&flipped).is_err(), "byte {at}");
            assert!(Header::parse(&file[..at]).is_err(), "cut at {at}");
        }
    }
}
