//! Figures for people, printed: `cargo test -p strongroom-store --lib -- --ignored --nocapture speed`.

use std::time::{Duration, Instant};

use super::*;

#[test]
#[ignore = "prints figures"]
fn commits_per_second_and_per_sync() {
    let keys = OneKey::named("root");
    for writers in [1_usize, 8, 32] {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let store = Store::create_or_open(options(dir.path(), &keys)).unwrap();
        let group = make_group(&store, "photos");
        let before = store.status();
        let began = Instant::now();
        let mut times: Vec<Duration> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..writers)
                .map(|writer| {
                    let store = &store;
                    scope.spawn(move || write(store, group, writer))
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let took = began.elapsed();
        times.sort();
        let after = store.status();
        let (commits, fsyncs) = (after.commits - before.commits, after.fsyncs - before.fsyncs);
        println!(
            "{writers} writers: {:.0} commits/s, {:.1} commits per sync, p50 {:?}, p99 {:?}",
            commits as f64 / took.as_secs_f64(),
            commits as f64 / fsyncs as f64,
            times[times.len() / 2],
            times[times.len() * 99 / 100],
        );
    }
}

fn write(store: &Store, group: GroupId, writer: usize) -> Vec<Duration> {
    let value = "v".repeat(4096);
    let one = |index| {
        let began = Instant::now();
        store.commit_blocking(put(group, &format!("{writer} {index}"), &value)).unwrap();
        began.elapsed()
    };
    (0..300).map(one).collect()
}
