//! The original and the restored store have the same keys; their files cannot be mixed all the same.

use std::fs;

use super::*;
use crate::OpenError;

#[test]
fn files_of_the_original_are_older_than_the_restored_ones() {
    let place = Place::new();
    let store = place.open();
    let group = make_group(&store, "album");
    fill(&store, group, 100, 100);
    place.backup(&store);
    // The original goes on for a while.
    for _ in 0..20 {
        store.commit_blocking(put(group, "row 000001", "of the original")).unwrap();
        store.checkpoint().unwrap();
    }
    store.close().unwrap();
    place.try_restore(None).unwrap();
    let restored = Store::create_or_open(place.options("restored")).unwrap();
    for _ in 0..200 {
        restored.commit_blocking(put(group, "row 000001", "of the restored one")).unwrap();
    }
    restored.close().unwrap();

    let original = place.dir.path().join("store");
    for name in
        ["keyring".to_owned(), format!("pages/{group}.pages"), format!("pages/{}.pages", GroupId::SYSTEM)]
    {
        let path = place.restored().join(&name);
        let good = fs::read(&path).unwrap();
        fs::copy(original.join(&name), &path).unwrap();
        let refused = match Store::create_or_open(place.options("restored")) {
            Err(OpenError::RolledBack { file, .. }) => file == path,
            Err(error) => panic!("{name}: {error:?}"),
            Ok(store) => matches!(store.read(group), Err(crate::ReadError::RolledBack { .. })),
        };
        assert!(refused, "{name}");
        fs::write(&path, good).unwrap();
    }
    // The log as a whole: the keyring knows of a segment far above.
    let log = place.restored().join("log");
    fs::remove_dir_all(&log).unwrap();
    fs::create_dir(&log).unwrap();
    for file in files(&original.join("log")) {
        fs::copy(&file, log.join(file.file_name().unwrap())).unwrap();
    }
    let error = Store::create_or_open(place.options("restored")).unwrap_err();
    assert!(matches!(error, OpenError::RolledBack { .. }), "{error:?}");
}

#[test]
fn a_store_can_be_restored_again_and_again() {
    let place = Place::new();
    let store = place.open();
    let group = make_group(&store, "album");
    fill(&store, group, 50, 100);
    place.backup(&store);
    store.close().unwrap();
    let mut name = "store".to_owned();
    for round in 0..4 {
        let next = format!("restored {round}");
        let options = RestoreOptions::new(place.target(), place.options(&next));
        restore(&options, &mut |_| true).unwrap();
        fs::remove_dir_all(place.dir.path().join(&name)).unwrap();
        name = next;
        let store = Store::create_or_open(place.options(&name)).unwrap();
        assert_eq!(Model::of(&store).groups[&group].len(), 50 + round);
        store.commit_blocking(put(group, &format!("round {round}"), "")).unwrap();
        assert_eq!(place.backup(&store).number, round as u64 + 2);
        store.close().unwrap();
    }
}
