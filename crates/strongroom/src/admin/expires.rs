//! `--expires`: how long something holds.

/// How long something holds, in seconds; `None` is for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expires(pub(super) Option<u64>);

/// `30d`, `12h`, `45m`, `90s` or `never`.
pub(super) fn parse(text: &str) -> Result<Expires, String> {
    const UNITS: [(char, u64); 5] = [('w', 7 * 86_400), ('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)];
    let wrong = || "write a number and w, d, h, m or s, such as 30d, or `never`".to_owned();
    if text == "never" {
        return Ok(Expires(None));
    }
    let unit = text.chars().last().ok_or_else(wrong)?;
    let (_, seconds) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    let digits = &text[..text.len() - unit.len_utf8()];
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let seconds = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(seconds));
    seconds.filter(|seconds| *seconds > 0).map(|seconds| Expires(Some(seconds))).ok_or_else(wrong)
}

/// The end of something in a table.
pub(super) fn shown(expires: Option<&String>) -> String {
    expires.map_or_else(|| "never".to_owned(), Clone::clone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_and_nothing_else_is() {
        for (text, seconds) in
            [("30d", 30 * 86_400), ("2w", 14 * 86_400), ("12h", 43_200), ("45m", 2700), ("1s", 1)]
        {
            assert_eq!(parse(text), Ok(Expires(Some(seconds))), "{text}");
        }
        assert_eq!(parse("never"), Ok(Expires(None)));
        for bad in ["", "d", "0d", "-1d", "+1d", "1.5h", "30", "30y", "30ä", "99999999999999999999d"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
