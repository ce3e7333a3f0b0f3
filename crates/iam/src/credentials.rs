//! Access keys and secrets.

use std::fmt;

use strongroom_seal::Random;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

pub(crate) const ACCESS_KEY_CHARS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
pub(crate) const SECRET_CHARS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const GENERATED_ACCESS_KEY_LEN: usize = 20;
/// 62^40 is more than 2^238.
const GENERATED_SECRET_LEN: usize = 40;

/// The public half of a pair of credentials: 3 to 128 printable ASCII characters without `/`, `,`, `=` and space,
/// which separate it from what follows in an `Authorization` header.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccessKey(String);

impl AccessKey {
    /// The shortest, in bytes.
    pub const LEN_MIN: usize = 3;
    /// The longest, in bytes.
    pub const LEN_MAX: usize = 128;

    /// Checks the rules.
    pub fn parse(text: &str) -> Result<Self, CredentialsError> {
        if !(Self::LEN_MIN..=Self::LEN_MAX).contains(&text.len()) {
            return Err(CredentialsError::AccessKeyLength { length: text.len() });
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic() && !b"/,=".contains(&byte)) {
            return Err(CredentialsError::AccessKeyCharacter);
        }
        Ok(Self(text.to_owned()))
    }

    /// 20 random characters of A–Z and 0–9.
    pub fn generate(random: &dyn Random) -> Self {
        Self(generate(ACCESS_KEY_CHARS, GENERATED_ACCESS_KEY_LEN, random).to_string())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for AccessKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The secret half: 8 to 128 characters, none of them a control character. Wiped when dropped, never printed,
/// compared in constant time. `Clone`, because each request's signature check takes one with it.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The shortest, in bytes.
    pub const LEN_MIN: usize = 8;
    /// The longest, in bytes.
    pub const LEN_MAX: usize = 128;

    /// Takes the secret over and checks the rules. A refused secret is wiped as well.
    pub fn parse(text: String) -> Result<Self, CredentialsError> {
        let secret = Self(Zeroizing::new(text));
        if !(Self::LEN_MIN..=Self::LEN_MAX).contains(&secret.0.len()) {
            return Err(CredentialsError::SecretLength { length: secret.0.len() });
        }
        if secret.0.chars().any(char::is_control) {
            return Err(CredentialsError::SecretCharacter);
        }
        Ok(secret)
    }

    /// 40 random letters and digits.
    pub fn generate(random: &dyn Random) -> Self {
        Self(generate(SECRET_CHARS, GENERATED_SECRET_LEN, random))
    }

    /// The text: only to check a signature, or to show it to its owner once.
    pub fn dangerous_expose(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// An access key with its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The public half.
    pub access_key: AccessKey,
    /// The secret half.
    pub secret: Secret,
}

impl Credentials {
    /// A fresh pair.
    pub fn generate(random: &dyn Random) -> Self {
        Self { access_key: AccessKey::generate(random), secret: Secret::generate(random) }
    }

    /// The pair that an operator configured, if any: both halves or neither.
    pub fn from_parts(
        access_key: Option<String>,
        secret: Option<String>,
    ) -> Result<Option<Self>, CredentialsError> {
        // Wrapped first, so that every way out wipes it.
        match (access_key, secret.map(Zeroizing::new)) {
            (None, None) => Ok(None),
            (Some(access_key), Some(mut secret)) => Ok(Some(Self {
                access_key: AccessKey::parse(&access_key)?,
                secret: Secret::parse(std::mem::take(&mut *secret))?,
            })),
            (Some(_), None) => Err(CredentialsError::SecretMissing),
            (None, Some(_)) => Err(CredentialsError::AccessKeyMissing),
        }
    }
}

/// Why text is not a pair of credentials. No variant holds the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// Too short or too long.
    #[error("the access key has {length} characters and must have 3 to 128")]
    AccessKeyLength {
        /// Its length in bytes.
        length: usize,
    },
    /// A character that would break the `Authorization` header.
    #[error("the access key may have printable ASCII characters only, and not / , = or a space")]
    AccessKeyCharacter,
    /// Too short or too long.
    #[error("the secret key has {length} characters and must have 8 to 128")]
    SecretLength {
        /// Its length in bytes.
        length: usize,
    },
    /// A control character, often a line break at the end.
    #[error("the secret key has a control character, perhaps a line break at its end")]
    SecretCharacter,
    /// Only the access key was given.
    #[error("an access key is given without its secret key: give both or neither")]
    SecretMissing,
    /// Only the secret was given.
    #[error("a secret key is given without its access key: give both or neither")]
    AccessKeyMissing,
}

/// `length` characters, each equally likely.
pub(crate) fn generate(characters: &[u8], length: usize, random: &dyn Random) -> Zeroizing<String> {
    // Bytes past the last multiple are drawn again: a plain remainder would prefer the first characters.
    let fair = 256 / characters.len() * characters.len();
    let mut out = Zeroizing::new(String::with_capacity(length));
    let mut drawn = Zeroizing::new([0; 64]);
    while out.len() < length {
        random.fill(drawn.as_mut_slice());
        for byte in drawn.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < fair) {
            if out.len() < length {
                out.push(char::from(characters[byte % characters.len()]));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use strongroom_seal::SeededRandom;

    use super::*;

    #[test]
    fn generated_pair_has_the_shape_that_clients_expect() {
        let random = SeededRandom::dangerous_from_seed(1);
        let (first, second) = (Credentials::generate(&random), Credentials::generate(&random));
        let access_key = first.access_key.as_str();
        assert_eq!((access_key.len(), first.secret.dangerous_expose().len()), (20, 40));
        assert!(
            access_key.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()),
            "{access_key}"
        );
        assert!(first.secret.dangerous_expose().bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_ne!(first.access_key, second.access_key);
        assert_ne!(first.secret, second.secret);
        AccessKey::parse(access_key).unwrap();
        Secret::parse(first.secret.dangerous_expose().to_owned()).unwrap();
    }

    #[test]
    fn every_character_is_equally_likely() {
        let random = SeededRandom::dangerous_from_seed(2);
        let text = generate(SECRET_CHARS, 62_000, &random);
        for character in SECRET_CHARS {
            let count = text.bytes().filter(|byte| byte == character).count();
            assert!((850..1150).contains(&count), "{} comes {count} times", char::from(*character));
        }
    }

    #[test]
    fn pair_is_given_whole_or_not_at_all() {
        let pair = |access: Option<&str>, secret: Option<&str>| {
            Credentials::from_parts(access.map(Into::into), secret.map(Into::into))
        };
        assert_eq!(pair(None, None), Ok(None));
        assert_eq!(pair(Some("abc"), None), Err(CredentialsError::SecretMissing));
        assert_eq!(pair(None, Some("12345678")), Err(CredentialsError::AccessKeyMissing));
        let both = pair(Some("abc"), Some("12345678")).unwrap().unwrap();
        assert_eq!((both.access_key.as_str(), both.secret.dangerous_expose()), ("abc", "12345678"));
    }

    #[test]
    fn what_breaks_the_rules_is_refused_with_a_reason() {
        use CredentialsError::*;
        for (text, expected) in [
            ("ab", AccessKeyLength { length: 2 }),
            (&"a".repeat(129), AccessKeyLength { length: 129 }),
            ("ab c", AccessKeyCharacter),
            ("a/b", AccessKeyCharacter),
            ("a=b", AccessKeyCharacter),
            ("abä", AccessKeyCharacter),
            ("abc\n", AccessKeyCharacter),
        ] {
            assert_eq!(AccessKey::parse(text), Err(expected), "{text:?}");
        }
        for (text, expected) in [
            ("1234567", SecretLength { length: 7 }),
            (&"a".repeat(129), SecretLength { length: 129 }),
            ("12345678\n", SecretCharacter),
        ] {
            let error = Secret::parse(text.to_owned()).unwrap_err();
            assert_eq!(error, expected);
            assert!(!error.to_string().contains(text), "the error shows the secret");
        }
        Secret::parse("with space & ünïcode".to_owned()).unwrap();
    }

    #[test]
    fn secret_is_never_shown() {
        let pair = Credentials::generate(&SeededRandom::dangerous_from_seed(3));
        assert!(!format!("{pair:?}").contains(pair.secret.dangerous_expose()));
    }
}
