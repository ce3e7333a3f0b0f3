//! What users, groups, policies and sessions are called.

use std::fmt;

/// The name of a user, a group, a policy or a session: 1 to 64 characters of `A–Z a–z 0–9 _ + = , . @ -`, which are those
/// of AWS. None of them is a wildcard or separates the parts of an ARN, so a name means itself wherever it is put in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(String);

impl Name {
    /// The longest, in characters.
    pub const LEN_MAX: usize = 64;

    /// Checks the rules.
    ///
    /// # Errors
    /// [`NameError`], which says what is wrong.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if !(1..=Self::LEN_MAX).contains(&text.len()) {
            return Err(NameError::Length { length: text.len() });
        }
        match text.chars().find(|character| !Self::allows(*character)) {
            Some(character) => Err(NameError::Character { character }),
            None => Ok(Self(text.to_owned())),
        }
    }

    fn allows(character: char) -> bool {
        character.is_ascii_alphanumeric() || "_+=,.@-".contains(character)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Why text is not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Empty or too long.
    #[error("a name has 1 to 64 characters, and this one has {length}")]
    Length {
        /// Its length in bytes.
        length: usize,
    },
    /// A character that names do not have.
    #[error("a name has letters, digits and _ + = , . @ - only, and no {character:?}")]
    Character {
        /// The first such character.
        character: char,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_characters_that_mean_themselves_are_taken() {
        for good in ["a", "Alice_1", "a+b=c,d.e@f-g", &"x".repeat(64)] {
            assert_eq!(Name::parse(good).unwrap().as_str(), good);
        }
        for bad in ["a*", "a?", "a/b", "a:b", "a b", "a$", "ä", "a\n"] {
            assert!(matches!(Name::parse(bad), Err(NameError::Character { .. })), "{bad:?}");
        }
        assert_eq!(Name::parse(""), Err(NameError::Length { length: 0 }));
        assert_eq!(Name::parse(&"x".repeat(65)), Err(NameError::Length { length: 65 }));
    }
}
