//! Workers whose turns the test takes itself, by a clock that it sets: what depends on time or on who comes first is the
//! same each time.

use std::sync::Barrier;

use super::*;
use crate::Store;
use crate::pages::PageKeys;
use crate::reseal::Step;

/// A store without workers of its own.
fn by_hand(disk: &SimDisk, keys: &Arc<OneKey>, clock: &Arc<SetClock>) -> Store {
    let clock = Arc::<SetClock>::clone(clock);
    Store::create_or_open(StoreOptions { clock, ..simulated(disk.clone(), keys, 1) }).unwrap()
}

fn moved(store: &Store) -> u64 {
    store.reseal_status().groups.iter().map(|group| group.bytes_moved).sum()
}

/// Lets `movers` take turns for `time`. Each waits as long as it is told, wakes somewhat too late, and takes some time for a
/// batch. How many bytes they moved.
fn moved_in(store: &Store, clock: &SetClock, movers: usize, time: Duration, dice: &mut Dice) -> u64 {
    let (before, end) = (moved(store), clock.ticks() + time);
    let mut next = vec![clock.ticks(); movers];
    loop {
        let (who, at) = next.iter().copied().enumerate().min_by_key(|(_, at)| *at).unwrap();
        if at >= end {
            clock.set(end);
            return moved(store) - before;
        }
        clock.set(at);
        next[who] = match store.resealer().step() {
            Step::Worked => at + Duration::from_micros(500 + dice.under(4000)),
            Step::Rest(_, Some(wait)) => at + wait + Duration::from_micros(dice.under(3000)),
            other => panic!("there are too few pages for this test: {other:?}, {:?}", store.reseal_status()),
        };
    }
}

#[test]
fn pages_move_at_the_rate_that_was_set_within_a_tenth_also_after_it_changed() {
    for movers in [1, 2] {
        let (disk, keys, clock) = (SimDisk::from_seed(11), OneKey::named("k"), Arc::default());
        let store = by_hand(&disk, &keys, &clock);
        let group = make_group(&store, "a");
        fill(&store, group, 4000, "0123456789");
        store.checkpoint().unwrap();
        let mut dice = Dice::from_seed(movers as u64);
        block_on(store.set_reseal(ResealSettings { paused: false, kib_per_second: 256 })).unwrap();
        rotate(&store, group);
        for (kib, seconds) in [(256, 8), (1024, 2), (64, 8)] {
            block_on(store.set_reseal(ResealSettings { paused: false, kib_per_second: kib })).unwrap();
            let moved = moved_in(&store, &clock, movers, Duration::from_secs(seconds), &mut dice);
            let wanted = u64::from(kib) * 1024 * seconds;
            let off = moved.abs_diff(wanted) * 100 / wanted;
            assert!(off < 10, "{movers} movers, {kib} KiB/s: {moved} bytes in {seconds} s, {off} % off");
        }
        block_on(store.set_reseal(ResealSettings { paused: true, kib_per_second: 64 })).unwrap();
        let paused = moved(&store);
        clock.set(clock.ticks() + Duration::from_secs(9));
        assert_eq!(store.resealer().step(), store.resealer().step());
        assert_eq!(moved(&store), paused);
    }
}

#[test]
fn two_workers_move_pages_of_two_groups_at_once() {
    let (disk, keys) = (SimDisk::from_seed(12), OneKey::named("k"));
    let store = Store::create_or_open(with(&disk, &keys, 1)).unwrap();
    let groups = [make_group(&store, "a"), make_group(&store, "b")];
    block_on(store.set_reseal(ResealSettings { paused: true, kib_per_second: 0 })).unwrap();
    for group in groups {
        fill(&store, group, 500, "x");
        rotate(&store, group);
    }
    store.checkpoint().unwrap();
    until(&store, |status| status.groups.iter().filter(|group| group.pages_total > 0).count() == 2);
    // Each makes a journal of its own before it moves anything, and gets no further while the disk is held. So nothing may begin
    // before it is held, and the setting does not go by way of the disk.
    disk.hold();
    store.engine().board.set(ResealSettings { paused: false, kib_per_second: 0 });
    let began = Instant::now();
    while disk.waiting() < 2 {
        assert!(began.elapsed() < Duration::from_secs(60), "one alone works: {:?}", store.reseal_status());
        std::thread::yield_now();
    }
    disk.go_on();
    store.key_users_are_complete();
    until(&store, retired);
    for group in groups {
        assert_eq!(count(&store, group), 500);
    }
}

/// Goes on when two were asked at once.
#[derive(Debug)]
struct Both(Barrier);

impl KeyUser for Both {
    fn rewrap(&self, _: GroupId, _: u32, _: &mut dyn FnMut(u64) -> bool) -> Result<bool, KeyUserError> {
        self.0.wait();
        Ok(true)
    }
}

#[test]
fn two_workers_let_the_values_of_two_groups_be_wrapped_anew_at_once() {
    let (disk, keys) = (SimDisk::from_seed(13), OneKey::named("k"));
    let store = Store::create_or_open(with(&disk, &keys, 1)).unwrap();
    let groups = [make_group(&store, "a"), make_group(&store, "b")];
    for group in groups {
        rotate(&store, group);
    }
    store.add_key_user(Arc::new(Both(Barrier::new(2))));
    store.key_users_are_complete();
    // With one worker at a time the first would wait for ever.
    until(&store, retired);
}

#[test]
fn a_file_that_does_not_know_of_the_new_key_yet_is_not_taken_for_one_that_needs_no_older_key() {
    let (disk, keys, clock) = (SimDisk::from_seed(14), OneKey::named("k"), Arc::<SetClock>::default());
    let store = by_hand(&disk, &keys, &clock);
    let group = make_group(&store, "a");
    fill(&store, group, 500, "x");
    store.checkpoint().unwrap();
    store.key_users_are_complete();
    let open = store.engine().registry.acquire(group).unwrap();
    let keyring = &store.engine().keyring;
    let (active, usable) = keyring.usable(group).unwrap();
    let before = PageKeys { active, keys: usable, uses: Arc::clone(keyring.uses()) };
    rotate(&store, group);
    // As if the file had not been told: the keyring has the key first, and a worker may look in between.
    open.db().unwrap().use_keys(&before).unwrap();
    assert_eq!(store.resealer().step(), Step::Worked);
    let status = store.reseal_status();
    assert_eq!(status.groups[0].stage, ResealStage::Pages, "all is under the key before, which is not done");
    assert_eq!(states(&store, group), [(1, KeyState::Readable), (2, KeyState::Active)]);
    // Now the file knows, and the pages move.
    for _ in 0..1000 {
        match store.resealer().step() {
            Step::Worked => {}
            Step::Rest(..) if retired(&store.reseal_status()) => break,
            Step::Rest(..) => clock.set(clock.ticks() + Duration::from_secs(61)),
            Step::Stop => panic!("{:?}", store.status().poisoned),
        }
    }
    let by_key = open.db().unwrap().pages_by_key().unwrap();
    assert!(by_key.iter().all(|(id, pages)| *id == 2 || *pages == 0), "{by_key:?}");
    assert_eq!(states(&store, group), [(1, KeyState::Retired), (2, KeyState::Active)]);
    drop(open);
    drop(store);
    disk.kill();
    let store = by_hand(&disk, &keys, &clock);
    assert_eq!(count(&store, group), 500);
}
