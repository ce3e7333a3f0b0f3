//! Old snapshots go, and nothing else that is needed.

use std::num::NonZeroU64;
use std::path::Path;

use super::*;
use crate::sim::SimDisk;

const TARGET: &str = "/target";

fn keep(count: u64) -> NonZeroU64 {
    NonZeroU64::new(count).unwrap()
}

/// Rows below `files/` stand for files of one directory.
#[derive(Debug)]
struct Named(PathBuf);

impl Attachments for Named {
    fn dir(&self) -> &Path {
        &self.0
    }

    fn keys(&self, group: GroupId) -> Option<(Vec<u8>, Vec<u8>)> {
        (group != GroupId::SYSTEM).then(|| (b"files/".to_vec(), b"files0".to_vec()))
    }

    fn file_of(&self, group: GroupId, key: &[u8]) -> Option<FilePath> {
        let name = std::str::from_utf8(key.strip_prefix(b"files/")?).ok()?;
        FilePath::parse(&format!("{group}/{name}"))
    }
}

/// A store of which three snapshots were taken, between which rows and files came and went.
struct Three {
    place: Place,
    store: Store,
    disk: SimDisk,
    options: BackupOptions,
}

impl Three {
    fn new() -> Self {
        let place = Place::new();
        let store = place.open();
        let group = make_group(&store, "album");
        let disk = SimDisk::from_seed(1);
        let options = BackupOptions {
            disk: Arc::new(disk.clone()),
            attachments: Some(Arc::new(Named("/blobs".into()))),
            ..BackupOptions::new(TARGET)
        };
        let folder = PathBuf::from(format!("/blobs/{group}"));
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        shared.create_dir_all(&folder).unwrap();
        for turn in 0..3 {
            fill(&store, group, 400 * (turn + 1), 1000);
            disk.put(&folder.join(format!("{turn:02x}")), Some(turn.to_be_bytes().repeat(1250)));
            store.commit_blocking(put(group, &format!("files/{turn:02x}"), "1")).unwrap();
            if turn > 0 {
                let gone = format!("files/{:02x}", turn - 1);
                let writes = vec![crate::Write::Delete { key: gone.into_bytes() }];
                store.commit_blocking(crate::Command { group, checks: vec![], writes }).unwrap();
            }
            store.backup(&options, &mut |_| true).unwrap();
        }
        Self { place, store, disk, options }
    }

    fn shared(&self) -> Arc<dyn Disk> {
        Arc::new(self.disk.clone())
    }

    fn prune(&self, count: u64) -> Result<Pruned, BackupError> {
        self.store.prune_backups(Path::new(TARGET), &self.shared(), keep(count))
    }
}

fn numbers(disk: &Arc<dyn Disk>) -> Vec<u64> {
    outline(Path::new(TARGET), disk).unwrap().into_iter().map(|found| found.number).collect()
}

fn verified(disk: &Arc<dyn Disk>, place: &Place, number: u64) -> Result<Verified, BackupError> {
    verify(Path::new(TARGET), disk, &*place.keys, Some(number), &mut |_| true)
}

#[test]
fn the_newest_stay_whole_and_what_only_older_ones_name_goes() {
    let three = Three::new();
    let before = three.disk.files().len();
    assert_eq!(three.prune(3).unwrap(), Pruned::default());
    assert_eq!(three.disk.files().len(), before);
    let pruned = three.prune(2).unwrap();
    assert_eq!((&pruned.snapshots[..], pruned.files), (&[1][..], 1));
    assert!(pruned.chunks > 0 && pruned.bytes > 5000, "{pruned:?}");
    let gone = before - three.disk.files().len();
    assert_eq!(gone as u64, 1 + pruned.chunks + pruned.files);
    assert_eq!(numbers(&three.shared()), [2, 3]);
    for number in [2, 3] {
        verified(&three.shared(), &three.place, number).unwrap();
    }
    assert_eq!(three.prune(1).unwrap().snapshots, [2]);
    verified(&three.shared(), &three.place, 3).unwrap();
    assert_eq!(three.prune(1).unwrap(), Pruned::default());
    // Numbers go on, and what is there is not written again.
    let next = three.store.backup(&three.options, &mut |_| true).unwrap();
    assert_eq!((next.number, next.new_files), (4, 0));
}

#[test]
fn after_a_power_cut_at_any_call_every_snapshot_that_is_there_is_whole_and_pruning_again_ends_it() {
    let three = Three::new();
    three.disk.record();
    three.prune(1).unwrap();
    let pictures = three.disk.pictures();
    let left = three.disk.files();
    assert!(pictures.len() > 5, "{}", pictures.len());
    for picture in pictures {
        for seed in 0..4 {
            let disk = picture.files.disk(seed);
            if seed == 0 {
                disk.kill()
            } else {
                disk.cut_power()
            }
            let shared: Arc<dyn Disk> = Arc::new(disk.clone());
            let there = numbers(&shared);
            assert!(there.contains(&3));
            for number in there {
                let found = verified(&shared, &three.place, number);
                found.unwrap_or_else(|error| panic!("call {}, snapshot {number}: {error}", picture.call));
            }
            three.store.prune_backups(Path::new(TARGET), &shared, keep(1)).unwrap();
            assert_eq!(disk.files(), left, "call {}", picture.call);
        }
    }
}

#[test]
fn nothing_is_removed_while_a_manifest_cannot_be_read() {
    let three = Three::new();
    let shared = three.shared();
    for number in 1..=3u64 {
        let manifest = PathBuf::from(format!("{TARGET}/snapshots/{number:016x}"));
        let len = three.disk.bytes(&manifest).unwrap().len();
        for at in [20, len - 1] {
            three.disk.flip(&manifest, at * 8);
            let before = three.disk.files();
            let error = three.prune(1).unwrap_err();
            assert!(matches!(&error, BackupError::Damage { file, .. } if *file == manifest), "{error}");
            assert_eq!(three.disk.files(), before);
            three.disk.flip(&manifest, at * 8);
        }
    }
    assert_eq!(numbers(&shared), [1, 2, 3]);
    // A list of files of one that stays, too: without it nobody knows which files are needed.
    let chunks: Vec<_> =
        three.disk.files().into_iter().filter(|path| path.starts_with("/target/chunks")).collect();
    let mut refused = 0;
    for chunk in chunks {
        let bytes = three.disk.bytes(&chunk);
        three.disk.put(&chunk, None);
        let before = three.disk.files();
        if three.prune(3).is_err() {
            refused += 1;
            assert_eq!(three.disk.files(), before);
        }
        three.disk.put(&chunk, bytes);
    }
    assert!(refused >= 3, "{refused}");
}

#[test]
fn backups_of_another_store_are_not_pruned() {
    let three = Three::new();
    let other = Store::create_or_open(three.place.options("other")).unwrap();
    let error = other.prune_backups(Path::new(TARGET), &three.shared(), keep(1)).unwrap_err();
    assert!(matches!(error, BackupError::OtherStore { .. }), "{error}");
    let files = three.disk.files();
    drop(three.prune(1).unwrap());
    assert!(three.disk.files().len() < files.len());
}
