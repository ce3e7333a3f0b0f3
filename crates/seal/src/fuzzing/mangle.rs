//! Changes to valid inputs: the same ones for the same seed.

use super::Decoder;

/// Hands valid inputs that were changed, and noise, to readers of crates that `crates/decoders` does not know.
///
/// # Panics
/// If a reader refuses what it calls valid, panics, or breaks one of its own rules. The reader is printed then.
pub fn try_mangled(decoders: &[Decoder], rounds: u64) {
    for (number, decoder) in (1..).zip(decoders) {
        let seeds = (decoder.seeds)();
        println!("{}", decoder.name);
        assert!(!seeds.is_empty(), "{} has no valid input", decoder.name);
        for seed in &seeds {
            assert!((decoder.accepts)(seed), "{} refuses {:?}", decoder.name, String::from_utf8_lossy(seed));
        }
        let mut mangler = Mangler::from_seed(number);
        seeds.iter().flat_map(|seed| systematic(seed)).for_each(|input| {
            let _accepted = (decoder.accepts)(&input);
        });
        for _ in 0..rounds {
            let _accepted = (decoder.accepts)(&mangler.mangled(&seeds));
            let _accepted = (decoder.accepts)(&mangler.random());
        }
    }
}

/// What accidents, attackers and other versions do to bytes.
#[derive(Debug)]
pub struct Mangler {
    state: u64,
}

/// Numbers at which lengths, counts and offsets go wrong.
const NUMBERS: [u64; 12] =
    [0, 1, 2, 0x7f, 0x80, 0xff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, i64::MAX as u64, u64::MAX];

impl Mangler {
    /// A mangler that does the same for the same seed.
    pub fn from_seed(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 }
    }

    fn roll(&mut self) -> u64 {
        // xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators".
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.roll() % bound.max(1) as u64).unwrap_or_default()
    }

    fn noise(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.roll().to_be_bytes()[0]).collect()
    }

    /// One of the seeds with one to three changes.
    pub fn mangled(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(3) {
            self.change(&mut bytes, seeds);
        }
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let at = self.below(bytes.len() + 1);
        match self.below(9) {
            0 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << self.below(8);
                }
            }
            1 => {
                let value = self.noise(1)[0];
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
            2 => bytes.truncate(at),
            3 => {
                let length = 1 + self.below(40);
                let more = if self.below(2) == 0 { vec![0; length] } else { self.noise(length) };
                bytes.extend(more);
            }
            // The front of this one and the back of another.
            4 => {
                let other = &seeds[self.below(seeds.len())];
                let from = self.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            5 => self.number(bytes, at),
            // Something comes twice, or goes.
            6 => {
                let piece = bytes[at..(at + 1 + self.below(64)).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
            7 => drop(bytes.drain(at..(at + 1 + self.below(64)).min(bytes.len()))),
            _ => {
                let length = self.below(16);
                let noise = self.noise(length);
                bytes.splice(at..at, noise);
            }
        }
    }

    /// Puts a troublesome number in place of what stands there, in one of the usual widths and orders.
    fn number(&mut self, bytes: &mut [u8], at: usize) {
        let near = (bytes.len() as u64).wrapping_add(self.roll() % 5).wrapping_sub(2);
        let number = NUMBERS.get(self.below(NUMBERS.len() + 2)).copied().unwrap_or(near);
        let width = [1, 2, 4, 8][self.below(4)];
        let little = number.to_le_bytes();
        let mut field = little[..width].to_vec();
        if self.below(2) == 0 {
            field.reverse();
        }
        for (place, byte) in bytes.iter_mut().skip(at).zip(field) {
            *place = byte;
        }
    }

    /// Bytes that were never anything.
    pub fn random(&mut self) -> Vec<u8> {
        let most = [8, 64, 512, 4096][self.below(4)];
        let length = self.below(most);
        self.noise(length)
    }
}

/// Every single-bit flip and every truncation of a short input, some of those of a long one.
pub fn systematic(seed: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let step = seed.len().div_ceil(600).max(1);
    let cuts = (0..seed.len()).step_by(step).map(|end| seed[..end].to_vec());
    let flips = (0..seed.len()).step_by(step).flat_map(|at| (0..8).map(move |bit| (at, bit)));
    let flips = flips.map(|(at, bit)| {
        let mut bytes = seed.to_vec();
        bytes[at] ^= 1 << bit;
        bytes
    });
    cuts.chain(flips)
}
