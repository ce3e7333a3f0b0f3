//! The whole store on a simulated disk: random lives with accidents at every kind of moment.
//!
//! A *run* follows from its seed. It is a few *lives* of one store: commands over several groups, checkpoints,
//! droppings, changes of group keys and of the root key, older keys that retire once pages and wrapped values have moved,
//! groups that others need the place of; in half of them the disk fails or fills up, also while the store opens. The disk takes a picture
//! before each call, labelled with what may be found there. Some pictures of each life are then *crashed*: power cut or
//! kill, the opening cut short once or twice and crashed itself, and what is there compared. One of them is where the next
//! life begins. From others some bits rot first.
//!
//! Nothing acknowledged is ever missing, nothing is there in part or out of order, nothing reads wrong, no key retired that
//! anything needs, and every store
//! opens unless bits rotted; then the damage is named, or did not matter.
//!
//! Environment: `STRONGROOM_SIM_CRASHES` (how many crashes in all), `STRONGROOM_SIM_FIRST` (other seeds),
//! `STRONGROOM_SIM_SEED` (one run, and no other; `STRONGROOM_SIM_TIMES` says how often), `STRONGROOM_SIM_LIVES` and `STRONGROOM_SIM_STEPS` (make that run
//! shorter). `cargo xtask soak --only simulation` makes a million crashes.

mod crash;
mod history;
mod user;
mod workload;

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use strongroom_seal::{Context, Envelope, SeededRandom};
use zeroize::Zeroizing;

use self::crash::{Crasher, Tally};
use self::history::{Complaint, Ledger};
use self::workload::Life;
use super::{OneKey, SetClock, simulated};
use crate::sim::{Call, Dice, SimDisk, Trouble};
use crate::{RootKeyError, RootKeys, Store, StoreOptions};

/// Crashes that CI makes, all tests of this module together.
const CRASHES: u64 = 20_000;
const TESTS: u64 = 4;
/// Pictures of a life that are crashed.
const PICTURES: usize = 24;

/// How often a long run tells how far it is: who runs the tests takes one that says nothing for ten minutes for stuck.
const TOLD_EACH: Duration = Duration::from_secs(60);

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

impl Kind {
    fn rolled(dice: &mut Dice) -> Self {
        match dice.below(10) {
            0..=4 => Self::Calm,
            5..=7 => Self::Full,
            _ => Self::Failing,
        }
    }
}

/// A provider with two root keys, `first` and `second`.
#[derive(Debug)]
struct TwoKeys {
    first: Arc<OneKey>,
    second: Arc<OneKey>,
}

impl TwoKeys {
    fn from_seed(seed: u64) -> Arc<Self> {
        let drawn = |id, seed| OneKey::drawn(id, Arc::new(SeededRandom::dangerous_from_seed(seed)));
        Arc::new(Self { first: drawn("first", seed ^ 0xf125), second: drawn("second", seed ^ 0x5ec0) })
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
    let keys = TwoKeys::from_seed(seed);
    let clock = Arc::<SetClock>::default();
    // One in four has workers that move pages and look after keys by themselves; in the others the run takes their turns, so
    // that a calm life does the same to every file each time. (Two files that two threads write may still be written in
    // another order, and then a crash or a failure that was chosen by number comes at another call.)
    let exact = seed % 4 != 3;
    let mut disk = SimDisk::from_seed(dice.roll());
    let mut ledger = Ledger::new();
    for life in 0..length.lives {
        let at = |complaint: Complaint| format!("life {life}: {complaint}");
        let kind = Kind::rolled(&mut dice);
        let mut options = StoreOptions {
            groups_open_max: 2 + dice.below(2),
            cache_bytes: 1 << 20,
            segment_bytes: 6000 + dice.under(20_000),
            checkpoint_bytes: if exact { u64::MAX } else { 20_000 },
            root_keys: Arc::<TwoKeys>::clone(&keys),
            reseal_workers: usize::from(!exact),
            ..simulated(disk.clone(), &keys.first, dice.roll())
        };
        let clock = Arc::clone(&clock);
        if exact {
            options.clock = Arc::<SetClock>::clone(&clock);
            options.keys_wait = true;
        }
        let crasher = Crasher { options: options.clone(), clock: Arc::clone(&clock), exact };
        disk.record();
        disk.label(0);
        tally.trace(&disk);
        if dice.chance(20) {
            crasher.stumble(&disk, &ledger.moment(), &mut dice, tally).map_err(at)?;
        }
        let options = StoreOptions { disk: Arc::new(disk.process()), ..options };
        let store = Store::create_or_open(options).map_err(|error| at(format!("did not open: {error}")))?;
        tally.failing += u64::from(kind == Kind::Failing);
        tally.full += u64::from(kind == Kind::Full);
        let (moments, during) = {
            let mut life = Life::new(&store, &disk, &clock, ledger.clone(), exact, dice.roll());
            life.troubled = kind != Kind::Calm;
            life.must_go_on = kind == Kind::Full;
            trouble(&disk, kind, &mut dice, |dice| dice.under(200));
            let goes_on = life.go(&mut dice, length.steps).map_err(at)?;
            if goes_on && kind == Kind::Full {
                // Space is back: everything goes on, and what failed is made good.
                disk.heal();
                life.recover().map_err(at)?;
                life.go(&mut dice, length.steps / 3).map_err(at)?;
            }
            life.count_keys();
            tally.add(&life.tally);
            disk.heal();
            (life.moments, life.during)
        };
        if dice.chance(30) {
            let _ = store.close();
        } else {
            drop(store);
        }
        tally.traced(&disk);
        let pictures = disk.pictures();
        (disk, ledger) =
            crasher.crash_many(&pictures, (&moments, &during), PICTURES, &mut dice, tally).map_err(at)?;
    }
    Ok(())
}

/// Plans trouble that comes after so many calls as `when` says. The answer is what calls then fail with, if they do.
fn trouble(
    disk: &SimDisk,
    kind: Kind,
    dice: &mut Dice,
    when: impl Fn(&mut Dice) -> u64,
) -> Option<io::ErrorKind> {
    match kind {
        Kind::Calm => {}
        Kind::Full => {
            let from = when(dice);
            disk.by_quota(dice.chance(50));
            disk.full_between(from, from + 1 + dice.under(240));
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
            let after = if matches!(call, Call::Read | Call::Write) { when(dice) } else { when(dice) / 3 };
            let short_read = call == Call::Read && dice.chance(30);
            // A file system that finds places late finds out late that it has none.
            let late = matches!(call, Call::Sync | Call::Rename | Call::SyncDir) && dice.chance(40);
            let error = match (short_read, late) {
                (true, _) => io::ErrorKind::UnexpectedEof,
                (_, true) if dice.chance(50) => io::ErrorKind::QuotaExceeded,
                (_, true) => io::ErrorKind::StorageFull,
                _ => io::ErrorKind::Other,
            };
            disk.plan(Trouble { call: Some(call), after, error, lasting: dice.chance(40) });
            return Some(error);
        }
    }
    None
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
            for _ in 0..number("STRONGROOM_SIM_TIMES").unwrap_or(1) {
                checked(seed, length, &mut tally);
            }
            println!("seed {seed}: {tally:?}");
        }
        return;
    }
    let wanted = number("STRONGROOM_SIM_CRASHES").unwrap_or(CRASHES).div_ceil(TESTS);
    let began = Instant::now();
    let first = first + number("STRONGROOM_SIM_FIRST").unwrap_or(0);
    let (mut seed, mut told) = (first, began);
    while tally.crashes < wanted {
        checked(seed, length, &mut tally);
        seed += 1;
        if told.elapsed() >= TOLD_EACH {
            told = Instant::now();
            let seconds = began.elapsed().as_secs();
            // Not what the test harness keeps to itself until the test has failed.
            let _ = writeln!(io::stderr(), "seeds {first}..{seed}: {} crashes in {seconds} s", tally.crashes);
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let rate = tally.crashes as f64 / seconds;
    println!("seeds {first}..{seed}: {tally:?} in {seconds:.1} s, {rate:.0} crashes a second");
    assert!(tally.crashes >= wanted);
    if tally.crashes >= CRASHES / TESTS {
        happened(&tally);
    }
}

/// Of everything that a run of CI's size is about there was some: far fewer than there should be, so that another choice of
/// seeds does not matter, and so many that none of it can have gone missing.
fn happened(tally: &Tally) {
    let Tally { crashes, nested, rotten, refused, partial, refused_for_space, stumbled, .. } = *tally;
    let Tally { rotations, root_changes, keys_replaced, keys_retired, all_retired, .. } = *tally;
    let Tally { power_cuts, kills, in_checkpoints, in_rotations, in_root_changes, failing, full, .. } =
        *tally;
    for (what, count, least) in [
        ("power cuts", power_cuts, crashes / 2),
        ("kills", kills, crashes / 20),
        ("crashes within checkpoints", in_checkpoints, crashes / 100),
        ("crashes within rotations of group keys", in_rotations, crashes / 500),
        ("crashes within changes of the root key", in_root_changes, crashes / 500),
        ("lives on failing disks", failing, crashes / 1000),
        ("lives on full disks", full, crashes / 1000),
        ("crashes of recoveries", nested, crashes / 20),
        ("disks with rotten bits", rotten, crashes / 40),
        ("of those refused", refused, rotten / 10),
        ("of those without a group", partial, 1),
        ("commands refused for lack of space", refused_for_space, crashes / 100),
        ("openings that failed", stumbled, crashes / 100),
        ("rotations of group keys", rotations, crashes / 100),
        ("changes of the root key", root_changes, crashes / 100),
        ("replaced keys", keys_replaced, crashes / 50),
        ("of those retired", keys_retired, keys_replaced / 10),
        ("stores all of whose replaced keys retired", all_retired, crashes / 100),
    ] {
        assert!(count >= least.max(1), "{what}: {count}, expected at least {least}; {tally:?}");
    }
}

/// A run that must go well. (A seed means another run as soon as anything here changes: what one finds gets a test of its
/// own, where it was wrong.) If it does not, the shortest one of the same seed that fails is named.
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
         STRONGROOM_SIM_TIMES=20 cargo test -p strongroom-store --lib simulation::accidents_0",
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

/// Calls that change something, by the file or directory that they name first. Which bytes are written depends on which
/// thread drew its random numbers first; how many and where does not.
fn by_file(trace: &[String]) -> BTreeMap<&str, Vec<&str>> {
    let mut files: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for call in trace.iter().filter(|call| !call.starts_with("read ")) {
        let file = call.split(' ').find(|word| word.starts_with('/')).unwrap_or_default();
        let call = if call.starts_with("write ") {
            call.rsplit_once(", ").map_or("", |(call, _)| call)
        } else {
            call
        };
        files.entry(file).or_default().push(call);
    }
    files
}

#[test]
fn a_calm_life_without_workers_does_the_same_to_every_file_each_time() {
    let calm = |seed: &u64| {
        let mut dice = Dice::from_seed(*seed);
        // What the disk takes.
        let _ = dice.roll();
        seed % 4 != 3 && Kind::rolled(&mut dice) == Kind::Calm
    };
    for seed in (1 << 45..).filter(calm).take(4) {
        let trace = || {
            let mut tally = Tally { traces: Some(Vec::new()), ..Tally::default() };
            run(seed, Length { lives: 1, steps: 25 }, &mut tally).unwrap();
            // That of the life; the others are of crashes.
            tally.traces.unwrap().swap_remove(0)
        };
        let (first, second) = (trace(), trace());
        assert!(first.len() > 100, "{}", first.len());
        let (first, second) = (by_file(&first), by_file(&second));
        for (file, calls) in &first {
            assert_eq!(Some(calls), second.get(file), "seed {seed}, {file}");
        }
        assert_eq!(first.len(), second.len());
    }
}
