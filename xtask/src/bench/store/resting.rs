//! What rests: room on the disk, the time to open after a kill, and the memory that it took.

use serde::Deserialize;

use super::contender::{Kind, Programs, Took};
use crate::bench::Options;
use crate::bench::table::{Row, Target, median};
use crate::problem::Problem;

const MIB: f64 = 1024.0 * 1024.0;
/// Rows for the measures of space and memory, in steps that each end with a checkpoint. Not less for a quick look: page
/// files begin with room for their roots, which counts for little only in larger ones.
const STEP: u64 = 100_000;
const STEPS: u64 = 5;
/// Log to replay.
const LOG_MIB: u64 = 256;

pub(super) fn run(options: &Options, programs: &Programs) -> Result<Vec<Row>, Problem> {
    let mut rows = Vec::new();
    if options.wants("space") || options.wants("memory") {
        rows.extend(space(programs)?);
    }
    if options.wants("recovery") {
        rows.extend(recovery(options, programs)?);
    }
    Ok(rows)
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Space {
    length: f64,
    blocks: f64,
    all_blocks: f64,
}

#[derive(Deserialize)]
struct Memory {
    kib: f64,
}

fn space(programs: &Programs) -> Result<Vec<Row>, Problem> {
    println!("measuring space and memory");
    let measure = |kind| -> Result<(Space, f64), Problem> {
        let mut contender = programs.start(kind)?;
        for step in 1..=STEPS {
            let _: Took = contender.ask(&format!("fill {}", step * STEP))?;
        }
        let memory: Memory = contender.ask("memory")?;
        Ok((contender.ask("space")?, memory.kib / 1024.0))
    };
    let (ours, memory) = measure(Kind::Sealed)?;
    let shown = |bytes: f64| format!("{:.1} MiB", bytes / MIB);
    let over = |name: &str, ours: f64, theirs: f64, target| {
        let percent = (ours / theirs - 1.0) * 100.0;
        Row::new(format!("space: {name}"), shown(ours), shown(theirs), percent, "% more", target)
    };
    // The same transactions, so that what differs is the format.
    let (lazy, _) = measure(Kind::RedbLazy)?;
    let mut rows = vec![
        over(
            "blocks of the rows / plain redb, same transactions",
            ours.blocks,
            lazy.blocks,
            Target::AtMost(1.5),
        ),
        over(
            "length of the rows' file / plain redb, same transactions",
            ours.length,
            lazy.length,
            Target::None,
        ),
    ];
    for kind in [Kind::Redb, Kind::SqlCipher] {
        let (theirs, their_memory) = measure(kind)?;
        let name = format!("everything / {}, durable commits", kind.name());
        rows.push(over(&name, ours.all_blocks, theirs.all_blocks, Target::None));
        let mib = |mib: f64| format!("{mib:.0} MiB");
        let name = format!("memory: filling / {}", kind.name());
        rows.push(Row::new(name, mib(memory), mib(their_memory), memory / their_memory, "x", Target::None));
    }
    Ok(rows)
}

#[derive(Deserialize)]
struct Recovered {
    log_bytes: f64,
    seconds: f64,
    cpu: f64,
}

fn recovery(options: &Options, programs: &Programs) -> Result<Vec<Row>, Problem> {
    println!("measuring recovery");
    let order = format!("special recover {}", options.scaled(LOG_MIB));
    let mut samples = [Vec::new(), Vec::new()];
    for round in 0..options.rounds.min(3) {
        for at in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            let mut contender = programs.start([Kind::Sealed, Kind::Unsealed][at])?;
            samples[at].push(contender.ask::<Recovered>(&order)?);
        }
    }
    let row = |what: &str, value: fn(&Recovered) -> f64| {
        let each = |took: &Recovered| value(took) / (took.log_bytes / MIB / 1024.0);
        let [ours, theirs] = [0, 1].map(|at| median(&samples[at].iter().map(each).collect::<Vec<_>>()));
        let shown = |seconds: f64| format!("{seconds:.1} s/GiB");
        let name = format!("recovery: {what} for each GiB of log / unsealed");
        Row::new(name, shown(ours), shown(theirs), theirs / ours, "x", Target::None)
    };
    Ok(vec![row("time", |took| took.seconds), row("CPU", |took| took.cpu)])
}
