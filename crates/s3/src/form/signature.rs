//! Who signed the policy document of a form.
//!
//! What is signed is the document as it stands in the form, in Base64: with the derived key of Version 4, or with the
//! secret itself in Version 2, which some SDKs use by default. Both cover everything that the form may hold.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::StatusCode;
use sha1::Sha1;
use sha2::Sha256;
use strongroom_iam::Iam;
use subtle::ConstantTimeEq;

use super::fields::Form;
use crate::access::secret_of;
use crate::error::ApiError;
use crate::request::RequestState;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The access key whose signature the form carries, or nothing if it carries none.
pub(super) fn check(form: &Form, state: &RequestState, iam: &Iam) -> Result<Option<String>, ApiError> {
    let token = form.field("x-amz-security-token");
    let (access_key, right) = match (form.field("x-amz-signature"), form.field("signature")) {
        (Some(given), _) => {
            let scope = Scope::of(form)?;
            let secret = secret_of(iam, state, scope.access_key, token)?;
            let policy = required(form, "policy")?;
            (scope.access_key, same(&scope.sign(secret.dangerous_expose(), policy), given))
        }
        (None, Some(given)) => {
            let access_key = required(form, "awsaccesskeyid")?;
            let secret = secret_of(iam, state, access_key, token)?;
            let policy = required(form, "policy")?;
            (access_key, same(&version_2(secret.dangerous_expose(), policy), given))
        }
        (None, None) => return Ok(None),
    };
    if !right {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. Check your key and \
             signing method.",
        )
        .field("AWSAccessKeyId", access_key));
    }
    Ok(Some(access_key.to_owned()))
}

fn required<'a>(form: &'a Form, name: &'static str) -> Result<&'a str, ApiError> {
    form.field(name).ok_or_else(|| {
        ApiError::invalid_argument(
            name,
            "",
            format!("Bucket POST must contain a field named '{name}'.  If it is specified, please check the order of \
                     the fields."),
        )
    })
}

fn same(expected: &str, given: &str) -> bool {
    expected.as_bytes().ct_eq(given.as_bytes()).into()
}

/// What a signature of Version 4 is made for.
struct Scope<'a> {
    access_key: &'a str,
    date: &'a str,
    region: &'a str,
}

impl<'a> Scope<'a> {
    fn of(form: &'a Form) -> Result<Self, ApiError> {
        let algorithm = required(form, "x-amz-algorithm")?;
        if algorithm != ALGORITHM {
            return Err(ApiError::invalid_argument(
                "X-Amz-Algorithm",
                algorithm,
                "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"",
            ));
        }
        let credential = required(form, "x-amz-credential")?;
        let malformed = || {
            ApiError::invalid_argument(
                "X-Amz-Credential",
                credential,
                "The X-Amz-Credential field is malformed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".",
            )
        };
        let mut from_end = credential.rsplitn(5, '/');
        let (Some("aws4_request"), Some("s3"), Some(region), Some(date), Some(access_key)) =
            (from_end.next(), from_end.next(), from_end.next(), from_end.next(), from_end.next())
        else {
            return Err(malformed());
        };
        let stamp = required(form, "x-amz-date")?;
        if date.len() != 8 || !stamp.starts_with(date) {
            return Err(malformed());
        }
        Ok(Self { access_key, date, region })
    }

    fn sign(&self, secret: &str, policy: &str) -> String {
        let start = zeroize::Zeroizing::new(format!("AWS4{secret}"));
        let key = hmac_sha256(start.as_bytes(), self.date.as_bytes());
        let key =
            ["s3", "aws4_request"].iter().fold(hmac_sha256(&*key, self.region.as_bytes()), |key, part| {
                hmac_sha256(&*key, part.as_bytes())
            });
        hmac_sha256(&*key, policy.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn hmac_sha256(key: &[u8], data: &[u8]) -> zeroize::Zeroizing<[u8; 32]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(data);
    zeroize::Zeroizing::new(mac.finalize().into_bytes().into())
}

fn version_2(secret: &str, policy: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(policy.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AWS, "Examples: browser-based upload using HTTP POST (Using AWS Signature Version 4)": scope, and a policy as
    /// short as it gets. Checked against an implementation of its own below.
    #[test]
    fn derived_key_is_that_of_the_published_example() {
        // AWS, "Deriving the signing key": the key for 20150830/us-east-1/iam is published; ours differs in the
        // service only, so the chain is compared step by step.
        let start = hmac_sha256(b"AWS4wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", b"20150830");
        let key = [&b"us-east-1"[..], b"iam", b"aws4_request"]
            .iter()
            .fold(start, |key, part| hmac_sha256(&*key, part));
        let text: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text, "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9");
    }

    /// RFC 2202, test case 2.
    #[test]
    fn version_2_is_hmac_sha1_in_base64() {
        assert_eq!(version_2("Jefe", "what do ya want for nothing?"), "7/zfauXrL6LSdBbV8YTfnCWafHk=");
    }
}
