//! From a form to the `PutObject` that it stands for.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use s3s::dto::Tagging;
use s3s::xml::{Deserialize, Deserializer};

use super::fields::{Form, FormFile};
use super::malformed;
use crate::convert;
use crate::error::ApiError;
use crate::host::bucket_in;

/// The bucket that a form is sent to, and how it was addressed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    bucket: String,
    in_path: bool,
}

impl Target {
    /// From the path, or from the host where buckets are domains.
    pub(super) fn of(uri: &Uri, headers: &HeaderMap, domains: &[String]) -> Result<Self, ApiError> {
        let authority = || uri.authority().map(http::uri::Authority::as_str);
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).or_else(authority);
        let subdomain = host.and_then(|host| bucket_in(host, domains));
        let path = uri.path().trim_matches('/');
        match (subdomain, path) {
            (Some(bucket), "") => Ok(Self { bucket, in_path: false }),
            (None, bucket) if !bucket.is_empty() && !bucket.contains('/') => {
                convert::bucket_name(bucket)?;
                Ok(Self { bucket: bucket.to_owned(), in_path: true })
            }
            _ => Err(ApiError::new(
                http::StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                "The specified method is not allowed against this resource.",
            )
            .field("Method", "POST")
            .field("ResourceType", "OBJECT")
            .header(header::ALLOW, "HEAD, DELETE, GET, PUT")),
        }
    }

    /// Whether nothing but the bucket stands in this path. A slash more is the name of an object.
    pub(super) fn is_all_of(&self, path: &str) -> bool {
        let rest = path.strip_prefix('/').unwrap_or(path);
        match self.in_path {
            true => rest.strip_suffix('/').unwrap_or(rest) == self.bucket,
            false => rest.is_empty(),
        }
    }

    pub(super) fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The path of an object in it.
    pub(super) fn path(&self, key: &str) -> String {
        let mut out = String::from("/");
        if self.in_path {
            out.push_str(&self.bucket);
            out.push('/');
        }
        out.push_str(&path_encoded(key));
        out
    }
}

/// Percent-encodes a key; `/` stays.
pub(super) fn path_encoded(key: &str) -> String {
    key.bytes().fold(String::with_capacity(key.len()), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                out.push(char::from(byte))
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

/// The request without its body, and the file.
pub(super) fn request(
    form: Form,
    target: &Target,
    head: &Parts,
) -> Result<(Request<()>, FormFile), ApiError> {
    let key = form.field("key").filter(|key| !key.is_empty()).ok_or_else(|| {
        ApiError::invalid_argument(
            "key",
            "",
            "Bucket POST must contain a field named 'key'.  If it is specified, please check the order of the fields.",
        )
    })?;
    let mut headers = HeaderMap::new();
    // Of the request's own headers only those count that say where it goes and where it comes from.
    for name in [header::HOST, header::USER_AGENT, header::REFERER] {
        if let Some(value) = head.headers.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    for (name, value) in form.fields() {
        if name == "tagging" {
            headers.insert("x-amz-tagging", header_value(name, &tags_of_xml(value)?)?);
        } else if let Some(header) = header_of(name) {
            let header = HeaderName::from_bytes(header.as_bytes())
                .map_err(|_| malformed("The name of a field of your POST request is not valid."))?;
            headers.insert(header, header_value(name, value)?);
        }
    }
    let uri: Uri = target
        .path(key)
        .parse()
        .map_err(|_| ApiError::invalid_argument("key", key, "The key is not valid."))?;
    let mut put = Request::new(());
    *put.method_mut() = Method::PUT;
    *put.uri_mut() = uri;
    *put.headers_mut() = headers;
    Ok((put, form.into_file()))
}

/// The header that a field stands for. Every other field has a meaning of its own or none: a list of what is taken, so
/// that no field can turn the upload into something else, a copy for example.
fn header_of(field: &str) -> Option<&str> {
    const SAME: [&str; 8] = [
        "cache-control",
        "content-type",
        "content-disposition",
        "content-encoding",
        "content-language",
        "expires",
        "x-amz-storage-class",
        "x-amz-website-redirect-location",
    ];
    const FAMILIES: [&str; 4] =
        ["x-amz-meta-", "x-amz-server-side-encryption", "x-amz-checksum-", "x-amz-object-lock-"];
    match field {
        "acl" | "x-amz-acl" => Some("x-amz-acl"),
        "x-amz-sdk-checksum-algorithm" => Some(field),
        _ if SAME.contains(&field) || FAMILIES.iter().any(|family| field.starts_with(family)) => Some(field),
        _ => None,
    }
}

/// A header's value. What is not ASCII is written as RFC 2047 has it, which is how metadata is read.
fn header_value(field: &str, value: &str) -> Result<HeaderValue, ApiError> {
    let bad = |_| ApiError::invalid_argument("form", field, "The value of a form field is not valid.");
    if value.is_ascii() {
        return HeaderValue::from_str(value).map_err(bad);
    }
    HeaderValue::from_str(&format!("=?UTF-8?B?{}?=", STANDARD.encode(value))).map_err(bad)
}

/// Tags as the header has them, from the XML document that forms have.
fn tags_of_xml(xml: &str) -> Result<String, ApiError> {
    let mut reader = Deserializer::new(xml.as_bytes());
    let tagging = Tagging::deserialize(&mut reader)
        .and_then(|tagging| reader.expect_eof().map(|()| tagging))
        .map_err(|_| ApiError::malformed_xml())?;
    let mut pairs = Vec::with_capacity(tagging.tag_set.len());
    for tag in tagging.tag_set {
        let (Some(name), value) = (tag.key, tag.value.unwrap_or_default()) else {
            return Err(ApiError::malformed_xml());
        };
        let encoded = |text: &str| path_encoded(text).replace('/', "%2F");
        pairs.push(format!("{}={}", encoded(&name), encoded(&value)));
    }
    Ok(pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::super::fields::tests::form;
    use super::*;

    fn target(uri: &str, host: &str) -> Option<String> {
        let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_str(host).unwrap())]);
        Target::of(&uri.parse().unwrap(), &headers, &["s3.example:9000".to_owned()])
            .ok()
            .map(|target| format!("{}{}", target.bucket(), target.path("a b")))
    }

    #[test]
    fn request_is_about_a_bucket_if_nothing_stands_behind_its_name() {
        let about = |uri: &str, host| {
            let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]);
            crate::form::is_bucket(&uri.parse().unwrap(), &headers, &["s3.example:9000".to_owned()])
        };
        let (path, vhost) = ("s3.example:9000", "b-1.s3.example:9000");
        assert!(about("/b-1", path) && about("/b-1/", path) && about("/b-1?x-id=CreateBucket", path));
        assert!(about("/", vhost));
        for key in ["/b-1//", "/b-1/k", "/b-1/k/", "/"] {
            assert!(!about(key, path), "{key}");
        }
        assert!(!about("/k", vhost) && !about("/k/", vhost));
    }

    #[test]
    fn bucket_is_in_the_path_or_in_the_host() {
        assert_eq!(target("/bucket", "localhost:9000").as_deref(), Some("bucket/bucket/a%20b"));
        assert_eq!(target("/bucket/", "localhost").as_deref(), Some("bucket/bucket/a%20b"));
        assert_eq!(target("/", "bucket.s3.example:9000").as_deref(), Some("bucket/a%20b"));
        for (uri, host) in [("/", "localhost"), ("/bucket/key", "localhost"), ("/key", "bucket.s3.example")] {
            assert_eq!(target(uri, host), None, "{uri}");
        }
    }

    #[tokio::test]
    async fn only_fields_that_describe_an_object_become_headers() {
        let form = form(&[
            ("key", "k/ü"),
            ("acl", "private"),
            ("Content-Type", "text/x"),
            ("x-amz-meta-a", "1"),
            ("x-amz-meta-b", "ü"),
            ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
            ("x-amz-copy-source", "/other/secret"),
            ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
            ("authorization", "AWS4-HMAC-SHA256 x"),
            ("x-amz-bypass-governance-retention", "true"),
            (
                "tagging",
                "<Tagging><TagSet><Tag><Key>a/b</Key><Value>1 &amp; 2</Value></Tag></TagSet></Tagging>",
            ),
        ])
        .await;
        let target = Target { bucket: "b".to_owned(), in_path: true };
        let (head, ()) = Request::new(()).into_parts();
        let (put, _) = request(form, &target, &head).unwrap();
        assert_eq!(put.uri().path(), "/b/k/%C3%BC");
        let mut found: Vec<_> =
            put.headers().iter().map(|(k, v)| (k.as_str(), v.to_str().unwrap())).collect();
        found.sort_unstable();
        assert_eq!(
            found,
            [
                ("content-type", "text/x"),
                ("x-amz-acl", "private"),
                ("x-amz-meta-a", "1"),
                ("x-amz-meta-b", "=?UTF-8?B?w7w=?="),
                ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
                ("x-amz-tagging", "a%2Fb=1%20%26%202"),
            ]
        );
    }
}
