//! Where the administrator's socket is (`docs/spec/data-directory.md` §8).

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use strongroom_api::admin::SOCKET_NAME;

/// A socket's address has 108 bytes, the last of which is zero.
const ADDRESS_BYTES_MAX: usize = 107;

/// A path to bind or to connect to. It is good for as long as this lives.
#[derive(Debug)]
pub(crate) struct SocketPath {
    path: PathBuf,
    /// Open while the path leads through it.
    _dir: Option<File>,
}

impl SocketPath {
    /// The socket of this data directory, whether it is there or not.
    pub(crate) fn of(dir: &Path) -> io::Result<Self> {
        let path = dir.join(SOCKET_NAME);
        if path.as_os_str().as_bytes().len() <= ADDRESS_BYTES_MAX {
            return Ok(Self { path, _dir: None });
        }
        let dir = File::open(dir)?;
        let path = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(SOCKET_NAME);
        Ok(Self { path, _dir: Some(dir) })
    }

    /// The path.
    pub(crate) fn as_path(&self) -> &Path {
        &self.path
    }
}
