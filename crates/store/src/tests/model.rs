//! What a store should hold, kept beside it.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::*;
use crate::CommitError;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// All rows of all groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) groups: BTreeMap<GroupId, Rows>,
}

/// One thing to do to a store.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// A group with this name, if there is none.
    Make(String),
    /// Drops the group with this name.
    Unmake(String),
    /// Writes in the group with this name.
    Write {
        name: String,
        checks: Vec<Check>,
        writes: Vec<Write>,
    },
    /// A new key for the group with this name, or for the system group.
    Rotate(Option<String>),
    Checkpoint,
}

impl Model {
    pub(crate) fn new() -> Self {
        Self { groups: BTreeMap::from([(GroupId::SYSTEM, Rows::new())]) }
    }

    /// What the store holds.
    pub(crate) fn of(store: &Store) -> Self {
        let all = |group: &GroupId| {
            let reading = store.read(*group).unwrap();
            let rows = reading.range(Bound::Unbounded, Bound::Unbounded).unwrap();
            rows.map(|row| row.map(|(key, value)| (key, value.to_vec())).unwrap()).collect()
        };
        Self { groups: store.groups().iter().map(|group| (*group, all(group))).collect() }
    }

    pub(crate) fn group(&self, name: &str) -> Option<GroupId> {
        let id = self.groups[&GroupId::SYSTEM].get(name.as_bytes())?;
        Some(GroupId(u32::from_le_bytes(id.as_slice().try_into().unwrap())))
    }

    fn apply(&mut self, command: &Command) -> bool {
        let rows = self.groups.get_mut(&command.group).unwrap();
        let holds = |check: &Check| match check {
            Check::Absent { key } => !rows.contains_key(key),
            Check::Present { key } => rows.contains_key(key),
            Check::Equals { key, value } => rows.get(key) == Some(value),
            Check::RangeEmpty { from, to } => {
                from >= to || rows.range(from.clone()..to.clone()).next().is_none()
            }
        };
        if !command.checks.iter().all(holds) {
            return false;
        }
        for write in &command.writes {
            match write {
                Write::Put { key, value } => drop(rows.insert(key.clone(), value.clone())),
                Write::Delete { key } => drop(rows.remove(key)),
                Write::CreateGroup { .. } | Write::DropGroup { .. } | Write::RotateKey { .. } => {}
            }
        }
        true
    }
}

/// Does a step and notes it. On an error the answer is what the store may hold instead if the step counted after all.
pub(crate) fn run(store: &Store, model: &mut Model, step: &Step) -> Result<(), Option<Model>> {
    match step {
        Step::Checkpoint => store.checkpoint().map_err(|_| None),
        Step::Rotate(name) => {
            let group = match name {
                Some(name) => model.group(name),
                None => Some(GroupId::SYSTEM),
            };
            let Some(group) = group else { return Ok(()) };
            crate::store::block_on(store.rotate_group_key(group)).map(drop).map_err(|_| None)
        }
        Step::Make(name) => make(store, model, name),
        Step::Unmake(name) => {
            let Some(group) = model.group(name) else { return Ok(()) };
            let writes = vec![Write::Delete { key: name.as_bytes().to_vec() }, Write::DropGroup { group }];
            let command = Command { group: GroupId::SYSTEM, checks: vec![], writes };
            commit(store, model, command, |model| drop(model.groups.remove(&group)))
        }
        Step::Write { name, checks, writes } => {
            let Some(group) = model.group(name) else { return Ok(()) };
            let command = Command { group, checks: checks.clone(), writes: writes.clone() };
            commit(store, model, command, |_| ())
        }
    }
}

fn make(store: &Store, model: &mut Model, name: &str) -> Result<(), Option<Model>> {
    let mut made = None;
    let command = |group: GroupId| {
        let key = name.as_bytes().to_vec();
        let value = group.0.to_le_bytes().to_vec();
        let checks = vec![Check::Absent { key: key.clone() }];
        let command = Command { group: GroupId::SYSTEM, checks, writes: vec![Write::Put { key, value }] };
        made = Some((group, command.clone()));
        command
    };
    let outcome = crate::store::block_on(store.create_group(command));
    let Some((group, command)) = made else { return Err(None) };
    let mut after = model.clone();
    let applies = after.apply(&command);
    if applies {
        after.groups.insert(group, Rows::new());
    }
    match outcome {
        Ok((_, Outcome::Applied { .. })) if applies => *model = after,
        Ok((_, Outcome::Refused { check: 0 })) if !applies => {}
        Ok(other) => panic!("{other:?} and the model says {applies}"),
        Err(_) => return Err(Some(after)),
    }
    Ok(())
}

fn commit(
    store: &Store,
    model: &mut Model,
    command: Command,
    then: impl FnOnce(&mut Model),
) -> Result<(), Option<Model>> {
    let mut after = model.clone();
    let applies = after.apply(&command);
    if applies {
        then(&mut after);
    }
    match store.commit_blocking(command) {
        Ok(Outcome::Applied { .. }) if applies => *model = after,
        Ok(Outcome::Refused { .. }) if !applies => {}
        Ok(other) => panic!("{other:?} and the model says {applies}"),
        Err(CommitError::NoSpace) => return Err(None),
        Err(_) => return Err(Some(after)),
    }
    Ok(())
}
