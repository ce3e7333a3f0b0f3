//! What was dropped and has to wait for readers and backups.
//!
//! Each thing is looked at when it comes and when what it waits for ends, and not whenever some other reader is done: a
//! backup may keep a great many waiting while readers come and go.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use strongroom_store::GroupId;

use super::Garbage;
use crate::leases::{Ended, Leases, Name};

/// What waits.
#[derive(Debug)]
pub(super) struct Waiting {
    leases: Arc<Leases>,
    /// For holds taken before the moment of their drop.
    by_moment: BTreeMap<u64, Things>,
    /// For leases on their name.
    by_name: HashMap<Name, Vec<Garbage>>,
    /// How often something was looked at.
    looks: u64,
}

/// Blobs, and whole groups.
#[derive(Debug, Default)]
pub(super) struct Things {
    pub(super) blobs: Vec<Garbage>,
    pub(super) groups: Vec<GroupId>,
}

impl Waiting {
    pub(super) fn new(leases: Arc<Leases>) -> Self {
        Self { leases, by_moment: BTreeMap::new(), by_name: HashMap::new(), looks: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_moment.is_empty() && self.by_name.is_empty()
    }

    /// Takes these, and gives back those that nobody needs.
    pub(super) fn dropped(&mut self, garbage: Vec<Garbage>) -> Vec<Garbage> {
        garbage.into_iter().filter_map(|garbage| self.look(garbage)).collect()
    }

    /// Takes a group that was gone at `moment`, and gives it back if nobody needs it.
    pub(super) fn group_dropped(&mut self, group: GroupId, moment: u64) -> Option<GroupId> {
        self.looks += 1;
        if self.leases.unheld_or_told(moment) {
            return Some(group);
        }
        self.by_moment.entry(moment).or_default().groups.push(group);
        None
    }

    /// Gives back what nobody needs now that these have ended.
    pub(super) fn ended(&mut self, ended: Ended) -> Things {
        let mut ready = Things::default();
        for name in ended.names {
            let waiting = self.by_name.remove(&name).unwrap_or_default();
            ready.blobs.extend(waiting.into_iter().filter_map(|garbage| self.look(garbage)));
        }
        if ended.holds {
            // What was dropped first waits for the fewest.
            while let Some(first) = self.by_moment.first_entry()
                && self.leases.unheld_or_told(*first.key())
            {
                let Things { blobs, groups } = first.remove();
                ready.groups.extend(groups);
                ready.blobs.extend(blobs.into_iter().filter_map(|garbage| self.look(garbage)));
            }
        }
        ready
    }

    fn look(&mut self, garbage: Garbage) -> Option<Garbage> {
        self.looks += 1;
        if !self.leases.unheld_or_told(garbage.moment) {
            self.by_moment.entry(garbage.moment).or_default().blobs.push(garbage);
            return None;
        }
        let name = (garbage.group, garbage.row.to_vec());
        if self.leases.over_or_told(&name, garbage.moment) {
            return Some(garbage);
        }
        self.by_name.entry(name).or_default().push(garbage);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::BlobId;

    fn garbage(leases: &Leases, name: u32) -> Garbage {
        let blob = BlobId { epoch: 1, id: [0; 16] };
        Garbage { group: GroupId(1), blob, row: name.to_be_bytes().to_vec().into(), moment: leases.now() }
    }

    #[test]
    fn what_a_backup_keeps_waiting_is_not_looked_at_while_readers_come_and_go() {
        let leases = Arc::new(Leases::default());
        let mut waiting = Waiting::new(Arc::clone(&leases));
        let hold = leases.hold();
        for name in 0..1000 {
            assert!(waiting.dropped(vec![garbage(&leases, name)]).is_empty());
        }
        for name in 0..1000u32 {
            drop(leases.take(GroupId(1), &name.to_be_bytes()));
            assert!(waiting.ended(leases.ended()).blobs.is_empty());
        }
        assert_eq!(waiting.looks, 1000);
        drop(hold);
        assert_eq!(waiting.ended(leases.ended()).blobs.len(), 1000);
        assert!(waiting.looks == 2000 && waiting.is_empty());
    }

    #[test]
    fn the_end_of_a_lease_makes_only_its_own_name_be_looked_at() {
        let leases = Arc::new(Leases::default());
        let mut waiting = Waiting::new(Arc::clone(&leases));
        let readers: Vec<_> = (0..100u32).map(|name| leases.take(GroupId(1), &name.to_be_bytes())).collect();
        for name in 0..100 {
            assert!(waiting.dropped(vec![garbage(&leases, name)]).is_empty());
        }
        for (done, reader) in readers.into_iter().enumerate() {
            let later = leases.take(GroupId(1), &u32::try_from(done).unwrap().to_be_bytes());
            drop(reader);
            assert_eq!(waiting.ended(leases.ended()).blobs.len(), 1);
            assert_eq!(waiting.looks, 100 + done as u64 + 1);
            drop(later);
        }
        assert!(waiting.is_empty());
    }

    #[test]
    fn what_waits_for_two_readers_or_two_holds_waits_for_the_last() {
        let leases = Arc::new(Leases::default());
        let mut waiting = Waiting::new(Arc::clone(&leases));
        let readers = [leases.take(GroupId(1), &[0; 4]), leases.take(GroupId(1), &[0; 4])];
        let holds = [leases.hold(), leases.hold()];
        assert!(waiting.dropped(vec![garbage(&leases, 0)]).is_empty());
        assert!(waiting.group_dropped(GroupId(2), leases.now()).is_none());
        let late = leases.hold();
        for hold in holds {
            let ready = waiting.ended(leases.ended());
            assert!(ready.blobs.is_empty() && ready.groups.is_empty());
            drop(hold);
        }
        let ready = waiting.ended(leases.ended());
        assert!(ready.blobs.is_empty() && ready.groups == [GroupId(2)]);
        for reader in readers {
            assert!(waiting.ended(leases.ended()).blobs.is_empty());
            drop(reader);
        }
        assert_eq!(waiting.ended(leases.ended()).blobs.len(), 1);
        drop(late);
        assert!(waiting.is_empty());
    }
}
