//! The mark: what it proves, and what happens without it.

use super::*;
use crate::log::LogFault;
use crate::sim::Call;

/// A log with two synced batches, the second of them the last thing in it; not closed.
fn two_batches() -> (SimDisk, Surroundings, Vec<Owned>) {
    let (disk, _, around) = simulated(1);
    let mut log = Log::create(around.clone(), OPTIONS, 3).unwrap();
    let mut records = append(&mut log, &[(1, b"first")]);
    log.sync().unwrap();
    records.extend(append(&mut log, &[(1, b"second")]));
    log.sync().unwrap();
    (disk, around, records)
}

/// Both marks as they were before and after `step`.
fn put_back(disk: &SimDisk, older: &[u8]) {
    disk.put(&mark_file(), Some(older.to_vec()));
}

#[test]
fn after_a_kill_the_mark_proves_damage_of_the_last_acknowledged_frame() {
    let (disk, around, records) = two_batches();
    disk.kill();
    assert_eq!(scan(&around).unwrap().1, records);
    let end = disk.bytes(&segment_file(1)).unwrap().len();
    disk.flip(&segment_file(1), (end - 1) * 8);
    let error = refused(&around);
    let LogError::Damage { segment: SegmentId(1), lsn: Lsn(2), fault: LogFault::Sealed, .. } = error else {
        panic!("{error:?}")
    };
    disk.resize(&segment_file(1), end - 10);
    assert!(matches!(refused(&around), LogError::Damage { lsn: Lsn(2), fault: LogFault::Short, .. }));
}

#[test]
fn with_an_old_mark_a_later_batch_proves_damage_of_an_earlier_one() {
    let (disk, _, around) = simulated(1);
    let mut log = Log::create(around.clone(), OPTIONS, 1).unwrap();
    let mark = disk.bytes(&mark_file()).unwrap();
    for payload in [b"a", b"b", b"c"] {
        append(&mut log, &[(1, payload)]);
        log.sync().unwrap();
    }
    let whole = disk.bytes(&segment_file(1)).unwrap();
    put_back(&disk, &mark);
    assert_eq!(scan(&around).unwrap().1.len(), 3, "an old mark is true, too");
    let frame = (whole.len() - 140) / 3;
    for byte in 140..140 + 2 * frame {
        disk.flip(&segment_file(1), byte * 8);
        let error = refused(&around);
        let expected = if byte < 140 + frame { Lsn(1) } else { Lsn(2) };
        assert!(matches!(error, LogError::Damage { lsn, .. } if lsn == expected), "byte {byte}: {error:?}");
        disk.put(&segment_file(1), Some(whole.clone()));
    }
    // The last batch is the documented limit: without its mark it can not be told from a torn write.
    disk.flip(&segment_file(1), (whole.len() - 1) * 8);
    let (scanned, records) = scan(&around).unwrap();
    assert_eq!((records.len(), scanned.cut_bytes()), (2, frame as u64));
}

#[test]
fn a_missing_or_damaged_mark_is_an_error_and_nothing_is_made_anew() {
    let (disk, around, _) = two_batches();
    let mark = disk.bytes(&mark_file()).unwrap();
    for byte in (0..600).chain(4096..4700).chain([8191]) {
        disk.flip(&mark_file(), byte * 8 + 3);
        let error = refused(&around);
        let expected = matches!(error, LogError::DamagedMark { .. } | LogError::TooNew { .. });
        assert!(expected, "byte {byte}: {error:?}");
        disk.put(&mark_file(), Some(mark.clone()));
    }
    for len in [0, 1, 512, 4096, 8191, 8193] {
        disk.resize(&mark_file(), len);
        assert!(matches!(refused(&around), LogError::DamagedMark { .. }), "length {len}");
        disk.put(&mark_file(), Some(mark.clone()));
    }
    let mut swapped = mark.clone();
    swapped.rotate_left(4096);
    disk.put(&mark_file(), Some(swapped));
    assert!(
        matches!(refused(&around), LogError::DamagedMark { .. }),
        "slots do not open in each other's place"
    );
    disk.put(&mark_file(), None);
    assert!(matches!(refused(&around), LogError::MissingMark { .. }));
    assert!(matches!(Log::create(around, OPTIONS, 1), Err(LogError::Exists { .. })));
    assert!(disk.bytes(&mark_file()).is_none());
}

#[test]
fn the_mark_is_written_with_each_sync_and_synced_only_when_it_must_be() {
    let (disk, _, around) = simulated(1);
    let mut log = Log::create(around, OPTIONS, 1).unwrap();
    let before = (disk.calls(Call::Sync), disk.calls(Call::Write));
    for _ in 0..10 {
        append(&mut log, &[(1, b"x"), (2, b"y"), (1, b"z")]);
        log.sync().unwrap();
        log.sync().unwrap(); // nothing to do
    }
    assert_eq!(disk.calls(Call::Sync), before.0 + 10, "one per batch");
    assert_eq!(disk.calls(Call::Write), before.1 + 20, "the batch in one write, and the mark");
}

#[test]
fn the_keyring_generation_is_durable_at_once_and_stays() {
    let (disk, around, _) = two_batches();
    assert_eq!(scan(&around).unwrap().0.keyring_generation(), 3);
    disk.kill();
    let mut log = scan(&around).unwrap().0.finish().unwrap();
    append(&mut log, &[(1, b"in flight")]);
    log.keyring_changed(4).unwrap();
    disk.cut_power();
    let mut log = scan(&around).unwrap().0.finish().unwrap();
    log.rotate().unwrap();
    log.close_clean().unwrap();
    assert_eq!(scan(&around).unwrap().0.keyring_generation(), 4);
}

#[test]
fn after_a_clean_close_every_missing_or_added_byte_is_an_error() {
    let (disk, around, _) = two_batches();
    disk.kill();
    let mut log = scan(&around).unwrap().0.finish().unwrap();
    append(&mut log, &[(1, b"third")]);
    log.close_clean().unwrap();
    let file = segment_file(2);
    let whole = disk.bytes(&file).unwrap();
    for len in 0..whole.len() {
        disk.resize(&file, len);
        assert!(matches!(refused(&around), LogError::Damage { segment: SegmentId(2), .. }), "length {len}");
        disk.put(&file, Some(whole.clone()));
    }
    disk.resize(&file, whole.len() + 1);
    assert!(matches!(refused(&around), LogError::Extended { segment: SegmentId(2), .. }));
    disk.put(&file, None);
    assert!(matches!(refused(&around), LogError::MissingSegment { segment: SegmentId(2) }));
    disk.put(&file, Some(whole));
    disk.put(&segment_file(3), disk.bytes(&file));
    assert!(matches!(refused(&around), LogError::AfterClose { segment: SegmentId(3) }));
    disk.put(&segment_file(3), None);
    assert_eq!(scan(&around).unwrap().1.len(), 3);
}

#[test]
fn opening_again_clears_the_clean_mark_before_anything_is_written() {
    let (disk, _, around) = simulated(5);
    Log::create(around.clone(), OPTIONS, 1).unwrap().close_clean().unwrap();
    for calls in 0..16 {
        let (scanned, _) = scan(&around).unwrap();
        disk.cut_power_after(calls);
        let opened = scanned.finish();
        if let Ok(mut log) = opened {
            let entry = Entry { lsn: log.next_lsn(), group: GroupId(1), payload: b"acknowledged?" };
            let _ = log.append(&[entry]).and_then(|()| log.sync());
        }
        disk.cut_power();
    }
    assert!(!scan(&around).unwrap().0.clean());
}

#[test]
fn a_mark_of_another_moment_that_contradicts_the_log_is_refused() {
    let (disk, _, around) = simulated(1);
    let mut log = Log::create(around.clone(), OPTIONS, 1).unwrap();
    append(&mut log, &[(1, b"common")]);
    log.sync().unwrap();
    drop(log);
    let snapshot = disk.snapshot();
    // Two futures of one log: the files of one with the mark of the other.
    let mut marks = Vec::new();
    for payload in [&b"one future"[..], b"another"] {
        disk.restore(&snapshot);
        let mut log = scan(&around).unwrap().0.finish().unwrap();
        append(&mut log, &[(1, payload), (1, payload)]);
        log.sync().unwrap();
        marks.push(disk.bytes(&mark_file()).unwrap());
    }
    assert_eq!(scan(&around).unwrap().1.len(), 3);
    put_back(&disk, &marks[0]);
    assert!(matches!(refused(&around), LogError::Damage { segment: SegmentId(2), .. }));
}

#[test]
fn released_segments_are_gone_and_the_rest_is_read() {
    let (disk, _, around) = simulated(1);
    let mut log = Log::create(around.clone(), OPTIONS, 1).unwrap();
    append(&mut log, &[(1, b"old")]);
    let kept = log.rotate().unwrap();
    let records = append(&mut log, &[(1, b"kept")]);
    log.sync().unwrap();
    let old = disk.bytes(&segment_file(1));
    log.release_before(kept).unwrap();
    log.release_before(kept).unwrap();
    assert!(disk.bytes(&segment_file(1)).is_none());
    assert_eq!(scan(&around).unwrap().1, records);
    // A segment that comes back is a leftover: not read, and removed.
    disk.put(&segment_file(1), old);
    let (scanned, found) = scan(&around).unwrap();
    assert_eq!(found, records);
    scanned.finish().unwrap();
    assert!(disk.bytes(&segment_file(1)).is_none());
}
