//! The bytes on disk are those of the format: a log that was once written stays readable, and is still written so.

use super::*;

/// A log of version 1, never to be made anew: `name`, a line each of comment, then 32 bytes a line in hex, or `zeros` and how many.
const VECTOR: &str = include_str!("vector_v1.txt");
/// What this version writes with seed 42, in the vector's form.
const WRITTEN: &str = include_str!("written.txt");

fn small_log(seed: u64) -> (SimDisk, Surroundings, Vec<Owned>) {
    let (disk, _, around) = simulated(seed);
    let mut log = Log::create(around.clone(), OPTIONS, 1).unwrap();
    let mut records = append(&mut log, &[(1, b"first"), (1, b"second"), (2, b"third")]);
    log.sync().unwrap();
    log.append_checkpoint(b"checkpoint").unwrap();
    log.sync().unwrap();
    records.push((4, 0, Kind::Checkpoint, b"checkpoint".to_vec()));
    (disk, around, records)
}

fn as_text(disk: &SimDisk) -> String {
    let mut text = String::new();
    for path in disk.files() {
        text += &format!("file {}\n", path.file_name().unwrap().to_string_lossy());
        let bytes = disk.bytes(&path).unwrap();
        let mut zeros = 0;
        for line in bytes.chunks(32) {
            if line == [0; 32] {
                zeros += 32;
                continue;
            }
            if zeros > 0 {
                text += &format!("zeros {zeros}\n");
                zeros = 0;
            }
            text.extend(line.iter().map(|byte| format!("{byte:02x}")));
            text.push('\n');
        }
        if zeros > 0 {
            text += &format!("zeros {zeros}\n");
        }
    }
    text
}

fn from_text(disk: &SimDisk, text: &str) {
    let mut file = None;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix("file ") {
            file = Some(log_dir().join(name));
            continue;
        }
        let path = file.as_ref().unwrap();
        let mut bytes = disk.bytes(path).unwrap_or_default();
        if let Some(zeros) = line.strip_prefix("zeros ") {
            bytes.resize(bytes.len() + zeros.parse::<usize>().unwrap(), 0);
            disk.put(path, Some(bytes));
            continue;
        }
        bytes.extend((0..line.len()).step_by(2).map(|at| u8::from_str_radix(&line[at..at + 2], 16).unwrap()));
        disk.put(path, Some(bytes));
    }
}

#[test]
fn a_log_of_version_1_is_read() {
    let (_, _, expected) = small_log(42);
    let (disk, _, around) = simulated(7);
    around.disk.create_dir_all(&log_dir()).unwrap();
    from_text(&disk, VECTOR);
    let (scanned, records) = scan(&around).unwrap();
    assert_eq!(records, expected);
    assert_eq!(scanned.cut_bytes(), 0);
}

#[test]
fn the_same_seed_writes_the_same_bytes() {
    let written = as_text(&small_log(42).0);
    if std::env::var_os("STRONGROOM_BLESS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/log/tests/written.txt");
        std::fs::write(path, written).unwrap();
        return;
    }
    assert!(written == WRITTEN, "STRONGROOM_BLESS=1 accepts what is written now:\n{written}");
}
