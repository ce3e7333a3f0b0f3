//! Moving pages from other keys to the one that seals (`docs/spec/pages.md` §13).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};

use super::{PageFile, Publish};
use crate::Place;
use crate::disk::{Disk, DiskFile};
use crate::pages::entry::Entry;
use crate::pages::error::PagesError;
use crate::pages::geometry::{FAN, PAGE, PAGE_LEN, Sealed, index, lowers, pages};
use crate::pages::journal::{self, Was};
use crate::pages::keys::{Ciphers, PageKeys, Refusal};

/// How many pages others are kept off at a time: what is overwritten in well under a millisecond.
const CLAIM: usize = 16;
/// How many lower tag pages one call looks at: 40 MiB of pages that need no moving.
const LOOKS: u64 = 72;

/// What one batch did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Resealed {
    /// The id of the key that pages are moved to: the one that seals.
    pub(crate) to: u32,
    /// Pages moved.
    pub(crate) moved: u64,
    /// Bytes moved.
    pub(crate) bytes: u64,
    /// Pages looked at since the key became the sealing one, in order of their numbers.
    pub(crate) done: u64,
    /// Pages of the file.
    pub(crate) total: u64,
    /// Whether anything may be left under another key.
    pub(crate) left: bool,
}

/// How far the moving of one file is.
#[derive(Debug, Default)]
pub(super) struct Mover {
    /// The key id that pages are moved to; all else counts for it.
    to: Option<u32>,
    /// The next page to look at.
    next: u64,
    /// Pages were left because they did not open.
    skipped: bool,
    /// They are looked at again.
    second_look: bool,
    finished: bool,
    /// Pages were overwritten that no durable root names yet: the journal has to stay as it is.
    unpublished: bool,
    /// Once it is made and its name durable.
    journal: Option<Arc<dyn DiskFile>>,
}

/// A page on its way.
struct Move {
    was: Was,
    plain: Vec<u8>,
}

impl PageFile {
    /// Seals with other keys from now on.
    pub(in crate::pages) fn use_keys(&self, keys: &PageKeys) -> Result<(), PagesError> {
        if keys.find(keys.active).is_none() {
            return Err(PagesError::KeyMissing { path: self.path.clone(), key_id: keys.active });
        }
        let settled = self.settled();
        let ciphers = self.tree.ciphers();
        if let Some(next) = ciphers.with_keys(keys, None) {
            self.tree.set_ciphers(next);
            // Who seals a page with the ones before has told the tree when this returns.
            drop(self.gate.claim_all());
            return Ok(());
        }
        // The table is full. Nobody may seal with an entry that is about to be found unused.
        let _published = self.published();
        let _claimed = self.gate.claim_all();
        let sealing = ciphers.table().sealing_entry().id;
        let unused = if *settled == Some(sealing) {
            (1u8..)
                .zip(&ciphers.table().entries)
                .find(|(_, entry)| entry.id != sealing)
                .map(|(index, _)| index)
        } else {
            self.unused()?
        };
        let next = unused.and_then(|unused| ciphers.with_keys(keys, Some(unused)));
        self.tree.set_ciphers(next.ok_or_else(|| PagesError::KeysExhausted { path: self.path.clone() })?);
        Ok(())
    }

    /// Moves up to `max` pages to the key that seals and makes that durable.
    pub(in crate::pages) fn reseal(&self, max: usize) -> Result<Resealed, PagesError> {
        if let Some(fault) = self.fault() {
            return Err(fault.clone());
        }
        self.check_frozen()?;
        let (mut mover, to) = self.mover();
        if mover.unpublished {
            self.publish_moves(&mut mover)?;
        }
        let max = max.clamp(1, journal::PAGES_MAX);
        let mut moved = 0;
        if !mover.finished {
            let from = mover.next;
            let picked = self.pick(&mut mover, max)?;
            if !picked.is_empty() {
                // After a failure the same pages come next; those that were moved are seen to be.
                moved = self.move_pages(&mut mover, picked).inspect_err(|_| mover.next = from)?;
            } else if mover.next >= pages(self.length()) {
                if mover.skipped {
                    (mover.next, mover.skipped, mover.second_look) = (0, false, true);
                } else {
                    self.finish(&mut mover, max)?;
                }
            }
        }
        let left = !mover.finished;
        Ok(self.so_far(&mover, Resealed { to, moved, bytes: moved * PAGE, left, ..Resealed::default() }))
    }

    /// Looks for the next page that is to be moved, and moves none.
    pub(in crate::pages) fn reseal_look(&self) -> Result<Resealed, PagesError> {
        if let Some(fault) = self.fault() {
            return Err(fault.clone());
        }
        let (mut mover, to) = self.mover();
        let from = mover.next;
        if !mover.finished {
            self.pick(&mut mover, 0)?;
        }
        // Where it stopped is either a page to be moved, and the next look stays there, or as far as one call looks.
        let left = mover.next > from && mover.next < pages(self.length());
        Ok(self.so_far(&mover, Resealed { to, left, ..Resealed::default() }))
    }

    /// How far it is with the key that seals now, and that key's id.
    fn mover(&self) -> (MutexGuard<'_, Mover>, u32) {
        let mut mover = self.mover.lock().unwrap_or_else(PoisonError::into_inner);
        let to = self.tree.ciphers().table().sealing_entry().id;
        if mover.to != Some(to) {
            let (journal, unpublished) = (mover.journal.take(), mover.unpublished);
            *mover = Mover { to: Some(to), journal, unpublished, ..Mover::default() };
        }
        (mover, to)
    }

    fn so_far(&self, mover: &Mover, step: Resealed) -> Resealed {
        let total = pages(self.length());
        let done = if mover.finished { total } else { total.min(mover.next) };
        Resealed { done, total, ..step }
    }

    /// For each key id, how many data and tag pages are under it now.
    pub(in crate::pages) fn pages_by_key(&self) -> Result<Vec<(u32, u64)>, PagesError> {
        let ciphers = self.tree.ciphers();
        let mut usage: Vec<(u32, u64)> = Vec::new();
        for entry in &ciphers.table().entries {
            if usage.iter().all(|(id, _)| *id != entry.id) {
                usage.push((entry.id, 0));
            }
        }
        self.visit(|entry| {
            if let Some(id) = ciphers.key_id(entry)
                && let Some(found) = usage.iter_mut().find(|(used, _)| *used == id)
            {
                found.1 += 1;
            }
        })?;
        Ok(usage)
    }

    /// An entry of the full key table that nothing is under, counted from 1.
    fn unused(&self) -> Result<Option<u8>, PagesError> {
        let ciphers = self.tree.ciphers();
        let mut used = vec![false; ciphers.table().entries.len() + 1];
        used[usize::from(ciphers.table().sealing)] = true;
        self.visit(|entry| {
            if let Some(used) = used.get_mut(usize::from(entry.key())) {
                *used = true;
            }
        })?;
        Ok((1u8..).zip(&used[1..]).find(|(_, used)| !**used).map(|(index, _)| index))
    }

    /// Calls `visit` with every entry that the tree has now.
    fn visit(&self, mut visit: impl FnMut(&Entry)) -> Result<(), PagesError> {
        let (length, roots) = self.tree.roots();
        for (upper, entry) in (0..).zip(&roots) {
            visit(entry);
            self.tree.upper_tags(upper)?.entries().for_each(|entry| visit(&entry));
        }
        for lower in 0..lowers(pages(length)) {
            if let Some(tags) = self.tree.lower_tags(lower)? {
                tags.entries().for_each(|entry| visit(&entry));
            }
        }
        Ok(())
    }

    /// The next pages that are under another key, with their entries.
    fn pick(&self, mover: &mut Mover, max: usize) -> Result<Vec<(u64, Entry)>, PagesError> {
        let ciphers = self.tree.ciphers();
        let mut picked = Vec::new();
        let mut looks = 0;
        while mover.next < pages(self.length()) && looks < LOOKS {
            let tags = match self.tree.lower_tags(mover.next / FAN) {
                // Cut off meanwhile.
                Err(_) if mover.next >= pages(self.length()) => break,
                tags => tags?,
            };
            let end = (mover.next / FAN + 1) * FAN;
            let entries = tags.iter().flat_map(|tags| tags.entries().skip(index(mover.next)));
            for (page, entry) in (mover.next..).zip(entries) {
                if ciphers.is_cold(&entry) {
                    if picked.len() == max {
                        mover.next = page;
                        return Ok(picked);
                    }
                    picked.push((page, entry));
                }
            }
            mover.next = end;
            looks += 1;
        }
        Ok(picked)
    }

    /// Moves these pages: journal, overwriting, root. How many were moved.
    fn move_pages(&self, mover: &mut Mover, picked: Vec<(u64, Entry)>) -> Result<u64, PagesError> {
        let ciphers = self.tree.ciphers();
        let (mut moves, mut closed) = (Vec::with_capacity(picked.len()), Vec::new());
        for (page, entry) in picked {
            let Some(sealed) = self.read_sealed(page)? else { continue };
            if self.entry(page)? != Some(entry) {
                continue;
            }
            let mut plain = sealed.clone();
            match ciphers.open(Sealed::Data(page), &entry, &mut plain) {
                Ok(()) => moves.push(Move { was: Was { page, entry, sealed }, plain }),
                Err(Refusal::Unsealable) => closed.push((page, entry)),
                Err(Refusal::KeyMissing(key_id)) => {
                    return Err(PagesError::KeyMissing { path: self.path.clone(), key_id });
                }
            }
        }
        if !mover.second_look {
            mover.skipped |= !closed.is_empty();
            closed.clear();
        }
        if !moves.is_empty() {
            self.write_journal(mover, &moves, &ciphers)?;
        }
        let moved = self.guarded(|| {
            let mut moved = 0;
            for chunk in moves.chunks_mut(CLAIM) {
                moved += self.overwrite(chunk)?;
            }
            for (page, entry) in closed {
                self.bury(page, &entry)?;
            }
            Ok(moved)
        })?;
        mover.unpublished = true;
        self.publish_moves(mover)?;
        Ok(moved)
    }

    /// Makes a root durable that names what was moved. Without space for it everything stays as it is, and it can be tried
    /// again.
    fn publish_moves(&self, mover: &mut Mover) -> Result<(), PagesError> {
        self.check_frozen()?;
        let mut published = self.published();
        match self.tree.flush() {
            Ok(written) => {
                if written {
                    self.unsynced.store(true, Ordering::Release);
                }
            }
            // No durable root names the places that were to be written, and nothing there is needed.
            Err(error @ PagesError::NoSpace { .. }) => {
                self.unsynced.store(true, Ordering::Release);
                return Err(error);
            }
            Err(error) => return self.guarded(|| Err(error)),
        }
        self.guarded(|| self.publish(&mut published, Publish::Changes))?;
        mover.unpublished = false;
        Ok(())
    }

    /// Seals pages anew in their places, if they are still what they were.
    fn overwrite(&self, moves: &mut [Move]) -> Result<u64, PagesError> {
        let _claimed = self.gate.claim(moves.iter().map(|one| one.was.page).collect());
        let ciphers = self.tree.ciphers();
        let mut moved = 0;
        for Move { was: Was { page, entry, .. }, plain } in moves {
            if self.entry(*page)? != Some(*entry) {
                continue;
            }
            let what = Sealed::Data(*page);
            let entry = ciphers.seal(what, plain).ok_or_else(|| self.key_missing(&ciphers))?;
            self.disk_file.write_at(plain, what.place()).map_err(|error| self.io(error))?;
            self.unsynced.store(true, Ordering::Release);
            self.tree.set_entries(*page, &[entry])?;
            moved += 1;
        }
        Ok(moved)
    }

    /// Gives up a page that does not open, if it still does not while nobody is at it.
    fn bury(&self, page: u64, entry: &Entry) -> Result<(), PagesError> {
        let _claimed = self.gate.claim(vec![page]);
        if self.entry(page)? != Some(*entry) {
            return Ok(());
        }
        let Some(mut sealed) = self.read_sealed(page)? else { return Ok(()) };
        if self.tree.ciphers().open(Sealed::Data(page), entry, &mut sealed).is_err() {
            self.tree.set_entries(page, &[Entry::LOST])?;
        }
        Ok(())
    }

    /// Every data page is under the key that seals, or lost. Brings the tag pages there, and then both root slots.
    fn finish(&self, mover: &mut Mover, max: usize) -> Result<(), PagesError> {
        let mut published = self.published();
        let ciphers = self.tree.ciphers();
        let touched = self.tree.touch(|entry| ciphers.is_cold(entry), max)?;
        self.check_frozen()?;
        self.guarded(|| {
            if touched > 0 {
                return self.publish(&mut published, Publish::Changes);
            }
            self.publish(&mut published, Publish::Again)?;
            self.publish(&mut published, Publish::Again)
        })?;
        drop(published);
        if touched > 0 {
            return Ok(());
        }
        mover.journal = None;
        if let Err(error) = remove_journal(self.disk.as_ref(), &self.path) {
            // The next opening removes it; it can put nothing back.
            tracing::warn!(%error, "a journal of moved pages could not be removed");
        }
        let mut settled = self.settled();
        let sealing = self.tree.ciphers().table().sealing_entry().id;
        if mover.to == Some(sealing) {
            mover.finished = true;
            *settled = mover.to;
        }
        Ok(())
    }

    /// Makes durable what the pages are now. A failure changes nothing: nothing of them was overwritten yet, and what the
    /// journal held before is not needed any more.
    fn write_journal(&self, mover: &mut Mover, moves: &[Move], ciphers: &Ciphers) -> Result<(), PagesError> {
        let key = ciphers.root_key().ok_or_else(|| self.key_missing(ciphers))?;
        let was: Vec<&Was> = moves.iter().map(|one| &one.was).collect();
        let bytes = journal::encode(&was, self.group, self.id, key, self.random.as_ref());
        ciphers.count(bytes.len() - moves.len() * PAGE_LEN);
        let path = journal_path(&self.path);
        let write = |file: &Arc<dyn DiskFile>| {
            file.write_at(&bytes, 0)?;
            file.sync()
        };
        let written = match mover.journal.take() {
            Some(file) => write(&file).map(|()| file),
            None => remove_if_there(self.disk.as_ref(), &path)
                .and_then(|()| self.disk.create_new(&path))
                .and_then(|file| write(&file).map(|()| file))
                .and_then(|file| {
                    self.disk.sync_dir(path.parent().unwrap_or(Path::new(".")))?;
                    Ok(file)
                }),
        };
        match written {
            Ok(file) => {
                mover.journal = Some(file);
                Ok(())
            }
            Err(error) => {
                // What is on the disk is unknown: the next one starts with a new file. That gives back its space too.
                let _ = remove_if_there(self.disk.as_ref(), &path);
                Err(PagesError::io(&path, error))
            }
        }
    }

    /// At opening: undoes what was begun and did not become durable, and removes the journal.
    pub(super) fn put_back(&self, keys: &PageKeys) -> Result<(), PagesError> {
        let path = journal_path(&self.path);
        let journal = match self.disk.open(&path) {
            Ok(journal) => journal,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(PagesError::io(&path, error)),
        };
        let fail = |error| PagesError::io(&path, error);
        let mut put = 0u64;
        for Was { page, entry, sealed } in
            journal::read(journal.as_ref(), self.group, self.id, keys).map_err(fail)?
        {
            match self.entry(page) {
                Ok(Some(now)) if now == entry => {}
                // Not to be found in the tree any more: whoever reads the page is told why.
                Ok(_) | Err(PagesError::Damage(_)) => continue,
                Err(error) => return Err(error),
            }
            if self.tree.ciphers().open(Sealed::Data(page), &entry, &mut sealed.clone()).is_ok() {
                let place = Sealed::Data(page).place();
                self.disk_file.write_at(&sealed, place).map_err(|error| self.io(error))?;
                put += 1;
            }
        }
        if put > 0 {
            self.synced()?;
            tracing::info!(group = %self.group, pages = put, "the moving of pages to another key was undone and starts again");
        }
        drop(journal);
        remove_journal(self.disk.as_ref(), &self.path)
    }

    /// When the file is closed there is nothing to put back.
    pub(super) fn drop_journal(&self) {
        let mut mover = self.mover.lock().unwrap_or_else(PoisonError::into_inner);
        if mover.journal.take().is_some() {
            // Left behind it does no harm.
            let _ = remove_journal(self.disk.as_ref(), &self.path);
        }
    }

    /// The entry of a data page, if the file is that long.
    fn entry(&self, page: u64) -> Result<Option<Entry>, PagesError> {
        if page >= pages(self.length()) {
            return Ok(None);
        }
        match self.tree.entries(page, 1) {
            Ok(entries) => Ok(entries.first().copied()),
            // Cut off meanwhile.
            Err(_) if page >= pages(self.length()) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What lies in the place of a data page, if the file is that long.
    fn read_sealed(&self, page: u64) -> Result<Option<Vec<u8>>, PagesError> {
        let mut sealed = vec![0; PAGE_LEN];
        match self.disk_file.read_at(&mut sealed, Sealed::Data(page).place()) {
            Ok(()) => Ok(Some(sealed)),
            Err(_) if page >= pages(self.length()) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(PagesError::damage(&self.path, Place::Page(page), "the file ends before this page"))
            }
            Err(error) => Err(self.io(error)),
        }
    }

    fn settled(&self) -> MutexGuard<'_, Option<u32>> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the journal of a page file lies.
pub(crate) fn journal_path(pages: &Path) -> PathBuf {
    pages.with_extension("reseal")
}

/// Removes the journal of a page file, if there is one.
pub(crate) fn remove_journal(disk: &dyn Disk, pages: &Path) -> Result<(), PagesError> {
    let path = journal_path(pages);
    remove_if_there(disk, &path).map_err(|error| PagesError::io(&path, error))
}

fn remove_if_there(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
