//! Entry points for mangled log files.

use std::path::Path;
use std::sync::Arc;

use strongroom_seal::fuzzing::{Decoder, unhex};
use strongroom_seal::{GroupKey, SeededRandom};

use super::format::{self, FRAME_HEADER_LEN, FrameHeader, SEGMENT_HEADER_LEN, SegmentHeader, SegmentId};
use super::keys::{LogKeyError, LogKeys};
use super::reader::{Read, SegmentReader};
use super::{Surroundings, mark, outline};
use crate::GroupId;
use crate::fuzzing::OneFile;

pub(crate) const DECODERS: &[Decoder] = &[
    Decoder::new("store/log segment name", name_seeds, name),
    Decoder::new("store/log segment header", segment_header_seeds, segment_header),
    Decoder::new("store/log frame header", frame_header_seeds, frame_header),
    Decoder::new("store/log frame body", body_seeds, body),
    // Ciphers of the groups that it meets, and the file itself.
    Decoder::new("store/log segment", segment_seeds, segment).with_memory(16 << 10, 4),
    Decoder::new("store/log segment without keys", segment_seeds, without_keys).with_memory(16 << 10, 8),
    Decoder::new("store/log mark", mark_seeds, mark),
    Decoder::new("store/log mark body", mark_body_seeds, mark_body),
];

const VECTOR: &str = include_str!("tests/vector_v1.txt");
const SEGMENT: &str = "0000000000000001.log";

/// A file of the vector.
fn file(name: &str) -> Vec<u8> {
    let from = VECTOR.split_once(&format!("file {name}\n")).map_or("", |(_, rest)| rest);
    let mut bytes = Vec::new();
    for line in from.lines().take_while(|line| !line.starts_with("file ")) {
        match line.strip_prefix("zeros ").map(str::parse::<usize>) {
            Some(Ok(count)) => bytes.resize(bytes.len() + count, 0),
            _ => bytes.extend(unhex(line)),
        }
    }
    bytes
}

/// The vector's keys.
#[derive(Debug)]
struct Keys;

impl LogKeys for Keys {
    fn store_id(&self) -> [u8; 16] {
        [7; 16]
    }

    fn log_key(&self, group: GroupId, key_id: Option<u32>) -> Result<(u32, GroupKey), LogKeyError> {
        let id = key_id.unwrap_or(1);
        // One group is known to be gone, so that passing its frames over is tried as well.
        match (group.0, id) {
            (9, _) => Err(LogKeyError::Forgotten { group }),
            (0..=2, 1) => {
                let mut bytes = [7; 32];
                bytes[..4].copy_from_slice(&group.0.to_le_bytes());
                bytes[4..8].copy_from_slice(&id.to_le_bytes());
                Ok((id, GroupKey::from_bytes(&mut bytes)))
            }
            _ => Err(LogKeyError::Unknown { group, key_id }),
        }
    }
}

fn name_seeds() -> Vec<Vec<u8>> {
    vec![SEGMENT.into(), "00000000000000ff.log".into()]
}

fn name(bytes: &[u8]) -> bool {
    let Some(id) = std::str::from_utf8(bytes).ok().and_then(SegmentId::from_file_name) else { return false };
    assert_eq!(id.file_name().as_bytes(), bytes, "one name per segment");
    true
}

fn segment_header_seeds() -> Vec<Vec<u8>> {
    vec![file(SEGMENT)[..SEGMENT_HEADER_LEN].to_vec()]
}

fn segment_header(bytes: &[u8]) -> bool {
    let Ok(bytes) = bytes.try_into() else { return false };
    let Ok((header, seal)) = SegmentHeader::decode(bytes) else { return false };
    assert_eq!(SegmentHeader::encode(&header.covered(), &seal), *bytes, "one encoding per value");
    true
}

fn frame_header_seeds() -> Vec<Vec<u8>> {
    let file = file(SEGMENT);
    let at = file.windows(4).enumerate().filter(|(_, window)| window == format::FRAME_MAGIC);
    at.filter_map(|(at, _)| file.get(at..at + FRAME_HEADER_LEN)).map(<[u8]>::to_vec).collect()
}

fn frame_header(bytes: &[u8]) -> bool {
    let Ok(bytes) = bytes.try_into() else { return false };
    let Some((header, seal)) = FrameHeader::decode(bytes) else { return false };
    assert_eq!(FrameHeader::encode(&header.covered(), &seal), *bytes, "one encoding per value");
    assert!(header.last() >= header.first && header.frame_len() > FRAME_HEADER_LEN as u64);
    true
}

fn body_seeds() -> Vec<Vec<u8>> {
    vec![
        b"\x01\x00\x01\x05\x00\x00\x00first".to_vec(),
        b"\x03\x00\x02\x00\x00\x00\x00\x02\x00\x00\x00ab\x01\x00\x00\x00c".to_vec(),
    ]
}

/// The count of records, which a header would say, then the body.
fn body(bytes: &[u8]) -> bool {
    let Some((count, bytes)) = bytes.split_first_chunk() else { return false };
    let count = u16::from_le_bytes(*count);
    let Ok((kind, payloads)) = format::body(bytes, count) else { return false };
    let mut again = vec![kind as u8];
    let mut seen = 0;
    for payload in payloads {
        again.extend_from_slice(&u32::try_from(payload.len()).unwrap_or_default().to_le_bytes());
        again.extend_from_slice(payload);
        seen += 1;
    }
    assert_eq!((again.as_slice(), seen), (bytes, count), "all of it is records, and one encoding per value");
    true
}

fn segment_seeds() -> Vec<Vec<u8>> {
    vec![file(SEGMENT)]
}

/// Reads the frames that are good, and looks behind the first that is not.
fn segment(bytes: &[u8]) -> bool {
    let around = Surroundings {
        disk: Arc::new(OneFile::new(SEGMENT, bytes)),
        dir: "log".into(),
        keys: Arc::new(Keys),
        random: Arc::new(SeededRandom::dangerous_from_seed(1)),
    };
    let Ok(mut reader) = SegmentReader::open(&around, SegmentId::FIRST) else { return false };
    let mut at = reader.start();
    loop {
        match reader.read(&at) {
            Ok(Read::Frame { header, end, opened }) => {
                assert!(
                    end.offset > at.offset && end.offset <= bytes.len() as u64,
                    "frames stand in the file"
                );
                assert!(!opened || reader.records(&header).is_ok(), "an opened frame has records");
                at = end;
            }
            Ok(Read::End) => return true,
            Ok(Read::Bad(_)) => {
                assert!(at.offset < bytes.len() as u64);
                let _ = reader.was_durable(&at);
                return false;
            }
            Err(_) => return false,
        }
    }
}

fn without_keys(bytes: &[u8]) -> bool {
    let Ok(items) = outline::outline(Arc::new(OneFile::new(SEGMENT, bytes)), Path::new("log")) else {
        return false;
    };
    let mut left = 2 * bytes.len() + 8;
    for item in items {
        left = left.saturating_sub(1);
        assert!(left > 0, "a listing ends");
        if item.is_err() {
            return false;
        }
    }
    true
}

fn mark_seeds() -> Vec<Vec<u8>> {
    let slots = file("mark");
    (0..2).map(|index| [&[index], &slots[usize::from(index) * 4096..][..4096]].concat()).collect()
}

/// Which slot, then its bytes up to the next.
fn mark(bytes: &[u8]) -> bool {
    let Some((index, slot)) = bytes.split_first() else { return false };
    // The file's length is checked first.
    slot.len() == 4096 && mark::slot(slot, index % 2, &Keys, Path::new("log/mark")).is_ok()
}

fn mark_body_seeds() -> Vec<Vec<u8>> {
    let body: Vec<u8> = (0..81).map(|at| if at == 80 { 1 } else { at }).collect();
    vec![body, vec![0; 81]]
}

fn mark_body(bytes: &[u8]) -> bool {
    let Ok((store, sequence, proof)) = mark::proof(bytes) else { return false };
    assert_eq!(mark::body(store, sequence, &proof), bytes, "one encoding per value");
    true
}
