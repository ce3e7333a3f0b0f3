//! The REST API: buckets, objects and identities over HTTP, for whoever has a token.
//!
//! What there is under `/api/v1` is described at `/api/v1/openapi.json`, which is made from the types and handlers here; the
//! types are the JSON of both sides, and the client of `strongroom admin` uses the same. Errors are
//! `{"error": {"code", "message", "request_id"}}` everywhere.
//!
//! # Who may ask
//!
//! On the API's port a request carries a token: `Authorization: Bearer srt_…`. What it may do is what the policies of the
//! token's owner allow *and* the token's scopes contain; the decision is that of the S3 face, under the same names of actions.
//! Tokens are taken over TLS and from the same machine, and over plain HTTP from elsewhere only if the operator says so.
//!
//! The same paths are on the socket in the data directory ([`crate::admin`]), where no token is asked for: the caller is root.
//!
//! # Settings have versions
//!
//! Answers that show a setting, a policy, a user or a service account have an `ETag`. A change with `If-Match` holds only for the
//! version that the client has seen, and is 412 otherwise; with `If-None-Match: *` only if there is none yet.

mod buckets;
mod caller;
mod conditions;
mod decide;
mod encryption;
mod groups;
mod iam_error;
mod object_error;
mod objects;
mod openapi;
mod pages;
mod policies;
mod rate;
mod service_accounts;
mod sessions;
mod tokens;
mod users;
mod versioned;
mod whoami;

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodRouter, delete, get, patch, put};
use strongroom_iam::{Iam, Identity, Name, State};
use strongroom_objects::{Objects, Timestamp};
use tokio::sync::Mutex;

pub use buckets::{Bucket, BucketList, BucketVersioning, NewBucket};
pub use encryption::{Encryption, EncryptionAlgorithm, SetEncryption};
pub use groups::{Group, GroupList, NewGroup};
pub use objects::{ListedObject, ObjectEncryption, ObjectList, StoredObject};
pub use openapi::{ErrorAnswer, ErrorDetails};
pub use pages::Paged;
pub use policies::{Policy, PolicyList, PolicySummary};
pub use rate::RateLimit;
pub use service_accounts::{NewServiceAccount, ServiceAccount, ServiceAccountList};
pub use tokens::{NewToken, Token, TokenList, TokenScope, TokenWithSecret};
pub use users::{AccessKey, AccessKeyList, AccessKeyWithSecret, NewUser, SetEnabled, User, UserList};
pub use whoami::WhoAmI;

use crate::refusal::Refusal;

/// What the paths begin with.
pub const PREFIX: &str = "/api/v1";

/// No request but an object's content needs more; the longest thing in one is a policy.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// How the API behaves.
#[derive(Debug, Clone)]
pub struct RestOptions {
    /// How often each identity may ask for configuration.
    pub rate: RateLimit,
    /// Whether tokens are taken over plain HTTP from other machines. Whoever reads along then has them.
    pub tokens_over_http: bool,
    /// The region to answer as, for the policies that ask through which service a key is used.
    pub region: String,
}

/// What the API works with. Clones share it.
#[derive(Clone)]
pub struct Rest(Arc<Inner>);

struct Inner {
    objects: Objects,
    iam: Iam,
    options: RestOptions,
    limiter: rate::Limiter,
    /// Held from looking at a setting to changing it.
    changing: Mutex<()>,
}

impl Rest {
    /// An API over these.
    pub fn new(objects: Objects, iam: Iam, options: RestOptions) -> Self {
        let limiter = rate::Limiter::new(options.rate);
        Self(Arc::new(Inner { objects, iam, options, limiter, changing: Mutex::new(()) }))
    }
}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rest").field("options", &self.0.options).finish_non_exhaustive()
    }
}

/// Paths that configure something, after the prefix.
fn configuration() -> Vec<(&'static str, MethodRouter<Rest>)> {
    vec![
        ("/whoami", get(whoami::get)),
        ("/buckets", get(buckets::list).post(buckets::create)),
        ("/buckets/{bucket}", get(buckets::get).delete(buckets::delete)),
        (
            "/buckets/{bucket}/encryption",
            get(encryption::get).put(encryption::put).delete(encryption::delete),
        ),
        ("/users", get(users::list).post(users::create)),
        ("/users/{user}", get(users::get).patch(users::patch).delete(users::delete)),
        ("/users/{user}/keys", get(users::list_keys).post(users::create_key)),
        ("/users/{user}/keys/{access_key}", patch(users::patch_key).delete(users::delete_key)),
        ("/users/{user}/policies/{policy}", put(policies::attach_to_user).delete(policies::detach_from_user)),
        ("/groups", get(groups::list).post(groups::create)),
        ("/groups/{group}", get(groups::get).delete(groups::delete)),
        ("/groups/{group}/members/{user}", put(groups::add).delete(groups::remove)),
        (
            "/groups/{group}/policies/{policy}",
            put(policies::attach_to_group).delete(policies::detach_from_group),
        ),
        ("/policies", get(policies::list)),
        ("/policies/{policy}", get(policies::get).put(policies::put).delete(policies::delete)),
        ("/service-accounts", get(service_accounts::list).post(service_accounts::create)),
        (
            "/service-accounts/{access_key}",
            get(service_accounts::get).patch(service_accounts::patch).delete(service_accounts::delete),
        ),
        (
            "/service-accounts/{access_key}/policy",
            put(service_accounts::put_policy).delete(service_accounts::delete_policy),
        ),
        ("/sessions", delete(sessions::revoke)),
        ("/tokens", get(tokens::list).post(tokens::create)),
        ("/tokens/{token}", delete(tokens::revoke)),
    ]
}

/// Paths of objects, after the prefix.
fn data() -> Vec<(&'static str, MethodRouter<Rest>)> {
    vec![
        ("/buckets/{bucket}/objects", get(objects::list)),
        (
            "/buckets/{bucket}/objects/{*key}",
            get(objects::get).head(objects::head).put(objects::put).delete(objects::delete),
        ),
    ]
}

/// The router, for both doors. Who is outside of it gives requests their id and their peer, and refusals their words.
pub(crate) fn router<S: Clone + Send + Sync + 'static>(rest: Rest) -> Router<S> {
    let of = |paths: Vec<(&'static str, MethodRouter<Rest>)>| {
        paths.into_iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods))
    };
    let configuration = of(configuration())
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .route_layer(from_fn_with_state(rest.clone(), caller::limit));
    let behind = configuration
        .merge(of(data()))
        .route_layer(from_fn(conditions::refuse_unknown))
        .route_layer(from_fn_with_state(rest.clone(), caller::admit));
    let open = Router::new().route("/openapi.json", get(openapi::document));
    Router::new().nest(PREFIX, behind.merge(open)).with_state(rest)
}

/// A time in seconds since 1970, as JSON has it.
fn time_of(seconds: u64) -> String {
    objects::json_time(Timestamp(seconds.saturating_mul(1000)))
}

fn enabled(state: State) -> bool {
    state == State::Enabled
}

fn state(enabled: bool) -> State {
    if enabled { State::Enabled } else { State::Disabled }
}

fn names(names: &[Name]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

/// `root`, or the name of a user.
fn owner_name(owner: &Identity) -> String {
    match owner {
        Identity::User { name } => name.to_string(),
        other => other.to_string(),
    }
}

/// The end of something that begins now.
fn expiry(seconds: u64) -> Result<u64, Refusal> {
    /// A hundred years: what is meant to last longer has no end.
    const SECONDS_MAX: u64 = 100 * 366 * 86_400;
    if !(1..=SECONDS_MAX).contains(&seconds) {
        return Err(Refusal::bad_request("InvalidExpiry", "expires_in_seconds is 1 to 3162240000."));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Ok(now + seconds)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn document_has_the_paths_that_are_routed_and_no_others() {
        let routed: BTreeSet<_> = configuration()
            .into_iter()
            .chain(data())
            .map(|(path, _)| format!("{PREFIX}{}", path.replace("{*", "{")))
            .chain([format!("{PREFIX}/openapi.json")])
            .collect();
        let described: BTreeSet<_> = openapi::described().paths.paths.into_keys().collect();
        assert_eq!(routed, described);
    }

    #[test]
    fn ends_of_time_are_bounded() {
        assert!(expiry(0).is_err() && expiry(u64::MAX).is_err());
        assert!(expiry(1).is_ok());
    }
}
