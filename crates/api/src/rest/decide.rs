//! Whether a caller may do something: what policies say, and what its token is for.

use std::sync::Arc;

use axum::http::StatusCode;
use strongroom_iam::{Arn, Ask, Denial, Facts, Identity, Policy, Scope};
use strongroom_objects::{
    BucketName, DocumentKind, KmsUse, ObjectError, SseApplied, SseRequest, kms_key_region,
};

use super::Rest;
use super::caller::Caller;
use crate::refusal::Refusal;

/// What is to be done: the scope that a token needs for it, and its name in policies.
pub(super) type Action = (Scope, &'static str);

impl Rest {
    /// Lets `caller` do `action` to `resource`, or refuses.
    pub(super) fn allow(
        &self,
        caller: &Caller,
        action: Action,
        resource: &Arn,
        facts: &Facts,
    ) -> Result<(), Refusal> {
        self.decide(caller, action, resource, facts, None)
    }

    /// The same inside of a bucket, whose policy has a say as well.
    pub(super) fn allow_in(
        &self,
        bucket: &BucketName,
        caller: &Caller,
        action: Action,
        resource: &Arn,
        facts: &Facts,
    ) -> Result<(), Refusal> {
        // Root is not bound by it, and has to be able to mend one that cannot be read.
        let policy = match &caller.identity {
            Identity::Root => None,
            _ => self.policy_of(bucket)?,
        };
        self.decide(caller, action, resource, facts, policy.as_deref())
    }

    fn decide(
        &self,
        caller: &Caller,
        (scope, action): Action,
        resource: &Arn,
        facts: &Facts,
        policy: Option<&Policy>,
    ) -> Result<(), Refusal> {
        let denied = |why: &str| {
            let who = &caller.identity;
            let message = format!("{who} may not do {action} to {resource}: {why}.");
            Err(Refusal::new(StatusCode::FORBIDDEN, "AccessDenied", message))
        };
        if caller.token.as_ref().is_some_and(|token| !token.scopes.contains(&scope)) {
            return denied(&format!("the token does not have the scope {scope}"));
        }
        let ask = Ask { identity: &caller.identity, action, resource, facts };
        match self.0.iam.permit(&ask, policy) {
            Ok(()) => Ok(()),
            Err(Denial { explicit: true, by }) => denied(&format!("{} denies it", by.with_article())),
            Err(Denial { by, .. }) => denied(&format!("no {by} allows it")),
        }
    }

    /// The bucket's policy. A bucket that does not exist has none: the caller is told so only if it may know.
    fn policy_of(&self, bucket: &BucketName) -> Result<Option<Arc<Policy>>, Refusal> {
        let read =
            |bytes: &[u8]| Policy::parse_bucket(std::str::from_utf8(bytes).ok()?, bucket.as_str()).ok();
        match self.0.objects.bucket_document_parsed(bucket, DocumentKind::Policy, read) {
            Ok(policy) => Ok(policy),
            Err(ObjectError::NoSuchBucket { .. }) => Ok(None),
            // It was checked when it was put; what cannot be read now must not be taken for no policy at all.
            Err(error) => Err(error.into()),
        }
    }

    /// Lets `caller` seal with the key of the KMS that a write to the bucket will use, if it will use one. What is returned asks for
    /// that very key, whatever becomes of the bucket's default before the write looks at it.
    pub(super) fn allow_sealing(
        &self,
        (bucket, key): (&BucketName, &str),
        caller: &Caller,
        asked: SseRequest,
        facts: &Facts,
    ) -> Result<SseRequest, Refusal> {
        if let SseRequest::Kms { key_id: Some(key_id), .. } | SseRequest::Dsse { key_id: Some(key_id), .. } =
            &asked
        {
            self.check_key_region(key_id)?;
        }
        let settled = self.0.objects.settled_sse(bucket, asked)?;
        if let Some(used) = self.0.objects.kms_use_for(bucket, &settled)? {
            let action = (Scope::ObjectsWrite, "kms:GenerateDataKey");
            self.allow_key(caller, action, &used, (bucket, key), facts)?;
        }
        Ok(settled)
    }

    /// Refuses a key that is named as one of another region.
    pub(super) fn check_key_region(&self, key_id: &str) -> Result<(), Refusal> {
        match kms_key_region(key_id) {
            Some(named) if named != self.0.options.region => {
                Err(Refusal::bad_request("KMS.NotFoundException", format!("Invalid arn {named}")))
            }
            _ => Ok(()),
        }
    }

    /// Lets `caller` open what a key of the KMS seals, if one does.
    pub(super) fn allow_opening(
        &self,
        object: (&BucketName, &str),
        caller: &Caller,
        sealed: &SseApplied,
        facts: &Facts,
    ) -> Result<(), Refusal> {
        let Some(used) = KmsUse::of(sealed) else { return Ok(()) };
        self.allow_key(caller, (Scope::ObjectsRead, "kms:Decrypt"), &used, object, facts)
    }

    fn allow_key(
        &self,
        caller: &Caller,
        action: Action,
        used: &KmsUse,
        (bucket, key): (&BucketName, &str),
        facts: &Facts,
    ) -> Result<(), Refusal> {
        let mut facts = facts.clone();
        facts.set("kms:viaservice", format!("s3.{}.amazonaws.com", self.0.options.region));
        let of = match used.bucket_key {
            true => Arn::bucket(bucket.as_str()),
            false => Arn::object(bucket.as_str(), key),
        };
        facts.set_encryption_context(used.context.as_deref().unwrap_or("{}"), &of);
        self.allow(caller, action, &Arn::kms_key(&used.key_id), &facts)
    }
}
