//! The headers of server-side encryption, read and written in one place.
//!
//! AWS S3 User Guide, "Using server-side encryption"; the answers to what is wrong with a request are those that AWS
//! was seen to give.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, StatusCode};
use md5::{Digest, Md5};
use s3s::dto::ServerSideEncryption;
use strongroom_objects::{ObjectError, SseApplied, SseRequest, kms_key_region};
use strongroom_seal::CustomerKey;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::error::ApiError;
use crate::options::SseCTransport;

/// The header that AWS names in all its answers about encryption.
const SSE: &str = "x-amz-server-side-encryption";
const AES256: &str = "AES256";
/// Longest encryption context in bytes, decoded: AWS KMS, "Quotas".
const CONTEXT_BYTES_MAX: usize = 8192;

/// Whether a customer's key may travel over this connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    /// TLS, or the operator said that any will do.
    Fit,
    /// Anybody may have read along.
    Open,
}

impl Channel {
    pub(crate) fn of(secure: bool, allowed: SseCTransport) -> Self {
        if secure || allowed == SseCTransport::DangerousAnyTransport { Self::Fit } else { Self::Open }
    }
}

/// The three headers of a customer's key.
#[derive(Default)]
pub(crate) struct CustomerHeaders {
    pub(crate) algorithm: Option<String>,
    pub(crate) key: Option<Zeroizing<String>>,
    pub(crate) key_md5: Option<String>,
}

impl CustomerHeaders {
    pub(crate) fn new(algorithm: Option<String>, key: Option<String>, key_md5: Option<String>) -> Self {
        Self { algorithm, key: key.map(Zeroizing::new), key_md5 }
    }

    fn any(&self) -> bool {
        self.algorithm.is_some() || self.key.is_some() || self.key_md5.is_some()
    }
}

/// What the key is for: AWS answers reads without the key's MD5 differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// To store something.
    Write,
    /// To read what is stored.
    Read,
}

/// The encryption headers of a write.
#[derive(Default)]
pub(crate) struct WriteHeaders {
    pub(crate) method: Option<ServerSideEncryption>,
    pub(crate) kms_key_id: Option<String>,
    pub(crate) kms_context: Option<String>,
    pub(crate) bucket_key: Option<bool>,
    pub(crate) customer: CustomerHeaders,
}

/// What a bucket and its server mean for the encryption headers of a write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting<'a> {
    pub(crate) channel: Channel,
    /// Whether the bucket refuses customers' keys, which it does whatever else is wrong with them.
    pub(crate) customer_keys_blocked: bool,
    /// The region in which keys are.
    pub(crate) region: &'a str,
}

/// What a write asks for.
pub(crate) fn write_request(headers: WriteHeaders, setting: Setting<'_>) -> Result<SseRequest, ApiError> {
    let WriteHeaders { method, kms_key_id, kms_context, bucket_key, customer } = headers;
    if customer.any() {
        if setting.customer_keys_blocked {
            return Err(ObjectError::CustomerKeysBlocked.into());
        }
        if let Some(method) = method {
            return Err(ApiError::invalid_argument(
                SSE,
                method.as_str(),
                "Server Side Encryption with Customer provided key is incompatible with the encryption method \
                 specified",
            ));
        }
        return Ok(customer_key(customer, setting.channel, Use::Write)?
            .map_or(SseRequest::Default, SseRequest::Customer));
    }
    let for_kms = kms_key_id.is_some() || kms_context.is_some();
    match method.as_ref().map(ServerSideEncryption::as_str) {
        Some(kms @ (ServerSideEncryption::AWS_KMS | ServerSideEncryption::AWS_KMS_DSSE)) => {
            if let Some(key_id) = &kms_key_id {
                check_key_region(key_id, setting.region)?;
            }
            let context = kms_context.as_deref().map(context).transpose()?;
            Ok(match kms {
                ServerSideEncryption::AWS_KMS => SseRequest::Kms { key_id: kms_key_id, context, bucket_key },
                // There are no bucket keys here; AWS passes over the header.
                _ => SseRequest::Dsse { key_id: kms_key_id, context },
            })
        }
        Some(AES256) | None if for_kms => Err(ApiError::invalid_argument(
            SSE,
            method.as_ref().map_or("null", ServerSideEncryption::as_str),
            "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : \
             aws:kms",
        )),
        Some(AES256) => Ok(SseRequest::S3),
        None => Ok(SseRequest::Default),
        Some(other) => {
            Err(ApiError::invalid_argument(SSE, other, "The encryption method specified is not supported"))
        }
    }
}

/// Refuses a key that is named as one of another region: `arn:aws:kms:REGION:…`.
pub(crate) fn check_key_region(key_id: &str, region: &str) -> Result<(), ApiError> {
    match kms_key_region(key_id) {
        Some(named) if named != region => Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "KMS.NotFoundException",
            format!("Invalid arn {named}"),
        )),
        _ => Ok(()),
    }
}

/// A key as AWS names it, and as policies do.
pub(crate) fn key_arn(key_id: &str) -> String {
    format!("arn:aws:kms:::key/{key_id}")
}

/// The JSON of an encryption context: an object whose values are strings.
fn context(header: &str) -> Result<String, ApiError> {
    let invalid = || {
        ApiError::invalid_argument(
            "x-amz-server-side-encryption-context",
            header,
            "The header 'x-amz-server-side-encryption-context' shall be Base64-encoded UTF-8 string holding JSON \
             which represents a string-string map",
        )
    };
    let json = STANDARD.decode(header).map_err(|_| invalid())?;
    if json.len() > CONTEXT_BYTES_MAX {
        return Err(invalid());
    }
    let map: std::collections::BTreeMap<String, String> =
        serde_json::from_slice(&json).map_err(|_| invalid())?;
    // Written again with sorted names: the same context binds the same bytes however a client spelled it.
    serde_json::to_string(&map).map_err(|_| invalid())
}

const MUST: &str = "Requests specifying Server Side Encryption with Customer provided keys must";

/// The customer's key, if the request carries one.
pub(crate) fn customer_key(
    headers: CustomerHeaders,
    channel: Channel,
    purpose: Use,
) -> Result<Option<CustomerKey>, ApiError> {
    if !headers.any() {
        return Ok(None);
    }
    if channel == Channel::Open {
        return Err(ApiError::invalid_request(format!("{MUST} be made over a secure connection.")));
    }
    let about = |value: &str, message: String| ApiError::invalid_argument(SSE, value.to_owned(), message);
    let Some(algorithm) = headers.algorithm else {
        return Err(about("null", format!("{MUST} provide a valid encryption algorithm.")));
    };
    if algorithm != AES256 {
        let message = "The Encryption request you specified is not valid. Supported value: AES256.";
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "InvalidEncryptionAlgorithmError", message)
            .field("ArgumentName", SSE)
            .field("ArgumentValue", algorithm));
    }
    let Some(key) = headers.key else {
        return Err(about("null", format!("{MUST} provide an appropriate secret key.")));
    };
    // The value of the argument is the key itself, so it is not repeated.
    let unfit = || about("", "The secret key was invalid for the specified algorithm.".to_owned());
    let bytes = Zeroizing::new(STANDARD.decode(key.as_bytes()).map_err(|_| unfit())?);
    let key = CustomerKey::from_slice(&bytes).ok_or_else(unfit)?;
    let Some(given) = headers.key_md5 else {
        return Err(match purpose {
            Use::Write => unfit(),
            Use::Read => ApiError::access_denied(format!("{MUST} provide the correct secret key.")),
        });
    };
    let expected = STANDARD.encode(key_md5(&key));
    if !bool::from(expected.as_bytes().ct_eq(given.as_bytes())) {
        let message = "The calculated MD5 hash of the key did not match the hash that was provided.";
        return Err(about(&given, message.to_owned()));
    }
    Ok(Some(key))
}

/// The customer's key of a part.
pub(crate) fn part_key(
    headers: CustomerHeaders,
    setting: Setting<'_>,
) -> Result<Option<CustomerKey>, ApiError> {
    if headers.any() && setting.customer_keys_blocked {
        return Err(ObjectError::CustomerKeysBlocked.into());
    }
    customer_key(headers, setting.channel, Use::Write)
}

fn key_md5(key: &CustomerKey) -> [u8; 16] {
    Md5::digest(key.dangerous_expose()).into()
}

/// Headers that say how a new object is to be encrypted.
const METHOD: [&str; 4] = [
    SSE,
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-bucket-key-enabled",
    "x-amz-server-side-encryption-context",
];

/// Reads must not name an encryption method: the object has one. Neither must parts: the upload has one.
pub(crate) fn refuse_method(headers: &HeaderMap) -> Result<(), ApiError> {
    // Most requests have few headers, and none of these.
    let is_method = |name: &http::HeaderName| METHOD.contains(&name.as_str());
    let named = || METHOD.into_iter().find_map(|name| Some((name, headers.get(name)?)));
    match headers.keys().any(is_method).then(named).flatten() {
        None => Ok(()),
        Some((name, value)) => Err(ApiError::invalid_argument(
            name,
            value.to_str().unwrap_or_default(),
            format!("{name} header is not supported for this operation."),
        )),
    }
}

/// The headers with which an answer tells how an object is encrypted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) method: Option<ServerSideEncryption>,
    pub(crate) kms_key_id: Option<String>,
    pub(crate) kms_context: Option<String>,
    pub(crate) bucket_key: Option<bool>,
    pub(crate) customer_algorithm: Option<String>,
    pub(crate) customer_key_md5: Option<String>,
}

/// What an answer tells about `applied`.
pub(crate) fn reply(applied: &SseApplied) -> Reply {
    match applied {
        SseApplied::S3 => {
            Reply { method: Some(ServerSideEncryption::from_static(AES256)), ..Reply::default() }
        }
        SseApplied::Kms { key_id, context, bucket_key } => Reply {
            method: Some(ServerSideEncryption::from_static(ServerSideEncryption::AWS_KMS)),
            kms_key_id: Some(key_arn(key_id)),
            kms_context: context.as_ref().map(|json| STANDARD.encode(json)),
            bucket_key: bucket_key.then_some(true),
            ..Reply::default()
        },
        SseApplied::Dsse { key_id, context } => Reply {
            method: Some(ServerSideEncryption::from_static(ServerSideEncryption::AWS_KMS_DSSE)),
            kms_key_id: Some(key_arn(key_id)),
            kms_context: context.as_ref().map(|json| STANDARD.encode(json)),
            ..Reply::default()
        },
        SseApplied::Customer { key_md5 } => Reply {
            customer_algorithm: key_md5.map(|_| AES256.to_owned()),
            customer_key_md5: key_md5.map(|md5| STANDARD.encode(md5)),
            ..Reply::default()
        },
    }
}

/// Puts a [`Reply`] into an answer with the usual fields.
macro_rules! answer_sse {
    ($output:expr, $applied:expr) => {{
        let reply = $crate::sse::reply($applied);
        $output.server_side_encryption = reply.method;
        $output.ssekms_key_id = reply.kms_key_id;
        $output.bucket_key_enabled = reply.bucket_key;
        $output.sse_customer_algorithm = reply.customer_algorithm;
        $output.sse_customer_key_md5 = reply.customer_key_md5;
    }};
    ($output:expr, $applied:expr, with context) => {{
        let reply = $crate::sse::reply($applied);
        $output.server_side_encryption = reply.method;
        $output.ssekms_key_id = reply.kms_key_id;
        $output.bucket_key_enabled = reply.bucket_key;
        $output.ssekms_encryption_context = reply.kms_context;
        $output.sse_customer_algorithm = reply.customer_algorithm;
        $output.sse_customer_key_md5 = reply.customer_key_md5;
    }};
}
pub(crate) use answer_sse;

#[cfg(test)]
mod tests {
    use super::*;

    fn key_headers() -> CustomerHeaders {
        CustomerHeaders::new(
            Some(AES256.into()),
            Some(STANDARD.encode([7; 32])),
            Some(STANDARD.encode(Md5::digest([7; 32]))),
        )
    }

    fn write(headers: WriteHeaders) -> Result<SseRequest, ApiError> {
        write_request(headers, setting())
    }

    fn setting() -> Setting<'static> {
        Setting { channel: Channel::Fit, customer_keys_blocked: false, region: "eu-west-1" }
    }

    fn method(text: &str) -> WriteHeaders {
        WriteHeaders { method: Some(text.to_owned().into()), ..WriteHeaders::default() }
    }

    #[test]
    fn each_kind_of_encryption_is_read() {
        assert_eq!(write(WriteHeaders::default()).unwrap(), SseRequest::Default);
        assert_eq!(write(method("AES256")).unwrap(), SseRequest::S3);
        let kms = SseRequest::Kms { key_id: None, context: None, bucket_key: None };
        assert_eq!(write(method("aws:kms")).unwrap(), kms);
        let dsse = WriteHeaders { bucket_key: Some(true), ..method("aws:kms:dsse") };
        assert_eq!(write(dsse).unwrap(), SseRequest::Dsse { key_id: None, context: None });
        let mut headers = method("aws:kms");
        headers.kms_key_id = Some("k".into());
        headers.kms_context = Some(STANDARD.encode("{\"b\":\"2\", \"a\":\"1\"}"));
        headers.bucket_key = Some(true);
        assert_eq!(
            write(headers).unwrap(),
            SseRequest::Kms {
                key_id: Some("k".into()),
                context: Some("{\"a\":\"1\",\"b\":\"2\"}".into()),
                bucket_key: Some(true),
            }
        );
        let headers = WriteHeaders { customer: key_headers(), ..WriteHeaders::default() };
        assert!(matches!(write(headers).unwrap(), SseRequest::Customer(_)));
    }

    #[test]
    fn wrong_methods_are_answered_as_aws_does() {
        assert_eq!(write(method("rot13")).unwrap_err().code, "InvalidArgument");
        for method_ in [None, Some("AES256")] {
            let headers = WriteHeaders {
                method: method_.map(|text| text.to_owned().into()),
                kms_key_id: Some("k".into()),
                ..WriteHeaders::default()
            };
            let error = write(headers).unwrap_err();
            assert!(error.message.starts_with("Server Side Encryption with AWS KMS managed key requires"));
        }
        let mut both = method("AES256");
        both.customer = key_headers();
        assert!(
            write(both).unwrap_err().message.contains("is incompatible with the encryption method specified")
        );
        for bad in ["%", "bm8=", "WyJhIl0=", "eyJhIjoxfQ=="] {
            let mut headers = method("aws:kms");
            headers.kms_context = Some(bad.into());
            assert_eq!(write(headers).unwrap_err().code, "InvalidArgument", "{bad}");
        }
    }

    /// Rows of AWS's error table: what is wrong with the three headers, code, how the message ends.
    #[test]
    fn wrong_customer_keys_are_answered_as_aws_does() {
        type Change = fn(&mut CustomerHeaders);
        let rows: [(Change, Use, &str, &str); 10] = [
            (
                |h| h.algorithm = None,
                Use::Write,
                "InvalidArgument",
                "must provide a valid encryption algorithm.",
            ),
            (
                |h| h.algorithm = Some("AES512".into()),
                Use::Write,
                "InvalidEncryptionAlgorithmError",
                "Supported value: AES256.",
            ),
            (
                |h| h.algorithm = Some("aes256".into()),
                Use::Read,
                "InvalidEncryptionAlgorithmError",
                "Supported value: AES256.",
            ),
            (|h| h.key = None, Use::Write, "InvalidArgument", "must provide an appropriate secret key."),
            (|h| h.key_md5 = None, Use::Write, "InvalidArgument", "was invalid for the specified algorithm."),
            (|h| h.key_md5 = None, Use::Read, "AccessDenied", "must provide the correct secret key."),
            (
                |h| h.key = Some(STANDARD.encode([7; 31]).into()),
                Use::Write,
                "InvalidArgument",
                "was invalid for the specified algorithm.",
            ),
            (
                |h| h.key = Some(STANDARD.encode([7; 33]).into()),
                Use::Write,
                "InvalidArgument",
                "was invalid for the specified algorithm.",
            ),
            (
                |h| h.key = Some("not base64!".to_owned().into()),
                Use::Write,
                "InvalidArgument",
                "was invalid for the specified algorithm.",
            ),
            (
                |h| h.key_md5 = Some(STANDARD.encode([0; 16])),
                Use::Write,
                "InvalidArgument",
                "did not match the hash that was provided.",
            ),
        ];
        for (change, purpose, code, end) in rows {
            let mut headers = key_headers();
            change(&mut headers);
            let error = customer_key(headers, Channel::Fit, purpose).unwrap_err();
            assert_eq!(error.code, code, "{end}");
            assert!(error.message.ends_with(end), "{} / {end}", error.message);
            if code != "AccessDenied" {
                assert_eq!(error.fields[0], ("ArgumentName", SSE.to_owned()));
            }
        }
    }

    #[test]
    fn a_key_of_another_region_is_not_found_and_one_without_a_region_is_ours() {
        for (key, fits) in [
            ("default", true),
            ("arn:aws:kms:::key/default", true),
            ("arn:aws:kms:eu-west-1:000000000000:key/default", true),
            ("arn:aws:kms:us-west-2:000000000000:key/default", false),
        ] {
            let headers = WriteHeaders { kms_key_id: Some(key.into()), ..method("aws:kms") };
            match write(headers) {
                Ok(_) => assert!(fits, "{key}"),
                Err(error) => {
                    assert!(!fits, "{key}");
                    assert_eq!(error.code, "KMS.NotFoundException");
                    assert_eq!(error.message, "Invalid arn us-west-2");
                }
            }
        }
    }

    #[test]
    fn blocked_customer_keys_are_refused_before_they_are_looked_at() {
        let headers = CustomerHeaders { algorithm: Some("nonsense".into()), ..CustomerHeaders::default() };
        let headers = WriteHeaders { customer: headers, ..method("AES256") };
        let error = write_request(headers, Setting { customer_keys_blocked: true, ..setting() }).unwrap_err();
        assert_eq!((error.status, error.code.as_ref()), (StatusCode::FORBIDDEN, "AccessDenied"));
    }

    #[test]
    fn no_error_repeats_a_customer_key() {
        let secret = "not base64 but a secret";
        let headers = CustomerHeaders { key: Some(secret.to_owned().into()), ..key_headers() };
        let error = customer_key(headers, Channel::Fit, Use::Write).unwrap_err();
        assert!(!format!("{error:?}").contains("secret key\"") && !format!("{error:?}").contains(secret));
    }

    #[test]
    fn customer_key_over_an_open_connection_is_refused_before_it_is_looked_at() {
        let error = customer_key(key_headers(), Channel::Open, Use::Read).unwrap_err();
        assert_eq!(error.code, "InvalidRequest");
        assert!(error.message.ends_with("must be made over a secure connection."));
        assert_eq!(Channel::of(true, SseCTransport::TlsOnly), Channel::Fit);
        assert_eq!(Channel::of(false, SseCTransport::TlsOnly), Channel::Open);
        assert_eq!(Channel::of(false, SseCTransport::DangerousAnyTransport), Channel::Fit);
    }

    #[test]
    fn answers_tell_the_encryption_and_nothing_of_a_key_that_was_not_sent() {
        assert_eq!(reply(&SseApplied::S3).method.unwrap().as_str(), "AES256");
        let (key_id, context) = ("k".to_owned(), Some("{}".to_owned()));
        let kms = reply(&SseApplied::Kms { key_id: key_id.clone(), context, bucket_key: true });
        assert_eq!(kms.kms_key_id.as_deref(), Some("arn:aws:kms:::key/k"));
        assert_eq!((kms.kms_context.as_deref(), kms.bucket_key), (Some("e30="), Some(true)));
        let dsse = reply(&SseApplied::Dsse { key_id, context: None });
        assert_eq!((dsse.method.unwrap().as_str(), dsse.bucket_key), ("aws:kms:dsse", None));
        assert_eq!(reply(&SseApplied::Customer { key_md5: None }), Reply::default());
        assert!(reply(&SseApplied::Customer { key_md5: Some([1; 16]) }).customer_key_md5.is_some());
    }

    #[test]
    fn reads_with_an_encryption_method_are_refused() {
        let mut headers = HeaderMap::new();
        assert!(refuse_method(&headers).is_ok());
        for name in METHOD {
            headers.clear();
            headers.insert(name, http::HeaderValue::from_static("AES256"));
            let error = refuse_method(&headers).unwrap_err();
            assert_eq!(
                (error.code.as_ref(), &error.fields[0]),
                ("InvalidArgument", &("ArgumentName", name.to_owned()))
            );
        }
    }
}
