//! How many files this process may have open, and so how many connections it takes.
//!
//! Sockets are files. A server that takes more connections than it has files for fails requests in the middle, where one
//! that takes fewer lets the rest wait in the kernel's queue.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For pages of open buckets, the log, listeners, senders of events, and what libraries open.
const RESERVED: u64 = 256;
/// The socket, and the blob that its request reads or writes.
const FILES_PER_CONNECTION: u64 = 2;
/// With fewer than these nothing works; the operator has been told.
const LEAST: usize = 4;

/// How many connections each face takes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Connections {
    pub(super) s3: usize,
    pub(super) api: usize,
    pub(super) manager: usize,
}

/// What there is memory for.
const MOST: Connections = Connections { s3: 4096, api: 1024, manager: 256 };

/// Raises the limit as far as the system lets this user, and says what it is good for.
pub(super) fn raise() -> io::Result<Connections> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    }
    let files = limit.maximum.unwrap_or(u64::MAX);
    let connections = share(files);
    if connections == MOST {
        tracing::debug!(files, "files this process may have open");
    } else {
        tracing::warn!(
            files,
            s3_connections = connections.s3,
            api_connections = connections.api,
            "this process may have few files open, so it takes fewer connections; the limit is RLIMIT_NOFILE \
             (`ulimit -Hn`, LimitNOFILE= of systemd)"
        );
    }
    Ok(connections)
}

/// Scales all faces down alike when there are not files for all.
fn share(files: u64) -> Connections {
    let wanted = FILES_PER_CONNECTION * (MOST.s3 + MOST.api + MOST.manager) as u64;
    let left = files.saturating_sub(RESERVED).min(wanted);
    let part = |most: usize| {
        let scaled = most as u64 * left / wanted;
        usize::try_from(scaled).unwrap_or(most).max(LEAST)
    };
    Connections { s3: part(MOST.s3), api: part(MOST.api), manager: part(MOST.manager) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enough_files_take_every_connection() {
        for files in [20_000, 1 << 20, u64::MAX] {
            assert_eq!(share(files), MOST);
        }
    }

    #[test]
    fn connections_and_their_files_fit_into_the_limit() {
        for files in [512, 1024, 4096, 10_000] {
            let shared = share(files);
            let taken = FILES_PER_CONNECTION * (shared.s3 + shared.api + shared.manager) as u64;
            assert!(taken + RESERVED <= files, "{files}: {shared:?}");
            assert!(taken + RESERVED > files * 9 / 10, "{files}: {shared:?}");
        }
    }

    #[test]
    fn a_tiny_limit_still_takes_some() {
        assert_eq!(share(0), Connections { s3: LEAST, api: LEAST, manager: LEAST });
    }
}
