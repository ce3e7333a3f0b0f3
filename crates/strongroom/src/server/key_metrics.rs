//! `/metrics/keys`: each key of each group, read from the keyring when somebody asks.
//!
//! They are not among the series of `/metrics`, since there are as many as keys, which a scrape of everything need not pay for.
//! A bucket goes by its group's number: its name is for those who may list keys (`strongroom admin keys groups`).

use std::fmt::Write as _;
use std::sync::Arc;

use strongroom_store::{KeyReport, KeyState, KeyringReport, Store};

/// A series: name, one sentence for the operator, and its value for a key.
type Series = (&'static str, &'static str, fn(&KeyReport) -> u64);

/// All are gauges: after a restart an upper bound may be replaced by a lower one.
const SERIES: [Series; 4] = [
    ("strongroom_key_created_timestamp_seconds", "When the key was made, in seconds since 1970.", |key| {
        key.created_at
    }),
    ("strongroom_key_seals", "How often the key sealed, as an upper bound.", |key| key.seals),
    ("strongroom_key_sealed_bytes", "How many bytes the key sealed, as an upper bound.", |key| {
        key.sealed_bytes
    }),
    (
        "strongroom_key_last_used_timestamp_seconds",
        "When the key last sealed, in seconds since 1970; 0 if it never did.",
        |key| key.last_used_at,
    ),
];

/// Renders the keys of a store as Prometheus text.
pub(super) fn of(store: Store) -> Arc<dyn Fn() -> String + Send + Sync> {
    Arc::new(move || text(&store.key_report()))
}

fn text(report: &KeyringReport) -> String {
    let mut text = String::new();
    for (name, help, value) in SERIES {
        let mut line = |args: std::fmt::Arguments<'_>| {
            text.write_fmt(args).expect("a String takes everything");
        };
        line(format_args!("# HELP {name} {help}\n# TYPE {name} gauge\n"));
        for group in &report.groups {
            for key in &group.keys {
                let (id, state, value) = (key.id, state(key.state), value(key));
                let group = group.group.0;
                line(format_args!("{name}{{group=\"{group}\",key=\"{id}\",state=\"{state}\"}} {value}\n"));
            }
        }
    }
    text
}

fn state(state: KeyState) -> &'static str {
    match state {
        KeyState::Active => "active",
        KeyState::Readable => "readable",
        KeyState::Retired => "retired",
    }
}
