//! Running other programs: quietly unless they fail, or live through a filter.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

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
pub(crate) fn lines(command: &mut Command, line: impl FnMut(&str)) -> Result<bool, Problem> {
    lines_within(command, None, line)
}

/// The same, but a program that prints nothing for as long as `silence` is ended with all that it started, and has failed:
/// what hangs shall not use up the time of all that comes after it.
pub(crate) fn lines_within(
    command: &mut Command,
    silence: Option<Duration>,
    mut line: impl FnMut(&str),
) -> Result<bool, Problem> {
    let program = shown(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| Problem::Start { program: program.clone(), source })?;
    let receiver = printed_by(&mut child);
    loop {
        let next = match silence {
            Some(silence) => receiver.recv_timeout(silence),
            None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match next {
            Ok(text) => line(&text),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                let minutes = silence.unwrap_or_default().as_secs() / 60;
                println!("{program} printed nothing for {minutes} minutes and is ended");
                end_with_descendants(&mut child);
                return Ok(false);
            }
        }
    }
    let status = child.wait().map_err(|source| Problem::Start { program, source })?;
    Ok(status.success())
}

/// Every line of both outputs, as it comes.
fn printed_by(child: &mut Child) -> mpsc::Receiver<String> {
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
    receiver
}

/// Kills a program and what it started, the youngest last, so that nobody starts more meanwhile.
fn end_with_descendants(child: &mut Child) {
    let parents = parents();
    let mut ended = vec![child.id()];
    let mut at = 0;
    while at < ended.len() {
        let by = ended[at];
        ended.extend(parents.iter().filter(|(_, parent)| *parent == by).map(|(id, _)| *id));
        at += 1;
    }
    let ids = ended.iter().map(u32::to_string);
    let killed = Command::new("kill").arg("-9").args(ids).stderr(Stdio::null()).status();
    if killed.is_err() {
        let _ = child.kill();
    }
    let _ = child.wait();
}

/// Every process that can be seen, and who started it (proc(5)).
fn parents() -> Vec<(u32, u32)> {
    let Ok(listing) = fs::read_dir("/proc") else { return Vec::new() };
    listing
        .flatten()
        .filter_map(|entry| {
            let id = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // `7 (a name) S 1 …`: the name may hold anything, its end is the last parenthesis.
            let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
            Some((id, parent))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_is_ended_with_all_that_it_started() {
        let mut said = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & echo $!; wait"]);
        let ok = lines_within(&mut command, Some(Duration::from_secs(1)), |line| said.push(line.to_owned()));
        assert!(!ok.unwrap());
        let sleeper = PathBuf::from("/proc").join(&said[0]).join("stat");
        // It was told to end. Soon it has, and whoever inherited it may take note of that later.
        while fs::read_to_string(&sleeper).is_ok_and(|state| !state.contains(") Z ")) {
            thread::yield_now();
        }
    }

    #[test]
    fn what_goes_on_printing_goes_on() {
        let mut command = Command::new("sh");
        command.args(["-c", "for i in 1 2 3; do echo $i; done"]);
        let mut count = 0;
        assert!(lines_within(&mut command, Some(Duration::from_secs(60)), |_| count += 1).unwrap());
        assert_eq!(count, 3);
    }
}
