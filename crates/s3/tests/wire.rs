//! What happens between a client's bytes and an operation: signatures, framing, limits, the end of the server.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::Duration;

use reqwest::Method;
use strongroom_s3::S3Options;
use support::Server;
use support::client::{Answer, Call, Client, UNSIGNED};
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A request's head, signed for `host`, as it goes over the wire. `further` are header lines of HTTP itself.
fn head(call: &Call, host: &str, further: &str) -> String {
    let mut head = format!("{} {} HTTP/1.1\r\n{further}", call.method, call.uri());
    for (name, value) in call.signed(host).0 {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head + "\r\n"
}

/// Sends bytes as they are and reads until the server closes.
async fn exchange(server: &Server, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn requests_without_a_good_signature_are_refused_in_the_words_of_aws() {
    let server = Server::start().await;
    let client = server.client();
    client.bucket("bucket").await;

    let anonymous = Call::get("/bucket/key");
    assert_eq!(client.send_as(anonymous, Vec::new()).await.error(), (403, "AccessDenied"));

    let mut stranger = Call::get("/bucket/key");
    stranger.access_key = "AKIDNOBODY".into();
    let answer = client.send(stranger).await;
    assert_eq!(answer.error(), (403, "InvalidAccessKeyId"));
    assert_eq!(
        answer.element("Message"),
        "The AWS Access Key Id you provided does not exist in our records."
    );

    let mut wrong = Call::get("/bucket/key");
    wrong.secret = "another secret".into();
    assert_eq!(client.send(wrong).await.error(), (403, "SignatureDoesNotMatch"));

    let mut late = Call::get("/bucket/key");
    late.at = OffsetDateTime::now_utc() - time::Duration::minutes(16);
    assert_eq!(client.send(late).await.error(), (403, "RequestTimeTooSkewed"));

    let mut added = Call::put("/bucket/key", "x");
    added.unsigned_headers.push(("x-amz-meta-added".into(), "by somebody on the way".into()));
    let answer = client.send(added).await;
    assert_eq!(answer.error(), (403, "AccessDenied"));
    assert_eq!(answer.element("HeadersNotSigned"), "x-amz-meta-added");

    let old = vec![("authorization".to_owned(), "AWS AKIDTEST:c2lnbmF0dXJl".to_owned())];
    assert_eq!(client.send_as(Call::get("/bucket/key"), old).await.error(), (400, "InvalidRequest"));
    assert_eq!(client.send(Call::get("/bucket/key")).await.error(), (404, "NoSuchKey"));
}

#[tokio::test]
async fn every_answer_carries_one_request_id_and_errors_repeat_it() {
    let server = Server::start().await;
    let client = server.client();
    let answer = client.send(Call::get("/no-such-bucket")).await;
    assert_eq!(answer.error(), (404, "NoSuchBucket"));
    assert_eq!(answer.header("x-amz-request-id"), Some(answer.element("RequestId")));
    assert_eq!(answer.header("x-amz-id-2"), Some(answer.element("HostId")));
    assert_eq!(answer.header("server"), Some("Strongroom"));
    assert_eq!(answer.header("content-type"), Some("application/xml"));
    assert_eq!(answer.element("BucketName"), "no-such-bucket");

    let head = client.send(Call::new(Method::HEAD, "/no-such-bucket")).await;
    assert_eq!(head.status, 404);
    assert!(head.body.is_empty());
    assert_ne!(head.header("x-amz-request-id"), answer.header("x-amz-request-id"));
}

#[tokio::test]
async fn body_that_is_not_what_was_signed_leaves_nothing() {
    let server = Server::start().await;
    let client = server.client();
    client.bucket("bucket").await;
    let mut call = Call::put("/bucket/key", "what was signed");
    let (headers, _) = call.signed(&client.host);
    call.body = b"what was sent!!".to_vec();
    assert_eq!(client.send_as(call, headers).await.error(), (400, "XAmzContentSHA256Mismatch"));
    assert_eq!(client.send(Call::get("/bucket/key")).await.error(), (404, "NoSuchKey"));
}

fn streaming(payload: &str, length: usize) -> Call {
    chunked(Call::put("/bucket/key", ""), payload, length)
}

fn chunked(call: Call, payload: &str, length: usize) -> Call {
    call.payload(payload)
        .header("content-encoding", "aws-chunked")
        .header("x-amz-decoded-content-length", &length.to_string())
}

#[tokio::test]
async fn unsigned_chunks_of_any_length_are_taken_and_their_trailer_is_checked() {
    let server = Server::start().await;
    let client = server.client();
    client.bucket("bucket").await;
    let content: Vec<u8> = (0..3_000_000_u32).map(|at| at.to_le_bytes()[at as usize % 3]).collect();
    let framed = |checksum: &str| {
        let mut body = format!("{:x}\r\n", content.len()).into_bytes();
        body.extend_from_slice(&content);
        body.extend_from_slice(format!("\r\n0\r\nx-amz-checksum-sha256:{checksum}\r\n\r\n").as_bytes());
        body
    };
    let call = |body: Vec<u8>| {
        streaming("STREAMING-UNSIGNED-PAYLOAD-TRAILER", content.len())
            .header("x-amz-trailer", "x-amz-checksum-sha256")
            .body(body)
    };
    let sum = base64(&hex::decode(support::client::sha256_hex(&content)).unwrap());

    let wrong = base64(&[0; 32]);
    assert_eq!(client.send(call(framed(&wrong))).await.error(), (400, "BadDigest"));
    let without_trailer = {
        let mut body = framed(&sum);
        let end = body.windows(5).rposition(|part| part == b"0\r\nx-").unwrap();
        body.truncate(end + 3);
        body.extend_from_slice(b"\r\n");
        body
    };
    assert_eq!(client.send(call(without_trailer)).await.error(), (400, "MalformedTrailerError"));
    let cut = framed(&sum)[..1_000_000].to_vec();
    assert_eq!(client.send(call(cut)).await.error(), (400, "IncompleteBody"));
    assert_eq!(client.send(Call::get("/bucket/key")).await.error(), (404, "NoSuchKey"));

    let stored = client.send(call(framed(&sum))).await.ok();
    assert_eq!(stored.header("x-amz-checksum-sha256"), Some(sum.as_str()));
    let read = client.send(Call::get("/bucket/key").header("x-amz-checksum-mode", "ENABLED")).await.ok();
    assert_eq!(read.body, content);
    assert_eq!(read.header("x-amz-checksum-sha256"), Some(sum.as_str()));
    assert_eq!(read.header("content-encoding"), None);
}

#[tokio::test]
async fn signed_chunks_are_taken_and_a_changed_one_is_refused() {
    let server = Server::start().await;
    let client = server.client();
    client.bucket("bucket").await;
    let pieces: [&[u8]; 3] = [&[b'a'; 9000], &[b'b'; 9000], b""];
    let call = || streaming("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", 18_000);

    for change in [true, false] {
        let mut call = call();
        let (headers, mut signing) = call.signed(&client.host);
        call.body = pieces.iter().flat_map(|piece| signing.chunk(piece)).collect();
        if change {
            let at = call.body.iter().rposition(|byte| *byte == b'b').unwrap();
            call.body[at] = b'c';
        }
        let answer = client.send_as(call, headers).await;
        if change {
            assert_eq!(answer.error(), (403, "SignatureDoesNotMatch"));
            assert_eq!(client.send(Call::get("/bucket/key")).await.error(), (404, "NoSuchKey"));
        } else {
            answer.ok();
        }
    }
    assert_eq!(client.send(Call::get("/bucket/key")).await.ok().body, pieces.concat());
}

/// Sends a document in signed chunks of four bytes. `change` is made to what goes over the wire.
async fn in_signed_chunks(
    client: &Client,
    call: Call,
    document: &str,
    change: impl FnOnce(&mut Vec<u8>),
) -> Answer {
    let mut call = chunked(call, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", document.len());
    let (headers, mut signing) = call.signed(&client.host);
    let pieces = document.as_bytes().chunks(4).chain([&b""[..]]);
    call.body = pieces.flat_map(|piece| signing.chunk(piece)).collect();
    change(&mut call.body);
    client.send_as(call, headers).await
}

/// Sends a document in one chunk without a signature, and the checksum of `summed` behind it.
async fn in_an_unsigned_chunk(client: &Client, call: Call, document: &str, summed: &str) -> Answer {
    let sum = base64(&hex::decode(support::client::sha256_hex(summed.as_bytes())).unwrap());
    let body = format!("{:x}\r\n{document}\r\n0\r\nx-amz-checksum-sha256:{sum}\r\n\r\n", document.len());
    let call = chunked(call, "STREAMING-UNSIGNED-PAYLOAD-TRAILER", document.len());
    client.send(call.header("x-amz-trailer", "x-amz-checksum-sha256").body(body)).await
}

#[tokio::test]
async fn documents_in_chunks_are_read_like_any_other() {
    let server = Server::start().await;
    let client = server.client();
    let tags = |value: &str| format!("<TagSet><Tag><Key>a</Key><Value>{value}</Value></Tag></TagSet>");
    let new = "<CreateBucketConfiguration><LocationConstraint>us-east-1</LocationConstraint>\
               <Tags><Tag><Key>a</Key><Value>b</Value></Tag></Tags></CreateBucketConfiguration>";
    let told = async |bucket: &str| {
        let found = client.send(Call::get(&format!("/{bucket}")).query("tagging", "")).await;
        found.status.is_success().then(|| found.element("Value").to_owned())
    };
    let make = |bucket: &str| Call::put(&format!("/{bucket}"), "");

    in_signed_chunks(&client, make("signed"), new, |_| {}).await.ok();
    in_an_unsigned_chunk(&client, make("unsigned"), new, new).await.ok();
    for bucket in ["signed", "unsigned"] {
        assert_eq!(told(bucket).await.as_deref(), Some("b"), "the tags of {bucket} came with it");
    }

    // What is not what was signed or summed up makes no bucket.
    let changed = |body: &mut Vec<u8>| {
        let at = body.iter().position(|byte| *byte == b'>').unwrap();
        body[at] = b'<';
    };
    let refused = in_signed_chunks(&client, make("changed"), new, changed).await;
    assert_eq!(refused.error(), (403, "SignatureDoesNotMatch"));
    let refused = in_signed_chunks(&client, make("cut"), new, |body| body.truncate(200)).await;
    assert_eq!(refused.error(), (400, "IncompleteBody"));
    let refused = in_an_unsigned_chunk(&client, make("summed"), new, "another").await;
    assert_eq!(refused.error(), (400, "BadDigest"));
    let long = format!("<CreateBucketConfiguration>{}", " ".repeat(9 << 20));
    let refused = in_an_unsigned_chunk(&client, make("long"), &long, &long).await;
    assert_eq!(refused.error(), (400, "MaxMessageLengthExceeded"));
    for bucket in ["changed", "cut", "summed", "long"] {
        let found = client.send(Call::get(&format!("/{bucket}"))).await;
        assert_eq!(found.error(), (404, "NoSuchBucket"), "{bucket}");
    }

    // Documents of other operations.
    let set = || make("signed").query("tagging", "");
    let document = |value: &str| format!("<Tagging>{}</Tagging>", tags(value));
    in_signed_chunks(&client, set(), &document("c"), |_| {}).await.ok();
    assert_eq!(told("signed").await.as_deref(), Some("c"));
    in_an_unsigned_chunk(&client, set(), &document("d"), &document("d")).await.ok();
    let refused = in_an_unsigned_chunk(&client, set(), &document("e"), &document("f")).await;
    assert_eq!(refused.error(), (400, "BadDigest"));
    assert_eq!(told("signed").await.as_deref(), Some("d"));
    let blocked = "<ServerSideEncryptionConfiguration><Rule><BlockedEncryptionTypes><EncryptionType>SSE-C\
                   </EncryptionType></BlockedEncryptionTypes></Rule></ServerSideEncryptionConfiguration>";
    in_an_unsigned_chunk(&client, make("signed").query("encryption", ""), blocked, blocked).await.ok();
    let rule = client.send(Call::get("/signed").query("encryption", "")).await.ok();
    assert_eq!(rule.element("EncryptionType"), "SSE-C");

    // A completion, whose headers may have the checksum of the object.
    let key = "/signed/key";
    let begun = client.send(Call::new(Method::POST, key).query("uploads", "")).await.ok();
    let upload = begun.element("UploadId");
    let part = Call::put(key, "part").query("partNumber", "1").query("uploadId", upload);
    let etag = client.send(part).await.ok().header("etag").unwrap().to_owned();
    let parts = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>\
         </CompleteMultipartUpload>"
    );
    let complete = || Call::new(Method::POST, key).query("uploadId", upload);
    let refused = in_an_unsigned_chunk(&client, complete(), &parts, "another").await;
    assert_eq!(refused.error(), (400, "BadDigest"));
    assert_eq!(client.send(Call::get(key)).await.error(), (404, "NoSuchKey"));
    in_signed_chunks(&client, complete(), &parts, |_| {}).await.ok();
    assert_eq!(client.send(Call::get(key)).await.ok().text(), "part");
}

#[tokio::test]
async fn document_that_does_not_come_as_it_was_signed_is_told_so_and_changes_nothing() {
    let mut options = S3Options::default();
    options.limits.body_idle_timeout = Duration::from_millis(300);
    let server = Server::with(options, None).await;
    let client = server.client();
    client.bucket("bucket").await;
    let mut call =
        Call::put("/bucket", "<VersioningConfiguration><Status>Enabled</Status>").query("versioning", "");
    let (headers, _) = call.signed(&client.host);
    call.body = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>".to_vec();
    let refused = client.send_as(call, headers).await;
    assert_eq!(refused.error(), (400, "XAmzContentSHA256Mismatch"), "{}", refused.text());
    let call = Call::put("/bucket", vec![b'x'; 1000]).query("versioning", "");
    let slow = head(&call, &client.host, "connection: close\r\ncontent-length: 1000\r\n") + "some";
    let answer = exchange(&server, slow.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("<Code>RequestTimeout</Code>"), "{answer}");
    let found = client.send(Call::get("/bucket").query("versioning", "")).await.ok();
    assert!(!found.text().contains("Status"), "{}", found.text());
}

#[tokio::test]
async fn keys_are_kept_byte_for_byte() {
    let server = Server::start().await;
    let client = server.client();
    client.bucket("bucket").await;
    for key in [
        "a//b", "/a", "..", "../up", "./a", "%2F", "a+b", "a b", "ü/☃", "a/", "a?b#c", "<&>\"'", "a\\b", "~*",
    ] {
        let path = format!("/bucket/{key}");
        // By hand: HTTP clients resolve dots in paths.
        let close = format!("connection: close\r\ncontent-length: {}\r\n", key.len());
        let put = head(&Call::put(&path, key), &client.host, &close) + key;
        assert!(exchange(&server, put.as_bytes()).await.starts_with("HTTP/1.1 200"), "{key}");
        let get = head(&Call::get(&path), &client.host, "connection: close\r\n");
        let answer = exchange(&server, get.as_bytes()).await;
        assert!(answer.ends_with(&format!("\r\n\r\n{key}")), "{key}: {answer}");
        let list =
            Call::get("/bucket").query("list-type", "2").query("encoding-type", "url").query("prefix", key);
        assert_eq!(client.send(list).await.ok().element("KeyCount"), "1", "{key}");
        let delete = head(&Call::new(Method::DELETE, &path), &client.host, "connection: close\r\n");
        assert!(exchange(&server, delete.as_bytes()).await.starts_with("HTTP/1.1 204"), "{key}");
    }
    let long = format!("/bucket/{}", "k".repeat(1025));
    assert_eq!(client.send(Call::put(&long, "")).await.error(), (400, "KeyTooLongError"));
}

#[tokio::test]
async fn bucket_in_the_host_name_is_understood_where_a_domain_is_configured() {
    let options = S3Options { domains: vec!["s3.example.test".to_owned()], ..S3Options::default() };
    let server = Server::with(options, None).await;
    let client = server.client();
    client.bucket("bucket").await;
    client.send(Call::put("/bucket/key", "value")).await.ok();
    let get = head(&Call::get("/key"), "bucket.s3.example.test", "connection: close\r\n");
    let answer = exchange(&server, get.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("value"), "{answer}");
}

#[tokio::test]
async fn client_that_stalls_in_a_body_is_told_and_cut_while_others_are_served() {
    let mut options = S3Options::default();
    options.limits.body_idle_timeout = Duration::from_millis(300);
    let server = Server::with(options, None).await;
    let client = server.client();
    client.bucket("bucket").await;

    let call = Call::put("/bucket/slow", vec![b'x'; 1000]);
    let request = head(&call, &client.host, "content-length: 1000\r\n") + "some";
    let mut stalled = TcpStream::connect(server.addr).await.unwrap();
    stalled.write_all(request.as_bytes()).await.unwrap();

    client.send(Call::put("/bucket/quick", "x")).await.ok();
    let mut answer = String::new();
    stalled.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.contains("<Code>RequestTimeout</Code>"), "{answer}");
    assert_eq!(client.send(Call::get("/bucket/slow")).await.error(), (404, "NoSuchKey"));
}

#[tokio::test]
async fn request_that_is_refused_early_gets_its_answer_before_the_body_was_sent() {
    let server = Server::start().await;
    let call = Call::put("/bucket/key", vec![0; 10]);
    let request = head(&call, &server.addr.to_string(), "content-length: 10\r\nexpect: 100-continue\r\n");
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 400];
    let read = stream.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]);
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}

/// Sends a head and its body apart from each other, as clients do, and reads until the server closes.
async fn send_late(server: &Server, head: &str, body: Vec<u8>) -> String {
    let stream = TcpStream::connect(server.addr).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    writer.write_all(head.as_bytes()).await.unwrap();
    let sending = tokio::spawn(async move {
        // Long enough for the answer to be on its way first.
        tokio::time::sleep(Duration::from_millis(50)).await;
        writer.write_all(&body).await.unwrap();
        writer
    });
    // The client only reads once everything is sent.
    let writer = sending.await.unwrap();
    let mut answer = String::new();
    reader.read_to_string(&mut answer).await.unwrap();
    drop(writer);
    answer
}

#[tokio::test]
async fn answer_that_comes_before_the_body_was_read_reaches_the_client() {
    let server = Server::start().await;
    let client = server.client();
    client.bucket("bucket").await;
    for length in [1, 300 << 10, 9 << 20] {
        for expect in ["", "expect: 100-continue\r\n"] {
            let call = Call::put("/bucket/key", vec![b'x'; length])
                .query("partNumber", "1")
                .query("uploadId", "../../x")
                .payload(UNSIGNED);
            let last = if length == 1 && expect.is_empty() { "connection: close\r\n" } else { "" };
            let further = format!("content-length: {length}\r\n{expect}{last}");
            let answer = send_late(&server, &head(&call, &client.host, &further), call.body).await;
            assert!(answer.starts_with("HTTP/1.1 404"), "{length} {expect}: {answer}");
            assert!(answer.contains("<Code>NoSuchUpload</Code>"), "{answer}");
            assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
        }
    }
}

#[tokio::test]
async fn answer_without_the_continue_a_client_waits_for_ends_its_connection() {
    let server = Server::start().await;
    let client = server.client();
    client.bucket("bucket").await;
    // An empty object: there is nothing to continue with.
    let call = Call::put("/bucket/empty", "");
    let request = head(&call, &client.host, "content-length: 0\r\nexpect: 100-continue\r\n");
    let answer = exchange(&server, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");

    // With a body there is, and the connection goes on to serve the next request.
    let call = Call::put("/bucket/key", "x");
    let put = head(&call, &client.host, "content-length: 1\r\nexpect: 100-continue\r\n") + "x";
    let get = head(&Call::get("/bucket/key"), &client.host, "connection: close\r\n");
    let answer = exchange(&server, (put + &get).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200"), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{answer}");
}

#[tokio::test]
async fn shutdown_lets_a_request_end_and_cuts_what_does_not() {
    let mut options = S3Options::default();
    options.limits.drain = Duration::from_millis(500);
    let mut server = Server::with(options, None).await;
    let client = server.client();
    client.bucket("bucket").await;
    client.send(Call::put("/bucket/big", vec![7; 8 << 20]).payload(UNSIGNED)).await.ok();

    // One client reads to the end, another one never reads.
    let request = head(&Call::get("/bucket/big"), &client.host, "");
    let mut idle = TcpStream::connect(server.addr).await.unwrap();
    idle.write_all(request.as_bytes()).await.unwrap();
    let mut reader = TcpStream::connect(server.addr).await.unwrap();
    reader.write_all(request.as_bytes()).await.unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    reader.read_exact(&mut first).await.unwrap();

    let addr = server.addr;
    let stopped = server.stop();
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).await.unwrap();
    assert!(rest.len() > 8 << 20);
    assert_eq!(stopped.await.unwrap().cut, 1);
    assert!(TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn presigned_urls_work_for_their_time_and_not_longer() {
    use rusty_s3::actions::S3Action;
    let server = Server::start().await;
    let client = server.client();
    client.bucket("bucket").await;
    let endpoint = format!("http://{}", server.addr).parse().unwrap();
    let bucket = rusty_s3::Bucket::new(endpoint, rusty_s3::UrlStyle::Path, "bucket", "us-east-1").unwrap();
    let credentials = rusty_s3::Credentials::new(support::ACCESS_KEY, support::SECRET);

    let url = bucket.put_object(Some(&credentials), "a key").sign(Duration::from_secs(60));
    assert!(client.http.put(url).body("presigned").send().await.unwrap().status().is_success());
    let url = bucket.get_object(Some(&credentials), "a key").sign(Duration::from_secs(60));
    let read = client.http.get(url.clone()).send().await.unwrap();
    assert_eq!(read.text().await.unwrap(), "presigned");

    let longer = url.to_string().replace("X-Amz-Expires=60", "X-Amz-Expires=6000");
    assert_eq!(client.http.get(longer).send().await.unwrap().status(), 403);
    let url = bucket.get_object(Some(&credentials), "a key").sign(Duration::from_secs(604_801));
    assert_eq!(client.http.get(url).send().await.unwrap().status(), 400);
    let url = bucket.get_object(Some(&credentials), "a key").sign(Duration::from_secs(0));
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let expired = client.http.get(url).send().await.unwrap();
    assert_eq!(expired.status(), 403);
    assert!(expired.text().await.unwrap().contains("Request has expired"));
}

fn base64(bytes: &[u8]) -> String {
    use ::base64::Engine;
    ::base64::engine::general_purpose::STANDARD.encode(bytes)
}
