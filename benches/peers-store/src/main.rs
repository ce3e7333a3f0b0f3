//! What the store is measured against by `cargo xtask bench store`, taking the same orders as the store's own bench.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark that fails should say so at once")]

#[path = "../../../crates/store/benches/store/driver.rs"]
mod driver;
mod plain_redb;
mod sqlcipher;

use std::path::Path;

/// The same for all.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["redb", dir] => driver::serve::<plain_redb::PlainRedb<false>>(Path::new(dir)),
        ["redb-lazy", dir] => driver::serve::<plain_redb::PlainRedb<true>>(Path::new(dir)),
        ["sqlcipher", dir] => driver::serve::<sqlcipher::SqlCipher>(Path::new(dir)),
        _ => println!("peers-store redb|redb-lazy|sqlcipher DIR, with orders on the standard input"),
    }
}
