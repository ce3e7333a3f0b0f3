//! `strongroom inspect verify`.

use std::collections::HashSet;
use std::fs;
use std::io::{self, IsTerminal, Write as _};
use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use strongroom_objects::verify::{
    ObjectCounts, ObjectDamage, ObjectFinding, OtherRows, VerifyOptions, VerifyWatch, verify,
};
use strongroom_seal::GroupKey;
use strongroom_store::inspect::{Counts, Finding, InspectError, Verified, Watch};
use strongroom_store::{Damage, GroupId, LogError, OpenError, Place};

use super::unlock::Kms;
use super::{Common, Failure, explain};

/// How often something is said where there is no bar.
const LINE_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    common: Common,
    /// How many threads open pages and content [default: one for each core]
    #[arg(long, value_name = "COUNT")]
    threads: Option<NonZeroUsize>,
    /// No progress, only what is found
    #[arg(long, short)]
    quiet: bool,
}

pub(super) fn run(args: &VerifyArgs) -> Result<ExitCode, Failure> {
    let offline = args.common.look()?;
    if args.common.unlock.no_keys {
        return Err("nothing can be authenticated without keys; `inspect log --no-keys` and \
                    `inspect pages --no-keys` show what is readable without"
            .into());
    }
    let kms = args.common.unlock.kms(&args.common.dir).map_err(|error| {
        format!("nothing can be authenticated, since the root key is not to be had: {error}")
    })?;
    let watcher = Watcher::new(args);
    let unlocked = match offline.unlock(kms.root_keys()) {
        Ok(unlocked) => unlocked,
        Err(InspectError::Open(error @ (OpenError::Damage(_) | OpenError::Missing { .. }))) => {
            watcher.store_damage(None, &error);
            watcher.note("without the keyring nothing else can be authenticated".to_owned());
            return watcher.finish(None, None);
        }
        Err(InspectError::InUse { dir }) => {
            let dir = dir.display();
            return Err(format!("the store in {dir} is in use by a running server; stop it first").into());
        }
        Err(error) => return Err(explain(error)),
    };
    let threads = args.threads.or_else(|| std::thread::available_parallelism().ok());
    let threads = threads.unwrap_or(NonZeroUsize::MIN);
    let Verified { counts, image, .. } = unlocked.verify(threads, &watcher);
    let objects = image.map(|image| {
        if !image.complete() {
            watcher.note(format!(
                "because of the damage in the log, objects are those of LSN {}; a blob that is missing may have been \
                 removed since",
                image.applied()
            ));
        }
        if let Err(error) = crate::server::kms_generation_of(&image, &kms.local) {
            watcher.damage(format!("{}: {error}", args.common.dir.join("kms").display()), json!({"file": "kms"}));
        }
        let Kms { provider, runtime, .. } = &kms;
        let options = VerifyOptions {
            blob_dir: args.common.dir.join("blobs"),
            kms: Some(provider.clone()),
            others: Some(Arc::new(Others)),
            runtime: runtime.handle().clone(),
            threads,
        };
        verify(&image, &options, &watcher)
    });
    watcher.finish(Some(counts), objects)
}

/// The rows of identities, and the server's own.
struct Others;

impl OtherRows for Others {
    fn check(
        &self,
        key: &[u8],
        value: &[u8],
        group_key: &dyn Fn(u32) -> Option<GroupKey>,
    ) -> Option<(&'static str, bool)> {
        strongroom_iam::check_row(key, value, group_key).or_else(|| crate::server::check_row(key, value))
    }
}

/// Prints what is found as it is found, and how far it is.
struct Watcher {
    json: bool,
    bar: ProgressBar,
    lines: bool,
    state: Mutex<State>,
    began: Instant,
}

#[derive(Default)]
struct State {
    checked: u64,
    said: Option<Instant>,
    /// What was said already: a page that does not open is come across more than once.
    damage: HashSet<String>,
    notes: u64,
    broken_pipe: bool,
}

impl Watcher {
    fn new(args: &VerifyArgs) -> Self {
        let terminal = io::stderr().is_terminal();
        let bar = if terminal && !args.quiet {
            let dir = &args.common.dir;
            let total = ["log", "pages", "blobs"].iter().map(|name| size_of_dir(&dir.join(name))).sum();
            let bar = ProgressBar::new(total);
            let template = "{msg} {bar:30} {bytes:>11}/{total_bytes:<11} {binary_bytes_per_sec:>13} {eta:>4}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("█▌ "));
            }
            bar.set_message("verifying");
            bar
        } else {
            ProgressBar::hidden()
        };
        let state = Mutex::default();
        Self { json: args.common.json, bar, lines: !terminal && !args.quiet, state, began: Instant::now() }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn step(&self, bytes: u64) {
        self.bar.inc(bytes);
        let mut state = self.state();
        state.checked += bytes;
        if self.lines && state.said.unwrap_or(self.began).elapsed() >= LINE_EVERY {
            state.said = Some(Instant::now());
            eprintln!("verified {}", HumanBytes(state.checked));
        }
    }

    fn print(&self, state: &mut State, text: &str, json: &Value) {
        let line = if self.json { json.to_string() } else { text.to_owned() };
        let printed = self.bar.suspend(|| writeln!(io::stdout().lock(), "{line}"));
        state.broken_pipe |= printed.is_err();
    }

    fn damage(&self, what: String, mut json: Value) {
        let mut state = self.state();
        if state.damage.insert(what.clone()) {
            json["kind"] = "damage".into();
            json["what"] = what.clone().into();
            self.print(&mut state, &format!("DAMAGE  {what}"), &json);
        }
    }

    fn note(&self, what: String) {
        let mut state = self.state();
        state.notes += 1;
        self.print(&mut state, &format!("note    {what}"), &json!({"kind": "note", "what": what}));
    }

    fn store_damage(&self, group: Option<GroupId>, error: &OpenError) {
        let mut json = place_json(error);
        if let Some(group) = group {
            json["group"] = group.to_string().into();
        }
        self.damage(error.to_string(), json);
    }

    fn finish(self, counts: Option<Counts>, objects: Option<ObjectCounts>) -> Result<ExitCode, Failure> {
        self.bar.finish_and_clear();
        let (json, elapsed) = (self.json, self.began.elapsed());
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        if state.broken_pipe {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
        }
        let damage = state.damage.len();
        let summary = if json {
            summary_json(counts, objects, damage, state.notes).to_string()
        } else {
            summary_text(counts, objects, damage, state.checked, elapsed)
        };
        writeln!(io::stdout().lock(), "{summary}")?;
        Ok(if damage == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl Watch for Watcher {
    fn checked(&self, bytes: u64) {
        self.step(bytes);
    }

    fn found(&self, finding: Finding) {
        match finding {
            Finding::Damage { group, error } => self.store_damage(group, &error),
            Finding::Note(note) => self.note(note.to_string()),
            _ => {}
        }
    }
}

impl VerifyWatch for Watcher {
    fn checked(&self, bytes: u64) {
        self.step(bytes);
    }

    fn found(&self, finding: ObjectFinding) {
        let text = finding.to_string();
        if !finding.is_damage() {
            return self.note(text);
        }
        self.damage(text, finding_json(&finding));
    }
}

fn place_json(error: &OpenError) -> Value {
    match error {
        OpenError::Damage(Damage { file, at, .. }) => {
            let mut json = json!({"file": file.display().to_string()});
            match at {
                Place::Offset(offset) => json["offset"] = (*offset).into(),
                Place::Frame { offset, lsn } => {
                    json["offset"] = (*offset).into();
                    json["lsn"] = lsn.0.into();
                }
                Place::Command(lsn) => json["lsn"] = lsn.0.into(),
                Place::Page(page) => json["page"] = (*page).into(),
                Place::Slot(slot) => json["slot"] = (*slot).into(),
                _ => {}
            }
            json
        }
        OpenError::Log(error) => match &**error {
            LogError::Damage { segment, offset, lsn, .. } => {
                json!({"segment": segment.to_string(), "offset": offset, "lsn": lsn.0})
            }
            LogError::DamagedMark { slot } => json!({"file": "log/mark", "slot": slot}),
            LogError::MissingSegment { segment }
            | LogError::Extended { segment, .. }
            | LogError::Foreign { segment }
            | LogError::Misplaced { segment, .. }
            | LogError::Unchained { segment }
            | LogError::AfterClose { segment } => json!({"segment": segment.to_string()}),
            _ => json!({}),
        },
        OpenError::Missing { file } | OpenError::RolledBack { file, .. } => {
            json!({"file": file.display().to_string()})
        }
        _ => json!({}),
    }
}

fn finding_json(finding: &ObjectFinding) -> Value {
    match finding {
        ObjectFinding::Damaged { place, what } => {
            let mut json = json!({
                "bucket": place.bucket, "key": place.name, "version": place.version.map(|id| id.to_string()),
                "upload": place.upload.map(|id| id.to_string()), "part": place.part,
            });
            if let ObjectDamage::Chunks(chunks) = what {
                json["first_chunk"] = (*chunks.start()).into();
                json["last_chunk"] = (*chunks.end()).into();
            }
            json
        }
        ObjectFinding::Unread(unread) => json!({
            "bucket": unread.bucket, "group": unread.group.to_string(), "table": unread.table, "after": unread.after,
            "before": unread.before,
        }),
        ObjectFinding::Row { bucket, table, key } => {
            json!({"bucket": bucket, "table": table, "row": key.escape_ascii().to_string()})
        }
        ObjectFinding::Unknown { bucket, key } => {
            json!({"bucket": bucket, "row": key.escape_ascii().to_string()})
        }
        ObjectFinding::Nameless { bucket, name, .. } => json!({"bucket": bucket, "key": name}),
        _ => json!({}),
    }
}

fn summary_text(
    counts: Option<Counts>,
    objects: Option<ObjectCounts>,
    damage: usize,
    checked: u64,
    elapsed: Duration,
) -> String {
    let mut lines = Vec::new();
    if let Some(counts) = counts {
        lines.push(format!(
            "log      {} segments, {} frames, {} records",
            counts.segments, counts.frames, counts.records
        ));
        if counts.forgotten > 0 {
            lines.push(format!("         {} records of dropped groups passed over", counts.forgotten));
        }
        lines.push(format!(
            "pages    {} files, {} data pages, {} tag pages",
            counts.page_files, counts.data_pages, counts.tag_pages
        ));
    }
    match objects {
        Some(objects) => lines.extend(objects_text(&objects)),
        None => lines.push("objects  not verified".to_owned()),
    }
    let speed = u128::from(checked) * 1000 / elapsed.as_millis().max(1);
    lines.push(format!(
        "{} in {:.1} s, {}/s",
        HumanBytes(checked),
        elapsed.as_secs_f64(),
        HumanBytes(u64::try_from(speed).unwrap_or(u64::MAX))
    ));
    lines.push(match damage {
        0 => "no damage".to_owned(),
        1 => "1 damage found".to_owned(),
        many => format!("{many} damages found"),
    });
    lines.join("\n")
}

fn objects_text(objects: &ObjectCounts) -> Vec<String> {
    let mut lines = vec![
        format!(
            "objects  {} in {} buckets, {} delete markers, {} parts of {} open uploads, {} rows of the system",
            objects.objects,
            objects.buckets,
            objects.delete_markers,
            objects.parts,
            objects.uploads,
            objects.system_rows
        ),
        format!(
            "content  {} blobs and {} inline, {} opened",
            objects.blobs,
            objects.inline,
            HumanBytes(objects.bytes)
        ),
    ];
    if objects.customer > 0 {
        let count = objects.customer;
        lines.push(format!(
            "         {count} not verifiable without the customer's key (SSE-C); length and header are right"
        ));
    }
    if objects.keyless > 0 {
        lines.push(format!("         {} not verified: their key was not to be had", objects.keyless));
    }
    if objects.orphans > 0 {
        let bytes = HumanBytes(objects.orphan_bytes);
        lines.push(format!("         {} blobs ({bytes}) that no object names", objects.orphans));
    }
    if objects.garbage + objects.temporary > 0 {
        let (garbage, temporary) = (objects.garbage, objects.temporary);
        lines.push(format!(
            "         {garbage} dropped blobs and {temporary} files of cut uploads to be removed"
        ));
    }
    lines
}

fn summary_json(counts: Option<Counts>, objects: Option<ObjectCounts>, damage: usize, notes: u64) -> Value {
    let mut json = json!({"kind": "summary", "damage": damage, "notes": notes});
    if let Some(counts) = counts {
        json["log"] = json!({
            "segments": counts.segments, "frames": counts.frames, "records": counts.records,
            "forgotten_records": counts.forgotten,
        });
        json["pages"] = json!({
            "files": counts.page_files, "data_pages": counts.data_pages, "tag_pages": counts.tag_pages,
        });
    }
    if let Some(objects) = objects {
        json["objects"] = json!({
            "system_rows": objects.system_rows,
            "buckets": objects.buckets, "objects": objects.objects, "delete_markers": objects.delete_markers,
            "uploads": objects.uploads, "parts": objects.parts, "inline": objects.inline, "blobs": objects.blobs,
            "bytes": objects.bytes, "customer_keys": objects.customer, "keys_not_to_be_had": objects.keyless,
            "orphans": objects.orphans, "orphan_bytes": objects.orphan_bytes, "garbage": objects.garbage,
            "temporary": objects.temporary,
        });
    }
    json
}

/// How much of a directory is on the disk, holes left out.
fn size_of_dir(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size_of_dir(&entry.path()),
        Ok(metadata) => metadata.len().min(metadata.blocks() * 512),
        Err(_) => 0,
    });
    sizes.sum()
}
