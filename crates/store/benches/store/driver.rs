//! What every contender of `cargo xtask bench store` does when told to, and what it took.
//!
//! `benches/peers-store` compiles this same text, so that all contenders get the same rows in the same commits, and the
//! cost of making them. A contender is a process that reads one order a line and answers each with one line of JSON.
//!
//! ```text
//! fill ROWS                     the rows that `get` and `scan` look for, 1,000 to a commit
//! commit ROWS WRITERS COMMITS   so many commits of fresh rows, all writers together
//! get COUNT                     rows picked at random
//! scan ROWS COUNT               stretches of rows from random places
//! cache BYTES                   close, open with that much cache, read everything once
//! cool BYTES                    close, open with that much cache, and have the kernel forget the files
//! space                         put everything in its place and measure the files
//! memory                        the most memory that the process ever had
//! special …                     what only this contender does
//! ```

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufRead, Write as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const KEY_LEN: usize = 16;
pub(crate) const VALUE_LEN: usize = 100;
/// What a store opens with until it is told otherwise: more than any of the runs fills.
const CACHE_BYTES: usize = 256 << 20;
const FILL_ROWS: u64 = 1000;
/// The rows that are read. Those of `commit` come from other streams.
const FILLED: u64 = 0;

/// One row. Its key and value are as good as random, and anyone who knows its number knows them.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    pub(crate) key: [u8; KEY_LEN],
    pub(crate) value: [u8; VALUE_LEN],
}

/// A store that is measured. Everything panics on failure: a benchmark has no other answer.
pub(crate) trait Contender: Sized + Sync {
    /// What one thread that writes holds, such as a connection.
    type Writer<'a>
    where
        Self: 'a;
    /// What one thread that reads holds.
    type Reader<'a>
    where
        Self: 'a;

    fn open(dir: &Path, cache_bytes: usize) -> Self;
    fn writer(&self) -> Self::Writer<'_>;
    /// Durable when it returns.
    fn commit(&self, writer: &mut Self::Writer<'_>, rows: &[Row]);
    fn reader(&self) -> Self::Reader<'_>;
    /// The length of the value of the row with this key, 0 without one.
    fn get(&self, reader: &mut Self::Reader<'_>, key: &[u8]) -> usize;
    /// Reads up to `most` rows from `from` on; how many there were, and the bytes of their values.
    fn scan(&self, reader: &mut Self::Reader<'_>, from: &[u8], most: usize) -> (usize, usize);
    /// Whatever was only in a log is where it stays.
    fn settle(&self);
    fn close(self);
    /// The file that holds the rows, once settled.
    fn rows_file(&self, dir: &Path) -> PathBuf;
    /// Carries out an order that no other contender knows.
    fn special(dir: &Path, order: &[&str]) -> String {
        let _ = dir;
        panic!("unknown order: {order:?}")
    }
}

/// Reads orders until there are no more.
pub(crate) fn serve<C: Contender>(dir: &Path) {
    let mut bench =
        Bench { dir: dir.to_owned(), store: Some(C::open(dir, CACHE_BYTES)), filled: 0, streams: FILLED };
    for line in io::stdin().lock().lines() {
        let line = line.expect("orders are text");
        let answer = bench.carry_out(&line);
        println!("{answer}");
        io::stdout().flush().expect("somebody listens");
    }
    bench.store.take().expect("it is open").close();
}

struct Bench<C> {
    dir: PathBuf,
    store: Option<C>,
    filled: u64,
    /// Streams of rows handed out so far.
    streams: u64,
}

impl<C: Contender> Bench<C> {
    fn carry_out(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| -> u64 { words[at].parse().expect("a number") };
        match words[0] {
            "fill" => self.fill(number(1)),
            "commit" => self.commit(number(1), number(2), number(3)),
            "get" => self.get(number(1)),
            "scan" => self.scan(number(1), number(2)),
            "cache" => {
                self.reopen(number(1));
                self.touch()
            }
            "cool" => self.cool(number(1)),
            "space" => self.space(),
            "memory" => format!(r#"{{"kib":{}}}"#, status("VmHWM:")),
            "special" => {
                self.store.take().expect("it is open").close();
                let answer = C::special(&self.dir, &words[1..]);
                self.store = Some(C::open(&self.dir, CACHE_BYTES));
                answer
            }
            other => panic!("unknown order: {other}"),
        }
    }

    fn store(&self) -> &C {
        self.store.as_ref().expect("it is open")
    }

    fn fill(&mut self, rows: u64) -> String {
        let clock = Clock::start();
        let store = self.store();
        let mut writer = store.writer();
        let mut from = self.filled;
        while from < rows {
            let batch: Vec<Row> = (from..rows.min(from + FILL_ROWS)).map(|n| row(FILLED, n)).collect();
            store.commit(&mut writer, &batch);
            from += batch.len() as u64;
        }
        drop(writer);
        store.settle();
        self.filled = rows;
        clock.stop(rows, rows, &mut [])
    }

    fn commit(&mut self, rows: u64, writers: u64, commits: u64) -> String {
        self.streams += 1;
        let stream = self.streams;
        let store = self.store();
        let next = AtomicU64::new(0);
        let work = || {
            let mut writer = store.writer();
            let mut times = Vec::new();
            loop {
                let commit = next.fetch_add(1, Ordering::Relaxed);
                if commit >= commits {
                    return times;
                }
                let batch: Vec<Row> = (commit * rows..(commit + 1) * rows).map(|n| row(stream, n)).collect();
                let began = Instant::now();
                store.commit(&mut writer, &batch);
                times.push(began.elapsed());
            }
        };
        let clock = Clock::start();
        let mut times: Vec<Duration> = thread::scope(|scope| {
            let threads: Vec<_> = (0..writers).map(|_| scope.spawn(work)).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("a writer failed")).collect()
        });
        clock.stop(commits, commits * rows, &mut times)
    }

    fn get(&mut self, count: u64) -> String {
        self.streams += 1;
        let mut random = Random::new(self.streams);
        let store = self.store();
        let mut reader = store.reader();
        let clock = Clock::start();
        for _ in 0..count {
            let key = row(FILLED, random.below(self.filled)).key;
            assert_eq!(store.get(&mut reader, &key), VALUE_LEN, "a row is missing");
        }
        clock.stop(count, count, &mut [])
    }

    fn scan(&mut self, rows: u64, count: u64) -> String {
        self.streams += 1;
        let mut random = Random::new(self.streams);
        let store = self.store();
        let mut reader = store.reader();
        let rows = usize::try_from(rows).expect("a small number");
        let clock = Clock::start();
        let mut seen = 0;
        for _ in 0..count {
            let from = row(FILLED, random.below(self.filled)).key;
            let (found, bytes) = store.scan(&mut reader, &from, rows);
            assert_eq!(bytes, found * VALUE_LEN, "values are whole");
            seen += found as u64;
        }
        clock.stop(count, seen, &mut [])
    }

    fn touch(&self) -> String {
        let store = self.store();
        let clock = Clock::start();
        let (seen, _) = store.scan(&mut store.reader(), &[], usize::MAX);
        assert!(seen as u64 >= self.filled, "{seen} rows of {}", self.filled);
        clock.stop(1, seen as u64, &mut [])
    }

    fn reopen(&mut self, cache_bytes: u64) {
        self.store.take().expect("it is open").close();
        let cache_bytes = usize::try_from(cache_bytes).expect("it fits in memory");
        self.store = Some(C::open(&self.dir, cache_bytes));
    }

    /// Clean pages of the files leave the kernel's cache; after a close, all pages are clean once they are synced.
    fn cool(&mut self, cache_bytes: u64) -> String {
        self.reopen(cache_bytes);
        for path in files(&self.dir) {
            let file = File::open(&path).expect("it is there");
            file.sync_all().expect("it can be synced");
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("advice is taken");
        }
        "{}".to_owned()
    }

    fn space(&mut self) -> String {
        self.store().settle();
        self.reopen(CACHE_BYTES as u64);
        let rows = self.store().rows_file(&self.dir);
        let measure = |paths: &[PathBuf]| {
            let of = |path: &PathBuf| fs::metadata(path).expect("it is there");
            let length: u64 = paths.iter().map(|path| of(path).len()).sum();
            let blocks: u64 = paths.iter().map(|path| of(path).blocks() * 512).sum();
            (length, blocks)
        };
        let (length, blocks) = measure(&[rows]);
        let (all_length, all_blocks) = measure(&files(&self.dir));
        format!(
            r#"{{"length":{length},"blocks":{blocks},"all_length":{all_length},"all_blocks":{all_blocks}}}"#
        )
    }
}

/// Wall time and the processor time of the whole process since a moment.
pub(crate) struct Clock {
    began: Instant,
    cpu: Duration,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { began: Instant::now(), cpu: cpu() }
    }

    /// The figures, with the middle and the 99th percentile of `times` in seconds.
    pub(crate) fn stop(self, operations: u64, rows: u64, times: &mut [Duration]) -> String {
        let (seconds, cpu) = (self.began.elapsed().as_secs_f64(), cpu().saturating_sub(self.cpu));
        let mut text = format!(
            r#"{{"operations":{operations},"rows":{rows},"seconds":{seconds},"cpu":{}"#,
            cpu.as_secs_f64()
        );
        if !times.is_empty() {
            times.sort();
            let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64();
            let _ = write!(text, r#","p50":{},"p99":{}"#, at(50), at(99));
        }
        text.push('}');
        text
    }
}

fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).expect("time is not negative")
}

/// A figure of `/proc/self/status`, in KiB.
fn status(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").expect("procfs is mounted");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("the figure is there");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Every file below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path))
        } else if path.is_file() {
            found.push(path)
        }
    }
    found
}

/// Row `number` of a stream.
pub(crate) fn row(stream: u64, number: u64) -> Row {
    let mut random =
        Random::new(stream.wrapping_mul(0xD1B5_4A32_D192_ED03) ^ number.wrapping_mul(0xABC9_8388_FB8F_AC03));
    let mut row = Row { key: [0; KEY_LEN], value: [0; VALUE_LEN] };
    random.fill(&mut row.key);
    random.fill(&mut row.value);
    row
}

/// `SplitMix64`.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}
