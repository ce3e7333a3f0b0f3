//! The processes that are measured: built here, given their orders line by line, stopped when dropped.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::bench::serve;
use crate::checks::licences;
use crate::problem::Problem;
use crate::process;

const PEERS: &str = "benches/peers-store/Cargo.toml";

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Sealed,
    Unsealed,
    Redb,
    SqlCipher,
    /// redb with the transactions that ours makes of the same commits: durable at checkpoints.
    RedbLazy,
}

impl Kind {
    /// The four that take turns.
    pub(super) const ALL: [Self; 4] = [Self::Sealed, Self::Unsealed, Self::Redb, Self::SqlCipher];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::Unsealed => "unsealed",
            Self::Redb => "plain redb",
            Self::SqlCipher => "SQLCipher",
            Self::RedbLazy => "plain redb, lazy",
        }
    }
}

/// Where the programs are.
#[derive(Debug)]
pub(super) struct Programs {
    sealed: PathBuf,
    unsealed: PathBuf,
    peers: PathBuf,
}

impl Programs {
    /// Builds all of them.
    pub(super) fn build() -> Result<Self, Problem> {
        println!("building the store's bench, then the same without sealing, then its peers");
        Ok(Self { sealed: ours(false)?, unsealed: ours(true)?, peers: peers()? })
    }

    /// A contender on an empty directory of its own.
    pub(super) fn start(&self, kind: Kind) -> Result<Contender, Problem> {
        let (program, word) = match kind {
            Kind::Sealed => (&self.sealed, "ours"),
            Kind::Unsealed => (&self.unsealed, "ours"),
            Kind::Redb => (&self.peers, "redb"),
            Kind::SqlCipher => (&self.peers, "sqlcipher"),
            Kind::RedbLazy => (&self.peers, "redb-lazy"),
        };
        let mut contender = Contender::start(program, word)?;
        if matches!(kind, Kind::Sealed | Kind::Unsealed) {
            let Seals { seals } = contender.ask("special seals")?;
            if seals != (kind == Kind::Sealed) {
                return Err(Problem::Failed { what: format!("building the {} store", kind.name()) });
            }
        }
        Ok(contender)
    }
}

#[derive(Deserialize)]
struct Seals {
    seals: bool,
}

/// The store's bench of the release profile.
fn ours(unsealed: bool) -> Result<PathBuf, Problem> {
    let mut command = process::cargo();
    command.args(["build", "--locked", "--quiet", "--release", "-p", "strongroom-store", "--bench", "store"]);
    command.args(["--message-format", "json-render-diagnostics"]);
    if unsealed {
        // A folder of its own, so that such a program never lies where others look for the real one.
        command.args(["--features", "bench-unsealed"]).env("STRONGROOM_BENCH_BUILD", "1");
        command.env("CARGO_TARGET_DIR", process::target_dir().join("bench-unsealed"));
    }
    let text = process::quiet(&mut command)?;
    let artifacts = text.lines().filter_map(|line| serde_json::from_str::<Artifact>(line).ok());
    let bench = artifacts.filter(|artifact| artifact.target.name == "store").find_map(|a| a.executable);
    bench.ok_or(Problem::Unreadable {
        what: "cargo's messages",
        reason: "no bench named store was built".to_owned(),
    })
}

#[derive(Deserialize)]
struct Artifact {
    target: Target,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

/// A crate outside the workspace, whose dependencies nothing else needs.
fn peers() -> Result<PathBuf, Problem> {
    licences::of_peers(PEERS)?;
    let folder = process::target_dir().join("bench-peers-store");
    let mut command = process::cargo();
    command.args(["build", "--locked", "--quiet", "--release"]);
    command.args(["--manifest-path", PEERS, "--target-dir"]).arg(&folder);
    // As distributions build it. Without it SQLite syncs the times of files with every commit, which we do not.
    command.env("LIBSQLITE3_FLAGS", "-DHAVE_FDATASYNC=1");
    process::loud(&mut command)?;
    Ok(folder.join("release/peers-store"))
}

/// A running contender; killed with its data when dropped.
#[derive(Debug)]
pub(super) struct Contender {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// Removed last.
    _folder: tempfile::TempDir,
}

impl Contender {
    fn start(program: &Path, word: &str) -> Result<Self, Problem> {
        let folder = serve::scratch()?;
        let failed = |source| Problem::Start { program: program.display().to_string(), source };
        let mut command = Command::new(program);
        command.arg(word).arg(folder.path().join("data")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let (Some(orders), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed(std::io::ErrorKind::BrokenPipe.into()));
        };
        Ok(Self { child, orders, answers: BufReader::new(answers), _folder: folder })
    }

    /// Gives an order and waits for what came of it.
    pub(super) fn ask<T: DeserializeOwned>(&mut self, order: &str) -> Result<T, Problem> {
        let failed = || Problem::Failed { what: format!("the order {order:?}") };
        writeln!(self.orders, "{order}").map_err(|_| failed())?;
        let mut line = String::new();
        if self.answers.read_line(&mut line).map_err(|_| failed())? == 0 {
            return Err(failed());
        }
        serde_json::from_str(&line).map_err(|error| Problem::Unreadable {
            what: "the answer of a contender",
            reason: format!("{error}: {line}"),
        })
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What an order took.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Took {
    pub(super) operations: f64,
    pub(super) rows: f64,
    pub(super) seconds: f64,
    /// Processor seconds of all threads.
    pub(super) cpu: f64,
    #[serde(default)]
    pub(super) p50: f64,
    #[serde(default)]
    pub(super) p99: f64,
}

impl Took {
    pub(super) fn per_second(&self) -> f64 {
        self.operations / self.seconds
    }

    pub(super) fn rows_per_second(&self) -> f64 {
        self.rows / self.seconds
    }

    pub(super) fn cpu_us(&self) -> f64 {
        self.cpu / self.operations * 1e6
    }
}
