//! Taking a snapshot of a store that serves (`docs/spec/backup.md` §7).

use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;

use super::chunk::{Cutter, FileEntry, Items, Kind};
use super::manifest::{GroupPart, Manifest};
use super::progress::Reporter;
use super::read::Source;
use super::verify::SnapshotInfo;
use super::writer::{Means, Opened, Writer};
use super::{Attachments, BackupError, BackupProgress, BackupStage, FilePath};
use crate::disk::{Disk, OsDisk};
use crate::log::{Kind as RecordKind, Pin, Record};
use crate::{GroupId, ReadError, Store, Write, encode};

/// Whoever asks is told after this many rows at the latest.
const ROWS_PER_REPORT: u64 = 4096;

/// Where a backup goes, and what goes along.
#[derive(Debug, Clone)]
pub struct BackupOptions {
    /// The target: a directory that is missing, empty, or has earlier backups of this store.
    pub target: PathBuf,
    /// The file system of the target and of the files that rows stand for.
    pub disk: Arc<dyn Disk>,
    /// Which rows stand for files.
    pub attachments: Option<Arc<dyn Attachments>>,
}

impl BackupOptions {
    /// A backup without files.
    pub fn new(target: impl Into<PathBuf>) -> Self {
        Self { target: target.into(), disk: Arc::new(OsDisk), attachments: None }
    }
}

impl Store {
    /// Takes a snapshot while the store serves. What earlier ones have is not written again. `progress` is told how far it is
    /// and answers whether to go on. Blocks.
    ///
    /// # Errors
    /// After any error the target has the snapshots that it had.
    pub fn backup(
        &self,
        options: &BackupOptions,
        progress: &mut dyn FnMut(&BackupProgress) -> bool,
    ) -> Result<SnapshotInfo, BackupError> {
        let keyring = &self.engine().keyring;
        let (random, root_keys) = keyring.random_and_root_keys();
        let (root, store) = (keyring.root().key_id, keyring.store());
        let means = Means { disk: Arc::clone(&options.disk), random, root_keys, root, store };
        let opened = Opened::open(&options.target, &means)?;
        let previous = opened.source.newest()?;
        let writer = Writer::new(&opened.source, means, Reporter::new(progress));
        Taking { store: self, source: &opened.source, options, writer, seen: Vec::new() }
            .take(previous.as_ref())
    }
}

struct Taking<'a> {
    store: &'a Store,
    source: &'a Source,
    options: &'a BackupOptions,
    writer: Writer<'a>,
    /// Groups whose rows were read, with the first of their chunks that has a row that may stand for a file.
    seen: Vec<(GroupPart, usize)>,
}

impl Taking<'_> {
    fn take(mut self, previous: Option<&Manifest>) -> Result<SnapshotInfo, BackupError> {
        let pin = self.store.pin_log()?;
        self.rows()?;

        // The keyring first: what is in it is durable in the log by now, so the end that is noted next covers it.
        let (contents, keyring) = self.store.engine().keyring.snapshot();
        let end = self.store.pin_log()?;
        self.seen.retain(|(part, _)| contents.groups.contains_key(&part.group));
        let mut manifest = Manifest {
            taken_at: self.store.clock().now_seconds(),
            from: pin.last,
            to: end.last,
            segment: end.segment.0,
            keyring,
            ..Manifest::default()
        };
        drop(end);
        self.commands(&pin, &mut manifest)?;
        drop(pin);

        self.files(previous, &mut manifest)?;
        self.late_files(&mut manifest)?;
        self.writer.reporter.enter(BackupStage::Ending)?;
        manifest.groups = std::mem::take(&mut self.seen).into_iter().map(|(part, _)| part).collect();
        let (number, manifest) = self.writer.commit(manifest)?;
        let (header, _) = self.source.target.header(number)?;
        Ok(SnapshotInfo::new(&header, &manifest))
    }

    fn rows(&mut self) -> Result<(), BackupError> {
        let groups = self.store.groups();
        self.writer.reporter.now.groups_total = groups.len() as u64;
        self.writer.reporter.enter(BackupStage::Rows)?;
        for group in groups {
            self.group(group)?;
            self.writer.reporter.now.groups += 1;
        }
        Ok(())
    }

    fn group(&mut self, group: GroupId) -> Result<(), BackupError> {
        let reading = match self.store.read(group) {
            // Dropped meanwhile; the keyring that is noted later does not have it.
            Err(ReadError::NoSuchGroup { .. }) => return Ok(()),
            other => other?,
        };
        let root = self.store.engine().registry.known(group).root.0;
        let named = self.options.attachments.as_ref().and_then(|attachments| attachments.keys(group));
        let mut first_named = None;
        let mut cutter = Cutter::new(Kind::Rows);
        let mut rows = 0_u64;
        for row in reading.range(Bound::Unbounded, Bound::Unbounded)? {
            let (key, value) = row?;
            if first_named.is_none() && named.as_ref().is_some_and(|(from, to)| *from <= key && key < *to) {
                // The row may still open the next chunk, which is one too early at worst.
                first_named = Some(cutter.ended());
            }
            cutter.row(&mut self.writer, &key, &value)?;
            rows += 1;
            self.writer.reporter.now.rows += 1;
            if rows.is_multiple_of(ROWS_PER_REPORT) {
                self.writer.reporter.tell()?;
            }
        }
        let lsn = reading.lsn();
        drop(reading);
        let chunks = cutter.finish(&mut self.writer)?;
        let first_named = first_named.unwrap_or(chunks.len());
        self.seen.push((GroupPart { group, lsn, root, rows, chunks }, first_named));
        Ok(())
    }

    fn commands(&mut self, pin: &Pin, manifest: &mut Manifest) -> Result<(), BackupError> {
        self.writer.reporter.enter(BackupStage::Log)?;
        let mut cutter = Cutter::new(Kind::Commands);
        pin.read(manifest.to, |record: Record<'_>| {
            if record.kind == RecordKind::Command {
                cutter.command(&mut self.writer, record.lsn, record.group, record.payload)?;
                manifest.commands += 1;
                self.writer.reporter.now.rows += 1;
            }
            Ok::<_, BackupError>(())
        })?;
        manifest.command_chunks = cutter.finish(&mut self.writer)?;
        Ok(())
    }

    /// The files that rows stand for. The rows are read from the chunks, so that no reading is held while files are copied.
    fn files(&mut self, previous: Option<&Manifest>, manifest: &mut Manifest) -> Result<(), BackupError> {
        self.writer.reporter.enter(BackupStage::Files)?;
        let Some(attachments) = self.options.attachments.clone() else { return Ok(()) };
        let before = previous.map_or(&[][..], |previous| &previous.file_chunks);
        let mut before =
            Listed { items: Items::new(self.source, Kind::Files, before), next: None, ended: false };
        let mut cutter = Cutter::new(Kind::Files);
        for (part, first) in std::mem::take(&mut self.seen) {
            if let Some((from, to)) = attachments.keys(part.group) {
                let mut rows = Items::new(self.source, Kind::Rows, &part.chunks[first..]);
                while let Some((key, _)) = rows.row()? {
                    if key < from || key >= to {
                        continue;
                    }
                    let Some(path) = attachments.file_of(part.group, &key) else { continue };
                    let known = before.find(&path)?;
                    let original = path.in_dir(attachments.dir());
                    let entry = self.writer.file(&original, &path, known)?;
                    let missing = || BackupError::FileMissing { file: original.clone(), group: part.group };
                    let entry = entry.ok_or_else(missing)?;
                    manifest.files += 1;
                    manifest.file_bytes += entry.length;
                    cutter.file(&mut self.writer, &entry)?;
                }
            }
            self.seen.push((part, first));
        }
        manifest.file_chunks = cutter.finish(&mut self.writer)?;
        Ok(())
    }

    /// The files that commands of meanwhile made rows stand for.
    fn late_files(&mut self, manifest: &mut Manifest) -> Result<(), BackupError> {
        let Some(attachments) = self.options.attachments.clone() else { return Ok(()) };
        let mut cutter = Cutter::new(Kind::Files);
        let mut commands = Items::new(self.source, Kind::Commands, &manifest.command_chunks);
        while let Some((_, group, payload)) = commands.command()? {
            let Some((from, to)) = attachments.keys(group) else { continue };
            let command = encode::decode(group, &payload).map_err(|_| commands.malformed())?;
            for write in command.writes {
                let Write::Put { key, .. } = write else { continue };
                if key < from || key >= to {
                    continue;
                }
                let Some(path) = attachments.file_of(group, &key) else { continue };
                let original = path.in_dir(attachments.dir());
                match self.writer.file(&original, &path, None)? {
                    Some(entry) => {
                        manifest.files += 1;
                        manifest.file_bytes += entry.length;
                        cutter.file(&mut self.writer, &entry)?;
                    }
                    // A check refused the command, and whoever sent it took its file back.
                    None if !self.has_row(group, &key)? => {}
                    None => return Err(BackupError::FileMissing { file: original, group }),
                }
            }
        }
        manifest.late_file_chunks = cutter.finish(&mut self.writer)?;
        Ok(())
    }

    fn has_row(&self, group: GroupId, key: &[u8]) -> Result<bool, BackupError> {
        match self.store.read(group) {
            Err(ReadError::NoSuchGroup { .. }) => Ok(false),
            reading => Ok(reading?.get(key)?.is_some()),
        }
    }
}

/// The files that the snapshot before lists, looked up in ascending order.
struct Listed<'a> {
    items: Items<'a>,
    next: Option<FileEntry>,
    ended: bool,
}

impl Listed<'_> {
    fn find(&mut self, path: &FilePath) -> Result<Option<FileEntry>, BackupError> {
        while !self.ended && self.next.as_ref().is_none_or(|next| next.path < *path) {
            self.next = self.items.file()?;
            self.ended = self.next.is_none();
        }
        Ok(self.next.clone().filter(|next| next.path == *path))
    }
}
