//! Patterns of resource names.

use super::pattern::{Pattern, Truth};
use super::request::Request;

/// A pattern of names. The six parts of a name are matched one by one, so that a wildcard in the account does not reach into an
/// object's key, which a client chooses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ArnPattern {
    /// `*`.
    Anything,
    /// The first five parts are fixed, so that it matches as a whole.
    Whole(Pattern),
    /// The six parts.
    Parts(Box<[Pattern]>),
}

const PARTS: usize = 6;

impl ArnPattern {
    /// `None` if it has no six parts, or does not start with `arn`.
    pub(super) fn of(pattern: Pattern) -> Option<Self> {
        if pattern.is_anything() {
            return Some(Self::Anything);
        }
        let parts = pattern.split(':', PARTS)?;
        if parts[0].as_fixed() != Some("arn") {
            return None;
        }
        match parts[..PARTS - 1].iter().all(Pattern::is_fixed) {
            true => Some(Self::Whole(pattern)),
            false => Some(Self::Parts(parts.into())),
        }
    }

    pub(super) fn matches(&self, name: &str, request: &Request<'_>) -> Truth {
        match self {
            Self::Anything => Truth::Yes,
            Self::Whole(pattern) => pattern.matches(name, request),
            Self::Parts(patterns) => {
                let mut unknown = false;
                let mut names = name.splitn(PARTS, ':');
                for pattern in patterns {
                    match names.next().map_or(Truth::No, |name| pattern.matches(name, request)) {
                        Truth::Yes => {}
                        Truth::No => return Truth::No,
                        Truth::Unknown => unknown = true,
                    }
                }
                if unknown { Truth::Unknown } else { Truth::Yes }
            }
        }
    }

    pub(super) fn is_fixed(&self) -> bool {
        matches!(self, Self::Whole(pattern) if pattern.is_fixed())
    }
}

#[cfg(test)]
mod tests {
    use super::super::pattern::Syntax;
    use super::super::request::tests::request;
    use super::*;

    fn pattern(text: &str) -> Option<ArnPattern> {
        ArnPattern::of(Pattern::parse(text, Syntax { wildcards: true, variables: true }).unwrap())
    }

    fn matches(text: &str, name: &str) -> bool {
        request(&[], |request| pattern(text).unwrap().matches(name, request) == Truth::Yes)
    }

    #[test]
    fn wildcard_in_one_part_stays_in_it() {
        assert!(matches("arn:*:s3:::secret/*", "arn:aws:s3:::secret/a:b"));
        assert!(matches("arn:aws:kms:*:*:key/k1", "arn:aws:kms:::key/k1"));
        assert!(matches("arn:aws:s3:::b*", "arn:aws:s3:::b/k"));
        assert!(matches("*", "*") && matches("*", "arn:aws:s3:::b"));
        assert!(!matches("arn:*:s3:::secret/*", "arn:aws:s3:::evil/x:s3:::secret/a"));
        assert!(!matches("arn:aws:s3:::b", "arn:aws:s3:::b/k"));
        assert!(!matches("arn:aws:s3:::*", "*"));
        assert!(!matches("arn:*:*:*:*:*", "*"));
    }

    #[test]
    fn what_has_no_six_parts_is_no_name() {
        for text in ["", "b/k", "arn:aws:s3", "arn:aws:s3*", "arn:*", "s3:aws:s3:::b", "a*:aws:s3:::b"] {
            assert_eq!(pattern(text), None, "{text}");
        }
    }
}
