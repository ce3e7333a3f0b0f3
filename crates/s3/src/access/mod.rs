//! Who is asking, and whether they may.
//!
//! ```text
//! signature ─ identity ─┐
//! head of the request ──┼─ gate: actions of the operation ─ decision ─ operation ─ further things it touches
//! (facts)               │                                     ▲                        │
//! bucket policy, public access block ─────────────────────────┘◄───────────────────────┘
//! ```
//!
//! Each operation has its actions in one table ([`actions`]); what a request says that conditions may ask for is read
//! in one place ([`facts`]); and there is one decision, [`Authority::require`]. Operations that touch more than
//! what their address names (the source of a copy, each object of a batch, a key of the key management) ask again.

mod actions;
mod authority;
mod facts;
mod gate;
#[cfg(test)]
mod product;

use std::fmt;

use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Error, S3ErrorCode, S3Result};
use strongroom_iam::{Arn, CredentialFault, Facts, Iam, Identity, Secret};

pub(crate) use self::actions::names_tag;
pub(crate) use self::authority::{Authority, KeyUse, read_action};
pub(crate) use self::facts::of_request as facts_of_request;
pub(crate) use self::gate::{Decided, Gate};
use crate::error::ApiError;
use crate::request::{self, RequestState};

/// What an action is done to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Resource<'a> {
    /// The service as a whole.
    Service,
    /// A bucket.
    Bucket(&'a str),
    /// A bucket that is to be made. That it is not there is no news.
    NewBucket(&'a str),
    /// An object.
    Object(&'a str, &'a str),
}

impl<'a> Resource<'a> {
    fn bucket(self) -> Option<&'a str> {
        match self {
            Self::Service => None,
            Self::Bucket(bucket) | Self::NewBucket(bucket) | Self::Object(bucket, _) => Some(bucket),
        }
    }

    fn arn(self) -> Arn {
        match self {
            // So that "arn:aws:s3:::*" is a resource of ListAllMyBuckets, as it is on AWS.
            Self::Service => Arn::bucket("*"),
            Self::Bucket(bucket) | Self::NewBucket(bucket) => Arn::bucket(bucket),
            Self::Object(bucket, key) => Arn::object(bucket, key),
        }
    }
}

/// Who sent a request, and what is known of it.
#[derive(Clone)]
pub(crate) struct Asker {
    identity: Identity,
    facts: Facts,
    /// The bucket it is about.
    bucket: Option<String>,
}

impl Asker {
    /// Facts are read for those only whom a decision is about: the root may do everything.
    fn new(
        identity: Identity,
        bucket: Option<&str>,
        facts: impl FnOnce() -> Result<Facts, ApiError>,
    ) -> Result<Self, ApiError> {
        let facts = if identity == Identity::Root { Facts::new() } else { facts()? };
        Ok(Self { identity, facts, bucket: bucket.map(str::to_owned) })
    }

    /// Who.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The same one asking about an object of a batch. What the document says of it are its facts, as parameters and headers
    /// say it of an object that stands alone; those of the batch itself say nothing of any object.
    pub(crate) fn about(&self, version: Option<&str>, if_match: Option<&str>) -> Self {
        let mut one = self.clone();
        for (key, value) in [("s3:versionid", version), ("s3:if-match", if_match)] {
            match value {
                Some(value) => one.facts.set(key, value),
                None => one.facts.unset(key),
            }
        }
        one
    }

    /// Whether nothing has to be decided.
    pub(crate) fn is_root(&self) -> bool {
        self.identity == Identity::Root
    }
}

impl fmt::Debug for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Facts name objects.
        f.debug_struct("Asker").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// The secret of an access key; the request is noted to claim that identity. The claim counts once the signature made
/// with the secret is found right.
pub(crate) fn secret_of(
    iam: &Iam,
    state: &RequestState,
    access_key: &str,
    token: Option<&str>,
) -> Result<Secret, ApiError> {
    match iam.look_up(access_key, token) {
        Ok((identity, secret)) => {
            state.set_claim(access_key, identity);
            Ok(secret)
        }
        Err(fault) => Err(refused(fault, access_key)),
    }
}

fn refused(fault: CredentialFault, access_key: &str) -> ApiError {
    let bad_request = |code, message| ApiError::new(http::StatusCode::BAD_REQUEST, code, message);
    match fault {
        CredentialFault::Expired => bad_request("ExpiredToken", "The provided token has expired."),
        CredentialFault::Token => {
            bad_request("InvalidToken", "The provided token is malformed or otherwise invalid.")
        }
        _ => ApiError::new(
            http::StatusCode::FORBIDDEN,
            "InvalidAccessKeyId",
            "The AWS Access Key Id you provided does not exist in our records.",
        )
        .field("AWSAccessKeyId", access_key),
    }
}

/// Reads the facts of a request, for tests with mangled ones.
#[cfg(feature = "fuzzing")]
pub(crate) fn try_facts(uri: &http::Uri, headers: &http::HeaderMap) -> bool {
    let state = RequestState::new(strongroom_telemetry::RequestId::from_random([0; 16]), true, None);
    if let Some(signed) = crate::sigv4::Signed::parse(uri.query().unwrap_or_default(), headers) {
        state.set_signed(signed);
    }
    facts::of_request(uri, headers, &state, time::OffsetDateTime::UNIX_EPOCH).is_ok()
}

/// Secrets of access keys, for the library's signature check.
#[derive(Debug)]
pub(crate) struct Secrets(pub(crate) Iam);

#[async_trait::async_trait]
impl S3Auth for Secrets {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let Some(state) = request::current() else { return Err(S3ErrorCode::InternalError.into()) };
        match secret_of(&self.0, &state, access_key, state.session_token()) {
            Ok(secret) => Ok(SecretKey::from(secret.dangerous_expose())),
            Err(error) => {
                state.set_error(error);
                Err(S3Error::new(S3ErrorCode::InvalidAccessKeyId))
            }
        }
    }
}
