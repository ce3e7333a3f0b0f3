//! The client suite: foreign S3 clients in a Python environment of their own, against the real binary.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::counts::Counts;
use crate::problem::Problem;
use crate::process;
use crate::test::{Options, Summary};

/// The environment of the client suite.
pub(super) fn prepare() -> Result<PathBuf, Problem> {
    environment("tests/requirements.txt", "test-venv")
}

/// That of the applications which are too large for it.
pub(super) fn prepare_applications() -> Result<PathBuf, Problem> {
    environment("tests/requirements-applications.txt", "applications-venv")
}

/// Makes an environment under the target folder, or finds it made from the same list; returns its Python.
fn environment(list: &str, folder: &str) -> Result<PathBuf, Problem> {
    let list = process::root().join(list);
    let wanted = fs::read_to_string(&list).map_err(Problem::file(&list))?;
    let folder = process::target_dir().join(folder);
    let python = folder.join("bin/python");
    let stamp = folder.join("requirements.installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) && python.exists() {
        return Ok(python);
    }
    println!("installing the clients of {} into {}", list.display(), folder.display());
    let made = process::quiet(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
    made.map_err(|problem| match problem {
        Problem::Start { .. } => Problem::Missing {
            what: "python3",
            hint: "the client suite needs Python 3.11 or newer with venv (`--no-clients` leaves the suite out)",
        },
        other => other,
    })?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]).arg(&list);
    process::quiet(&mut pip)?;
    fs::write(&stamp, wanted).map_err(Problem::file(&stamp))?;
    Ok(python)
}

/// Runs pytest over `tests/` and shows what fails, and the name of each file that was run.
pub(super) fn run(options: &Options, python: &Path, binary: &Path) -> Result<Summary, Problem> {
    let mut command = Command::new(python);
    command.current_dir(process::root().join("tests"));
    command.args(["-m", "pytest", "-p", "no:cacheprovider", "--tb=short", "-v", "-rs", "--color=no"]);
    if let Some(only) = &options.only {
        command.args(["-k", only]);
    }
    if options.soak {
        command.arg("--timeout=0");
    }
    command.args(options.client_files);
    command.args(options.without_client_files.iter().map(|file| format!("--ignore={file}")));
    command.env("STRONGROOM_BINARY", binary).env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUNBUFFERED", "1");
    options.environment(&mut command);
    let mut summary = Summary::default();
    let mut part = (String::new(), Counts::default());
    let mut closed = None;
    let ok = process::lines_within(&mut command, options.silence(), |line| {
        if let Some((file, outcome)) = test_line(line) {
            if part.0 != file {
                close(&mut part, file);
            }
            part.1 += outcome;
            if outcome.failed > 0 {
                println!("{line}");
            }
        } else if let Some(name) = line.strip_prefix("FAILED ").or_else(|| line.strip_prefix("ERROR ")) {
            summary.failed.push(name.split(" - ").next().unwrap_or(name).to_owned());
        } else if let Some(counts) = Counts::of_pytest_line(line) {
            close(&mut part, "");
            closed = Some(counts);
        } else if worth_showing(line) {
            close(&mut part, "");
            println!("{line}");
        }
    })?;
    summary.counts = closed.unwrap_or_default();
    // Exit code 5 of pytest: `--only` named no test of this suite. That is for the sum to judge.
    let nothing = options.only.is_some() && summary.counts == Counts::default();
    if !ok && summary.counts.failed == 0 && !nothing {
        summary.counts.failed += 1;
        summary.failed.push("pytest".to_owned());
    }
    Ok(summary)
}

fn close(part: &mut (String, Counts), next: &str) {
    if !part.0.is_empty() {
        println!("{}: {}", part.0, part.1);
    }
    *part = (next.to_owned(), Counts::default());
}

/// `test_list.py::pages_follow[odd] PASSED   [ 12%]`
fn test_line(line: &str) -> Option<(&str, Counts)> {
    let (file, rest) = line.split_once("::")?;
    let rest =
        rest.trim_end().strip_suffix(']').map_or(rest, |rest| rest.rsplit_once('[').map_or(rest, |(r, _)| r));
    let rest = rest.trim_end();
    // A skipped test carries its reason behind the word.
    let skipped = rest.contains(" SKIPPED") || rest.ends_with(" XFAIL");
    let counts = match rest.rsplit(' ').next()? {
        _ if skipped => Counts { skipped: 1, ..Counts::default() },
        "PASSED" => Counts::one(true),
        "FAILED" | "ERROR" => Counts::one(false),
        _ => return None,
    };
    (file.ends_with(".py") && !file.contains(' ')).then_some((file, counts))
}

fn worth_showing(line: &str) -> bool {
    let noise = line.trim().is_empty()
        || [
            "platform ",
            "rootdir: ",
            "plugins: ",
            "collecting ",
            "collected ",
            "cachedir: ",
            "configfile: ",
            "testpaths: ",
            "timeout",
            "hypothesis profile",
        ]
        .iter()
        .any(|start| line.starts_with(start))
        || line.starts_with("====") && line.contains("test session starts")
        || line.contains("short test summary info");
    !noise
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_one_test_is_counted_for_its_file() {
        let line = "test_list.py::pages_follow[odd key] PASSED                     [ 12%]";
        assert_eq!(test_line(line), Some(("test_list.py", Counts::one(true))));
        let line = "test_list.py::pages_follow FAILED [ 99%]";
        assert_eq!(test_line(line), Some(("test_list.py", Counts::one(false))));
        let line = "faults/test_disk.py::full SKIPPED (strace is not here) [ 50%]";
        assert_eq!(test_line(line).map(|(_, counts)| counts.skipped), Some(1));
        assert_eq!(test_line("E   assert a::b PASSED"), None);
    }
}
