//! The store's own part in `cargo xtask bench store`, which builds it with and without sealing and gives it its orders
//! ([`driver`]). By hand: `echo 'commit 1 32 1000' | cargo bench -p strongroom-store --bench store -- ours DIR`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark that fails should say so at once")]

mod driver;
mod ours;
mod reseal;

use std::path::Path;

/// The one that the binary uses.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let words: Vec<String> = std::env::args().collect();
    match words.iter().position(|word| word == "ours").and_then(|at| words.get(at + 1)) {
        Some(dir) => driver::serve::<ours::Ours>(Path::new(dir)),
        None => println!(
            "`cargo xtask bench store` runs this, or: store ours DIR, with orders on the standard input"
        ),
    }
}
