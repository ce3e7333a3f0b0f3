//! `admin audit` and `admin events`.

use std::time::Duration;

use clap::Args;
use reqwest::Method;
use strongroom_api::admin::{AuditAct, AuditPage, AuditPlace, EventsReport};

use super::answer::{Output, count, duration};
use super::connection::Connection;
use super::error::AdminFailure;
use super::table::{Side, Table};
use crate::terminal::harmless;

/// How often a follower looks for more.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(super) struct AuditArgs {
    /// Only what was done since then: a time such as 2026-01-02T03:04:05Z, or so long ago: 90s, 15m, 24h, 7d
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<jiff::Timestamp>,
    /// Go on with what is done from now on, until interrupted
    #[arg(long)]
    follow: bool,
}

pub(super) async fn run(door: &Connection, output: Output, args: &AuditArgs) -> Result<(), AdminFailure> {
    let mut place = AuditPlace::default();
    loop {
        let after = String::from(place);
        let page: AuditPage = door.ask(Method::GET, "/audit", Some(("after", &after))).await?;
        place = page.next;
        for act in page.acts.iter().filter(|act| args.since.is_none_or(|since| is_since(act, since))) {
            output.show(act, line)?;
        }
        match (page.acts.is_empty(), args.follow) {
            (false, _) => {}
            (true, true) => tokio::time::sleep(LOOK).await,
            (true, false) => return Ok(()),
        }
    }
}

pub(super) async fn events(door: &Connection, output: Output) -> Result<(), AdminFailure> {
    let report: EventsReport = door.ask(Method::GET, "/events", None).await?;
    output.show(&report, words)
}

fn since(text: &str) -> Result<jiff::Timestamp, String> {
    let ago = || {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return None,
        };
        let seconds = number.parse::<u32>().ok().map(|number| u64::from(number) * seconds)?;
        jiff::Timestamp::now().checked_sub(Duration::from_secs(seconds)).ok()
    };
    let time = ago().or_else(|| text.parse().ok());
    time.ok_or_else(|| "write a time such as 2026-01-02T03:04:05Z, or 90s, 15m, 24h, 7d".to_owned())
}

fn is_since(act: &AuditAct, since: jiff::Timestamp) -> bool {
    // What has no time is shown rather than hidden.
    act.at.parse::<jiff::Timestamp>().map_or(true, |at| at >= since)
}

fn line(act: &AuditAct) -> String {
    let by = if act.by.is_empty() { "-" } else { &act.by };
    let mut line = format!("{}  {}  {}  by {by}", act.at, act.name, act.subject);
    if !act.detail.is_empty() {
        line.push_str("  (");
        line.push_str(&act.detail);
        line.push(')');
    }
    harmless(&line).into_owned() + "\n"
}

fn words(report: &EventsReport) -> String {
    if report.targets.is_empty() {
        return "no webhooks are configured\n".to_owned();
    }
    let mut table = Table::new([
        ("TARGET", Side::Left),
        ("WAITING", Side::Right),
        ("OLDEST", Side::Left),
        ("FAILURES", Side::Right),
        ("LAST ATTEMPT", Side::Left),
        ("ANSWER", Side::Left),
    ]);
    for target in &report.targets {
        let or_dash = |seconds: Option<u64>| seconds.map_or_else(|| "-".to_owned(), duration);
        table.row([
            target.id.clone(),
            count(target.pending),
            or_dash(target.oldest_seconds),
            count(u64::from(target.failures)),
            target
                .last_attempt_seconds
                .map_or_else(|| "-".to_owned(), |ago| format!("{} ago", duration(ago))),
            target.last_answer.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_given_as_they_are_or_as_so_long_ago() {
        assert_eq!(since("2026-01-02T03:04:05Z").unwrap().as_second(), 1_767_323_045);
        let hour = jiff::Timestamp::now().as_second() - since("1h").unwrap().as_second();
        assert!((3599..=3602).contains(&hour), "{hour}");
        for bad in ["", "h", "1", "1w", "-1h", "yesterday", "ü"] {
            assert!(since(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_line_says_when_what_and_who() {
        let act = AuditAct {
            at: "2026-01-02T03:04:05.678Z".to_owned(),
            name: "PolicyAttached".to_owned(),
            by: "root".to_owned(),
            subject: "readonly".to_owned(),
            detail: "user ann".to_owned(),
        };
        assert_eq!(line(&act), "2026-01-02T03:04:05.678Z  PolicyAttached  readonly  by root  (user ann)\n");
    }
}
