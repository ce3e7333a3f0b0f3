//! Temporary credentials: nothing is stored of them, a token carries it all (`docs/spec/iam.md` §5).

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use strongroom_seal::codec::{Reader, Writer};
use strongroom_seal::{Context, Label, MacKey, Random, SecretKey, derive_from_secret, record};
use strongroom_store::{Check, Command, GroupId, Outcome, Store, Write};
use zeroize::Zeroizing;

use crate::access_keys::secret_of;
use crate::draft::Draft;
use crate::iam::Inner;
use crate::row::RowFault;
use crate::rows::{self, Owner};
use crate::sealed;
use crate::state::State;
use crate::{
    AccessKey, ChangeKind, CredentialFault, Credentials, Iam, IamError, Identity, Name, Policy, Secret,
    SessionCredentials, SessionSpec,
};

const VERSION: u8 = 2;
/// A policy of 2 KiB with everything around it, in base64, and room for what may come.
const TOKEN_LEN_MAX: usize = 6144;
const POLICY_LEN_MAX: usize = 2048;
const SECONDS_MIN: u64 = 900;
const SECONDS_MAX: u64 = 43_200;

/// What ties sessions of the root to its credentials.
pub(crate) type Fingerprint = [u8; 16];

/// Who made a session, so that another one of the same name is not taken for it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Parent {
    Root(Fingerprint),
    User(Name, String),
    ServiceAccount(AccessKey),
}

/// What a session token holds.
#[derive(Debug)]
struct Session {
    secret: Secret,
    name: Name,
    parent: Parent,
    issued_at: u64,
    expires_at: u64,
    policy: Option<Policy>,
}

impl Iam {
    /// Temporary credentials that may do what `by` may, or less. Nothing is written.
    ///
    /// # Errors
    /// [`IamError::Duration`], [`IamError::Policy`], [`IamError::NotAParent`] for sessions and for nobody, [`IamError::NoSuch`] if `by` is gone meanwhile.
    pub fn assume_role(&self, by: &Identity, spec: &SessionSpec<'_>) -> Result<SessionCredentials, IamError> {
        let name = Name::parse(spec.name)?;
        if !(SECONDS_MIN..=SECONDS_MAX).contains(&spec.duration_seconds) {
            return Err(IamError::Duration { least: SECONDS_MIN, most: SECONDS_MAX });
        }
        if let Some(length) = spec.policy.map(str::len).filter(|length| *length > POLICY_LEN_MAX) {
            return Err(IamError::TooLong { what: "the session's policy", length, most: POLICY_LEN_MAX });
        }
        let policy = spec.policy.map(Policy::parse_identity).transpose()?;
        let state = self.0.state();
        let parent = match by {
            Identity::Root => Parent::Root(self.0.root_fingerprint),
            Identity::User { name } => {
                let (name, user) = state.found_user(name.as_str())?;
                Parent::User(name, user.id)
            }
            Identity::ServiceAccount { access_key, .. } => {
                Parent::ServiceAccount(state.found_key(access_key.as_str())?.0)
            }
            Identity::Session { .. } | Identity::Anonymous => {
                return Err(IamError::NotAParent { identity: by.to_string() });
            }
        };
        let Credentials { access_key, secret } = Credentials::generate(&*self.0.options.random);
        let issued_at = self.0.now();
        let expires_at = issued_at.saturating_add(spec.duration_seconds);
        let session = Session { secret, name: name.clone(), parent, issued_at, expires_at, policy };
        let session_token = session.seal(state.session_key()?, &access_key, &*self.0.options.random);
        let (policy, parent) = (session.policy.map(Arc::new), Box::new(by.clone()));
        let identity = Identity::Session { access_key: access_key.clone(), name, issued_at, parent, policy };
        Ok(SessionCredentials { access_key, secret: session.secret, session_token, expires_at, identity })
    }

    /// Ends all temporary credentials, of everybody.
    ///
    /// # Errors
    /// The store's own.
    pub async fn revoke_sessions(&self, by: &Identity) -> Result<(), IamError> {
        self.change(by, |draft: &mut Draft<'_>| {
            let key = SecretKey::generate(&*draft.inner.options.random);
            draft.put_sealed(rows::SESSION_KEY.to_vec(), &[], key.dangerous_expose())?;
            draft.state.session_key = Some(Arc::new(key));
            draft.tell(ChangeKind::SessionsRevoked, "sessions", None);
            Ok(())
        })
        .await
    }
}

impl Inner {
    /// Who has a session token, and its secret.
    pub(crate) fn session(
        &self,
        access_key: &str,
        token: &str,
    ) -> Result<(Identity, Secret), CredentialFault> {
        let access_key = AccessKey::parse(access_key).map_err(|_| CredentialFault::Unknown)?;
        let state = self.state();
        let sealing = state.session_key().map_err(|_| CredentialFault::Token)?;
        let session = Session::open(sealing, &access_key, token).map_err(|_| CredentialFault::Token)?;
        if session.expires_at <= self.now() {
            return Err(CredentialFault::Expired);
        }
        let parent = match session.parent {
            Parent::Root(fingerprint) if fingerprint == self.root_fingerprint => Identity::Root,
            Parent::Root(_) => return Err(CredentialFault::Token),
            Parent::User(name, id) => {
                let same = state.users.get(&name).is_some_and(|user| user.id == id);
                match (same, state.stands(&Owner::User(name.clone()))) {
                    (true, true) => Identity::User { name },
                    (true, false) => return Err(CredentialFault::Disabled),
                    (false, _) => return Err(CredentialFault::Token),
                }
            }
            Parent::ServiceAccount(access_key) => {
                let key = state.keys.get(&access_key).ok_or(CredentialFault::Token)?;
                state.usable(key, self.now())?;
                key.identity(&access_key)
            }
        };
        let Session { secret, name, issued_at, policy, .. } = session;
        let (parent, policy) = (Box::new(parent), policy.map(Arc::new));
        Ok((Identity::Session { access_key, name, issued_at, parent, policy }, secret))
    }
}

impl State {
    fn session_key(&self) -> Result<&SecretKey, IamError> {
        // Opening made one, and nobody removes it.
        self.session_key.as_deref().ok_or(IamError::Damaged { what: "identities" })
    }
}

impl Session {
    fn seal(&self, key: &SecretKey, access_key: &AccessKey, random: &dyn Random) -> String {
        let secret = self.secret.dangerous_expose();
        // Every field but the secret, to know how long it all is: a buffer that grows leaves copies of the secret behind.
        let mut rest = Writer::new();
        rest.text(self.name.as_str());
        match &self.parent {
            Parent::Root(fingerprint) => rest.u8(0).raw(fingerprint),
            Parent::User(name, id) => rest.u8(1).text(name.as_str()).text(id),
            Parent::ServiceAccount(access_key) => rest.u8(2).text(access_key.as_str()),
        };
        rest.u64(self.issued_at).u64(self.expires_at);
        rows::put_bound(&mut rest, self.policy.as_ref());
        let rest = rest.finish();
        let mut plain = Zeroizing::new(Vec::with_capacity(4 + secret.len() + rest.len()));
        let length = u32::try_from(secret.len()).expect("a secret has at most 128 bytes");
        plain.extend_from_slice(&length.to_le_bytes());
        plain.extend_from_slice(secret.as_bytes());
        plain.extend_from_slice(&rest);
        let sealed = record::seal(key, &context(access_key), &plain, random);
        URL_SAFE_NO_PAD.encode([&[VERSION], sealed.as_slice()].concat())
    }

    fn open(key: &SecretKey, access_key: &AccessKey, token: &str) -> Result<Self, RowFault> {
        if token.len() > TOKEN_LEN_MAX {
            return Err(RowFault::Damaged);
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| RowFault::Damaged)?;
        let (version, sealed) = bytes.split_first().ok_or(RowFault::Damaged)?;
        sealed::check_version(*version, VERSION)?;
        Self::read(&record::open(key, &context(access_key), sealed)?)
    }

    /// What is inside the record.
    fn read(plain: &[u8]) -> Result<Self, RowFault> {
        let mut input = Reader::new(plain);
        let secret = input.bytes(Secret::LEN_MAX, "secret")?;
        let session = Self {
            secret: secret_of(secret).ok_or(RowFault::Damaged)?,
            name: rows::name(&mut input)?,
            parent: match input.u8("parent")? {
                0 => Parent::Root(*input.array("fingerprint")?),
                1 => Parent::User(rows::name(&mut input)?, input.text(rows::ID_LEN, "id")?.to_owned()),
                2 => Parent::ServiceAccount(rows::access_key(input.text(AccessKey::LEN_MAX, "access key")?)?),
                _ => return Err(RowFault::Damaged),
            },
            issued_at: input.u64("issued")?,
            expires_at: input.u64("end")?,
            policy: rows::bound(&mut input)?,
        };
        input.finish("session")?;
        Ok(session)
    }
}

fn context(access_key: &AccessKey) -> Context {
    Context::new(Label::SessionToken, GroupId::SYSTEM.0).and(access_key.as_str())
}

/// Of the root's credentials: other ones have another.
pub(crate) fn fingerprint(root: &Credentials) -> Fingerprint {
    let secret = root.secret.dangerous_expose().as_bytes();
    let key: SecretKey = derive_from_secret(secret, &[], &context(&root.access_key));
    let hash = MacKey::new(&key).hash(b"root");
    *hash.first_chunk().expect("a keyed hash has 32 bytes")
}

/// Makes and stores the first session key. Blocks.
pub(crate) fn make_key(store: &Store, random: &dyn Random) -> Result<Arc<SecretKey>, IamError> {
    let key = SecretKey::generate(random);
    let (key_id, group_key) = store.group_key(GroupId::SYSTEM)?;
    let row_key = rows::SESSION_KEY;
    let value = sealed::seal(key.dangerous_expose(), row_key, &[], (key_id, &group_key), random);
    store.note_key_use(GroupId::SYSTEM, key_id, 1, value.len() as u64);
    let outcome = store.commit_blocking(Command {
        group: GroupId::SYSTEM,
        checks: vec![Check::Absent { key: row_key.to_vec() }],
        writes: vec![Write::Put { key: row_key.to_vec(), value }],
    })?;
    match outcome {
        Outcome::Applied { .. } => Ok(Arc::new(key)),
        // Somebody else was faster.
        Outcome::Refused { .. } => State::load(store)?.session_key.ok_or(IamError::Busy),
    }
}

/// A token, for tests of its reader.
#[cfg(feature = "fuzzing")]
pub(crate) fn sample(key: &SecretKey) -> String {
    let random = strongroom_seal::SeededRandom::dangerous_from_seed(1);
    let json = r#"{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#;
    let session = Session {
        secret: Secret::generate(&random),
        name: Name::parse("job").expect("a name"),
        parent: Parent::Root([7; 16]),
        issued_at: 1_599_996_400,
        expires_at: 1_600_000_000,
        policy: Some(Policy::parse_identity(json).expect("a policy")),
    };
    session.seal(key, &sample_access_key(), &random)
}

/// Whether it is a token of the same access key.
#[cfg(feature = "fuzzing")]
pub(crate) fn sample_opens(key: &SecretKey, token: &str) -> bool {
    Session::open(key, &sample_access_key(), token).is_ok()
}

/// What is inside a token, for tests of what the seal keeps mangled bytes from.
#[cfg(feature = "fuzzing")]
pub(crate) fn sample_inside(key: &SecretKey) -> Vec<u8> {
    let bytes = URL_SAFE_NO_PAD.decode(sample(key)).expect("a token is base64");
    let inside = record::open(key, &context(&sample_access_key()), &bytes[1..]);
    inside.expect("a token that was just sealed opens").to_vec()
}

/// Whether that is a session.
#[cfg(feature = "fuzzing")]
pub(crate) fn is_inside(plain: &[u8]) -> bool {
    Session::read(plain).is_ok()
}

#[cfg(feature = "fuzzing")]
fn sample_access_key() -> AccessKey {
    AccessKey::parse("AKIDSAMPLE").expect("an access key")
}

#[cfg(test)]
mod tests {
    use strongroom_seal::SeededRandom;

    use super::*;

    fn session() -> (SecretKey, AccessKey, Session) {
        let random = SeededRandom::dangerous_from_seed(1);
        let policy = r#"{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#;
        let session = Session {
            secret: Secret::generate(&random),
            name: Name::parse("job").unwrap(),
            parent: Parent::User(Name::parse("bob").unwrap(), "ABCDEFGHIJKLMNOP".into()),
            issued_at: 1_599_996_400,
            expires_at: 1_600_000_000,
            policy: Some(Policy::parse_identity(policy).unwrap()),
        };
        (SecretKey::generate(&random), AccessKey::generate(&random), session)
    }

    #[test]
    fn token_opens_with_its_access_key_alone_and_shows_nothing() {
        let (key, access_key, mut session) = session();
        let random = SeededRandom::dangerous_from_seed(2);
        let parents =
            [session.parent.clone(), Parent::Root([7; 16]), Parent::ServiceAccount(access_key.clone())];
        for parent in parents {
            session.parent = parent;
            let token = session.seal(&key, &access_key, &random);
            let opened = Session::open(&key, &access_key, &token).unwrap();
            assert_eq!((&opened.parent, opened.expires_at), (&session.parent, session.expires_at));
            assert_eq!(opened.issued_at, session.issued_at);
            assert_eq!((&opened.secret, &opened.name), (&session.secret, &session.name));
            assert_eq!(opened.policy, session.policy);
            assert!(Session::open(&key, &AccessKey::generate(&random), &token).is_err());
            assert!(Session::open(&SecretKey::generate(&random), &access_key, &token).is_err());
            let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
            assert!(!bytes.windows(3).any(|window| window == b"bob" || window == b"job"));
        }
    }

    #[test]
    fn any_change_of_a_token_is_refused() {
        let (key, access_key, session) = session();
        let token = session.seal(&key, &access_key, &SeededRandom::dangerous_from_seed(2));
        let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(
                Session::open(&key, &access_key, &URL_SAFE_NO_PAD.encode(&changed)).is_err(),
                "byte {at}"
            );
        }
        for at in 0..token.len() {
            assert!(Session::open(&key, &access_key, &token[..at]).is_err(), "cut to {at}");
        }
        for text in
            [format!("{token}A"), format!("{token}="), format!("{token} "), "A".repeat(TOKEN_LEN_MAX + 1)]
        {
            assert!(Session::open(&key, &access_key, &text).is_err());
        }
    }
}
