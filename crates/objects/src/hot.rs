//! Small objects that are asked for again and again, opened.
//!
//! An entry counts as long as nothing of its bucket changed since it was read, which the store tells without a look at
//! the rows. Only content that lies in the index under the bucket's own key is kept: what a customer's key or one of the
//! KMS seals is opened anew each time, so that whoever takes such a key away ends the reading at once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use metrics::{Counter, counter, gauge};
use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};
use strongroom_store::{GroupId, KeptOpen, Moment, Store};
use strongroom_telemetry::names;

use crate::rows::{Body, Head, ObjectHead};
use crate::{ObjectName, meta};

/// What an entry takes beside names, metadata and content: the rest of the rows, and its place in the cache.
const ENTRY_BYTES: u64 = 768;
/// For the size of the table when it is made; more or fewer entries do no harm.
const USUAL_BYTES: u64 = 4096;

/// Opened objects, so many bytes of them. Nothing here can be printed: it is all content and names.
pub(crate) struct HotObjects {
    /// Nothing if it may hold nothing.
    cache: Option<Cache<Key, Arc<HotObject>, Weight>>,
    hits: Counter,
    misses: Counter,
}

/// What was read of an object.
pub(crate) struct HotObject {
    pub(crate) moment: Moment,
    pub(crate) head: Head,
    pub(crate) object: ObjectHead,
    /// With the sealed content taken out.
    pub(crate) body: Body,
    pub(crate) plain: Bytes,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    group: GroupId,
    name: ObjectName,
}

/// A [`Key`] that is asked for.
struct Asked<'a> {
    group: GroupId,
    name: &'a ObjectName,
}

impl Hash for Asked<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.group.hash(state);
        self.name.hash(state);
    }
}

impl Equivalent<Key> for Asked<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.group == key.group && *self.name == key.name
    }
}

#[derive(Clone)]
struct Weight;

impl Weighter<Key, Arc<HotObject>> for Weight {
    fn weight(&self, key: &Key, value: &Arc<HotObject>) -> u64 {
        ENTRY_BYTES + (key.name.as_str().len() + meta::len(&value.body.meta) + value.plain.len()) as u64
    }
}

impl HotObjects {
    /// Holds up to so many bytes; with 0 nothing.
    pub(crate) fn new(bytes: usize) -> Self {
        let bytes = bytes as u64;
        let usual = usize::try_from(bytes / USUAL_BYTES).unwrap_or(usize::MAX).max(1);
        Self {
            cache: (bytes > 0).then(|| Cache::with_weighter(usual, bytes, Weight)),
            hits: counter!(names::OBJECT_CACHE_LOOKUPS, "outcome" => "hit"),
            misses: counter!(names::OBJECT_CACHE_LOOKUPS, "outcome" => "miss"),
        }
    }

    /// The current version of an object, if it is known and nothing in its bucket changed since.
    pub(crate) fn find(
        &self,
        group: GroupId,
        name: &ObjectName,
        now: impl FnOnce() -> Option<KeptOpen>,
    ) -> Option<Arc<HotObject>> {
        let found = self.cache.as_ref()?.get(&Asked { group, name });
        let found = found.filter(|found| now().is_some_and(|now| now.is_at(found.moment)));
        if found.is_some() { &self.hits } else { &self.misses }.increment(1);
        found
    }

    pub(crate) fn keep(&self, group: GroupId, name: ObjectName, object: HotObject) {
        if let Some(cache) = &self.cache {
            cache.insert(Key { group, name }, Arc::new(object));
        }
    }

    /// Lets go of what does not count any more. What was deleted is not kept longer than until the next call. Looks at every
    /// entry, so it belongs where it may block.
    pub(crate) fn purge(&self, store: &Store) {
        let Some(cache) = &self.cache else { return };
        let groups = RefCell::new(HashMap::new());
        cache.retain(|key, object| {
            let mut groups = groups.borrow_mut();
            let now = groups.entry(key.group).or_insert_with(|| store.keep_open(key.group));
            now.as_ref().is_some_and(|now: &KeptOpen| now.is_at(object.moment))
        });
        gauge!(names::OBJECT_CACHE_BYTES).set(cache.weight() as f64);
    }

    pub(crate) fn clear(&self) {
        if let Some(cache) = &self.cache {
            cache.clear();
        }
    }
}

#[cfg(test)]
mod tests;
