//! Running other programs: quietly unless they fail, or live through a filter.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

use crate::problem::Problem;

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .canonicalize()
        .unwrap_or_else(|_| PathBuf::from("."))
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The cargo that started us.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // `cargo xtask` sets these for itself; left in place they would make every inner build start afresh.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command.current_dir(root());
    command
}

fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    if let Some(name) = words[0].rsplit('/').next() {
        words[0] = name.to_owned();
    }
    words.join(" ")
}

/// Runs to the end and shows the output only if the program fails.
pub(crate) fn quiet(command: &mut Command) -> Result<String, Problem> {
    let program = shown(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Problem::Start { program: program.clone(), source })?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    print!("{text}");
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    Err(Problem::Failed { what: program })
}

/// Runs to the end with both outputs shown as they come.
pub(crate) fn loud(command: &mut Command) -> Result<(), Problem> {
    let program = shown(command);
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|source| Problem::Start { program: program.clone(), source })?;
    if status.success() { Ok(()) } else { Err(Problem::Failed { what: program }) }
}

/// Hands every line of both outputs to `line` as it comes; says whether the program succeeded.
pub(crate) fn lines(command: &mut Command, mut line: impl FnMut(&str)) -> Result<bool, Problem> {
    let program = shown(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| Problem::Start { program: program.clone(), source })?;
    let (sender, receiver) = mpsc::channel::<String>();
    let outputs: [Option<Box<dyn Read + Send>>; 2] = [
        child.stdout.take().map(|out| Box::new(out) as _),
        child.stderr.take().map(|out| Box::new(out) as _),
    ];
    for output in outputs.into_iter().flatten() {
        let sender = sender.clone();
        thread::spawn(move || {
            let mut reader = BufReader::new(output);
            let mut bytes = Vec::new();
            while matches!(reader.read_until(b'\n', &mut bytes), Ok(1..)) {
                if sender.send(String::from_utf8_lossy(&bytes).trim_end().to_owned()).is_err() {
                    return;
                }
                bytes.clear();
            }
        });
    }
    drop(sender);
    for text in receiver {
        line(&text);
    }
    let status = child.wait().map_err(|source| Problem::Start { program, source })?;
    Ok(status.success())
}
