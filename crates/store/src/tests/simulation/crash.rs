//! From a picture to a crashed disk, and from there to a store that is looked at.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::history::{Complaint, Ledger, Moment};
use super::workload::{Life, Op};
use super::{Kind, SetClock, trouble};
use crate::disk::is_no_space;
use crate::sim::{Dice, Picture, SimDisk, Snapshot, Survival};
use crate::{Cause, Command, CommitError, GroupId, OpenError, ReadError, Store, StoreOptions, Write};

/// What was done.
#[derive(Debug, Default, Clone)]
pub(super) struct Tally {
    /// Disks that crashed, were opened and compared.
    pub(super) crashes: u64,
    /// Of those, how many lost power.
    pub(super) power_cuts: u64,
    /// Of those, how many lost their process alone.
    pub(super) kills: u64,
    /// Of those, how many crashed within a checkpoint.
    pub(super) in_checkpoints: u64,
    /// Within a rotation of a group key.
    pub(super) in_rotations: u64,
    /// Within a change of the root key.
    pub(super) in_root_changes: u64,
    /// Lives on a disk that fails, of which calls did.
    pub(super) failing: u64,
    /// Lives on a disk that is full for a while.
    pub(super) full: u64,
    /// Of those, how many crashed while a crash was being recovered from.
    pub(super) nested: u64,
    /// Disks of which bits rotted.
    pub(super) rotten: u64,
    /// Of those, how many said so and did not open.
    pub(super) refused: u64,
    /// Of those, how many opened without some group.
    pub(super) partial: u64,
    /// Commands refused for lack of space.
    pub(super) refused_for_space: u64,
    /// Openings while the disk failed or was full that did not succeed, and one did once it was sound.
    pub(super) stumbled: u64,
    /// Group keys that were followed by another.
    pub(super) rotations: u64,
    /// Changes of the root key.
    pub(super) root_changes: u64,
    /// At the ends of lives and of recovered stores' uses: keys that had been followed by another.
    pub(super) keys_replaced: u64,
    /// Of those, how many had retired.
    pub(super) keys_retired: u64,
    /// Recovered stores whose replaced keys were all made to retire.
    pub(super) all_retired: u64,
    /// What each disk was asked for, if somebody wants to know.
    pub(super) traces: Option<Vec<Vec<String>>>,
}

impl Tally {
    /// Adds what was counted elsewhere.
    pub(super) fn add(&mut self, other: &Self) {
        self.refused_for_space += other.refused_for_space;
        self.rotations += other.rotations;
        self.root_changes += other.root_changes;
        self.keys_replaced += other.keys_replaced;
        self.keys_retired += other.keys_retired;
    }

    /// Begins to write down what a disk is asked for.
    pub(super) fn trace(&self, disk: &SimDisk) {
        if self.traces.is_some() {
            disk.trace();
        }
    }

    pub(super) fn traced(&mut self, disk: &SimDisk) {
        if let Some(traces) = &mut self.traces {
            traces.push(disk.traced());
        }
    }
}

/// Opens crashed disks.
pub(super) struct Crasher {
    pub(super) options: StoreOptions,
    pub(super) clock: Arc<SetClock>,
    /// The store's workers do not work by themselves.
    pub(super) exact: bool,
}

/// How deep crashes of recoveries go.
const DEPTH: u8 = 2;

impl Crasher {
    /// Crashes some of the pictures. The answer is one of the disks, and what is on it.
    pub(super) fn crash_many(
        &self,
        pictures: &[Picture],
        (moments, during): (&[Moment], &[(Op, Range<u64>)]),
        count: usize,
        dice: &mut Dice,
        tally: &mut Tally,
    ) -> Result<(SimDisk, Ledger), Complaint> {
        let mut last = None;
        for turn in 0..count {
            // The last one is where life goes on, so not too early.
            let from = if turn + 1 == count { pictures.len() / 2 } else { 0 };
            let picture = &pictures[from + dice.below(pictures.len() - from)];
            let moment = &moments[usize::try_from(picture.label).expect("labels are indexes")];
            let seed = dice.roll();
            let at = |complaint| {
                format!(
                    "picture {} (label {}), crash seed {seed:#x}: {complaint}",
                    picture.call, picture.label
                )
            };
            for (op, _) in during.iter().filter(|(_, calls)| calls.contains(&picture.call)) {
                *match op {
                    Op::Checkpoint => &mut tally.in_checkpoints,
                    Op::Rotation => &mut tally.in_rotations,
                    Op::RootChange => &mut tally.in_root_changes,
                } += 1;
            }
            last = Some(self.crash(&picture.files, moment, seed, DEPTH, tally).map_err(at)?);
            if dice.chance(15) {
                self.rot(&picture.files, moment, seed, tally).map_err(at)?;
            }
        }
        last.ok_or_else(|| "nothing was crashed".into())
    }

    /// One crash, openings that are crashed themselves, and a look at what is there.
    fn crash(
        &self,
        files: &Snapshot,
        moment: &Moment,
        seed: u64,
        depth: u8,
        tally: &mut Tally,
    ) -> Result<(SimDisk, Ledger), Complaint> {
        let mut dice = Dice::from_seed(seed);
        let disk = files.disk(dice.roll());
        let how = dice.below(10);
        match how {
            0..=1 => disk.kill(),
            2 => disk.cut_power_keeping(Survival::Nothing),
            _ => disk.cut_power(),
        }
        *if how < 2 { &mut tally.kills } else { &mut tally.power_cuts } += 1;
        tally.crashes += 1;
        tally.nested += u64::from(depth < DEPTH);
        let nests = depth > 0 && dice.chance(20);
        if nests {
            disk.record();
        }
        tally.trace(&disk);
        if dice.chance(12) {
            self.stumble(&disk, moment, &mut dice, tally)?;
        }
        let store = self.open(&disk).map_err(|error| format!("does not open: {error}"))?;
        let found = moment.check(&store)?;
        if nests {
            let pictures = disk.pictures();
            for _ in 0..2 {
                let picture = &pictures[dice.below(pictures.len())];
                let call = picture.call;
                self.crash(&picture.files, moment, dice.roll(), depth - 1, tally)
                    .map_err(|complaint| format!("opening, call {call}: {complaint}"))?;
            }
        }
        let ledger =
            if dice.chance(12) { self.use_it(&store, &disk, found, &mut dice, tally)? } else { found };
        if dice.chance(10) {
            store.close().map_err(|error| format!("does not close: {error}"))?;
        } else {
            drop(store);
        }
        tally.traced(&disk);
        disk.kill();
        Ok((disk, ledger))
    }

    /// A store that recovered is as good as any: it takes commands, and its replaced keys retire.
    fn use_it(
        &self,
        store: &Store,
        disk: &SimDisk,
        found: Ledger,
        dice: &mut Dice,
        tally: &mut Tally,
    ) -> Result<Ledger, Complaint> {
        let mut life = Life::new(store, disk, &self.clock, found, true, dice.roll());
        life.go(dice, 4)?;
        if self.exact && dice.chance(50) {
            life.retire_all()?;
            life.ledger.moment().check(store).map_err(|complaint| format!("keys retired: {complaint}"))?;
            tally.all_retired += 1;
        }
        life.count_keys();
        tally.add(&life.tally);
        Ok(life.ledger)
    }

    /// An opening while the disk fails or is full. It succeeds, or says why not; nothing is lost by it.
    pub(super) fn stumble(
        &self,
        disk: &SimDisk,
        moment: &Moment,
        dice: &mut Dice,
        tally: &mut Tally,
    ) -> Result<(), Complaint> {
        let kind = if dice.chance(40) { Kind::Full } else { Kind::Failing };
        let soon = |dice: &mut Dice| {
            let most = if dice.chance(50) { 6 } else { 40 };
            dice.under(most)
        };
        let planned = trouble(disk, kind, dice, soon);
        let short = planned == Some(io::ErrorKind::UnexpectedEof);
        let full = kind == Kind::Full || planned.is_some_and(|kind| is_no_space(&kind.into()));
        match self.open(disk) {
            Ok(store) => {
                // Nothing else than what it may hold, as far as it can be read at all.
                let seen = moment.check_damaged(&store).map(drop);
                seen.map_err(|complaint| format!("opened on a {kind:?} disk: {complaint}"))?;
            }
            Err(OpenError::NoSpace { .. }) if full => tally.stumbled += 1,
            Err(OpenError::Io { .. } | OpenError::Group(ReadError::Io { .. })) if kind == Kind::Failing => {
                tally.stumbled += 1;
            }
            // A file that ends before its end is damaged, for all that anyone can tell.
            Err(error) if short && is_named(&error) => tally.stumbled += 1,
            Err(error) => return Err(format!("on a {kind:?} disk the opening failed as {error:?}")),
        }
        disk.heal();
        match dice.below(3) {
            0 => disk.kill(),
            1 => disk.cut_power(),
            // Whoever works by himself may have the store for a moment longer than who drops it here.
            _ if !self.exact => disk.kill(),
            _ => {}
        }
        Ok(())
    }

    /// Bits rot in a store whose process died. What is there is right or named as damaged.
    fn rot(&self, files: &Snapshot, moment: &Moment, seed: u64, tally: &mut Tally) -> Result<(), Complaint> {
        let mut dice = Dice::from_seed(seed ^ 0xb17);
        let disk = files.disk(0);
        disk.kill();
        let paths: Vec<_> =
            disk.files().into_iter().filter(|path| !disk.written_blocks(path).is_empty()).collect();
        if !paths.iter().any(|path| path.ends_with("FORMAT")) {
            return Ok(());
        }
        let mut what = Vec::new();
        for _ in 0..1 + dice.below(2) {
            let path = &paths[dice.below(paths.len())];
            let blocks = disk.written_blocks(path);
            let (start, len) = blocks[dice.below(blocks.len())];
            let bit = (start + dice.below(len)) * 8 + dice.below(8);
            disk.flip(path, bit);
            what.push(format!("{} bit {bit}", path.display()));
        }
        tally.rotten += 1;
        let at = |complaint| format!("rotten {what:?}: {complaint}");
        let store = match self.open(&disk) {
            Ok(store) => store,
            Err(error) if is_named(&error) => {
                tally.refused += 1;
                return Ok(());
            }
            Err(error) => return Err(at(format!("refused without a name: {error}"))),
        };
        let groups = moment.check_damaged(&store).map_err(at)?;
        for (group, _) in groups.iter().filter(|(_, error)| error.is_none()) {
            let writes = vec![Write::Put { key: b"after".to_vec(), value: b"written".to_vec() }];
            let command = Command { group: *group, checks: vec![], writes };
            match store.commit_blocking(command) {
                Ok(_) => {}
                // A page that no row needed and the new one does.
                Err(CommitError::Damage(_) | CommitError::NotAppliedYet { .. }) => {}
                Err(CommitError::Poisoned { cause: Cause::Pages { group: GroupId::SYSTEM, .. } }) => break,
                Err(error) => return Err(at(format!("the whole group {group} takes no command: {error}"))),
            }
        }
        tally.partial += u64::from(groups.iter().any(|(_, error)| error.is_some()));
        Ok(())
    }

    fn open(&self, disk: &SimDisk) -> Result<Store, OpenError> {
        Store::create_or_open(StoreOptions { disk: Arc::new(disk.process()), ..self.options.clone() })
    }
}

/// Whether an error says that bytes at rest are not what they were.
fn is_named(error: &OpenError) -> bool {
    matches!(
        error,
        OpenError::Damage(_)
            | OpenError::RolledBack { .. }
            | OpenError::Log(_)
            | OpenError::TooNew { .. }
            | OpenError::Group(_)
    )
}
