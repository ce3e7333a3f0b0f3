//! Rows of the outbox (`docs/spec/events.md` §3).

use std::fmt;

use strongroom_seal::codec::DecodeError;

use super::{EventKind, RULE_ID_LEN_MAX, TARGET_ID_LEN_MAX, is_target_id};
use crate::rows::{RowError, read_opt_text, table, versioned, write_opt_text, writer};
use crate::{OBJECT_NAME_LEN_MAX, ObjectName, Timestamp, VersionId};

const ETAG_LEN_MAX: usize = 64;
const PRINCIPAL_LEN_MAX: usize = 256;
const SOURCE_LEN_MAX: usize = 64;
const REQUEST_ID_LEN_MAX: usize = 64;

/// The place of an event in its queue. For one object it rises with the object's changes, also over restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventKey {
    pub(crate) epoch: u32,
    pub(crate) count: u64,
}

impl EventKey {
    /// The first there could be.
    pub const FIRST: Self = Self { epoch: 0, count: 0 };

    /// The first place after this one.
    #[must_use]
    pub fn next(self) -> Self {
        match self.count.checked_add(1) {
            Some(count) => Self { count, ..self },
            None => Self { epoch: self.epoch.saturating_add(1), count: 0 },
        }
    }

    /// A place that no queue gave, for tests of who shows it.
    pub fn dangerous_from_parts(epoch: u32, count: u64) -> Self {
        Self { epoch, count }
    }
}

impl fmt::Display for EventKey {
    /// The `sequencer` of the event: comparing as text is comparing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}{:016x}", self.epoch, self.count)
    }
}

/// What happened to an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub kind: EventKind,
    /// When.
    pub at: Timestamp,
    /// The object.
    pub name: ObjectName,
    /// The version, where there are versions.
    pub version: Option<VersionId>,
    /// The object's size in bytes, if it was stored.
    pub size: Option<u64>,
    /// The entity tag, without quotes.
    pub etag: Option<String>,
    /// The id of the rule that it matched.
    pub rule: String,
    /// Who did it; empty if the store did it by itself.
    pub principal: String,
    /// From which address; empty if no request caused it.
    pub source: String,
    /// By which request; empty if none.
    pub request_id: String,
}

impl Event {
    /// The value of the row. Texts that are too long are cut.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = writer();
        out.u8(self.kind.number()).u64(self.at.0).text(self.name.as_str());
        match &self.version {
            None => out.u8(0),
            Some(VersionId::Null) => out.u8(1),
            Some(VersionId::Id(id)) => out.u8(2).raw(id),
        };
        match self.size {
            None => out.u8(0),
            Some(size) => out.u8(1).u64(size),
        };
        write_opt_text(&mut out, self.etag.as_deref().map(|etag| cut(etag, ETAG_LEN_MAX)));
        out.text(cut(&self.rule, RULE_ID_LEN_MAX));
        out.text(cut(&self.principal, PRINCIPAL_LEN_MAX));
        out.text(cut(&self.source, SOURCE_LEN_MAX));
        out.text(cut(&self.request_id, REQUEST_ID_LEN_MAX));
        out.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, RowError> {
        let mut input = versioned(bytes)?;
        let out_of_range = |field| RowError::Malformed(DecodeError::OutOfRange { field });
        let event = Self {
            kind: EventKind::from_number(input.u8("kind")?).ok_or(out_of_range("kind"))?,
            at: Timestamp(input.u64("at")?),
            name: ObjectName::parse(input.text(OBJECT_NAME_LEN_MAX, "name")?)
                .map_err(|_| out_of_range("name"))?,
            version: match input.u8("version")? {
                0 => None,
                1 => Some(VersionId::Null),
                2 => Some(VersionId::Id(*input.array("version id")?)),
                _ => return Err(out_of_range("version")),
            },
            size: if input.flag("size")? { Some(input.u64("size")?) } else { None },
            etag: read_opt_text(&mut input, ETAG_LEN_MAX, "entity tag")?,
            rule: input.text(RULE_ID_LEN_MAX, "rule")?.to_owned(),
            principal: input.text(PRINCIPAL_LEN_MAX, "principal")?.to_owned(),
            source: input.text(SOURCE_LEN_MAX, "source")?.to_owned(),
            request_id: input.text(REQUEST_ID_LEN_MAX, "request id")?.to_owned(),
        };
        input.finish("event")?;
        Ok(event)
    }
}

/// As much of a text as fits, whole characters.
pub(super) fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// What the keys of a queue begin with.
pub(crate) fn queue_prefix(target: &str) -> Vec<u8> {
    let length = u8::try_from(target.len()).expect("ids of targets are short");
    let mut key = vec![table::EVENT, length];
    key.extend_from_slice(target.as_bytes());
    key
}

/// The row of an event.
pub(crate) fn event_key(target: &str, key: EventKey) -> Vec<u8> {
    let mut row = queue_prefix(target);
    row.extend_from_slice(&key.epoch.to_be_bytes());
    row.extend_from_slice(&key.count.to_be_bytes());
    row
}

/// The target and place that the key of an event's row has.
pub(crate) fn event_of_key(row: &[u8]) -> Option<(&str, EventKey)> {
    let (&[table, length], rest) = row.split_first_chunk::<2>()?;
    let (target, place) = rest.split_at_checked(usize::from(length))?;
    let target = std::str::from_utf8(target).ok().filter(|target| is_target_id(target))?;
    debug_assert!(target.len() <= TARGET_ID_LEN_MAX);
    let (epoch, count) = <&[u8; 12]>::try_from(place).ok()?.split_first_chunk::<4>()?;
    let count = u64::from_be_bytes(count.try_into().ok()?);
    (table == table::EVENT).then_some((target, EventKey { epoch: u32::from_be_bytes(*epoch), count }))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn event() -> Event {
        Event {
            kind: EventKind::CreatedPut,
            at: Timestamp(1_767_323_045_678),
            name: ObjectName::parse("a/b c").unwrap(),
            version: Some(VersionId::Id([7; 16])),
            size: Some(5),
            etag: Some("5d41402abc4b2a76b9719d911017c592".to_owned()),
            rule: "orders".to_owned(),
            principal: "root".to_owned(),
            source: "127.0.0.1".to_owned(),
            request_id: "0011".to_owned(),
        }
    }

    #[test]
    fn events_come_back_and_nothing_else_does() {
        let removed = Event { version: None, size: None, etag: None, ..event() };
        for event in [event(), removed, Event { version: Some(VersionId::Null), ..event() }] {
            let bytes = event.encode();
            assert_eq!(Event::decode(&bytes), Ok(event));
            assert!((0..bytes.len()).all(|length| Event::decode(&bytes[..length]).is_err()));
            assert!(Event::decode(&[bytes.as_slice(), &[0]].concat()).is_err());
            assert!(matches!(Event::decode(&[&[2], &bytes[1..]].concat()), Err(RowError::TooNew(2))));
        }
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let long = Event { principal: format!("{}ü", "x".repeat(255)), ..event() };
        assert_eq!(Event::decode(&long.encode()).unwrap().principal, "x".repeat(255));
    }

    #[test]
    fn keys_order_as_events_do_and_name_their_queue() {
        let place = |epoch, count| EventKey { epoch, count };
        let places = [place(1, 2), place(1, 256), place(2, 0), place(2, u64::MAX), place(256, 1)];
        let keys = places.map(|key| event_key("orders", key));
        assert!(keys.is_sorted() && places.is_sorted() && places.map(|key| key.to_string()).is_sorted());
        for (key, place) in keys.iter().zip(places) {
            assert_eq!(event_of_key(key), Some(("orders", place)));
            assert_eq!(event_of_key(&key[..key.len() - 1]), None);
            assert_eq!(event_of_key(&[key.as_slice(), &[0]].concat()), None);
        }
        assert_eq!(event_of_key(&event_key("or ders", places[0])), None);
    }
}
