//! What is appended comes back.

use std::sync::Arc;

use super::*;
use crate::disk::OsDisk;

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
            .replay(Lsn(30), |record| {
                again.push(owned(record));
                Ok::<_, LogError>(())
            })
            .unwrap();
        assert_eq!(again, expected[29..]);
        log = scanned.finish().unwrap();
    }
    assert!(log.segment().0 > 6, "several segments were needed");
}
