//! The choice of keys: how an object key is wrapped and unwrapped.
//!
//! Contexts and argument: `docs/spec/object-entry.md` §5 and §8.

use strongroom_kms::Provider;
use strongroom_seal::{
    Context, CustomerKey, DataKey, Envelope, GroupKey, Label, ObjectKey, Random, SecretKey, Unsealable,
    derive, record,
};
use strongroom_store::inspect::Image;
use strongroom_store::{GroupId, ReadError, Store};

use crate::digest::md5_of;
use crate::measure::sse_failed;
use crate::rows::{BlobId, CLIENT_CONTEXT_LEN_MAX, ContentId, SseRow};
use crate::{BucketName, BucketSettings, DefaultEncryption, ObjectError, ObjectName, SseApplied, SseRequest};

/// Where a key and its content belong.
#[derive(Debug, Clone)]
pub(crate) struct Belongs {
    pub(crate) bucket: BucketName,
    pub(crate) group: GroupId,
    pub(crate) name: ObjectName,
    pub(crate) content: ContentId,
}

impl Belongs {
    /// The context of an inline payload.
    pub(crate) fn inline(&self) -> Context {
        self.context(Label::InlineContent)
    }

    /// The context of a blob.
    pub(crate) fn blob(&self, part: u16, blob: &BlobId) -> Context {
        self.context(Label::PartContent).and(u32::from(part)).and(blob.epoch).and(&blob.id)
    }

    fn context(&self, label: Label) -> Context {
        Context::new(label, self.group.0).and(self.name.as_bytes()).and(&self.content.0)
    }

    fn by_group(&self, key_id: u32) -> Context {
        Context::new(Label::ObjectKeyByGroup, self.group.0)
            .and(key_id)
            .and(self.name.as_bytes())
            .and(&self.content.0)
    }

    fn kms(&self, client: Option<&str>) -> Context {
        Context::new(Label::KmsDataKey, self.bucket.as_str())
            .and(self.name.as_bytes())
            .and(&self.content.0)
            .and(client.unwrap_or_default())
    }
}

/// What wraps an object key. The KMS has been asked already.
#[derive(Debug)]
pub(crate) enum Wrapper {
    Group,
    Kms { key: DataKey, envelope: Box<Envelope>, context: Option<String> },
    Customer(CustomerKey),
}

impl Wrapper {
    /// Decides for a write, and gets a data key if the decision needs one.
    pub(crate) async fn choose(
        request: SseRequest,
        settings: &BucketSettings,
        belongs: &Belongs,
        kms: &dyn Provider,
    ) -> Result<Self, ObjectError> {
        let (key_id, context) = match request {
            SseRequest::S3 => return Ok(Self::Group),
            SseRequest::Customer(_) if settings.customer_keys_blocked => {
                return Err(ObjectError::CustomerKeysBlocked);
            }
            SseRequest::Customer(key) => return Ok(Self::Customer(key)),
            // A request that says SSE-KMS and names no key gets the provider's default key, not the bucket's.
            SseRequest::Kms { key_id, context } => {
                let size = context.as_ref().map_or(0, String::len);
                if size > CLIENT_CONTEXT_LEN_MAX {
                    return Err(ObjectError::MetadataTooLarge { size, most: CLIENT_CONTEXT_LEN_MAX });
                }
                (key_id, context)
            }
            SseRequest::Default => match &settings.encryption {
                DefaultEncryption::S3 => return Ok(Self::Group),
                DefaultEncryption::Kms { key_id, .. } => (key_id.clone(), None),
            },
        };
        let key_id = key_id.as_deref().unwrap_or_else(|| kms.default_key());
        let generated = kms.generate(key_id, &belongs.kms(context.as_deref())).await;
        let (key, envelope) = generated.inspect_err(|error| sse_failed("kms", error.kind()))?;
        Ok(Self::Kms { key, envelope: Box::new(envelope), context })
    }

    /// Whether the content's MD5 may be its entity tag: it tells whoever sees a listing what the content is, so
    /// with keys that not everybody has it may not.
    pub(crate) fn shows_md5(&self) -> bool {
        matches!(self, Self::Group)
    }

    /// Wraps `object_key`. Blocks if the group's key is not in memory.
    pub(crate) fn wrap(
        &self,
        store: &Store,
        belongs: &Belongs,
        object_key: &ObjectKey,
        random: &dyn Random,
    ) -> Result<SseRow, ReadError> {
        let plain = object_key.dangerous_expose();
        let wrapped = |sealed: Vec<u8>| Box::new(sealed.try_into().expect("a record adds a fixed length"));
        Ok(match self {
            Self::Group => {
                let (key_id, group_key) = store.group_key(belongs.group)?;
                let key = wrap_key(&group_key, belongs.group, key_id);
                let sealed = record::seal(&key, &belongs.by_group(key_id), plain, random);
                store.note_key_use(belongs.group, key_id, 1, sealed.len() as u64);
                SseRow::Group { key_id, wrapped: wrapped(sealed) }
            }
            Self::Kms { key, envelope, context } => {
                let sealed = record::seal(key, &belongs.context(Label::ObjectKeyByKms), plain, random);
                SseRow::Kms { envelope: envelope.clone(), context: context.clone(), wrapped: wrapped(sealed) }
            }
            Self::Customer(key) => {
                let mut salt = [0; 32];
                random.fill(&mut salt);
                let verifier = *verifier(key, &salt, belongs).dangerous_expose();
                let sealed = record::seal(key, &belongs.context(Label::ObjectKeyByCustomer), plain, random);
                SseRow::Customer { salt, verifier, wrapped: wrapped(sealed) }
            }
        })
    }

    /// What the answer says.
    pub(crate) fn applied(&self) -> SseApplied {
        match self {
            Self::Group => SseApplied::S3,
            Self::Kms { envelope, context, .. } => {
                SseApplied::Kms { key_id: envelope.key_id.clone(), context: context.clone() }
            }
            Self::Customer(key) => SseApplied::Customer { key_md5: Some(md5_of(key.dangerous_expose())) },
        }
    }
}

impl SseRow {
    /// What an answer says that carries this customer key.
    pub(crate) fn applied(&self, key: Option<&CustomerKey>) -> SseApplied {
        match self {
            Self::Group { .. } => SseApplied::S3,
            Self::Kms { envelope, context, .. } => {
                SseApplied::Kms { key_id: envelope.key_id.clone(), context: context.clone() }
            }
            Self::Customer { .. } => {
                SseApplied::Customer { key_md5: key.map(|key| md5_of(key.dangerous_expose())) }
            }
        }
    }

    /// The label of metrics.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Group { .. } => "s3",
            Self::Kms { .. } => "kms",
            Self::Customer { .. } => "customer",
        }
    }

    /// Whether a read with this customer key may go on: right key, or none where none is needed.
    pub(crate) fn admits(&self, key: Option<&CustomerKey>, belongs: &Belongs) -> Result<(), ObjectError> {
        match (self, key) {
            (Self::Customer { salt, verifier: kept, .. }, Some(key)) => {
                let kept = SecretKey::from_slice(kept).expect("a verifier has 32 bytes");
                // Keys compare in constant time.
                if verifier(key, salt, belongs) == kept {
                    Ok(())
                } else {
                    sse_failed("customer", "wrong_key");
                    Err(ObjectError::CustomerKeyWrong)
                }
            }
            (Self::Customer { .. }, None) => Err(ObjectError::CustomerKeyRequired),
            (_, Some(_)) => Err(ObjectError::CustomerKeyNotApplicable),
            (_, None) => Ok(()),
        }
    }

    /// What unwraps the object key: the KMS is asked here, everything else waits for [`Unwrapper::unwrap`].
    pub(crate) async fn unwrapper(
        &self,
        customer: Option<CustomerKey>,
        belongs: &Belongs,
        kms: &dyn Provider,
    ) -> Result<Unwrapper, ObjectError> {
        Ok(match self {
            Self::Group { .. } => Unwrapper::Group,
            Self::Kms { envelope, context, .. } => {
                let unwrapped = kms.unwrap(envelope, &belongs.kms(context.as_deref())).await;
                Unwrapper::Kms(unwrapped.inspect_err(|error| sse_failed("kms", error.kind()))?)
            }
            Self::Customer { .. } => Unwrapper::Customer(customer.ok_or(ObjectError::CustomerKeyRequired)?),
        })
    }
}

/// Who has the keys of groups: a store, or the image of one.
pub(crate) trait GroupKeys {
    /// One of the group's keys. Blocks if it is not in memory.
    fn group_key_by_id(&self, group: GroupId, key_id: u32) -> Result<GroupKey, ReadError>;
}

impl GroupKeys for Store {
    fn group_key_by_id(&self, group: GroupId, key_id: u32) -> Result<GroupKey, ReadError> {
        Self::group_key_by_id(self, group, key_id)
    }
}

impl GroupKeys for Image {
    fn group_key_by_id(&self, group: GroupId, key_id: u32) -> Result<GroupKey, ReadError> {
        Self::group_key_by_id(self, group, key_id)
    }
}

/// What unwraps an object key. The KMS has been asked already.
#[derive(Debug)]
pub(crate) enum Unwrapper {
    Group,
    Kms(DataKey),
    Customer(CustomerKey),
}

/// Why an object key was not unwrapped.
#[derive(Debug)]
pub(crate) enum UnwrapError {
    Read(ReadError),
    Unsealable,
}

impl From<Unsealable> for UnwrapError {
    fn from(_: Unsealable) -> Self {
        Self::Unsealable
    }
}

impl Unwrapper {
    /// The object key. Blocks if the group's key is not in memory.
    pub(crate) fn unwrap(
        &self,
        row: &SseRow,
        belongs: &Belongs,
        keys: &dyn GroupKeys,
    ) -> Result<ObjectKey, UnwrapError> {
        let plain = match (row, self) {
            (SseRow::Group { key_id, wrapped }, _) => {
                let group_key = keys.group_key_by_id(belongs.group, *key_id).map_err(UnwrapError::Read)?;
                let key = wrap_key(&group_key, belongs.group, *key_id);
                record::open(&key, &belongs.by_group(*key_id), &**wrapped)?
            }
            (SseRow::Kms { wrapped, .. }, Self::Kms(key)) => {
                record::open(key, &belongs.context(Label::ObjectKeyByKms), &**wrapped)?
            }
            (SseRow::Customer { wrapped, .. }, Self::Customer(key)) => {
                record::open(key, &belongs.context(Label::ObjectKeyByCustomer), &**wrapped)?
            }
            (SseRow::Kms { .. } | SseRow::Customer { .. }, _) => return Err(UnwrapError::Unsealable),
        };
        ObjectKey::from_slice(&plain).ok_or(UnwrapError::Unsealable)
    }
}

fn wrap_key(group_key: &strongroom_seal::GroupKey, group: GroupId, key_id: u32) -> SecretKey {
    derive(group_key, &[], &Context::new(Label::ObjectWrapKey, group.0).and(key_id))
}

fn verifier(key: &CustomerKey, salt: &[u8; 32], belongs: &Belongs) -> SecretKey {
    derive(key, salt, &belongs.context(Label::CustomerKeyVerifier))
}
