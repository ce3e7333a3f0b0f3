//! A webhook's address and how it is asked (`docs/spec/events.md` §4, §6).

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use reqwest::redirect::Policy;
use sha2::Sha256;

use super::schedule::Attempt;
use crate::config::{FileSecret, Webhook};

/// The header with the signature of the body.
const SIGNATURE: &str = "x-strongroom-signature";
/// As much of an answer as is read, so that the connection can be used again.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Where events of a target go.
pub(super) enum Target {
    /// A webhook of the configuration.
    Webhook(Box<Address>),
    /// Rules name it and the configuration does not, any more or yet.
    Absent,
}

/// What it takes to ask a webhook.
pub(super) struct Address {
    http: reqwest::Client,
    url: reqwest::Url,
    authorization: Option<HeaderValue>,
    secret: Option<FileSecret>,
}

/// What came of asking, and in words for the operator.
pub(super) type Answer = (Attempt, String);

impl Target {
    /// Prepares to ask; nothing is sent yet.
    pub(super) fn of(webhook: Webhook) -> Result<Self, TargetError> {
        let failed = |source| TargetError { id: webhook.id.clone(), source };
        let http = reqwest::Client::builder()
            .timeout(webhook.timeout)
            .connect_timeout(webhook.timeout)
            // Whoever answers must not be able to send events, token and signature elsewhere.
            .redirect(Policy::none())
            .no_proxy()
            .tls_certs_merge(webhook.authorities)
            .build()
            .map_err(failed)?;
        let authorization = webhook.token.as_ref().map(|token| {
            let text = zeroize::Zeroizing::new(format!("Bearer {}", token.dangerous_expose()));
            let mut value = HeaderValue::from_str(&text).expect("tokens are printable ASCII");
            value.set_sensitive(true);
            value
        });
        Ok(Self::Webhook(Box::new(Address {
            http,
            url: webhook.url,
            authorization,
            secret: webhook.signature_secret,
        })))
    }

    /// Sends one body.
    pub(super) async fn send(&self, body: Vec<u8>) -> Answer {
        match self {
            Self::Webhook(address) => address.send(body).await,
            Self::Absent => (Attempt::Trouble, "not in the configuration".to_owned()),
        }
    }
}

impl Address {
    async fn send(&self, body: Vec<u8>) -> Answer {
        let mut request = self
            .http
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("Strongroom/", env!("CARGO_PKG_VERSION")));
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        if let Some(secret) = &self.secret {
            request = request.header(SIGNATURE, signature(secret.dangerous_expose().as_bytes(), &body));
        }
        let mut answer = match request.body(body).send().await {
            Ok(answer) => answer,
            Err(error) => return (Attempt::Trouble, words(&error)),
        };
        let status = answer.status();
        let mut read = 0;
        while read <= ANSWER_BYTES_MAX {
            match answer.chunk().await {
                Ok(Some(chunk)) => read += chunk.len(),
                // The status is what counts.
                Ok(None) | Err(_) => break,
            }
        }
        (attempt(status), format!("HTTP {status}"))
    }
}

/// What a status means for the event and the target.
fn attempt(status: StatusCode) -> Attempt {
    match status {
        status if status.is_success() => Attempt::Delivered,
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Attempt::Trouble,
        // A wrong credential or address is one for every event, until somebody puts it right.
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::NOT_FOUND
        | StatusCode::PROXY_AUTHENTICATION_REQUIRED => Attempt::Trouble,
        status if status.is_server_error() => Attempt::Trouble,
        _ => Attempt::Unwanted,
    }
}

/// `sha256=` and the HMAC-SHA256 of the body (RFC 2104), in hexadecimal.
fn signature(secret: &[u8], body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of every length");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// Why nothing came back, without the address: it may hold a token.
fn words(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    if std::ptr::addr_eq(cause, error) { "no answer".to_owned() } else { cause.to_string() }
}

/// A webhook that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("webhook {id}: {source}")]
pub(crate) struct TargetError {
    id: String,
    source: reqwest::Error,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Webhook(_) => "Target::Webhook(..)",
            Self::Absent => "Target::Absent",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_hmac_sha256_in_hexadecimal() {
        // RFC 4231, test case 2.
        let expected = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signature(b"Jefe", b"what do ya want for nothing?"), expected);
    }

    #[test]
    fn trouble_of_the_target_and_of_the_event_are_told_apart() {
        let of = |status| attempt(StatusCode::from_u16(status).unwrap());
        assert!([200, 201, 202, 204].into_iter().all(|status| of(status) == Attempt::Delivered));
        assert!(
            [401, 403, 404, 407, 408, 429, 500, 502, 503]
                .into_iter()
                .all(|status| of(status) == Attempt::Trouble)
        );
        assert!(
            [301, 302, 307, 400, 410, 413, 422].into_iter().all(|status| of(status) == Attempt::Unwanted)
        );
    }
}
