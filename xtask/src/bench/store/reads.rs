//! Rows picked at random, and stretches of rows.

use super::contender::{Contender, Kind, Programs, Took};
use super::{Field, short};
use crate::bench::Options;
use crate::bench::table::{Row, Target};
use crate::problem::Problem;

const FILLED: u64 = 300_000;
/// More than all rows need in any contender.
const CACHE_LARGE: u64 = 256 << 20;
/// A small part of them.
const CACHE_SMALL: u64 = 4 << 20;
const SCAN_ROWS: u64 = 100;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    /// Everything is in the store's own cache.
    Cached,
    /// Nearly nothing is, but all of it in the kernel's.
    Kernel,
    /// Nothing is in either: opened anew, and the kernel was told to forget the files.
    Cold,
}

struct Case {
    name: &'static str,
    place: Where,
    scan: bool,
    count: u64,
}

const CASES: [Case; 6] = [
    Case { name: "gets: cached", place: Where::Cached, scan: false, count: 300_000 },
    Case { name: "gets: cold", place: Where::Cold, scan: false, count: 3_000 },
    Case { name: "gets: small cache", place: Where::Kernel, scan: false, count: 100_000 },
    Case { name: "scans: cached", place: Where::Cached, scan: true, count: 10_000 },
    Case { name: "scans: cold", place: Where::Cold, scan: true, count: 600 },
    Case { name: "scans: small cache", place: Where::Kernel, scan: true, count: 10_000 },
];

pub(super) fn run(options: &Options, programs: &Programs) -> Result<Vec<Row>, Problem> {
    if !CASES.iter().any(|case| options.wants(case.name)) {
        return Ok(Vec::new());
    }
    println!("filling stores to read from");
    let mut field = Field::start(programs, options.scaled(FILLED))?;
    let mut rows = Vec::new();
    for case in CASES.iter().filter(|case| options.wants(case.name)) {
        println!("measuring {}", case.name);
        for (_, contender) in &mut field.0 {
            case.prepare(contender)?;
        }
        let count = options.scaled(case.count);
        let order = if case.scan { format!("scan {SCAN_ROWS} {count}") } else { format!("get {count}") };
        let rounds = field.rounds(options.rounds, |contender| {
            if case.place == Where::Cold {
                cool(contender)?;
            }
            contender.ask(&order)
        })?;
        rows.extend(case.table(&rounds));
    }
    Ok(rows)
}

fn cool(contender: &mut Contender) -> Result<(), Problem> {
    contender.ask::<serde_json::Value>(&format!("cool {CACHE_SMALL}")).map(drop)
}

impl Case {
    fn prepare(&self, contender: &mut Contender) -> Result<(), Problem> {
        let cache = if self.place == Where::Cached { CACHE_LARGE } else { CACHE_SMALL };
        contender.ask::<Took>(&format!("cache {cache}")).map(drop)
    }

    fn table(&self, rounds: &super::Rounds) -> Vec<Row> {
        let value = if self.scan { Took::rows_per_second } else { Took::per_second };
        let unit = if self.scan { "rows/s" } else { "gets/s" };
        let shown = |number: f64| format!("{} {unit}", short(number));
        // Every page of a small cache over a warm kernel cache is decrypted and nothing is waited for: the worst case,
        // shown but not promised.
        let promised = if self.place == Where::Kernel { Target::None } else { Target::AtLeast(0.9) };
        let against = |kind, target| rounds.row(self.name, kind, value, &shown, false, target);
        vec![
            against(Kind::Unsealed, promised),
            rounds.cpu(self.name, Kind::Unsealed, Target::None),
            against(Kind::Redb, Target::None),
            against(Kind::SqlCipher, Target::None),
        ]
    }
}
