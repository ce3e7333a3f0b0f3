//! A target of version 1, kept as it was written once (`vector_v1.txt`): whatever is changed here, it can be restored.

use strongroom_seal::SeededRandom;

use super::files::Named;
use super::*;
use crate::backup::manifest::{Header, Manifest};
use crate::backup::read::{Target, number_of};
use crate::sim::SimDisk;

const VECTOR: &str = include_str!("vector_v1.txt");
const TARGET: &str = "/target";

fn unhex(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

/// The target on a disk, and the root key that its envelopes need.
fn vector() -> (SimDisk, Arc<OneKey>) {
    let disk = SimDisk::from_seed(1);
    for (path, content) in
        VECTOR.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(": "))
    {
        let path = Path::new(TARGET).join(path);
        disk.create_dir_all(path.parent().unwrap()).unwrap();
        disk.put(&path, Some(unhex(content)));
    }
    (disk, OneKey::drawn("root", Arc::new(SeededRandom::dangerous_from_seed(7))))
}

fn rows(model: &Model, group: GroupId) -> Vec<(String, String)> {
    let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).unwrap();
    model.groups[&group].iter().map(|(key, value)| (text(key), text(value))).collect()
}

#[test]
fn the_vector_of_version_1_is_verified_and_restored() {
    let (disk, keys) = vector();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let verified = verify(Path::new(TARGET), &shared, &*keys, None, &mut |_| true).unwrap();
    assert_eq!((verified.snapshot.number, verified.snapshot.taken_at), (1, 1_700_000_000));

    let place = Place { keys, ..Place::new() };
    let attachments: Arc<dyn Attachments> = Arc::new(Named(place.restored().join("blobs")));
    let options = RestoreOptions {
        target_disk: Arc::new(disk),
        attachments: Some(attachments),
        ..RestoreOptions::new(TARGET, place.options("restored"))
    };
    let restored = restore(&options, &mut |_| true).unwrap();
    // The command came before the rows of its group were read.
    assert_eq!((restored.snapshot, restored.replayed, restored.files), (verified.snapshot, 0, 1));
    let store = Store::create_or_open(place.options("restored")).unwrap();
    let model = Model::of(&store);
    let row = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let expected = [row("file/0a", ""), row("meanwhile", "a command"), row("name", "album")];
    assert_eq!(rows(&model, GroupId(1)), expected);
    let blob = place.restored().join("blobs").join(GroupId(1).to_string()).join("0a");
    assert_eq!(std::fs::read(blob).unwrap(), b"a file");
    store.close().unwrap();
}

#[test]
fn headers_and_manifests_of_the_vector_are_written_again() {
    let (disk, keys) = vector();
    let target = {
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        Target::open(Path::new(TARGET), &shared).unwrap()
    };
    let id = target.id;
    let (newest, _) = target.header(1).unwrap();
    let source = target.unlock(&newest, &*keys).unwrap();
    let mut seen = 0;
    for path in disk.files().iter().filter(|path| path.starts_with("/target/snapshots")) {
        let number = number_of(path.file_name().unwrap().to_str().unwrap()).unwrap();
        let (header, body) = source.target.header(number).unwrap();
        let again = Header::new(id, header.store, number, header.wrapped.clone());
        assert_eq!([again.bytes, body.clone()].concat(), disk.bytes(path).unwrap());
        if number == 0 {
            continue;
        }
        let manifest = source.manifest(&header, &body).unwrap();
        let key = &source.keys.manifest;
        let plain = strongroom_seal::record::open(key, &header.context(), &body).unwrap();
        assert_eq!(manifest.encode(), *plain);
        for chunk in manifest.groups.iter().flat_map(|part| &part.chunks).chain(&manifest.command_chunks) {
            // Its name is the hash of what it holds.
            assert_eq!(source.keys.name.hash(&source.chunk(chunk).unwrap()), chunk.name);
            seen += 1;
        }
        assert_eq!(Manifest::decode(&plain).unwrap(), manifest);
    }
    // Rows of two groups and a command.
    assert_eq!(seen, 3);
}
