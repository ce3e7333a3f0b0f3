//! Mangled input never panics, never takes memory beyond its length, and is never read as something that has another
//! encoding: every reader of the workspace, on valid inputs that were flipped, cut, extended and spliced, and on noise.

use std::path::Path;

use strongroom_decoders::{Bench, Mangler, decoders, systematic};

fn rounds() -> u64 {
    if std::env::var_os("STRONGROOM_SOAK").is_some() { 400_000 } else { 4_000 }
}

#[test]
fn mangled_input_is_refused_or_means_something_and_costs_little() {
    let mut tried = 0;
    for (number, decoder) in (1..).zip(decoders()) {
        let bench = Bench::new(decoder);
        let (mut read, mut accepted) = (0_u64, 0_u64);
        let mut one = |input: &[u8]| {
            read += 1;
            accepted += u64::from(bench.read(input));
        };
        bench.seeds().iter().flat_map(|seed| systematic(seed)).for_each(|input| one(&input));
        let mut mangler = Mangler::from_seed(number);
        for _ in 0..rounds() {
            one(&mangler.mangled(bench.seeds()));
        }
        for _ in 0..rounds() / 4 {
            one(&mangler.random());
        }
        println!("{:<28} {read:>8} inputs, {accepted:>8} accepted", decoder.name);
        tried += read;
    }
    println!("{tried} inputs");
}

#[test]
fn every_reader_has_a_name_of_its_own() {
    let mut names: Vec<_> = decoders().map(|decoder| decoder.name).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
}

/// Inputs that once broke a reader: `tests/found/<crate> <what> <anything>`, as the fuzzer left them.
#[test]
fn what_was_found_stays_mended() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/found");
    let Ok(files) = std::fs::read_dir(folder) else { return };
    for file in files.map(|file| file.unwrap()) {
        let name = file.file_name().into_string().unwrap();
        let decoder = decoders().find(|decoder| name.starts_with(&decoder.name.replace('/', " ")));
        let decoder = decoder.unwrap_or_else(|| panic!("{name} is for no reader"));
        Bench::new(decoder).read(&std::fs::read(file.path()).unwrap());
    }
}
