//! Entry points for tests that hand mangled bytes to the readers of this crate. Only with the feature `fuzzing`.

mod mangle;

use std::io::Read;
use std::sync::LazyLock;

use crate::codec::{Reader, Writer};
use crate::stream::{self, ChunkSize, Header, OpenReader, StreamSpec};
use crate::{Context, Envelope, Label, ObjectKey, SeededRandom, Suite, record};

pub use self::mangle::{Mangler, systematic, try_mangled};

/// One reader of bytes that come from a disk, a network or a user.
///
/// `accepts` reads its input and says whether it is an encoding. Inside it asserts what must hold of every input: what
/// is accepted is written again as the same bytes, and nothing panics. Whoever calls it measures what it allocates.
#[derive(Debug, Clone, Copy)]
pub struct Decoder {
    /// The crate and what is read: `store/page root`.
    pub name: &'static str,
    /// Valid inputs to start from; `accepts` says yes to each.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Reads.
    pub accepts: fn(&[u8]) -> bool,
    /// Memory for any input, in bytes,
    pub memory_fixed: usize,
    /// and for each byte of it.
    pub memory_factor: usize,
}

impl Decoder {
    /// A reader that allocates at most 16 bytes for each byte of input, beside a page for errors and keys.
    pub const fn new(name: &'static str, seeds: fn() -> Vec<Vec<u8>>, accepts: fn(&[u8]) -> bool) -> Self {
        Self { name, seeds, accepts, memory_fixed: 4096, memory_factor: 16 }
    }

    /// The same with memory of its own.
    #[must_use]
    pub const fn with_memory(mut self, fixed: usize, factor: usize) -> Self {
        (self.memory_fixed, self.memory_factor) = (fixed, factor);
        self
    }
}

/// The bytes that a hex text spells, whatever stands between its digits.
pub fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|digit| digit.to_digit(16))
        .filter_map(|digit| digit.try_into().ok())
        .collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// Names and values of lines `name: value`, for readers of headers. A line without a colon is passed over.
pub fn header_lines(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    bytes.split(|byte| *byte == b'\n').filter_map(|line| {
        let (name, value) = line.split_at(line.iter().position(|byte| *byte == b':')?);
        Some((name, value[1..].trim_ascii()))
    })
}

/// The readers of this crate.
pub const DECODERS: &[Decoder] = &[
    // The Reader's fields and what they were read as.
    Decoder::new("seal/codec", codec_seeds, codec),
    Decoder::new("seal/envelope", envelope_seeds, envelope),
    Decoder::new("seal/record", record_seeds, sealed_record),
    Decoder::new("seal/stream header", header_seeds, stream_header),
    // One chunk at a time is held, beside what is handed out.
    Decoder::new("seal/stream", stream_seeds, whole_stream).with_memory(4 * 4096, 16),
];

fn key() -> ObjectKey {
    ObjectKey::from_bytes(&mut std::array::from_fn(|at| u8::try_from(at).unwrap_or_default()))
}

/// The context of the vectors.
fn context() -> Context {
    Context::new(Label::PartContent, "b").and(1_u64)
}

/// What stands behind the fields of a vector.
fn vector(text: &str) -> Vec<u8> {
    unhex(text.split_once("\n\n").map_or("", |(_, hex)| hex))
}

fn codec_seeds() -> Vec<Vec<u8>> {
    vec![
        Vec::new(),
        b"\x01\x01\x07\x03\x00\x00\x00abc".to_vec(),
        b"\x02\x06\x00\x01\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x05\x01\x00\x00\x00x".to_vec(),
        b"\x06\x01\x00\x00\x00\x00\x03\x00\x05".to_vec(),
    ]
}

/// Byte by byte an instruction which field follows; what was read is written and must be what was there.
fn codec(bytes: &[u8]) -> bool {
    let mut input = Reader::new(bytes);
    let mut out = Writer::new();
    while let Ok(field) = input.u8("kind") {
        out.u8(field);
        let before = input.remaining();
        let read = match field % 8 {
            0 => input.u8("u8").map(|value| done(out.u8(value))),
            1 => input.flag("flag").map(|value| done(out.u8(value.into()))),
            2 => input.u16("u16").map(|value| done(out.u16(value))),
            3 => input.u32("u32").map(|value| done(out.u32(value))),
            4 => input.u64("u64").map(|value| done(out.u64(value))),
            5 => input.text(1 << 20, "text").map(|value| done(out.text(value))),
            6 => input.count(3, "count").map(|count| {
                assert!(3 * count <= input.remaining(), "a count is bounded by what is left");
                out.u32(u32::try_from(count).unwrap_or_default());
            }),
            _ => input.bytes(1 << 20, "bytes").map(|value| done(out.bytes(value))),
        };
        assert!(input.remaining() <= before, "reading never goes back");
        if read.is_err() {
            return false;
        }
    }
    assert_eq!(out.finish(), bytes, "one encoding per value");
    input.finish("fields").is_ok()
}

fn done(_: &mut Writer) {}

fn envelope_seeds() -> Vec<Vec<u8>> {
    vec![
        vector(include_str!("../testdata/envelope/envelope_worked_example.txt")),
        vector(include_str!("../testdata/envelope/envelope_longest.txt")),
    ]
}

fn envelope(bytes: &[u8]) -> bool {
    let Ok(envelope) = Envelope::decode(bytes) else { return false };
    assert_eq!(envelope.encode(), bytes, "one encoding per value");
    true
}

fn record_seeds() -> Vec<Vec<u8>> {
    let random = SeededRandom::dangerous_from_seed(1);
    vec![
        vector(include_str!("../testdata/record/record_worked_example.txt")),
        record::seal(&key(), &context(), b"", &random),
        record::seal(&key(), &context(), &[7; 300], &random),
    ]
}

fn sealed_record(bytes: &[u8]) -> bool {
    let Ok(plain) = record::open(&key(), &context(), bytes) else { return false };
    assert_eq!(plain.len() + record::OVERHEAD, bytes.len(), "a record has no slack");
    static KNOWN: LazyLock<Vec<Vec<u8>>> = LazyLock::new(record_seeds);
    assert!(KNOWN.iter().any(|seed| seed == bytes), "nobody else has the key");
    true
}

fn streams() -> Vec<Vec<u8>> {
    let random = SeededRandom::dangerous_from_seed(2);
    let mut out = vec![
        vector(include_str!("../testdata/stream/stream_worked_example.txt")),
        vector(include_str!("../testdata/stream/stream_empty.txt")),
    ];
    let chunk_size = ChunkSize::from_log2(12).unwrap_or_default();
    for (length, suite) in
        [(0, Suite::Aes256Gcm), (4096, Suite::ChaCha20Poly1305), (4096 * 2 + 5, Suite::Aes256Gcm)]
    {
        let spec = StreamSpec { suite, chunk_size };
        out.push(stream::seal_all(&key(), &context(), spec, &vec![9; length], &random));
    }
    out
}

fn header_seeds() -> Vec<Vec<u8>> {
    streams().into_iter().map(|stream| stream[..stream::HEADER_LEN].to_vec()).collect()
}

fn stream_header(bytes: &[u8]) -> bool {
    let Ok(header) = Header::parse(bytes) else { return false };
    let spec = header.spec();
    assert_eq!(
        (bytes[9], bytes[10]),
        (spec.suite.number(), spec.chunk_size.log2()),
        "the fields are the bytes"
    );
    assert_eq!(
        Header::parse(&bytes[..stream::HEADER_LEN]),
        Ok(header.clone()),
        "what follows does not matter"
    );
    if header.unlock(&key(), &context()).is_ok() {
        static KNOWN: LazyLock<Vec<Vec<u8>>> = LazyLock::new(header_seeds);
        assert!(KNOWN.iter().any(|seed| bytes.starts_with(seed)), "nobody else has the key");
    }
    true
}

fn stream_seeds() -> Vec<Vec<u8>> {
    let opens = |stream: &Vec<u8>| stream::open_all(&key(), &context(), stream).is_ok();
    streams().into_iter().filter(opens).collect()
}

/// Three readers, one answer: in memory, in order, and by ranges.
fn whole_stream(bytes: &[u8]) -> bool {
    let whole = stream::open_all(&key(), &context(), bytes);
    let mut in_order = Vec::new();
    let read = OpenReader::new(&key(), &context(), bytes).read_to_end(&mut in_order);
    assert_eq!(whole.is_ok(), read.is_ok(), "the readers agree");
    let Ok(plain) = whole else { return false };
    assert_eq!(*plain, in_order, "the readers agree");
    let ranges = stream::Opener::new(&key(), &context(), bytes, plain.len() as u64);
    let by_ranges = ranges.map(|opener| {
        assert_eq!(opener.sealed_len(), bytes.len() as u64, "a stream has no slack");
        let mut out = vec![0; plain.len()];
        opener.open_to(0, &bytes[stream::HEADER_LEN..], &mut out).map(|_| out)
    });
    assert!(matches!(by_ranges, Ok(Ok(out)) if out == *plain), "the readers agree");
    true
}
