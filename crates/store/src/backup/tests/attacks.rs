//! What is not as it was written is refused by name, and nothing is left of the attempt.

use std::fs;

use super::*;
use crate::OpenError;
use crate::tests::lsn;

/// The file that an error names.
fn named(error: &BackupError) -> Option<&Path> {
    match error {
        BackupError::Damage { file, .. }
        | BackupError::Missing { file }
        | BackupError::TooNew { file, .. } => Some(file),
        _ => None,
    }
}

fn backed_up() -> (Place, Model) {
    let place = Place::new();
    let store = place.open();
    let group = make_group(&store, "album");
    fill(&store, group, 200, 500);
    let model = Model::of(&store);
    // Commands while it is taken, so that there is a chunk of them.
    let mut once = true;
    let taken = store.backup(&BackupOptions::new(place.target()), &mut |_| {
        if std::mem::take(&mut once) {
            lsn(store.commit_blocking(put(GroupId::SYSTEM, "late", "row")).unwrap());
        }
        true
    });
    assert_eq!(taken.unwrap().commands, 1);
    store.close().unwrap();
    (place, model)
}

#[test]
fn every_file_that_is_changed_cut_extended_or_missing_is_named_and_nothing_is_restored() {
    let (place, _) = backed_up();
    let skipped = ["LOCK", "0000000000000000"];
    let is_skipped = |path: &PathBuf| skipped.iter().any(|name| path.ends_with(name));
    let all: Vec<_> = files(&place.target()).into_iter().filter(|path| !is_skipped(path)).collect();
    assert!(all.len() >= 5, "{all:?}");
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    for file in all {
        let good = fs::read(&file).unwrap();
        let middle = good.len() / 2;
        let flipped = |at: usize| {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            bytes
        };
        let bad = [
            flipped(0),
            flipped(good.len().min(60) - 1),
            flipped(middle),
            flipped(good.len() - 1),
            good[..good.len() - 1].to_vec(),
            good[..middle].to_vec(),
            Vec::new(),
            [good.as_slice(), b"\0"].concat(),
        ];
        for (index, bytes) in bad.iter().enumerate() {
            fs::write(&file, bytes).unwrap();
            let error = place.try_restore(None).unwrap_err();
            // A changed target id makes everything else foreign.
            let format = file.ends_with("FORMAT");
            assert!(format || named(&error) == Some(&file), "{} {index}: {error}", file.display());
            assert!(!place.restored().exists(), "{} {index}", file.display());
            let error = verify(&place.target(), &disk, &*place.keys, None, &mut |_| true).unwrap_err();
            assert!(format || named(&error) == Some(&file), "{} {index}: {error}", file.display());
        }
        fs::remove_file(&file).unwrap();
        let error = place.try_restore(None).unwrap_err();
        let newest = file.starts_with(place.target().join("snapshots"));
        match &error {
            BackupError::NoSnapshot { .. } => assert!(newest, "{error}"),
            error => assert_eq!(named(error), Some(file.as_path()), "{error}"),
        }
        assert!(!place.restored().exists());
        fs::write(&file, &good).unwrap();
    }
    place.try_restore(None).unwrap();
}

#[test]
fn a_manifest_of_another_number_or_target_is_refused() {
    let (place, _) = backed_up();
    let store = place.open();
    store.commit_blocking(put(GroupId::SYSTEM, "more", "rows")).unwrap();
    let second = place.backup(&store);
    let other = Place { dir: tempfile::tempdir().unwrap(), keys: Arc::clone(&place.keys) };
    let foreign = store.backup(&BackupOptions::new(other.target()), &mut |_| true).unwrap();
    store.close().unwrap();
    assert_eq!((second.number, foreign.number), (2, 1));
    let path = |place: &Place, number: u64| place.target().join(format!("snapshots/{number:016x}"));

    let old = fs::read(path(&place, 1)).unwrap();
    let mut renumbered = old.clone();
    renumbered[44] = 2;
    for (what, bytes) in
        [("renamed", old), ("renumbered", renumbered), ("foreign", fs::read(path(&other, 1)).unwrap())]
    {
        fs::write(path(&place, 2), bytes).unwrap();
        let error = place.try_restore(None).unwrap_err();
        assert_eq!(named(&error), Some(path(&place, 2).as_path()), "{what}: {error}");
        assert!(!place.restored().exists());
    }
    fs::write(path(&place, 3), fs::read(path(&place, 1)).unwrap()).unwrap();
    assert_eq!(named(&place.try_restore(Some(3)).unwrap_err()), Some(path(&place, 3).as_path()));
    assert!(matches!(place.try_restore(Some(4)), Err(BackupError::NoSnapshot { number: Some(4), .. })));
    assert!(matches!(place.try_restore(Some(0)), Err(BackupError::NoSnapshot { number: Some(0), .. })));
}

#[test]
fn chunks_under_each_others_names_are_refused() {
    let (place, _) = backed_up();
    let chunks: Vec<_> = files(&place.target().join("chunks"));
    let (one, two) = (&chunks[0], &chunks[1]);
    let (first, second) = (fs::read(one).unwrap(), fs::read(two).unwrap());
    fs::write(one, second).unwrap();
    fs::write(two, first).unwrap();
    let error = place.try_restore(None).unwrap_err();
    assert!(chunks.iter().any(|chunk| named(&error) == Some(chunk)), "{error}");
}

#[test]
fn without_the_root_key_restoring_fails_and_names_it() {
    let (mut place, _) = backed_up();
    let right = std::mem::replace(&mut place.keys, OneKey::named("root"));
    for (keys, what) in [(OneKey::named("root"), "not the one"), (OneKey::named("other"), "does not exist")] {
        place.keys = keys;
        let error = place.try_restore(None).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, BackupError::RootKey { .. }), "{error:?}");
        for part in ["\"root\" version 3", "test provider", what] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!place.restored().exists());
    }
    place.keys = right;
    place.try_restore(None).unwrap();
}

#[test]
fn only_an_empty_directory_is_restored_into_and_only_a_target_is_written_to() {
    let (place, model) = backed_up();
    fs::create_dir(place.restored()).unwrap();
    fs::create_dir(place.restored().join("kms")).unwrap();
    fs::write(place.restored().join("kms/local.kms"), "keys").unwrap();
    for foreign in ["notes.txt", "FORMAT", "keyring", "blobs"] {
        let file = place.restored().join(foreign);
        fs::write(&file, "mine").unwrap();
        let error = place.try_restore(None).unwrap_err();
        assert!(matches!(&error, BackupError::NotEmpty { found, .. } if found == foreign), "{error}");
        assert_eq!(fs::read(&file).unwrap(), b"mine");
        fs::remove_file(&file).unwrap();
    }
    place.try_restore(None).unwrap();
    assert_eq!(fs::read(place.restored().join("kms/local.kms")).unwrap(), b"keys");
    let store = Store::create_or_open(place.options("restored")).unwrap();
    assert_eq!(Model::of(&store).groups.len(), model.groups.len());
    // The store that was restored goes on backing up to the same target, another does not.
    assert_eq!(place.backup(&store).number, 2);
    store.close().unwrap();
    let other = Store::create_or_open(place.options("other")).unwrap();
    let error = other.backup(&BackupOptions::new(place.target()), &mut |_| true).unwrap_err();
    assert!(matches!(error, BackupError::OtherStore { .. }), "{error}");
    let error = other.backup(&BackupOptions::new(place.restored()), &mut |_| true).unwrap_err();
    assert!(matches!(error, BackupError::Damage { .. }), "{error}");
    let error = other.backup(&BackupOptions::new(place.restored().join("log")), &mut |_| true).unwrap_err();
    assert!(matches!(error, BackupError::NotABackup { .. }), "{error}");
    assert!(!place.restored().join("log/LOCK").exists());
    other.close().unwrap();
    // And no server takes a half-restored directory for a place to make a store in.
    let half = place.dir.path().join("half");
    fs::create_dir(&half).unwrap();
    fs::write(half.join("RESTORING"), "").unwrap();
    let error = Store::create_or_open(place.options("half")).unwrap_err();
    assert!(matches!(error, OpenError::HalfRestored { .. }), "{error}");
}

#[test]
fn two_backups_to_one_target_at_once_are_refused() {
    let place = Place::new();
    let store = place.open();
    let mut inner = None;
    let options = BackupOptions::new(place.target());
    store
        .backup(&options, &mut |_| {
            inner.get_or_insert_with(|| store.backup(&options, &mut |_| true).unwrap_err());
            true
        })
        .unwrap();
    assert!(matches!(inner, Some(BackupError::InUse { .. })), "{inner:?}");
    store.close().unwrap();
}
