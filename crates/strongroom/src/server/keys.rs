//! Watching the keyring: what the operator's metrics and log say of keys, and how many groups failed.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use metrics::{counter, gauge};
use strongroom_store::{Clock, GroupId, KeyState, KeyringReport, RootKeyName, Store, SystemClock};
use strongroom_telemetry::names;

/// How often it is looked. Keys live for days; who waits for one to retire asks the store.
const PAUSE: Duration = Duration::from_secs(2);

/// Looks at the keys until `stopped`, keeps the metrics of keys, and logs what happened to keys.
pub(super) async fn watch(store: Store, stopped: impl Future<Output = ()>) {
    let mut stopped = pin!(stopped);
    let mut known = Known::default();
    loop {
        let report = store.key_report();
        Figures::of(&report, SystemClock.now_seconds()).show();
        for event in known.learn(&report) {
            event.log();
        }
        drop(report);
        let status = store.status();
        gauge!(names::GROUPS_FAILED).set(status.groups_failed.len() as f64);
        gauge!(names::GROUPS_IN_MEMORY).set(status.groups_in_memory.len() as f64);
        tokio::select! {
            () = &mut stopped => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// What the metrics say.
#[derive(Debug, Default, PartialEq)]
struct Figures {
    active: u32,
    readable: u32,
    retired: u32,
    age_seconds_max: u64,
    seals_max: u64,
    used_up: u32,
    sealed_bytes_max: u64,
    root_version: u32,
    roots_wrapping: usize,
}

impl Figures {
    fn of(report: &KeyringReport, now: u64) -> Self {
        let mut figures = Self { root_version: report.root.key_version, ..Self::default() };
        let mut roots: Vec<&RootKeyName> = Vec::new();
        for key in report.groups.iter().flat_map(|group| &group.keys) {
            if let Some(root) = key.root.as_ref().filter(|root| !roots.contains(root)) {
                roots.push(root);
            }
            match key.state {
                KeyState::Active => {
                    figures.active += 1;
                    figures.age_seconds_max = figures.age_seconds_max.max(now.saturating_sub(key.created_at));
                    figures.seals_max = figures.seals_max.max(key.seals);
                    figures.used_up += u32::from(key.is_used_up());
                    figures.sealed_bytes_max = figures.sealed_bytes_max.max(key.sealed_bytes);
                }
                KeyState::Readable => figures.readable += 1,
                KeyState::Retired => figures.retired += 1,
            }
        }
        figures.roots_wrapping = roots.len();
        figures
    }

    #[allow(clippy::cast_precision_loss, reason = "metrics are floating-point numbers")]
    fn show(&self) {
        let states = [("active", self.active), ("readable", self.readable), ("retired", self.retired)];
        for (state, keys) in states {
            gauge!(names::KEYS, "state" => state).set(f64::from(keys));
        }
        gauge!(names::KEY_AGE_SECONDS).set(self.age_seconds_max as f64);
        gauge!(names::KEY_SEALS).set(self.seals_max as f64);
        gauge!(names::KEYS_USED_UP).set(f64::from(self.used_up));
        gauge!(names::KEY_SEALED_BYTES).set(self.sealed_bytes_max as f64);
        gauge!(names::ROOT_KEY_VERSION).set(f64::from(self.root_version));
        gauge!(names::ROOT_KEYS_WRAPPING).set(self.roots_wrapping as f64);
    }
}

/// The keys as they were when somebody looked last.
#[derive(Debug, Default)]
struct Known(Option<BTreeMap<GroupId, BTreeMap<u32, KeyState>>>);

/// Something that happened to a group's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    /// It was going on when the server started.
    Continued { group: GroupId, readable: usize },
    /// Another key seals.
    Rotated { group: GroupId, key_id: u32 },
    /// The active key is the only one that is needed.
    Finished { group: GroupId },
}

impl Known {
    fn learn(&mut self, report: &KeyringReport) -> Vec<Event> {
        let now: BTreeMap<_, _> = report
            .groups
            .iter()
            .map(|group| (group.group, group.keys.iter().map(|key| (key.id, key.state)).collect()))
            .collect();
        let mut events = Vec::new();
        for (group, keys) in &now {
            match &self.0 {
                None => {
                    let readable = count(keys, KeyState::Readable);
                    if readable > 0 {
                        events.push(Event::Continued { group: *group, readable });
                    }
                }
                Some(before) => {
                    // A group that is new was made with its first key, and may have another by now.
                    let first = BTreeMap::from([(1, KeyState::Active)]);
                    compare(*group, before.get(group).unwrap_or(&first), keys, &mut events);
                }
            }
        }
        self.0 = Some(now);
        events
    }
}

fn compare(
    group: GroupId,
    before: &BTreeMap<u32, KeyState>,
    now: &BTreeMap<u32, KeyState>,
    events: &mut Vec<Event>,
) {
    for &key_id in now.keys() {
        if !before.contains_key(&key_id) {
            events.push(Event::Rotated { group, key_id });
        }
    }
    let was_going_on = before.values().any(|state| *state == KeyState::Readable) || before.len() < now.len();
    if was_going_on && count(now, KeyState::Readable) == 0 {
        events.push(Event::Finished { group });
    }
}

fn count(keys: &BTreeMap<u32, KeyState>, state: KeyState) -> usize {
    keys.values().filter(|found| **found == state).count()
}

impl Event {
    fn log(self) {
        match self {
            Self::Continued { group, readable } => {
                tracing::info!(%group, readable, "re-sealing goes on where it was");
            }
            Self::Rotated { group, key_id } => {
                counter!(names::KEY_ROTATIONS).increment(1);
                tracing::info!(%group, key_id, "rotation started: a new key seals, and re-sealing has begun");
            }
            Self::Finished { group } => tracing::info!(%group, "rotation finished: one key is in use"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(states: &[(u32, KeyState)]) -> BTreeMap<u32, KeyState> {
        states.iter().copied().collect()
    }

    fn events(before: &[(u32, KeyState)], now: &[(u32, KeyState)]) -> Vec<Event> {
        let mut events = Vec::new();
        compare(GroupId(3), &keys(before), &keys(now), &mut events);
        events
    }

    #[test]
    fn a_rotation_is_told_when_it_starts_and_when_it_ends() {
        use KeyState::{Active, Readable, Retired};
        let group = GroupId(3);
        assert_eq!(events(&[(1, Active)], &[(1, Active)]), []);
        assert_eq!(
            events(&[(1, Active)], &[(1, Readable), (2, Active)]),
            [Event::Rotated { group, key_id: 2 }]
        );
        assert_eq!(
            events(&[(1, Readable), (2, Active)], &[(1, Retired), (2, Active)]),
            [Event::Finished { group }]
        );
        // So fast that nobody saw it going on.
        assert_eq!(
            events(&[(1, Active)], &[(1, Retired), (2, Active)]),
            [Event::Rotated { group, key_id: 2 }, Event::Finished { group }]
        );
    }
}
