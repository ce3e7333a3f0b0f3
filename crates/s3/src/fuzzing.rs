//! Entry points for tests that hand mangled bytes to the readers of this crate. Only with the feature `fuzzing`.
//!
//! XML, dates and the shape of ranges and conditions are read by the protocol library; what it hands on is tried as
//! well where it takes no more than a header.

use std::collections::VecDeque;

use bytes::Bytes;
use futures::FutureExt;
use http::header::{IF_MATCH, IF_NONE_MATCH, IF_RANGE};
use http::{HeaderMap, HeaderName, HeaderValue};
use s3s::dto::{ETagCondition, Range, ServerSideEncryption};
use strongroom_objects::{ChecksumValue, SseRequest};
use strongroom_seal::fuzzing::{Decoder, header_lines};

use crate::form::{self, Form};
use crate::sse::{self, Channel, CustomerHeaders, WriteHeaders};
use crate::wire::body::{BodyFault, Chunking};
use crate::wire::chunks::ChunkWatch;
use crate::{checksum, convert, sigv4};

/// The readers of this crate.
pub const DECODERS: &[Decoder] = &[
    // Pieces of a body are shared, and each takes a place in a queue.
    Decoder::new("s3/unsigned chunks", unsigned_seeds, |bytes| framing(Chunking::Unsigned, bytes))
        .with_memory(16 << 10, 40),
    Decoder::new("s3/signed chunks", signed_seeds, |bytes| {
        framing(Chunking::Signed { chunk_bytes_max: 64 }, bytes)
    })
    .with_memory(16 << 10, 40),
    // The shortest origin has three bytes and becomes a string, in a list that grows by doubling.
    Decoder::new("s3/cors rules", cors_seeds, cors).with_memory(4096, 80),
    // Four bytes are enough for a header, which takes a slot of a hash table that grows by doubling.
    Decoder::new("s3/signature", signature_seeds, signature).with_memory(16 << 10, 200),
    // A form has room for its fields before the first of them is read.
    Decoder::new("s3/form", form_seeds, form).with_memory(128 << 10, 400),
    Decoder::new("s3/facts", fact_seeds, facts).with_memory(32 << 10, 400),
    Decoder::new("s3/checksum headers", checksum_seeds, checksums).with_memory(16 << 10, 200),
    Decoder::new("s3/encryption headers", sse_seeds, encryption).with_memory(16 << 10, 200),
    Decoder::new(
        "s3/blocked encryption types",
        document_seeds,
        crate::encryption_document::split_for_fuzzing,
    ),
    // The shortest part has seven bytes.
    Decoder::new("s3/completion", completion_seeds, crate::checksum_document::read_for_fuzzing)
        .with_memory(16 << 10, 120),
    Decoder::new("s3/ownership", ownership_seeds, crate::ops::bucket_settings::ownership::is_document),
    Decoder::new("s3/headers in a query", hoisted_seeds, hoisted).with_memory(32 << 10, 400),
    Decoder::new("s3/lock headers", lock_seeds, |bytes| {
        crate::ops::object_lock::of_headers(&headers(bytes)).is_ok()
    })
    .with_memory(16 << 10, 200),
    Decoder::new("s3/range of a part copy", || vec![b"bytes=0-9".to_vec()], part_range),
    Decoder::new("s3/headers of a preflight", preflight_seeds, preflight).with_memory(16 << 10, 200),
    Decoder::new("s3/tagging", tagging_seeds, tagging).with_memory(4096, 64),
    Decoder::new("s3/range", range_seeds, range),
    Decoder::new("s3/conditions", condition_seeds, conditions),
    Decoder::new("s3/bucket list token", token_seeds, |bytes| {
        token(bytes, crate::ops::list_buckets::token_in)
    }),
    Decoder::new("s3/object list token", token_seeds, |bytes| {
        token(bytes, crate::ops::list_objects_v2::token_in)
    }),
];

fn cors_seeds() -> Vec<Vec<u8>> {
    let rule = r#"{"id":"a","origins":["https://*.example.com"],"methods":["GET","PUT"],"headers":["x-*"],"expose":["ETag"],"max_age_seconds":60}"#;
    vec![
        format!(r#"{{"rules":[{rule}]}}"#).into_bytes(),
        br#"{"rules":[{"origins":["*"],"methods":["HEAD"]}]}"#.to_vec(),
    ]
}

fn cors(bytes: &[u8]) -> bool {
    let Ok(config) = serde_json::from_slice::<crate::cors::CorsConfig>(bytes) else { return false };
    let _checked = config.check();
    let again = serde_json::to_vec(&config).unwrap_or_default();
    assert_eq!(serde_json::from_slice(&again).ok(), Some(config), "it says the same again");
    true
}

fn document_seeds() -> Vec<Vec<u8>> {
    let types = "<BlockedEncryptionTypes><EncryptionType>SSE-C</EncryptionType></BlockedEncryptionTypes>";
    ["", "<BlockedEncryptionTypes/>", types]
        .map(|inside| format!("<C><Rule><BucketKeyEnabled>true</BucketKeyEnabled>{inside}</Rule></C>").into())
        .into()
}

fn unsigned_seeds() -> Vec<Vec<u8>> {
    vec![
        b"a\r\nstrongroom\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n".to_vec(),
        b"1\r\na\r\n02\r\nbc\r\n0\r\n\r\n".to_vec(),
    ]
}

fn signed_seeds() -> Vec<Vec<u8>> {
    let signature = "f".repeat(64);
    vec![
        format!("a;chunk-signature={signature}\r\nstrongroom\r\n0;chunk-signature={signature}\r\n\r\n")
            .into_bytes(),
    ]
}

/// What comes through, in pieces of this length.
fn fed(chunking: Chunking, bytes: &[u8], piece: usize) -> Result<Vec<u8>, BodyFault> {
    let mut watch = ChunkWatch::new(chunking);
    let (mut out, mut whole) = (VecDeque::new(), Vec::new());
    for piece in bytes.chunks(piece) {
        watch.feed(Bytes::copy_from_slice(piece), &mut out, |_| {})?;
        out.drain(..).for_each(|piece| whole.extend_from_slice(&piece));
    }
    watch.finish()?;
    Ok(whole)
}

/// However a body arrives, it is the same body.
fn framing(chunking: Chunking, bytes: &[u8]) -> bool {
    let whole = fed(chunking, bytes, bytes.len().max(1));
    let pieces = fed(chunking, bytes, 7);
    assert_eq!(whole.is_ok(), pieces.is_ok(), "the cuts of the network do not matter");
    let (Ok(whole), Ok(pieces)) = (whole, pieces) else { return false };
    if chunking != Chunking::Unsigned {
        assert!(whole == bytes && pieces == bytes, "signed bodies are only watched");
    } else {
        let again = fed(chunking, &pieces, bytes.len().max(1));
        assert_eq!(data(&whole), data(&pieces), "the same content");
        assert!(again.is_ok_and(|again| data(&again) == data(&whole)), "what comes out is well framed");
    }
    true
}

/// The content of a body that is well framed.
fn data(framed: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = framed;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let digits = rest[..end].split(|byte| matches!(byte, b';' | b'\r')).next().unwrap_or_default();
        let size = std::str::from_utf8(digits).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
        let Some(piece) = size.filter(|size| *size > 0).and_then(|size| rest.get(end + 1..end + 1 + size))
        else {
            break;
        };
        out.extend_from_slice(piece);
        rest = rest.get(end + 1 + piece.len() + 2..).unwrap_or_default();
    }
    out
}

/// What cannot be a header never gets here.
fn headers(bytes: &[u8]) -> HeaderMap {
    let header =
        |(name, value)| Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?));
    header_lines(bytes).filter_map(header).collect()
}

fn signature_seeds() -> Vec<Vec<u8>> {
    let scope = "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request";
    let header = format!(
        "\nauthorization: AWS4-HMAC-SHA256 Credential={scope},SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,\
         Signature=fe5f\nhost: example\nrange: bytes=0-9\nx-amz-content-sha256: UNSIGNED-PAYLOAD\n\
         x-amz-date: 20130524T000000Z"
    );
    let presigned = format!(
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&\
         X-Amz-SignedHeaders=host&X-Amz-Signature={}\nhost: example",
        scope.replace('/', "%2F"),
        "ae".repeat(32),
    );
    let old =
        "AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=vjby&Expires=1369353600\nhost: example".to_owned();
    vec![header.into(), presigned.into(), old.into()]
}

/// A query string, then headers.
fn signature(bytes: &[u8]) -> bool {
    let mut lines = bytes.splitn(2, |byte| *byte == b'\n');
    let Ok(query) = std::str::from_utf8(lines.next().unwrap_or_default()) else { return false };
    let headers = headers(lines.next().unwrap_or_default());
    let here = sigv4::claims::Here {
        service: "s3",
        region: "us-east-1",
        now: time::macros::datetime!(2013-05-24 00:00 UTC),
        skew_max: std::time::Duration::from_secs(900),
    };
    let mut moved = headers.clone();
    sigv4::claims::date_into_header(&mut moved);
    let good = sigv4::claims::check(query, &headers, &here).is_ok();
    good && sigv4::Signed::parse(query, &moved).is_none_or(|signed| signed.check_coverage(&moved).is_ok())
}

fn form_seeds() -> Vec<Vec<u8>> {
    let field = |name: &str, value: &str| {
        format!("--xyz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let file =
        "--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a/b\"\r\n\r\nx\r\n--xyz--\r\n";
    let policy = "eyJleHBpcmF0aW9uIjoiMjAzMC0wMS0wMVQwMDowMDowMFoiLCJjb25kaXRpb25zIjpbeyJidWNrZXQiOiJiIn0sWyJzdGFydHMtd2l0\
                  aCIsIiRrZXkiLCIiXV19";
    let tagging = "<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>";
    vec![
        [field("key", "${filename}"), field("tagging", tagging), field("x-amz-meta-a", "ü"), file.to_owned()]
            .concat()
            .into(),
        [field("key", "k"), field("x-ignore-a", "1"), field("policy", policy), file.to_owned()]
            .concat()
            .into(),
    ]
}

/// A form that comes at once, up to the request that it stands for.
fn form(bytes: &[u8]) -> bool {
    let body = s3s::Body::from(bytes.to_vec());
    let read = Form::read("multipart/form-data; boundary=xyz", body).now_or_never();
    let Some(Ok(form)) = read else { return false };
    form::try_all(form)
}

fn fact_seeds() -> Vec<Vec<u8>> {
    vec![
        b"prefix=a%2Fb&max-keys=5&versionId=null\nx-amz-tagging: a=b&c=d\nuser-agent: x".to_vec(),
        b"X-Amz-Signature=0&X-Amz-Date=20260102T030405Z\nx-amz-object-lock-retain-until-date: 2030-01-01T00:00:00Z".to_vec(),
    ]
}

/// A query string, then headers: what conditions of policies are told.
fn facts(bytes: &[u8]) -> bool {
    let mut lines = bytes.splitn(2, |byte| *byte == b'\n');
    let query = std::str::from_utf8(lines.next().unwrap_or_default()).ok();
    let uri = query.and_then(|query| format!("/b/k?{query}").parse().ok());
    let Some(uri) = uri else { return false };
    let headers = headers(lines.next().unwrap_or_default());
    crate::access::try_facts(&uri, &headers)
}

fn checksum_seeds() -> Vec<Vec<u8>> {
    vec![
        b"x-amz-checksum-crc32: AAAAAA==\nx-amz-sdk-checksum-algorithm: CRC32".to_vec(),
        b"x-amz-trailer: x-amz-checksum-sha256\nx-amz-sdk-checksum-algorithm: sha256".to_vec(),
        b"x-amz-trailer: x-amz-checksum-xxhash3\nx-amz-sdk-checksum-algorithm: XXHASH3".to_vec(),
        b"x-amz-checksum-xxhash128: AAAAAAAAAAAAAAAAAAAAAA==-2\nx-amz-sdk-checksum-algorithm: XXHASH128"
            .to_vec(),
        b"content-md5: 1B2M2Y8AsgTpgAmY7PhCfg==\nx-amz-checksum-crc64nvme: AAAAAAAAAAA=-3".to_vec(),
    ]
}

fn completion_seeds() -> Vec<Vec<u8>> {
    let of = |inside: &str| {
        let part = format!("<Part><PartNumber>1</PartNumber><ETag>\"e\"</ETag>{inside}</Part>");
        format!("<CompleteMultipartUpload>{part}</CompleteMultipartUpload>").into_bytes()
    };
    vec![
        of("<ChecksumXXHASH64>AAAAAAAAAAA=</ChecksumXXHASH64>"),
        of("<ChecksumSHA1>AA==</ChecksumSHA1><ChecksumMD5>AA==</ChecksumMD5>"),
        of(""),
    ]
}

fn checksums(bytes: &[u8]) -> bool {
    let headers = headers(bytes);
    let digest = headers.get("content-md5").map(|value| value.to_str().unwrap_or_default());
    let asked = checksum::upload_request(&headers, None);
    let given = checksum::given(&headers);
    if let Ok(asked) = &asked {
        let expected = given.as_ref().ok().and_then(Option::as_ref).map(ChecksumValue::algorithm);
        assert_eq!(asked.expected.first().map(ChecksumValue::algorithm), expected, "one reading of a header");
    }
    // The answer to an empty document may only be that it is another one.
    let _ = checksum::verify_document(&headers, &[]);
    asked.is_ok() && checksum::content_md5(digest).is_ok()
}

fn sse_seeds() -> Vec<Vec<u8>> {
    vec![
        b"x-amz-server-side-encryption: AES256".to_vec(),
        b"x-amz-server-side-encryption: aws:kms\nx-amz-server-side-encryption-aws-kms-key-id: key\n\
          x-amz-server-side-encryption-context: eyJiIjoiMiIsImEiOiIxIn0="
            .to_vec(),
        b"x-amz-server-side-encryption-customer-algorithm: AES256\n\
          x-amz-server-side-encryption-customer-key: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\
          x-amz-server-side-encryption-customer-key-md5: cLyPS3KoaSFGi/joRB3OUQ=="
            .to_vec(),
    ]
}

fn encryption(bytes: &[u8]) -> bool {
    let headers = headers(bytes);
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::to_owned);
    let of = |what: &str| text(&format!("x-amz-server-side-encryption{what}"));
    let customer =
        || CustomerHeaders::new(of("-customer-algorithm"), of("-customer-key"), of("-customer-key-md5"));
    let request = WriteHeaders {
        method: of("").map(ServerSideEncryption::from),
        kms_key_id: of("-aws-kms-key-id"),
        kms_context: of("-context"),
        bucket_key: of("-bucket-key-enabled").map(|text| text == "true"),
        customer: customer(),
    };
    let _ = sse::refuse_method(&headers);
    let _ = sse::customer_key(customer(), Channel::Fit, sse::Use::Read);
    let any = customer().algorithm.is_some() || customer().key.is_some() || customer().key_md5.is_some();
    let setting = sse::Setting { channel: Channel::Fit, customer_keys_blocked: false, region: "us-east-1" };
    match sse::write_request(request, setting) {
        Ok(SseRequest::Customer(_)) => true,
        // Asking for a key of one's own and getting another would be the worst answer of all.
        Ok(_) => {
            assert!(!any, "a customer's key is never ignored");
            true
        }
        Err(_) => false,
    }
}

fn ownership_seeds() -> Vec<Vec<u8>> {
    [&br#""BucketOwnerEnforced""#[..], br#""Removed""#].map(<[u8]>::to_vec).to_vec()
}

fn hoisted_seeds() -> Vec<Vec<u8>> {
    vec![
        b"X-Amz-Signature=0&x-amz-meta-a=1%202&X-Amz-Storage-Class=STANDARD_IA\nhost: x".to_vec(),
        b"X-Amz-Signature=0&X-Amz-Date=20260102T030405Z&x-amz-tagging=a%3Db".to_vec(),
    ]
}

/// The query of a presigned URL, then headers.
fn hoisted(bytes: &[u8]) -> bool {
    let mut lines = bytes.splitn(2, |byte| *byte == b'\n');
    let query = std::str::from_utf8(lines.next().unwrap_or_default()).ok();
    let uri: Option<http::Uri> = query.and_then(|query| format!("/b/k?{query}").parse().ok());
    let Some(uri) = uri else { return false };
    let given = headers(lines.next().unwrap_or_default());
    let mut all = given.clone();
    if crate::hoisted::into_headers(&uri, &mut all).is_err() {
        return false;
    }
    let names: Vec<_> = crate::hoisted::names(uri.query().unwrap_or_default()).collect();
    let added = all.keys().filter(|name| !given.contains_key(*name));
    assert!(added.into_iter().all(|name| names.iter().any(|known| known == name.as_str())), "all are signed");
    assert!(
        given.iter().all(|(name, value)| all.get_all(name).iter().any(|kept| kept == value)),
        "none is lost"
    );
    true
}

fn lock_seeds() -> Vec<Vec<u8>> {
    vec![
        b"x-amz-object-lock-mode: COMPLIANCE\nx-amz-object-lock-retain-until-date: 2030-01-01T00:00:00Z"
            .to_vec(),
        b"x-amz-object-lock-legal-hold: ON".to_vec(),
    ]
}

fn part_range(bytes: &[u8]) -> bool {
    let range =
        std::str::from_utf8(bytes).ok().and_then(|text| crate::ops::upload_part_copy::range_in(text).ok());
    assert!(range.is_none_or(|(first, last)| first <= last), "some bytes");
    range.is_some()
}

fn preflight_seeds() -> Vec<Vec<u8>> {
    vec![
        b"access-control-request-headers: X-Amz-Date, authorization\naccess-control-request-headers: x-a"
            .to_vec(),
    ]
}

fn preflight(bytes: &[u8]) -> bool {
    let Some(wanted) = crate::cors::preflight::wanted(&headers(bytes)) else { return false };
    assert!(wanted.len() <= crate::cors::preflight::HEADERS_MAX, "an answer is not longer than its question");
    true
}

fn tagging_seeds() -> Vec<Vec<u8>> {
    vec![b"a=1&b=two+words&c=%C3%BC".to_vec(), b"only".to_vec(), Vec::new()]
}

fn tagging(bytes: &[u8]) -> bool {
    let Some(tags) = std::str::from_utf8(bytes).ok().and_then(|text| convert::tags_of_query(text).ok())
    else {
        return false;
    };
    assert!(
        (1..tags.len()).all(|at| !tags[..at].iter().any(|(name, _)| *name == tags[at].0)),
        "names are unique"
    );
    true
}

fn range_seeds() -> Vec<Vec<u8>> {
    [&b"bytes=0-9"[..], b"bytes=5-", b"bytes=-7"].map(<[u8]>::to_vec).to_vec()
}

fn range(bytes: &[u8]) -> bool {
    let Some(range) = std::str::from_utf8(bytes).ok().and_then(|text| Range::parse(text).ok()) else {
        return false;
    };
    let _ = convert::range_in(range);
    true
}

fn condition_seeds() -> Vec<Vec<u8>> {
    [&b"*"[..], b"\"d41d8cd98f00b204e9800998ecf8427e\"", b"W/\"weak\""].map(<[u8]>::to_vec).to_vec()
}

fn conditions(bytes: &[u8]) -> bool {
    let read = || ETagCondition::parse_http_header(bytes).ok();
    let Ok(value) = HeaderValue::from_bytes(bytes) else { return false };
    for name in [IF_MATCH, IF_NONE_MATCH, IF_RANGE] {
        let headers = HeaderMap::from_iter([(name, value.clone())]);
        let _ = (convert::write_conditions(&headers), convert::if_range(&headers));
    }
    let (Some(one), Some(other)) = (read(), read()) else { return false };
    let conditions = convert::read_conditions(Some(one), Some(other), None, None);
    conditions.if_match.is_some() && conditions.if_none_match.is_some()
}

fn token_seeds() -> Vec<Vec<u8>> {
    vec![b"YS1uYW1l".to_vec(), Vec::new()]
}

fn token(bytes: &[u8], read: fn(&str) -> Result<String, crate::error::ApiError>) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| read(text).is_ok())
}
