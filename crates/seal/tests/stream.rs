//! What the core of sealed streams promises.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test helper that panics fails its test"
)]

use std::collections::HashSet;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use strongroom_seal::stream::{
    self, ChunkSize, HEADER_LEN, HeaderError, Last, Opener, Sealer, StreamError, StreamSpec,
};
use strongroom_seal::{Context, Label, ObjectKey, OsRandom, Random, SeededRandom, Suite, TAG_LEN};

fn random() -> SeededRandom {
    SeededRandom::dangerous_from_seed(7)
}

fn key() -> ObjectKey {
    ObjectKey::from_slice(&[0x11; 32]).unwrap()
}

fn context() -> Context {
    Context::new(Label::PartContent, "bucket").and("version").and(1u64)
}

fn plain(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    SeededRandom::dangerous_from_seed(length as u64).fill(&mut bytes);
    bytes
}

fn spec(log2: u8) -> StreamSpec {
    StreamSpec { suite: Suite::Aes256Gcm, chunk_size: ChunkSize::from_log2(log2).unwrap() }
}

fn around_boundaries(chunk: usize) -> Vec<usize> {
    vec![0, 1, 15, 16, 17, chunk - 1, chunk, chunk + 1, 2 * chunk - 1, 2 * chunk, 2 * chunk + 1]
}

#[test]
fn every_length_around_a_boundary_round_trips_at_every_chunk_size() {
    for suite in [Suite::Aes256Gcm, Suite::ChaCha20Poly1305] {
        for log2 in 12..=24 {
            let spec = StreamSpec { suite, ..spec(log2) };
            // The largest sizes only at their edges: the arithmetic is the same and memory is dear.
            let lengths = if log2 <= 16 {
                around_boundaries(spec.chunk_size.bytes())
            } else {
                vec![0, 1, (1 << log2) + 1]
            };
            for length in lengths {
                let plain = plain(length);
                let sealed = stream::seal_all(&key(), &context(), spec, &plain, &random());
                assert_eq!(sealed.len() as u64, stream::sealed_len(length as u64, spec.chunk_size));
                assert_eq!(stream::plain_len(sealed.len() as u64, spec.chunk_size).unwrap(), length as u64);
                assert!(
                    *stream::open_all(&key(), &context(), &sealed).unwrap() == plain,
                    "{length} at 2^{log2}"
                );
            }
        }
    }
}

#[test]
fn sealing_in_place_in_batches_and_in_runs_gives_the_same_bytes() {
    let plain = plain(3 * 4096 + 5);
    let whole = stream::seal_all(&key(), &context(), spec(12), &plain, &random());

    let (mut sealer, header) = Sealer::new(&key(), &context(), spec(12), &random());
    let mut in_place = header.to_vec();
    for (index, piece) in plain.chunks(sealer.chunk_size()).enumerate() {
        let mut chunk = piece.to_vec();
        let tag = sealer.seal_next(&mut chunk, if index == 3 { Last::Yes } else { Last::No }).unwrap();
        in_place.extend(chunk);
        in_place.extend(tag);
    }
    assert_eq!(in_place, whole);

    let (mut sealer, header) = Sealer::new(&key(), &context(), spec(12), &random());
    let mut batches = header.to_vec();
    sealer.seal_batch(&plain[..8192], Last::No, &mut batches).unwrap();
    sealer.seal_batch(&[], Last::No, &mut batches).unwrap();
    sealer.seal_batch(&plain[8192..], Last::Yes, &mut batches).unwrap();
    assert_eq!(batches, whole);

    let (mut sealer, header) = Sealer::new(&key(), &context(), spec(12), &random());
    let early = sealer.reserve(8192, Last::No).unwrap();
    let late = sealer.reserve(4096 + 5, Last::Yes).unwrap();
    let mut runs = header.to_vec();
    runs.resize(whole.len(), 0);
    let middle = HEADER_LEN + early.sealed_len();
    late.seal_to(&plain[8192..], &mut runs[middle..]).unwrap();
    early.seal_to(&plain[..8192], &mut runs[HEADER_LEN..middle]).unwrap();
    assert_eq!(runs, whole);
}

#[test]
fn a_sealer_refuses_what_is_no_chunk() {
    let (mut sealer, _) = Sealer::new(&key(), &context(), spec(12), &random());
    let mut out = Vec::new();
    let refused = |result| matches!(result, Err(StreamError::ChunkLength { .. }));
    assert!(refused(sealer.seal_next(&mut [0; 4095], Last::No).map(|_| ())));
    assert!(refused(sealer.seal_next(&mut [0; 4097], Last::Yes).map(|_| ())));
    assert!(refused(sealer.seal_next(&mut [], Last::No).map(|_| ())));
    assert!(refused(sealer.seal_batch(&[0; 4097], Last::No, &mut out)));
    sealer.seal_batch(&[0; 4096], Last::No, &mut out).unwrap();
    assert!(
        refused(sealer.seal_batch(&[], Last::Yes, &mut out)),
        "no empty chunk ends a stream that holds bytes"
    );
    sealer.seal_batch(&[0; 1], Last::Yes, &mut out).unwrap();
    assert!(matches!(sealer.seal_next(&mut [0; 1], Last::Yes), Err(StreamError::Finished)));
    assert_eq!(out.len(), 4096 + 1 + 2 * TAG_LEN);
}

#[test]
fn every_flipped_bit_is_refused() {
    for length in [0, 1, 40] {
        let plain = plain(length);
        let sealed = stream::seal_all(&key(), &context(), spec(12), &plain, &random());
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(stream::open_all(&key(), &context(), &changed).is_err(), "bit {bit}");
        }
    }
}

#[test]
fn cutting_and_extending_at_any_byte_is_refused() {
    let sealed = stream::seal_all(&key(), &context(), spec(12), &plain(8192), &random());
    for length in 0..sealed.len() {
        assert!(stream::open_all(&key(), &context(), &sealed[..length]).is_err(), "cut at {length}");
    }
    for more in 1..=2 * (4096 + TAG_LEN) {
        let mut longer = sealed.clone();
        longer.resize(sealed.len() + more, 0);
        assert!(stream::open_all(&key(), &context(), &longer).is_err(), "{more} bytes more");
    }
}

#[test]
fn chunks_neither_swap_nor_move_to_another_stream_of_the_same_key() {
    const STRIDE: usize = 4096 + TAG_LEN;
    let at = |chunk: usize| HEADER_LEN + chunk * STRIDE..HEADER_LEN + (chunk + 1) * STRIDE;
    let random = random();
    let one = stream::seal_all(&key(), &context(), spec(12), &plain(4 * 4096), &random);
    let two = stream::seal_all(&key(), &context(), spec(12), &plain(4 * 4096), &random);
    assert_ne!(one[..HEADER_LEN], two[..HEADER_LEN], "each stream has its own salt");
    for chunk in 0..4 {
        let mut spliced = one.clone();
        spliced[at(chunk)].copy_from_slice(&two[at(chunk)]);
        assert!(matches!(
            stream::open_all(&key(), &context(), &spliced),
            Err(StreamError::Unsealable { chunk: found }) if found == chunk as u64
        ));
        for other in 0..chunk {
            let mut swapped = one.clone();
            swapped[at(chunk)].copy_from_slice(&one[at(other)]);
            swapped[at(other)].copy_from_slice(&one[at(chunk)]);
            assert!(stream::open_all(&key(), &context(), &swapped).is_err());
        }
    }
}

#[test]
fn another_key_and_another_context_are_refused_before_any_chunk() {
    let sealed = stream::seal_all(&key(), &context(), spec(12), b"words", &random());
    let refused = |key: &ObjectKey, context: &Context| {
        matches!(Opener::new(key, context, &sealed, 5), Err(StreamError::Header(HeaderError::Unsealable)))
    };
    assert!(!refused(&key(), &context()));
    assert!(refused(&ObjectKey::generate(&random()), &context()));
    assert!(refused(&key(), &context().and(1u64)));
}

#[test]
fn an_opener_that_expects_another_length_refuses_the_last_chunk() {
    let sealed = stream::seal_all(&key(), &context(), spec(12), &plain(3 * 4096), &random());
    let body = &sealed[HEADER_LEN..];
    let mut out = plain(4 * 4096);
    let shorter = Opener::new(&key(), &context(), &sealed, 2 * 4096).unwrap();
    assert!(matches!(
        shorter.open_to(0, &body[..2 * (4096 + TAG_LEN)], &mut out),
        Err(StreamError::Unsealable { chunk: 1 })
    ));
    let longer = Opener::new(&key(), &context(), &sealed, 3 * 4096 + 1).unwrap();
    assert!(matches!(longer.open_to(0, body, &mut out), Err(StreamError::Unsealable { chunk: 2 })));
}

#[test]
fn the_same_bytes_sealed_twice_share_no_key_and_nonce() {
    let plain = vec![0x5a; 3 * 4096];
    let one = stream::seal_all(&key(), &context(), spec(12), &plain, &OsRandom);
    let two = stream::seal_all(&key(), &context(), spec(12), &plain, &OsRandom);
    // Equal plaintext under equal key and nonce would be an equal block somewhere.
    let blocks = |sealed: &[u8]| -> HashSet<[u8; 16]> {
        let (_, body) = sealed.split_at(HEADER_LEN);
        body.chunks(4096 + TAG_LEN).flat_map(|chunk| chunk.as_chunks::<16>().0.to_vec()).collect()
    };
    let (one, two) = (blocks(&one), blocks(&two));
    assert_eq!(one.len(), 3 * 257, "no two blocks of one stream are alike either");
    assert!(one.is_disjoint(&two));
}

#[test]
fn lengths_that_no_stream_has_are_refused() {
    let chunk = ChunkSize::MIN;
    let header = HEADER_LEN as u64;
    let tag = TAG_LEN as u64;
    let refused = |sealed| matches!(stream::plain_len(sealed, chunk), Err(StreamError::Length { .. }));
    assert!(refused(0) && refused(header) && refused(header + tag - 1));
    assert_eq!(stream::plain_len(header + tag, chunk).unwrap(), 0);
    assert!(refused(header + 4096 + tag + tag), "an empty chunk after a full one");
    assert!(refused(header + 4096 + tag + tag - 1));
    assert_eq!(stream::plain_len(header + 4096 + tag + tag + 1, chunk).unwrap(), 4097);
    assert!(refused(u64::MAX));
}

#[test]
fn no_stream_is_longer_than_the_limit() {
    assert_eq!(stream::plain_len_max(ChunkSize::MIN), 1 << 44);
    assert_eq!(stream::plain_len_max(ChunkSize::default()), 1 << 48);
    assert_eq!(stream::plain_len_max(ChunkSize::MAX), 1 << 48);
    let sealed = stream::seal_all(&key(), &context(), spec(12), b"", &random());
    let opener = |plain_len| Opener::new(&key(), &context(), &sealed, plain_len);
    assert!(opener(1 << 44).is_ok());
    assert!(
        matches!(opener((1 << 44) + 1), Err(StreamError::TooLong { plain_len_max }) if plain_len_max == 1 << 44)
    );
    assert!(matches!(opener(u64::MAX), Err(StreamError::TooLong { .. })));
    assert_eq!(stream::sealed_len(u64::MAX, ChunkSize::MIN), u64::MAX, "saturates");

    let (mut sealer, _) = Sealer::new(&key(), &context(), spec(12), &random());
    let all_but_one = sealer.reserve((1 << 44) - 4096, Last::No).unwrap();
    assert_eq!(all_but_one.sealed_len(), ((1 << 32) - 1) * (4096 + TAG_LEN));
    assert!(matches!(sealer.reserve(4097, Last::Yes), Err(StreamError::TooLong { .. })));
    assert!(sealer.reserve(4096, Last::Yes).is_ok());
}

#[test]
fn chunk_sizes_are_powers_of_two_from_4_kib_to_16_mib() {
    assert_eq!(ChunkSize::default().bytes(), 64 << 10);
    assert_eq!(ChunkSize::new(4096), Some(ChunkSize::MIN));
    assert_eq!(ChunkSize::new(16 << 20), Some(ChunkSize::MAX));
    for bytes in [0, 1, 2048, 4095, 4097, 3 * 4096, 32 << 20, usize::MAX, 1 << 63] {
        assert_eq!(ChunkSize::new(bytes), None, "{bytes}");
    }
}

#[test]
fn a_run_that_is_not_whole_chunks_of_the_stream_is_refused() {
    let sealed = stream::seal_all(&key(), &context(), spec(12), &plain(2 * 4096 + 5), &random());
    let opener = Opener::new(&key(), &context(), &sealed, 2 * 4096 + 5).unwrap();
    let body = &sealed[HEADER_LEN..];
    let mut out = vec![0; sealed.len()];
    let mut refused = |first, sealed: &[u8]| {
        matches!(opener.open_to(first, sealed, &mut out), Err(StreamError::Run { .. }))
            && matches!(opener.open_run(first, &mut sealed.to_vec()), Err(StreamError::Run { .. }))
    };
    assert!(refused(0, &[]));
    assert!(refused(0, &body[..4096]));
    assert!(refused(0, &body[..body.len() - 1]));
    assert!(refused(1, body), "more than the stream has from there");
    assert!(refused(3, &body[..21]), "after the last chunk");
    assert!(refused(u64::MAX, &body[..21]));
    assert!(!refused(0, body));
    assert!(matches!(opener.open_to(0, body, &mut [0; 100]), Err(StreamError::Run { .. })), "no room");
}

#[test]
fn what_did_not_authenticate_is_wiped() {
    let mut sealed = stream::seal_all(&key(), &context(), spec(12), &[0x5a; 4096 + 9], &random());
    sealed[HEADER_LEN + 4096 + TAG_LEN] ^= 1;
    let opener = Opener::new(&key(), &context(), &sealed, 4096 + 9).unwrap();
    let mut out = vec![0xee; 4096 + 9];
    assert!(opener.open_to(0, &sealed[HEADER_LEN..], &mut out).is_err());
    assert_eq!(out[..4096], [0x5a; 4096], "the chunk before is genuine");
    assert_eq!(out[4096..], [0; 9]);
    let body = &mut sealed[HEADER_LEN..];
    assert!(matches!(opener.open_run(0, body), Err(StreamError::Unsealable { chunk: 1 })));
    assert_eq!(body[4096 + TAG_LEN..4096 + TAG_LEN + 9], [0; 9]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn a_range_equals_the_slice_and_reads_only_the_chunks_that_cover_it(
        length in 0_u64..5 * 4096,
        start in 0_u64..6 * 4096,
        wanted in 0_u64..6 * 4096,
    ) {
        let plain = plain(length as usize);
        let sealed = stream::seal_all(&key(), &context(), spec(12), &plain, &random());
        let opener = Opener::new(&key(), &context(), &sealed[..HEADER_LEN], length).unwrap();
        prop_assert_eq!(opener.sealed_len(), sealed.len() as u64);

        let cover = opener.cover(start..start + wanted);
        let (from, to) = (start.min(length), (start + wanted).min(length));
        prop_assert_eq!(cover.take, to - from);
        let chunks_needed = if to > from { (to - 1) / 4096 - from / 4096 + 1 } else { 1 };
        prop_assert!(cover.sealed.end - cover.sealed.start <= chunks_needed * (4096 + TAG_LEN as u64));

        let mut run = sealed[cover.sealed.start as usize..cover.sealed.end as usize].to_vec();
        let mut apart = vec![0; run.len()];
        let opened_apart = opener.open_to(cover.first_chunk, &run, &mut apart).unwrap();
        let opened = opener.open_run(cover.first_chunk, &mut run).unwrap();
        prop_assert_eq!(&apart[..opened_apart], &run[..opened]);
        let range = cover.skip..cover.skip + cover.take as usize;
        prop_assert_eq!(&run[..opened][range], &plain[from as usize..to as usize]);
    }
}
