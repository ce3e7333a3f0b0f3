//! `strongroom inspect pages`.

use std::num::NonZeroUsize;

use clap::Args;
use serde_json::json;
use strongroom_store::GroupId;
use strongroom_store::inspect::{Offline, PageFileReport, SlotState, Unlocked};

use super::log::{add_value, key_text, value_text};
use super::output::{Output, hex, printable};
use super::unlock::{lacks_root_key, say_in_use, say_without_keys};
use super::{Common, Failure, explain};

#[derive(Debug, Args)]
pub(crate) struct PagesArgs {
    #[command(flatten)]
    common: Common,
    /// Only this group, as eight hex digits
    #[arg(long, value_name = "GROUP", value_parser = group)]
    group: Option<GroupId>,
    /// List the rows as the pages have them; what is only in the log is not among them
    #[arg(long, conflicts_with = "no_keys")]
    rows: bool,
    /// Only rows whose keys begin with this
    #[arg(long, value_name = "TEXT", requires = "rows")]
    prefix: Option<String>,
    /// Show the values of rows, and not only their lengths
    #[arg(long, requires = "rows")]
    values: bool,
}

fn group(text: &str) -> Result<GroupId, String> {
    let group = u32::from_str_radix(text, 16).map_err(|_| "a group is up to eight hex digits".to_owned())?;
    Ok(GroupId(group))
}

pub(super) fn run(args: &PagesArgs) -> Result<(), Failure> {
    let offline = args.common.look()?;
    let mut out = Output::new(args.common.json);
    if let Some(kms) = args.common.unlock.kms_or_say(&args.common.dir) {
        match offline.unlock(kms.root_keys()) {
            Ok(unlocked) => {
                with_keys(&unlocked, &offline, args, &mut out)?;
                return Ok(out.finish()?);
            }
            Err(error) if lacks_root_key(&error) => say_without_keys(&error),
            Err(error) => return Err(explain(error)),
        }
    }
    without_keys(&offline, args.group, &mut out)?;
    Ok(out.finish()?)
}

fn without_keys(offline: &Offline, only: Option<GroupId>, out: &mut Output) -> Result<(), Failure> {
    say_in_use(offline)?;
    for file in offline.pages()? {
        if only.is_some() && file.group != only {
            continue;
        }
        let group = file.group.map_or_else(|| "no group".to_owned(), |group| group.to_string());
        let name = file.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        out.line(
            || format!("{name}  group {group}  {} bytes", file.len),
            || {
                let slots = file.slots.iter().map(|slot| match slot {
                    SlotState::Root(slot) => json!({
                        "sequence": slot.sequence, "key_id": slot.key_id, "sealed_bytes": slot.sealed_len,
                        "group": slot.group.to_string(), "file_id": hex(&slot.file),
                    }),
                    other => json!({"state": slot_text(other)}),
                });
                let slots: Vec<_> = slots.collect();
                json!({"kind": "page file", "file": name, "group": group, "bytes": file.len, "slots": slots})
            },
        );
        for (index, slot) in file.slots.iter().enumerate() {
            out.text(&format!("    slot {index}: {}", slot_text(slot)));
        }
    }
    Ok(())
}

fn slot_text(slot: &SlotState) -> String {
    match slot {
        SlotState::Root(slot) => format!(
            "root {}  key {}  {} sealed bytes  file id {}",
            slot.sequence,
            slot.key_id,
            slot.sealed_len,
            hex(&slot.file)
        ),
        SlotState::Blank => "never written".to_owned(),
        SlotState::TooNew { version } => format!("format {version}, newer than this program"),
        _ => "no root".to_owned(),
    }
}

fn with_keys(
    unlocked: &Unlocked,
    offline: &Offline,
    args: &PagesArgs,
    out: &mut Output,
) -> Result<(), Failure> {
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let there: Vec<_> = offline.pages()?.into_iter().filter_map(|file| file.group).collect();
    for group in unlocked.groups() {
        if args.group.is_some_and(|only| only != group) {
            continue;
        }
        if !there.contains(&group) {
            let text = "no page file yet: its rows are only in the log";
            out.line(
                || format!("group {group}  {text}"),
                || json!({"kind": "page file", "group": group.to_string(), "missing": true}),
            );
            continue;
        }
        match unlocked.page_file(group, threads) {
            Ok(report) => describe(&report, out),
            Err(error) => out.line(
                || format!("group {group}  DAMAGE: {error}"),
                || json!({"kind": "damage", "group": group.to_string(), "what": error.to_string()}),
            ),
        }
        if args.rows {
            rows(unlocked, group, args, out);
        }
    }
    Ok(())
}

fn describe(report: &PageFileReport, out: &mut Output) {
    let PageFileReport { group, len, root, closed, applied, rows, .. } = report;
    let state = if *closed { "closed" } else { "not closed" };
    out.line(
        || format!("group {group}  {rows} rows up to LSN {applied}  root {root}, {state}  {len} bytes"),
        || {
            let keys = report.keys.iter().map(|key| {
                json!({"key_id": key.id, "opens": key.opens, "sealing": key.sealing, "pages": key.pages})
            });
            json!({
                "kind": "page file", "group": group.to_string(), "rows": rows, "applied_lsn": applied.0, "root": root,
                "closed": closed, "bytes": len, "keys": keys.collect::<Vec<_>>(), "data_pages": report.data_pages,
                "lower_tag_pages": report.lower_pages, "upper_tag_pages": report.upper_pages,
                "unopened_pages": report.unopened,
            })
        },
    );
    out.text(&format!(
        "    {} data pages under {} lower and {} upper tag pages",
        report.data_pages, report.lower_pages, report.upper_pages
    ));
    if report.unopened > 0 {
        out.text(&format!(
            "    {} pages do not open; `inspect verify` says whether they are in use",
            report.unopened
        ));
    }
    for key in &report.keys {
        let sealing = if key.sealing { ", seals" } else { "" };
        out.text(&format!("    key {}: {} pages, {} opens{sealing}", key.id, key.pages, key.opens));
    }
}

fn rows(unlocked: &Unlocked, group: GroupId, args: &PagesArgs, out: &mut Output) {
    let prefix = args.prefix.as_deref().unwrap_or_default();
    let result = unlocked.rows(group, prefix.as_bytes(), &mut |key, value| {
        out.line(
            || format!("        {} {}", key_text(group, key), value_text(value, args.values)),
            || {
                let mut json = json!({
                    "kind": "row", "group": group.to_string(), "key": printable(key), "row": key_text(group, key),
                });
                add_value(&mut json, value, args.values);
                json
            },
        );
    });
    if let Err(error) = result {
        out.line(
            || format!("        DAMAGE: {error}; rows after this are not shown"),
            || json!({"kind": "damage", "group": group.to_string(), "what": error.to_string()}),
        );
    }
}
