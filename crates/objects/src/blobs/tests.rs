use std::sync::mpsc;
use std::time::Duration;

use strongroom_seal::SeededRandom;
use strongroom_seal::stream::StreamSpec;
use strongroom_store::sim::{Call, SimDisk, Trouble};
use strongroom_store::{CommitError, ReadError};

use super::*;
use crate::layers::{ContentKeys, Layers};
use crate::rows::ContentId;
use crate::sse::Belongs;
use crate::{BucketName, ObjectName};

const GROUP: GroupId = GroupId(1);

struct Fixture {
    disk: SimDisk,
    blobs: Arc<Blobs>,
    random: SeededRandom,
}

impl Fixture {
    fn new() -> Self {
        let disk = SimDisk::from_seed(1);
        let blobs = Arc::new(Blobs::open(Arc::new(disk.clone()), Path::new("/blobs"), 1).unwrap());
        Self { disk, blobs, random: SeededRandom::dangerous_from_seed(1) }
    }

    fn writer(&self, group: GroupId) -> BlobWriter {
        let keys = ContentKeys::generate(Layers::One, &self.random);
        let id = self.blobs.new_id(&self.random);
        let belongs = Belongs {
            bucket: BucketName::parse("bucket").unwrap(),
            group,
            name: ObjectName::parse("name").unwrap(),
            content: ContentId::generate(&self.random),
        };
        let places = belongs.blob(1, &id);
        let how = (&keys, &places, StreamSpec::default());
        BlobWriter::create(&self.blobs, group, id, how, &self.random).unwrap()
    }

    fn written(&self) -> WrittenBlob {
        self.writer(GROUP).finish().unwrap()
    }
}

#[test]
fn a_close_is_clean_if_every_blob_had_a_known_outcome() {
    let fixture = Fixture::new();
    fixture.written().place().unwrap().end(None);
    fixture.written().place().unwrap().end(Some(&ObjectError::NoSpace));
    drop(fixture.written().place().unwrap());
    drop(fixture.writer(GROUP));
    assert_eq!(fixture.disk.files().len(), 1);
    assert!(fixture.blobs.close());
}

#[test]
fn a_close_is_not_clean_while_a_blob_has_no_outcome_or_after_an_unknown_one() {
    let fixture = Fixture::new();
    let placed = fixture.written().place().unwrap();
    assert!(!fixture.blobs.close());
    placed.end(None);
    assert!(fixture.blobs.close());

    let fixture = Fixture::new();
    let error = ReadError::NoSuchGroup { group: GROUP };
    let unknown = ObjectError::Commit(CommitError::NotAppliedYet { group: GROUP, error });
    fixture.written().place().unwrap().end(Some(&unknown));
    assert_eq!(fixture.disk.files().len(), 1, "a row may name it");
    assert!(!fixture.blobs.close());
}

#[test]
fn a_close_is_not_clean_after_a_file_that_could_not_be_removed() {
    let fixture = Fixture::new();
    let placed = fixture.written().place().unwrap();
    let error = io::ErrorKind::Other;
    fixture.disk.plan(Trouble { call: Some(Call::Remove), after: 0, error, lasting: false });
    drop(placed);
    assert_eq!(fixture.disk.files().len(), 1);
    assert!(!fixture.blobs.close());
}

#[test]
fn a_blob_whose_command_was_never_heard_of_again_stays_for_the_sweep() {
    let fixture = Fixture::new();
    let mut placed = fixture.written().place().unwrap();
    placed.commits();
    // The runtime ends while the command is under way.
    drop(placed);
    assert_eq!(fixture.disk.files().len(), 1, "a row may name it");
    assert!(!fixture.blobs.close());
    let fixture = Fixture::new();
    let mut placed = fixture.written().place().unwrap();
    placed.commits();
    placed.end(Some(&ObjectError::NoSpace));
    assert!(fixture.disk.files().is_empty() && fixture.blobs.close());
}

/// A blob that a row names, and its further name.
fn linked(fixture: &Fixture) -> (BlobId, Result<Option<Vec<NewBlob>>, ObjectError>) {
    let placed = fixture.written().place().unwrap();
    let id = placed.id();
    placed.end(None);
    (id, fixture.blobs.link(GROUP, &[id], &fixture.random))
}

#[test]
fn a_further_name_is_durable_and_goes_alone_if_its_command_fails() {
    let fixture = Fixture::new();
    fixture.disk.trace();
    let (first, linked) = linked(&fixture);
    let [link] = <[NewBlob; 1]>::try_from(linked.unwrap().unwrap()).ok().unwrap();
    let second = link.id();
    assert!(!fixture.blobs.close(), "its command has no outcome yet");
    let traced = fixture.disk.traced();
    assert_eq!(traced.last().unwrap(), "sync names in /blobs/00000001/00000001");
    assert!(traced[traced.len() - 2].starts_with("link "), "{traced:?}");
    let path = |id: &BlobId| fixture.blobs.path(GROUP, id);
    assert_eq!(fixture.disk.bytes(&path(&first)), fixture.disk.bytes(&path(&second)));
    link.end(Some(&ObjectError::NoSpace));
    assert_eq!(fixture.disk.files(), [path(&first)]);
    assert!(fixture.blobs.close());
    assert!(matches!(fixture.blobs.link(GROUP, &[first], &fixture.random), Err(ObjectError::Stopping)));
}

#[test]
fn a_blob_is_there_until_its_last_name_goes() {
    let fixture = Fixture::new();
    let (first, linked) = linked(&fixture);
    let link = linked.unwrap().unwrap().remove(0);
    let second = link.id();
    link.end(None);
    let path = fixture.blobs.path(GROUP, &second);
    let bytes = fixture.disk.bytes(&path);
    let length = bytes.as_ref().unwrap().len() as u64;
    assert_eq!(fixture.blobs.remove(GROUP, &first).unwrap(), 0, "its bytes are still there");
    assert_eq!(fixture.disk.files(), std::slice::from_ref(&path));
    fixture.disk.cut_power();
    assert!(bytes.is_some() && fixture.disk.bytes(&path) == bytes);
    let blobs = Blobs::open(Arc::new(fixture.disk.clone()), Path::new("/blobs"), 2).unwrap();
    assert_eq!(blobs.remove(GROUP, &second).unwrap(), length);
    assert_eq!(blobs.remove(GROUP, &second).unwrap(), 0, "it is gone already");
}

#[test]
fn what_the_file_system_does_not_link_is_left_to_be_copied_and_a_full_disk_is_a_full_disk() {
    for (error, copies) in [
        (io::ErrorKind::PermissionDenied, true),
        (io::ErrorKind::TooManyLinks, true),
        (io::ErrorKind::CrossesDevices, true),
        (io::ErrorKind::Unsupported, true),
        (io::ErrorKind::StorageFull, false),
        (io::ErrorKind::QuotaExceeded, false),
    ] {
        let fixture = Fixture::new();
        fixture.disk.plan(Trouble { call: Some(Call::Link), after: 0, error, lasting: true });
        let (_, linked) = linked(&fixture);
        match linked {
            Ok(None) => assert!(copies, "{error}"),
            Err(ObjectError::NoSpace) => assert!(!copies, "{error}"),
            _ => panic!("{error}"),
        }
        assert_eq!(fixture.disk.files().len(), 1, "{error}");
        assert!(fixture.blobs.close(), "{error}");
    }
}

#[test]
fn a_name_that_is_taken_stays_with_who_has_it() {
    let fixture = Fixture::new();
    let (first, linked) = linked(&fixture);
    let link = linked.unwrap().unwrap().remove(0);
    let taken = link.id();
    link.end(None);
    let random = Repeating(taken.id);
    assert!(fixture.blobs.link(GROUP, &[first], &random).unwrap().is_none());
    assert_eq!(fixture.disk.files().len(), 2);
    assert!(!fixture.blobs.close(), "nobody knows whose it is");
}

/// Draws the same again and again.
#[derive(Debug)]
struct Repeating([u8; 16]);

impl Random for Repeating {
    fn fill(&self, out: &mut [u8]) {
        out.copy_from_slice(&self.0);
    }
}

#[test]
fn of_several_blobs_all_get_a_further_name_or_none_does() {
    let fixture = Fixture::new();
    let blobs = [1, 2].map(|_| {
        let placed = fixture.written().place().unwrap();
        let id = placed.id();
        placed.end(None);
        id
    });
    fixture.blobs.remove(GROUP, &blobs[1]).unwrap();
    assert!(fixture.blobs.link(GROUP, &blobs, &fixture.random).unwrap().is_none(), "one is gone");
    assert_eq!(fixture.disk.files(), [fixture.blobs.path(GROUP, &blobs[0])]);
    // Names that are not durable are no names yet.
    let error = io::ErrorKind::Other;
    fixture.disk.plan(Trouble { call: Some(Call::SyncDir), after: 0, error, lasting: false });
    assert!(matches!(fixture.blobs.link(GROUP, &blobs[..1], &fixture.random), Err(ObjectError::Io { .. })));
    assert_eq!(fixture.disk.files().len(), 1);
    assert!(fixture.blobs.close());
}

#[test]
fn nobody_places_a_blob_after_a_close() {
    let fixture = Fixture::new();
    let written = fixture.written();
    assert!(fixture.blobs.close());
    assert!(matches!(written.place(), Err(ObjectError::Stopping)));
    assert!(fixture.disk.files().is_empty());
    assert!(fixture.blobs.close());
}

#[test]
fn the_directory_of_blobs_has_its_name_durably_whoever_made_it() {
    let disk = SimDisk::from_seed(1);
    let synced = |name: &str| {
        disk.trace();
        Blobs::open(Arc::new(disk.clone()), Path::new("/data/blobs"), 1).unwrap();
        let wanted = format!("sync names in {name}");
        disk.traced().contains(&wanted)
    };
    assert!(synced("/data"));
    // A process that died in between may have made it.
    assert!(synced("/data"));
}

/// Waits until the disk keeps somebody waiting.
fn held_up(disk: &SimDisk) -> bool {
    (0..5000).any(|_| {
        std::thread::sleep(Duration::from_millis(1));
        disk.waiting() > 0
    })
}

#[test]
fn a_request_that_is_given_up_removes_its_file_without_keeping_other_tasks_waiting() {
    let fixture = Fixture::new();
    let writer = fixture.writer(GROUP);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let (sender, receiver) = mpsc::channel();
    fixture.disk.hold();
    let given_up = runtime.spawn(async move { drop(writer) });
    assert!(held_up(&fixture.disk));
    runtime.spawn(async move { sender.send(()).unwrap() });
    let others = receiver.recv_timeout(Duration::from_secs(5));
    fixture.disk.go_on();
    runtime.block_on(given_up).unwrap();
    assert!(others.is_ok(), "the only thread waited for the disk");
    assert!(fixture.disk.files().is_empty());
}

#[test]
fn the_directory_of_one_group_is_made_while_that_of_another_waits_for_the_disk() {
    let fixture = Fixture::new();
    fixture.writer(GroupId(2)).finish().unwrap().place().unwrap().end(None);
    let slow = fixture.written();
    fixture.disk.hold();
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| slow.place().unwrap().end(None));
        assert!(held_up(&fixture.disk));
        // What needs no call of the disk is not kept waiting by one.
        let blobs = Arc::clone(&fixture.blobs);
        let (sender, receiver) = mpsc::channel();
        scope.spawn(move || sender.send(blobs.make_dir(GroupId(2)).is_ok()));
        let made = receiver.recv_timeout(Duration::from_secs(5));
        fixture.disk.go_on();
        slow.join().unwrap();
        assert_eq!(made, Ok(true));
    });
}
