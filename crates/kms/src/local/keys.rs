//! The keys of the key file and their sealed encoding (`docs/spec/local-kms.md` §5).

use std::collections::BTreeMap;

use strongroom_seal::codec::{DecodeError, Reader, Writer};
use strongroom_seal::{Random, RootKey};
use zeroize::Zeroizing;

use super::NAME;
use crate::{KeyInfo, KeyState, KmsError, ROOT_KEY_ID, VersionInfo};

const KEYS_MAX: usize = 1024;
const VERSIONS_MAX: usize = 1024;
const ID_LEN_MAX: usize = 256;
const KEY_LEN: usize = 32;
const VERSION_LEN: usize = 8 + KEY_LEN;
/// Everything of an encoded key but its id and versions.
const KEY_FIELDS_LEN: usize = 4 + 1 + 8 + 8 + 4;

/// Named root keys with their versions.
#[derive(Debug, Clone, Default)]
pub(super) struct Keys(BTreeMap<String, Key>);

#[derive(Debug, Clone)]
struct Key {
    state: KeyState,
    created_at: u64,
    /// Never empty; version n is at n - 1.
    versions: Vec<KeyVersion>,
}

#[derive(Debug, Clone)]
struct KeyVersion {
    created_at: u64,
    key: RootKey,
}

impl KeyVersion {
    fn fresh(now: u64, random: &dyn Random) -> Self {
        Self { created_at: now, key: RootKey::generate(random) }
    }
}

impl Keys {
    /// Adds a key with one version.
    pub(super) fn create(&mut self, id: &str, now: u64, random: &dyn Random) -> Result<KeyInfo, KmsError> {
        if !is_id(id) {
            return Err(KmsError::InvalidKeyId);
        }
        if self.0.contains_key(id) {
            return Err(KmsError::Exists { key_id: id.to_owned() });
        }
        if self.0.len() == KEYS_MAX {
            return Err(KmsError::Full { provider: NAME, what: "keys", most: KEYS_MAX });
        }
        let versions = vec![KeyVersion::fresh(now, random)];
        self.0.insert(id.to_owned(), Key { state: KeyState::Enabled, created_at: now, versions });
        self.describe(id)
    }

    /// Adds a version to a usable key.
    pub(super) fn rotate(&mut self, id: &str, now: u64, random: &dyn Random) -> Result<u32, KmsError> {
        self.usable(id)?;
        let key = self.0.get_mut(id).ok_or_else(|| not_found(id))?;
        if key.versions.len() == VERSIONS_MAX {
            return Err(KmsError::Full { provider: NAME, what: "versions of a key", most: VERSIONS_MAX });
        }
        key.versions.push(KeyVersion::fresh(now, random));
        Ok(number(key.versions.len()))
    }

    /// Changes a key's state; a guarded one stays enabled.
    pub(super) fn set_state(
        &mut self,
        id: &str,
        state: KeyState,
        guarded: bool,
    ) -> Result<KeyInfo, KmsError> {
        let key = self.0.get_mut(id).ok_or_else(|| not_found(id))?;
        if (guarded || id == ROOT_KEY_ID) && state != KeyState::Enabled {
            return Err(KmsError::Protected { key_id: id.to_owned() });
        }
        key.state = state;
        self.describe(id)
    }

    pub(super) fn describe(&self, id: &str) -> Result<KeyInfo, KmsError> {
        self.0.get(id).map(|key| key.info(id)).ok_or_else(|| not_found(id))
    }

    pub(super) fn list(&self) -> Vec<KeyInfo> {
        self.0.iter().map(|(id, key)| key.info(id)).collect()
    }

    /// The version that wraps.
    pub(super) fn newest(&self, id: &str) -> Result<(u32, &RootKey), KmsError> {
        let key = self.usable(id)?;
        let newest = key.versions.last().expect("a key has at least one version");
        Ok((number(key.versions.len()), &newest.key))
    }

    /// One version of a usable key.
    pub(super) fn version(&self, id: &str, version: u32) -> Result<&RootKey, KmsError> {
        let key = self.usable(id)?;
        (version as usize)
            .checked_sub(1)
            .and_then(|at| key.versions.get(at))
            .map(|version| &version.key)
            .ok_or_else(|| KmsError::NoSuchVersion { key_id: id.to_owned(), version })
    }

    fn usable(&self, id: &str) -> Result<&Key, KmsError> {
        let key = self.0.get(id).ok_or_else(|| not_found(id))?;
        match key.state {
            KeyState::Enabled => Ok(key),
            KeyState::Disabled => Err(KmsError::Disabled { key_id: id.to_owned() }),
            KeyState::PendingDeletion { delete_after } => {
                Err(KmsError::PendingDeletion { key_id: id.to_owned(), delete_after })
            }
        }
    }

    pub(super) fn encode(&self) -> Zeroizing<Vec<u8>> {
        // Reserved in full, because a buffer that grows leaves copies of the keys behind.
        let length =
            self.0.iter().map(|(id, key)| KEY_FIELDS_LEN + id.len() + key.versions.len() * VERSION_LEN);
        let length = 4 + length.sum::<usize>();
        let mut out = Zeroizing::new(Vec::with_capacity(length));
        out.extend_from_slice(&number(self.0.len()).to_le_bytes());
        for (id, key) in &self.0 {
            let (state, delete_after) = match key.state {
                KeyState::Enabled => (1, 0),
                KeyState::Disabled => (2, 0),
                KeyState::PendingDeletion { delete_after } => (3, delete_after),
            };
            let mut fields = Writer::new();
            fields.text(id).u8(state).u64(delete_after).u64(key.created_at).u32(number(key.versions.len()));
            out.extend_from_slice(&fields.finish());
            for version in &key.versions {
                out.extend_from_slice(&version.created_at.to_le_bytes());
                out.extend_from_slice(version.key.dangerous_expose());
            }
        }
        debug_assert_eq!(out.len(), length, "the reserved length is exact");
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        let count = input.count(KEY_FIELDS_LEN + 1 + VERSION_LEN, "key count")?;
        check(count <= KEYS_MAX, "key count")?;
        let mut keys = BTreeMap::new();
        for _ in 0..count {
            let id = input.text(ID_LEN_MAX, "key id")?;
            check(is_id(id), "key id")?;
            check(
                keys.last_key_value().is_none_or(|(last, _): (&String, _)| last.as_str() < id),
                "order of keys",
            )?;
            let (state, delete_after) = (input.u8("key state")?, input.u64("deletion date")?);
            let state = match (state, delete_after) {
                (1, 0) => KeyState::Enabled,
                (2, 0) => KeyState::Disabled,
                (3, delete_after) => KeyState::PendingDeletion { delete_after },
                _ => return Err(DecodeError::OutOfRange { field: "key state" }),
            };
            let created_at = input.u64("key creation")?;
            let count = input.count(VERSION_LEN, "version count")?;
            check((1..=VERSIONS_MAX).contains(&count), "version count")?;
            let mut versions = Vec::with_capacity(count);
            for _ in 0..count {
                let created_at = input.u64("version creation")?;
                let key =
                    RootKey::from_slice(input.raw(KEY_LEN, "key")?).expect("the slice is as long as a key");
                versions.push(KeyVersion { created_at, key });
            }
            keys.insert(id.to_owned(), Key { state, created_at, versions });
        }
        input.finish("keys")?;
        Ok(Self(keys))
    }
}

impl Key {
    fn info(&self, id: &str) -> KeyInfo {
        let versions = self.versions.iter().zip(1..);
        KeyInfo {
            id: id.to_owned(),
            state: self.state,
            created_at: self.created_at,
            versions: versions
                .map(|(version, number)| VersionInfo { version: number, created_at: version.created_at })
                .collect(),
        }
    }
}

fn is_id(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:".contains(&byte);
    (1..=ID_LEN_MAX).contains(&id.len()) && id.bytes().all(allowed)
}

fn not_found(id: &str) -> KmsError {
    KmsError::NotFound { key_id: id.to_owned() }
}

fn check(holds: bool, field: &'static str) -> Result<(), DecodeError> {
    if holds { Ok(()) } else { Err(DecodeError::OutOfRange { field }) }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).expect("keys and versions are at most 1024")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use strongroom_seal::SeededRandom;

    use super::*;

    fn some_keys(seed: u64, counts: &[usize]) -> Keys {
        let random = SeededRandom::dangerous_from_seed(seed);
        let mut keys = Keys::default();
        for (at, versions) in counts.iter().enumerate() {
            let id = format!("key-{at}");
            keys.create(&id, 10 + seed, &random).unwrap();
            for _ in 1..*versions {
                keys.rotate(&id, 20 + seed, &random).unwrap();
            }
            let state =
                [KeyState::Enabled, KeyState::Disabled, KeyState::PendingDeletion { delete_after: 5 }];
            keys.set_state(&id, state[at % 3], false).unwrap();
        }
        keys
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

        #[test]
        fn what_is_encoded_decodes_to_the_same(seed: u64, counts in prop::collection::vec(1_usize..5, 0..6)) {
            let keys = some_keys(seed % 1000, &counts);
            let encoded = keys.encode();
            let decoded = Keys::decode(&encoded).unwrap();
            prop_assert_eq!(decoded.list(), keys.list());
            prop_assert_eq!(decoded.encode(), encoded);
        }

        #[test]
        fn mangled_keys_never_panic_and_never_have_two_encodings(
            at in any::<prop::sample::Index>(), flip in 1_u8.., cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = some_keys(1, &[1, 3, 2]).encode().to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            if let Ok(keys) = Keys::decode(&bytes) {
                let encoded = keys.encode();
                prop_assert_eq!(encoded.as_slice(), bytes.as_slice());
            }
            bytes[at] ^= flip;
            let shorter = &bytes[..cut.index(bytes.len())];
            prop_assert!(Keys::decode(shorter).is_err());
        }
    }

    #[test]
    fn counts_are_bounded_before_anything_is_allocated() {
        let mut bytes = some_keys(1, &[1]).encode().to_vec();
        bytes[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(Keys::decode(&bytes).is_err());
    }

    #[test]
    fn limits_of_the_format_are_errors_and_not_broken_files() {
        let random = SeededRandom::dangerous_from_seed(1);
        let mut keys = some_keys(1, &[1]);
        for _ in 1..VERSIONS_MAX {
            keys.rotate("key-0", 1, &random).unwrap();
        }
        assert!(matches!(keys.rotate("key-0", 1, &random), Err(KmsError::Full { .. })));
        for at in 1..KEYS_MAX {
            keys.create(&format!("key-{at}"), 1, &random).unwrap();
        }
        assert!(matches!(keys.create("one-more", 1, &random), Err(KmsError::Full { .. })));
        assert_eq!(Keys::decode(&keys.encode()).unwrap().list(), keys.list());
    }
}
