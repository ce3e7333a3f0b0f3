//! What sealing costs over the bare cipher, and what a second thread brings.
//!
//! `cargo bench -p strongroom-seal` prints a table, `cargo bench -p strongroom-seal -- --json` one JSON object.
//! All contenders take turns in every round, so that a slow moment of the machine meets all of them.

#![allow(clippy::unwrap_used, reason = "a benchmark that fails should say so at once")]

use std::hint::black_box;
use std::io::Write;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use strongroom_seal::stream::parallel::{self, Effort};
use strongroom_seal::stream::{self, HEADER_LEN, Last, Opener, Sealer, StreamSpec};
use strongroom_seal::{Context, Label, ObjectKey, OsRandom, Random, SEALS, SeededRandom, TAG_LEN};

const LENGTH: usize = 64 << 20;
const WINDOW: usize = 256 << 10;
/// The medians are over this many rounds, after one that warms up.
const ROUNDS: usize = 15;

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    let mut bench = Bench::new();
    let mut times = vec![Vec::new(); CONTENDERS.len()];
    for round in 0..=ROUNDS {
        for (contender, times) in CONTENDERS.iter().zip(&mut times) {
            let start = Instant::now();
            (contender.run)(&mut bench);
            let took = start.elapsed();
            if round > 0 {
                times.push(took);
            }
        }
    }
    let medians: Vec<Duration> = times
        .iter_mut()
        .map(|times| {
            times.sort();
            times[times.len() / 2]
        })
        .collect();
    let rows: Vec<Row> = ROWS.iter().map(|row| row.measured(&medians)).collect();
    if json { print_json(&rows) } else { print_table(&rows) }
}

struct Contender {
    name: &'static str,
    run: fn(&mut Bench),
}

const CONTENDERS: [Contender; 19] = [
    Contender { name: "raw seal", run: raw_seal },
    Contender { name: "seal", run: seal },
    Contender { name: "raw seal in place", run: raw_seal_in_place },
    Contender { name: "seal in place", run: seal_in_place },
    Contender { name: "seal in batches", run: seal_in_batches },
    Contender { name: "raw open", run: raw_open },
    Contender { name: "open", run: open },
    Contender { name: "raw open in place", run: raw_open_in_place },
    Contender { name: "open in place", run: open_in_place },
    Contender { name: "seal, 2 threads", run: |bench| seal_slices(bench, 2) },
    Contender { name: "open, 2 threads", run: |bench| open_slices(bench, 2) },
    Contender { name: "seal a reader", run: |bench| seal_reader(bench, 1) },
    Contender { name: "seal a reader, 2 threads", run: |bench| seal_reader(bench, 2) },
    Contender { name: "open a reader", run: |bench| open_reader(bench, 1) },
    Contender { name: "open a reader, 2 threads", run: |bench| open_reader(bench, 2) },
    Contender { name: "raw seal, 2 threads", run: raw_seal_on_two_threads },
    Contender { name: "sealing writer", run: sealing_writer },
    Contender { name: "copy", run: |bench| copy(bench, 1) },
    Contender { name: "copy, 2 threads", run: |bench| copy(bench, 2) },
];

/// `ours` over `theirs`, as throughput.
struct Comparison {
    ours: &'static str,
    theirs: &'static str,
    target: Option<f64>,
}

const ROWS: [Comparison; 13] = [
    Comparison { ours: "seal", theirs: "raw seal", target: Some(0.9) },
    Comparison { ours: "seal in place", theirs: "raw seal in place", target: Some(0.9) },
    Comparison { ours: "open", theirs: "raw open", target: Some(0.9) },
    // These two also grow a buffer, or close the gaps where tags were.
    Comparison { ours: "seal in batches", theirs: "raw seal", target: None },
    Comparison { ours: "open in place", theirs: "raw open in place", target: None },
    Comparison { ours: "seal, 2 threads", theirs: "seal", target: Some(1.8) },
    Comparison { ours: "open, 2 threads", theirs: "open", target: Some(1.8) },
    // What the machine itself gives at this moment.
    Comparison { ours: "raw seal, 2 threads", theirs: "raw seal", target: None },
    Comparison { ours: "seal, 2 threads", theirs: "raw seal, 2 threads", target: None },
    Comparison { ours: "copy, 2 threads", theirs: "copy", target: None },
    Comparison { ours: "sealing writer", theirs: "raw seal", target: None },
    Comparison { ours: "seal a reader, 2 threads", theirs: "seal a reader", target: None },
    Comparison { ours: "open a reader, 2 threads", theirs: "open a reader", target: None },
];

struct Row {
    ours: &'static str,
    theirs: &'static str,
    ours_gib: f64,
    theirs_gib: f64,
    ratio: f64,
    target: Option<f64>,
}

impl Comparison {
    fn measured(&self, medians: &[Duration]) -> Row {
        let of = |name| {
            let index = CONTENDERS.iter().position(|contender| contender.name == name).unwrap();
            (LENGTH as f64 / f64::from(1 << 30)) / medians[index].as_secs_f64()
        };
        let (ours_gib, theirs_gib) = (of(self.ours), of(self.theirs));
        let &Self { ours, theirs, target } = self;
        Row { ours, theirs, ours_gib, theirs_gib, ratio: ours_gib / theirs_gib, target }
    }
}

fn print_table(rows: &[Row]) {
    println!("{} MiB in memory, chunks of 64 KiB, AES-256-GCM, medians of {ROUNDS} rounds", LENGTH >> 20);
    if !SEALS {
        println!("THIS BUILD DOES NOT SEAL");
    }
    println!("\n{:<26} {:>7}   {:<20} {:>7}   {:>6}  target", "ours", "GiB/s", "against", "GiB/s", "ratio");
    for row in rows {
        let target = match row.target {
            Some(target) if row.ratio >= target => format!("≥ {target} met"),
            Some(target) => format!("≥ {target} MISSED"),
            None => "-".to_owned(),
        };
        println!(
            "{:<26} {:>7.2}   {:<20} {:>7.2}   {:>6.3}  {target}",
            row.ours, row.ours_gib, row.theirs, row.theirs_gib, row.ratio
        );
    }
}

fn print_json(rows: &[Row]) {
    let rows: Vec<String> = rows
        .iter()
        .map(|row| {
            format!(
                r#"{{"ours":"{}","against":"{}","ours_gib_s":{:.3},"against_gib_s":{:.3},"ratio":{:.4},"target":{}}}"#,
                row.ours,
                row.theirs,
                row.ours_gib,
                row.theirs_gib,
                row.ratio,
                row.target.map_or("null".to_owned(), |target| target.to_string())
            )
        })
        .collect();
    println!(
        r#"{{"bench":"seal","seals":{SEALS},"bytes":{LENGTH},"chunk_bytes":65536,"rounds":{ROUNDS},"rows":[{}]}}"#,
        rows.join(",")
    );
}

/// Buffers that all contenders share, so that none pays for fresh memory.
struct Bench {
    key: ObjectKey,
    context: Context,
    chunk: usize,
    raw: LessSafeKey,
    plain: Vec<u8>,
    /// A stream of `plain`.
    sealed: Vec<u8>,
    /// The same under the raw key.
    raw_sealed: Vec<u8>,
    out: Vec<u8>,
}

impl Bench {
    fn new() -> Self {
        let key = ObjectKey::generate(&OsRandom);
        let context = Context::new(Label::PartContent, "bucket").and("version").and(1u64);
        let mut plain = vec![0; LENGTH];
        SeededRandom::dangerous_from_seed(1).fill(&mut plain);
        let sealed = stream::seal_all(&key, &context, StreamSpec::default(), &plain, &OsRandom);
        let raw = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.dangerous_expose()).unwrap());
        let out = vec![0; sealed.len()];
        let chunk = StreamSpec::default().chunk_size.bytes();
        let mut bench = Self { key, context, chunk, raw, plain, sealed, raw_sealed: Vec::new(), out };
        raw_seal(&mut bench);
        bench.raw_sealed.clone_from(&bench.out);
        bench
    }

    fn sealer(&self) -> Sealer {
        Sealer::new(&self.key, &self.context, StreamSpec::default(), &OsRandom).0
    }

    fn opener(&self) -> Opener {
        Opener::new(&self.key, &self.context, &self.sealed, LENGTH as u64).unwrap()
    }
}

fn nonce(index: usize) -> Nonce {
    let mut nonce = [0; 12];
    nonce[3..11].copy_from_slice(&(index as u64).to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

fn raw_seal(bench: &mut Bench) {
    let pairs = bench.plain.chunks(bench.chunk).zip(bench.out.chunks_mut(bench.chunk + TAG_LEN));
    for (index, (plain, out)) in pairs.enumerate() {
        let (body, tag) = out.split_at_mut(plain.len());
        let associated = Aad::from(bench.context.as_bytes());
        let tag = &mut tag[..TAG_LEN];
        bench.raw.seal_out_of_place_scatter(nonce(index), associated, plain, body, &[], tag).unwrap();
    }
}

fn raw_seal_on_two_threads(bench: &mut Bench) {
    let Bench { raw, context, chunk, plain, out, .. } = bench;
    let (raw, context, chunk) = (&*raw, &*context, *chunk);
    let half = LENGTH / 2 / chunk;
    let (low, high) = out.split_at_mut(half * (chunk + TAG_LEN));
    std::thread::scope(|scope| {
        for (first, plain, out) in [(0, &plain[..half * chunk], low), (half, &plain[half * chunk..], high)] {
            scope.spawn(move || {
                for (index, (plain, out)) in
                    plain.chunks(chunk).zip(out.chunks_mut(chunk + TAG_LEN)).enumerate()
                {
                    let (body, tag) = out.split_at_mut(chunk);
                    let (tag, nonce) = (&mut tag[..TAG_LEN], nonce(first + index));
                    raw.seal_out_of_place_scatter(
                        nonce,
                        Aad::from(context.as_bytes()),
                        plain,
                        body,
                        &[],
                        tag,
                    )
                    .unwrap();
                }
            });
        }
    });
}

/// What memory alone gives: the same bytes moved and nothing else.
fn copy(bench: &mut Bench, threads: usize) {
    let share = LENGTH / threads;
    std::thread::scope(|scope| {
        let mut shares = bench.plain.chunks(share).zip(bench.out[..LENGTH].chunks_mut(share));
        let mine = shares.next();
        for (plain, out) in shares {
            scope.spawn(move || out.copy_from_slice(plain));
        }
        mine.into_iter().for_each(|(plain, out)| out.copy_from_slice(plain));
    });
    black_box(&bench.out);
}

/// Written in pieces of the size that bodies arrive in, and copied to where they are written.
fn sealing_writer(bench: &mut Bench) {
    let Bench { key, context, plain, out, .. } = bench;
    let spec = StreamSpec::default();
    let mut writer = stream::SealWriter::new(key, context, spec, &OsRandom, out.as_mut_slice()).unwrap();
    for piece in plain.chunks(16 << 10) {
        writer.write_all(piece).unwrap();
    }
    writer.finish().unwrap();
}

fn raw_seal_in_place(bench: &mut Bench) {
    for (index, chunk) in bench.out[..LENGTH].chunks_mut(bench.chunk).enumerate() {
        let associated = Aad::from(bench.context.as_bytes());
        let tag = bench.raw.seal_in_place_separate_tag(nonce(index), associated, chunk).unwrap();
        black_box(tag.as_ref());
    }
}

fn raw_open(bench: &mut Bench) {
    let sealed =
        bench.raw_sealed[..LENGTH / bench.chunk * (bench.chunk + TAG_LEN)].chunks(bench.chunk + TAG_LEN);
    for (index, (sealed, out)) in sealed.zip(bench.out.chunks_mut(bench.chunk)).enumerate() {
        let (body, tag) = sealed.split_at(bench.chunk);
        let associated = Aad::from(bench.context.as_bytes());
        bench.raw.open_separate_gather(nonce(index), associated, body, tag, out).unwrap();
    }
}

/// Opening in place destroys its input, so each window is copied first, as if it came from a file.
fn raw_open_in_place(bench: &mut Bench) {
    let stride = bench.chunk + TAG_LEN;
    let window = WINDOW / bench.chunk * stride;
    for (run, sealed) in bench.raw_sealed[..LENGTH / bench.chunk * stride].chunks(window).enumerate() {
        let buffer = &mut bench.out[..sealed.len()];
        buffer.copy_from_slice(sealed);
        for (index, chunk) in buffer.chunks_mut(stride).enumerate() {
            let associated = Aad::from(bench.context.as_bytes());
            let nonce = nonce(run * (WINDOW / bench.chunk) + index);
            black_box(bench.raw.open_in_place(nonce, associated, chunk).unwrap());
        }
    }
}

fn seal(bench: &mut Bench) {
    let run = bench.sealer().reserve(LENGTH, Last::Yes).unwrap();
    run.seal_to(&bench.plain, &mut bench.out[HEADER_LEN..]).unwrap();
}

fn seal_in_place(bench: &mut Bench) {
    let mut sealer = bench.sealer();
    for chunk in bench.out[..LENGTH].chunks_mut(bench.chunk) {
        black_box(sealer.seal_next(chunk, Last::No).unwrap());
    }
}

fn seal_in_batches(bench: &mut Bench) {
    let mut sealer = bench.sealer();
    let mut batch = Vec::new();
    for plain in bench.plain.chunks(WINDOW) {
        batch.clear();
        sealer.seal_batch(plain, Last::No, &mut batch).unwrap();
        black_box(&batch);
    }
}

fn open(bench: &mut Bench) {
    let opened = bench.opener().open_to(0, &bench.sealed[HEADER_LEN..], &mut bench.out).unwrap();
    assert_eq!(opened, LENGTH);
}

/// As a server reads: a window of chunks at a time, compacted.
fn open_in_place(bench: &mut Bench) {
    let opener = bench.opener();
    let run = WINDOW / bench.chunk;
    let stride = run * (bench.chunk + TAG_LEN);
    for (index, sealed) in bench.sealed[HEADER_LEN..].chunks(stride).enumerate() {
        let buffer = &mut bench.out[..sealed.len()];
        buffer.copy_from_slice(sealed);
        black_box(opener.open_run((index * run) as u64, buffer).unwrap());
    }
}

fn seal_slices(bench: &mut Bench, threads: usize) {
    let run = bench.sealer().reserve(LENGTH, Last::Yes).unwrap();
    let threads = NonZeroUsize::new(threads).unwrap();
    parallel::seal_slices(run, &bench.plain, &mut bench.out[HEADER_LEN..], threads).unwrap();
}

fn open_slices(bench: &mut Bench, threads: usize) {
    let run = bench.opener().run(0, bench.sealed.len() - HEADER_LEN).unwrap();
    let threads = NonZeroUsize::new(threads).unwrap();
    parallel::open_slices(run, &bench.sealed[HEADER_LEN..], &mut bench.out, threads).unwrap();
}

fn effort(threads: usize) -> Effort {
    Effort { threads: NonZeroUsize::new(threads).unwrap(), window: WINDOW }
}

fn seal_reader(bench: &mut Bench, threads: usize) {
    let Bench { key, context, plain, out, .. } = bench;
    let spec = StreamSpec::default();
    parallel::seal(key, context, spec, &OsRandom, plain.as_slice(), out.as_mut_slice(), effort(threads))
        .unwrap();
}

fn open_reader(bench: &mut Bench, threads: usize) {
    let Bench { key, context, sealed, out, .. } = bench;
    parallel::open(key, context, sealed.as_slice(), out.as_mut_slice(), effort(threads)).unwrap();
}
