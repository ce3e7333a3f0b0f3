//! Connections as a whole: HTTP/2 and how many at once; and answers that take long.

#![allow(clippy::unwrap_used, reason = "tests, also outside of the functions that are marked as such")]

mod support;

use std::time::Duration;

use reqwest::{StatusCode, Version};
use strongroom_s3::S3Options;
use support::client::{Call, Client};
use support::{Server, self_signed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Many requests on one connection, large and small, all at once.
async fn many_streams(client: &Client) {
    client.bucket("bucket").await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..24_usize {
        let client = client.clone();
        tasks.spawn(async move {
            let path = format!("/bucket/key {n}");
            // Past the 1 MiB window of a stream for some, so that they have to wait for the server to read.
            let length = if n % 3 == 0 { 3 << 20 } else { n * 100 };
            let content: Vec<u8> = (0..=250).cycle().skip(n).take(length).collect();
            client.send(Call::put(&path, content.clone())).await.ok();
            let got = client.send(Call::get(&path)).await.ok();
            assert!(got.body == content, "{path}");
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn http_2_serves_many_streams_of_one_connection() {
    let server = Server::start().await;
    let http = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let client = Client { http: http.clone(), ..server.client() };
    many_streams(&client).await;
    let plain = http.get(format!("http://{}/bucket/none", server.addr)).send().await.unwrap();
    assert_eq!((plain.version(), plain.status()), (Version::HTTP_2, StatusCode::FORBIDDEN));
}

#[tokio::test]
async fn http_2_is_chosen_over_tls_by_clients_that_offer_it() {
    let (tls, certificate) = self_signed();
    let server = Server::with(S3Options::default(), Some(tls)).await;
    let trust = reqwest::Certificate::from_der(&certificate).unwrap();
    let http = reqwest::Client::builder().tls_certs_only([trust]).build().unwrap();
    let client = Client { http: http.clone(), ..Client::new(server.addr, "https") };
    many_streams(&client).await;
    let plain = http.get(format!("https://{}/bucket/none", server.addr)).send().await.unwrap();
    assert_eq!(plain.version(), Version::HTTP_2);
}

#[tokio::test]
async fn connection_past_the_limit_waits_for_its_turn() {
    let mut options = S3Options::default();
    options.limits.connections_max = 2;
    let server = Server::with(options, None).await;
    let held =
        [TcpStream::connect(server.addr).await.unwrap(), TcpStream::connect(server.addr).await.unwrap()];
    // Both are being served: each is asked for something and keeps its connection.
    let mut held = held.into_iter();
    let mut first = held.next().unwrap();
    for stream in std::iter::once(&mut first).chain(held.as_mut_slice()) {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 403");
    }
    let client = server.client();
    let mut waiting = tokio::spawn(async move { client.send(Call::get("/")).await });
    let early = tokio::time::timeout(Duration::from_millis(200), &mut waiting).await;
    assert!(early.is_err(), "a third connection is not served beside two");
    drop(first);
    let answer = tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap().unwrap();
    assert_eq!(answer.ok().status, StatusCode::OK);
}

#[tokio::test]
async fn copy_and_completion_that_take_long_keep_their_client_and_say_in_the_end_what_came_of_it() {
    let mut options = S3Options::default();
    options.limits.keep_alive_after = Duration::ZERO;
    let server = Server::with(options, None).await;
    let client = server.client();
    client.bucket("bucket").await;
    client.send(Call::put("/bucket/source", vec![7; 300_000])).await.ok();

    let copy = Call::put("/bucket/copy", "").header("x-amz-copy-source", "/bucket/source");
    let answer = client.send(copy).await.ok();
    assert!(answer.text().starts_with("<?xml"), "{}", answer.text());
    assert!(answer.element("ETag").contains('"') || answer.element("ETag").contains("&quot;"));
    assert_eq!(client.send(Call::get("/bucket/copy")).await.ok().body, vec![7; 300_000]);

    // Once an answer has begun as a success, an error can only follow inside it.
    let begun = client.send(Call::new(reqwest::Method::POST, "/bucket/big").query("uploads", "")).await.ok();
    let upload = begun.element("UploadId").to_owned();
    let part = Call::put("/bucket/big", "part").query("partNumber", "1").query("uploadId", &upload);
    client.send(part).await.ok();
    let complete = |etag: &str| {
        let body = format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
        );
        Call::new(reqwest::Method::POST, "/bucket/big").query("uploadId", &upload).body(body)
    };
    let wrong = client.send(complete("\"00000000000000000000000000000000\"")).await;
    assert_eq!(wrong.element("Code"), "InvalidPart");
    let right = client.send(complete("\"f4c9385f1902f7334b00b9b4ecd164de\"")).await;
    assert!(right.status.is_success());
}
