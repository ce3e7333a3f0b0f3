//! Writes and syncs that fail.

use std::io;

use super::*;
use crate::log::WriteError;
use crate::sim::{Call, Survival, Trouble};

#[test]
fn a_full_disk_refuses_the_batch_and_the_log_goes_on_when_there_is_space() {
    let (disk, _, around) = simulated(1);
    let mut log = Log::create(around.clone(), OPTIONS, 1).unwrap();
    let mut expected = append(&mut log, &[(1, b"before")]);
    log.sync().unwrap();
    let blocks: usize = disk.files().iter().map(|path| disk.written_blocks(path).len()).sum();
    // What is left of the segment's last block, and no other.
    disk.limit(Some(blocks as u64 * 4096));
    let next = log.next_lsn();
    let entry = Entry { lsn: next, group: GroupId(1), payload: &[1; 4000] };
    let error = log.append(&[entry]).unwrap_err();
    assert!(
        matches!(&error, WriteError::NotWritten { source } if source.kind() == io::ErrorKind::StorageFull)
    );
    assert_eq!(log.next_lsn(), next);
    expected.extend(append(&mut log, &[(2, b"this fits")]));
    log.sync().unwrap();
    disk.limit(None);
    expected.extend(append(&mut log, &[(1, &[1; 4000])]));
    log.sync().unwrap();
    disk.cut_power();
    assert_eq!(scan(&around).unwrap().1, expected);
}

#[test]
fn no_space_for_a_new_segment_leaves_the_old_one_usable() {
    let (disk, _, around) = simulated(1);
    let mut log = Log::create(around.clone(), OPTIONS, 1).unwrap();
    let mut expected = append(&mut log, &[(1, b"before")]);
    disk.limit(Some(0));
    assert!(matches!(log.rotate(), Err(WriteError::NotWritten { .. })));
    disk.limit(None);
    expected.extend(append(&mut log, &[(1, b"after")]));
    log.rotate().unwrap();
    log.close_clean().unwrap();
    assert_eq!(scan(&around).unwrap().1, expected);
}

/// The next writes but `after` find no space.
fn no_space_after(disk: &SimDisk, after: u64, lasting: bool) {
    disk.plan(Trouble { call: Some(Call::Write), after, error: io::ErrorKind::StorageFull, lasting });
}

/// Under which of the system group's keys the two places of the mark are.
fn mark_keys(disk: &SimDisk) -> [u32; 2] {
    let bytes = disk.bytes(&mark_file()).unwrap();
    [12, 4096 + 12].map(|at| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()))
}

#[test]
fn a_mark_without_space_comes_with_the_next_sync_and_is_durable_then() {
    let (disk, _, around) = simulated(1);
    let mut log = Log::create(around.clone(), OPTIONS, 1).unwrap();
    let before = disk.bytes(&mark_file());
    let mut expected = append(&mut log, &[(1, b"acknowledged")]);
    no_space_after(&disk, 0, true);
    log.sync().unwrap();
    log.keyring_changed(7).unwrap();
    assert_eq!(disk.bytes(&mark_file()), before);
    disk.heal();
    expected.extend(append(&mut log, &[(1, b"the next")]));
    log.sync().unwrap();
    assert!(log.poison().is_none());
    disk.cut_power_keeping(Survival::Nothing);
    let (scanned, records) = scan(&around).unwrap();
    assert_eq!((records, scanned.keyring_generation()), (expected, 7));
    assert_ne!(disk.bytes(&mark_file()), before);
}

#[test]
fn segments_are_given_back_only_when_both_places_of_the_mark_are_under_the_new_key() {
    let (disk, keys, around) = simulated(1);
    let mut log = Log::create(around.clone(), OPTIONS, 1).unwrap();
    append(&mut log, &[(1, b"old")]);
    log.sync().unwrap();
    keys.set(0, Some(2));
    // The mark of the last sync in the old segment and the new segment's header pass.
    no_space_after(&disk, 2, true);
    log.keys_changed(&[GroupId::SYSTEM]).unwrap();
    let expected = append_without_space_for_the_mark(&disk, &mut log);
    no_space_after(&disk, 0, true);
    assert!(matches!(log.release_before(log.segment()), Err(WriteError::NotWritten { .. })));
    assert!(disk.files().contains(&segment_file(1)));
    disk.heal();
    log.release_before(log.segment()).unwrap();
    assert!(!disk.files().contains(&segment_file(1)));
    assert_eq!(mark_keys(&disk), [2, 2]);
    disk.cut_power();
    assert_eq!(mark_keys(&disk), [2, 2]);
    assert_eq!(scan(&around).unwrap().1, expected);
}

/// Appends durably, with a mark that finds no space.
fn append_without_space_for_the_mark(disk: &SimDisk, log: &mut Log) -> Vec<Owned> {
    disk.heal();
    no_space_after(disk, 1, true);
    let appended = append(log, &[(1, b"new")]);
    log.sync().unwrap();
    disk.heal();
    assert_eq!(mark_keys(disk), [1, 1]);
    appended
}

#[test]
fn a_failed_sync_poisons_the_log_for_good() {
    let (disk, _, around) = simulated(1);
    let mut log = Log::create(around.clone(), OPTIONS, 1).unwrap();
    append(&mut log, &[(1, b"unknown fate")]);
    let error = io::ErrorKind::Other;
    disk.plan(Trouble { call: Some(Call::Sync), after: 0, error, lasting: false });
    assert!(matches!(log.sync(), Err(WriteError::Poisoned { .. })));
    let writes = disk.calls(Call::Write);
    let entry = Entry { lsn: log.next_lsn(), group: GroupId(1), payload: b"x" };
    assert!(matches!(log.append(&[entry]), Err(WriteError::Poisoned { .. })));
    assert!(matches!(log.sync(), Err(WriteError::Poisoned { .. })));
    assert!(matches!(log.rotate(), Err(WriteError::Poisoned { .. })));
    assert!(matches!(log.keyring_changed(2), Err(WriteError::Poisoned { .. })));
    assert!(matches!(log.release_before(log.segment()), Err(WriteError::Poisoned { .. })));
    assert!(log.poison().is_some());
    assert!(matches!(log.close_clean(), Err(WriteError::Poisoned { .. })));
    assert_eq!(disk.calls(Call::Write), writes, "nothing was written any more");
}

#[test]
fn a_write_that_can_not_be_rolled_back_poisons_the_log() {
    let (disk, _, around) = simulated(1);
    let mut log = Log::create(around.clone(), OPTIONS, 1).unwrap();
    for call in [Call::Write, Call::SetLen] {
        disk.plan(Trouble { call: Some(call), after: 0, error: io::ErrorKind::Other, lasting: false });
    }
    let entry = Entry { lsn: Lsn(1), group: GroupId(1), payload: b"x" };
    assert!(matches!(log.append(&[entry]), Err(WriteError::Poisoned { .. })));
}

#[test]
fn a_rename_of_unknown_outcome_poisons_the_log() {
    for call in [Call::Rename, Call::SyncDir] {
        let (disk, _, around) = simulated(1);
        let mut log = Log::create(around, OPTIONS, 1).unwrap();
        disk.plan(Trouble { call: Some(call), after: 0, error: io::ErrorKind::Other, lasting: false });
        assert!(matches!(log.rotate(), Err(WriteError::Poisoned { .. })));
    }
}

#[test]
fn batches_out_of_order_or_too_long_are_refused() {
    let (_, _, around) = simulated(1);
    let mut log = Log::create(around, OPTIONS, 1).unwrap();
    let entry = |lsn, payload| Entry { lsn: Lsn(lsn), group: GroupId(1), payload };
    let gap = log.append(&[entry(1, b"a"), entry(3, b"b")]);
    assert!(matches!(gap, Err(WriteError::OutOfOrder { expected: Lsn(2), found: Lsn(3) })));
    let long = vec![0; crate::COMMAND_LEN_MAX + 1];
    assert!(matches!(log.append(&[entry(1, &long)]), Err(WriteError::TooLong { .. })));
    log.append(&[entry(1, &long[1..])]).unwrap();
    assert_eq!(log.next_lsn(), Lsn(2));
}

#[test]
fn a_group_without_key_refuses_the_batch() {
    let (disk, keys, around) = simulated(1);
    let mut log = Log::create(around.clone(), OPTIONS, 1).unwrap();
    let writes = disk.calls(Call::Write);
    keys.set(2, None);
    let entries: Vec<Entry<'_>> =
        (1..).zip([1, 2, 9]).map(|(n, g)| Entry { lsn: Lsn(n), group: GroupId(g), payload: b"x" }).collect();
    assert!(matches!(log.append(&entries), Err(WriteError::Key { group: GroupId(2), .. })));
    assert_eq!(disk.calls(Call::Write), writes);
    let expected = append(&mut log, &[(1, b"goes on")]);
    log.close_clean().unwrap();
    assert_eq!(scan(&around).unwrap().1, expected);
}
