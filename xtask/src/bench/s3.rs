//! What the S3 face adds to an answer, and what a listing costs in buckets of different sizes.
//!
//! The empty answer is HeadBucket: the same listener, HTTP, signature check and authorisation as a GET, a look into
//! a map in memory, and a reply without a body. What a GET of a small object takes beyond it is the store's work. There are
//! as many empty answers asked for as objects, each request written for itself: what the load generator reads from memory to send
//! them then weighs on both sides alike.

use std::path::Path;

use crate::bench::Options;
use crate::bench::load::{Endpoint, Form, Signed, Until, bytes, count};
use crate::bench::policy;
use crate::bench::serve::Served;
use crate::bench::table::{self, Row, Target, median};
use crate::problem::Problem;
use crate::process;

const SIZE: u64 = 4 * 1024;
const OBJECTS: u64 = 2000;
const CONNECTIONS: usize = 16;
const SECONDS: f64 = 3.0;
/// Keys of the bucket that is listed, and of the one that it is compared with.
const KEYS: [u64; 2] = [1_000_000, 10_000];
const KEYS_QUICK: [u64; 2] = [100_000, 10_000];
/// Content of the objects that are there to be listed, in bytes.
const LISTED_SIZE: u64 = 100;
/// Requests that are signed at a time while a bucket is filled: a million URLs would be a gigabyte.
const BATCH: u64 = 20_000;
const FILLERS: usize = 64;
const PAGES: u64 = 200;
const PAGE_KEYS: usize = 1000;

/// Prints the table.
pub(super) fn run(options: &Options) -> Result<(), Problem> {
    println!("building the release binary");
    process::loud(process::cargo().args(["build", "--locked", "--quiet", "--release", "-p", "strongroom"]))?;
    let binary = process::target_dir().join("release/strongroom");
    let mut rows = Vec::new();
    if options.wants("GET 4 KiB") {
        rows.extend(small_reads(options, &binary)?);
    }
    if options.wants("decision") {
        rows.extend(policy::decisions()?);
    }
    if options.wants("LIST") {
        rows.extend(listings(options, &binary)?);
    }
    table::show("s3", "other", &rows)
}

/// Answers a second and processor time of the server for one of them.
#[derive(Clone, Copy)]
struct Sample {
    per_second: f64,
    cpu_us: f64,
}

fn sample(server: &Served, endpoint: &Endpoint, requests: &[Signed]) -> Result<Sample, Problem> {
    let before = server.cpu_seconds()?;
    let measured = endpoint.run(requests, CONNECTIONS, Until::Seconds(SECONDS))?;
    let cpu = server.cpu_seconds()? - before;
    Ok(Sample { per_second: measured.per_second(), cpu_us: cpu * 1e6 / count(measured.operations) })
}

/// A small object out of the cache against an answer that holds nothing.
fn small_reads(options: &Options, binary: &Path) -> Result<Vec<Row>, Problem> {
    println!("measuring 4 KiB reads beside empty answers");
    let server = Served::ours(binary)?;
    let endpoint = server.bucket("bench")?;
    let puts =
        (0..OBJECTS).map(|n| endpoint.put(&format!("small {n}"), SIZE)).collect::<Result<Vec<_>, _>>()?;
    endpoint.run(&puts, CONNECTIONS, Until::Requests(puts.len()))?;
    // Nothing is decided for root; for a user each request needs a decision.
    let user = policy::as_user(&server, binary, &endpoint)?;
    let mut rows = Vec::new();
    for (who, asking) in [("", &endpoint), (", as a user", &user)] {
        // One is what the processor's own caches hold, as they hold all that an empty answer says. Many are read from memory.
        let many = format!("{OBJECTS} objects");
        for (which, objects, form) in [
            ("one object", 1, Form::Headers),
            (many.as_str(), OBJECTS, Form::Headers),
            (&format!("{many}, presigned"), OBJECTS, Form::Url),
        ] {
            let name = format!("GET 4 KiB of {which} / empty answer{who}");
            rows.extend(pair(options, &server, asking, (objects, form), &name)?);
        }
    }
    Ok(rows)
}

/// Reads of so many objects beside empty answers, both signed in this form with the credentials of `endpoint`.
fn pair(
    options: &Options,
    server: &Served,
    endpoint: &Endpoint,
    (objects, form): (u64, Form),
    name: &str,
) -> Result<Vec<Row>, Problem> {
    let gets = (0..objects).map(|n| endpoint.get_as(form, &format!("small {n}")));
    let gets = gets.collect::<Result<Vec<_>, _>>()?;
    let heads = (0..objects).map(|_| endpoint.head_bucket(form)).collect::<Result<Vec<_>, _>>()?;
    let contenders = [gets, heads];
    let mut rates = [Vec::new(), Vec::new()];
    let mut cpu = [Vec::new(), Vec::new()];
    let mut ratios = [Vec::new(), Vec::new()];
    for round in 0..=options.rounds {
        let mut taken = [Sample { per_second: 0.0, cpu_us: 0.0 }; 2];
        for which in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            taken[which] = sample(server, endpoint, &contenders[which])?;
        }
        // The first round warms caches.
        if round > 0 {
            ratios[0].push(taken[0].per_second / taken[1].per_second);
            ratios[1].push(taken[1].cpu_us / taken[0].cpu_us);
            for which in [0, 1] {
                rates[which].push(taken[which].per_second);
                cpu[which].push(taken[which].cpu_us);
            }
        }
    }
    let rate = |values: &[f64]| format!("{:.0} ops/s", median(values));
    let time = |values: &[f64]| format!("{:.0} us", median(values));
    Ok(vec![
        Row::new(name, rate(&rates[0]), rate(&rates[1]), median(&ratios[0]), "x", Target::AtLeast(0.8)),
        Row::new(format!("{name}, CPU"), time(&cpu[0]), time(&cpu[1]), median(&ratios[1]), "x", Target::None),
    ])
}

/// Pages of a thousand keys, from everywhere in a bucket of many keys and in one of few.
fn listings(options: &Options, binary: &Path) -> Result<Vec<Row>, Problem> {
    let server = Served::ours(binary)?;
    let keys = if options.quick { KEYS_QUICK } else { KEYS };
    let mut pages = Vec::new();
    for many in keys {
        let endpoint = server.bucket(&format!("keys-{many}"))?;
        println!("filling a bucket with {many} keys");
        fill(&endpoint, many)?;
        let requests = (0..PAGES).map(|n| {
            // From places that follow no order, each with a full page behind it.
            let from = n.wrapping_mul(2_654_435_761) % (many - PAGE_KEYS as u64);
            endpoint.list_after(&name(from), PAGE_KEYS)
        });
        pages.push((endpoint.clone(), requests.collect::<Result<Vec<_>, _>>()?));
    }
    println!("measuring listings");
    let mut medians = [Vec::new(), Vec::new()];
    let mut tails = [Vec::new(), Vec::new()];
    let mut ratios = Vec::new();
    for round in 0..=options.rounds {
        let mut taken = [0.0; 2];
        for which in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            let (endpoint, requests) = &pages[which];
            let measured = endpoint.run(requests, 1, Until::Requests(requests.len()))?;
            // A page of a thousand has at least the names themselves.
            if bytes(measured.body_bytes) / count(measured.operations) < count(PAGE_KEYS * name(0).len()) {
                return Err(Problem::Failed { what: "listing full pages".to_owned() });
            }
            taken[which] = measured.latency_ms(0.5);
            if round > 0 {
                medians[which].push(taken[which]);
                tails[which].push(measured.latency_ms(0.99));
            }
        }
        if round > 0 {
            ratios.push(taken[0] / taken[1]);
        }
    }
    let shown = |values: &[f64]| format!("{:.2} ms", median(values));
    let row = |what: &str, values: &[Vec<f64>; 2], target| {
        let name = format!("LIST 1000 of {} / of {}, {what}", keys[0], keys[1]);
        Row::new(name, shown(&values[0]), shown(&values[1]), median(&values[0]), "ms", target)
    };
    Ok(vec![
        row("median", &medians, Target::AtMost(20.0)),
        row("p99", &tails, Target::None),
        Row::new(
            "LIST: the larger bucket over the smaller",
            shown(&medians[0]),
            shown(&medians[1]),
            median(&ratios),
            "x",
            Target::AtMost(1.25),
        ),
    ])
}

fn name(number: u64) -> String {
    format!("folder {:03}/object {number:07}", number / 1000)
}

fn fill(endpoint: &Endpoint, many: u64) -> Result<(), Problem> {
    for from in (0..many).step_by(usize::try_from(BATCH).unwrap_or(usize::MAX)) {
        let to = many.min(from + BATCH);
        let puts = (from..to).map(|n| endpoint.put(&name(n), LISTED_SIZE)).collect::<Result<Vec<_>, _>>()?;
        endpoint.run(&puts, FILLERS, Until::Requests(puts.len()))?;
    }
    Ok(())
}
