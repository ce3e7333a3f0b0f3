//! Everything that CI runs, in the order in which a mistake costs least to find.

use crate::checks::{arrows, licences, tidy};
use crate::counts::Counts;
use crate::problem::Problem;
use crate::{process, test};

type Check = fn() -> Result<(), Problem>;

/// Runs all of it even when something fails, and ends with one line of counts.
pub(crate) fn run() -> Result<(), Problem> {
    let checks: [(&str, Check); 7] = [
        ("format", format),
        ("arrows", arrows::run),
        ("licences", licences::run),
        ("tidy", tidy::run),
        ("other locks", other_locks),
        ("clippy", clippy),
        ("unsealed", unsealed_is_refused),
    ];
    let mut counts = Counts::default();
    let mut failed = Vec::new();
    for (name, check) in checks {
        println!("== {name}");
        let answer = check();
        counts += Counts::one(answer.is_ok());
        if let Err(problem) = answer {
            println!("{name}: {problem}");
            failed.push(name.to_owned());
        }
    }
    let tests = test::everything(&test::Options::default())?;
    counts += tests.counts;
    failed.extend(tests.failed);
    if !failed.is_empty() {
        println!("failed: {}", failed.join(", "));
    }
    println!("{counts}");
    counts.verdict()
}

fn format() -> Result<(), Problem> {
    process::loud(process::cargo().args(["fmt", "--all", "--check"]))
}

/// What the workspaces beside this one need is what their committed lock files say. Compiling them takes minutes (the fuzzer's
/// runtime is C++, one of the peers is C), which is for the steps that run them.
fn other_locks() -> Result<(), Problem> {
    for workspace in ["fuzz", "benches/peers-store"] {
        let manifest = format!("{workspace}/Cargo.toml");
        let mut command = process::cargo();
        command.args(["metadata", "--locked", "--format-version", "1", "--manifest-path", manifest.as_str()]);
        process::quiet(&mut command)?;
    }
    Ok(())
}

fn clippy() -> Result<(), Problem> {
    let mut command = process::cargo();
    process::quiet(command.args([
        "clippy",
        "--locked",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))
    .map(drop)
}

/// The feature that leaves sealing out does not compile where somebody only names it.
fn unsealed_is_refused() -> Result<(), Problem> {
    let mut command = process::cargo();
    // Of all that clippy has compiled, so that it is used: libraries have other features where one crate is alone, or without tests.
    command.args([
        "check",
        "--locked",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--features",
        "strongroom-seal/bench-unsealed",
    ]);
    let mut said = String::new();
    let built = process::lines(command.env_remove("STRONGROOM_BENCH_BUILD"), |line| {
        said.push_str(line);
        said.push('\n');
    })?;
    if !built && said.contains("a binary with it stores everything in the clear") {
        return Ok(());
    }
    Err(Problem::Failed { what: format!("refusing to build without sealing (cargo said: {said})") })
}
