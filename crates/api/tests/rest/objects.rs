//! Objects on their way in and out.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};

use crate::support::Server;

const PATH: &str = "/api/v1/buckets/photos/objects/2024/summer/a%20b.txt";

#[tokio::test]
async fn object_comes_back_as_it_went_in_with_its_metadata() {
    let server = Server::start().await;
    server.bucket("photos").await;
    let content = "0123456789".repeat(40_000);
    let headers = [
        "Content-Type: text/plain; charset=utf-8",
        "Cache-Control: max-age=60",
        "Content-Disposition: attachment",
        "x-amz-meta-Owner: alice",
    ];
    let stored = server.root("PUT", PATH, &headers, &content).await;
    assert_eq!(stored.status, 201, "{stored:?}");
    let said = stored.json();
    assert_eq!((said["key"].as_str(), said["size"].as_u64()), (Some("2024/summer/a b.txt"), Some(400_000)));
    assert_eq!(said["encryption"]["algorithm"], "AES256");
    let etag = format!("\"{}\"", said["etag"].as_str().unwrap());
    assert_eq!(stored.headers["etag"], etag);

    let read = server.root("GET", PATH, &[], "").await;
    assert_eq!((read.status, &read.body), (200, &content));
    for (name, value) in [
        ("content-type", "text/plain; charset=utf-8"),
        ("cache-control", "max-age=60"),
        ("content-disposition", "attachment"),
        ("x-amz-meta-owner", "alice"),
        ("x-amz-server-side-encryption", "AES256"),
        ("content-length", "400000"),
        ("accept-ranges", "bytes"),
        ("content-security-policy", "sandbox"),
        ("x-content-type-options", "nosniff"),
        ("etag", &etag),
    ] {
        assert_eq!(read.headers[name], value, "{name}");
    }
    let described = server.root("HEAD", PATH, &[], "").await;
    assert_eq!((described.status, described.body.as_str()), (200, ""));
    assert_eq!(described.headers["content-length"], "400000");
    assert_eq!(described.headers["x-amz-meta-owner"], "alice");
}

#[tokio::test]
async fn ranges_and_conditions_hold() {
    let server = Server::start().await;
    server.bucket("photos").await;
    let path = "/api/v1/buckets/photos/objects/a";
    let whole = server.root("GET", path, &[], "").await;
    let (etag, modified) = (whole.headers["etag"].clone(), whole.headers["last-modified"].clone());
    let part = server.root("GET", path, &["Range: bytes=0-6"], "").await;
    assert_eq!((part.status, part.body.as_str()), (206, "content"));
    assert_eq!(part.headers["content-range"], "bytes 0-6/12");
    let past = server.root("GET", path, &["Range: bytes=99-"], "").await;
    assert_eq!((past.status, past.headers["content-range"].as_str()), (416, "bytes */12"));
    for (header, get) in [
        (format!("If-None-Match: {etag}"), 304),
        ("If-None-Match: \"other\"".to_owned(), 200),
        (format!("If-Match: {etag}"), 200),
        ("If-Match: \"other\"".to_owned(), 412),
        (format!("If-Modified-Since: {modified}"), 304),
        (format!("If-Unmodified-Since: {modified}"), 200),
    ] {
        let answer = server.root("GET", path, &[&header], "").await;
        assert_eq!(answer.status, get, "{header}: {answer:?}");
        if get == 304 {
            assert_eq!((answer.body.as_str(), answer.headers["etag"].as_str()), ("", etag.as_str()));
        }
    }
    let text = "Content-Type: text/plain";
    assert_eq!(server.root("PUT", path, &["If-None-Match: *", text], "new").await.status, 412);
    assert_eq!(server.root("PUT", path, &["If-Match: \"other\"", text], "new").await.status, 412);
    assert_eq!(server.root("DELETE", path, &["If-Match: \"other\""], "").await.status, 412);
    // What no write or delete looks at would be taken for something that holds.
    let since = format!("If-Unmodified-Since: {modified}");
    for (method, header) in [
        ("PUT", &*since),
        ("PUT", "Content-Range: bytes 0-2/12"),
        ("DELETE", &since),
        ("DELETE", "If-None-Match: *"),
    ] {
        let refused = server.root(method, path, &[header, text], "new").await;
        let code = refused.json()["error"]["code"].as_str().map(str::to_owned);
        assert_eq!((refused.status, code.as_deref()), (400, Some("InvalidHeader")), "{method} {header}");
        let name = header.split(':').next().unwrap().to_lowercase();
        assert!(refused.body.contains(&name), "{refused:?}");
        assert_eq!(server.root("GET", path, &[], "").await.headers["etag"], etag, "{method} {header}");
    }
    let matching = format!("If-Match: {etag}");
    assert_eq!(server.root("PUT", path, &[&matching, text], "new").await.status, 201);
    assert_eq!(server.root("DELETE", path, &[], "").await.status, 204);
    assert_eq!(server.root("GET", path, &[], "").await.status, 404);
    assert_eq!(server.root("DELETE", path, &[], "").await.status, 204, "deleting what is not there succeeds");
}

#[tokio::test]
async fn content_that_is_not_what_was_announced_is_refused_and_nothing_is_stored() {
    let server = Server::start().await;
    server.bucket("photos").await;
    let path = "/api/v1/buckets/photos/objects/b";
    let right = format!("Content-MD5: {}", STANDARD.encode(Md5::digest("content")));
    let text = "Content-Type: text/plain";
    let wrong = server.root("PUT", path, &[&right, text], "c0ntent").await;
    assert_eq!((wrong.status, wrong.json()["error"]["code"].as_str()), (400, Some("BadDigest")));
    assert_eq!(server.root("GET", path, &[], "").await.status, 404);
    assert_eq!(server.root("PUT", path, &[&right, text], "content").await.status, 201);
    let unknown = server.root("PUT", path, &["x-amz-acl: public-read", text], "content").await;
    assert_eq!((unknown.status, unknown.json()["error"]["code"].as_str()), (400, Some("InvalidHeader")));
}

#[tokio::test]
async fn customers_key_is_needed_to_read_what_it_sealed() {
    let server = Server::start().await;
    server.bucket("photos").await;
    let path = "/api/v1/buckets/photos/objects/own";
    let key = |byte: u8| {
        let prefix = "x-amz-server-side-encryption-customer";
        let encoded = STANDARD.encode([byte; 32]);
        let md5 = STANDARD.encode(Md5::digest([byte; 32]));
        [
            format!("{prefix}-algorithm: AES256"),
            format!("{prefix}-key: {encoded}"),
            format!("{prefix}-key-MD5: {md5}"),
        ]
    };
    let (mine, other) = (key(1), key(2));
    let with = |key: &'static str, of: &[String; 3]| -> Vec<String> {
        of.iter().cloned().chain((!key.is_empty()).then(|| key.to_owned())).collect()
    };
    let put = with("Content-Type: text/plain", &mine);
    let put: Vec<_> = put.iter().map(String::as_str).collect();
    let stored = server.root("PUT", path, &put, "my own").await;
    assert_eq!((stored.status, stored.json()["encryption"]["algorithm"].as_str()), (201, Some("customer")));
    let get = async |of: &[String; 3]| {
        let headers: Vec<_> = of.iter().map(String::as_str).collect();
        server.root("GET", path, &headers, "").await
    };
    assert_eq!(get(&mine).await.body, "my own");
    assert_eq!(get(&other).await.status, 403);
    assert_eq!(server.root("GET", path, &[], "").await.status, 400);
}

#[tokio::test]
async fn objects_are_listed_in_pages_and_by_prefix() {
    let server = Server::start().await;
    server.bucket("photos").await;
    for name in ["b/1", "b/2", "c/1", "d"] {
        let path = format!("/api/v1/buckets/photos/objects/{name}");
        assert_eq!(server.root("PUT", &path, &["Content-Type: text/plain"], name).await.status, 201);
    }
    let list = async |query: &str| {
        let path = format!("/api/v1/buckets/photos/objects{query}");
        server.root("GET", &path, &[], "").await.json()
    };
    let keys = |page: &serde_json::Value| -> Vec<String> {
        let objects = page["objects"].as_array().unwrap();
        objects.iter().map(|object| object["key"].as_str().unwrap().to_owned()).collect()
    };
    let all = list("").await;
    assert_eq!(keys(&all), ["a", "b/1", "b/2", "c/1", "d"]);
    assert_eq!(all["objects"][1]["size"], 3);
    let grouped = list("?delimiter=/").await;
    assert_eq!(keys(&grouped), ["a", "d"]);
    assert_eq!(grouped["common_prefixes"], serde_json::json!(["b/", "c/"]));
    let first = list("?prefix=b/&max=1").await;
    assert_eq!(keys(&first), ["b/1"]);
    let next = list(&format!("?prefix=b/&after={}", first["next"].as_str().unwrap())).await;
    assert_eq!((keys(&next), next["next"].is_null()), (vec!["b/2".to_owned()], true));
}
