//! The choice of keys: how an object key is wrapped and unwrapped.
//!
//! Contexts and argument: `docs/spec/object-entry.md` §5 and §8.

use std::sync::Arc;

use strongroom_kms::{KmsError, ROOT_KEY_ID};
use strongroom_seal::{
    Context, CustomerKey, DataKey, Envelope, GroupKey, Label, ObjectKey, Random, SecretKey, Unsealable,
    derive, record,
};
use strongroom_store::inspect::Image;
use strongroom_store::{GroupId, ReadError, Store};

use crate::bucket_key::{self, BucketKey};
use crate::data_keys::DataKeys;
use crate::digest::md5_of;
use crate::key_names::key_meant;
use crate::layers::{ContentKeys, Layers, Places};
use crate::measure::sse_failed;
use crate::rows::{BlobId, CLIENT_CONTEXT_LEN_MAX, ContentId, SealedAs, SseRow};
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
    /// Where the content belonged when it was sealed, if that is another place: its contexts name that one, whoever has it now.
    /// The keys are wrapped for the place of now.
    pub(crate) fn when_sealed(&self, sealed: Option<&SealedAs>) -> Self {
        Self { content: sealed.map_or(self.content, |sealed| sealed.content), ..self.clone() }
    }

    /// The places of an inline payload.
    pub(crate) fn inline(&self) -> Places {
        let [inner, outer] =
            [Label::InlineContent, Label::InlineContentOuter].map(|label| self.context(label));
        Places { inner, outer }
    }

    /// The places of a blob.
    pub(crate) fn blob(&self, part: u16, blob: &BlobId) -> Places {
        let [inner, outer] = [Label::PartContent, Label::PartContentOuter]
            .map(|label| self.context(label).and(u32::from(part)).and(blob.epoch).and(&blob.id));
        Places { inner, outer }
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

    /// What the KMS binds a data key to.
    fn kms(&self, label: Label, client: Option<&str>) -> Context {
        Context::new(label, self.bucket.as_str())
            .and(self.name.as_bytes())
            .and(&self.content.0)
            .and(client.unwrap_or_default())
    }

    fn by_bucket_key(&self, client: Option<&str>) -> Context {
        self.context(Label::ObjectKeyByBucketKey).and(client.unwrap_or_default())
    }
}

/// What wraps an object key. The KMS has been asked already.
#[derive(Debug)]
pub(crate) enum Wrapper {
    Group,
    Kms {
        key: DataKey,
        envelope: Box<Envelope>,
        context: Option<String>,
    },
    /// One data key for each layer.
    Dsse {
        inner: (DataKey, Box<Envelope>),
        outer: (DataKey, Box<Envelope>),
        context: Option<String>,
    },
    BucketKey {
        key: Arc<BucketKey>,
        context: Option<String>,
    },
    Customer(CustomerKey),
}

impl SseRequest {
    /// The same with all that [`Wrapper::choose`] would take from a bucket's settings or the provider's, named.
    pub(crate) fn settled(self, settings: &BucketSettings, default_key: &str) -> Self {
        let named = |key_id: Option<String>| Some(key_meant(key_id.as_deref(), default_key).to_owned());
        match self {
            Self::Default => match settings.encryption.clone() {
                DefaultEncryption::S3 | DefaultEncryption::S3Set { .. } => Self::S3,
                DefaultEncryption::Kms { key_id, bucket_key } => {
                    Self::Kms { key_id: named(key_id), context: None, bucket_key: Some(bucket_key) }
                }
                DefaultEncryption::Dsse { key_id, .. } => Self::Dsse { key_id: named(key_id), context: None },
            },
            Self::Kms { key_id, context, bucket_key } => {
                let bucket_key = bucket_key.unwrap_or_else(|| settings.encryption.bucket_key());
                Self::Kms { key_id: named(key_id), context, bucket_key: Some(bucket_key) }
            }
            Self::Dsse { key_id, context } => Self::Dsse { key_id: named(key_id), context },
            settled @ (Self::S3 | Self::Customer(_)) => settled,
        }
    }
}

/// Which encryption by a KMS.
enum Kms {
    Single,
    Dsse,
    BucketKey,
}

impl Wrapper {
    /// Decides for a write, and gets a data key if the decision needs one.
    pub(crate) async fn choose(
        request: SseRequest,
        settings: &BucketSettings,
        belongs: &Belongs,
        keys: &DataKeys,
    ) -> Result<Self, ObjectError> {
        let (key_id, context, kms) = match request {
            SseRequest::S3 => return Ok(Self::Group),
            SseRequest::Customer(_) if settings.customer_keys_blocked => {
                return Err(ObjectError::CustomerKeysBlocked);
            }
            SseRequest::Customer(key) => return Ok(Self::Customer(key)),
            // A request that says SSE-KMS and names no key gets the provider's default key, not the bucket's. Whether
            // there is a bucket key is the bucket's to say unless the request does.
            SseRequest::Kms { key_id, context, bucket_key } => {
                let bucket_key = bucket_key.unwrap_or_else(|| settings.encryption.bucket_key());
                (key_id, context, if bucket_key { Kms::BucketKey } else { Kms::Single })
            }
            SseRequest::Dsse { key_id, context } => (key_id, context, Kms::Dsse),
            SseRequest::Default => match &settings.encryption {
                DefaultEncryption::S3 | DefaultEncryption::S3Set { .. } => return Ok(Self::Group),
                DefaultEncryption::Kms { key_id, bucket_key: true } => (key_id.clone(), None, Kms::BucketKey),
                DefaultEncryption::Kms { key_id, bucket_key: false } => (key_id.clone(), None, Kms::Single),
                DefaultEncryption::Dsse { key_id, .. } => (key_id.clone(), None, Kms::Dsse),
            },
        };
        let size = context.as_ref().map_or(0, String::len);
        if size > CLIENT_CONTEXT_LEN_MAX {
            return Err(ObjectError::MetadataTooLarge { size, most: CLIENT_CONTEXT_LEN_MAX });
        }
        let key_id = key_meant(key_id.as_deref(), keys.kms().default_key());
        let chosen = Self::by_kms(kms, key_id, context, belongs, keys).await;
        Ok(chosen.inspect_err(|error| sse_failed("kms", error.kind()))?)
    }

    async fn by_kms(
        kms: Kms,
        key_id: &str,
        context: Option<String>,
        belongs: &Belongs,
        keys: &DataKeys,
    ) -> Result<Self, KmsError> {
        if key_id == ROOT_KEY_ID {
            return Err(KmsError::Protected { key_id: key_id.to_owned() });
        }
        let client = context.as_deref();
        let generate = async |label| {
            let (key, envelope) = keys.kms().generate(key_id, &belongs.kms(label, client)).await?;
            Ok::<_, KmsError>((key, Box::new(envelope)))
        };
        Ok(match kms {
            Kms::Single => {
                let (key, envelope) = generate(Label::KmsDataKey).await?;
                Self::Kms { key, envelope, context }
            }
            Kms::Dsse => {
                let inner = generate(Label::KmsDataKey).await?;
                let outer = generate(Label::KmsDataKeyOuter).await?;
                Self::Dsse { inner, outer, context }
            }
            Kms::BucketKey => {
                let key = keys.bucket_key(&belongs.bucket, belongs.group, key_id).await?;
                Self::BucketKey { key, context }
            }
        })
    }

    /// Whether the content's MD5 may be its entity tag: it tells whoever sees a listing what the content is, so
    /// with keys that not everybody has it may not.
    pub(crate) fn shows_md5(&self) -> bool {
        matches!(self, Self::Group)
    }

    /// How many layers what a request asks for has.
    pub(crate) fn layers_for(request: &SseRequest, settings: &BucketSettings) -> Layers {
        match (request, &settings.encryption) {
            (SseRequest::Dsse { .. }, _) | (SseRequest::Default, DefaultEncryption::Dsse { .. }) => {
                Layers::Two
            }
            _ => Layers::One,
        }
    }

    /// How many layers what it wraps the keys of has.
    pub(crate) fn layers(&self) -> Layers {
        match self {
            Self::Dsse { .. } => Layers::Two,
            Self::Group | Self::Kms { .. } | Self::BucketKey { .. } | Self::Customer(_) => Layers::One,
        }
    }

    /// Wraps `keys`, which are of as many layers as [`Self::layers`] says. Blocks if the group's key is not in memory.
    pub(crate) fn wrap(
        &self,
        store: &Store,
        belongs: &Belongs,
        keys: &ContentKeys,
        random: &dyn Random,
    ) -> Result<SseRow, ReadError> {
        let plain = keys.inner.dangerous_expose();
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
            Self::Dsse { inner, outer, context } => {
                let outer_plain =
                    keys.outer.as_ref().expect("keys are made for as many layers").dangerous_expose();
                let inner_sealed =
                    record::seal(&inner.0, &belongs.context(Label::ObjectKeyByKms), plain, random);
                let place = belongs.context(Label::ObjectKeyByKmsOuter);
                let outer_sealed = record::seal(&outer.0, &place, outer_plain, random);
                SseRow::Dsse {
                    envelopes: Box::new([(*inner.1).clone(), (*outer.1).clone()]),
                    context: context.clone(),
                    wrapped: [wrapped(inner_sealed), wrapped(outer_sealed)],
                }
            }
            Self::BucketKey { key, context } => {
                let place = belongs.by_bucket_key(context.as_deref());
                let sealed = record::seal(&*key.key, &place, plain, random);
                let envelope = Box::new(key.envelope.clone());
                SseRow::BucketKey { envelope, context: context.clone(), wrapped: wrapped(sealed) }
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
            Self::Kms { envelope, context, .. } => applied(envelope, context, false),
            Self::Dsse { inner, context, .. } => {
                SseApplied::Dsse { key_id: inner.1.key_id.clone(), context: context.clone() }
            }
            Self::BucketKey { key, context } => applied(&key.envelope, context, true),
            Self::Customer(key) => SseApplied::Customer { key_md5: Some(md5_of(key.dangerous_expose())) },
        }
    }
}

fn applied(envelope: &Envelope, context: &Option<String>, bucket_key: bool) -> SseApplied {
    SseApplied::Kms { key_id: envelope.key_id.clone(), context: context.clone(), bucket_key }
}

impl SseRow {
    /// What an answer says that carries this customer key.
    pub(crate) fn applied(&self, key: Option<&CustomerKey>) -> SseApplied {
        match self {
            Self::Group { .. } => SseApplied::S3,
            Self::Kms { envelope, context, .. } => applied(envelope, context, false),
            Self::Dsse { envelopes, context, .. } => {
                SseApplied::Dsse { key_id: envelopes[0].key_id.clone(), context: context.clone() }
            }
            Self::BucketKey { envelope, context, .. } => applied(envelope, context, true),
            Self::Customer { .. } => {
                SseApplied::Customer { key_md5: key.map(|key| md5_of(key.dangerous_expose())) }
            }
        }
    }

    /// The label of metrics.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Group { .. } => "s3",
            Self::Kms { .. } | Self::BucketKey { .. } => "kms",
            Self::Dsse { .. } => "dsse",
            Self::Customer { .. } => "customer",
        }
    }

    /// Whether the key of the object's group is what wraps the object key.
    pub(crate) fn is_wrapped_by_group(&self) -> bool {
        matches!(self, Self::Group { .. })
    }

    /// How many layers the content has.
    pub(crate) fn layers(&self) -> Layers {
        match self {
            Self::Dsse { .. } => Layers::Two,
            Self::Group { .. } | Self::Kms { .. } | Self::BucketKey { .. } | Self::Customer { .. } => {
                Layers::One
            }
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

    /// What unwraps the object key, if nobody has to be asked for it.
    pub(crate) fn local_unwrapper(
        &self,
        customer: Option<&CustomerKey>,
        belongs: &Belongs,
        keys: &DataKeys,
    ) -> Option<Unwrapper> {
        Some(match self {
            Self::Group { .. } => Unwrapper::Group,
            Self::Customer { .. } => Unwrapper::Customer(customer?.clone()),
            _ => {
                let [inner, outer] = self.envelopes(belongs);
                let kept = |(envelope, context): (&Envelope, Context)| keys.kept(envelope, &context);
                let outer = match outer {
                    Some(outer) => Some(kept(outer)?),
                    None => None,
                };
                Unwrapper::Kms(kept(inner?)?, outer)
            }
        })
    }

    /// What unwraps the object key: the KMS is asked here, everything else waits for [`Unwrapper::unwrap`].
    pub(crate) async fn unwrapper(
        &self,
        customer: Option<CustomerKey>,
        belongs: &Belongs,
        keys: &DataKeys,
    ) -> Result<Unwrapper, ObjectError> {
        let unwrap = async |(envelope, context): (&Envelope, Context)| {
            let unwrapped = keys.unwrap(envelope, &context).await;
            unwrapped.inspect_err(|error| sse_failed(self.kind(), error.kind()))
        };
        Ok(match self {
            Self::Group { .. } => Unwrapper::Group,
            Self::Customer { .. } => Unwrapper::Customer(customer.ok_or(ObjectError::CustomerKeyRequired)?),
            _ => {
                let [inner, outer] = self.envelopes(belongs);
                let outer = match outer {
                    Some(outer) => Some(unwrap(outer).await?),
                    None => None,
                };
                let inner = inner.expect("all that is left has an envelope");
                Unwrapper::Kms(unwrap(inner).await?, outer)
            }
        })
    }

    /// The envelopes of the inner and of the outer layer, with what the KMS bound them to.
    fn envelopes(&self, belongs: &Belongs) -> [Option<(&Envelope, Context)>; 2] {
        match self {
            Self::Group { .. } | Self::Customer { .. } => [None, None],
            Self::Kms { envelope, context, .. } => {
                [Some((envelope, belongs.kms(Label::KmsDataKey, context.as_deref()))), None]
            }
            Self::Dsse { envelopes, context, .. } => {
                let [inner, outer] = &**envelopes;
                let of = |label| belongs.kms(label, context.as_deref());
                [Some((inner, of(Label::KmsDataKey))), Some((outer, of(Label::KmsDataKeyOuter)))]
            }
            Self::BucketKey { envelope, .. } => {
                [Some((envelope, bucket_key::context(&belongs.bucket, belongs.group))), None]
            }
        }
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
    /// The data key of the inner or only layer, and of the outer one.
    Kms(Arc<DataKey>, Option<Arc<DataKey>>),
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
    /// The keys of the content. Blocks if the group's key is not in memory.
    pub(crate) fn unwrap(
        &self,
        row: &SseRow,
        belongs: &Belongs,
        keys: &dyn GroupKeys,
    ) -> Result<ContentKeys, UnwrapError> {
        let object_key = |plain: &[u8]| ObjectKey::from_slice(plain).ok_or(UnwrapError::Unsealable);
        let mut outer_key = None;
        let plain = match (row, self) {
            (SseRow::Group { key_id, wrapped }, _) => {
                let group_key = keys.group_key_by_id(belongs.group, *key_id).map_err(UnwrapError::Read)?;
                let key = wrap_key(&group_key, belongs.group, *key_id);
                record::open(&key, &belongs.by_group(*key_id), &**wrapped)?
            }
            (SseRow::Kms { wrapped, .. }, Self::Kms(key, None)) => {
                record::open(&**key, &belongs.context(Label::ObjectKeyByKms), &**wrapped)?
            }
            (SseRow::Dsse { wrapped: [inner, outer], .. }, Self::Kms(key, Some(of_outer))) => {
                let place = belongs.context(Label::ObjectKeyByKmsOuter);
                outer_key = Some(object_key(&record::open(&**of_outer, &place, &**outer)?)?);
                record::open(&**key, &belongs.context(Label::ObjectKeyByKms), &**inner)?
            }
            (SseRow::BucketKey { context, wrapped, .. }, Self::Kms(key, None)) => {
                record::open(&**key, &belongs.by_bucket_key(context.as_deref()), &**wrapped)?
            }
            (SseRow::Customer { wrapped, .. }, Self::Customer(key)) => {
                record::open(key, &belongs.context(Label::ObjectKeyByCustomer), &**wrapped)?
            }
            _ => return Err(UnwrapError::Unsealable),
        };
        Ok(ContentKeys { inner: object_key(&plain)?, outer: outer_key })
    }
}

fn wrap_key(group_key: &strongroom_seal::GroupKey, group: GroupId, key_id: u32) -> SecretKey {
    derive(group_key, &[], &Context::new(Label::ObjectWrapKey, group.0).and(key_id))
}

fn verifier(key: &CustomerKey, salt: &[u8; 32], belongs: &Belongs) -> SecretKey {
    derive(key, salt, &belongs.context(Label::CustomerKeyVerifier))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Belongs {
        Belongs {
            bucket: BucketName::parse("bucket").unwrap(),
            group: GroupId(7),
            name: ObjectName::parse("name").unwrap(),
            content: ContentId([3; 16]),
        }
    }

    #[test]
    fn context_that_a_client_names_is_part_of_what_its_key_is_bound_to() {
        let place = place();
        for label in [Label::KmsDataKey, Label::KmsDataKeyOuter] {
            let of = |client| place.kms(label, client).as_bytes().to_vec();
            assert_ne!(of(Some("{\"a\":\"1\"}")), of(None));
            assert_ne!(of(Some("{\"a\":\"1\"}")), of(Some("{\"a\":\"2\"}")));
        }
        let of = |client| place.by_bucket_key(client).as_bytes().to_vec();
        assert_ne!(of(Some("{\"a\":\"1\"}")), of(None));
    }

    /// Neither a KMS nor a group is asked for anything.
    struct NoKeys;

    impl GroupKeys for NoKeys {
        fn group_key_by_id(&self, _: GroupId, _: u32) -> Result<GroupKey, ReadError> {
            panic!("no group key is needed")
        }
    }

    #[test]
    fn row_whose_context_was_changed_does_not_open() {
        let (place, random) = (place(), strongroom_seal::OsRandom);
        let key = Arc::new(DataKey::generate(&random));
        let given = Some("{\"team\":\"blue\"}".to_owned());
        let wrapped = record::seal(&*key, &place.by_bucket_key(given.as_deref()), &[5; 32], &random);
        let envelope =
            Envelope { provider: "p".into(), key_id: "k".into(), key_version: 1, blob: vec![1; 8] };
        let row = |context| SseRow::BucketKey {
            envelope: Box::new(envelope.clone()),
            context,
            wrapped: Box::new(wrapped.clone().try_into().unwrap()),
        };
        let unwrapper = Unwrapper::Kms(key, None);
        assert!(unwrapper.unwrap(&row(given.clone()), &place, &NoKeys).is_ok());
        for changed in [None, Some("{\"team\":\"red\"}".to_owned())] {
            assert!(unwrapper.unwrap(&row(changed.clone()), &place, &NoKeys).is_err());
            // Without a bucket key it is the KMS that refuses: it is asked with what the row says.
            let kms = |context| SseRow::Kms {
                envelope: Box::new(envelope.clone()),
                context,
                wrapped: Box::new(wrapped.clone().try_into().unwrap()),
            };
            let asked = |row: &SseRow| row.envelopes(&place)[0].as_ref().unwrap().1.as_bytes().to_vec();
            assert_ne!(asked(&kms(changed)), asked(&kms(given.clone())));
        }
    }
}
