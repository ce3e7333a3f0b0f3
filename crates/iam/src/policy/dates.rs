//! Times in conditions.

use time::format_description::well_known::{Iso8601, Rfc3339};
use time::{Date, OffsetDateTime};

/// The milliseconds since 1970 of a date with or without a time of day, as ISO 8601 writes it, or of seconds since 1970.
pub(super) fn parse(text: &str) -> Option<i64> {
    if text.len() > 40 {
        return None;
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse::<i64>().ok()?.checked_mul(1000);
    }
    let time = match text.contains('T') {
        true => OffsetDateTime::parse(text, &Iso8601::PARSING).ok()?,
        false => Date::parse(text, &Iso8601::PARSING).ok()?.midnight().assume_utc(),
    };
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()
}

/// Seconds since 1970 as a date with time of day; `None` for years that have no four digits.
pub(super) fn text(seconds: u64) -> Option<String> {
    let time = OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).ok()?).ok()?;
    time.format(&Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_aws_writes_them() {
        for text in
            ["2020-09-13T12:26:40Z", "2020-09-13T12:26:40.000Z", "2020-09-13T14:26:40+02:00", "1600000000"]
        {
            assert_eq!(parse(text), Some(1_600_000_000_000), "{text}");
        }
        assert_eq!(parse("2020-09-13"), Some(1_599_955_200_000));
        assert_eq!(parse("2020-09-13T12:26Z"), Some(1_599_999_960_000));
        for text in [
            "",
            "x",
            "2020-13-01",
            "2020-09-13T25:00:00Z",
            "-1",
            "99999999999999999999",
            "2020-09-13T12:26:40",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(text(1_600_000_000).as_deref(), Some("2020-09-13T12:26:40Z"));
        assert_eq!(text(u64::MAX), None);
    }
}
