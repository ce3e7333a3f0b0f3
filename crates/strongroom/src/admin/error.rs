//! What can go wrong between the shell and the server, in words for the operator.

use std::io;
use std::path::PathBuf;

use strongroom_api::admin::SOCKET_NAME;
use strongroom_store::RootKeyName;

/// An administrator's command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminFailure {
    /// The server refused, and says why.
    #[error("{message} ({code}, request {request_id})")]
    Refused {
        /// For programs.
        code: String,
        /// For people.
        message: String,
        /// To find the request in the server's log.
        request_id: String,
    },
    /// Some of what was asked for was done, and the rest was shown as it failed.
    #[error("{failed} of {asked} groups did not get a new key; the others did")]
    Partly {
        /// How many were not done.
        failed: usize,
        /// How many there are.
        asked: usize,
    },
    /// Nobody serves the directory.
    #[error("{}", no_server(dir, source))]
    NoServer {
        /// The data directory that was tried.
        dir: PathBuf,
        /// What connecting said.
        source: io::Error,
    },
    /// A server elsewhere cannot be asked.
    #[error("{0}")]
    Api(String),
    /// What was given on the command line cannot be used.
    #[error("{0}")]
    Input(String),
    /// The connection broke.
    #[error("the server did not answer: {0}; whether it did what was asked for is not known")]
    Broken(reqwest::Error),
    /// The connection could not be set up, for no reason of the server's.
    #[error("setting up HTTP failed: {0}")]
    SetUp(reqwest::Error),
    /// The answer is not what a server of this version says.
    #[error("the answer cannot be read: {0}; is the server of another version than this program?")]
    Answer(String),
    /// A backup was not taken, read or restored.
    #[error("{0}")]
    Backup(String),
    /// The local key files are not where they were looked for.
    #[error("{}", no_keys(dir, needed.as_ref()))]
    NoKeys {
        /// Where.
        dir: PathBuf,
        /// The root key that is needed.
        needed: Option<RootKeyName>,
    },
    /// Other key files are where they would be copied to.
    #[error(
        "{} is there already and is not what {} is: it may be all that opens another store; move it away, or restore into \
         another directory",
        path.display(),
        original.display()
    )]
    OtherKeys {
        /// What is there.
        path: PathBuf,
        /// What should be.
        original: PathBuf,
    },
    /// The local key files did not open.
    #[error("{0}")]
    Keys(String),
    /// Writing to standard output.
    #[error("the answer cannot be shown: {0}")]
    Output(#[from] io::Error),
}

fn no_keys(dir: &std::path::Path, needed: Option<&RootKeyName>) -> String {
    let needed = needed.map_or_else(
        || "the root key".to_owned(),
        |root| {
            let RootKeyName { provider, key_id, key_version } = root;
            format!("the root key {key_id:?} version {key_version} of the {provider} provider")
        },
    );
    format!(
        "{needed} is needed and is not in the backup: there are no key files (local.kms) in {}; name the directory that has \
         them, `kms/` of the original data directory or your copy of it, with --kms-from DIR",
        dir.display()
    )
}

fn no_server(dir: &std::path::Path, source: &io::Error) -> String {
    let (socket, dir) = (dir.join(SOCKET_NAME), dir.display());
    let tried = format!("tried {}", socket.display());
    match source.kind() {
        io::ErrorKind::PermissionDenied => format!(
            "only the user that runs the server may administer it ({tried}): run this as that user or as root"
        ),
        io::ErrorKind::ConnectionRefused => format!(
            "no server is running on {dir} ({tried}; the socket is left over from one that was killed): start it with \
             `strongroom server --data-dir {dir}`"
        ),
        io::ErrorKind::NotFound => format!(
            "no server is running on {dir} ({tried}): name its data directory with --data-dir, or start it with \
             `strongroom server --data-dir {dir}`"
        ),
        _ => format!("the server on {dir} cannot be reached ({tried}): {source}"),
    }
}
