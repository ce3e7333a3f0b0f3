//! The store's root key, held by a KMS provider.
//!
//! The store asks from threads of its own or its callers and waits; providers are asynchronous because most are remote.

use std::sync::Arc;
use std::sync::mpsc;

use strongroom_kms::{KmsError, Provider};
use strongroom_objects::patiently;
use strongroom_seal::{Context, Envelope};
use strongroom_store::{RootKeyError, RootKeys};
use tokio::runtime::Handle;
use zeroize::Zeroizing;

/// The name of the key that wraps the keys of a new store. After that the keyring's header says which one does.
pub(super) const ROOT_KEY_ID: &str = "strongroom-root";

#[derive(Debug)]
pub(crate) struct KmsRootKeys {
    provider: Arc<dyn Provider>,
    runtime: Handle,
}

impl KmsRootKeys {
    pub(crate) fn new(provider: Arc<dyn Provider>, runtime: Handle) -> Self {
        Self { provider, runtime }
    }

    fn wait<T: Send + 'static>(
        &self,
        key_id: &str,
        call: impl Future<Output = Result<T, KmsError>> + Send + 'static,
    ) -> Result<T, RootKeyError> {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.runtime.spawn(async move {
            // The receiver waits below for as long as this task lives.
            let _received = sender.send(call.await);
        });
        // Also asked from tasks, whose thread the one above may need.
        match patiently(|| receiver.recv()) {
            Ok(answer) => answer.map_err(|error| root_key_error(self.provider.name(), key_id, &error)),
            Err(mpsc::RecvError) => Err(RootKeyError::Unavailable {
                provider: self.provider.name().to_owned(),
                reason: "the server is stopping".to_owned(),
            }),
        }
    }
}

impl RootKeys for KmsRootKeys {
    fn wrap(
        &self,
        key_id: Option<&str>,
        key: &[u8; 32],
        context: &Context,
    ) -> Result<Envelope, RootKeyError> {
        let key_id = key_id.unwrap_or(ROOT_KEY_ID).to_owned();
        let (provider, key, context) = (Arc::clone(&self.provider), Zeroizing::new(*key), context.clone());
        let asked = key_id.clone();
        self.wait(&key_id, async move { provider.wrap(&asked, &key, &context).await })
    }

    fn unwrap(&self, envelope: &Envelope, context: &Context) -> Result<Zeroizing<[u8; 32]>, RootKeyError> {
        let (provider, asked, context) = (Arc::clone(&self.provider), envelope.clone(), context.clone());
        let key = self.wait(&envelope.key_id, async move { provider.unwrap(&asked, &context).await })?;
        Ok(Zeroizing::new(*key.dangerous_expose()))
    }

    fn newest_version(&self, key_id: &str) -> Result<Option<u32>, RootKeyError> {
        let (provider, asked) = (Arc::clone(&self.provider), key_id.to_owned());
        let info = self.wait(key_id, async move { provider.describe(&asked).await })?;
        Ok(Some(info.version()).filter(|version| *version > 0))
    }
}

fn root_key_error(provider: &str, key_id: &str, error: &KmsError) -> RootKeyError {
    let key_id = key_id.to_owned();
    match error {
        KmsError::NotFound { .. } => RootKeyError::Missing { key_id },
        KmsError::NoSuchVersion { version, .. } => {
            RootKeyError::NoSuchVersion { key_id, key_version: *version }
        }
        KmsError::Disabled { .. } | KmsError::PendingDeletion { .. } => RootKeyError::Disabled { key_id },
        KmsError::WrongContextOrDamaged { .. } => RootKeyError::Wrong { key_id },
        other => RootKeyError::Unavailable { provider: provider.to_owned(), reason: other.to_string() },
    }
}
