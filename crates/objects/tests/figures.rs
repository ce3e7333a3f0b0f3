//! Figures for a look, not for a verdict: run with `--ignored --nocapture`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation, reason = "these are tests")]

mod support;

use std::sync::Arc;
use std::time::Instant;

use support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures and checks nothing"]
async fn operations_per_second() {
    let fixture = Arc::new(Fixture::new().await);
    for (clients, each, length) in [(1, 300, 4096), (32, 100, 4096), (1, 8, 64 << 20)] {
        let before = fixture.store.status().fsyncs;
        let content = bytes::Bytes::from(noise(1, length));
        for reading in [false, true] {
            let started = Instant::now();
            let tasks: Vec<_> = (0..clients)
                .map(|client| {
                    let (fixture, content) = (Arc::clone(&fixture), content.clone());
                    tokio::spawn(async move {
                        for number in 0..each {
                            let key = format!("{length}-{client}-{number}");
                            if reading {
                                assert_eq!(fixture.read(&key).await.unwrap().len(), length);
                            } else {
                                fixture.put(&key, content.clone()).await;
                            }
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            let seconds = started.elapsed().as_secs_f64();
            let count = f64::from(clients * each);
            let fsyncs = fixture.store.status().fsyncs - before;
            println!(
                "{} {length} bytes, {clients} clients: {:.0}/s, {:.0} MiB/s, {:.1} per sync of the log",
                if reading { "get" } else { "put" },
                count / seconds,
                count * length as f64 / seconds / f64::from(1 << 20),
                count / fsyncs as f64,
            );
        }
    }
}
