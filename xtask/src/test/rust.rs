//! `cargo test`, with what went well hidden, and the build of the binary.

use std::path::PathBuf;

use crate::counts::Counts;
use crate::problem::Problem;
use crate::process;
use crate::test::{Options, Summary};

/// Runs the tests of every crate, those of the documentation too.
pub(super) fn run(options: &Options) -> Result<Summary, Problem> {
    let mut command = process::cargo();
    command.args(["test", "--locked", "--workspace", "--no-fail-fast"]);
    command.arg("--");
    if options.soak {
        command.arg("--include-ignored");
    }
    command.args(&options.only);
    options.environment(&mut command);
    let mut summary = Summary::default();
    let mut part = String::new();
    let ok = process::lines_within(&mut command, options.silence(), |line| {
        if let Some(counts) = Counts::of_cargo_line(line) {
            summary.counts += counts;
            if counts.passed + counts.failed > 0 {
                println!("{part}: {counts}");
            }
        } else if let Some(name) = started(line) {
            part = name;
        } else if let Some(name) =
            line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED"))
        {
            summary.failed.push(name.to_owned());
            println!("{line}");
        } else if worth_showing(line) {
            println!("{line}");
        }
    })?;
    if !ok && summary.counts.failed == 0 {
        // It did not compile, or a test ended its process.
        summary.counts.failed += 1;
        summary.failed.push(format!("cargo test ({part})"));
    }
    Ok(summary)
}

/// Builds the binary that the clients talk to.
pub(super) fn binary(options: &Options) -> Result<PathBuf, Problem> {
    let profile = options.profile();
    process::quiet(process::cargo().args([
        "build",
        "--locked",
        "--quiet",
        "-p",
        "strongroom",
        "--profile",
        profile,
    ]))?;
    let folder = if profile == "dev" { "debug" } else { profile };
    Ok(process::target_dir().join(folder).join("strongroom"))
}

/// The name of the part that begins: `Running unittests src/lib.rs (target/debug/deps/strongroom_seal-0123)`.
fn started(line: &str) -> Option<String> {
    let line = line.trim();
    if let Some(name) = line.strip_prefix("Doc-tests ") {
        return Some(format!("{name} (documentation)"));
    }
    let (what, binary) = line.strip_prefix("Running ")?.rsplit_once(" (")?;
    let name = binary.trim_end_matches(')').rsplit('/').next()?;
    let name = name.rsplit_once('-').map_or(name, |(name, _)| name);
    let what = what.rsplit('/').next().unwrap_or(what).trim_end_matches(".rs");
    Some(if matches!(what, "lib" | "main") { name.to_owned() } else { what.to_owned() })
}

fn worth_showing(line: &str) -> bool {
    let trimmed = line.trim();
    let noise = trimmed.is_empty()
        || trimmed.starts_with("running ")
        || trimmed.starts_with("test ")
            && [" ... ok", " ... ignored"].iter().any(|end| trimmed.contains(end))
        || ["Compiling ", "Finished ", "Downloaded ", "Downloading ", "Blocking ", "Updating ", "Locking "]
            .iter()
            .any(|start| trimmed.starts_with(start));
    !noise
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_named_by_its_crate_or_file() {
        let unit = "     Running unittests src/lib.rs (target/debug/deps/strongroom_seal-5db9)";
        assert_eq!(started(unit).as_deref(), Some("strongroom_seal"));
        let file = "     Running tests/vectors.rs (target/debug/deps/vectors-1f00)";
        assert_eq!(started(file).as_deref(), Some("vectors"));
        assert_eq!(
            started("   Doc-tests strongroom_seal").as_deref(),
            Some("strongroom_seal (documentation)")
        );
    }

    #[test]
    fn what_went_well_is_hidden_and_what_did_not_is_shown() {
        assert!(!worth_showing("test codec::reads_back ... ok"));
        assert!(!worth_showing("   Compiling strongroom-seal v0.1.0"));
        assert!(worth_showing("thread 'codec::reads_back' panicked at crates/seal/src/codec.rs:3:5:"));
        assert!(worth_showing("error[E0425]: cannot find value `x` in this scope"));
    }
}
