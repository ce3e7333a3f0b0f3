//! The headers of encryption: S3's.

use axum::http::header::HeaderName;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use serde::Serialize;
use strongroom_objects::{SseApplied, SseRequest};
use strongroom_seal::CustomerKey;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::headers::{put, text};
use crate::refusal::Refusal;

const METHOD: &str = "x-amz-server-side-encryption";
pub(super) const KMS_KEY_ID: &str = "x-amz-server-side-encryption-aws-kms-key-id";
const KMS_CONTEXT: &str = "x-amz-server-side-encryption-context";
const BUCKET_KEY: &str = "x-amz-server-side-encryption-bucket-key-enabled";
const CUSTOMER_ALGORITHM: &str = "x-amz-server-side-encryption-customer-algorithm";
const CUSTOMER_KEY: &str = "x-amz-server-side-encryption-customer-key";
const CUSTOMER_KEY_MD5: &str = "x-amz-server-side-encryption-customer-key-md5";

/// What a write may say.
pub(super) const WRITE: [&str; 7] =
    [METHOD, KMS_KEY_ID, KMS_CONTEXT, BUCKET_KEY, CUSTOMER_ALGORITHM, CUSTOMER_KEY, CUSTOMER_KEY_MD5];
/// What a read may say.
pub(super) const READ: [&str; 3] = [CUSTOMER_ALGORITHM, CUSTOMER_KEY, CUSTOMER_KEY_MD5];
/// What policies can ask for of a write; their condition keys are called like the headers, after `s3:`.
pub(super) const CONDITIONS: [(&str, &str); 2] = [
    (METHOD, "s3:x-amz-server-side-encryption"),
    (CUSTOMER_ALGORITHM, "s3:x-amz-server-side-encryption-customer-algorithm"),
];

/// And for the key of the KMS, by its one name in policies.
pub(super) const KMS_KEY_CONDITION: &str = "s3:x-amz-server-side-encryption-aws-kms-key-id";

/// Longest encryption context in bytes, decoded: AWS KMS, "Quotas".
const CONTEXT_BYTES_MAX: usize = 8192;

fn invalid(name: &str, what: &str) -> Refusal {
    Refusal::bad_request("InvalidHeader", format!("The header {name} {what}."))
}

/// The encryption that a write asks for.
pub(super) fn write_request(headers: &HeaderMap, private: bool) -> Result<SseRequest, Refusal> {
    let method = text(headers, METHOD)?;
    let (key_id, context) = (text(headers, KMS_KEY_ID)?, text(headers, KMS_CONTEXT)?);
    let bucket_key = match text(headers, BUCKET_KEY)? {
        None => None,
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(_) => return Err(invalid(BUCKET_KEY, "must be true or false")),
    };
    if let Some(key) = customer_key(headers, private)? {
        let other = [(METHOD, method), (KMS_KEY_ID, key_id), (KMS_CONTEXT, context)];
        return match other.into_iter().find(|(_, value)| value.is_some()) {
            None => Ok(SseRequest::Customer(key)),
            Some((name, _)) => Err(invalid(name, "does not go with a customer's key")),
        };
    }
    match method {
        Some("aws:kms") => Ok(SseRequest::Kms {
            key_id: key_id.map(str::to_owned),
            context: context.map(decoded_context).transpose()?,
            bucket_key,
        }),
        Some("aws:kms:dsse") if bucket_key == Some(true) => {
            Err(invalid(BUCKET_KEY, "does not go with aws:kms:dsse, which has no bucket keys"))
        }
        Some("aws:kms:dsse") => Ok(SseRequest::Dsse {
            key_id: key_id.map(str::to_owned),
            context: context.map(decoded_context).transpose()?,
        }),
        Some("AES256") | None if key_id.is_some() || context.is_some() => {
            Err(invalid(METHOD, "must be aws:kms where a key of the KMS or its context is named"))
        }
        Some("AES256") => Ok(SseRequest::S3),
        None => Ok(SseRequest::Default),
        Some(_) => Err(invalid(METHOD, "must be AES256, aws:kms or aws:kms:dsse")),
    }
}

/// The JSON of an encryption context: an object whose values are strings. Its names are sorted, so that the same context
/// binds the same bytes however a client wrote it.
fn decoded_context(header: &str) -> Result<String, Refusal> {
    let wrong = || invalid(KMS_CONTEXT, "must be the Base64 of a JSON object whose values are strings");
    let json = STANDARD.decode(header).map_err(|_| wrong())?;
    if json.len() > CONTEXT_BYTES_MAX {
        return Err(wrong());
    }
    let map: std::collections::BTreeMap<String, String> =
        serde_json::from_slice(&json).map_err(|_| wrong())?;
    serde_json::to_string(&map).map_err(|_| wrong())
}

/// The customer's key, if the request carries one.
pub(super) fn customer_key(headers: &HeaderMap, private: bool) -> Result<Option<CustomerKey>, Refusal> {
    let [algorithm, key, md5] = [CUSTOMER_ALGORITHM, CUSTOMER_KEY, CUSTOMER_KEY_MD5];
    if [algorithm, key, md5].iter().all(|name| !headers.contains_key(*name)) {
        return Ok(None);
    }
    if !private {
        let message = "Customers' keys are not taken over plain HTTP: whoever reads along would have them.";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "TlsRequired", message));
    }
    if text(headers, algorithm)? != Some("AES256") {
        return Err(invalid(algorithm, "must be AES256"));
    }
    let wrong = || invalid(key, "must be the Base64 of 32 bytes");
    let encoded = Zeroizing::new(text(headers, key)?.ok_or_else(wrong)?.to_owned());
    let bytes = Zeroizing::new(STANDARD.decode(encoded.as_bytes()).map_err(|_| wrong())?);
    let customer = CustomerKey::from_slice(&bytes).ok_or_else(wrong)?;
    let digest = STANDARD.encode(Md5::digest(&*bytes));
    if text(headers, md5)? != Some(&digest) {
        return Err(invalid(md5, "must be the Base64 of the key's MD5"));
    }
    Ok(Some(customer))
}

/// How an object is encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize, ToSchema)]
pub struct ObjectEncryption {
    /// `AES256` (a key of the bucket), `aws:kms` or `aws:kms:dsse` (a key of the KMS), or `customer` (the client's key).
    pub algorithm: String,
    /// The key of the KMS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
}

/// How `applied` is called.
pub(super) fn encryption(applied: &SseApplied) -> ObjectEncryption {
    let (algorithm, kms_key_id) = match applied {
        SseApplied::S3 => ("AES256", None),
        SseApplied::Kms { key_id, .. } => ("aws:kms", Some(key_id.clone())),
        SseApplied::Dsse { key_id, .. } => ("aws:kms:dsse", Some(key_id.clone())),
        SseApplied::Customer { .. } => ("customer", None),
    };
    ObjectEncryption { algorithm: algorithm.to_owned(), kms_key_id }
}

/// Says in the header how an object is encrypted.
pub(super) fn answer(headers: &mut HeaderMap, applied: &SseApplied) {
    let mut say = |name, value: &str| put(headers, HeaderName::from_static(name), value);
    match applied {
        SseApplied::Customer { key_md5 } => {
            say(CUSTOMER_ALGORITHM, "AES256");
            if let Some(md5) = key_md5 {
                say(CUSTOMER_KEY_MD5, &STANDARD.encode(md5));
            }
        }
        other => {
            let ObjectEncryption { algorithm, kms_key_id } = encryption(other);
            say(METHOD, &algorithm);
            if let Some(key_id) = kms_key_id {
                say(KMS_KEY_ID, &key_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(of: &[(&'static str, &str)]) -> HeaderMap {
        of.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn customer(key: &[u8]) -> HeaderMap {
        headers(&[
            (CUSTOMER_ALGORITHM, "AES256"),
            (CUSTOMER_KEY, &STANDARD.encode(key)),
            (CUSTOMER_KEY_MD5, &STANDARD.encode(Md5::digest(key))),
        ])
    }

    #[test]
    fn each_kind_of_encryption_is_read() {
        let of = |headers: HeaderMap| write_request(&headers, true).unwrap();
        assert_eq!(of(HeaderMap::new()), SseRequest::Default);
        assert_eq!(of(headers(&[(METHOD, "AES256")])), SseRequest::S3);
        let context = STANDARD.encode("{\"b\":\"2\", \"a\":\"1\"}");
        let kms = headers(&[(METHOD, "aws:kms"), (KMS_KEY_ID, "k"), (KMS_CONTEXT, &context)]);
        let context = Some("{\"a\":\"1\",\"b\":\"2\"}".to_owned());
        assert_eq!(of(kms), SseRequest::Kms { key_id: Some("k".into()), context, bucket_key: None });
        let dsse = headers(&[(METHOD, "aws:kms:dsse")]);
        assert_eq!(of(dsse), SseRequest::Dsse { key_id: None, context: None });
        assert!(matches!(of(customer(&[7; 32])), SseRequest::Customer(_)));
    }

    #[test]
    fn headers_that_contradict_each_other_are_refused() {
        let mut both = customer(&[7; 32]);
        both.insert(METHOD, "AES256".parse().unwrap());
        let mut wrong_md5 = customer(&[7; 32]);
        wrong_md5.insert(CUSTOMER_KEY_MD5, STANDARD.encode([0; 16]).parse().unwrap());
        for bad in [
            both,
            wrong_md5,
            customer(&[7; 31]),
            headers(&[(METHOD, "rot13")]),
            headers(&[(METHOD, "aws:kms:dsse"), (BUCKET_KEY, "true")]),
            headers(&[(METHOD, "aws:kms"), (BUCKET_KEY, "yes")]),
            headers(&[(KMS_KEY_ID, "k")]),
            headers(&[(METHOD, "AES256"), (KMS_CONTEXT, "e30=")]),
            headers(&[(METHOD, "aws:kms"), (KMS_CONTEXT, "WyJhIl0=")]),
            headers(&[(CUSTOMER_ALGORITHM, "AES256")]),
        ] {
            assert!(write_request(&bad, true).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn customers_key_over_an_open_connection_is_refused() {
        assert_eq!(customer_key(&customer(&[7; 32]), false).unwrap_err().code, "TlsRequired");
    }
}
