//! A store with a local KMS in a temporary directory.
#![allow(dead_code, unreachable_pub, reason = "each test file uses what it needs")]

pub mod disk;
pub mod sim;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use strongroom_kms::{KeyInfo, KeyState, KmsError, Provider};
use strongroom_objects::request::*;
use strongroom_objects::*;
use strongroom_seal::{Context, CustomerKey, DataKey, Envelope, RootKey, SeededRandom, record};
use strongroom_store::{RootKeyError, RootKeys, Store, StoreOptions};
use zeroize::Zeroizing;

/// Wraps under one key in memory, for the store and for SSE-KMS.
#[derive(Debug)]
pub struct MemoryKeys(RootKey);

impl MemoryKeys {
    pub fn new() -> Arc<Self> {
        Arc::new(Self(RootKey::from_bytes(&mut [7; 32])))
    }

    fn wrap_as(&self, key_id: &str, key: &[u8; 32], context: &Context) -> Envelope {
        let blob = record::seal(&self.0, context, key, &strongroom_seal::OsRandom);
        Envelope { provider: "memory".into(), key_id: key_id.into(), key_version: 1, blob }
    }
}

impl RootKeys for MemoryKeys {
    fn wrap(&self, _: Option<&str>, key: &[u8; 32], context: &Context) -> Result<Envelope, RootKeyError> {
        Ok(self.wrap_as("root", key, context))
    }

    fn unwrap(&self, envelope: &Envelope, context: &Context) -> Result<Zeroizing<[u8; 32]>, RootKeyError> {
        let key = record::open(&self.0, context, &envelope.blob);
        let key = key.map_err(|_| RootKeyError::Wrong { key_id: envelope.key_id.clone() })?;
        Ok(Zeroizing::new(key.as_slice().try_into().unwrap()))
    }
}

#[async_trait]
impl Provider for MemoryKeys {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn default_key(&self) -> &str {
        "default"
    }

    async fn generate(&self, key_id: &str, context: &Context) -> Result<(DataKey, Envelope), KmsError> {
        if key_id == "missing" {
            return Err(KmsError::NotFound { key_id: key_id.into() });
        }
        let key = DataKey::generate(&strongroom_seal::OsRandom);
        let envelope = self.wrap_as(key_id, key.dangerous_expose(), context);
        Ok((key, envelope))
    }

    async fn wrap(&self, key_id: &str, key: &[u8; 32], context: &Context) -> Result<Envelope, KmsError> {
        Ok(self.wrap_as(key_id, key, context))
    }

    async fn unwrap(&self, envelope: &Envelope, context: &Context) -> Result<DataKey, KmsError> {
        let key = record::open(&self.0, context, &envelope.blob)
            .map_err(|_| KmsError::WrongContextOrDamaged { key_id: envelope.key_id.clone() })?;
        Ok(DataKey::from_slice(&key).unwrap())
    }

    async fn create_key(&self, key_id: &str) -> Result<KeyInfo, KmsError> {
        self.describe(key_id).await
    }

    async fn rotate(&self, _key_id: &str) -> Result<u32, KmsError> {
        Ok(1)
    }

    async fn set_state(&self, key_id: &str, _state: KeyState) -> Result<KeyInfo, KmsError> {
        self.describe(key_id).await
    }

    async fn list(&self) -> Result<Vec<KeyInfo>, KmsError> {
        Ok(Vec::new())
    }

    async fn describe(&self, key_id: &str) -> Result<KeyInfo, KmsError> {
        Err(KmsError::NotFound { key_id: key_id.into() })
    }

    async fn probe(&self) -> Result<std::time::Duration, KmsError> {
        Ok(std::time::Duration::ZERO)
    }
}

/// A clock that goes on by a millisecond whenever somebody looks.
#[derive(Debug, Default)]
pub struct TickingClock(AtomicU64);

impl Clock for TickingClock {
    fn now(&self) -> Timestamp {
        Timestamp(1_700_000_000_000 + self.0.fetch_add(1, Ordering::Relaxed))
    }
}

pub struct Fixture {
    pub dir: tempfile::TempDir,
    pub store: Store,
    pub objects: Objects,
}

pub fn store_dir(dir: &Path) -> PathBuf {
    dir.join("store")
}

pub fn blob_dir(dir: &Path) -> PathBuf {
    dir.join("blobs")
}

/// Opens the store, which may need a moment to be let go of by the tasks of a run that was dropped.
pub fn open_store(dir: &Path) -> Store {
    for _ in 0..1000 {
        match Store::create_or_open(StoreOptions::new(store_dir(dir), MemoryKeys::new())) {
            Err(strongroom_store::OpenError::InUse { .. }) => {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            other => return other.unwrap(),
        }
    }
    panic!("nobody let go of the store within five seconds");
}

pub fn options(dir: &Path) -> ObjectsOptions {
    let mut options = ObjectsOptions::new(blob_dir(dir));
    options.clock = Arc::new(TickingClock::default());
    options
}

impl Fixture {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = options(dir.path());
        Self::with(dir, options).await
    }

    pub async fn with(dir: tempfile::TempDir, options: ObjectsOptions) -> Self {
        let store = open_store(dir.path());
        let objects = Objects::open(store.clone(), MemoryKeys::new(), options).await.unwrap();
        objects
            .create_bucket(
                &bucket(),
                CreateBucket { owner: "me".into(), settings: BucketSettings::default() },
            )
            .await
            .unwrap();
        Self { dir, store, objects }
    }

    /// Opens what is in a directory, without making a bucket.
    pub async fn reopen(dir: tempfile::TempDir, options: ObjectsOptions) -> Self {
        // The tasks of the run before end when they are polled.
        tokio::task::yield_now().await;
        let path = dir.path().to_owned();
        let store = tokio::task::spawn_blocking(move || open_store(&path)).await.unwrap();
        let objects = Objects::open(store.clone(), MemoryKeys::new(), options).await.unwrap();
        Self { dir, store, objects }
    }

    /// Drops everything without closing it, and opens it again.
    pub async fn crash(self) -> Self {
        let Self { dir, store, objects } = self;
        drop((store, objects));
        let options = options(dir.path());
        Self::reopen(dir, options).await
    }

    pub async fn put(&self, key: &str, content: impl Into<Bytes>) -> PutResult {
        self.objects.put(put(key, content)).await.unwrap()
    }

    pub async fn read(&self, key: &str) -> Result<Vec<u8>, ObjectError> {
        self.objects.get(get(key)).await?.body.collect().await
    }

    pub async fn delete(&self, key: &str) {
        self.objects.delete(DeleteRequest::new(bucket(), name(key))).await.unwrap();
    }

    /// All blob files, temporary ones included.
    pub fn files(&self) -> Vec<PathBuf> {
        files(&blob_dir(self.dir.path()))
    }
}

pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    let Ok(entries) = std::fs::read_dir(dir) else { return out };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.extend(files(&path));
        } else {
            out.push(path);
        }
    }
    out.sort();
    out
}

pub fn bucket() -> BucketName {
    BucketName::parse("bucket").unwrap()
}

pub fn name(text: &str) -> ObjectName {
    ObjectName::parse(text).unwrap()
}

pub fn put(key: &str, content: impl Into<Bytes>) -> PutRequest {
    PutRequest {
        bucket: bucket(),
        name: name(key),
        content: Content::from_bytes(content),
        meta: ObjectMeta::default(),
        sse: SseRequest::Default,
        conditions: WriteConditions::default(),
        checksums: ChecksumRequest::default(),
        content_md5: None,
    }
}

pub fn get(key: &str) -> GetRequest {
    GetRequest::new(bucket(), name(key))
}

/// Bytes that look like nothing and follow from the seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    use strongroom_seal::Random;
    let mut out = vec![0; length];
    SeededRandom::dangerous_from_seed(seed).fill(&mut out);
    out
}

/// Waits until `done`: background work has no other sign of its end.
pub async fn eventually(mut done: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if done() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("it did not happen within five seconds");
}

pub async fn upload(objects: &Objects, key: &str, sse: SseRequest) -> UploadId {
    let request =
        CreateUpload { bucket: bucket(), name: name(key), meta: ObjectMeta::default(), sse, checksum: None };
    objects.create_upload(request).await.unwrap().upload
}

pub fn part(key: &str, upload: UploadId, number: u32, content: impl Into<Bytes>) -> PutPart {
    PutPart {
        bucket: bucket(),
        name: name(key),
        upload,
        part: PartNumber::new(number).unwrap(),
        content: Content::from_bytes(content),
        checksums: ChecksumRequest::default(),
        content_md5: None,
        customer_key: None,
    }
}

pub fn complete(key: &str, upload: UploadId, parts: &[(u32, ETag)]) -> CompleteUpload {
    let completed = |(number, etag): &(u32, ETag)| CompletedPart {
        part: PartNumber::new(*number).unwrap(),
        etag: etag.to_string(),
        checksum: None,
    };
    CompleteUpload {
        bucket: bucket(),
        name: name(key),
        upload,
        parts: parts.iter().map(completed).collect(),
        conditions: WriteConditions::default(),
        checksum: None,
        checksum_kind: None,
        size: None,
        customer_key: None,
    }
}

/// A copy of the current version onto its name.
pub fn onto_itself(key: &str, sse: SseRequest, was: Option<CustomerKey>) -> CopyRequest {
    CopyRequest {
        source: CopySource {
            bucket: bucket(),
            name: name(key),
            version: None,
            conditions: ReadConditions::default(),
            customer_key: was,
        },
        bucket: bucket(),
        name: name(key),
        meta: ObjectMeta::default(),
        metadata: Directive::Copy,
        tagging: Directive::Copy,
        sse,
        conditions: WriteConditions::default(),
        checksum: None,
    }
}

pub fn customer(byte: u8) -> CustomerKey {
    CustomerKey::from_bytes(&mut [byte; 32])
}

pub fn kms(bucket_key: bool) -> SseRequest {
    SseRequest::Kms { key_id: None, context: Some("{}".into()), bucket_key: Some(bucket_key) }
}

pub fn listing(prefix: &str, delimiter: Option<&str>, after: Option<&str>, max: u32) -> ListRequest {
    ListRequest {
        bucket: bucket(),
        prefix: prefix.into(),
        delimiter: delimiter.map(Into::into),
        after: after.map(Into::into),
        max,
    }
}
