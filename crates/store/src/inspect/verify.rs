//! Authenticating everything that the store itself wrote.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::OverlayDisk;
use super::image::{Image, known_from_files};
use super::unlocked::Unlocked;
use crate::checkpoint::Record;
use crate::disk::Disk;
use crate::log::{Sight, Surveyed};
use crate::pages::{RootSeq, Survey};
use crate::registry::Known;
use crate::{Damage, GroupId, Lsn, OpenError, Place, SegmentId};

/// Something that a verification came across.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Finding {
    /// Bytes at rest are not what was written there.
    Damage {
        /// Whose, if it is one group's.
        group: Option<GroupId>,
        /// What, and where.
        error: OpenError,
    },
    /// Something to know that is not damage.
    Note(Note),
}

/// Something to know that is not damage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Note {
    /// The log ends in a batch that a crash cut short; it was never acknowledged.
    #[error(
        "log segment {segment} ends in {len} bytes at offset {offset} of a batch that was never acknowledged"
    )]
    TornTail {
        /// In which segment.
        segment: SegmentId,
        /// Where it starts, in bytes.
        offset: u64,
        /// How long it is, in bytes.
        len: u64,
    },
    /// A root slot does not open, and the other is what the log demands: a power cut can leave one so.
    #[error("{}: slot {slot} does not open; the other one counts and is new enough", file.display())]
    TornSlot {
        /// The page file.
        file: PathBuf,
        /// Which slot.
        slot: u8,
    },
    /// Pages that nothing refers to do not open: a crash can leave some so.
    #[error("{}: {pages} pages that are not in use do not open, as after a crash", file.display())]
    UnusedPages {
        /// The page file.
        file: PathBuf,
        /// How many.
        pages: u64,
    },
    /// A page file of a group that was dropped; the next start removes it.
    #[error("{} is of no group; the next start removes it", file.display())]
    StrayPageFile {
        /// The page file.
        file: PathBuf,
    },
}

/// Is told how a verification goes on, from several threads.
pub trait Watch: Sync {
    /// So many more bytes were looked at.
    fn checked(&self, bytes: u64);
    /// Something was found.
    fn found(&self, finding: Finding);
}

/// What was authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counts {
    /// Log segments.
    pub segments: u64,
    /// Log frames.
    pub frames: u64,
    /// Records in them.
    pub records: u64,
    /// Records that were passed over because their group was dropped.
    pub forgotten: u64,
    /// Groups with a page file.
    pub page_files: u64,
    /// Data pages.
    pub data_pages: u64,
    /// Tag pages.
    pub tag_pages: u64,
}

/// What came of [`Unlocked::verify`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Verified {
    /// What was authenticated.
    pub counts: Counts,
    /// The rows, for those who know what they mean. Nothing if not even the keyring could be opened again.
    pub image: Option<Image>,
}

impl Unlocked {
    /// Authenticates log, page files and what keyring, log and pages say of each other, and goes on after damage. Pages
    /// are opened on `threads` threads. Changes nothing.
    pub fn verify(&self, threads: NonZeroUsize, watch: &dyn Watch) -> Verified {
        let mut counts = Counts::default();
        let disk: Arc<dyn Disk> = Arc::new(OverlayDisk::default());
        let (around, source) = self.surroundings(&disk);
        let surveyed = self.survey(&around, &source, &mut |sight| log_sight(sight, &mut counts, watch));
        let record = self.checkpoint_record(&surveyed, watch);
        self.compare(&surveyed, &record, watch);
        let mut known = record.known();
        // Before the page files are looked at: with the newest checkpoint gone, none would be known to be there.
        if surveyed.damaged_from.is_some() {
            known_from_files(self, &mut known);
        }
        let check = Check { of: self, threads, watch, clean: surveyed.mark.is_some_and(|mark| mark.clean) };
        check.page_files(&known, &mut counts);
        let from = Lsn(record.reached.0.saturating_add(1));
        let image = match Image::build(self, &surveyed, known, from, watch) {
            Ok(image) => Some(image),
            Err(error) => {
                watch.found(Finding::Damage { group: None, error });
                None
            }
        };
        Verified { counts, image }
    }

    fn checkpoint_record(&self, surveyed: &Surveyed, watch: &dyn Watch) -> Record {
        let Some(checkpoint) = &surveyed.checkpoint else { return Record::default() };
        Record::decode(&checkpoint.payload).unwrap_or_else(|_| {
            let at = Place::Command(checkpoint.lsn);
            let why = "it is authentic and no checkpoint record";
            let error = Damage { file: self.dir.join("log"), at, why }.into();
            watch.found(Finding::Damage { group: None, error });
            Record::default()
        })
    }

    /// What keyring and log know of each other (`docs/spec/keyring.md` §6).
    fn compare(&self, surveyed: &Surveyed, record: &Record, watch: &dyn Watch) {
        let older = |file: PathBuf, found: u64, expected: u64| {
            let error = OpenError::RolledBack { file, found, expected };
            watch.found(Finding::Damage { group: None, error });
        };
        let contents = self.keyring.contents();
        let generation = surveyed.mark.map_or(0, |mark| mark.keyring).max(record.keyring_generation);
        if contents.generation < generation {
            older(self.dir.join("keyring"), contents.generation, generation);
        }
        let newest = surveyed.newest.map_or(0, |segment| segment.0);
        if newest < contents.floor.segment {
            older(self.dir.join("log"), newest, contents.floor.segment);
            return;
        }
        // With damage in the log, that its end is missing is no news.
        let last = contents.floor.lsn.max(contents.applied);
        if surveyed.last < last && surveyed.damaged_from.is_none() {
            older(self.dir.join("log"), surveyed.last.0, last.0);
        }
    }
}

fn log_sight(sight: Sight<'_>, counts: &mut Counts, watch: &dyn Watch) {
    match sight {
        Sight::Segment { .. } => counts.segments += 1,
        Sight::Frame { header, records, .. } => {
            counts.frames += 1;
            match records {
                Some(_) => counts.records += u64::from(header.count),
                None => counts.forgotten += u64::from(header.count),
            }
            watch.checked(header.frame_len());
        }
        Sight::Torn { segment, offset, len } => {
            watch.found(Finding::Note(Note::TornTail { segment, offset, len }));
        }
        Sight::Damage(error) => {
            watch.found(Finding::Damage { group: None, error: error.into() });
        }
    }
}

struct Check<'a> {
    of: &'a Unlocked,
    threads: NonZeroUsize,
    watch: &'a dyn Watch,
    /// The store was closed, so that no file can be torn.
    clean: bool,
}

impl Check<'_> {
    fn page_files(&self, known: &HashMap<GroupId, Known>, counts: &mut Counts) {
        let groups = self.of.groups();
        for group in &groups {
            let known = known.get(group).copied();
            let expect = known.map_or(RootSeq(0), |known| known.root);
            let path = self.of.page_path(*group);
            // Without a root in the checkpoint record, whatever is there is made anew from the log.
            if expect == RootSeq(0) {
                continue;
            }
            counts.page_files += 1;
            match self.of.page_survey(*group, expect, self.threads, &|bytes| self.watch.checked(bytes)) {
                Ok(survey) => {
                    counts.data_pages += survey.data_pages;
                    counts.tag_pages += survey.lower_pages + survey.upper_pages;
                    self.judge(*group, &path, expect, survey);
                }
                Err(error) => self.damage(*group, error),
            }
        }
        self.strays(&groups);
    }

    fn judge(&self, group: GroupId, path: &Path, expect: RootSeq, survey: Survey) {
        if let Some(slot) = survey.bad_slot {
            // Only a power cut tears a slot, and after it the group is opened again before the store is closed cleanly.
            if self.clean {
                let why = "the root does not open";
                let error = Damage { file: path.into(), at: Place::Slot(slot), why }.into();
                self.damage(group, error);
            } else {
                self.watch.found(Finding::Note(Note::TornSlot { file: path.into(), slot }));
            }
        }
        let broken = !survey.damage.is_empty();
        for error in survey.damage {
            self.damage(group, error.into());
        }
        if survey.unopened.is_empty() {
            return;
        }
        // A crash leaves pages that no longer match their entries, and nothing refers to those. Reading all that the
        // database refers to tells; where that is not possible, all of them count.
        let unused = !survey.closed
            && !broken
            && self.of.page_db(group, expect).is_ok_and(|mut db| db.verify().is_ok());
        if unused {
            let pages = survey.unopened.len() as u64;
            self.watch.found(Finding::Note(Note::UnusedPages { file: path.into(), pages }));
            return;
        }
        for page in survey.unopened {
            self.damage(group, Survey::page_damage(path, page).into());
        }
    }

    /// Page files of groups that are not there any more.
    fn strays(&self, groups: &[GroupId]) {
        let files = crate::pages::outline(&OverlayDisk::default(), &self.of.dir.join("pages"));
        match files {
            Ok(files) => {
                for file in files {
                    if file.group.is_some_and(|group| !groups.contains(&group)) {
                        self.watch.found(Finding::Note(Note::StrayPageFile { file: file.path }));
                    }
                }
            }
            Err(error) => self.watch.found(Finding::Damage { group: None, error }),
        }
    }

    fn damage(&self, group: GroupId, error: OpenError) {
        self.watch.found(Finding::Damage { group: Some(group), error });
    }
}
