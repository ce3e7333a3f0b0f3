//! What can be wrong with identities, and whose fault it is.

use std::fmt;

use strongroom_store::{CommitError, ReadError};

use crate::{NameError, PolicyError};

/// What an identity is made of, for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Thing {
    /// A user.
    User,
    /// A group.
    Group,
    /// A policy.
    Policy,
    /// A user's access key.
    AccessKey,
    /// A service account.
    ServiceAccount,
    /// A token for the REST API.
    Token,
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Group => "group",
            Self::Policy => "policy",
            Self::AccessKey => "access key",
            Self::ServiceAccount => "service account",
            Self::Token => "token",
        })
    }
}

/// Why identities cannot be read or changed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum IamError {
    /// A stored row does not open or has a shape that nobody writes.
    #[error("the stored {what} is damaged: restore a backup{}", advice(.what))]
    Damaged {
        /// What the row holds.
        what: &'static str,
    },
    /// Written by a newer program.
    #[error("the stored {what} has version {version}, newer than this program reads: use a newer program")]
    TooNew {
        /// What the row holds.
        what: &'static str,
        /// Its version.
        version: u8,
    },
    /// The store could not be read.
    #[error("identities cannot be read: {0}")]
    Read(#[from] ReadError),
    /// The store could not be written.
    #[error("identities cannot be stored: {0}")]
    Commit(#[from] CommitError),
    /// The client gave a name that is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The client gave a policy that is none.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The client named what is not there.
    #[error("there is no {thing} {name:?}")]
    NoSuch {
        /// What kind of thing.
        thing: Thing,
        /// Its name.
        name: String,
    },
    /// The client wants to make what is there already.
    #[error("there is a {thing} {name:?} already")]
    Exists {
        /// What kind of thing.
        thing: Thing,
        /// Its name.
        name: String,
    },
    /// The thing is not what the client's If-Match says.
    #[error("the {thing} {name:?} was changed meanwhile: read it again")]
    Changed {
        /// What kind of thing.
        thing: Thing,
        /// Its name.
        name: String,
    },
    /// A group has members, or a policy is attached.
    #[error("the {thing} {name:?} is in use by {by}")]
    InUse {
        /// What kind of thing.
        thing: Thing,
        /// Its name.
        name: String,
        /// Who uses it, one of them.
        by: String,
    },
    /// A policy that comes with the program cannot be changed or deleted.
    #[error("the policy {name:?} comes with the program and cannot be changed")]
    Canned {
        /// Its name.
        name: String,
    },
    /// There are as many as there may be.
    #[error("there may be {most} of {what} and no more")]
    TooMany {
        /// Of what, such as `access keys of a user`.
        what: &'static str,
        /// How many there may be.
        most: usize,
    },
    /// A text is too long.
    #[error("{what} has {length} bytes and may have {most}")]
    TooLong {
        /// What.
        what: &'static str,
        /// How long it is, in bytes.
        length: usize,
        /// How long it may be, in bytes.
        most: usize,
    },
    /// A session's duration is outside of what is allowed.
    #[error("a session lasts {least} to {most} seconds")]
    Duration {
        /// The shortest, in seconds.
        least: u64,
        /// The longest, in seconds.
        most: u64,
    },
    /// The time at which it shall end has passed.
    #[error("the time at which it shall expire has passed")]
    ExpiryPassed,
    /// A token that is good for nothing.
    #[error("a token needs at least one scope")]
    NoScope,
    /// Temporary credentials cannot make others, and nobody can be the parent of what acts for nobody.
    #[error("{identity} cannot have service accounts, sessions or tokens")]
    NotAParent {
        /// Who, as an identity is written.
        identity: String,
    },
    /// Others kept changing identities at the same time.
    #[error("identities were changed by others at the same time: try again")]
    Busy,
}

fn advice(what: &str) -> &'static str {
    match what {
        "root credentials" => ", or give root credentials in the environment",
        _ => "",
    }
}
