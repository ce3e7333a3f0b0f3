//! What callers feel while pages move to a new key.

use serde::Deserialize;

use super::contender::{Kind, Programs, Took};
use crate::bench::Options;
use crate::bench::table::{Row, Target, median};
use crate::problem::Problem;

const FILLED: u64 = 300_000;
const SECONDS: u64 = 10;
const MIB: f64 = 1024.0 * 1024.0;

/// How fast pages may move, in KiB/s.
const CASES: [(&str, u32); 2] = [("at 8 MiB/s", 8 << 10), ("without a limit", 0)];

#[derive(Deserialize)]
struct Felt {
    moved: f64,
    quiet_commit: f64,
    busy_commit: f64,
    quiet_get: f64,
    busy_get: f64,
}

pub(super) fn run(options: &Options, programs: &Programs) -> Result<Vec<Row>, Problem> {
    if !options.wants("resealing") {
        return Ok(Vec::new());
    }
    println!("measuring re-sealing");
    let filled = options.scaled(FILLED);
    let seconds = options.scaled(SECONDS);
    let mut contender = programs.start(Kind::Sealed)?;
    let _: Took = contender.ask(&format!("fill {filled}"))?;
    let mut rows = Vec::new();
    for (name, kib) in CASES {
        let mut samples = Vec::new();
        for round in 0..=options.rounds {
            let felt: Felt = contender.ask(&format!("special reseal {filled} {seconds} {kib}"))?;
            if felt.moved == 0.0 {
                return Err(Problem::Failed { what: "moving pages to a new key".to_owned() });
            }
            if round > 0 {
                samples.push(felt);
            }
        }
        let middle = |value: &dyn Fn(&Felt) -> f64| median(&samples.iter().map(value).collect::<Vec<_>>());
        let moved = middle(&|felt| felt.moved) / MIB / f64::from(u32::try_from(seconds).unwrap_or(u32::MAX));
        if kib > 0 {
            let rate = f64::from(kib) / 1024.0;
            let mibs = |rate: f64| format!("{rate:.2} MiB/s");
            let name = format!("resealing: moved {name} / the rate");
            rows.push(Row::new(name, mibs(moved), mibs(rate), moved / rate, "x", Target::Between(0.9, 1.1)));
        }
        let row = |what: &str, busy: fn(&Felt) -> f64, quiet: fn(&Felt) -> f64| {
            let ms = |seconds: f64| format!("{:.2} ms", seconds * 1e3);
            let name = format!("resealing: p99 of {what} {name} ({moved:.1} MiB/s) / without");
            let ratio = middle(&|felt| busy(felt) / quiet(felt));
            Row::new(name, ms(middle(&busy)), ms(middle(&quiet)), ratio, "x", Target::AtMost(2.0))
        };
        rows.push(row("commits", |felt| felt.busy_commit, |felt| felt.quiet_commit));
        rows.push(row("gets", |felt| felt.busy_get, |felt| felt.quiet_get));
    }
    Ok(rows)
}
