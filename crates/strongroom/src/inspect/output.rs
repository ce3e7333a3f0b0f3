//! Printing what may be anything, and a lot of it.

use std::io::{self, BufWriter, StdoutLock, Write};

use serde_json::Value;

/// Standard output, a line at a time.
pub(super) struct Output {
    out: BufWriter<StdoutLock<'static>>,
    pub(super) json: bool,
    failed: Option<io::Error>,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Self { out: BufWriter::new(io::stdout().lock()), json, failed: None }
    }

    /// A line for people or an object for programs. A failure is kept for [`Self::finish`].
    pub(super) fn line(&mut self, text: impl FnOnce() -> String, json: impl FnOnce() -> Value) {
        if self.failed.is_some() {
            return;
        }
        let line = if self.json { json().to_string() } else { text() };
        if let Err(error) = writeln!(self.out, "{line}") {
            self.failed = Some(error);
        }
    }

    /// A line that programs do not need.
    pub(super) fn text(&mut self, text: &str) {
        if !self.json {
            self.line(|| text.to_owned(), || Value::Null);
        }
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        match self.failed {
            Some(error) => Err(error),
            None => self.out.flush(),
        }
    }
}

/// Bytes as text in which nothing acts on a terminal and nothing is lost: what is no printable text is escaped.
pub(super) fn printable(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '\'' | '"' => text.push(letter),
                letter => text.extend(letter.escape_debug()),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// Ids as hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Seconds since 1970 as a date, or a dash.
pub(super) fn date(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    match time {
        Some(time) if seconds > 0 => time.to_string(),
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_in_a_key_does_nothing_to_a_terminal() {
        assert_eq!(printable(b"photo \"x\".jpg"), "photo \"x\".jpg");
        assert_eq!(printable("größe\u{1b}[31m".as_bytes()), "größe\\u{1b}[31m");
        assert_eq!(printable(b"a\xff\x00\n\\"), "a\\xff\\0\\n\\\\");
        assert_eq!(date(0), "-");
        assert_eq!(date(1_700_000_000), "2023-11-14T22:13:20Z");
    }
}
