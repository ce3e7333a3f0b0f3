//! The store by itself: sealed against unsealed, SQLCipher and plain redb, with the same rows in the same commits.
//!
//! All contenders of a case are open at once and take turns in every round, so a slow moment of the machine meets all
//! of them. Ratios are medians of the rounds' ratios. docs/benchmarks.md says what each row means.

mod commits;
mod contender;
mod reads;
mod resealing;
mod resting;

use self::contender::{Contender, Kind, Programs, Took};
use crate::bench::Options;
use crate::bench::table::{self, Row, Target, median};
use crate::problem::Problem;

/// Prints the table of the store.
pub(super) fn run(options: &Options) -> Result<(), Problem> {
    let programs = Programs::build()?;
    let mut rows = commits::run(options, &programs)?;
    rows.extend(reads::run(options, &programs)?);
    rows.extend(resting::run(options, &programs)?);
    rows.extend(resealing::run(options, &programs)?);
    table::show("store", "other", &rows)
}

/// All four contenders, with the same rows in them.
struct Field(Vec<(Kind, Contender)>);

impl Field {
    fn start(programs: &Programs, rows: u64) -> Result<Self, Problem> {
        let mut field = Vec::new();
        for kind in Kind::ALL {
            let mut contender = programs.start(kind)?;
            let _: Took = contender.ask(&format!("fill {rows}"))?;
            field.push((kind, contender));
        }
        Ok(Self(field))
    }

    /// What each contender gave in each round. They begin in turn; the first round warms caches and does not count.
    fn rounds(
        &mut self,
        rounds: usize,
        mut turn: impl FnMut(&mut Contender) -> Result<Took, Problem>,
    ) -> Result<Rounds, Problem> {
        let mut samples = vec![Vec::new(); Kind::ALL.len()];
        for round in 0..=rounds {
            for step in 0..self.0.len() {
                let at = (round + step) % self.0.len();
                let (kind, contender) = &mut self.0[at];
                let took = turn(contender)?;
                if round > 0 {
                    samples[*kind as usize].push(took);
                }
            }
        }
        Ok(Rounds(samples))
    }
}

/// For each contender, a sample of each round.
struct Rounds(Vec<Vec<Took>>);

impl Rounds {
    /// Ours over another's, or the other way round if less is more.
    fn row(
        &self,
        name: &str,
        against: Kind,
        value: fn(&Took) -> f64,
        shown: &dyn Fn(f64) -> String,
        less_is_more: bool,
        target: Target,
    ) -> Row {
        let (ours, theirs) = (&self.0[Kind::Sealed as usize], &self.0[against as usize]);
        let ratio = |(ours, theirs): (&Took, &Took)| {
            if less_is_more { value(theirs) / value(ours) } else { value(ours) / value(theirs) }
        };
        let ratios: Vec<f64> = ours.iter().zip(theirs).map(ratio).collect();
        let middle = |samples: &[Took]| shown(median(&samples.iter().map(value).collect::<Vec<_>>()));
        let name = format!("{name} / {}", against.name());
        Row::new(name, middle(ours), middle(theirs), median(&ratios), "x", target)
    }

    fn cpu(&self, name: &str, against: Kind, target: Target) -> Row {
        self.row(&format!("{name}, CPU"), against, Took::cpu_us, &|us| format!("{us:.1} us"), true, target)
    }
}

/// Thousands, for columns that are not wide.
fn short(number: f64) -> String {
    if number >= 100_000.0 { format!("{:.0}k", number / 1000.0) } else { format!("{number:.0}") }
}
