//! Zeros ahead of the frames.

use super::*;
use crate::log::{LOG_AHEAD, OutlineItem, outline};
use crate::sim::{Call, Survival, Trouble};

const AHEAD: LogOptions = LogOptions { segment_bytes: 1 << 20, ahead: LOG_AHEAD };

fn len(disk: &SimDisk, segment: u64) -> usize {
    disk.bytes(&segment_file(segment)).unwrap().len()
}

fn tails(around: &Surroundings) -> Vec<u64> {
    let items = outline(Arc::clone(&around.disk), &log_dir()).unwrap();
    let tail = |item| match item {
        OutlineItem::Tail { len, .. } => Some(len),
        _ => None,
    };
    items.filter_map(|item| tail(item.unwrap())).collect()
}

#[test]
fn small_batches_do_not_change_the_files_length() {
    let (disk, _, around) = simulated(1);
    let mut log = Log::create(around.clone(), AHEAD, 1).unwrap();
    let mut expected = append(&mut log, &[(1, b"first")]);
    log.sync().unwrap();
    let first = len(&disk, 1);
    for _ in 0..100 {
        expected.extend(append(&mut log, &[(1, b"small"), (2, b"smaller")]));
        log.sync().unwrap();
        assert_eq!(len(&disk, 1), first);
    }
    // As long as a process lives, and when it is killed.
    for _ in 0..2 {
        let (scanned, records) = scan(&around).unwrap();
        assert_eq!((records, scanned.cut_bytes()), (expected.clone(), 0));
        assert!(tails(&around).is_empty());
        disk.kill();
    }
}

#[test]
fn a_segment_that_ends_has_no_zeros() {
    let (disk, _, around) = simulated(2);
    let mut log = Log::create(around.clone(), AHEAD, 1).unwrap();
    let mut expected = append(&mut log, &[(1, b"one")]);
    log.rotate().unwrap();
    let frame = 108 + 1 + 4 + 3;
    assert_eq!(len(&disk, 1), 140 + frame);
    expected.extend(append(&mut log, &[(1, b"two")]));
    log.close_clean().unwrap();
    assert_eq!(len(&disk, 2), 140 + frame);
    let (scanned, records) = scan(&around).unwrap();
    assert_eq!(records, expected);
    scanned.finish().unwrap();
    // What an opening found is ended, too.
    let (disk, _, around) = simulated(3);
    let mut log = Log::create(around.clone(), AHEAD, 1).unwrap();
    let expected = append(&mut log, &[(1, b"one")]);
    log.sync().unwrap();
    disk.kill();
    scan(&around).unwrap().0.finish().unwrap();
    assert_eq!(len(&disk, 1), 140 + frame);
    assert_eq!(scan(&around).unwrap().1, expected);
}

#[test]
fn a_torn_frame_before_zeros_is_cut_and_counted_without_them() {
    let (disk, _, around) = simulated(4);
    let mut log = Log::create(around.clone(), AHEAD, 1).unwrap();
    let expected = append(&mut log, &[(1, b"whole")]);
    log.sync().unwrap();
    let end = 140 + 108 + 1 + 4 + 5;
    append(&mut log, &[(1, b"torn")]);
    disk.kill();
    for written in [1, 20, 107, 109] {
        let mut bytes = disk.bytes(&segment_file(1)).unwrap();
        bytes[end + written - 1] = 1;
        bytes[end + written..].fill(0);
        disk.put(&segment_file(1), Some(bytes));
        let (scanned, records) = scan(&around).unwrap();
        assert_eq!((records, scanned.cut_bytes()), (expected.clone(), written as u64));
        assert_eq!(tails(&around), [written as u64]);
    }
}

#[test]
fn an_acknowledged_frame_that_became_zeros_is_damage() {
    let (disk, _, around) = simulated(5);
    let mut log = Log::create(around.clone(), AHEAD, 1).unwrap();
    for payload in [b"one", b"two"] {
        append(&mut log, &[(1, payload)]);
        log.sync().unwrap();
    }
    disk.kill();
    let end = 140 + 108 + 1 + 4 + 3;
    let mut bytes = disk.bytes(&segment_file(1)).unwrap();
    bytes[end..].fill(0);
    disk.put(&segment_file(1), Some(bytes));
    assert!(matches!(refused(&around), LogError::Damage { lsn: Lsn(2), .. }));
}

#[test]
fn without_space_for_zeros_the_log_goes_on_without_them() {
    let (disk, _, around) = simulated(6);
    let mut log = Log::create(around.clone(), AHEAD, 1).unwrap();
    let blocks: usize = disk.files().iter().map(|path| disk.written_blocks(path).len()).sum();
    disk.limit(Some((blocks as u64 + 3) * 4096));
    let mut expected = Vec::new();
    for _ in 0..20 {
        expected.extend(append(&mut log, &[(1, b"small")]));
        log.sync().unwrap();
    }
    disk.cut_power();
    assert_eq!(scan(&around).unwrap().1, expected);
}

#[test]
fn large_batches_are_written_once() {
    let (disk, _, around) = simulated(7);
    let mut log = Log::create(around, AHEAD, 1).unwrap();
    append(&mut log, &[(1, &[7; LOG_AHEAD])]);
    assert_eq!(len(&disk, 1), 140 + 108 + 1 + 4 + LOG_AHEAD);
}

#[test]
fn a_cut_that_a_failed_sync_lost_is_made_again_by_the_opening() {
    let (disk, _, around) = simulated(8);
    let mut log = Log::create(around.clone(), AHEAD, 1).unwrap();
    let mut expected = append(&mut log, &[(1, b"one")]);
    log.sync().unwrap();
    let error = std::io::ErrorKind::Other;
    disk.plan(Trouble { call: Some(Call::Sync), after: 0, error, lasting: false });
    log.rotate().unwrap_err();
    // The caches have the cut, and the disk may not.
    disk.kill();
    disk.heal();
    let mut log = scan(&around).unwrap().0.finish().unwrap();
    expected.extend(append(&mut log, &[(2, b"two")]));
    log.sync().unwrap();
    disk.cut_power_keeping(Survival::Nothing);
    assert_eq!(scan(&around).unwrap().1, expected);
}
