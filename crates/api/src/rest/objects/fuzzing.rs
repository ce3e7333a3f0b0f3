//! Readers of what clients send to the REST API, on mangled headers.
//!
//! Queries and documents are read by the framework; what is tried here is what this crate makes of headers.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use strongroom_objects::SseRequest;
use strongroom_seal::fuzzing::{Decoder, header_lines, try_mangled};

use super::super::versioned::Expected;
use super::{headers as read, put, sse};

const DECODERS: &[Decoder] = &[
    Decoder::new("api/version", version_seeds, version),
    Decoder::new("api/object headers", object_seeds, object),
    Decoder::new("api/encryption headers", encryption_seeds, encryption),
];

#[test]
fn mangled_headers_are_refused_or_mean_something() {
    try_mangled(DECODERS, 4_000);
}

/// What cannot be a header never gets here.
fn headers(bytes: &[u8]) -> HeaderMap {
    let header =
        |(name, value)| Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?));
    header_lines(bytes).filter_map(header).collect()
}

fn version_seeds() -> Vec<Vec<u8>> {
    [&b"if-match: \"3\", \"4\""[..], b"if-none-match: *", b"if-match: *", b""].map(<[u8]>::to_vec).to_vec()
}

fn version(bytes: &[u8]) -> bool {
    let Ok(expected) = Expected::parse(&headers(bytes)) else { return false };
    if let Expected::OneOf(tags) = &expected {
        assert!(tags.iter().all(|tag| expected.holds(Some(tag))) && !expected.holds(None));
    }
    true
}

fn object_seeds() -> Vec<Vec<u8>> {
    vec![
        b"content-type: text/plain\nx-amz-meta-a: b\nexpires: never\ncontent-md5: 1B2M2Y8AsgTpgAmY7PhCfg=="
            .to_vec(),
        b"if-match: \"a\", W/\"b\"\nif-none-match: *\nif-modified-since: Wed, 21 Oct 2015 07:28:00 GMT"
            .to_vec(),
        b"if-range: \"a\"\nrange: bytes=0-9".to_vec(),
        b"if-range: Wed, 21 Oct 2015 07:28:00 GMT\nrange: bytes=-7\ncontent-length: 5".to_vec(),
    ]
}

fn object(bytes: &[u8]) -> bool {
    let headers = headers(bytes);
    let _range = read::range(&headers);
    let _refused = read::refuse_others(&headers, &sse::WRITE);
    let _match = read::if_match(&headers);
    let length = put::content_length(&headers);
    let (written, shown) = (read::write_conditions(&headers), read::read_conditions(&headers));
    let Ok(meta) = read::meta(&headers) else { return false };
    assert!(meta.user.len() <= headers.keys_len(), "no metadata comes from nowhere");
    length.is_ok() && written.is_ok() && shown.is_ok() && read::content_md5(&headers).is_ok()
}

fn encryption_seeds() -> Vec<Vec<u8>> {
    vec![
        b"x-amz-server-side-encryption: AES256".to_vec(),
        b"x-amz-server-side-encryption: aws:kms\nx-amz-server-side-encryption-aws-kms-key-id: key\n\
          x-amz-server-side-encryption-context: eyJhIjoiMSJ9\n\
          x-amz-server-side-encryption-bucket-key-enabled: true"
            .to_vec(),
        b"x-amz-server-side-encryption-customer-algorithm: AES256\n\
          x-amz-server-side-encryption-customer-key: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\
          x-amz-server-side-encryption-customer-key-md5: cLyPS3KoaSFGi/joRB3OUQ=="
            .to_vec(),
    ]
}

fn encryption(bytes: &[u8]) -> bool {
    let headers = headers(bytes);
    let any = headers.keys().any(|name| name.as_str().contains("-customer-"));
    let _open = (sse::write_request(&headers, false), sse::customer_key(&headers, false));
    let _key = sse::customer_key(&headers, true);
    match sse::write_request(&headers, true) {
        Ok(SseRequest::Customer(_)) => true,
        // Asking for a key of one's own and getting another would be the worst answer of all.
        Ok(_) => {
            let read = sse::READ.iter().any(|name| headers.contains_key(*name));
            assert!(!(any && read), "a customer's key is never ignored");
            true
        }
        Err(_) => false,
    }
}
