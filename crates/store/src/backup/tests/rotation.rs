//! Keys change between backups, and while one runs.

use std::collections::BTreeMap;
use std::sync::Mutex;

use strongroom_seal::{Context, Envelope, OsRandom, RootKey, record};
use zeroize::Zeroizing;

use super::*;
use crate::store::block_on;
use crate::{KeyState, RootKeyError, RootKeys};

/// Root keys `one` and `two`, as long as they are there.
#[derive(Debug)]
struct Roots(Mutex<BTreeMap<String, RootKey>>);

impl Roots {
    fn new() -> Arc<Self> {
        let keys = ["one", "two"].map(|id| (id.to_owned(), RootKey::generate(&OsRandom)));
        Arc::new(Self(Mutex::new(BTreeMap::from(keys))))
    }

    fn take(&self, key_id: &str) -> RootKey {
        self.0.lock().unwrap().remove(key_id).unwrap()
    }

    fn put(&self, key_id: &str, key: RootKey) {
        self.0.lock().unwrap().insert(key_id.to_owned(), key);
    }
}

impl RootKeys for Roots {
    fn wrap(&self, id: Option<&str>, key: &[u8; 32], context: &Context) -> Result<Envelope, RootKeyError> {
        let key_id = id.unwrap_or("one").to_owned();
        let keys = self.0.lock().unwrap();
        let root = keys.get(&key_id).ok_or(RootKeyError::Missing { key_id: key_id.clone() })?;
        let blob = record::seal(root, context, key, &OsRandom);
        Ok(Envelope { provider: "test".into(), key_id, key_version: 1, blob })
    }

    fn unwrap(&self, envelope: &Envelope, context: &Context) -> Result<Zeroizing<[u8; 32]>, RootKeyError> {
        let key_id = envelope.key_id.clone();
        let keys = self.0.lock().unwrap();
        let root = keys.get(&key_id).ok_or(RootKeyError::Missing { key_id: key_id.clone() })?;
        let key = record::open(root, context, &envelope.blob).map_err(|_| RootKeyError::Wrong { key_id })?;
        Ok(Zeroizing::new(key.as_slice().try_into().unwrap()))
    }

    fn newest_version(&self, _: &str) -> Result<Option<u32>, RootKeyError> {
        Ok(Some(1))
    }
}

fn options(place: &Place, roots: &Arc<Roots>, name: &str) -> StoreOptions {
    StoreOptions { root_keys: Arc::<Roots>::clone(roots), ..place.options(name) }
}

fn try_restore(place: &Place, roots: &Arc<Roots>, snapshot: u64) -> Result<Restored, BackupError> {
    let options = RestoreOptions::new(place.target(), options(place, roots, "restored"));
    restore(&RestoreOptions { snapshot: Some(snapshot), ..options }, &mut |_| true)
}

#[test]
fn after_a_change_of_the_root_key_each_snapshot_needs_the_one_it_was_taken_under() {
    let (place, roots) = (Place::new(), Roots::new());
    let store = Store::create_or_open(options(&place, &roots, "store")).unwrap();
    let group = make_group(&store, "album");
    fill(&store, group, 100, 100);
    let old = Model::of(&store);
    let first = place.backup(&store);
    assert_eq!(first.root.key_id, "one");
    block_on(store.change_root_key(Some("two".into()))).unwrap();
    let second = place.backup(&store);
    assert_eq!((second.root.key_id.as_str(), second.new_bytes), ("two", 0));

    // The first key is gone: the newer snapshot restores, backups go on, and the older one names what it needs.
    let one = roots.take("one");
    store.commit_blocking(put(group, "after", "the change")).unwrap();
    let new = Model::of(&store);
    assert_eq!(place.backup(&store).number, 3);
    store.close().unwrap();
    let error = try_restore(&place, &roots, 1).unwrap_err();
    assert!(matches!(&error, BackupError::RootKey { key_id, .. } if key_id == "one"), "{error}");
    assert!(!place.restored().exists());
    for (snapshot, expected) in [(2, &old), (3, &new)] {
        try_restore(&place, &roots, snapshot).unwrap();
        let restored = Store::create_or_open(options(&place, &roots, "restored")).unwrap();
        assert_same(&Model::of(&restored), expected);
        restored.close().unwrap();
        std::fs::remove_dir_all(place.restored()).unwrap();
    }
    roots.put("one", one);
    try_restore(&place, &roots, 1).unwrap();
}

#[test]
fn group_keys_that_rotate_before_and_while_a_backup_runs_come_back_with_their_ids() {
    let (place, roots) = (Place::new(), Roots::new());
    let store = Store::create_or_open(options(&place, &roots, "store")).unwrap();
    let group = make_group(&store, "album");
    fill(&store, group, 300, 500);
    block_on(store.rotate_group_key(group)).unwrap();
    let mut reports = 0;
    store
        .backup(&BackupOptions::new(place.target()), &mut |_| {
            reports += 1;
            if reports <= 3 {
                block_on(store.rotate_group_key(group)).unwrap();
                block_on(store.rotate_group_key(GroupId::SYSTEM)).unwrap();
                store.commit_blocking(put(group, &format!("report {reports}"), "")).unwrap();
            }
            if reports == 3 {
                block_on(store.change_root_key(Some("two".into()))).unwrap();
            }
            true
        })
        .unwrap();
    assert!(reports > 3);
    let snapshot = place.backup(&store);
    let expected = Model::of(&store);
    let ids = |store: &Store| {
        let groups = store.key_report().groups;
        let active = groups.iter().map(|group| {
            let active = group.keys.iter().find(|key| key.state == KeyState::Active).unwrap();
            (group.group, active.id)
        });
        active.collect::<Vec<_>>()
    };
    let keys = (ids(&store), store.group_key(group).unwrap());
    store.close().unwrap();
    for number in 1..=snapshot.number {
        try_restore(&place, &roots, number).unwrap();
        let restored = Store::create_or_open(options(&place, &roots, "restored")).unwrap();
        if number == snapshot.number {
            assert_same(&Model::of(&restored), &expected);
            assert_eq!((ids(&restored), restored.group_key(group).unwrap()), keys);
        }
        // An id that was given out is not given out again.
        let (_, last) = *ids(&restored).iter().find(|(of, _)| *of == group).unwrap();
        assert_eq!(block_on(restored.rotate_group_key(group)).unwrap(), last + 1);
        restored.commit_blocking(put(group, "goes", "on")).unwrap();
        restored.close().unwrap();
        let again = Store::create_or_open(options(&place, &roots, "restored")).unwrap();
        assert_eq!(crate::tests::get(&again, group, "goes").as_deref(), Some("on"));
        again.close().unwrap();
        std::fs::remove_dir_all(place.restored()).unwrap();
    }
}
