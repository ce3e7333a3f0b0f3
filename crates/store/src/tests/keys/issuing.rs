//! Keys for who holds no root key.

use super::*;
use crate::sim::SimDisk;
use crate::{CommitError, GroupKeyIssuer, IssuedKey};

fn create(store: &Store, issued: &IssuedKey, name: &str) -> Result<Outcome, CommitError> {
    let command = absent(put(GroupId::SYSTEM, name, "a group"), name);
    block_on(store.create_group_with(issued.clone(), command))
}

fn not_issued<T: std::fmt::Debug>(result: Result<T, CommitError>) -> bool {
    matches!(result, Err(CommitError::NotIssued { .. }))
}

/// A role without root key: it has what the issuer hands out, and nothing else.
#[derive(Debug)]
struct Client {
    issuer: Arc<dyn GroupKeyIssuer>,
}

#[test]
fn a_role_without_root_key_has_a_group_made_with_a_key_that_it_never_sees() {
    let (disk, vault) = (SimDisk::from_seed(1), Vault::new());
    let store = Store::create_or_open(with(&disk, &vault, 1)).unwrap();
    let client = Client { issuer: Arc::new(store.clone()) };
    let issued = client.issuer.issue(3).unwrap();
    let mine = make_group(&store, "mine");
    assert!(issued.iter().all(|key| key.group != mine), "the ids are taken");
    // Only the one that is asked for is ever seen in the clear.
    let plain = client.issuer.unwrap_issued(&issued[1]).unwrap();
    let encoded = issued[1].wrapped.encode();
    assert!(!encoded.windows(32).any(|bytes| bytes == plain.dangerous_expose()));

    assert!(matches!(create(&store, &issued[1], "b"), Ok(Outcome::Applied { .. })));
    assert!(matches!(create(&store, &issued[0], "a"), Ok(Outcome::Applied { .. })));
    assert_eq!(store.group_key(issued[1].group).unwrap(), (1, plain));
    store.commit_blocking(put(issued[0].group, "k", "v")).unwrap();
    drop((client, store));
    disk.kill();
    let store = Store::create_or_open(with(&disk, &vault, 2)).unwrap();
    assert_eq!(get(&store, issued[0].group, "k").as_deref(), Some("v"));
    assert_eq!(store.groups(), [GroupId::SYSTEM, issued[0].group, issued[1].group, mine]);
}

#[test]
fn an_issued_key_is_good_once_and_only_as_it_was_issued() {
    let (disk, vault) = (SimDisk::from_seed(2), Vault::new());
    let store = Store::create_or_open(with(&disk, &vault, 1)).unwrap();
    let [first, second] = store.issue(2).unwrap().try_into().unwrap();
    // For another group, of another store, or made up.
    let swapped = IssuedKey { group: second.group, wrapped: first.wrapped.clone() };
    assert!(not_issued(create(&store, &swapped, "a")));
    assert!(not_issued(store.unwrap_issued(&swapped)));
    let foreign = IssuedKey { group: GroupId(77), wrapped: first.wrapped.clone() };
    assert!(not_issued(create(&store, &foreign, "a")));
    let existing = IssuedKey { group: GroupId::SYSTEM, wrapped: first.wrapped.clone() };
    assert!(not_issued(create(&store, &existing, "a")));

    create(&store, &first, "a").unwrap();
    assert!(not_issued(create(&store, &first, "b")));
    assert!(not_issued(store.unwrap_issued(&first)));
    store.commit_blocking(put(first.group, "k", "v")).unwrap();
    // A refused command uses nothing up.
    assert!(matches!(create(&store, &second, "a"), Ok(Outcome::Refused { .. })));
    assert!(matches!(create(&store, &second, "c"), Ok(Outcome::Applied { .. })));
    assert_eq!(get(&store, first.group, "k").as_deref(), Some("v"));
}

#[test]
fn an_issued_key_lapses_with_its_issuer() {
    let (disk, vault) = (SimDisk::from_seed(3), Vault::new());
    let store = Store::create_or_open(with(&disk, &vault, 1)).unwrap();
    let [early] = store.issue(1).unwrap().try_into().unwrap();
    store.close().unwrap();
    let store = Store::create_or_open(with(&disk, &vault, 2)).unwrap();
    let [late] = store.issue(1).unwrap().try_into().unwrap();
    assert_eq!(late.group, early.group, "the id was free again");
    assert!(not_issued(create(&store, &early, "a")));
    create(&store, &late, "a").unwrap();
}

#[test]
fn outstanding_keys_are_bounded_and_the_oldest_lapse() {
    let (disk, vault) = (SimDisk::from_seed(4), Vault::new());
    let store = Store::create_or_open(with(&disk, &vault, 1)).unwrap();
    let issued = store.issue(1030).unwrap();
    assert!(not_issued(create(&store, &issued[5], "a")));
    create(&store, &issued[6], "a").unwrap();
}

#[test]
fn a_key_that_was_issued_before_the_root_key_changed_is_wrapped_by_the_new_one() {
    let (disk, vault) = (SimDisk::from_seed(5), Vault::new());
    let store = Store::create_or_open(with(&disk, &vault, 1)).unwrap();
    let [issued] = store.issue(1).unwrap().try_into().unwrap();
    vault.add_version("root");
    block_on(store.change_root_key(None)).unwrap();
    create(&store, &issued, "a").unwrap();
    assert_eq!(key_of(&store, issued.group, 1).root.unwrap().key_version, 2);
    vault.destroy("root", 1);
    drop(store);
    disk.kill();
    let store = Store::create_or_open(with(&disk, &vault, 2)).unwrap();
    store.commit_blocking(put(issued.group, "k", "v")).unwrap();
}

#[test]
fn without_the_root_key_nothing_is_issued() {
    let (disk, vault) = (SimDisk::from_seed(6), Vault::new());
    let store = Store::create_or_open(with(&disk, &vault, 1)).unwrap();
    vault.disable("root");
    assert!(matches!(store.issue(1), Err(CommitError::RootKey(RootKeyError::Disabled { .. }))));
}
