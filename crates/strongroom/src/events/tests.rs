//! Senders against a real receiver on this machine.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use strongroom_iam::{Iam, IamOptions};
use strongroom_kms::{LocalKms, LocalKmsOptions, Provider, Unlock, WhenMissing};
use strongroom_objects::events::{AuditStream, EventType, NotificationConfig, NotificationRule, TargetArn};
use strongroom_objects::request::{CreateBucket, PutRequest};
use strongroom_objects::{
    BucketName, BucketSettings, ChecksumRequest, Content, DocumentKind, ObjectMeta, ObjectName, Objects,
    ObjectsOptions, SseRequest, SystemClock, WriteConditions,
};
use strongroom_seal::OsRandom;
use strongroom_store::{Store, StoreOptions};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use super::sender::Sender;
use super::stream::{Acts, Teller};
use super::target::Target;
use crate::config::Webhook;
use crate::server::KmsRootKeys;

/// A request that a receiver got: its header lines in lower case, and its body.
#[derive(Debug, Clone)]
struct Got {
    headers: Vec<String>,
    body: serde_json::Value,
}

/// Answers requests with `answers`, the last of which goes on for ever, and keeps what it got.
async fn receiver(answers: &[&str]) -> (SocketAddr, Arc<Mutex<Vec<Got>>>) {
    let answers: Vec<String> = answers.iter().map(|answer| (*answer).to_owned()).collect();
    receiver_that(move |nth, _| answers[nth.min(answers.len() - 1)].clone()).await
}

/// Answers the `nth` request, counted from 0, with what `answer` says.
async fn receiver_that(
    answer: impl Fn(usize, &Got) -> String + Send + Sync + 'static,
) -> (SocketAddr, Arc<Mutex<Vec<Got>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, got) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<Got>>>::default());
    let (kept, answer) = (Arc::clone(&got), Arc::new(answer));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (answer, kept) = (Arc::clone(&answer), Arc::clone(&kept));
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                while let Some(request) = request(&mut stream).await {
                    let answer = {
                        let mut kept = kept.lock().unwrap();
                        kept.push(request);
                        answer(kept.len() - 1, &kept[kept.len() - 1])
                    };
                    let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n");
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    (address, got)
}

async fn request(stream: &mut BufReader<tokio::net::TcpStream>) -> Option<Got> {
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        headers.push(line.trim_end().to_ascii_lowercase());
    }
    let length = headers.iter().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Got { headers, body: serde_json::from_slice(&body).ok()? })
}

fn webhook(address: SocketAddr) -> Webhook {
    Webhook {
        id: "orders".to_owned(),
        url: format!("http://{address}/hook").parse().unwrap(),
        token: None,
        signature_secret: None,
        authorities: Vec::new(),
        timeout: Duration::from_secs(5),
        retry_max_age: Duration::from_secs(3600),
        streams: crate::config::Streams::default(),
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (elsewhere, got_elsewhere) = receiver(&["200 OK"]).await;
    let (address, got) =
        receiver(&[&format!("307 Temporary Redirect\r\nlocation: http://{elsewhere}/")]).await;
    let target = Target::of(webhook(address)).unwrap();
    let (attempt, words) = target.send(b"{}".to_vec()).await;
    assert_eq!(attempt, super::schedule::Attempt::Unwanted);
    assert!(words.contains("307"), "{words}");
    assert_eq!((got.lock().unwrap().len(), got_elsewhere.lock().unwrap().len()), (1, 0));
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_is_in_trouble() {
    // It accepts, by the operating system's grace, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hook = Webhook { timeout: Duration::from_millis(200), ..webhook(silent.local_addr().unwrap()) };
    let (attempt, words) = Target::of(hook).unwrap().send(b"{}".to_vec()).await;
    assert_eq!((attempt, words.as_str()), (super::schedule::Attempt::Trouble, "no answer in time"));
    let nobody = silent.local_addr().unwrap();
    drop(silent);
    let (attempt, words) = Target::of(webhook(nobody)).unwrap().send(b"{}".to_vec()).await;
    assert_eq!(attempt, super::schedule::Attempt::Trouble);
    assert!(!words.contains("hook"), "the address is not shown: {words}");
}

async fn objects(dir: &std::path::Path) -> Objects {
    opened(dir).await.0
}

async fn opened(dir: &std::path::Path) -> (Objects, Store) {
    let (dir, runtime) = (dir.to_owned(), tokio::runtime::Handle::current());
    let options = ObjectsOptions {
        event_targets: BTreeSet::from(["orders".to_owned()]),
        ..ObjectsOptions::new(dir.join("blobs"))
    };
    let opened = tokio::task::spawn_blocking(move || {
        let options = LocalKmsOptions {
            when_missing: WhenMissing::Create,
            ..LocalKmsOptions::new(dir.join("kms"), Unlock::Generated)
        };
        let kms: Arc<dyn Provider> = Arc::new(LocalKms::open(options).unwrap());
        let root_keys = Arc::new(KmsRootKeys::new(Arc::clone(&kms), runtime));
        (Store::create_or_open(StoreOptions::new(&dir, root_keys)).unwrap(), kms)
    });
    let (store, kms) = opened.await.unwrap();
    (Objects::open(store.clone(), kms, options).await.unwrap(), store)
}

/// What administrators did, and did to identities: here, to buckets.
async fn acts(dir: &std::path::Path) -> Acts {
    let (objects, store) = opened(dir).await;
    let iam = tokio::task::spawn_blocking(move || Iam::open(&store, IamOptions::default(), None).unwrap().0);
    Acts { objects, iam: iam.await.unwrap() }
}

async fn make_bucket(acts: &Acts, name: &str) {
    let new = CreateBucket { owner: "me".into(), settings: BucketSettings::default() };
    acts.objects.create_bucket(&BucketName::parse(name).unwrap(), new).await.unwrap();
}

fn teller(acts: &Acts, address: SocketAddr) -> Teller {
    Teller {
        id: "orders".to_owned(),
        target: Arc::new(Target::of(webhook(address)).unwrap()),
        stream: AuditStream::Trail,
        streams: crate::config::Streams { buckets: true, ..crate::config::Streams::default() },
        acts: acts.clone(),
        age_max: Duration::from_secs(3600),
        clock: Arc::new(SystemClock),
        random: Arc::new(OsRandom),
        pause_ms: |_, _| 1,
    }
}

/// The buckets that it was told of, once that is `count` times.
async fn told(got: &Mutex<Vec<Got>>, count: usize) -> Vec<String> {
    let subjects = || -> Vec<String> {
        let got = got.lock().unwrap();
        got.iter().map(|got| got.body["Records"][0]["subject"].as_str().unwrap().to_owned()).collect()
    };
    let enough = async {
        while subjects().len() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), enough).await.expect("it is told");
    subjects()
}

/// Waits until it is kept that `count` acts were told.
async fn told_up_to(acts: &Acts, count: u64) {
    let kept = async {
        while acts.objects.told_up_to(AuditStream::Trail, "orders").await.unwrap() != Some(count) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), kept).await.expect("it is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn acts_are_told_again_until_they_are_taken_and_after_a_start_go_on_behind_them() {
    let dir = tempfile::tempdir().unwrap();
    let acts = acts(dir.path()).await;
    acts.objects.set_told_up_to(AuditStream::Trail, "orders", 0).await.unwrap();
    make_bucket(&acts, "first").await;
    make_bucket(&acts, "second").await;
    let (address, got) = receiver(&["503 Away", "400 No", "200 OK", "500 Oops", "200 OK"]).await;
    let running = tokio::spawn(teller(&acts, address).run());
    assert_eq!(told(&got, 5).await, ["first", "first", "first", "second", "second"]);
    told_up_to(&acts, 2).await;
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());

    make_bucket(&acts, "third").await;
    let (address, got) = receiver(&["200 OK"]).await;
    let running = tokio::spawn(teller(&acts, address).run());
    told_up_to(&acts, 3).await;
    assert_eq!(told(&got, 1).await, ["third"], "what was taken is not told again");
    running.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn act_that_a_webhook_never_wants_does_not_keep_the_next_ones_from_it() {
    let dir = tempfile::tempdir().unwrap();
    let acts = acts(dir.path()).await;
    acts.objects.set_told_up_to(AuditStream::Trail, "orders", 0).await.unwrap();
    for name in ["good", "poison", "better"] {
        make_bucket(&acts, name).await;
    }
    let (address, got) = receiver_that(|nth, got| {
        let answer = match got.body["Records"][0]["subject"] == "poison" {
            // Trouble is no refusal.
            true if nth % 2 == 1 => "503 Away",
            true => "422 No",
            false => "200 OK",
        };
        answer.to_owned()
    })
    .await;
    let running = tokio::spawn(teller(&acts, address).run());
    told_up_to(&acts, 3).await;
    let told = told(&got, 22).await;
    assert_eq!((told[0].as_str(), told[21].as_str(), told.len()), ("good", "better", 22));
    assert!(told[1..21].iter().all(|subject| subject == "poison"), "{told:?}");
    running.abort();
}

async fn put(objects: &Objects, bucket: &BucketName, name: &str, length: usize) {
    let request = PutRequest {
        bucket: bucket.clone(),
        name: ObjectName::parse(name).unwrap(),
        content: Content::from_bytes(vec![b'x'; length]),
        meta: ObjectMeta::default(),
        sse: SseRequest::Default,
        conditions: WriteConditions::default(),
        checksums: ChecksumRequest::default(),
        content_md5: None,
    };
    objects.put(request).await.unwrap();
}

async fn bucket_that_tells(objects: &Objects) -> BucketName {
    let bucket = BucketName::parse("bucket").unwrap();
    let new = CreateBucket { owner: "me".into(), settings: BucketSettings::default() };
    objects.create_bucket(&bucket, new).await.unwrap();
    let rule = NotificationRule {
        id: "rule".to_owned(),
        target: TargetArn::of_target("orders").unwrap(),
        events: vec![EventType::parse("s3:ObjectCreated:*").unwrap()],
        prefix: None,
        suffix: None,
    };
    let document = NotificationConfig { rules: vec![rule] }.to_document();
    objects.set_bucket_document(&bucket, DocumentKind::Notification, Some(document)).await.unwrap();
    bucket
}

fn sender(objects: &Objects, address: SocketAddr) -> Sender {
    Sender {
        id: "orders".to_owned(),
        target: Arc::new(Target::of(webhook(address)).unwrap()),
        objects: objects.clone(),
        region: "us-east-1".into(),
        age_max: Duration::from_secs(3600),
        clock: Arc::new(SystemClock),
        random: Arc::new(OsRandom),
        status: Arc::default(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_sent_in_order_until_they_are_taken_and_then_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let objects = objects(dir.path()).await;
    let bucket = bucket_that_tells(&objects).await;
    for length in 1..=10 {
        put(&objects, &bucket, "same", length).await;
    }
    let (address, got) = receiver(&["500 Oops", "400 No", "200 OK"]).await;
    let sender = sender(&objects, address);
    let status = Arc::clone(&sender.status);
    let running = tokio::spawn(sender.run());
    let all_taken = async {
        while objects.event_counts().get("orders").copied().unwrap_or(0) > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), all_taken).await.unwrap();
    put(&objects, &bucket, "new", 11).await;
    let told = async {
        while got.lock().unwrap().len() < 13 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), told).await.unwrap();
    running.abort();
    let got = got.lock().unwrap().clone();
    let sizes: Vec<_> =
        got.iter().map(|got| got.body["Records"][0]["s3"]["object"]["size"].as_u64().unwrap()).collect();
    assert_eq!(sizes, [1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], "the first is tried until it is taken");
    assert_eq!(status.lock().unwrap().failures, 0);
    assert!(got[0].headers.iter().any(|line| line == "content-type: application/json"));
    assert!(got[0].headers[0].starts_with("post /hook http/1.1"));
    objects.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_events_hold_up_no_other_object_however_many_they_are() {
    const MANY: usize = 1100;
    let dir = tempfile::tempdir().unwrap();
    let objects = objects(dir.path()).await;
    let bucket = bucket_that_tells(&objects).await;
    let names: Vec<String> = (0..MANY).map(|number| format!("refused{number}")).collect();
    futures::future::join_all(names.iter().map(|name| put(&objects, &bucket, name, 1))).await;
    put(&objects, &bucket, "wanted", 1).await;
    let (address, got) = receiver_that(|_, got| match key_of(got).starts_with("refused") {
        true => "400 No".to_owned(),
        false => "200 OK".to_owned(),
    })
    .await;
    let running = tokio::spawn(sender(&objects, address).run());
    let wanted = |name: &'static str| {
        let got = Arc::clone(&got);
        let told = async move {
            while !got.lock().unwrap().iter().any(|got| key_of(got) == name) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), told)
    };
    wanted("wanted").await.unwrap();
    put(&objects, &bucket, "wanted later", 1).await;
    wanted("wanted+later").await.unwrap();
    // The refused ones wait until they are too old.
    let removed = async {
        while objects.event_counts()["orders"] > MANY as u64 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), removed).await.unwrap();
    assert_eq!(objects.event_counts()["orders"], MANY as u64);
    running.abort();
    objects.close().await;
}

fn key_of(got: &Got) -> String {
    got.body["Records"][0]["s3"]["object"]["key"].as_str().unwrap().to_owned()
}
