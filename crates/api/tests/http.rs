//! The API over a real listener.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

mod client;

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use client::{raw, request};
use strongroom_api::{ApiDeps, Check, CheckError, serve};
use strongroom_telemetry::{Metrics, RequestId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    ended: JoinHandle<io::Result<()>>,
}

impl Server {
    async fn start(checks: Vec<Check>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let next = AtomicU8::new(1);
        let deps = ApiDeps {
            checks: checks.into(),
            metrics: Metrics::install().unwrap(),
            key_metrics: Arc::new(|| "# keys\n".to_owned()),
            rest: None,
            request_ids: Arc::new(move || RequestId::from_random([next.fetch_add(1, Ordering::SeqCst); 16])),
            connections_max: 64,
        };
        let ended = tokio::spawn(serve(listener, None, deps, async move {
            let _ = stopped.await;
        }));
        Self { address, stop: Some(stop), ended }
    }

    async fn get(&self, path: &str) -> client::Answer {
        request(self.address, "GET", path).await
    }

    fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    async fn ended(self) {
        timeout(Duration::from_secs(20), self.ended).await.unwrap().unwrap().unwrap();
    }
}

fn good(name: &'static str) -> Check {
    Check::new(name, || async { Ok(()) })
}

fn bad(name: &'static str) -> Check {
    Check::new(name, || async { Err(CheckError::new("unavailable", io::Error::other("secret detail"))) })
}

#[tokio::test]
async fn live_is_200_whatever_the_parts_do() {
    let server = Server::start(vec![bad("kms"), bad("store")]).await;
    let answer = server.get("/health/live").await;
    assert_eq!((answer.status, answer.json()["status"].as_str()), (200, Some("live")));
}

#[tokio::test]
async fn ready_names_the_parts_that_failed_and_no_details() {
    let server = Server::start(vec![good("kms"), good("store")]).await;
    let answer = server.get("/health/ready").await;
    assert_eq!((answer.status, answer.json()["status"].as_str()), (200, Some("ready")));

    let server = Server::start(vec![bad("kms"), good("store")]).await;
    let answer = server.get("/health/ready").await;
    assert_eq!(answer.status, 503);
    let json = answer.json();
    assert_eq!(json["status"], "not ready");
    assert_eq!(json["checks"][0], serde_json::json!({"name": "kms", "ok": false, "error": "unavailable"}));
    assert_eq!(json["checks"][1], serde_json::json!({"name": "store", "ok": true}));
    assert!(!answer.body.contains("secret detail"));
}

#[tokio::test]
async fn part_that_does_not_answer_fails_by_time() {
    let server = Server::start(vec![Check::new("store", std::future::pending), good("kms")]).await;
    let answer = timeout(Duration::from_secs(10), server.get("/health/ready")).await.unwrap();
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["checks"][0]["error"], "timeout");
    assert_eq!(answer.json()["checks"][1]["ok"], true);
}

#[tokio::test]
async fn metrics_are_prometheus_text_in_which_every_sample_is_described() {
    let server = Server::start(vec![good("kms")]).await;
    server.get("/health/ready").await;
    server.get("/nothing/here").await;
    let answer = server.get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let mut described = BTreeSet::new();
    let mut samples = 0;
    for line in answer.body.lines().filter(|line| !line.is_empty()) {
        match line.strip_prefix("# ") {
            Some(rest) => {
                let mut words = rest.split(' ');
                let (kind, name) = (words.next().unwrap(), words.next().unwrap());
                assert!(kind == "HELP" || kind == "TYPE", "{line}");
                assert!(name.starts_with("strongroom_"), "{line}");
                described.insert((kind.to_owned(), name.to_owned()));
            }
            None => {
                let name = line.split(['{', ' ']).next().unwrap();
                let stem = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
                let is_described = |name: &str| {
                    ["HELP", "TYPE"].iter().all(|kind| described.contains(&((*kind).into(), name.into())))
                };
                assert!(is_described(name) || stem.is_some_and(is_described), "{line}");
                samples += 1;
            }
        }
    }
    assert!(samples > 30, "{samples} samples");
    for part in [
        "strongroom_ready{check=\"kms\"} 1\n",
        "strongroom_api_requests_total{route=\"/health/ready\",status=\"200\"}",
        "strongroom_api_requests_total{route=\"other\",status=\"404\"}",
        "strongroom_process_resident_bytes ",
    ] {
        assert!(answer.body.contains(part), "{part} is missing");
    }
    assert!(!answer.body.contains("nothing/here"), "a path that a client made up became a label");
}

#[tokio::test]
async fn errors_are_json_with_the_request_id_of_the_header() {
    let server = Server::start(vec![]).await;
    for (method, path, status, code) in [
        ("GET", "/", 404, "NotFound"),
        ("GET", "/health", 404, "NotFound"),
        ("GET", "/metrics/", 404, "NotFound"),
        ("DELETE", "/nothing", 404, "NotFound"),
        ("POST", "/metrics", 405, "MethodNotAllowed"),
        ("PUT", "/health/ready", 405, "MethodNotAllowed"),
    ] {
        let answer = request(server.address, method, path).await;
        assert_eq!(answer.status, status, "{method} {path}");
        let json = answer.json();
        assert_eq!(json["error"]["code"], code);
        assert_eq!(json["error"]["request_id"], answer.headers["x-request-id"].as_str());
        assert_eq!(answer.headers.get("allow").map(String::as_str), (status == 405).then_some("GET,HEAD"));
    }
    let answer = request(server.address, "HEAD", "/health/live").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
}

#[tokio::test]
async fn every_answer_has_an_id_of_its_own_and_is_not_cached() {
    let server = Server::start(vec![]).await;
    let mut ids = BTreeSet::new();
    for path in ["/health/live", "/metrics", "/health/ready", "/none"] {
        let answer = server.get(path).await;
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert_eq!(answer.headers["x-request-id"].len(), 32);
        ids.insert(answer.headers["x-request-id"].clone());
    }
    assert_eq!(ids.len(), 4);
}

#[tokio::test]
async fn header_that_is_too_large_is_refused() {
    let server = Server::start(vec![]).await;
    let long = format!("GET /health/live HTTP/1.1\r\nHost: test\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    assert_eq!(raw(server.address, &long).await.status, 431);
    let many = format!("GET /health/live HTTP/1.1\r\nHost: test\r\n{}\r\n", "X: x\r\n".repeat(100));
    assert_eq!(raw(server.address, &many).await.status, 431);
    assert_eq!(server.get("/health/live").await.status, 200);
}

#[tokio::test]
async fn several_requests_share_a_connection() {
    let server = Server::start(vec![]).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    for _ in 0..3 {
        stream.write_all(b"GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"}") {
            assert_ne!(stream.read_buf(&mut seen).await.unwrap(), 0);
        }
        assert!(seen.starts_with(b"HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn shutdown_finishes_open_requests_and_takes_no_new_ones() {
    let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (in_probe, wait) = (Arc::clone(&begun), Arc::clone(&go));
    let slow = Check::new("store", move || {
        let (in_probe, wait) = (Arc::clone(&in_probe), Arc::clone(&wait));
        async move {
            in_probe.notify_one();
            wait.notified().await;
            Ok(())
        }
    });
    let mut server = Server::start(vec![slow]).await;
    let address = server.address;
    let open = tokio::spawn(async move { request(address, "GET", "/health/ready").await });
    let idle = TcpStream::connect(address).await.unwrap();
    begun.notified().await;
    server.stop();
    // The listener is gone once the server has seen the signal.
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    go.notify_one();
    assert_eq!(open.await.unwrap().status, 200);
    server.ended().await;
    drop(idle);
}

#[tokio::test]
async fn administration_is_not_on_the_tcp_port() {
    let server = Server::start(vec![good("store")]).await;
    for (method, path) in [
        ("GET", "/api/v1/admin/keys/groups"),
        ("POST", "/api/v1/admin/keys/rotate"),
        ("GET", "/api/v1/admin"),
    ] {
        let answer = request(server.address, method, path).await;
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (404, &"NotFound".into()), "{path}");
    }
}
