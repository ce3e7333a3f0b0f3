//! The coverage-guided fuzzer over every reader of foreign bytes (`fuzz/README.md`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::counts::Counts;
use crate::problem::Problem;
use crate::process;
use crate::test::Summary;

/// Fuzzes one reader after the other for `seconds` each. What it finds stays in `target/fuzz/found`.
pub(super) fn run(seconds: u64, only: Option<&str>) -> Result<Summary, Problem> {
    let tool = tool()?;
    let folder = process::target_dir().join("fuzz");
    let names = seeds(&folder.join("corpus"))?;
    let program = build(&tool, &folder)?;
    let found = folder.join("found");
    fs::create_dir_all(&found).map_err(Problem::file(&found))?;
    let mut summary = Summary::default();
    let mut inputs = 0;
    for name in names.lines().filter(|name| only.is_none_or(|only| name.contains(only))) {
        let (runs, ok) = one(&program, name, &folder, seconds)?;
        inputs += runs;
        summary.counts += Counts::one(ok);
        if !ok {
            summary.failed.push(format!("fuzz {name}"));
        }
    }
    println!("fuzz: {inputs} inputs");
    Ok(summary)
}

/// cargo-fuzz, installed under the target folder if it is not there yet.
fn tool() -> Result<PathBuf, Problem> {
    let root = process::target_dir().join("tools");
    let tool = root.join("bin/cargo-fuzz");
    if !tool.exists() {
        println!("installing cargo-fuzz into {}", root.display());
        let mut install = process::cargo();
        install.args(["install", "--quiet", "--locked", "cargo-fuzz", "--root"]).arg(&root);
        install.arg("--target-dir").arg(root.join("build"));
        process::quiet(&mut install)?;
    }
    Ok(tool)
}

/// Writes the valid inputs to start from; returns the readers' names, one on a line.
fn seeds(corpus: &Path) -> Result<String, Problem> {
    let mut command = process::cargo();
    command.args(["run", "--locked", "--quiet", "-p", "strongroom-decoders", "--example", "corpus", "--"]);
    process::quiet(command.arg(corpus))
}

/// Builds the one program that holds all readers.
///
/// The flags that count coverage are known to the stable compiler too, which only asks to be told that this is meant.
/// Without a sanitizer, since no crate of ours has unsafe code.
fn build(tool: &Path, folder: &Path) -> Result<PathBuf, Problem> {
    let host = process::quiet(Command::new("rustc").arg("-vV"))?;
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default().to_owned();
    let mut command = Command::new(tool);
    command.current_dir(process::root()).env("RUSTC_BOOTSTRAP", "1");
    command.args(["fuzz", "build", "--sanitizer", "none", "--target", &host, "--target-dir"]).arg(folder);
    process::quiet(&mut command)?;
    Ok(folder.join(host).join("release/decoder"))
}

/// How many inputs one reader got, and whether it took all of them well.
fn one(program: &Path, name: &str, folder: &Path, seconds: u64) -> Result<(u64, bool), Problem> {
    let slug = name.replace(['/', ' '], "-");
    let mut command = Command::new(program);
    command.env("STRONGROOM_DECODER", name).arg(folder.join("corpus").join(&slug));
    command.arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-artifact_prefix={}/{slug}-", folder.join("found").display()));
    command.args(["-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1", "-verbosity=1"]);
    let mut runs = 0;
    let mut last = Vec::new();
    let ok = process::lines(&mut command, |line| {
        if let Some(count) = line.strip_prefix("stat::number_of_executed_units:") {
            runs = count.trim().parse().unwrap_or(0);
        }
        last.push(line.to_owned());
        if last.len() > 40 {
            last.remove(0);
        }
    })?;
    println!("{name:<32} {runs:>12} inputs{}", if ok { "" } else { ", FAILED" });
    if !ok {
        last.iter().for_each(|line| println!("  {line}"));
    }
    Ok((runs, ok))
}
