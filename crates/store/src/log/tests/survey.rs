//! Reading on after damage decides about damage as opening does.

use super::*;
use crate::log::{LogFault, Sight, Surveyed, survey};

fn surveyed(around: &Surroundings) -> (Surveyed, Vec<u64>, Vec<LogError>) {
    let (mut frames, mut damage) = (Vec::new(), Vec::new());
    let done = survey(around, &mut |sight| match sight {
        Sight::Frame { header, .. } => frames.push(header.first.0),
        Sight::Damage(error) => damage.push(error),
        Sight::Segment { .. } | Sight::Torn { .. } => {}
    });
    (done, frames, damage)
}

/// Two segments of three frames each, the last frame written and not yet in the mark.
fn written(clean: bool) -> (SimDisk, Surroundings) {
    let (disk, _, around) = simulated(3);
    let mut log = Log::create(around.clone(), OPTIONS, 1).unwrap();
    for segment in 0..2 {
        if segment > 0 {
            log.rotate().unwrap();
        }
        for payload in [b"one", b"two", b"six"] {
            append(&mut log, &[(1, payload)]);
            log.sync().unwrap();
        }
    }
    if clean {
        log.close_clean().unwrap();
    } else {
        append(&mut log, &[(2, b"not synced")]);
    }
    (disk, around)
}

#[test]
fn whatever_byte_changes_there_is_damage_if_and_only_if_the_log_does_not_open() {
    for clean in [true, false] {
        let (disk, around) = written(clean);
        for file in [segment_file(1), segment_file(2), mark_file()] {
            let good = disk.bytes(&file).unwrap();
            let step = if file == mark_file() { 37 } else { 5 };
            for at in (0..good.len()).step_by(step) {
                let mut bytes = good.clone();
                bytes[at] ^= 0x11;
                disk.put(&file, Some(bytes));
                let (_, _, damage) = surveyed(&around);
                assert_eq!(scan(&around).is_err(), !damage.is_empty(), "{file:?} {at}: {damage:?}");
            }
            for length in (0..good.len()).step_by(29) {
                disk.put(&file, Some(good[..length].to_vec()));
                let (_, _, damage) = surveyed(&around);
                assert_eq!(
                    scan(&around).is_err(),
                    !damage.is_empty(),
                    "{file:?} cut to {length}: {damage:?}"
                );
            }
            disk.put(&file, Some(good));
        }
        assert!(scan(&around).is_ok());
    }
}

#[test]
fn two_bad_frames_are_both_named_and_the_others_are_read() {
    let (disk, around) = written(true);
    let frame = 108 + 8;
    let mut bytes = disk.bytes(&segment_file(1)).unwrap();
    bytes[140 + 110] ^= 1; // sealed records of the first
    bytes[140 + frame + 9] ^= 1; // the header of the second
    disk.put(&segment_file(1), Some(bytes));
    let (done, frames, damage) = surveyed(&around);
    assert_eq!(frames, [3, 4, 5, 6]);
    let named = |error: &LogError| match error {
        LogError::Damage { offset, lsn, fault, .. } => (*offset, lsn.0, *fault),
        other => panic!("{other}"),
    };
    let second = 140 + frame as u64;
    assert_eq!(
        damage.iter().map(named).collect::<Vec<_>>(),
        [(140, 1, LogFault::Sealed), (second, 2, LogFault::Header)]
    );
    assert_eq!((done.damaged_from, done.last), (Some(Lsn(1)), Lsn(6)));
}

#[test]
fn a_missing_segment_is_named_and_the_one_behind_it_is_read() {
    let (disk, around) = written(true);
    disk.put(&segment_file(1), None);
    let (_, frames, damage) = surveyed(&around);
    assert_eq!(frames, [4, 5, 6]);
    assert!(matches!(damage[..], [LogError::MissingSegment { segment: SegmentId(1) }]), "{damage:?}");
}
