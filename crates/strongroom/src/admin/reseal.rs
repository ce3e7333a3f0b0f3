//! `admin reseal`.

use std::fmt::Write as _;
use std::time::Duration;

use clap::{Args, Subcommand};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use reqwest::Method;
use strongroom_api::admin::{ChangeReseal, ResealProgress, ResealStage, ResealStatus};

use super::answer::{Output, bytes, count, group_name};
use super::connection::Connection;
use super::error::AdminFailure;
use super::table::{Side, Table};

/// How often progress is asked for.
const FOLLOW_PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, Subcommand)]
pub(super) enum ResealCommand {
    /// Show how far it is
    Status(StatusArgs),
    /// Let it rest until it is resumed, also over restarts
    Pause,
    /// Go on
    Resume,
    /// Set how much it moves at most, in MiB per second; 0 is as fast as it can
    Rate(RateArgs),
}

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Show progress until nothing is left to do
    #[arg(long)]
    follow: bool,
}

#[derive(Debug, Args)]
pub(super) struct RateArgs {
    /// For example 20, or 0.5
    #[arg(value_name = "MIB_S", value_parser = kib_per_second)]
    rate: u32,
}

/// MiB as people write them, in KiB.
fn kib_per_second(text: &str) -> Result<u32, String> {
    let mib: f64 = text.parse().map_err(|_| "write a number of MiB per second, for example 20 or 0.5")?;
    let kib = (mib * 1024.0).round();
    if !(0.0..=f64::from(u32::MAX)).contains(&kib) {
        return Err("the rate must be between 0 and 4194303 MiB per second".to_owned());
    }
    if kib == 0.0 && mib > 0.0 {
        return Err("the lowest rate is 0.001 MiB per second; 0 means no limit".to_owned());
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was checked")]
    Ok(kib as u32)
}

pub(super) async fn run(
    door: &Connection,
    output: Output,
    command: ResealCommand,
) -> Result<(), AdminFailure> {
    let change = match command {
        ResealCommand::Status(StatusArgs { follow: true }) => return follow(door, output).await,
        ResealCommand::Status(StatusArgs { follow: false }) => {
            return output.show(&status(door).await?, words);
        }
        ResealCommand::Pause => ChangeReseal { paused: Some(true), ..ChangeReseal::default() },
        ResealCommand::Resume => ChangeReseal { paused: Some(false), ..ChangeReseal::default() },
        ResealCommand::Rate(RateArgs { rate }) => {
            ChangeReseal { rate_kib_per_second: Some(rate), ..ChangeReseal::default() }
        }
    };
    let status: ResealStatus = door.tell(Method::PATCH, "/reseal", &change).await?;
    output.show(&status, words)
}

async fn status(door: &Connection) -> Result<ResealStatus, AdminFailure> {
    door.ask(Method::GET, "/reseal", None).await
}

fn words(status: &ResealStatus) -> String {
    let mut text = format!("re-sealing {}, {}\n", state(status), rate(status.rate_kib_per_second));
    if !status.groups.is_empty() {
        let mut table = Table::new([
            ("BUCKET", Side::Left),
            ("OLD KEYS", Side::Left),
            ("STAGE", Side::Left),
            ("PAGES", Side::Right),
            ("OF", Side::Right),
            ("MOVED", Side::Right),
        ]);
        for group in &status.groups {
            table.row([
                group_name(group.bucket.as_deref(), group.group),
                group.key_ids.iter().map(u32::to_string).collect::<Vec<_>>().join(", "),
                stage(group.stage).to_owned(),
                count(group.pages_done),
                count(group.pages_total),
                bytes(group.moved_bytes),
            ]);
        }
        text.push_str(&table.render());
        for group in &status.groups {
            if let Some(trouble) = &group.trouble {
                let name = group_name(group.bucket.as_deref(), group.group);
                writeln!(text, "{name} rests: {trouble}").expect("a String takes everything");
            }
        }
    }
    text
}

fn state(status: &ResealStatus) -> String {
    match (status.paused, status.groups.len()) {
        (true, 0) => "is paused; there is nothing to do".to_owned(),
        (true, _) => format!("is paused; {} to do after `strongroom admin reseal resume`", groups(status)),
        (false, 0) => "has nothing to do".to_owned(),
        (false, _) => format!("has {} to do, {} at once", groups(status), status.workers),
    }
}

fn groups(status: &ResealStatus) -> String {
    match status.groups.len() {
        1 => "1 group".to_owned(),
        many => format!("{many} groups"),
    }
}

fn rate(kib_per_second: u32) -> String {
    match kib_per_second {
        0 => "without a limit".to_owned(),
        kib => format!("at most {} MiB/s", f64::from(kib) / 1024.0),
    }
}

fn stage(stage: ResealStage) -> &'static str {
    match stage {
        ResealStage::Pages => "pages",
        ResealStage::Values => "keys in rows",
        ResealStage::Log => "waits for checkpoints",
        _ => "(unknown)",
    }
}

/// Bars on a terminal, lines of JSON for programs, a table per change otherwise.
async fn follow(door: &Connection, output: Output) -> Result<(), AdminFailure> {
    let bars = Bars::default();
    let mut last = None;
    loop {
        let status = status(door).await?;
        let done = status.groups.is_empty();
        let changed = last.as_ref() != Some(&status);
        if output.json {
            if changed {
                output.show(&status, words)?;
            }
        } else if !bars.hidden() {
            bars.show(&status);
        } else if changed && !done {
            output.show(&status, words)?;
        }
        if done {
            drop(bars);
            if !output.json {
                println!("nothing is left to do: every older key is retired");
            }
            return Ok(());
        }
        last = Some(status);
        tokio::time::sleep(FOLLOW_PAUSE).await;
    }
}

/// One bar per group.
#[derive(Debug, Default)]
struct Bars {
    all: MultiProgress,
    groups: std::cell::RefCell<std::collections::BTreeMap<u32, ProgressBar>>,
}

impl Bars {
    fn hidden(&self) -> bool {
        self.all.is_hidden()
    }

    fn show(&self, status: &ResealStatus) {
        let mut bars = self.groups.borrow_mut();
        for group in &status.groups {
            let bar = bars.entry(group.group).or_insert_with(|| self.all.add(bar()));
            bar.set_length(group.pages_total);
            bar.set_position(group.pages_done);
            bar.set_prefix(group_name(group.bucket.as_deref(), group.group));
            bar.set_message(message(group, status.paused));
        }
        bars.retain(|id, bar| {
            let there = status.groups.iter().any(|group| group.group == *id);
            if !there {
                bar.finish_with_message("older keys are retired");
            }
            there
        });
    }
}

fn message(group: &ResealProgress, paused: bool) -> String {
    let stage = stage(group.stage);
    let rests = match (&group.trouble, paused) {
        (Some(trouble), _) => format!(" (rests: {trouble})"),
        (None, true) => " (paused)".to_owned(),
        (None, false) => String::new(),
    };
    format!("{stage}, {} moved{rests}", bytes(group.moved_bytes))
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) =
        ProgressStyle::with_template("{prefix:20!} {bar:25} {human_pos:>9}/{human_len:<9} {msg}")
    {
        bar.set_style(style.progress_chars("█▌ "));
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_written_in_mib_and_kept_in_kib() {
        for (text, kib) in [("20", 20_480), ("0.5", 512), ("0", 0), ("0.001", 1)] {
            assert_eq!(kib_per_second(text), Ok(kib), "{text}");
        }
        for text in ["-1", "fast", "", "NaN", "inf", "1e12", "0.0001"] {
            assert!(kib_per_second(text).is_err(), "{text}");
        }
    }

    #[test]
    fn status_says_what_to_do_when_it_is_paused() {
        let progress = ResealProgress {
            group: 2,
            bucket: Some("photos".into()),
            key_ids: vec![1, 2],
            stage: ResealStage::Pages,
            pages_done: 10,
            pages_total: 1200,
            moved_bytes: 40_960,
            trouble: Some("the disk is full".into()),
        };
        let mut status =
            ResealStatus { paused: true, rate_kib_per_second: 1536, workers: 2, groups: vec![progress] };
        let text = words(&status);
        assert!(
            text.starts_with("re-sealing is paused; 1 group to do after `strongroom admin reseal resume`")
        );
        assert!(text.contains("at most 1.5 MiB/s"), "{text}");
        assert!(text.contains("photos rests: the disk is full\n"), "{text}");
        assert!(text.contains("photos  1, 2      pages     10  1,200  40.00 KiB"), "{text}");
        status = ResealStatus { paused: false, rate_kib_per_second: 0, groups: vec![], ..status };
        assert_eq!(words(&status), "re-sealing has nothing to do, without a limit\n");
    }
}
