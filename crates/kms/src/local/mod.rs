//! The local provider: root keys in one sealed file (`docs/spec/local-kms.md`).

mod error;
mod file;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod header;
mod keys;
mod unlock;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use strongroom_seal::{Context, DataKey, Envelope, Label, OsRandom, Random, SecretKey, record};
use zeroize::Zeroizing;

pub use error::LocalKmsError;
use file::Paths;
use header::{Fixed, Header};
use keys::Keys;
use unlock::Unlocked;
pub use unlock::{Cost, Method, Unlock};

use crate::measure::{measured, observe_keys};
use crate::provider::probe_with_key;
use crate::{DEFAULT_KEY_ID, KeyInfo, KeyState, KmsError, Provider, ROOT_KEY_ID};

/// The provider's name in envelopes.
const NAME: &str = "local";

/// What to do if there is no key file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenMissing {
    /// Make one: there is no store yet.
    Create,
    /// Refuse: a store exists, and new keys would not open it.
    Refuse,
}

/// How to open the local provider.
pub struct LocalKmsOptions {
    /// Where the files are.
    pub dir: PathBuf,
    /// What opens them.
    pub unlock: Unlock,
    /// What to do if there is no key file.
    pub when_missing: WhenMissing,
    /// What a guess costs, if a file is made with a passphrase.
    pub cost: Cost,
    /// Where keys come from.
    pub random: Arc<dyn Random>,
    /// The time in seconds since 1970, for creation dates.
    pub now: fn() -> u64,
}

impl LocalKmsOptions {
    /// The usual: refuses a missing file, draws keys from the operating system.
    pub fn new(dir: impl Into<PathBuf>, unlock: Unlock) -> Self {
        Self {
            dir: dir.into(),
            unlock,
            when_missing: WhenMissing::Refuse,
            cost: Cost::default(),
            random: Arc::new(OsRandom),
            now: || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        }
    }
}

impl fmt::Debug for LocalKmsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKmsOptions")
            .field("dir", &self.dir)
            .field("unlock", &self.unlock)
            .finish_non_exhaustive()
    }
}

/// Root keys in one sealed file. Cheap to clone.
#[derive(Clone)]
pub struct LocalKms(Arc<Inner>);

struct Inner {
    paths: Paths,
    file_key: SecretKey,
    /// The header on disk. Its lock is held during a change, so that there is one at a time.
    header: Mutex<Header>,
    /// Only keys that are durable.
    keys: RwLock<Keys>,
    /// Ids of keys that wrap the store's own.
    guarded: Mutex<BTreeSet<String>>,
    /// How often they were changed since they were opened.
    changes: AtomicU64,
    random: Arc<dyn Random>,
    now: fn() -> u64,
}

impl LocalKms {
    /// Opens the key file, or makes it if [`LocalKmsOptions::when_missing`] says so. Blocking: a passphrase takes
    /// its time on purpose.
    pub fn open(options: LocalKmsOptions) -> Result<Self, LocalKmsError> {
        let paths = Paths::new(&options.dir);
        let creates = options.when_missing == WhenMissing::Create;
        if creates {
            paths.make_dir()?;
        }
        let (header, keys, file_key) = match paths.read()? {
            Some((header, body)) => {
                paths.settle()?;
                let unlocked = unlock_existing(&options.unlock, &header, &paths)?;
                let keys = file::open_body(&header, &body, &unlocked.file_key, &paths.file)?;
                (header, keys, unlocked.file_key)
            }
            None if creates => create(&options, &paths)?,
            None => return Err(LocalKmsError::Missing { path: paths.file }),
        };
        observe_keys(NAME, &keys.list());
        let (keyring, generation) = (header.fixed.keyring(), header.generation);
        tracing::debug!(keyring, generation, method = %header.fixed.method, "opened the local key file");
        let LocalKmsOptions { random, now, .. } = options;
        let (header, keys) = (Mutex::new(header), RwLock::new(keys));
        let changes = AtomicU64::new(0);
        Ok(Self(Arc::new(Inner {
            paths,
            file_key,
            header,
            keys,
            guarded: Mutex::default(),
            changes,
            random,
            now,
        })))
    }

    /// The keyring's id and how often its file was replaced. Who remembers the generation elsewhere can tell that an
    /// older file was put back.
    pub fn generation(&self) -> (String, u64) {
        let header = self.0.header.lock().unwrap_or_else(PoisonError::into_inner);
        (header.fixed.keyring(), header.generation)
    }
}

/// The keys of an existing file's header, for the right unlock key only.
fn unlock_existing(unlock: &Unlock, header: &Header, paths: &Paths) -> Result<Unlocked, LocalKmsError> {
    let fixed = &header.fixed;
    let given = match unlock {
        Unlock::Generated | Unlock::KeyFile(_) => Method::KeyFile,
        Unlock::Passphrase(_) => Method::Passphrase,
    };
    let path = paths.file.clone();
    if given != fixed.method {
        return Err(LocalKmsError::OtherMethod { path, made_with: fixed.method, given });
    }
    let unlocked = match unlock {
        Unlock::Passphrase(passphrase) => unlock::by_passphrase(passphrase, fixed, &paths.file)?,
        Unlock::Generated | Unlock::KeyFile(_) => {
            let key_path = if let Unlock::KeyFile(path) = unlock { path } else { &paths.unlock_key };
            let content = unlock::read_key_file(key_path)?.ok_or_else(|| {
                LocalKmsError::UnlockKeyMissing { path: key_path.clone(), keyring: fixed.keyring() }
            })?;
            unlock::by_secret(&content, fixed)
        }
    };
    // The commitment is public, so an ordinary comparison gives nothing away.
    if unlocked.commitment != header.commitment {
        return Err(LocalKmsError::WrongUnlockKey { path, keyring: fixed.keyring(), method: given });
    }
    Ok(unlocked)
}

/// Makes a key file with the two keys that a store starts with.
fn create(options: &LocalKmsOptions, paths: &Paths) -> Result<(Header, Keys, SecretKey), LocalKmsError> {
    let _lock = paths.lock()?;
    let random = options.random.as_ref();
    let mut fixed = Fixed { method: Method::KeyFile, cost: Cost::NONE, salt: [0; 32], id: [0; 8] };
    random.fill(&mut fixed.salt);
    random.fill(&mut fixed.id);
    let missing =
        |path: &PathBuf| LocalKmsError::UnlockKeyMissing { path: path.clone(), keyring: fixed.keyring() };
    let unlocked = match &options.unlock {
        Unlock::Passphrase(passphrase) => {
            unlock::check_new_passphrase(passphrase)?;
            (fixed.method, fixed.cost) = (Method::Passphrase, options.cost);
            unlock::by_passphrase(passphrase, &fixed, &paths.file)?
        }
        Unlock::KeyFile(path) => {
            let content = unlock::read_key_file(path)?.ok_or_else(|| missing(path))?;
            unlock::by_secret(&content, &fixed)
        }
        Unlock::Generated => unlock::by_secret(&generated_secret(paths, random)?, &fixed),
    };
    let mut keys = Keys::default();
    for id in [ROOT_KEY_ID, DEFAULT_KEY_ID] {
        keys.create(id, (options.now)(), random).expect("an empty keyring takes two keys");
    }
    let header = Header { fixed, commitment: unlocked.commitment, generation: 1 };
    // Looked at again under the lock: another process may have been faster, and its keys must stay.
    if let Some((found, _)) = paths.read()? {
        let path = paths.file.clone();
        return Err(LocalKmsError::ChangedUnderneath { path, found: found.generation, expected: 0 });
    }
    paths.write(&paths.file, &file::seal(&header, &keys, &unlocked.file_key, random))?;
    tracing::info!(keyring = header.fixed.keyring(), path = %paths.file.display(), "made a local key file");
    Ok((header, keys, unlocked.file_key))
}

/// The generated unlock secret: the one that a crash left behind, or a new one.
fn generated_secret(paths: &Paths, random: &dyn Random) -> Result<Zeroizing<Vec<u8>>, LocalKmsError> {
    if let Some(content) = unlock::read_key_file(&paths.unlock_key)? {
        return Ok(content);
    }
    let secret = DataKey::generate(random);
    let mut content = Zeroizing::new(Vec::with_capacity(65));
    for byte in secret.dangerous_expose() {
        content.extend([byte >> 4, byte & 0x0F].map(|digit| b"0123456789abcdef"[usize::from(digit)]));
    }
    content.push(b'\n');
    paths.write(&paths.unlock_key, &content)?;
    Ok(content)
}

impl Inner {
    fn guarded(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.guarded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keys(&self) -> RwLockReadGuard<'_, Keys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn wrap(&self, key_id: &str, key: &[u8; 32], context: &Context) -> Result<Envelope, KmsError> {
        let keys = self.keys();
        let (version, root) = keys.newest(key_id)?;
        let blob = record::seal(root, &wrap_context(key_id, version, context), key, self.random.as_ref());
        Ok(Envelope { provider: NAME.to_owned(), key_id: key_id.to_owned(), key_version: version, blob })
    }

    fn unwrap(&self, envelope: &Envelope, context: &Context) -> Result<DataKey, KmsError> {
        let Envelope { provider, key_id, key_version, blob } = envelope;
        if provider != NAME {
            return Err(KmsError::OtherProvider { provider: NAME, made_by: provider.clone() });
        }
        let keys = self.keys();
        let root = keys.version(key_id, *key_version)?;
        record::open(root, &wrap_context(key_id, *key_version, context), blob)
            .ok()
            .and_then(|plain| DataKey::from_slice(&plain))
            .ok_or_else(|| KmsError::WrongContextOrDamaged { key_id: key_id.clone() })
    }

    /// Applies `edit` to a copy, makes the copy durable, then makes it the keys.
    fn change<T>(&self, edit: impl FnOnce(&mut Keys) -> Result<T, KmsError>) -> Result<T, KmsError> {
        let mut header = self.header.lock().unwrap_or_else(PoisonError::into_inner);
        let mut keys = self.keys().clone();
        let result = edit(&mut keys)?;
        let next = Header { generation: header.generation + 1, ..header.clone() };
        self.replace(&header, &next, &keys)
            .map_err(|error| KmsError::Unavailable { provider: NAME, source: Arc::new(error) })?;
        observe_keys(NAME, &keys.list());
        tracing::info!(
            keyring = next.fixed.keyring(),
            generation = next.generation,
            "changed the local key file"
        );
        *header = next;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        self.changes.fetch_add(1, Ordering::Release);
        Ok(result)
    }

    fn replace(&self, header: &Header, next: &Header, keys: &Keys) -> Result<(), LocalKmsError> {
        let _lock = self.paths.lock()?;
        let path = &self.paths.file;
        let Some((found, _)) = self.paths.read()? else {
            return Err(LocalKmsError::Missing { path: path.clone() });
        };
        if found != *header {
            let (found, expected) = (found.generation, header.generation);
            return Err(LocalKmsError::ChangedUnderneath { path: path.clone(), found, expected });
        }
        self.paths.write(path, &file::seal(next, keys, &self.file_key, self.random.as_ref()))
    }
}

fn wrap_context(key_id: &str, version: u32, context: &Context) -> Context {
    Context::new(Label::LocalKmsWrap, key_id).and(version).and(context.as_bytes())
}

impl LocalKms {
    /// Runs a change where waiting for the disk holds nobody up. It runs to its end even if the caller goes away.
    async fn blocking<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Inner) -> Result<T, KmsError> + Send + 'static,
    ) -> Result<T, KmsError> {
        let inner = Arc::clone(&self.0);
        match tokio::task::spawn_blocking(move || change(&inner)).await {
            Ok(result) => result,
            Err(error) => Err(KmsError::Unavailable { provider: NAME, source: Arc::new(error) }),
        }
    }
}

#[async_trait]
impl Provider for LocalKms {
    fn name(&self) -> &'static str {
        NAME
    }

    fn default_key(&self) -> &str {
        DEFAULT_KEY_ID
    }

    fn changes(&self) -> u64 {
        self.0.changes.load(Ordering::Acquire)
    }

    async fn generate(&self, key_id: &str, context: &Context) -> Result<(DataKey, Envelope), KmsError> {
        measured(NAME, "generate", async {
            let key = DataKey::generate(self.0.random.as_ref());
            let envelope = self.0.wrap(key_id, key.dangerous_expose(), context)?;
            Ok((key, envelope))
        })
        .await
    }

    async fn wrap(&self, key_id: &str, key: &[u8; 32], context: &Context) -> Result<Envelope, KmsError> {
        measured(NAME, "wrap", async { self.0.wrap(key_id, key, context) }).await
    }

    async fn unwrap(&self, envelope: &Envelope, context: &Context) -> Result<DataKey, KmsError> {
        measured(NAME, "unwrap", async { self.0.unwrap(envelope, context) }).await
    }

    async fn create_key(&self, key_id: &str) -> Result<KeyInfo, KmsError> {
        let id = key_id.to_owned();
        let create = self.blocking(move |inner| {
            inner.change(|keys| keys.create(&id, (inner.now)(), inner.random.as_ref()))
        });
        measured(NAME, "create_key", create).await
    }

    async fn rotate(&self, key_id: &str) -> Result<u32, KmsError> {
        let id = key_id.to_owned();
        let rotate = self.blocking(move |inner| {
            inner.change(|keys| keys.rotate(&id, (inner.now)(), inner.random.as_ref()))
        });
        measured(NAME, "rotate", rotate).await
    }

    fn guard(&self, key_id: &str) {
        let mut guarded = self.0.guarded();
        if !guarded.contains(key_id) {
            guarded.insert(key_id.to_owned());
        }
    }

    async fn set_state(&self, key_id: &str, state: KeyState) -> Result<KeyInfo, KmsError> {
        let id = key_id.to_owned();
        let set = self.blocking(move |inner| {
            // Looked at during the change: whoever guards a key before using it finds it usable from then on, or not at all.
            inner.change(|keys| keys.set_state(&id, state, inner.guarded().contains(&id)))
        });
        measured(NAME, "set_state", set).await
    }

    async fn list(&self) -> Result<Vec<KeyInfo>, KmsError> {
        measured(NAME, "list", async { Ok(self.0.keys().list()) }).await
    }

    async fn describe(&self, key_id: &str) -> Result<KeyInfo, KmsError> {
        measured(NAME, "describe", async { self.0.keys().describe(key_id) }).await
    }

    /// Under the store's root key, without which nothing works.
    async fn probe(&self) -> Result<Duration, KmsError> {
        measured(NAME, "probe", probe_with_key(self, ROOT_KEY_ID)).await
    }
}

impl fmt::Debug for LocalKms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKms").field("file", &self.0.paths.file).finish_non_exhaustive()
    }
}
