//! The tag tree in memory: lookups, changes, a bounded cache, and the copy-on-write flush
//! (`docs/spec/pages.md` §1, §5).
//!
//! Reads take the lock only to copy entries out; disk and cipher work happens outside it. Changes to the tree on disk
//! ([`Tree::flush`], [`Tree::set_length`]) are one at a time: the caller holds its sync lock.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::entry::{Entry, Tags};
use super::error::PagesError;
use super::figures::Figures;
use super::geometry::{FAN, PAGE_LEN, Sealed, Twin, index, lowers, pages, uppers};
use super::keys::{Ciphers, Refusal};
use crate::Place;
use crate::disk::DiskFile;

/// How many changed tag pages are copied out of the lock at a time: 512 KiB.
const FLUSH_BATCH: usize = 128;
/// How many pages an insertion considers for eviction: few, so that it stays cheap while many changed pages wait for
/// their flush.
const EVICTION_LOOKS: usize = 32;

#[derive(Debug)]
pub(super) struct Tree {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    /// Replaced as a whole when the keys change.
    ciphers: RwLock<Arc<Ciphers>>,
    /// Lower tag pages kept in memory when none is changed.
    cached_max: usize,
    state: RwLock<State>,
    /// Counted here and by the file that this is the tree of.
    pub(super) figures: Figures,
}

#[derive(Default)]
struct State {
    /// The logical length in bytes.
    length: u64,
    /// The entries of the upper tag pages, as the next root will have them.
    roots: Vec<Entry>,
    /// Upper tag pages that were needed once; they stay.
    uppers: HashMap<u64, Tags>,
    uppers_changed: BTreeSet<u64>,
    lowers: HashMap<u64, Lower>,
    /// Lower tag pages that differ from the copy that their parent names; they stay.
    lowers_changed: BTreeSet<u64>,
    /// Lower tag pages whose new copy is being written; they stay until their parent names it.
    lowers_flushing: BTreeSet<u64>,
    /// Tag pages written since the last durable root: that one does not name their newest copy, so they may be written
    /// over there, and must not be written to the other.
    unrooted_lowers: BTreeSet<u64>,
    unrooted_uppers: BTreeSet<u64>,
    /// Lower tag pages in the order in which they are considered for eviction.
    clock: VecDeque<u64>,
}

struct Lower {
    tags: Tags,
    used: AtomicBool,
}

impl Tree {
    pub(super) fn new(
        file: Arc<dyn DiskFile>,
        path: &Path,
        ciphers: Ciphers,
        length: u64,
        roots: Vec<Entry>,
        cached_max: usize,
    ) -> Self {
        let state = RwLock::new(State { length, roots, ..State::default() });
        let ciphers = RwLock::new(Arc::new(ciphers));
        Self { file, path: path.into(), ciphers, cached_max, state, figures: Figures::new() }
    }

    /// What seals and opens now.
    pub(super) fn ciphers(&self) -> Arc<Ciphers> {
        Arc::clone(&self.ciphers.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Seals with others from now on. Calls under way end with those that they began with.
    pub(super) fn set_ciphers(&self, ciphers: Ciphers) {
        *self.ciphers.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ciphers);
    }

    /// The logical length in bytes.
    pub(super) fn length(&self) -> u64 {
        self.read().length
    }

    /// The logical length and the entries of the upper tag pages, for the next root.
    pub(super) fn roots(&self) -> (u64, Vec<Entry>) {
        let state = self.read();
        (state.length, state.roots.clone())
    }

    /// The entries of `count` data pages from `page` on, all of one lower tag page.
    pub(super) fn entries(&self, page: u64, count: usize) -> Result<Vec<Entry>, PagesError> {
        let (lower, first) = (page / FAN, index(page));
        let mut counter = &self.figures.tag_hits;
        loop {
            if let Some(found) = self.read().lowers.get(&lower) {
                found.used.store(true, Ordering::Relaxed);
                counter.increment(1);
                return Ok((first..first + count).map(|index| found.tags.get(index)).collect());
            }
            counter = &self.figures.tag_misses;
            self.load_lower(lower)?;
        }
    }

    /// Changes the entries of data pages from `page` on, all of one lower tag page.
    pub(super) fn set_entries(&self, page: u64, entries: &[Entry]) -> Result<(), PagesError> {
        let lower = page / FAN;
        loop {
            let mut state = self.write();
            if let Some(found) = state.lowers.get_mut(&lower) {
                for (offset, entry) in entries.iter().enumerate() {
                    found.tags.set(index(page) + offset, *entry);
                }
                state.lowers_changed.insert(lower);
                return Ok(());
            }
            drop(state);
            self.load_lower(lower)?;
        }
    }

    /// Writes every changed tag page to the copy that the durable root does not name, children before parents. After it,
    /// [`Self::roots`] names them. Whether anything was written. After an error it can be tried again.
    pub(super) fn flush(&self) -> Result<bool, PagesError> {
        // Taken at once: a page that changes again meanwhile waits for the next flush. Writing it twice in one would
        // overwrite the copy that the durable root names.
        let changed: Vec<u64> = {
            let mut state = self.write();
            state.lowers_flushing = mem::take(&mut state.lowers_changed);
            state.lowers_flushing.iter().copied().collect()
        };
        for batch in changed.chunks(FLUSH_BATCH) {
            if let Err(error) = self.flush_lowers(batch) {
                let mut state = self.write();
                let unfinished = mem::take(&mut state.lowers_flushing);
                state.lowers_changed.extend(unfinished);
                return Err(error);
            }
        }
        {
            let mut state = self.write();
            state.lowers_flushing.clear();
            let looks = 2 * state.clock.len();
            state.evict(self.cached_max, looks);
        }
        let uppers: Vec<(u64, Twin, Tags)> = {
            let state = self.read();
            let page = |upper: &u64| {
                let tags = state.uppers.get(upper).expect("a changed upper tag page is in memory");
                let old = state.roots[usize_of(*upper)];
                (*upper, next_twin(&old, state.unrooted_uppers.contains(upper)), tags.clone())
            };
            state.uppers_changed.iter().map(page).collect()
        };
        let written = !uppers.is_empty();
        for (upper, twin, tags) in uppers {
            let entry = self.write_tags(Sealed::Upper(upper, twin), tags)?;
            let mut state = self.write();
            state.roots[usize_of(upper)] = entry;
            state.uppers_changed.remove(&upper);
            state.unrooted_uppers.insert(upper);
        }
        Ok(written)
    }

    /// A root is durable that names what the last flush wrote.
    pub(super) fn rooted(&self) {
        let mut state = self.write();
        state.unrooted_lowers.clear();
        state.unrooted_uppers.clear();
    }

    fn flush_lowers(&self, batch: &[u64]) -> Result<(), PagesError> {
        let pages: Vec<(u64, Twin, Tags)> = {
            let state = self.read();
            let page = |lower: &u64| {
                let found = state.lowers.get(lower).expect("a changed lower tag page is in memory");
                let parent =
                    state.uppers.get(&(lower / FAN)).expect("the parent of a loaded page is in memory");
                let old = parent.get(index(*lower));
                (*lower, next_twin(&old, state.unrooted_lowers.contains(lower)), found.tags.clone())
            };
            batch.iter().map(page).collect()
        };
        let mut written = Vec::with_capacity(pages.len());
        for (lower, twin, tags) in pages {
            written.push((lower, self.write_tags(Sealed::Lower(lower, twin), tags)?));
        }
        let mut state = self.write();
        for (lower, entry) in written {
            let upper = lower / FAN;
            let parent = state.uppers.get_mut(&upper).expect("the parent of a loaded page is in memory");
            parent.set(index(lower), entry);
            state.uppers_changed.insert(upper);
            state.unrooted_lowers.insert(lower);
        }
        Ok(())
    }

    /// Changes the logical length. The entries of pages that go are forgotten, here and at the next flush on disk.
    pub(super) fn set_length(&self, length: u64) -> Result<(), PagesError> {
        let count = pages(length);
        let (lower_end, upper_end) = (lowers(count), uppers(lowers(count)));
        if length < self.length() {
            if index(count) != 0 {
                self.load_lower(count / FAN)?;
            }
            if index(lower_end) != 0 {
                self.load_upper(lower_end / FAN)?;
            }
        }
        let mut state = self.write();
        if length < state.length {
            if index(count) != 0 {
                let lower = count / FAN;
                // A cached page that no flush holds may have been evicted since it was loaded; the lock is held
                // from here on, so asking again settles it.
                if !state.lowers.contains_key(&lower) {
                    drop(state);
                    return self.set_length(length);
                }
                if let Some(found) = state.lowers.get_mut(&lower) {
                    found.tags.clear_from(index(count));
                }
                state.lowers_changed.insert(lower);
            }
            if index(lower_end) != 0 {
                let upper = lower_end / FAN;
                if let Some(found) = state.uppers.get_mut(&upper) {
                    found.clear_from(index(lower_end));
                }
                state.uppers_changed.insert(upper);
            }
            state.lowers.retain(|lower, _| *lower < lower_end);
            state.lowers_changed.retain(|lower| *lower < lower_end);
            state.clock.retain(|lower| *lower < lower_end);
            state.uppers.retain(|upper, _| *upper < upper_end);
            state.uppers_changed.retain(|upper| *upper < upper_end);
            state.unrooted_lowers.retain(|lower| *lower < lower_end);
            state.unrooted_uppers.retain(|upper| *upper < upper_end);
        }
        state.roots.resize(usize_of(upper_end), Entry::EMPTY);
        state.length = length;
        Ok(())
    }

    /// A lower tag page as it is now, in memory or on disk; `None` if it was never written. Leaves the cache alone, so that
    /// who looks at all of them drives out nothing.
    pub(super) fn lower_tags(&self, lower: u64) -> Result<Option<Tags>, PagesError> {
        loop {
            self.load_upper(lower / FAN)?;
            let entry = self.lower_entry(lower)?;
            if let Some(found) = self.read().lowers.get(&lower) {
                return Ok(Some(found.tags.clone()));
            }
            let result = self.read_tags(Sealed::Lower(lower, entry.twin()), &entry);
            let state = self.read();
            if let Some(found) = state.lowers.get(&lower) {
                return Ok(Some(found.tags.clone()));
            }
            // As in `load_lower`: what was read counts only if it still is the newest.
            let now = state.uppers.get(&(lower / FAN)).map(|parent| parent.get(index(lower)));
            if now == Some(entry) {
                return result;
            }
        }
    }

    /// An upper tag page as it is now.
    pub(super) fn upper_tags(&self, upper: u64) -> Result<Tags, PagesError> {
        self.load_upper(upper)?;
        self.read().uppers.get(&upper).cloned().ok_or_else(|| self.outside())
    }

    /// Lets the next flush write tag pages anew whose entries are `cold`, at most about `max` of them. How many. The
    /// caller holds its sync lock.
    pub(super) fn touch(&self, cold: impl Fn(&Entry) -> bool, max: usize) -> Result<usize, PagesError> {
        let mut touched = 0;
        let (_, roots) = self.roots();
        for (upper, entry) in (0..).zip(&roots) {
            let mut lowers = Vec::new();
            for (offset, entry) in (0..).zip(self.upper_tags(upper)?.entries()) {
                if cold(&entry) && touched + lowers.len() < max {
                    lowers.push(upper * FAN + offset);
                }
            }
            for lower in &lowers {
                self.touch_lower(*lower)?;
            }
            if cold(entry) || !lowers.is_empty() {
                self.write().uppers_changed.insert(upper);
                touched += 1 + lowers.len();
            }
            if touched >= max {
                break;
            }
        }
        Ok(touched)
    }

    fn touch_lower(&self, lower: u64) -> Result<(), PagesError> {
        loop {
            self.load_lower(lower)?;
            let mut state = self.write();
            if state.lowers.contains_key(&lower) {
                state.lowers_changed.insert(lower);
                return Ok(());
            }
        }
    }

    /// Reads every tag page of the tree that the next flush would not replace, from the disk, and calls `visit` with each
    /// entry that names a page. Only while nothing else uses the tree.
    pub(super) fn walk(&self, mut visit: impl FnMut(&Entry)) -> Result<(), PagesError> {
        let (_, roots) = self.roots();
        for (upper, entry) in (0..).zip(&roots) {
            let Some(tags) = self.read_tags(Sealed::Upper(upper, entry.twin()), entry)? else { continue };
            visit(entry);
            for (offset, entry) in (0..).zip(tags.entries()) {
                let lower = upper * FAN + offset;
                let Some(tags) = self.read_tags(Sealed::Lower(lower, entry.twin()), &entry)? else {
                    continue;
                };
                visit(&entry);
                tags.entries().filter(|entry| !entry.is_empty()).for_each(|entry| visit(&entry));
            }
        }
        Ok(())
    }

    /// Lower tag pages in memory.
    #[cfg(test)]
    pub(super) fn cached(&self) -> usize {
        self.read().lowers.len()
    }

    fn load_lower(&self, lower: u64) -> Result<(), PagesError> {
        loop {
            self.load_upper(lower / FAN)?;
            let entry = self.lower_entry(lower)?;
            let result = self.read_tags(Sealed::Lower(lower, entry.twin()), &entry);
            let mut state = self.write();
            if state.lowers.contains_key(&lower) {
                return Ok(());
            }
            // Between the two locks the page may have been loaded, changed, flushed to its other copy and evicted; then
            // what was read is old, or was read while the copy was being overwritten.
            let now = state.uppers.get(&(lower / FAN)).map(|parent| parent.get(index(lower)));
            if now != Some(entry) {
                continue;
            }
            let tags = result?.unwrap_or_else(Tags::empty);
            // Before the insertion: what is about to be used is not a candidate.
            state.evict(self.cached_max.saturating_sub(1), EVICTION_LOOKS);
            state.lowers.insert(lower, Lower { tags, used: AtomicBool::new(true) });
            state.clock.push_back(lower);
            return Ok(());
        }
    }

    fn lower_entry(&self, lower: u64) -> Result<Entry, PagesError> {
        let state = self.read();
        let parent = state.uppers.get(&(lower / FAN)).ok_or_else(|| self.outside())?;
        Ok(parent.get(index(lower)))
    }

    fn load_upper(&self, upper: u64) -> Result<(), PagesError> {
        loop {
            let entry = {
                let state = self.read();
                if state.uppers.contains_key(&upper) {
                    return Ok(());
                }
                *state.roots.get(usize_of(upper)).ok_or_else(|| self.outside())?
            };
            let result = self.read_tags(Sealed::Upper(upper, entry.twin()), &entry);
            let mut state = self.write();
            if state.uppers.contains_key(&upper) {
                return Ok(());
            }
            if state.roots.get(usize_of(upper)) != Some(&entry) {
                continue;
            }
            state.uppers.insert(upper, result?.unwrap_or_else(Tags::empty));
            return Ok(());
        }
    }

    /// The tag page that `entry` names; `None` if it was never written.
    pub(super) fn read_tags(&self, what: Sealed, entry: &Entry) -> Result<Option<Tags>, PagesError> {
        if entry.is_empty() {
            return Ok(None);
        }
        let mut page = Box::new([0; PAGE_LEN]);
        let damage = |why| PagesError::damage(&self.path, Place::Offset(what.place()), why);
        match self.file.read_at(page.as_mut_slice(), what.place()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(damage("the file ends before this tag page"));
            }
            Err(error) => return Err(PagesError::io(&self.path, error)),
        }
        self.ciphers().open(what, entry, page.as_mut_slice()).map_err(|refusal| match refusal {
            Refusal::Unsealable => damage("the tag page does not open"),
            Refusal::KeyMissing(key_id) => PagesError::KeyMissing { path: self.path.clone(), key_id },
        })?;
        Tags::from_page(page).map(Some).ok_or_else(|| damage("bytes follow the entries of the tag page"))
    }

    fn write_tags(&self, what: Sealed, tags: Tags) -> Result<Entry, PagesError> {
        let mut page = tags.into_page();
        let ciphers = self.ciphers();
        let entry = ciphers.seal(what, page.as_mut_slice()).ok_or_else(|| PagesError::KeyMissing {
            path: self.path.clone(),
            key_id: ciphers.table().sealing_entry().id,
        })?;
        self.file
            .write_at(page.as_slice(), what.place())
            .map_err(|error| PagesError::io(&self.path, error))?;
        Ok(entry)
    }

    fn outside(&self) -> PagesError {
        PagesError::io(&self.path, io::Error::from(io::ErrorKind::InvalidInput))
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Drops unchanged lower tag pages that were not used since they were last considered, until `most` are left. Changed
    /// ones do not count: they stay anyhow, and must not crowd out what is read. Considers at most `looks`.
    fn evict(&mut self, most: usize, looks: usize) {
        let mut left = looks;
        let most = most + self.lowers_changed.len() + self.lowers_flushing.len();
        while self.lowers.len() > most && left > 0 {
            left -= 1;
            let Some(lower) = self.clock.pop_front() else { return };
            let stays = self.lowers_changed.contains(&lower)
                || self.lowers_flushing.contains(&lower)
                || self.lowers.get(&lower).is_some_and(|found| found.used.swap(false, Ordering::Relaxed));
            if stays {
                self.clock.push_back(lower);
            } else {
                self.lowers.remove(&lower);
            }
        }
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("length", &self.length)
            .field("lowers", &self.lowers.len())
            .field("lowers_changed", &self.lowers_changed.len())
            .finish_non_exhaustive()
    }
}

/// The copy to write: not the one that the durable root names.
fn next_twin(newest: &Entry, unrooted: bool) -> Twin {
    if unrooted { newest.twin() } else { newest.next_twin() }
}

/// An index of an upper tag page, at most 8192.
fn usize_of(upper: u64) -> usize {
    usize::try_from(upper).expect("a file has at most 8192 upper tag pages")
}
