//! What developers and CI run: `cargo xtask <command>`.
//!
//! `ci` is the whole of it in one command; the others are its parts, and the slow things it leaves out.

mod bench;
mod checks;
mod ci;
mod counts;
mod problem;
mod process;
mod soak;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::problem::Problem;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "What developers and CI run")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything that CI runs, ending with one line of counts.
    Ci,
    /// Rust tests, then the client suite against the real binary, ending with one line of counts.
    Test(test::Options),
    /// What takes too long for CI: the same tests with larger counts, fuzzing, crashes, faults.
    Soak(soak::Options),
    /// Medians and ratios of speed, memory and disk traffic, with targets and verdicts.
    Bench(bench::Options),
    /// Dependencies between our crates only point down the list of ARCHITECTURE.md.
    Arrows,
    /// Every crate that we link has a permissive licence.
    Licences,
    /// House rules: file lengths, leftovers, machine paths, dead links and files.
    Tidy,
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("xtask: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Problem> {
    match command {
        Command::Ci => ci::run(),
        Command::Test(options) => test::run(&options),
        Command::Soak(options) => soak::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Arrows => checks::arrows::run(),
        Command::Licences => checks::licences::run(),
        Command::Tidy => checks::tidy::run(),
    }
}
