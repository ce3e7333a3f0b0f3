//! Entry points for tests that hand mangled bytes to the readers of this crate. Only with the feature `fuzzing`.

use strongroom_seal::fuzzing::Decoder;

/// The readers of this crate.
pub const DECODERS: &[Decoder] = crate::local::fuzzing::DECODERS;
