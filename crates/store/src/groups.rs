//! Groups and keys come and go by command: what that does to the keyring. `docs/spec/keyring.md` §5.

use strongroom_seal::Envelope;

use crate::keyring::{Contents, GROUP_LEN_MIN, GroupKeys, Growth, KEY_LEN_MIN, KeyEntry};
use crate::{Command, GroupId, Lsn, Outcome, Write};

/// A group or key that comes or goes.
#[derive(Debug)]
pub(crate) struct Change<'a> {
    lsn: Lsn,
    kind: Kind<'a>,
}

#[derive(Debug)]
enum Kind<'a> {
    Create { group: GroupId, at: u64, wrapped_key: &'a [u8] },
    Rotate { group: GroupId, key_id: u32, at: u64, wrapped_key: &'a [u8] },
    Drop { group: GroupId },
}

/// What the command, if it applies, adds to the keyring; nothing if it does not change it.
pub(crate) fn growth(command: &Command) -> Option<Growth> {
    let changes = of(Lsn(0), command).map(|change| match change.kind {
        Kind::Create { wrapped_key, .. } => {
            Growth { groups: 1, bytes: GROUP_LEN_MIN + KEY_LEN_MIN + wrapped_key.len() }
        }
        Kind::Rotate { wrapped_key, .. } => Growth { groups: 0, bytes: KEY_LEN_MIN + wrapped_key.len() },
        Kind::Drop { .. } => Growth::default(),
    });
    changes.reduce(|sum, one| Growth { groups: sum.groups + one.groups, bytes: sum.bytes + one.bytes })
}

/// The changes in those of these commands that were applied.
pub(crate) fn changes<'a>(commands: &[(Lsn, &'a Command)], outcomes: &[Outcome]) -> Vec<Change<'a>> {
    let applied =
        commands.iter().zip(outcomes).filter(|(_, outcome)| matches!(outcome, Outcome::Applied { .. }));
    applied.flat_map(|((lsn, command), _)| of(*lsn, command)).collect()
}

fn of(lsn: Lsn, command: &Command) -> impl Iterator<Item = Change<'_>> {
    command.writes.iter().filter_map(move |write| {
        let kind = match write {
            Write::CreateGroup { group, at, wrapped_key } => {
                Kind::Create { group: *group, at: *at, wrapped_key }
            }
            Write::RotateKey { group, key_id, at, wrapped_key } => {
                Kind::Rotate { group: *group, key_id: *key_id, at: *at, wrapped_key }
            }
            Write::DropGroup { group } => Kind::Drop { group: *group },
            Write::Put { .. } | Write::Delete { .. } => return None,
        };
        Some(Change { lsn, kind })
    })
}

/// Makes the changes that are not in the keyring yet.
pub(crate) fn make(changes: &[Change<'_>], contents: &mut Contents) {
    for change in changes {
        if change.lsn <= contents.applied {
            continue;
        }
        match &change.kind {
            Kind::Create { group, at, wrapped_key } => {
                // The envelope was made by this program and came out of an authentic record.
                let Ok(wrapped) = Envelope::decode(wrapped_key) else { continue };
                // A group that is there stays as it is: with another first key its pages would not open any more.
                contents.groups.entry(*group).or_insert_with(|| GroupKeys::first(wrapped, change.lsn, *at));
                contents.next_group = contents.next_group.max(group.0.saturating_add(1));
            }
            Kind::Rotate { group, key_id, at, wrapped_key } => {
                let Ok(wrapped) = Envelope::decode(wrapped_key) else { continue };
                if let Some(keys) = contents.groups.get_mut(group) {
                    keys.rotate(KeyEntry::active(*key_id, wrapped, change.lsn, *at));
                }
            }
            Kind::Drop { group } => drop(contents.groups.remove(group)),
        }
    }
    if let Some(last) = changes.last() {
        contents.applied = contents.applied.max(last.lsn);
    }
}

/// Whether the keyring has all of these changes.
pub(crate) fn all_made(changes: &[Change<'_>], contents: &Contents) -> bool {
    changes.iter().all(|change| change.lsn <= contents.applied)
}

/// The groups that go.
pub(crate) fn dropped(changes: &[Change<'_>]) -> impl Iterator<Item = GroupId> {
    changes.iter().filter_map(|change| match change.kind {
        Kind::Drop { group } => Some(group),
        Kind::Create { .. } | Kind::Rotate { .. } => None,
    })
}

/// The groups that have another active key.
pub(crate) fn rotated(changes: &[Change<'_>]) -> Vec<GroupId> {
    let groups = changes.iter().filter_map(|change| match change.kind {
        Kind::Rotate { group, .. } => Some(group),
        Kind::Create { .. } | Kind::Drop { .. } => None,
    });
    groups.collect()
}
