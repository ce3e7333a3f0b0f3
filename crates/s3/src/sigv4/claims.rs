//! What a request says of its signature, looked at before the signature is: AWS has a sentence for each mistake in it,
//! where the protocol library has one for all of them or takes it for something else.
//!
//! AWS, "Authenticating Requests: Using the Authorization Header" and "… Using Query Parameters".

mod token_service;

use std::borrow::Cow;
use std::time::Duration;

use http::header::{AUTHORIZATION, DATE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use s3s::region::Region;
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc2822;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime, UtcOffset};

use crate::error::{ApiError, messages};

/// Longest life of a presigned URL: seven days.
const EXPIRES_SECONDS_MAX: u64 = 604_800;
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// Signatures for several regions at once.
const ALGORITHM_4A: &str = "AWS4-ECDSA-P256-SHA256";
const AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
const PAYLOAD: &str = "x-amz-content-sha256";
const PAYLOADS: [&str; 6] = [
    "UNSIGNED-PAYLOAD",
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
    "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD",
    "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER",
];

const STAMP: &[BorrowedFormatItem<'_>] = format_description!("[year][month][day]T[hour][minute][second]Z");
const SERVER_TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");

/// Where and when a signature has to be good.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Here<'a> {
    /// `s3`, or `sts` for the token service.
    pub(crate) service: &'a str,
    pub(crate) region: &'a str,
    pub(crate) now: OffsetDateTime,
    /// Clock difference allowed between client and server.
    pub(crate) skew_max: Duration,
}

/// Refuses claims that no signature could make good.
pub(crate) fn check(query: &str, headers: &HeaderMap, here: &Here<'_>) -> Result<(), ApiError> {
    let parameters = Parameters::of(query)?;
    match headers.get(AUTHORIZATION) {
        Some(value) if parameters.is_signed() => Err(ApiError::invalid_argument(
            "Authorization",
            value.to_str().unwrap_or_default(),
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string \
             parameter or the Authorization header should be specified",
        )),
        Some(value) => of_header(value, headers, here),
        None if parameters.is_version_4() => of_query(&parameters, headers, here),
        None if parameters.is_signed() => of_old_query(&parameters, here),
        None => Ok(()),
    }
}

/// Puts the time of a request that is signed with `Date` alone where the library looks for it. The signature covers it there as
/// well: the text that is signed begins with it.
pub(crate) fn date_into_header(headers: &mut HeaderMap) {
    let version_4 = headers.get(AUTHORIZATION).is_some_and(|value| value.as_bytes().starts_with(b"AWS4-"));
    if !version_4 || headers.contains_key(AMZ_DATE) {
        return;
    }
    let stamp = date_of(headers).and_then(|at| at.format(STAMP).ok());
    if let Some(stamp) = stamp.and_then(|stamp| HeaderValue::from_str(&stamp).ok()) {
        headers.insert(AMZ_DATE, stamp);
    }
}

fn of_header(value: &HeaderValue, headers: &HeaderMap, here: &Here<'_>) -> Result<(), ApiError> {
    let text = value.to_str().unwrap_or_default();
    let argument = |message: &'static str| ApiError::invalid_argument("Authorization", text, message);
    let Some((algorithm, rest)) = text.split_once(' ') else {
        if token_service::is_asked(here) {
            return Err(token_service::nothing_signed());
        }
        return Err(argument("Authorization header is invalid -- one and only one ' ' (space) required."));
    };
    match algorithm {
        ALGORITHM => {}
        ALGORITHM_4A => return Err(ApiError::not_implemented(messages::NO_4A)),
        // Version 2 covers neither body nor clock when it stands in a header. In presigned URLs it is still what some SDKs make by
        // default; the gate limits what those may ask for.
        "AWS" => return Err(ApiError::invalid_request(messages::NO_VERSION_2)),
        _ if token_service::is_asked(here) => return Err(token_service::nothing_signed()),
        _ => return Err(argument("Unsupported Authorization Type")),
    }
    let malformed = |what: &str| malformed(&format!("The authorization header is malformed; {what}"));

    const NAMES: [&str; 3] = ["Credential", "SignedHeaders", "Signature"];
    let mut values = [None; 3];
    let mut count = 0;
    for component in rest.split(',').map(str::trim) {
        let Some((name, value)) = component.split_once('=') else {
            return Err(malformed(&format!("the authorization component \"{component}\" is malformed.")));
        };
        count += 1;
        if let Some(at) = NAMES.iter().position(|known| *known == name) {
            values[at] = Some(value);
        }
    }
    if count != NAMES.len() {
        return Err(malformed(
            "the authorization header requires three components: Credential, SignedHeaders, and Signature.",
        ));
    }
    if let Some(at) = values.iter().position(Option::is_none) {
        return Err(malformed(&format!("missing {}.", NAMES[at])));
    }
    let for_tokens = token_service::is_asked(here);
    let scope = Scope::parse(values[0].unwrap_or_default(), here).map_err(|fault| {
        let own = for_tokens.then(|| token_service::of_scope(&fault, here)).flatten();
        own.unwrap_or_else(|| fault.with_region(malformed(&fault.sentence(here)), here))
    })?;

    let (at, day) = header_time(headers).ok_or_else(|| match for_tokens {
        true => token_service::no_time(),
        false => ApiError::access_denied("AWS authentication requires a valid Date or x-amz-date header"),
    })?;
    if day != scope.date && for_tokens {
        return Err(token_service::of_day(scope.date, &day, at));
    }
    if day != scope.date {
        return Err(malformed("Invalid credential date. Date is not the same as X-Amz-Date."));
    }
    if (here.now - at).unsigned_abs() > here.skew_max {
        if for_tokens {
            return Err(token_service::of_time(at, here));
        }
        let given = headers.get(AMZ_DATE).or_else(|| headers.get(DATE));
        return Err(ApiError::new(StatusCode::FORBIDDEN, "RequestTimeTooSkewed", messages::SKEWED)
            .field("RequestTime", given.and_then(|date| date.to_str().ok()).unwrap_or_default())
            .field("ServerTime", written(here.now))
            .field("MaxAllowedSkewMilliseconds", here.skew_max.as_millis()));
    }
    if here.service == "s3" {
        let payload = headers.get(PAYLOAD).ok_or_else(|| {
            ApiError::invalid_request(format!("Missing required header for this request: {PAYLOAD}"))
        })?;
        check_payload(payload)?;
    }
    Ok(())
}

fn of_query(parameters: &Parameters<'_>, headers: &HeaderMap, here: &Here<'_>) -> Result<(), ApiError> {
    let [algorithm, credential, date, expires, _, signature] = parameters.all_of_version_4()?;
    match algorithm {
        ALGORITHM => {}
        ALGORITHM_4A => return Err(ApiError::not_implemented(messages::NO_4A)),
        _ => {
            return Err(wrong_parameters(
                "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256 and AWS4-ECDSA-P256-SHA256\"",
            ));
        }
    }
    let scope = Scope::parse(credential, here).map_err(|fault| {
        let what = format!("Error parsing the X-Amz-Credential parameter; {}", fault.sentence(here));
        fault.with_region(wrong_parameters(what), here)
    })?;
    let at = stamp(date).ok_or_else(|| {
        wrong_parameters("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
    })?;
    if let Some(day) = date.get(..8).filter(|day| *day != scope.date) {
        return Err(wrong_parameters(format!(
            "Invalid credential date \"{}\". This date is not the same as X-Amz-Date: \"{day}\".",
            scope.date
        )));
    }
    let seconds = life(expires)?;
    if at > here.now + here.skew_max {
        return Err(
            ApiError::access_denied("Request is not valid yet").field("ServerTime", written(here.now))
        );
    }
    let end = at + Duration::from_secs(seconds);
    if here.now > end {
        return Err(ApiError::access_denied(messages::EXPIRED)
            .field("X-Amz-Expires", seconds)
            .field("Expires", written(end))
            .field("ServerTime", written(here.now)));
    }
    if let Some(payload) = headers.get(PAYLOAD) {
        check_payload(payload)?;
    }
    // The library takes what cannot be a signature for a URL without one.
    if !is_sha256(signature.as_bytes()) {
        return Err(ApiError::new(StatusCode::FORBIDDEN, "SignatureDoesNotMatch", messages::SIGNATURE)
            .field("AWSAccessKeyId", scope.access_key)
            .field("SignatureProvided", signature));
    }
    Ok(())
}

/// `X-Amz-Expires` in seconds.
fn life(text: &str) -> Result<u64, ApiError> {
    let (digits, negative) = text.strip_prefix('-').map_or((text, false), |digits| (digits, true));
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong_parameters("X-Amz-Expires should be a number"));
    }
    if negative {
        return Err(wrong_parameters("X-Amz-Expires must be non-negative"));
    }
    digits.parse().ok().filter(|seconds| *seconds <= EXPIRES_SECONDS_MAX).ok_or_else(|| {
        wrong_parameters(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less \
             than 604800 seconds",
        )
    })
}

/// A presigned URL of Signature Version 2.
fn of_old_query(parameters: &Parameters<'_>, here: &Here<'_>) -> Result<(), ApiError> {
    let [Some(_), Some(_), Some(expires)] = &parameters.version_2 else {
        return Err(ApiError::access_denied(
            "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters",
        ));
    };
    let end = expires.parse().ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let Some(end) = end else {
        return Err(ApiError::access_denied(format!(
            "Invalid date (should be seconds since epoch): {expires}"
        )));
    };
    if here.now > end {
        return Err(ApiError::access_denied(messages::EXPIRED)
            .field("Expires", written(end))
            .field("ServerTime", written(here.now)));
    }
    Ok(())
}

/// The parameters of a query that are about its signature.
#[derive(Debug, Default)]
struct Parameters<'a> {
    version_4: [Option<Cow<'a, str>>; 6],
    version_2: [Option<Cow<'a, str>>; 3],
    /// One of them came twice, so that two readers could take different ones.
    twice: bool,
}

impl<'a> Parameters<'a> {
    /// Whether a name belongs to version 4, and its place there.
    fn place(name: &str) -> Option<(bool, usize)> {
        Some(match name {
            "X-Amz-Algorithm" => (true, 0),
            "X-Amz-Credential" => (true, 1),
            "X-Amz-Date" => (true, 2),
            "X-Amz-Expires" => (true, 3),
            "X-Amz-SignedHeaders" => (true, 4),
            "X-Amz-Signature" => (true, 5),
            "AWSAccessKeyId" => (false, 0),
            "Signature" => (false, 1),
            "Expires" => (false, 2),
            _ => return None,
        })
    }

    fn of(query: &'a str) -> Result<Self, ApiError> {
        let mut parameters = Self::default();
        for pair in query.split('&') {
            let (written, value) = pair.split_once('=').unwrap_or((pair, ""));
            if written.contains('%') {
                // Readers that decode the name would see a signature and others none.
                let name = form_urlencoded::parse(written.as_bytes()).next().map(|(name, _)| name);
                if name.is_some_and(|name| Self::place(&name).is_some()) {
                    return Err(missing_parameters());
                }
                continue;
            }
            let Some((four, at)) = Self::place(written) else { continue };
            let place = if four { &mut parameters.version_4[at] } else { &mut parameters.version_2[at] };
            parameters.twice |= four && place.is_some();
            if place.is_none() {
                *place = Some(decoded(pair, value));
            }
        }
        Ok(parameters)
    }

    fn is_version_4(&self) -> bool {
        let [algorithm, credential, _, _, _, signature] = &self.version_4;
        algorithm.is_some() || credential.is_some() || signature.is_some()
    }

    fn is_signed(&self) -> bool {
        // `Expires` alone may be anything.
        self.is_version_4() || self.version_2[..2].iter().any(Option::is_some)
    }

    fn all_of_version_4(&self) -> Result<[&str; 6], ApiError> {
        if self.twice || self.version_4.iter().any(Option::is_none) {
            return Err(missing_parameters());
        }
        Ok(self.version_4.each_ref().map(|value| value.as_deref().unwrap_or_default()))
    }
}

/// The value of a pair. Most have nothing to decode.
fn decoded<'a>(pair: &'a str, value: &'a str) -> Cow<'a, str> {
    match value.contains(['%', '+']) {
        true => form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value).unwrap_or_default(),
        false => value.into(),
    }
}

/// `<access key>/<date>/<region>/<service>/aws4_request`.
struct Scope<'a> {
    access_key: &'a str,
    date: &'a str,
}

/// What is wrong with a scope.
enum ScopeFault<'a> {
    Shape,
    Terminal(&'a str),
    Service(&'a str),
    Region(&'a str),
    Date(&'a str),
}

impl<'a> Scope<'a> {
    /// Some clients sign for a region of their own invention first and read from the answer which one it should be; what could be a region is
    /// not compared.
    fn parse(credential: &'a str, here: &Here<'_>) -> Result<Self, ScopeFault<'a>> {
        let mut parts = credential.split('/');
        let (Some(access_key), Some(date), Some(region), Some(service), Some(terminal), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(ScopeFault::Shape);
        };
        if access_key.is_empty() {
            return Err(ScopeFault::Shape);
        }
        if terminal != "aws4_request" {
            return Err(ScopeFault::Terminal(terminal));
        }
        if service != here.service {
            return Err(ScopeFault::Service(service));
        }
        if Region::new(region.into()).is_err() {
            return Err(ScopeFault::Region(region));
        }
        if date.len() != 8 || !date.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ScopeFault::Date(date));
        }
        Ok(Self { access_key, date })
    }
}

impl ScopeFault<'_> {
    fn sentence(&self, here: &Here<'_>) -> String {
        match self {
            Self::Shape => "the Credential is mal-formed; expecting \
                            \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\"."
                .to_owned(),
            Self::Terminal(given) => {
                format!("incorrect terminal \"{given}\". This endpoint uses \"aws4_request\".")
            }
            Self::Service(given) => {
                format!("incorrect service \"{given}\". This endpoint belongs to \"{}\".", here.service)
            }
            Self::Region(given) => {
                format!("the region '{given}' is wrong; expecting '{}'", here.region)
            }
            Self::Date(given) => format!(
                "incorrect date format \"{given}\". This date in the credential must be in the format \"yyyyMMdd\"."
            ),
        }
    }

    /// The error with the region from which clients learn the right one.
    fn with_region(&self, error: ApiError, here: &Here<'_>) -> ApiError {
        match self {
            Self::Region(_) => error.field("Region", here.region),
            _ => error,
        }
    }
}

fn malformed(message: &str) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "AuthorizationHeaderMalformed", message.to_owned())
}

fn wrong_parameters(message: impl Into<Cow<'static, str>>) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "AuthorizationQueryParametersError", message)
}

fn missing_parameters() -> ApiError {
    wrong_parameters(
        "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, \
         X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.",
    )
}

fn check_payload(value: &HeaderValue) -> Result<(), ApiError> {
    let known = PAYLOADS.iter().any(|known| known.as_bytes() == value.as_bytes());
    if known || is_sha256(value.as_bytes()) {
        return Ok(());
    }
    Err(ApiError::invalid_argument(
        PAYLOAD,
        value.to_str().unwrap_or_default(),
        format!("{PAYLOAD} must be {}, or a valid sha256 value.", PAYLOADS.join(", ")),
    ))
}

fn is_sha256(text: &[u8]) -> bool {
    text.len() == 64 && text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// When the request says that it was signed, and on which day as scopes have it.
fn header_time(headers: &HeaderMap) -> Option<(OffsetDateTime, Cow<'_, str>)> {
    match headers.get(AMZ_DATE) {
        Some(date) => {
            let text = date.to_str().ok()?;
            Some((stamp(text)?, text.get(..8)?.into()))
        }
        None => {
            let at = date_of(headers)?;
            let mut day = at.format(STAMP).ok()?;
            day.truncate(8);
            Some((at, day.into()))
        }
    }
}

fn date_of(headers: &HeaderMap) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(headers.get(DATE)?.to_str().ok()?, &Rfc2822)
        .ok()
        .map(|at| at.to_offset(UtcOffset::UTC))
}

fn stamp(text: &str) -> Option<OffsetDateTime> {
    PrimitiveDateTime::parse(text, STAMP).ok().map(PrimitiveDateTime::assume_utc)
}

fn written(at: OffsetDateTime) -> String {
    at.format(SERVER_TIME).unwrap_or_default()
}

#[cfg(test)]
mod tests;
