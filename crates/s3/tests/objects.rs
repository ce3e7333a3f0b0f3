//! Operations through a real listener, as far as they have more to them than their unit tests say.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use reqwest::Method;
use strongroom_s3::{S3Options, SseCTransport};
use support::Server;
use support::client::{Answer, Call, Client, UNSIGNED};

fn md5_etag(content: &[u8]) -> String {
    format!("\"{}\"", hex::encode(Md5::digest(content)))
}

async fn started() -> (Server, Client) {
    let options = S3Options { sse_c: SseCTransport::DangerousAnyTransport, ..S3Options::default() };
    let server = Server::with(options, None).await;
    let client = server.client();
    client.bucket("bucket").await;
    (server, client)
}

#[tokio::test]
async fn metadata_comes_back_as_it_was_given() {
    let (_server, client) = started().await;
    let put = Call::put("/bucket/key", "hello")
        .header("content-type", "text/x-test; charset=utf-8")
        .header("cache-control", "no-cache")
        .header("content-disposition", "attachment")
        .header("content-encoding", "gzip,aws-chunked")
        .header("content-language", "de")
        .header("expires", "Thu, 01 Dec 2033 16:00:00 GMT")
        .header("x-amz-meta-plain", "value")
        .header("x-amz-meta-unicode", "=?UTF-8?B?w7xuw68g4piD?=")
        .header("x-amz-tagging", "a=1&b=2");
    let stored = client.send(put).await.ok();
    assert_eq!(stored.header("etag"), Some(md5_etag(b"hello").as_str()));
    assert_eq!(stored.header("x-amz-server-side-encryption"), Some("AES256"));
    for method in [Method::GET, Method::HEAD] {
        let answer = client.send(Call::new(method.clone(), "/bucket/key")).await.ok();
        assert_eq!(answer.body, if method == Method::GET { &b"hello"[..] } else { b"" });
        for (name, value) in [
            ("content-type", "text/x-test; charset=utf-8"),
            ("cache-control", "no-cache"),
            ("content-disposition", "attachment"),
            ("content-encoding", "gzip"),
            ("content-language", "de"),
            ("expires", "Thu, 01 Dec 2033 16:00:00 GMT"),
            ("x-amz-meta-plain", "value"),
            ("x-amz-meta-unicode", "=?UTF-8?B?w7xuw68g4piD?="),
            ("x-amz-tagging-count", "2"),
            ("content-length", "5"),
            ("accept-ranges", "bytes"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{method} {name}");
        }
    }
    let overridden = Call::get("/bucket/key")
        .query("response-content-type", "a/b")
        .query("response-expires", "Thu, 01 Dec 1994 16:00:00 GMT");
    let answer = client.send(overridden).await.ok();
    assert_eq!(answer.header("content-type"), Some("a/b"));
    assert_eq!(answer.header("expires"), Some("Thu, 01 Dec 1994 16:00:00 GMT"));
}

#[tokio::test]
async fn conditions_and_ranges_answer_with_their_status_and_headers() {
    let (_server, client) = started().await;
    client.send(Call::put("/bucket/key", "0123456789")).await.ok();
    let etag = md5_etag(b"0123456789");
    let get = |name: &str, value: &str| Call::get("/bucket/key").header(name, value);

    let same = client.send(get("if-none-match", &etag)).await;
    assert_eq!((same.status.as_u16(), same.body.len()), (304, 0));
    assert_eq!(same.header("etag"), Some(etag.as_str()));
    assert!(same.header("last-modified").is_some());

    let failed = client.send(get("if-match", "\"other\"")).await;
    assert_eq!(failed.error(), (412, "PreconditionFailed"));
    assert_eq!(failed.element("Condition"), "If-Match");
    assert_eq!(client.send(Call::put("/bucket/key", "new").header("if-none-match", "*")).await.status, 412);

    let part = client.send(get("range", "bytes=2-4")).await;
    assert_eq!((part.status.as_u16(), part.body.as_slice()), (206, &b"234"[..]));
    assert_eq!(part.header("content-range"), Some("bytes 2-4/10"));
    assert_eq!(client.send(get("range", "bytes=-3")).await.body, b"789");
    assert_eq!(client.send(get("range", "bytes=8-99")).await.body, b"89");
    let past = client.send(get("range", "bytes=10-")).await;
    assert_eq!(past.error(), (416, "InvalidRange"));
    assert_eq!(past.element("ActualObjectSize"), "10");
    assert_eq!(past.header("content-range"), Some("bytes */10"));
    let head = client.send(Call::new(Method::HEAD, "/bucket/key").header("range", "bytes=0-0")).await;
    assert_eq!((head.status.as_u16(), head.header("content-length")), (206, Some("1")));
}

fn with_key(call: Call, key: &[u8]) -> Call {
    call.header("x-amz-server-side-encryption-customer-algorithm", "AES256")
        .header("x-amz-server-side-encryption-customer-key", &STANDARD.encode(key))
        .header("x-amz-server-side-encryption-customer-key-md5", &STANDARD.encode(Md5::digest(key)))
}

#[tokio::test]
async fn customers_key_is_needed_right_and_never_taken_over_open_connections() {
    let (_server, client) = started().await;
    let (key, other) = ([1; 32], [2; 32]);
    let stored = client.send(with_key(Call::put("/bucket/key", "secret"), &key)).await.ok();
    assert_eq!(stored.header("x-amz-server-side-encryption-customer-algorithm"), Some("AES256"));
    assert_eq!(stored.header("x-amz-server-side-encryption"), None);
    assert_ne!(stored.header("etag"), Some(md5_etag(b"secret").as_str()));

    assert_eq!(client.send(with_key(Call::get("/bucket/key"), &key)).await.ok().body, b"secret");
    let none = client.send(Call::get("/bucket/key")).await;
    assert_eq!(none.error(), (400, "InvalidRequest"));
    assert!(
        none.element("Message").starts_with("The object was stored using a form of Server Side Encryption.")
    );
    assert_eq!(client.send(with_key(Call::get("/bucket/key"), &other)).await.error(), (403, "AccessDenied"));
    assert_eq!(client.send(with_key(Call::new(Method::HEAD, "/bucket/key"), &other)).await.status, 403);

    let strict = Server::start().await;
    strict.client().bucket("bucket").await;
    let refused = strict.client().send(with_key(Call::put("/bucket/key", "secret"), &key)).await;
    assert_eq!(refused.error(), (400, "InvalidRequest"));
    assert!(refused.element("Message").ends_with("must be made over a secure connection."));
}

#[tokio::test]
async fn customers_key_is_taken_over_tls() {
    let (tls, certificate) = support::self_signed();
    let server = Server::with(S3Options::default(), Some(tls)).await;
    let mut client = Client::new(server.addr, "https");
    let root = reqwest::Certificate::from_der(&certificate).unwrap();
    client.http = reqwest::Client::builder().tls_certs_only([root]).build().unwrap();
    client.bucket("bucket").await;
    let key = [3; 32];
    client.send(with_key(Call::put("/bucket/key", "secret"), &key)).await.ok();
    assert_eq!(client.send(with_key(Call::get("/bucket/key"), &key)).await.ok().body, b"secret");
}

async fn upload(client: &Client, parts: &[(u16, Vec<u8>)]) -> (String, String) {
    let begun = client.send(Call::new(Method::POST, "/bucket/key").query("uploads", "")).await.ok();
    let id = begun.element("UploadId").to_owned();
    let mut document = "<CompleteMultipartUpload>".to_owned();
    for (number, content) in parts {
        let part = Call::put("/bucket/key", content.clone())
            .payload(UNSIGNED)
            .query("partNumber", &number.to_string())
            .query("uploadId", &id);
        let etag = client.send(part).await.ok().header("etag").unwrap().to_owned();
        document.push_str(&format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"));
    }
    (id, document + "</CompleteMultipartUpload>")
}

async fn complete(client: &Client, id: &str, document: &str) -> Answer {
    client.send(Call::new(Method::POST, "/bucket/key").query("uploadId", id).body(document)).await
}

#[tokio::test]
async fn parts_become_one_object_and_mistakes_are_named() {
    let (_server, client) = started().await;
    let parts = [(2, vec![b'a'; 5 << 20]), (5, b"the end".to_vec())];
    let (id, document) = upload(&client, &parts).await;

    assert_eq!(complete(&client, &id, "<CompleteMultipartUpload/>").await.error(), (400, "MalformedXML"));
    let (first, last) = (document.find("<Part>").unwrap(), document.rfind("<Part>").unwrap());
    let end = document.rfind("</Complete").unwrap();
    let swapped = format!(
        "{}{}{}{}",
        &document[..first],
        &document[last..end],
        &document[first..last],
        &document[end..]
    );
    assert_eq!(complete(&client, &id, &swapped).await.error(), (400, "InvalidPartOrder"));
    let wrong = document.replace("<PartNumber>5<", "<PartNumber>6<");
    assert_eq!(complete(&client, &id, &wrong).await.error(), (400, "InvalidPart"));

    let done = complete(&client, &id, &document).await.ok();
    assert!(done.element("ETag").ends_with("-2&quot;") || done.element("ETag").ends_with("-2\""));
    assert_eq!(done.element("Location"), format!("http://{}/bucket/key", client.host));
    assert_eq!(client.send(Call::get("/bucket/key")).await.ok().body.len(), (5 << 20) + 7);
    let second = client.send(Call::get("/bucket/key").query("partNumber", "2")).await;
    assert_eq!((second.status.as_u16(), second.body.as_slice()), (206, &b"the end"[..]));
    assert_eq!(second.header("x-amz-mp-parts-count"), Some("2"));
    let again = client.send(Call::get("/bucket/key").query("uploadId", &id)).await;
    assert_eq!(again.error(), (404, "NoSuchUpload"));
}

#[tokio::test]
async fn settings_that_do_not_exist_are_answered_so_that_clients_go_on() {
    let (_server, client) = started().await;
    for (setting, status, has) in [
        ("location", 200, "LocationConstraint"),
        ("versioning", 200, "VersioningConfiguration"),
        ("encryption", 200, "<SSEAlgorithm>AES256</SSEAlgorithm>"),
        ("acl", 200, "FULL_CONTROL"),
        ("policy", 404, "NoSuchBucketPolicy"),
        ("cors", 404, "NoSuchCORSConfiguration"),
        ("lifecycle", 404, "NoSuchLifecycleConfiguration"),
        ("tagging", 404, "NoSuchTagSet"),
        ("website", 404, "NoSuchWebsiteConfiguration"),
        ("replication", 404, "ReplicationConfigurationNotFoundError"),
        ("object-lock", 404, "ObjectLockConfigurationNotFoundError"),
        ("requestPayment", 200, "BucketOwner"),
        ("publicAccessBlock", 200, "BlockPublicAcls"),
        ("ownershipControls", 200, "BucketOwnerEnforced"),
        ("metrics", 200, "<IsTruncated>false</IsTruncated>"),
        ("metadataConfiguration", 501, "NotImplemented"),
    ] {
        let answer = client.send(Call::get("/bucket").query(setting, "")).await;
        assert_eq!(answer.status, status, "{setting}: {}", answer.text());
        assert!(answer.text().contains(has), "{setting}: {}", answer.text());
    }
    let answer = client.send(Call::get("/nobucket").query("policy", "")).await;
    assert_eq!(answer.error(), (404, "NoSuchBucket"));
}

#[tokio::test]
async fn range_that_cannot_be_read_is_ignored() {
    let (_server, client) = started().await;
    client.send(Call::put("/bucket/key", "0123456789")).await.ok();
    let ranges = ["bytes=9-1", "octets=0-1", "bytes=x-y", "bytes=0-1,3-4"];
    for range in ranges {
        // With a signature that covers the header, and with one that does not.
        for mut call in [Call::get("/bucket/key").header("range", range), Call::get("/bucket/key")] {
            if call.headers.is_empty() {
                call.unsigned_headers.push(("range".into(), range.into()));
            }
            let answer = client.send(call).await.ok();
            assert_eq!((answer.status.as_u16(), answer.text()), (200, "0123456789"), "{range}");
            assert_eq!(answer.header("content-range"), None);
        }
    }
    let beyond = client.send(Call::get("/bucket/key").header("range", "bytes=100-")).await;
    assert_eq!(beyond.error(), (416, "InvalidRange"));
    let some = client.send(Call::get("/bucket/key").header("range", "bytes=2-3")).await;
    assert_eq!((some.status.as_u16(), some.text()), (206, "23"));

    // What is ignored opens no way around the signature or the gate.
    let range = || Call::get("/bucket/key").header("range", "bytes=9-1");
    let mut wrong = range();
    wrong.secret = "another secret".into();
    assert_eq!(client.send(wrong).await.error(), (403, "SignatureDoesNotMatch"));
    let mut added = range();
    added.unsigned_headers.push(("x-amz-checksum-mode".into(), "ENABLED".into()));
    assert_eq!(client.send(added).await.error(), (403, "AccessDenied"));
    let anonymous = vec![("range".to_owned(), "bytes=9-1".to_owned())];
    assert_eq!(client.send_as(range(), anonymous).await.error(), (403, "AccessDenied"));
    let missing = client.send(Call::get("/bucket/none").header("range", "bytes=9-1")).await;
    assert_eq!(missing.error(), (404, "NoSuchKey"));
}

#[tokio::test]
async fn expires_is_stored_as_it_is_given() {
    let (_server, client) = started().await;
    for date in ["Sun, 06 Nov 1994 08:49:37 GMT", "tomorrow", "0"] {
        client.send(Call::put("/bucket/key", "value").header("expires", date)).await.ok();
        let answer = client.send(Call::get("/bucket/key")).await.ok();
        assert_eq!((answer.text(), answer.header("expires")), ("value", Some(date)));
    }
    let mut call = Call::put("/bucket/other", "what was signed").header("expires", "tomorrow");
    let (headers, _) = call.signed(&client.host);
    call.body = b"what was sent!!".to_vec();
    assert_eq!(client.send_as(call, headers).await.error(), (400, "XAmzContentSHA256Mismatch"));
}

#[tokio::test]
async fn list_of_deletes_is_checked_against_its_checksums() {
    let (_server, client) = started().await;
    client.send(Call::put("/bucket/key", "value")).await.ok();
    let list = "<Delete><Object><Key>key</Key></Object></Delete>";
    let call = |name: &str, value: &str| {
        Call::new(Method::POST, "/bucket").query("delete", "").body(list).header(name, value)
    };
    let sha256 = |text: &str| {
        let sum = hex::decode(support::client::sha256_hex(text.as_bytes())).unwrap();
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, sum)
    };
    for (name, value) in [
        ("content-md5", "XrY7u+Ae7tCTyyK7j1rNww=="),
        ("x-amz-checksum-sha256", sha256("another list").as_str()),
        ("x-amz-checksum-crc32", "AAAAAA=="),
    ] {
        assert_eq!(client.send(call(name, value)).await.error(), (400, "BadDigest"), "{name}");
    }
    client.send(Call::get("/bucket/key")).await.ok();
    client.send(call("x-amz-checksum-sha256", &sha256(list))).await.ok();
    assert_eq!(client.send(Call::get("/bucket/key")).await.error(), (404, "NoSuchKey"));
}
