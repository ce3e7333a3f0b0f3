//! Text with wildcards and variables, taken apart once and matched often.

use std::borrow::Cow;

use super::error::{PolicyFault, cut};
use super::keys::Key;
use super::request::Request;

/// Whether something holds. A variable without a value makes it unknown, which is neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Truth {
    Yes,
    No,
    Unknown,
}

impl Truth {
    /// Whether one of them holds, in any order of them.
    pub(super) fn any(all: impl IntoIterator<Item = Self>) -> Self {
        let mut unknown = false;
        for one in all {
            match one {
                Self::Yes => return Self::Yes,
                Self::Unknown => unknown = true,
                Self::No => {}
            }
        }
        if unknown { Self::Unknown } else { Self::No }
    }

    pub(super) fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
        }
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

/// A piece of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// This text.
    Text(Box<str>),
    /// Any text.
    Many,
    /// Any one character.
    One,
    /// What a key's value is, taken as it is, or else the default.
    Variable { key: Key, default: Option<Box<str>> },
}

/// What stands for something in a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Syntax {
    /// `*` and `?` are wildcards.
    pub(super) wildcards: bool,
    /// `${…}` is a variable, which the language knows since 2012-10-17.
    pub(super) variables: bool,
}

/// A pattern that was taken apart. No two texts stand side by side, nor two `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(Box<[Piece]>);

impl Pattern {
    pub(super) fn parse(text: &str, syntax: Syntax) -> Result<Self, PolicyFault> {
        let mut pieces = Pieces::default();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            match first {
                '*' if syntax.wildcards => pieces.many(),
                '?' if syntax.wildcards => pieces.piece(Piece::One),
                '$' if syntax.variables && rest.starts_with("${") => {
                    rest = pieces.variable(rest)?;
                    continue;
                }
                other => pieces.text.push(other),
            }
            rest = &rest[first.len_utf8()..];
        }
        Ok(pieces.finish())
    }

    /// The patterns between the first `count - 1` separators in its text, and what follows them; `None` if there are fewer.
    pub(super) fn split(&self, separator: char, count: usize) -> Option<Vec<Self>> {
        let mut parts = Vec::with_capacity(count);
        let mut pieces = Pieces::default();
        for piece in &self.0 {
            let Piece::Text(text) = piece else {
                pieces.piece(piece.clone());
                continue;
            };
            let mut rest = &**text;
            while parts.len() + 1 < count
                && let Some((before, after)) = rest.split_once(separator)
            {
                pieces.text.push_str(before);
                parts.push(std::mem::take(&mut pieces).finish());
                rest = after;
            }
            pieces.text.push_str(rest);
        }
        parts.push(pieces.finish());
        (parts.len() == count).then_some(parts)
    }

    /// Whether it has neither wildcard nor variable.
    pub(super) fn is_fixed(&self) -> bool {
        self.0.iter().all(|piece| matches!(piece, Piece::Text(_)))
    }

    /// Whether it is `*`.
    pub(super) fn is_anything(&self) -> bool {
        matches!(&*self.0, [Piece::Many])
    }

    /// Its text, if it is nothing else.
    pub(super) fn as_fixed(&self) -> Option<&str> {
        match &*self.0 {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    pub(super) fn pieces(&self) -> &[Piece] {
        &self.0
    }

    /// Whether it has a variable.
    pub(super) fn has_variables(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Variable { .. }))
    }

    /// Whether `text` is one of those that it stands for.
    pub(super) fn matches(&self, text: &str, request: &Request<'_>) -> Truth {
        // Most have one or two pieces.
        match &*self.0 {
            [Piece::Many] => return Truth::Yes,
            [Piece::Text(whole)] => return Truth::from(&**whole == text),
            [Piece::Text(start), Piece::Many] => return Truth::from(text.starts_with(&**start)),
            _ => {}
        }
        // Nearly every text that does not match parts from the pattern at one of its ends.
        if let [Piece::Text(start), ..] = &*self.0
            && !text.starts_with(&**start)
        {
            return Truth::No;
        }
        if let [.., Piece::Text(end)] = &*self.0
            && !text.ends_with(&**end)
        {
            return Truth::No;
        }
        if !self.has_variables() {
            return Truth::from(glob(&self.0, text, |piece| match piece {
                Piece::Text(text) => Token::Text(text),
                Piece::One => Token::One,
                Piece::Many | Piece::Variable { .. } => Token::Many,
            }));
        }
        let Some(values) = self.resolve(request) else { return Truth::Unknown };
        Truth::from(glob(&values, text, |value| match value {
            Resolved::Text(text) => Token::Text(text),
            Resolved::One => Token::One,
            Resolved::Many => Token::Many,
        }))
    }

    /// [`Self::matches`] without variables and without regard to the case of ASCII letters. The pattern is lower case.
    pub(super) fn matches_lower(&self, lower: &str) -> bool {
        match &*self.0 {
            [Piece::Many] => true,
            [Piece::Text(whole)] => &**whole == lower,
            [Piece::Text(start), Piece::Many] => lower.starts_with(&**start),
            pieces => glob(pieces, lower, |piece| match piece {
                Piece::Text(text) => Token::Text(text),
                Piece::One => Token::One,
                Piece::Many | Piece::Variable { .. } => Token::Many,
            }),
        }
    }

    /// The text with the variables' values in their places, for comparisons that know no wildcards; `None` if one has none.
    pub(super) fn text<'a>(&'a self, request: &'a Request<'_>) -> Option<Cow<'a, str>> {
        if let Some(text) = self.as_fixed() {
            return Some(Cow::Borrowed(text));
        }
        let mut out = String::new();
        for value in self.resolve(request)? {
            match value {
                Resolved::Text(text) => out.push_str(&text),
                Resolved::One => out.push('?'),
                Resolved::Many => out.push('*'),
            }
        }
        Some(Cow::Owned(out))
    }

    fn resolve<'a>(&'a self, request: &'a Request<'_>) -> Option<Vec<Resolved<'a>>> {
        let resolve = |piece: &'a Piece| {
            Some(match piece {
                Piece::Text(text) => Resolved::Text(Cow::Borrowed(text)),
                Piece::Many => Resolved::Many,
                Piece::One => Resolved::One,
                Piece::Variable { key, default } => {
                    let value = request.single(key);
                    Resolved::Text(value.or(default.as_deref().map(Cow::Borrowed))?)
                }
            })
        };
        self.0.iter().map(resolve).collect()
    }
}

enum Resolved<'a> {
    Text(Cow<'a, str>),
    Many,
    One,
}

#[derive(Clone, Copy)]
enum Token<'a> {
    Text(&'a str),
    Many,
    One,
}

/// Goes along both and, where they part, back to the last `*`, which takes one character more. A longer way back is never needed:
/// what the pieces before that `*` took leaves the most for those after it. So it takes at most the product of both lengths.
fn glob<'a, T>(pieces: &'a [T], text: &str, token: impl Fn(&'a T) -> Token<'a>) -> bool {
    let (mut next, mut rest) = (0, text);
    // The piece after the last `*`, and the text from which it was tried.
    let mut retry: Option<(usize, &str)> = None;
    loop {
        let matched = match pieces.get(next).map(&token) {
            None if rest.is_empty() => return true,
            None => None,
            Some(Token::Many) if next + 1 == pieces.len() => return true,
            Some(Token::Many) => {
                retry = Some((next + 1, rest));
                Some(rest)
            }
            Some(Token::One) => after_one(rest),
            Some(Token::Text(text)) => rest.strip_prefix(text),
        };
        if let Some(after) = matched {
            (next, rest) = (next + 1, after);
            continue;
        }
        let Some((piece, from)) = retry else { return false };
        let Some(from) = after_one(from) else { return false };
        retry = Some((piece, from));
        (next, rest) = (piece, from);
    }
}

fn after_one(text: &str) -> Option<&str> {
    let mut characters = text.chars();
    characters.next().map(|_| characters.as_str())
}

/// A pattern in the making.
#[derive(Default)]
struct Pieces {
    done: Vec<Piece>,
    text: String,
}

impl Pieces {
    fn piece(&mut self, piece: Piece) {
        if piece == Piece::Many {
            return self.many();
        }
        self.end_text();
        self.done.push(piece);
    }

    fn many(&mut self) {
        self.end_text();
        if self.done.last() != Some(&Piece::Many) {
            self.done.push(Piece::Many);
        }
    }

    fn end_text(&mut self) {
        if !self.text.is_empty() {
            self.done.push(Piece::Text(std::mem::take(&mut self.text).into()));
        }
    }

    /// Takes `${…}` off the front.
    fn variable<'a>(&mut self, text: &'a str) -> Result<&'a str, PolicyFault> {
        let fault = || PolicyFault::Variable { value: cut(text) };
        let (inside, rest) =
            text.strip_prefix("${").and_then(|text| text.split_once('}')).ok_or_else(fault)?;
        match inside {
            // What would be a wildcard or begin a variable, as itself.
            "*" | "?" | "$" => self.text.push_str(inside),
            _ => {
                let (name, default) = match inside.split_once(',') {
                    None => (inside, None),
                    Some((name, default)) => {
                        let default =
                            default.trim().strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
                        (name, Some(default.ok_or_else(fault)?.into()))
                    }
                };
                let key = Key::parse(name.trim()).ok_or_else(fault)?;
                self.piece(Piece::Variable { key, default });
            }
        }
        Ok(rest)
    }

    fn finish(mut self) -> Pattern {
        self.end_text();
        Pattern(self.done.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::request::tests::request;
    use super::*;

    const BOTH: Syntax = Syntax { wildcards: true, variables: true };

    fn matches(pattern: &str, text: &str) -> bool {
        let pattern = Pattern::parse(pattern, Syntax { wildcards: true, variables: false }).unwrap();
        request(&[], |request| pattern.matches(text, request) == Truth::Yes)
    }

    #[test]
    fn wildcards_stand_for_any_text_and_any_character() {
        for (pattern, text) in [
            ("", ""),
            ("*", ""),
            ("*", "a/b"),
            ("**", "a"),
            ("a*", "a"),
            ("a*c", "abc"),
            ("a*bc", "abbbc"),
            ("*a*b*", "xxaxxbxx"),
            ("?", "ä"),
            ("a?c*", "abcd"),
            ("*.jpg", "a.jpg.jpg"),
            ("a*?", "ab"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("", "a"), ("?", ""), ("?", "ab"), ("a*c", "abcd"), ("A*", "abc"), ("*a", "ab"), ("a*?", "a")]
        {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn variables_are_values_and_not_patterns() {
        let pattern = Pattern::parse("home/${s3:prefix}/*", BOTH).unwrap();
        request(&[("s3:prefix", "bob")], |request| {
            assert_eq!(pattern.matches("home/bob/x", request), Truth::Yes);
            assert_eq!(pattern.matches("home/eve/x", request), Truth::No);
        });
        request(&[("s3:prefix", "*")], |request| {
            assert_eq!(pattern.matches("home/bob/x", request), Truth::No);
            assert_eq!(pattern.matches("home/*/x", request), Truth::Yes);
        });
        request(&[], |request| assert_eq!(pattern.matches("home/bob/x", request), Truth::Unknown));
    }

    #[test]
    fn default_stands_where_there_is_no_value() {
        for text in ["x/${aws:username, 'anonymous'}", "x/${AWS:UserName,'anonymous'}"] {
            let pattern = Pattern::parse(text, BOTH).unwrap();
            request(&[], |request| assert_eq!(pattern.matches("x/anonymous", request), Truth::Yes));
            request(&[("aws:username", "bob")], |request| {
                assert_eq!(pattern.matches("x/anonymous", request), Truth::No);
            });
        }
    }

    #[test]
    fn escapes_are_the_characters_themselves() {
        let pattern = Pattern::parse("a${*}b${?}c${$}{d}", BOTH).unwrap();
        assert_eq!(pattern.as_fixed(), Some("a*b?c${d}"));
    }

    #[test]
    fn broken_variables_are_refused() {
        for text in ["${", "${aws:username", "${}", "${nothing}", "${aws:username,x}", "${aws:username, 'x}"]
        {
            assert!(matches!(Pattern::parse(text, BOTH), Err(PolicyFault::Variable { .. })), "{text}");
        }
        let older = Syntax { wildcards: true, variables: false };
        assert_eq!(Pattern::parse("${aws:x}", older).unwrap().as_fixed(), Some("${aws:x}"));
    }

    #[test]
    fn splitting_leaves_variables_whole() {
        let pattern = Pattern::parse("arn:aws:s3:::b/${aws:username}:*:x", BOTH).unwrap();
        let parts = pattern.split(':', 6).unwrap();
        assert_eq!(parts[2].as_fixed(), Some("s3"));
        assert_eq!(parts[4].as_fixed(), Some(""));
        assert_eq!(parts[5], Pattern::parse("b/${aws:username}:*:x", BOTH).unwrap());
        assert_eq!(Pattern::parse("a:b", BOTH).unwrap().split(':', 6), None);
    }

    /// By the definition: the first piece takes something, and the rest takes the rest.
    fn slowly(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|taken| slowly(rest, &text[taken..])),
            Some(('?', rest)) => !text.is_empty() && slowly(rest, &text[1..]),
            Some((one, rest)) => text.first() == Some(one) && slowly(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn matching_is_what_the_definition_says(pattern in "[abä*?]{0,8}", text in "[abä]{0,10}") {
            let characters = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(matches(&pattern, &text), slowly(&characters(&pattern), &characters(&text)));
        }

        #[test]
        fn any_text_is_a_pattern_or_refused(text in ".{0,60}", subject in ".{0,20}") {
            if let Ok(pattern) = Pattern::parse(&text, BOTH) {
                request(&[("aws:username", "x")], |request| { pattern.matches(&subject, request); });
            }
        }
    }
}
