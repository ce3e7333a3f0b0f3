//! A store with its root key in memory, and a clock that tests move.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test file uses what it needs")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use strongroom_iam::{Credentials, Iam, IamOptions, Identity, Name, Scope, SessionSpec, Target, TokenSpec};
use strongroom_seal::{Context, Envelope, OsRandom, RootKey, SeededRandom, record};
use strongroom_store::{Clock, RootKeyError, RootKeys, Store, StoreOptions};
use tempfile::TempDir;
use zeroize::Zeroizing;

#[derive(Debug)]
struct OneRootKey(RootKey);

impl RootKeys for OneRootKey {
    fn wrap(&self, _: Option<&str>, key: &[u8; 32], context: &Context) -> Result<Envelope, RootKeyError> {
        let blob = record::seal(&self.0, context, key, &OsRandom);
        Ok(Envelope { provider: "test".into(), key_id: "root".into(), key_version: 1, blob })
    }

    fn unwrap(&self, envelope: &Envelope, context: &Context) -> Result<Zeroizing<[u8; 32]>, RootKeyError> {
        let wrong = || RootKeyError::Wrong { key_id: envelope.key_id.clone() };
        let plain = record::open(&self.0, context, &envelope.blob).map_err(|_| wrong())?;
        plain.as_slice().try_into().map(Zeroizing::new).map_err(|_| wrong())
    }
}

pub fn store(dir: &Path) -> Store {
    let key = RootKey::generate(&SeededRandom::dangerous_from_seed(1));
    Store::create_or_open(StoreOptions::new(dir.join("data"), Arc::new(OneRootKey(key)))).unwrap()
}

pub const NOW: u64 = 1_600_000_000;

/// Stands still until it is moved.
#[derive(Debug, Clone)]
pub struct TestClock(Arc<AtomicU64>);

impl TestClock {
    pub fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now_seconds(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Identities over a store in `dir`, with configured root credentials.
pub fn identities(store: &Store) -> (Iam, TestClock) {
    let clock = TestClock(Arc::new(AtomicU64::new(NOW)));
    let options = IamOptions { random: Arc::new(OsRandom), clock: Arc::new(clock.clone()) };
    (Iam::open(store, options, Some(root("a long secret"))).unwrap().0, clock)
}

pub fn root(secret: &str) -> Credentials {
    Credentials::from_parts(Some("operator".into()), Some(secret.into())).unwrap().unwrap()
}

pub fn user(name: &str) -> Identity {
    Identity::User { name: Name::parse(name).unwrap() }
}

pub fn open() -> (TempDir, Store, Iam, TestClock) {
    let dir = TempDir::new().unwrap();
    let store = store(dir.path());
    let (iam, clock) = identities(&store);
    (dir, store, iam, clock)
}

pub fn session(duration_seconds: u64) -> SessionSpec<'static> {
    SessionSpec { name: "job", duration_seconds, policy: None }
}

pub fn token_spec() -> TokenSpec<'static> {
    TokenSpec { scopes: vec![Scope::BucketsRead], expires_at: None, description: "tests" }
}

pub fn to_user(name: &str) -> Target {
    Target::User(name.into())
}
