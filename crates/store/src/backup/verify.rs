//! Looking at a target: what there is, and whether it still is what was written.

use std::path::Path;
use std::sync::Arc;

use super::chunk::{Items, Kind, Row};
use super::manifest::{Header, Manifest};
use super::progress::Reporter;
use super::read::{Source, Target};
use super::{BackupError, BackupProgress, BackupStage};
use crate::disk::Disk;
use crate::keyring::contents_of;
use crate::{GroupId, Lsn, RootKeyName, RootKeys, encode};

/// What can be told of a snapshot without a key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupOutline {
    /// Its number, from 1.
    pub number: u64,
    /// The root key that opens it.
    pub root: RootKeyName,
}

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotInfo {
    /// Its number, from 1.
    pub number: u64,
    /// When it was taken, in seconds since 1970.
    pub taken_at: u64,
    /// The last command in it.
    pub lsn: Lsn,
    /// How many groups it has.
    pub groups: u64,
    /// How many rows were read, to which the commands of meanwhile come.
    pub rows: u64,
    /// How many commands came while it was taken.
    pub commands: u64,
    /// Bytes of rows and commands.
    pub index_bytes: u64,
    /// How many files it has.
    pub files: u64,
    /// Their bytes.
    pub file_bytes: u64,
    /// Files that no snapshot had before it.
    pub new_files: u64,
    /// Bytes that were written for it, chunks and files together.
    pub new_bytes: u64,
    /// The root key that opens it.
    pub root: RootKeyName,
}

impl SnapshotInfo {
    pub(super) fn new(header: &Header, manifest: &Manifest) -> Self {
        let chunks = manifest.groups.iter().flat_map(|part| &part.chunks).chain(&manifest.command_chunks);
        Self {
            number: header.number,
            taken_at: manifest.taken_at,
            lsn: manifest.to,
            groups: manifest.groups.len() as u64,
            rows: manifest.groups.iter().map(|part| part.rows).sum(),
            commands: manifest.commands,
            index_bytes: chunks.map(|chunk| u64::from(chunk.length)).sum(),
            files: manifest.files,
            file_bytes: manifest.file_bytes,
            new_files: manifest.written.files,
            new_bytes: manifest.written.chunk_bytes + manifest.written.file_bytes,
            root: RootKeyName::from(&header.wrapped),
        }
    }
}

/// What a verification read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// The snapshot.
    pub snapshot: SnapshotInfo,
    /// Chunks read.
    pub chunks: u64,
    /// Files read.
    pub files: u64,
}

/// What is in a target, oldest first, without a key. None of it is authenticated.
///
/// # Errors
/// What the file system says, and what is not a backup.
pub fn outline(dir: &Path, disk: &Arc<dyn Disk>) -> Result<Vec<BackupOutline>, BackupError> {
    let target = Target::open(dir, disk)?;
    let mut found = Vec::new();
    for number in target.numbers()?.into_iter().filter(|number| *number > 0) {
        let (header, _) = target.header(number)?;
        found.push(BackupOutline { number, root: RootKeyName::from(&header.wrapped) });
    }
    Ok(found)
}

/// The snapshots in a target, oldest first.
///
/// # Errors
/// If the root key is not there, or a manifest is damaged.
pub fn snapshots(
    dir: &Path,
    disk: &Arc<dyn Disk>,
    root_keys: &dyn RootKeys,
) -> Result<Vec<SnapshotInfo>, BackupError> {
    let target = Target::open(dir, disk)?;
    let numbers = target.numbers()?;
    let newest = target.pick(None)?;
    let (header, _) = target.header(newest)?;
    let source = target.unlock(&header, root_keys)?;
    let mut found = Vec::new();
    for number in numbers.into_iter().filter(|number| *number > 0) {
        let (header, body) = source.target.header(number)?;
        found.push(SnapshotInfo::new(&header, &source.manifest(&header, &body)?));
    }
    Ok(found)
}

/// Reads a snapshot, the newest if none is named, to its last byte.
///
/// # Errors
/// The first thing that is missing or is not what was written, by its file's name.
pub fn verify(
    dir: &Path,
    disk: &Arc<dyn Disk>,
    root_keys: &dyn RootKeys,
    number: Option<u64>,
    progress: &mut dyn FnMut(&BackupProgress) -> bool,
) -> Result<Verified, BackupError> {
    let target = Target::open(dir, disk)?;
    let number = target.pick(number)?;
    let (header, body) = target.header(number)?;
    let source = target.unlock(&header, root_keys)?;
    let manifest = source.manifest(&header, &body)?;
    let path = source.target.snapshot_path(number);
    contents_of(&manifest.keyring, header.store)
        .ok_or_else(|| BackupError::damage(&path, "its keyring is malformed"))?;
    let mut reporter = Reporter::new(progress);
    reporter.now.groups_total = manifest.groups.len() as u64;
    for part in &manifest.groups {
        let mut rows = Rows::new(&source, part);
        while rows.next()?.is_some() {
            reporter.now.rows += 1;
            if reporter.now.rows.is_multiple_of(4096) {
                reporter.tell()?;
            }
        }
        reporter.now.groups += 1;
    }
    reporter.enter(BackupStage::Log)?;
    let mut commands = Commands::new(&source, &manifest);
    while commands.next()?.is_some() {}
    reporter.enter(BackupStage::Files)?;
    for chunks in [&manifest.file_chunks, &manifest.late_file_chunks] {
        let mut files = Items::new(&source, Kind::Files, chunks);
        while let Some(entry) = files.file()? {
            source.file(&entry, |_, _| Ok(()))?;
            reporter.now.files += 1;
            reporter.now.file_bytes += entry.length;
            reporter.tell()?;
        }
    }
    let files = reporter.now.files;
    if files != manifest.files {
        return Err(BackupError::damage(&path, "it has another number of files than it says"));
    }
    let lists = [&manifest.command_chunks, &manifest.file_chunks, &manifest.late_file_chunks];
    let chunks =
        manifest.groups.iter().map(|part| &part.chunks).chain(lists).map(|chunks| chunks.len() as u64);
    Ok(Verified { snapshot: SnapshotInfo::new(&header, &manifest), chunks: chunks.sum(), files })
}

/// The rows of a group, checked to ascend and to be as many as the manifest says.
pub(super) struct Rows<'a> {
    items: Items<'a>,
    left: u64,
    last: Option<Vec<u8>>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(source: &'a Source, part: &'a super::manifest::GroupPart) -> Self {
        Self { items: Items::new(source, Kind::Rows, &part.chunks), left: part.rows, last: None }
    }

    pub(super) fn next(&mut self) -> Result<Option<Row>, BackupError> {
        let row = self.items.row()?;
        let ascends = match (&row, &self.last) {
            (Some((key, _)), Some(last)) => last < key,
            _ => true,
        };
        let counts = if row.is_some() { self.left > 0 } else { self.left == 0 };
        if !ascends || !counts {
            return Err(self.items.malformed());
        }
        if let Some((key, _)) = &row {
            self.last = Some(key.clone());
            self.left -= 1;
        }
        Ok(row)
    }
}

/// The commands of a snapshot, checked to ascend within its bounds and to be as many as the manifest says.
pub(super) struct Commands<'a> {
    items: Items<'a>,
    left: u64,
    last: Lsn,
    to: Lsn,
}

impl<'a> Commands<'a> {
    pub(super) fn new(source: &'a Source, manifest: &'a Manifest) -> Self {
        let items = Items::new(source, Kind::Commands, &manifest.command_chunks);
        Self { items, left: manifest.commands, last: manifest.from, to: manifest.to }
    }

    /// The next command, its place, and how many bytes it had.
    pub(super) fn next(&mut self) -> Result<Option<(Lsn, GroupId, crate::Command, usize)>, BackupError> {
        let Some((lsn, group, payload)) = self.items.command()? else {
            return if self.left == 0 { Ok(None) } else { Err(self.items.malformed()) };
        };
        if lsn <= self.last || lsn > self.to || self.left == 0 {
            return Err(self.items.malformed());
        }
        self.last = lsn;
        self.left -= 1;
        let command = encode::decode(group, &payload).map_err(|_| self.items.malformed())?;
        Ok(Some((lsn, group, command, payload.len())))
    }
}
