//! How answers are shown: as a line of JSON for programs, or in words for people.

use std::io::{self, Write};

use serde::Serialize;

use super::error::AdminFailure;
use crate::terminal::harmless;

/// How answers are shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    pub(super) json: bool,
}

impl Output {
    /// Shows `answer`: as it is, or as `words` puts it.
    pub(super) fn show<A: Serialize>(
        self,
        answer: &A,
        words: impl FnOnce(&A) -> String,
    ) -> Result<(), AdminFailure> {
        let text = if self.json {
            let line = serde_json::to_string(answer);
            line.map_err(|error| AdminFailure::Answer(error.to_string()))? + "\n"
        } else {
            words(answer)
        };
        match io::stdout().write_all(text.as_bytes()) {
            // Who reads no further, as `head` does, has what it wants.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => Ok(written?),
        }
    }
}

/// Something was done that the server has nothing to say about.
#[derive(Debug, Serialize)]
pub(super) struct Done<'a> {
    /// `deleted`.
    pub(super) done: &'a str,
    /// `user`.
    pub(super) what: &'a str,
    /// Its name.
    pub(super) name: &'a str,
}

impl Done<'_> {
    pub(super) fn words(&self) -> String {
        format!("{} {} {}\n", self.what, self.name, self.done)
    }
}

/// A list in one cell.
pub(super) fn listed(names: &[String]) -> String {
    if names.is_empty() { "-".to_owned() } else { names.join(", ") }
}

/// Whether something is taken.
pub(super) fn enabled(is: bool) -> String {
    if is { "enabled" } else { "disabled" }.to_owned()
}

/// Names and values, one to a line.
pub(super) fn facts(of: &[(&str, String)]) -> String {
    let width = of.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    of.iter().map(|(name, value)| format!("{name:<width$}  {}\n", harmless(value))).collect()
}

/// How a group is called: by its bucket.
pub(super) fn group_name(bucket: Option<&str>, group: u32) -> String {
    match bucket {
        Some(bucket) => bucket.to_owned(),
        None if group == 0 => "(system)".to_owned(),
        None => format!("(group {group})"),
    }
}

/// A number with its thousands apart.
pub(super) fn count(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}

/// A number of things of which `one` names one: "1 file", "2 files".
pub(super) fn counted(number: u64, one: &str) -> String {
    format!("{} {one}{}", count(number), if number == 1 { "" } else { "s" })
}

/// Bytes in binary units.
pub(super) fn bytes(number: u64) -> String {
    indicatif::BinaryBytes(number).to_string()
}

/// A length of time in its two largest units.
pub(super) fn duration(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let first = UNITS.iter().position(|(size, _)| seconds >= *size).unwrap_or(3);
    let (size, name) = UNITS[first];
    let next = UNITS.get(first + 1).map(|(smaller, name)| (seconds % size / smaller, name));
    match next {
        Some((rest, smaller)) if rest > 0 => format!("{} {name} {rest} {smaller}", seconds / size),
        _ => format!("{} {name}", seconds / size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_name_their_two_largest_units() {
        for (seconds, expected) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (61, "1 min 1 s"),
            (7200, "2 h"),
            (86_399, "23 h 59 min"),
            (90 * 86_400 + 3600, "90 d 1 h"),
        ] {
            assert_eq!(duration(seconds), expected);
        }
    }

    #[test]
    fn a_group_without_a_bucket_is_still_named() {
        assert_eq!(group_name(Some("b"), 3), "b");
        assert_eq!(group_name(None, 0), "(system)");
        assert_eq!(group_name(None, 3), "(group 3)");
    }
}
