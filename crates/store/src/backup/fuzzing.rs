//! Entry points for mangled backups.

use strongroom_seal::Envelope;
use strongroom_seal::fuzzing::Decoder;

use super::attachments::FilePath;
use super::format;
use super::keys::TargetId;
use super::manifest::Header;
use crate::directory::StoreId;

pub(crate) const DECODERS: &[Decoder] = &[
    Decoder::new("store/backup FORMAT", format_seeds, target),
    Decoder::new("store/backup path", path_seeds, path),
    Decoder::new("store/backup manifest header", header_seeds, header),
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
