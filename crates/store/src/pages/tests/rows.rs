//! Rows come back as they were put, from either end, across checkpoints, crashes of the process and reopening.

use proptest::prelude::*;

use super::*;
use crate::disk::OsDisk;
use crate::sim::{SimDisk, Survival};
use crate::{Check, Outcome};

fn os_place(dir: &tempfile::TempDir) -> Place {
    Place::new(Arc::new(OsDisk), dir.path().join("group.pages"))
}

#[test]
fn what_a_checkpoint_holds_is_there_after_a_kill_and_what_came_later_is_not() {
    let sim = SimDisk::from_seed(1);
    let place = Place::new(Arc::new(sim.clone()), "/group.pages");
    let db = place.create(10).unwrap();
    apply(&db, vec![put("a", "1"), put("b", vec![7; 300_000])]);
    let first = db.checkpoint().unwrap();
    apply(&db, vec![put("c", "3")]);
    assert_eq!(db.read().unwrap().get(b"c").unwrap().unwrap().as_ref(), b"3");
    sim.cut_power_after(0);
    drop(db);
    sim.cut_power_keeping(Survival::Nothing);
    let db = place.open(11, first.root).unwrap();
    assert_eq!(db.applied(), Lsn(1));
    assert_eq!(db.read().unwrap().lsn(), Lsn(1));
    assert_eq!(
        rows(&db).unwrap(),
        [(b"a".to_vec(), b"1".to_vec()), (b"b".to_vec(), vec![7; 300_000])].into()
    );
    let closed = db.close().unwrap();
    assert!(closed.root > first.root);
    assert_eq!(place.open(12, closed.root).unwrap().applied(), Lsn(1));
}

#[test]
fn a_refused_command_changes_nothing_and_still_counts_as_applied() {
    let dir = tempfile::tempdir().unwrap();
    let db = os_place(&dir).create(1).unwrap();
    apply(&db, vec![put("a", "1"), put("p/1", "x")]);
    let refused_by = |check| {
        let command = Command { group: GROUP, checks: vec![check], writes: vec![put("a", "2")] };
        let lsn = Lsn(db.applied().0 + 1);
        let outcome = db.apply(&[(lsn, &command)]).unwrap()[0];
        assert_eq!(db.applied(), lsn);
        outcome == (Outcome::Refused { check: 0 })
    };
    let key = |key: &str| key.as_bytes().to_vec();
    assert!(refused_by(Check::Absent { key: key("a") }));
    assert!(refused_by(Check::Present { key: key("b") }));
    assert!(refused_by(Check::Equals { key: key("a"), value: key("2") }));
    assert!(refused_by(Check::Equals { key: key("b"), value: key("") }));
    assert!(refused_by(Check::RangeEmpty { from: key("p/"), to: key("p0") }));
    assert_eq!(db.read().unwrap().get(b"a").unwrap().unwrap().as_ref(), b"1");
    assert!(!refused_by(Check::RangeEmpty { from: key("q"), to: key("p") }));
    assert!(!refused_by(Check::Equals { key: key("a"), value: key("2") }));
}

#[test]
fn checks_see_the_commands_before_them_and_a_repeated_command_is_applied_once() {
    let dir = tempfile::tempdir().unwrap();
    let db = os_place(&dir).create(1).unwrap();
    let claim = Command {
        group: GROUP,
        checks: vec![Check::Absent { key: b"k".to_vec() }],
        writes: vec![put("k", "1")],
    };
    let outcomes = db.apply(&[(Lsn(4), &claim), (Lsn(9), &claim)]).unwrap();
    assert_eq!(outcomes, [Outcome::Applied { lsn: Lsn(4) }, Outcome::Refused { check: 0 }]);
    let delete = command(vec![Write::Delete { key: b"k".to_vec() }]);
    assert_eq!(db.apply(&[(Lsn(9), &delete)]).unwrap(), [Outcome::Applied { lsn: Lsn(9) }]);
    assert!(db.read().unwrap().get(b"k").unwrap().is_some());
    db.apply(&[(Lsn(8), &delete), (Lsn(10), &delete)]).unwrap();
    assert!(db.read().unwrap().get(b"k").unwrap().is_none());
}

#[test]
fn a_reading_stays_as_it_was_and_ranges_run_from_both_ends() {
    let dir = tempfile::tempdir().unwrap();
    let db = os_place(&dir).create(1).unwrap();
    apply(&db, (0..10u8).map(|key| put([key], [key])).collect());
    let before = db.read().unwrap();
    apply(&db, vec![Write::Delete { key: vec![4] }]);
    db.checkpoint().unwrap();
    let mut range = before.range(Bound::Excluded(&[2]), Bound::Included(&[6])).unwrap();
    let mut keys = Vec::new();
    while let Some(front) = range.next() {
        keys.push(front.unwrap().0[0]);
        keys.extend(range.next_back().map(|back| back.unwrap().0[0]));
    }
    assert_eq!(keys, [3, 6, 4, 5]);
    assert_eq!(before.range(Bound::Excluded(&[3]), Bound::Excluded(&[3])).unwrap().count(), 0);
    assert_eq!(before.range(Bound::Included(&[9]), Bound::Unbounded).unwrap().count(), 1);
}

#[derive(Debug, Clone)]
enum Step {
    Apply(Vec<(u8, Option<usize>)>),
    Checkpoint,
    /// Orderly too: redb keeps what was applied.
    Drop,
    Close,
    Verify,
}

fn step() -> impl Strategy<Value = Step> {
    let write =
        (any::<u8>(), prop::option::weighted(0.7, prop_oneof![4 => 0..200usize, 1 => 2_000..60_000usize]));
    prop_oneof![
        10 => prop::collection::vec(write, 1..20).prop_map(Step::Apply),
        3 => Just(Step::Checkpoint),
        1 => Just(Step::Drop),
        1 => Just(Step::Close),
        1 => Just(Step::Verify),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_group_is_a_sorted_map(steps in prop::collection::vec(step(), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        let mut place = os_place(&dir);
        // Small, so that pages leave redb's cache and tag pages leave ours.
        place.cache = 64 << 10;
        let mut db = place.create(0).unwrap();
        let mut durable = (BTreeMap::new(), Lsn(0), db.root());
        let mut live = BTreeMap::new();
        let mut applied = 0;
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Apply(changes) => {
                    let writes = changes.iter().map(|(key, value)| match value {
                        Some(length) => put([*key], vec![number as u8; *length]),
                        None => Write::Delete { key: vec![*key] },
                    });
                    apply(&db, writes.collect());
                    applied += 1;
                    for (key, value) in changes {
                        match value {
                            Some(length) => live.insert(vec![key], vec![number as u8; length]),
                            None => live.remove(&vec![key]),
                        };
                    }
                }
                Step::Checkpoint => {
                    let done = db.checkpoint().unwrap();
                    durable = (live.clone(), done.applied, done.root);
                }
                Step::Drop => {
                    drop(db);
                    db = place.open(number as u64, durable.2).unwrap();
                    durable = (live.clone(), db.applied(), db.root());
                    prop_assert_eq!(db.applied(), Lsn(applied));
                }
                Step::Close => {
                    let done = db.close().unwrap();
                    durable = (live.clone(), done.applied, done.root);
                    db = place.open(number as u64, durable.2).unwrap();
                    prop_assert_eq!(db.applied(), durable.1);
                }
                Step::Verify => {
                    prop_assert_eq!(db.verify().unwrap().rows, live.len() as u64);
                    durable = (live.clone(), db.applied(), db.root());
                }
            }
            prop_assert_eq!(&rows(&db).unwrap(), &live);
        }
    }
}
