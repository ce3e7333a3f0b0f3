//! Bytes and their meaning, without files.

use strongroom_seal::detached::Mark as Seal;

use super::*;
use crate::log::LogFault;
use crate::log::format::{
    self, BODY_LEN_MAX, FrameHeader, Link, Previous, SegmentHeader, SegmentHeaderFault,
};

const SEAL: Seal = Seal { nonce: [3; 12], tag: [4; 16] };

fn frame() -> FrameHeader {
    FrameHeader {
        body_len: 77,
        group: GroupId(5),
        key_id: 6,
        first: Lsn(7),
        durable: 8,
        count: 9,
        body: Seal { nonce: [1; 12], tag: [2; 16] },
        previous: Link([5; 16]),
    }
}

#[test]
fn frame_headers_come_back_and_every_field_is_covered() {
    let bytes = FrameHeader::encode(&frame().covered(), &SEAL);
    assert_eq!(FrameHeader::decode(&bytes), Some((frame(), SEAL)));
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes;
        changed[bit / 8] ^= 1 << (bit % 8);
        let Some((header, seal)) = FrameHeader::decode(&changed) else { continue };
        let covered = header.covered() != frame().covered();
        assert!(covered != (seal != SEAL), "bit {bit} is in the covered part or in the seal");
        assert_eq!(FrameHeader::encode(&header.covered(), &seal), changed, "one encoding per value");
    }
}

#[test]
fn frame_headers_outside_the_limits_are_none() {
    for body_len in [0, 4, u32::try_from(BODY_LEN_MAX).unwrap() + 1, u32::MAX] {
        let header = FrameHeader { body_len, ..frame() };
        assert_eq!(FrameHeader::decode(&FrameHeader::encode(&header.covered(), &SEAL)), None);
    }
    for header in [FrameHeader { count: 0, ..frame() }, FrameHeader { first: Lsn(0), ..frame() }] {
        assert_eq!(FrameHeader::decode(&FrameHeader::encode(&header.covered(), &SEAL)), None);
    }
    let mut reserved = FrameHeader::encode(&frame().covered(), &SEAL);
    reserved[34] = 1;
    assert_eq!(FrameHeader::decode(&reserved), None);
}

#[test]
fn segment_headers_come_back_and_newer_ones_are_named() {
    let header = SegmentHeader {
        key_id: 1,
        store: [2; 16],
        segment: SegmentId(3),
        base: Lsn(4),
        salt: [5; 32],
        previous: Previous { segment: 2, end: 999, link: Link([6; 16]) },
    };
    let bytes = SegmentHeader::encode(&header.covered(), &SEAL);
    assert_eq!(SegmentHeader::decode(&bytes), Ok((header, SEAL)));
    let changed = |at: usize, to: u8| {
        let mut changed = bytes;
        changed[at] = to;
        SegmentHeader::decode(&changed).unwrap_err()
    };
    assert_eq!(changed(8, 2), SegmentHeaderFault::TooNew(2));
    assert_eq!(changed(8, 0), SegmentHeaderFault::NotOne);
    assert_eq!(changed(0, 0), SegmentHeaderFault::NotOne);
    assert_eq!(changed(10, 1), SegmentHeaderFault::NotOne);
}

#[test]
fn malformed_bodies_give_no_record_at_all() {
    let good = [&[1][..], &2_u32.to_le_bytes(), b"ab", &0_u32.to_le_bytes()].concat();
    let (kind, payloads) = format::body(&good, 2).unwrap();
    assert_eq!((kind, payloads.collect::<Vec<_>>()), (Kind::Command, vec![&b"ab"[..], b""]));
    let fault = |bytes: &[u8], count| format::body(bytes, count).map(|_| ()).unwrap_err();
    assert_eq!(fault(&good, 1), LogFault::Body, "bytes after the last record");
    assert_eq!(fault(&good, 3), LogFault::Body, "fewer records than the header says");
    assert_eq!(fault(&[], 1), LogFault::Body);
    for kind in [0, 3, 255] {
        assert_eq!(fault(&[&[kind], &good[1..]].concat(), 2), LogFault::Body, "kind {kind}");
    }
    for len in [3, u32::MAX] {
        let lying = [&[1][..], &len.to_le_bytes(), b"ab", &0_u32.to_le_bytes()].concat();
        assert_eq!(fault(&lying, 2), LogFault::Body, "length {len}");
    }
}

#[test]
fn only_canonical_names_are_segments() {
    assert_eq!(SegmentId::from_file_name("00000000000000ff.log"), Some(SegmentId(255)));
    for name in ["00000000000000FF.log", "ff.log", "+0000000000000ff.log", "00000000000000ff.log.new", "mark"]
    {
        assert_eq!(SegmentId::from_file_name(name), None, "{name}");
    }
}
