//! `strongroom inspect keyring`. Never prints a key, not even a wrapped one.

use clap::Args;
use serde_json::json;
use strongroom_store::KeyState;
use strongroom_store::inspect::{KeyringDetails, Offline};

use super::output::{Output, date, hex, printable};
use super::unlock::{lacks_root_key, say_without_keys};
use super::{Common, Failure, explain};

#[derive(Debug, Args)]
pub(crate) struct KeyringArgs {
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(args: &KeyringArgs) -> Result<(), Failure> {
    let offline = args.common.look()?;
    let mut out = Output::new(args.common.json);
    header(&offline, &mut out)?;
    if let Some(kms) = args.common.unlock.kms_or_say(&args.common.dir) {
        match offline.keys(kms.root_keys()) {
            Ok(details) => groups(&details, &mut out),
            Err(error) if lacks_root_key(&error) => say_without_keys(&error),
            Err(error) => return Err(explain(error)),
        }
    }
    Ok(out.finish()?)
}

fn header(offline: &Offline, out: &mut Output) -> Result<(), Failure> {
    let header = offline.keyring()?;
    let (provider, key_id) = (printable(header.provider.as_bytes()), printable(header.key_id.as_bytes()));
    out.line(
        || {
            format!(
                "store {}\nroot key {key_id:?} version {} of the {provider} provider\nfile {} bytes",
                hex(&header.store),
                header.key_version,
                header.len
            )
        },
        || {
            json!({
                "kind": "keyring", "store": hex(&header.store), "bytes": header.len,
                "root": {"provider": provider, "key_id": key_id, "key_version": header.key_version},
            })
        },
    );
    Ok(())
}

fn groups(details: &KeyringDetails, out: &mut Output) {
    let KeyringDetails { report, epoch, applied, log_segment, log_lsn, next_group, reseal, .. } = details;
    out.line(
        || {
            let rate = match reseal.kib_per_second {
                0 => "unlimited".to_owned(),
                rate => format!("{rate} KiB/s"),
            };
            let paused = if reseal.paused { ", paused" } else { "" };
            format!(
                "generation {}  opened {epoch} times  group changes up to LSN {applied}\n\
                 log known up to segment {log_segment:016x}, LSN {log_lsn}\n\
                 re-sealing {rate}{paused}\n",
                report.generation
            )
        },
        || {
            json!({
                "kind": "contents", "generation": report.generation, "epoch": epoch, "applied_lsn": applied.0,
                "log_segment": format!("{log_segment:016x}"), "log_lsn": log_lsn.0, "next_group": next_group,
                "reseal": {"paused": reseal.paused, "kib_per_second": reseal.kib_per_second},
            })
        },
    );
    out.text("GROUP       KEY  STATE     MADE                  LAST USED                   SEALS           BYTES  ROOT KEY");
    for group in &report.groups {
        for key in &group.keys {
            let state = match key.state {
                KeyState::Active => "active",
                KeyState::Readable => "readable",
                KeyState::Retired => "retired",
            };
            let id = group.group;
            out.line(
                || {
                    let root = key.root.as_ref().map_or_else(
                        || "-".to_owned(),
                        |root| format!("{} v{}", printable(root.key_id.as_bytes()), root.key_version),
                    );
                    format!(
                        "{id}  {:>5}  {state:<8}  {:<20}  {:<20}  {:>11}  {:>14}  {root}",
                        key.id,
                        date(key.created_at),
                        date(key.last_used_at),
                        key.seals,
                        key.sealed_bytes
                    )
                },
                || {
                    let root = key.root.as_ref().map(|root| {
                        json!({"provider": root.provider, "key_id": root.key_id, "key_version": root.key_version})
                    });
                    json!({
                        "kind": "key", "group": id.to_string(), "key_id": key.id, "state": state,
                        "created_lsn": key.created_lsn.0, "created_at": key.created_at, "seals": key.seals,
                        "sealed_bytes": key.sealed_bytes, "last_used_at": key.last_used_at, "root": root,
                    })
                },
            );
        }
    }
}
