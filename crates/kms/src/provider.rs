//! What every key management service can do.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use strongroom_seal::{Context, DataKey, Envelope, Label, OsRandom};

use crate::KmsError;

/// The key that wraps the store's own keys.
pub const ROOT_KEY_ID: &str = "strongroom-root";
/// The key for SSE-KMS when a request names none.
pub const DEFAULT_KEY_ID: &str = "default";

/// A key management service. Root keys never leave it.
///
/// Contexts are authenticated and never empty (a [`Context`] cannot be): a wrapped key opens only with the context
/// it was wrapped with.
#[async_trait]
pub trait Provider: Send + Sync + Debug {
    /// The kind of provider as envelopes name it: `local`.
    fn name(&self) -> &'static str;

    /// The key for SSE-KMS when a request names none.
    fn default_key(&self) -> &str;

    /// A fresh data key, in the clear and wrapped.
    async fn generate(&self, key_id: &str, context: &Context) -> Result<(DataKey, Envelope), KmsError>;

    /// Wraps `key` under the newest version of `key_id`.
    async fn wrap(&self, key_id: &str, key: &[u8; 32], context: &Context) -> Result<Envelope, KmsError>;

    /// Opens what [`wrap`](Self::wrap) or [`generate`](Self::generate) made with the same context.
    async fn unwrap(&self, envelope: &Envelope, context: &Context) -> Result<DataKey, KmsError>;

    /// Makes a key with version 1.
    async fn create_key(&self, key_id: &str) -> Result<KeyInfo, KmsError>;

    /// Adds a version, which wraps from now on, and gives its number. Older versions still unwrap.
    async fn rotate(&self, key_id: &str) -> Result<u32, KmsError>;

    /// Enables, disables, schedules a deletion, or cancels one by enabling or disabling the key.
    async fn set_state(&self, key_id: &str, state: KeyState) -> Result<KeyInfo, KmsError>;

    /// This key wraps the store's own keys. As long as the process runs, it is neither disabled nor deleted through this
    /// provider, as [`ROOT_KEY_ID`] never is. A provider elsewhere has its own rules.
    fn guard(&self, key_id: &str) {
        let _ = key_id;
    }

    /// All keys, ascending by id.
    async fn list(&self) -> Result<Vec<KeyInfo>, KmsError>;

    /// One key.
    async fn describe(&self, key_id: &str) -> Result<KeyInfo, KmsError>;

    /// A number that is another one after any change of keys or of their states, as far as the provider knows without
    /// asking anybody. What was unwrapped before a change is not used after it. A provider elsewhere need not know:
    /// there, time alone says how long an unwrapped key is good for.
    fn changes(&self) -> u64 {
        0
    }

    /// Really wraps and unwraps a throw-away key, and says how long that took.
    async fn probe(&self) -> Result<Duration, KmsError>;
}

/// What is known of a key, without the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// The id.
    pub id: String,
    /// Whether it can be used.
    pub state: KeyState,
    /// When it was made, in seconds since 1970.
    pub created_at: u64,
    /// Its versions, ascending; the last one wraps.
    pub versions: Vec<VersionInfo>,
}

impl KeyInfo {
    /// The number of the version that wraps.
    pub fn version(&self) -> u32 {
        self.versions.last().map_or(0, |version| version.version)
    }
}

/// What is known of one version of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionInfo {
    /// Its number, from 1.
    pub version: u32,
    /// When it was made, in seconds since 1970.
    pub created_at: u64,
}

/// Whether a key can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// It wraps and unwraps.
    Enabled,
    /// It does neither until it is enabled again.
    Disabled,
    /// It does neither and may be deleted after a date.
    PendingDeletion {
        /// The date, in seconds since 1970.
        delete_after: u64,
    },
}

/// A probe for providers to build [`Provider::probe`] on: wraps a throw-away key under `key_id`, unwraps it and
/// compares.
pub async fn probe_with_key(provider: &(impl Provider + ?Sized), key_id: &str) -> Result<Duration, KmsError> {
    let started = Instant::now();
    let context = Context::new(Label::KmsProbe, key_id);
    let key = DataKey::generate(&OsRandom);
    let envelope = provider.wrap(key_id, key.dangerous_expose(), &context).await?;
    if provider.unwrap(&envelope, &context).await? != key {
        return Err(KmsError::WrongContextOrDamaged { key_id: key_id.to_owned() });
    }
    Ok(started.elapsed())
}
