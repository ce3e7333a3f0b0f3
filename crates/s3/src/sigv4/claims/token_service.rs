//! What the token service says of claims that no signature could make good. Services other than S3 have sentences of their own, by which
//! SDKs know for one that a clock is wrong.

use http::StatusCode;
use time::OffsetDateTime;

use super::{Here, STAMP, ScopeFault};
use crate::error::ApiError;

/// Whether the signature is for the token service.
pub(super) fn is_asked(here: &Here<'_>) -> bool {
    here.service == "sts"
}

/// No signature that could be looked at.
pub(super) fn nothing_signed() -> ApiError {
    let message = "Request is missing Authentication Token";
    ApiError::new(StatusCode::FORBIDDEN, "MissingAuthenticationToken", message)
}

/// A scope that is another's; the others are malformed, as they are for S3.
pub(super) fn of_scope(fault: &ScopeFault<'_>, here: &Here<'_>) -> Option<ApiError> {
    match fault {
        ScopeFault::Service(_) => {
            Some(mismatch(format!("Credential should be scoped to correct service: '{}'.", here.service)))
        }
        ScopeFault::Terminal(given) => Some(mismatch(format!(
            "Credential should be scoped with a valid terminator: 'aws4_request', not '{given}'."
        ))),
        ScopeFault::Shape | ScopeFault::Region(_) | ScopeFault::Date(_) => None,
    }
}

/// A scope of another day than the request's.
pub(super) fn of_day(scope: &str, day: &str, at: OffsetDateTime) -> ApiError {
    mismatch(format!(
        "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{scope}' != \
         '{day}', from '{}'.",
        stamped(at)
    ))
}

/// No time that could be read.
pub(super) fn no_time() -> ApiError {
    let message = "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.";
    ApiError::new(StatusCode::BAD_REQUEST, "IncompleteSignature", message)
}

/// A time that is too far from the server's.
pub(super) fn of_time(at: OffsetDateTime, here: &Here<'_>) -> ApiError {
    let minutes = here.skew_max.as_secs() / 60;
    let (given, now) = (stamped(at), stamped(here.now));
    let bound = |bound: Option<OffsetDateTime>| stamped(bound.unwrap_or(here.now));
    let skew = time::Duration::seconds(i64::try_from(here.skew_max.as_secs()).unwrap_or(0));
    mismatch(match at < here.now {
        true => format!(
            "Signature expired: {given} is now earlier than {} ({now} - {minutes} min.)",
            bound(here.now.checked_sub(skew))
        ),
        false => format!(
            "Signature not yet current: {given} is still later than {} ({now} + {minutes} min.)",
            bound(here.now.checked_add(skew))
        ),
    })
}

fn mismatch(message: String) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, "SignatureDoesNotMatch", message)
}

fn stamped(at: OffsetDateTime) -> String {
    at.format(STAMP).unwrap_or_default()
}
