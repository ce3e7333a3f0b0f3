//! What pages were before they are moved to another key, on disk (`docs/spec/pages.md` §13.1).

use std::io;

use strongroom_seal::codec::{DecodeError, Reader, Writer};
use strongroom_seal::{Context, GroupKey, Label, Random, record};

use super::entry::{ENTRY_LEN, Entry};
use super::geometry::{LENGTH_MAX, PAGE, PAGE_LEN};
use super::keys::{FileId, PageKeys};
use crate::GroupId;
use crate::disk::DiskFile;

/// Pages in one journal.
pub(super) const PAGES_MAX: usize = 256;

const MAGIC: [u8; 8] = *b"SR-MOVES";
const VERSION: u32 = 1;
const HEADER_LEN: usize = 64;
const RESERVED_LEN: usize = 20;
const ITEM_LEN: usize = size_of::<u64>() + ENTRY_LEN;

/// A data page as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Was {
    pub(super) page: u64,
    pub(super) entry: Entry,
    /// Its ciphertext, one page long.
    pub(super) sealed: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Header {
    group: GroupId,
    file: FileId,
    key_id: u32,
    record_len: u32,
    count: u32,
}

impl Header {
    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.raw(&MAGIC).u32(VERSION).u32(self.group.0).raw(&self.file);
        out.u32(self.key_id).u32(self.record_len).u32(self.count).raw(&[0; RESERVED_LEN]);
        out.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let out_of_range = |field| DecodeError::OutOfRange { field };
        let mut fields = Reader::new(bytes);
        if *fields.array("magic")? != MAGIC {
            return Err(out_of_range("magic"));
        }
        if fields.u32("version")? != VERSION {
            return Err(out_of_range("version"));
        }
        let header = Self {
            group: GroupId(fields.u32("group")?),
            file: *fields.array("file id")?,
            key_id: fields.u32("key id")?,
            record_len: fields.u32("record length")?,
            count: fields.u32("page count")?,
        };
        if *fields.array::<RESERVED_LEN>("reserved")? != [0; RESERVED_LEN] {
            return Err(out_of_range("reserved"));
        }
        fields.finish("journal header")?;
        let count = header.count as usize;
        if count == 0 || count > PAGES_MAX || header.record_len as usize != record_len(count) {
            return Err(out_of_range("page count"));
        }
        Ok(header)
    }
}

fn record_len(count: usize) -> usize {
    count * ITEM_LEN + record::OVERHEAD
}

/// Where the ciphertexts start.
fn pages_at(count: usize) -> usize {
    (HEADER_LEN + record_len(count)).next_multiple_of(PAGE_LEN)
}

/// The journal's bytes. `pages` ascend and are between 1 and [`PAGES_MAX`].
pub(super) fn encode(
    pages: &[&Was],
    group: GroupId,
    file: FileId,
    (key_id, key): (u32, &GroupKey),
    random: &dyn Random,
) -> Vec<u8> {
    let count = u32::try_from(pages.len()).expect("a journal has at most 256 pages");
    let record_len = u32::try_from(record_len(pages.len())).expect("a list of 256 pages is short");
    let mut list = Writer::new();
    for was in pages {
        list.u64(was.page).raw(was.entry.as_bytes());
    }
    let mut out = Header { group, file, key_id, record_len, count }.encode();
    let sealed = record::seal(key, &Context::new(Label::PageMoves, out.as_slice()), &list.finish(), random);
    out.extend_from_slice(&sealed);
    out.resize(pages_at(pages.len()), 0);
    for was in pages {
        out.extend_from_slice(&was.sealed);
    }
    out
}

/// The pages in the journal of a page file; none if a crash cut its writing short, or if it is another file's. What is
/// put back must still open: nothing here says that the ciphertexts are whole.
pub(super) fn read(
    journal: &dyn DiskFile,
    group: GroupId,
    file: FileId,
    keys: &PageKeys,
) -> io::Result<Vec<Was>> {
    let mut header_bytes = [0; HEADER_LEN];
    if !fill(journal, &mut header_bytes, 0)? {
        return Ok(Vec::new());
    }
    let Ok(header) = Header::decode(&header_bytes) else { return Ok(Vec::new()) };
    let Some(key) = keys.find(header.key_id) else { return Ok(Vec::new()) };
    if header.group != group || header.file != file {
        return Ok(Vec::new());
    }
    let count = header.count as usize;
    let mut sealed = vec![0; record_len(count)];
    if !fill(journal, &mut sealed, HEADER_LEN as u64)? {
        return Ok(Vec::new());
    }
    let context = Context::new(Label::PageMoves, header_bytes.as_slice());
    let Ok(list) = record::open(key, &context, &sealed) else { return Ok(Vec::new()) };
    let Ok(items) = decode_list(&list, count) else { return Ok(Vec::new()) };
    let mut pages = Vec::with_capacity(count);
    for (index, (page, entry)) in items.into_iter().enumerate() {
        let mut sealed = vec![0; PAGE_LEN];
        // The file ends where its writing was cut short: then nothing was overwritten yet.
        if !fill(journal, &mut sealed, (pages_at(count) + index * PAGE_LEN) as u64)? {
            return Ok(Vec::new());
        }
        pages.push(Was { page, entry, sealed });
    }
    Ok(pages)
}

pub(super) fn decode_list(list: &[u8], count: usize) -> Result<Vec<(u64, Entry)>, DecodeError> {
    let mut fields = Reader::new(list);
    let mut items: Vec<(u64, Entry)> = Vec::with_capacity(count);
    for _ in 0..count {
        let page = fields.u64("page")?;
        if page == 0 || page >= LENGTH_MAX / PAGE || items.last().is_some_and(|(last, _)| *last >= page) {
            return Err(DecodeError::OutOfRange { field: "page" });
        }
        items.push((page, Entry::from_bytes(*fields.array("entry")?)));
    }
    fields.finish("list of moved pages")?;
    Ok(items)
}

/// `false` if the file ends before.
fn fill(journal: &dyn DiskFile, out: &mut [u8], at: u64) -> io::Result<bool> {
    match journal.read_at(out, at) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
