//! A data directory and what it shows without keys.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::OverlayDisk;
use crate::directory::{Directory, StoreId, io_error};
use crate::disk::Disk;
use crate::keyring::{self, KeyringHeader};
use crate::pages::{self, PageFileOutline};
use crate::{LogError, OpenError, Outline, outline};

/// Why a directory cannot be looked at.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// There is no store in the directory: it is empty, or one was begun and never became one.
    #[error("{} holds no store", dir.display())]
    NoStore {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory is not there.
    #[error("there is no directory {}", dir.display())]
    NoDirectory {
        /// The directory.
        dir: PathBuf,
    },
    /// A server has the store open.
    #[error("the store in {} is in use by a running server", dir.display())]
    InUse {
        /// The data directory.
        dir: PathBuf,
    },
    /// What opening the store would say, too.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// A data directory that is only looked at.
#[derive(Debug)]
pub struct Offline {
    pub(super) dir: PathBuf,
    pub(super) store: StoreId,
}

impl Offline {
    /// Looks at a directory by its names and its format line. Takes no lock: what is shown without keys may be shown
    /// while a server runs.
    ///
    /// # Errors
    /// What says that there is no store that this program can read.
    pub fn look(dir: impl Into<PathBuf>) -> Result<Self, InspectError> {
        let dir = dir.into();
        if !dir.is_dir() {
            return Err(InspectError::NoDirectory { dir });
        }
        let disk: Arc<dyn Disk> = Arc::new(OverlayDisk::default());
        if !Directory::has_store(&dir, &*disk)? {
            return Err(InspectError::NoStore { dir });
        }
        let (_, store) = Directory::existing(&dir, &disk)?;
        Ok(Self { dir, store })
    }

    /// The data directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The store's id.
    pub fn store_id(&self) -> [u8; 16] {
        self.store.0
    }

    /// Whether a server has the store open now.
    ///
    /// # Errors
    /// What the file system says.
    pub fn in_use(&self) -> Result<bool, InspectError> {
        let path = self.dir.join("LOCK");
        let disk = OverlayDisk::default();
        let locked = || {
            // Without the file no server has it.
            if !disk.exists(&path)? { Ok(true) } else { disk.open(&path)?.try_lock() }
        };
        let free = locked().map_err(|error| io_error(&path, error))?;
        Ok(!free)
    }

    /// What the log shows without keys, oldest segment first.
    ///
    /// # Errors
    /// What the file system says.
    pub fn log(&self) -> Result<Outline, LogError> {
        outline(Arc::new(OverlayDisk::default()), &self.dir.join("log"))
    }

    /// What page files show without keys, in the order of their groups.
    ///
    /// # Errors
    /// What the file system says; a file that is not one is in the answer.
    pub fn pages(&self) -> Result<Vec<PageFileOutline>, InspectError> {
        Ok(pages::outline(&OverlayDisk::default(), &self.dir.join("pages"))?)
    }

    /// What the keyring shows without keys.
    ///
    /// # Errors
    /// A keyring that is missing, damaged in its header, or of another store.
    pub fn keyring(&self) -> Result<KeyringHeader, InspectError> {
        let disk: Arc<dyn Disk> = Arc::new(OverlayDisk::default());
        let (directory, store) = Directory::existing(&self.dir, &disk)?;
        Ok(keyring::outline(&*disk, &directory.keyring(), store)?)
    }
}
