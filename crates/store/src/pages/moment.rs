//! Telling whether rows changed since they were read, without reading them.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts changes of all groups, so that no two moments are the same, whichever file they are of.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// A moment at which a group's rows were read and no command was about to change them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(u64);

/// The changes of one open file: when the last one began, and when it was over.
#[derive(Debug)]
pub(super) struct Moments {
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Default for Moments {
    fn default() -> Self {
        let now = next();
        Self { begun: now.into(), ended: now.into() }
    }
}

impl Moments {
    /// The rows are about to change; what was read before is no more up to date from here on, though the change shows a little
    /// later. If it fails, [`Self::end`] is not called, and no moment comes before a later change ended.
    pub(super) fn begin(&self) -> u64 {
        let change = next();
        self.begun.store(change, Ordering::SeqCst);
        change
    }

    /// The change is seen by whoever reads from here on.
    pub(super) fn end(&self, change: u64) {
        self.ended.store(change, Ordering::SeqCst);
    }

    /// Now, unless a change is under way. Rows that are read after this are those of the moment if it [is](Self::is_at) that
    /// moment still when they were.
    pub(super) fn settled(&self) -> Option<Moment> {
        let ended = self.ended.load(Ordering::SeqCst);
        (self.begun.load(Ordering::SeqCst) == ended).then_some(Moment(ended))
    }

    pub(super) fn is_at(&self, moment: Moment) -> bool {
        self.begun.load(Ordering::SeqCst) == moment.0
    }
}

fn next() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_over_when_a_change_begins_and_none_comes_before_it_ended() {
        let moments = Moments::default();
        let first = moments.settled().unwrap();
        assert!(moments.is_at(first));
        let change = moments.begin();
        assert!(!moments.is_at(first));
        assert_eq!(moments.settled(), None);
        moments.end(change);
        let second = moments.settled().unwrap();
        assert!(moments.is_at(second) && !moments.is_at(first));
    }

    #[test]
    fn moments_of_two_files_are_never_the_same() {
        let (one, other) = (Moments::default(), Moments::default());
        assert!(!other.is_at(one.settled().unwrap()));
    }
}
