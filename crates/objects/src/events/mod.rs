//! Events: what happened to objects, told to who asked for it (`docs/spec/events.md`).

mod rules;

pub use rules::{
    EventFamily, EventKind, EventType, NOTIFICATION_RULES_MAX, NotificationConfig, NotificationRule,
    RULE_FILTER_LEN_MAX, RULE_ID_LEN_MAX, RuleError, TARGET_ID_LEN_MAX, TargetArn, is_target_id,
};
