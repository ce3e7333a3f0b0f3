//! Runs every vector under `testdata/` through every way of reading.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test helper that panics fails its test"
)]

mod format;
mod make;

use std::collections::BTreeSet;
use std::io::Read;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::task::{Context as Task, Poll};

use aws_lc_rs::digest;
use strongroom_seal::stream::{self, HEADER_LEN, Opener, StreamError};
use strongroom_seal::{Envelope, ObjectKey, SecretKey, record};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use format::{Vector, directory, fault, to_hex};

#[test]
fn the_files_are_what_the_generator_makes() {
    let mut made = BTreeSet::new();
    for (kind, vector) in make::all() {
        let path = directory(kind).join(format!("{}.txt", vector.name));
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == vector.render(),
            "{} differs: cargo run -p strongroom-seal --example vectors",
            vector.name
        );
        assert!(made.insert(path), "{} is made twice", vector.name);
    }
    for kind in ["stream", "record", "envelope"] {
        for entry in std::fs::read_dir(directory(kind)).unwrap() {
            let path = entry.unwrap().path();
            assert!(made.contains(&path), "nothing makes {}", path.display());
        }
    }
}

#[test]
fn every_vector_is_in_its_spec() {
    for (kind, page) in
        [("stream", "sealed-stream.md"), ("record", "sealed-record.md"), ("envelope", "envelope.md")]
    {
        let spec = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/spec").join(page);
        let spec = std::fs::read_to_string(spec).unwrap();
        let vectors = Vector::all(kind);
        for vector in &vectors {
            assert!(spec.contains(&format!("`{}`", vector.name)), "{page} does not list {}", vector.name);
        }
        let listed = spec.matches(&format!("`{kind}_")).count();
        assert_eq!(listed, vectors.len(), "{page} lists vectors that are not there");
    }
}

type Way = fn(&Vector) -> Result<Vec<u8>, StreamError>;

#[test]
fn all_ways_of_reading_agree_on_streams() {
    let ways: [(&str, Way, &str); 6] = [
        ("at once", at_once, "fault-at-once"),
        ("by ranges", by_ranges, "fault-at-once"),
        ("in order", in_order, "fault-in-order"),
        ("byte by byte", byte_by_byte, "fault-in-order"),
        ("asynchronously", asynchronously, "fault-in-order"),
        ("on two threads", on_two_threads, "fault-in-order"),
    ];
    let vectors = Vector::all("stream");
    assert!(vectors.len() >= 30);
    for vector in &vectors {
        for (how, way, fault_field) in ways {
            let opened = way(vector);
            match vector.field("expect") {
                "ok" => {
                    let plain = opened.unwrap_or_else(|error| panic!("{} {how}: {error}", vector.name));
                    let hash = digest::digest(&digest::SHA256, &plain);
                    assert_eq!(plain.len().to_string(), vector.field("plain-len"), "{} {how}", vector.name);
                    assert_eq!(to_hex(hash.as_ref()), vector.field("plain-sha256"), "{} {how}", vector.name);
                }
                _ => {
                    let error = opened.err().unwrap_or_else(|| panic!("{} opens {how}", vector.name));
                    // One who knows the length notices another one before looking at any chunk.
                    if how != "by ranges" {
                        assert_eq!(fault(&error), vector.field(fault_field), "{} {how}", vector.name);
                    }
                }
            }
        }
    }
}

fn key(vector: &Vector) -> ObjectKey {
    ObjectKey::from_slice(&vector.bytes("key")).unwrap()
}

fn at_once(vector: &Vector) -> Result<Vec<u8>, StreamError> {
    stream::open_all(&key(vector), &vector.context(), &vector.body).map(|plain| plain.to_vec())
}

/// As one reads who keeps the plaintext's length elsewhere, in pieces that fit no chunk.
fn by_ranges(vector: &Vector) -> Result<Vec<u8>, StreamError> {
    let plain_len = vector.field("plain-len").parse().unwrap();
    let header = &vector.body[..vector.body.len().min(HEADER_LEN)];
    let opener = Opener::new(&key(vector), &vector.context(), header, plain_len)?;
    if opener.sealed_len() != vector.body.len() as u64 {
        return Err(StreamError::Length { sealed_len: vector.body.len() as u64 });
    }
    let mut plain = Vec::new();
    for start in (0..plain_len.max(1)).step_by(1000) {
        let cover = opener.cover(start..start + 1000);
        let sealed = usize::try_from(cover.sealed.start).unwrap()..usize::try_from(cover.sealed.end).unwrap();
        let mut sealed = vector.body[sealed].to_vec();
        let opened = opener.open_run(cover.first_chunk, &mut sealed)?;
        plain.extend_from_slice(&sealed[..opened][cover.skip..][..usize::try_from(cover.take).unwrap()]);
    }
    Ok(plain)
}

fn in_order(vector: &Vector) -> Result<Vec<u8>, StreamError> {
    let mut plain = Vec::new();
    let mut reader = stream::OpenReader::new(&key(vector), &vector.context(), vector.body.as_slice());
    reader.read_to_end(&mut plain).map_err(StreamError::from_io)?;
    Ok(plain)
}

/// Gives a byte at a time, and asks to be asked again before each.
struct Dribble<'a>(&'a [u8], bool);

impl Read for Dribble<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let end = out.len().min(1);
        Read::read(&mut self.0, &mut out[..end])
    }
}

impl AsyncRead for Dribble<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.1 = !self.1;
        if self.1 {
            task.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some((first, rest)) = self.0.split_first() {
            out.put_slice(&[*first]);
            self.0 = rest;
        }
        Poll::Ready(Ok(()))
    }
}

fn byte_by_byte(vector: &Vector) -> Result<Vec<u8>, StreamError> {
    let mut plain = Vec::new();
    let inner = Dribble(&vector.body, false);
    let mut reader = stream::OpenReader::new(&key(vector), &vector.context(), inner);
    reader.read_to_end(&mut plain).map_err(StreamError::from_io)?;
    Ok(plain)
}

fn asynchronously(vector: &Vector) -> Result<Vec<u8>, StreamError> {
    let inner = Dribble(&vector.body, false);
    let mut reader = stream::AsyncOpenReader::new(&key(vector), &vector.context(), inner);
    let mut plain = Vec::new();
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(reader.read_to_end(&mut plain))
        .map_err(StreamError::from_io)?;
    Ok(plain)
}

fn on_two_threads(vector: &Vector) -> Result<Vec<u8>, StreamError> {
    let effort = stream::parallel::Effort { threads: NonZeroUsize::new(2).unwrap(), window: 1 };
    let mut plain = Vec::new();
    stream::parallel::open(&key(vector), &vector.context(), vector.body.as_slice(), &mut plain, effort)?;
    Ok(plain)
}

#[test]
fn records_open_or_are_refused_as_they_should_be() {
    let vectors = Vector::all("record");
    assert!(vectors.len() >= 10);
    for vector in &vectors {
        let key = SecretKey::from_slice(&vector.bytes("key")).unwrap();
        let opened = record::open(&key, &vector.context(), &vector.body);
        match vector.field("expect") {
            "ok" => assert_eq!(*opened.expect(&vector.name), vector.bytes("plain"), "{}", vector.name),
            _ => assert!(opened.is_err(), "{} opens", vector.name),
        }
    }
}

#[test]
fn envelopes_decode_to_their_fields_or_are_refused() {
    let vectors = Vector::all("envelope");
    assert!(vectors.len() >= 10);
    for vector in &vectors {
        match (Envelope::decode(&vector.body), vector.field("expect")) {
            (Ok(envelope), "ok") => {
                assert_eq!(envelope.provider, vector.field("provider"));
                assert_eq!(envelope.key_id, vector.field("key-id"));
                assert_eq!(envelope.key_version.to_string(), vector.field("key-version"));
                assert_eq!(envelope.blob.len().to_string(), vector.field("blob-len"));
                assert_eq!(envelope.encode(), vector.body, "one encoding per value");
            }
            (Err(error), "refused") => {
                assert_eq!(error.to_string(), vector.field("fault"), "{}", vector.name)
            }
            (other, expect) => panic!("{}: {other:?}, expected {expect}", vector.name),
        }
    }
}

/// The bytes come from another implementation (HMAC and AES-GCM of Python's `hashlib` and `cryptography`).
#[test]
fn the_worked_examples_are_what_another_implementation_gives() {
    let body = |kind: &str, name: &str| {
        to_hex(&Vector::all(kind).into_iter().find(|vector| vector.name == name).unwrap().body)
    };
    assert_eq!(
        body("stream", "stream_worked_example"),
        "535273747265616d01010c0000000000202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f\
         94ba64a37c44fc11351ea1ee7d40cfa08d3dc7ef7b016648cab977fd4c3f7b150bad82143e597f5c84cc8ad39852e307\
         5783bd84f24d91a47dbb"
    );
    assert_eq!(
        body("record", "record_worked_example"),
        "01010000202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f\
         02d553dfa32709dca5160cf7d792e155ea401dca900f73eee235b6dcf9676654\
         118d057a82f7e1d65cd1a383eb053065f3f43b8d8d5fbfe886af"
    );
    assert_eq!(
        body("envelope", "envelope_worked_example"),
        "01050000006c6f63616c0700000064656661756c740300000003000000c0ffee"
    );
    let key = SecretKey::from_slice(&std::array::from_fn::<u8, 32, _>(|i| u8::try_from(i).unwrap())).unwrap();
    let salt: [u8; 32] = std::array::from_fn(|i| u8::try_from(i + 32).unwrap());
    let context = format::context("PartContent text:b number:1");
    let derived: SecretKey = strongroom_seal::derive(&key, &salt, &context);
    assert_eq!(
        to_hex(derived.dangerous_expose()),
        "ebe93b6657bce4d503d846f07210b105414c496eb4afaa6af9e117fbff4016c3"
    );
}
