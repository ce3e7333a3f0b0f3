//! The keyring: which groups there are, and their keys, wrapped. `docs/spec/keyring.md`.

mod cache;
mod contents;
mod file;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod outline;
mod restore;
mod room;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use strongroom_seal::{Context, Envelope, GroupKey, KeyringKey, Label, Random};

use self::cache::{Cache, Pin};
use self::file::Header;
use self::room::TooLong;
use crate::directory::{Directory, StoreId};
use crate::disk::{Disk, DiskFile};
use crate::keys::{KeyState, ResealSettings, RootKeyName};
use crate::uses::{Ahead, KeyUses};
use crate::{Clock, CommitError, Damage, GroupId, KeyLimits, Lsn, OpenError, Place, RootKeyError, RootKeys};

pub(crate) use self::cache::Pin as KeysPin;
pub(crate) use self::contents::{Contents, GROUP_LEN_MIN, GroupKeys, KEY_LEN_MIN, KeyEntry, LogFloor};
#[cfg(test)]
pub(crate) use self::contents::{KEPT_RETIRED, UNTIL_UNKNOWN};
pub use self::outline::KeyringHeader;
pub(crate) use self::outline::outline;
pub(crate) use self::restore::contents_of;
pub(crate) use self::room::{GROUPS_MADE_MAX, Growth, Room, is_too_long};

/// Space for a replacement is taken in steps of this many bytes.
const PREPARED_STEP: usize = 8 << 10;

/// The open keyring. Reading it never waits for the disk; a replacement is visible when it is durable.
pub(crate) struct Keyring {
    dir: PathBuf,
    path: PathBuf,
    disk: Arc<dyn Disk>,
    random: Arc<dyn Random>,
    root_keys: Arc<dyn RootKeys>,
    store: StoreId,
    /// As on the disk; replaced together with the contents.
    header: RwLock<Arc<Header>>,
    key: KeyringKey,
    contents: RwLock<Arc<Contents>>,
    /// Replacements take turns. The newest generation that may be on the disk: no other content ever has its number.
    turn: Mutex<u64>,
    /// How many bytes of `keyring.new` have their place on the disk. Looked at by whoever has the turn.
    prepared: Mutex<usize>,
    room: Room,
    unwrapped: Arc<Mutex<Cache>>,
    /// The system group's key is needed at any moment.
    _system: Pin,
    uses: Arc<KeyUses>,
}

/// Why a group's key is not to be had.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum KeyError {
    /// The group is not there. `dropped` says that it once was.
    #[error("there is no such group")]
    NoSuchGroup { dropped: bool },
    /// The group has no such key, or forgot it.
    #[error("the group has no key {key_id}")]
    NoSuchKey { key_id: u32 },
    /// The root key did not unwrap it.
    #[error(transparent)]
    RootKey(#[from] RootKeyError),
    /// It is not in memory, and who asked does not wait for a provider.
    #[error("key {key_id} is not in memory")]
    NotInMemory { provider: String, key_id: u32 },
}

/// Keys of a group with their ids, and which of them is the active one.
pub(crate) type Usable = (u32, Vec<(u32, GroupKey)>);

/// A group's key, fresh and wrapped, before any command names it.
#[derive(Debug)]
pub(crate) struct FreshKey {
    pub(crate) key: GroupKey,
    pub(crate) wrapped: Envelope,
}

/// What a keyring needs of its surroundings.
#[derive(Debug, Clone)]
pub(crate) struct Means {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) root_keys: Arc<dyn RootKeys>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) key_limits: KeyLimits,
    pub(crate) room: Room,
}

impl Keyring {
    /// Makes the keyring of a new store, with the system group.
    pub(crate) fn create(directory: &Directory, store: StoreId, means: &Means) -> Result<Self, OpenError> {
        let key = KeyringKey::generate(&*means.random);
        let wrapped = means
            .root_keys
            .wrap(None, key.dangerous_expose(), &keyring_context(store))
            .map_err(|source| no_root_key(None, source))?;
        let now = means.clock.now_seconds();
        let header = Header::new(store, wrapped);
        let system =
            fresh_key(store, GroupId::SYSTEM, 1, &header.wrapped.key_id, &*means.random, &*means.root_keys)
                .map_err(|source| no_root_key(None, source))?;
        let groups = BTreeMap::from([(GroupId::SYSTEM, GroupKeys::first(system.wrapped, Lsn(0), now))]);
        let contents = Contents {
            store,
            generation: 0,
            epoch: 1,
            applied: Lsn(0),
            floor: LogFloor::default(),
            next_group: 1,
            reseal: ResealSettings::default(),
            groups,
        };
        let this = Self::assemble(directory, means, header, key, contents);
        this.remember(GroupId::SYSTEM, 1, system.key);
        this.replace(|_| ()).map_err(|error| crate::directory::io_error(&this.path, error))?;
        Ok(this)
    }

    /// Reads the keyring of a store and proves that the root key is there by unwrapping the system group's key.
    pub(crate) fn open(directory: &Directory, store: StoreId, means: &Means) -> Result<Self, OpenError> {
        let path = directory.keyring();
        let damage = |why| OpenError::from(Damage { file: path.clone(), at: Place::Whole, why });
        let bytes = outline::bytes(&*means.disk, &path)?;
        let (header, body) = outline::parse(&path, store, &bytes)?;
        let unwrapped = means.root_keys.unwrap(&header.wrapped, &keyring_context(store));
        let mut unwrapped = unwrapped.map_err(|source| no_root_key(Some(&header.wrapped), source))?;
        let key = KeyringKey::from_bytes(&mut unwrapped);
        let contents = file::open_body(&key, &header, body).map_err(damage)?;
        let this = Self::assemble(directory, means, header, key, contents);
        this.key(GroupId::SYSTEM, None).map_err(|error| match error {
            KeyError::RootKey(source) => {
                let contents = this.contents();
                no_root_key(contents.groups[&GroupId::SYSTEM].active().wrapped.as_ref(), source)
            }
            _ => damage("the system group has no key"),
        })?;
        let leftover = directory.keyring_new();
        match means.disk.remove(&leftover) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(crate::directory::io_error(&leftover, error));
            }
            _ => {}
        }
        Ok(this)
    }

    fn assemble(
        directory: &Directory,
        means: &Means,
        header: Header,
        key: KeyringKey,
        contents: Contents,
    ) -> Self {
        let Means { disk, random, root_keys, clock, key_limits, room } = means.clone();
        let uses = Arc::new(KeyUses::new(&contents, clock, key_limits));
        let unwrapped = Arc::default();
        Self {
            dir: directory.root().to_owned(),
            path: directory.keyring(),
            disk,
            random,
            root_keys,
            store: header.store,
            header: RwLock::new(Arc::new(header)),
            key,
            turn: Mutex::new(contents.generation),
            prepared: Mutex::new(0),
            room,
            contents: RwLock::new(Arc::new(contents)),
            _system: Pin::new(&unwrapped, GroupId::SYSTEM),
            unwrapped,
            uses,
        }
    }

    /// What the durable keyring holds.
    pub(crate) fn contents(&self) -> Arc<Contents> {
        Arc::clone(&self.contents.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The root key that wraps the keyring key.
    pub(crate) fn root(&self) -> RootKeyName {
        RootKeyName::from(&self.header().wrapped)
    }

    /// How often each key sealed.
    pub(crate) fn uses(&self) -> &Arc<KeyUses> {
        &self.uses
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn store(&self) -> StoreId {
        self.store
    }

    /// Refuses a command that would make a keyring which is never opened again (§2), or for which the disk has no space.
    /// For one that it takes the space is there, so that the replacement does not fail for lack of it (§4). `more` bytes at
    /// most are added by the command itself; `growth` is what it adds together with those that are on their way already.
    pub(crate) fn prepare(&self, more: usize, growth: Growth) -> Result<(), CommitError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let contents = self.contents();
        let len = file::len(&self.header(), &contents);
        self.room.check(contents.groups.len(), len, growth)?;
        match self.take_space(len + more) {
            Err(error) if crate::disk::is_no_space(&error) => Err(CommitError::NoSpace),
            // Whatever else failed fails again, where it counts.
            _ => Ok(()),
        }
    }

    /// Makes `keyring.new` so long, at least. For whoever has the turn.
    fn take_space(&self, len: usize) -> io::Result<()> {
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        let need = len.next_multiple_of(PREPARED_STEP);
        if *prepared >= need {
            return Ok(());
        }
        let had = std::mem::take(&mut *prepared);
        let file = self.new_file(&self.path.with_extension("new"), had > 0)?;
        file.write_at(&vec![0; need - had], had as u64)?;
        *prepared = need;
        Ok(())
    }

    /// `keyring.new`, with what was prepared of it or empty.
    fn new_file(&self, new: &Path, prepared: bool) -> io::Result<Arc<dyn DiskFile>> {
        if prepared {
            return self.disk.open(new);
        }
        match self.disk.remove(new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => self.disk.create_new(new),
        }
    }

    /// Changes the contents, durably (§4). After an error of lack of space the old ones count; after any other it is
    /// unknown which of the two is on the disk.
    pub(crate) fn replace(&self, change: impl FnOnce(&mut Contents)) -> io::Result<()> {
        self.replace_under(None, change)
    }

    /// Writes the counts of keys as they are. For when nothing seals any more.
    pub(crate) fn settle(&self) -> io::Result<()> {
        self.write(None, Ahead::Nothing, |_| ())
    }

    /// [`Self::replace`] with another root key: `wrapped` is the keyring key under it (§10).
    pub(crate) fn replace_under(
        &self,
        wrapped: Option<Envelope>,
        change: impl FnOnce(&mut Contents),
    ) -> io::Result<()> {
        self.write(wrapped, Ahead::Reserve, change)
    }

    fn write(
        &self,
        wrapped: Option<Envelope>,
        ahead: Ahead,
        change: impl FnOnce(&mut Contents),
    ) -> io::Result<()> {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = Contents::clone(&self.contents());
        change(&mut next);
        self.uses.fill(&mut next, ahead);
        *turn += 1;
        next.generation = *turn;
        let header = match wrapped {
            Some(wrapped) => Arc::new(Header::new(self.store, wrapped)),
            None => self.header(),
        };
        let bytes = file::seal(&self.key, &header, &next, &*self.random);
        if bytes.len() > self.room.bytes {
            return Err(TooLong { len: bytes.len(), most: self.room.bytes }.into());
        }
        let new = self.path.with_extension("new");
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        let had = std::mem::take(&mut *prepared);
        let file = self.new_file(&new, had > 0)?;
        file.write_at(&bytes, 0)?;
        if had > bytes.len() {
            file.set_len(bytes.len() as u64)?;
        }
        // From here on no error says that nothing happened, not even one for lack of space.
        file.sync().map_err(io::Error::other)?;
        drop(file);
        self.disk.rename(&new, &self.path).map_err(io::Error::other)?;
        self.disk.sync_dir(&self.dir).map_err(io::Error::other)?;
        self.uses.kept(&next);
        *self.header.write().unwrap_or_else(PoisonError::into_inner) = header;
        *self.contents.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        Ok(())
    }

    /// Nothing needs this key any more: its wrapped form leaves the keyring, durably, and the key leaves memory. The
    /// entry stays for reports, until others took its place. A key that is active, or not there, stays as it is.
    pub(crate) fn retire(&self, group: GroupId, key_id: u32) -> io::Result<()> {
        self.replace(|contents| {
            let keys = contents.groups.get_mut(&group).map(|keys| &mut keys.keys);
            let key = keys.and_then(|keys| keys.iter_mut().find(|key| key.id == key_id));
            if let Some(key) = key.filter(|key| key.state == KeyState::Readable) {
                key.state = KeyState::Retired;
                key.wrapped = None;
            }
            if let Some(keys) = contents.groups.get_mut(&group) {
                keys.drop_old_retired();
            }
        })?;
        self.forget_key(group, key_id);
        Ok(())
    }

    /// How re-sealing goes on, durably.
    pub(crate) fn set_reseal(&self, settings: ResealSettings) -> io::Result<()> {
        self.replace(|contents| contents.reseal = settings)
    }

    /// A fresh key for a group, the first one of a group that is about to be made or a later one. Asks the root key's
    /// provider.
    pub(crate) fn fresh_key(&self, group: GroupId, id: u32) -> Result<FreshKey, RootKeyError> {
        let root = self.header().wrapped.key_id.clone();
        fresh_key(self.store(), group, id, &root, &*self.random, &*self.root_keys)
    }

    /// The keyring key under the newest version of a root key that was seen to give it back.
    pub(crate) fn wrap_own_key(&self, root: &str) -> Result<Envelope, RootKeyError> {
        let context = keyring_context(self.store);
        let wrapped = self.root_keys.wrap(Some(root), self.key.dangerous_expose(), &context)?;
        let mut given_back = self.root_keys.unwrap(&wrapped, &context)?;
        if KeyringKey::from_bytes(&mut given_back) != self.key {
            return Err(RootKeyError::Wrong { key_id: wrapped.key_id });
        }
        Ok(wrapped)
    }

    /// The first key of a group that does not exist yet, from its envelope. Not kept in memory: another envelope could be
    /// what the group is made with.
    pub(crate) fn open_first_key(
        &self,
        group: GroupId,
        wrapped: &Envelope,
    ) -> Result<GroupKey, RootKeyError> {
        let mut bytes = self.root_keys.unwrap(wrapped, &group_context(self.store, group, 1))?;
        Ok(GroupKey::from_bytes(&mut bytes))
    }

    /// A group's key under the newest version of a root key.
    pub(crate) fn rewrap(
        &self,
        group: GroupId,
        id: u32,
        wrapped: &Envelope,
        root: &str,
    ) -> Result<Envelope, RootKeyError> {
        let key = self.unwrap(group, id, wrapped)?;
        let context = group_context(self.store, group, id);
        self.root_keys.wrap(Some(root), key.dangerous_expose(), &context)
    }

    /// The newest version of the root key, if it is newer than the one that wraps the keyring key and the provider tells.
    pub(crate) fn newer_root(&self) -> Option<u32> {
        let root = self.root();
        let newest = self.root_keys.newest_version(&root.key_id).ok().flatten();
        newest.filter(|newest| *newest > root.key_version)
    }

    fn header(&self) -> Arc<Header> {
        Arc::clone(&self.header.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A group's active key. Never waits: who uses the group has pinned its keys.
    pub(crate) fn active_in_memory(&self, group: GroupId) -> Result<(u32, GroupKey), KeyError> {
        let contents = self.contents();
        let Some(keys) = contents.groups.get(&group) else {
            return Err(KeyError::NoSuchGroup { dropped: group.0 < contents.next_group });
        };
        let active = keys.active();
        let wrapped = active.wrapped.as_ref().ok_or(KeyError::NoSuchKey { key_id: active.id })?;
        Ok((active.id, self.in_memory(group, active.id, wrapped)?))
    }

    fn in_memory(&self, group: GroupId, id: u32, wrapped: &Envelope) -> Result<GroupKey, KeyError> {
        let not_there = || KeyError::NotInMemory { provider: wrapped.provider.clone(), key_id: id };
        self.cache().get(group, id).ok_or_else(not_there)
    }

    /// A key of a group, the active one if none is named. Asks the root key's provider when it is not in memory.
    pub(crate) fn key(&self, group: GroupId, key_id: Option<u32>) -> Result<(u32, GroupKey), KeyError> {
        let contents = self.contents();
        let Some(keys) = contents.groups.get(&group) else {
            return Err(KeyError::NoSuchGroup { dropped: group.0 < contents.next_group });
        };
        let id = key_id.unwrap_or_else(|| keys.active().id);
        let wrapped = keys.usable(id).and_then(|key| key.wrapped.as_ref());
        let wrapped = wrapped.ok_or(KeyError::NoSuchKey { key_id: id })?;
        Ok((id, self.unwrap(group, id, wrapped)?))
    }

    /// The key in an envelope that a log record or the keyring gives for this group and key id.
    pub(crate) fn unwrap(
        &self,
        group: GroupId,
        id: u32,
        wrapped: &Envelope,
    ) -> Result<GroupKey, RootKeyError> {
        if let Some(key) = self.cache().get(group, id) {
            return Ok(key);
        }
        let mut bytes = self.root_keys.unwrap(wrapped, &group_context(self.store(), group, id))?;
        let key = GroupKey::from_bytes(&mut bytes);
        self.remember(group, id, key.clone());
        Ok(key)
    }

    /// All keys of a group that open something, the active one marked. Asks the root key's provider for those that are not
    /// in memory.
    pub(crate) fn usable(&self, group: GroupId) -> Result<Usable, KeyError> {
        self.usable_by(group, |id, wrapped| Ok(self.unwrap(group, id, wrapped)?))
    }

    /// [`Self::usable`] if all of them are in memory. Never waits.
    pub(crate) fn usable_in_memory(&self, group: GroupId) -> Result<Usable, KeyError> {
        self.usable_by(group, |id, wrapped| self.in_memory(group, id, wrapped))
    }

    fn usable_by(
        &self,
        group: GroupId,
        key: impl Fn(u32, &Envelope) -> Result<GroupKey, KeyError>,
    ) -> Result<Usable, KeyError> {
        let contents = self.contents();
        let Some(group_keys) = contents.groups.get(&group) else {
            return Err(KeyError::NoSuchGroup { dropped: group.0 < contents.next_group });
        };
        let mut keys = Vec::with_capacity(group_keys.keys.len());
        for entry in &group_keys.keys {
            if let Some(wrapped) = &entry.wrapped {
                keys.push((entry.id, key(entry.id, wrapped)?));
            }
        }
        Ok((group_keys.active().id, keys))
    }

    /// Keeps a group's keys in memory until the answer is dropped, those too that come meanwhile.
    pub(crate) fn pin(&self, group: GroupId) -> Pin {
        Pin::new(&self.unwrapped, group)
    }

    /// Keeps an unwrapped key in memory.
    pub(crate) fn remember(&self, group: GroupId, id: u32, key: GroupKey) {
        self.cache().insert(group, id, key);
    }

    /// Wipes one of a group's keys in memory.
    pub(crate) fn forget_key(&self, group: GroupId, id: u32) {
        self.cache().remove_key(group, id);
    }

    /// Wipes what is in memory of a group's keys.
    pub(crate) fn forget(&self, group: GroupId) {
        self.cache().remove(group);
        self.uses.forget(group);
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.unwrapped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("path", &self.path).finish_non_exhaustive()
    }
}

fn fresh_key(
    store: StoreId,
    group: GroupId,
    id: u32,
    root: &str,
    random: &dyn Random,
    root_keys: &dyn RootKeys,
) -> Result<FreshKey, RootKeyError> {
    let key = GroupKey::generate(random);
    let wrapped = root_keys.wrap(Some(root), key.dangerous_expose(), &group_context(store, group, id))?;
    Ok(FreshKey { key, wrapped })
}

fn keyring_context(store: StoreId) -> Context {
    Context::new(Label::KeyringKeyWrap, &store.0)
}

fn group_context(store: StoreId, group: GroupId, id: u32) -> Context {
    Context::new(Label::GroupKeyWrap, &store.0).and(group.0).and(id)
}

fn no_root_key(wrapped: Option<&Envelope>, source: RootKeyError) -> OpenError {
    match wrapped {
        Some(wrapped) => OpenError::RootKey {
            provider: wrapped.provider.clone(),
            key_id: wrapped.key_id.clone(),
            key_version: wrapped.key_version,
            source,
        },
        None => OpenError::NoRootKey { source },
    }
}
