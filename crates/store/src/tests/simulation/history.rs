//! What a store may hold after an accident: what was acknowledged, and of what was under way any first part, group by
//! group.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::user::{self, said};
use crate::{Check, Command, GroupId, ReadError, Reading, Store, Write};

pub(super) type Rows = BTreeMap<Vec<u8>, Arc<[u8]>>;

/// The rows of all groups. A row of the system group with a value of four bytes names a group.
#[derive(Debug, Clone)]
pub(super) struct Ledger {
    pub(super) groups: BTreeMap<GroupId, Arc<Rows>>,
}

/// What may be found at one moment: for each group the states that it may have.
#[derive(Debug, Clone)]
pub(super) struct Moment {
    groups: BTreeMap<GroupId, Vec<Arc<Rows>>>,
}

/// What is wrong with a store.
pub(super) type Complaint = String;

impl Ledger {
    pub(super) fn new() -> Self {
        Self { groups: BTreeMap::from([(GroupId::SYSTEM, Arc::default())]) }
    }

    pub(super) fn group(&self, name: &str) -> Option<GroupId> {
        named(self.groups[&GroupId::SYSTEM].get(name.as_bytes())?)
    }

    /// The rows after a command; `None` if a check refuses it.
    pub(super) fn after(&self, command: &Command) -> Option<Rows> {
        after(&self.groups[&command.group], command)
    }

    pub(super) fn set(&mut self, group: GroupId, rows: Rows) {
        self.groups.insert(group, Arc::new(rows));
    }

    /// Nothing is under way.
    pub(super) fn moment(&self) -> Moment {
        Moment { groups: self.groups.iter().map(|(id, rows)| (*id, vec![Arc::clone(rows)])).collect() }
    }
}

impl Moment {
    /// A command is under way, behind those of its group that are.
    pub(super) fn under_way(&mut self, command: &Command) {
        let states = self.groups.get_mut(&command.group).expect("commands are for groups that are there");
        // Refused ones change nothing. What may come of it depends on which of those before it count: all do, in the
        // longest of the possible pasts, and in the shorter ones it does not count itself.
        let last = states.last().expect("a group has a state");
        if let Some(rows) = after(last, command) {
            states.push(Arc::new(rows));
        }
    }

    /// A group may come into being.
    pub(super) fn may_make(&mut self, group: GroupId) {
        self.groups.insert(group, vec![Arc::default()]);
    }

    /// What the store holds, if that may be.
    pub(super) fn check(&self, store: &Store) -> Result<Ledger, Complaint> {
        let mut found = Ledger::new();
        for group in store.groups() {
            let rows =
                rows(store, group).map_err(|error| format!("group {group} is unreadable: {error}"))??;
            self.check_group(group, &rows)?;
            found.groups.insert(group, Arc::new(rows));
        }
        check_names(store, &found.groups[&GroupId::SYSTEM])?;
        Ok(found)
    }

    /// As [`Self::check`] for a store with damage: a group may be unreadable, and then its error is in the answer.
    pub(super) fn check_damaged(
        &self,
        store: &Store,
    ) -> Result<Vec<(GroupId, Option<ReadError>)>, Complaint> {
        let mut found = Vec::new();
        for group in store.groups() {
            match rows(store, group) {
                Ok(rows) => {
                    let rows = rows?;
                    self.check_group(group, &rows)?;
                    if group == GroupId::SYSTEM {
                        check_names(store, &rows)?;
                    }
                    found.push((group, None));
                }
                Err(error) => found.push((group, Some(error))),
            }
        }
        Ok(found)
    }

    fn check_group(&self, group: GroupId, rows: &Rows) -> Result<(), Complaint> {
        let states = self.groups.get(&group).ok_or_else(|| format!("nobody made group {group}"))?;
        if states.iter().any(|state| **state == *rows) {
            return Ok(());
        }
        let states: Vec<String> = states.iter().map(|state| outline(state)).collect();
        Err(format!("group {group} holds {}, and may hold {states:?}", outline(rows)))
    }
}

fn after(rows: &Rows, command: &Command) -> Option<Rows> {
    let holds = |check: &Check| match check {
        Check::Absent { key } => !rows.contains_key(key),
        Check::Present { key } => rows.contains_key(key),
        Check::Equals { key, value } => rows.get(key).is_some_and(|have| have[..] == value[..]),
        Check::RangeEmpty { from, to } => from >= to || rows.range(from.clone()..to.clone()).next().is_none(),
    };
    if !command.checks.iter().all(holds) {
        return None;
    }
    let mut rows = rows.clone();
    for write in &command.writes {
        match write {
            Write::Put { key, value } => drop(rows.insert(key.clone(), said(key, value).into())),
            Write::Delete { key } => drop(rows.remove(key)),
            _ => {}
        }
    }
    Some(rows)
}

/// The group's rows, once every wrapped value among them was opened.
pub(super) fn rows(store: &Store, group: GroupId) -> Result<Result<Rows, Complaint>, ReadError> {
    let mut rows = Rows::new();
    for row in store.read(group)?.range(Bound::Unbounded, Bound::Unbounded)? {
        let (key, value) = row?;
        if let Err(complaint) = user::open(store, group, &key, &value) {
            return Ok(Err(complaint));
        }
        let value = Arc::from(said(&key, &value));
        rows.insert(key, value);
    }
    Ok(Ok(rows))
}

pub(super) fn all_rows(reading: &Reading) -> Result<Rows, ReadError> {
    let range = reading.range(Bound::Unbounded, Bound::Unbounded)?;
    range
        .map(|row| {
            row.map(|(key, value)| {
                let value = Arc::from(said(&key, &value));
                (key, value)
            })
        })
        .collect()
}

/// The groups that exist are those that the system group's rows name.
fn check_names(store: &Store, system: &Rows) -> Result<(), Complaint> {
    let mut expected: Vec<GroupId> = system.values().filter_map(|value| named(value)).collect();
    expected.push(GroupId::SYSTEM);
    expected.sort_unstable();
    let found = store.groups();
    if found == expected {
        Ok(())
    } else {
        Err(format!("groups {found:?} exist, and rows name {expected:?}"))
    }
}

pub(super) fn named(value: &[u8]) -> Option<GroupId> {
    Some(GroupId(u32::from_le_bytes(value.try_into().ok()?)))
}

fn outline(rows: &Rows) -> String {
    let row = |(key, value): (&Vec<u8>, &Arc<[u8]>)| {
        let start = value.get(..value.len().min(4)).unwrap_or_default();
        format!("{}={start:02x?}({})", String::from_utf8_lossy(key), value.len())
    };
    rows.iter().map(row).collect::<Vec<_>>().join(" ")
}
