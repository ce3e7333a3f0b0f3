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
/// It owns its nonces: eight random bytes drawn when it is made and again whenever the four-byte counter has
/// run through. So nothing has to survive a crash or a rollback for nonces not to repeat, and no caller can
/// choose one.
pub struct Detached {
    aead: Aead,
    nonces: Mutex<Nonces>,
}

struct Nonces {
    prefix: [u8; 8],
    counter: u32,
    seals: u64,
}

impl Detached {
    /// A cipher under `key`, which should have been derived for exactly this use.
    pub fn new(key: &impl Material, random: &dyn Random) -> Self {
        let mut prefix = [0; 8];
        random.fill(&mut prefix);
        Self {
            aead: Aead::new(Suite::Aes256Gcm, key.bytes()),
            nonces: Mutex::new(Nonces { prefix, counter: 0, seals: 0 }),
        }
    }

    /// Seals `buffer` where it stands.
    pub fn seal(&self, associated: &[u8], buffer: &mut [u8], random: &dyn Random) -> Mark {
        let nonce = self.next_nonce(random);
        Mark { nonce, tag: self.aead.seal(nonce, associated, buffer) }
    }

    /// Opens `buffer` where it stands. On failure its content is unspecified and must not be used.
    pub fn open(&self, mark: &Mark, associated: &[u8], buffer: &mut [u8]) -> Result<(), Unsealable> {
        self.aead.open(mark.nonce, associated, buffer, &mark.tag)
    }

    /// How many times this cipher has sealed.
    pub fn seals(&self) -> u64 {
        self.lock().seals
    }

    fn next_nonce(&self, random: &dyn Random) -> [u8; NONCE_LEN] {
        let mut nonces = self.lock();
        let mut nonce = [0; NONCE_LEN];
        nonce[..8].copy_from_slice(&nonces.prefix);
        nonce[8..].copy_from_slice(&nonces.counter.to_be_bytes());
        nonces.seals += 1;
        match nonces.counter.checked_add(1) {
            Some(next) => nonces.counter = next,
            None => {
                random.fill(&mut nonces.prefix);
                nonces.counter = 0;
            }
        }
        nonce
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Nonces> {
        self.nonces.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl fmt::Debug for Detached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Detached(..)")
    }
}
