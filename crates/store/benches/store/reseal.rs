//! How long commits and reads take while pages move to a new key, and while none do.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use strongroom_store::{ResealSettings, ResealStage, Store};

use crate::driver::{Contender, Random, row};
use crate::ours::{GROUP, Ours};

/// Each writes a row and reads one in turn, and rests between: a server that is busy and not flooded.
const THREADS: u64 = 8;
const REST: Duration = Duration::from_millis(2);
/// Streams of rows that nobody else uses.
const STREAM: u64 = 1 << 40;

/// For `seconds` without re-sealing, then for as long with it, at `kib` KiB/s or without a limit. `filled` rows are there.
pub(crate) fn measure(dir: &Path, filled: u64, seconds: u64, kib: u32) -> String {
    let Ours(store) = Ours::open(dir, 64 << 20);
    store.key_users_are_complete();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let settings = ResealSettings { paused: false, kib_per_second: kib };
    runtime.block_on(store.set_reseal(settings)).unwrap();
    store.checkpoint().unwrap();
    let during = Duration::from_secs(seconds);
    let quiet = foreground(&store, filled, || thread::sleep(during));
    let mut seen = Seen::default();
    let busy = foreground(&store, filled, || {
        let began = Instant::now();
        while began.elapsed() < during {
            let progress = store.reseal_status().groups.into_iter().find(|group| group.group == GROUP);
            match progress {
                // Time passes while pages move; then the next key comes.
                Some(progress) if progress.stage == ResealStage::Pages => {
                    assert_eq!(progress.trouble, None);
                    seen.note(progress.bytes_moved);
                    thread::sleep(Duration::from_millis(10));
                }
                _ => {
                    runtime.block_on(store.rotate_group_key(GROUP)).unwrap();
                    seen.rotations += 1;
                }
            }
        }
    });
    // Not while it closes, nor ever after.
    let paused = ResealSettings { paused: true, kib_per_second: 0 };
    runtime.block_on(store.set_reseal(paused)).unwrap();
    store.close().unwrap();
    format!(
        r#"{{"rotations":{},"moved":{},"quiet_commit":{},"busy_commit":{},"quiet_get":{},"busy_get":{}}}"#,
        seen.rotations, seen.moved, quiet.commit, busy.commit, quiet.get, busy.get
    )
}

#[derive(Default)]
struct Seen {
    rotations: u64,
    moved: u64,
    last: u64,
}

impl Seen {
    /// Counted since the store opened, or since the group came up for another key.
    fn note(&mut self, bytes: u64) {
        self.moved += if bytes >= self.last { bytes - self.last } else { bytes };
        self.last = bytes;
    }
}

/// 99th percentiles in seconds.
struct Latency {
    commit: f64,
    get: f64,
}

fn foreground(store: &Store, filled: u64, meanwhile: impl FnOnce()) -> Latency {
    static ROUNDS: AtomicU64 = AtomicU64::new(0);
    let round = ROUNDS.fetch_add(THREADS, Ordering::Relaxed);
    let stop = AtomicBool::new(false);
    let ours = Ours(store.clone());
    let (mut commits, mut gets) = thread::scope(|scope| {
        let work = |thread: u64| {
            let (ours, stop) = (&ours, &stop);
            scope.spawn(move || client(ours, filled, STREAM + round + thread, stop))
        };
        let threads: Vec<_> = (0..THREADS).map(work).collect();
        meanwhile();
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().fold((Vec::new(), Vec::new()), |(mut commits, mut gets), thread| {
            let (more_commits, more_gets) = thread.join().unwrap();
            commits.extend(more_commits);
            gets.extend(more_gets);
            (commits, gets)
        })
    });
    Latency { commit: p99(&mut commits), get: p99(&mut gets) }
}

fn client(ours: &Ours, filled: u64, stream: u64, stop: &AtomicBool) -> (Vec<Duration>, Vec<Duration>) {
    let (mut commits, mut gets) = (Vec::new(), Vec::new());
    let mut random = Random::new(stream);
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let began = Instant::now();
        ours.commit(&mut (), &[row(stream, number)]);
        commits.push(began.elapsed());
        let key = row(0, random.below(filled)).key;
        let began = Instant::now();
        assert!(ours.get(&mut (), &key) > 0);
        gets.push(began.elapsed());
        thread::sleep(REST);
    }
    (commits, gets)
}

fn p99(times: &mut [Duration]) -> f64 {
    times.sort();
    times.get(times.len().saturating_sub(1) * 99 / 100).map_or(0.0, Duration::as_secs_f64)
}
