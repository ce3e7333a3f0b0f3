//! The test runner: Rust tests, then the client suite against an optimised binary.

mod clients;
mod javascript;
mod rust;

use std::process::Command;
use std::thread;
use std::time::Duration;

use clap::Args;

use crate::counts::Counts;
use crate::problem::Problem;
use crate::process;

/// No single test or crate to build is silent for so long, but one that hangs.
const SILENCE_MAX: Duration = Duration::from_secs(10 * 60);

/// What to run.
#[derive(Debug, Default, Clone, Args)]
pub(crate) struct Options {
    /// Only tests whose name contains this.
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Option<String>,
    /// Leave out the client suite.
    #[arg(long)]
    pub(crate) no_clients: bool,
    /// Leave out the Rust tests.
    #[arg(long, conflicts_with = "no_clients")]
    pub(crate) no_rust: bool,
    /// Cargo profile of the binary that the clients talk to.
    #[arg(long, value_name = "PROFILE", default_value = "clients")]
    pub(crate) profile: Option<String>,
    /// More rounds, larger files, and the tests that are too slow for CI.
    #[arg(skip)]
    pub(crate) soak: bool,
    /// Files of the client suite to run, all if empty.
    #[arg(skip)]
    pub(crate) client_files: &'static [&'static str],
    /// Files of the client suite to leave out.
    #[arg(skip)]
    pub(crate) without_client_files: &'static [&'static str],
}

/// How a run of tests went.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) counts: Counts,
    /// Names of what failed.
    pub(crate) failed: Vec<String>,
}

/// Runs what is asked for and ends with one line of counts.
pub(crate) fn run(options: &Options) -> Result<(), Problem> {
    let summary = everything(options)?;
    if !summary.failed.is_empty() {
        println!("failed: {}", summary.failed.join(", "));
    }
    println!("{}", summary.counts);
    summary.counts.verdict()
}

/// Runs what is asked for.
pub(crate) fn everything(options: &Options) -> Result<Summary, Problem> {
    let mut summary = Summary::default();
    thread::scope(|scope| {
        // Waits for downloads most of the time, which the compiler does not have to.
        let prepared = (!options.no_clients).then(|| {
            scope.spawn(|| {
                let python = clients::prepare()?;
                javascript::prepare()?;
                Ok::<_, Problem>(python)
            })
        });
        if !options.no_rust {
            println!("== cargo test");
            summary.add(rust::run(options)?);
        }
        if let Some(prepared) = prepared {
            println!("== clients");
            let python = prepared.join().expect("preparing does not panic")?;
            let binary = rust::binary(options)?;
            summary.add(clients::run(options, &python, &binary)?);
        }
        Ok(summary)
    })
}

/// Runs files of the client suite in the environment of the large applications.
pub(crate) fn applications(options: &Options) -> Result<Summary, Problem> {
    let python = clients::prepare_applications()?;
    let binary = rust::binary(options)?;
    clients::run(options, &python, &binary)
}

impl Summary {
    pub(crate) fn add(&mut self, other: Self) {
        println!("{}", other.counts);
        self.counts += other.counts;
        self.failed.extend(other.failed);
    }
}

impl Options {
    fn profile(&self) -> &str {
        self.profile.as_deref().unwrap_or("clients")
    }

    /// After how much silence a run of tests is given up; never where tests are meant to take long.
    fn silence(&self) -> Option<Duration> {
        (!self.soak).then_some(SILENCE_MAX)
    }

    fn environment(&self, command: &mut Command) {
        command.env_remove("STRONGROOM_SOAK");
        if self.soak {
            command.env("STRONGROOM_SOAK", "1");
        }
        command.env("CARGO_TARGET_DIR", process::target_dir());
    }
}
