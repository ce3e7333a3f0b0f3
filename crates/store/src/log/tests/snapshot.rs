//! The bytes on disk are those of the format, whoever writes them.

use super::*;

/// Made by this test's own writer; docs/spec/log.md §12 walks through it.
const SMALL: &str = include_str!("small.hex");

#[test]
fn the_same_seed_writes_the_same_bytes() {
    let (disk, _, around) = simulated(42);
    let mut log = Log::create(around, OPTIONS, 1).unwrap();
    append(&mut log, &[(1, b"first"), (1, b"second"), (2, b"third")]);
    log.sync().unwrap();
    log.append_checkpoint(b"checkpoint").unwrap();
    log.sync().unwrap();
    let bytes = disk.bytes(&segment_file(1)).unwrap();
    let lines: Vec<String> =
        bytes.chunks(32).map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect()).collect();
    if std::env::var_os("STRONGROOM_BLESS").is_some() {
        std::fs::write(
            concat!(env!("CARGO_MANIFEST_DIR"), "/src/log/tests/small.hex"),
            lines.join("\n") + "\n",
        )
        .unwrap();
        return;
    }
    assert_eq!(lines.join("\n"), SMALL.trim_end(), "the format of segments changed");
}
