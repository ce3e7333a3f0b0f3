//! Files that were changed, swapped, removed or put back, and the wrong key.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::{OpenError, Place, ReadError};

struct Closed {
    dir: tempfile::TempDir,
    keys: Arc<OneKey>,
    group: GroupId,
}

/// A store with a group that was closed.
fn closed() -> Closed {
    closed_with(&OneKey::named("root"))
}

fn closed_with(keys: &Arc<OneKey>) -> Closed {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create_or_open(options(dir.path(), keys)).unwrap();
    let group = make_group(&store, "photos");
    store.commit_blocking(put(group, "cat", "meow")).unwrap();
    store.close().unwrap();
    Closed { dir, keys: Arc::clone(keys), group }
}

impl Closed {
    fn open(&self) -> Result<Store, OpenError> {
        Store::create_or_open(options(self.dir.path(), &self.keys))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Opening fails with what the directory holds now, and changes none of it.
    fn refused(&self) -> OpenError {
        let before = contents(self.dir.path());
        let error = self.open().expect_err("what is in the directory cannot be trusted");
        assert!(contents(self.dir.path()) == before, "a refused opening changes nothing");
        error
    }
}

fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(contents(&path));
        } else {
            all.push((path.clone(), fs::read(path).unwrap()));
        }
    }
    all.sort();
    all
}

#[test]
fn every_flip_and_cut_of_the_keyring_is_refused() {
    let store = closed();
    let path = store.path("keyring");
    let good = fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        fs::write(&path, bad).unwrap();
        let error = store.refused();
        assert!(matches!(error, OpenError::Damage(_) | OpenError::TooNew { .. }), "byte {at}: {error}");
    }
    for length in (0..good.len()).step_by(7) {
        fs::write(&path, &good[..length]).unwrap();
        assert!(matches!(store.refused(), OpenError::Damage(_)), "cut at {length}");
    }
    fs::write(&path, [good.as_slice(), &[0]].concat()).unwrap();
    assert!(matches!(store.refused(), OpenError::Damage(_)));
    fs::write(&path, good).unwrap();
    store.open().unwrap();
}

#[test]
fn an_older_keyring_is_told_by_its_generation() {
    let store = closed();
    let path = store.path("keyring");
    let older = fs::read(&path).unwrap();
    let reopened = store.open().unwrap();
    make_group(&reopened, "films");
    reopened.close().unwrap();
    let newer = fs::read(&path).unwrap();
    fs::write(&path, older).unwrap();
    match store.refused() {
        OpenError::RolledBack { file, found, expected } => assert!(file == path && found < expected),
        other => panic!("{other}"),
    }
    fs::write(&path, newer).unwrap();
    store.open().unwrap();
}

#[test]
fn another_stores_keyring_is_refused_even_with_its_format() {
    let store = closed();
    // Under the same root key, so that it opens.
    let same_key = closed_with(&store.keys);
    fs::copy(same_key.path("keyring"), store.path("keyring")).unwrap();
    assert!(matches!(store.refused(), OpenError::Damage(damage) if damage.why.contains("another store")));
    fs::copy(same_key.path("FORMAT"), store.path("FORMAT")).unwrap();
    let error = store.refused();
    assert!(matches!(error, OpenError::Log(_)), "{error}");
}

#[test]
fn a_wrong_or_missing_root_key_is_named_and_told_from_damage() {
    let mut store = closed();
    let right = Arc::clone(&store.keys);
    for (name, wrong) in [("root", true), ("another", false)] {
        store.keys = OneKey::named(name);
        match store.refused() {
            OpenError::RootKey { provider, key_id, key_version, source } => {
                assert_eq!((provider.as_str(), key_id.as_str(), key_version), ("test", "root", 3));
                assert_eq!(wrong, matches!(source, RootKeyError::Wrong { .. }));
            }
            error => panic!("{error}"),
        }
    }
    store.keys = right;
    store.open().unwrap();
}

#[test]
fn a_missing_file_is_named_and_never_made_anew() {
    let store = closed();
    let page_file = format!("pages/{}.pages", store.group);
    let names = fs::read_dir(store.path("log")).unwrap().map(|entry| entry.unwrap().file_name());
    let segments: Vec<_> = names.map(|name| format!("log/{}", name.into_string().unwrap())).collect();
    for name in ["FORMAT", "keyring"].into_iter().map(String::from).chain(segments) {
        let path = store.path(&name);
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let error = store.refused();
        let named = matches!(&error, OpenError::Missing { file } if *file == path);
        assert!(named || matches!(error, OpenError::Log(_)), "{name}: {error}");
        fs::write(&path, bytes).unwrap();
    }
    let reopened = store.open().unwrap();
    assert_eq!(get(&reopened, store.group, "cat").as_deref(), Some("meow"));
    reopened.close().unwrap();

    // A group's pages are read when the group is used, and its name says which.
    fs::remove_file(store.path(&page_file)).unwrap();
    let reopened = store.open().unwrap();
    match reopened.read(store.group) {
        Err(ReadError::Damage(damage)) => {
            assert_eq!((damage.file, damage.at), (store.path(&page_file), Place::Whole))
        }
        other => panic!("{other:?}"),
    }
    let refused = reopened.commit_blocking(put(store.group, "dog", "woof"));
    assert!(matches!(refused, Err(crate::CommitError::Unreadable(ReadError::Damage(_)))), "{refused:?}");
    assert!(!store.path(&page_file).exists());
    // Others are not affected.
    let other = make_group(&reopened, "films");
    reopened.commit_blocking(put(other, "a", "b")).unwrap();
}

#[test]
fn an_older_page_file_is_told_by_its_root() {
    let store = closed();
    let path = store.path(&format!("pages/{}.pages", store.group));
    let older = fs::read(&path).unwrap();
    let reopened = store.open().unwrap();
    reopened.commit_blocking(put(store.group, "cat", "purr")).unwrap();
    reopened.close().unwrap();
    fs::write(&path, older).unwrap();
    let reopened = store.open().unwrap();
    let error = reopened.read(store.group).expect_err("the file is older than the log says");
    assert!(matches!(error, ReadError::RolledBack { .. } | ReadError::Damage(_)), "{error}");
}

/// A store that was closed, and what its `log/` was then; opened again, written to, and killed.
fn killed_later(then: impl FnOnce(&Store, GroupId)) -> (Closed, Vec<(PathBuf, Vec<u8>)>) {
    let store = closed();
    let log = contents(&store.path("log"));
    let reopened = store.open().unwrap();
    then(&reopened, store.group);
    drop(reopened);
    (store, log)
}

fn put_back(dir: &Path, files: &[(PathBuf, Vec<u8>)]) {
    fs::remove_dir_all(dir).unwrap();
    fs::create_dir(dir).unwrap();
    for (path, bytes) in files {
        fs::write(path, bytes).unwrap();
    }
}

/// The error names `log/` as older than it was.
fn assert_log_is_older(store: &Closed, error: &OpenError) {
    let OpenError::RolledBack { file, found, expected } = error else { panic!("{error}") };
    assert!(*file == store.path("log") && found < expected, "{error}");
}

#[test]
fn an_older_whole_log_is_told_by_the_keyring_after_a_kill() {
    let (store, older) = killed_later(|store, group| {
        store.commit_blocking(put(group, "cat", "purr")).unwrap();
    });
    let newer = contents(&store.path("log"));
    put_back(&store.path("log"), &older);
    assert_log_is_older(&store, &store.refused());
    put_back(&store.path("log"), &newer);
    let reopened = store.open().unwrap();
    assert_eq!(get(&reopened, store.group, "cat").as_deref(), Some("purr"));
}

#[test]
fn an_older_whole_log_is_told_even_if_nothing_was_written_since() {
    let (store, older) = killed_later(|_, _| ());
    put_back(&store.path("log"), &older);
    assert_log_is_older(&store, &store.refused());
}

#[test]
fn a_log_from_before_a_checkpoint_is_told_within_one_opening() {
    let dir = tempfile::tempdir().unwrap();
    let keys = OneKey::named("root");
    let store = Store::create_or_open(options(dir.path(), &keys)).unwrap();
    let group = make_group(&store, "photos");
    store.commit_blocking(put(group, "cat", "meow")).unwrap();
    let older = contents(&dir.path().join("log"));
    store.commit_blocking(put(group, "cat", "purr")).unwrap();
    store.checkpoint().unwrap();
    drop(store);
    let store = Closed { dir, keys, group };
    put_back(&store.path("log"), &older);
    assert_log_is_older(&store, &store.refused());
}

#[test]
fn a_log_from_before_a_group_was_made_is_told_within_one_opening() {
    let dir = tempfile::tempdir().unwrap();
    let keys = OneKey::named("root");
    let store = Store::create_or_open(options(dir.path(), &keys)).unwrap();
    let older = contents(&dir.path().join("log"));
    let group = make_group(&store, "photos");
    drop(store);
    let store = Closed { dir, keys, group };
    put_back(&store.path("log"), &older);
    assert_log_is_older(&store, &store.refused());
}

#[test]
fn an_older_log_with_its_keyring_is_told_by_pages_that_know_more() {
    let store = closed();
    let older = contents(&store.path("log"));
    let keyring = fs::read(store.path("keyring")).unwrap();
    let reopened = store.open().unwrap();
    reopened.commit_blocking(put(store.group, "cat", "purr")).unwrap();
    reopened.checkpoint().unwrap();
    drop(reopened);
    put_back(&store.path("log"), &older);
    fs::write(store.path("keyring"), keyring).unwrap();
    // The system group's rows are as they were, so the store opens; the group's are ahead of the log.
    let reopened = store.open().unwrap();
    for _ in 0..2 {
        match reopened.read(store.group) {
            Err(ReadError::RolledBack { file, found, expected }) => {
                assert!(file == store.path("log") && found < expected);
            }
            other => panic!("{other:?}"),
        }
    }
    let refused = reopened.commit_blocking(put(store.group, "dog", "woof"));
    let is_older = |error: &crate::CommitError| {
        matches!(error, crate::CommitError::Unreadable(ReadError::RolledBack { .. }))
    };
    assert!(refused.as_ref().is_err_and(is_older), "{refused:?}");
}

#[test]
fn a_log_whose_end_was_lost_below_what_the_keyring_knows_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let keys = OneKey::named("root");
    let store = Store::create_or_open(options(dir.path(), &keys)).unwrap();
    let log = dir.path().join("log");
    let mark = fs::read(log.join("mark")).unwrap();
    let group = make_group(&store, "photos");
    drop(store);
    // The mark as a power cut may leave it, and a last frame that rotted: alone, that would be a torn tail.
    fs::write(log.join("mark"), mark).unwrap();
    let (segment, mut bytes) = contents(&log).into_iter().find(|(path, _)| !path.ends_with("mark")).unwrap();
    let end = bytes.iter().rposition(|&byte| byte != 0).unwrap();
    bytes[end] = bytes[end].wrapping_add(1);
    fs::write(segment, bytes).unwrap();
    let store = Closed { dir, keys, group };
    let error = store.refused();
    assert!(matches!(&error, OpenError::Damage(damage) if damage.file == log), "{error}");
}

#[test]
fn another_groups_page_file_is_refused() {
    let store = closed();
    let reopened = store.open().unwrap();
    let other = make_group(&reopened, "films");
    reopened.commit_blocking(put(other, "cat", "hiss")).unwrap();
    reopened.close().unwrap();
    let file = |group: GroupId| store.path(&format!("pages/{group}.pages"));
    fs::copy(file(other), file(store.group)).unwrap();
    let reopened = store.open().unwrap();
    assert!(reopened.read(store.group).is_err());
    assert_eq!(get(&reopened, other, "cat").as_deref(), Some("hiss"));
}

#[test]
fn a_newer_format_is_refused_as_newer() {
    let store = closed();
    fs::write(store.path("FORMAT"), "strongroom-store 2 sealed differently\n").unwrap();
    match store.refused() {
        OpenError::TooNew { found: 2, supported: 1, .. } => {}
        other => panic!("{other}"),
    }
    fs::write(store.path("FORMAT"), "strongroom-store 1 00\n").unwrap();
    assert!(matches!(store.refused(), OpenError::Damage(_)));
}

#[test]
fn a_directory_in_use_is_refused_until_it_is_let_go() {
    let store = closed();
    let open = store.open().unwrap();
    assert!(matches!(store.open(), Err(OpenError::InUse { .. })));
    // Who still reads keeps it, even when the store is closed.
    let reading = open.read(store.group).unwrap();
    open.close().unwrap();
    assert!(matches!(store.open(), Err(OpenError::InUse { .. })));
    assert_eq!(&*reading.get(b"cat").unwrap().unwrap(), b"meow");
    drop(reading);
    store.open().unwrap();
}

#[test]
fn a_directory_that_is_no_store_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.tex"), "years of work").unwrap();
    let store = Closed { dir, keys: OneKey::named("root"), group: GroupId(1) };
    assert!(matches!(store.refused(), OpenError::NotAStore { found, .. } if found == "thesis.tex"));
    // Who asks first, to make something beside the store, learns it before making anything.
    let asked = Store::is_initialised(store.dir.path());
    assert!(matches!(asked, Err(OpenError::NotAStore { found, .. }) if found == "thesis.tex"));
}

#[test]
fn a_directory_is_made_with_its_parents_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("deep/er");
    let store = Store::create_or_open(options(&deep, &OneKey::named("root"))).unwrap();
    make_group(&store, "a");
    assert!(Store::is_initialised(&deep).unwrap());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for path in [deep.clone(), deep.join("log"), deep.join("pages")] {
        assert_eq!(mode(&path), 0o700, "{}", path.display());
    }
    for (path, _) in contents(&deep) {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}
