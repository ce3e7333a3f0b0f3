//! Fuzzes the reader that `STRONGROOM_DECODER` names; see README.md beside this file.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use strongroom_decoders::{Bench, decoders};

static BENCH: LazyLock<Bench> = LazyLock::new(|| {
    let name = std::env::var("STRONGROOM_DECODER").expect("STRONGROOM_DECODER names a reader");
    let decoder = decoders().find(|decoder| decoder.name == name);
    Bench::new(decoder.expect("STRONGROOM_DECODER is the name of one of decoders()"))
});

fuzz_target!(|input: &[u8]| {
    BENCH.read(input);
});
