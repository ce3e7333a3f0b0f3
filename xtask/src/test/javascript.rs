//! The packages of the JavaScript client, exactly as `tests/js/package-lock.json` names them.

use std::fs;
use std::process::Command;

use crate::problem::Problem;
use crate::process;

/// Installs them under the target folder, beside the Python environment, where `tests/test_javascript.py` looks.
/// Without npm the tests that need them skip and say so.
pub(super) fn prepare() -> Result<(), Problem> {
    let wanted = process::root().join("tests/js/package-lock.json");
    let lock = fs::read_to_string(&wanted).map_err(Problem::file(&wanted))?;
    let folder = process::target_dir().join("test-js");
    let stamp = folder.join("package-lock.installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    println!("installing the packages of tests/js into {}", folder.display());
    fs::create_dir_all(&folder).map_err(Problem::file(&folder))?;
    for name in ["package.json", "package-lock.json"] {
        let from = process::root().join("tests/js").join(name);
        fs::copy(&from, folder.join(name)).map_err(Problem::file(&from))?;
    }
    let mut npm = Command::new("npm");
    // Nothing that a package brings along is run.
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(&folder);
    match process::quiet(&mut npm) {
        Err(Problem::Start { .. }) => {
            println!("npm is not here, so the JavaScript SDK is left out (Node.js 20 or newer has it)");
            Ok(())
        }
        Err(other) => Err(other),
        Ok(_) => fs::write(&stamp, lock).map_err(Problem::file(&stamp)),
    }
}
