//! House rules as a check: what reviewers would otherwise have to remember.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::readers;
use crate::problem::{Problem, verdict};
use crate::process;

/// Longest a source file may grow before the seam has to be found.
const LINES_MAX: usize = 600;

/// Files longer than that, with the length they may not outgrow: path, lines, reason.
const RATCHET: &[(&str, usize, &str)] = &[];

/// What must not be left behind: text, and why. Split so that this file does not find itself.
const LEFTOVERS: &[(&str, &str)] = &[
    (concat!("FIX", "ME"), "finish it or write down the limit in docs"),
    (concat!("XX", "X:"), "finish it or write down the limit in docs"),
    (concat!("TO", "DO"), "finish it or write down the limit in docs"),
    (concat!("todo", "!("), "finish it"),
    (concat!("unimplemented", "!("), "finish it"),
    (concat!("dbg", "!("), "debugging is over"),
    (concat!("/wo", "rk/"), "a path of somebody's machine"),
    (concat!("/tmp/", "wt/"), "a path of somebody's machine"),
    (concat!("/ro", "ot/"), "a path of somebody's machine"),
    (concat!("/ho", "me/"), "a path of somebody's machine"),
];

/// One tracked text file.
pub(super) struct Source {
    pub(super) path: String,
    pub(super) text: String,
}

/// Checks every tracked text file.
pub(crate) fn run() -> Result<(), Problem> {
    let root = process::root();
    let sources = tracked(&root)?;
    let paths: BTreeSet<&str> = sources.iter().map(|source| source.path.as_str()).collect();
    let mut broken = Vec::new();
    for source in &sources {
        broken.extend(length(source));
        broken.extend(leftovers(source));
        broken.extend(dead_links(source, &root));
        broken.extend(spec_mentions(source, &paths));
        broken.extend(unreachable_file(source, &sources));
        broken.extend(lints_inherited(source));
        broken.extend(silent_allow(source));
    }
    broken.extend(readers::untried(&sources));
    for (path, ..) in RATCHET.iter().filter(|(path, ..)| !paths.contains(path)) {
        broken.push(format!("{path}: in the ratchet list, but gone"));
    }
    verdict("tidy", &format!("{} files", sources.len()), &broken)
}

fn tracked(root: &Path) -> Result<Vec<Source>, Problem> {
    let mut git = std::process::Command::new("git");
    git.current_dir(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let mut sources = Vec::new();
    for path in process::quiet(&mut git)?.split('\0').filter(|path| !path.is_empty()) {
        // Lock files and vectors are not written by hand, and binary files are not text.
        if path == "Cargo.lock" || path.ends_with("package-lock.json") || path.contains("/testdata/") {
            continue;
        }
        let full = root.join(path);
        if !full.is_file() {
            continue;
        }
        let bytes = fs::read(&full).map_err(Problem::file(&full))?;
        if let Ok(text) = String::from_utf8(bytes) {
            sources.push(Source { path: path.to_owned(), text });
        }
    }
    Ok(sources)
}

fn is_code(path: &str) -> bool {
    path.ends_with(".rs") || path.ends_with(".py") || path.ends_with(".mjs")
}

/// Whether a source file has tests alone.
pub(super) fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs")
}

fn length(source: &Source) -> Option<String> {
    let lines = source.text.lines().count();
    let limit =
        RATCHET.iter().find(|(path, ..)| *path == source.path).map_or(LINES_MAX, |(_, lines, _)| *lines);
    (is_code(&source.path) && lines > limit)
        .then(|| format!("{}: {lines} lines, more than {limit}; look for the seam", source.path))
}

fn leftovers(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in source.text.lines().enumerate() {
        for (text, why) in LEFTOVERS.iter().filter(|(text, _)| stands_in(line, text)) {
            found.push(format!("{}:{}: {text} ({why})", source.path, number + 1));
        }
    }
    found
}

/// Whether the text is there, and not as the continuation of a word: a route may have a part that is called like a directory.
fn stands_in(line: &str, text: &str) -> bool {
    line.match_indices(text).any(|(at, _)| {
        !(text.starts_with('/') && line[..at].ends_with(|before: char| before.is_ascii_alphanumeric()))
    })
}

/// Relative links of a Markdown page lead to files that exist.
fn dead_links(source: &Source, root: &Path) -> Vec<String> {
    if !source.path.ends_with(".md") {
        return Vec::new();
    }
    let folder = root.join(Path::new(&source.path).parent().unwrap_or(Path::new("")));
    let mut found = Vec::new();
    let mut fenced = false;
    for (number, line) in source.text.lines().enumerate() {
        fenced ^= line.trim_start().starts_with("```");
        if fenced {
            continue;
        }
        for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or("");
            let outside = file.contains("://") || file.starts_with("mailto:");
            if !file.is_empty() && !outside && !folder.join(file).exists() {
                found.push(format!("{}:{}: links to {file}, which is not there", source.path, number + 1));
            }
        }
    }
    found
}

/// A page of the specification that code or prose cites exists.
fn spec_mentions(source: &Source, paths: &BTreeSet<&str>) -> Vec<String> {
    const FOLDER: &str = "docs/spec/";
    let mut found = Vec::new();
    for (number, line) in source.text.lines().enumerate() {
        for (at, _) in line.match_indices(FOLDER) {
            let rest = &line[at..];
            let end =
                rest.find(|c: char| !(c.is_ascii_alphanumeric() || "/-_.".contains(c))).unwrap_or(rest.len());
            let page = rest[..end].trim_end_matches('.');
            if page.ends_with(".md") && !paths.contains(page) {
                found.push(format!("{}:{}: cites {page}, which is not there", source.path, number + 1));
            }
        }
    }
    found
}

/// A source file that no module declares is dead: it compiles nowhere and nobody notices.
fn unreachable_file(source: &Source, sources: &[Source]) -> Option<String> {
    let path = Path::new(&source.path);
    let name = path.file_stem()?.to_str()?;
    let folder = path.parent()?;
    let in_src = source.path.contains("/src/") && source.path.ends_with(".rs");
    let is_root = matches!(name, "main" | "lib") || folder.ends_with("bin");
    if !in_src || is_root {
        return None;
    }
    let (module, home) =
        if name == "mod" { (folder.file_name()?.to_str()?, folder.parent()?) } else { (name, folder) };
    let mut parents: Vec<PathBuf> = ["lib.rs", "main.rs", "mod.rs"].map(|file| home.join(file)).to_vec();
    parents.push(home.with_extension("rs"));
    let declared = format!("mod {module};");
    let found = sources.iter().any(|other| {
        parents.iter().any(|parent| parent == Path::new(&other.path)) && other.text.contains(&declared)
    });
    (!found).then(|| format!("{}: no module declares it", source.path))
}

/// `unsafe_code = "forbid"` and the other lints of the workspace hold in every crate.
fn lints_inherited(source: &Source) -> Option<String> {
    let table: toml::Table = (source.path.ends_with("Cargo.toml")).then(|| source.text.parse().ok())??;
    let lints = |table: &toml::Table| table.get("lints").cloned();
    if let Some(workspace) = table.get("workspace").and_then(toml::Value::as_table) {
        let forbidden = lints(workspace)?.get("rust")?.get("unsafe_code")?.as_str() == Some("forbid");
        return (!forbidden).then(|| "Cargo.toml: unsafe_code is not forbidden".to_owned());
    }
    let inherited = lints(&table).and_then(|lints| lints.get("workspace")?.as_bool()) == Some(true);
    (!inherited).then(|| format!("{}: does not inherit the lints of the workspace", source.path))
}

/// An `allow` says why, in its `reason` or in a comment just above.
fn silent_allow(source: &Source) -> Vec<String> {
    if !source.path.ends_with(".rs") {
        return Vec::new();
    }
    let lines: Vec<&str> = source.text.lines().map(str::trim).collect();
    let mut found = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let allows = ["#[allow(", "#![allow(", "#[expect("].iter().any(|start| line.starts_with(start));
        let end = lines.len().min(number + 5);
        let attribute = lines[number..end].join(" ");
        let attribute = attribute.split(")]").next().unwrap_or("");
        let explained = attribute.contains("reason = ") || number > 0 && lines[number - 1].starts_with("//");
        if allows && !explained {
            found.push(format!("{}:{}: {line} without a reason", source.path, number + 1));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn a_file_past_the_limit_is_named_and_prose_is_not() {
        let long = "\n".repeat(LINES_MAX + 1);
        assert!(length(&source("crates/a/src/a.rs", &long)).is_some());
        assert!(length(&source("docs/a.md", &long)).is_none());
    }

    #[test]
    fn leftovers_are_found_with_their_line() {
        let found = leftovers(&source("a.rs", concat!("fine\n// FIX", "ME later")));
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("a.rs:2:"));
    }

    #[test]
    fn dead_links_are_found_and_live_ones_and_addresses_are_not() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("here.md"), "").unwrap();
        let page = source("page.md", "[a](here.md#top) [b](gone.md) [c](https://example.org/x.md)");
        let found = dead_links(&page, root.path());
        assert_eq!(found, ["page.md:1: links to gone.md, which is not there"]);
    }

    #[test]
    fn a_cited_page_has_to_exist() {
        let paths = BTreeSet::from([concat!("docs/", "spec/log.md")]);
        let code = source("a.rs", concat!("// docs/", "spec/log.md §2.\n// docs/", "spec/gone.md"));
        assert_eq!(spec_mentions(&code, &paths).len(), 1);
    }

    #[test]
    fn a_file_that_no_module_declares_is_dead() {
        let sources = [
            source("crates/a/src/lib.rs", "mod used;"),
            source("crates/a/src/used.rs", "pub mod inner;"),
            source("crates/a/src/used/inner.rs", ""),
            source("crates/a/src/dead.rs", ""),
        ];
        let dead: Vec<String> = sources.iter().filter_map(|s| unreachable_file(s, &sources)).collect();
        assert_eq!(dead, ["crates/a/src/dead.rs: no module declares it"]);
    }

    #[test]
    fn a_path_of_a_machine_is_told_from_a_part_of_a_route() {
        let home = concat!("/ro", "ot/");
        assert!(stands_in(&format!("cd {home}x"), home));
        assert!(stands_in(&format!("\"{home}x\""), home));
        assert!(!stands_in(&format!("/keys{home}change"), home));
        assert!(stands_in(&format!("/keys{home}change and {home}"), home));
    }

    #[test]
    fn every_crate_inherits_the_lints() {
        assert!(lints_inherited(&source("crates/a/Cargo.toml", "[package]\nname = \"a\"")).is_some());
        assert!(lints_inherited(&source("crates/a/Cargo.toml", "[lints]\nworkspace = true")).is_none());
        let root = "[workspace.lints.rust]\nunsafe_code = \"deny\"";
        assert!(lints_inherited(&source("Cargo.toml", root)).is_some());
    }

    #[test]
    fn an_allow_needs_a_reason() {
        let silent = concat!("#[al", "low(dead_code)]\nfn a() {}");
        let said = concat!("#[al", "low(\n    dead_code,\n    reason = \"used on Windows\"\n)]\nfn a() {}");
        let above = concat!("// Used on Windows.\n#[al", "low(dead_code)]\nfn a() {}");
        assert_eq!(silent_allow(&source("a.rs", silent)).len(), 1);
        assert!(silent_allow(&source("a.rs", said)).is_empty());
        assert!(silent_allow(&source("a.rs", above)).is_empty());
    }
}
