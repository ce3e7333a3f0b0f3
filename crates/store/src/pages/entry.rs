//! What a parent knows of a page, and a tag page full of it (`docs/spec/pages.md` §3).

use strongroom_seal::detached::Mark;
use strongroom_seal::{NONCE_LEN, TAG_LEN};

use super::geometry::{ENTRIES, PAGE_LEN, Twin};

/// The length of an entry in bytes.
pub(super) const ENTRY_LEN: usize = NONCE_LEN + 1 + TAG_LEN;
const KEY_AT: usize = NONCE_LEN;
const TAG_AT: usize = KEY_AT + 1;
const ENTRIES_LEN: usize = ENTRIES * ENTRY_LEN;
const _: () = assert!(ENTRY_LEN == 29 && ENTRIES_LEN <= PAGE_LEN, "the on-disk layout is frozen");

/// Nonce, key, copy and tag of one page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry([u8; ENTRY_LEN]);

impl Entry {
    /// The entry of a page that was never written.
    pub(super) const EMPTY: Self = Self([0; ENTRY_LEN]);

    /// The entry of a page that did not open when it was to be moved to another key: no key opens it (§13.4).
    pub(super) const LOST: Self = {
        let mut bytes = [0; ENTRY_LEN];
        let mut at = TAG_AT;
        while at < ENTRY_LEN {
            bytes[at] = 0xFF;
            at += 1;
        }
        Self(bytes)
    };

    /// The entry of a page sealed under entry `key` (counted from 1) of the key table.
    pub(super) fn new(mark: &Mark, key: u8, twin: Twin) -> Self {
        let mut bytes = [0; ENTRY_LEN];
        bytes[..KEY_AT].copy_from_slice(&mark.nonce);
        bytes[KEY_AT] = key << 1 | twin.bit();
        bytes[TAG_AT..].copy_from_slice(&mark.tag);
        Self(bytes)
    }

    pub(super) fn from_bytes(bytes: [u8; ENTRY_LEN]) -> Self {
        Self(bytes)
    }

    pub(super) fn as_bytes(&self) -> &[u8; ENTRY_LEN] {
        &self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::EMPTY
    }

    /// Which entry of the key table, counted from 1.
    pub(super) fn key(&self) -> u8 {
        self.0[KEY_AT] >> 1
    }

    pub(super) fn twin(&self) -> Twin {
        if self.0[KEY_AT] & 1 == 0 { Twin::A } else { Twin::B }
    }

    /// The copy to write next: not the one that this entry names. A page never written starts with A.
    pub(super) fn next_twin(&self) -> Twin {
        if self.is_empty() { Twin::A } else { self.twin().other() }
    }

    pub(super) fn mark(&self) -> Mark {
        let mut mark = Mark { nonce: [0; NONCE_LEN], tag: [0; TAG_LEN] };
        mark.nonce.copy_from_slice(&self.0[..KEY_AT]);
        mark.tag.copy_from_slice(&self.0[TAG_AT..]);
        mark
    }
}

/// The entries of up to 141 pages.
#[derive(Clone)]
pub(super) struct Tags(Box<[u8; PAGE_LEN]>);

impl Tags {
    /// Of pages never written.
    pub(super) fn empty() -> Self {
        Self(Box::new([0; PAGE_LEN]))
    }

    /// Of an opened tag page, if nothing follows its entries.
    pub(super) fn from_page(page: Box<[u8; PAGE_LEN]>) -> Option<Self> {
        page[ENTRIES_LEN..].iter().all(|byte| *byte == 0).then_some(Self(page))
    }

    pub(super) fn get(&self, index: usize) -> Entry {
        let mut bytes = [0; ENTRY_LEN];
        bytes.copy_from_slice(&self.0[index * ENTRY_LEN..][..ENTRY_LEN]);
        Entry(bytes)
    }

    pub(super) fn set(&mut self, index: usize, entry: Entry) {
        self.0[index * ENTRY_LEN..][..ENTRY_LEN].copy_from_slice(&entry.0);
    }

    /// Forgets the entries from `index` on.
    pub(super) fn clear_from(&mut self, index: usize) {
        self.0[index * ENTRY_LEN..].fill(0);
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = Entry> {
        (0..ENTRIES).map(|index| self.get(index))
    }

    /// The page to be sealed.
    pub(super) fn into_page(self) -> Box<[u8; PAGE_LEN]> {
        self.0
    }
}
