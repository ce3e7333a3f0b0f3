//! The audit trail and the senders of events, as an administrator sees them.

use strongroom_api::admin::{AdminError, AuditAct, AuditPage, AuditPlace, EventTarget, EventsReport, Fault};
use strongroom_objects::events::AuditStream;
use strongroom_objects::{Clock, SystemClock, Timestamp};

use crate::events::{Act, ActsError, EventsView, time};

/// Acts of each stream in one page.
const PAGE: usize = 500;

/// What was done after `after`, of both streams, by time.
pub(super) async fn page(events: &EventsView, after: AuditPlace) -> Result<AuditPage, AdminError> {
    let trail = events.acts.after(AuditStream::Trail, after.trail, PAGE).await.map_err(failed)?;
    let identities =
        events.acts.after(AuditStream::Identities, after.identities, PAGE).await.map_err(failed)?;
    let next = AuditPlace {
        trail: trail.last().map_or(after.trail, |act| act.seq),
        identities: identities.last().map_or(after.identities, |act| act.seq),
    };
    let mut acts: Vec<Act> = trail.into_iter().chain(identities).collect();
    // Stable, so that each stream keeps its order if the clock was set back by less than a page.
    acts.sort_by_key(|act| act.at);
    Ok(AuditPage { acts: acts.into_iter().map(shown).collect(), next })
}

fn shown(act: Act) -> AuditAct {
    let Act { at, name, by, subject, detail, .. } = act;
    AuditAct { at: time(at), name: name.to_owned(), by, subject, detail }
}

/// Who is told of events, and how far that is.
pub(super) fn events(events: &EventsView) -> EventsReport {
    let now = SystemClock.now();
    let ago = |at: Timestamp| now.0.saturating_sub(at.0) / 1000;
    let targets = events.report().into_iter().map(|target| EventTarget {
        id: target.id,
        pending: target.pending,
        oldest_seconds: target.status.oldest.map(ago),
        failures: target.status.failures,
        last_attempt_seconds: target.status.last.as_ref().map(|(at, _)| ago(*at)),
        last_answer: target.status.last.map(|(_, words)| words),
    });
    EventsReport { targets: targets.collect() }
}

fn failed(error: ActsError) -> AdminError {
    let (fault, code) = match &error {
        ActsError::Stopping => (Fault::Unavailable, "Stopping"),
        _ => (Fault::Store, "Store"),
    };
    AdminError::new(fault, code, error.to_string())
}
