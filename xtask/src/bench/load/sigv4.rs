//! Requests signed in their headers, as SDKs and command-line clients sign all but the URLs that they give away.
//!
//! AWS S3 API reference, "Signature Calculations for the Authorization Header". `rusty_s3` signs URLs only.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

const REGION: &str = "us-east-1";
const SIGNED_HEADERS: &str = "host;x-amz-content-sha256;x-amz-date";

/// The headers beside `host` of a request without query and body, sent now.
pub(super) fn headers(
    (access_key, secret_key): (&str, &str),
    method: &str,
    path: &str,
    host: &str,
) -> [(&'static str, String); 3] {
    let date = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let (day, _) = date.split_once('T').expect("the format has one");
    let scope = format!("{day}/{REGION}/s3/aws4_request");
    let empty = hex::encode(Sha256::digest(b""));
    let canonical = format!(
        "{method}\n{path}\n\nhost:{host}\nx-amz-content-sha256:{empty}\nx-amz-date:{date}\n\n{SIGNED_HEADERS}\n{empty}"
    );
    let canonical = hex::encode(Sha256::digest(canonical));
    let first = format!("AWS4{secret_key}").into_bytes();
    let key = [day, REGION, "s3", "aws4_request"].iter().fold(first, |key, step| hmac(&key, step));
    let signature = hex::encode(hmac(&key, &format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{canonical}")));
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders={SIGNED_HEADERS}, Signature={signature}"
    );
    [("x-amz-date", date), ("x-amz-content-sha256", empty), ("authorization", authorization)]
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("keys of any length are fine");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}
