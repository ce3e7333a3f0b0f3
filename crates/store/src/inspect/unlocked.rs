//! A data directory with its keys: log, pages and keyring decoded.

use std::num::NonZeroUsize;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;

use strongroom_seal::{Envelope, OsRandom, Random};

use super::{InspectError, Offline, OverlayDisk};
use crate::checkpoint::Record as CheckpointRecord;
use crate::directory::{Directory, Lock, StoreId, take_lock};
use crate::disk::Disk;
use crate::keyring::{KeyError, Keyring, Means, Room};
use crate::log::{Kind, Payloads, Sight, Surroundings, Surveyed, survey};
use crate::log_keys::KeySource;
use crate::pages::{self, GroupDb, PageKeys, PagesError, RootSeq, Survey, Surveying};
use crate::{
    Command, GroupId, KeyringReport, LogError, Lsn, OpenError, ReadError, ResealSettings, RootKeys,
    SegmentId, SystemClock, Write, encode, keys,
};

/// Rows are read through a cache of this many bytes.
const CACHE_BYTES: usize = 16 << 20;

/// What the keyring holds. Nothing in it is secret.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyringDetails {
    /// Groups and their keys.
    pub report: KeyringReport,
    /// How many times the store was opened.
    pub epoch: u32,
    /// The last command that made or dropped a group, or changed its keys, and is in the keyring.
    pub applied: Lsn,
    /// A segment that the log is known to have had; 0 if none is known.
    pub log_segment: u64,
    /// A command that the log is known to have had.
    pub log_lsn: Lsn,
    /// Larger than every id that a group has or had.
    pub next_group: u32,
    /// How the moving of pages to newer keys is set.
    pub reseal: ResealSettings,
}

/// One thing in a log that was opened with its keys.
#[derive(Debug)]
#[non_exhaustive]
pub enum LogItem {
    /// An authentic segment starts.
    Segment {
        /// Its id.
        segment: SegmentId,
        /// The LSN of the first record that can stand in it.
        base: Lsn,
        /// Which of the system group's keys its header is under.
        key_id: u32,
        /// The file's length in bytes.
        len: u64,
    },
    /// An authentic frame.
    Frame {
        /// In which segment.
        segment: SegmentId,
        /// Where it starts, in bytes.
        offset: u64,
        /// The LSN of its first record.
        first: Lsn,
        /// How many records it holds.
        count: u16,
        /// Whose they are.
        group: GroupId,
        /// Which of the group's keys they are sealed under.
        key_id: u32,
        /// How long the sealed records are, in bytes.
        sealed_len: u32,
        /// What it holds; `None` if the group was dropped and its keys are forgotten.
        records: Option<Vec<LogRecord>>,
    },
    /// What a crash left of a batch that was never acknowledged.
    Torn {
        /// In which segment.
        segment: SegmentId,
        /// Where it starts, in bytes.
        offset: u64,
        /// How long it is, in bytes.
        len: u64,
    },
    /// Something that must not be.
    Damage(LogError),
}

/// One record of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogRecord {
    /// Its place.
    pub lsn: Lsn,
    /// How long it is, in bytes.
    pub len: usize,
    /// What it says.
    pub what: RecordKind,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordKind {
    /// A command.
    Command(Command),
    /// A checkpoint.
    Checkpoint {
        /// Every command up to here is durable in its group's pages.
        reached: Lsn,
        /// The keyring's generation then.
        keyring_generation: u64,
        /// Group, last command durable in its pages, and the number of its root.
        groups: Vec<(GroupId, Lsn, u64)>,
    },
    /// It is authentic, and neither: written by a newer version, or a defect.
    Unknown,
}

/// What a page file holds, as far as its own last durable root.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PageFileReport {
    /// Whose it is.
    pub group: GroupId,
    /// The file.
    pub path: PathBuf,
    /// Its length in bytes. Holes count, so the disk may hold less.
    pub len: u64,
    /// The number of the root that counts.
    pub root: u64,
    /// Whether it was closed, and not killed.
    pub closed: bool,
    /// The keys that pages are under.
    pub keys: Vec<PageKeyReport>,
    /// Data pages that open.
    pub data_pages: u64,
    /// Tag pages over data pages.
    pub lower_pages: u64,
    /// Tag pages over tag pages.
    pub upper_pages: u64,
    /// Pages that do not open, in use or not.
    pub unopened: u64,
    /// The last command in its rows.
    pub applied: Lsn,
    /// Its rows.
    pub rows: u64,
}

/// An entry of a page file's key table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PageKeyReport {
    /// The group key's id.
    pub id: u32,
    /// How often the file was opened with this entry as the sealing one.
    pub opens: u32,
    /// Whether it seals now.
    pub sealing: bool,
    /// Pages under it, data and tag pages alike.
    pub pages: u64,
}

/// A data directory whose keyring was opened, held so that no server opens it meanwhile.
#[derive(Debug)]
pub struct Unlocked {
    pub(super) dir: PathBuf,
    pub(super) keyring: Arc<Keyring>,
    pub(super) lock: Lock,
    root_keys: Arc<dyn RootKeys>,
    store: StoreId,
}

impl Offline {
    /// What the keyring holds. May be asked while a server runs: the file is replaced in one piece.
    ///
    /// # Errors
    /// A root key that is missing or wrong, and a damaged keyring, each by its own variant.
    pub fn keys(&self, root_keys: Arc<dyn RootKeys>) -> Result<KeyringDetails, InspectError> {
        let disk: Arc<dyn Disk> = Arc::new(OverlayDisk::default());
        let (directory, store) = Directory::existing(&self.dir, &disk)?;
        let keyring = Keyring::open(&directory, store, &means(&disk, &root_keys))?;
        let contents = keyring.contents();
        Ok(KeyringDetails {
            report: keys::report(&keyring),
            epoch: contents.epoch,
            applied: contents.applied,
            log_segment: contents.floor.segment,
            log_lsn: contents.floor.lsn,
            next_group: contents.next_group,
            reseal: contents.reseal,
        })
    }

    /// Opens the keyring and holds the directory's lock, shared with other inspections.
    ///
    /// # Errors
    /// [`InspectError::InUse`] while a server has the store open, and those of [`Self::keys`].
    pub fn unlock(&self, root_keys: Arc<dyn RootKeys>) -> Result<Unlocked, InspectError> {
        let disk: Arc<dyn Disk> = Arc::new(OverlayDisk::default());
        let lock = take_lock(&self.dir, &disk).map_err(|error| match error {
            OpenError::InUse { dir } => InspectError::InUse { dir },
            error => error.into(),
        })?;
        let (directory, store) = Directory::existing(&self.dir, &disk)?;
        let keyring = Arc::new(Keyring::open(&directory, store, &means(&disk, &root_keys))?);
        Ok(Unlocked { dir: self.dir.clone(), keyring, lock, root_keys, store })
    }
}

fn means(disk: &Arc<dyn Disk>, root_keys: &Arc<dyn RootKeys>) -> Means {
    Means {
        disk: Arc::clone(disk),
        random: Arc::new(OsRandom),
        root_keys: Arc::clone(root_keys),
        clock: Arc::new(SystemClock),
        key_limits: crate::KeyLimits::default(),
        room: Room::default(),
    }
}

impl Unlocked {
    /// The groups that the keyring has, ascending.
    pub fn groups(&self) -> Vec<GroupId> {
        self.keyring.contents().groups.keys().copied().collect()
    }

    /// Reads the log to its end, whatever is wrong with it, and shows it in LSN order.
    pub fn log(&self, visit: &mut dyn FnMut(LogItem)) {
        let disk: Arc<dyn Disk> = Arc::new(OverlayDisk::default());
        let (around, source) = self.surroundings(&disk);
        self.survey(&around, &source, &mut |sight| visit(item(sight)));
    }

    /// Surveys the log and learns the keys that travel in it.
    pub(super) fn survey(
        &self,
        around: &Surroundings,
        source: &KeySource,
        visit: &mut dyn FnMut(Sight<'_>),
    ) -> Surveyed {
        let applied = self.keyring.contents().applied;
        survey(around, &mut |sight| {
            if let Sight::Frame { header, records: Some((Kind::Command, payloads)), .. } = &sight
                && header.group == GroupId::SYSTEM
            {
                for (lsn, payload) in (header.first.0..).zip(payloads.clone()) {
                    if Lsn(lsn) > applied {
                        learn(source, payload);
                    }
                }
            }
            visit(sight);
        })
    }

    /// What the log needs, over a disk of its own.
    pub(super) fn surroundings(&self, disk: &Arc<dyn Disk>) -> (Surroundings, Arc<KeySource>) {
        let source = Arc::new(KeySource::new(Arc::clone(&self.keyring)));
        let around = Surroundings {
            disk: Arc::clone(disk),
            dir: self.dir.join("log"),
            keys: Arc::<KeySource>::clone(&source),
            random: random(),
        };
        (around, source)
    }

    /// What the page file of a group holds. Every page is opened.
    ///
    /// # Errors
    /// What keeps the file from being read.
    pub fn page_file(&self, group: GroupId, threads: NonZeroUsize) -> Result<PageFileReport, OpenError> {
        let path = self.page_path(group);
        let survey = self.page_survey(group, RootSeq(0), threads, &|_| ())?;
        let keys = survey.keys.iter().zip(&survey.pages_by_key).zip(1_u8..);
        let keys = keys.map(|((&(id, opens), &pages), index)| PageKeyReport {
            id,
            opens,
            sealing: index == survey.sealing,
            pages,
        });
        let db = self.page_db(group, RootSeq(0))?;
        let mut rows = 0;
        for row in db.read()?.range(Bound::Unbounded, Bound::Unbounded)? {
            row?;
            rows += 1;
        }
        Ok(PageFileReport {
            group,
            path,
            len: survey.len,
            root: survey.root,
            closed: survey.closed,
            keys: keys.collect(),
            data_pages: survey.data_pages,
            lower_pages: survey.lower_pages,
            upper_pages: survey.upper_pages,
            unopened: survey.unopened.len() as u64 + survey.damage.len() as u64,
            applied: db.applied(),
            rows,
        })
    }

    /// Shows the rows of a group whose keys begin with `prefix`, in their order, as the page file has them; what is only
    /// in the log is not among them.
    ///
    /// # Errors
    /// What keeps rows from being read; those before it were shown.
    pub fn rows(
        &self,
        group: GroupId,
        prefix: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), OpenError> {
        let db = self.page_db(group, RootSeq(0))?;
        for row in db.read()?.range(Bound::Included(prefix), Bound::Unbounded)? {
            let (key, value) = row?;
            if !key.starts_with(prefix) {
                break;
            }
            visit(&key, &value);
        }
        Ok(())
    }

    pub(super) fn page_path(&self, group: GroupId) -> PathBuf {
        self.dir.join("pages").join(format!("{group}.pages"))
    }

    pub(super) fn page_keys(&self, group: GroupId) -> Result<PageKeys, OpenError> {
        let (active, keys) = self.keyring.usable(group).map_err(|error| match error {
            KeyError::RootKey(source) => OpenError::NoRootKey { source },
            error => OpenError::Group(ReadError::key(group, error)),
        })?;
        Ok(PageKeys { active, keys, uses: Arc::clone(self.keyring.uses()) })
    }

    /// Opens every page of a group's file.
    pub(super) fn page_survey(
        &self,
        group: GroupId,
        expect: RootSeq,
        threads: NonZeroUsize,
        step: &(dyn Fn(u64) + Sync),
    ) -> Result<Survey, OpenError> {
        let keys = self.page_keys(group)?;
        let path = self.page_path(group);
        let disk = Arc::new(OverlayDisk::default());
        let of = Surveying { disk, path: &path, group, keys: &keys, random: random(), expect, threads };
        Ok(pages::survey(&of, step)?)
    }

    /// The database in a group's page file, over a disk of its own.
    pub(super) fn page_db(&self, group: GroupId, expect: RootSeq) -> Result<GroupDb, OpenError> {
        let keys = self.page_keys(group)?;
        let path = self.page_path(group);
        let disk: Arc<dyn Disk> = Arc::new(OverlayDisk::default());
        let opened = GroupDb::open(&disk, &path, group, &keys, random(), CACHE_BYTES, expect);
        opened.map_err(|error: PagesError| error.into())
    }

    pub(super) fn store(&self) -> StoreId {
        self.store
    }

    pub(super) fn means(&self, disk: &Arc<dyn Disk>) -> Means {
        means(disk, &self.root_keys)
    }
}

pub(super) fn random() -> Arc<dyn Random> {
    Arc::new(OsRandom)
}

/// A record of the system group may bring a key.
fn learn(source: &KeySource, payload: &[u8]) {
    let Ok(command) = encode::decode(GroupId::SYSTEM, payload) else { return };
    for write in command.writes {
        let (group, key_id, wrapped_key) = match write {
            Write::CreateGroup { group, wrapped_key, .. } => (group, 1, wrapped_key),
            Write::RotateKey { group, key_id, wrapped_key, .. } => (group, key_id, wrapped_key),
            Write::Put { .. } | Write::Delete { .. } | Write::DropGroup { .. } => continue,
        };
        if let Ok(envelope) = Envelope::decode(&wrapped_key) {
            source.made(group, key_id, envelope);
        }
    }
}

fn item(sight: Sight<'_>) -> LogItem {
    match sight {
        Sight::Segment { header, len } => {
            LogItem::Segment { segment: header.segment, base: header.base, key_id: header.key_id, len }
        }
        Sight::Frame { segment, offset, header, records } => LogItem::Frame {
            segment,
            offset,
            first: header.first,
            count: header.count,
            group: header.group,
            key_id: header.key_id,
            sealed_len: header.body_len,
            records: records.map(|(kind, payloads)| decoded(header.first, header.group, kind, payloads)),
        },
        Sight::Torn { segment, offset, len } => LogItem::Torn { segment, offset, len },
        Sight::Damage(error) => LogItem::Damage(error),
    }
}

fn decoded(first: Lsn, group: GroupId, kind: Kind, payloads: Payloads<'_>) -> Vec<LogRecord> {
    let decode = |payload: &[u8]| match kind {
        Kind::Command => encode::decode(group, payload).map(RecordKind::Command).ok(),
        Kind::Checkpoint => CheckpointRecord::decode(payload).ok().map(|record| RecordKind::Checkpoint {
            reached: record.reached,
            keyring_generation: record.keyring_generation,
            groups: record.groups.iter().map(|(id, known)| (*id, known.applied, known.root.0)).collect(),
        }),
    };
    let record = |(lsn, payload): (u64, &[u8])| LogRecord {
        lsn: Lsn(lsn),
        len: payload.len(),
        what: decode(payload).unwrap_or(RecordKind::Unknown),
    };
    (first.0..).zip(payloads).map(record).collect()
}
