//! The store: commands in, outcomes and snapshots out.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};

use strongroom_seal::GroupKey;
use tokio::sync::oneshot;

use crate::checkpoint::{Checkpointer, ToCheckpoint};
use crate::commit::{Applier, ApplyThread, Entrance, Logger, Making, SharedApplier, ToApply, ToLog};
use crate::directory::{Directory, io_error};
use crate::disk::OsDisk;
use crate::engine::{Engine, Figures};
#[cfg(test)]
use crate::keeper::Waits;
use crate::keeper::{Keeper, ToKeeper};
use crate::keyring::FreshKey;
use crate::log::Pin;
use crate::recovery::{self, Opened};
use crate::registry::{GroupError, OpenGroup};
use crate::reseal::{Board, Resealer};
use crate::workers::{DISK_THREADS, PROVIDER_THREADS, Workers};
use crate::{
    Cause, Clock, Command, CommitError, GroupId, KeptOpen, Lsn, OpenError, Outcome, ReadError, Reading,
    Recovery, RootKeyError, StoreError, StoreOptions, Write, encode,
};

/// How the store is doing.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Status {
    /// The last command that was given a place in the log.
    pub lsn: Lsn,
    /// The last command that is durable.
    pub durable: Lsn,
    /// The last command that is applied.
    pub applied: Lsn,
    /// Groups that exist.
    pub groups: usize,
    /// Groups whose page file is open.
    pub groups_open: usize,
    /// Commands acknowledged since the store opened.
    pub commits: u64,
    /// Batches made durable since the store opened.
    pub batches: u64,
    /// Syncs of the log for batches since the store opened.
    pub fsyncs: u64,
    /// Checkpoints since the store opened.
    pub checkpoints: u64,
    /// Bytes of log segments on the disk.
    pub log_bytes: u64,
    /// Groups whose pages failed, ascending, and how: they answer with that, their log is kept, and the others go on.
    pub groups_failed: Vec<(GroupId, ReadError)>,
    /// Groups whose pages the disk has no space for (or whose file somebody still reads as it was before it failed), ascending:
    /// what changes in them is in the log and in memory.
    pub groups_in_memory: Vec<GroupId>,
    /// Why the store stopped taking writes, if it did.
    pub poisoned: Option<Cause>,
}

/// An open store. Clones share it.
///
/// Commands are durable and applied when [`Self::commit`] returns. Reads are snapshots and never wait for writes.
///
/// [`Self::close`] leaves a store that opens without replaying anything. Dropping the last clone instead is like a
/// kill: everything acknowledged is there at the next opening, which has more to do.
#[derive(Debug, Clone)]
pub struct Store(Arc<Handle>);

/// A store that this does not keep open: for what the store itself owns.
#[derive(Debug, Clone)]
pub struct WeakStore(Weak<Handle>);

impl WeakStore {
    /// The store, if somebody keeps it open.
    pub fn upgrade(&self) -> Option<Store> {
        self.0.upgrade().map(Store)
    }
}

#[derive(Debug)]
struct Handle {
    engine: Arc<Engine>,
    recovery: Recovery,
    epoch: u32,
    clock: Arc<dyn Clock>,
    entrance: Entrance,
    resealer: Resealer,
    workers: Workers,
    /// For what asks the root key's provider.
    askers: Workers,
    /// Taken by whoever ends them.
    threads: Mutex<Option<Threads>>,
}

/// The threads, and how to tell them.
#[derive(Debug)]
struct Threads {
    resealers: Vec<JoinHandle<()>>,
    keeper: (Sender<ToKeeper>, JoinHandle<()>),
    checkpointer: (Sender<ToCheckpoint>, JoinHandle<()>),
    logger: (Sender<ToLog>, JoinHandle<()>),
    applier: (Sender<ToApply>, JoinHandle<()>),
}

impl Store {
    /// Opens the store in `options.dir`, making it if the directory is missing or empty. Blocks; a store that was
    /// killed replays its log first.
    pub fn create_or_open(options: StoreOptions) -> Result<Self, OpenError> {
        let opened = recovery::open(&options)?;
        let recovery = opened.recovery;
        Handle::start(opened, &options, recovery)
            .map(|handle| Self(Arc::new(handle)))
            .map_err(|error| io_error(&options.dir, error))
    }

    /// The store for whom it shall not be kept open.
    pub fn downgrade(&self) -> WeakStore {
        WeakStore(Arc::downgrade(&self.0))
    }

    /// Whether there is a store in `dir`. Changes nothing and takes no lock.
    pub fn is_initialised(dir: &Path) -> Result<bool, OpenError> {
        Directory::has_store(dir, &OsDisk)
    }

    /// Carries out a command, or refuses it because a check does not hold. Durable and visible when it returns.
    /// Dropping the future does not take the command back. Who holds a [`Reading`] of the system group does not wait for a
    /// command of it: where space is lacking the command waits until nobody reads the pages that failed.
    pub async fn commit(&self, command: Command) -> Result<Outcome, CommitError> {
        let what = command.writes.iter().find_map(|write| match write {
            Write::CreateGroup { .. } => Some("the creation of a group"),
            Write::RotateKey { .. } => Some("the rotation of a key"),
            Write::Put { .. } | Write::Delete { .. } | Write::DropGroup { .. } => None,
        });
        if let Some(what) = what {
            return Err(CommitError::Misplaced { group: command.group, what });
        }
        let payload = encode::encode(&command)?;
        self.submit(command, payload, None).await
    }

    /// [`Self::commit`] for threads that may block.
    pub fn commit_blocking(&self, command: Command) -> Result<Outcome, CommitError> {
        block_on(self.commit(command))
    }

    /// Makes a group with a fresh key. `command` is told the new group's id and gives the command of the system group
    /// that makes it known there: group and rows come into being together, or on refusal not at all.
    pub async fn create_group(
        &self,
        command: impl FnOnce(GroupId) -> Command + Send,
    ) -> Result<(GroupId, Outcome), CommitError> {
        self.check_open()?;
        let group = self.next_group()?;
        let engine = Arc::clone(&self.0.engine);
        let outcome =
            self.make_group(group, command(group), move || engine.keyring.fresh_key(group, 1)).await;
        Ok((group, outcome?))
    }

    /// Makes a group with the key that `fresh` gives; that may block.
    pub(crate) async fn make_group(
        &self,
        group: GroupId,
        mut command: Command,
        fresh: impl FnOnce() -> Result<FreshKey, RootKeyError> + Send + 'static,
    ) -> Result<Outcome, CommitError> {
        let making = Arc::clone(&self.0.engine.making).read_owned().await;
        let fresh = self.0.askers.run(fresh);
        let fresh = fresh.await.map_err(|_| self.0.entrance.gone())??;
        command.writes.push(Write::CreateGroup {
            group,
            at: self.0.clock.now_seconds(),
            wrapped_key: fresh.wrapped.encode(),
        });
        let payload = encode::encode(&command)?;
        // In memory before anyone can ask for it: whoever uses the new group need not wait for the provider.
        self.0.engine.keyring.remember(group, 1, fresh.key);
        let outcome = self.submit(command, payload, Some(making)).await;
        if !matches!(outcome, Ok(Outcome::Applied { .. })) {
            self.0.engine.keyring.forget(group);
        }
        outcome
    }

    async fn submit(
        &self,
        command: Command,
        payload: Vec<u8>,
        making: Option<Making>,
    ) -> Result<Outcome, CommitError> {
        let entrance = &self.0.entrance;
        entrance.check_open()?;
        self.0.engine.check_key(command.group)?;
        // First: who waits for a group's key takes nothing from those that have theirs.
        let mut group = self.acquire(command.group).await?;
        let mut permit = entrance.permit(&payload).await?;
        // Before the command is logged, which could not be applied.
        if group.check().is_err() {
            drop(permit);
            group = self.whole(group).await?;
            permit = entrance.permit(&payload).await?;
        }
        if command.group == GroupId::SYSTEM {
            self.check_space(&command, payload.len()).await?;
        }
        entrance.submit(command, payload, group, permit, making).await
    }

    /// Refuses, before it is logged, a command of the system group for which the keyring has no room or no space.
    async fn check_space(&self, command: &Command, bytes: usize) -> Result<(), CommitError> {
        self.0.engine.check_system()?;
        let Some(growth) = crate::groups::growth(command) else { return Ok(()) };
        let engine = Arc::clone(&self.0.engine);
        // Others were told that there is room, and their groups are not in the keyring yet.
        let growth = growth.times(engine.groups_being_made().max(1));
        let prepared = self.0.workers.run(move || engine.keyring.prepare(bytes, growth)).await;
        prepared.map_err(|_| self.0.entrance.gone())?
    }

    /// The open group; opened on a worker thread if it is not. A group that cannot be opened refuses its commands
    /// before they are logged.
    async fn acquire(&self, group: GroupId) -> Result<Arc<OpenGroup>, CommitError> {
        match self.0.engine.registry.acquire_open(group)? {
            Some(open) => Ok(open),
            None => {
                let engine = Arc::clone(&self.0.engine);
                let asks = !engine.registry.has_keys_in_memory(group);
                let threads = if asks { &self.0.askers } else { &self.0.workers };
                let opened = threads.run(move || engine.registry.acquire(group));
                Ok(opened.await.map_err(|_| self.0.entrance.gone())??)
            }
        }
    }

    /// A group whose pages failed after it was acquired, once it is whole again. Most likely somebody has its turn just now: what
    /// was in memory for lack of space is on its way to the disk.
    async fn whole(&self, group: Arc<OpenGroup>) -> Result<Arc<OpenGroup>, CommitError> {
        let engine = Arc::clone(&self.0.engine);
        let mended = self.0.workers.run(move || engine.registry.mend_if_worth(&group).map(|()| group));
        Ok(mended.await.map_err(|_| self.0.entrance.gone())??)
    }

    /// The rows of a group now. Cheap to make unless the group's page file has to be opened; blocks.
    pub fn read(&self, group: GroupId) -> Result<Reading, ReadError> {
        let registry = &self.0.engine.registry;
        let mut open = registry.acquire(group)?;
        // What was in memory for lack of space may be on its way to the disk since: who asks again waits for it.
        let db = open.db().or_else(|_| {
            open = registry.acquire(group)?;
            open.db()
        })?;
        let rows = db.read().map_err(|error| GroupError::Pages { group, error })?;
        Ok(Reading::new(rows, open))
    }

    /// Keeps a group's page file open if it is open now; never waits for the disk. While it is kept, [`Self::read`]
    /// opens nothing.
    pub fn keep_open(&self, group: GroupId) -> Option<KeptOpen> {
        self.0.engine.registry.acquire_open(group).ok().flatten().map(KeptOpen)
    }

    /// The groups that exist, in the order of their ids.
    pub fn groups(&self) -> Vec<GroupId> {
        self.0.engine.keyring.contents().groups.keys().copied().collect()
    }

    /// The group's active key, to seal with, and its id. Blocks if the key has to be unwrapped first.
    pub fn group_key(&self, group: GroupId) -> Result<(u32, GroupKey), ReadError> {
        let found = self.0.engine.keyring.key(group, None).map_err(|error| ReadError::key(group, error))?;
        if self.0.engine.uses.is_used_up(group, found.0) {
            return Err(ReadError::KeyUsedUp { group, key_id: found.0 });
        }
        Ok(found)
    }

    /// One of the group's keys, active or still readable.
    pub fn group_key_by_id(&self, group: GroupId, key_id: u32) -> Result<GroupKey, ReadError> {
        let found = self.0.engine.keyring.key(group, Some(key_id));
        found.map(|(_, key)| key).map_err(|error| ReadError::key(group, error))
    }

    /// How many times this store was opened, this time included. What is made in one epoch can be told from what an
    /// earlier one left behind.
    pub fn epoch(&self) -> u32 {
        self.0.epoch
    }

    /// What opening found.
    pub fn recovered(&self) -> Recovery {
        self.0.recovery
    }

    /// Makes all applied commands durable in their pages and gives back log that is no longer needed. Blocks.
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        self.0.checkpoint()
    }

    /// Takes no more commands, makes a checkpoint, marks the store clean and lets go of the directory. Other clones
    /// answer `Closed` from then on. Blocks.
    pub fn close(self) -> Result<(), StoreError> {
        self.0.close()
    }

    pub(crate) fn check_open(&self) -> Result<(), CommitError> {
        self.0.entrance.check_open()
    }

    pub(crate) fn next_group(&self) -> Result<GroupId, CommitError> {
        self.0.next_group()
    }

    /// Asks the key thread.
    pub(crate) async fn ask_keeper<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<T>) -> ToKeeper,
    ) -> Result<T, CommitError> {
        let (done, answer) = oneshot::channel();
        self.0.tell_keeper(question(done))?;
        answer.await.map_err(|_| self.0.entrance.gone())
    }

    /// Pins the log at a moment at which everything in it is applied. Blocks.
    pub(crate) fn pin_log(&self) -> Result<Pin, StoreError> {
        self.0.pin()
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    pub(crate) fn resealer(&self) -> &Resealer {
        &self.0.resealer
    }

    /// Runs something that blocks on a thread for that.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        self.0.workers.run(job)
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.0.engine
    }

    /// How the store is doing.
    pub fn status(&self) -> Status {
        let engine = &*self.0.engine;
        let figures = &engine.figures;
        Status {
            lsn: Lsn(figures.lsn.load(Ordering::Acquire)),
            durable: Lsn(figures.durable.load(Ordering::Acquire)),
            applied: Lsn(figures.applied.load(Ordering::Acquire)),
            groups: engine.keyring.contents().groups.len(),
            groups_open: engine.registry.open_count(),
            commits: figures.commits.load(Ordering::Relaxed),
            batches: figures.batches.load(Ordering::Relaxed),
            fsyncs: figures.fsyncs.load(Ordering::Relaxed),
            checkpoints: figures.checkpoints.load(Ordering::Relaxed),
            log_bytes: figures.log_bytes.load(Ordering::Acquire),
            groups_failed: engine.registry.failed(),
            groups_in_memory: engine.registry.in_memory(),
            poisoned: engine.poison.get(),
        }
    }
}

impl Handle {
    fn start(opened: Opened, options: &StoreOptions, recovery: Recovery) -> std::io::Result<Self> {
        let Opened { keyring, registry, poison, log, .. } = opened;
        let (epoch, next_group) = (keyring.contents().epoch, keyring.contents().next_group);
        let figures = Figures::default();
        let last = log.next_lsn().0 - 1;
        for place in [&figures.lsn, &figures.durable, &figures.applied] {
            place.store(last, Ordering::Release);
        }
        figures.log_bytes.store(log.bytes(), Ordering::Release);
        figures.log_first.store(log.first_segment().0, Ordering::Release);
        let engine = Arc::new(Engine {
            uses: Arc::clone(keyring.uses()),
            board: Board::new(&keyring.contents(), Arc::clone(&options.clock)),
            keyring,
            registry,
            poison,
            figures,
            closed: false.into(),
            system_waits: false.into(),
            next_group: AtomicU32::new(next_group),
            checkpoint_bytes: options.checkpoint_bytes,
            making: Arc::default(),
            issued: Default::default(),
        });
        let (to_log, requests) = mpsc::channel();
        let (to_apply, batches) = mpsc::channel();
        let (to_checkpoint, orders) = mpsc::channel();
        let (to_keeper, questions) = mpsc::channel();
        let entrance = Entrance::new(Arc::clone(&engine), to_log.clone());
        let applier = Arc::new(SharedApplier::new(Applier {
            engine: Arc::clone(&engine),
            logger: to_log.clone(),
            keeper: to_keeper.clone(),
            held: Default::default(),
            waiting: None,
        }));
        let logger = Logger {
            engine: Arc::clone(&engine),
            since_checkpoint: log.bytes(),
            crowded: false,
            log,
            requests,
            applier: to_apply.clone(),
            shared: Arc::clone(&applier),
            sent: 0,
            carried: None,
            checkpointer: to_checkpoint.clone(),
        };
        let checkpointer = Checkpointer {
            engine: Arc::clone(&engine),
            messages: orders,
            logger: to_log.clone(),
            applier: to_apply.clone(),
            keeper: to_keeper.clone(),
            last: None,
            roots_moved: 0,
            cuts: Vec::new(),
        };
        engine.uses.connect(&engine.keyring, to_keeper.clone());
        let keeper = Keeper {
            engine: Arc::clone(&engine),
            entrance: entrance.clone(),
            logger: to_log.clone(),
            checkpointer: to_checkpoint.clone(),
            clock: Arc::clone(&options.clock),
            messages: questions,
            #[cfg(test)]
            waits: if options.keys_wait { Waits::ForNothing } else { Waits::No }.into(),
        };
        let resealer = Resealer {
            engine: Arc::clone(&engine),
            logger: to_log.clone(),
            checkpointer: to_checkpoint.clone(),
            workers: options.reseal_workers,
        };
        let threads = Threads {
            resealers: resealer.start()?,
            keeper: (to_keeper, spawn("store-keys", move || keeper.run())?),
            applier: (
                to_apply,
                spawn("store-apply", move || ApplyThread { messages: batches, applier }.run())?,
            ),
            logger: (to_log, spawn("store-log", move || logger.run())?),
            checkpointer: (to_checkpoint, spawn("store-checkpoint", move || checkpointer.run())?),
        };
        Ok(Self {
            engine,
            recovery,
            epoch,
            clock: Arc::clone(&options.clock),
            entrance,
            resealer,
            workers: Workers::start("store-work", DISK_THREADS)?,
            askers: Workers::start("store-ask", PROVIDER_THREADS)?,
            threads: Mutex::new(Some(threads)),
        })
    }

    fn next_group(&self) -> Result<GroupId, CommitError> {
        let next = &self.engine.next_group;
        let taken = next.fetch_update(Ordering::AcqRel, Ordering::Acquire, |next| next.checked_add(1));
        taken.map(GroupId).map_err(|_| CommitError::GroupsExhausted)
    }

    fn tell_keeper(&self, message: ToKeeper) -> Result<(), CommitError> {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let keeper = &threads.as_ref().ok_or(CommitError::Closed)?.keeper.0;
        keeper.send(message).map_err(|_| self.entrance.gone())
    }

    fn checkpoint(&self) -> Result<(), StoreError> {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let checkpointer = threads.as_ref().ok_or(StoreError::Closed)?.checkpointer.0.clone();
        drop(threads);
        let (done, answer) = mpsc::channel();
        checkpointer.send(ToCheckpoint::Now(done)).map_err(|_| StoreError::Closed)?;
        answer.recv().map_err(|_| StoreError::Closed)?
    }

    fn pin(&self) -> Result<Pin, StoreError> {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let checkpointer = threads.as_ref().ok_or(StoreError::Closed)?.checkpointer.0.clone();
        drop(threads);
        let (done, answer) = mpsc::channel();
        checkpointer.send(ToCheckpoint::Pin(done)).map_err(|_| StoreError::Closed)?;
        answer.recv().map_err(|_| StoreError::Closed)?
    }

    fn close(&self) -> Result<(), StoreError> {
        self.engine.closed.store(true, Ordering::Release);
        self.engine.board.stop();
        let checkpointed = self.checkpoint();
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        let threads = threads.ok_or(StoreError::Closed)?;
        let clean = checkpointed.is_ok();
        let marked = threads.end(clean);
        if clean {
            self.engine.registry.close(|| {
                // The counts that are there, with a reserve, are right as well.
                if marked.is_ok()
                    && let Err(error) = self.engine.keyring.settle()
                {
                    tracing::warn!(%error, "the keyring could not be told how often its keys sealed");
                }
            })
        } else {
            self.engine.registry.abandon()
        }
        checkpointed.and(marked)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.engine.closed.store(true, Ordering::Release);
        self.engine.board.stop();
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(threads) = threads {
            let _ = threads.end(false);
            self.engine.registry.abandon();
        }
    }
}

impl Threads {
    /// Ends the threads in the order in which they need each other, marking the log clean if asked to.
    fn end(self, clean: bool) -> Result<(), StoreError> {
        let Self { resealers, keeper, checkpointer, logger, applier } = self;
        for resealer in resealers {
            // One of them may itself be the last that holds the store, in the hands of a user of keys.
            if resealer.thread().id() != thread::current().id() {
                let _ = resealer.join();
            }
        }
        let _ = keeper.0.send(ToKeeper::Stop);
        let _ = keeper.1.join();
        let _ = checkpointer.0.send(ToCheckpoint::Stop);
        let _ = checkpointer.1.join();
        let (done, answer) = mpsc::channel();
        let _ = logger.0.send(if clean { ToLog::Close { done } } else { ToLog::Stop });
        let _ = logger.1.join();
        let marked = if clean { answer.recv().map_err(|_| StoreError::Closed) } else { Ok(Ok(())) };
        let _ = applier.0.send(ToApply::Stop);
        let _ = applier.1.join();
        marked?.map_err(|error| StoreError::from(&error))
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// Waits for a future on a thread that may block, inside or outside a runtime.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(answer) => return answer,
            std::task::Poll::Pending => thread::park(),
        }
    }
}
