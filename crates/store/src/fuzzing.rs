//! Entry points for tests that hand mangled bytes to the readers of this crate. Only with the feature `fuzzing`.
//!
//! The readers of one file kind lie beside that kind, so that nothing becomes visible for the sake of tests.

use std::io;
use std::path::Path;
use std::sync::Arc;

use strongroom_seal::fuzzing::Decoder;

use crate::checkpoint::Record;
use crate::directory::{format_line, parse_format};
use crate::disk::{Disk, DiskFile};
use crate::pages::RootSeq;
use crate::registry::Known;
use crate::{Check, Command, GroupId, Lsn, Write, encode};

/// The readers of this crate.
pub fn decoders() -> impl Iterator<Item = &'static Decoder> {
    [
        HERE,
        crate::log::fuzzing::DECODERS,
        crate::pages::fuzzing::DECODERS,
        crate::keyring::fuzzing::DECODERS,
        crate::backup::fuzzing::DECODERS,
    ]
    .into_iter()
    .flatten()
}

const HERE: &[Decoder] = &[
    Decoder::new("store/FORMAT", format_seeds, format),
    Decoder::new("store/checkpoint record", checkpoint_seeds, checkpoint),
    // A command of empty keys: five bytes each on disk, two vectors each in memory.
    Decoder::new("store/command", command_seeds, |bytes| command(GroupId(7), bytes)).with_memory(4096, 40),
    Decoder::new("store/command of the system group", system_seeds, |bytes| command(GroupId::SYSTEM, bytes))
        .with_memory(4096, 40),
];

fn format_seeds() -> Vec<Vec<u8>> {
    vec![b"strongroom-store 1 5c1f00112233445566778899aabbcce9\n".to_vec()]
}

fn format(bytes: &[u8]) -> bool {
    let Ok(id) = parse_format(bytes) else { return false };
    assert_eq!(format_line(id).as_bytes(), bytes, "one encoding per value");
    true
}

fn checkpoint_seeds() -> Vec<Vec<u8>> {
    let known = |root| Known { applied: Lsn(40), root: RootSeq(root) };
    let groups = vec![(GroupId::SYSTEM, known(7)), (GroupId(3), known(0)), (GroupId(90), known(12))];
    let record = Record { reached: Lsn(41), keyring_generation: 9, next_group: 91, groups };
    vec![Record::default().encode(), record.encode()]
}

fn checkpoint(bytes: &[u8]) -> bool {
    let Ok(record) = Record::decode(bytes) else { return false };
    assert_eq!(record.encode(), bytes, "one encoding per value");
    true
}

fn encoded(commands: Vec<Command>) -> Vec<Vec<u8>> {
    commands.iter().filter_map(|command| encode::encode(command).ok()).collect()
}

fn command_seeds() -> Vec<Vec<u8>> {
    let (key, value) = (b"key".to_vec(), b"value".to_vec());
    let checks = vec![
        Check::Absent { key: key.clone() },
        Check::Present { key: Vec::new() },
        Check::Equals { key: key.clone(), value: value.clone() },
        Check::RangeEmpty { from: key.clone(), to: vec![0xff; 40] },
    ];
    let writes = vec![Write::Put { key: key.clone(), value }, Write::Delete { key }];
    encoded(vec![
        Command { group: GroupId(7), checks: Vec::new(), writes: Vec::new() },
        Command { group: GroupId(7), checks, writes },
    ])
}

fn system_seeds() -> Vec<Vec<u8>> {
    let create = Write::CreateGroup { group: GroupId(8), at: 1_700_000_000, wrapped_key: vec![7; 45] };
    let writes = vec![create, Write::DropGroup { group: GroupId(5) }];
    encoded(vec![Command { group: GroupId::SYSTEM, checks: Vec::new(), writes }])
}

fn command(group: GroupId, bytes: &[u8]) -> bool {
    let Ok(command) = encode::decode(group, bytes) else { return false };
    assert_eq!(encode::encode(&command).ok().as_deref(), Some(bytes), "one encoding per value");
    true
}

/// A disk with one file that is only read.
#[derive(Debug)]
pub(crate) struct OneFile {
    name: &'static str,
    content: Arc<Content>,
}

#[derive(Debug)]
struct Content(Vec<u8>);

impl OneFile {
    pub(crate) fn new(name: &'static str, bytes: &[u8]) -> Self {
        Self { name, content: Arc::new(Content(bytes.to_vec())) }
    }

    /// Its file, opened.
    pub(crate) fn file(&self) -> Arc<dyn DiskFile> {
        Arc::clone(&self.content) as Arc<dyn DiskFile>
    }
}

fn refused<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl Disk for OneFile {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        if self.exists(path)? { Ok(self.file()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn create_new(&self, _: &Path) -> io::Result<Arc<dyn DiskFile>> {
        refused()
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        Ok(vec![self.name.to_owned()])
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(path.file_name().is_some_and(|name| name == self.name))
    }
}

impl DiskFile for Content {
    fn read_at(&self, out: &mut [u8], at: u64) -> io::Result<()> {
        let from = usize::try_from(at).ok().and_then(|at| self.0.get(at..)?.get(..out.len()));
        out.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        refused()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        refused()
    }

    fn sync(&self) -> io::Result<()> {
        refused()
    }

    fn try_lock(&self) -> io::Result<bool> {
        Ok(false)
    }
}
