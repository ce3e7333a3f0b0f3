//! Opening: from files to a store that takes commands. `docs/spec/data-directory.md` §4, §5.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use metrics::gauge;
use strongroom_seal::Envelope;
use strongroom_telemetry::names;

use crate::checkpoint::Record;
use crate::directory::{Directory, Found, Lock, StoreId};
#[cfg(not(test))]
use crate::keyring::Room;
use crate::keyring::{Keyring, LogFloor, Means};
use crate::log::{Kind, LOG_AHEAD, Log, LogOptions, Record as Logged, Scanned, Surroundings};
use crate::log_keys::KeySource;
use crate::pages::PagesError;
use crate::poison::Poison;
use crate::registry::{ApplyError, GroupError, Known, OpenGroup, Registry, Setting};
use crate::{Command, Damage, GroupId, Lsn, OpenError, Place, StoreOptions, Write, encode, groups};

/// Commands gather up to this many bytes before they are applied, so that each group is opened once for many of them.
const GATHERED_BYTES: usize = 32 << 20;

/// What opening a store found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovery {
    /// The store was closed, not killed, or was made just now.
    pub clean: bool,
    /// Commands that were in the log and not yet in durable pages.
    pub replayed: u64,
    /// Bytes of a batch that was being written when the store was killed; none of it had been acknowledged.
    pub cut_bytes: u64,
    /// The root key has this newer version, and the keyring is still wrapped by an older one, as when this node was down
    /// while the root key was changed. The older one is used as long as the provider has it.
    pub newer_root: Option<u32>,
}

/// An opened store, before its threads start.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) registry: Registry,
    pub(crate) poison: Arc<Poison>,
    pub(crate) log: Log,
    pub(crate) recovery: Recovery,
}

/// Opens or makes the store.
pub(crate) fn open(options: &StoreOptions) -> Result<Opened, OpenError> {
    let began = Instant::now();
    let (directory, lock, found) = Directory::lock(&options.dir, &options.disk, &*options.random)?;
    let opening = Opening { options, directory: Arc::new(directory), lock };
    let opened = match found {
        Found::New(id) => opening.make(id)?,
        Found::Store(id) => opening.open(id)?,
    };
    gauge!(names::RECOVERY_SECONDS).set(began.elapsed().as_secs_f64());
    gauge!(names::RECOVERY_COMMANDS).set(opened.recovery.replayed as f64);
    gauge!(names::RECOVERY_CUT_BYTES).set(opened.recovery.cut_bytes as f64);
    gauge!(names::GROUPS).set(opened.keyring.contents().groups.len() as f64);
    Ok(opened)
}

/// What reading the log showed by the way.
struct Seen {
    /// An id above all that were given out in it.
    next_group: u32,
    /// The last command of the system group.
    system: Lsn,
}

struct Opening<'a> {
    options: &'a StoreOptions,
    directory: Arc<Directory>,
    lock: Lock,
}

impl Opening<'_> {
    fn make(self, id: StoreId) -> Result<Opened, OpenError> {
        let keyring = Arc::new(Keyring::create(&self.directory, id, &self.means())?);
        let keys = Arc::new(KeySource::new(Arc::clone(&keyring)));
        let generation = keyring.contents().generation;
        let log = Log::create(self.surroundings(Arc::clone(&keys)), self.log_options(), generation)?;
        self.directory.complete()?;
        let (registry, poison) = self.registry(&keyring, &keys, HashMap::new(), Lsn(0));
        let recovery = Recovery { clean: true, ..Recovery::default() };
        Ok(Opened { keyring, registry, poison, log, recovery })
    }

    fn open(self, id: StoreId) -> Result<Opened, OpenError> {
        self.directory.settle()?;
        let keyring = Arc::new(Keyring::open(&self.directory, id, &self.means())?);
        let keys = Arc::new(KeySource::new(Arc::clone(&keyring)));
        let (scanned, seen) = self.scan(&keyring, &keys)?;
        let record = self.checkpoint_record(&scanned)?;
        self.check_keyring(&keyring, &scanned, &record)?;
        self.check_log(&keyring, &scanned)?;

        let (registry, poison) = self.registry(&keyring, &keys, record.known(), scanned.last());
        let from = Lsn(record.reached.0 + 1);
        let replay =
            Replay { opening: &self, scanned: &scanned, keyring: &keyring, registry: &registry, from };
        // What was shown above need not be looked for again.
        let of_system = if seen.system < from { 0 } else { replay.system_group()? };
        registry.unlock_system()?;
        let replayed = of_system + replay.other_groups()?;
        // The group that is used by everything: whether its rows go with this log is known before anyone comes.
        registry.acquire(GroupId::SYSTEM)?;
        self.directory.remove_strays(|group| keyring.contents().groups.contains_key(&group))?;

        let recovery = Recovery {
            clean: scanned.clean(),
            replayed,
            cut_bytes: scanned.cut_bytes(),
            newer_root: keyring.newer_root(),
        };
        let newest = scanned.newest_segment().0;
        let mut log = scanned.finish()?;
        // The new segment is durable. From here on no log without it is this store's.
        let floor = LogFloor { segment: log.segment().0, lsn: log.durable_lsn() };
        let path = self.directory.keyring();
        keyring
            .replace(|contents| {
                contents.epoch = contents.epoch.saturating_add(1);
                contents.next_group = contents.next_group.max(seen.next_group);
                contents.floor = floor;
                contents.set_until(&contents.until_unknown(), newest);
            })
            .map_err(|error| crate::directory::io_error(&path, error))?;
        log.keyring_changed(keyring.contents().generation).map_err(|error| {
            let source = std::io::Error::other(error.to_string());
            crate::directory::io_error(&self.directory.log(), source)
        })?;
        Ok(Opened { keyring, registry, poison, log, recovery })
    }

    /// Reads and checks the log. Keys whose making is in it are made known to `keys` on the way.
    fn scan(&self, keyring: &Keyring, keys: &Arc<KeySource>) -> Result<(Scanned, Seen), OpenError> {
        let applied = keyring.contents().applied;
        let mut seen = Seen { next_group: 0, system: Lsn(0) };
        let source = Arc::clone(keys);
        let scanned = Scanned::scan(self.surroundings(source), self.log_options(), |record: Logged<'_>| {
            if record.group != GroupId::SYSTEM || record.kind != Kind::Command {
                return Ok(());
            }
            seen.system = record.lsn;
            for write in self.decode(&record)?.writes {
                let (group, key_id, wrapped_key) = match write {
                    Write::CreateGroup { group, wrapped_key, .. } => {
                        seen.next_group = seen.next_group.max(group.0.saturating_add(1));
                        (group, 1, wrapped_key)
                    }
                    Write::RotateKey { group, key_id, wrapped_key, .. } => (group, key_id, wrapped_key),
                    Write::Put { .. } | Write::Delete { .. } | Write::DropGroup { .. } => continue,
                };
                let envelope = Envelope::decode(&wrapped_key)
                    .map_err(|_| self.malformed(record.lsn, "the group key in it is no envelope"))?;
                if record.lsn > applied {
                    keys.made(group, key_id, envelope);
                }
            }
            Ok(())
        });
        let scanned = scanned.map_err(|error| match keys.take_failure() {
            Some(source) => OpenError::NoRootKey { source },
            None => error,
        })?;
        Ok((scanned, seen))
    }

    fn checkpoint_record(&self, scanned: &Scanned) -> Result<Record, OpenError> {
        let Some(checkpoint) = scanned.checkpoint() else { return Ok(Record::default()) };
        Record::decode(&checkpoint.payload)
            .map_err(|_| self.malformed(checkpoint.lsn, "it is authentic and no checkpoint record"))
    }

    fn check_keyring(&self, keyring: &Keyring, scanned: &Scanned, record: &Record) -> Result<(), OpenError> {
        let found = keyring.contents().generation;
        let expected = scanned.keyring_generation().max(record.keyring_generation);
        if found < expected {
            return Err(OpenError::RolledBack { file: self.directory.keyring(), found, expected });
        }
        Ok(())
    }

    /// A log that ends before what the keyring knows of it (`docs/spec/keyring.md` §6).
    fn check_log(&self, keyring: &Keyring, scanned: &Scanned) -> Result<(), OpenError> {
        let contents = keyring.contents();
        let floor = contents.floor;
        let file = self.directory.log();
        let (segment, last) = (scanned.newest_segment().0, scanned.last());
        if segment < floor.segment {
            return Err(OpenError::RolledBack { file, found: segment, expected: floor.segment });
        }
        // A command that made or dropped a group was durable before the keyring had the group.
        let expected = floor.lsn.max(contents.applied);
        if last >= expected {
            return Ok(());
        }
        if scanned.cut_bytes() > 0 {
            return Err(self.malformed(Lsn(last.0 + 1), "it does not open, and the keyring knows of it"));
        }
        Err(OpenError::RolledBack { file, found: last.0, expected: expected.0 })
    }

    fn decode(&self, record: &Logged<'_>) -> Result<Command, OpenError> {
        encode::decode(record.group, record.payload)
            .map_err(|_| self.malformed(record.lsn, "it is authentic and no command"))
    }

    fn malformed(&self, lsn: Lsn, why: &'static str) -> OpenError {
        Damage { file: self.directory.log(), at: Place::Command(lsn), why }.into()
    }

    fn registry(
        &self,
        keyring: &Arc<Keyring>,
        keys: &Arc<KeySource>,
        known: HashMap<GroupId, Known>,
        logged: Lsn,
    ) -> (Registry, Arc<Poison>) {
        let poison = Arc::new(Poison::default());
        let setting = Setting {
            directory: Arc::clone(&self.directory),
            keyring: Arc::clone(keyring),
            disk: Arc::clone(&self.options.disk),
            random: Arc::clone(&self.options.random),
            poison: Arc::clone(&poison),
            groups_open_max: self.options.groups_open_max.max(2),
            cache_bytes: self.options.cache_bytes,
            log: Some(self.surroundings(Arc::clone(keys))),
            logged,
        };
        (Registry::new(setting, self.lock.clone(), known), poison)
    }

    fn means(&self) -> Means {
        Means {
            disk: Arc::clone(&self.options.disk),
            random: Arc::clone(&self.options.random),
            root_keys: Arc::clone(&self.options.root_keys),
            clock: Arc::clone(&self.options.clock),
            key_limits: self.options.key_limits,
            #[cfg(test)]
            room: self.options.keyring_room,
            #[cfg(not(test))]
            room: Room::default(),
        }
    }

    fn surroundings(&self, keys: Arc<KeySource>) -> Surroundings {
        Surroundings {
            disk: Arc::clone(&self.options.disk),
            dir: self.directory.log(),
            keys,
            random: Arc::clone(&self.options.random),
        }
    }

    fn log_options(&self) -> LogOptions {
        LogOptions { segment_bytes: self.options.segment_bytes, ahead: LOG_AHEAD }
    }
}

/// Applies what the log has and the pages may not have.
struct Replay<'a> {
    opening: &'a Opening<'a>,
    scanned: &'a Scanned,
    keyring: &'a Keyring,
    registry: &'a Registry,
    from: Lsn,
}

type Gathered = BTreeMap<GroupId, Vec<(Lsn, Command)>>;

impl Replay<'_> {
    /// First the system group, so that it is known which groups there are. No command of another group can tell: the
    /// caller that made a group was answered before anyone used it, and what was done in a group that was dropped
    /// later is gone either way.
    fn system_group(&self) -> Result<u64, OpenError> {
        self.run(|group| group == GroupId::SYSTEM)
    }

    fn other_groups(&self) -> Result<u64, OpenError> {
        self.run(|group| group != GroupId::SYSTEM)
    }

    fn run(&self, wanted: impl Fn(GroupId) -> bool) -> Result<u64, OpenError> {
        let mut replayed = 0;
        let mut gathered = Gathered::new();
        let mut bytes = 0;
        self.scanned.replay(self.from, wanted, |record: Logged<'_>| {
            if record.kind == Kind::Command {
                let command = self.opening.decode(&record)?;
                gathered.entry(record.group).or_default().push((record.lsn, command));
                bytes += record.payload.len();
                if bytes >= GATHERED_BYTES {
                    replayed += self.apply(std::mem::take(&mut gathered))?;
                    bytes = 0;
                }
            }
            Ok::<_, OpenError>(())
        })?;
        Ok(replayed + self.apply(gathered)?)
    }

    fn apply(&self, gathered: Gathered) -> Result<u64, OpenError> {
        let mut replayed = 0;
        for (group, commands) in gathered {
            if !self.keyring.contents().groups.contains_key(&group) {
                continue;
            }
            let open = match self.registry.acquire(group) {
                Err(error) if stays_apart(&error) => self.set_broken(group, error)?,
                acquired => acquired?,
            };
            let applied = open.db().map_or(Lsn(0), |db| db.applied());
            let commands: Vec<_> = commands.iter().filter(|(lsn, _)| *lsn > applied).collect();
            let commands: Vec<_> = commands.into_iter().map(|(lsn, command)| (*lsn, command)).collect();
            let outcomes = match self.registry.apply(&open, &commands) {
                Ok(outcomes) => outcomes,
                // It answers with its damage, and the log keeps what it took. The others open.
                Err(ApplyError::Later(error)) if stays_apart(&error) => continue,
                Err(ApplyError::Later(error)) => return Err(error.into()),
                Err(ApplyError::Fatal(error)) => return Err(error.into()),
            };
            replayed += commands.len() as u64;
            if group == GroupId::SYSTEM {
                // The rows must not become durable before the keyring.
                self.change_groups(&commands, &outcomes).inspect_err(|_| freeze(&open))?;
            }
        }
        Ok(replayed)
    }

    /// The group cannot take what the log has for it. The others open.
    fn set_broken(&self, group: GroupId, error: GroupError) -> Result<Arc<OpenGroup>, OpenError> {
        match error {
            GroupError::Pages { error, .. } => {
                tracing::error!(%group, %error, "a group does not open; its log is kept, and the others go on");
                Ok(self.registry.set_broken(group, error))
            }
            error => Err(error.into()),
        }
    }

    fn change_groups(
        &self,
        commands: &[(Lsn, &Command)],
        outcomes: &[crate::Outcome],
    ) -> Result<(), OpenError> {
        let changes = groups::changes(commands, outcomes);
        if groups::all_made(&changes, &self.keyring.contents()) {
            return Ok(());
        }
        let path = self.opening.directory.keyring();
        self.keyring
            .replace(|contents| groups::make(&changes, contents))
            .map_err(|error| crate::directory::io_error(&path, error))
    }
}

/// Whether a group's error is damage of that group's file alone, so that the others need not suffer from it. Without the
/// system group there is no store.
fn stays_apart(error: &GroupError) -> bool {
    let GroupError::Pages { group, error } = error else { return false };
    let of_the_file = matches!(
        error,
        PagesError::Damage(_)
            | PagesError::RolledBack { .. }
            | PagesError::Missing { .. }
            | PagesError::Misplaced { .. }
            | PagesError::KeyMissing { .. }
            | PagesError::Database { .. }
    );
    of_the_file && *group != GroupId::SYSTEM
}

fn freeze(group: &OpenGroup) {
    if let Ok(db) = group.db() {
        db.freeze();
    }
}
