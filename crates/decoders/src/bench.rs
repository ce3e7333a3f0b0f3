//! One reader under watch.

use std::fmt;

use crate::Decoder;

/// A reader whose first-time work is done, so that what it allocates is for its input.
#[derive(Debug)]
pub struct Bench {
    decoder: &'static Decoder,
    seeds: Vec<Vec<u8>>,
}

impl Bench {
    /// Makes the seeds and reads each once.
    ///
    /// # Panics
    /// If the reader refuses a seed: then it was never shown anything valid.
    pub fn new(decoder: &'static Decoder) -> Self {
        let seeds = (decoder.seeds)();
        assert!(!seeds.is_empty(), "{} has no valid input", decoder.name);
        for seed in &seeds {
            assert!((decoder.accepts)(seed), "{} refuses its seed {}", decoder.name, Hex(seed));
        }
        Self { decoder, seeds }
    }

    /// The valid inputs.
    pub fn seeds(&self) -> &[Vec<u8>] {
        &self.seeds
    }

    /// Reads `input`; says whether it was accepted.
    ///
    /// # Panics
    /// If the reader panics, takes too much memory, or breaks one of its own rules. The input is printed then.
    pub fn read(&self, input: &[u8]) -> bool {
        let _shown = Shown { name: self.decoder.name, input };
        let mut accepted = false;
        let used = allocation_counter::measure(|| accepted = (self.decoder.accepts)(input));
        let most = self.decoder.memory_fixed + self.decoder.memory_factor * input.len();
        assert!(
            used.bytes_max <= most as u64,
            "{} took {} bytes of memory for an input of {}",
            self.decoder.name,
            used.bytes_max,
            input.len(),
        );
        accepted
    }
}

/// Prints the input if reading it panics.
struct Shown<'a> {
    name: &'static str,
    input: &'a [u8],
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{} was reading {}", self.name, Hex(self.input));
        }
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
