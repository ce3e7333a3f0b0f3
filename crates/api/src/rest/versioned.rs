//! Versions of settings: an entity tag with each answer, and changes that hold only for the version the client has seen.

use axum::Json;
use axum::http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::refusal::Refusal;

/// A setting with its entity tag.
#[derive(Debug)]
pub(super) struct Versioned<T> {
    pub(super) value: T,
    pub(super) tag: String,
}

impl<T: Serialize> Versioned<T> {
    /// A setting whose JSON is all there is to it.
    pub(super) fn of(value: T) -> Self {
        let json = serde_json::to_vec(&value).expect("settings have names of text and finite numbers");
        Self { value, tag: tag(&json) }
    }
}

/// The entity tag of what is stored as these bytes.
pub(super) fn tag(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

impl<T: Serialize> IntoResponse for Versioned<T> {
    fn into_response(self) -> Response {
        ([quoted(&self.tag)], Json(self.value)).into_response()
    }
}

/// The header of an answer that says the version.
pub(super) fn quoted(tag: &str) -> (HeaderName, String) {
    (ETAG, format!("\"{tag}\""))
}

/// What a change says of the version that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expected {
    /// Nothing.
    Anything,
    /// `If-None-Match: *`: there is none yet.
    Nothing,
    /// `If-Match: *`: there is one.
    Something,
    /// `If-Match`: one of these.
    OneOf(Vec<String>),
}

impl Expected {
    pub(super) fn parse(headers: &HeaderMap) -> Result<Self, Refusal> {
        let invalid = |message: &str| Refusal::bad_request("InvalidHeader", message);
        let text = |name: HeaderName| match headers.get(&name) {
            None => Ok(None),
            Some(value) => {
                let message = "If-Match and If-None-Match are an entity tag or `*`.";
                value.to_str().map(|text| Some(text.trim().to_owned())).map_err(|_| invalid(message))
            }
        };
        match (text(IF_MATCH)?, text(IF_NONE_MATCH)?) {
            (None, None) => Ok(Self::Anything),
            (None, Some(all)) if all == "*" => Ok(Self::Nothing),
            (None, Some(_)) => Err(invalid("If-None-Match of a change can only be `*`.")),
            (Some(_), Some(_)) => Err(invalid("If-Match and If-None-Match exclude each other.")),
            (Some(all), None) if all == "*" => Ok(Self::Something),
            (Some(tags), None) => {
                let tags = tags.split(',').map(|tag| tag.trim().trim_matches('"').to_owned());
                Ok(Self::OneOf(tags.collect()))
            }
        }
    }

    /// Whether the version there is, if any, is the one that is meant.
    pub(super) fn holds(&self, there: Option<&str>) -> bool {
        match (self, there) {
            (Self::Anything, _) | (Self::Nothing, None) | (Self::Something, Some(_)) => true,
            (Self::OneOf(tags), Some(there)) => tags.iter().any(|tag| tag == there),
            (Self::Nothing, Some(_)) | (Self::Something | Self::OneOf(_), None) => false,
        }
    }

    /// Refuses if it is not.
    pub(super) fn check(&self, there: Option<&str>) -> Result<(), Refusal> {
        if self.holds(there) { Ok(()) } else { Err(changed()) }
    }
}

/// The version is another one.
pub(super) fn changed() -> Refusal {
    let message =
        "Somebody else has changed it since: read it again, and repeat the change with its new ETag.";
    Refusal::new(StatusCode::PRECONDITION_FAILED, "PreconditionFailed", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(headers: &[(&'static str, &'static str)]) -> Result<Expected, Refusal> {
        let headers = headers.iter().map(|(name, value)| {
            (HeaderName::from_static(name), axum::http::HeaderValue::from_static(value))
        });
        Expected::parse(&headers.collect())
    }

    #[test]
    fn conditions_hold_for_the_version_that_was_seen() {
        let one = of(&[("if-match", "\"a\", \"b\"")]).unwrap();
        assert!(one.holds(Some("b")) && !one.holds(Some("c")) && !one.holds(None));
        let any = of(&[("if-match", "*")]).unwrap();
        assert!(any.holds(Some("x")) && !any.holds(None));
        let none = of(&[("if-none-match", "*")]).unwrap();
        assert!(none.holds(None) && !none.holds(Some("x")));
        assert!(of(&[]).unwrap().holds(None));
        for bad in [&[("if-none-match", "\"a\"")][..], &[("if-match", "*"), ("if-none-match", "*")]] {
            assert!(of(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn tags_differ_when_settings_do() {
        assert_eq!(Versioned::of("a").tag, Versioned::of("a").tag);
        assert_ne!(Versioned::of("a").tag, Versioned::of("b").tag);
    }
}
