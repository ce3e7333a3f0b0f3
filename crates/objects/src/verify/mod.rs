//! Authenticating every entry and every byte of content, offline.
//!
//! ```text
//! rows of a group ── one thread reads and decodes them ── pieces of content ──► threads that open them
//!        └─ what does not open: a finding, by name              └─ bounded queue, a megabyte at a time
//! ```
//!
//! Keys are unwrapped and content is opened by the code that serves reads. The rows come from an [`Image`] of a store that
//! no server has open; nothing is written. Memory does not depend on how much there is to read.

mod content;
mod finding;
mod orphans;
mod rows;
mod scan;
mod system;

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use strongroom_kms::Provider;
use strongroom_seal::GroupKey;
use strongroom_store::disk::Disk;
use strongroom_store::inspect::{Image, OverlayDisk};
use tokio::runtime::Handle;

pub use finding::{ObjectCounts, ObjectDamage, ObjectFinding, ObjectPlace, UnreadRows};
pub use scan::describe_row;

use crate::blobs::Blobs;
use crate::data_keys::DataKeys;
use crate::{DataKeyOptions, SystemClock};
use content::Job;

/// What a verification of objects works with.
#[derive(Clone)]
pub struct VerifyOptions {
    /// Where the blobs are.
    pub blob_dir: PathBuf,
    /// What unwraps the keys of SSE-KMS. Without it such content is counted as not verifiable.
    pub kms: Option<Arc<dyn Provider>>,
    /// Who knows the rows that this crate does not; without it they are of no table.
    pub others: Option<Arc<dyn OtherRows>>,
    /// Where the KMS is asked.
    pub runtime: Handle,
    /// How many threads open content.
    pub threads: NonZeroUsize,
}

impl fmt::Debug for VerifyOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyOptions")
            .field("blob_dir", &self.blob_dir)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

/// Knows the rows of the system group that others than this crate keep there.
pub trait OtherRows: Send + Sync {
    /// Which table the row is of, and whether it is authentic and as it must be; `None` if nobody keeps such rows.
    /// `group_key` has the system group's keys.
    fn check(
        &self,
        key: &[u8],
        value: &[u8],
        group_key: &dyn Fn(u32) -> Option<GroupKey>,
    ) -> Option<(&'static str, bool)>;
}

/// Is told how a verification goes on, from several threads.
pub trait VerifyWatch: Sync {
    /// So many more bytes of content were looked at.
    fn checked(&self, bytes: u64);
    /// Something was found.
    fn found(&self, finding: ObjectFinding);
}

/// Authenticates every bucket, object, upload and blob of `image`, and goes on after damage. Changes nothing. Blocks; not
/// to be called on a thread of `options.runtime`.
pub fn verify(image: &Image, options: &VerifyOptions, watch: &dyn VerifyWatch) -> ObjectCounts {
    let disk: Arc<dyn Disk> = Arc::new(OverlayDisk::default());
    let verifier = Verifier {
        image,
        blobs: Blobs::look(Arc::clone(&disk), &options.blob_dir),
        disk,
        options,
        watch,
        keys: options.kms.as_ref().map(|kms| {
            let clock = Arc::new(SystemClock);
            // One that is away is asked once for each object, as somebody who verifies waits for the answer anyway.
            DataKeys::new(Arc::clone(kms), clock, DataKeyOptions::default())
        }),
        counts: Mutex::default(),
    };
    verifier.run();
    verifier.counts.into_inner().unwrap_or_else(PoisonError::into_inner)
}

struct Verifier<'a> {
    image: &'a Image,
    blobs: Blobs,
    disk: Arc<dyn Disk>,
    options: &'a VerifyOptions,
    watch: &'a dyn VerifyWatch,
    keys: Option<DataKeys>,
    counts: Mutex<ObjectCounts>,
}

impl Verifier<'_> {
    fn run(&self) {
        let threads = self.options.threads.get();
        let (jobs, todo) = mpsc::sync_channel::<Job>(2 * threads);
        let todo = Mutex::new(todo);
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let job = todo.lock().unwrap_or_else(PoisonError::into_inner).recv();
                        let Ok(job) = job else { return };
                        self.open(&job);
                    }
                });
            }
            self.groups(&jobs);
            drop(jobs);
        });
        self.orphans();
    }

    fn count(&self, change: impl FnOnce(&mut ObjectCounts)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
