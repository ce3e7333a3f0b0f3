//! Events: what happened to objects, told to who asked for it (`docs/spec/events.md`).
//!
//! The command that changes an object also writes the row of its event, into the queue of the target that a rule of the
//! bucket names. Who sends them reads the queues and removes what was delivered.

mod audit;
mod origin;
mod outbox;
mod row;
mod rules;

pub use audit::{AUDIT_ENTRIES_MAX, AuditEntry, AuditKind, AuditStream};
pub use origin::{Cause, Origin, scope};
pub use outbox::{EVENT_QUEUE_MAX, EventEnd, EventQueue, PendingEvent};
pub use row::{Event, EventKey};
pub use rules::{
    EventFamily, EventKind, EventType, NOTIFICATION_RULES_MAX, NotificationConfig, NotificationRule,
    RULE_FILTER_LEN_MAX, RULE_ID_LEN_MAX, RuleError, TARGET_ID_LEN_MAX, TargetArn, is_target_id,
};

pub(crate) use audit::{Audit, check_row as check_audit_row};
#[cfg(feature = "fuzzing")]
pub(crate) use audit::{decode_told, encode_told, entry_key, seq_of_key};
pub(crate) use origin::{current, inherited};
pub(crate) use outbox::{Happened, Outbox, What};
#[cfg(feature = "fuzzing")]
pub(crate) use row::event_key;
pub(crate) use row::event_of_key;
