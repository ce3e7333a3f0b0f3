//! Tells a webhook of administration, one act after the other (`docs/spec/events.md` §8).

use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use strongroom_iam::Iam;
use strongroom_objects::events::{AuditKind, AuditStream};
use strongroom_objects::{Clock, Objects, Timestamp};
use strongroom_seal::Random;
use strongroom_telemetry::names;

use super::message::{self, Administration};
use super::schedule::Attempt;
use super::target::Target;
use crate::config::Streams;

/// Acts read at a time.
const BATCH: usize = 64;
/// How often it is looked whether there is something new that nobody told of.
const LOOK: Duration = Duration::from_secs(30);
/// How long to wait when the store itself does not do what is asked.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// How often an act is refused before the next one is told instead. With the pauses in between that is some minutes.
const REFUSALS_MAX: u32 = 10;

/// Something that an administrator did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Act {
    pub(crate) source: &'static str,
    pub(crate) seq: u64,
    pub(crate) at: Timestamp,
    pub(crate) name: &'static str,
    pub(crate) by: String,
    pub(crate) subject: String,
    pub(crate) detail: String,
    /// Which of a webhook's `events` means it.
    topic: Topic,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Topic {
    Identities,
    Buckets,
    Keys,
}

impl Act {
    fn is_meant(&self, streams: Streams) -> bool {
        match self.topic {
            Topic::Identities => streams.iam,
            Topic::Buckets => streams.buckets,
            Topic::Keys => streams.keys,
        }
    }
}

/// Where acts are read.
#[derive(Debug, Clone)]
pub(crate) struct Acts {
    pub(crate) objects: Objects,
    pub(crate) iam: Iam,
}

impl Acts {
    /// The acts of a stream after `seq`, oldest first.
    pub(crate) async fn after(
        &self,
        stream: AuditStream,
        seq: u64,
        max: usize,
    ) -> Result<Vec<Act>, ActsError> {
        match stream {
            AuditStream::Trail => {
                let entries = self.objects.audit_after(seq, max).await?;
                Ok(entries.into_iter().map(of_trail).collect())
            }
            AuditStream::Identities => {
                let iam = self.iam.clone();
                let changes = tokio::task::spawn_blocking(move || iam.changes_after(seq, max));
                let changes = changes.await.map_err(|_| ActsError::Stopping)??;
                Ok(changes.into_iter().map(of_identities).collect())
            }
        }
    }

    /// The number of the newest act.
    async fn newest(&self, stream: AuditStream) -> Result<u64, ActsError> {
        match stream {
            AuditStream::Trail => Ok(self.objects.audit_newest().await?),
            AuditStream::Identities => Ok(self.iam.last_change()),
        }
    }
}

/// Why acts cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ActsError {
    #[error(transparent)]
    Objects(#[from] strongroom_objects::ObjectError),
    #[error(transparent)]
    Iam(#[from] strongroom_iam::IamError),
    #[error("the server is stopping")]
    Stopping,
}

fn of_trail(entry: strongroom_objects::events::AuditEntry) -> Act {
    let topic = match entry.kind {
        AuditKind::GroupKeyRotated | AuditKind::RootKeyChanged => Topic::Keys,
        _ => Topic::Buckets,
    };
    Act {
        source: "strongroom:audit",
        seq: entry.seq,
        at: entry.at,
        name: entry.kind.name(),
        by: entry.by,
        subject: entry.subject,
        detail: entry.detail,
        topic,
    }
}

fn of_identities(change: strongroom_iam::Change) -> Act {
    Act {
        source: "strongroom:iam",
        seq: change.seq,
        at: Timestamp(change.at.saturating_mul(1000)),
        name: change.kind.as_str(),
        by: change.by,
        subject: change.subject,
        detail: change.target.unwrap_or_default(),
        topic: Topic::Identities,
    }
}

/// Tells one webhook of one stream until it is dropped.
pub(super) struct Teller {
    pub(super) id: String,
    pub(super) target: Arc<Target>,
    pub(super) stream: AuditStream,
    pub(super) streams: Streams,
    pub(super) acts: Acts,
    pub(super) age_max: Duration,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    /// Milliseconds to wait after so many failures in a row: [`pause_ms`](super::schedule::pause_ms), or less in tests.
    pub(super) pause_ms: fn(u32, u32) -> u64,
}

impl Teller {
    pub(super) async fn run(self) {
        let mut added = self.acts.objects.audit_added();
        let mut told = self.begin().await;
        loop {
            added.mark_unchanged();
            let acts = match self.acts.after(self.stream, told, BATCH).await {
                Ok(acts) => acts,
                Err(error) => {
                    tracing::warn!(target_id = self.id, %error, "the audit trail cannot be read");
                    tokio::time::sleep(STORE_PAUSE).await;
                    continue;
                }
            };
            if acts.is_empty() {
                self.wait(told, &mut added).await;
                continue;
            }
            for act in acts {
                if act.seq > told + 1 {
                    let lost = act.seq - told - 1;
                    counter!(names::EVENTS_DROPPED, "reason" => "full").increment(lost);
                    tracing::warn!(
                        target_id = self.id,
                        lost,
                        "the audit trail went on before a webhook took it"
                    );
                }
                told = act.seq;
                if act.is_meant(self.streams) {
                    self.tell(&act).await;
                    self.keep(told).await;
                }
            }
            // Acts that nobody is told of are read again after a start, which does no harm.
        }
    }

    /// Where to go on: after what was told last, or at the end for a webhook that is new.
    async fn begin(&self) -> u64 {
        loop {
            let found = async {
                if let Some(told) = self.acts.objects.told_up_to(self.stream, &self.id).await? {
                    return Ok::<_, ActsError>(told);
                }
                let newest = self.acts.newest(self.stream).await?;
                self.acts.objects.set_told_up_to(self.stream, &self.id, newest).await?;
                Ok(newest)
            };
            match found.await {
                Ok(told) => return told,
                Err(error) => {
                    tracing::warn!(target_id = self.id, %error, "the audit trail cannot be read");
                    tokio::time::sleep(STORE_PAUSE).await;
                }
            }
        }
    }

    async fn wait(&self, told: u64, added: &mut tokio::sync::watch::Receiver<()>) {
        match self.stream {
            AuditStream::Trail => {
                // Neither a sender that is gone nor the time is more than a reason to look.
                let _ = tokio::time::timeout(LOOK, added.changed()).await;
            }
            AuditStream::Identities => self.acts.iam.wait_changes(told, LOOK).await,
        }
    }

    /// Tries until the webhook has it, or refused it too often, or it is too old. Acts are told in order, so one that a webhook does
    /// not want would keep all others from it; in the trail it stays.
    async fn tell(&self, act: &Act) {
        let body = message::of_administration(&Administration {
            source: act.source,
            at: act.at,
            name: act.name,
            by: &act.by,
            subject: &act.subject,
            detail: &act.detail,
            seq: act.seq,
        });
        let (mut failures, mut refusals) = (0_u32, 0_u32);
        loop {
            let (attempt, words) = self.target.send(body.clone()).await;
            let target = self.id.clone();
            let reason = match attempt {
                Attempt::Delivered => {
                    counter!(names::EVENTS_DELIVERED, "target" => target).increment(1);
                    return;
                }
                Attempt::Trouble => "trouble",
                Attempt::Unwanted => "unwanted",
            };
            counter!(names::EVENTS_FAILED, "target" => target, "reason" => reason).increment(1);
            if failures == 0 {
                tracing::warn!(
                    target_id = self.id,
                    answer = words,
                    "a webhook does not take the audit trail; it waits"
                );
            }
            refusals += u32::from(attempt == Attempt::Unwanted);
            if refusals >= REFUSALS_MAX {
                counter!(names::EVENTS_DROPPED, "reason" => "unwanted").increment(1);
                tracing::warn!(
                    target_id = self.id,
                    name = act.name,
                    seq = act.seq,
                    answer = words,
                    "a webhook refuses an act again and again; it is told the next one"
                );
                return;
            }
            let age_ms = self.clock.now().0.saturating_sub(act.at.0);
            if u128::from(age_ms) > self.age_max.as_millis() {
                counter!(names::EVENTS_DROPPED, "reason" => "age").increment(1);
                tracing::warn!(target_id = self.id, name = act.name, "an act is too old to be told");
                return;
            }
            failures = failures.saturating_add(1);
            let mut draw = [0; 4];
            self.random.fill(&mut draw);
            tokio::time::sleep(Duration::from_millis((self.pause_ms)(failures, u32::from_le_bytes(draw))))
                .await;
        }
    }

    /// Keeps how far the webhook was told. If that fails, it is told again after a start.
    async fn keep(&self, told: u64) {
        if let Err(error) = self.acts.objects.set_told_up_to(self.stream, &self.id, told).await {
            tracing::warn!(target_id = self.id, %error, "how far a webhook was told cannot be kept");
        }
    }
}
