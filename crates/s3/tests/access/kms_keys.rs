//! Keys of the key management on every way that data take: who may use them is asked wherever they are used.

use reqwest::Method;
use strongroom_objects::{BucketName, DefaultEncryption};

use super::{Call, Keys, Setup, denied, get, statement};

const SSE: &str = "x-amz-server-side-encryption";
const SOURCE: &str = "x-amz-copy-source";
const ENCRYPT: &str = "kms:GenerateDataKey";
const DECRYPT: &str = "kms:Decrypt";

/// Tries a request without any key, with the key for other purposes, and with what it needs. The request is denied before it
/// is allowed.
async fn needs(setup: &Setup, user: &Keys, actions: &[&str], call: impl Fn() -> Call) -> super::Answer {
    let s3 = statement("Allow", &["s3:*"], "*");
    let mut sets = vec![vec![]];
    for missing in actions {
        let others = [ENCRYPT, DECRYPT].into_iter().filter(|action| action != missing);
        sets.push(others.collect());
    }
    for set in sets {
        let keys = if set.is_empty() { String::new() } else { format!(",{}", statement("Allow", &set, "*")) };
        setup.policy("u", &format!("{s3}{keys}")).await;
        let answer = setup.by(user, call()).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(
            denied(&answer) && text.contains("kms:"),
            "{} with {set:?}: {} {text}",
            call().path,
            answer.status
        );
    }
    setup.policy("u", &[s3, statement("Allow", actions, "*")].join(",")).await;
    setup.by(user, call()).await.ok()
}

async fn setup() -> (Setup, Keys) {
    let setup = Setup::new().await;
    setup.root(Call::put("/bkt/kms", "0123456789").header(SSE, "aws:kms")).await.ok();
    setup.root(Call::put("/bkt/dsse", "0123456789").header(SSE, "aws:kms:dsse")).await.ok();
    let user = setup.user("u", &statement("Allow", &["s3:*"], "*")).await;
    (setup, user)
}

#[tokio::test]
async fn reads_need_the_key_whatever_part_they_read() {
    let (setup, user) = setup().await;
    for path in ["/bkt/kms", "/bkt/dsse"] {
        assert_eq!(needs(&setup, &user, &[DECRYPT], || get(path)).await.body, b"0123456789");
        let range = || get(path).header("range", "bytes=2-4");
        assert_eq!(needs(&setup, &user, &[DECRYPT], range).await.body, b"234");
        let version = || get(path).query("versionId", "null");
        assert_eq!(needs(&setup, &user, &[DECRYPT], version).await.body, b"0123456789");
    }
    // Without the key nothing else of the object is kept back.
    setup.policy("u", &statement("Allow", &["s3:*"], "*")).await;
    setup.by(&user, Call::new(Method::HEAD, "/bkt/kms")).await.ok();
    setup.by(&user, get("/bkt").query("list-type", "2")).await.ok();
}

#[tokio::test]
async fn writes_need_the_key_whether_they_name_it_or_the_bucket_does() {
    let (setup, user) = setup().await;
    let put = |sse: &'static str| move || Call::put("/bkt/new", "x").header(SSE, sse);
    needs(&setup, &user, &[ENCRYPT], put("aws:kms")).await;
    needs(&setup, &user, &[ENCRYPT], put("aws:kms:dsse")).await;
    let bucket = BucketName::parse("bkt").unwrap();
    for encryption in [
        DefaultEncryption::Kms { key_id: None, bucket_key: false },
        DefaultEncryption::Kms { key_id: None, bucket_key: true },
        DefaultEncryption::Dsse { key_id: None, bucket_key: false },
    ] {
        setup.objects.set_default_encryption(&bucket, encryption).await.unwrap();
        needs(&setup, &user, &[ENCRYPT], || Call::put("/bkt/new", "x")).await;
        needs(&setup, &user, &[ENCRYPT], || Call::put("/bkt/new", "").header(SOURCE, "/bkt/k")).await;
        needs(&setup, &user, &[ENCRYPT], || Call::new(Method::POST, "/bkt/new").query("uploads", "")).await;
    }
}

#[tokio::test]
async fn copies_need_the_keys_of_both_ends() {
    let (setup, user) = setup().await;
    let copy = |from: &'static str, sse: &'static str| {
        move || Call::put("/bkt/new", "").header(SOURCE, from).header(SSE, sse)
    };
    needs(&setup, &user, &[DECRYPT], copy("/bkt/kms", "AES256")).await;
    needs(&setup, &user, &[DECRYPT], copy("/bkt/dsse", "AES256")).await;
    needs(&setup, &user, &[ENCRYPT], copy("/bkt/k", "aws:kms")).await;
    needs(&setup, &user, &[DECRYPT, ENCRYPT], copy("/bkt/kms", "aws:kms:dsse")).await;
    // A copy onto itself that only wraps the key anew.
    let itself = || Call::put("/bkt/kms", "").header(SOURCE, "/bkt/kms").header(SSE, "aws:kms");
    needs(&setup, &user, &[DECRYPT, ENCRYPT], itself).await;
    let away = || Call::put("/bkt/kms", "").header(SOURCE, "/bkt/kms").header(SSE, "AES256");
    needs(&setup, &user, &[DECRYPT], away).await;
    setup.policy("u", &statement("Allow", &["s3:*"], "*")).await;
    setup.by(&user, get("/bkt/kms")).await.ok();
}

#[tokio::test]
async fn parts_need_the_key_of_their_upload_and_that_of_their_source() {
    let (setup, user) = setup().await;
    for sse in ["aws:kms", "aws:kms:dsse"] {
        let begin = || Call::new(Method::POST, "/bkt/large").query("uploads", "").header(SSE, sse);
        let upload = needs(&setup, &user, &[ENCRYPT], begin).await.element("UploadId").to_owned();
        let part = |number: &str, body: &str| {
            Call::put("/bkt/large", body).query("partNumber", number).query("uploadId", &upload)
        };
        needs(&setup, &user, &[DECRYPT], || part("1", "part")).await;
        let copied = needs(&setup, &user, &[DECRYPT], || part("1", "").header(SOURCE, "/bkt/k")).await;
        let etag = copied.element("ETag").replace("&quot;", "\"");
        let body = format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>\
             </CompleteMultipartUpload>"
        );
        let complete = || Call::new(Method::POST, "/bkt/large").query("uploadId", &upload).body(body.clone());
        needs(&setup, &user, &[DECRYPT], complete).await;
    }
    // The upload needs none, and its source does.
    let begin = Call::new(Method::POST, "/bkt/large").query("uploads", "").header(SSE, "AES256");
    let upload = setup.root(begin).await.ok().element("UploadId").to_owned();
    let part = || {
        let call = Call::put("/bkt/large", "").query("partNumber", "1").query("uploadId", &upload);
        call.header(SOURCE, "/bkt/kms")
    };
    needs(&setup, &user, &[DECRYPT], part).await;
}
