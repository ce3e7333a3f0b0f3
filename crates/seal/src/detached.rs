//! Sealing in place with nonce and tag kept elsewhere: pages and log frames.
//!
//! `docs/spec/sealed-record.md` §4.

use std::fmt;
use std::sync::Mutex;

use crate::aead::{Aead, Suite};
use crate::keys::Material;
use crate::{NONCE_LEN, Random, TAG_LEN, Unsealable};

/// What must be kept beside bytes that were sealed in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Chosen by the cipher that sealed; no two seals of one key share it.
    pub nonce: [u8; NONCE_LEN],
    /// Authenticates bytes, associated data and nonce.
    pub tag: [u8; TAG_LEN],
}

/// Seals and opens in place under one key.
///
/// It owns its nonces and no caller can choose one. Each starts at a random point and counts from there, so
/// nothing has to survive a crash or a rollback for nonces not to repeat (`docs/spec/sealed-record.md` §4).
pub struct Detached {
    aead: Aead,
    nonces: Mutex<Nonces>,
}

impl Detached {
    /// A cipher under `key`, which should have been derived for exactly this use.
    pub fn new(key: &impl Material, random: &dyn Random) -> Self {
        Self { aead: Aead::new(Suite::Aes256Gcm, key.bytes()), nonces: Mutex::new(Nonces::drawn(random)) }
    }

    /// Seals `buffer` where it stands. `random` serves once in 2^32 seals, for the nonces that follow.
    pub fn seal(&self, associated: &[u8], buffer: &mut [u8], random: &dyn Random) -> Mark {
        let nonce = self.lock().next(random);
        Mark { nonce, tag: self.aead.seal(nonce, associated, buffer) }
    }

    /// Opens `buffer` where it stands.
    ///
    /// # Errors
    /// [`Unsealable`] if mark, associated data or bytes are other ones than those that were sealed. `buffer` is
    /// wiped then.
    pub fn open(&self, mark: &Mark, associated: &[u8], buffer: &mut [u8]) -> Result<(), Unsealable> {
        self.aead.open(mark.nonce, associated, buffer, &mark.tag)
    }

    /// How many times this cipher has sealed.
    pub fn seals(&self) -> u64 {
        self.lock().seals
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Nonces> {
        self.nonces.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A stretch of the counter under a random prefix, from a random start once around.
struct Nonces {
    prefix: [u8; 8],
    counter: u32,
    /// How many nonces are left before the counter is back where it started.
    left: u64,
    seals: u64,
}

impl Nonces {
    const AROUND: u64 = 1 << 32;

    fn drawn(random: &dyn Random) -> Self {
        let mut nonces = Self { prefix: [0; 8], counter: 0, left: 0, seals: 0 };
        nonces.draw(random);
        nonces
    }

    fn draw(&mut self, random: &dyn Random) {
        let mut counter = [0; 4];
        random.fill(&mut self.prefix);
        random.fill(&mut counter);
        self.counter = u32::from_be_bytes(counter);
        self.left = Self::AROUND;
    }

    fn next(&mut self, random: &dyn Random) -> [u8; NONCE_LEN] {
        if self.left == 0 {
            self.draw(random);
        }
        let mut nonce = [0; NONCE_LEN];
        nonce[..8].copy_from_slice(&self.prefix);
        nonce[8..].copy_from_slice(&self.counter.to_be_bytes());
        self.counter = self.counter.wrapping_add(1);
        self.left -= 1;
        self.seals += 1;
        nonce
    }
}

impl fmt::Debug for Detached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Detached(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::{PageKey, SeededRandom};

    #[test]
    fn nonces_do_not_repeat_where_the_counter_wraps_and_where_it_has_gone_around() {
        let random = SeededRandom::dangerous_from_seed(1);
        let mut nonces = Nonces { prefix: [7; 8], counter: u32::MAX - 2, left: 6, seals: 0 };
        let drawn: Vec<_> = (0..12).map(|_| nonces.next(&random)).collect();
        assert_eq!(drawn.iter().collect::<HashSet<_>>().len(), 12);
        assert_eq!(drawn[2][8..], [0xff; 4]);
        assert_eq!(drawn[3], [7, 7, 7, 7, 7, 7, 7, 7, 0, 0, 0, 0]);
        assert_ne!(drawn[6][..8], [7; 8], "a new prefix once the counter has gone around");
        assert_eq!(nonces.left, Nonces::AROUND - 6);
        assert_eq!(nonces.seals, 12);
    }

    #[test]
    fn two_ciphers_under_one_key_start_at_different_points() {
        let random = SeededRandom::dangerous_from_seed(2);
        let key = PageKey::generate(&random);
        let (one, two) = (Detached::new(&key, &random), Detached::new(&key, &random));
        let (one, two) = (one.lock().next(&random), two.lock().next(&random));
        assert_ne!(one[..8], two[..8]);
        assert_ne!(one[8..], two[8..]);
    }
}
