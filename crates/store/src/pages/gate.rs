//! Who may touch which data pages while some are being moved to another key (`docs/spec/pages.md` §13.3).
//!
//! Writers say which pages they write, and leave again; that takes a lock twice and holds it over nothing. Whoever moves
//! pages keeps everybody else off exactly those, and only while they are overwritten.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The doorkeeper of one page file.
#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Who is in, by number.
    inside: BTreeMap<u64, Range<u64>>,
    entered: u64,
    /// What is being moved, ascending. Nobody enters there.
    claimed: Option<Claim>,
}

#[derive(Debug)]
enum Claim {
    Pages(Vec<u64>),
    All,
}

impl Claim {
    fn touches(&self, pages: &Range<u64>) -> bool {
        match self {
            Self::All => true,
            Self::Pages(claimed) => claimed
                .get(claimed.partition_point(|page| *page < pages.start))
                .is_some_and(|p| *p < pages.end),
        }
    }
}

impl Gate {
    /// Waits until none of these pages is being moved; none will be while the answer lives.
    pub(super) fn enter(&self, pages: Range<u64>) -> Inside<'_> {
        let mut state = self.lock();
        while state.claimed.as_ref().is_some_and(|claim| claim.touches(&pages)) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.entered += 1;
        let number = state.entered;
        state.inside.insert(number, pages);
        Inside { gate: self, number }
    }

    /// Keeps everybody off these pages, ascending, while the answer lives. Waits for those who are in.
    pub(super) fn claim(&self, pages: Vec<u64>) -> Claimed<'_> {
        self.claim_as(Claim::Pages(pages))
    }

    /// Keeps everybody off all pages.
    pub(super) fn claim_all(&self) -> Claimed<'_> {
        self.claim_as(Claim::All)
    }

    fn claim_as(&self, claim: Claim) -> Claimed<'_> {
        let mut state = self.lock();
        while state.claimed.is_some() {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        // Before waiting for those inside: no stream of new ones can keep it waiting for ever.
        state.claimed = Some(claim);
        while state.is_claim_entered() {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Claimed { gate: self }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_claim_entered(&self) -> bool {
        self.claimed.as_ref().is_some_and(|claim| self.inside.values().any(|pages| claim.touches(pages)))
    }
}

/// Someone is at some pages.
#[derive(Debug)]
pub(super) struct Inside<'a> {
    gate: &'a Gate,
    number: u64,
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        state.inside.remove(&self.number);
        if state.claimed.is_some() {
            self.gate.changed.notify_all();
        }
    }
}

/// Pages are being moved.
#[derive(Debug)]
pub(super) struct Claimed<'a> {
    gate: &'a Gate,
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        self.gate.lock().claimed = None;
        self.gate.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn a_claim_touches_exactly_its_pages() {
        let claim = Claim::Pages(vec![3, 9]);
        for (pages, touches) in [(0..3, false), (0..4, true), (4..9, false), (9..10, true), (10..90, false)] {
            assert_eq!(claim.touches(&pages), touches, "{pages:?}");
            assert!(Claim::All.touches(&pages));
        }
    }

    #[test]
    fn nobody_is_at_a_page_while_it_is_claimed_and_others_go_on() {
        let gate = Gate::default();
        // Each page's number of those at it; a claimer counts a thousand.
        let at: Vec<AtomicU64> = (0..8).map(|_| AtomicU64::new(0)).collect();
        thread::scope(|scope| {
            for worker in 0..4u64 {
                let (gate, at) = (&gate, &at);
                scope.spawn(move || {
                    for step in 0..2000 {
                        let first = (worker * 7 + step * 3) % 7;
                        let _inside = gate.enter(first..first + 2);
                        for page in [first, first + 1] {
                            let page = &at[usize::try_from(page).unwrap()];
                            assert!(page.fetch_add(1, Ordering::AcqRel) < 1000);
                            page.fetch_sub(1, Ordering::AcqRel);
                        }
                    }
                });
            }
            for claimer in 0..2u64 {
                let (gate, at) = (&gate, &at);
                scope.spawn(move || {
                    for step in 0..2000u64 {
                        let page = (claimer + step) % 8;
                        let _claimed = if step % 50 == 0 { gate.claim_all() } else { gate.claim(vec![page]) };
                        let page = &at[usize::try_from(page).unwrap()];
                        assert_eq!(page.fetch_add(1000, Ordering::AcqRel), 0);
                        page.fetch_sub(1000, Ordering::AcqRel);
                    }
                });
            }
        });
    }

    #[test]
    fn pages_that_are_not_claimed_are_entered_without_waiting() {
        let gate = Gate::default();
        let claimed = gate.claim(vec![5]);
        drop(gate.enter(0..5));
        drop(gate.enter(6..100));
        drop(claimed);
        drop(gate.enter(5..6));
    }
}
