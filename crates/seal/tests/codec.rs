//! The guards of fields, envelopes and records: exact bytes, round trip, length, mangled input.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test helper that panics fails its test"
)]

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use strongroom_seal::codec::{DecodeError, Reader, Writer};
use strongroom_seal::{Context, Envelope, EnvelopeError, Label, SecretKey, SeededRandom, record};

#[derive(Debug, Clone, PartialEq)]
struct Fields {
    a: u8,
    flag: bool,
    b: u16,
    c: u32,
    d: u64,
    raw: [u8; 3],
    bytes: Vec<u8>,
    text: String,
    list: Vec<u16>,
}

const BYTES_MAX: usize = 40;
const TEXT_MAX: usize = 80;

fn encode(fields: &Fields) -> Vec<u8> {
    let mut out = Writer::new();
    out.u8(fields.a).u8(fields.flag.into()).u16(fields.b).u32(fields.c).u64(fields.d).raw(&fields.raw);
    out.bytes(&fields.bytes).text(&fields.text).u32(fields.list.len() as u32);
    fields.list.iter().for_each(|item| {
        out.u16(*item);
    });
    out.finish()
}

fn decode(bytes: &[u8]) -> Result<Fields, DecodeError> {
    let mut input = Reader::new(bytes);
    let mut fields = Fields {
        a: input.u8("a")?,
        flag: input.flag("flag")?,
        b: input.u16("b")?,
        c: input.u32("c")?,
        d: input.u64("d")?,
        raw: *input.array("raw")?,
        bytes: input.bytes(BYTES_MAX, "bytes")?.to_vec(),
        text: input.text(TEXT_MAX, "text")?.to_owned(),
        list: Vec::new(),
    };
    let count = input.count(2, "list")?;
    assert!(count * 2 <= bytes.len(), "a count never asks for more than the input has");
    for _ in 0..count {
        fields.list.push(input.u16("item")?);
    }
    input.finish("fields")?;
    Ok(fields)
}

fn fields() -> impl Strategy<Value = Fields> {
    (
        any::<(u8, bool, u16, u32, u64, [u8; 3])>(),
        prop::collection::vec(any::<u8>(), 0..=BYTES_MAX),
        prop::collection::vec(any::<char>(), 0..20).prop_map(String::from_iter),
        prop::collection::vec(any::<u16>(), 0..20),
    )
        .prop_map(|((a, flag, b, c, d, raw), bytes, text, list)| Fields {
            a,
            flag,
            b,
            c,
            d,
            raw,
            bytes,
            text,
            list,
        })
}

#[test]
fn fields_have_exactly_these_bytes() {
    let fields = Fields {
        a: 1,
        flag: true,
        b: 0x0203,
        c: 0x0405_0607,
        d: 0x0809_0a0b_0c0d_0e0f,
        raw: [0xaa, 0xbb, 0xcc],
        bytes: vec![9, 8],
        text: "é".to_owned(),
        list: vec![5, 6],
    };
    #[rustfmt::skip]
    let expected = [
        1, 1, 3, 2, 7, 6, 5, 4, 0xf, 0xe, 0xd, 0xc, 0xb, 0xa, 9, 8, 0xaa, 0xbb, 0xcc,
        2, 0, 0, 0, 9, 8, 2, 0, 0, 0, 0xc3, 0xa9, 2, 0, 0, 0, 5, 0, 6, 0,
    ];
    assert_eq!(encode(&fields), expected);
}

#[test]
fn a_reader_refuses_what_a_writer_never_writes() {
    let out_of_range = |field| Some(DecodeError::OutOfRange { field });
    let short = |field| Some(DecodeError::Short { field });
    assert_eq!(Reader::new(&[2]).flag("flag").err(), out_of_range("flag"));
    assert_eq!(Reader::new(&[5, 0, 0, 0, 1, 2, 3, 4, 5]).bytes(4, "bytes").err(), out_of_range("bytes"));
    assert_eq!(Reader::new(&[5, 0, 0, 0, 1]).bytes(5, "bytes").err(), short("bytes"));
    assert_eq!(Reader::new(&[1, 0, 0, 0, 0xff]).text(4, "text").err(), out_of_range("text"));
    assert_eq!(Reader::new(&[0xff; 8]).count(1, "count").err(), out_of_range("count"));
    assert_eq!(Reader::new(&[0xff; 8]).count(0, "count").err(), out_of_range("count"), "even of nothings");
    assert_eq!(Reader::new(&[0; 3]).u32("c").err(), short("c"));
    assert_eq!(Reader::new(&[0; 3]).finish("it"), Err(DecodeError::Trailing { what: "it", count: 3 }));
}

#[test]
fn an_envelope_is_as_long_as_its_spec_says() {
    let mut envelope =
        Envelope { provider: String::new(), key_id: String::new(), key_version: 0, blob: Vec::new() };
    assert_eq!(envelope.encode().len(), 17);
    envelope.provider = "p".repeat(32);
    envelope.key_id = "k".repeat(2048);
    envelope.blob = vec![0; 16 * 1024];
    assert_eq!(envelope.encode().len(), 18_481);
}

#[test]
fn an_envelope_that_could_not_be_read_back_is_not_made() {
    let made = |provider: usize, key_id: usize, blob: usize| {
        Envelope::new("p".repeat(provider), "k".repeat(key_id), 1, vec![0; blob]).map(|_| ())
    };
    let too_long = |field| Err(EnvelopeError::Malformed(DecodeError::OutOfRange { field }));
    assert_eq!(made(32, 2048, 16 * 1024), Ok(()));
    assert_eq!(made(33, 1, 1), too_long("provider"));
    assert_eq!(made(1, 2049, 1), too_long("key id"));
    assert_eq!(made(1, 1, 16 * 1024 + 1), too_long("wrapped key"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn fields_round_trip_and_are_as_long_as_they_should_be(fields in fields()) {
        let encoded = encode(&fields);
        prop_assert_eq!(encoded.len(), 19 + 4 + fields.bytes.len() + 4 + fields.text.len() + 4 + 2 * fields.list.len());
        prop_assert_eq!(decode(&encoded).unwrap(), fields);
    }

    #[test]
    fn mangled_fields_never_panic_and_what_decodes_encodes_back(
        fields in fields(),
        at in any::<prop::sample::Index>(),
        value in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = encode(&fields);
        let index = at.index(bytes.len());
        bytes[index] = value;
        if let Ok(decoded) = decode(&bytes) {
            prop_assert_eq!(encode(&decoded), bytes.clone());
        }
        let shorter = &bytes[..cut.index(bytes.len())];
        if let Ok(decoded) = decode(shorter) {
            prop_assert_eq!(encode(&decoded), shorter);
        }
    }

    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(decoded) = decode(&bytes) {
            prop_assert_eq!(encode(&decoded), bytes.clone());
        }
        if let Ok(envelope) = Envelope::decode(&bytes) {
            prop_assert_eq!(envelope.encode(), bytes.clone());
        }
        let key = SecretKey::generate(&SeededRandom::dangerous_from_seed(1));
        prop_assert!(record::open(&key, &Context::new(Label::KmsProbe, 1u64), &bytes).is_err());
    }

    #[test]
    fn envelopes_round_trip_and_mangled_ones_encode_back_if_they_decode(
        provider in "[a-z]{0,32}",
        key_id in "\\PC{0,60}",
        key_version: u32,
        blob in prop::collection::vec(any::<u8>(), 0..200),
        at in any::<prop::sample::Index>(),
        value in any::<u8>(),
    ) {
        let envelope = Envelope { provider, key_id, key_version, blob };
        let mut bytes = envelope.encode();
        prop_assert_eq!(&Envelope::decode(&bytes).unwrap(), &envelope);
        let index = at.index(bytes.len());
        bytes[index] = value;
        if let Ok(decoded) = Envelope::decode(&bytes) {
            prop_assert_eq!(decoded.encode(), bytes);
        }
    }

    #[test]
    fn records_round_trip_and_no_changed_byte_opens(
        plain in prop::collection::vec(any::<u8>(), 0..200),
        at in any::<prop::sample::Index>(),
        flip in 1_u8..,
        seed: u64,
    ) {
        let random = SeededRandom::dangerous_from_seed(seed);
        let key = SecretKey::generate(&random);
        let context = Context::new(Label::Credentials, "who");
        let mut sealed = record::seal(&key, &context, &plain, &random);
        prop_assert_eq!(sealed.len(), plain.len() + record::OVERHEAD);
        prop_assert_eq!(&*record::open(&key, &context, &sealed).unwrap(), &plain);
        let index = at.index(sealed.len());
        sealed[index] ^= flip;
        prop_assert!(record::open(&key, &context, &sealed).is_err());
    }
}

#[test]
fn a_record_never_opens_shorter_or_longer() {
    let random = SeededRandom::dangerous_from_seed(3);
    let key = SecretKey::generate(&random);
    let context = Context::new(Label::Credentials, "who");
    let sealed = record::seal(&key, &context, b"a few words", &random);
    for length in 0..sealed.len() {
        assert!(record::open(&key, &context, &sealed[..length]).is_err());
    }
    let mut longer = sealed;
    longer.push(0);
    assert!(record::open(&key, &context, &longer).is_err());
}
