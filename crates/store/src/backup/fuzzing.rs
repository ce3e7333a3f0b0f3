//! Entry points for mangled backups.

use strongroom_seal::codec::{DecodeError, Reader};
use strongroom_seal::fuzzing::Decoder;
use strongroom_seal::{Envelope, MAC_LEN};

use super::attachments::FilePath;
use super::chunk::{self, ChunkRef, Kind};
use super::format;
use super::keys::TargetId;
use super::manifest::{GroupPart, Header, Manifest, Written};
use super::read;
use crate::directory::StoreId;
use crate::{GroupId, Lsn};

pub(crate) const DECODERS: &[Decoder] = &[
    Decoder::new("store/backup FORMAT", format_seeds, target),
    Decoder::new("store/backup path", path_seeds, path),
    Decoder::new("store/backup manifest header", header_seeds, header),
    // What stands behind the checksum, which mangled bytes do not pass.
    Decoder::new("store/backup manifest envelope", envelope_seeds, envelope),
    Decoder::new("store/backup number", || vec![b"00000000000000af".to_vec()], number),
    // A group without a chunk: 32 bytes there, 56 here, in a list that grows by doubling; and all of it encoded again.
    Decoder::new("store/backup manifest", manifest_seeds, manifest).with_memory(4096, 16),
    // An item of nothing but lengths: eight bytes there, two vectors here; one at a time.
    Decoder::new("store/backup rows", row_seeds, rows),
    Decoder::new("store/backup commands", command_seeds, commands),
    Decoder::new("store/backup files", file_seeds, files),
];

fn format_seeds() -> Vec<Vec<u8>> {
    vec![format::line(TargetId([0xab; 16])).into_bytes()]
}

fn target(bytes: &[u8]) -> bool {
    let Ok(id) = format::parse(bytes) else { return false };
    assert_eq!(format::line(id).as_bytes(), bytes, "one encoding per value");
    true
}

fn path_seeds() -> Vec<Vec<u8>> {
    vec![b"00000001/0000000a/00ff".to_vec()]
}

fn path(bytes: &[u8]) -> bool {
    let parsed = std::str::from_utf8(bytes).ok().and_then(FilePath::parse);
    parsed.is_some_and(|path| path.as_str().as_bytes() == bytes && !path.as_str().contains(".."))
}

fn header_seeds() -> Vec<Vec<u8>> {
    let wrapped =
        Envelope { provider: "local".into(), key_id: "default".into(), key_version: 3, blob: vec![1, 2, 3] };
    vec![Header::new(TargetId([1; 16]), StoreId([2; 16]), 7, wrapped).bytes]
}

fn header(bytes: &[u8]) -> bool {
    let Ok((header, body)) = Header::parse(bytes) else { return false };
    assert_eq!(header.bytes.len() + body.len(), bytes.len(), "header and body are all of it");
    let again = Header::new(header.target, header.store, header.number, header.wrapped.clone());
    assert_eq!(again.bytes, header.bytes, "one encoding per value");
    true
}

fn envelope_seeds() -> Vec<Vec<u8>> {
    let (header, _) = match header_seeds().first().map(|bytes| Header::parse(bytes)) {
        Some(Ok(read)) => read,
        _ => return Vec::new(),
    };
    vec![header.wrapped.encode()]
}

fn envelope(bytes: &[u8]) -> bool {
    let written = Header::written(TargetId([1; 16]), StoreId([2; 16]), 7, bytes);
    let Ok((header, body)) = Header::parse(&written) else { return false };
    assert!(header.wrapped.encode() == bytes && body.is_empty(), "one encoding per value");
    true
}

fn number(bytes: &[u8]) -> bool {
    let number = std::str::from_utf8(bytes).ok().and_then(read::number_of);
    assert!(number.is_none_or(|number| format!("{number:016x}").as_bytes() == bytes), "one name per number");
    number.is_some()
}

fn manifest_seeds() -> Vec<Vec<u8>> {
    let chunk = |byte| ChunkRef { name: [byte; MAC_LEN], length: u32::from(byte) };
    let part = |group, chunks| GroupPart { group: GroupId(group), lsn: Lsn(8), root: 1, rows: 2, chunks };
    let manifest = Manifest {
        taken_at: 1_700_000_000,
        from: Lsn(4),
        to: Lsn(9),
        segment: 3,
        keyring: vec![1, 2, 3],
        groups: vec![part(0, vec![chunk(1)]), part(5, Vec::new())],
        commands: 2,
        command_chunks: vec![chunk(2)],
        files: 3,
        file_bytes: 99,
        file_chunks: vec![chunk(3), chunk(4)],
        late_file_chunks: vec![chunk(5)],
        written: Written { chunks: 5, chunk_bytes: 500, files: 1, file_bytes: 33 },
    };
    vec![Manifest::default().encode(), manifest.encode()]
}

fn manifest(bytes: &[u8]) -> bool {
    let Ok(manifest) = Manifest::decode(bytes) else { return false };
    assert_eq!(manifest.encode(), bytes, "one encoding per value");
    true
}

/// A chunk of this kind with these items.
fn chunk_of(kind: Kind, items: &[&[u8]]) -> Vec<u8> {
    [&[1, kind as u8], items.concat().as_slice()].concat()
}

fn row_seeds() -> Vec<Vec<u8>> {
    let items: [&[u8]; 2] = [b"\x03\0\0\0key\x05\0\0\0value", &[0; 8]];
    vec![chunk_of(Kind::Rows, &items)]
}

fn rows(bytes: &[u8]) -> bool {
    all(Kind::Rows, bytes, chunk::read_row, |(key, value)| 8 + key.len() + value.len())
}

fn command_seeds() -> Vec<Vec<u8>> {
    let items: [&[u8]; 2] = [b"\x07\0\0\0\0\0\0\0\x02\0\0\0\x02\0\0\0ab", &[0; 16]];
    vec![chunk_of(Kind::Commands, &items)]
}

fn commands(bytes: &[u8]) -> bool {
    all(Kind::Commands, bytes, chunk::read_command, |(_, _, payload)| 16 + payload.len())
}

fn file_seeds() -> Vec<Vec<u8>> {
    let items: [&[u8]; 3] = [b"\x16\x00\x00\x0000000001/0000000a/00ff", &[9; 8], &[7; MAC_LEN]];
    vec![chunk_of(Kind::Files, &items)]
}

fn files(bytes: &[u8]) -> bool {
    all(Kind::Files, bytes, chunk::read_file_entry, |file| 4 + file.path.as_str().len() + 8 + MAC_LEN)
}

/// Reads a chunk to its end. Each item is as long in it as what was read says.
fn all<T>(
    kind: Kind,
    bytes: &[u8],
    read: fn(&mut Reader<'_>) -> Result<T, DecodeError>,
    length: fn(&T) -> usize,
) -> bool {
    let Some(items) = chunk::items(kind, bytes) else { return false };
    let mut input = Reader::new(items);
    while input.remaining() > 0 {
        let before = input.remaining();
        let Ok(item) = read(&mut input) else { return false };
        assert_eq!(before - input.remaining(), length(&item), "one encoding per value");
    }
    true
}
