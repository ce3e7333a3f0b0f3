use super::*;

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
fn a_full_disk_takes_what_fits_and_says_so() {
    let (disk, file) = disk(1);
    disk.limit(Some(10));
    file.write_at(&[1; 8], 0).unwrap();
    assert_eq!(file.write_at(&[2; 8], 8).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(disk.bytes(Path::new("/f")).unwrap(), [1, 1, 1, 1, 1, 1, 1, 1, 2, 2]);
    file.write_at(&[3; 10], 0).unwrap();
    disk.limit(None);
    file.write_at(&[2; 8], 8).unwrap();
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
