//! Changed, moved, replayed and foreign bytes are refused by name; mangled ones never panic.

use super::*;
use crate::log::{LogFault, outline};

/// A log of three segments with two batches each, closed.
fn closed(seed: u64) -> (SimDisk, Surroundings, Vec<Owned>) {
    let (disk, _, around) = simulated(seed);
    let mut log = Log::create(around.clone(), OPTIONS, 1).unwrap();
    let mut records = Vec::new();
    for segment in 0..3_u8 {
        if segment > 0 {
            log.rotate().unwrap();
        }
        for batch in 0..2_u8 {
            records.extend(append(&mut log, &[(1, &[segment, batch]), (2, b"same length")]));
            log.sync().unwrap();
        }
    }
    log.close_clean().unwrap();
    (disk, around, records)
}

/// Where the frames of a segment start, and the file's end.
fn frames(disk: &SimDisk, segment: u64) -> Vec<usize> {
    let bytes = disk.bytes(&segment_file(segment)).unwrap();
    let mut at = 140;
    let mut starts = vec![at];
    while at < bytes.len() {
        at += 108 + u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize;
        starts.push(at);
    }
    starts
}

#[test]
fn every_flipped_bit_and_every_cut_of_a_closed_log_is_refused() {
    let (disk, around, records) = closed(1);
    assert_eq!(scan(&around).unwrap().1, records);
    for segment in 1..=3 {
        let file = segment_file(segment);
        let whole = disk.bytes(&file).unwrap();
        for byte in 0..whole.len() {
            disk.flip(&file, byte * 8 + byte % 8);
            refused(&around);
            disk.put(&file, Some(whole.clone()));
        }
        for len in (0..whole.len()).rev() {
            disk.resize(&file, len);
            refused(&around);
        }
        disk.put(&file, Some(whole));
    }
    assert_eq!(scan(&around).unwrap().1, records);
}

#[test]
fn mangled_bytes_of_an_open_log_never_panic_and_never_change_what_is_read() {
    let (disk, _, around) = simulated(1);
    let mut log = Log::create(around.clone(), OPTIONS, 1).unwrap();
    let mark = disk.bytes(&mark_file());
    let records = append(&mut log, &[(1, b"one"), (2, b"two"), (1, b"three")]);
    disk.put(&mark_file(), mark);
    let whole = disk.bytes(&segment_file(1)).unwrap();
    let mut shorter = 0;
    for byte in 140..whole.len() {
        for bit in 0..8 {
            disk.flip(&segment_file(1), byte * 8 + bit);
            // Never synced, so the rest is a torn tail: what is read is a prefix.
            let (_, found) = scan(&around).unwrap();
            assert!(found.len() < records.len() && found == records[..found.len()], "byte {byte}");
            shorter += 1;
            outline(Arc::clone(&around.disk), &log_dir()).unwrap().for_each(|item| assert!(item.is_ok()));
            disk.put(&segment_file(1), Some(whole.clone()));
        }
    }
    assert_eq!(shorter, (whole.len() - 140) * 8);
    for len in 140..whole.len() {
        disk.resize(&segment_file(1), len);
        let (_, found) = scan(&around).unwrap();
        assert_eq!(found, records[..found.len()]);
    }
}

#[test]
fn a_length_from_the_disk_is_not_believed_before_it_is_authentic() {
    let (disk, _, around) = simulated(1);
    let mut log = Log::create(around.clone(), OPTIONS, 1).unwrap();
    append(&mut log, &[(1, b"one")]);
    log.close_clean().unwrap();
    let mut bytes = disk.bytes(&segment_file(1)).unwrap();
    for len in [u32::MAX, 8 << 20, 5, 0] {
        bytes[144..148].copy_from_slice(&len.to_le_bytes());
        disk.put(&segment_file(1), Some(bytes.clone()));
        assert!(matches!(refused(&around), LogError::Damage { fault: LogFault::Header, .. }), "length {len}");
    }
}

#[test]
fn frames_can_not_be_reordered_dropped_doubled_or_moved() {
    let (disk, around, _) = closed(1);
    let at = frames(&disk, 2);
    assert_eq!(at.len(), 5, "four frames");
    let file = segment_file(2);
    let whole = disk.bytes(&file).unwrap();
    let frame = |index: usize| &whole[at[index]..at[index + 1]];
    let other = disk.bytes(&segment_file(3)).unwrap();
    let from_other = &other[at[1]..at[2]];
    let orders: [Vec<&[u8]>; 6] = [
        vec![frame(0), frame(3), frame(2), frame(1)],
        vec![frame(0), frame(1), frame(0), frame(1)],
        vec![frame(0), frame(1), frame(2)],
        vec![frame(0), frame(2), frame(3)],
        vec![frame(0), frame(1), frame(2), frame(3), frame(3)],
        vec![frame(0), from_other, frame(2), frame(3)],
    ];
    for (index, order) in orders.iter().enumerate() {
        disk.put(&file, Some([&whole[..140], &order.concat()].concat()));
        let error = refused(&around);
        let expected = matches!(error, LogError::Damage { segment: SegmentId(2), .. })
            || (index == 4 && matches!(error, LogError::Extended { segment: SegmentId(2), .. }));
        assert!(expected, "order {index}: {error:?}");
    }
}

#[test]
fn segments_can_not_be_swapped_removed_or_renamed() {
    let (disk, around, _) = closed(1);
    let [one, two, three] = [1, 2, 3].map(|segment| disk.bytes(&segment_file(segment)).unwrap());
    disk.put(&segment_file(2), Some(three.clone()));
    let error = refused(&around);
    assert!(matches!(error, LogError::Misplaced { segment: SegmentId(2), found: SegmentId(3) }), "{error:?}");
    disk.put(&segment_file(2), None);
    assert!(matches!(refused(&around), LogError::MissingSegment { segment: SegmentId(2) }));
    disk.put(&segment_file(2), Some(two));
    disk.put(&segment_file(1), None);
    assert!(matches!(refused(&around), LogError::MissingSegment { segment: SegmentId(1) }));
    disk.put(&segment_file(1), Some(one));
    disk.put(&segment_file(3), None);
    assert!(matches!(refused(&around), LogError::MissingSegment { segment: SegmentId(3) }));
}

#[test]
fn a_segment_of_another_store_or_another_past_is_refused() {
    let (disk, around, _) = closed(1);
    let (_, elsewhere, _) = closed(2);
    let other_past = elsewhere.disk;
    let whole = disk.bytes(&segment_file(2)).unwrap();
    // The same store id and keys, but other salts: a fork of the store, or a restored copy that lived on.
    let file = other_past.open(&segment_file(2)).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_at(&mut bytes, 0).unwrap();
    disk.put(&segment_file(2), Some(bytes));
    let error = refused(&around);
    assert!(matches!(error, LogError::Unchained { segment: SegmentId(2) }), "{error:?}");
    let mut foreign = whole.clone();
    foreign[16] ^= 1;
    disk.put(&segment_file(2), Some(foreign));
    assert!(matches!(refused(&around), LogError::Foreign { segment: SegmentId(2) }));
    let mut newer = whole;
    newer[8] = 2;
    disk.put(&segment_file(2), Some(newer));
    assert!(matches!(refused(&around), LogError::TooNew { version: 2, .. }));
}

#[test]
fn older_content_of_a_segment_is_refused() {
    let (disk, _, around) = simulated(1);
    let mut log = Log::create(around.clone(), OPTIONS, 1).unwrap();
    append(&mut log, &[(1, b"one")]);
    log.sync().unwrap();
    let older = disk.bytes(&segment_file(1)).unwrap();
    append(&mut log, &[(1, b"two")]);
    log.sync().unwrap();
    let newer = disk.bytes(&segment_file(1)).unwrap();
    disk.kill();
    disk.put(&segment_file(1), Some(older.clone()));
    assert!(matches!(refused(&around), LogError::Damage { lsn: Lsn(2), fault: LogFault::Short, .. }));
    disk.put(&segment_file(1), Some(newer.clone()));
    let mut log = scan(&around).unwrap().0.finish().unwrap();
    append(&mut log, &[(1, b"three")]);
    log.sync().unwrap();
    disk.put(&segment_file(1), Some(older));
    assert!(matches!(refused(&around), LogError::Damage { segment: SegmentId(1), lsn: Lsn(2), .. }));
    disk.put(&segment_file(1), Some([newer, vec![0]].concat()));
    assert!(matches!(refused(&around), LogError::Extended { segment: SegmentId(1), .. }));
}

#[test]
fn a_tail_that_was_cut_can_not_be_put_back() {
    let (disk, _, around) = simulated(1);
    let mut log = Log::create(around.clone(), OPTIONS, 1).unwrap();
    append(&mut log, &[(1, b"one")]);
    log.sync().unwrap();
    append(&mut log, &[(1, b"torn")]);
    let with_tail = disk.bytes(&segment_file(1)).unwrap();
    disk.kill();
    disk.resize(&segment_file(1), with_tail.len() - 1);
    let (scanned, records) = scan(&around).unwrap();
    assert_eq!(records.len(), 1);
    assert!(scanned.cut_bytes() > 100);
    scanned.finish().unwrap();
    disk.put(&segment_file(1), Some(with_tail));
    assert!(matches!(refused(&around), LogError::Extended { segment: SegmentId(1), .. }));
}
