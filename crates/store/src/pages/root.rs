//! The two root slots: encoding, and the choice of the newest (`docs/spec/pages.md` §4, §7).

use std::io;
use std::path::Path;

use strongroom_seal::codec::{DecodeError, Reader, Writer};
use strongroom_seal::{Context, GroupKey, Label, Random, record};

use super::entry::{ENTRY_LEN, Entry};
use super::error::PagesError;
use super::geometry::{LENGTH_MAX, PAGE, PAGE_LEN, SLOT_LEN, UPPERS_MAX, lowers, pages, slot_place, uppers};
use super::keys::{FileId, KEYS_MAX, KeyEntry, KeyTable, PageKeys};
use crate::disk::DiskFile;
use crate::{GroupId, Place};

pub(super) const MAGIC: [u8; 8] = *b"SR-PAGES";
pub(super) const VERSION: u32 = 1;
pub(super) const HEADER_LEN: usize = 64;
/// Where a header says how long the sealed record is.
const RECORD_LEN_AT: usize = 44;
const RESERVED_LEN: usize = 16;
pub(super) const RECORD_LEN_MAX: usize = SLOT_LEN - HEADER_LEN;

// The fullest root fits its slot: fixed fields, 127 keys, all of page 0, 8192 entries.
const _: () = assert!(
    8 + 1 + 1 + 1 + KEYS_MAX * 24 + 4 + PAGE_LEN + 4 + UPPERS_MAX * ENTRY_LEN + record::OVERHEAD
        <= RECORD_LEN_MAX
);

/// The number of a root: it only grows, and stands for one state of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct RootSeq(pub(crate) u64);

impl RootSeq {
    /// Where the root of this number lies.
    pub(super) fn slot(self) -> u8 {
        u8::from(self.0 % 2 == 1)
    }
}

/// What a root says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Root {
    /// The logical length in bytes.
    pub(super) length: u64,
    /// Whether the file was closed with this root.
    pub(super) closed: bool,
    /// The keys that pages are under.
    pub(super) keys: KeyTable,
    /// The first bytes of page 0; the rest are zero.
    pub(super) head: Vec<u8>,
    /// The entries of the upper tag pages.
    pub(super) uppers: Vec<Entry>,
}

/// A root that opened, and what its header says.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) seq: RootSeq,
    pub(super) file: FileId,
    pub(super) root: Root,
}

/// The part of a slot that is not sealed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) group: GroupId,
    pub(super) file: FileId,
    pub(super) seq: RootSeq,
    pub(super) key_id: u32,
    pub(super) record_len: u32,
}

impl Header {
    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.raw(&MAGIC).u32(VERSION).u32(self.group.0).raw(&self.file).u64(self.seq.0);
        out.u32(self.key_id).u32(self.record_len).raw(&[0; RESERVED_LEN]);
        out.finish()
    }

    /// The fields after magic and version.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut fields = Reader::new(bytes);
        let header = Self {
            group: GroupId(fields.u32("group")?),
            file: *fields.array("file id")?,
            seq: RootSeq(fields.u64("sequence number")?),
            key_id: fields.u32("key id")?,
            record_len: fields.u32("record length")?,
        };
        if *fields.array::<RESERVED_LEN>("reserved")? != [0; RESERVED_LEN] {
            return Err(DecodeError::OutOfRange { field: "reserved" });
        }
        fields.finish("root header")?;
        Ok(header)
    }
}

/// A slot's bytes, up to a page boundary.
pub(super) fn encode(
    root: &Root,
    group: GroupId,
    file: FileId,
    seq: RootSeq,
    (key_id, key): (u32, &GroupKey),
    random: &dyn Random,
) -> Vec<u8> {
    let body = body(root);
    let record_len = u32::try_from(body.len() + record::OVERHEAD).expect("a root fits its slot");
    let mut out = Header { group, file, seq, key_id, record_len }.encode();
    let sealed = record::seal(key, &Context::new(Label::PageRoot, out.as_slice()), &body, random);
    out.extend_from_slice(&sealed);
    out.resize(out.len().next_multiple_of(PAGE_LEN), 0);
    out
}

/// Makes the root that was found durable, before anything happens that relies on it (§6, "at open"): a process that died
/// may have left it in the system's cache alone. Written once more, because after a failed fsync another one proves
/// nothing.
pub(super) fn adopt(disk_file: &dyn DiskFile, path: &Path, seq: RootSeq) -> Result<(), PagesError> {
    let place = slot_place(seq.slot());
    let io = |error| PagesError::io(path, error);
    let mut header = [0; HEADER_LEN];
    disk_file.read_at(&mut header, place).map_err(io)?;
    let mut slot = vec![0; slot_len(&header)];
    disk_file.read_at(&mut slot, place).map_err(io)?;
    disk_file.write_at(&slot, place).map_err(io)?;
    disk_file.sync().map_err(io)
}

/// How many bytes of a slot with this header were written.
fn slot_len(header: &[u8; HEADER_LEN]) -> usize {
    let mut record_len = [0; 4];
    record_len.copy_from_slice(&header[RECORD_LEN_AT..RECORD_LEN_AT + 4]);
    let record_len = u32::from_le_bytes(record_len) as usize;
    (HEADER_LEN + record_len.min(RECORD_LEN_MAX)).next_multiple_of(PAGE_LEN)
}

pub(super) fn body(root: &Root) -> Vec<u8> {
    let mut out = Writer::new();
    out.u64(root.length).u8(u8::from(root.closed));
    out.u8(u8::try_from(root.keys.entries.len()).expect("a table has at most 127 keys"))
        .u8(root.keys.sealing);
    for key in &root.keys.entries {
        out.u32(key.id).raw(&key.salt).u32(key.opens);
    }
    out.bytes(&root.head);
    out.u32(u32::try_from(root.uppers.len()).expect("a root has at most 8192 upper tag pages"));
    for entry in &root.uppers {
        out.raw(entry.as_bytes());
    }
    out.finish()
}

pub(super) fn decode_body(bytes: &[u8]) -> Result<Root, DecodeError> {
    let out_of_range = |field| DecodeError::OutOfRange { field };
    let mut fields = Reader::new(bytes);
    let length = fields.u64("length")?;
    if length > LENGTH_MAX || length % PAGE != 0 {
        return Err(out_of_range("length"));
    }
    let closed = fields.flag("closed")?;
    let count = usize::from(fields.u8("keys")?);
    let sealing = fields.u8("sealing key")?;
    if count == 0 || count > KEYS_MAX || sealing == 0 || usize::from(sealing) > count {
        return Err(out_of_range("keys"));
    }
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        entries.push(KeyEntry {
            id: fields.u32("key id")?,
            salt: *fields.array("key salt")?,
            opens: fields.u32("key opens")?,
        });
    }
    let head = fields.bytes(PAGE_LEN, "page 0")?.to_vec();
    let count = fields.count(ENTRY_LEN, "upper tag pages")?;
    if count as u64 != uppers(lowers(pages(length))) {
        return Err(out_of_range("upper tag pages"));
    }
    let mut upper_entries = Vec::with_capacity(count);
    for _ in 0..count {
        upper_entries.push(Entry::from_bytes(*fields.array("upper tag page")?));
    }
    fields.finish("root")?;
    Ok(Root { length, closed, keys: KeyTable { entries, sealing }, head, uppers: upper_entries })
}

/// What a slot holds.
#[derive(Debug)]
enum Slot {
    /// Zeros: never written.
    Blank,
    Found(Box<Found>),
    /// Torn by a crash, or changed.
    Unreadable,
    TooNew(u32),
    Misplaced(GroupId),
    KeyMissing(u32),
}

/// The newest root of the file, if it is not older than `expect`.
pub(super) fn newest(
    disk_file: &dyn DiskFile,
    path: &Path,
    group: GroupId,
    keys: &PageKeys,
    expect: RootSeq,
) -> Result<Found, PagesError> {
    let mut best: Option<Box<Found>> = None;
    let mut refusal = None;
    for index in 0..2 {
        match read_slot(disk_file, group, keys, index).map_err(|error| PagesError::io(path, error))? {
            Slot::Blank => {}
            Slot::Found(found) if best.as_ref().is_none_or(|best| best.seq < found.seq) => best = Some(found),
            Slot::Found(_) => {}
            Slot::Unreadable => {
                let damage = PagesError::damage(path, Place::Slot(index), "the root does not open");
                refusal.get_or_insert(damage);
            }
            // A newer program writes the slots in turn: one that it wrote says that the other is not the newest.
            Slot::TooNew(found) => {
                return Err(PagesError::TooNew { path: path.into(), found, supported: VERSION });
            }
            Slot::Misplaced(found) => refusal = Some(PagesError::Misplaced { path: path.into(), found }),
            Slot::KeyMissing(key_id) => refusal = Some(PagesError::KeyMissing { path: path.into(), key_id }),
        }
    }
    match best {
        Some(best) if best.seq >= expect => Ok(*best),
        Some(best) => Err(refusal.unwrap_or(PagesError::RolledBack {
            path: path.into(),
            found: best.seq,
            expected: expect,
        })),
        None => Err(refusal
            .unwrap_or_else(|| PagesError::damage(path, Place::Whole, "neither root slot was ever written"))),
    }
}

/// A slot that was written and does not open, if there is one.
pub(super) fn unreadable_slot(
    disk_file: &dyn DiskFile,
    group: GroupId,
    keys: &PageKeys,
) -> io::Result<Option<u8>> {
    for index in 0..2 {
        if let Slot::Unreadable | Slot::Misplaced(_) = read_slot(disk_file, group, keys, index)? {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

fn read_slot(file: &dyn DiskFile, group: GroupId, keys: &PageKeys, index: u8) -> io::Result<Slot> {
    let mut first = vec![0; PAGE_LEN];
    match file.read_at(&mut first, slot_place(index)) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Slot::Unreadable),
        Err(error) => return Err(error),
    }
    if first.iter().all(|byte| *byte == 0) {
        return Ok(Slot::Blank);
    }
    let (header_bytes, start) = first.split_at(HEADER_LEN);
    let mut fields = Reader::new(header_bytes);
    match (fields.array("magic"), fields.u32("version")) {
        (Ok(magic), Ok(VERSION)) if *magic == MAGIC => {}
        (Ok(magic), Ok(version)) if *magic == MAGIC && version > VERSION => return Ok(Slot::TooNew(version)),
        _ => return Ok(Slot::Unreadable),
    }
    let Ok(header) = Header::decode(&header_bytes[MAGIC.len() + size_of::<u32>()..]) else {
        return Ok(Slot::Unreadable);
    };
    if header.group != group {
        return Ok(Slot::Misplaced(header.group));
    }
    let record_len = header.record_len as usize;
    if header.seq.slot() != index || record_len > RECORD_LEN_MAX {
        return Ok(Slot::Unreadable);
    }
    let Some(key) = keys.find(header.key_id) else {
        return Ok(Slot::KeyMissing(header.key_id));
    };
    let mut record = start[..record_len.min(start.len())].to_vec();
    if record_len > record.len() {
        let have = record.len();
        record.resize(record_len, 0);
        match file.read_at(&mut record[have..], slot_place(index) + PAGE) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Slot::Unreadable),
            Err(error) => return Err(error),
        }
    }
    let context = Context::new(Label::PageRoot, header_bytes);
    let Ok(body) = record::open(key, &context, &record) else {
        return Ok(Slot::Unreadable);
    };
    Ok(decode_body(&body).map_or(Slot::Unreadable, |root| {
        Slot::Found(Box::new(Found { seq: header.seq, file: header.file, root }))
    }))
}

#[cfg(test)]
mod tests {
    use strongroom_seal::SeededRandom;

    use super::*;

    fn root() -> Root {
        let key = |id, byte| KeyEntry { id, salt: [byte; 16], opens: 3 };
        let mark = strongroom_seal::detached::Mark { nonce: [5; 12], tag: [6; 16] };
        Root {
            length: 0x0001_2000,
            closed: true,
            keys: KeyTable { entries: vec![key(7, 0xA1), key(9, 0xA2)], sealing: 2 },
            head: b"redb".to_vec(),
            uppers: vec![Entry::new(&mark, 2, crate::pages::geometry::Twin::B)],
        }
    }

    #[test]
    fn a_root_has_exactly_these_bytes() {
        let mut expected = Vec::new();
        expected.extend([0, 0x20, 1, 0, 0, 0, 0, 0]); // length
        expected.extend([1, 2, 2]); // closed, two keys, the second seals
        for (id, salt) in [(7, 0xA1), (9, 0xA2)] {
            expected.extend([id, 0, 0, 0]);
            expected.extend([salt; 16]);
            expected.extend([3, 0, 0, 0]);
        }
        expected.extend([4, 0, 0, 0]);
        expected.extend(b"redb");
        expected.extend([1, 0, 0, 0]);
        expected.extend([5; 12]);
        expected.push(2 << 1 | 1); // key 2, copy B
        expected.extend([6; 16]);
        assert_eq!(body(&root()), expected);
        assert_eq!(decode_body(&expected), Ok(root()));

        let random = SeededRandom::dangerous_from_seed(1);
        let key = GroupKey::generate(&random);
        let slot = encode(&root(), GroupId(3), [0xF1; 16], RootSeq(0x55), (9, &key), &random);
        let mut header = b"SR-PAGES".to_vec();
        header.extend([1, 0, 0, 0, 3, 0, 0, 0]); // version, group
        header.extend([0xF1; 16]);
        header.extend([0x55, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0]); // sequence number, key id
        let record_len = expected.len() + record::OVERHEAD;
        header.extend([u8::try_from(record_len).unwrap(), 0, 0, 0]);
        header.extend([0; 16]);
        assert_eq!(slot[..HEADER_LEN], header);
        assert_eq!(slot.len(), PAGE_LEN);
        assert!(slot[HEADER_LEN + record_len..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_mangled_root_body_is_refused_or_another_root_and_never_a_panic() {
        let whole = body(&root());
        for end in 0..whole.len() {
            assert!(decode_body(&whole[..end]).is_err(), "cut to {end}");
        }
        let mut longer = whole.clone();
        longer.push(0);
        assert!(decode_body(&longer).is_err());
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut mangled = whole.clone();
                mangled[at] ^= 1 << bit;
                if let Ok(decoded) = decode_body(&mangled) {
                    assert_eq!(body(&decoded), mangled, "one encoding per value");
                }
            }
        }
    }
}
