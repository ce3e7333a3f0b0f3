//! The target's one plain line (`docs/spec/backup.md` §2).

use super::keys::TargetId;

pub(super) const VERSION: u32 = 1;
pub(super) const LEN_MAX: u64 = 128;
const NAME: &str = "strongroom-backup";

#[derive(Debug, PartialEq, Eq)]
pub(super) enum FormatError {
    TooNew(u32),
    Malformed,
}

pub(super) fn line(id: TargetId) -> String {
    use std::fmt::Write as _;
    let mut line = format!("{NAME} {VERSION} ");
    for byte in id.0 {
        write!(line, "{byte:02x}").expect("a String takes everything");
    }
    line.push('\n');
    line
}

pub(super) fn parse(bytes: &[u8]) -> Result<TargetId, FormatError> {
    let text = std::str::from_utf8(bytes).map_err(|_| FormatError::Malformed)?;
    let rest =
        text.strip_prefix(NAME).and_then(|rest| rest.strip_prefix(' ')).ok_or(FormatError::Malformed)?;
    let (version, rest) = rest.split_once([' ', '\n']).ok_or(FormatError::Malformed)?;
    let version: u32 = version.parse().map_err(|_| FormatError::Malformed)?;
    if version > VERSION {
        return Err(FormatError::TooNew(version));
    }
    let digits = rest.strip_suffix('\n').filter(|digits| digits.len() == 32 && digits.is_ascii());
    let mut id = TargetId([0; 16]);
    for (index, byte) in id.0.iter_mut().enumerate() {
        let pair = digits.and_then(|digits| digits.get(2 * index..2 * index + 2));
        *byte = u8::from_str_radix(pair.ok_or(FormatError::Malformed)?, 16)
            .map_err(|_| FormatError::Malformed)?;
    }
    // One encoding per value: what else reads as numbers is refused by writing the line again.
    if line(id).as_bytes() == bytes { Ok(id) } else { Err(FormatError::Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_line_is_a_format_line() {
        let id = TargetId([0xab; 16]);
        let good = line(id);
        assert_eq!(parse(good.as_bytes()), Ok(id));
        for cut in 0..good.len() {
            assert_eq!(parse(&good.as_bytes()[..cut]), Err(FormatError::Malformed), "cut at {cut}");
        }
        assert_eq!(parse(good.replace(" 1 ", " 2 ").as_bytes()), Err(FormatError::TooNew(2)));
        for other in [good.replace(" 1 ", " 01 "), good.to_uppercase(), format!("{good}\n")] {
            assert_eq!(parse(other.as_bytes()), Err(FormatError::Malformed), "{other:?}");
        }
    }
}
