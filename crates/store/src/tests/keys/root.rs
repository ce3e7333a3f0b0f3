//! Other root keys.

use std::path::Path;

use super::*;
use crate::sim::{Call, Trouble};
use crate::{OpenError, RootKeyChange, RootKeyChangeError};

const KEYRING: &str = "/store/keyring";

fn change(store: &Store, key_id: Option<&str>) -> Result<RootKeyChange, RootKeyChangeError> {
    block_on(store.change_root_key(key_id.map(String::from)))
}

/// The root keys that wrap anything, by id and version, and the header's first.
fn roots(store: &Store) -> Vec<(String, u32)> {
    let report = store.key_report();
    let keys = report.groups.iter().flat_map(|group| &group.keys);
    let all = std::iter::once(&report.root).chain(keys.filter_map(|key| key.root.as_ref()));
    let mut names: Vec<_> = all.map(|root| (root.key_id.clone(), root.key_version)).collect();
    names[1..].sort();
    names.dedup();
    names
}

fn refused(disk: &SimDisk, vault: &Arc<Vault>) -> OpenError {
    Store::create_or_open(with(disk, vault, 99)).expect_err("the store does not open")
}

#[test]
fn after_a_change_of_the_root_key_nothing_needs_the_old_one() {
    for (seed, wanted) in [(1, None), (2, Some("another"))] {
        let (disk, vault) = (SimDisk::from_seed(seed), Vault::new());
        let store = Store::create_or_open(with(&disk, &vault, 1)).unwrap();
        let groups = ["a", "b"].map(|name| make_group(&store, name));
        rotate(&store, groups[0]);
        store.commit_blocking(put(groups[0], "k", "v")).unwrap();
        vault.add_version(wanted.unwrap_or("root"));
        let to = wanted.map_or(("root".to_owned(), 2), |id| (id.to_owned(), 1));
        let done = change(&store, wanted).unwrap();
        assert_eq!((done.from.key_id.as_str(), done.from.key_version), ("root", 1));
        assert_eq!((done.to.key_id.clone(), done.to.key_version), to);
        assert_eq!(done.keys, 4, "two groups, the system group, and a readable key");
        assert_eq!(roots(&store), std::slice::from_ref(&to));
        if wanted.is_some() {
            vault.remove("root")
        } else {
            vault.destroy("root", 1)
        }
        // What is made from now on is under the new one too.
        rotate(&store, groups[1]);
        let late = make_group(&store, "c");
        drop(store);
        disk.kill();
        let store = Store::create_or_open(with(&disk, &vault, 2)).unwrap();
        assert_eq!(roots(&store), [to]);
        assert_eq!(get(&store, groups[0], "k").as_deref(), Some("v"));
        store.commit_blocking(put(late, "k", "v")).unwrap();
        store.close().unwrap();
    }
}

#[test]
fn a_change_to_what_wraps_already_changes_nothing() {
    let (disk, vault) = (SimDisk::from_seed(3), Vault::new());
    let store = Store::create_or_open(with(&disk, &vault, 1)).unwrap();
    make_group(&store, "a");
    let before = store.key_report().generation;
    let done = change(&store, None).unwrap();
    assert_eq!((done.from == done.to, done.keys), (true, 0));
    assert_eq!(store.key_report().generation, before);
}

#[test]
fn a_crash_at_any_call_of_a_change_leaves_all_keys_under_the_old_root_key_or_all_under_the_new() {
    let (disk, vault) = (SimDisk::from_seed(4), Vault::new());
    let store = Store::create_or_open(with(&disk, &vault, 1)).unwrap();
    let group = make_group(&store, "a");
    rotate(&store, group);
    store.commit_blocking(put(group, "k", "v")).unwrap();
    vault.add_version("root");
    disk.record();
    change(&store, None).unwrap();
    disk.label(1);
    let after = make_group(&store, "b");
    let pictures = disk.pictures();
    let mut found = [0; 2];
    for (picture, accident) in pictures.iter().flat_map(|p| (0..4).map(move |accident| (p, accident))) {
        let what = format!("call {}, accident {accident}", picture.call);
        let disk = picture.files.disk(4 + accident);
        if accident == 0 {
            disk.kill()
        } else {
            disk.cut_power()
        }
        let left = disk.snapshot();
        let store =
            Store::create_or_open(with(&disk, &vault, 9)).unwrap_or_else(|error| panic!("{what}: {error}"));
        let [(_, version)] = roots(&store)[..] else { panic!("{what}: {:?}", roots(&store)) };
        assert!(version == 2 || picture.label == 0, "{what}");
        assert_eq!(store.recovered().newer_root, (version == 1).then_some(2), "{what}");
        found[version as usize - 1] += 1;
        assert_eq!(get(&store, group, "k").as_deref(), Some("v"), "{what}");
        drop(store);
        // The version that it is under is the only one that it needs.
        let only = Vault::new();
        only.add_version("root");
        {
            let (mut only, held) = (only.held(), vault.held());
            let versions = &held.keys["root"];
            let needed = versions[version as usize - 1].clone();
            *only.keys.get_mut("root").unwrap() = match version {
                1 => vec![needed],
                _ => vec![None, needed],
            };
        }
        let store = Store::create_or_open(with(&left.disk(7), &only, 10))
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(get(&store, group, "k").as_deref(), Some("v"), "{what}");
        if store.groups().contains(&after) {
            store.read(after).unwrap();
        }
    }
    assert!(found[0] > 0 && found[1] > 0, "both outcomes were seen: {found:?}");
}

#[test]
fn groups_that_are_made_during_a_change_are_under_the_new_root_key() {
    for seed in 5..9 {
        let (disk, vault) = (SimDisk::from_seed(seed), Vault::new());
        let store = Store::create_or_open(with(&disk, &vault, 1)).unwrap();
        std::thread::scope(|scope| {
            for writer in 0..3 {
                let store = store.clone();
                scope.spawn(move || {
                    (0..12).for_each(|n| {
                        make_group(&store, &format!("{writer} {n}"));
                    })
                });
            }
            for version in 2..6 {
                vault.add_version("root");
                change(&store, None).unwrap();
                // All that was under it when the change was answered is not any more.
                vault.destroy("root", version - 1);
            }
        });
        assert_eq!(roots(&store), [("root".to_owned(), 5)], "seed {seed}");
        let groups = store.groups();
        assert_eq!(groups.len(), 37);
        drop(store);
        disk.kill();
        let store = Store::create_or_open(with(&disk, &vault, 2)).unwrap();
        groups.iter().for_each(|group| drop(store.read(*group).unwrap()));
    }
}

#[test]
fn a_key_that_came_under_an_earlier_root_key_is_noticed_and_wrapped_anew() {
    let (disk, vault) = (SimDisk::from_seed(10), Vault::new());
    let store = Store::create_or_open(with(&disk, &vault, 1)).unwrap();
    let group = make_group(&store, "a");
    let keyring = &store.engine().keyring;
    let early = keyring.contents().groups[&group].keys[0].wrapped.clone();
    vault.add_version("root");
    change(&store, None).unwrap();
    keyring.replace(|contents| contents.groups.get_mut(&group).unwrap().keys[0].wrapped = early).unwrap();
    assert_eq!(roots(&store).len(), 3, "the report shows it");
    make_group(&store, "b");
    // Answered after what the key thread was told before.
    rotate(&store, GroupId::SYSTEM);
    assert_eq!(roots(&store), [("root".to_owned(), 2)]);
}

#[test]
fn a_root_key_that_cannot_be_used_is_not_changed_to() {
    let (disk, vault) = (SimDisk::from_seed(11), Vault::new());
    let store = Store::create_or_open(with(&disk, &vault, 1)).unwrap();
    let before = store.key_report().generation;
    let missing = change(&store, Some("nowhere")).unwrap_err();
    assert!(
        matches!(&missing, RootKeyChangeError::NewKey { source: RootKeyError::Missing { key_id } } if key_id == "nowhere"),
        "{missing}"
    );
    vault.add_version("off");
    vault.disable("off");
    let disabled = change(&store, Some("off")).unwrap_err();
    assert!(matches!(disabled, RootKeyChangeError::NewKey { source: RootKeyError::Disabled { .. } }));
    assert_eq!(store.key_report().generation, before);
    make_group(&store, "a");
    store.close().unwrap();
}

#[test]
fn without_space_the_root_key_stays_and_the_store_goes_on() {
    let (disk, vault) = (SimDisk::from_seed(12), Vault::new());
    let store = Store::create_or_open(with(&disk, &vault, 1)).unwrap();
    let group = make_group(&store, "a");
    vault.add_version("root");
    let error = std::io::ErrorKind::StorageFull;
    // The next file that is made is the new keyring; the log may still write its mark.
    disk.plan(Trouble { call: Some(Call::Create), after: 0, error, lasting: false });
    assert!(matches!(change(&store, None), Err(RootKeyChangeError::NoSpace)));
    assert_eq!(roots(&store), [("root".to_owned(), 1)]);
    store.commit_blocking(put(group, "k", "v")).unwrap();
    change(&store, None).unwrap();
    assert_eq!(roots(&store), [("root".to_owned(), 2)]);
}

#[test]
fn a_node_that_was_down_during_a_change_opens_with_its_version_and_says_so() {
    let (disk, vault) = (SimDisk::from_seed(13), Vault::new());
    let store = Store::create_or_open(with(&disk, &vault, 1)).unwrap();
    assert_eq!(store.recovered().newer_root, None);
    store.close().unwrap();
    vault.add_version("root");
    let store = Store::create_or_open(with(&disk, &vault, 2)).unwrap();
    assert_eq!(store.recovered().newer_root, Some(2));
    change(&store, None).unwrap();
    store.close().unwrap();
    let store = Store::create_or_open(with(&disk, &vault, 3)).unwrap();
    assert_eq!(store.recovered().newer_root, None);
    store.close().unwrap();
    // And one that was down too long.
    vault.destroy("root", 2);
    vault.add_version("root");
    let error = refused(&disk, &vault);
    assert!(error.to_string().contains(r#""root" version 2"#), "{error}");
    match error {
        OpenError::RootKey {
            key_id,
            key_version: 2,
            source: RootKeyError::NoSuchVersion { key_version: 2, .. },
            ..
        } => {
            assert_eq!(key_id, "root");
        }
        error => panic!("{error:?}"),
    }
}

#[test]
fn a_wrong_root_key_is_told_from_a_damaged_keyring() {
    let (disk, vault) = (SimDisk::from_seed(14), Vault::new());
    let store = Store::create_or_open(with(&disk, &vault, 1)).unwrap();
    make_group(&store, "a");
    store.close().unwrap();
    let whole = disk.snapshot();
    let keyring = disk.bytes(Path::new(KEYRING)).unwrap();
    let header = 28 + 4 + u32::from_le_bytes(keyring[28..32].try_into().unwrap()) as usize + 4;
    let is_damage = |error: &OpenError| matches!(error, OpenError::Damage(_) | OpenError::TooNew { .. });
    // Header, envelope and checksum, then the body: its salt, its middle and its tag.
    let body = [header, header + 40, keyring.len() / 2, keyring.len() - 1];
    for at in (0..header).chain(body) {
        let disk = whole.disk(1);
        disk.flip(Path::new(KEYRING), at * 8 + 3);
        let error = refused(&disk, &vault);
        assert!(is_damage(&error), "byte {at}: {error:?}");
    }
    let disk = whole.disk(1);
    disk.resize(Path::new(KEYRING), keyring.len() - 1);
    assert!(is_damage(&refused(&disk, &vault)));

    let root_key = |vault: &Arc<Vault>| match refused(&whole.disk(1), vault) {
        OpenError::RootKey { provider, key_id, key_version: 1, source } => {
            assert_eq!((provider.as_str(), key_id.as_str()), ("vault", "root"));
            source
        }
        error => panic!("{error:?}"),
    };
    assert!(matches!(root_key(&Vault::new()), RootKeyError::Wrong { .. }));
    assert!(matches!(root_key(&Arc::default()), RootKeyError::Missing { .. }));
    vault.add_version("root");
    vault.destroy("root", 1);
    assert!(matches!(root_key(&vault), RootKeyError::NoSuchVersion { key_version: 1, .. }));
    vault.disable("root");
    assert!(matches!(root_key(&vault), RootKeyError::Disabled { .. }));
}
