//! What a store needs to open.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use strongroom_seal::{Context, Envelope, OsRandom, Random};
use zeroize::Zeroizing;

use crate::RootKeyError;
use crate::disk::{Disk, OsDisk};

/// Enough for a desktop's or a small server's buckets in daily use; each open group costs a page file's caches.
const GROUPS_OPEN_MAX: usize = 64;
/// All open groups together; a group gets its share, and at least what its dirty pages need.
const CACHE_BYTES: usize = 256 << 20;
/// Segments are the unit in which the log is given back: small enough that little is kept too long.
const SEGMENT_BYTES: u64 = 64 << 20;
/// One waits for the disk while the other seals.
const RESEAL_WORKERS: usize = 2;
/// Replaying this much takes about a second and this much memory; pages rewritten meanwhile are written once.
const CHECKPOINT_BYTES: u64 = 64 << 20;

/// What wraps and unwraps the store's keys. Calls block; they are made when a store opens, when a key is made, when a
/// group is first used and when the root key is changed.
pub trait RootKeys: Send + Sync + fmt::Debug {
    /// Wraps `key`, bound to `context`, under the newest version of the root key `key_id`; `None` means the one that a
    /// new store gets.
    fn wrap(&self, key_id: Option<&str>, key: &[u8; 32], context: &Context)
    -> Result<Envelope, RootKeyError>;
    /// Unwraps what [`Self::wrap`] made with the same context.
    fn unwrap(&self, envelope: &Envelope, context: &Context) -> Result<Zeroizing<[u8; 32]>, RootKeyError>;
    /// The version of `key_id` that wraps now, or `None` if the provider does not tell.
    fn newest_version(&self, key_id: &str) -> Result<Option<u32>, RootKeyError> {
        let _ = key_id;
        Ok(None)
    }
}

/// Tells the time: for the ages that reports give for keys, and for the rate at which pages move to another key.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Seconds since 1970.
    fn now_seconds(&self) -> u64;

    /// How long ago some moment was, which stays the same as long as the process runs. Never goes back.
    fn ticks(&self) -> Duration {
        static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
        BEGAN.elapsed()
    }
}

/// The operating system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_seconds(&self) -> u64 {
        std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs())
    }
}

/// How long a group key seals before another takes its place by itself. Each bound counts for itself.
///
/// No page, frame or value is sealed under a group key directly: their keys are derived from it for one file, one segment
/// or one record (`docs/spec/sealed-record.md` §3 and §4), and their nonces are safe far beyond these numbers. The limits
/// hold as if the group key sealed everything itself, so that they need no argument about derivations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyLimits {
    /// How often it seals. 2^32 is the most that NIST SP 800-38D §8.3 allows for one AES-GCM key with random nonces; by
    /// default the key changes 10 % before, as other stores' keys do.
    pub seals: u64,
    /// How many bytes it seals. By default 2^50: 2^46 blocks, which stay apart with probability 1 - 2^-37.
    pub bytes: u64,
    /// How long it is active, in seconds; 0 for as long as the other bounds allow, which is the default: how old a key may
    /// get is the operator's policy.
    pub age_seconds: u64,
}

impl Default for KeyLimits {
    fn default() -> Self {
        Self { seals: (1 << 32) / 10 * 9, bytes: 1 << 50, age_seconds: 0 }
    }
}

/// What a store needs to open. None of it shapes stored bytes except `dir` and the keys.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// The data directory. It need not exist, or must be empty, or a store.
    pub dir: PathBuf,
    /// What wraps the keys.
    pub root_keys: Arc<dyn RootKeys>,
    /// Where keys and nonces come from.
    pub random: Arc<dyn Random>,
    /// How many groups have their page file open at once, at least 2.
    pub groups_open_max: usize,
    /// The memory of all page caches together, in bytes. Groups that are open share it; each has 1 MiB at least, even if
    /// that is more altogether.
    pub cache_bytes: usize,
    /// A log segment is followed by the next one at this length, in bytes.
    pub segment_bytes: u64,
    /// A checkpoint starts after this many bytes of log.
    pub checkpoint_bytes: u64,
    /// The file system.
    pub disk: Arc<dyn Disk>,
    /// How many groups are re-sealed at once; with 0 keys never retire.
    pub reseal_workers: usize,
    /// The time, for the ages of keys.
    pub clock: Arc<dyn Clock>,
    /// When a group key changes by itself.
    pub key_limits: KeyLimits,
    /// The key thread looks after the keys only when a test asks it to, so that two lives of one seed do the same.
    #[cfg(test)]
    pub(crate) keys_wait: bool,
    /// How large the keyring may become.
    #[cfg(test)]
    pub(crate) keyring_room: crate::keyring::Room,
}

impl StoreOptions {
    /// The defaults for a data directory.
    pub fn new(dir: impl Into<PathBuf>, root_keys: Arc<dyn RootKeys>) -> Self {
        Self {
            dir: dir.into(),
            root_keys,
            random: Arc::new(OsRandom),
            groups_open_max: GROUPS_OPEN_MAX,
            cache_bytes: CACHE_BYTES,
            segment_bytes: SEGMENT_BYTES,
            checkpoint_bytes: CHECKPOINT_BYTES,
            reseal_workers: RESEAL_WORKERS,
            disk: Arc::new(OsDisk),
            clock: Arc::new(SystemClock),
            key_limits: KeyLimits::default(),
            #[cfg(test)]
            keys_wait: false,
            #[cfg(test)]
            keyring_room: Default::default(),
        }
    }
}
