//! Identities and how they are found.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use strongroom_seal::{OsRandom, Random};
use strongroom_store::{Check, Clock, Command, GroupId, KeyUser, Store, SystemClock, Write};

use tokio::sync::watch;

use crate::row::{self, RowFault};
use crate::state::State;
use crate::{CredentialFault, Credentials, IamError, Identity, Secret, rewrap, sessions};

pub(crate) const ROOT_ROW: &[u8] = b"iam/root";
/// There from when the root's credentials are made until somebody was shown them.
pub(crate) const UNSHOWN_ROW: &[u8] = b"iam/root-unshown";
const UNSHOWN_VERSION: u8 = 1;
/// What errors call that row.
pub(crate) const ROOT: &str = "root credentials";

/// Credentials that nobody has been shown yet. Who shows them says so with [`Iam::root_was_shown`]; until then each opening
/// has them again, so that a start that ends before it shows them loses nothing.
#[derive(Debug)]
pub struct FirstStart {
    /// What to show.
    pub credentials: Credentials,
}

/// What identities need beside the store.
#[derive(Debug, Clone)]
pub struct IamOptions {
    /// Where secrets come from.
    pub random: Arc<dyn Random>,
    /// The time, for conditions and expiry.
    pub clock: Arc<dyn Clock>,
}

impl Default for IamOptions {
    fn default() -> Self {
        Self { random: Arc::new(OsRandom), clock: Arc::new(SystemClock) }
    }
}

/// All identities. Clones share them.
#[derive(Clone)]
pub struct Iam(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) options: IamOptions,
    pub(crate) root: Credentials,
    /// What ties sessions of the root to its credentials.
    pub(crate) root_fingerprint: sessions::Fingerprint,
    /// Held by who changes identities, from before the command is made until memory has followed it.
    pub(crate) writer: Mutex<()>,
    /// Only ever held to copy or to replace the pointer.
    state: RwLock<Arc<State>>,
    /// The number of the last change, for who waits for the next.
    pub(crate) last_change: watch::Sender<u64>,
}

impl Inner {
    /// Identities now.
    pub(crate) fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set_state(&self, state: State) {
        let seq = state.seq;
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(state);
        self.last_change.send_replace(seq);
    }

    pub(crate) fn now(&self) -> u64 {
        self.options.clock.now_seconds()
    }
}

impl fmt::Debug for Iam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Iam(..)")
    }
}

impl Iam {
    /// Reads the identities. The root credentials are made and stored if there are none. `configured` credentials are
    /// used instead of stored ones and are not stored, so that changing them is enough to change them. Blocking. One per
    /// store at a time.
    ///
    /// # Errors
    /// Rows that do not open, or the store's own.
    pub fn open(
        store: &Store,
        options: IamOptions,
        configured: Option<Credentials>,
    ) -> Result<(Self, Option<FirstStart>), IamError> {
        let (root, first_start) = root_credentials(store, &*options.random, configured)?;
        let root_fingerprint = sessions::fingerprint(&root);
        let mut state = State::load(store)?;
        if state.session_key.is_none() {
            state.session_key = Some(sessions::make_key(store, &*options.random)?);
        }
        let (last_change, _) = watch::channel(state.seq);
        let inner = Inner {
            store: store.clone(),
            options,
            root,
            root_fingerprint,
            writer: Mutex::new(()),
            state: RwLock::new(Arc::new(state)),
            last_change,
        };
        Ok((Self(Arc::new(inner)), first_start))
    }

    /// What [`FirstStart`] told of has been shown: no later opening has it. Blocking.
    ///
    /// # Errors
    /// The store's own.
    pub fn root_was_shown(&self) -> Result<(), IamError> {
        self.0.store.commit_blocking(Command {
            group: GroupId::SYSTEM,
            checks: Vec::new(),
            writes: vec![Write::Delete { key: UNSHOWN_ROW.to_vec() }],
        })?;
        Ok(())
    }

    /// What seals the stored secrets anew when the system group has a new key. The store is told of it.
    pub fn key_user(&self) -> Arc<dyn KeyUser> {
        rewrap::key_user(&self.0)
    }

    /// The secret that belongs to an access key, and who has it. `session_token` comes with temporary credentials and with
    /// no others.
    ///
    /// # Errors
    /// [`CredentialFault`] says what a client has to be told.
    pub fn look_up(
        &self,
        access_key: &str,
        session_token: Option<&str>,
    ) -> Result<(Identity, Secret), CredentialFault> {
        if let Some(token) = session_token {
            return self.0.session(access_key, token);
        }
        if self.0.root.access_key.as_str() == access_key {
            return Ok((Identity::Root, self.0.root.secret.clone()));
        }
        let state = self.0.state();
        let (access_key, key) = state.keys.get_key_value(access_key).ok_or(CredentialFault::Unknown)?;
        state.usable(key, self.0.now())?;
        Ok((key.identity(access_key), key.secret.clone()))
    }

    /// [`Self::look_up`] for who does not tell the client what is wrong.
    pub fn credentials_for(
        &self,
        access_key: &str,
        session_token: Option<&str>,
    ) -> Option<(Identity, Secret)> {
        self.look_up(access_key, session_token).ok()
    }

    /// Whose access key this is, if it needs no session token.
    pub fn identity(&self, access_key: &str) -> Option<Identity> {
        Some(self.credentials_for(access_key, None)?.0)
    }

    /// The secret that belongs to an access key, if it needs no session token.
    pub fn secret_for(&self, access_key: &str) -> Option<Secret> {
        Some(self.credentials_for(access_key, None)?.1)
    }

    /// Whether this pair is right; the secret is compared in constant time.
    pub fn authenticate(&self, access_key: &str, secret: &Secret) -> Option<Identity> {
        let (identity, known) = self.credentials_for(access_key, None)?;
        (known == *secret).then_some(identity)
    }
}

/// The configured ones, the stored ones, or new ones.
fn root_credentials(
    store: &Store,
    random: &dyn Random,
    configured: Option<Credentials>,
) -> Result<(Credentials, Option<FirstStart>), IamError> {
    if let Some(credentials) = configured {
        return Ok((credentials, None));
    }
    if let Some(found) = stored(store)? {
        return Ok(found);
    }
    let credentials = Credentials::generate(random);
    let (key_id, key) = store.group_key(GroupId::SYSTEM)?;
    let value = row::seal(&credentials, ROOT_ROW, (key_id, &key), random);
    store.note_key_use(GroupId::SYSTEM, key_id, 1, value.len() as u64);
    // Refused if somebody else was faster, and then theirs are the ones.
    store.commit_blocking(Command {
        group: GroupId::SYSTEM,
        checks: vec![Check::Absent { key: ROOT_ROW.to_vec() }],
        writes: vec![
            Write::Put { key: ROOT_ROW.to_vec(), value },
            Write::Put { key: UNSHOWN_ROW.to_vec(), value: vec![UNSHOWN_VERSION] },
        ],
    })?;
    stored(store)?.ok_or(IamError::Damaged { what: ROOT })
}

/// The stored credentials, and the same again if nobody has been shown them.
fn stored(store: &Store) -> Result<Option<(Credentials, Option<FirstStart>)>, IamError> {
    let reading = store.read(GroupId::SYSTEM)?;
    let Some(value) = reading.get(ROOT_ROW)? else { return Ok(None) };
    let key = store.group_key_by_id(GroupId::SYSTEM, row::key_id(&value).map_err(|fault| fault.of(ROOT))?)?;
    let credentials = row::open(&value, ROOT_ROW, &key).map_err(|fault| fault.of(ROOT))?;
    let unshown = match reading.get(UNSHOWN_ROW)?.as_deref() {
        None => None,
        Some([UNSHOWN_VERSION]) => Some(FirstStart { credentials: credentials.clone() }),
        Some([version, ..]) if *version > UNSHOWN_VERSION => {
            return Err(IamError::TooNew { what: ROOT, version: *version });
        }
        Some(_) => return Err(IamError::Damaged { what: ROOT }),
    };
    Ok(Some((credentials, unshown)))
}

impl RowFault {
    pub(crate) fn of(self, what: &'static str) -> IamError {
        match self {
            Self::TooNew { version } => IamError::TooNew { what, version },
            Self::Damaged => IamError::Damaged { what },
        }
    }
}
