//! What the keyring holds and its bytes. `docs/spec/keyring.md` §2.

use std::collections::BTreeMap;

use strongroom_seal::Envelope;
use strongroom_seal::codec::{DecodeError, Reader, Writer};

use crate::directory::StoreId;
use crate::keys::{KeyState, ResealSettings, RootKeyName};
use crate::uses::Used;
use crate::{GroupId, Lsn};

const GROUPS_MAX: usize = 1 << 20;
const KEYS_MAX: usize = 1024;
/// So many retired keys of a group keep their entry, the newest ones: they are there for reports alone.
pub(crate) const KEPT_RETIRED: usize = 16;
/// An encoded envelope: the longest that `docs/spec/envelope.md` allows fits.
pub(super) const ENVELOPE_LEN_MAX: usize = 20_000;
pub(crate) const GROUP_LEN_MIN: usize = 4 + 8 + 4 + 4;
pub(crate) const KEY_LEN_MIN: usize = 4 + 1 + 8 + 8 + 8 + 8 + 8 + 8 + 4;
/// *Until segment* of a key that frames of the newest segments may still be under.
pub(crate) const UNTIL_UNKNOWN: u64 = u64::MAX;

/// The keyring's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) store: StoreId,
    pub(crate) generation: u64,
    pub(crate) epoch: u32,
    /// Groups come and go by command; the last such command that is in here.
    pub(crate) applied: Lsn,
    pub(crate) floor: LogFloor,
    pub(crate) next_group: u32,
    pub(crate) reseal: ResealSettings,
    pub(crate) groups: BTreeMap<GroupId, GroupKeys>,
}

/// What the log is known to have held, durably, when the keyring was written. A log that ends before it was put back or
/// lost something. Written after the log, so no crash can leave a log below it (§6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct LogFloor {
    /// A segment that had its name; 0 if nothing is known yet.
    pub(crate) segment: u64,
    pub(crate) lsn: Lsn,
}

/// The keys of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupKeys {
    pub(crate) created: Lsn,
    pub(crate) next_key: u32,
    /// Ascending by id; exactly one is active.
    pub(crate) keys: Vec<KeyEntry>,
}

/// One version of a group's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyEntry {
    pub(crate) id: u32,
    pub(crate) state: KeyState,
    pub(crate) created: Lsn,
    /// Seconds since 1970.
    pub(crate) created_at: u64,
    /// Never less than it was, as long as it is written ahead (§9).
    pub(crate) seals: u64,
    pub(crate) sealed_bytes: u64,
    /// Seconds since 1970; 0 if it never sealed.
    pub(crate) last_used_at: u64,
    /// No log segment after this one has frames under the key; 0 if and only if it is active.
    pub(crate) until_segment: u64,
    /// Nothing if and only if the key is retired.
    pub(crate) wrapped: Option<Envelope>,
}

impl KeyEntry {
    /// A key that seals from now on.
    pub(crate) fn active(id: u32, wrapped: Envelope, created: Lsn, created_at: u64) -> Self {
        Self {
            id,
            state: KeyState::Active,
            created,
            created_at,
            seals: 0,
            sealed_bytes: 0,
            last_used_at: 0,
            until_segment: 0,
            wrapped: Some(wrapped),
        }
    }

    /// What it did, as far as was known when the keyring was written.
    pub(crate) fn used(&self) -> Used {
        Used { seals: self.seals, bytes: self.sealed_bytes, last_at: self.last_used_at }
    }
}

impl GroupKeys {
    /// The keys of a group that comes into being with its first key.
    pub(crate) fn first(wrapped: Envelope, created: Lsn, created_at: u64) -> Self {
        Self { created, next_key: 2, keys: vec![KeyEntry::active(1, wrapped, created, created_at)] }
    }

    pub(crate) fn active(&self) -> &KeyEntry {
        self.keys.iter().find(|key| key.state == KeyState::Active).expect("a group has an active key")
    }

    /// Keys that are not retired.
    pub(crate) fn needed(&self) -> usize {
        self.keys.iter().filter(|key| key.state != KeyState::Retired).count()
    }

    /// Another key seals from now on (§8). One whose id was used already changes nothing.
    pub(crate) fn rotate(&mut self, next: KeyEntry) {
        let Some(after) = next.id.checked_add(1).filter(|_| next.id >= self.next_key) else { return };
        self.drop_old_retired();
        if self.keys.len() >= KEYS_MAX {
            return;
        }
        for key in self.keys.iter_mut().filter(|key| key.state == KeyState::Active) {
            key.state = KeyState::Readable;
            key.until_segment = UNTIL_UNKNOWN;
        }
        self.next_key = after;
        self.keys.push(next);
    }

    /// Only the newest retired keys keep their entry. No id comes back: what the next one is stands for itself.
    pub(super) fn drop_old_retired(&mut self) {
        let retired = self.keys.iter().filter(|key| key.state == KeyState::Retired).count();
        let mut old = retired.saturating_sub(KEPT_RETIRED);
        self.keys.retain(|key| {
            let goes = old > 0 && key.state == KeyState::Retired;
            old -= usize::from(goes);
            !goes
        });
    }

    pub(crate) fn usable(&self, id: u32) -> Option<&KeyEntry> {
        self.keys.iter().find(|key| key.id == id && key.state != KeyState::Retired)
    }
}

impl Contents {
    /// How many keys are wrapped by another root key than `root`, or by an older version of it.
    pub(crate) fn behind(&self, root: &RootKeyName) -> usize {
        let keys = self.groups.values().flat_map(|group| &group.keys);
        keys.filter_map(|key| key.wrapped.as_ref()).filter(|wrapped| root.is_ahead_of(wrapped)).count()
    }

    /// Keys that stopped sealing and of which it is not known yet in which segment.
    pub(crate) fn until_unknown(&self) -> Vec<(GroupId, u32)> {
        let keys = self.groups.iter().flat_map(|(group, keys)| keys.keys.iter().map(|key| (*group, key)));
        keys.filter(|(_, key)| key.until_segment == UNTIL_UNKNOWN)
            .map(|(group, key)| (group, key.id))
            .collect()
    }

    /// No segment after `segment` has frames under these keys.
    pub(crate) fn set_until(&mut self, keys: &[(GroupId, u32)], segment: u64) {
        for (group, id) in keys {
            let entries = self.groups.get_mut(group).map(|keys| &mut keys.keys);
            let entry = entries.and_then(|keys| keys.iter_mut().find(|key| key.id == *id));
            if let Some(entry) = entry.filter(|entry| entry.state != KeyState::Active) {
                entry.until_segment = segment;
            }
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.raw(&self.store.0).u64(self.generation).u32(self.epoch).u64(self.applied.0);
        out.u64(self.floor.segment).u64(self.floor.lsn.0);
        out.u32(self.next_group);
        out.u8(self.reseal.paused.into()).u32(self.reseal.kib_per_second);
        out.u32(count(self.groups.len()));
        for (id, group) in &self.groups {
            out.u32(id.0).u64(group.created.0).u32(group.next_key).u32(count(group.keys.len()));
            for key in &group.keys {
                out.u32(key.id).u8(key.state as u8).u64(key.created.0).u64(key.created_at);
                out.u64(key.seals).u64(key.sealed_bytes).u64(key.last_used_at).u64(key.until_segment);
                out.bytes(&key.wrapped.as_ref().map(Envelope::encode).unwrap_or_default());
            }
        }
        out.finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        let store = StoreId(*input.array("store id")?);
        let generation = input.u64("generation")?;
        let epoch = input.u32("epoch")?;
        let applied = Lsn(input.u64("keyring's lsn")?);
        let floor = LogFloor { segment: input.u64("log's segment")?, lsn: Lsn(input.u64("log's lsn")?) };
        let next_group = input.u32("next group id")?;
        let reseal = ResealSettings {
            paused: input.flag("reseal paused")?,
            kib_per_second: input.u32("reseal rate")?,
        };
        let count = input.count(GROUP_LEN_MIN, "group count")?;
        check(count <= GROUPS_MAX, "group count")?;
        let mut groups = BTreeMap::new();
        for _ in 0..count {
            let id = GroupId(input.u32("group id")?);
            check(
                id.0 < next_group && groups.last_key_value().is_none_or(|(last, _)| *last < id),
                "group id",
            )?;
            groups.insert(id, decode_group(&mut input)?);
        }
        check(groups.contains_key(&GroupId::SYSTEM), "system group")?;
        input.finish("keyring")?;
        Ok(Self { store, generation, epoch, applied, floor, next_group, reseal, groups })
    }
}

fn decode_group(input: &mut Reader<'_>) -> Result<GroupKeys, DecodeError> {
    let created = Lsn(input.u64("group's lsn")?);
    let next_key = input.u32("next key id")?;
    let count = input.count(KEY_LEN_MIN, "key count")?;
    check(count <= KEYS_MAX, "key count")?;
    let mut keys: Vec<KeyEntry> = Vec::with_capacity(count);
    for _ in 0..count {
        let key = decode_key(input)?;
        check(key.id >= 1 && key.id < next_key && keys.last().is_none_or(|last| last.id < key.id), "key id")?;
        keys.push(key);
    }
    check(keys.iter().filter(|key| key.state == KeyState::Active).count() == 1, "active key")?;
    Ok(GroupKeys { created, next_key, keys })
}

fn decode_key(input: &mut Reader<'_>) -> Result<KeyEntry, DecodeError> {
    let id = input.u32("key id")?;
    let state = match input.u8("key state")? {
        1 => KeyState::Active,
        2 => KeyState::Readable,
        3 => KeyState::Retired,
        _ => return Err(DecodeError::OutOfRange { field: "key state" }),
    };
    let created = Lsn(input.u64("key's lsn")?);
    let created_at = input.u64("key's time")?;
    let seals = input.u64("key's seals")?;
    let sealed_bytes = input.u64("key's sealed bytes")?;
    let last_used_at = input.u64("key's last use")?;
    let until_segment = input.u64("key's last segment")?;
    check((until_segment == 0) == (state == KeyState::Active), "key's last segment")?;
    let wrapped = match input.bytes(ENVELOPE_LEN_MAX, "wrapped key")? {
        [] => None,
        bytes => {
            let malformed = |_| DecodeError::OutOfRange { field: "wrapped key" };
            Some(Envelope::decode(bytes).map_err(malformed)?)
        }
    };
    check(wrapped.is_none() == (state == KeyState::Retired), "wrapped key")?;
    Ok(KeyEntry { id, state, created, created_at, seals, sealed_bytes, last_used_at, until_segment, wrapped })
}

fn check(holds: bool, field: &'static str) -> Result<(), DecodeError> {
    if holds { Ok(()) } else { Err(DecodeError::OutOfRange { field }) }
}

fn count(count: usize) -> u32 {
    u32::try_from(count).expect("the keyring's limits are far below 2^32")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(byte: u8) -> Envelope {
        Envelope { provider: "p".into(), key_id: "k".into(), key_version: byte.into(), blob: vec![byte; 3] }
    }

    fn example() -> Contents {
        let mut groups = BTreeMap::new();
        groups.insert(GroupId::SYSTEM, GroupKeys::first(envelope(7), Lsn(0), 1_700_000_000));
        let mut rotated = GroupKeys::first(envelope(8), Lsn(12), 1_700_000_001);
        rotated.keys[0].state = KeyState::Retired;
        rotated.keys[0].until_segment = 2;
        rotated.keys[0].wrapped = None;
        for (id, state, until_segment) in [(3, KeyState::Readable, UNTIL_UNKNOWN), (4, KeyState::Active, 0)] {
            let counted =
                KeyEntry { seals: 77, sealed_bytes: 78, last_used_at: 6, ..rotated.keys[0].clone() };
            let wrapped = Some(envelope(9));
            let (created, created_at) = (Lsn(20), 5);
            rotated.keys.push(KeyEntry { id, state, created, created_at, until_segment, wrapped, ..counted });
        }
        rotated.next_key = 5;
        groups.insert(GroupId(6), rotated);
        let floor = LogFloor { segment: 6, lsn: Lsn(30) };
        Contents {
            store: StoreId([1; 16]),
            generation: 4,
            epoch: 2,
            applied: Lsn(21),
            floor,
            next_group: 9,
            reseal: ResealSettings { paused: true, kib_per_second: 9 },
            groups,
        }
    }

    #[test]
    fn contents_read_back() {
        assert_eq!(Contents::decode(&example().encode()), Ok(example()));
    }

    #[test]
    fn every_cut_is_refused() {
        let bytes = example().encode();
        for cut in 0..bytes.len() {
            assert!(Contents::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn what_decodes_has_one_encoding() {
        let bytes = example().encode();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                if let Ok(contents) = Contents::decode(&flipped) {
                    assert_eq!(contents.encode(), flipped, "byte {at} bit {bit}");
                }
            }
        }
    }

    #[test]
    fn a_keyring_that_breaks_a_rule_is_refused() {
        let breakers: [fn(&mut Contents); 8] = [
            |c| c.next_group = 6,
            |c| drop(c.groups.remove(&GroupId::SYSTEM)),
            |c| c.groups.get_mut(&GroupId(6)).unwrap().next_key = 4,
            |c| c.groups.get_mut(&GroupId(6)).unwrap().keys[1].state = KeyState::Active,
            |c| c.groups.get_mut(&GroupId(6)).unwrap().keys[2].state = KeyState::Readable,
            |c| c.groups.get_mut(&GroupId(6)).unwrap().keys.swap(1, 2),
            |c| c.groups.get_mut(&GroupId(6)).unwrap().keys[1].until_segment = 0,
            |c| c.groups.get_mut(&GroupId(6)).unwrap().keys[2].until_segment = 3,
        ];
        for (index, break_it) in breakers.iter().enumerate() {
            let mut contents = example();
            break_it(&mut contents);
            assert!(Contents::decode(&contents.encode()).is_err(), "rule {index}");
        }
    }
}
