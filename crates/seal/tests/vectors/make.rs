//! Makes every vector anew, always the same.

use std::sync::atomic::{AtomicU8, Ordering};

use aws_lc_rs::digest;
use strongroom_seal::stream::{self, ChunkSize, HEADER_LEN, Last, Sealer, StreamSpec};
use strongroom_seal::{Envelope, ObjectKey, Random, SecretKey, SeededRandom, Suite, TAG_LEN, record};

use crate::format::{Vector, context, fault, to_hex};

const CONTEXT: &str = "PartContent text:b number:1";
const CHUNK: usize = 4096;
const STRIDE: usize = CHUNK + TAG_LEN;

/// All of them, with their kinds.
pub(crate) fn all() -> Vec<(&'static str, Vector)> {
    let mut out = Vec::new();
    out.extend(streams().into_iter().map(|vector| ("stream", vector)));
    out.extend(records().into_iter().map(|vector| ("record", vector)));
    out.extend(envelopes().into_iter().map(|vector| ("envelope", vector)));
    out
}

/// Counts up from 0x20: the salt of the worked examples.
#[derive(Debug)]
struct Counting(AtomicU8);

impl Counting {
    fn new() -> Self {
        Self(AtomicU8::new(0x20))
    }
}

impl Random for Counting {
    fn fill(&self, out: &mut [u8]) {
        out.fill_with(|| self.0.fetch_add(1, Ordering::Relaxed));
    }
}

fn key_bytes() -> [u8; 32] {
    std::array::from_fn(|index| u8::try_from(index).unwrap())
}

fn plain(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    SeededRandom::dangerous_from_seed(length as u64).fill(&mut bytes);
    bytes
}

fn vector(name: &str, comment: &str, body: Vec<u8>) -> Vector {
    let mut vector = Vector { name: name.to_owned(), body, ..Vector::default() };
    vector.fields.insert("comment".to_owned(), comment.to_owned());
    vector
}

fn set(vector: &mut Vector, name: &str, value: impl Into<String>) {
    vector.fields.insert(name.to_owned(), value.into());
}

fn sealed(suite: Suite, seed: u64, plain: &[u8]) -> Vec<u8> {
    let spec = StreamSpec { suite, chunk_size: ChunkSize::MIN };
    let key = ObjectKey::from_slice(&key_bytes()).unwrap();
    stream::seal_all(&key, &context(CONTEXT), spec, plain, &SeededRandom::dangerous_from_seed(seed))
}

fn streams() -> Vec<Vector> {
    let aes = |length: usize| sealed(Suite::Aes256Gcm, 1, &plain(length));
    let mut out = well_formed_streams();
    let mut bad = |name: &str, length: usize, comment: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut body = aes(length);
        change(&mut body);
        out.push(refused_stream(vector(name, comment, body), length));
    };
    let at = |chunk: usize| HEADER_LEN + chunk * STRIDE;
    let three = 2 * CHUNK + 5;
    let two = CHUNK + 5;

    bad("stream_last_chunk_empty", CHUNK, "a full chunk, then an empty last one", &|body| {
        *body = raw_chunks(&[(&plain(CHUNK), false), (&[], true)]);
    });
    bad("stream_last_flag_missing", two, "the last chunk is sealed without the flag", &|body| {
        *body = raw_chunks(&[(&plain(CHUNK), false), (&[7; 5], false)]);
    });
    bad("stream_last_flag_early", two, "the first of two chunks is sealed with the flag", &|body| {
        *body = raw_chunks(&[(&plain(CHUNK), true), (&[7; 5], true)]);
    });
    bad("stream_chunk_swapped", three, "chunks 0 and 1 have changed places", &|body| {
        let (first, second) = body[at(0)..at(2)].split_at_mut(STRIDE);
        first.swap_with_slice(second);
    });
    bad("stream_chunk_repeated", three, "chunk 0 comes twice", &|body| {
        body.copy_within(at(0)..at(1), at(1));
    });
    bad("stream_chunk_dropped", three, "chunk 1 of 3 is missing", &|body| drop(body.drain(at(1)..at(2))));
    bad(
        "stream_chunk_of_another_stream",
        two,
        "chunk 0 is that of another stream of one key and place",
        &|body| {
            let other = sealed(Suite::Aes256Gcm, 2, &plain(two));
            body[at(0)..at(1)].copy_from_slice(&other[at(0)..at(1)]);
        },
    );
    bad("stream_truncated_at_chunk", two, "the last chunk is missing", &|body| body.truncate(at(1)));
    bad("stream_truncated_in_chunk", two, "the last chunk lacks a byte", &|body| {
        body.truncate(body.len() - 1)
    });
    bad("stream_truncated_in_tag", 0, "15 bytes of the only tag", &|body| body.truncate(body.len() - 1));
    bad("stream_header_only", 0, "nothing after the header", &|body| body.truncate(HEADER_LEN));
    bad("stream_header_short", 0, "the header lacks a byte", &|body| body.truncate(HEADER_LEN - 1));
    bad("stream_trailing_byte", CHUNK, "a byte after the last chunk, which is full", &|body| body.push(0));
    bad("stream_trailing_chunk", two, "the last chunk comes twice", &|body| body.extend_from_within(at(1)..));
    bad("stream_ciphertext_flipped", 10, "a bit of the ciphertext", &|body| body[HEADER_LEN + 3] ^= 0x10);
    bad("stream_tag_flipped", 10, "a bit of the tag", &|body| *body.last_mut().unwrap() ^= 1);
    bad("stream_salt_flipped", 10, "a bit of the salt", &|body| body[16] ^= 1);
    bad("stream_commitment_flipped", 10, "a bit of the commitment", &|body| body[48] ^= 0x80);
    bad("stream_suite_swapped", 10, "sealed under suite 1, says 2", &|body| body[9] = 2);
    bad("stream_chunk_size_swapped", 10, "sealed with chunks of 4 KiB, says 8 KiB", &|body| body[10] = 13);
    bad("stream_magic_wrong", 10, "SRstreaM", &|body| body[7] = b'M');
    bad("stream_version_newer", 10, "version 2", &|body| body[8] = 2);
    bad("stream_suite_unknown", 10, "suite 3", &|body| body[9] = 3);
    bad("stream_chunk_size_too_small", 10, "2 KiB", &|body| body[10] = 11);
    bad("stream_chunk_size_too_large", 10, "32 MiB", &|body| body[10] = 25);
    bad("stream_reserved_nonzero", 10, "the last reserved byte is 1", &|body| body[15] = 1);

    for (name, field, value, comment) in [
        ("stream_wrong_key", "key", "ff".repeat(32), "another key"),
        ("stream_wrong_context", "context", "PartContent text:b number:2".to_owned(), "the place of part 2"),
        (
            "stream_wrong_label",
            "context",
            "InlineContent text:b number:1".to_owned(),
            "another kind of content",
        ),
    ] {
        let mut vector = vector(name, comment, aes(10));
        set(&mut vector, field, value);
        out.push(refused_stream(vector, 10));
    }
    out
}

fn well_formed_streams() -> Vec<Vector> {
    let mut out = Vec::new();
    let mut ok = |name: &str, comment: &str, plain: &[u8], body: Vec<u8>| {
        let mut vector = vector(name, comment, body);
        set(&mut vector, "expect", "ok");
        set(&mut vector, "key", to_hex(&key_bytes()));
        set(&mut vector, "context", CONTEXT);
        set(&mut vector, "plain-len", plain.len().to_string());
        set(&mut vector, "plain-sha256", to_hex(digest::digest(&digest::SHA256, plain).as_ref()));
        out.push(vector);
    };
    let spec = StreamSpec { chunk_size: ChunkSize::MIN, ..StreamSpec::default() };
    let key = ObjectKey::from_slice(&key_bytes()).unwrap();
    let worked = stream::seal_all(&key, &context(CONTEXT), spec, b"strongroom", &Counting::new());
    ok("stream_worked_example", "docs/spec/sealed-stream.md, worked example", b"strongroom", worked);
    for (name, comment, length) in [
        ("stream_empty", "one empty chunk", 0),
        ("stream_one_byte", "one chunk of a byte", 1),
        ("stream_chunk_full", "one full chunk, no empty one after it", CHUNK),
        ("stream_chunk_full_and_one", "a full chunk and a byte", CHUNK + 1),
    ] {
        ok(name, comment, &plain(length), sealed(Suite::Aes256Gcm, 1, &plain(length)));
    }
    let chacha = sealed(Suite::ChaCha20Poly1305, 1, &plain(CHUNK + 5));
    ok("stream_chacha20_poly1305", "the other suite", &plain(CHUNK + 5), chacha);
    out
}

/// Fills in what each way of reading says about it.
fn refused_stream(mut vector: Vector, plain_len: usize) -> Vector {
    set(&mut vector, "expect", "refused");
    vector.fields.entry("key".to_owned()).or_insert_with(|| to_hex(&key_bytes()));
    vector.fields.entry("context".to_owned()).or_insert_with(|| CONTEXT.to_owned());
    set(&mut vector, "plain-len", plain_len.to_string());
    let key = ObjectKey::from_slice(&vector.bytes("key")).unwrap();
    let at_once = stream::open_all(&key, &vector.context(), &vector.body).expect_err(&vector.name);
    set(&mut vector, "fault-at-once", fault(&at_once));
    let mut reader = stream::OpenReader::new(&key, &vector.context(), vector.body.as_slice());
    let in_order = std::io::copy(&mut reader, &mut std::io::sink()).expect_err(&vector.name);
    set(&mut vector, "fault-in-order", fault(&stream::StreamError::from_io(in_order)));
    vector
}

/// A stream as no writer makes it: each chunk with the flag it is given. The key is that of a stream with
/// the same header, so that only the flags are wrong.
fn raw_chunks(chunks: &[(&[u8], bool)]) -> Vec<u8> {
    let key = ObjectKey::from_slice(&key_bytes()).unwrap();
    let spec = StreamSpec { chunk_size: ChunkSize::MIN, ..StreamSpec::default() };
    let mut out = Vec::new();
    for (index, (plain, last)) in chunks.iter().enumerate() {
        // A new sealer with the same salt counts up to this chunk, so each flag can be chosen.
        let salt = SeededRandom::dangerous_from_seed(1);
        let (mut sealer, header) = Sealer::new(&key, &context(CONTEXT), spec, &salt);
        if out.is_empty() {
            out.extend_from_slice(&header);
        }
        sealer.seal_batch(&vec![0; index * CHUNK], Last::No, &mut Vec::new()).unwrap();
        if *last && plain.is_empty() {
            out.extend_from_slice(&empty_last_chunk(&header, index));
        } else if *last {
            sealer.seal_batch(plain, Last::Yes, &mut out).unwrap();
        } else if plain.len() == CHUNK {
            sealer.seal_batch(plain, Last::No, &mut out).unwrap();
        } else {
            out.extend_from_slice(&short_chunk_without_flag(&header, index, plain));
        }
    }
    out
}

fn empty_last_chunk(header: &[u8], index: usize) -> Vec<u8> {
    by_hand(header, index, 1, &[])
}

fn short_chunk_without_flag(header: &[u8], index: usize, plain: &[u8]) -> Vec<u8> {
    by_hand(header, index, 0, plain)
}

/// A chunk as the spec describes it, without the code that is being tested.
fn by_hand(header: &[u8], index: usize, flag: u8, plain: &[u8]) -> Vec<u8> {
    use aws_lc_rs::{aead, hkdf};
    struct Both;
    impl hkdf::KeyType for Both {
        fn len(&self) -> usize {
            64
        }
    }
    let place = context(CONTEXT);
    let mut both = [0; 64];
    hkdf::Salt::new(hkdf::HKDF_SHA256, &header[16..48])
        .extract(&key_bytes())
        .expand(&[&[0], &[1, 0], &header[..16], place.as_bytes()], Both)
        .and_then(|material| material.fill(&mut both))
        .unwrap();
    assert_eq!(both[32..], header[48..], "the commitment is the expansion's second half");
    let cipher = aead::LessSafeKey::new(aead::UnboundKey::new(&aead::AES_256_GCM, &both[..32]).unwrap());
    let mut nonce = [0; 12];
    nonce[3..11].copy_from_slice(&(index as u64).to_be_bytes());
    nonce[11] = flag;
    let mut out = plain.to_vec();
    let nonce = aead::Nonce::assume_unique_for_key(nonce);
    cipher.seal_in_place_append_tag(nonce, aead::Aad::from(place.as_bytes()), &mut out).unwrap();
    out
}

fn records() -> Vec<Vector> {
    const PLACE: &str = "PartContent text:b number:1";
    let key = SecretKey::from_slice(&key_bytes()).unwrap();
    let sealed = |plain: &[u8], random: &dyn Random| record::seal(&key, &context(PLACE), plain, random);
    let mut out = Vec::new();
    let mut add = |name: &str, comment: &str, expect: &str, body: Vec<u8>| {
        let mut vector = vector(name, comment, body);
        set(&mut vector, "expect", expect);
        set(
            &mut vector,
            "key",
            if name == "record_wrong_key" { "ff".repeat(32) } else { to_hex(&key_bytes()) },
        );
        let elsewhere = name == "record_wrong_context";
        set(&mut vector, "context", if elsewhere { "PartContent text:b number:2" } else { PLACE });
        if expect == "ok" {
            let plain = if name == "record_empty" { Vec::new() } else { b"strongroom".to_vec() };
            set(&mut vector, "plain", to_hex(&plain));
        }
        out.push(vector);
    };
    let good = || sealed(b"strongroom", &Counting::new());
    add("record_worked_example", "docs/spec/sealed-record.md, worked example", "ok", good());
    add("record_empty", "holds nothing", "ok", sealed(b"", &SeededRandom::dangerous_from_seed(1)));
    add("record_wrong_key", "another key", "refused", good());
    add("record_wrong_context", "another place", "refused", good());
    let mut bad = |name: &str, comment: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut body = good();
        change(&mut body);
        add(name, comment, "refused", body);
    };
    bad("record_short", "a byte shorter than an empty record", &|body| body.truncate(83));
    bad("record_truncated", "lacks a byte", &|body| body.truncate(body.len() - 1));
    bad("record_extended", "a byte more", &|body| body.push(0));
    bad("record_version_newer", "version 2", &|body| body[0] = 2);
    bad("record_suite_unknown", "suite 9", &|body| body[1] = 9);
    bad("record_suite_swapped", "sealed under suite 1, says 2", &|body| body[1] = 2);
    bad("record_reserved_nonzero", "the second reserved byte is 1", &|body| body[3] = 1);
    bad("record_salt_flipped", "a bit of the salt", &|body| body[4] ^= 1);
    bad("record_commitment_flipped", "a bit of the commitment", &|body| body[36] ^= 1);
    bad("record_ciphertext_flipped", "a bit of the ciphertext", &|body| body[68] ^= 1);
    bad("record_tag_flipped", "a bit of the tag", &|body| *body.last_mut().unwrap() ^= 1);
    out
}

fn envelopes() -> Vec<Vector> {
    let worked = Envelope {
        provider: "local".to_owned(),
        key_id: "default".to_owned(),
        key_version: 3,
        blob: vec![0xc0, 0xff, 0xee],
    };
    let longest = Envelope {
        provider: "p".repeat(32),
        key_id: "k".repeat(2048),
        key_version: u32::MAX,
        blob: vec![0xab; 16 * 1024],
    };
    let mut out = Vec::new();
    for (name, comment, envelope) in [
        ("envelope_worked_example", "docs/spec/envelope.md, worked example", &worked),
        ("envelope_longest", "every field as long as it may be", &longest),
    ] {
        let mut vector = vector(name, comment, envelope.encode());
        set(&mut vector, "expect", "ok");
        set(&mut vector, "provider", &envelope.provider);
        set(&mut vector, "key-id", &envelope.key_id);
        set(&mut vector, "key-version", envelope.key_version.to_string());
        set(&mut vector, "blob-len", envelope.blob.len().to_string());
        out.push(vector);
    }
    let mut bad = |name: &str, comment: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut body = worked.encode();
        change(&mut body);
        let mut vector = vector(name, comment, body);
        let error = Envelope::decode(&vector.body).expect_err(name);
        set(&mut vector, "expect", "refused");
        set(&mut vector, "fault", error.to_string());
        out.push(vector);
    };
    let stretched = |body: &mut Vec<u8>, at: usize, old: usize, new: usize| {
        body[at..at + 4].copy_from_slice(&u32::try_from(new).unwrap().to_le_bytes());
        body.splice(at + 4..at + 4 + old, vec![b'x'; new]);
    };
    bad("envelope_version_newer", "version 2", &|body| body[0] = 2);
    bad("envelope_cut_short", "lacks a byte", &|body| body.truncate(body.len() - 1));
    bad("envelope_trailing_byte", "a byte more", &|body| body.push(0));
    bad("envelope_provider_too_long", "33 bytes", &|body| stretched(body, 1, 5, 33));
    bad("envelope_key_id_too_long", "2049 bytes", &|body| stretched(body, 10, 7, 2049));
    bad("envelope_blob_too_long", "16385 bytes", &|body| stretched(body, 25, 3, 16 * 1024 + 1));
    bad("envelope_length_beyond_end", "the blob's length is 4 GiB - 1", &|body| body[25..29].fill(0xff));
    bad("envelope_key_id_not_utf8", "the key id starts with ff", &|body| body[14] = 0xff);
    out
}
