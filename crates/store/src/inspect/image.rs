//! The rows that a store would have after recovery, without recovering it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use strongroom_seal::GroupKey;

use super::OverlayDisk;
use super::unlocked::{Unlocked, random};
use super::verify::{Finding, Watch};
use crate::directory::Directory;
use crate::disk::Disk;
use crate::keyring::Keyring;
use crate::log::{Kind, Sight, Surveyed};
use crate::pages::RootSeq;
use crate::poison::Poison;
use crate::registry::{GroupError, Known, Registry, Setting};
use crate::{Command, GroupId, Lsn, OpenError, ReadError, Reading, encode, groups};

/// Groups open at once; an inspection goes from one to the next.
const GROUPS_OPEN_MAX: usize = 4;
const CACHE_BYTES: usize = 64 << 20;
/// Commands gather up to this many bytes before they are applied.
const GATHERED_BYTES: usize = 32 << 20;

/// The rows of a store as recovery would have them: pages, and what only the log has. Kept in memory is what recovery
/// would have written.
#[derive(Debug)]
pub struct Image {
    keyring: Arc<Keyring>,
    registry: Registry,
    applied: Lsn,
    complete: bool,
}

type Gathered = BTreeMap<GroupId, Vec<(Lsn, Command)>>;

impl Image {
    /// The groups that exist, ascending.
    pub fn groups(&self) -> Vec<GroupId> {
        self.keyring.contents().groups.keys().copied().collect()
    }

    /// The rows of a group. Blocks.
    ///
    /// # Errors
    /// Damage, by name.
    pub fn read(&self, group: GroupId) -> Result<Reading, ReadError> {
        let open = self.registry.acquire(group)?;
        let rows = open.db()?.read().map_err(|error| GroupError::Pages { group, error })?;
        Ok(Reading::new(rows, open))
    }

    /// One of the group's keys. Blocks if it has to be unwrapped first.
    ///
    /// # Errors
    /// A key that is not there, and what the root key's provider answers.
    pub fn group_key_by_id(&self, group: GroupId, key_id: u32) -> Result<GroupKey, ReadError> {
        let found = self.keyring.key(group, Some(key_id));
        found.map(|(_, key)| key).map_err(|error| ReadError::key(group, error))
    }

    /// Whether the whole log was there. If not, rows are as of some command before its damage, and what they name may
    /// have been removed since.
    pub fn complete(&self) -> bool {
        self.complete
    }

    /// The last command of the log that is in the rows.
    pub fn applied(&self) -> Lsn {
        self.applied
    }

    /// Opens the groups' files and applies what only the log has, up to its first damage. What cannot be read is told
    /// to `watch`; the rest goes on.
    pub(super) fn build(
        of: &Unlocked,
        surveyed: &Surveyed,
        known: HashMap<GroupId, Known>,
        from: Lsn,
        watch: &dyn Watch,
    ) -> Result<Self, OpenError> {
        let disk: Arc<dyn Disk> = Arc::new(OverlayDisk::default());
        let (directory, _) = Directory::existing(&of.dir, &disk)?;
        // Of its own: replay may change it, in memory.
        let keyring = Arc::new(Keyring::open(&directory, of.store(), &of.means(&disk))?);
        let complete = surveyed.damaged_from.is_none();
        let setting = Setting {
            directory: Arc::new(directory),
            keyring: Arc::clone(&keyring),
            disk: Arc::clone(&disk),
            random: random(),
            poison: Arc::new(Poison::default()),
            groups_open_max: GROUPS_OPEN_MAX,
            cache_bytes: CACHE_BYTES,
            // What fails is told, and stays as it is.
            log: None,
            // A log that lost its end is damage that was reported; pages are looked at all the same.
            logged: if complete { surveyed.last } else { Lsn(u64::MAX) },
        };
        let registry = Registry::new(setting, of.lock.clone(), known);
        let end = surveyed.damaged_from.unwrap_or(Lsn(surveyed.last.0.saturating_add(1)));
        let image = Self { keyring, registry, applied: Lsn(end.0.saturating_sub(1)), complete };
        let mut replay = Replay { of, disk, image: &image, watch, span: from..end, failed: BTreeSet::new() };
        replay.run(&|group| group == GroupId::SYSTEM);
        replay.run(&|group| group != GroupId::SYSTEM);
        replay.settle();
        Ok(image)
    }
}

struct Replay<'a> {
    of: &'a Unlocked,
    disk: Arc<dyn Disk>,
    image: &'a Image,
    watch: &'a dyn Watch,
    /// The commands that count.
    span: std::ops::Range<Lsn>,
    /// Groups that cannot be brought up to date.
    failed: BTreeSet<GroupId>,
}

impl Replay<'_> {
    fn run(&mut self, wanted: &dyn Fn(GroupId) -> bool) {
        let mut gathered = Gathered::new();
        let mut bytes = 0;
        let (around, source) = self.of.surroundings(&self.disk);
        let of = self.of;
        of.survey(&around, &source, &mut |sight| {
            let Sight::Frame { header, records: Some((Kind::Command, payloads)), .. } = sight else { return };
            if !wanted(header.group) || header.last() < self.span.start {
                return;
            }
            for (lsn, payload) in (header.first.0..).map(Lsn).zip(payloads) {
                if self.span.contains(&lsn)
                    && let Ok(command) = encode::decode(header.group, payload)
                {
                    gathered.entry(header.group).or_default().push((lsn, command));
                    bytes += payload.len();
                }
            }
            if bytes >= GATHERED_BYTES {
                self.apply(std::mem::take(&mut gathered));
                bytes = 0;
            }
        });
        self.apply(gathered);
    }

    fn apply(&mut self, gathered: Gathered) {
        for (group, commands) in gathered {
            let exists = self.image.keyring.contents().groups.contains_key(&group);
            if exists
                && !self.failed.contains(&group)
                && let Err(error) = self.apply_to(group, &commands)
            {
                self.fail(group, error);
            }
        }
    }

    fn apply_to(&self, group: GroupId, commands: &[(Lsn, Command)]) -> Result<(), OpenError> {
        let open = self.image.registry.acquire(group)?;
        let db = open.db()?;
        let applied = db.applied();
        let commands: Vec<_> = commands.iter().filter(|(lsn, _)| *lsn > applied).collect();
        let commands: Vec<_> = commands.into_iter().map(|(lsn, command)| (*lsn, command)).collect();
        let outcomes = db.apply(&commands)?;
        if group == GroupId::SYSTEM {
            let changes = groups::changes(&commands, &outcomes);
            if !groups::all_made(&changes, &self.image.keyring.contents()) {
                let path = self.of.dir.join("keyring");
                self.image
                    .keyring
                    .replace(|contents| groups::make(&changes, contents))
                    .map_err(|error| crate::directory::io_error(&path, error))?;
            }
        }
        Ok(())
    }

    /// Makes rows durable, in memory: a group whose page does not open later can then be opened again.
    fn settle(&mut self) {
        for group in self.image.registry.dirty() {
            if !self.failed.contains(&group.id)
                && let Err(error) = self.image.registry.flush(&group)
            {
                self.fail(group.id, error.into());
            }
        }
    }

    fn fail(&mut self, group: GroupId, error: OpenError) {
        if self.failed.insert(group) {
            self.watch.found(Finding::Damage { group: Some(group), error });
        }
    }
}

/// What is known of page files if the log does not say it: their own newest roots.
pub(super) fn known_from_files(of: &Unlocked, known: &mut HashMap<GroupId, Known>) {
    let files = crate::pages::outline(&OverlayDisk::default(), &of.dir.join("pages")).unwrap_or_default();
    for file in files {
        let sequences = file.slots.iter().filter_map(|slot| match slot {
            super::SlotState::Root(slot) => Some(slot.sequence),
            _ => None,
        });
        if let (Some(group), Some(_)) = (file.group, sequences.max()) {
            let entry = known.entry(group).or_insert(Known { applied: Lsn(0), root: RootSeq(0) });
            // Any root will do: which one is missing cannot be said.
            entry.root = RootSeq(entry.root.0.max(1));
        }
    }
}
