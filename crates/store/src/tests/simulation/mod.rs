//! The whole store on a simulated disk: random lives with accidents at every kind of moment.
//!
//! A *run* follows from its seed. It is a few *lives* of one store: commands over several groups, checkpoints,
//! droppings, changes of group keys and of the root key, groups that others need the place of; in half of them the disk fails or fills up. The disk takes a picture
//! before each call, labelled with what may be found there. Some pictures of each life are then *crashed*: power cut or
//! kill, the opening cut short once or twice and crashed itself, and what is there compared. One of them is where the next
//! life begins. From others some bits rot first.
//!
//! Nothing acknowledged is ever missing, nothing is there in part or out of order, nothing reads wrong, and every store
//! opens unless bits rotted; then the damage is named, or did not matter.
//!
//! Environment: `STRONGROOM_SIM_CRASHES` (how many crashes in all), `STRONGROOM_SIM_FIRST` (other seeds),
//! `STRONGROOM_SIM_SEED` (one run, and no other), `STRONGROOM_SIM_LIVES` and `STRONGROOM_SIM_STEPS` (make that run
//! shorter). `cargo xtask soak --only simulation` makes a million crashes.

mod crash;
mod history;
mod workload;

use std::io;
use std::sync::Arc;
use std::time::Instant;

use strongroom_seal::{Context, Envelope};
use zeroize::Zeroizing;

use self::crash::{Crasher, Tally};
use self::history::{Complaint, Ledger};
use self::workload::Life;
use super::{OneKey, simulated};
use crate::sim::{Call, Dice, SimDisk, Trouble};
use crate::{RootKeyError, RootKeys, Store, StoreOptions};

/// Crashes that CI makes, all tests of this module together.
const CRASHES: u64 = 20_000;
const TESTS: u64 = 4;
/// Pictures of a life that are crashed.
const PICTURES: usize = 24;

/// How often a long run tells how far it is.
const TOLD_EACH: u64 = 25_000;

/// What trouble a life has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// None.
    Calm,
    /// The disk is full for a while.
    Full,
    /// Calls fail.
    Failing,
}

/// A provider with two root keys, `first` and `second`.
#[derive(Debug)]
struct TwoKeys {
    first: Arc<OneKey>,
    second: Arc<OneKey>,
}

impl TwoKeys {
    fn new() -> Arc<Self> {
        Arc::new(Self { first: OneKey::named("first"), second: OneKey::named("second") })
    }

    fn named(&self, key_id: Option<&str>) -> &OneKey {
        if key_id == Some("second") { &self.second } else { &self.first }
    }
}

impl RootKeys for TwoKeys {
    fn wrap(&self, id: Option<&str>, key: &[u8; 32], context: &Context) -> Result<Envelope, RootKeyError> {
        self.named(id).wrap(id, key, context)
    }

    fn unwrap(&self, envelope: &Envelope, context: &Context) -> Result<Zeroizing<[u8; 32]>, RootKeyError> {
        self.named(Some(&envelope.key_id)).unwrap(envelope, context)
    }
}

/// How long a run is.
#[derive(Debug, Clone, Copy)]
struct Length {
    lives: u64,
    steps: usize,
}

const WHOLE: Length = Length { lives: 3, steps: 30 };

/// One run. On failure the answer says what was wrong.
fn run(seed: u64, length: Length, tally: &mut Tally) -> Result<(), Complaint> {
    let mut dice = Dice::from_seed(seed);
    let keys = TwoKeys::new();
    // One in four lets threads overtake one another, which cannot be repeated call for call.
    let exact = seed % 4 != 3;
    let mut disk = SimDisk::from_seed(dice.roll());
    let mut ledger = Ledger::new();
    for life in 0..length.lives {
        let at = |complaint: Complaint| format!("life {life}: {complaint}");
        let kind = match dice.below(10) {
            0..=4 => Kind::Calm,
            5..=7 => Kind::Full,
            _ => Kind::Failing,
        };
        let options = StoreOptions {
            groups_open_max: 2 + dice.below(2),
            cache_bytes: 1 << 20,
            segment_bytes: 6000 + dice.under(20_000),
            checkpoint_bytes: if exact { u64::MAX } else { 20_000 },
            root_keys: Arc::<TwoKeys>::clone(&keys),
            reseal_workers: usize::from(!exact),
            ..simulated(disk.clone(), &keys.first, dice.roll())
        };
        let crasher = Crasher { options: options.clone() };
        disk.record();
        disk.label(0);
        let store = Store::create_or_open(options).map_err(|error| at(format!("did not open: {error}")))?;
        let moments = {
            let mut life = Life::new(&store, &disk, ledger.clone(), exact);
            life.troubled = kind != Kind::Calm;
            life.must_go_on = kind == Kind::Full;
            trouble(&disk, kind, &mut dice);
            let goes_on = life.go(&mut dice, length.steps).map_err(at)?;
            if goes_on && kind == Kind::Full {
                // Space is back: everything goes on, and what failed is made good.
                disk.heal();
                life.recover().map_err(at)?;
                life.go(&mut dice, length.steps / 3).map_err(at)?;
            }
            tally.refused_for_space += life.refused_for_space;
            disk.heal();
            life.moments
        };
        if dice.chance(30) {
            let _ = store.close();
        } else {
            drop(store);
        }
        let pictures = disk.pictures();
        (disk, ledger) = crasher.crash_many(&pictures, &moments, PICTURES, &mut dice, tally).map_err(at)?;
    }
    Ok(())
}

fn trouble(disk: &SimDisk, kind: Kind, dice: &mut Dice) {
    match kind {
        Kind::Calm => {}
        Kind::Full => {
            let from = dice.under(150);
            disk.full_between(from, from + 1 + dice.under(120));
        }
        Kind::Failing => {
            const CALLS: [Call; 8] = [
                Call::Read,
                Call::Write,
                Call::SetLen,
                Call::Sync,
                Call::Create,
                Call::Rename,
                Call::Remove,
                Call::SyncDir,
            ];
            let call = CALLS[dice.below(CALLS.len())];
            let after = dice.under(if matches!(call, Call::Read | Call::Write) { 120 } else { 40 });
            let short_read = call == Call::Read && dice.chance(30);
            let error = if short_read { io::ErrorKind::UnexpectedEof } else { io::ErrorKind::Other };
            disk.plan(Trouble { call: Some(call), after, error, lasting: dice.chance(40) });
        }
    }
}

/// Runs seeds from `first` on until enough crashes were made.
fn crashes(first: u64) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let length = Length {
        lives: number("STRONGROOM_SIM_LIVES").unwrap_or(WHOLE.lives),
        steps: number("STRONGROOM_SIM_STEPS").map_or(WHOLE.steps, |steps| usize::try_from(steps).unwrap()),
    };
    let mut tally = Tally::default();
    if let Some(seed) = number("STRONGROOM_SIM_SEED") {
        if first == 0 {
            checked(seed, length, &mut tally);
            println!("seed {seed}: {tally:?}");
        }
        return;
    }
    let wanted = number("STRONGROOM_SIM_CRASHES").unwrap_or(CRASHES).div_ceil(TESTS);
    let began = Instant::now();
    let first = first + number("STRONGROOM_SIM_FIRST").unwrap_or(0);
    let (mut seed, mut told) = (first, 0);
    while tally.crashes < wanted {
        checked(seed, length, &mut tally);
        seed += 1;
        if tally.crashes >= told + TOLD_EACH {
            told = tally.crashes;
            println!("seeds {first}..{seed}: {told} crashes in {:.0} s", began.elapsed().as_secs_f64());
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let rate = tally.crashes as f64 / seconds;
    println!("seeds {first}..{seed}: {tally:?} in {seconds:.1} s, {rate:.0} crashes a second");
    assert!(tally.crashes >= wanted);
}

/// Runs that found something once: a sync that failed after the last segment had been cut, and a kill.
const FOUND: [(u64, Length); 1] = [(3_298_535_183_908, Length { lives: 1, steps: 3 })];

#[test]
fn what_was_found_once_stays_mended() {
    for (seed, length) in FOUND {
        checked(seed, length, &mut Tally::default());
    }
}

/// A run that must go well. If it does not, the shortest one of the same seed that fails is named.
fn checked(seed: u64, length: Length, tally: &mut Tally) {
    let Err(complaint) = run(seed, length, tally) else { return };
    let mut short = length;
    for lives in 1..=length.lives {
        for steps in [1, 2, 3, 5, 8, 12, 20, length.steps] {
            let tried = Length { lives, steps: steps.min(length.steps) };
            if run(seed, tried, &mut Tally::default()).is_err() {
                short = tried;
                break;
            }
        }
        if short.lives < length.lives || short.steps < length.steps {
            break;
        }
    }
    panic!(
        "seed {seed}: {complaint}\nrepeat with STRONGROOM_SIM_SEED={seed} STRONGROOM_SIM_LIVES={} STRONGROOM_SIM_STEPS={} \
         cargo test -p strongroom-store --lib simulation::accidents_0",
        short.lives, short.steps
    );
}

/// What each test's seeds start with: far apart, so that they never meet.
const APART: u64 = 1 << 40;

#[test]
fn accidents_0_lose_nothing() {
    crashes(0);
}

#[test]
fn accidents_1_lose_nothing() {
    crashes(APART);
}

#[test]
fn accidents_2_lose_nothing() {
    crashes(2 * APART);
}

#[test]
fn accidents_3_lose_nothing() {
    crashes(3 * APART);
}

/// Runs that failed once.
#[test]
fn seeds_that_failed_before_do_not_fail() {
    for seed in [] {
        checked(seed, WHOLE, &mut Tally::default());
    }
}
