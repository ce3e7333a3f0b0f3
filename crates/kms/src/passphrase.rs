//! A passphrase in memory.

use std::fmt;

use zeroize::Zeroizing;

/// A passphrase: wiped when dropped, never printed, not comparable.
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Takes the passphrase over. The caller's string is moved, not copied, so nothing is left behind.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}
