//! What a decision costs, and a user for whom each request needs one.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::bench::load::Endpoint;
use crate::bench::serve::Served;
use crate::bench::table::{Row, Target};
use crate::problem::Problem;
use crate::process;

/// Those of the bench's contenders that are promised something, in microseconds.
const PROMISED: [(&str, f64); 3] = [
    ("user's policy, every condition looked at", 5.0),
    ("user's policy, statements about other objects", 5.0),
    ("bucket's policy, every condition looked at", 5.0),
];

/// One row for each decision over a policy of fifty statements.
pub(super) fn decisions() -> Result<Vec<Row>, Problem> {
    println!("measuring decisions");
    let mut command = process::cargo();
    command.args([
        "bench",
        "--locked",
        "--quiet",
        "-p",
        "strongroom-iam",
        "--bench",
        "decide",
        "--",
        "--json",
    ]);
    let text = process::quiet(&mut command)?;
    let unreadable = |reason: String| Problem::Unreadable { what: "the bench of strongroom-iam", reason };
    let line = text.lines().find(|line| line.starts_with('{')).unwrap_or("");
    let report: BTreeMap<String, f64> =
        serde_json::from_str(line).map_err(|error| unreadable(error.to_string()))?;
    let of = |name: &str| {
        let nanoseconds = report.get(&format!("{name}, ns"));
        nanoseconds.map(|ns| ns / 1000.0).ok_or_else(|| unreadable(format!("it has no `{name}`")))
    };
    let nothing = of("no policy")?;
    let row = |(name, most): (&str, f64)| {
        let took = of(name)?;
        let name = format!("decision, 50 statements / no policy: {name}");
        let shown = |us: f64| format!("{us:.2} us");
        Ok(Row::new(name, shown(took), shown(nothing), took, "us", Target::AtMost(most)))
    };
    PROMISED.into_iter().map(row).collect()
}

#[derive(Deserialize)]
struct MadeKey {
    access_key: String,
    secret_key: String,
}

/// The same place for a user who may read and write everything, by a policy of its own.
pub(super) fn as_user(server: &Served, binary: &Path, endpoint: &Endpoint) -> Result<Endpoint, Problem> {
    let admin = |arguments: &[&str]| {
        let mut command = std::process::Command::new(binary);
        command.args(["admin", "--json", "--data-dir"]).arg(server.data_dir()).args(arguments);
        process::quiet(&mut command)
    };
    admin(&["user", "create", "reader"])?;
    admin(&["policy", "attach", "readwrite", "--user", "reader"])?;
    let made = admin(&["user", "key", "create", "reader"])?;
    let made: MadeKey = serde_json::from_str(made.trim()).map_err(|error| Problem::Unreadable {
        what: "the access key of a user",
        reason: error.to_string(),
    })?;
    Ok(endpoint.by(&made.access_key, &made.secret_key))
}
