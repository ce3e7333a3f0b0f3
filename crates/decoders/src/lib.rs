//! Every reader of bytes that a disk, a network or a user can mangle, in one list, and a bench to try them on.
//!
//! Each crate names its readers in a module `fuzzing` (feature `fuzzing`, never part of a release). [`Bench`] holds
//! one: it runs it on an input and demands that nothing panics, that nothing takes more memory than the input
//! justifies, and whatever the reader asserts itself. The tests here try valid inputs that [`Mangler`] changed; the
//! coverage-guided fuzzer in `fuzz/` tries whatever it comes up with. What reads foreign bytes in the REST API and in the binary is
//! tried on mangled ones by the tests of those crates (`try_mangled`), without a measure of memory.

mod bench;

pub use bench::Bench;
pub use strongroom_seal::fuzzing::{Decoder, Mangler, systematic};

/// All of them.
pub fn decoders() -> impl Iterator<Item = &'static Decoder> {
    strongroom_seal::fuzzing::DECODERS
        .iter()
        .chain(strongroom_store::fuzzing::decoders())
        .chain(strongroom_kms::fuzzing::DECODERS)
        .chain(strongroom_iam::fuzzing::DECODERS)
        .chain(strongroom_objects::fuzzing::decoders())
        .chain(strongroom_s3::fuzzing::DECODERS)
}
