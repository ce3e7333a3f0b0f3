//! Backups and restorings that are cut short, and disks that fail.

use super::files::Named;
use super::*;
use crate::sim::{Call, SimDisk, Trouble};
use crate::tests::simulated;
use crate::{OpenError, sim::Dice};

fn stored(place: &Place) -> (Store, Model) {
    let store = place.open();
    let group = make_group(&store, "album");
    fill(&store, group, 1500, 1000);
    let model = Model::of(&store);
    (store, model)
}

/// A target on a simulated disk.
fn on(disk: &SimDisk) -> BackupOptions {
    BackupOptions { disk: Arc::new(disk.clone()), ..BackupOptions::new("/target") }
}

fn restored_from(place: &Place, disk: &SimDisk) -> Model {
    let options = RestoreOptions {
        target_disk: Arc::new(disk.clone()),
        ..RestoreOptions::new("/target", place.options("restored"))
    };
    restore(&options, &mut |_| true).unwrap();
    let store = Store::create_or_open(place.options("restored")).unwrap();
    let model = Model::of(&store);
    store.close().unwrap();
    std::fs::remove_dir_all(place.restored()).unwrap();
    model
}

#[test]
fn a_backup_that_is_stopped_is_none_and_the_next_one_writes_only_the_rest() {
    let place = Place::new();
    let (store, model) = stored(&place);
    let options = BackupOptions::new(place.target());
    let mut reports = 0;
    loop {
        let mut left = reports;
        let taken = store.backup(&options, &mut |_| {
            left -= i32::from(left > 0);
            left > 0
        });
        match taken {
            Err(BackupError::Stopped) => {
                assert!(matches!(place.try_restore(None), Err(BackupError::NoSnapshot { .. })));
                assert!(!place.restored().exists());
                reports += 3;
            }
            other => {
                // The attempts before have written most of it.
                assert!(other.unwrap().new_bytes < 1 << 20);
                break;
            }
        }
        assert!(reports < 1000);
    }
    assert_same(&place.restored_model(None), &model);
    store.close().unwrap();
}

#[test]
fn after_a_power_cut_at_any_call_there_is_a_whole_snapshot_or_none_and_the_next_backup_is_whole() {
    let place = Place::new();
    let (store, model) = stored(&place);
    let quiet = SimDisk::from_seed(0);
    store.backup(&on(&quiet), &mut |_| true).unwrap();
    let calls = quiet.changes();
    let mut dice = Dice::from_seed(7);
    for cut in 0..calls {
        let disk = SimDisk::from_seed(cut);
        disk.cut_power_after(cut);
        // Each target cuts elsewhere, so the number of calls is not always the same.
        if store.backup(&on(&disk), &mut |_| true).is_ok() {
            assert!(cut > 20, "cut after {cut} of {calls}");
            continue;
        }
        if dice.chance(50) {
            disk.cut_power()
        } else {
            disk.kill()
        }
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        match verify(Path::new("/target"), &shared, &*place.keys, None, &mut |_| true) {
            // Nothing yet, or all of it.
            Ok(_) | Err(BackupError::NoSnapshot { .. } | BackupError::Missing { .. }) => {}
            Err(error) => panic!("cut after {cut}: {error}"),
        }
        let again = store.backup(&on(&disk), &mut |_| true).unwrap_or_else(|error| panic!("{cut}: {error}"));
        let verified = verify(Path::new("/target"), &shared, &*place.keys, None, &mut |_| true);
        assert_eq!(verified.unwrap().snapshot, again, "cut after {cut}");
        if cut % 16 == 0 {
            assert_same(&restored_from(&place, &disk), &model);
        }
    }
    store.close().unwrap();
}

/// Files on the disk of the target, as rows stand for them; all of them durable.
fn with_files(store: &Store, group: GroupId) -> impl Fn(&SimDisk) -> BackupOptions + use<> {
    let names: Vec<_> = (0..9u8).map(|number| format!("{number:02x}")).collect();
    for name in &names {
        store.commit_blocking(put(group, &format!("file/{name}"), "")).unwrap();
    }
    move |disk| {
        let dir = PathBuf::from("/files").join(group.to_string());
        disk.create_dir_all(&dir).unwrap();
        for (number, name) in (1..).zip(&names) {
            disk.put(&dir.join(name), Some(content_of(number)));
        }
        let attachments: Arc<dyn Attachments> = Arc::new(Named("/files".into()));
        BackupOptions { attachments: Some(attachments), ..on(disk) }
    }
}

/// The last ones need many writes.
fn content_of(number: usize) -> Vec<u8> {
    format!("content {number}").into_bytes().repeat(1 << (2 * number))
}

#[test]
fn after_a_power_cut_at_any_call_each_file_that_a_snapshot_names_is_whole() {
    let place = Place::new();
    let store = place.open();
    let group = make_group(&store, "album");
    let files = with_files(&store, group);
    let quiet = SimDisk::from_seed(0);
    let options = files(&quiet);
    let before = quiet.changes();
    store.backup(&options, &mut |_| true).unwrap();
    let calls = quiet.changes() - before;
    let mut named = 0;
    for cut in 0..calls + 3 {
        let disk = SimDisk::from_seed(cut);
        let options = files(&disk);
        disk.cut_power_after(cut);
        let taken = store.backup(&options, &mut |_| true).is_ok();
        if cut % 2 == 0 {
            disk.cut_power();
        } else {
            disk.kill();
        }
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let verified = || verify(Path::new("/target"), &shared, &*place.keys, None, &mut |_| true);
        match verified() {
            // Files are read here, and compared with the digests that were taken while copying.
            Ok(found) => {
                assert_eq!(found.snapshot.files, 9, "cut after {cut}");
                named += 1;
            }
            Err(BackupError::NoSnapshot { .. } | BackupError::Missing { .. }) if !taken => {}
            Err(error) => panic!("cut after {cut}, taken {taken}: {error}"),
        }
        let again = store.backup(&options, &mut |_| true).unwrap_or_else(|error| panic!("{cut}: {error}"));
        assert_eq!(verified().unwrap().snapshot, again, "cut after {cut}");
        for number in 1..10 {
            let copy = Path::new("/target/blobs").join(group.to_string()).join(format!("{:02x}", number - 1));
            assert_eq!(disk.bytes(&copy), Some(content_of(number)), "cut after {cut}");
        }
    }
    assert!(calls > 60 && (1..12).contains(&named), "{named} of {calls}");
    store.close().unwrap();
}

#[test]
fn a_target_without_space_fails_the_backup_alone() {
    let place = Place::new();
    let (store, model) = stored(&place);
    let disk = SimDisk::from_seed(1);
    disk.limit(Some(700 << 10));
    let error = store.backup(&on(&disk), &mut |_| true).unwrap_err();
    assert!(matches!(&error, BackupError::NoSpace { path } if path.starts_with("/target")), "{error}");
    let row = put(GroupId::SYSTEM, "the store", "goes on");
    store.commit_blocking(row).unwrap();
    store
        .commit_blocking(crate::Command {
            group: GroupId::SYSTEM,
            checks: vec![],
            writes: vec![crate::Write::Delete { key: b"the store".to_vec() }],
        })
        .unwrap();
    disk.limit(None);
    store.backup(&on(&disk), &mut |_| true).unwrap();
    assert_same(&restored_from(&place, &disk), &model);
    store.close().unwrap();
}

#[test]
fn a_target_whose_disk_fails_fails_the_backup_by_name() {
    let place = Place::new();
    let (store, model) = stored(&place);
    for call in [Call::Write, Call::Sync, Call::Create, Call::Rename, Call::SyncDir] {
        for after in [0, 1, 3] {
            let disk = SimDisk::from_seed(after);
            disk.plan(Trouble { call: Some(call), after, error: std::io::ErrorKind::Other, lasting: false });
            let error = store.backup(&on(&disk), &mut |_| true).unwrap_err();
            assert!(
                matches!(&error, BackupError::Io { path, .. } if path.starts_with("/")),
                "{call:?}: {error}"
            );
            store
                .backup(&on(&disk), &mut |_| true)
                .unwrap_or_else(|error| panic!("{call:?} {after}: {error}"));
        }
    }
    let disk = SimDisk::from_seed(9);
    store.backup(&on(&disk), &mut |_| true).unwrap();
    assert_same(&restored_from(&place, &disk), &model);
    store.close().unwrap();
}

#[test]
fn a_restoring_that_loses_power_at_any_call_leaves_no_store_and_the_next_one_is_whole() {
    let place = Place::new();
    let store = place.open();
    let group = make_group(&store, "album");
    fill(&store, group, 40, 200);
    let model = Model::of(&store);
    place.backup(&store);
    store.close().unwrap();

    let options = |disk: &SimDisk, seed| {
        RestoreOptions::new(place.target(), simulated(disk.clone(), &place.keys, seed))
    };
    let quiet = SimDisk::from_seed(0);
    restore(&options(&quiet, 1), &mut |_| true).unwrap();
    let calls = quiet.changes();
    let mut whole = 0;
    for cut in 0..calls {
        let disk = SimDisk::from_seed(cut);
        disk.cut_power_after(cut);
        assert!(restore(&options(&disk, cut), &mut |_| true).is_err(), "cut after {cut} of {calls}");
        disk.cut_power();
        let opened = |seed| Store::create_or_open(simulated(disk.clone(), &place.keys, seed));
        let names = disk.files();
        let is_there = |name: &str| names.iter().any(|path| path.ends_with(name));
        if is_there("FORMAT") {
            // Cut around its last step: everything else was durable.
            assert_same(&Model::of(&opened(1).unwrap()), &model);
            whole += 1;
            continue;
        }
        if is_there("RESTORING") {
            assert!(matches!(opened(1), Err(OpenError::HalfRestored { .. })), "cut after {cut}");
        } else {
            // What was never synced may be gone, and then everything is.
            assert!(names.iter().all(|path| path.ends_with("LOCK")), "cut after {cut}: {names:?}");
        }
        restore(&options(&disk, cut + 1), &mut |_| true).unwrap_or_else(|error| panic!("{cut}: {error}"));
        assert_same(&Model::of(&opened(2).unwrap()), &model);
    }
    assert!(whole < 6, "{whole} of {calls}");
}

#[test]
fn a_restoring_without_space_or_that_is_stopped_leaves_the_directory_as_it_was() {
    let place = Place::new();
    let (store, model) = stored(&place);
    place.backup(&store);
    store.close().unwrap();
    std::fs::create_dir(place.restored()).unwrap();
    for reports in [0, 1, 2, 4] {
        let mut left = reports;
        let error = restore(&place.restore_options(None), &mut |_| {
            left -= i32::from(left > 0);
            left > 0
        });
        assert!(matches!(error, Err(BackupError::Stopped)), "{reports}: {error:?}");
        assert_eq!(std::fs::read_dir(place.restored()).unwrap().count(), 0, "{reports}");
    }
    let disk = SimDisk::from_seed(3);
    disk.limit(Some(1 << 20));
    let options = RestoreOptions::new(place.target(), simulated(disk.clone(), &place.keys, 3));
    let error = restore(&options, &mut |_| true).unwrap_err();
    assert!(
        matches!(error, BackupError::NoSpace { .. } | BackupError::Open(OpenError::NoSpace { .. })),
        "{error:?}"
    );
    assert_eq!(disk.files(), Vec::<PathBuf>::new());
    assert_same(&place.restored_model(None), &model);
}

#[test]
fn a_restoring_that_fails_says_why_even_if_it_cannot_clean_up() {
    let place = Place::new();
    let (store, _) = stored(&place);
    place.backup(&store);
    store.close().unwrap();
    for chunk in files(&place.target().join("chunks")) {
        let mut bytes = std::fs::read(&chunk).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&chunk, bytes).unwrap();
    }
    let (mut reached, mut left) = (false, 0);
    for after in 0..20 {
        let disk = SimDisk::from_seed(after);
        let error = std::io::ErrorKind::Other;
        disk.plan(Trouble { call: Some(Call::Remove), after, error, lasting: true });
        let options = RestoreOptions::new(place.target(), simulated(disk.clone(), &place.keys, 1));
        let error = restore(&options, &mut |_| true).unwrap_err();
        // The first of them are made before the damage is met, and are why that one failed.
        let damaged = matches!(error, BackupError::Damage { .. });
        assert!(damaged || !reached, "{after}: {error}");
        reached |= damaged;
        left += usize::from(damaged && disk.files().iter().any(|path| path.ends_with("RESTORING")));
    }
    assert!(left > 0, "cleaning up failed");
}

#[test]
fn directories_above_a_store_a_target_or_a_restored_store_are_durable() {
    let disk = SimDisk::from_seed(1);
    let keys = OneKey::named("root");
    let at = |dir: &str| StoreOptions { dir: dir.into(), ..simulated(disk.clone(), &keys, 1) };
    let synced = |what: &str, dirs: &[&str]| {
        let trace = disk.traced();
        for dir in dirs {
            assert!(trace.contains(&format!("sync names in {dir}")), "{what}: {dir} in {trace:?}");
        }
        disk.trace();
    };
    disk.trace();
    let store = Store::create_or_open(at("/a/deep/store")).unwrap();
    synced("a store", &["/", "/a", "/a/deep"]);
    let options = BackupOptions { disk: Arc::new(disk.clone()), ..BackupOptions::new("/b/deep/target") };
    store.backup(&options, &mut |_| true).unwrap();
    synced("a target", &["/", "/b", "/b/deep", "/b/deep/target"]);
    let target_disk = Arc::new(disk.clone());
    let options =
        RestoreOptions { target_disk, ..RestoreOptions::new("/b/deep/target", at("/c/deep/store")) };
    restore(&options, &mut |_| true).unwrap();
    synced("a restored store", &["/", "/c", "/c/deep"]);
}
