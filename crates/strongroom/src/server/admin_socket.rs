//! The administrator's socket: made, replaced, removed (`docs/spec/data-directory.md` §8).

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use strongroom_api::admin::SOCKET_NAME;
use tokio::net::{UnixListener, UnixSocket};

use crate::admin::socket::SocketPath;

/// Connections that wait until they are accepted.
const BACKLOG: u32 = 16;

/// The socket cannot be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum SocketError {
    #[error(
        "{path} is in the way: it is no socket, and the administrator's socket belongs there; move it away"
    )]
    InTheWay { path: PathBuf },
    #[error("the administrator's socket {path} cannot be made: {source}")]
    Io { path: PathBuf, source: io::Error },
}

/// A socket to be removed at a clean stop, and at no other end: the process that comes next might have made its own.
#[derive(Debug)]
#[must_use]
pub(super) struct Removal(PathBuf);

impl Removal {
    /// Removes it. The caller still holds the directory's lock.
    pub(super) fn remove(self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "the administrator's socket cannot be removed");
        }
    }
}

/// Listens on the socket of this data directory, whose lock the caller holds.
pub(super) fn bind(dir: &Path) -> Result<(UnixListener, Removal), SocketError> {
    let path = dir.join(SOCKET_NAME);
    match fs::symlink_metadata(&path) {
        Ok(found) if !found.file_type().is_socket() => return Err(SocketError::InTheWay { path }),
        _ => {}
    }
    match listen(dir, &path) {
        Ok(listener) => Ok((listener, Removal(path))),
        Err(source) => Err(SocketError::Io { path, source }),
    }
}

fn listen(dir: &Path, path: &Path) -> io::Result<UnixListener> {
    // Left by a process that was killed: the lock says that nobody serves it.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = UnixSocket::new_stream()?;
    let address = SocketPath::of(dir)?;
    socket.bind(address.as_path())?;
    // Before it listens nobody can connect, whatever the permission is until here.
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn reached(dir: &Path) -> bool {
        let path = SocketPath::of(dir).unwrap();
        UnixStream::connect(path.as_path()).is_ok()
    }

    #[tokio::test]
    async fn only_its_user_can_connect() {
        let dir = tempfile::tempdir().unwrap();
        let (_listener, _removal) = bind(dir.path()).unwrap();
        let mode = fs::metadata(dir.path().join(SOCKET_NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(reached(dir.path()));
    }

    #[tokio::test]
    async fn socket_of_a_killed_process_is_replaced_and_a_clean_stop_leaves_none() {
        let dir = tempfile::tempdir().unwrap();
        drop(bind(dir.path()).unwrap());
        assert!(dir.path().join(SOCKET_NAME).exists() && !reached(dir.path()));
        let (listener, removal) = bind(dir.path()).unwrap();
        assert!(reached(dir.path()));
        drop(listener);
        removal.remove();
        assert!(!dir.path().join(SOCKET_NAME).exists());
    }

    #[tokio::test]
    async fn directory_with_a_long_name_has_its_socket_too() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(120)).join("e".repeat(120));
        fs::create_dir_all(&deep).unwrap();
        let (_listener, _removal) = bind(&deep).unwrap();
        assert!(deep.join(SOCKET_NAME).exists() && reached(&deep));
    }

    #[tokio::test]
    async fn what_is_no_socket_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(SOCKET_NAME);
        fs::write(&path, "somebody's").unwrap();
        assert!(matches!(bind(dir.path()), Err(SocketError::InTheWay { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"somebody's");
    }
}
