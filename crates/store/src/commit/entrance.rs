//! Where commands come in.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::time::Instant;

use metrics::histogram;
use strongroom_telemetry::names;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{Answer, Making, Request, ToLog};
use crate::engine::Engine;
use crate::registry::OpenGroup;
use crate::{COMMAND_LEN_MAX, Cause, Command, CommitError, Outcome};

/// Commands on their way, all together: the memory that waiting writers may take.
const UNDER_WAY_BYTES: usize = 64 << 20;
/// Bytes are counted in units of this many.
const PERMIT_BYTES: usize = 1 << 10;
const _: () = assert!(COMMAND_LEN_MAX < UNDER_WAY_BYTES, "every command gets its turn");

/// Lets commands in, a bounded number of bytes at a time. Clones share the bound.
#[derive(Debug, Clone)]
pub(crate) struct Entrance {
    pub(crate) engine: Arc<Engine>,
    logger: Sender<ToLog>,
    under_way: Arc<Semaphore>,
}

impl Entrance {
    pub(crate) fn new(engine: Arc<Engine>, logger: Sender<ToLog>) -> Self {
        Self { engine, logger, under_way: Arc::new(Semaphore::new(UNDER_WAY_BYTES / PERMIT_BYTES)) }
    }

    /// A command that is encoded and not let in yet.
    pub(crate) async fn permit(&self, payload: &[u8]) -> Result<OwnedSemaphorePermit, CommitError> {
        let permits = u32::try_from(payload.len() / PERMIT_BYTES + 1).expect("a command is at most 8 MiB");
        let permit = Arc::clone(&self.under_way).acquire_many_owned(permits).await;
        permit.map_err(|_| CommitError::Closed)
    }

    /// On to the log thread; the answer is that of the apply thread.
    pub(crate) async fn submit(
        &self,
        command: Command,
        payload: Vec<u8>,
        group: Arc<OpenGroup>,
        permit: OwnedSemaphorePermit,
        making: Option<Making>,
    ) -> Result<Outcome, CommitError> {
        let began = Instant::now();
        let (answer, answered) = oneshot::channel::<Answer>();
        let request = Request { command, payload, group, answer, permit, making };
        self.logger.send(ToLog::Commit(request)).map_err(|_| self.gone())?;
        let outcome = answered.await.map_err(|_| self.gone())?;
        histogram!(names::COMMIT_SECONDS).record(began.elapsed().as_secs_f64());
        outcome
    }

    pub(crate) fn check_open(&self) -> Result<(), CommitError> {
        if self.engine.closed.load(Ordering::Acquire) {
            return Err(CommitError::Closed);
        }
        match self.engine.poison.get() {
            Some(cause) => Err(CommitError::Poisoned { cause }),
            None => Ok(()),
        }
    }

    /// Whoever should have answered is not there any more.
    pub(crate) fn gone(&self) -> CommitError {
        if self.engine.closed.load(Ordering::Acquire) {
            return CommitError::Closed;
        }
        CommitError::Poisoned { cause: self.engine.poison.set(Cause::Thread { thread: "commit" }) }
    }
}
