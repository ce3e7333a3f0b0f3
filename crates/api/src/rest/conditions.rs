//! Conditions that a request does not have.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use axum::extract::{MatchedPath, Request};
use axum::http::HeaderName;
use axum::http::header::{CONTENT_RANGE, IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::openapi;
use crate::refusal::Refusal;

/// Headers by which a client says what a change is for, or what of it. A part of an object is never written
/// (RFC 9110 §14.5: 400 then).
const OF_CHANGES: [HeaderName; 4] = [IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, CONTENT_RANGE];
const CHANGES: [&str; 4] = ["put", "post", "patch", "delete"];

/// Refuses a change under a condition that its operation, by the API's own description, does not look at. Carried out all the same
/// it would do what its client wanted to prevent.
pub(super) async fn refuse_unknown(request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str).unwrap_or_default();
    let unknown = OF_CHANGES.iter().find(|name| {
        request.headers().contains_key(*name) && !is_known(request.method().as_str(), path, name)
    });
    match unknown {
        None => next.run(request).await,
        Some(name) => {
            let message = format!(
                "This request does not look at the header {name}, so nothing was done: leave it out, or see \
                 /api/v1/openapi.json for requests that do."
            );
            Refusal::bad_request("InvalidHeader", message).into_response()
        }
    }
}

/// Whether an operation looks at the header, or is none that changes something. `path` is the router's.
fn is_known(method: &str, path: &str, header: &HeaderName) -> bool {
    static KNOWN: LazyLock<BTreeSet<(String, String, String)>> = LazyLock::new(described);
    let method = method.to_ascii_lowercase();
    if !CHANGES.contains(&method.as_str()) {
        return true;
    }
    let described = path.replace("{*", "{");
    let looks_at = |header: &HeaderName| {
        KNOWN.contains(&(method.clone(), described.clone(), header.as_str().to_owned()))
    };
    // Who looks at the version of a setting looks at both (`versioned`), also where there always is one.
    looks_at(header) || *header == IF_NONE_MATCH && described == path && looks_at(&IF_MATCH)
}

/// Method, path and header of each operation that changes something.
fn described() -> BTreeSet<(String, String, String)> {
    let document = serde_json::to_value(openapi::described());
    let document = document.expect("a description has names of text and finite numbers");
    let mut known = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().into_iter().flatten() {
        for method in CHANGES {
            for parameter in operations[method]["parameters"].as_array().into_iter().flatten() {
                if let (Some("header"), Some(name)) = (parameter["in"].as_str(), parameter["name"].as_str()) {
                    known.insert((method.to_owned(), path.clone(), name.to_ascii_lowercase()));
                }
            }
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_operation_looks_at_is_what_the_description_says() {
        let object = "/api/v1/buckets/{bucket}/objects/{*key}";
        assert!(is_known("PUT", object, &IF_MATCH) && is_known("PUT", object, &IF_NONE_MATCH));
        assert!(is_known("DELETE", object, &IF_MATCH) && !is_known("DELETE", object, &IF_NONE_MATCH));
        assert!(!is_known("PUT", object, &CONTENT_RANGE));
        assert!(is_known("GET", object, &IF_UNMODIFIED_SINCE), "reads are not held up");
        assert!(!is_known("POST", "/api/v1/users", &IF_NONE_MATCH));
        assert!(
            is_known("PATCH", "/api/v1/users/{user}", &IF_NONE_MATCH),
            "it never holds, and that is told"
        );
        assert!(is_known("DELETE", "/api/v1/users/{user}", &IF_MATCH));
    }
}
