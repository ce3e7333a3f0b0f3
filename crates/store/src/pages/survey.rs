//! Opening every page of a file, whatever is wrong with some (`docs/spec/pages.md` §6, §7).
//!
//! The tag tree says for each page which nonce and tag it must have, so pages are checked leaf by leaf and side by side,
//! without the database inside. A page that is not in use may not match its entry after a crash; which of those that do
//! not open matter is for the caller to find out, see [`Survey::closed`].

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use strongroom_seal::Random;

use super::entry::{Entry, Tags};
use super::error::PagesError;
use super::file::{PageFile, Setting};
use super::geometry::{FAN, PAGE_LEN, Sealed, pages};
use super::keys::PageKeys;
use super::root::{self, RootSeq};
use crate::disk::Disk;
use crate::{GroupId, Place};

/// What a file's pages turned out to be.
#[derive(Debug, Clone, Default)]
pub(crate) struct Survey {
    /// The number of the root that counts.
    pub(crate) root: u64,
    /// How long the file is, in bytes.
    pub(crate) len: u64,
    /// The file was closed, so that every page in it must match its entry, in use or not.
    pub(crate) closed: bool,
    /// The root slot that does not open, if one does not. A power cut can leave the older one so.
    pub(crate) bad_slot: Option<u8>,
    /// The key table: id, and how often the file was opened with it as the sealing one. The index counts from 1.
    pub(crate) keys: Vec<(u32, u32)>,
    /// Which entry of the key table seals, counted from 1.
    pub(crate) sealing: u8,
    /// Beside `keys`: pages under it, data and tag pages alike.
    pub(crate) pages_by_key: Vec<u64>,
    pub(crate) data_pages: u64,
    pub(crate) upper_pages: u64,
    pub(crate) lower_pages: u64,
    /// Tag pages that do not open, and what else was in the way of looking.
    pub(crate) damage: Vec<PagesError>,
    /// Data pages that do not open, ascending.
    pub(crate) unopened: Vec<u64>,
}

/// What a survey works with.
#[derive(Debug)]
pub(crate) struct Surveying<'a> {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) path: &'a Path,
    pub(crate) group: GroupId,
    pub(crate) keys: &'a PageKeys,
    pub(crate) random: Arc<dyn Random>,
    /// The oldest root that is acceptable.
    pub(crate) expect: RootSeq,
    pub(crate) threads: NonZeroUsize,
}

/// Opens every page of a file that its newest root leads to. `step` is told how many bytes were looked at.
///
/// # Errors
/// Where no root opens or none is new enough, nothing can be looked at.
pub(crate) fn survey(of: &Surveying<'_>, step: &(dyn Fn(u64) + Sync)) -> Result<Survey, PagesError> {
    let disk_file = of.disk.open(of.path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => PagesError::Missing { path: of.path.into() },
        _ => PagesError::io(of.path, error),
    })?;
    let len = disk_file.len().map_err(|error| PagesError::io(of.path, error))?;
    let bad_slot = root::unreadable_slot(&*disk_file, of.group, of.keys)
        .map_err(|error| PagesError::io(of.path, error))?;
    let random = Arc::clone(&of.random);
    let setting = Setting {
        disk: Arc::clone(&of.disk),
        path: of.path,
        group: of.group,
        keys: of.keys,
        random,
        tag_pages_max: 1,
    };
    let (file, table, closed) = PageFile::look(disk_file, &setting, of.expect)?;
    let keys: Vec<_> = table.entries.iter().map(|key| (key.id, key.opens)).collect();
    let survey = Survey {
        root: file.seq().0,
        len,
        closed,
        bad_slot,
        sealing: table.sealing,
        pages_by_key: vec![0; keys.len()],
        keys,
        ..Survey::default()
    };
    let walk = Walk { file: &file, done: Mutex::new(survey), step };
    walk.run(of.threads);
    let mut survey = walk.done.into_inner().unwrap_or_else(PoisonError::into_inner);
    survey.unopened.sort_unstable();
    Ok(survey)
}

struct Walk<'a> {
    file: &'a PageFile,
    done: Mutex<Survey>,
    step: &'a (dyn Fn(u64) + Sync),
}

impl Walk<'_> {
    fn run(&self, threads: NonZeroUsize) {
        let (length, roots) = self.file.tree().roots();
        let end = pages(length);
        for (upper, entry) in (0..).zip(&roots) {
            let Some(tags) = self.tags(Sealed::Upper(upper, entry.twin()), entry) else { continue };
            let lowers: Vec<(u64, Entry)> = (upper * FAN..).zip(tags.entries()).collect();
            let next = AtomicUsize::new(0);
            thread::scope(|scope| {
                for _ in 0..threads.get() {
                    scope.spawn(|| {
                        let mut buffer = Vec::new();
                        while let Some((lower, entry)) = lowers.get(next.fetch_add(1, Ordering::Relaxed)) {
                            self.leaf(*lower, entry, end, &mut buffer);
                        }
                    });
                }
            });
        }
    }

    /// A tag page; `None` if it was never written or does not open, which is noted.
    fn tags(&self, what: Sealed, entry: &Entry) -> Option<Tags> {
        match self.file.tree().read_tags(what, entry) {
            Ok(Some(tags)) => {
                (self.step)(PAGE_LEN as u64);
                let mut done = self.done();
                match what {
                    Sealed::Upper(..) => done.upper_pages += 1,
                    _ => done.lower_pages += 1,
                }
                done.count(entry, 1);
                Some(tags)
            }
            Ok(None) => None,
            Err(error) => {
                self.done().damage.push(error);
                None
            }
        }
    }

    /// The data pages of one lower tag page.
    fn leaf(&self, lower: u64, entry: &Entry, end: u64, buffer: &mut Vec<u8>) {
        let Some(tags) = self.tags(Sealed::Lower(lower, entry.twin()), entry) else { return };
        let first = lower * FAN;
        let count = usize::try_from(end.saturating_sub(first).min(FAN)).expect("at most 141");
        let entries: Vec<Entry> = tags.entries().take(count).collect();
        buffer.resize(count * PAGE_LEN, 0);
        let (mut opened, mut unopened) = (Vec::new(), Vec::new());
        let mut from = 0;
        for stretch in entries.chunk_by(|one, next| one.is_empty() == next.is_empty()) {
            let pages = first + from as u64..first + (from + stretch.len()) as u64;
            from += stretch.len();
            if stretch[0].is_empty() {
                continue;
            }
            let buffer = &mut buffer[..stretch.len() * PAGE_LEN];
            if let Err(error) = self.file.read_raw(pages.start, buffer) {
                self.done().damage.push(error);
                continue;
            }
            for ((page, entry), content) in pages.zip(stretch).zip(buffer.chunks_exact_mut(PAGE_LEN)) {
                match self.file.tree().ciphers().open(Sealed::Data(page), entry, content) {
                    Ok(()) => opened.push(*entry),
                    Err(_) => unopened.push(page),
                }
            }
        }
        (self.step)((opened.len() * PAGE_LEN) as u64);
        let mut done = self.done();
        done.data_pages += opened.len() as u64;
        opened.iter().for_each(|entry| done.count(entry, 1));
        done.unopened.append(&mut unopened);
    }

    fn done(&self) -> std::sync::MutexGuard<'_, Survey> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Survey {
    fn count(&mut self, entry: &Entry, pages: u64) {
        let index = usize::from(entry.key()).checked_sub(1);
        if let Some(slot) = index.and_then(|index| self.pages_by_key.get_mut(index)) {
            *slot += pages;
        }
    }

    /// The damage of a data page that does not open.
    pub(crate) fn page_damage(path: &Path, page: u64) -> PagesError {
        PagesError::damage(path, Place::Page(page), "the page does not open")
    }
}
