//! The files that vectors are in: fields, an empty line, the sealed bytes as hex.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use strongroom_seal::stream::StreamError;
use strongroom_seal::{Context, Label};

/// One vector.
#[derive(Debug, Clone, Default)]
pub(crate) struct Vector {
    /// Without ending.
    pub(crate) name: String,
    /// What to expect, and what with.
    pub(crate) fields: BTreeMap<String, String>,
    /// What is opened.
    pub(crate) body: Vec<u8>,
}

impl Vector {
    /// The field, which must be there.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.get(name).unwrap_or_else(|| panic!("{} has no field {name}", self.name))
    }

    /// The field's bytes.
    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        from_hex(self.field(name))
    }

    /// The context, written as `Label text:abc number:7`.
    pub(crate) fn context(&self) -> Context {
        context(self.field("context"))
    }

    /// As it is in a file.
    pub(crate) fn render(&self) -> String {
        let mut out = String::new();
        for (name, value) in &self.fields {
            writeln!(out, "{name}: {value}").unwrap();
        }
        for line in self.body.chunks(48) {
            write!(out, "\n{}", to_hex(line)).unwrap();
        }
        out.push('\n');
        out
    }

    /// All vectors of a kind, sorted by name.
    pub(crate) fn all(kind: &str) -> Vec<Self> {
        let mut paths: Vec<_> =
            std::fs::read_dir(directory(kind)).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths.iter().map(|path| Self::read(path)).collect()
    }

    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let (head, body) = text.split_once("\n\n").expect("an empty line before the body");
        let fields = head.lines().map(|line| line.split_once(": ").expect("name: value"));
        Self {
            name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
            fields: fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            body: from_hex(&body.replace('\n', "")),
        }
    }
}

/// Where vectors of a kind are.
pub(crate) fn directory(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(kind)
}

/// Reads `Label text:abc number:7`.
pub(crate) fn context(text: &str) -> Context {
    let mut words = text.split(' ');
    let label = match words.next() {
        Some("PartContent") => Label::PartContent,
        Some("InlineContent") => Label::InlineContent,
        Some("GroupKeyWrap") => Label::GroupKeyWrap,
        other => panic!("label {other:?}"),
    };
    let mut context = None;
    for word in words {
        let (kind, value) = word.split_once(':').expect("kind:value");
        let before = context.take();
        context = Some(match (before, kind) {
            (None, "text") => Context::new(label, value),
            (None, "number") => Context::new(label, value.parse::<u64>().unwrap()),
            (Some(before), "text") => Context::and(before, value),
            (Some(before), "number") => Context::and(before, value.parse::<u64>().unwrap()),
            _ => panic!("field {word}"),
        });
    }
    context.expect("a context has a field")
}

/// A fault as vectors name it.
pub(crate) fn fault(error: &StreamError) -> String {
    match error {
        StreamError::Header(error) => format!("header {error:?}"),
        StreamError::Unsealable { chunk } => format!("unsealable chunk {chunk}"),
        StreamError::Truncated { chunk } => format!("truncated at chunk {chunk}"),
        StreamError::Trailing { chunk } => format!("trailing after chunk {chunk}"),
        StreamError::Length { .. } => "impossible length".to_owned(),
        other => panic!("no fault of a stream: {other:?}"),
    }
}

/// Lower-case hex.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").unwrap();
        out
    })
}

/// Hex back to bytes.
pub(crate) fn from_hex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2));
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
