//! What takes too long for CI, in steps that can be run one by one: `cargo xtask soak --only NAME`.

mod fuzz;
mod simulation;

use std::time::Instant;

use clap::Args;

use crate::counts::Counts;
use crate::problem::Problem;
use crate::test::{self, Summary};

/// What of the slow things to run.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only this step; may be given several times. Without it, all of them in the order of `--list`.
    #[arg(long, value_name = "STEP")]
    only: Vec<String>,
    /// Only tests whose name contains this, in the steps that run tests, or readers in the one that fuzzes.
    #[arg(long, value_name = "NAME")]
    tests: Option<String>,
    /// How long each reader is fuzzed.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    fuzz_seconds: u64,
    /// How many crashes of the simulated store.
    #[arg(long, value_name = "COUNT", default_value_t = 1_000_000)]
    crashes: u64,
    /// Print the steps and end.
    #[arg(long)]
    list: bool,
}

/// One thing that `soak` does. It prints what it counts, and its summary is added to the others.
struct Step {
    name: &'static str,
    about: &'static str,
    run: fn(&Options) -> Result<Summary, Problem>,
}

/// In this order. A step that cannot run on this machine counts as skipped and says why.
const STEPS: &[Step] = &[
    Step { name: "rust", about: "the Rust tests with more rounds, the slow ones too", run: rust },
    Step {
        name: "simulation",
        about: "the store on a simulated disk, crashed --crashes times",
        run: simulation,
    },
    Step { name: "clients", about: "the client suite with larger counts and sizes", run: clients },
    Step {
        name: "applications",
        about: "libraries that keep data sets in S3: pyarrow, pandas, polars, deltalake, DuckDB (840 MB to install)",
        run: applications,
    },
    Step { name: "kill", about: "kill -9 under load, hundreds of times", run: kill },
    Step { name: "faults", about: "full file systems and block devices that fail", run: faults },
    Step { name: "fuzz", about: "coverage-guided fuzzing of every reader of foreign bytes", run: fuzz },
];

/// Files of the client suite that are steps of their own.
const KILL_FILES: &[&str] = &["test_kill.py", "test_crash.py"];
const FAULT_FILES: &[&str] = &["test_block_faults.py", "test_disk_faults.py"];
const APPLICATION_FILES: &[&str] = &["test_data_applications.py"];
const FILES_OF_STEPS: &[&str] = &[
    "test_kill.py",
    "test_crash.py",
    "test_block_faults.py",
    "test_disk_faults.py",
    "test_data_applications.py",
];

/// Runs the steps that are asked for and ends with one line of counts.
pub(crate) fn run(options: &Options) -> Result<(), Problem> {
    if options.list {
        STEPS.iter().for_each(|step| println!("{:<12} {}", step.name, step.about));
        return Ok(());
    }
    if let Some(name) = options.only.iter().find(|name| STEPS.iter().all(|step| step.name != **name)) {
        return Err(Problem::NoStep { name: name.clone() });
    }
    let mut summary = Summary::default();
    let mut told = Vec::new();
    for step in STEPS.iter().filter(|step| options.wants(step)) {
        println!("== soak: {} ({})", step.name, step.about);
        let began = Instant::now();
        let part = (step.run)(options).unwrap_or_else(|problem| {
            println!("{}: {problem}", step.name);
            Summary { counts: Counts::one(false), failed: vec![step.name.to_owned()] }
        });
        told.push((step.name, part.counts, began.elapsed()));
        summary.add(part);
    }
    println!("==");
    for (name, counts, took) in told {
        println!("{name:<12} {counts} in {} s", took.as_secs());
    }
    if !summary.failed.is_empty() {
        println!("failed: {}", summary.failed.join(", "));
    }
    println!("{}", summary.counts);
    summary.counts.verdict()
}

impl Options {
    fn wants(&self, step: &Step) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == step.name)
    }

    /// The options of the test runner that all of its steps share.
    fn tests(&self) -> test::Options {
        test::Options {
            only: self.tests.clone(),
            soak: true,
            profile: Some("release".to_owned()),
            ..test::Options::default()
        }
    }
}

fn rust(options: &Options) -> Result<Summary, Problem> {
    test::everything(&test::Options { no_clients: true, ..options.tests() })
}

fn clients(options: &Options) -> Result<Summary, Problem> {
    test::everything(&test::Options {
        no_rust: true,
        without_client_files: FILES_OF_STEPS,
        ..options.tests()
    })
}

fn applications(options: &Options) -> Result<Summary, Problem> {
    test::applications(&test::Options { client_files: APPLICATION_FILES, ..options.tests() })
}

fn kill(options: &Options) -> Result<Summary, Problem> {
    test::everything(&test::Options { no_rust: true, client_files: KILL_FILES, ..options.tests() })
}

fn simulation(options: &Options) -> Result<Summary, Problem> {
    simulation::run(options.crashes)
}

fn faults(options: &Options) -> Result<Summary, Problem> {
    test::everything(&test::Options { no_rust: true, client_files: FAULT_FILES, ..options.tests() })
}

fn fuzz(options: &Options) -> Result<Summary, Problem> {
    fuzz::run(options.fuzz_seconds, options.tests.as_deref())
}
