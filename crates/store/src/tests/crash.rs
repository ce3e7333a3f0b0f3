//! Power cuts and kills at every call, and at random ones.

use super::model::{Model, Step, run};
use super::*;
use crate::sim::{Dice, SimDisk, Survival};

fn write(name: &str, rows: &[(&str, &str)]) -> Step {
    let writes = rows.iter().map(|(key, value)| Write::Put { key: (*key).into(), value: (*value).into() });
    Step::Write { name: name.into(), checks: vec![], writes: writes.collect() }
}

/// Everything a store does, once.
fn script() -> Vec<Step> {
    let refused = Step::Write {
        name: "a".into(),
        checks: vec![Check::Absent { key: "1".into() }],
        writes: vec![Write::Put { key: "9".into(), value: "never".into() }],
    };
    let long = "long ".repeat(3000);
    vec![
        Step::Make("a".into()),
        write("a", &[("1", "one"), ("2", "two")]),
        refused,
        Step::Make("a".into()),
        Step::Make("b".into()),
        write("b", &[("1", &long)]),
        Step::Checkpoint,
        write("a", &[("1", "uno")]),
        Step::Unmake("b".into()),
        Step::Make("c".into()),
        write("c", &[("3", "three")]),
        Step::Checkpoint,
        write("a", &[("2", &long), ("4", "four")]),
        Step::Make("b".into()),
        write("b", &[("5", "five")]),
    ]
}

/// What a store may hold after an accident.
struct Possible {
    acknowledged: Model,
    also: Option<Model>,
}

/// Opens, does the steps and closes, until the first error.
fn live(options: StoreOptions, before: &Model, steps: &[Step]) -> (Possible, bool) {
    let mut model = before.clone();
    let Ok(store) = Store::create_or_open(options) else {
        return (Possible { acknowledged: model, also: None }, false);
    };
    for step in steps {
        if let Err(also) = run(&store, &mut model, step) {
            return (Possible { acknowledged: model, also }, false);
        }
    }
    let closed = store.close().is_ok();
    (Possible { acknowledged: model, also: None }, closed)
}

fn check(store: &Store, possible: &Possible, what: &str) -> Model {
    let found = Model::of(store);
    let fine = found == possible.acknowledged || possible.also.as_ref() == Some(&found);
    assert!(fine, "{what}: found {found:#?}, expected {:#?} or {:#?}", possible.acknowledged, possible.also);
    found
}

#[derive(Clone, Copy)]
enum Accident {
    PowerCut,
    Kill,
}

impl Accident {
    fn happens(self, disk: &SimDisk) {
        match self {
            Self::PowerCut => disk.cut_power(),
            Self::Kill => disk.kill(),
        }
        disk.heal();
    }
}

/// One crash after `calls` calls, another while recovering, then a look at what is there and on with life.
fn crash(calls: u64, seed: u64, accident: Accident) -> bool {
    let what = format!("crash after {calls} calls, seed {seed}");
    let keys = OneKey::named("root");
    let disk = SimDisk::from_seed(seed);
    let mut dice = Dice::from_seed(seed ^ calls);
    let options = |n| simulated(disk.clone(), &keys, seed + n);
    disk.cut_power_after(calls);
    let (possible, finished) = live(options(1), &Model::new(), &script());
    accident.happens(&disk);

    disk.cut_power_after(dice.below(50) as u64);
    drop(Store::create_or_open(options(2)));
    accident.happens(&disk);

    let store = Store::create_or_open(options(3)).unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut model = check(&store, &possible, &what);
    for step in script() {
        run(&store, &mut model, &step).unwrap_or_else(|_| panic!("{what}: {step:?}"));
    }
    store.close().unwrap_or_else(|error| panic!("{what}: {error}"));
    let store = Store::create_or_open(options(4)).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(store.recovered().clean, "{what}");
    assert_eq!(Model::of(&store), model, "{what}");
    finished
}

fn crash_at_every_call(stride: u64, seed: u64, accident: Accident) {
    let mut calls = seed % stride;
    while !crash(calls, seed, accident) {
        calls += stride;
        assert!(calls < 20_000, "the script ends");
    }
}

#[test]
fn a_power_cut_at_many_calls_loses_nothing_acknowledged() {
    crash_at_every_call(7, 1, Accident::PowerCut);
}

#[test]
fn a_kill_at_many_calls_loses_nothing_acknowledged() {
    crash_at_every_call(17, 2, Accident::Kill);
}

#[test]
#[ignore = "soak: minutes"]
fn a_power_cut_or_kill_at_every_call_loses_nothing_acknowledged_soak() {
    for seed in 10..20 {
        crash_at_every_call(1, seed, Accident::PowerCut);
        crash_at_every_call(1, seed, Accident::Kill);
    }
}

/// What a killed process left in the system's cache alone is there for the next opening and gone after a power cut.
#[test]
fn a_power_cut_while_opening_after_a_kill_finds_a_store_that_opens() {
    let keys = OneKey::named("root");
    let disk = SimDisk::from_seed(3);
    let store = Store::create_or_open(simulated(disk.clone(), &keys, 1)).unwrap();
    let mut model = Model::new();
    disk.record();
    let steps = [
        Step::Make("a".into()),
        write("a", &[("1", "one")]),
        Step::Rotate(Some("a".into())),
        Step::Rotate(None),
        write("a", &[("2", "two")]),
        Step::Checkpoint,
        Step::Rotate(None),
        Step::Make("b".into()),
        Step::Unmake("a".into()),
        Step::Checkpoint,
    ];
    let moments: Vec<Possible> = steps
        .iter()
        .enumerate()
        .map(|(at, step)| {
            disk.label(at as u64);
            let acknowledged = model.clone();
            run(&store, &mut model, step).unwrap();
            Possible { acknowledged, also: Some(model.clone()) }
        })
        .collect();
    let pictures = disk.pictures();
    drop(store);
    for picture in pictures.iter().filter(|picture| picture.files.has_unsynced_names()) {
        let possible = &moments[usize::try_from(picture.label).unwrap()];
        let disk = picture.files.disk(1);
        disk.kill();
        disk.record();
        drop(Store::create_or_open(simulated(disk.clone(), &keys, 2)).unwrap());
        for opening in disk.pictures().iter().step_by(2) {
            let what = format!("call {}, opening {}", picture.call, opening.call);
            let disk = opening.files.disk(1);
            disk.cut_power_keeping(Survival::Nothing);
            let store = Store::create_or_open(simulated(disk, &keys, 3));
            check(&store.unwrap_or_else(|error| panic!("{what}: {error}")), possible, &what);
        }
    }
}

fn random_step(dice: &mut Dice) -> Step {
    let name = ["a", "b", "c", "d", "e"][dice.below(5)].to_owned();
    let key = |dice: &mut Dice| format!("key {}", dice.below(12)).into_bytes();
    match dice.below(20) {
        0 => Step::Unmake(name),
        1..=3 => Step::Make(name),
        4 => Step::Checkpoint,
        _ => {
            let checks = (0..dice.below(2)).map(|_| match dice.below(3) {
                0 => Check::Absent { key: key(dice) },
                1 => Check::Present { key: key(dice) },
                _ => Check::RangeEmpty { from: key(dice), to: key(dice) },
            });
            let checks = checks.collect();
            let writes = (0..=dice.below(4)).map(|_| match dice.below(4) {
                0 => Write::Delete { key: key(dice) },
                _ => Write::Put { key: key(dice), value: vec![7; dice.below(9000)] },
            });
            Step::Write { name, checks, writes: writes.collect() }
        }
    }
}

/// A store's life: steps, accidents and openings as the dice fall, with two groups open at most.
fn random_life(seed: u64, openings: u64) {
    let mut dice = Dice::from_seed(seed);
    let keys = OneKey::named("root");
    let disk = SimDisk::from_seed(seed);
    let mut possible = Possible { acknowledged: Model::new(), also: None };
    for opening in 0..openings {
        let what = format!("seed {seed}, opening {opening}");
        let options = StoreOptions {
            groups_open_max: 2,
            segment_bytes: 32 << 10,
            checkpoint_bytes: 64 << 10,
            ..simulated(disk.clone(), &keys, seed * 1000 + opening)
        };
        let store = Store::create_or_open(options).unwrap_or_else(|error| panic!("{what}: {error}"));
        let mut model = check(&store, &possible, &what);
        if dice.chance(70) {
            disk.cut_power_after(dice.below(400) as u64);
        }
        let mut also = None;
        for _ in 0..dice.below(60) {
            if let Err(maybe) = run(&store, &mut model, &random_step(&mut dice)) {
                also = maybe;
                break;
            }
        }
        let closed = dice.chance(50) && store.close().is_ok();
        if dice.chance(50) {
            disk.cut_power();
        } else if !closed || dice.chance(20) {
            disk.kill();
        }
        disk.heal();
        possible = Possible { acknowledged: model, also };
    }
}

#[test]
fn random_lives_with_accidents_keep_what_was_acknowledged() {
    (0..12).for_each(|seed| random_life(seed, 6));
}

#[test]
#[ignore = "soak: minutes"]
fn random_lives_with_accidents_keep_what_was_acknowledged_soak() {
    (1000..1400).for_each(|seed| random_life(seed, 12));
}
