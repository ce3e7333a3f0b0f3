//! What is in a chunk, and where chunks are cut (`docs/spec/backup.md` §4).

use std::path::Path;

use strongroom_seal::MAC_LEN;
use strongroom_seal::codec::{DecodeError, Reader};
use zeroize::Zeroizing;

use super::attachments::PATH_LEN_MAX;
use super::read::Source;
use super::writer::Writer;
use super::{BackupError, FilePath};
use crate::{COMMAND_LEN_MAX, GroupId, KEY_LEN_MAX, Lsn, VALUE_LEN_MAX};

const VERSION: u8 = 1;
/// Version and kind.
const HEAD_LEN: usize = 2;
/// Before the next item would pass this, a chunk ends.
const LEN_SOFT: usize = 4 << 20;
/// No chunk ends by its content before this.
const LEN_MIN: usize = 64 << 10;
/// The binary logarithm of the average length.
const LEN_AVERAGE_LOG: u32 = 20;
/// The longest chunk before sealing: one command alone.
pub(super) const LEN_MAX: usize = COMMAND_LEN_MAX + (64 << 10);

/// What a chunk holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Rows = 1,
    Commands = 2,
    Files = 3,
}

/// A chunk, as a manifest names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChunkRef {
    pub(super) name: [u8; MAC_LEN],
    /// Before sealing, in bytes.
    pub(super) length: u32,
}

/// A copied file, as a chunk lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileEntry {
    pub(super) path: FilePath,
    pub(super) length: u64,
    pub(super) digest: [u8; MAC_LEN],
}

/// A row's key and value.
pub(super) type Row = (Vec<u8>, Vec<u8>);

/// A command's place, its group and its payload.
pub(super) type Logged = (Lsn, GroupId, Vec<u8>);

/// Gathers items into chunks.
pub(super) struct Cutter {
    kind: Kind,
    buffer: Zeroizing<Vec<u8>>,
    chunks: Vec<ChunkRef>,
}

impl Cutter {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, buffer: Zeroizing::new(Vec::new()), chunks: Vec::new() }
    }

    pub(super) fn row(
        &mut self,
        writer: &mut Writer<'_>,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), BackupError> {
        self.make_room(writer, 8 + key.len() + value.len())?;
        let start = self.buffer.len();
        bytes(&mut self.buffer, key);
        bytes(&mut self.buffer, value);
        self.end_by_content(writer, key, start)
    }

    pub(super) fn command(
        &mut self,
        writer: &mut Writer<'_>,
        lsn: Lsn,
        group: GroupId,
        payload: &[u8],
    ) -> Result<(), BackupError> {
        self.make_room(writer, 16 + payload.len())?;
        self.buffer.extend_from_slice(&lsn.0.to_le_bytes());
        self.buffer.extend_from_slice(&group.0.to_le_bytes());
        bytes(&mut self.buffer, payload);
        Ok(())
    }

    pub(super) fn file(&mut self, writer: &mut Writer<'_>, file: &FileEntry) -> Result<(), BackupError> {
        let path = file.path.as_str().as_bytes();
        self.make_room(writer, 4 + path.len() + 8 + MAC_LEN)?;
        let start = self.buffer.len();
        bytes(&mut self.buffer, path);
        self.buffer.extend_from_slice(&file.length.to_le_bytes());
        self.buffer.extend_from_slice(&file.digest);
        self.end_by_content(writer, path, start)
    }

    /// All chunks, the last one included.
    pub(super) fn finish(mut self, writer: &mut Writer<'_>) -> Result<Vec<ChunkRef>, BackupError> {
        self.end(writer)?;
        Ok(self.chunks)
    }

    /// How many chunks are ended.
    pub(super) fn ended(&self) -> usize {
        self.chunks.len()
    }

    fn make_room(&mut self, writer: &mut Writer<'_>, length: usize) -> Result<(), BackupError> {
        if self.buffer.len() + length > LEN_SOFT {
            self.end(writer)?;
        }
        if self.buffer.is_empty() {
            self.buffer.extend_from_slice(&[VERSION, self.kind as u8]);
        }
        Ok(())
    }

    fn end_by_content(
        &mut self,
        writer: &mut Writer<'_>,
        key: &[u8],
        start: usize,
    ) -> Result<(), BackupError> {
        if self.buffer.len() < LEN_MIN {
            return Ok(());
        }
        let hash = writer.keys().cut.hash(key);
        let (first, _) = hash.split_first_chunk::<8>().expect("a hash has 32 bytes");
        // A longer item ends a chunk more often, so that chunks have one average length whatever the items have.
        let length = (self.buffer.len() - start) as u128;
        let ends = u128::from(u64::from_le_bytes(*first)) < length << (64 - LEN_AVERAGE_LOG);
        if ends { self.end(writer) } else { Ok(()) }
    }

    fn end(&mut self, writer: &mut Writer<'_>) -> Result<(), BackupError> {
        if self.buffer.len() > HEAD_LEN {
            self.chunks.push(writer.chunk(&self.buffer)?);
        }
        self.buffer.clear();
        Ok(())
    }
}

fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("keys, values and payloads are bounded");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
}

/// The items of a chunk, if it is one of this kind: there is at least one.
pub(super) fn items(kind: Kind, chunk: &[u8]) -> Option<&[u8]> {
    chunk.strip_prefix(&[VERSION, kind as u8]).filter(|items| !items.is_empty())
}

pub(super) fn read_row(input: &mut Reader<'_>) -> Result<Row, DecodeError> {
    let key = input.bytes(KEY_LEN_MAX, "key")?.to_vec();
    Ok((key, input.bytes(VALUE_LEN_MAX, "value")?.to_vec()))
}

pub(super) fn read_command(input: &mut Reader<'_>) -> Result<Logged, DecodeError> {
    let (lsn, group) = (Lsn(input.u64("lsn")?), GroupId(input.u32("group")?));
    Ok((lsn, group, input.bytes(COMMAND_LEN_MAX, "command")?.to_vec()))
}

pub(super) fn read_file_entry(input: &mut Reader<'_>) -> Result<FileEntry, DecodeError> {
    let path = FilePath::parse(input.text(PATH_LEN_MAX, "path")?);
    let path = path.ok_or(DecodeError::OutOfRange { field: "path" })?;
    Ok(FileEntry { path, length: input.u64("length")?, digest: *input.array("digest")? })
}

/// The items of chunks, one after the other.
pub(super) struct Items<'a> {
    source: &'a Source,
    kind: Kind,
    chunks: std::slice::Iter<'a, ChunkRef>,
    open: Option<(&'a ChunkRef, Zeroizing<Vec<u8>>)>,
    at: usize,
}

impl<'a> Items<'a> {
    pub(super) fn new(source: &'a Source, kind: Kind, chunks: &'a [ChunkRef]) -> Self {
        Self { source, kind, chunks: chunks.iter(), open: None, at: 0 }
    }

    pub(super) fn row(&mut self) -> Result<Option<Row>, BackupError> {
        self.next(read_row)
    }

    pub(super) fn command(&mut self) -> Result<Option<Logged>, BackupError> {
        self.next(read_command)
    }

    pub(super) fn file(&mut self) -> Result<Option<FileEntry>, BackupError> {
        self.next(read_file_entry)
    }

    /// The file that the item read last was in, for what is wrong with it.
    pub(super) fn malformed(&self) -> BackupError {
        match &self.open {
            Some((chunk, _)) => {
                BackupError::damage(&self.source.chunk_path(chunk), "its items are malformed")
            }
            None => BackupError::damage(Path::new("chunks"), "an item is missing"),
        }
    }

    fn next<T>(
        &mut self,
        decode: impl FnOnce(&mut Reader<'_>) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, BackupError> {
        while self.open.as_ref().is_none_or(|(_, bytes)| self.at == bytes.len()) {
            let Some(chunk) = self.chunks.next() else { return Ok(None) };
            let bytes = self.source.chunk(chunk)?;
            let right = items(self.kind, &bytes).is_some();
            self.open = Some((chunk, bytes));
            self.at = HEAD_LEN;
            if !right {
                return Err(self.malformed());
            }
        }
        let Some((_, bytes)) = &self.open else { return Ok(None) };
        let mut input = Reader::new(&bytes[self.at..]);
        let before = input.remaining();
        match decode(&mut input) {
            Ok(item) => {
                self.at += before - input.remaining();
                Ok(Some(item))
            }
            Err(_) => Err(self.malformed()),
        }
    }
}
