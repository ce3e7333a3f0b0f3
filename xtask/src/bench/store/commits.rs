//! Durable commits: how many, and of how many rows.

use super::contender::{Kind, Programs, Took};
use super::{Field, short};
use crate::bench::Options;
use crate::bench::table::{Row, Target};
use crate::problem::Problem;

/// Rows that are there before.
const FILLED: u64 = 100_000;

struct Case {
    rows: u32,
    writers: u64,
    commits: u64,
}

const CASES: [Case; 6] = [
    Case { rows: 1, writers: 1, commits: 400 },
    Case { rows: 1, writers: 32, commits: 4000 },
    Case { rows: 100, writers: 1, commits: 200 },
    Case { rows: 100, writers: 32, commits: 640 },
    Case { rows: 1000, writers: 1, commits: 50 },
    Case { rows: 1000, writers: 32, commits: 128 },
];

pub(super) fn run(options: &Options, programs: &Programs) -> Result<Vec<Row>, Problem> {
    let mut rows = Vec::new();
    for case in CASES.iter().filter(|case| options.wants(&case.name())) {
        println!("measuring {}", case.name());
        let mut field = Field::start(programs, options.scaled(FILLED))?;
        let commits = options.scaled(case.commits).max(case.writers);
        let order = format!("commit {} {} {commits}", case.rows, case.writers);
        rows.extend(case.table(&field.rounds(options.rounds, |contender| contender.ask(&order))?));
    }
    Ok(rows)
}

impl Case {
    fn name(&self) -> String {
        let plural = |count| if count == 1 { "" } else { "s" };
        format!(
            "commits: {} row{}, {} writer{}",
            self.rows,
            plural(self.rows.into()),
            self.writers,
            plural(self.writers)
        )
    }

    fn table(&self, rounds: &super::Rounds) -> Vec<Row> {
        let name = self.name();
        let rows = f64::from(self.rows);
        let rate = |commits: f64| {
            let rows = if self.rows == 1 { String::new() } else { format!(" {} r/s", short(commits * rows)) };
            format!("{} c/s{rows}", short(commits))
        };
        let against = |kind, target| rounds.row(&name, kind, Took::per_second, &rate, false, target);
        let times = if self.writers == 1 { 1.0 } else { 3.0 };
        let ms = |seconds: f64| format!("{:.2} ms", seconds * 1e3);
        let latency = |what: &str, value| {
            rounds.row(&format!("{name}, {what}"), Kind::SqlCipher, value, &ms, true, Target::None)
        };
        vec![
            against(Kind::Unsealed, Target::AtLeast(0.9)),
            rounds.cpu(&name, Kind::Unsealed, Target::None),
            against(Kind::SqlCipher, Target::AtLeast(times)),
            rounds.cpu(&name, Kind::SqlCipher, Target::None),
            latency("p50", |took| took.p50),
            latency("p99", |took| took.p99),
            against(Kind::Redb, Target::None),
            rounds.cpu(&name, Kind::Redb, Target::None),
        ]
    }
}
