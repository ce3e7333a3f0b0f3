//! Ours against ours: what sealing costs, how much memory and disk traffic an operation takes.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::bench::Options;
use crate::bench::load::{Endpoint, Measured, Signed, Until, count};
use crate::bench::serve::Served;
use crate::bench::table::{self, Row, Target, median};
use crate::problem::Problem;
use crate::process;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;
/// As long as the parts of common clients, or longer.
const PART: u64 = 64 * MIB;
const PARTS_AT_ONCE: usize = 4;
const UPLOADS_AT_ONCE: usize = 8;
const CHUNK: f64 = 64.0 * 1024.0 + 16.0;

/// Prints the table of every promise about speed, memory and disk traffic.
pub(super) fn run(options: &Options) -> Result<(), Problem> {
    let mut rows = Vec::new();
    if options.wants("seal and open") {
        rows.extend(cipher()?);
    }
    println!("building the release binary");
    let sealed = build(false)?;
    if options.wants("sealing") {
        println!("building the same without sealing");
        rows.extend(sealing(options, &sealed, &build(true)?)?);
    }
    rows.extend(memory(options, &sealed)?);
    if options.wants("range") {
        rows.push(range(&sealed)?);
    }
    if options.wants("fsync") {
        rows.push(fsyncs(options, &sealed)?);
    }
    table::show("own", "other", &rows)
}

/// The binary that users get, or the one whose suite does nothing, which only this build can make.
fn build(unsealed: bool) -> Result<PathBuf, Problem> {
    let mut command = process::cargo();
    command.args(["build", "--locked", "--quiet", "--release", "-p", "strongroom"]);
    let mut folder = process::target_dir();
    if unsealed {
        folder = folder.join("bench-unsealed");
        command.args(["--features", "bench-unsealed"]).env("STRONGROOM_BENCH_BUILD", "1");
        command.env("CARGO_TARGET_DIR", &folder);
    }
    process::loud(&mut command)?;
    Ok(folder.join("release/strongroom"))
}

#[derive(Deserialize)]
struct CipherReport {
    rows: Vec<CipherRow>,
}

#[derive(Deserialize)]
struct CipherRow {
    ours: String,
    against: String,
    ours_gib_s: f64,
    against_gib_s: f64,
    ratio: f64,
    target: Option<f64>,
}

/// Sealed streams against the bare cipher, in one process.
fn cipher() -> Result<Vec<Row>, Problem> {
    println!("measuring sealed streams against the bare cipher");
    let mut command = process::cargo();
    command.args([
        "bench",
        "--locked",
        "--quiet",
        "-p",
        "strongroom-seal",
        "--bench",
        "throughput",
        "--",
        "--json",
    ]);
    let text = process::quiet(&mut command)?;
    let line = text.lines().find(|line| line.starts_with('{')).unwrap_or("");
    let report: CipherReport = serde_json::from_str(line).map_err(|error| Problem::Unreadable {
        what: "the bench of strongroom-seal",
        reason: error.to_string(),
    })?;
    let row = |row: CipherRow| {
        let name = format!("seal and open: {} / {}", row.ours, row.against);
        let target = row.target.map_or(Target::None, Target::AtLeast);
        let shown = |speed: f64| format!("{speed:.2} GiB/s");
        Row::new(name, shown(row.ours_gib_s), shown(row.against_gib_s), row.ratio, "x", target)
    };
    Ok(report.rows.into_iter().map(row).collect())
}

/// One thing that both builds do in turn.
struct Case {
    name: &'static str,
    requests: fn(&Endpoint) -> Result<Vec<Signed>, Problem>,
    connections: usize,
    until: Until,
    large: bool,
}

const CASES: [Case; 4] = [
    Case {
        name: "PUT 256 MiB",
        requests: puts_large,
        connections: 1,
        until: Until::Requests(2),
        large: true,
    },
    Case {
        name: "GET 256 MiB",
        requests: gets_large,
        connections: 1,
        until: Until::Requests(4),
        large: true,
    },
    Case {
        name: "PUT 4 KiB",
        requests: puts_small,
        connections: 16,
        until: Until::Seconds(3.0),
        large: false,
    },
    Case {
        name: "GET 4 KiB",
        requests: gets_small,
        connections: 16,
        until: Until::Seconds(3.0),
        large: false,
    },
];

fn puts_large(endpoint: &Endpoint) -> Result<Vec<Signed>, Problem> {
    (0..2).map(|n| endpoint.put(&format!("large {n}"), 256 * MIB)).collect()
}

fn gets_large(endpoint: &Endpoint) -> Result<Vec<Signed>, Problem> {
    (0..2).map(|n| endpoint.get(&format!("large {n}"))).collect()
}

fn puts_small(endpoint: &Endpoint) -> Result<Vec<Signed>, Problem> {
    (0..2000).map(|n| endpoint.put(&format!("small {n}"), 4 * KIB)).collect()
}

fn gets_small(endpoint: &Endpoint) -> Result<Vec<Signed>, Problem> {
    (0..2000).map(|n| endpoint.get(&format!("small {n}"))).collect()
}

/// Sealed against unsealed, taking turns; the ratio is the median of those of each round.
fn sealing(options: &Options, sealed: &Path, unsealed: &Path) -> Result<Vec<Row>, Problem> {
    let servers = [Served::ours(sealed)?, Served::ours(unsealed)?];
    let endpoints = [servers[0].bucket("bench")?, servers[1].bucket("bench")?];
    for endpoint in &endpoints {
        endpoint.run(&puts_large(endpoint)?, 1, Until::Requests(2))?;
        endpoint.run(&puts_small(endpoint)?, 16, Until::Requests(2000))?;
    }
    let mut rows = Vec::new();
    for case in CASES.iter().filter(|case| options.wants(&format!("sealing: {}", case.name))) {
        println!("measuring {}", case.name);
        let mut speeds = [Vec::new(), Vec::new()];
        let mut ratios = Vec::new();
        for round in 0..=options.rounds {
            let mut speed = [0.0; 2];
            for which in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
                let requests = (case.requests)(&endpoints[which])?;
                let measured = endpoints[which].run(&requests, case.connections, case.until)?;
                speed[which] = if case.large { measured.mb_per_second() } else { measured.per_second() };
            }
            // The first round warms caches.
            if round > 0 {
                ratios.push(speed[0] / speed[1]);
                speeds[0].push(speed[0]);
                speeds[1].push(speed[1]);
            }
        }
        let unit = if case.large { "MB/s" } else { "ops/s" };
        let shown = |values: &[f64]| format!("{:.0} {unit}", median(values));
        let name = format!("sealing: {} / unsealed", case.name);
        rows.push(Row::new(
            name,
            shown(&speeds[0]),
            shown(&speeds[1]),
            median(&ratios),
            "x",
            Target::AtLeast(0.9),
        ));
    }
    Ok(rows)
}

/// Highest resident memory of a fresh server after `upload` put an object `k` of this size there and it was read once.
fn peak_mib(
    binary: &Path,
    size: u64,
    upload: impl FnOnce(&Endpoint) -> Result<(), Problem>,
) -> Result<f64, Problem> {
    let server = Served::ours(binary)?;
    let endpoint = server.bucket("bench")?;
    upload(&endpoint)?;
    let got = endpoint.run(&[endpoint.get("k")?], 1, Until::Requests(1))?;
    if got.body_bytes != size {
        return Err(Problem::Failed { what: format!("reading {size} bytes back ({} came)", got.body_bytes) });
    }
    server.memory_mib("VmHWM")
}

/// One request.
fn peak_of_put(binary: &Path, size: u64) -> Result<f64, Problem> {
    peak_mib(binary, size, |endpoint| {
        endpoint.run(&[endpoint.put("k", size)?], 1, Until::Requests(1)).map(drop)
    })
}

/// The same in parts, as clients send large objects.
fn peak_of_parts(binary: &Path, size: u64) -> Result<f64, Problem> {
    let parts = u16::try_from(size / PART).expect("a benchmark's object has few parts");
    peak_mib(binary, size, |endpoint| endpoint.upload_in_parts("k", PART, parts, PARTS_AT_ONCE))
}

/// Several uploads at the same time, each in one request.
fn peak_of_parallel(binary: &Path, size: u64) -> Result<f64, Problem> {
    peak_mib(binary, size, |endpoint| {
        let puts = (1..UPLOADS_AT_ONCE).map(|n| endpoint.put(&format!("other {n}"), size));
        let puts = std::iter::once(endpoint.put("k", size)).chain(puts).collect::<Result<Vec<_>, _>>()?;
        endpoint.run(&puts, UPLOADS_AT_ONCE, Until::Requests(UPLOADS_AT_ONCE)).map(drop)
    })
}

fn memory(options: &Options, binary: &Path) -> Result<Vec<Row>, Problem> {
    let shown = |mib: f64| format!("{mib:.0} MiB");
    let below = |name: &str, mib: f64| Row::new(name, shown(mib), "", mib, "MiB", Target::AtMost(256.0));
    let mut rows = Vec::new();
    if options.wants("peak memory: 4 GiB object") || options.wants("peak memory: 4 GiB - 64 MiB object") {
        println!("measuring memory for 64 MiB and 4 GiB");
        let (small, large) = (peak_of_put(binary, 64 * MIB)?, peak_of_put(binary, 4 * GIB)?);
        rows.push(below("peak memory: 4 GiB object", large));
        rows.push(Row::new(
            "peak memory: 4 GiB - 64 MiB object",
            shown(large),
            shown(small),
            large - small,
            "MiB",
            Target::AtMost(64.0),
        ));
    }
    if options.wants("peak memory: 4 GiB in parts") {
        println!("measuring memory for 4 GiB in parts of {} MiB, {PARTS_AT_ONCE} at once", PART / MIB);
        rows.push(below("peak memory: 4 GiB in parts", peak_of_parts(binary, 4 * GIB)?));
    }
    let parallel = format!("peak memory: {UPLOADS_AT_ONCE} parallel uploads");
    if options.wants(&parallel) {
        println!("measuring memory for {UPLOADS_AT_ONCE} uploads of 256 MiB at once");
        rows.push(below(&parallel, peak_of_parallel(binary, 256 * MIB)?));
    }
    Ok(rows)
}

/// Bytes read from blobs for a small range of a large object.
fn range(binary: &Path) -> Result<Row, Problem> {
    println!("measuring what a range reads");
    let server = Served::ours(binary)?;
    let endpoint = server.bucket("bench")?;
    endpoint.run(&[endpoint.put("k", GIB)?], 1, Until::Requests(1))?;
    let before = server.metric("strongroom_blobs_read_bytes_total")?;
    let ranges = 16_u64;
    let requests = (0..ranges).map(|n| {
        let first = n * (GIB / ranges) + 12_345 * n;
        endpoint.get_range("k", first, first + KIB - 1)
    });
    let requests = requests.collect::<Result<Vec<_>, _>>()?;
    let measured = endpoint.run(&requests, 1, Until::Requests(requests.len()))?;
    if measured.body_bytes != ranges * KIB {
        return Err(Problem::Failed { what: "reading ranges".to_owned() });
    }
    let read = (server.metric("strongroom_blobs_read_bytes_total")? - before) / count(requests.len());
    let ours = format!("{read:.0} bytes");
    // A header at the front of the file may have to be read too.
    Ok(Row::new("range: 1 KiB of 1 GiB, in chunks", ours, "", read / CHUNK, "chunks", Target::AtMost(2.01)))
}

/// Acknowledged writes that share one fsync of the log.
fn fsyncs(options: &Options, binary: &Path) -> Result<Row, Problem> {
    println!("measuring writes per fsync");
    let server = Served::ours(binary)?;
    let endpoint = server.bucket("bench")?;
    let requests = puts_small(&endpoint)?;
    let mut ratios = Vec::new();
    let mut last: Option<Measured> = None;
    for _ in 0..options.rounds {
        let before = server.metric("strongroom_log_fsyncs_total")?;
        let measured = endpoint.run(&requests, 32, Until::Seconds(3.0))?;
        ratios.push(count(measured.operations) / (server.metric("strongroom_log_fsyncs_total")? - before));
        last = Some(measured);
    }
    let ours = last
        .map_or(String::new(), |m| format!("{:.0} ops/s, p99 {:.1} ms", m.per_second(), m.latency_ms(0.99)));
    Ok(Row::new(
        "fsync: 4 KiB PUTs of 32 clients each",
        ours,
        "",
        median(&ratios),
        "PUTs",
        Target::AtLeast(8.0),
    ))
}
