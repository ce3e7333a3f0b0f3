//! `admin keys groups`.

use clap::Args;
use reqwest::Method;
use strongroom_api::admin::{GroupKey, KeyReport, KeyState, RootKeyName};

use super::answer::{Output, bytes, count, duration, group_name};
use super::connection::Connection;
use super::error::AdminFailure;
use super::table::{Side, Table};

#[derive(Debug, Args)]
pub(super) struct GroupsArgs {
    /// Only this bucket's
    #[arg(long, value_name = "BUCKET")]
    bucket: Option<String>,
}

pub(super) async fn run(door: &Connection, output: Output, args: &GroupsArgs) -> Result<(), AdminFailure> {
    let bucket = args.bucket.as_deref().map(|name| ("bucket", name));
    let report: KeyReport = door.ask(Method::GET, "/keys/groups", bucket).await?;
    output.show(&report, words)
}

fn words(report: &KeyReport) -> String {
    let mut table = Table::new([
        ("BUCKET", Side::Left),
        ("GROUP", Side::Right),
        ("KEY", Side::Right),
        ("STATE", Side::Left),
        ("AGE", Side::Left),
        ("SEALS", Side::Right),
        ("SEALED", Side::Right),
        ("LAST USED", Side::Left),
        ("ROOT KEY", Side::Left),
    ]);
    for group in &report.groups {
        for key in &group.keys {
            table.row([
                group_name(group.bucket.as_deref(), group.group),
                group.group.to_string(),
                key.id.to_string(),
                state(key.state).to_owned(),
                duration(key.age_seconds),
                count(key.seals),
                bytes(key.sealed_bytes),
                last_used(key),
                key.root.as_ref().map_or_else(|| "-".to_owned(), root_key),
            ]);
        }
    }
    table.render()
}

fn state(state: KeyState) -> &'static str {
    match state {
        KeyState::Active => "active",
        KeyState::Readable => "readable",
        KeyState::Retired => "retired",
        _ => "(unknown)",
    }
}

/// Told by the server's clock alone: the shell's may differ.
fn last_used(key: &GroupKey) -> String {
    let now = key.created_unix_seconds.saturating_add(key.age_seconds);
    match key.last_used_unix_seconds {
        None => "never".to_owned(),
        Some(at) if at >= now => "now".to_owned(),
        Some(at) => format!("{} ago", duration(now - at)),
    }
}

/// A root key's version in words.
pub(super) fn root_key(name: &RootKeyName) -> String {
    format!("{} {} v{}", name.provider, name.key_id, name.key_version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use strongroom_api::admin::KeyGroup;

    #[test]
    fn every_key_has_a_line() {
        let root = RootKeyName { provider: "local".into(), key_id: "root".into(), key_version: 2 };
        let key = |id, state, root| GroupKey {
            id,
            state,
            created_lsn: 0,
            created_unix_seconds: 1000,
            age_seconds: 3700,
            seals: 12_345,
            sealed_bytes: 2 << 20,
            last_used_unix_seconds: (id > 1).then_some(4640),
            root,
        };
        let keys = vec![key(1, KeyState::Retired, None), key(2, KeyState::Active, Some(root.clone()))];
        let group = KeyGroup { group: 3, bucket: Some("photos".into()), keys };
        let text = words(&KeyReport { root, keyring_generation: 1, groups: vec![group] });
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[1], "photos      3    1  retired  1 h 1 min  12,345  2.00 MiB  never      -");
        assert!(lines[2].ends_with("1 min ago  local root v2"), "{}", lines[2]);
    }
}
