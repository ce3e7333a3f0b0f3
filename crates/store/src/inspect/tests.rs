//! Stores on a real file system, looked at from outside.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::*;
use crate::tests::{OneKey, get, make_group, options, put};
use crate::{Damage, GroupId, LogError, LogFault, Lsn, OpenError, OutlineItem, Place, Store, Write};

const THREADS: std::num::NonZeroUsize = std::num::NonZeroUsize::new(3).unwrap();

/// A store with two groups, some of it in pages and some of it only in the log.
struct Fixture {
    dir: tempfile::TempDir,
    keys: Arc<OneKey>,
    group: GroupId,
}

#[derive(Debug, Default)]
struct Seen {
    bytes: Mutex<u64>,
    damage: Mutex<Vec<(Option<GroupId>, OpenError)>>,
    notes: Mutex<Vec<Note>>,
}

impl Watch for Seen {
    fn checked(&self, bytes: u64) {
        *self.bytes.lock().unwrap() += bytes;
    }

    fn found(&self, finding: Finding) {
        match finding {
            Finding::Damage { group, error } => self.damage.lock().unwrap().push((group, error)),
            Finding::Note(note) => self.notes.lock().unwrap().push(note),
        }
    }
}

impl Fixture {
    /// With `clean`, closed; else as a kill leaves it.
    fn new(clean: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keys = OneKey::named("root");
        let store = Store::create_or_open(options(dir.path(), &keys)).unwrap();
        let group = make_group(&store, "canary-bucket");
        let other = make_group(&store, "canary-other");
        for n in 0..400 {
            let value = format!("canary-value-{n}").repeat(20);
            store.commit_blocking(put(group, &format!("canary-key-{n:04}"), &value)).unwrap();
        }
        store.checkpoint().unwrap();
        store.commit_blocking(put(other, "canary-late", "value")).unwrap();
        let gone = crate::Command {
            group,
            checks: vec![],
            writes: vec![Write::Delete { key: b"canary-key-0007".to_vec() }],
        };
        store.commit_blocking(gone).unwrap();
        if clean {
            store.close().unwrap();
            return Self { dir, keys, group };
        }
        // What the files hold while the store is open is what is left when its process dies.
        let killed = tempfile::tempdir().unwrap();
        copy(dir.path(), killed.path());
        Self { dir: killed, keys, group }
    }

    fn look(&self) -> Offline {
        Offline::look(self.dir.path()).unwrap()
    }

    fn unlock(&self) -> Unlocked {
        self.look().unlock(Arc::<OneKey>::clone(&self.keys)).unwrap()
    }

    fn verify(&self) -> (Verified, Seen) {
        let seen = Seen::default();
        let verified = self.unlock().verify(THREADS, &seen);
        (verified, seen)
    }

    fn damage(&self) -> Vec<OpenError> {
        let (_, seen) = self.verify();
        let damage = seen.damage.into_inner().unwrap();
        damage.into_iter().map(|(_, error)| error).collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn newest_segment(&self) -> PathBuf {
        let names = fs::read_dir(self.path("log")).unwrap().map(|entry| entry.unwrap().path());
        names.filter(|path| path.extension().is_some_and(|it| it == "log")).max().unwrap()
    }

    /// Changes so many data pages of a page file, of those that have something in them. Which ones.
    fn flip_pages(&self, path: &Path, most: usize) -> Vec<u64> {
        let bytes = fs::read(path).unwrap();
        // Data pages lie behind two root slots, two upper and two lower tag pages.
        let first = 2 * 262_144 + 4 * 4096;
        let pages = (0_u64..).zip(bytes[first..].chunks_exact(4096));
        let in_use = pages.filter(|(_, page)| page.iter().any(|byte| *byte != 0));
        let used: Vec<u64> = in_use.map(|(page, _)| page).take(most).collect();
        for page in &used {
            self.flip(path, first as u64 + page * 4096 + 17);
        }
        used
    }

    fn flip(&self, path: &Path, at: u64) {
        let mut bytes = fs::read(path).unwrap();
        bytes[usize::try_from(at).unwrap()] ^= 0x20;
        fs::write(path, bytes).unwrap();
    }
}

/// Everything about a directory that an observer could find changed.
fn snapshot(dir: &Path) -> Vec<(PathBuf, Vec<u8>, u64, i64, i64, u32)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::metadata(&path).unwrap();
        let bytes = if path.is_dir() { Vec::new() } else { fs::read(&path).unwrap() };
        let (at, more, mode) = (metadata.mtime(), metadata.mtime_nsec(), metadata.mode());
        all.push((path.clone(), bytes, metadata.len(), at, more, mode));
        if path.is_dir() {
            all.extend(snapshot(&path));
        }
    }
    all.sort();
    all
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let (path, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if path.is_dir() {
            fs::create_dir(&to).unwrap();
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}

fn set_modes(dir: &Path, of_dirs: u32, of_files: u32) {
    for (path, ..) in snapshot(dir) {
        let mode = if path.is_dir() { of_dirs } else { of_files };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::set_permissions(dir, fs::Permissions::from_mode(of_dirs)).unwrap();
}

fn look_at_everything(fixture: &Fixture) {
    let offline = fixture.look();
    offline.log().unwrap().for_each(drop);
    offline.pages().unwrap();
    offline.keyring().unwrap();
    offline.keys(Arc::<OneKey>::clone(&fixture.keys)).unwrap();
    assert!(!offline.in_use().unwrap());
    let unlocked = fixture.unlock();
    unlocked.log(&mut drop);
    for group in unlocked.groups() {
        if fixture.path(&format!("pages/{group}.pages")).exists() {
            unlocked.page_file(group, THREADS).unwrap();
            unlocked.rows(group, b"", &mut |_, _| ()).unwrap();
        }
    }
    let (verified, seen) = fixture.verify();
    assert_eq!(seen.damage.into_inner().unwrap().len(), 0);
    let image = verified.image.unwrap();
    assert!(image.read(fixture.group).unwrap().get(b"canary-key-0001").unwrap().is_some());
}

#[test]
fn nothing_in_the_directory_changes_whoever_looks_at_it() {
    for clean in [true, false] {
        let fixture = Fixture::new(clean);
        let before = snapshot(fixture.dir.path());
        look_at_everything(&fixture);
        assert!(snapshot(fixture.dir.path()) == before, "clean: {clean}");
    }
}

#[test]
fn a_directory_that_may_not_be_written_can_be_looked_at() {
    let fixture = Fixture::new(false);
    set_modes(fixture.dir.path(), 0o500, 0o400);
    let before = snapshot(fixture.dir.path());
    look_at_everything(&fixture);
    assert!(snapshot(fixture.dir.path()) == before);
    set_modes(fixture.dir.path(), 0o700, 0o600);
}

#[test]
fn a_whole_store_verifies_after_a_close_and_after_a_kill() {
    for clean in [true, false] {
        let fixture = Fixture::new(clean);
        let (verified, seen) = fixture.verify();
        assert_eq!(format!("{:?}", seen.damage.lock().unwrap()), "[]");
        let Counts { segments, frames, records, data_pages, tag_pages, page_files, .. } = verified.counts;
        assert!(segments >= 1 && frames >= 1 && records >= frames, "{:?}", verified.counts);
        assert!(data_pages > 20 && tag_pages >= 4 && page_files >= 2, "{:?}", verified.counts);
        assert!(*seen.bytes.lock().unwrap() > data_pages * 4096);
    }
}

#[test]
fn an_image_has_the_rows_that_the_store_has_when_it_is_opened() {
    let fixture = Fixture::new(false);
    let (verified, _) = fixture.verify();
    let image = verified.image.unwrap();
    let rows = |reading: crate::Reading| -> Vec<(Vec<u8>, Vec<u8>)> {
        let all = reading.range(std::ops::Bound::Unbounded, std::ops::Bound::Unbounded).unwrap();
        all.map(|row| row.map(|(key, value)| (key, value.to_vec())).unwrap()).collect()
    };
    let groups = image.groups();
    let seen: Vec<_> = groups.iter().map(|group| rows(image.read(*group).unwrap())).collect();
    assert!(image.complete());
    drop(image);
    let store = Store::create_or_open(options(fixture.dir.path(), &fixture.keys)).unwrap();
    assert_eq!(store.groups(), groups);
    let real: Vec<_> = groups.iter().map(|group| rows(store.read(*group).unwrap())).collect();
    assert!(seen == real);
    assert_eq!(get(&store, fixture.group, "canary-key-0007"), None);
}

// The three read cases of the log.

#[test]
fn read_case_recovery_with_keys_decodes_and_applies_what_the_pages_lack() {
    let fixture = Fixture::new(false);
    let store = Store::create_or_open(options(fixture.dir.path(), &fixture.keys)).unwrap();
    assert!(store.recovered().replayed >= 2);
    assert_eq!(get(&store, fixture.group, "canary-key-0007"), None);
    assert!(get(&store, fixture.group, "canary-key-0008").is_some());
}

#[test]
fn read_case_before_keys_are_there_needs_no_path_of_its_own() {
    // The making of a group is only in the log, and so are its rows: the keyring is put back to before it, as a crash
    // between the log's sync and the keyring's replacement leaves it.
    let dir = tempfile::tempdir().unwrap();
    let keys = OneKey::named("root");
    let store = Store::create_or_open(options(dir.path(), &keys)).unwrap();
    let before = fs::read(dir.path().join("keyring")).unwrap();
    let group = make_group(&store, "young");
    store.commit_blocking(put(group, "first", "row")).unwrap();
    drop(store);
    let file = |name: &str| dir.path().join(name);
    fs::write(file("keyring"), before).unwrap();
    let unlocked = Offline::look(dir.path()).unwrap().unlock(Arc::<OneKey>::clone(&keys) as Arc<_>).unwrap();
    assert!(!unlocked.groups().contains(&group), "the keyring does not know it");
    let mut decoded = 0;
    unlocked.log(&mut |item| {
        if let LogItem::Frame { group: of, records: Some(records), .. } = item {
            decoded += usize::from(of == group && matches!(records[0].what, RecordKind::Command(_)));
        }
    });
    assert_eq!(decoded, 1, "its key came out of the log before its frame");
}

#[test]
fn read_case_offline_without_keys_shows_places_and_lengths_only() {
    let fixture = Fixture::new(false);
    let offline = fixture.look();
    let items: Vec<_> = offline.log().unwrap().map(|item| item.unwrap()).collect();
    let frames: Vec<_> = items
        .iter()
        .filter_map(|item| match item {
            OutlineItem::Frame { first, count, group, key_id, sealed_len, .. } => {
                Some((*first, *count, *group, *key_id, *sealed_len))
            }
            _ => None,
        })
        .collect();
    assert!(frames.iter().any(|(_, _, group, key_id, _)| *group == fixture.group && *key_id == 1));
    let last = frames.last().unwrap();
    let mut with_keys = Vec::new();
    fixture.unlock().log(&mut |item| {
        if let LogItem::Frame { first, count, group, key_id, sealed_len, .. } = item {
            with_keys.push((first, count, group, key_id, sealed_len));
        }
    });
    assert_eq!(frames, with_keys, "keys add what is inside");
    assert!(last.0 > Lsn(400));
    let shown = format!("{items:?} {:?} {:?}", offline.pages().unwrap(), offline.keyring().unwrap());
    assert!(!shown.contains("canary"));
}

#[test]
fn with_keys_rows_records_and_keys_are_shown_and_no_key_material() {
    let fixture = Fixture::new(false);
    let unlocked = fixture.unlock();
    let mut shown = String::new();
    unlocked.log(&mut |item| shown.push_str(&format!("{item:?}")));
    assert!(shown.contains("Checkpoint"));
    let mut rows = 0;
    unlocked
        .rows(fixture.group, b"canary-key-000", &mut |key, value| {
            assert!(key.starts_with(b"canary-key-000") && value.starts_with(b"canary-value"));
            rows += 1;
        })
        .unwrap();
    assert_eq!(rows, 10, "the deletion is in the log and not in the pages");
    let report = unlocked.page_file(fixture.group, THREADS).unwrap();
    assert_eq!((report.rows, report.unopened), (400, 0));
    assert!(report.applied >= Lsn(400) && report.keys.len() == 1 && report.keys[0].sealing);
    assert_eq!(report.keys[0].pages, report.data_pages + report.lower_pages + report.upper_pages);
    let details = fixture.look().keys(Arc::<OneKey>::clone(&fixture.keys) as Arc<_>).unwrap();
    assert_eq!(details.report.groups.len(), 3);
    assert_eq!(details.report.root.key_id, "root");
}

#[test]
fn damage_in_the_log_is_named_and_what_follows_is_read() {
    let fixture = Fixture::new(false);
    let segment = fixture.newest_segment();
    let mut frames = Vec::new();
    fixture.unlock().log(&mut |item| {
        if let LogItem::Frame { segment, offset, first, .. } = item {
            frames.push((segment, offset, first));
        }
    });
    let newest = frames.last().unwrap().0;
    let in_newest: Vec<_> = frames.iter().filter(|frame| frame.0 == newest).collect();
    let (_, offset, first) = *in_newest[0];
    // In the sealed part: the header still says where the next frame is.
    fixture.flip(&segment, offset + 108 + 3);
    let mut after = Vec::new();
    let mut damage = Vec::new();
    fixture.unlock().log(&mut |item| match item {
        LogItem::Frame { segment, offset, first, .. } => after.push((segment, offset, first)),
        LogItem::Damage(error) => damage.push(error),
        _ => {}
    });
    assert_eq!(after.len(), frames.len() - 1);
    let [LogError::Damage { offset: at, lsn, fault: LogFault::Sealed, .. }] = damage[..] else {
        panic!("{damage:?}")
    };
    assert_eq!((at, lsn), (offset, first));
    let (verified, seen) = fixture.verify();
    assert_eq!(seen.damage.lock().unwrap().len(), 1, "{seen:?}");
    assert!(!verified.image.unwrap().complete());
    // It was the checkpoint that says which page files there are, and they are checked all the same.
    let Counts { page_files, data_pages, .. } = verified.counts;
    assert!(page_files >= 2 && data_pages > 20, "{:?}", verified.counts);
    let path = fixture.path(&format!("pages/{}.pages", fixture.group));
    let pages = fixture.flip_pages(&path, usize::MAX);
    assert_pages_named(&fixture.damage(), &path, &pages);
}

fn assert_pages_named(damage: &[OpenError], path: &Path, pages: &[u64]) {
    for page in pages {
        let named = |error: &OpenError| {
            matches!(error, OpenError::Damage(Damage { file, at: Place::Page(at), .. })
                if at == page && *file == path)
        };
        assert!(damage.iter().any(named), "page {page}: {damage:?}");
    }
}

#[test]
fn each_damaged_page_is_named() {
    for clean in [true, false] {
        let fixture = Fixture::new(clean);
        let path = fixture.path(&format!("pages/{}.pages", fixture.group));
        // After a kill a page that nothing refers to is no loss, so there all of them are changed.
        let most = if clean { 2 } else { usize::MAX };
        let used = fixture.flip_pages(&path, most);
        assert_pages_named(&fixture.damage(), &path, &used);
    }
}

#[test]
fn damage_of_mark_slots_tag_pages_and_the_keyring_is_named() {
    let fixture = Fixture::new(true);
    let path = fixture.path(&format!("pages/{}.pages", fixture.group));
    let whole = fs::read(&path).unwrap();
    for slot in [0_u64, 1] {
        fixture.flip(&path, slot * 262_144 + 100);
        let named = |error: &OpenError| match error {
            OpenError::Damage(Damage { at: Place::Slot(at), .. }) => u64::from(*at) == slot,
            _ => false,
        };
        let damage = fixture.damage();
        assert!(damage.iter().any(named), "slot {slot}: {damage:?}");
        fs::write(&path, &whole).unwrap();
    }
    for copy in 0..4_u64 {
        fixture.flip(&path, 2 * 262_144 + copy * 4096 + 5);
    }
    let damage = fixture.damage();
    assert!(
        damage.iter().any(|error| matches!(
            error,
            OpenError::Damage(Damage { at: Place::Offset(at), .. }) if *at >= 2 * 262_144
        )),
        "{damage:?}"
    );
    fs::write(&path, &whole).unwrap();

    let mark = fixture.path("log/mark");
    let whole = fs::read(&mark).unwrap();
    fixture.flip(&mark, 40);
    let damage = fixture.damage();
    assert!(
        matches!(&damage[..], [OpenError::Log(error)] if matches!(**error, LogError::DamagedMark { slot: 0 })),
        "{damage:?}"
    );
    fs::write(&mark, whole).unwrap();

    let keyring = fixture.path("keyring");
    let whole = fs::read(&keyring).unwrap();
    fixture.flip(&keyring, whole.len() as u64 - 1);
    let refused = fixture.look().unlock(Arc::<OneKey>::clone(&fixture.keys) as Arc<_>);
    assert!(matches!(refused, Err(InspectError::Open(OpenError::Damage(_)))));
    fs::write(&keyring, whole).unwrap();
    let wrong = fixture.look().unlock(OneKey::named("root"));
    assert!(matches!(wrong, Err(InspectError::Open(OpenError::RootKey { .. }))));
    assert_eq!(fixture.damage().len(), 0);
}

#[test]
fn a_page_file_that_is_missing_or_put_back_is_named() {
    let fixture = Fixture::new(true);
    let path = fixture.path(&format!("pages/{}.pages", fixture.group));
    let old = fs::read(&path).unwrap();
    let store = Store::create_or_open(options(fixture.dir.path(), &fixture.keys)).unwrap();
    store.commit_blocking(put(fixture.group, "later", "row")).unwrap();
    store.close().unwrap();
    assert_eq!(fixture.damage().len(), 0);
    fs::write(&path, old).unwrap();
    assert!(matches!(&fixture.damage()[0], OpenError::RolledBack { file, .. } if *file == path));
    fs::remove_file(&path).unwrap();
    assert!(matches!(&fixture.damage()[0], OpenError::Missing { file } if *file == path));
}

#[test]
fn a_log_put_back_is_named_by_what_the_keyring_knows() {
    let fixture = Fixture::new(true);
    let old: Vec<_> = snapshot(&fixture.path("log"));
    let store = Store::create_or_open(options(fixture.dir.path(), &fixture.keys)).unwrap();
    store.commit_blocking(put(fixture.group, "later", "row")).unwrap();
    store.close().unwrap();
    for (path, ..) in snapshot(&fixture.path("log")) {
        fs::remove_file(path).unwrap();
    }
    for (path, bytes, ..) in old {
        fs::write(path, bytes).unwrap();
    }
    let damage = fixture.damage();
    let log = fixture.path("log");
    assert!(
        damage.iter().any(|error| matches!(error, OpenError::RolledBack { file, .. } if *file == log)),
        "{damage:?}"
    );
}

#[test]
fn a_store_in_use_is_not_unlocked_and_can_be_listed_without_keys() {
    let dir = tempfile::tempdir().unwrap();
    let keys = OneKey::named("root");
    let store = Store::create_or_open(options(dir.path(), &keys)).unwrap();
    make_group(&store, "canary");
    let offline = Offline::look(dir.path()).unwrap();
    assert!(offline.in_use().unwrap());
    assert!(offline.log().unwrap().all(|item| item.is_ok()));
    assert_eq!(offline.keys(Arc::<OneKey>::clone(&keys) as Arc<_>).unwrap().report.groups.len(), 2);
    let refused = offline.unlock(Arc::<OneKey>::clone(&keys) as Arc<_>);
    assert!(matches!(refused, Err(InspectError::InUse { .. })));
    store.close().unwrap();
    let held = offline.unlock(Arc::<OneKey>::clone(&keys) as Arc<_>).unwrap();
    assert!(matches!(Store::create_or_open(options(dir.path(), &keys)), Err(OpenError::InUse { .. })));
    drop(held);
    Store::create_or_open(options(dir.path(), &keys)).unwrap();
}

#[test]
fn what_is_no_store_is_said_to_be_none() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Offline::look(dir.path()), Err(InspectError::NoStore { .. })));
    assert!(matches!(Offline::look(dir.path().join("none")), Err(InspectError::NoDirectory { .. })));
    fs::write(dir.path().join("letter.txt"), "dear").unwrap();
    assert!(matches!(Offline::look(dir.path()), Err(InspectError::Open(OpenError::NotAStore { .. }))));
}
