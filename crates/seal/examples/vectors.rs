//! Writes the files under `testdata/` anew: `cargo run -p strongroom-seal --example vectors`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "writes what tests read: failing loudly is its way to report"
)]

#[path = "../tests/vectors/format.rs"]
#[expect(dead_code, reason = "reading is for the tests")]
mod format;
#[path = "../tests/vectors/make.rs"]
mod make;

fn main() -> std::io::Result<()> {
    let vectors = make::all();
    for kind in ["stream", "record", "envelope"] {
        let directory = format::directory(kind);
        if directory.exists() {
            std::fs::remove_dir_all(&directory)?;
        }
        std::fs::create_dir_all(&directory)?;
    }
    for (kind, vector) in &vectors {
        std::fs::write(format::directory(kind).join(format!("{}.txt", vector.name)), vector.render())?;
    }
    println!("{} vectors", vectors.len());
    Ok(())
}
