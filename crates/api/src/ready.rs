//! Whether the server can do its work, found out by trying.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{gauge, histogram};
use strongroom_kms::Provider;
use strongroom_telemetry::names;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A check that takes longer has failed.
const CHECK_TIME_MAX: Duration = Duration::from_secs(2);
/// How long a success is good for: asking more often costs the server nothing.
const SUCCESS_AGE_MAX: Duration = Duration::from_secs(5);
/// How long a failure is good for: short, so that recovery shows soon.
const FAILURE_AGE_MAX: Duration = Duration::from_secs(1);

type Outcome = Result<(), CheckError>;
type Probe = dyn Fn() -> Pin<Box<dyn Future<Output = Outcome> + Send>> + Send + Sync;

/// Why a part of the server is not ready.
#[derive(Debug, Clone)]
pub struct CheckError {
    /// One word that anybody may see: `unavailable`, `poisoned`.
    pub code: &'static str,
    /// The whole error, for the log alone.
    pub source: Arc<dyn Error + Send + Sync>,
}

impl CheckError {
    /// An error of this kind.
    pub fn new(code: &'static str, source: impl Error + Send + Sync + 'static) -> Self {
        Self { code, source: Arc::new(source) }
    }
}

#[derive(Debug)]
struct TooSlow;

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no answer within {} seconds", CHECK_TIME_MAX.as_secs())
    }
}

impl Error for TooSlow {}

/// One part of the server and how to try it. At most one try runs at a time, and its result serves everybody who
/// asks within the next seconds, so that asking is no way to load the server.
pub struct Check {
    name: &'static str,
    probe: Box<Probe>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last: Option<(Instant, Outcome)>,
    /// A try that did not end in time. No other is started until it ends.
    running: Option<JoinHandle<Outcome>>,
}

impl Check {
    /// A check called `name` that runs `probe`.
    pub fn new<F>(name: &'static str, probe: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        Self { name, probe: Box::new(move || Box::pin(probe())), state: Mutex::default() }
    }

    /// A check called `kms` that wraps and unwraps.
    pub fn kms(provider: Arc<dyn Provider>) -> Self {
        Self::new("kms", move || {
            let provider = Arc::clone(&provider);
            async move { provider.probe().await.map(drop).map_err(|error| CheckError::new(error.kind(), error)) }
        })
    }

    /// The name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The result of a try that is recent enough, or of a new one.
    pub(crate) async fn outcome(&self) -> Outcome {
        let mut state = self.state.lock().await;
        if let Some((at, outcome)) = &state.last {
            let age_max = if outcome.is_ok() { SUCCESS_AGE_MAX } else { FAILURE_AGE_MAX };
            if at.elapsed() < age_max {
                return outcome.clone();
            }
        }
        let outcome = self.attempt(&mut state.running).await;
        let was_ready = state.last.as_ref().is_none_or(|(_, last)| last.is_ok());
        match &outcome {
            Ok(()) if !was_ready => tracing::info!(check = self.name, "ready again"),
            Err(error) if was_ready => {
                tracing::warn!(check = self.name, code = error.code, error = %error.source, "not ready");
            }
            _ => {}
        }
        gauge!(names::READY, "check" => self.name).set(if outcome.is_ok() { 1.0 } else { 0.0 });
        state.last = Some((Instant::now(), outcome.clone()));
        outcome
    }

    async fn attempt(&self, running: &mut Option<JoinHandle<Outcome>>) -> Outcome {
        let started = Instant::now();
        // A task of its own: a client that goes away must not cancel the try half-way.
        let task = running.get_or_insert_with(|| tokio::spawn((self.probe)()));
        let ended = timeout(CHECK_TIME_MAX, &mut *task).await;
        histogram!(names::READY_PROBE_SECONDS, "check" => self.name).record(started.elapsed().as_secs_f64());
        let Ok(joined) = ended else { return Err(CheckError::new("timeout", TooSlow)) };
        *running = None;
        joined.unwrap_or_else(|error| Err(CheckError::new("defect", error)))
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// A check that counts its tries and answers what `answer` says.
    fn counted(answer: impl Fn(u32) -> Outcome + Send + Sync + 'static) -> (Arc<Check>, Arc<AtomicU32>) {
        let tries = Arc::new(AtomicU32::new(0));
        let (count, answer) = (Arc::clone(&tries), Arc::new(answer));
        let check = Check::new("part", move || {
            let outcome = answer(count.fetch_add(1, Ordering::SeqCst));
            async move {
                tokio::task::yield_now().await;
                outcome
            }
        });
        (Arc::new(check), tries)
    }

    fn failed() -> CheckError {
        CheckError::new("broken", io::Error::other("secret detail"))
    }

    #[tokio::test]
    async fn many_who_ask_at_once_cause_one_try() {
        let (check, tries) = counted(|_| Ok(()));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let check = Arc::clone(&check);
            tasks.spawn(async move { check.outcome().await });
        }
        while let Some(outcome) = tasks.join_next().await {
            assert!(outcome.unwrap().is_ok());
        }
        assert_eq!(tries.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn failure_is_tried_again_sooner_than_success() {
        let (check, tries) = counted(|nth| if nth == 0 { Err(failed()) } else { Ok(()) });
        assert_eq!(check.outcome().await.unwrap_err().code, "broken");
        assert!(check.outcome().await.is_err(), "a failure is good for a moment");
        age(&check, FAILURE_AGE_MAX).await;
        assert!(check.outcome().await.is_ok());
        age(&check, FAILURE_AGE_MAX).await;
        assert!(check.outcome().await.is_ok());
        assert_eq!(tries.load(Ordering::SeqCst), 2);
        age(&check, SUCCESS_AGE_MAX).await;
        assert!(check.outcome().await.is_ok());
        assert_eq!(tries.load(Ordering::SeqCst), 3);
    }

    /// Makes the last result older.
    async fn age(check: &Check, by: Duration) {
        let mut state = check.state.lock().await;
        let (at, _) = state.last.as_mut().unwrap();
        *at = at.checked_sub(by).unwrap();
    }

    #[tokio::test]
    async fn try_that_panics_is_a_failure_of_that_part() {
        let check = Check::new("part", || async { panic!("a defect") });
        assert_eq!(check.outcome().await.unwrap_err().code, "defect");
    }
}
