//! Tells webhooks what happened (`docs/spec/events.md`).
//!
//! ```text
//! objects: rows of events ── sender of a target ── schedule ── target ── POST
//!                  ▲                                              │
//!                  └────────────── removed when answered ─────────┘
//! ```

mod message;
mod schedule;
mod sender;
mod stream;
mod target;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use strongroom_objects::SystemClock;
use strongroom_objects::events::AuditStream;
use strongroom_seal::OsRandom;
use tokio::task::JoinSet;

use crate::config::{Streams, Webhook};
pub(crate) use message::time;
use sender::Sender;
pub(crate) use sender::TargetStatus;
use stream::Teller;
pub(crate) use stream::{Act, Acts, ActsError};
use target::Target;
pub(crate) use target::TargetError;

/// How often it is looked whether events wait for targets that nobody configured.
const ABSENT_LOOK: Duration = Duration::from_secs(60);
/// How long those wait.
const ABSENT_AGE_MAX: Duration = Duration::from_secs(24 * 3600);

/// All senders.
pub(crate) struct Events {
    webhooks: Vec<Prepared>,
    acts: Acts,
    region: Arc<str>,
    view: EventsView,
}

/// A webhook that can be asked.
struct Prepared {
    id: String,
    age_max: Duration,
    streams: Streams,
    target: Arc<Target>,
}

/// What can be seen of the senders while they run.
#[derive(Debug, Clone)]
pub(crate) struct EventsView {
    pub(crate) acts: Acts,
    targets: Arc<Mutex<BTreeMap<String, Arc<Mutex<TargetStatus>>>>>,
}

/// A target as operators see it.
#[derive(Debug, Clone)]
pub(crate) struct TargetReport {
    pub(crate) id: String,
    pub(crate) pending: u64,
    pub(crate) status: TargetStatus,
}

impl EventsView {
    fn targets(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Mutex<TargetStatus>>>> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All targets, by id.
    pub(crate) fn report(&self) -> Vec<TargetReport> {
        let counts = self.acts.objects.event_counts();
        let targets = self.targets();
        let report = targets.iter().map(|(id, status)| TargetReport {
            id: id.clone(),
            pending: counts.get(id).copied().unwrap_or(0),
            status: status.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        });
        report.collect()
    }
}

impl Events {
    pub(crate) fn new(
        webhooks: Vec<Webhook>,
        acts: Acts,
        region: &str,
    ) -> Result<(Self, EventsView), TargetError> {
        let view = EventsView { acts: acts.clone(), targets: Arc::default() };
        let prepared = webhooks.into_iter().map(|webhook| {
            let (id, age_max, streams) = (webhook.id.clone(), webhook.retry_max_age, webhook.streams);
            Ok(Prepared { id, age_max, streams, target: Arc::new(Target::of(webhook)?) })
        });
        let webhooks = prepared.collect::<Result<_, TargetError>>()?;
        Ok((Self { webhooks, acts, region: region.into(), view: view.clone() }, view))
    }

    /// Sends until `stop`. What is under way then is sent again after the next start.
    pub(crate) async fn run(mut self, stop: impl Future<Output = ()>) {
        let mut senders = JoinSet::new();
        for webhook in std::mem::take(&mut self.webhooks) {
            for stream in [AuditStream::Trail, AuditStream::Identities] {
                if let Some(teller) = self.teller(&webhook, stream) {
                    senders.spawn(teller.run());
                }
            }
            let Prepared { id, age_max, target, .. } = webhook;
            senders.spawn(self.sender(id, age_max, target).run());
        }
        tokio::pin!(stop);
        loop {
            self.mind_absent(&mut senders).await;
            tokio::select! {
                () = &mut stop => break,
                () = tokio::time::sleep(ABSENT_LOOK) => {}
            }
        }
        senders.shutdown().await;
    }

    /// Events for targets that the configuration does not name wait, and go when they are too old.
    async fn mind_absent(&self, senders: &mut JoinSet<()>) {
        let queues = match self.acts.objects.event_queues().await {
            Ok(queues) => queues,
            Err(error) => return tracing::warn!(%error, "events cannot be looked for"),
        };
        for queue in queues {
            if !self.view.targets().contains_key(&queue.target) {
                tracing::warn!(
                    target_id = queue.target,
                    "events wait for a webhook that is not in the configuration"
                );
                let sender = self.sender(queue.target, ABSENT_AGE_MAX, Arc::new(Target::Absent));
                senders.spawn(sender.run());
            }
        }
    }

    fn teller(&self, webhook: &Prepared, stream: AuditStream) -> Option<Teller> {
        let Streams { iam, buckets, keys } = webhook.streams;
        let meant = match stream {
            AuditStream::Trail => buckets || keys,
            AuditStream::Identities => iam,
        };
        meant.then(|| Teller {
            id: webhook.id.clone(),
            target: Arc::clone(&webhook.target),
            stream,
            streams: webhook.streams,
            acts: self.acts.clone(),
            age_max: webhook.age_max,
            clock: Arc::new(SystemClock),
            random: Arc::new(OsRandom),
            pause_ms: schedule::pause_ms,
        })
    }

    fn sender(&self, id: String, age_max: Duration, target: Arc<Target>) -> Sender {
        let status = Arc::<Mutex<TargetStatus>>::default();
        self.view.targets().insert(id.clone(), Arc::clone(&status));
        Sender {
            id,
            target,
            objects: self.acts.objects.clone(),
            region: Arc::clone(&self.region),
            age_max,
            clock: Arc::new(SystemClock),
            random: Arc::new(OsRandom),
            status,
        }
    }
}
