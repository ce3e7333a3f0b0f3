//! The one place where it is decided.

use std::sync::Arc;

use strongroom_iam::{Arn, Ask, Denial, Facts, Iam, Identity, Policy};
use strongroom_objects::{
    BucketName, DocumentKind, KmsUse, ObjectError, ObjectName, Objects, SseApplied, Tags,
};

use super::gate::Decided;
use super::{Asker, Resource, facts};
use crate::convert;
use crate::error::ApiError;
use crate::request::RequestState;

const EXISTING_TAG: &str = "s3:existingobjecttag/";

/// Identities, their policies, and those of buckets. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Authority {
    iam: Iam,
    objects: Objects,
}

/// What a key of the key management is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyUse {
    /// Something new is encrypted.
    Encrypt,
    /// Something is read.
    Decrypt,
}

impl KeyUse {
    fn action(self) -> &'static str {
        match self {
            Self::Encrypt => "kms:GenerateDataKey",
            Self::Decrypt => "kms:Decrypt",
        }
    }
}

impl Authority {
    pub(crate) fn new(iam: Iam, objects: Objects) -> Self {
        Self { iam, objects }
    }

    pub(crate) fn iam(&self) -> &Iam {
        &self.iam
    }

    /// Refuses what may not be done.
    pub(super) fn require(
        &self,
        asker: &Asker,
        action: &'static str,
        resource: Resource<'_>,
        facts: &Facts,
    ) -> Result<(), ApiError> {
        if asker.is_root() {
            return Ok(());
        }
        match self.decide(asker, action, resource, facts)? {
            Ok(()) => Ok(()),
            Err(_) if self.is_missing(resource) => Err(no_such_bucket(resource)),
            Err(denied) => Err(Self::denial(asker, action, &resource.arn(), denied)),
        }
    }

    /// [`Self::require`] with the facts of the request.
    pub(crate) fn authorise(
        &self,
        asker: &Asker,
        action: &'static str,
        resource: Resource<'_>,
    ) -> Result<(), ApiError> {
        self.require(asker, action, resource, &asker.facts)
    }

    /// [`Self::authorise`] with the tags of an object that is there.
    pub(crate) async fn authorise_existing(
        &self,
        asker: &Asker,
        action: &'static str,
        (bucket, key): (&str, &str),
        version: Option<&str>,
    ) -> Result<(), ApiError> {
        if asker.is_root() {
            return Ok(());
        }
        let tags = self.existing_tags(asker, bucket, key, version).await?.unwrap_or_default();
        let facts = of_object(asker, version, &tags);
        self.require(asker, action, Resource::Object(bucket, key), &facts)
    }

    /// Refuses what tells something of the current version of an object to those who may not read it.
    pub(crate) async fn authorise_current(
        &self,
        asker: &Asker,
        bucket: &str,
        key: &str,
    ) -> Result<(), ApiError> {
        if asker.is_root() {
            return Ok(());
        }
        let tags = self.existing_tags(asker, bucket, key, None).await?.unwrap_or_default();
        let mut facts = of_object(asker, None, &tags);
        // Conditions are about the current version, whichever one a delete names.
        facts.unset("s3:versionid");
        self.require(asker, "s3:GetObject", Resource::Object(bucket, key), &facts)
    }

    /// Refuses to copy a source that was opened to those who may not read it with the tags that it has. It was decided before,
    /// so that nobody learns of what is not theirs to know, by what then were its tags.
    pub(crate) fn authorise_opened(
        &self,
        asker: &Asker,
        (bucket, key): (&str, &str),
        version: Option<&str>,
        tags: &Tags,
    ) -> Result<(), ApiError> {
        let facts = of_object(asker, version, tags);
        self.require(asker, read_action(version), Resource::Object(bucket, key), &facts)
    }

    /// Refuses a copy that takes the tags of its source with it to those who may not read or set tags.
    pub(crate) fn authorise_copied_tags(
        &self,
        asker: &Asker,
        (source_bucket, source_key): (&str, &str),
        names_version: bool,
        (bucket, key): (&str, &str),
        tags: &Tags,
    ) -> Result<(), ApiError> {
        if asker.is_root() || tags.is_empty() {
            return Ok(());
        }
        let tags = || tags.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut of_source = asker.facts.clone();
        for (name, value) in tags() {
            of_source.set_tag(EXISTING_TAG, name, value);
        }
        let read = if names_version { "s3:GetObjectVersionTagging" } else { "s3:GetObjectTagging" };
        self.require(asker, read, Resource::Object(source_bucket, source_key), &of_source)?;
        let mut of_target = asker.facts.clone();
        facts::of_tags(&mut of_target, tags());
        self.require(asker, "s3:PutObjectTagging", Resource::Object(bucket, key), &of_target)
    }

    /// What a client is told instead of `error`: who may not list a bucket does not learn what is not in it.
    pub(crate) fn without_secrets(&self, error: ApiError, state: &RequestState) -> ApiError {
        let action = match error.code.as_ref() {
            "NoSuchKey" => "s3:ListBucket",
            "NoSuchVersion" => "s3:ListBucketVersions",
            _ => return error,
        };
        let Some(asker) = state.asker() else { return error };
        let Some(bucket) = state.source_bucket().or(asker.bucket.as_deref()) else { return error };
        let resource = Resource::Bucket(bucket);
        match self.authorise(asker, action, resource) {
            Ok(()) => error,
            Err(denied) => denied,
        }
    }

    /// Whether it may be done, for who does something else otherwise.
    pub(crate) fn allows(&self, asker: &Asker, action: &'static str, resource: Resource<'_>) -> bool {
        asker.is_root() || matches!(self.decide(asker, action, resource, &asker.facts), Ok(Ok(())))
    }

    fn decide(
        &self,
        asker: &Asker,
        action: &'static str,
        resource: Resource<'_>,
        facts: &Facts,
    ) -> Result<Result<(), Denial>, ApiError> {
        let policy = match resource.bucket() {
            Some(bucket) => self.policy_for(asker.identity(), bucket)?,
            None => None,
        };
        let ask = Ask { identity: asker.identity(), action, resource: &resource.arn(), facts };
        Ok(self.iam.permit(&ask, policy.as_deref()))
    }

    /// The bucket's policy as far as it counts for `identity`.
    fn policy_for(&self, identity: &Identity, bucket: &str) -> Result<Option<Arc<Policy>>, ApiError> {
        let Some(policy) = self.policy_of(bucket)? else { return Ok(None) };
        // RestrictPublicBuckets: a policy that opens the bucket to everybody counts for the account's own people only.
        let is_stranger = *identity == Identity::Anonymous;
        if is_stranger && policy.is_public() && self.restricts_public(bucket)? {
            return Ok(None);
        }
        Ok(Some(policy))
    }

    /// The bucket's policy. It is read once after it was set; one that cannot be read allows nobody anything.
    fn policy_of(&self, bucket: &str) -> Result<Option<Arc<Policy>>, ApiError> {
        let Ok(name) = BucketName::parse(bucket) else { return Ok(None) };
        let read = |json: &[u8]| Policy::parse_bucket(std::str::from_utf8(json).ok()?, bucket).ok();
        match self.objects.bucket_document_parsed(&name, DocumentKind::Policy, read) {
            Err(ObjectError::NoSuchBucket { .. }) => Ok(None),
            found => Ok(found?),
        }
    }

    fn restricts_public(&self, bucket: &str) -> Result<bool, ApiError> {
        let name = convert::bucket_name(bucket)?;
        Ok(self.objects.public_access_block(&name)?.is_some_and(|block| block.restrict_public_buckets))
    }

    /// Whether the bucket is not there: AWS says so to everybody, since names of buckets are no secret there.
    fn is_missing(&self, resource: Resource<'_>) -> bool {
        let (Resource::Bucket(bucket) | Resource::Object(bucket, _)) = resource else { return false };
        let Ok(name) = BucketName::parse(bucket) else { return false };
        matches!(self.objects.group_of(&name), Err(ObjectError::NoSuchBucket { .. }))
    }

    /// Whether the bucket's policy counts for those who did not sign.
    pub(super) fn counts_for_strangers(&self, bucket: &str) -> Result<bool, ApiError> {
        Ok(self.policy_for(&Identity::Anonymous, bucket)?.is_some())
    }

    /// Refuses what nobody may do who did not sign, before it is known what it is. A bucket that is not there is told of.
    pub(crate) fn check_stranger(&self, bucket: &str) -> Result<(), ApiError> {
        let resource = Resource::Bucket(bucket);
        match self.counts_for_strangers(bucket)? {
            true => Ok(()),
            false if self.is_missing(resource) => Err(no_such_bucket(resource)),
            false => Err(ApiError::access_denied("Access Denied")),
        }
    }

    /// The tags of the object that is there, if a policy may ask for them.
    pub(super) async fn existing_tags(
        &self,
        asker: &Asker,
        bucket: &str,
        key: &str,
        version: Option<&str>,
    ) -> Result<Option<Tags>, ApiError> {
        if asker.is_root() || !self.asks_for_tags(asker, bucket)? {
            return Ok(None);
        }
        self.tags_of(bucket, key, version).await.map(Some)
    }

    /// Refuses what the gate let through by tags that the object does not have, now that it was read, if it may not be done to
    /// one with those it has.
    pub(crate) fn decide_again(&self, asker: &Asker, decided: &Decided, tags: &Tags) -> Result<(), ApiError> {
        if decided.tags == *tags {
            return Ok(());
        }
        let mut facts = asker.facts.clone();
        with_existing(&mut facts, tags);
        decided
            .pending
            .actions
            .iter()
            .try_for_each(|action| self.require(asker, action, decided.pending.resource(), &facts))
    }

    /// Whether a policy that has a say may ask for tags of what is there. Most do not, and then nobody reads them.
    fn asks_for_tags(&self, asker: &Asker, bucket: &str) -> Result<bool, ApiError> {
        Ok(self.iam.asks_for_tags(asker.identity())
            || self.policy_for(asker.identity(), bucket)?.is_some_and(|policy| policy.asks_for_tags()))
    }

    /// How the parts of an upload are encrypted; nothing if it is not there, which is for the operation to say.
    pub(super) async fn sse_of_upload(
        &self,
        bucket: &str,
        key: &str,
        upload: &str,
    ) -> Result<Option<SseApplied>, ApiError> {
        let (Ok(bucket), Ok(name)) = (BucketName::parse(bucket), ObjectName::parse(key.to_owned())) else {
            return Ok(None);
        };
        let Ok(upload) = convert::upload_id(upload) else { return Ok(None) };
        match self.objects.sse_of_upload(&bucket, &name, upload).await.map_err(ApiError::from) {
            Ok(applied) => Ok(Some(applied)),
            Err(told) if told.status.is_client_error() => Ok(None),
            Err(told) => Err(told),
        }
    }

    /// The tags of an object; none if it is not there, which is for the operation to say, to those who may know.
    async fn tags_of(&self, bucket: &str, key: &str, version: Option<&str>) -> Result<Tags, ApiError> {
        let (Ok(bucket), Ok(name)) = (BucketName::parse(bucket), ObjectName::parse(key.to_owned())) else {
            return Ok(Tags::new());
        };
        let Ok(version) = convert::version_in(version) else { return Ok(Tags::new()) };
        match self.objects.object_tags(&bucket, &name, version).await.map_err(ApiError::from) {
            Ok(found) => Ok(found.tags),
            Err(told) if told.status.is_client_error() => Ok(Tags::new()),
            Err(told) => Err(told),
        }
    }

    /// Whether the asker may use a key of the key management for an object: it is the asker's right, not the server's.
    pub(crate) fn require_key(
        &self,
        asker: &Asker,
        purpose: KeyUse,
        used: &KmsUse,
        object: Resource<'_>,
        region: &str,
    ) -> Result<(), ApiError> {
        if asker.is_root() {
            return Ok(());
        }
        if *asker.identity() == Identity::Anonymous {
            return Err(ApiError::invalid_argument(
                "Authorization",
                "null",
                "Requests specifying Server Side Encryption with AWS KMS managed keys require AWS Signature Version 4.",
            ));
        }
        let mut facts = asker.facts.clone();
        facts.set("kms:viaservice", format!("s3.{region}.amazonaws.com"));
        let of_bucket = object.bucket().filter(|_| used.bucket_key).map(Arn::bucket);
        let context = used.context.as_deref().unwrap_or("{}");
        facts.set_encryption_context(context, &of_bucket.unwrap_or_else(|| object.arn()));
        let resource = Arn::kms_key(&used.key_id);
        let ask =
            Ask { identity: asker.identity(), action: purpose.action(), resource: &resource, facts: &facts };
        let permitted = self.iam.permit(&ask, None);
        permitted.map_err(|denied| Self::denial(asker, purpose.action(), &resource, denied))
    }

    /// AWS's sentence ("Troubleshoot access denied (403 Forbidden) errors in Amazon S3").
    fn denial(asker: &Asker, action: &'static str, resource: &Arn, denied: Denial) -> ApiError {
        let identity = match asker.identity() {
            Identity::Anonymous => return ApiError::access_denied("Access Denied"),
            identity => identity,
        };
        let because = match denied.explicit {
            true => format!("with an explicit deny in {}", denied.by.with_article()),
            false => format!("because no {} allows the {action} action", denied.by),
        };
        ApiError::access_denied(format!(
            "User: {identity} is not authorized to perform: {action} on resource: \"{resource}\" {because}"
        ))
    }
}

/// The action of reading an object, or a version of it that is named.
pub(crate) fn read_action(version: Option<&str>) -> &'static str {
    if version.is_some() { "s3:GetObjectVersion" } else { "s3:GetObject" }
}

/// The facts of a request about an object with these tags, which need not be the one that its address names.
fn of_object(asker: &Asker, version: Option<&str>, tags: &Tags) -> Facts {
    let mut facts = asker.facts.clone();
    with_existing(&mut facts, tags);
    if let Some(version) = version {
        facts.set("s3:versionid", version);
    }
    facts
}

/// Adds the tags of an object that is there.
pub(super) fn with_existing(facts: &mut Facts, tags: &Tags) {
    for (name, value) in tags {
        facts.set_tag(EXISTING_TAG, name, value);
    }
}

fn no_such_bucket(resource: Resource<'_>) -> ApiError {
    ApiError::new(http::StatusCode::NOT_FOUND, "NoSuchBucket", "The specified bucket does not exist")
        .field("BucketName", resource.bucket().unwrap_or_default())
}
