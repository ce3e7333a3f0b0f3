//! The token service on the S3 port: `POST /` with a form that names an action.
//!
//! AWS, "Security Token Service API Reference", version 2011-06-15. Two actions: `AssumeRole` gives temporary
//! credentials that may do what their maker may, or less, and `GetCallerIdentity` tells who signs. There are no roles,
//! so `RoleArn` names nothing; clients that must send one may send any. A policy can still deny it by its name.

mod answer;

use http::{HeaderMap, Method, StatusCode, Uri, header};
use http_body_util::BodyExt;
use s3s::{Body, S3Request};
use strongroom_iam::{Arn, Ask, Denial, Facts, IamError, Identity, SessionSpec};
use time::OffsetDateTime;

pub(crate) use self::answer::document;
use crate::access::{Authority, facts_of_request};
use crate::error::ApiError;
use crate::request::RequestState;
use crate::sigv4::Signed;

const VERSION: &str = "2011-06-15";
/// Bytes of a form: a policy of 2,048 characters, all of it escaped, and room for the rest.
const FORM_BYTES_MAX: usize = 8 << 10;
const DURATION_SECONDS: u64 = 3600;
const DURATION_SECONDS_MIN: u64 = 900;
const DURATION_SECONDS_MAX: u64 = 43_200;

/// Whether a request is for the token service. Nothing of S3 looks like it.
pub(crate) fn is_sts(method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
    let form =
        |kind: &str| kind.trim_start().to_ascii_lowercase().starts_with("application/x-www-form-urlencoded");
    *method == Method::POST
        && uri.path() == "/"
        && uri.query().is_none()
        && headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).is_some_and(form)
}

/// Answers a request whose signature was found right, if it has one.
pub(crate) async fn call(
    authority: &Authority,
    request: S3Request<Body>,
    state: &RequestState,
) -> Result<String, ApiError> {
    state.set_operation("SecurityToken");
    let identity = signed_by(&request, state)?;
    let facts = facts_of_request(&request.uri, &request.headers, state, OffsetDateTime::now_utc())?;
    let body = request.input;
    let form = http_body_util::Limited::new(body, FORM_BYTES_MAX).collect().await.map_err(|_| {
        ApiError::new(
            StatusCode::BAD_REQUEST,
            "MalformedQueryString",
            "The request body is too long or was cut.",
        )
    })?;
    let form = form.to_bytes();
    let field = |name: &str| {
        form_urlencoded::parse(&form).find(|(given, _)| given == name).map(|(_, value)| value.into_owned())
    };
    let action = field("Action").unwrap_or_default();
    let version = field("Version").unwrap_or_default();
    if version != VERSION {
        return Err(no_such_action(&action, &version));
    }
    let request_id = state.id().to_string();
    match action.as_str() {
        "GetCallerIdentity" => {
            let id = authority.iam().user_id(&identity).unwrap_or_default();
            Ok(answer::caller_identity(&identity, &id, &request_id))
        }
        "AssumeRole" => {
            let asked = Asked {
                role: field("RoleArn"),
                session: field("RoleSessionName"),
                seconds: field("DurationSeconds"),
                policy: field("Policy"),
                names_policies: names_policies(&form),
            };
            may_assume(authority, &identity, asked.role.as_deref(), &facts)?;
            assume_role(authority, &identity, asked, &request_id)
        }
        _ => Err(no_such_action(&action, &version)),
    }
}

fn no_such_action(action: &str, version: &str) -> ApiError {
    ApiError::new(
        StatusCode::BAD_REQUEST,
        "InvalidAction",
        format!("Could not find operation {action} for version {version}"),
    )
}

fn signed_by(request: &S3Request<Body>, state: &RequestState) -> Result<Identity, ApiError> {
    let missing = || {
        ApiError::new(
            StatusCode::FORBIDDEN,
            "MissingAuthenticationToken",
            "Request is missing Authentication Token",
        )
    };
    let credentials = request.credentials.as_ref().ok_or_else(missing)?;
    let signed = Signed::parse("", &request.headers).ok_or_else(missing)?;
    signed.check_coverage(&request.headers)?;
    // The library takes a request for another's payload hash; here the form is what is asked for, so it must be signed.
    if let Some(hash) = request.headers.get("x-amz-content-sha256")
        && !(hash.len() == 64 && hash.as_bytes().iter().all(u8::is_ascii_hexdigit))
    {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "SignatureDoesNotMatch",
            "The payload of requests to this service must be signed.",
        ));
    }
    state.claimed(&credentials.access_key).ok_or_else(missing)
}

/// Temporary credentials take nothing that their maker does not have, so everybody may make some who is not told that
/// they may not. As on AWS the resource is the role; what is denied for `*` is denied for every one.
fn may_assume(
    authority: &Authority,
    identity: &Identity,
    role: Option<&str>,
    facts: &Facts,
) -> Result<(), ApiError> {
    let resource = role.map_or_else(Arn::all, Arn::role);
    let ask = Ask { identity, action: "sts:AssumeRole", resource: &resource, facts };
    match authority.iam().permit(&ask, None) {
        Err(Denial { explicit: true, by }) => Err(ApiError::access_denied(format!(
            "User: {identity} is not authorized to perform: sts:AssumeRole on resource: {resource} with an explicit deny in {}",
            by.with_article()
        ))),
        _ => Ok(()),
    }
}

/// Whether policies that bound the session are named by their ARNs.
///
/// AWS, "AssumeRole", `PolicyArns.member.N`. A bound that is passed over would give more than was asked for.
fn names_policies(form: &[u8]) -> bool {
    form_urlencoded::parse(form).any(|(name, _)| name == "PolicyArns" || name.starts_with("PolicyArns."))
}

struct Asked {
    role: Option<String>,
    session: Option<String>,
    seconds: Option<String>,
    policy: Option<String>,
    names_policies: bool,
}

fn assume_role(
    authority: &Authority,
    identity: &Identity,
    asked: Asked,
    request_id: &str,
) -> Result<String, ApiError> {
    if let Some(role) = &asked.role
        && !(20..=2048).contains(&role.len())
    {
        return Err(invalid("roleArn", role, "Member must have length between 20 and 2048"));
    }
    let name = asked.session.unwrap_or_else(|| "session".to_owned());
    let fits = |name: &str| {
        (2..=64).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte))
    };
    if !fits(&name) {
        return Err(invalid(
            "roleSessionName",
            &name,
            "Member must satisfy regular expression pattern: [\\w+=,.@-]* and have length between 2 and 64",
        ));
    }
    let seconds = match &asked.seconds {
        None => DURATION_SECONDS,
        Some(text) => {
            text.parse().map_err(|_| invalid("durationSeconds", text, "Member must be a number"))?
        }
    };
    if seconds < DURATION_SECONDS_MIN {
        let must = format!("Member must have value greater than or equal to {DURATION_SECONDS_MIN}");
        return Err(invalid("durationSeconds", &seconds.to_string(), &must));
    }
    if seconds > DURATION_SECONDS_MAX {
        let must = format!("Member must have value less than or equal to {DURATION_SECONDS_MAX}");
        return Err(invalid("durationSeconds", &seconds.to_string(), &must));
    }
    if asked.names_policies {
        return Err(ApiError::not_implemented(
            "PolicyArns is not supported here: send what bounds the session as a document, in Policy.",
        ));
    }
    let spec = SessionSpec { name: &name, duration_seconds: seconds, policy: asked.policy.as_deref() };
    let made = authority.iam().assume_role(identity, &spec).map_err(|error| refused(&error))?;
    let expires = i64::try_from(made.expires_at)
        .ok()
        .and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok())
        .ok_or_else(ApiError::internal)?;
    let id = authority.iam().user_id(&made.identity).unwrap_or_default();
    Ok(answer::assumed_role(&made, &id, expires, request_id))
}

fn invalid(member: &str, value: &str, must: &str) -> ApiError {
    ApiError::new(
        StatusCode::BAD_REQUEST,
        "ValidationError",
        format!(
            "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: {must}"
        ),
    )
}

fn refused(error: &IamError) -> ApiError {
    let bad_request = |code, message| ApiError::new(StatusCode::BAD_REQUEST, code, message);
    match error {
        IamError::Policy(fault) => bad_request("MalformedPolicyDocument", fault.to_string()),
        IamError::TooLong { .. } => bad_request("PackedPolicyTooLarge", error.to_string()),
        IamError::Name(_) | IamError::Duration { .. } => bad_request("ValidationError", error.to_string()),
        IamError::NotAParent { .. } => ApiError::access_denied(error.to_string()),
        _ => {
            tracing::error!(%error, "temporary credentials could not be made");
            ApiError::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "InternalFailure",
                "The request processing has failed because of an unknown error, exception or failure.",
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_forms_to_the_root_are_for_the_token_service() {
        let asked = |method: Method, uri: &str, kind: &'static str| {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
            is_sts(&method, &uri.parse().unwrap(), &headers)
        };
        let form = "application/x-www-form-urlencoded; charset=utf-8";
        assert!(asked(Method::POST, "/", form));
        assert!(!asked(Method::POST, "/?delete", form));
        assert!(!asked(Method::POST, "/bucket", form));
        assert!(!asked(Method::PUT, "/", form));
        assert!(!asked(Method::POST, "/", "application/xml"));
    }
}
