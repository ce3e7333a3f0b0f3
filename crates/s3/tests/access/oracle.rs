//! What AWS's rules say of policies, for tests of what we say.
//!
//! Written from the IAM User Guide ("Policy evaluation logic", "Session policies", "Condition operators", "Policy variables") and
//! from nothing of the code that it judges: no policy is parsed here. A policy is a list of statements that are written out as JSON
//! for the code and looked at as they are here; what is true of a condition is said beside it.
#![allow(dead_code, unreachable_pub, reason = "the unit test and the test over HTTP each use what they need")]

/// What an action is done to: AWS, "Actions, resources, and condition keys for Amazon S3" and "… for AWS KMS".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Service,
    Bucket,
    Object,
    Key,
}

use Level::{Bucket, Object};

/// Every action that the S3 face asks for.
pub const ACTIONS: &[(&str, Level)] = &[
    ("kms:Decrypt", Level::Key),
    ("kms:GenerateDataKey", Level::Key),
    ("s3:AbortMultipartUpload", Object),
    ("s3:BypassGovernanceRetention", Object),
    ("s3:CreateBucket", Bucket),
    ("s3:DeleteBucket", Bucket),
    ("s3:DeleteBucketPolicy", Bucket),
    ("s3:DeleteBucketWebsite", Bucket),
    ("s3:DeleteObject", Object),
    ("s3:DeleteObjectTagging", Object),
    ("s3:DeleteObjectVersion", Object),
    ("s3:DeleteObjectVersionTagging", Object),
    ("s3:GetAccelerateConfiguration", Bucket),
    ("s3:GetAnalyticsConfiguration", Bucket),
    ("s3:GetBucketAcl", Bucket),
    ("s3:GetBucketCORS", Bucket),
    ("s3:GetBucketLocation", Bucket),
    ("s3:GetBucketLogging", Bucket),
    ("s3:GetBucketNotification", Bucket),
    ("s3:GetBucketObjectLockConfiguration", Bucket),
    ("s3:GetBucketOwnershipControls", Bucket),
    ("s3:GetBucketPolicy", Bucket),
    ("s3:GetBucketPolicyStatus", Bucket),
    ("s3:GetBucketPublicAccessBlock", Bucket),
    ("s3:GetBucketRequestPayment", Bucket),
    ("s3:GetBucketTagging", Bucket),
    ("s3:GetBucketVersioning", Bucket),
    ("s3:GetBucketWebsite", Bucket),
    ("s3:GetEncryptionConfiguration", Bucket),
    ("s3:GetIntelligentTieringConfiguration", Bucket),
    ("s3:GetInventoryConfiguration", Bucket),
    ("s3:GetLifecycleConfiguration", Bucket),
    ("s3:GetMetricsConfiguration", Bucket),
    ("s3:GetObject", Object),
    ("s3:GetObjectAcl", Object),
    ("s3:GetObjectAttributes", Object),
    ("s3:GetObjectLegalHold", Object),
    ("s3:GetObjectRetention", Object),
    ("s3:GetObjectTagging", Object),
    ("s3:GetObjectTorrent", Object),
    ("s3:GetObjectVersion", Object),
    ("s3:GetObjectVersionAcl", Object),
    ("s3:GetObjectVersionAttributes", Object),
    ("s3:GetObjectVersionTagging", Object),
    ("s3:GetReplicationConfiguration", Bucket),
    ("s3:ListAllMyBuckets", Level::Service),
    ("s3:ListBucket", Bucket),
    ("s3:ListBucketMultipartUploads", Bucket),
    ("s3:ListBucketVersions", Bucket),
    ("s3:ListMultipartUploadParts", Object),
    ("s3:PutAccelerateConfiguration", Bucket),
    ("s3:PutBucketAcl", Bucket),
    ("s3:PutBucketCORS", Bucket),
    ("s3:PutBucketLogging", Bucket),
    ("s3:PutBucketNotification", Bucket),
    ("s3:PutBucketObjectLockConfiguration", Bucket),
    ("s3:PutBucketOwnershipControls", Bucket),
    ("s3:PutBucketPolicy", Bucket),
    ("s3:PutBucketPublicAccessBlock", Bucket),
    ("s3:PutBucketRequestPayment", Bucket),
    ("s3:PutBucketTagging", Bucket),
    ("s3:PutBucketVersioning", Bucket),
    ("s3:PutBucketWebsite", Bucket),
    ("s3:PutEncryptionConfiguration", Bucket),
    ("s3:PutLifecycleConfiguration", Bucket),
    ("s3:PutObject", Object),
    ("s3:PutObjectAcl", Object),
    ("s3:PutObjectLegalHold", Object),
    ("s3:PutObjectRetention", Object),
    ("s3:PutObjectTagging", Object),
    ("s3:PutObjectVersionAcl", Object),
    ("s3:PutObjectVersionTagging", Object),
    ("s3:PutReplicationConfiguration", Bucket),
    ("s3:RestoreObject", Object),
    ("s3:TagResource", Bucket),
];

pub fn index_of(action: &str) -> usize {
    ACTIONS.iter().position(|(name, _)| *name == action).unwrap()
}

/// What something is done to. Statements are about the bucket `bkt`, what is in it under `in/`, and the key `in`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Service,
    Bucket(&'static str),
    Object(&'static str, &'static str),
    Key(&'static str),
}

const OF_BUCKET: &[&str] = &["arn:aws:s3:::bkt", "arn:aws:s3:::bkt/in/*"];
const OF_KEY: &[&str] = &["arn:aws:kms:::key/in"];
const OF_SERVICE: &[&str] = &["*"];

impl Target {
    /// All that an action is tried on.
    pub fn of(level: Level) -> &'static [Self] {
        match level {
            Level::Service => &[Self::Service],
            Level::Key => &[Self::Key("in"), Self::Key("out")],
            // Whatever the action is for: what it is done to is what decides.
            Bucket | Object => &[
                Self::Bucket("bkt"),
                Self::Object("bkt", "in/k"),
                Self::Object("bkt", "out/k"),
                Self::Bucket("other"),
                Self::Object("other", "in/k"),
            ],
        }
    }

    /// Whether statements are about it.
    fn is_covered(self) -> bool {
        match self {
            Self::Service | Self::Bucket("bkt") | Self::Key("in") => true,
            Self::Object("bkt", key) => key.starts_with("in/"),
            _ => false,
        }
    }

    fn has_bucket_policy(self) -> bool {
        matches!(self, Self::Bucket("bkt") | Self::Object("bkt", _))
    }
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Root,
    /// With a policy of its own.
    User,
    /// In a group that has the same policy.
    Member,
    /// Acts for the user, bounded by [`ACCOUNT_BOUND`].
    Account,
    /// A session that the user began, bounded by [`SESSION_BOUND`].
    Session,
    Anonymous,
    /// A user without any policy.
    Other,
}

impl Who {
    pub const ALL: [Self; 7] =
        [Self::Root, Self::User, Self::Member, Self::Account, Self::Session, Self::Anonymous, Self::Other];

    /// Its `aws:username`. There are no roles, so a session has that of its maker.
    fn username(self) -> Option<&'static str> {
        match self {
            Self::User | Self::Account | Self::Session => Some("u"),
            Self::Member => Some("m"),
            Self::Other => Some("o"),
            Self::Root | Self::Anonymous => None,
        }
    }
}

/// How a request is made, beside what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// From 127.0.0.1 over plain HTTP.
    Plainly,
    OverTls,
    /// With `x-amz-server-side-encryption: AES256`.
    WithAes,
    /// With `aws:kms` and this key.
    WithKms(&'static str),
    /// For names under `u/`.
    WithPrefix,
}

/// A condition as policies have it, a way to ask, and whether it holds then.
pub struct Condition {
    pub json: &'static str,
    pub how: How,
    pub holds: fn(Who, Target) -> bool,
}

const fn condition(json: &'static str, how: How, holds: fn(Who, Target) -> bool) -> Condition {
    Condition { json, how, holds }
}

const YES: fn(Who, Target) -> bool = |_, _| true;
const NO: fn(Who, Target) -> bool = |_, _| false;
const SSE_IS_KMS: &str = r#"{"StringEquals":{"s3:x-amz-server-side-encryption":"aws:kms"}}"#;
const SSE_IS_NOT_KMS: &str = r#"{"StringNotEquals":{"s3:x-amz-server-side-encryption":"aws:kms"}}"#;
const SSE_IS_ABSENT: &str = r#"{"Null":{"s3:x-amz-server-side-encryption":"true"}}"#;
const KEY_IS_IN: &str =
    r#"{"StringEquals":{"s3:x-amz-server-side-encryption-aws-kms-key-id":"arn:aws:kms:::key/in"}}"#;
const OWN_PREFIX: &str = r#"{"StringLike":{"s3:prefix":"${aws:username}/*"}}"#;

const IS_RED: &str = r#"{"StringEquals":{"s3:ExistingObjectTag/project":"red"}}"#;
const IS_BLUE: &str = r#"{"StringEquals":{"s3:ExistingObjectTag/project":"blue"}}"#;

pub const CONDITIONS: &[Condition] = &[
    condition("{}", How::Plainly, YES),
    condition(r#"{"IpAddress":{"aws:SourceIp":"127.0.0.0/8"}}"#, How::Plainly, YES),
    condition(r#"{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}"#, How::Plainly, NO),
    condition(r#"{"NotIpAddress":{"aws:SourceIp":"127.0.0.0/8"}}"#, How::Plainly, NO),
    condition(r#"{"Bool":{"aws:SecureTransport":"true"}}"#, How::Plainly, NO),
    condition(r#"{"Bool":{"aws:SecureTransport":"true"}}"#, How::OverTls, YES),
    condition(SSE_IS_KMS, How::WithKms("in"), YES),
    condition(SSE_IS_KMS, How::WithAes, NO),
    // A key that is absent has no value to be equal, and none that could be another.
    condition(SSE_IS_KMS, How::Plainly, NO),
    condition(SSE_IS_NOT_KMS, How::Plainly, YES),
    condition(SSE_IS_ABSENT, How::Plainly, YES),
    condition(SSE_IS_ABSENT, How::WithAes, NO),
    condition(KEY_IS_IN, How::WithKms("in"), YES),
    condition(KEY_IS_IN, How::WithKms("out"), NO),
    // A variable without a value stands for nothing.
    condition(OWN_PREFIX, How::WithPrefix, |who, _| matches!(who.username(), Some("u"))),
    condition(OWN_PREFIX, How::Plainly, NO),
    // Objects that are there are called `k`, and red.
    condition(
        IS_RED,
        How::Plainly,
        |_, target| matches!(target, Target::Object(_, key) if key.ends_with("/k")),
    ),
    condition(IS_BLUE, How::Plainly, NO),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Allow,
    Deny,
}

use Effect::{Allow, Deny};

/// What a policy has of one action: statements, and whether the condition is on them.
pub const CLASSES: [&[(Effect, bool)]; 6] = [
    &[],
    &[(Allow, true)],
    &[(Deny, true)],
    &[(Allow, true), (Deny, false)],
    &[(Allow, false), (Deny, true)],
    &[(Allow, true), (Deny, true)],
];

/// A policy that has something of every class at once, so that each action stands among others that are treated otherwise.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Which class the first action has; the next one has the next.
    pub round: usize,
    /// Index into [`CONDITIONS`].
    pub condition: usize,
    /// For whom, in the policy of a bucket.
    pub principal: Option<Principal>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Principal {
    Everybody,
    Other,
}

/// What policies come to that speak of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Says {
    pub denied: bool,
    pub allowed: bool,
}

impl Policy {
    fn class(&self, action: usize) -> &'static [(Effect, bool)] {
        CLASSES[(action + self.round) % CLASSES.len()]
    }

    pub fn json(&self) -> String {
        let mut statements = Vec::new();
        for kind in [(Allow, false), (Allow, true), (Deny, false), (Deny, true)] {
            let mut levels: Vec<(&[&str], &[Level])> = vec![(OF_BUCKET, &[Bucket, Object])];
            // Policies of buckets are about buckets.
            if self.principal.is_none() {
                levels.extend([(OF_KEY, &[Level::Key][..]), (OF_SERVICE, &[Level::Service][..])]);
            }
            for (resources, levels) in levels {
                let names = ACTIONS.iter().enumerate().filter(|(index, (_, level))| {
                    levels.contains(level) && self.class(*index).contains(&kind)
                });
                let names: Vec<&str> = names.map(|(_, (name, _))| *name).collect();
                if !names.is_empty() {
                    statements.push(self.statement(kind, &names, resources));
                }
            }
        }
        format!("{{\"Version\":\"2012-10-17\",\"Statement\":[{}]}}", statements.join(","))
    }

    fn statement(
        &self,
        (effect, conditioned): (Effect, bool),
        actions: &[&str],
        resources: &[&str],
    ) -> String {
        let mut out =
            format!("{{\"Effect\":\"{effect:?}\",\"Action\":{actions:?},\"Resource\":{resources:?}");
        match self.principal {
            None => {}
            Some(Principal::Everybody) => out += ",\"Principal\":\"*\"",
            Some(Principal::Other) => {
                out += ",\"Principal\":{\"AWS\":\"arn:aws:iam::strongroom:user/o\"}";
            }
        }
        if conditioned {
            out += &format!(",\"Condition\":{}", CONDITIONS[self.condition].json);
        }
        out + "}"
    }

    pub fn says(&self, who: Who, action: usize, target: Target) -> Says {
        let mut says = Says::default();
        let concerns = match self.principal {
            None => true,
            Some(Principal::Everybody) => target.has_bucket_policy(),
            Some(Principal::Other) => target.has_bucket_policy() && who == Who::Other,
        };
        if !concerns || !target.is_covered() {
            return says;
        }
        for (effect, conditioned) in self.class(action) {
            if !conditioned || (CONDITIONS[self.condition].holds)(who, target) {
                match effect {
                    Allow => says.allowed = true,
                    Deny => says.denied = true,
                }
            }
        }
        says
    }
}

/// What bounds a service account or a session: allows some actions on everything and denies some of them again.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    allowed_each: usize,
    denied_each: usize,
}

pub const ACCOUNT_BOUND: Bound = Bound { allowed_each: 2, denied_each: 14 };
pub const SESSION_BOUND: Bound = Bound { allowed_each: 3, denied_each: 9 };

impl Bound {
    pub fn json(&self) -> String {
        let names =
            |each: usize| -> Vec<&str> { ACTIONS.iter().step_by(each).map(|(name, _)| *name).collect() };
        format!(
            "{{\"Version\":\"2012-10-17\",\"Statement\":[\
             {{\"Effect\":\"Allow\",\"Action\":{:?},\"Resource\":\"*\"}},\
             {{\"Effect\":\"Deny\",\"Action\":{:?},\"Resource\":\"*\"}}]}}",
            names(self.allowed_each),
            names(self.denied_each)
        )
    }

    fn says(&self, action: usize) -> Says {
        Says {
            allowed: action.is_multiple_of(self.allowed_each),
            denied: action.is_multiple_of(self.denied_each),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Allowed,
    DeniedInWords,
    NotAllowed,
}

/// What becomes of a request where the user and the group have the policy `own` and the bucket `bkt` has `of_bucket`.
pub fn outcome(own: &Policy, of_bucket: Option<&Policy>, who: Who, action: usize, target: Target) -> Outcome {
    // The root is not bound by policies of buckets, so that it can mend them (docs/s3-compatibility.md).
    if who == Who::Root {
        return Outcome::Allowed;
    }
    let own = match who {
        Who::Anonymous | Who::Other => Says::default(),
        _ => own.says(who, action, target),
    };
    let of_bucket = of_bucket.map(|policy| policy.says(who, action, target)).unwrap_or_default();
    // "Session policies": they limit what the policies of the user and of the resource allow to the user together.
    let bound = match who {
        Who::Account => ACCOUNT_BOUND.says(action),
        Who::Session => SESSION_BOUND.says(action),
        _ => Says { allowed: true, denied: false },
    };
    if own.denied || of_bucket.denied || bound.denied {
        return Outcome::DeniedInWords;
    }
    match bound.allowed && (own.allowed || of_bucket.allowed) {
        true => Outcome::Allowed,
        false => Outcome::NotAllowed,
    }
}
