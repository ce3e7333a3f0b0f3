//! Entry points for mangled keyrings.

use std::path::Path;

use strongroom_seal::KeyringKey;
use strongroom_seal::fuzzing::{Decoder, unhex};

use super::contents::Contents;
use super::file::{self, Header};
use super::outline;
use crate::directory::StoreId;
use crate::fuzzing::OneFile;

pub(crate) const DECODERS: &[Decoder] = &[
    Decoder::new("store/keyring", file_seeds, whole),
    // What stands behind the checksum, which mangled bytes do not pass.
    Decoder::new("store/keyring envelope", envelope_seeds, envelope),
    Decoder::new("store/keyring without keys", file_seeds, without_keys),
    // A group of one key takes 98 bytes on disk and a node of a tree in memory.
    Decoder::new("store/keyring body", body_seeds, body),
];

fn vector(name: &str) -> Vec<u8> {
    let lines = include_str!("vector_v1.txt").lines().filter_map(|line| line.split_once(": "));
    unhex(lines.filter(|(key, _)| *key == name).map(|(_, value)| value).next().unwrap_or_default())
}

fn file_seeds() -> Vec<Vec<u8>> {
    vec![vector("file")]
}

fn whole(bytes: &[u8]) -> bool {
    let Ok((header, body)) = Header::parse(bytes) else { return false };
    let again = Header::new(header.store, header.wrapped.clone());
    assert_eq!((&again, bytes.len()), (&header, header.len() + body.len()), "one encoding per value");
    let key = KeyringKey::from_bytes(&mut [0x11; 32]);
    file::open_body(&key, &header, body).is_ok()
}

fn envelope_seeds() -> Vec<Vec<u8>> {
    let header = Header::parse(&vector("file")).ok().map(|(header, _)| header.wrapped.encode());
    header.into_iter().collect()
}

fn envelope(bytes: &[u8]) -> bool {
    let written = Header::written(StoreId([0x5c; 16]), bytes);
    let Ok((header, body)) = Header::parse(&written) else { return false };
    assert!(header.wrapped.encode() == bytes && body.is_empty(), "one encoding per value");
    true
}

fn without_keys(bytes: &[u8]) -> bool {
    outline::outline(&OneFile::new("keyring", bytes), Path::new("keyring"), StoreId([0x5c; 16])).is_ok()
}

fn body_seeds() -> Vec<Vec<u8>> {
    vec![vector("body")]
}

fn body(bytes: &[u8]) -> bool {
    let Ok(contents) = Contents::decode(bytes) else { return false };
    assert_eq!(contents.encode(), bytes, "one encoding per value");
    true
}
