//! Every reader of foreign bytes is tried on mangled ones: what the source calls a reader, a `fuzzing.rs` names.

use super::tidy::{Source, is_test};

/// Readers that are reached by another one of the same file, or that see no foreign bytes: path, name, why.
const REACHED: &[(&str, &str, &str)] = &[
    ("crates/store/src/pages/journal.rs", "decode", "the first half of `read`, which is tried"),
    ("crates/store/src/pages/root.rs", "decode", "a part of `newest`, which is tried"),
    ("crates/objects/src/rows/bucket.rs", "read_settings", "a part of `BucketRow::decode`"),
    ("crates/api/src/rest/objects/get.rs", "parse", "calls `headers` and `sse`, which are tried"),
];

/// A function that makes something of bytes.
#[derive(Debug, PartialEq, Eq)]
struct Reader {
    line: usize,
    /// With its type before it if it belongs to one.
    name: String,
}

/// The readers that no test hands mangled bytes to, and exceptions that are none any more.
pub(super) fn untried(sources: &[Source]) -> Vec<String> {
    let mut broken = Vec::new();
    let mut excepted = Vec::new();
    for source in sources.iter().filter(|source| has_readers(&source.path)) {
        let tried = entries(source, sources);
        for reader in readers(&source.text) {
            let name = reader.name.rsplit("::").next().unwrap_or(&reader.name);
            if let Some(known) = REACHED.iter().find(|(path, of, _)| *path == source.path && *of == name) {
                excepted.push(known);
            } else if !stands_in(&tried, &reader.name) {
                broken.push(format!(
                    "{}:{}: {} reads bytes, and no fuzzing.rs of its crate names it",
                    source.path, reader.line, reader.name
                ));
            }
        }
    }
    for known in REACHED.iter().filter(|known| !excepted.contains(known)) {
        broken.push(format!("{}: {} is excepted from fuzzing, but gone", known.0, known.1));
    }
    broken
}

fn has_readers(path: &str) -> bool {
    let crates = ["seal", "store", "kms", "iam", "objects", "s3", "api", "strongroom"];
    let ours = crates.iter().any(|name| path.starts_with(&format!("crates/{name}/src/")));
    ours && path.ends_with(".rs") && !is_test(path) && !is_entry(path) && !path.contains("/sim")
}

/// Whether a file hands mangled bytes to readers. `samples.rs` has a row of each kind for that.
fn is_entry(path: &str) -> bool {
    path.ends_with("/fuzzing.rs") || path.ends_with("/samples.rs")
}

/// What the crate of `source` tries.
fn entries(source: &Source, sources: &[Source]) -> String {
    let home = source.path.split("/src/").next().unwrap_or_default();
    let same = |other: &&Source| other.path.starts_with(&format!("{home}/src/")) && is_entry(&other.path);
    sources.iter().filter(same).map(|other| other.text.as_str()).collect()
}

/// Functions called `decode`, `decode_…`, `parse`, `parse_…`, `read_…`, `…of_key`, `of_headers` or `into_headers` that take
/// bytes, or the headers of a request, and may refuse them.
fn readers(text: &str) -> Vec<Reader> {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or(text);
    let lines: Vec<&str> = text.lines().collect();
    let mut home = None;
    let mut found = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        if line.starts_with("impl") {
            home = implemented(line);
        } else if *line == "}" {
            home = None;
        }
        let Some(name) = declared(line) else { continue };
        let verb = name.split('_').next().unwrap_or(name);
        let reads = matches!(verb, "decode" | "parse") || name.starts_with("read_");
        if !reads && !name.ends_with("of_key") && !matches!(name, "of_headers" | "into_headers") {
            continue;
        }
        let head: String = lines[number..lines.len().min(number + 12)].join(" ");
        let head = head.split('{').next().unwrap_or_default();
        let (given, answer) = head.split_once("->").unwrap_or((head, ""));
        let bytes = given.contains("[u8") && !given.contains("mut [u8");
        let bytes = bytes || given.contains("HeaderMap");
        let refuses = answer.trim_start().starts_with("Result") || answer.trim_start().starts_with("Option");
        if bytes && refuses {
            let name = home.map_or_else(|| name.to_owned(), |home| format!("{home}::{name}"));
            found.push(Reader { line: number + 1, name });
        }
    }
    found
}

/// The name of a function whose declaration starts in this line.
fn declared(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let (before, after) =
        if let Some(rest) = line.strip_prefix("fn ") { ("", rest) } else { line.split_once(" fn ")? };
    let declares = before.is_empty() || before.starts_with("pub") || before == "const" || before == "async";
    let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
    declares.then(|| &after[..end])
}

/// The type that an `impl` is of.
fn implemented(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("impl")?;
    let rest = if rest.starts_with('<') { rest.split_once("> ")?.1 } else { rest.trim_start() };
    let rest = rest.split_once(" for ").map_or(rest, |(_, of)| of);
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    Some(&rest[..end])
}

/// Whether the text has this name, and not only as a part of another.
fn stands_in(text: &str, name: &str) -> bool {
    let continues = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(name)
        .any(|(at, _)| !text[..at].ends_with(continues) && !text[at + name.len()..].starts_with(continues))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    const READERS: &str = "impl<'a> From<u8> for Row<'a> {\n\
        \x20   pub(crate) fn decode(\n        bytes: &'a [u8],\n    ) -> Result<Self, Fault> {\n    }\n}\n\
        fn name_of_key(key: &[u8]) -> Option<Name> {\n}\n\
        fn decode_part(input: &mut Reader<'_>) -> Result<Part, Fault> {\n}\n\
        fn read_at(out: &mut [u8]) -> Result<(), Fault> {\n}\n\
        fn of_headers(headers: &HeaderMap) -> Result<Asked, Fault> {\n}\n\
        fn method_of(headers: &HeaderMap) -> Option<Method> {\n}\n\
        fn encode(row: &[u8]) -> Option<u8> {\n}\n\
        #[cfg(test)]\nmod tests {\n    fn parse(bytes: &[u8]) -> Option<u8> {\n    }\n}\n";

    #[test]
    fn readers_are_told_from_what_only_looks_like_one() {
        let found: Vec<String> = readers(READERS).into_iter().map(|reader| reader.name).collect();
        assert_eq!(found, ["Row::decode", "name_of_key", "of_headers"]);
    }

    #[test]
    fn a_reader_that_nobody_tries_is_named() {
        let code = source("crates/kms/src/row.rs", READERS);
        let other = source("crates/iam/src/fuzzing.rs", "Row::decode name_of_key of_headers");
        let tried = source("crates/kms/src/local/fuzzing.rs", "rename_of_key(Row::decode, of_headers)");
        let found = untried(&[code, other, tried]);
        assert!(found[0].starts_with("crates/kms/src/row.rs:7: name_of_key reads bytes"), "{found:?}");
        assert_eq!(found.len(), 1 + REACHED.len(), "exceptions that are gone are named too: {found:?}");
    }
}
