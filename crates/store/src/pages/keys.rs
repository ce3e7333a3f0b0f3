//! The key table of a page file and the ciphers made from it (`docs/spec/pages.md` §3, §4).

use std::fmt;
use std::sync::Arc;

use strongroom_seal::detached::Detached;
use strongroom_seal::{Context, GroupKey, Label, PageKey, Random, derive};

use super::entry::Entry;
use super::geometry::{PAGE_LEN, Sealed, Twin};
use crate::GroupId;
use crate::uses::{KeyUse, KeyUses};

/// Keys that a table can have: the index shares a byte with the copy bit, and 0 means none.
pub(super) const KEYS_MAX: usize = 127;
/// How often a file is opened before its sealing key gets a fresh salt.
const OPENS_MAX: u32 = 1 << 16;

/// A group's keys: several may be readable, one is active for writing.
#[derive(Debug, Clone)]
pub(crate) struct PageKeys {
    /// The id of the key that seals.
    pub(crate) active: u32,
    /// All keys with their ids, the active one among them.
    pub(crate) keys: Vec<(u32, GroupKey)>,
    /// Where their uses are counted.
    pub(crate) uses: Arc<KeyUses>,
}

impl PageKeys {
    pub(super) fn find(&self, id: u32) -> Option<&GroupKey> {
        self.keys.iter().find(|(key_id, _)| *key_id == id).map(|(_, key)| key)
    }

    fn root_key(&self) -> Option<(u32, GroupKey)> {
        self.find(self.active).map(|key| (self.active, key.clone()))
    }
}

/// The file's random identity.
pub(super) type FileId = [u8; 16];

/// One entry of the key table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyEntry {
    pub(super) id: u32,
    pub(super) salt: [u8; 16],
    pub(super) opens: u32,
}

/// The key table: which keys pages are under, and which one seals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyTable {
    pub(super) entries: Vec<KeyEntry>,
    /// The entry that seals, counted from 1.
    pub(super) sealing: u8,
}

impl KeyTable {
    /// The table of a new file.
    pub(super) fn new(key_id: u32, random: &dyn Random) -> Self {
        Self { entries: vec![fresh(key_id, random)], sealing: 1 }
    }

    /// The entry that seals.
    pub(super) fn sealing_entry(&self) -> &KeyEntry {
        &self.entries[usize::from(self.sealing) - 1]
    }

    /// Counts an opening. If the sealing entry may go on, it does; else a fresh one takes its place, at the end or where
    /// `unused` says that no page refers to. `None` if there is no room.
    pub(super) fn opened(&self, active: u32, unused: Option<u8>, random: &dyn Random) -> Option<Self> {
        let mut next = self.clone();
        let sealing = &mut next.entries[usize::from(self.sealing) - 1];
        if sealing.id == active && sealing.opens < OPENS_MAX {
            sealing.opens += 1;
            return Some(next);
        }
        self.replaced(active, unused, random)
    }

    /// With a fresh sealing entry under another key, at the end or where `unused` says that no page refers to. `None` if
    /// there is no room.
    fn replaced(&self, active: u32, unused: Option<u8>, random: &dyn Random) -> Option<Self> {
        let mut next = self.clone();
        if let Some(index) = unused {
            next.entries[usize::from(index) - 1] = fresh(active, random);
            next.sealing = index;
        } else if next.entries.len() < KEYS_MAX {
            next.entries.push(fresh(active, random));
            next.sealing = u8::try_from(next.entries.len()).ok()?;
        } else {
            return None;
        }
        Some(next)
    }
}

fn fresh(id: u32, random: &dyn Random) -> KeyEntry {
    let mut salt = [0; 16];
    random.fill(&mut salt);
    KeyEntry { id, salt, opens: 1 }
}

/// Why a page was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It does not open, or its entry is none.
    Unsealable,
    /// The group no longer has, or was not given, the key.
    KeyMissing(u32),
}

/// Seals and opens the pages of one file.
pub(super) struct Ciphers {
    group: GroupId,
    file: FileId,
    table: KeyTable,
    /// Beside `table.entries`; `None` where the group key is not there.
    ciphers: Vec<Option<Arc<Detached>>>,
    /// The group's active key, which seals roots.
    root_key: Option<(u32, GroupKey)>,
    /// The uses of the key that seals.
    sealing: Arc<KeyUse>,
    random: Arc<dyn Random>,
}

impl Ciphers {
    pub(super) fn new(
        group: GroupId,
        file: FileId,
        table: KeyTable,
        keys: &PageKeys,
        random: Arc<dyn Random>,
    ) -> Self {
        let sealing = keys.uses.of(group, table.sealing_entry().id);
        let root_key = keys.root_key();
        let mut made = Self { group, file, table, ciphers: Vec::new(), root_key, sealing, random };
        made.ciphers = made.table.entries.iter().map(|entry| made.cipher(entry, keys)).collect();
        made
    }

    fn cipher(&self, entry: &KeyEntry, keys: &PageKeys) -> Option<Arc<Detached>> {
        let context = Context::new(Label::PageFileKey, self.group.0).and(&self.file);
        let key: PageKey = derive(keys.find(entry.id)?, &entry.salt, &context);
        Some(Arc::new(Detached::new(&key, self.random.as_ref())))
    }

    /// The ciphers of the same file with these keys. Where nothing changes the nonces go on where they are; a key that is
    /// no longer among them is let go. `None` if the active one needs an entry and there is no room: then `unused` may
    /// say which entry no page refers to.
    pub(super) fn with_keys(&self, keys: &PageKeys, unused: Option<u8>) -> Option<Self> {
        let table = if self.table.sealing_entry().id == keys.active {
            self.table.clone()
        } else {
            self.table.replaced(keys.active, unused, self.random.as_ref())?
        };
        let sealing = keys.uses.of(self.group, table.sealing_entry().id);
        let mut next = Self {
            sealing,
            group: self.group,
            file: self.file,
            table,
            ciphers: Vec::new(),
            root_key: keys.root_key(),
            random: Arc::clone(&self.random),
        };
        let cipher = |(index, entry): (usize, &KeyEntry)| {
            // The cipher that it had already, if it is the same entry and the key was not let go.
            let same = self.table.entries.get(index).filter(|before| *before == entry);
            match same.and_then(|_| self.ciphers[index].as_ref()) {
                Some(cipher) => keys.find(entry.id).is_some().then(|| Arc::clone(cipher)),
                None => next.cipher(entry, keys),
            }
        };
        next.ciphers = next.table.entries.iter().enumerate().map(cipher).collect();
        Some(next)
    }

    pub(super) fn table(&self) -> &KeyTable {
        &self.table
    }

    /// Counts something else that was sealed under the group's active key.
    pub(super) fn count(&self, bytes: usize) {
        self.sealing.add(1, bytes as u64);
    }

    /// The group's active key, which seals roots, and its id.
    pub(super) fn root_key(&self) -> Option<(u32, &GroupKey)> {
        // Whoever asks seals a record under it, a root or a journal.
        self.sealing.add(1, PAGE_LEN as u64);
        self.root_key.as_ref().map(|(id, key)| (*id, key))
    }

    /// The key id of the group key that an entry's page is under, if the entry names one.
    pub(super) fn key_id(&self, entry: &Entry) -> Option<u32> {
        let index = usize::from(entry.key()).checked_sub(1)?;
        self.table.entries.get(index).map(|entry| entry.id)
    }

    /// Whether the page of this entry is under another group key than the one that seals.
    pub(super) fn is_cold(&self, entry: &Entry) -> bool {
        self.key_id(entry).is_some_and(|id| id != self.table.sealing_entry().id)
    }

    /// Seals `page` in place and gives its entry. `None` if the sealing key is not there.
    pub(super) fn seal(&self, what: Sealed, page: &mut [u8]) -> Option<Entry> {
        let index = self.table.sealing;
        let cipher = self.ciphers[usize::from(index) - 1].as_ref()?;
        let context = self.context(what, self.table.sealing_entry().id);
        let mark = cipher.seal(context.as_bytes(), page, self.random.as_ref());
        self.sealing.add(1, page.len() as u64);
        let twin = match what {
            Sealed::Data(_) => Twin::A,
            Sealed::Lower(_, twin) | Sealed::Upper(_, twin) => twin,
        };
        Some(Entry::new(&mark, index, twin))
    }

    /// Opens `page` in place with what its parent knows of it.
    pub(super) fn open(&self, what: Sealed, entry: &Entry, page: &mut [u8]) -> Result<(), Refusal> {
        if matches!(what, Sealed::Data(_)) && entry.twin() == Twin::B {
            return Err(Refusal::Unsealable);
        }
        let index = usize::from(entry.key()).checked_sub(1).ok_or(Refusal::Unsealable)?;
        let key_id = self.table.entries.get(index).ok_or(Refusal::Unsealable)?.id;
        let cipher = self.ciphers[index].as_ref().ok_or(Refusal::KeyMissing(key_id))?;
        cipher
            .open(&entry.mark(), self.context(what, key_id).as_bytes(), page)
            .map_err(|_| Refusal::Unsealable)
    }

    fn context(&self, what: Sealed, key_id: u32) -> Context {
        match what {
            Sealed::Data(page) => Context::new(Label::PageData, &self.file).and(page),
            Sealed::Lower(index, twin) => self.tags_context(1, index, twin),
            Sealed::Upper(index, twin) => self.tags_context(2, index, twin),
        }
        .and(key_id)
    }

    fn tags_context(&self, level: u64, index: u64, twin: Twin) -> Context {
        Context::new(Label::PageTags, &self.file).and(level).and(index).and(u64::from(twin.bit()))
    }
}

impl fmt::Debug for Ciphers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ciphers").field("table", &self.table).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use strongroom_seal::SeededRandom;

    use super::*;

    #[test]
    fn a_sealing_entry_is_replaced_after_its_last_open_or_when_another_key_is_active() {
        let random = SeededRandom::dangerous_from_seed(1);
        let mut table = KeyTable::new(7, &random);
        let first = table.entries[0].salt;
        table.entries[0].opens = OPENS_MAX - 1;
        table = table.opened(7, None, &random).unwrap();
        assert_eq!((table.sealing, table.entries[0].opens), (1, OPENS_MAX));
        table = table.opened(7, None, &random).unwrap();
        assert_eq!((table.sealing, table.entries[1].opens), (2, 1));
        assert_ne!(table.entries[1].salt, first);
        table = table.opened(8, None, &random).unwrap();
        assert_eq!((table.sealing, table.sealing_entry().id), (3, 8));
    }

    #[test]
    fn a_full_table_takes_only_the_place_of_an_unused_key() {
        let random = SeededRandom::dangerous_from_seed(1);
        let mut table = KeyTable::new(0, &random);
        for id in 1..127 {
            table = table.opened(id, None, &random).unwrap();
        }
        assert_eq!(table.entries.len(), KEYS_MAX);
        assert_eq!(table.opened(500, None, &random), None);
        let next = table.opened(500, Some(3), &random).unwrap();
        assert_eq!((next.sealing, next.entries[2].id, next.entries.len()), (3, 500, KEYS_MAX));
    }
}
