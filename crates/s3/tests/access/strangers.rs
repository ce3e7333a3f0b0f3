//! Requests that nobody signed: what a bucket's policy opens, unless the public access block closes it.

use reqwest::Method;

use super::{Call, Setup, denied, get};

const OPEN: &str = r#"{"Effect":"Allow","Principal":"*","Action":["s3:GetObject","s3:PutObject"],
    "Resource":"arn:aws:s3:::bkt/public/*"}"#;

#[tokio::test]
async fn strangers_may_do_what_the_bucket_says_and_no_more() {
    let setup = Setup::new().await;
    setup.root(Call::put("/bkt/public/x", "for all")).await.ok();
    for call in [get("/bkt/public/x"), get("/bkt/k"), get("/bkt"), get("/"), Call::put("/bkt/public/y", "y")]
    {
        assert!(denied(&setup.stranger(call).await));
    }
    setup.bucket_policy("bkt", OPEN).await;
    // A new bucket's public access block restricts it to those whom the account knows.
    assert!(denied(&setup.stranger(get("/bkt/public/x")).await));
    setup.unblock("bkt").await;
    assert_eq!(setup.stranger(get("/bkt/public/x")).await.ok().body, b"for all");
    setup.stranger(Call::put("/bkt/public/y", "y")).await.ok();
    for call in [
        get("/bkt/k"),
        get("/bkt"),
        get("/"),
        Call::new(Method::DELETE, "/bkt/public/x"),
        get("/bkt/public/x").query("versionId", "null"),
        get("/bkt/public/x").query("acl", ""),
        // Missing, and who asks may not list.
        get("/bkt/public/none"),
        Call::put("/bkt/public/y", "").header("x-amz-copy-source", "/bkt/k"),
        Call::put("/bkt/public/y", "").header("x-amz-tagging", "a=b"),
    ] {
        let path = format!("{} {}", call.method, call.uri());
        assert!(denied(&setup.stranger(call).await), "{path}");
    }
    // Another bucket's policy opens nothing here.
    setup.client.bucket("other").await;
    assert!(denied(&setup.stranger(get("/other/public/x")).await));
}

#[tokio::test]
async fn content_under_a_key_of_the_key_management_needs_a_signature() {
    let setup = Setup::new().await;
    let kms = Call::put("/bkt/public/x", "secret").header("x-amz-server-side-encryption", "aws:kms");
    setup.root(kms).await.ok();
    setup.bucket_policy("bkt", OPEN).await;
    setup.unblock("bkt").await;
    let answer = setup.stranger(get("/bkt/public/x")).await;
    assert_eq!(answer.error(), (400, "InvalidArgument"));
    assert!(answer.element("Message").ends_with("require AWS Signature Version 4."));
}

#[tokio::test]
async fn conditions_bind_strangers_too() {
    let setup = Setup::new().await;
    setup.root(Call::put("/bkt/public/x", "x")).await.ok();
    setup.unblock("bkt").await;
    for (condition, allowed) in [
        (r#"{"IpAddress":{"aws:SourceIp":"127.0.0.1"}}"#, true),
        (r#"{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}"#, false),
        (r#"{"StringLike":{"aws:Referer":"https://example.org/*"}}"#, false),
    ] {
        let statement = format!(
            r#"{{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::bkt/*","Condition":{condition}}}"#
        );
        setup.bucket_policy("bkt", &statement).await;
        assert_eq!(!denied(&setup.stranger(get("/bkt/public/x")).await), allowed, "{condition}");
    }
}
