//! Power fails at any call: what the last successful checkpoint held, or the one under way, is there; nothing less and
//! nothing else.

use crate::sim::{Dice, SimDisk, Trouble};
use std::io;

use super::*;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// One command's worth of random changes.
fn changes(dice: &mut Dice) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    (0..=dice.under(6))
        .map(|_| {
            let key = vec![b'k', dice.under(64) as u8];
            let length = match dice.under(8) {
                0 => dice.under(40_000),
                1 => return (key, None),
                _ => dice.under(400),
            };
            (key, Some(vec![dice.under(256) as u8; length as usize]))
        })
        .collect()
}

struct Run {
    live: Model,
    lsn: Lsn,
    /// What each checkpoint that was begun holds, by its last command.
    begun: BTreeMap<Lsn, Model>,
    /// The last checkpoint that succeeded.
    done: (Lsn, RootSeq),
}

impl Run {
    /// Applies and checkpoints until the disk fails or `steps` are done.
    fn go(&mut self, db: &GroupDb, dice: &mut Dice, steps: u32) -> Result<(), PagesError> {
        for _ in 0..steps {
            let changes = changes(dice);
            let writes = changes.iter().map(|(key, value)| match value {
                Some(value) => put(key.clone(), value.clone()),
                None => Write::Delete { key: key.clone() },
            });
            let lsn = Lsn(self.lsn.0 + 1);
            db.apply(&[(lsn, &command(writes.collect()))])?;
            self.lsn = lsn;
            for (key, value) in changes {
                match value {
                    Some(value) => self.live.insert(key, value),
                    None => self.live.remove(&key),
                };
            }
            if dice.under(3) == 0 {
                self.begun.insert(lsn, self.live.clone());
                let checkpointed = db.checkpoint()?;
                assert_eq!(checkpointed.applied, lsn);
                self.done = (lsn, checkpointed.root);
            }
        }
        Ok(())
    }

    /// Checks what is there after a crash and goes on from it.
    fn resume(&mut self, db: &GroupDb, seed: u64) {
        let lsn = db.applied();
        assert!(lsn >= self.done.0, "seed {seed}: {lsn} is less than the checkpoint {}", self.done.0);
        let expected = self.begun.get(&lsn).unwrap_or_else(|| panic!("seed {seed}: no checkpoint at {lsn}"));
        let found = rows(db).unwrap();
        assert!(found == *expected, "seed {seed}: other rows at {lsn}");
        self.live = found;
        self.lsn = lsn;
    }
}

fn crash_and_recover(seed: u64) {
    let mut dice = Dice::from_seed(seed);
    let sim = SimDisk::from_seed(seed);
    let mut place = Place::new(Arc::new(sim.clone()), "/group.pages");
    // Half of the runs write pages before the checkpoint, because the cache is too small to hold them.
    place.cache = if dice.under(2) == 0 { 48 << 10 } else { 4 << 20 };
    let mut db = place.create(dice.roll()).unwrap();
    let mut run = Run {
        live: Model::new(),
        lsn: Lsn(0),
        begun: [(Lsn(0), Model::new())].into(),
        done: (Lsn(0), db.root()),
    };
    for _ in 0..3 {
        let begun = dice.under(500);
        sim.cut_power_after(begun);
        let end = run.go(&db, &mut dice, 60);
        if end.is_ok() {
            sim.cut_power_after(0);
        }
        drop(db);
        // The way back may be cut short too.
        for _ in 0..dice.under(3) {
            sim.cut_power();
            sim.cut_power_after(dice.under(8));
            let opened = place.open(dice.roll(), run.done.1);
            sim.cut_power_after(0);
            drop(opened);
        }
        sim.cut_power();
        db = place.open(dice.roll(), run.done.1).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        run.resume(&db, seed);
        if dice.under(4) == 0 {
            let verified = db.verify().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            assert_eq!(verified.rows, run.live.len() as u64, "seed {seed}");
            run.begun.insert(run.lsn, run.live.clone());
        }
    }
}

#[test]
fn a_crash_at_any_call_leaves_a_checkpoint() {
    (0..300).for_each(crash_and_recover);
}

#[test]
#[ignore = "soak: minutes"]
fn a_crash_at_any_call_leaves_a_checkpoint_soak() {
    let seeds = std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(20_000);
    (1_000_000..1_000_000 + seeds).for_each(crash_and_recover);
}

#[test]
fn a_crash_during_creation_leaves_no_file_or_a_whole_one() {
    let calls = {
        let sim = SimDisk::from_seed(1);
        Place::new(Arc::new(sim.clone()), "/group.pages").create(1).unwrap();
        sim.changes()
    };
    for at in 0..calls {
        for lot in 0..6 {
            let sim = SimDisk::from_seed(at * 100 + lot);
            let place = Place::new(Arc::new(sim.clone()), "/group.pages");
            sim.cut_power_after(at);
            // The last calls only close the file that is there already.
            let made = place.create(1);
            sim.cut_power_after(0);
            drop(made);
            sim.cut_power();
            let db = match sim.exists(&place.path).unwrap() {
                true => place.open(2, RootSeq(0)),
                false => place.create(2),
            };
            assert_eq!(
                rows(&db.unwrap_or_else(|error| panic!("{at} {lot}: {error}"))).unwrap(),
                Model::new()
            );
        }
    }
}

#[test]
fn after_a_failed_call_every_later_one_fails_and_the_last_checkpoint_is_there() {
    let mut seen = [false; 2];
    for at in 0..160 {
        for error in [io::ErrorKind::Other, io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
            let full = error != io::ErrorKind::Other;
            let sim = SimDisk::from_seed(1);
            let mut place = Place::new(Arc::new(sim.clone()), "/group.pages");
            place.cache = 48 << 10;
            let db = place.create(1).unwrap();
            let mut run = Run {
                live: Model::new(),
                lsn: Lsn(0),
                begun: [(Lsn(0), Model::new())].into(),
                done: (Lsn(0), db.root()),
            };
            sim.plan(Trouble { call: None, after: at, error, lasting: full });
            let Err(error) = run.go(&db, &mut Dice::from_seed(at), 40) else { continue };
            match (full, &error) {
                (true, PagesError::NoSpace { .. }) => seen[0] = true,
                (false, PagesError::Io { .. }) => seen[1] = true,
                _ => panic!("{at}: {error:?}"),
            }
            sim.heal();
            let again = db.apply(&[(Lsn(1000), &command(vec![put("x", "y")]))]).and_then(|_| db.checkpoint());
            assert_eq!(again.unwrap_err().to_string(), error.to_string(), "the first failure is the answer");
            assert_eq!(db.fault().unwrap().to_string(), error.to_string());
            let calls = sim.changes();
            drop(db);
            assert_eq!(sim.changes(), calls, "nothing is written after a failure");
            let db = place.open(2, run.done.1).unwrap();
            run.resume(&db, at);
        }
    }
    assert_eq!(seen, [true; 2]);
}
