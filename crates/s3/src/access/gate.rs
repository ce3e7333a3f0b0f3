//! The check between signature and operation.

use s3s::access::{S3Access, S3AccessContext};
use s3s::dto::{
    CreateBucketInput, ObjectLockLegalHold, ObjectLockRetention, PutObjectLegalHoldInput,
    PutObjectRetentionInput, PutObjectTaggingInput, Timestamp, TimestampFormat,
};
use s3s::{S3Request, S3Result};
use strongroom_iam::{Facts, Identity};
use strongroom_objects::Tags;
use time::OffsetDateTime;

use super::actions::{self, Rule, When};
use super::{Asker, Authority, Resource, authority, facts};
use crate::error::{ApiError, messages};
use crate::face::fail;
use crate::lenient::Verified;
use crate::ops::create_bucket::{NewTags, tags_of_document};
use crate::request::RequestState;

/// Lets requests through to their operation.
#[derive(Debug)]
pub(crate) struct Gate(pub(crate) Authority);

/// What was decided by the tags of an object, which may be another one when the operation reads it.
pub(crate) struct Decided {
    pub(super) pending: Pending,
    pub(super) tags: Tags,
}

/// What the gate knows of a request whose document has to be read before it can be decided.
#[derive(Clone)]
pub(super) struct Pending {
    operation: &'static str,
    pub(super) actions: Vec<&'static str>,
    bucket: String,
    /// Nothing for a bucket itself.
    key: Option<String>,
    version: Option<String>,
    of_existing: bool,
    /// Whether the current version has to be readable as well, since the answer tells something of it.
    reads_existing: bool,
    /// The upload that a part is for, or that is completed.
    upload: Option<String>,
}

impl Pending {
    pub(super) fn resource(&self) -> Resource<'_> {
        match &self.key {
            Some(key) => Resource::Object(&self.bucket, key),
            None if self.operation == "CreateBucket" => Resource::NewBucket(&self.bucket),
            None => Resource::Bucket(&self.bucket),
        }
    }
}

#[async_trait::async_trait]
impl S3Access for Gate {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let state = state_of(cx.extensions_mut());
        self.admit(cx, &state).await.map_err(|error| fail(&state, error))
    }

    async fn create_bucket(&self, request: &mut S3Request<CreateBucketInput>) -> S3Result<()> {
        let place = request
            .input
            .create_bucket_configuration
            .as_ref()
            .and_then(|configuration| configuration.location_constraint.as_ref())
            .map(|place| place.as_str().to_owned());
        let state = state_of(&mut request.extensions);
        let brings_document = request.input.create_bucket_configuration.is_some();
        let tags = match brings_document {
            true => {
                tags_of_document(state.seen_document().as_deref()).map_err(|error| fail(&state, error))?
            }
            false => Tags::new(),
        };
        // AWS, "CreateBucketConfiguration": tags need a permission of their own.
        if !tags.is_empty()
            && let Some(pending) = request.extensions.get_mut::<Pending>()
        {
            pending.actions.push("s3:TagResource");
        }
        request.extensions.insert(NewTags(tags));
        self.with_document(request, |facts| {
            if let Some(place) = place {
                facts.set("s3:locationconstraint", place);
            }
        })
        .await
    }

    async fn put_object_tagging(&self, request: &mut S3Request<PutObjectTaggingInput>) -> S3Result<()> {
        let tags: Vec<(String, String)> = request
            .input
            .tagging
            .tag_set
            .iter()
            .filter_map(|tag| Some((tag.key.clone()?, tag.value.clone().unwrap_or_default())))
            .collect();
        self.with_document(request, |facts| {
            facts::of_tags(facts, tags.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        })
        .await
    }

    async fn put_object_retention(&self, request: &mut S3Request<PutObjectRetentionInput>) -> S3Result<()> {
        let retention = request.input.retention.clone();
        self.with_document(request, |facts| of_retention(facts, retention, OffsetDateTime::now_utc())).await
    }

    async fn put_object_legal_hold(&self, request: &mut S3Request<PutObjectLegalHoldInput>) -> S3Result<()> {
        let hold = request.input.legal_hold.clone();
        self.with_document(request, |facts| {
            if let Some(ObjectLockLegalHold { status: Some(status) }) = hold {
                facts.set("s3:object-lock-legal-hold", status.as_str());
            }
        })
        .await
    }
}

fn state_of(extensions: &mut http::Extensions) -> RequestState {
    extensions.get::<RequestState>().cloned().expect("the service puts the state into every request")
}

fn of_retention(facts: &mut Facts, retention: Option<ObjectLockRetention>, now: OffsetDateTime) {
    let Some(retention) = retention else { return };
    if let Some(mode) = &retention.mode {
        facts.set("s3:object-lock-mode", mode.as_str());
    }
    if let Some(until) = retention.retain_until_date {
        facts.set("s3:object-lock-retain-until-date", written(&until));
        facts.set("s3:object-lock-remaining-retention-days", facts::remaining_days(until.into(), now));
    }
}

fn written(at: &Timestamp) -> String {
    let mut out = Vec::new();
    // Writing into memory does not fail; a date that cannot be written is no fact.
    let _ = at.format(TimestampFormat::DateTime, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

impl Gate {
    async fn admit(&self, cx: &mut S3AccessContext<'_>, state: &RequestState) -> Result<(), ApiError> {
        let rule = actions::rule_of(cx.s3_op().name());
        state.set_operation(rule.map_or("Other", |rule| rule.operation));
        let identity = match signed_by(cx, state)? {
            Some(access_key) => {
                state.claimed(&access_key).ok_or_else(|| ApiError::access_denied("Access Denied"))?
            }
            None => Identity::Anonymous,
        };
        let path = cx.s3_path();
        let bucket = path.get_bucket_name().map(str::to_owned);
        let key = path.get_object_key().map(str::to_owned);
        let bucket = bucket.as_deref();
        let asker = Asker::new(identity, bucket, || {
            let mut facts = facts::of_request(cx.uri(), cx.headers(), state, OffsetDateTime::now_utc())?;
            facts::of_operation(&mut facts, cx.s3_op().name());
            Ok(facts)
        })?;
        state.set_asker(asker.clone());
        let Some(rule) = rule else {
            return match asker.identity() {
                Identity::Anonymous => Err(ApiError::access_denied("Access Denied")),
                _ => Err(ApiError::not_implemented(
                    "A header or query you provided implies functionality that is not implemented.",
                )),
            };
        };
        if asker.is_root() {
            return Ok(());
        }
        // Whatever a policy says, as on AWS: nobody could be asked what became of it.
        if rule.operation == "CreateMultipartUpload" && matches!(asker.identity(), Identity::Anonymous) {
            return Err(ApiError::access_denied(
                "Anonymous users cannot initiate multipart uploads.  Please authenticate.",
            ));
        }
        if rule.when == When::Itself {
            // What nobody could be allowed needs no document to be read.
            return match (asker.identity(), bucket) {
                (Identity::Anonymous, Some(bucket)) if self.0.counts_for_strangers(bucket)? => Ok(()),
                (Identity::Anonymous, _) => Err(ApiError::access_denied("Access Denied")),
                _ => Ok(()),
            };
        }
        let Some(bucket) = bucket else { return Err(ApiError::access_denied("Access Denied")) };
        let pending = pending(rule, cx, bucket, key);
        if rule.when == When::Document {
            cx.extensions_mut().insert(pending);
            return Ok(());
        }
        self.settle(&asker, pending, asker.facts.clone(), state).await
    }

    /// Decides what had to wait for the document. `add` puts into the facts what the document says.
    async fn with_document<T>(
        &self,
        request: &mut S3Request<T>,
        add: impl FnOnce(&mut Facts) + Send,
    ) -> S3Result<()>
    where
        T: Send,
    {
        let state = state_of(&mut request.extensions);
        let Some(asker) = state.asker().cloned() else {
            return Err(fail(&state, ApiError::access_denied("Access Denied")));
        };
        if asker.is_root() {
            return Ok(());
        }
        let Some(pending) = request.extensions.remove::<Pending>() else {
            return Err(fail(&state, ApiError::access_denied("Access Denied")));
        };
        let mut facts = asker.facts.clone();
        add(&mut facts);
        self.settle(&asker, pending, facts, &state).await.map_err(|error| fail(&state, error))
    }

    async fn settle(
        &self,
        asker: &Asker,
        pending: Pending,
        facts: Facts,
        state: &RequestState,
    ) -> Result<(), ApiError> {
        self.settle_actions(asker, &pending, facts, state).await?;
        match &pending.key {
            Some(key) if pending.reads_existing => {
                self.0.authorise_current(asker, &pending.bucket, key).await
            }
            _ => Ok(()),
        }
    }

    async fn settle_actions(
        &self,
        asker: &Asker,
        pending: &Pending,
        mut facts: Facts,
        state: &RequestState,
    ) -> Result<(), ApiError> {
        if let Some(key) = pending.key.as_deref().filter(|_| pending.of_existing) {
            let version = pending.version.as_deref();
            if let Some(tags) = self.0.existing_tags(asker, &pending.bucket, key, version).await? {
                authority::with_existing(&mut facts, &tags);
                state.set_decided(Decided { pending: pending.clone(), tags });
            }
        }
        let denied = match self.require_all(asker, pending, &facts) {
            Ok(()) => return Ok(()),
            Err(denied) => denied,
        };
        // How an upload is encrypted was said and decided when it was begun; its parts do not say it again. So a policy that asks for
        // it is content with what the upload has.
        let (Some(key), Some(upload)) = (&pending.key, &pending.upload) else { return Err(denied) };
        let Some(applied) = self.0.sse_of_upload(&pending.bucket, key, upload).await? else {
            return Err(denied);
        };
        facts::of_upload(&mut facts, &applied);
        self.require_all(asker, pending, &facts).map_err(|_| denied)
    }

    fn require_all(&self, asker: &Asker, pending: &Pending, facts: &Facts) -> Result<(), ApiError> {
        for action in &pending.actions {
            self.0.require(asker, action, pending.resource(), facts)?;
        }
        Ok(())
    }
}

fn pending(rule: &Rule, cx: &S3AccessContext<'_>, bucket: &str, key: Option<String>) -> Pending {
    let version = facts::version(cx.uri());
    Pending {
        operation: rule.operation,
        actions: rule.actions(version.is_some(), cx.headers()),
        bucket: bucket.to_owned(),
        key,
        version,
        of_existing: rule.of_existing,
        reads_existing: actions::reads_existing(rule.operation, cx.headers()),
        upload: rule.of_upload.then(|| facts::upload(cx.uri())).flatten(),
    }
}

/// The access key whose signature covers what it has to cover.
fn signed_by(cx: &mut S3AccessContext<'_>, state: &RequestState) -> Result<Option<String>, ApiError> {
    if let Some(verified) = cx.extensions_mut().get::<Verified>() {
        return Ok(verified.access_key.clone());
    }
    let Some(credentials) = cx.credentials() else { return Ok(None) };
    match state.signed() {
        Some(signed) => signed.check_coverage(cx.headers())?,
        // A presigned URL of Signature Version 2, which leaves most of the query unsigned.
        None if OLD_PRESIGNED.contains(&cx.s3_op().name()) => {}
        None => {
            return Err(ApiError::invalid_request(messages::NO_VERSION_2));
        }
    }
    Ok(Some(credentials.access_key.clone()))
}

/// What a presigned URL of Signature Version 2 may ask for: operations on one object whose query it does cover.
const OLD_PRESIGNED: [&str; 5] = ["GetObject", "HeadObject", "PutObject", "UploadPart", "DeleteObject"];
