//! `GET /audit` and `GET /events`.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::routes::{Answer, Parameters};
use super::{AdminDeps, AdminError, Fault};

/// A page of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditPage {
    /// The acts, oldest first.
    pub acts: Vec<AuditAct>,
    /// Where the next page begins.
    pub next: AuditPlace,
}

/// Something that was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditAct {
    /// When: `2026-01-02T03:04:05.678Z`.
    pub at: String,
    /// What: `BucketCreated`, `PolicyAttached`.
    pub name: String,
    /// By whom; empty if nobody is known.
    pub by: String,
    /// To what.
    pub subject: String,
    /// What of it, or what else it was about.
    pub detail: String,
}

/// How far a reader of the audit trail is: in the trail of buckets and keys, and in the changes of identities. As text
/// `12-7`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AuditPlace {
    /// The last entry of the trail that was read.
    pub trail: u64,
    /// The last change of identities that was read.
    pub identities: u64,
}

impl From<AuditPlace> for String {
    fn from(place: AuditPlace) -> Self {
        format!("{}-{}", place.trail, place.identities)
    }
}

impl TryFrom<String> for AuditPlace {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let numbers = text.split_once('-').and_then(|(trail, identities)| {
            Some(Self { trail: trail.parse().ok()?, identities: identities.parse().ok()? })
        });
        numbers.ok_or("not a place in the audit trail")
    }
}

/// Who is told of events, and how far that is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsReport {
    /// The targets, by id.
    pub targets: Vec<EventTarget>,
}

/// A target of events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventTarget {
    /// Its id.
    pub id: String,
    /// Events of objects that wait for it.
    pub pending: u64,
    /// How old the oldest of them is.
    pub oldest_seconds: Option<u64>,
    /// Attempts in a row that found it in trouble.
    pub failures: u32,
    /// How long ago the last attempt ended.
    pub last_attempt_seconds: Option<u64>,
    /// What it gave.
    pub last_answer: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct After {
    after: Option<String>,
}

pub(super) async fn get(
    State(deps): State<AdminDeps>,
    Parameters(After { after }): Parameters<After>,
) -> Answer<AuditPage> {
    let place = after.map(AuditPlace::try_from).transpose();
    let place = place.map_err(|problem| AdminError::new(Fault::Request, "MalformedQuery", problem))?;
    Ok(Json(deps.admin.audit(place.unwrap_or_default()).await?))
}

pub(super) async fn events(State(deps): State<AdminDeps>) -> Answer<EventsReport> {
    Ok(Json(deps.admin.events().await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back_and_nothing_else_does() {
        let place = AuditPlace { trail: 12, identities: 7 };
        assert_eq!(String::from(place), "12-7");
        assert_eq!(AuditPlace::try_from("12-7".to_owned()), Ok(place));
        for bad in ["", "12", "-", "12-", "a-b", "1-2-3"] {
            assert!(AuditPlace::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
