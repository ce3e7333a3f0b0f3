//! Who is asking, and whether they may.

use std::fmt;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, IF_MATCH, IF_NONE_MATCH, REFERER, RETRY_AFTER, USER_AGENT, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use strongroom_iam::{Facts, Identity, TokenInfo};
use strongroom_objects::events::{self, Cause, Origin};
use strongroom_telemetry::RequestId;

use super::Rest;
use crate::peer::Peer;
use crate::refusal::Refusal;

/// Who a request comes from. Every handler under the API's prefix has it as an extension.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) identity: Identity,
    /// The token, whose scopes hold beside what the identity may do; none at the door.
    pub(super) token: Option<TokenInfo>,
    peer: Peer,
    facts: Facts,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Caller {
    /// What is known of the request for the conditions of policies.
    pub(super) fn facts(&self) -> Facts {
        self.facts.clone()
    }

    /// What events and the audit trail are told of where a change comes from.
    fn origin(&self, id: &RequestId) -> Origin {
        let source = match self.peer {
            Peer::Door => None,
            Peer::Network { address, .. } => Some(address.to_canonical()),
        };
        Origin {
            cause: Cause::Plain,
            principal: self.identity.to_string(),
            source,
            request_id: id.as_str().to_owned(),
        }
    }

    /// Whether a customer's key may travel over the connection.
    pub(super) fn is_private(&self) -> bool {
        self.peer.is_private()
    }
}

/// Headers whose value is a fact.
const FACTS: [(HeaderName, &str); 4] = [
    (USER_AGENT, "aws:useragent"),
    (REFERER, "aws:referer"),
    (IF_MATCH, "s3:if-match"),
    (IF_NONE_MATCH, "s3:if-none-match"),
];

fn facts_of(peer: Peer, headers: &HeaderMap) -> Facts {
    let mut facts = Facts::new();
    match peer {
        // Nothing that anybody could read along.
        Peer::Door => facts.set("aws:securetransport", "true"),
        Peer::Network { address, secure, tls_version } => {
            facts.set("aws:sourceip", address.to_canonical().to_string());
            facts.set("aws:securetransport", if secure { "true" } else { "false" });
            if let Some(version) = tls_version {
                facts.set("s3:tlsversion", version);
            }
        }
    }
    for (header, fact) in FACTS {
        if let Some(value) = headers.get(header).and_then(|value| value.to_str().ok()) {
            facts.set(fact, value);
        }
    }
    facts
}

/// Finds out who is asking. At the door it is root; elsewhere a token says it. Events and the audit trail tell of it.
pub(super) async fn admit(State(rest): State<Rest>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    let peer = peer.expect("every connection's requests are given their peer");
    match rest.caller(peer, request.headers()) {
        Ok(caller) => {
            let id = request.extensions().get::<RequestId>();
            let origin = caller.origin(id.expect("every request is given its id"));
            request.extensions_mut().insert(caller);
            events::scope(origin, next.run(request)).await
        }
        Err(refusal) => refusal.into_response(),
    }
}

/// Keeps one identity from asking all the time. The door has no limit: who can connect there can stop the server.
pub(super) async fn limit(State(rest): State<Rest>, request: Request, next: Next) -> Response {
    let caller = request.extensions().get::<Caller>();
    let caller = caller.expect("callers are found before they are limited");
    if caller.token.is_some()
        && let Err(wait) = rest.0.limiter.take(&caller.identity.to_string(), Instant::now())
    {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let message = format!("This identity asks too often; try again after {seconds} s.");
        return Refusal::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message)
            .header(RETRY_AFTER, &seconds.to_string())
            .into_response();
    }
    next.run(request).await
}

impl Rest {
    fn caller(&self, peer: Peer, headers: &HeaderMap) -> Result<Caller, Refusal> {
        if peer == Peer::Door {
            let facts = facts_of(peer, headers);
            return Ok(Caller { identity: Identity::Root, token: None, peer, facts });
        }
        let unauthorized = |code, message: &str, challenge: &str| {
            Refusal::new(StatusCode::UNAUTHORIZED, code, message).header(WWW_AUTHENTICATE, challenge)
        };
        let Some(token) = bearer(headers) else {
            let message = "A token is needed: `Authorization: Bearer srt_…`, made with `strongroom admin token create`.";
            return Err(unauthorized("TokenMissing", message, "Bearer"));
        };
        if !peer.is_private() && !self.0.options.tokens_over_http {
            let message = "Tokens are not taken over plain HTTP from other machines: whoever reads along would have it. \
                           Consider this one known to others and revoke it; then use HTTPS.";
            return Err(Refusal::new(StatusCode::FORBIDDEN, "TlsRequired", message));
        }
        let Some((identity, token)) = self.0.iam.authenticate_token(token) else {
            let message =
                "The token is not known: mistyped, expired, revoked, or its user is disabled or gone.";
            return Err(unauthorized("TokenInvalid", message, "Bearer error=\"invalid_token\""));
        };
        Ok(Caller { identity, token: Some(token), peer, facts: facts_of(peer, headers) })
    }
}

/// The token of `Authorization: Bearer TOKEN` (RFC 6750 §2.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_from_one_bearer_header_alone() {
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, value.parse().unwrap());
            }
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(of(&["Bearer srt_1"]).as_deref(), Some("srt_1"));
        assert_eq!(of(&["bearer  srt_1 "]).as_deref(), Some("srt_1"));
        for none in [&[][..], &["Basic eDp5"], &["srt_1"], &["Bearer a", "Bearer b"]] {
            assert_eq!(of(none), None, "{none:?}");
        }
    }
}
