//! Headers of other systems, and of our own insides, mean nothing when a client sends them.

use reqwest::Method;

use super::forms::{Form, root};
use super::{Call, Setup, get};

/// Names that other stores use inside, that replication uses, and that could be mistaken for ours.
const ODD: &[(&str, &str)] = &[
    ("x-minio-internal-server-side-encryption-sealed-key", "AAAA"),
    ("x-minio-internal-encrypted-multipart", ""),
    ("x-minio-internal-actual-size", "1"),
    ("x-minio-source-etag", "00000000000000000000000000000000"),
    ("x-minio-source-mtime", "2001-01-01T00:00:00Z"),
    ("x-minio-source-replication-request", "true"),
    ("x-rustfs-internal-sealed-key", "AAAA"),
    ("x-strongroom-internal-sse", "none"),
    ("x-amz-replication-status", "REPLICA"),
    ("x-amz-replication-request", "true"),
    ("x-amz-meta-x-amz-server-side-encryption", "none"),
    ("x-amz-meta-x-minio-internal-server-side-encryption-iv", "AAAA"),
    ("x-amz-meta-x-amz-unencrypted-content-length", "1"),
    ("x-amz-meta-x-amz-key", "AAAA"),
    ("x-amz-meta-x-amz-iv", "AAAA"),
    ("x-amz-meta-strongroom-wrapped-key", "AAAA"),
    ("x-amz-meta-content-length", "3"),
    ("x-amz-meta-etag", "\"0\""),
    ("x-amz-version-id", "00000000000000000000000000000000"),
    ("x-amz-delete-marker", "true"),
    ("x-amz-restore", "ongoing-request=\"true\""),
    ("x-amz-expiration", "expiry-date=\"Fri, 21 Dec 2001 00:00:00 GMT\""),
    ("x-amz-mp-parts-count", "7"),
    ("x-amz-request-charged", "requester"),
    ("x-amz-abort-date", "2001-01-01"),
    ("x-amz-decoded-content-length-x", "1"),
    ("x-amz-id-2", "x"),
    ("x-amz-request-id", "x"),
    ("etag", "\"0\""),
    ("last-modified", "Sat, 01 Jan 2000 00:00:00 GMT"),
    ("x-forwarded-for", "10.0.0.1"),
    ("x-real-ip", "10.0.0.1"),
];

#[tokio::test]
async fn odd_headers_change_nothing_and_make_nothing_unreadable() {
    let setup = Setup::new().await;
    let plain = setup.root(Call::put("/bkt/plain", "the content")).await.ok();
    for way in ["put", "multipart", "copy"] {
        for (at, (name, value)) in ODD.iter().enumerate() {
            let path = format!("/bkt/{way}/{at}");
            match way {
                "put" => {
                    let answer = setup.root(Call::put(&path, "the content").header(name, value)).await;
                    assert!(answer.status.is_success(), "{name}: {}", answer.text());
                }
                "copy" => {
                    let copy = Call::put(&path, "")
                        .header("x-amz-copy-source", "/bkt/plain")
                        .header("x-amz-metadata-directive", "REPLACE")
                        .header(name, value);
                    setup.root(copy).await.ok();
                }
                _ => {
                    let begin = Call::new(Method::POST, &path).query("uploads", "").header(name, value);
                    let begun = setup.root(begin).await.ok();
                    let upload = begun.element("UploadId").to_owned();
                    let part = Call::put(&path, "the content").header(name, value);
                    let part = part.query("partNumber", "1").query("uploadId", &upload);
                    let etag = setup.root(part).await.ok().header("etag").unwrap().to_owned();
                    let list = format!(
                        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>\
                         </CompleteMultipartUpload>"
                    );
                    let end = Call::new(Method::POST, &path).query("uploadId", &upload).body(list);
                    setup.root(end).await.ok();
                }
            }
            let read = setup.root(get(&path)).await.ok();
            assert_eq!(read.body, b"the content", "{way} {name}");
            assert_eq!(read.header("x-amz-server-side-encryption"), Some("AES256"), "{way} {name}");
            if way != "multipart" {
                assert_eq!(read.header("etag"), plain.header("etag"), "{way} {name}");
            }
            for (other, _) in ODD.iter().filter(|(other, _)| !other.starts_with("x-amz-meta-")) {
                let kept = ["etag", "last-modified", "x-amz-id-2", "x-amz-request-id"];
                let is_ours = kept.contains(other) || *other == "x-amz-version-id";
                assert!(is_ours || read.header(other).is_none(), "{way} {name}: {other}");
            }
            assert_ne!(read.header("last-modified"), Some("Sat, 01 Jan 2000 00:00:00 GMT"));
            if let Some(own) = name.strip_prefix("x-amz-meta-") {
                // It is the client's metadata, and nothing else.
                assert_eq!(read.header(name), Some(*value), "{way} {own}");
            }
        }
    }
}

#[tokio::test]
async fn odd_fields_of_a_form_change_nothing_and_make_nothing_unreadable() {
    let setup = Setup::new().await;
    for (at, (name, value)) in ODD.iter().enumerate() {
        let key = format!("form/{at}");
        let form = Form::new(&key).field(name, value).signed(&root());
        let answer = form.send(&setup).await;
        assert_eq!(answer.status, 204, "{name}: {}", answer.text());
        let read = setup.root(get(&format!("/bkt/{key}"))).await.ok();
        assert_eq!(read.body, b"from a form", "{name}");
        assert_eq!(read.header("x-amz-server-side-encryption"), Some("AES256"), "{name}");
        let own = name.starts_with("x-amz-meta-");
        assert!(!own || read.header(name) == Some(*value), "{name}");
        let internal = name.contains("internal") || name.contains("replication") || name.contains("source");
        assert!(own || !internal || read.header(name).is_none(), "{name}");
    }
}

#[tokio::test]
async fn address_of_the_client_is_not_what_a_header_says() {
    let setup = Setup::new().await;
    let user = setup
        .user(
            "u",
            r#"{"Effect":"Allow","Action":"s3:GetObject","Resource":"*",
                "Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}"#,
        )
        .await;
    for name in ["x-forwarded-for", "x-real-ip", "forwarded"] {
        let call = get("/bkt/k").header(name, if name == "forwarded" { "for=10.0.0.1" } else { "10.0.0.1" });
        assert!(super::denied(&setup.by(&user, call).await), "{name}");
    }
}
