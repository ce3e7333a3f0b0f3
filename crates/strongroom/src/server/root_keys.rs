//! The store's root key, held by a KMS provider.
//!
//! The store asks from threads of its own or its callers and waits; providers are asynchronous because most are remote.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use strongroom_kms::{KmsError, Provider};
use strongroom_objects::patiently;
use strongroom_seal::{Context, Envelope};
use strongroom_store::{RootKeyError, RootKeys};
use tokio::runtime::Handle;
use zeroize::Zeroizing;

/// The name of the key that wraps the keys of a new store. After that the keyring's header says which one does.
pub(super) const ROOT_KEY_ID: &str = "strongroom-root";

/// How long an answer is waited for. Whoever asks holds one of a few threads.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct KmsRootKeys {
    provider: Arc<dyn Provider>,
    runtime: Handle,
    within: Duration,
}

impl KmsRootKeys {
    pub(crate) fn new(provider: Arc<dyn Provider>, runtime: Handle) -> Self {
        Self { provider, runtime, within: ANSWER_WITHIN }
    }

    fn wait<T: Send + 'static>(
        &self,
        key_id: &str,
        call: impl Future<Output = Result<T, KmsError>> + Send + 'static,
    ) -> Result<T, RootKeyError> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let asking = self.runtime.spawn(async move {
            // Nobody receives it any more if it comes too late.
            let _received = sender.send(call.await);
        });
        // Also asked from tasks, whose thread the one above may need.
        let reason = match patiently(|| receiver.recv_timeout(self.within)) {
            Ok(answer) => {
                return answer.map_err(|error| root_key_error(self.provider.name(), key_id, &error));
            }
            Err(RecvTimeoutError::Timeout) => format!("no answer within {} s", self.within.as_secs()),
            Err(RecvTimeoutError::Disconnected) => "the server is stopping".to_owned(),
        };
        asking.abort();
        Err(RootKeyError::Unavailable { provider: self.provider.name().to_owned(), reason })
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
        // Before it wraps anything. The one before stays guarded as well: the change to this one may not come to its end.
        self.provider.guard(&key_id);
        let (provider, key, context) = (Arc::clone(&self.provider), Zeroizing::new(*key), context.clone());
        let asked = key_id.clone();
        self.wait(&key_id, async move { provider.wrap(&asked, &key, &context).await })
    }

    fn unwrap(&self, envelope: &Envelope, context: &Context) -> Result<Zeroizing<[u8; 32]>, RootKeyError> {
        self.provider.guard(&envelope.key_id);
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

#[cfg(test)]
mod tests {
    use strongroom_kms::{KeyInfo, KeyState, LocalKms, LocalKmsOptions, Unlock, WhenMissing};
    use strongroom_seal::{DataKey, Label};

    use super::*;

    /// A service that takes questions and never answers.
    #[derive(Debug)]
    struct Silent;

    #[async_trait::async_trait]
    impl Provider for Silent {
        fn name(&self) -> &'static str {
            "silent"
        }
        fn default_key(&self) -> &str {
            "default"
        }
        async fn generate(&self, _: &str, _: &Context) -> Result<(DataKey, Envelope), KmsError> {
            std::future::pending().await
        }
        async fn wrap(&self, _: &str, _: &[u8; 32], _: &Context) -> Result<Envelope, KmsError> {
            std::future::pending().await
        }
        async fn unwrap(&self, _: &Envelope, _: &Context) -> Result<DataKey, KmsError> {
            std::future::pending().await
        }
        async fn create_key(&self, _: &str) -> Result<KeyInfo, KmsError> {
            std::future::pending().await
        }
        async fn rotate(&self, _: &str) -> Result<u32, KmsError> {
            std::future::pending().await
        }
        async fn set_state(&self, _: &str, _: KeyState) -> Result<KeyInfo, KmsError> {
            std::future::pending().await
        }
        async fn list(&self) -> Result<Vec<KeyInfo>, KmsError> {
            std::future::pending().await
        }
        async fn describe(&self, _: &str) -> Result<KeyInfo, KmsError> {
            std::future::pending().await
        }
        async fn probe(&self) -> Result<Duration, KmsError> {
            std::future::pending().await
        }
    }

    #[test]
    fn the_keys_that_wrap_the_stores_own_are_guarded_whatever_their_name() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let open = || {
            let options = LocalKmsOptions {
                when_missing: WhenMissing::Create,
                ..LocalKmsOptions::new(dir.path(), Unlock::Generated)
            };
            Arc::new(LocalKms::open(options).unwrap())
        };
        let refused = |kms: &LocalKms| {
            let disabled = runtime.block_on(kms.set_state("store-2026", KeyState::Disabled));
            matches!(disabled, Err(KmsError::Protected { .. }))
        };
        let context = Context::new(Label::KmsProbe, "test");
        let kms = open();
        runtime.block_on(kms.create_key("store-2026")).unwrap();
        let keys = KmsRootKeys::new(Arc::<LocalKms>::clone(&kms), runtime.handle().clone());
        let wrapped = keys.wrap(Some("store-2026"), &[7; 32], &context).unwrap();
        assert!(refused(&kms), "what wrapped");
        let kms = open();
        let keys = KmsRootKeys::new(Arc::<LocalKms>::clone(&kms), runtime.handle().clone());
        keys.unwrap(&wrapped, &context).unwrap();
        assert!(refused(&kms), "what unwrapped");
    }

    #[test]
    fn a_service_that_does_not_answer_is_not_waited_for_without_end() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let within = Duration::from_millis(20);
        let provider = Arc::new(Silent);
        let keys = KmsRootKeys {
            provider: Arc::<Silent>::clone(&provider),
            runtime: runtime.handle().clone(),
            within,
        };
        let context = Context::new(Label::KmsProbe, "test");
        let refused = keys.wrap(None, &[7; 32], &context).unwrap_err();
        assert!(
            matches!(&refused, RootKeyError::Unavailable { provider, .. } if provider == "silent"),
            "{refused}"
        );
        drop(keys);
        // Nor does the question stay behind.
        runtime.shutdown_timeout(Duration::from_secs(60));
        assert_eq!(Arc::strong_count(&provider), 1);
    }
}
