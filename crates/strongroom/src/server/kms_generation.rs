//! The store remembers how new the local KMS's file was, so that an older copy of it is noticed.
//!
//! The file says itself how often it was replaced; the row here says what was seen last. A copy from before a key
//! was made or rotated would otherwise open, and the keys that are missing in it would be found out object by object.
//! It is noted at each start, and after each change that the server itself makes to the file.

use std::sync::{Arc, Mutex, PoisonError};

use strongroom_kms::LocalKms;
use strongroom_seal::codec::{DecodeError, Reader, Writer};
use strongroom_store::inspect::Image;
use strongroom_store::{Command, CommitError, GroupId, ReadError, Store, Write};

/// The row: keyring id as text, then its generation.
const ROW: &[u8] = b"kms/local";

#[derive(Debug, thiserror::Error)]
pub(crate) enum GenerationError {
    #[error(
        "the local keyring is an older copy: it is at generation {found} and this store has seen {seen}; put the newest \
         copy of kms/ back"
    )]
    RolledBack { found: u64, seen: u64 },
    #[error("the store's note of the local keyring's generation cannot be read: {0}")]
    Note(#[from] DecodeError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Notes how new the file is after each change to it: a copy from before would otherwise pass until the next start.
#[derive(Debug, Clone)]
pub(super) struct Noting {
    store: Store,
    kms: LocalKms,
    /// Held from reading the generation until it is noted, so that no older one is noted over a newer one.
    noting: Arc<Mutex<()>>,
}

impl Noting {
    pub(super) fn new(store: Store, kms: LocalKms) -> Self {
        Self { store, kms, noting: Arc::default() }
    }

    /// Notes the file as it is now. Waits for the store, so it is called where that may be.
    pub(super) fn note(&self) -> Result<(), GenerationError> {
        let _noting = self.noting.lock().unwrap_or_else(PoisonError::into_inner);
        check(&self.store, &self.kms)
    }
}

/// Refuses a file older than one seen before, and notes the one that is there. A keyring with another id opens no
/// store but its own, so only its generation matters.
pub(super) fn check(store: &Store, kms: &LocalKms) -> Result<(), GenerationError> {
    let (id, found) = kms.generation();
    let mut note = Writer::new();
    note.text(&id).u64(found);
    let note = note.finish();
    if let Some(row) = store.read(GroupId::SYSTEM)?.get(ROW)? {
        if row.as_ref() == note.as_slice() {
            return Ok(());
        }
        compare(&row, &id, found)?;
    }
    let writes = vec![Write::Put { key: ROW.to_vec(), value: note }];
    store.commit_blocking(Command { group: GroupId::SYSTEM, checks: Vec::new(), writes })?;
    Ok(())
}

/// The same check for who only looks.
pub(crate) fn of_image(image: &Image, kms: &LocalKms) -> Result<(), GenerationError> {
    let (id, found) = kms.generation();
    // What keeps the row from being read is reported where all rows are read.
    match image.read(GroupId::SYSTEM).and_then(|reading| reading.get(ROW)) {
        Ok(Some(row)) => compare(&row, &id, found),
        Ok(None) | Err(_) => Ok(()),
    }
}

/// Whether a row of the system group is the note, and whether it is one that can be read.
pub(super) fn check_row(key: &[u8], value: &[u8]) -> Option<bool> {
    let read = || -> Result<(), DecodeError> {
        let mut reader = Reader::new(value);
        reader.text(256, "keyring id")?;
        reader.u64("generation")?;
        reader.finish("the note")
    };
    (key == ROW).then(|| read().is_ok())
}

fn compare(row: &[u8], id: &str, found: u64) -> Result<(), GenerationError> {
    let mut reader = Reader::new(row);
    let same_keyring = reader.text(256, "keyring id")? == id;
    let seen = reader.u64("generation")?;
    reader.finish("the note")?;
    if same_keyring && found < seen {
        return Err(GenerationError::RolledBack { found, seen });
    }
    Ok(())
}
