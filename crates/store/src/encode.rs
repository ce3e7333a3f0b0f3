//! Commands as bytes, and what a command may be. `docs/spec/commands.md`.

use strongroom_seal::codec::{DecodeError, Reader, Writer};

use crate::{COMMAND_LEN_MAX, Check, Command, CommitError, GroupId, KEY_LEN_MAX, VALUE_LEN_MAX, Write};

const VERSION: u8 = 1;
const WRAPPED_LEN_MAX: usize = 20_000;
const CHECK_LEN_MIN: usize = 1 + 4;
const WRITE_LEN_MIN: usize = 1 + 4;

/// The payload of a log record, if the command is one that the store takes.
pub(crate) fn encode(command: &Command) -> Result<Vec<u8>, CommitError> {
    check_places(command)?;
    let mut out = Writer::new();
    out.u8(VERSION).u32(count(command.checks.len()));
    let mut length = 0;
    for check in &command.checks {
        length += match check {
            Check::Absent { key } => out.u8(1).key(key)?,
            Check::Present { key } => out.u8(2).key(key)?,
            Check::Equals { key, value } => out.u8(3).key(key)? + out.value(value)?,
            Check::RangeEmpty { from, to } => out.u8(4).key(from)? + out.key(to)?,
        };
        check_length("the command", length, COMMAND_LEN_MAX)?;
    }
    out.u32(count(command.writes.len()));
    for write in &command.writes {
        length += match write {
            Write::Put { key, value } => out.u8(1).key(key)? + out.value(value)?,
            Write::Delete { key } => out.u8(2).key(key)?,
            Write::CreateGroup { group, at, wrapped_key } => {
                check_length("a wrapped key", wrapped_key.len(), WRAPPED_LEN_MAX)?;
                out.u8(3).u32(group.0).u64(*at).bytes(wrapped_key);
                wrapped_key.len()
            }
            Write::RotateKey { group, key_id, at, wrapped_key } => {
                check_length("a wrapped key", wrapped_key.len(), WRAPPED_LEN_MAX)?;
                out.u8(5).u32(group.0).u32(*key_id).u64(*at).bytes(wrapped_key);
                wrapped_key.len()
            }
            Write::DropGroup { group } => {
                out.u8(4).u32(group.0);
                0
            }
        };
        check_length("the command", length, COMMAND_LEN_MAX)?;
    }
    let payload = out.finish();
    check_length("the command", payload.len(), COMMAND_LEN_MAX)?;
    Ok(payload)
}

/// Reads [`encode`]'s output.
pub(crate) fn decode(group: GroupId, payload: &[u8]) -> Result<Command, DecodeError> {
    let mut input = Reader::new(payload);
    if input.u8("command version")? != VERSION {
        return Err(DecodeError::OutOfRange { field: "command version" });
    }
    let mut checks = Vec::new();
    for _ in 0..input.count(CHECK_LEN_MIN, "check count")? {
        checks.push(match input.u8("check kind")? {
            1 => Check::Absent { key: key(&mut input)? },
            2 => Check::Present { key: key(&mut input)? },
            3 => Check::Equals { key: key(&mut input)?, value: value(&mut input)? },
            4 => Check::RangeEmpty { from: key(&mut input)?, to: key(&mut input)? },
            _ => return Err(DecodeError::OutOfRange { field: "check kind" }),
        });
    }
    let mut writes = Vec::new();
    for _ in 0..input.count(WRITE_LEN_MIN, "write count")? {
        writes.push(match input.u8("write kind")? {
            1 => Write::Put { key: key(&mut input)?, value: value(&mut input)? },
            2 => Write::Delete { key: key(&mut input)? },
            3 => Write::CreateGroup {
                group: GroupId(input.u32("group id")?),
                at: input.u64("time")?,
                wrapped_key: input.bytes(WRAPPED_LEN_MAX, "wrapped key")?.to_vec(),
            },
            4 => Write::DropGroup { group: GroupId(input.u32("group id")?) },
            5 => Write::RotateKey {
                group: GroupId(input.u32("group id")?),
                key_id: input.u32("key id")?,
                at: input.u64("time")?,
                wrapped_key: input.bytes(WRAPPED_LEN_MAX, "wrapped key")?.to_vec(),
            },
            _ => return Err(DecodeError::OutOfRange { field: "write kind" }),
        });
    }
    input.finish("command")?;
    let command = Command { group, checks, writes };
    match check_places(&command) {
        Ok(()) => Ok(command),
        Err(_) => Err(DecodeError::OutOfRange { field: "write kind" }),
    }
}

fn check_places(command: &Command) -> Result<(), CommitError> {
    for write in &command.writes {
        let (allowed, what) = match write {
            Write::Put { .. } | Write::Delete { .. } => continue,
            Write::CreateGroup { group, .. } => (*group != GroupId::SYSTEM, "the creation of a group"),
            Write::DropGroup { group } => (*group != GroupId::SYSTEM, "the dropping of a group"),
            Write::RotateKey { .. } => (true, "the rotation of a key"),
        };
        if command.group != GroupId::SYSTEM || !allowed {
            return Err(CommitError::Misplaced { group: command.group, what });
        }
    }
    Ok(())
}

/// Bounded fields; each says how long it was.
trait Fields {
    fn key(&mut self, key: &[u8]) -> Result<usize, CommitError>;
    fn value(&mut self, value: &[u8]) -> Result<usize, CommitError>;
}

impl Fields for Writer {
    fn key(&mut self, key: &[u8]) -> Result<usize, CommitError> {
        check_length("a key", key.len(), KEY_LEN_MAX)?;
        self.bytes(key);
        Ok(key.len())
    }

    fn value(&mut self, value: &[u8]) -> Result<usize, CommitError> {
        check_length("a value", value.len(), VALUE_LEN_MAX)?;
        self.bytes(value);
        Ok(value.len())
    }
}

fn key(input: &mut Reader<'_>) -> Result<Vec<u8>, DecodeError> {
    Ok(input.bytes(KEY_LEN_MAX, "key")?.to_vec())
}

fn value(input: &mut Reader<'_>) -> Result<Vec<u8>, DecodeError> {
    Ok(input.bytes(VALUE_LEN_MAX, "value")?.to_vec())
}

fn check_length(what: &'static str, length: usize, most: usize) -> Result<(), CommitError> {
    if length > most { Err(CommitError::TooLong { what, length, most }) } else { Ok(()) }
}

/// A count that is too large for its field also makes the command too long, which is refused at the end.
fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(any::<u8>(), 0..40)
    }

    fn check() -> impl Strategy<Value = Check> {
        prop_oneof![
            bytes().prop_map(|key| Check::Absent { key }),
            bytes().prop_map(|key| Check::Present { key }),
            (bytes(), bytes()).prop_map(|(key, value)| Check::Equals { key, value }),
            (bytes(), bytes()).prop_map(|(from, to)| Check::RangeEmpty { from, to }),
        ]
    }

    fn write() -> impl Strategy<Value = Write> {
        prop_oneof![
            (bytes(), bytes()).prop_map(|(key, value)| Write::Put { key, value }),
            bytes().prop_map(|key| Write::Delete { key }),
            (1u32.., any::<u64>(), bytes()).prop_map(|(group, at, wrapped_key)| Write::CreateGroup {
                group: GroupId(group),
                at,
                wrapped_key
            }),
            (1u32..).prop_map(|group| Write::DropGroup { group: GroupId(group) }),
            (any::<u32>(), any::<u32>(), any::<u64>(), bytes()).prop_map(
                |(group, key_id, at, wrapped_key)| Write::RotateKey {
                    group: GroupId(group),
                    key_id,
                    at,
                    wrapped_key
                }
            ),
        ]
    }

    fn command() -> impl Strategy<Value = Command> {
        use proptest::collection::vec;
        (vec(check(), 0..5), vec(write(), 0..5)).prop_map(|(checks, writes)| Command {
            group: GroupId::SYSTEM,
            checks,
            writes,
        })
    }

    proptest! {
        #[test]
        fn commands_read_back(command in command()) {
            let payload = encode(&command).unwrap();
            prop_assert_eq!(decode(GroupId::SYSTEM, &payload).unwrap(), command);
        }

        #[test]
        fn mangled_commands_are_refused_or_have_one_encoding(
            command in command(), at in any::<prop::sample::Index>(), bit in 0u8..8, cut in any::<bool>(),
        ) {
            let mut payload = encode(&command).unwrap();
            let at = at.index(payload.len());
            if cut { payload.truncate(at) } else { payload[at] ^= 1 << bit }
            if let Ok(read) = decode(GroupId::SYSTEM, &payload) {
                prop_assert_eq!(encode(&read).unwrap(), payload);
            }
        }
    }

    #[test]
    fn what_is_too_long_is_refused_before_anything_is_written() {
        let put = |key, value| Command {
            group: GroupId(1),
            checks: vec![],
            writes: vec![Write::Put { key: vec![0; key], value: vec![0; value] }],
        };
        assert!(encode(&put(KEY_LEN_MAX, VALUE_LEN_MAX)).is_ok());
        let too_long = |result| matches!(result, Err(CommitError::TooLong { .. }));
        assert!(too_long(encode(&put(KEY_LEN_MAX + 1, 0))));
        assert!(too_long(encode(&put(1, VALUE_LEN_MAX + 1))));
        let mut many = put(1, VALUE_LEN_MAX);
        many.writes = vec![many.writes[0].clone(); 9];
        assert!(too_long(encode(&many)));
    }

    #[test]
    fn groups_and_keys_come_and_go_only_in_the_system_group() {
        for write in [
            Write::DropGroup { group: GroupId(4) },
            Write::CreateGroup { group: GroupId(4), at: 0, wrapped_key: vec![1] },
            Write::RotateKey { group: GroupId(4), key_id: 2, at: 0, wrapped_key: vec![1] },
        ] {
            let mut command = Command { group: GroupId(3), checks: vec![], writes: vec![write] };
            assert!(matches!(encode(&command), Err(CommitError::Misplaced { .. })));
            command.group = GroupId::SYSTEM;
            let payload = encode(&command).unwrap();
            assert!(decode(GroupId(3), &payload).is_err());
            assert!(decode(GroupId::SYSTEM, &payload).is_ok());
        }
        let of_system = Write::DropGroup { group: GroupId::SYSTEM };
        let command = Command { group: GroupId::SYSTEM, checks: vec![], writes: vec![of_system] };
        assert!(matches!(encode(&command), Err(CommitError::Misplaced { .. })));
    }
}
