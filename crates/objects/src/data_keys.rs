//! Keys that a KMS unwrapped or made, kept in memory for a while: so that hot objects need no call each, and are still
//! read while the KMS is away.
//!
//! What is kept, for how long and why that is safe: `docs/spec/object-entry.md` §11.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::counter;
use sha2::{Digest, Sha256};
use strongroom_kms::{KmsError, Provider};
use strongroom_seal::{Context, DataKey, Envelope};
use strongroom_telemetry::names;
use tokio::sync::OnceCell;

use crate::bucket_key::BucketKeys;
use crate::{Clock, Timestamp};

/// How long a KMS that did not answer is left alone about one key.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// How data keys of a KMS are kept in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataKeyOptions {
    /// How long a key is used without asking the KMS. It is also the window of a bucket key: how long new objects of a
    /// bucket are wrapped by one. Zero: nothing is kept.
    pub fresh_for: Duration,
    /// How long a key is still used for reading if the KMS cannot be reached. A KMS that answers decides at once.
    pub kept_for: Duration,
    /// How many keys are kept; the oldest go first. At least 2.
    pub count_max: usize,
    /// How many objects a bucket key wraps at most.
    pub bucket_key_uses_max: u64,
}

impl Default for DataKeyOptions {
    /// Five minutes, in which a key that an operator disables elsewhere may go on; an hour, in which operators can
    /// bring a KMS back; 4096 keys, which are less than 2 MiB; and a million objects.
    fn default() -> Self {
        Self {
            fresh_for: Duration::from_secs(300),
            kept_for: Duration::from_secs(3600),
            count_max: 4096,
            bucket_key_uses_max: 1 << 20,
        }
    }
}

/// A KMS, and what it gave lately.
#[derive(Debug)]
pub(crate) struct DataKeys {
    kms: Arc<dyn Provider>,
    clock: Arc<dyn Clock>,
    options: DataKeyOptions,
    kept: Mutex<Kept>,
    asked: Flights<Name, Arc<DataKey>>,
    pub(crate) bucket_keys: BucketKeys,
}

/// An envelope in its context, as a hash: contexts may be long.
type Name = [u8; 32];

impl DataKeys {
    pub(crate) fn new(kms: Arc<dyn Provider>, clock: Arc<dyn Clock>, options: DataKeyOptions) -> Self {
        let (kept, asked) = (Mutex::default(), Flights::default());
        Self { kms, clock, options, kept, asked, bucket_keys: BucketKeys::default() }
    }

    pub(crate) fn kms(&self) -> &dyn Provider {
        &*self.kms
    }

    pub(crate) fn options(&self) -> &DataKeyOptions {
        &self.options
    }

    /// Until when what is got now is used.
    pub(crate) fn term(&self) -> Term {
        Term { since: self.clock.now(), changes: self.kms.changes(), ask_at: None }
    }

    /// How `term` stands now.
    pub(crate) fn stands(&self, term: &Term) -> Standing {
        term.standing(self.clock.now(), self.kms.changes(), &self.options)
    }

    /// The key of an envelope, if it is here and need not be asked for.
    pub(crate) fn kept(&self, envelope: &Envelope, context: &Context) -> Option<Arc<DataKey>> {
        self.fresh(&name(envelope, context))
    }

    fn fresh(&self, name: &Name) -> Option<Arc<DataKey>> {
        let held = self.lock().find(name, self.options.count_max)?;
        (self.stands(&held.term) == Standing::Fresh).then(|| {
            counter!(names::KMS_CACHE_HITS).increment(1);
            held.key
        })
    }

    /// The key of an envelope: from here, or from the KMS. Those who want the same one meanwhile wait for one answer.
    pub(crate) async fn unwrap(
        &self,
        envelope: &Envelope,
        context: &Context,
    ) -> Result<Arc<DataKey>, KmsError> {
        let name = name(envelope, context);
        if let Some(key) = self.fresh(&name) {
            return Ok(key);
        }
        self.asked.join(name, || self.ask(name, envelope, context)).await
    }

    async fn ask(
        &self,
        name: Name,
        envelope: &Envelope,
        context: &Context,
    ) -> Result<Arc<DataKey>, KmsError> {
        // Somebody else's answer may have come in between.
        if let Some(key) = self.fresh(&name) {
            return Ok(key);
        }
        counter!(names::KMS_CACHE_MISSES).increment(1);
        // Before the call: a change during it makes the answer an old one.
        let term = self.term();
        match self.kms.unwrap(envelope, context).await {
            Ok(key) => {
                let key = Arc::new(key);
                self.keep(name, Held { key: Arc::clone(&key), term });
                Ok(key)
            }
            Err(error @ KmsError::Unavailable { .. }) => self.in_need(&name).ok_or(error),
            Err(error) => {
                self.lock().forget(&name);
                Err(error)
            }
        }
    }

    /// What is kept for the time the KMS is away.
    fn in_need(&self, name: &Name) -> Option<Arc<DataKey>> {
        let held = self.lock().find(name, self.options.count_max)?;
        if self.stands(&held.term) == Standing::Over {
            return None;
        }
        let ask_at = Timestamp(self.clock.now().0.saturating_add(millis(RETRY_AFTER)));
        let term = Term { ask_at: Some(ask_at), ..held.term };
        self.keep(*name, Held { key: Arc::clone(&held.key), term });
        Some(held.key)
    }

    fn keep(&self, name: Name, held: Held) {
        if self.options.fresh_for > Duration::ZERO {
            self.lock().put(name, held, self.options.count_max);
        }
    }

    /// Keeps a key that was not unwrapped but made.
    pub(crate) fn keep_made(&self, envelope: &Envelope, context: &Context, key: &Arc<DataKey>, term: Term) {
        self.keep(name(envelope, context), Held { key: Arc::clone(key), term });
    }

    /// Wipes what may not be used any more.
    pub(crate) fn purge(&self) {
        let over = |held: &Held| self.stands(&held.term) == Standing::Over;
        self.lock().remove_if(over);
        self.bucket_keys.remove_if(|term| self.stands(term) != Standing::Fresh);
    }

    /// Wipes everything.
    pub(crate) fn clear(&self) {
        self.lock().remove_if(|_| true);
        self.bucket_keys.remove_if(|_| true);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name(envelope: &Envelope, context: &Context) -> Name {
    // An envelope's encoding says how long it is, so that the two cannot run into each other.
    Sha256::new().chain_update(envelope.encode()).chain_update(context.as_bytes()).finalize().into()
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// When a key was got, and what the provider's count of changes was.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Term {
    since: Timestamp,
    changes: u64,
    /// After the KMS did not answer: when it is asked again.
    ask_at: Option<Timestamp>,
}

/// How far a term is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The key is used.
    Fresh,
    /// The KMS is asked, and the key used if it does not answer.
    Stale,
    /// The key is not used.
    Over,
}

impl Term {
    fn standing(&self, now: Timestamp, changes: u64, options: &DataKeyOptions) -> Standing {
        // A clock that was set back tells nothing of the age.
        let Some(age) = now.0.checked_sub(self.since.0) else { return Standing::Over };
        let fresh = self.ask_at.map_or(age < millis(options.fresh_for), |at| now < at);
        if changes != self.changes || age >= millis(options.kept_for.max(options.fresh_for)) {
            Standing::Over
        } else if fresh {
            Standing::Fresh
        } else {
            Standing::Stale
        }
    }
}

#[derive(Debug, Clone)]
struct Held {
    key: Arc<DataKey>,
    term: Term,
}

/// Two halves: what was used lately, and what was before. When the first is full it becomes the second, which goes:
/// so what is used stays, at no cost for the order.
#[derive(Debug, Default)]
struct Kept {
    young: HashMap<Name, Held>,
    old: HashMap<Name, Held>,
}

impl Kept {
    fn find(&mut self, name: &Name, most: usize) -> Option<Held> {
        if let Some(held) = self.young.get(name) {
            return Some(held.clone());
        }
        let held = self.old.remove(name)?;
        self.put(*name, held.clone(), most);
        Some(held)
    }

    fn put(&mut self, name: Name, held: Held, most: usize) {
        self.old.remove(&name);
        if self.young.len() >= (most / 2).max(1) && !self.young.contains_key(&name) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(name, held);
    }

    fn forget(&mut self, name: &Name) {
        self.young.remove(name);
        self.old.remove(name);
    }

    fn remove_if(&mut self, over: impl Fn(&Held) -> bool) {
        self.young.retain(|_, held| !over(held));
        self.old.retain(|_, held| !over(held));
    }
}

/// Calls that are under way, so that nobody makes one that somebody else is making.
#[derive(Debug)]
pub(crate) struct Flights<K, V>(Mutex<HashMap<K, Flight<V>>>);

type Flight<V> = Arc<OnceCell<Result<V, KmsError>>>;

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Flights<K, V> {
    /// The result of the call that is under way, or else of `call`. Who started it may go away: another one who waits
    /// then starts anew.
    pub(crate) async fn join<F>(&self, key: K, call: impl FnOnce() -> F) -> Result<V, KmsError>
    where
        F: Future<Output = Result<V, KmsError>>,
    {
        let flight = Arc::clone(self.lock().entry(key.clone()).or_default());
        let boarded = Boarded { flights: self, key, flight };
        boarded.flight.get_or_init(call).await.clone()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Flight<V>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes a flight when it has landed, and when the last passenger left it.
struct Boarded<'a, K: Eq + Hash + Clone, V: Clone> {
    flights: &'a Flights<K, V>,
    key: K,
    flight: Flight<V>,
}

impl<K: Eq + Hash + Clone, V: Clone> Drop for Boarded<'_, K, V> {
    fn drop(&mut self) {
        let mut flights = self.flights.lock();
        let ours = flights.get(&self.key).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight));
        // The map and this hold one each.
        if ours && (self.flight.initialized() || Arc::strong_count(&self.flight) == 2) {
            flights.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(number: u64) -> Held {
        let key = Arc::new(DataKey::from_bytes(&mut [u8::try_from(number).unwrap(); 32]));
        Held { key, term: Term { since: Timestamp(number), changes: 0, ask_at: None } }
    }

    #[test]
    fn what_is_used_stays_and_what_is_not_goes() {
        let mut kept = Kept::default();
        let name = |number: u8| [number; 32];
        for number in 0..100 {
            kept.put(name(number), held(number.into()), 8);
            assert!(kept.find(&name(0), 8).is_some(), "{number}");
            assert!(kept.young.len() + kept.old.len() <= 8);
        }
        assert!(kept.find(&name(1), 8).is_none());
        kept.forget(&name(0));
        assert!(kept.find(&name(0), 8).is_none());
    }

    #[test]
    fn a_key_is_fresh_then_stale_then_over_and_a_change_or_a_clock_set_back_ends_it() {
        let options = DataKeyOptions {
            fresh_for: Duration::from_millis(100),
            kept_for: Duration::from_millis(1000),
            ..DataKeyOptions::default()
        };
        let term = Term { since: Timestamp(5000), changes: 3, ask_at: None };
        let at = |now, changes| term.standing(Timestamp(now), changes, &options);
        assert_eq!(at(5000, 3), Standing::Fresh);
        assert_eq!(at(5099, 3), Standing::Fresh);
        assert_eq!(at(5100, 3), Standing::Stale);
        assert_eq!(at(5999, 3), Standing::Stale);
        assert_eq!(at(6000, 3), Standing::Over);
        assert_eq!(at(5050, 4), Standing::Over);
        assert_eq!(at(4999, 3), Standing::Over);
        let left_alone = Term { ask_at: Some(Timestamp(5700)), ..term };
        assert_eq!(left_alone.standing(Timestamp(5650), 3, &options), Standing::Fresh);
        assert_eq!(left_alone.standing(Timestamp(5700), 3, &options), Standing::Stale);
        assert_eq!(left_alone.standing(Timestamp(6000), 3, &options), Standing::Over);
    }

    #[tokio::test]
    async fn calls_for_the_same_thing_are_one_call_also_if_its_maker_goes_away() {
        let flights = Flights::<u8, u8>::default();
        let calls = std::sync::atomic::AtomicUsize::new(0);
        let call = || async {
            calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            tokio::task::yield_now().await;
            Ok(7)
        };
        let (first, second) = tokio::join!(flights.join(1, call), flights.join(1, call));
        assert_eq!((first.unwrap(), second.unwrap()), (7, 7));
        assert_eq!(calls.load(std::sync::atomic::Ordering::Relaxed), 1);
        assert!(flights.lock().is_empty());
        let mut gone = Box::pin(flights.join(2, call));
        assert!(futures::poll!(gone.as_mut()).is_pending());
        drop(gone);
        assert!(flights.lock().is_empty());
        assert_eq!(flights.join(2, call).await.unwrap(), 7);
    }
}
