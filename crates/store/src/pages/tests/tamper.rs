//! Whoever can write the disk can make the file unreadable, and can never make it tell something else.

use super::super::geometry::{FAN, PAGE, PAGE_LEN, SLOT_LEN, Sealed, Twin, lowers, uppers};
use super::*;
use crate::Place as At;
use crate::sim::{Dice, SimDisk, Survival};

const CANARY: &str = "the quick brown canary";

/// A closed file with three generations of content, and the bytes of the file at each.
struct Subject {
    sim: SimDisk,
    place: Place,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The file's bytes and root number after the first checkpoint.
    old: (Vec<u8>, RootSeq),
    /// And when it was closed.
    new: (Vec<u8>, RootSeq),
}

impl Subject {
    fn new() -> Self {
        Self::of(GROUP, 5)
    }

    fn of(group: GroupId, seed: u64) -> Self {
        let sim = SimDisk::from_seed(1);
        let mut place = Place::new(Arc::new(sim.clone()), "/group.pages");
        place.group = group;
        let db = place.create(seed).unwrap();
        let mut old = None;
        for generation in 0..4u64 {
            for step in 0..8u64 {
                let row = |number: u64| {
                    let key = format!("{CANARY} {:03}", (number * 37 + step * 5 + generation) % 300);
                    put(
                        key,
                        format!("{CANARY} {generation} {}", "x".repeat(3000 + (number * 97 % 700) as usize)),
                    )
                };
                apply(&db, (0..12).map(row).collect());
            }
            let done = db.checkpoint().unwrap();
            old.get_or_insert((sim.bytes(&place.path).unwrap(), done.root));
        }
        let rows = rows(&db).unwrap();
        let closed = db.close().unwrap();
        let new = (sim.bytes(&place.path).unwrap(), closed.root);
        Self { sim, place, rows, old: old.unwrap(), new }
    }

    /// What becomes of the file with these bytes: an error, or all rows as they were.
    fn with(&self, bytes: Vec<u8>) -> Result<(), PagesError> {
        self.with_and_expecting(bytes, self.new.1).map(|rows| assert!(rows == self.rows, "other rows"))
    }

    fn with_and_expecting(
        &self,
        bytes: Vec<u8>,
        expect: RootSeq,
    ) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, PagesError> {
        self.sim.cut_power_keeping(Survival::Everything);
        self.sim.put(&self.place.path, Some(bytes));
        let mut db = self.place.open(99, expect)?;
        let rows = rows(&db);
        db.verify()?;
        Ok(rows.expect("what verifies can be read"))
    }

    fn with_page(&self, at: u64, page: &[u8]) -> Result<(), PagesError> {
        let mut bytes = self.new.0.clone();
        bytes[at as usize..at as usize + PAGE_LEN].copy_from_slice(page);
        self.with(bytes)
    }
}

fn page(bytes: &[u8], at: u64) -> &[u8] {
    &bytes[at as usize..at as usize + PAGE_LEN]
}

/// Every page of a file of this length that was ever written.
fn written(bytes: &[u8]) -> Vec<Sealed> {
    let pages = (bytes.len() as u64 - 2 * SLOT_LEN as u64) / PAGE;
    let data = (0..pages).map(Sealed::Data);
    let tags = [Twin::A, Twin::B].into_iter().flat_map(|twin| {
        let lower = (0..lowers(pages)).map(move |lower| Sealed::Lower(lower, twin));
        lower.chain((0..uppers(lowers(pages))).map(move |upper| Sealed::Upper(upper, twin)))
    });
    data.chain(tags)
        .filter(|sealed| bytes.get(sealed.place() as usize..sealed.place() as usize + PAGE_LEN).is_some())
        .filter(|sealed| page(bytes, sealed.place()).iter().any(|byte| *byte != 0))
        .collect()
}

/// Where damage in a sealed page is reported.
fn named(sealed: Sealed) -> At {
    match sealed {
        Sealed::Data(page) => At::Page(page),
        tags => At::Offset(tags.place()),
    }
}

#[test]
fn untouched_bytes_open() {
    let subject = Subject::new();
    subject.with(subject.new.0.clone()).unwrap();
    assert!(written(&subject.new.0).len() > 2 * FAN as usize, "more than two leaves");
}

#[test]
fn no_row_is_readable_in_the_file() {
    let subject = Subject::new();
    for bytes in [&subject.old.0, &subject.new.0] {
        assert!(!bytes.windows(9).any(|window| CANARY.as_bytes().starts_with(window)));
        assert!(!bytes.windows(4).any(|window| window == b"redb" || window == b"rows"));
    }
}

#[test]
fn a_flipped_bit_in_any_page_is_named_or_in_a_page_that_nothing_refers_to() {
    let subject = Subject::new();
    let mut dice = Dice::from_seed(1);
    let (mut data, mut tags) = (0, 0);
    for sealed in written(&subject.new.0) {
        let mut bytes = subject.new.0.clone();
        bytes[sealed.place() as usize + dice.under(PAGE) as usize] ^= 1 << dice.under(8);
        match subject.with(bytes) {
            Ok(()) => {}
            Err(PagesError::Damage(damage)) => {
                assert_eq!(damage.at, named(sealed));
                match sealed {
                    Sealed::Data(_) => data += 1,
                    _ => tags += 1,
                }
            }
            Err(error) => panic!("{sealed:?}: {error}"),
        }
    }
    // 300 rows of 3 KiB and more lie one to a page; of every tag page one copy is live.
    assert!(data > 200, "{data}");
    assert!(tags >= 4, "{tags}");
}

#[test]
fn a_flipped_bit_anywhere_in_the_newest_root_is_named() {
    let subject = Subject::new();
    let slot = subject.new.1.slot();
    let start = usize::from(slot) * SLOT_LEN;
    let used = 64 + u32::from_le_bytes(subject.new.0[start + 44..start + 48].try_into().unwrap()) as usize;
    assert!(used > 300);
    for at in start..start + used {
        let mut bytes = subject.new.0.clone();
        bytes[at] ^= 1 << (at % 8);
        match subject.with(bytes).unwrap_err() {
            PagesError::Damage(damage) => assert_eq!(damage.at, At::Slot(slot)),
            PagesError::TooNew { .. } => assert!((8..12).contains(&(at - start)), "{at}"),
            PagesError::Misplaced { .. } => assert!((12..16).contains(&(at - start)), "{at}"),
            PagesError::KeyMissing { .. } => assert!((40..44).contains(&(at - start)), "{at}"),
            error => panic!("{at}: {error}"),
        }
    }
}

#[test]
fn two_pages_that_change_places_are_named() {
    let subject = Subject::new();
    let live: Vec<Sealed> = written(&subject.new.0)
        .into_iter()
        .filter(|sealed| {
            let mut page = page(&subject.new.0, sealed.place()).to_vec();
            page[17] ^= 1;
            subject.with_page(sealed.place(), &page).is_err()
        })
        .collect();
    let mut dice = Dice::from_seed(3);
    for _ in 0..60 {
        let [a, b] = [0; 2].map(|_| live[dice.under(live.len() as u64) as usize]);
        if a == b {
            continue;
        }
        let mut bytes = subject.new.0.clone();
        bytes[a.place() as usize..][..PAGE_LEN].copy_from_slice(page(&subject.new.0, b.place()));
        bytes[b.place() as usize..][..PAGE_LEN].copy_from_slice(page(&subject.new.0, a.place()));
        match subject.with(bytes).unwrap_err() {
            PagesError::Damage(damage) => assert!(damage.at == named(a) || damage.at == named(b)),
            error => panic!("{a:?} {b:?}: {error}"),
        }
    }
}

#[test]
fn an_old_page_an_old_tag_page_and_all_of_them_together_are_named() {
    let subject = Subject::new();
    let (mut refused, mut all) = (0, subject.new.0.clone());
    for sealed in written(&subject.old.0) {
        let old = page(&subject.old.0, sealed.place());
        if old == page(&subject.new.0, sealed.place()) {
            continue;
        }
        all[sealed.place() as usize..][..PAGE_LEN].copy_from_slice(old);
        match subject.with_page(sealed.place(), old) {
            Ok(()) => {}
            Err(PagesError::Damage(damage)) => {
                assert_eq!(damage.at, named(sealed));
                refused += 1;
            }
            Err(error) => panic!("{sealed:?}: {error}"),
        }
    }
    assert!(refused > 60, "{refused}");
    // The old state of everything but the roots.
    assert!(matches!(subject.with(all).unwrap_err(), PagesError::Damage(_)));
}

#[test]
fn an_old_root_is_named_if_the_log_knows_a_newer_one_and_else_a_crash_could_have_left_it() {
    let subject = Subject::new();
    for slot in 0..2 {
        let range = slot * SLOT_LEN..(slot + 1) * SLOT_LEN;
        let mut bytes = subject.new.0.clone();
        bytes[range.clone()].copy_from_slice(&subject.old.0[range]);
        match subject.with(bytes) {
            Ok(()) => assert_ne!(slot, usize::from(subject.new.1.slot())),
            Err(PagesError::RolledBack { expected, found, .. }) => {
                assert_eq!(expected, subject.new.1);
                assert!(found < expected);
            }
            Err(error) => panic!("{error}"),
        }
    }
    let replayed = subject.with(subject.old.0.clone()).unwrap_err();
    assert!(matches!(replayed, PagesError::RolledBack { found, .. } if found == subject.old.1), "{replayed}");
    // What a single file cannot know: `expect` is what tells.
    let rows = subject.with_and_expecting(subject.old.0.clone(), subject.old.1).unwrap();
    assert_ne!(rows, subject.rows);
}

#[test]
fn a_newest_root_that_is_wiped_is_not_quietly_replaced_by_the_other() {
    let subject = Subject::new();
    let start = usize::from(subject.new.1.slot()) * SLOT_LEN;
    let mut bytes = subject.new.0.clone();
    bytes[start..start + SLOT_LEN].fill(0);
    assert!(matches!(subject.with(bytes).unwrap_err(), PagesError::RolledBack { .. }));
    let mut bytes = subject.new.0.clone();
    bytes[..2 * SLOT_LEN].fill(0);
    assert!(matches!(subject.with(bytes).unwrap_err(), PagesError::Damage(damage) if damage.at == At::Whole));
    let mut bytes = subject.new.0.clone();
    bytes.copy_within(start..start + SLOT_LEN, SLOT_LEN - start);
    assert!(subject.with(bytes).is_ok(), "a root in the other's place is none");
}

#[test]
fn a_file_cut_short_or_made_longer_is_named() {
    let subject = Subject::new();
    let whole = subject.new.0.len();
    for length in [0, 1, PAGE_LEN, SLOT_LEN, 2 * SLOT_LEN, whole / 2, whole - PAGE_LEN, whole - 1] {
        assert!(matches!(subject.with(subject.new.0[..length].to_vec()).unwrap_err(), PagesError::Damage(_)));
    }
    for more in [1, PAGE_LEN, SLOT_LEN] {
        let mut bytes = subject.new.0.clone();
        bytes.resize(whole + more, 0xAB);
        assert!(
            matches!(subject.with(bytes).unwrap_err(), PagesError::Damage(damage) if damage.at == At::Whole)
        );
    }
}

#[test]
fn what_a_crash_left_behind_the_end_is_cut() {
    let subject = Subject::new();
    let mut bytes = subject.old.0.clone();
    let length = bytes.len();
    bytes.resize(length + 3 * PAGE_LEN, 0xAB);
    let rows = subject.with_and_expecting(bytes, subject.old.1).unwrap();
    assert!(!rows.is_empty());
    assert!(!subject.sim.bytes(&subject.place.path).unwrap().windows(64).any(|window| window == [0xAB; 64]));
}

#[test]
fn another_files_page_and_another_groups_file_are_named() {
    let subject = Subject::new();
    let sibling = Subject::of(GROUP, 6);
    let mut refused = 0;
    for sealed in written(&sibling.new.0).into_iter().step_by(5) {
        if subject.new.0.len() < sealed.place() as usize + PAGE_LEN {
            continue;
        }
        match subject.with_page(sealed.place(), page(&sibling.new.0, sealed.place())) {
            Ok(()) => {}
            Err(PagesError::Damage(damage)) => {
                assert_eq!(damage.at, named(sealed));
                refused += 1;
            }
            Err(error) => panic!("{sealed:?}: {error}"),
        }
    }
    assert!(refused > 30, "{refused}");
    // The sibling's root over this file's pages.
    let mut bytes = subject.new.0.clone();
    bytes[..2 * SLOT_LEN].copy_from_slice(&sibling.new.0[..2 * SLOT_LEN]);
    assert!(matches!(subject.with(bytes).unwrap_err(), PagesError::Damage(_)));
    let other = Subject::of(GroupId(8), 5);
    let error = subject.with(other.new.0.clone()).unwrap_err();
    assert!(matches!(error, PagesError::Misplaced { found: GroupId(8), .. }), "{error}");
    // Even if it says that it is this group's, and even under the same group key.
    let mut bytes = other.new.0;
    for slot in 0..2 {
        bytes[slot * SLOT_LEN + 12] = 7;
    }
    assert!(matches!(subject.with(bytes).unwrap_err(), PagesError::Damage(_)));
}

#[test]
fn a_newer_format_in_either_slot_is_refused_and_nothing_changes() {
    let subject = Subject::new();
    for slot in 0..2 {
        let mut bytes = subject.new.0.clone();
        bytes[slot * SLOT_LEN + 8] = 2;
        let error = subject.with(bytes.clone()).unwrap_err();
        assert!(matches!(error, PagesError::TooNew { found: 2, supported: 1, .. }), "{error}");
        assert!(subject.sim.bytes(&subject.place.path).unwrap() == bytes);
    }
}

#[test]
fn after_damage_was_found_the_file_answers_with_it_until_it_is_opened_again() {
    let subject = Subject::new();
    let live = written(&subject.new.0).into_iter().find(|sealed| {
        let mut bytes = subject.new.0.clone();
        bytes[sealed.place() as usize] ^= 1;
        matches!(sealed, Sealed::Data(_)) && subject.with(bytes).is_err()
    });
    let live = live.unwrap();
    let mut bytes = subject.new.0.clone();
    bytes[live.place() as usize] ^= 1;
    subject.sim.put(&subject.place.path, Some(bytes));
    let Ok(db) = subject.place.open(1, subject.new.1) else { return };
    for _ in 0..2 {
        match rows(&db).unwrap_err() {
            ReadError::Damage(damage) => assert_eq!(damage.at, named(live)),
            error => panic!("{error}"),
        }
    }
    assert!(matches!(db.checkpoint().unwrap_err(), PagesError::Damage(_)));
}
