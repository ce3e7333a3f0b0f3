//! Randomness is an argument: production passes [`OsRandom`], a simulator passes [`SeededRandom`].

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::{hmac, rand as system};

/// A source of unpredictable bytes.
pub trait Random: Send + Sync + fmt::Debug {
    /// Fills `out`.
    fn fill(&self, out: &mut [u8]);
}

/// The operating system's random source.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsRandom;

impl Random for OsRandom {
    fn fill(&self, out: &mut [u8]) {
        system::fill(out).expect("the operating system's random source answers");
    }
}

/// The same bytes for the same seed: for tests, vectors and simulation, never for keys of real data.
#[derive(Debug)]
pub struct SeededRandom {
    seed: u64,
    drawn: AtomicU64,
}

impl SeededRandom {
    /// A source whose whole output follows from `seed`.
    pub fn dangerous_from_seed(seed: u64) -> Self {
        Self { seed, drawn: AtomicU64::new(0) }
    }
}

impl Random for SeededRandom {
    fn fill(&self, out: &mut [u8]) {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.seed.to_le_bytes());
        for piece in out.chunks_mut(32) {
            let block = self.drawn.fetch_add(1, Ordering::Relaxed);
            let bytes = hmac::sign(&key, &block.to_le_bytes());
            piece.copy_from_slice(&bytes.as_ref()[..piece.len()]);
        }
    }
}
