//! Each thing that a condition may name is told of some request, however the request spells it.

use reqwest::Method;
use strongroom_iam::{CONDITION_KEY_FAMILIES, CONDITION_KEYS};

use super::support::client::sha256_hex;
use super::tokens::{ASSUME, keys_of, sts};
use super::{Call, Keys, Setup, denied, get, statement};

const SSE: &str = "x-amz-server-side-encryption";
const KEY_ID: &str = "x-amz-server-side-encryption-aws-kms-key-id";
const SOURCE: &str = "x-amz-copy-source";
/// `{"app":"shop"}`
const CONTEXT: (&str, &str) = ("x-amz-server-side-encryption-context", "eyJhcHAiOiJzaG9wIn0=");
const TO_CREATE: &str = "<CreateBucketConfiguration><LocationConstraint>us-east-1</LocationConstraint></CreateBucketConfiguration>";

fn put(headers: &[(&str, &str)]) -> Call {
    headers.iter().fold(Call::put("/bkt/new", "x"), |call, (name, value)| call.header(name, value))
}

fn kms() -> Call {
    put(&[(SSE, "aws:kms"), CONTEXT])
}

fn list(name: &str, value: &str) -> Call {
    get("/bkt").query("list-type", "2").query(name, value)
}

/// A request that has a value for the condition key, and its action.
fn request_with(key: &str) -> (&'static str, Call) {
    let until = ("x-amz-object-lock-retain-until-date", "2099-01-01T00:00:00Z");
    let locked = || put(&[("x-amz-object-lock-mode", "GOVERNANCE"), until]);
    let call = match key {
        "aws:referer" => get("/bkt/k").header("referer", "https://x/"),
        "aws:useragent" => get("/bkt/k").header("user-agent", "x"),
        "kms:encryptioncontextkeys" | "kms:viaservice" | "kms:encryptioncontext:app" => {
            return ("kms:GenerateDataKey", kms());
        }
        "s3:delimiter" => return ("s3:ListBucket", list("delimiter", "/")),
        "s3:prefix" => return ("s3:ListBucket", list("prefix", "a")),
        "s3:max-keys" => return ("s3:ListBucket", list("max-keys", "1")),
        "s3:if-match" => get("/bkt/k").header("if-match", "*"),
        "s3:objectcreationoperation" => return ("s3:PutObject", put(&[])),
        "s3:if-none-match" => return ("s3:PutObject", put(&[("if-none-match", "*")])),
        "s3:locationconstraint" => return ("s3:CreateBucket", Call::put("/new-bucket", TO_CREATE)),
        "s3:x-amz-object-ownership" => {
            let call = Call::put("/new-bucket", "").header("x-amz-object-ownership", "BucketOwnerEnforced");
            return ("s3:CreateBucket", call);
        }
        "s3:versionid" => return ("s3:GetObjectVersion", get("/bkt/k").query("versionId", "null")),
        "s3:existingobjecttag/a" => get("/bkt/tagged"),
        "s3:object-lock-mode"
        | "s3:object-lock-retain-until-date"
        | "s3:object-lock-remaining-retention-days" => return ("s3:PutObject", locked()),
        "s3:object-lock-legal-hold" => {
            return ("s3:PutObject", put(&[("x-amz-object-lock-legal-hold", "ON")]));
        }
        "s3:requestobjecttagkeys" | "s3:requestobjecttag/a" => {
            return ("s3:PutObject", put(&[("x-amz-tagging", "a=b")]));
        }
        "s3:x-amz-content-sha256" => get("/bkt/k"),
        "s3:x-amz-copy-source" => return ("s3:PutObject", put(&[(SOURCE, "/bkt/k")])),
        "s3:x-amz-metadata-directive" => {
            let directive = ("x-amz-metadata-directive", "REPLACE");
            return ("s3:PutObject", put(&[(SOURCE, "/bkt/k"), directive]));
        }
        "s3:x-amz-server-side-encryption-aws-kms-key-id" => {
            return ("s3:PutObject", put(&[(SSE, "aws:kms"), (KEY_ID, "k")]));
        }
        header if header.starts_with("s3:x-amz-") => {
            let value = match header {
                "s3:x-amz-acl" => "private",
                "s3:x-amz-storage-class" => "STANDARD",
                "s3:x-amz-website-redirect-location" => "/elsewhere",
                grant if grant.starts_with("s3:x-amz-grant") => "id=\"somebody\"",
                _ => "AES256",
            };
            return ("s3:PutObject", put(&[(header.strip_prefix("s3:").unwrap(), value)]));
        }
        // What every request has.
        _ => get("/bkt/k"),
    };
    ("s3:GetObject", call)
}

/// A policy that allows everything, and `action` only under a condition.
fn only_if(action: &str, condition: &str) -> String {
    format!(
        r#"{{"Effect":"Allow","NotAction":"{action}","Resource":"*"}},
           {{"Effect":"Allow","Action":"{action}","Resource":"*","Condition":{condition}}}"#
    )
}

#[tokio::test]
async fn every_condition_key_has_a_value_in_some_request() {
    let setup = Setup::secure().await;
    setup.root(Call::put("/bkt/tagged", "x").header("x-amz-tagging", "a=b")).await.ok();
    let user = setup.user("u", &statement("Allow", &["s3:*"], "*")).await;
    let of_families = CONDITION_KEY_FAMILIES.iter().map(|family| match *family {
        "kms:encryptioncontext:" => format!("{family}app"),
        tag => format!("{tag}a"),
    });
    let session = keys_of(&sts(&setup, &user, "sts", &ASSUME).await.ok());
    // What is done to identities is done through the REST API, whose tests have its keys.
    let keys = CONDITION_KEYS.iter().filter(|key| !key.starts_with("iam:"));
    for key in keys.map(|key| (*key).to_owned()).chain(of_families) {
        let asker = if key == "aws:tokenissuetime" { &session } else { &user };
        for (absent, allowed) in [(true, false), (false, true)] {
            let (action, call) = request_with(&key);
            setup.policy("u", &only_if(action, &format!(r#"{{"Null":{{"{key}":"{absent}"}}}}"#))).await;
            let answer = setup.by(asker, call).await;
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            assert_eq!(!denied(&answer), allowed, "{key}, absent {absent}: {} {text}", answer.status);
        }
    }
}

async fn each(setup: &Setup, user: &Keys, statements: &str, requests: Vec<(Call, bool)>) {
    setup.policy("u", statements).await;
    for (at, (call, allowed)) in requests.into_iter().enumerate() {
        let answer = setup.by(user, call).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(!denied(&answer), allowed, "{statements}, request {at}: {} {text}", answer.status);
    }
}

fn all_but(condition: &str) -> String {
    format!(
        r#"{{"Effect":"Allow","Action":["s3:*","kms:*"],"Resource":"*"}},
           {{"Effect":"Deny","Action":"s3:PutObject","Resource":"*","Condition":{condition}}}"#
    )
}

#[tokio::test]
async fn transport_version_of_tls_and_account_can_be_asked_for() {
    let setup = Setup::secure().await;
    let user = setup.user("u", &statement("Allow", &["s3:*"], "*")).await;
    for (condition, allowed) in [
        (r#"{"NumericLessThan":{"s3:TlsVersion":"1.2"}}"#, true),
        (r#"{"NumericLessThan":{"s3:TlsVersion":"1.4"}}"#, false),
        (r#"{"Bool":{"aws:SecureTransport":"false"}}"#, true),
        (r#"{"Bool":{"aws:SecureTransport":"true"}}"#, false),
        (r#"{"StringNotEquals":{"s3:ResourceAccount":"strongroom"}}"#, true),
        (r#"{"StringNotEquals":{"s3:ResourceAccount":"111122223333"}}"#, false),
    ] {
        each(&setup, &user, &all_but(condition), vec![(put(&[]), allowed)]).await;
    }
}

#[tokio::test]
async fn source_of_a_copy_is_met_however_it_is_written() {
    let setup = Setup::new().await;
    for key in ["secret/x", "open"] {
        setup.root(Call::put(&format!("/bkt/{key}"), "x")).await.ok();
    }
    let user = setup.user("u", &statement("Allow", &["s3:*"], "*")).await;
    let upload = setup.root(Call::new(Method::POST, "/bkt/new").query("uploads", "")).await.ok();
    let upload = upload.element("UploadId").to_owned();
    for pattern in ["bkt/secret/*", "/bkt/secret/*"] {
        let deny = all_but(&format!(r#"{{"StringLike":{{"s3:x-amz-copy-source":"{pattern}"}}}}"#));
        let mut requests = vec![(put(&[(SOURCE, "/bkt/open")]), true)];
        for source in [
            "bkt/secret/x",
            "/bkt/secret/x",
            "bkt/%73ecret/x",
            "%62kt/secret%2Fx",
            "/bkt/secret/x?versionId=null",
        ] {
            requests.push((put(&[(SOURCE, source)]), false));
            let part = put(&[(SOURCE, source)]).query("partNumber", "1").query("uploadId", &upload);
            requests.push((part, false));
        }
        each(&setup, &user, &deny, requests).await;
    }
}

#[tokio::test]
async fn key_of_the_kms_is_met_however_it_is_written() {
    let setup = Setup::new().await;
    let stored = setup.root(Call::put("/bkt/kms", "x").header(SSE, "aws:kms")).await.ok();
    let arn = stored.header(KEY_ID).unwrap().to_owned();
    let id = arn.rsplit('/').next().unwrap().to_owned();
    let regional = format!("arn:aws:kms:us-east-1:111122223333:key/{id}");
    let user = setup.user("u", &statement("Allow", &["s3:*"], "*")).await;
    for written in [&arn, &id, &regional] {
        let fact = all_but(&format!(r#"{{"StringEquals":{{"s3:{KEY_ID}":"{written}"}}}}"#));
        let named = |named: &str| put(&[(SSE, "aws:kms"), (KEY_ID, named)]);
        let requests =
            vec![(named(&arn), false), (named(&id), false), (named(&regional), false), (put(&[]), true)];
        each(&setup, &user, &fact, requests).await;
    }
    let resource = format!(
        r#"{{"Effect":"Allow","Action":["s3:*","kms:*"],"Resource":"*"}},
           {{"Effect":"Deny","Action":"kms:Decrypt","Resource":"{regional}"}}"#
    );
    each(&setup, &user, &resource, vec![(get("/bkt/kms"), false), (get("/bkt/k"), true)]).await;
}

#[tokio::test]
async fn keys_of_the_kms_are_bound_by_the_encryption_context() {
    let setup = Setup::new().await;
    let user = setup.user("u", &statement("Allow", &["s3:*"], "*")).await;
    let other = put(&[(SSE, "aws:kms"), (CONTEXT.0, "eyJhcHAiOiJvdGhlciJ9")]);
    let plain = || put(&[(SSE, "aws:kms")]);
    let if_kms = |condition: &str| {
        format!(
            r#"{{"Effect":"Allow","Action":"s3:*","Resource":"*"}},
               {{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{condition}}}"#
        )
    };
    let shop = if_kms(r#"{"StringEquals":{"kms:EncryptionContext:app":"shop"}}"#);
    each(
        &setup,
        &user,
        &shop,
        vec![(plain(), false), (other, false), (kms(), true), (get("/bkt/new"), true)],
    )
    .await;
    let keys = if_kms(r#"{"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":["aws:s3:arn"]}}"#);
    each(&setup, &user, &keys, vec![(kms(), false), (get("/bkt/new"), false), (plain(), true)]).await;
    let object = if_kms(r#"{"StringEquals":{"kms:EncryptionContext:aws:s3:arn":"arn:aws:s3:::bkt/new"}}"#);
    let of_bucket = put(&[(SSE, "aws:kms"), ("x-amz-server-side-encryption-bucket-key-enabled", "true")]);
    // A client cannot say what its object is.
    let forged = "eyJhd3M6czM6YXJuIjoiYXJuOmF3czpzMzo6OmJrdC9uZXcifQ==";
    let forged = Call::put("/bkt/other", "x").header(SSE, "aws:kms").header(CONTEXT.0, forged);
    each(&setup, &user, &object, vec![(plain(), true), (of_bucket, false), (forged, false)]).await;
}

#[tokio::test]
async fn upload_that_was_begun_as_a_policy_demands_is_carried_out() {
    let setup = Setup::new().await;
    let user = setup.user("u", &statement("Allow", &["s3:*"], "*")).await;
    let begin = |sse: Option<&str>| {
        let call = Call::new(Method::POST, "/bkt/large").query("uploads", "");
        sse.into_iter().fold(call, |call, sse| call.header(SSE, sse))
    };
    for (condition, begun, other) in [
        (
            r#"{"StringNotEquals":{"s3:x-amz-server-side-encryption":"aws:kms"}}"#,
            Some("aws:kms"),
            Some("AES256"),
        ),
        (
            r#"{"StringNotEquals":{"s3:x-amz-server-side-encryption":"AES256"}}"#,
            Some("AES256"),
            Some("aws:kms"),
        ),
        (r#"{"Null":{"s3:x-amz-server-side-encryption":"true"}}"#, Some("aws:kms:dsse"), None),
        // Who has the bucket decide sends no header, and none is read into the upload.
        (r#"{"Null":{"s3:x-amz-server-side-encryption":"false"}}"#, None, Some("AES256")),
    ] {
        setup.policy("u", &all_but(condition)).await;
        assert!(denied(&setup.by(&user, begin(other)).await), "{condition}");
        let upload = setup.by(&user, begin(begun)).await.ok().element("UploadId").to_owned();
        let part = |number: &str| {
            Call::put("/bkt/large", "part").query("partNumber", number).query("uploadId", &upload)
        };
        let etag = setup.by(&user, part("1")).await.ok().header("etag").unwrap().to_owned();
        let mut copy = part("1");
        copy.body.clear();
        setup.by(&user, copy.header(SOURCE, "/bkt/k")).await.ok();
        let etag = setup.by(&user, part("1")).await.ok().header("etag").map_or(etag, str::to_owned);
        let body = format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>\
             </CompleteMultipartUpload>"
        );
        let complete = Call::new(Method::POST, "/bkt/large").query("uploadId", &upload).body(body);
        setup.by(&user, complete).await.ok();
    }
    // An upload that somebody else began in another way takes no parts from who must not begin it so.
    setup.policy("u", &all_but(r#"{"StringNotEquals":{"s3:x-amz-server-side-encryption":"aws:kms"}}"#)).await;
    let upload = setup.root(begin(None)).await.ok().element("UploadId").to_owned();
    let part = Call::put("/bkt/large", "part").query("partNumber", "1").query("uploadId", &upload);
    assert!(denied(&setup.by(&user, part).await));
}

#[tokio::test]
async fn checksums_of_what_a_kms_encrypts_are_for_those_who_may_use_the_key() {
    let setup = Setup::new().await;
    let with = |call: Call| call.header("x-amz-checksum-sha256", &base64_of_sha256("x"));
    setup.root(with(put(&[(SSE, "aws:kms")]))).await.ok();
    setup.root(with(Call::put("/bkt/plain", "x"))).await.ok();
    let user = setup.user("u", &statement("Allow", &["s3:*"], "*")).await;
    let head = |path: &str| Call::new(Method::HEAD, path);
    let mode = |call: Call| call.header("x-amz-checksum-mode", "ENABLED");
    let attributes =
        |path: &str, asked: &str| get(path).query("attributes", "").header("x-amz-object-attributes", asked);
    for (call, allowed) in [
        (head("/bkt/new"), true),
        (mode(head("/bkt/new")), false),
        (mode(head("/bkt/plain")), true),
        (attributes("/bkt/new", "ETag,ObjectSize"), true),
        (attributes("/bkt/new", "Checksum"), false),
        (attributes("/bkt/plain", "Checksum"), true),
    ] {
        assert_eq!(!denied(&setup.by(&user, call).await), allowed);
    }
    setup.policy("u", &statement("Allow", &["s3:*", "kms:Decrypt"], "*")).await;
    let found = setup.by(&user, mode(head("/bkt/new"))).await.ok();
    assert_eq!(found.header("x-amz-checksum-sha256"), Some(&*base64_of_sha256("x")));
    setup.by(&user, attributes("/bkt/new", "Checksum")).await.ok();
}

fn base64_of_sha256(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(hex::decode(sha256_hex(text.as_bytes())).unwrap())
}
