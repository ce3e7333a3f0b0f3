//! Why a command of `xtask` failed, as the sentence that its user reads.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// One failed task.
#[derive(Debug)]
pub(crate) enum Problem {
    /// A program that we need could not be started.
    Start { program: String, source: io::Error },
    /// A program ran and said no; its output has been shown.
    Failed { what: String },
    /// A program answered what we cannot read.
    Unreadable { what: &'static str, reason: String },
    /// A file could not be read or written.
    File { path: PathBuf, source: io::Error },
    /// A rule is broken so many times; each case has been printed.
    Broken { rule: &'static str, count: usize },
    /// The machine lacks something that its user can install.
    Missing { what: &'static str, hint: &'static str },
    /// There is no such step.
    NoStep { name: String },
    /// Measured values that are not what they have to be, after the table was shown.
    Missed { rows: Vec<String> },
    /// Tests failed, or none ran.
    Tests { passed: u64, failed: u64 },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start { program, source } => write!(f, "cannot start {program}: {source}"),
            Self::Failed { what } => write!(f, "{what} failed"),
            Self::Unreadable { what, reason } => write!(f, "cannot read {what}: {reason}"),
            Self::File { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Broken { rule, count } => write!(f, "{rule}: {count} broken"),
            Self::Missing { what, hint } => write!(f, "{what} was not found; {hint}"),
            Self::NoStep { name } => write!(f, "there is no step {name:?}; `--list` names them"),
            Self::Missed { rows } => write!(f, "{} missed: {}", rows.len(), rows.join("; ")),
            Self::Tests { passed: 0, failed: 0 } => f.write_str("no test ran"),
            Self::Tests { failed, .. } => write!(f, "{failed} failed"),
        }
    }
}

impl std::error::Error for Problem {}

impl Problem {
    /// Names the file that an I/O error is about.
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}

/// Prints each broken case; fails if there is one, otherwise says what was looked at.
pub(crate) fn verdict(rule: &'static str, looked_at: &str, broken: &[String]) -> Result<(), Problem> {
    for case in broken {
        println!("{rule}: {case}");
    }
    if broken.is_empty() {
        println!("{rule}: {looked_at}, all well");
        return Ok(());
    }
    Err(Problem::Broken { rule, count: broken.len() })
}
