//! The key file on disk: reading it whole, replacing it whole (`docs/spec/local-kms.md` §7 and §8).

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use strongroom_seal::{Context, Label, Random, SecretKey, record};

use super::error::LocalKmsError;
use super::header::{HEADER_LEN, Header, HeaderFault};
use super::keys::Keys;

const FILE: &str = "local.kms";
const TEMPORARY: &str = "local.kms.tmp";
const UNLOCK_KEY: &str = "unlock.key";
const LEN_MAX: u64 = 8 * 1024 * 1024;

/// Where the files are.
#[derive(Debug, Clone)]
pub(super) struct Paths {
    pub(super) dir: PathBuf,
    pub(super) file: PathBuf,
    pub(super) unlock_key: PathBuf,
    temporary: PathBuf,
}

impl Paths {
    pub(super) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            file: dir.join(FILE),
            unlock_key: dir.join(UNLOCK_KEY),
            temporary: dir.join(TEMPORARY),
        }
    }

    /// Makes the directory for its owner alone, if there is none, and those above it that are missing. Each is durable: its
    /// name is in the directory above it, so that is what is synced.
    pub(super) fn make_dir(&self) -> Result<(), LocalKmsError> {
        let make = || -> io::Result<()> {
            let named = self.dir.ancestors().take_while(|dir| !dir.as_os_str().is_empty());
            let missing: Vec<_> = named.take_while(|dir| !dir.exists()).collect();
            DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
            for dir in missing {
                let above = dir.parent().filter(|above| !above.as_os_str().is_empty());
                File::open(above.unwrap_or(Path::new(".")))?.sync_all()?;
            }
            Ok(())
        };
        make().map_err(|source| self.io("make the directory", &self.dir, source))
    }

    /// Holds off other processes that change the files until the handle is dropped.
    pub(super) fn lock(&self) -> Result<File, LocalKmsError> {
        let lock = || {
            let dir = File::open(&self.dir)?;
            dir.lock()?;
            Ok(dir)
        };
        lock().map_err(|source| self.io("lock", &self.dir, source))
    }

    /// Writes a new secret file in one piece: it is there with all of `content`, or not at all.
    pub(super) fn write(&self, path: &Path, content: &[u8]) -> Result<(), LocalKmsError> {
        let temporary = &self.temporary;
        let write = || -> io::Result<()> {
            match fs::remove_file(temporary) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
            file.write_all(content)?;
            file.sync_all()?;
            fs::rename(temporary, path)?;
            File::open(&self.dir)?.sync_all()
        };
        write().map_err(|source| {
            // Whatever was written of it is of no use, and the next change would remove it anyway.
            let _ = fs::remove_file(temporary);
            self.io("write", path, source)
        })
    }

    /// Makes the name of the file that was read durable: a process that died may have left it in the system's cache alone,
    /// and what is wrapped from now on must not need a version that a power cut takes back.
    pub(super) fn settle(&self) -> Result<(), LocalKmsError> {
        let sync = File::open(&self.dir).and_then(|dir| dir.sync_all());
        sync.map_err(|source| self.io("sync the directory", &self.dir, source))
    }

    /// The file's header and body, or `None` if there is no file.
    pub(super) fn read(&self) -> Result<Option<(Header, Vec<u8>)>, LocalKmsError> {
        let io = |source| self.io("read", &self.file, source);
        let damaged = |what| LocalKmsError::Damaged { path: self.file.clone(), what };
        let file = match File::open(&self.file) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(error)),
        };
        let metadata = file.metadata().map_err(io)?;
        if !metadata.is_file() || metadata.len() > LEN_MAX {
            return Err(damaged("length"));
        }
        let mut bytes = Vec::new();
        file.take(LEN_MAX + 1).read_to_end(&mut bytes).map_err(io)?;
        let Some((header, body)) = bytes.split_first_chunk::<HEADER_LEN>() else {
            return Err(damaged("length"));
        };
        let header = Header::decode(header).map_err(|fault| match fault {
            HeaderFault::Damaged(what) => damaged(what),
            HeaderFault::TooNew(version) => LocalKmsError::TooNew { path: self.file.clone(), version },
        })?;
        Ok(Some((header, body.to_vec())))
    }

    fn io(&self, action: &'static str, path: &Path, source: io::Error) -> LocalKmsError {
        LocalKmsError::Io { action, path: path.to_owned(), source }
    }
}

/// Opens the body that belongs to `header`.
pub(super) fn open_body(
    header: &Header,
    body: &[u8],
    key: &SecretKey,
    path: &Path,
) -> Result<Keys, LocalKmsError> {
    let damaged = |what| LocalKmsError::Damaged { path: path.to_owned(), what };
    let plain = record::open(key, &context(header), body).map_err(|_| damaged("sealed keys"))?;
    Keys::decode(&plain).map_err(|_| damaged("encoding of the keys"))
}

/// The whole file.
pub(super) fn seal(header: &Header, keys: &Keys, key: &SecretKey, random: &dyn Random) -> Vec<u8> {
    let mut out = header.encode().to_vec();
    out.extend_from_slice(&record::seal(key, &context(header), &keys.encode(), random));
    out
}

fn context(header: &Header) -> Context {
    Context::new(Label::LocalKmsFile, &header.covered())
}
