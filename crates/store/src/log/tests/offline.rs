//! Reading with fewer keys than the log was written with, or with none.

use super::*;
use crate::log::{ChainBreak, LogFault, OutlineItem, outline};

#[test]
fn records_of_a_forgotten_group_are_passed_over() {
    let (_, keys, around) = simulated(1);
    let mut log = Log::create(around.clone(), OPTIONS, 1).unwrap();
    let records = append(&mut log, &[(1, b"a"), (2, b"gone"), (2, b"gone too"), (1, b"b"), (2, b"last")]);
    log.sync().unwrap();
    log.close_clean().unwrap();
    keys.set(2, None);
    let (scanned, found) = scan(&around).unwrap();
    assert_eq!(found, [records[0].clone(), records[3].clone()]);
    assert_eq!((scanned.records(), scanned.skipped(), scanned.last()), (2, 3, Lsn(5)));
    let mut log = scanned.finish().unwrap();
    assert_eq!(append(&mut log, &[(1, b"c")])[0].0, 6, "their LSNs are not used again");
}

#[test]
fn a_frame_can_not_be_made_to_look_like_one_of_a_forgotten_group() {
    let (disk, keys, around) = simulated(1);
    let mut log = Log::create(around.clone(), OPTIONS, 1).unwrap();
    append(&mut log, &[(1, b"acknowledged")]);
    log.close_clean().unwrap();
    keys.set(2, None);
    let mut bytes = disk.bytes(&segment_file(1)).unwrap();
    bytes[140 + 8] = 2; // the frame's group
    disk.put(&segment_file(1), Some(bytes));
    assert!(matches!(refused(&around), LogError::Damage { lsn: Lsn(1), fault: LogFault::Header, .. }));
}

#[test]
fn a_key_that_nobody_knows_is_not_a_forgotten_one() {
    let (_, keys, around) = simulated(1);
    let mut log = Log::create(around.clone(), OPTIONS, 1).unwrap();
    append(&mut log, &[(2, b"needs its key")]);
    log.close_clean().unwrap();
    keys.groups.lock().unwrap().remove(&GroupId(2));
    assert!(matches!(refused(&around), LogError::Key(LogKeyError::Unknown { group: GroupId(2), .. })));
}

#[test]
fn a_key_that_travels_in_the_log_is_learned_before_it_is_needed() {
    let (_, keys, around) = simulated(1);
    let mut log = Log::create(around.clone(), OPTIONS, 1).unwrap();
    keys.set(9, Some(1));
    let records = append(&mut log, &[(0, b"create group 9"), (9, b"its first row")]);
    log.sync().unwrap();
    keys.groups.lock().unwrap().remove(&GroupId(9));
    let mut found = Vec::new();
    Scanned::scan(around, OPTIONS, |record| {
        if record.payload == b"create group 9" {
            keys.set(9, Some(1));
        }
        found.push(owned(record));
        Ok::<_, LogError>(())
    })
    .unwrap();
    assert_eq!(found, records);
}

#[test]
fn records_under_older_keys_stay_readable_after_a_rotation() {
    let (_, keys, around) = simulated(1);
    let mut log = Log::create(around.clone(), OPTIONS, 1).unwrap();
    let mut records = append(&mut log, &[(1, b"old key")]);
    keys.set(0, Some(2));
    keys.set(1, Some(2));
    records.extend(append(&mut log, &[(1, b"still the old key")]));
    log.rotate().unwrap();
    records.extend(append(&mut log, &[(1, b"new key"), (0, b"new key")]));
    log.sync().unwrap();
    assert_eq!(scan(&around).unwrap().1, records);
    let ids: Vec<u32> = outline(Arc::clone(&around.disk), &log_dir())
        .unwrap()
        .filter_map(|item| match item.unwrap() {
            OutlineItem::Frame { key_id, .. } => Some(key_id),
            _ => None,
        })
        .collect();
    assert_eq!(ids, [1, 1, 2, 2]);
}

#[test]
fn without_keys_the_outline_shows_places_and_lengths_only() {
    let (disk, _, around) = simulated(1);
    let mut log = Log::create(around.clone(), OPTIONS, 1).unwrap();
    append(&mut log, &[(1, b"canary-one"), (1, b"canary-two"), (3, b"canary-three")]);
    log.rotate().unwrap();
    log.append_checkpoint(b"canary-four").unwrap();
    log.sync().unwrap();
    let torn = [disk.bytes(&segment_file(2)).unwrap(), vec![1; 5]].concat();
    disk.put(&segment_file(2), Some(torn));
    let items: Vec<_> =
        outline(Arc::clone(&around.disk), &log_dir()).unwrap().map(|item| item.unwrap()).collect();
    let frame = |segment, offset, first, count, group, sealed_len| OutlineItem::Frame {
        segment: SegmentId(segment),
        offset,
        first: Lsn(first),
        count,
        group: GroupId(group),
        key_id: 1,
        sealed_len,
    };
    let start = |segment, base, len| OutlineItem::Segment {
        segment: SegmentId(segment),
        base: Lsn(base),
        key_id: 1,
        len,
    };
    let expected = [
        start(1, 1, 140 + 108 + 29 + 108 + 17),
        frame(1, 140, 1, 2, 1, 29),
        frame(1, 277, 3, 1, 3, 17),
        start(2, 4, 140 + 108 + 16 + 5),
        frame(2, 140, 4, 1, 0, 16),
        OutlineItem::Tail { segment: SegmentId(2), offset: 264, len: 5, newest: true },
    ];
    assert_eq!(items, expected);
    for path in disk.files() {
        let bytes = disk.bytes(&path).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"canary"), "{path:?} shows a record");
    }
}

fn items_of(around: &Surroundings) -> Vec<OutlineItem> {
    outline(Arc::clone(&around.disk), &log_dir()).unwrap().map(|item| item.unwrap()).collect()
}

fn breaks(items: &[OutlineItem]) -> Vec<(u64, u64, ChainBreak)> {
    let broken = |item: &OutlineItem| match item {
        OutlineItem::Break { segment, offset, what } => Some((segment.0, *offset, *what)),
        _ => None,
    };
    items.iter().filter_map(broken).collect()
}

#[test]
fn without_keys_gaps_and_broken_chains_are_seen_and_what_follows_is_listed() {
    let (disk, _, around) = simulated(1);
    let mut log = Log::create(around.clone(), OPTIONS, 1).unwrap();
    for payload in [b"one", b"two", b"six"] {
        append(&mut log, &[(1, payload)]);
    }
    log.rotate().unwrap();
    append(&mut log, &[(1, b"ten")]);
    log.sync().unwrap();
    assert_eq!(breaks(&items_of(&around)), []);
    let frame = 108 + 8;
    let good = disk.bytes(&segment_file(1)).unwrap();

    // The second frame is no frame any more.
    let mut bytes = good.clone();
    bytes[140 + frame] ^= 1;
    disk.put(&segment_file(1), Some(bytes));
    let items = items_of(&around);
    let gap = OutlineItem::Gap { segment: SegmentId(1), offset: 140 + frame as u64, len: frame as u64 };
    assert!(items.contains(&gap), "{items:?}");
    assert_eq!(breaks(&items), [(1, 140 + 2 * frame as u64, ChainBreak::Frame)]);

    // It is gone, as if it had never been.
    let mut bytes = good.clone();
    bytes.drain(140 + frame..140 + 2 * frame);
    disk.put(&segment_file(1), Some(bytes));
    assert_eq!(
        breaks(&items_of(&around)),
        [(1, 140 + frame as u64, ChainBreak::Frame), (2, 0, ChainBreak::Segment)]
    );

    disk.put(&segment_file(1), None);
    assert_eq!(breaks(&items_of(&around)), [], "what was released is not missed");
}
