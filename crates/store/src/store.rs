//! The store: commands in, outcomes and snapshots out.

use std::collections::HashMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use strongroom_seal::GroupKey;

use crate::reading::Rows;
use crate::{
    COMMAND_LEN_MAX, Check, Command, CommitError, GroupId, KEY_LEN_MAX, Lsn, OpenError, Outcome, ReadError,
    Reading, StoreError, StoreOptions, VALUE_LEN_MAX, Write,
};

/// What opening a store found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovery {
    /// The store was closed, not killed, or was made just now.
    pub clean: bool,
    /// Commands that were in the log and not yet in durable pages.
    pub replayed: u64,
    /// Bytes of a batch that was being written when the store was killed; none of it had been acknowledged.
    pub cut_bytes: u64,
}

/// How the store is doing.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Status {
    /// The last command that was given a place in the log.
    pub lsn: Lsn,
    /// The last command that is durable.
    pub durable: Lsn,
    /// The last command that is applied.
    pub applied: Lsn,
    /// Groups that exist.
    pub groups: usize,
    /// Groups whose page file is open.
    pub groups_open: usize,
    /// Commands acknowledged since the store opened.
    pub commits: u64,
    /// Batches made durable since the store opened.
    pub batches: u64,
    /// Syncs of the log since the store opened.
    pub fsyncs: u64,
    /// Checkpoints since the store opened.
    pub checkpoints: u64,
    /// Bytes of log that the next opening would read if the store were killed now.
    pub log_bytes: u64,
    /// Why the store stopped taking writes, if it did.
    pub poisoned: Option<crate::Cause>,
}

/// An open store. Clones share it.
///
/// Commands are durable and applied when [`Self::commit`] returns. Reads are snapshots and never wait for writes.
#[derive(Debug, Clone)]
pub struct Store(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    groups: HashMap<GroupId, Group>,
    next: u32,
    lsn: Lsn,
    random: Arc<dyn strongroom_seal::Random>,
    closed: bool,
}

#[derive(Debug)]
struct Group {
    key: GroupKey,
    rows: Arc<Rows>,
    lsn: Lsn,
}

impl Store {
    /// Opens the store in `options.dir`, making it if the directory is missing or empty. Blocks; a store that was
    /// killed replays its log first.
    pub fn create_or_open(options: StoreOptions) -> Result<Self, OpenError> {
        let mut state =
            State { groups: HashMap::new(), next: 0, lsn: Lsn(0), random: options.random, closed: false };
        state.create();
        Ok(Self(Arc::new(Mutex::new(state))))
    }

    /// Whether there is a store in `dir`. Touches no file.
    pub fn is_initialised(dir: &Path) -> Result<bool, OpenError> {
        Ok(dir.join("FORMAT").exists())
    }

    /// Carries out a command, or refuses it because a check does not hold. Durable and visible when it returns.
    /// Dropping the future does not take the command back.
    pub async fn commit(&self, command: Command) -> Result<Outcome, CommitError> {
        self.commit_blocking(command)
    }

    /// [`Self::commit`] for threads that may block.
    pub fn commit_blocking(&self, command: Command) -> Result<Outcome, CommitError> {
        check_lengths(&command)?;
        if command.writes.iter().any(|write| matches!(write, Write::CreateGroup { .. })) {
            return Err(CommitError::Misplaced { group: command.group, what: "the creation of a group" });
        }
        self.state().commit(&command)
    }

    /// Makes a group with a fresh key. `command` is told the new group's id and gives the command of the system group
    /// that makes it known there: group and rows come into being together, or on refusal not at all.
    pub async fn create_group(
        &self,
        command: impl FnOnce(GroupId) -> Command + Send,
    ) -> Result<(GroupId, Outcome), CommitError> {
        let mut state = self.state();
        let id = GroupId(state.next);
        let command = command(id);
        check_lengths(&command)?;
        let outcome = state.commit(&command)?;
        if let Outcome::Applied { .. } = outcome {
            state.create();
        }
        Ok((id, outcome))
    }

    /// The rows of a group now. Cheap to make unless the group's page file has to be opened; blocks.
    pub fn read(&self, group: GroupId) -> Result<Reading, ReadError> {
        let state = self.state();
        let found = state.groups.get(&group).ok_or(ReadError::NoSuchGroup { group })?;
        Ok(Reading { rows: Arc::clone(&found.rows), lsn: found.lsn })
    }

    /// The groups that exist, in the order of their ids.
    pub fn groups(&self) -> Vec<GroupId> {
        let mut groups: Vec<_> = self.state().groups.keys().copied().collect();
        groups.sort();
        groups
    }

    /// The group's active key and its id. Blocks if the key has to be unwrapped first.
    pub fn group_key(&self, group: GroupId) -> Result<(u32, GroupKey), ReadError> {
        let state = self.state();
        let found = state.groups.get(&group).ok_or(ReadError::NoSuchGroup { group })?;
        Ok((1, found.key.clone()))
    }

    /// One of the group's keys, active or still readable.
    pub fn group_key_by_id(&self, group: GroupId, key_id: u32) -> Result<GroupKey, ReadError> {
        let (active, key) = self.group_key(group)?;
        if active == key_id { Ok(key) } else { Err(ReadError::NoSuchKey { group, key_id }) }
    }

    /// How many times this store was opened, this time included. What is made in one epoch can be told from what an
    /// earlier one left behind.
    pub fn epoch(&self) -> u32 {
        1
    }

    /// What opening found.
    pub fn recovered(&self) -> Recovery {
        Recovery { clean: true, replayed: 0, cut_bytes: 0 }
    }

    /// Makes all applied commands durable in their pages and gives back log that is no longer needed. Blocks.
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Takes no more commands, makes a checkpoint, marks the store clean and lets go of the directory. Other clones
    /// answer `Closed` from then on. Blocks.
    pub fn close(self) -> Result<(), StoreError> {
        self.state().closed = true;
        Ok(())
    }

    /// How the store is doing.
    pub fn status(&self) -> Status {
        let state = self.state();
        Status {
            lsn: state.lsn,
            durable: state.lsn,
            applied: state.lsn,
            groups: state.groups.len(),
            ..Status::default()
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn create(&mut self) {
        let group = Group { key: GroupKey::generate(&*self.random), rows: Arc::default(), lsn: self.lsn };
        self.groups.insert(GroupId(self.next), group);
        self.next += 1;
    }

    fn commit(&mut self, command: &Command) -> Result<Outcome, CommitError> {
        if self.closed {
            return Err(CommitError::Closed);
        }
        let group = command.group;
        let found = self.groups.get_mut(&group).ok_or(CommitError::NoSuchGroup { group })?;
        self.lsn.0 += 1;
        if let Some(check) = command.checks.iter().position(|check| !holds(&found.rows, check)) {
            return Ok(Outcome::Refused { check });
        }
        let rows = Arc::make_mut(&mut found.rows);
        let mut dropped = Vec::new();
        for write in &command.writes {
            match write {
                Write::Put { key, value } => drop(rows.insert(key.clone(), value.as_slice().into())),
                Write::Delete { key } => drop(rows.remove(key)),
                Write::CreateGroup { .. } => {}
                Write::DropGroup { group } => dropped.push(*group),
            }
        }
        found.lsn = self.lsn;
        for group in dropped {
            self.groups.remove(&group);
        }
        Ok(Outcome::Applied { lsn: self.lsn })
    }
}

fn holds(rows: &Rows, check: &Check) -> bool {
    match check {
        Check::Absent { key } => !rows.contains_key(key),
        Check::Present { key } => rows.contains_key(key),
        Check::Equals { key, value } => rows.get(key).is_some_and(|found| **found == **value),
        Check::RangeEmpty { from, to } => {
            from >= to
                || rows.range::<[u8], _>((Bound::Included(&**from), Bound::Excluded(&**to))).next().is_none()
        }
    }
}

fn check_lengths(command: &Command) -> Result<(), CommitError> {
    let too_long = |what, length, most| Err(CommitError::TooLong { what, length, most });
    let mut total = 64;
    let keys_and_values = |write: &Write| match write {
        Write::Put { key, value } => (key.len(), value.len()),
        Write::Delete { key } => (key.len(), 0),
        Write::CreateGroup { wrapped_key, .. } => (0, wrapped_key.len()),
        Write::DropGroup { .. } => (0, 0),
    };
    let checked = command.checks.iter().map(|check| match check {
        Check::Absent { key } | Check::Present { key } => (key.len(), 0),
        Check::Equals { key, value } => (key.len(), value.len()),
        Check::RangeEmpty { from, to } => (from.len().max(to.len()), 0),
    });
    for (key, value) in command.writes.iter().map(keys_and_values).chain(checked) {
        if key > KEY_LEN_MAX {
            return too_long("a key", key, KEY_LEN_MAX);
        }
        if value > VALUE_LEN_MAX {
            return too_long("a value", value, VALUE_LEN_MAX);
        }
        total += key + value + 16;
    }
    if total > COMMAND_LEN_MAX {
        return too_long("the command", total, COMMAND_LEN_MAX);
    }
    Ok(())
}
