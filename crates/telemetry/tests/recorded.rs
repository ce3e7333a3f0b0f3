//! A figure that nobody records is worse than none: an alarm on it never rings.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::fs;
use std::path::Path;

/// The text of every source file below a directory.
fn sources(directory: &Path, text: &mut String) {
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_metric_is_recorded_by_some_crate() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = fs::read_to_string(here.join("src/names.rs")).unwrap();
    let mut text = String::new();
    for entry in fs::read_dir(here.join("..")).unwrap().map(Result::unwrap) {
        let source = entry.path().join("src");
        if source.is_dir() {
            sources(&source, &mut text);
        }
    }
    let declared: Vec<_> = names
        .lines()
        .filter_map(|line| line.strip_prefix("    ")?.split_once(" = \"strongroom_"))
        .map(|(name, _)| name)
        .collect();
    assert!(declared.len() > 50, "{declared:?}");
    let idle: Vec<_> = declared.iter().filter(|name| !text.contains(&format!("names::{name}"))).collect();
    assert!(idle.is_empty(), "nobody records {idle:?}");
}
