//! `strongroom inspect log`.

use clap::Args;
use serde_json::{Value, json};
use strongroom_objects::verify::describe_row;
use strongroom_store::inspect::{LogItem, LogRecord, Offline, RecordKind, Unlocked};
use strongroom_store::{Check, Command, GroupId, Lsn, OutlineItem, SegmentId, Write};

use super::output::{Output, printable};
use super::unlock::{lacks_root_key, say_in_use, say_without_keys};
use super::{Common, Failure, explain};

#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    #[command(flatten)]
    common: Common,
    /// Show the values of rows, and not only their lengths
    #[arg(long)]
    values: bool,
}

pub(super) fn run(args: &LogArgs) -> Result<(), Failure> {
    let offline = args.common.look()?;
    let mut out = Output::new(args.common.json);
    if let Some(kms) = args.common.unlock.kms_or_say(&args.common.dir) {
        match offline.unlock(kms.root_keys()) {
            Ok(unlocked) => {
                with_keys(&unlocked, args.values, &mut out);
                return Ok(out.finish()?);
            }
            Err(error) if lacks_root_key(&error) => say_without_keys(&error),
            Err(error) => return Err(explain(error)),
        }
    }
    without_keys(&offline, &mut out)?;
    Ok(out.finish()?)
}

const HEAD: &str = "        OFFSET  LSN                 GROUP       KEY  RECORDS      BYTES";

struct Frame {
    segment: SegmentId,
    offset: u64,
    first: Lsn,
    count: u16,
    group: GroupId,
    key_id: u32,
    sealed_len: u32,
}

impl Frame {
    fn text(&self) -> String {
        let last = self.first.0.saturating_add(u64::from(self.count).saturating_sub(1));
        let lsns = if last == self.first.0 { last.to_string() } else { format!("{}-{last}", self.first) };
        let Self { offset, count, group, key_id, sealed_len, .. } = self;
        format!("{offset:>14}  {lsns:<18}  {group}  {key_id:>5}  {count:>7}  {sealed_len:>9}")
    }

    fn json(&self) -> Value {
        json!({
            "kind": "frame", "segment": self.segment.to_string(), "offset": self.offset,
            "first_lsn": self.first.0, "records": self.count, "group": self.group.to_string(),
            "key_id": self.key_id, "sealed_bytes": self.sealed_len,
        })
    }
}

fn segment(out: &mut Output, id: SegmentId, base: Lsn, key_id: u32, len: u64) {
    out.line(
        || format!("segment {id}  from LSN {base}  {len} bytes  header under key {key_id}"),
        || json!({"kind": "segment", "segment": id.to_string(), "base_lsn": base.0, "key_id": key_id, "bytes": len}),
    );
    out.text(HEAD);
}

fn without_keys(offline: &Offline, out: &mut Output) -> Result<(), Failure> {
    say_in_use(offline)?;
    for item in offline.log()? {
        match item? {
            OutlineItem::Segment { segment: id, base, key_id, len } => segment(out, id, base, key_id, len),
            OutlineItem::Frame { segment, offset, first, count, group, key_id, sealed_len } => {
                let frame = Frame { segment, offset, first, count, group, key_id, sealed_len };
                out.line(|| frame.text(), || frame.json());
            }
            OutlineItem::Break { segment, offset, what } => out.line(
                || format!("{offset:>14}  BROKEN CHAIN: {what}"),
                || json!({"kind": "break", "segment": segment.to_string(), "offset": offset, "what": what.to_string()}),
            ),
            OutlineItem::Gap { segment, offset, len } => out.line(
                || format!("{offset:>14}  DAMAGE: {len} bytes that are no frame"),
                || json!({"kind": "gap", "segment": segment.to_string(), "offset": offset, "bytes": len}),
            ),
            OutlineItem::Tail { segment, offset, len, newest } => {
                let what = if newest { "torn tail" } else { "DAMAGE" };
                out.line(
                    || format!("{offset:>14}  {what}: {len} bytes that are no frame"),
                    || json!({"kind": "tail", "segment": segment.to_string(), "offset": offset, "bytes": len, "newest": newest}),
                );
            }
            _ => {}
        }
    }
    Ok(())
}

fn with_keys(unlocked: &Unlocked, values: bool, out: &mut Output) {
    unlocked.log(&mut |item| match item {
        LogItem::Segment { segment: id, base, key_id, len } => segment(out, id, base, key_id, len),
        LogItem::Frame { segment, offset, first, count, group, key_id, sealed_len, records } => {
            let frame = Frame { segment, offset, first, count, group, key_id, sealed_len };
            let Some(records) = records else {
                let text = || format!("{}  of a dropped group; its keys are forgotten", frame.text());
                let mut json = frame.json();
                json["forgotten"] = true.into();
                out.line(text, || json);
                return;
            };
            out.line(|| frame.text(), || frame.json());
            for record in &records {
                self::record(out, group, record, values);
            }
        }
        LogItem::Torn { segment, offset, len } => out.line(
            || format!("{offset:>14}  torn tail: {len} bytes of a batch that was never acknowledged"),
            || json!({"kind": "tail", "segment": segment.to_string(), "offset": offset, "bytes": len, "newest": true}),
        ),
        LogItem::Damage(error) => out.line(
            || format!("        DAMAGE: {error}"),
            || json!({"kind": "damage", "what": error.to_string()}),
        ),
        _ => {}
    });
}

fn record(out: &mut Output, group: GroupId, record: &LogRecord, values: bool) {
    let LogRecord { lsn, len, what, .. } = record;
    match what {
        RecordKind::Command(command) => command_lines(out, group, *lsn, command, values),
        RecordKind::Checkpoint { reached, keyring_generation, groups } => out.line(
            || {
                let groups =
                    groups.iter().map(|(group, lsn, root)| format!("{group} at LSN {lsn}, root {root}"));
                let groups = groups.collect::<Vec<_>>().join("; ");
                format!(
                    "{:>16}{lsn}: checkpoint up to LSN {reached}, keyring {keyring_generation}: {groups}",
                    ""
                )
            },
            || {
                let groups = groups.iter().map(|(group, lsn, root)| {
                    json!({"group": group.to_string(), "applied_lsn": lsn.0, "root": root})
                });
                json!({
                    "kind": "checkpoint", "lsn": lsn.0, "reached_lsn": reached.0,
                    "keyring_generation": keyring_generation, "groups": groups.collect::<Vec<_>>(),
                })
            },
        ),
        _ => out.line(
            || format!("{:>16}{lsn}: a record of {len} bytes that this program does not know", ""),
            || json!({"kind": "unknown", "lsn": lsn.0, "bytes": len}),
        ),
    }
}

fn command_lines(out: &mut Output, group: GroupId, lsn: Lsn, command: &Command, values: bool) {
    let checks = command.checks.iter().map(|check| part_of_check(group, check, values));
    let writes = command.writes.iter().map(|write| part_of_write(group, write, values));
    let (checks, writes): (Vec<_>, Vec<_>) = (checks.collect(), writes.collect());
    if out.json {
        let json = |parts: &[(String, Value)]| parts.iter().map(|(_, json)| json.clone()).collect::<Vec<_>>();
        let command = json!({
            "kind": "command", "lsn": lsn.0, "group": group.to_string(), "checks": json(&checks), "writes": json(&writes),
        });
        out.line(String::new, || command);
        return;
    }
    for (text, _) in &checks {
        out.text(&format!("{:>16}{lsn}: check {text}", ""));
    }
    for (text, _) in &writes {
        out.text(&format!("{:>16}{lsn}: {text}", ""));
    }
}

/// A row's key in words where its group is a bucket's, and as it is.
pub(super) fn key_text(group: GroupId, key: &[u8]) -> String {
    let described = if group == GroupId::SYSTEM { None } else { describe_row(key) };
    described.map_or_else(|| printable(key), |row| printable(row.as_bytes()))
}

fn key_json(group: GroupId, key: &[u8]) -> Value {
    json!({"key": printable(key), "row": key_text(group, key)})
}

fn part_of_check(group: GroupId, check: &Check, values: bool) -> (String, Value) {
    let with = |what: &str, key: &[u8]| {
        let mut json = key_json(group, key);
        json["check"] = what.into();
        (format!("{what}: {}", key_text(group, key)), json)
    };
    match check {
        Check::Absent { key } => with("absent", key),
        Check::Present { key } => with("present", key),
        Check::Equals { key, value } => {
            let (text, mut json) = with("equals", key);
            add_value(&mut json, value, values);
            (format!("{text} {}", value_text(value, values)), json)
        }
        Check::RangeEmpty { from, to } => (
            format!("range empty: {} to {}", printable(from), printable(to)),
            json!({"check": "range empty", "from": printable(from), "to": printable(to)}),
        ),
    }
}

fn part_of_write(group: GroupId, write: &Write, values: bool) -> (String, Value) {
    let of_group = |what: &str, of: GroupId, more: String| {
        (format!("{what} {of}{more}"), json!({"write": what, "group": of.to_string()}))
    };
    match write {
        Write::Put { key, value } => {
            let mut json = key_json(group, key);
            json["write"] = "put".into();
            add_value(&mut json, value, values);
            (format!("put {} {}", key_text(group, key), value_text(value, values)), json)
        }
        Write::Delete { key } => {
            let mut json = key_json(group, key);
            json["write"] = "delete".into();
            (format!("delete {}", key_text(group, key)), json)
        }
        // The wrapped key in these is not shown: it is nobody's business in a listing.
        Write::CreateGroup { group, .. } => of_group("create group", *group, String::new()),
        Write::RotateKey { group, key_id, .. } => {
            let (text, mut json) = of_group("rotate key of group", *group, format!(" to key {key_id}"));
            json["key_id"] = (*key_id).into();
            (text, json)
        }
        Write::DropGroup { group } => of_group("drop group", *group, String::new()),
    }
}

pub(super) fn value_text(value: &[u8], shown: bool) -> String {
    if shown { format!("= {}", printable(value)) } else { format!("({} bytes)", value.len()) }
}

pub(super) fn add_value(json: &mut Value, value: &[u8], shown: bool) {
    json["value_bytes"] = value.len().into();
    if shown {
        json["value_hex"] = super::output::hex(value).into();
    }
}
