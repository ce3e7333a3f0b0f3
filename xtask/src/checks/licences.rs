//! Every crate that we link or build with is permissively licensed.

use std::collections::BTreeSet;
use std::fs;

use crate::checks::spdx;
use crate::problem::{Problem, verdict};
use crate::process;
use crate::workspace::{Package, Workspace};

/// Licences that ask for no more than attribution. `deny.toml` lists the same.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Crates whose licence field cannot be read as an expression, or that we take all the same: name, licence
/// field as it stands (so that a change shows), reason.
const EXCEPTIONS: &[Exception] = &[];

/// The same for what only a benchmark links.
const PEERS_EXCEPTIONS: &[Exception] = &[(
    "sqlcipher-src",
    Some("MIT AND BSD-3-Clause AND blessing AND WTFPL"),
    "SQLite's blessing and the WTFPL ask for nothing at all",
)];

type Exception = (&'static str, Option<&'static str>, &'static str);

/// Checks the resolved graph on every platform and that `deny.toml` says the same.
pub(crate) fn run() -> Result<(), Problem> {
    let workspace = Workspace::load()?;
    let shipped = workspace.shipped();
    let mut broken = not_allowed(&shipped, EXCEPTIONS);
    broken.extend(deny_toml()?);
    verdict("licences", &format!("{} crates", shipped.len()), &broken)
}

/// Checks a crate that we are measured against and that stands outside the workspace.
pub(crate) fn of_peers(manifest: &str) -> Result<(), Problem> {
    let workspace = Workspace::of(manifest)?;
    let shipped = workspace.shipped();
    verdict("licences", &format!("{} crates", shipped.len()), &not_allowed(&shipped, PEERS_EXCEPTIONS))
}

fn not_allowed(shipped: &[&Package], exceptions: &[Exception]) -> Vec<String> {
    let mut broken = Vec::new();
    for package in shipped {
        let field = package.license.as_deref();
        if exceptions.iter().any(|(name, was, _)| *name == package.name && *was == field) {
            continue;
        }
        let allowed = |term: &str| ALLOWED.contains(&term);
        let answer = field.map(|expression| spdx::satisfied(expression, &allowed));
        let why = match answer {
            Some(Some(true)) => continue,
            Some(Some(false)) => "is not on the list of permissive licences",
            Some(None) => "cannot be read as a licence expression",
            None => "is missing; look at its licence file and add an exception with a reason",
        };
        let shown = field.unwrap_or("its licence field");
        broken.push(format!("{} {}: {shown} {why}", package.name, package.version));
    }
    for (name, ..) in exceptions.iter().filter(|(name, ..)| !shipped.iter().any(|p| p.name == *name)) {
        broken.push(format!("the exception for {name} is stale"));
    }
    broken
}

/// `deny.toml` and this file are two readers of one decision.
fn deny_toml() -> Result<Vec<String>, Problem> {
    let path = process::root().join("deny.toml");
    let text = fs::read_to_string(&path).map_err(Problem::file(&path))?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| Problem::Unreadable {
        what: "deny.toml",
        reason: error.to_string(),
    })?;
    let listed = table.get("licenses").and_then(|table| table.get("allow")).and_then(toml::Value::as_array);
    let theirs: BTreeSet<&str> = listed.into_iter().flatten().filter_map(toml::Value::as_str).collect();
    let ours: BTreeSet<&str> = ALLOWED.iter().copied().collect();
    let differ = theirs.symmetric_difference(&ours);
    Ok(differ.map(|name| format!("{name} is only in one of deny.toml and xtask's list")).collect())
}
