//! The buckets and objects of one store.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use strongroom_kms::Provider;
use strongroom_seal::stream::StreamSpec;
use strongroom_seal::{OsRandom, Random};
use strongroom_store::disk::{Disk, OsDisk};
use strongroom_store::{GroupId, ReadError, Reading, Store};

use crate::backup::Backups;
use crate::blobs::Blobs;
use crate::buckets::{Bucket, Buckets};
use crate::data_keys::DataKeys;
use crate::events::{self, AUDIT_ENTRIES_MAX, Audit, EVENT_QUEUE_MAX, Outbox};
use crate::hot::HotObjects;
use crate::leases::Leases;
use crate::locks::Locks;
use crate::measure::Reads;
use crate::patient;
use crate::sweep::Sweeper;
use crate::wraps::Wraps;
use crate::{BucketName, Clock, DataKeyOptions, ObjectError, SystemClock};

/// What is sealed inside the entry instead of a file: up to here one write of the log is cheaper than a file's two
/// fsyncs, and listings do not read it.
const INLINE_MAX: usize = 16 * 1024;

/// A few thousand small objects.
const HOT_BYTES: usize = 32 << 20;

/// How often keys of the KMS that are too old are wiped, and opened objects that do not count any more.
const PURGE_EVERY: Duration = Duration::from_secs(5);

/// How objects are kept. None of it changes how stored objects are read.
#[derive(Debug, Clone)]
pub struct ObjectsOptions {
    /// Where blobs go. Made if it is not there; nothing else may be in it.
    pub blob_dir: PathBuf,
    /// Where keys and names of blobs come from.
    pub random: Arc<dyn Random>,
    /// The time of writes.
    pub clock: Arc<dyn Clock>,
    /// Content up to this many bytes is kept in the index; at most 256 KiB.
    pub inline_max: usize,
    /// Cipher and chunk size of new content.
    pub stream: StreamSpec,
    /// The file system of the blobs.
    pub disk: Arc<dyn Disk>,
    /// The ids of the webhooks that rules of buckets can name.
    pub event_targets: BTreeSet<String>,
    /// How many events wait for one target in one bucket at most.
    pub event_queue_max: u64,
    /// How keys of the KMS are kept in memory.
    pub data_keys: DataKeyOptions,
    /// How many entries the audit trail keeps.
    pub audit_entries_max: u64,
    /// How many bytes of small objects are kept in memory, opened; 0 for none.
    pub hot_bytes: usize,
    /// Whether new buckets take objects under customers' keys until they are told to refuse them.
    pub customer_keys_in_new_buckets: bool,
}

impl ObjectsOptions {
    /// The defaults, with blobs in this directory.
    pub fn new(blob_dir: impl Into<PathBuf>) -> Self {
        Self {
            blob_dir: blob_dir.into(),
            random: Arc::new(OsRandom),
            clock: Arc::new(SystemClock),
            inline_max: INLINE_MAX,
            stream: StreamSpec::default(),
            disk: Arc::new(OsDisk),
            event_targets: BTreeSet::new(),
            event_queue_max: EVENT_QUEUE_MAX,
            data_keys: DataKeyOptions::default(),
            audit_entries_max: AUDIT_ENTRIES_MAX,
            hot_bytes: HOT_BYTES,
            customer_keys_in_new_buckets: true,
        }
    }
}

/// The buckets and objects of one store. Clones share it.
///
/// Writes are durable when they return. Dropping the future of a write before it is being committed leaves nothing; later it
/// is carried out all the same.
#[derive(Clone)]
pub struct Objects(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) keys: DataKeys,
    pub(crate) options: ObjectsOptions,
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) buckets: Buckets,
    pub(crate) locks: Locks,
    pub(crate) wraps: Wraps,
    pub(crate) leases: Arc<Leases>,
    pub(crate) sweeper: Sweeper,
    pub(crate) backups: Backups,
    pub(crate) outbox: Outbox,
    pub(crate) audit: Audit,
    pub(crate) hot: HotObjects,
    pub(crate) reads: Reads,
}

impl Objects {
    /// Opens the buckets of `store`, finishes what an earlier run left half done, and starts removing what it left
    /// over. One per store at a time.
    pub async fn open(
        store: Store,
        kms: Arc<dyn Provider>,
        options: ObjectsOptions,
    ) -> Result<Self, ObjectError> {
        let mut options = options;
        options.inline_max = options.inline_max.min(256 * 1024);
        let (disk, dir) = (Arc::clone(&options.disk), options.blob_dir.clone());
        let opened = store.clone();
        let (blobs, buckets) = blocking(move || {
            let blobs = Arc::new(Blobs::open(disk, &dir, opened.epoch())?);
            Ok((blobs, Buckets::load(&opened)?))
        })
        .await?;
        let leases = Arc::new(Leases::default());
        let sweeper = Sweeper::start(store.clone(), Arc::clone(&blobs), Arc::clone(&leases));
        let (locks, wraps) = (Locks::default(), Wraps::default());
        let backups = Backups::default();
        let outbox = Outbox::new(store.epoch(), options.event_queue_max);
        let keys = DataKeys::new(kms, Arc::clone(&options.clock), options.data_keys);
        let audit = Audit::new(options.audit_entries_max);
        let hot = HotObjects::new(options.hot_bytes);
        let inner = Inner {
            store,
            keys,
            options,
            blobs,
            buckets,
            locks,
            wraps,
            leases,
            sweeper,
            backups,
            outbox,
            audit,
            hot,
            reads: Reads::new(),
        };
        let objects = Self(Arc::new(inner));
        objects.settle_buckets().await;
        objects.0.sweeper.sweep_earlier_runs();
        tokio::spawn(purge(Arc::downgrade(&objects.0)));
        Ok(objects)
    }

    /// Ends a backup that runs, waits until what was dropped is removed, and stops the background work. Call it when no operation is under way and
    /// before the store is closed. Without it nothing is lost: the next opening has more to sweep.
    pub async fn close(&self) {
        self.0.backups.close().await;
        self.0.sweeper.close().await;
        self.0.keys.clear();
        self.0.hot.clear();
    }
}

/// Wipes keys that nobody asked for any more and lets go of objects that changed, as long as there are objects.
async fn purge(inner: Weak<Inner>) {
    loop {
        tokio::time::sleep(PURGE_EVERY).await;
        match inner.upgrade() {
            Some(inner) => {
                inner.keys.purge();
                let purged = blocking(move || {
                    inner.hot.purge(&inner.store);
                    Ok(())
                });
                if purged.await.is_err() {
                    return;
                }
            }
            None => return,
        }
    }
}

impl Inner {
    /// The bucket with this name.
    pub(crate) fn bucket(&self, name: &BucketName) -> Result<Arc<Bucket>, ObjectError> {
        self.buckets.find(name).ok_or_else(|| ObjectError::NoSuchBucket { bucket: name.clone() })
    }

    /// The rows of a bucket now. Blocks.
    pub(crate) fn read(&self, bucket: &Bucket) -> Result<Reading, ObjectError> {
        self.store.read(bucket.group).map_err(|error| bucket.read_error(error))
    }

    /// Runs `work`, which reads a few rows of one group: on the thread that asks, if the group's page file is open.
    /// Rows that are read again and again are in memory then, and reading those costs less than a job of its own.
    /// What has to wait for the disk there makes room for others first ([`crate::PatientDisk`]), and who reads on and on
    /// without ever having to wait gives its turn to others now and then.
    pub(crate) async fn reading<T: Send + 'static>(
        &self,
        group: GroupId,
        work: impl FnOnce(Place) -> Result<T, ObjectError> + Send + 'static,
    ) -> Result<T, ObjectError> {
        if patient::can_make_room()
            && let Some(_kept) = self.store.keep_open(group)
        {
            let answer = work(Place::Asking);
            // Without this a task that does nothing but read keeps its thread for itself: nothing in it ever waits.
            tokio::task::consume_budget().await;
            return answer;
        }
        blocking(move || work(Place::Job)).await
    }
}

impl Bucket {
    /// What an error of the store means for this bucket: its group goes when the bucket does.
    pub(crate) fn read_error(&self, error: ReadError) -> ObjectError {
        match error {
            ReadError::NoSuchGroup { group } if group == self.group && group != GroupId::SYSTEM => {
                self.gone()
            }
            other => other.into(),
        }
    }
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects").field("options", &self.0.options).finish_non_exhaustive()
    }
}

/// Where work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// On the thread that asks for it, which others need too.
    Asking,
    /// In a job that may block.
    Job,
}

/// Runs `work` where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ObjectError> + Send + 'static,
) -> Result<T, ObjectError> {
    // The only ways for a job not to end are a defect, reported where it happened, and the runtime's shutdown.
    tokio::task::spawn_blocking(work).await.map_err(|_| ObjectError::Stopping)?
}

/// Runs `work` to its end even if the caller's future is dropped.
pub(crate) async fn carried_out<T: Send + 'static>(
    work: impl Future<Output = Result<T, ObjectError>> + Send + 'static,
) -> Result<T, ObjectError> {
    tokio::spawn(events::inherited(work)).await.map_err(|_| ObjectError::Stopping)?
}
