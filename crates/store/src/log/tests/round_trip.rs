//! What is appended comes back.

use std::sync::Arc;

use super::*;
use crate::disk::OsDisk;
use crate::log::{LOG_AHEAD, LogFault, OutlineItem, outline};
use crate::sim::Call;

#[test]
fn records_come_back_in_order_over_segments_and_openings() {
    let dir = tempfile::tempdir().unwrap();
    let keys = Keys::with(0..4);
    let around = around(Arc::new(OsDisk), &dir.path().join("log"), keys, 1);
    let mut log = Log::create(around.clone(), OPTIONS, 1).unwrap();
    let mut expected = Vec::new();
    for opening in 0..3_u8 {
        for round in 0..20_u8 {
            let payload = vec![round; usize::from(round) * 20];
            expected.extend(append(&mut log, &[(1, &payload), (1, b"one"), (2, b""), (0, &[opening])]));
            assert_eq!(log.sync().unwrap(), Lsn(expected.len() as u64));
        }
        let lsn = log.append_checkpoint(&[opening; 9]).unwrap();
        expected.push((lsn.0, 0, Kind::Checkpoint, vec![opening; 9]));
        log.close_clean().unwrap();
        let (scanned, records) = scan(&around).unwrap();
        assert_eq!(records, expected);
        assert!(scanned.clean());
        assert_eq!(scanned.cut_bytes(), 0);
        assert_eq!(scanned.checkpoint().unwrap().payload, [opening; 9]);
        let mut again = Vec::new();
        scanned
            .replay(
                Lsn(30),
                |_| true,
                |record| {
                    again.push(owned(record));
                    Ok::<_, LogError>(())
                },
            )
            .unwrap();
        assert_eq!(again, expected[29..]);
        log = scanned.finish().unwrap();
    }
    assert!(log.segment().0 > 6, "several segments were needed");
}

#[test]
fn a_replay_opens_only_what_it_shows() {
    let (disk, _, around) = simulated(3);
    let mut log = Log::create(around.clone(), OPTIONS, 1).unwrap();
    let mut records = Vec::new();
    for round in 0..200_u8 {
        records.extend(append(&mut log, &[(1, &[round; 300]), (2, b"two")]));
    }
    log.close_clean().unwrap();
    let (scanned, _) = scan(&around).unwrap();
    let shown = |from: u64, wanted: fn(GroupId) -> bool| {
        let before = disk.calls(Call::Read);
        let mut shown = Vec::new();
        let visit = |record: Record<'_>| {
            shown.push(owned(record));
            Ok::<_, LogError>(())
        };
        scanned.replay(Lsn(from), wanted, visit).unwrap();
        (shown, disk.calls(Call::Read) - before)
    };
    let (all, of_all) = shown(1, |_| true);
    assert_eq!(all, records);
    let (second, of_second) = shown(1, |group| group == GroupId(2));
    assert!(second.iter().eq(records.iter().filter(|record| record.1 == 2)));
    assert!(
        of_second + 200 <= of_all,
        "{of_second} reads and {of_all}: the other group's bodies are passed over"
    );
    let (late, of_late) = shown(397, |_| true);
    assert_eq!(late, records[396..]);
    assert!(of_late * 10 < of_all, "{of_late} reads and {of_all}: earlier segments are passed over");
    let (none, of_none) = shown(401, |_| true);
    assert_eq!((none.len(), of_none), (0, 0));
}

#[test]
fn runs_that_are_too_long_for_a_frame_are_split() {
    let (_, _, around) = simulated(1);
    let mut log = Log::create(around.clone(), OPTIONS, 1).unwrap();
    let mut records = append(&mut log, &vec![(1, &b""[..]); 70_000]);
    let half = vec![1; 600 << 10];
    records.extend(append(&mut log, &[(1, &half), (1, &half), (1, b"x"), (1, &half)]));
    log.close_clean().unwrap();
    let counts: Vec<u16> = outline(Arc::clone(&around.disk), &log_dir())
        .unwrap()
        .filter_map(|item| match item.unwrap() {
            OutlineItem::Frame { count, .. } => Some(count),
            _ => None,
        })
        .collect();
    assert_eq!(counts, [65_535, 4465, 1, 2, 1]);
    assert!(scan(&around).unwrap().1 == records);
}

#[test]
fn a_later_batch_far_behind_still_proves_damage() {
    let (disk, _, around) = simulated(1);
    let mut log = Log::create(around.clone(), OPTIONS, 1).unwrap();
    let mark = disk.bytes(&mark_file());
    append(&mut log, &[(1, &vec![1; 3 << 20])]);
    log.sync().unwrap();
    disk.put(&mark_file(), mark);
    append(&mut log, &[(1, &vec![2; 1 << 20])]); // fills the segment, so this starts another
    let (scanned, records) = scan(&around).unwrap();
    assert_eq!((records.len(), scanned.last()), (2, Lsn(2)));
    drop(scanned);
    drop(log);
    // In one segment: only the frame behind 3 MiB of body says that the first was synced.
    let (disk, _, around) = simulated(2);
    let options = LogOptions { segment_bytes: 64 << 20, ahead: LOG_AHEAD };
    let mut log = Log::create(around.clone(), options, 1).unwrap();
    let mark = disk.bytes(&mark_file());
    append(&mut log, &[(1, &vec![1; 3 << 20])]);
    log.sync().unwrap();
    append(&mut log, &[(1, b"later")]);
    disk.put(&mark_file(), mark);
    disk.flip(&segment_file(1), 1000 * 8);
    assert!(matches!(refused(&around), LogError::Damage { lsn: Lsn(1), fault: LogFault::Sealed, .. }));
    disk.flip(&segment_file(1), 140 * 8);
    assert!(matches!(refused(&around), LogError::Damage { lsn: Lsn(1), fault: LogFault::Header, .. }));
}
