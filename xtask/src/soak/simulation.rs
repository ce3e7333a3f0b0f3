//! The store on a simulated disk, crashed a million times (`crates/store/src/tests/simulation/`).

use std::time::{Duration, Instant, UNIX_EPOCH};

use crate::counts::Counts;
use crate::problem::Problem;
use crate::process;
use crate::test::Summary;

/// Crashes in all, with seeds that no earlier run had. Built as it is shipped.
pub(super) fn run(crashes: u64) -> Result<Summary, Problem> {
    let first = UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
    println!("{crashes} crashes, seeds from {first}");
    let mut command = process::cargo();
    command.args([
        "test",
        "--release",
        "--locked",
        "-p",
        "strongroom-store",
        "--lib",
        "simulation::accidents",
    ]);
    command.args(["--", "--nocapture"]);
    command.env("STRONGROOM_SIM_CRASHES", crashes.to_string());
    command.env("STRONGROOM_SIM_FIRST", first.to_string());
    command.env("CARGO_TARGET_DIR", process::target_dir());
    let began = Instant::now();
    let mut summary = Summary::default();
    let ok = process::lines(&mut command, |line| {
        if let Some(counts) = Counts::of_cargo_line(line) {
            summary.counts += counts;
        } else if !line.is_empty() && !line.starts_with(' ') {
            println!("{line}");
        }
    })?;
    let took = began.elapsed().max(Duration::from_millis(1));
    println!("{:.0} crashes a second, the build included", crashes as f64 / took.as_secs_f64());
    if !ok {
        summary.failed.push("simulation".to_owned());
        if summary.counts.failed == 0 {
            // It did not compile, or a test ended its process.
            summary.counts.failed += 1;
        }
    }
    Ok(summary)
}
