use std::collections::BTreeSet;

use super::*;
use crate::disk::{Disk, DiskFile};

fn disk(seed: u64) -> (SimDisk, Arc<dyn DiskFile>) {
    let disk = SimDisk::from_seed(seed);
    let file = disk.create_new(Path::new("/f")).unwrap();
    file.sync().unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    (disk, file)
}

#[test]
fn synced_bytes_survive_and_others_tear_at_sectors() {
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let (disk, file) = disk(seed);
        file.write_at(&[1; 2048], 0).unwrap();
        file.sync().unwrap();
        file.write_at(&[2; 2048], 0).unwrap();
        file.write_at(&[3; 1024], 512).unwrap();
        disk.cut_power();
        assert!(file.len().is_err(), "handles of the dead process are dead");
        let bytes = disk.bytes(Path::new("/f")).unwrap();
        assert_eq!(bytes.len(), 2048);
        let sectors: Vec<u8> = bytes
            .chunks(SECTOR_LEN)
            .map(|sector| {
                assert!(sector.iter().all(|&byte| byte == sector[0]), "no tear within a sector");
                sector[0]
            })
            .collect();
        assert!(sectors[0] < 3 && sectors[3] < 3 && sectors.iter().all(|&s| s > 0));
        seen.insert(sectors);
    }
    assert!(seen.len() > 20, "many different crashes: {}", seen.len());
    assert!(seen.contains(&vec![1, 1, 1, 1]) && seen.contains(&vec![2, 3, 3, 2]));
}

#[test]
fn names_may_be_lost_until_the_directory_is_synced() {
    let mut seen = BTreeSet::new();
    for seed in 0..50 {
        let (disk, _) = disk(seed);
        disk.create_new(Path::new("/new")).unwrap();
        disk.rename(Path::new("/new"), Path::new("/f")).unwrap();
        disk.cut_power();
        seen.insert(disk.files());
    }
    let names = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
    assert_eq!(seen, BTreeSet::from([names(&["/f"]), names(&["/f", "/new"])]));
}

#[test]
fn a_file_moved_to_another_directory_is_there_once_that_one_is_synced_and_may_be_nowhere_before() {
    let mut seen = BTreeSet::new();
    for (seed, synced) in (0..100).map(|seed| (seed, seed % 2 == 0)) {
        let (disk, _) = disk(seed);
        disk.create_dir_all(Path::new("/a")).unwrap();
        disk.create_dir_all(Path::new("/b")).unwrap();
        disk.create_new(Path::new("/a/x")).unwrap().sync().unwrap();
        disk.rename(Path::new("/a/x"), Path::new("/b/x")).unwrap();
        if synced {
            disk.sync_dir(Path::new("/b")).unwrap();
        }
        disk.cut_power();
        let files = disk.files();
        assert!(!synced || files.contains(&PathBuf::from("/b/x")), "{files:?}");
        seen.insert((synced, files));
    }
    assert!(seen.contains(&(false, vec![PathBuf::from("/f")])), "{seen:?}");
}

#[test]
fn a_further_name_is_there_once_its_directory_is_synced_and_keeps_the_file_when_the_first_goes() {
    let mut seen = BTreeSet::new();
    for (seed, synced) in (0..100).map(|seed| (seed, seed % 2 == 0)) {
        let (disk, file) = disk(seed);
        file.write_at(b"content", 0).unwrap();
        file.sync().unwrap();
        disk.create_dir_all(Path::new("/b")).unwrap();
        disk.link(Path::new("/f"), Path::new("/b/x")).unwrap();
        assert!(disk.link(Path::new("/f"), Path::new("/b/x")).is_err(), "the name is taken");
        assert!(disk.link(Path::new("/g"), Path::new("/b/y")).is_err(), "there is no such file");
        disk.limit(Some(2 * 4096));
        assert!(
            disk.open(Path::new("/b/x")).unwrap().write_at(b"!", 4096).is_ok(),
            "it takes no space twice"
        );
        file.sync().unwrap();
        if synced {
            disk.sync_dir(Path::new("/b")).unwrap();
            disk.remove(Path::new("/f")).unwrap();
            disk.sync_dir(Path::new("/")).unwrap();
        }
        disk.cut_power();
        let there = disk.bytes(Path::new("/b/x"));
        assert!(!synced || disk.files() == [PathBuf::from("/b/x")]);
        assert!(there.iter().all(|bytes| bytes.starts_with(b"content") && bytes.ends_with(b"!")));
        seen.insert((synced, there.is_some()));
    }
    assert_eq!(seen, BTreeSet::from([(false, false), (false, true), (true, true)]));
}

#[test]
fn a_killed_process_loses_nothing_but_its_locks() {
    let (disk, file) = disk(1);
    assert!(file.try_lock().unwrap());
    assert!(!disk.open(Path::new("/f")).unwrap().try_lock().unwrap());
    file.write_at(b"written", 3).unwrap();
    disk.kill();
    assert_eq!(disk.bytes(Path::new("/f")).unwrap(), b"\0\0\0written");
    assert!(disk.open(Path::new("/f")).unwrap().try_lock().unwrap());
}

#[test]
fn names_of_one_directory_are_lost_one_by_one() {
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let (disk, _) = disk(seed);
        for name in ["/a", "/b"] {
            disk.create_new(Path::new(name)).unwrap();
        }
        disk.remove(Path::new("/f")).unwrap();
        disk.cut_power();
        seen.insert(disk.files());
    }
    assert_eq!(seen.len(), 8, "any of the three changes may have happened");
}

#[test]
fn a_full_disk_takes_whole_blocks_that_fit_and_says_so() {
    let (disk, file) = disk(1);
    disk.limit(Some(3 * 4096));
    file.write_at(&[1; 5000], 0).unwrap();
    assert_eq!(file.write_at(&[2; 8000], 5000).unwrap_err().kind(), io::ErrorKind::StorageFull);
    let bytes = disk.bytes(Path::new("/f")).unwrap();
    assert!(bytes.len() == 3 * 4096 && bytes[5000..].iter().all(|byte| *byte == 2));
    file.write_at(&[3; 4096], 4096).unwrap();
    assert_eq!(disk.create_new(Path::new("/g")).unwrap_err().kind(), io::ErrorKind::StorageFull);
    disk.limit(None);
    file.write_at(&[2; 8000], 5000).unwrap();
}

#[test]
fn space_goes_and_comes_back_at_the_calls_that_were_said() {
    let (disk, file) = disk(1);
    disk.full_between(1, 3);
    let outcomes: Vec<bool> = (0..4).map(|block| file.write_at(&[1], block * 4096).is_ok()).collect();
    assert_eq!(outcomes, [true, false, false, true]);
}

#[test]
fn holes_are_zeros_and_cut_bytes_do_not_come_back() {
    let (disk, file) = disk(1);
    file.write_at(&[1; 3], 9000).unwrap();
    file.set_len(9002).unwrap();
    file.set_len(20_000).unwrap();
    let mut expected = vec![0; 20_000];
    expected[9000..9002].fill(1);
    assert!(disk.bytes(Path::new("/f")).unwrap() == expected);
    assert_eq!(disk.written_blocks(Path::new("/f")), [(8192, 4096)]);
    let mut read = [7; 10];
    file.read_at(&mut read, 8998).unwrap();
    assert_eq!(read, [0, 0, 1, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(file.read_at(&mut read, 19_995).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn each_picture_is_the_disk_before_a_call_and_crashes_on_its_own() {
    let (disk, file) = disk(1);
    disk.record();
    for round in 0..5_u8 {
        disk.label(u64::from(round));
        file.write_at(&[round + 1; 512], 0).unwrap();
        file.sync().unwrap();
    }
    let pictures = disk.pictures();
    assert_eq!(pictures.len(), 11);
    for (index, picture) in pictures.iter().enumerate() {
        assert_eq!(picture.label, (index as u64 / 2).min(4));
        let crashed = picture.files.disk(9);
        crashed.cut_power_keeping(Survival::Nothing);
        let found = crashed.bytes(Path::new("/f")).unwrap();
        assert_eq!(
            found,
            vec![u8::try_from(index / 2).unwrap(); if index < 2 { 0 } else { 512 }],
            "picture {index}"
        );
    }
    file.write_at(b"on it goes", 0).unwrap();
}

#[test]
fn a_failed_sync_is_not_made_good_by_the_next() {
    let mut lost = 0;
    for seed in 0..50 {
        let (disk, file) = disk(seed);
        file.write_at(&[1; 512], 0).unwrap();
        let error = io::ErrorKind::Other;
        disk.plan(Trouble { call: Some(Call::Sync), after: 0, error, lasting: false });
        file.sync().unwrap_err();
        file.sync().unwrap();
        disk.cut_power();
        lost += u32::from(disk.bytes(Path::new("/f")).unwrap() != [1; 512]);
    }
    assert!(lost > 10);
}

#[test]
fn planned_failures_come_when_planned() {
    let (disk, file) = disk(1);
    let error = io::ErrorKind::StorageFull;
    disk.plan(Trouble { call: Some(Call::Write), after: 2, error, lasting: false });
    let outcomes: Vec<bool> = (0..4).map(|_| file.write_at(b"x", 0).is_ok()).collect();
    assert_eq!(outcomes, [true, true, false, true]);
    disk.plan(Trouble { call: None, after: 1, error, lasting: true });
    file.write_at(b"x", 0).unwrap();
    file.sync().unwrap_err();
    file.write_at(b"x", 0).unwrap_err();
    disk.heal();
    file.write_at(b"x", 0).unwrap();
}
