//! Acknowledged records survive every crash; others survive as a prefix or not at all.

use std::io;

use super::*;
use crate::log::WriteError;
use crate::sim::{Call, Dice, Trouble};

/// What a run knows of its log.
struct Model {
    /// Every record that may be in the log, by LSN from 1.
    appended: Vec<Owned>,
    /// How many of them were acknowledged.
    acknowledged: usize,
    /// The first LSN of which nobody said that it may go.
    kept_from: u64,
}

impl Model {
    /// Checks what an opening found. It counts as acknowledged once the opening has finished.
    fn check(&mut self, found: &[Owned], scanned: &Scanned, seed: u64) {
        let last = usize::try_from(scanned.last().0).unwrap();
        assert!(last >= self.acknowledged, "seed {seed}: {last} of {} acknowledged", self.acknowledged);
        assert!(last <= self.appended.len(), "seed {seed}: {last} of {} appended", self.appended.len());
        let first = found.first().map_or(last as u64 + 1, |record| record.0);
        assert!(first <= self.kept_from, "seed {seed}: starts with {first}, {} was kept", self.kept_from);
        let from = usize::try_from(first).unwrap() - 1;
        assert_eq!(found, &self.appended[from..last], "seed {seed}");
        self.appended.truncate(last);
    }
}

/// Does things to a log until one fails.
fn live(log: Log, dice: &mut Dice, model: &mut Model) -> Result<(), WriteError> {
    let mut log = log;
    for _ in 0..dice.below(40) {
        match dice.below(20) {
            0 => {
                let segment = log.rotate()?;
                model.acknowledged = model.appended.len();
                if dice.chance(50) {
                    model.kept_from = log.next_lsn().0;
                    log.release_before(segment)?;
                }
            }
            1 => {
                let lsn = log.next_lsn().0;
                model.appended.push((lsn, 0, Kind::Checkpoint, vec![9; 30]));
                if let Err(error) = log.append_checkpoint(&[9; 30]) {
                    not_taken(&error, model, lsn);
                    return Err(error);
                }
            }
            2..12 => {
                log.sync()?;
                model.acknowledged = model.appended.len();
            }
            _ => batch(&mut log, dice, model)?,
        }
    }
    if dice.chance(20) {
        log.close_clean()?;
        model.acknowledged = model.appended.len();
    }
    Ok(())
}

fn batch(log: &mut Log, dice: &mut Dice, model: &mut Model) -> Result<(), WriteError> {
    let next = log.next_lsn().0;
    let made: Vec<Owned> = (next..next + 1 + dice.below(6) as u64)
        .map(|lsn| {
            let len = if dice.chance(10) { dice.below(3000) } else { dice.below(200) };
            let byte = dice.roll().to_le_bytes()[0];
            (lsn, u32::from(byte % 4), Kind::Command, vec![byte; len])
        })
        .collect();
    let entries: Vec<Entry<'_>> = made
        .iter()
        .map(|(lsn, group, _, payload)| Entry { lsn: Lsn(*lsn), group: GroupId(*group), payload })
        .collect();
    let outcome = log.append(&entries);
    model.appended.extend(made);
    match outcome {
        Err(error @ WriteError::NotWritten { .. }) => {
            not_taken(&error, model, next);
            Ok(()) // and on it goes
        }
        other => other,
    }
}

/// After an error that says so, nothing of the batch from `next` on may ever be seen.
fn not_taken(error: &WriteError, model: &mut Model, next: u64) {
    if matches!(error, WriteError::NotWritten { .. }) {
        model.appended.truncate(usize::try_from(next).unwrap() - 1);
    }
}

fn trouble(disk: &SimDisk, dice: &mut Dice) {
    match dice.below(6) {
        0 => disk.limit(Some(2000 + dice.below(20_000) as u64)),
        1 => {
            let calls = [Call::Write, Call::Sync, Call::SyncDir, Call::Rename, Call::Create, Call::Remove];
            let call = Some(calls[dice.below(calls.len())]);
            let (after, error) = (dice.below(12) as u64, io::ErrorKind::Other);
            disk.plan(Trouble { call, after, error, lasting: dice.chance(50) });
        }
        2 => {}
        _ => disk.cut_power_after(dice.below(80) as u64),
    }
}

fn crash(disk: &SimDisk, dice: &mut Dice) {
    if dice.chance(70) {
        disk.cut_power();
    } else {
        disk.kill();
    }
    disk.heal();
}

/// Several lives of one log, each ended by a crash.
fn run(seed: u64) -> u64 {
    let (disk, _, around) = simulated(seed);
    let mut dice = Dice::from_seed(seed ^ 0x5eed);
    let mut model = Model { appended: Vec::new(), acknowledged: 0, kept_from: 1 };
    let mut log = Log::create(around.clone(), OPTIONS, 1).unwrap();
    let mut cut = 0;
    for _ in 0..5 {
        trouble(&disk, &mut dice);
        let _ = live(log, &mut dice, &mut model);
        crash(&disk, &mut dice);
        log = loop {
            let (scanned, found) = scan(&around).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            model.check(&found, &scanned, seed);
            cut += scanned.cut_bytes();
            if dice.chance(30) {
                disk.cut_power_after(dice.below(14) as u64);
            }
            match scanned.finish() {
                Ok(log) => {
                    model.acknowledged = model.appended.len();
                    break log;
                }
                Err(_) => crash(&disk, &mut dice),
            }
        };
        disk.heal();
    }
    cut
}

#[test]
fn acknowledged_records_survive_crashes_exactly() {
    let cut: u64 = (0..600).map(run).sum();
    assert!(cut > 100_000, "torn tails did occur: {cut} bytes");
}

#[test]
#[ignore = "soak: minutes"]
fn acknowledged_records_survive_many_more_crashes_exactly() {
    (600..20_000).for_each(|seed| {
        run(seed);
    });
}

#[test]
fn an_interrupted_creation_can_be_repeated() {
    for calls in 0..30 {
        for seed in 0..20 {
            let (disk, _, around) = simulated(seed);
            disk.cut_power_after(calls);
            let created = Log::create(around.clone(), OPTIONS, 1);
            disk.cut_power();
            disk.heal();
            let again = Log::create(around.clone(), OPTIONS, 1);
            match created {
                Ok(_) => assert!(matches!(again, Err(LogError::Exists { .. })), "seed {seed}, {calls} calls"),
                Err(_) if matches!(again, Err(LogError::Exists { .. })) => {} // it had all but finished
                Err(_) => drop(again.unwrap()),
            }
            let (scanned, records) = scan(&around).unwrap();
            assert!(records.is_empty());
            append(&mut scanned.finish().unwrap(), &[(1, b"usable")]);
        }
    }
}

#[test]
fn what_was_replayed_survives_a_power_cut_before_the_opening_has_finished() {
    for seed in 0..50 {
        let (disk, _, around) = simulated(seed);
        let mut log = Log::create(around.clone(), OPTIONS, 1).unwrap();
        append(&mut log, &[(1, b"in the cache of a killed process"), (2, b"only")]);
        if seed % 2 == 0 {
            disk.plan(Trouble {
                call: Some(Call::Sync),
                after: 0,
                error: io::ErrorKind::Other,
                lasting: false,
            });
            log.sync().unwrap_err();
        }
        disk.kill();
        let mut replayed = Vec::new();
        let (scanned, _) = scan(&around).unwrap();
        scanned
            .replay(
                Lsn(1),
                |_| true,
                |record| {
                    replayed.push(owned(record));
                    Ok::<_, LogError>(())
                },
            )
            .unwrap();
        assert_eq!(replayed.len(), 2);
        disk.cut_power();
        assert_eq!(scan(&around).unwrap().1, replayed, "seed {seed}");
    }
}
