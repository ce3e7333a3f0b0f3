//! Entry points for mangled page files.

use std::path::Path;
use std::sync::Arc;

use strongroom_seal::fuzzing::Decoder;
use strongroom_seal::{GroupKey, SeededRandom};

use super::entry::{Entry, Tags};
use super::geometry::{PAGE_LEN, SLOT_LEN, Sealed, Twin};
use super::journal::{self, Was};
use super::keys::{Ciphers, KeyEntry, KeyTable, PageKeys};
use super::outline;
use super::root::{self, Root, RootSeq};
use crate::GroupId;
use crate::fuzzing::OneFile;
use crate::uses::KeyUses;

pub(crate) const DECODERS: &[Decoder] = &[
    Decoder::new("store/page root body", root_body_seeds, root_body),
    // The record's length is bounded by the slot before anything vouches for it.
    Decoder::new("store/page root slot", root_slot_seeds, root_slot).with_memory(SLOT_LEN + (16 << 10), 4),
    Decoder::new("store/page file without keys", root_slot_seeds, without_keys),
    Decoder::new("store/page", page_seeds, page).with_memory(16 << 10, 4),
    Decoder::new("store/tag page", tags_seeds, tags).with_memory(16 << 10, 4),
    Decoder::new("store/page moves", moves_seeds, moves).with_memory(32 << 10, 4),
    // What stands behind the seal, which mangled bytes do not pass.
    Decoder::new("store/list of page moves", list_seeds, list),
];

const GROUP: GroupId = GroupId(3);
const FILE: [u8; 16] = [0xf1; 16];

fn random() -> SeededRandom {
    SeededRandom::dangerous_from_seed(1)
}

fn keys() -> PageKeys {
    let key = |byte: u8| GroupKey::from_bytes(&mut [byte; 32]);
    PageKeys { active: 9, keys: vec![(7, key(7)), (9, key(9))], uses: KeyUses::for_test() }
}

fn table() -> KeyTable {
    let entry = |id: u32, byte| KeyEntry { id, salt: [byte; 16], opens: 3 };
    KeyTable { entries: vec![entry(7, 0xa1), entry(9, 0xa2), entry(5, 0xa3)], sealing: 2 }
}

fn entry(byte: u8) -> Entry {
    Entry::from_bytes([byte; 29])
}

fn roots() -> Vec<Root> {
    let length = |pages: u64| pages * PAGE_LEN as u64;
    vec![
        Root { length: 0, closed: true, keys: table(), head: Vec::new(), uppers: Vec::new() },
        Root {
            length: length(18),
            closed: false,
            keys: table(),
            head: b"redb".to_vec(),
            uppers: vec![entry(5)],
        },
        Root {
            length: length(20_000),
            closed: true,
            keys: table(),
            head: vec![1; PAGE_LEN],
            uppers: vec![entry(5), entry(0)],
        },
    ]
}

fn root_body_seeds() -> Vec<Vec<u8>> {
    roots().iter().map(root::body).collect()
}

fn root_body(bytes: &[u8]) -> bool {
    let Ok(found) = root::decode_body(bytes) else { return false };
    assert_eq!(root::body(&found), bytes, "one encoding per value");
    true
}

fn root_slot_seeds() -> Vec<Vec<u8>> {
    let (keys, random) = (keys(), random());
    let Some(key) = keys.find(9) else { return Vec::new() };
    let slot = |root: &Root, number| root::encode(root, GROUP, FILE, RootSeq(number), (9, key), &random);
    let mut both = slot(&roots()[0], 4);
    both.resize(SLOT_LEN, 0);
    both.extend(slot(&roots()[1], 5));
    let mut first = slot(&roots()[1], 6);
    first.resize(2 * SLOT_LEN, 0);
    vec![both, first]
}

/// The part of a page file before its pages, read as an opening does that demands root 4 or a newer one.
fn root_slot(bytes: &[u8]) -> bool {
    let disk = OneFile::new("00000003.pages", bytes);
    let found = root::newest(&*disk.file(), Path::new("pages"), GROUP, &keys(), RootSeq(4));
    let Ok(found) = found else { return false };
    assert!(found.seq >= RootSeq(4) && found.file == FILE, "nothing older, nothing foreign");
    assert!(roots().contains(&found.root), "nobody else has the key");
    true
}

fn without_keys(bytes: &[u8]) -> bool {
    outline::outline(&OneFile::new("00000003.pages", bytes), Path::new("pages"))
        .is_ok_and(|files| files.len() == 1)
}

fn ciphers() -> Ciphers {
    Ciphers::new(GROUP, FILE, table(), &keys(), Arc::new(random()))
}

fn sealed(what: Sealed, mut page: Vec<u8>) -> Vec<u8> {
    let entry = ciphers().seal(what, &mut page).unwrap_or(Entry::EMPTY);
    [entry.as_bytes().as_slice(), &page].concat()
}

fn page_seeds() -> Vec<Vec<u8>> {
    vec![sealed(Sealed::Data(30_000), vec![0; PAGE_LEN]), sealed(Sealed::Data(30_000), vec![7; PAGE_LEN])]
}

/// What the parent knows, then the page.
fn opened(what: Sealed, bytes: &[u8]) -> Option<Box<[u8; PAGE_LEN]>> {
    let (entry, page) = bytes.split_first_chunk()?;
    let mut page: Box<[u8; PAGE_LEN]> = Box::new(*page.first_chunk()?);
    // A place is as long as a page.
    (bytes.len() == entry.len() + PAGE_LEN).then_some(())?;
    ciphers().open(what, &Entry::from_bytes(*entry), page.as_mut_slice()).ok()?;
    Some(page)
}

fn page(bytes: &[u8]) -> bool {
    opened(Sealed::Data(30_000), bytes).is_some()
}

fn tags_seeds() -> Vec<Vec<u8>> {
    let mut tags = Tags::empty();
    tags.set(0, entry(3));
    tags.set(140, entry(4));
    [Tags::empty(), tags]
        .into_iter()
        .map(|tags| sealed(Sealed::Lower(212, Twin::B), tags.into_page().to_vec()))
        .collect()
}

fn tags(bytes: &[u8]) -> bool {
    // The opened page as bytes of the fuzzer's choice, which the cipher would not let through.
    if let Some(page) = bytes.first_chunk().and_then(|page| Tags::from_page(Box::new(*page))) {
        let mut again = Tags::empty();
        page.entries().enumerate().for_each(|(index, entry)| again.set(index, entry));
        assert_eq!(again.into_page().as_slice(), &bytes[..PAGE_LEN], "one encoding per value");
    }
    opened(Sealed::Lower(212, Twin::B), bytes).and_then(Tags::from_page).is_some()
}

fn moves_seeds() -> Vec<Vec<u8>> {
    let (keys, random) = (keys(), random());
    let Some(key) = keys.find(7) else { return Vec::new() };
    let was = |page: u64, byte: u8| Was { page, entry: entry(byte), sealed: vec![byte; PAGE_LEN] };
    let (one, two) = (was(1, 4), was(900, 6));
    [vec![&one], vec![&one, &two]]
        .iter()
        .map(|pages| journal::encode(pages, GROUP, FILE, (7, key), &random))
        .collect()
}

fn moves(bytes: &[u8]) -> bool {
    let disk = OneFile::new("00000003.moves", bytes);
    let Ok(pages) = journal::read(&*disk.file(), GROUP, FILE, &keys()) else { return false };
    assert!(pages.iter().all(|was| was.sealed.len() == PAGE_LEN && was.page > 0));
    assert!(pages.windows(2).all(|pair| pair[0].page < pair[1].page), "they ascend");
    !pages.is_empty()
}

/// Page numbers and their entries.
fn list_seeds() -> Vec<Vec<u8>> {
    let item = |page: u64| [page.to_le_bytes().as_slice(), entry(4).as_bytes()].concat();
    vec![Vec::new(), item(1), [item(1), item(900)].concat()]
}

fn list(bytes: &[u8]) -> bool {
    // As many as the header would say, which is what the record's length follows from.
    let Ok(items) = journal::decode_list(bytes, bytes.len() / (8 + 29)) else { return false };
    let again: Vec<u8> = items
        .iter()
        .flat_map(|(page, entry)| [page.to_le_bytes().as_slice(), entry.as_bytes()].concat())
        .collect();
    assert_eq!(again, bytes, "one encoding per value");
    true
}
