//! A page file without redb: lengths, holes, and what survives a crash of pages that were left alone.

use std::collections::BTreeSet;

use super::super::file::{PageFile, Setting};
use super::super::geometry::{FAN, PAGE, PAGE_LEN};
use super::*;
use crate::sim::{Dice, SimDisk};

const PATH: &str = "/bare.pages";

fn setting<'a>(sim: &SimDisk, keys: &'a PageKeys, seed: u64) -> Setting<'a> {
    Setting {
        disk: Arc::new(sim.clone()),
        path: Path::new(PATH),
        group: GROUP,
        keys,
        random: random(seed),
        tag_pages_max: 2,
    }
}

fn open(sim: &SimDisk, seed: u64, expect: RootSeq) -> Result<PageFile, PagesError> {
    PageFile::open(sim.open(Path::new(PATH)).unwrap(), &setting(sim, &keys(), seed), expect)
}

fn create(sim: &SimDisk) -> PageFile {
    let disk_file = sim.create_new(Path::new(PATH)).unwrap();
    sim.sync_dir(Path::new("/")).unwrap();
    PageFile::create(disk_file, &setting(sim, &keys(), 0)).unwrap()
}

fn write(file: &PageFile, page: u64, count: usize, fill: u8) -> Result<(), PagesError> {
    file.write(page * PAGE, &vec![fill; count * PAGE_LEN])
}

fn length(sim: &SimDisk) -> u64 {
    sim.open(Path::new(PATH)).unwrap().len().unwrap()
}

/// What fills a page, if one byte does.
fn read(file: &PageFile, page: u64) -> Result<u8, PagesError> {
    let mut out = vec![0xEE; PAGE_LEN];
    file.read(page * PAGE, &mut out)?;
    assert!(out == [out[0]; PAGE_LEN], "page {page} is mixed");
    Ok(out[0])
}

#[test]
fn pages_never_written_are_zero_and_extents_span_leaves() {
    let sim = SimDisk::from_seed(1);
    let file = create(&sim);
    file.set_length(3 * FAN * PAGE).unwrap();
    write(&file, FAN - 3, 8, 5).unwrap();
    let mut out = vec![0xEE; 16 * PAGE_LEN];
    file.read((FAN - 7) * PAGE, &mut out).unwrap();
    let fills: Vec<u8> = out.chunks(PAGE_LEN).map(|page| page[0]).collect();
    assert_eq!(fills, [0, 0, 0, 0, 5, 5, 5, 5, 5, 5, 5, 5, 0, 0, 0, 0]);
    file.write(0, b"head").unwrap();
    let mut head = [1; 9];
    file.read(0, &mut head).unwrap();
    assert_eq!(&head, b"head\0\0\0\0\0");
}

#[test]
fn calls_outside_the_length_or_across_page_borders_are_refused() {
    for (offset, length) in
        [(10 * PAGE, PAGE_LEN), (9 * PAGE, 2 * PAGE_LEN), (PAGE + 1, 10), (0, 2 * PAGE_LEN), (PAGE, 9)]
    {
        let sim = SimDisk::from_seed(1);
        let file = create(&sim);
        file.set_length(10 * PAGE).unwrap();
        assert!(matches!(file.read(offset, &mut vec![0; length]).unwrap_err(), PagesError::Io { .. }));
    }
    let sim = SimDisk::from_seed(1);
    let file = create(&sim);
    assert!(matches!(file.set_length(u64::MAX / PAGE * PAGE).unwrap_err(), PagesError::Full { .. }));
}

#[test]
fn pages_that_were_cut_come_back_as_zeros() {
    for keep in [1, 2, 100, FAN - 1, FAN, FAN + 1, 2 * FAN, FAN * FAN - 1, FAN * FAN, FAN * FAN + 5, 0] {
        let sim = SimDisk::from_seed(1);
        let file = create(&sim);
        let whole = FAN * FAN + 300;
        file.set_length(whole * PAGE).unwrap();
        let probes =
            [1, 99, 100, FAN - 1, FAN, FAN + 1, 2 * FAN + 3, FAN * FAN - 1, FAN * FAN, FAN * FAN + 299];
        probes.iter().for_each(|page| write(&file, *page, 1, 7).unwrap());
        file.sync().unwrap();
        let long = length(&sim);
        file.set_length(keep * PAGE).unwrap();
        assert!(length(&sim) < long);
        file.set_length(whole * PAGE).unwrap();
        let check = |file: &PageFile| {
            for page in probes {
                assert_eq!(read(file, page).unwrap(), if page < keep { 7 } else { 0 }, "{page} of {keep}");
            }
        };
        check(&file);
        write(&file, FAN + 7, 1, 9).unwrap();
        file.close().unwrap();
        let seq = file.seq();
        drop(file);
        let file = open(&sim, 1, seq).unwrap();
        check(&file);
        assert_eq!(read(&file, FAN + 7).unwrap(), 9);
    }
}

/// What a root says, page by page, and which pages were written since.
#[derive(Debug, Clone)]
struct Model {
    fills: Vec<u8>,
    written_since: BTreeSet<u64>,
}

#[test]
fn pages_left_alone_since_a_sync_survive_a_crash_at_any_call() {
    for seed in 0..100 {
        let mut dice = Dice::from_seed(seed);
        let sim = SimDisk::from_seed(seed);
        let mut file = create(&sim);
        file.set_length(PAGE).unwrap();
        file.sync().unwrap();
        let mut durable = Model { fills: vec![0], written_since: BTreeSet::new() };
        for round in 0..3 {
            let mut live = durable.fills.clone();
            let mut candidates = vec![durable.clone()];
            let mut seq = file.seq();
            sim.cut_power_after(dice.under(120));
            let mut steps = || -> Result<(), PagesError> {
                loop {
                    match dice.under(8) {
                        0 => {
                            let length = 1 + dice.under(3 * FAN);
                            let shrinks = (length as usize) < live.len();
                            live.resize(length as usize, 0);
                            if shrinks {
                                // Writes a root of its own.
                                candidates
                                    .push(Model { fills: live.clone(), written_since: BTreeSet::new() });
                            }
                            file.set_length(length * PAGE)?;
                            if shrinks {
                                candidates.drain(..candidates.len() - 1);
                                seq = file.seq();
                            }
                        }
                        1 => {
                            candidates.push(Model { fills: live.clone(), written_since: BTreeSet::new() });
                            file.sync()?;
                            candidates.drain(..candidates.len() - 1);
                            seq = file.seq();
                        }
                        _ if live.len() > 1 => {
                            let page = 1 + dice.under(live.len() as u64 - 1);
                            let count = (1 + dice.under(4)).min(live.len() as u64 - page);
                            let fill = dice.under(255) as u8 + 1;
                            for page in page..page + count {
                                live[page as usize] = fill;
                                for model in &mut candidates {
                                    model.written_since.insert(page);
                                }
                            }
                            write(&file, page, count as usize, fill)?;
                        }
                        _ => {}
                    }
                }
            };
            steps().unwrap_err();
            drop(file);
            sim.cut_power();
            file = open(&sim, seed * 10 + round, seq).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            // At most one root was being written.
            let found = if file.seq() == seq { candidates[0].clone() } else { candidates.pop().unwrap() };
            assert_eq!(file.length(), found.fills.len() as u64 * PAGE, "seed {seed}");
            for page in (1..found.fills.len() as u64).filter(|page| !found.written_since.contains(page)) {
                let fill = read(&file, page).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
                assert_eq!(fill, found.fills[page as usize], "seed {seed}, page {page}");
            }
            durable = Model { fills: found.fills.clone(), written_since: BTreeSet::new() };
            // What was written since is given up, as redb does: written anew before it is read.
            for page in found.written_since {
                if (page as usize) < durable.fills.len() {
                    write(&file, page, 1, 77).unwrap();
                    durable.fills[page as usize] = 77;
                }
            }
            file.sync().unwrap();
        }
    }
}
