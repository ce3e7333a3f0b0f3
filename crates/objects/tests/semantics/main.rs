//! Random sequences of operations beside a model of S3's semantics: versions, delete markers, conditions, copies, tags,
//! multipart uploads and listings, with the store closed or dropped and opened again in between.
//!
//! A sequence that fails is made as short as it gets and kept in `failures.txt`, whose seeds are tried first. In
//! soak (`STRONGROOM_SOAK=1`) there are many more, with a seed of their own each time.
#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation, reason = "these are tests")]

mod lists;
mod model;
mod run;
mod steps;
#[path = "../support/mod.rs"]
mod support;
mod uploads;

use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, RngSeed, TestRunner};

use crate::run::Run;
use crate::steps::{Step, step};

const SEED: u64 = 0x57_52_4f_4e_47;

fn play(steps: &[Step]) {
    // Several threads, as the server has: some reads run elsewhere otherwise.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut run = Run::new().await;
        for step in steps {
            run = run.step(step).await;
        }
        run.finish().await;
    });
}

#[test]
fn a_store_answers_as_s3_is_defined() {
    let soak = std::env::var("STRONGROOM_SOAK").is_ok_and(|soak| soak == "1");
    let config = ProptestConfig {
        cases: if soak { 3000 } else { 24 },
        max_shrink_iters: 400,
        rng_seed: if soak { RngSeed::Random } else { RngSeed::Fixed(SEED) },
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/semantics/failures.txt"))),
        ..ProptestConfig::default()
    };
    let sequences = proptest::collection::vec(step(), 1..80);
    let outcome = TestRunner::new(config).run(&sequences, |steps| {
        play(&steps);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}
