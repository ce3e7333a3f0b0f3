//! Reading a target, believing nothing that does not open (`docs/spec/backup.md`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use strongroom_seal::{BackupKey, Context, Label, MacKey, record};
use zeroize::Zeroizing;

use super::BackupError;
use super::chunk::{self, ChunkRef, FileEntry};
use super::format::{self, FormatError};
use super::keys::{Keys, TargetId, wrap_context};
use super::manifest::{self, Header, HeaderError, Manifest};
use crate::RootKeys;
use crate::disk::{Disk, DiskFile};

/// A copied file is read in pieces of this many bytes.
pub(super) const PIECE_LEN: usize = 1 << 20;

/// A target whose FORMAT was read.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) dir: PathBuf,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) id: TargetId,
}

/// A target whose key is there.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) target: Target,
    pub(super) keys: Keys,
}

impl Target {
    pub(super) fn open(dir: &Path, disk: &Arc<dyn Disk>) -> Result<Self, BackupError> {
        let path = dir.join("FORMAT");
        let bytes = read_file(&**disk, &path, format::LEN_MAX)?;
        let id = format::parse(&bytes).map_err(|error| match error {
            FormatError::TooNew(found) => {
                BackupError::TooNew { file: path.clone(), found, supported: format::VERSION }
            }
            FormatError::Malformed => BackupError::damage(&path, "it is not a backup's format line"),
        })?;
        Ok(Self { dir: dir.to_owned(), disk: Arc::clone(disk), id })
    }

    /// The numbers of all manifests, ascending; 0, which is no snapshot, among them.
    pub(super) fn numbers(&self) -> Result<Vec<u64>, BackupError> {
        let dir = self.snapshots_dir();
        if !self.disk.exists(&dir).map_err(BackupError::reading(&dir))? {
            return Ok(Vec::new());
        }
        let names = self.disk.list(&dir).map_err(BackupError::reading(&dir))?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| number_of(name)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The snapshot with this number, or the newest.
    pub(super) fn pick(&self, number: Option<u64>) -> Result<u64, BackupError> {
        let numbers = self.numbers()?;
        let found = match number {
            Some(number) => numbers.into_iter().find(|found| *found == number && number > 0),
            None => numbers.into_iter().next_back().filter(|newest| *newest > 0),
        };
        found.ok_or_else(|| BackupError::NoSnapshot { dir: self.dir.clone(), number })
    }

    /// A manifest's header, and its body as it is.
    pub(super) fn header(&self, number: u64) -> Result<(Header, Vec<u8>), BackupError> {
        let path = self.snapshot_path(number);
        let bytes = read_file(&*self.disk, &path, manifest::LEN_MAX)?;
        let (header, body) = Header::parse(&bytes).map_err(|error| match error {
            HeaderError::TooNew(found) => BackupError::TooNew {
                file: path.clone(),
                found: found.into(),
                supported: manifest::VERSION.into(),
            },
            HeaderError::Malformed(why) => BackupError::damage(&path, why),
        })?;
        if header.target != self.id {
            return Err(BackupError::damage(&path, "it is of another backup"));
        }
        if header.number != number {
            return Err(BackupError::damage(&path, "it is another snapshot's manifest"));
        }
        let body = body.to_vec();
        Ok((header, body))
    }

    /// Unwraps the backup's key with the envelope in a manifest's header.
    pub(super) fn unlock(self, header: &Header, root_keys: &dyn RootKeys) -> Result<Source, BackupError> {
        let context = wrap_context(self.id, header.store);
        let mut key = root_keys.unwrap(&header.wrapped, &context).map_err(|source| BackupError::RootKey {
            file: self.snapshot_path(header.number),
            provider: header.wrapped.provider.clone(),
            key_id: header.wrapped.key_id.clone(),
            key_version: header.wrapped.key_version,
            source: Box::new(source),
        })?;
        let keys = Keys::new(BackupKey::from_bytes(&mut key), self.id);
        Ok(Source { target: self, keys })
    }

    pub(super) fn snapshots_dir(&self) -> PathBuf {
        self.dir.join("snapshots")
    }

    pub(super) fn snapshot_path(&self, number: u64) -> PathBuf {
        self.snapshots_dir().join(format!("{number:016x}"))
    }

    pub(super) fn files_dir(&self) -> PathBuf {
        self.dir.join("blobs")
    }

    pub(super) fn chunk_context(&self, chunk: &ChunkRef) -> Context {
        Context::new(Label::BackupChunk, &self.id.0).and(&chunk.name)
    }
}

impl Source {
    /// What a snapshot consists of.
    pub(super) fn manifest(&self, header: &Header, body: &[u8]) -> Result<Manifest, BackupError> {
        let path = self.target.snapshot_path(header.number);
        let plain = record::open(&self.keys.manifest, &header.context(), body)
            .map_err(|_| BackupError::damage(&path, "its body does not open"))?;
        Manifest::decode(&plain).map_err(|_| BackupError::damage(&path, "its body opens and is malformed"))
    }

    /// Header and content of the newest manifest that is a snapshot.
    pub(super) fn newest(&self) -> Result<Option<Manifest>, BackupError> {
        let Some(number) = self.target.numbers()?.pop().filter(|newest| *newest > 0) else { return Ok(None) };
        let (header, body) = self.target.header(number)?;
        self.manifest(&header, &body).map(Some)
    }

    pub(super) fn chunk_path(&self, chunk: &ChunkRef) -> PathBuf {
        let name = hex(&chunk.name);
        self.target.dir.join("chunks").join(&name[..2]).join(name)
    }

    /// What a chunk holds.
    pub(super) fn chunk(&self, chunk: &ChunkRef) -> Result<Zeroizing<Vec<u8>>, BackupError> {
        let path = self.chunk_path(chunk);
        let length = chunk.length as u64 + record::OVERHEAD as u64;
        let sealed = read_file(&*self.target.disk, &path, (chunk::LEN_MAX + record::OVERHEAD) as u64)?;
        if sealed.len() as u64 != length {
            return Err(BackupError::damage(&path, "it has another length than the snapshot says"));
        }
        record::open(&self.keys.chunk, &self.target.chunk_context(chunk), &sealed)
            .map_err(|_| BackupError::damage(&path, "it does not open"))
    }

    pub(super) fn file_path(&self, file: &FileEntry) -> PathBuf {
        file.path.in_dir(&self.target.files_dir())
    }

    /// Reads a copied file to its end, hands out its pieces, and checks its length and digest. What was handed out
    /// counts only if this succeeds.
    pub(super) fn file(
        &self,
        entry: &FileEntry,
        mut piece: impl FnMut(&[u8], u64) -> Result<(), BackupError>,
    ) -> Result<(), BackupError> {
        let path = self.file_path(entry);
        let file = self.target.disk.open_read(&path).map_err(BackupError::reading(&path))?;
        if file.len().map_err(BackupError::reading(&path))? != entry.length {
            return Err(BackupError::damage(&path, "it has another length than the snapshot says"));
        }
        let digest = hash_pieces(&*file, &path, entry.length, &self.keys.file, &mut piece)?;
        if digest == entry.digest {
            return Ok(());
        }
        Err(BackupError::damage(&path, "its content is not what was copied"))
    }
}

/// Is handed a piece and where in the file it stands.
pub(super) type TakePiece<'a> = &'a mut dyn FnMut(&[u8], u64) -> Result<(), BackupError>;

/// Reads a file in pieces and takes its digest.
pub(super) fn hash_pieces(
    file: &dyn DiskFile,
    path: &Path,
    length: u64,
    key: &MacKey,
    piece: TakePiece<'_>,
) -> Result<[u8; strongroom_seal::MAC_LEN], BackupError> {
    let mut digest = key.begin();
    let mut buffer = vec![0; PIECE_LEN];
    let mut at = 0;
    while at < length {
        let now = usize::try_from(length - at).unwrap_or(PIECE_LEN).min(PIECE_LEN);
        file.read_at(&mut buffer[..now], at).map_err(BackupError::reading(path))?;
        digest.update(&buffer[..now]);
        piece(&buffer[..now], at)?;
        at += now as u64;
    }
    Ok(digest.finish())
}

/// A whole file of at most `most` bytes.
pub(super) fn read_file(disk: &dyn Disk, path: &Path, most: u64) -> Result<Vec<u8>, BackupError> {
    let file = disk.open_read(path).map_err(BackupError::reading(path))?;
    let length = file.len().map_err(BackupError::reading(path))?;
    let Some(length) = usize::try_from(length).ok().filter(|_| length <= most) else {
        return Err(BackupError::damage(path, "it is longer than such a file can be"));
    };
    let mut bytes = vec![0; length];
    file.read_at(&mut bytes, 0).map_err(BackupError::reading(path))?;
    Ok(bytes)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(out, "{byte:02x}").expect("a String takes everything");
    }
    out
}

pub(super) fn number_of(name: &str) -> Option<u64> {
    let right =
        name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'));
    if right { u64::from_str_radix(name, 16).ok() } else { None }
}
