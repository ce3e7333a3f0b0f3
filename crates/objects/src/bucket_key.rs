//! Bucket keys: one data key of the KMS that wraps the object keys of a bucket for a while (`BucketKeyEnabled`).
//!
//! `docs/spec/object-entry.md` §11.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use strongroom_kms::KmsError;
use strongroom_seal::{Context, DataKey, Envelope, Label};
use strongroom_store::GroupId;

use crate::BucketName;
use crate::data_keys::{DataKeys, Flights, Standing, Term};

/// Buckets whose key is kept at most; with more of them, some make their keys more often.
const KEPT_MAX: usize = 1024;

/// A bucket key, in the clear and wrapped.
#[derive(Debug)]
pub(crate) struct BucketKey {
    pub(crate) key: Arc<DataKey>,
    pub(crate) envelope: Envelope,
}

/// What the KMS binds a bucket key to.
pub(crate) fn context(bucket: &BucketName, group: GroupId) -> Context {
    Context::new(Label::KmsBucketKey, bucket.as_str()).and(group.0)
}

/// The bucket keys in use. Old ones are where all unwrapped keys are.
#[derive(Debug, Default)]
pub(crate) struct BucketKeys {
    current: Mutex<HashMap<Of, Current>>,
    made: Flights<Of, Arc<BucketKey>>,
}

/// Which bucket, and which key of the KMS.
type Of = (GroupId, String);

#[derive(Debug)]
struct Current {
    key: Arc<BucketKey>,
    term: Term,
    uses: u64,
}

impl BucketKeys {
    pub(crate) fn remove_if(&self, over: impl Fn(&Term) -> bool) {
        self.lock().retain(|_, current| !over(&current.term));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Of, Current>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DataKeys {
    /// The key that wraps a new object of a bucket: the one in use, or a new one from the KMS.
    pub(crate) async fn bucket_key(
        &self,
        bucket: &BucketName,
        group: GroupId,
        key_id: &str,
    ) -> Result<Arc<BucketKey>, KmsError> {
        let of = (group, key_id.to_owned());
        if let Some(key) = self.use_current(&of) {
            return Ok(key);
        }
        let make = || async {
            // Another one may have landed before this one took off.
            if let Some(key) = self.use_current(&of) {
                return Ok(key);
            }
            let term = self.term();
            let context = context(bucket, group);
            let (key, envelope) = self.kms().generate(key_id, &context).await?;
            let key = Arc::new(key);
            // Reading needs it, too.
            self.keep_made(&envelope, &context, &key, term);
            let key = Arc::new(BucketKey { key, envelope });
            self.set_current(of.clone(), &key, term);
            Ok(key)
        };
        self.bucket_keys.made.join(of.clone(), make).await
    }

    /// The key in use, which is then used once more.
    fn use_current(&self, of: &Of) -> Option<Arc<BucketKey>> {
        let mut all = self.bucket_keys.lock();
        let current = all.get_mut(of)?;
        if self.stands(&current.term) != Standing::Fresh || current.uses >= self.options().bucket_key_uses_max
        {
            all.remove(of);
            return None;
        }
        current.uses += 1;
        Some(Arc::clone(&current.key))
    }

    fn set_current(&self, of: Of, key: &Arc<BucketKey>, term: Term) {
        let mut all = self.bucket_keys.lock();
        if all.len() >= KEPT_MAX {
            let any = all.keys().next().cloned();
            any.map(|any| all.remove(&any));
        }
        all.insert(of, Current { key: Arc::clone(key), term, uses: 1 });
    }
}
