//! What changes between the decision about a request and its write: the write does what was decided about.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use strongroom_api::rest::RateLimit;
use strongroom_iam::{Identity, Scope};
use strongroom_kms::{KeyInfo, KeyState, KmsError, LocalKms, Provider};
use strongroom_objects::{BucketName, DefaultEncryption, Objects};
use strongroom_seal::{Context, DataKey, Envelope};

use crate::support::Server;

const PATH: &str = "/api/v1/buckets/photos/objects/new";
const PLAIN: &[&str] = &["Content-Type: text/plain"];

/// Gives `photos` another default right after it was looked at for a decision, once for each time that it is armed: whoever
/// settles what a write asks for asks for the default key next, on the thread of the server.
#[derive(Debug)]
struct Switch {
    kms: LocalKms,
    objects: OnceLock<Objects>,
    armed: AtomicBool,
}

impl Switch {
    fn switch(&self) {
        let objects = self.objects.get().unwrap().clone();
        let switching = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let to = DefaultEncryption::Kms { key_id: None, bucket_key: false };
            let photos = BucketName::parse("photos").unwrap();
            runtime.block_on(objects.set_default_encryption(&photos, to)).unwrap();
        });
        switching.join().unwrap();
    }
}

#[async_trait]
impl Provider for Switch {
    fn name(&self) -> &'static str {
        self.kms.name()
    }
    fn default_key(&self) -> &str {
        if self.armed.swap(false, Ordering::SeqCst) {
            self.switch();
        }
        self.kms.default_key()
    }
    fn changes(&self) -> u64 {
        self.kms.changes()
    }
    async fn generate(&self, key_id: &str, context: &Context) -> Result<(DataKey, Envelope), KmsError> {
        self.kms.generate(key_id, context).await
    }
    async fn wrap(&self, key_id: &str, key: &[u8; 32], context: &Context) -> Result<Envelope, KmsError> {
        self.kms.wrap(key_id, key, context).await
    }
    async fn unwrap(&self, envelope: &Envelope, context: &Context) -> Result<DataKey, KmsError> {
        self.kms.unwrap(envelope, context).await
    }
    async fn create_key(&self, key_id: &str) -> Result<KeyInfo, KmsError> {
        self.kms.create_key(key_id).await
    }
    async fn rotate(&self, key_id: &str) -> Result<u32, KmsError> {
        self.kms.rotate(key_id).await
    }
    async fn set_state(&self, key_id: &str, state: KeyState) -> Result<KeyInfo, KmsError> {
        self.kms.set_state(key_id, state).await
    }
    async fn list(&self) -> Result<Vec<KeyInfo>, KmsError> {
        self.kms.list().await
    }
    async fn describe(&self, key_id: &str) -> Result<KeyInfo, KmsError> {
        self.kms.describe(key_id).await
    }
    async fn probe(&self) -> Result<Duration, KmsError> {
        self.kms.probe().await
    }
}

#[tokio::test]
async fn write_is_not_sealed_with_a_key_that_became_the_default_after_it_was_decided() {
    let mut switch = None;
    let server = Server::with_kms(RateLimit { per_second: 0, burst: 0 }, |kms| {
        let made = Switch { kms, objects: OnceLock::new(), armed: AtomicBool::new(false) };
        switch.insert(Arc::new(made)).clone()
    })
    .await;
    let switch = switch.unwrap();
    switch.objects.set(server.objects.clone()).unwrap();
    server.bucket("photos").await;
    let policy = r#"{"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}"#;
    server.iam.put_policy(&Identity::Root, "s3-alone", policy, None).await.unwrap();
    let user = server.user("user", &["s3-alone"], &Scope::ALL).await;

    switch.armed.store(true, Ordering::SeqCst);
    let stored = server.ask(&user, "PUT", PATH, PLAIN, "content").await;
    assert!(!switch.armed.load(Ordering::SeqCst), "the write was decided by the bucket's default");
    assert_eq!(stored.status, 201, "{stored:?}");
    assert_eq!(stored.json()["encryption"]["algorithm"], "AES256", "what was decided about");
    // The new default holds for who is asked from now on.
    let refused = server.ask(&user, "PUT", PATH, PLAIN, "content").await;
    assert!(refused.status == 403 && refused.body.contains("kms:GenerateDataKey"), "{refused:?}");
}
