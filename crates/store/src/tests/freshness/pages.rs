//! Older contents of single places of a page file.

use std::collections::BTreeSet;

use super::*;

const PAGE: usize = 4096;

/// What lies at a place of a page file (`docs/spec/pages.md` §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Slot,
    Upper,
    Lower,
    Data,
}

impl Kind {
    fn at(offset: usize) -> Self {
        let Some(pages) = offset.checked_sub(2 * 262_144) else { return Self::Slot };
        match (pages / PAGE) % 20_165 {
            0 | 1 => Self::Upper,
            in_span if (in_span - 2) % 143 < 2 => Self::Lower,
            _ => Self::Data,
        }
    }
}

/// A closed store whose group was rewritten once after it had been closed, and both contents of its page file.
struct Rewritten {
    life: Life,
    closed: Snapshot,
    path: PathBuf,
    older: Vec<u8>,
    newer: Vec<u8>,
}

fn rewritten() -> Rewritten {
    let keys = OneKey::named("root");
    let mut life =
        Life { disk: SimDisk::from_seed(1), keys, rows: Rows::new(), group: GroupId(0), count: 500 };
    let store = life.open().unwrap();
    life.group = make_group(&store, "photos");
    life.rows.insert((GroupId::SYSTEM, "photos".into()), "a group".into());
    life.write(&store, "first");
    store.close().unwrap();
    let path = Path::new(DIR).join(page_file(life.group));
    let older = life.disk.bytes(&path).unwrap();
    let store = life.open().unwrap();
    for round in 0..3 {
        life.write(&store, &format!("round {round}"));
        store.checkpoint().unwrap();
    }
    store.close().unwrap();
    let newer = life.disk.bytes(&path).unwrap();
    Rewritten { closed: life.disk.snapshot(), life, path, older, newer }
}

impl Rewritten {
    /// The places that hold something else by now.
    fn places(&self) -> Vec<usize> {
        let both = self.older.len().min(self.newer.len());
        let page = |bytes: &[u8], at: usize| bytes[at..(at + PAGE).min(both)].to_vec();
        let written = |at: &usize| page(&self.older, *at).iter().any(|byte| *byte != 0);
        let differs = |at: &usize| page(&self.older, *at) != page(&self.newer, *at);
        (0..both).step_by(PAGE).filter(|at| written(at) && differs(at)).collect()
    }

    fn put_back(&self, places: &[usize]) {
        let mut bytes = self.newer.clone();
        for &at in places {
            bytes[at..at + PAGE].copy_from_slice(&self.older[at..at + PAGE]);
        }
        self.life.disk.put(&self.path, Some(bytes));
    }

    /// What is met when these places are put back: at rest, under a store that has not used the group, and under one that
    /// has read one row of it.
    fn met(&self, places: &[usize]) -> [Met; 3] {
        [None, Some(false), Some(true)].map(|running| {
            self.life.disk.restore(&self.closed);
            let Some(used) = running else {
                self.put_back(places);
                return met_at_start(&self.life, &[]);
            };
            let store = self.life.open().unwrap();
            if used {
                assert!(get(&store, self.life.group, "row 000").is_some());
            }
            self.put_back(places);
            let met = met(&store, &self.life.rows, &[]);
            // Nothing that was answered was old, and nothing that cannot be read is given up.
            drop(store);
            self.life.disk.kill();
            met
        })
    }
}

/// A row of the table: all that was met, each once.
fn line(what: &str, met: &[[Met; 3]]) -> String {
    let column = |column: usize| {
        let all: BTreeSet<String> = met.iter().map(|met| met[column].to_string()).collect();
        all.into_iter().collect::<Vec<_>>().join(" or ")
    };
    format!("| {what} | {} | {} | {} |", column(0), column(1), column(2))
}

#[test]
fn what_is_put_back_inside_a_page_file_is_noticed_as_the_specification_says() {
    let store = rewritten();
    let places = store.places();
    let of = |kinds: &[Kind]| -> Vec<usize> {
        places.iter().copied().filter(|at| kinds.contains(&Kind::at(*at))).collect()
    };
    let mut lines = Vec::new();
    for (what, kind) in
        [("a data page", Kind::Data), ("a lower tag page", Kind::Lower), ("an upper tag page", Kind::Upper)]
    {
        let met: Vec<[Met; 3]> = of(&[kind]).into_iter().map(|at| store.met(&[at])).collect();
        assert!(!met.is_empty(), "{what}: none was rewritten");
        lines.push(line(what, &met));
    }
    let slots = of(&[Kind::Slot]);
    for slot in 0..2 {
        let of_one: Vec<usize> = slots.iter().copied().filter(|at| at / 262_144 == slot).collect();
        assert!(!of_one.is_empty(), "slot {slot} was not rewritten");
        lines.push(line(&format!("root slot {slot}"), &[store.met(&of_one)]));
    }
    lines.push(line("both root slots", &[store.met(&slots)]));
    lines.push(line("all data pages", &[store.met(&of(&[Kind::Data]))]));
    lines.push(line("all pages below the root", &[store.met(&of(&[Kind::Data, Kind::Lower, Kind::Upper]))]));
    let missing: Vec<_> =
        lines.iter().filter(|line| !SPEC.lines().any(|said| said == *line)).cloned().collect();
    assert!(missing.is_empty(), "docs/spec/freshness.md lacks:\n{}", missing.join("\n"));
}
