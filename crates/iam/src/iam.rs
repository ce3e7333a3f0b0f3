//! Identities and how they are found.

use std::fmt;
use std::sync::Arc;

use strongroom_seal::Random;
use strongroom_store::{Check, Command, CommitError, GroupId, KeyUser, Outcome, ReadError, Store, Write};

use crate::row::{self, RowFault};
use crate::{Credentials, Secret, rewrap};

pub(crate) const ROOT_ROW: &[u8] = b"iam/root";

/// Who is asking.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Identity {
    /// The operator, who may do everything.
    Root,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("root"),
        }
    }
}

/// Credentials that were made a moment ago and are shown this once.
#[derive(Debug)]
pub struct FirstStart {
    /// What to show.
    pub credentials: Credentials,
}

/// All identities. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Iam(Arc<Credentials>);

/// Why identities cannot be read or made.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum IamError {
    /// The stored credentials do not open or have a shape that nobody writes.
    #[error(
        "the stored root credentials are damaged: restore a backup, or give root credentials in the environment"
    )]
    Damaged,
    /// Written by a newer program.
    #[error(
        "the stored root credentials have version {version}, newer than this program reads: use a newer program"
    )]
    TooNew {
        /// Their version.
        version: u8,
    },
    /// The store could not be read.
    #[error("the root credentials cannot be read: {0}")]
    Read(#[from] ReadError),
    /// The store could not be written.
    #[error("the root credentials cannot be stored: {0}")]
    Commit(#[from] CommitError),
}

impl Iam {
    /// Reads the root credentials, or makes and stores them if there are none. `configured` credentials are used
    /// instead of stored ones and are not stored, so that changing them is enough to change them. Blocking.
    pub fn open(
        store: &Store,
        random: &dyn Random,
        configured: Option<Credentials>,
    ) -> Result<(Self, Option<FirstStart>), IamError> {
        if let Some(credentials) = configured {
            return Ok((Self(Arc::new(credentials)), None));
        }
        if let Some(credentials) = stored(store)? {
            return Ok((Self(Arc::new(credentials)), None));
        }
        let credentials = Credentials::generate(random);
        let (key_id, key) = store.group_key(GroupId::SYSTEM)?;
        let value = row::seal(&credentials, ROOT_ROW, (key_id, &key), random);
        store.note_key_use(GroupId::SYSTEM, key_id, 1, value.len() as u64);
        let outcome = store.commit_blocking(Command {
            group: GroupId::SYSTEM,
            checks: vec![Check::Absent { key: ROOT_ROW.to_vec() }],
            writes: vec![Write::Put { key: ROOT_ROW.to_vec(), value }],
        })?;
        if let Outcome::Refused { .. } = outcome {
            // Somebody else was faster, and theirs are the ones that were shown.
            let credentials = stored(store)?.ok_or(IamError::Damaged)?;
            return Ok((Self(Arc::new(credentials)), None));
        }
        let first_start = FirstStart { credentials: credentials.clone() };
        Ok((Self(Arc::new(credentials)), Some(first_start)))
    }

    /// What seals the stored credentials anew when the system group has a new key. The store is told of it.
    pub fn key_user(&self, store: &Store, random: Arc<dyn Random>) -> Arc<dyn KeyUser> {
        rewrap::key_user(store, random)
    }

    /// Whose access key this is.
    pub fn identity(&self, access_key: &str) -> Option<Identity> {
        (self.0.access_key.as_str() == access_key).then_some(Identity::Root)
    }

    /// The secret that belongs to an access key.
    pub fn secret_for(&self, access_key: &str) -> Option<Secret> {
        self.identity(access_key).map(|Identity::Root| self.0.secret.clone())
    }

    /// Whether this pair is right; the secret is compared in constant time.
    pub fn authenticate(&self, access_key: &str, secret: &Secret) -> Option<Identity> {
        self.identity(access_key).filter(|_| self.0.secret == *secret)
    }
}

fn stored(store: &Store) -> Result<Option<Credentials>, IamError> {
    let reading = store.read(GroupId::SYSTEM)?;
    let Some(value) = reading.get(ROOT_ROW)? else { return Ok(None) };
    let key = store.group_key_by_id(GroupId::SYSTEM, row::key_id(&value)?)?;
    Ok(Some(row::open(&value, ROOT_ROW, &key)?))
}

impl From<RowFault> for IamError {
    fn from(fault: RowFault) -> Self {
        match fault {
            RowFault::TooNew { version } => Self::TooNew { version },
            RowFault::Damaged => Self::Damaged,
        }
    }
}
