//! Every operation asks for exactly its actions.

use reqwest::Method;

use super::{Call, Setup, denied, statement};

/// An operation as a request, and the actions it needs. `+` in a path's query stands between name and value.
struct Row(
    Method,
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
    &'static [&'static str],
);

const DELETE: Method = Method::DELETE;
const GET: Method = Method::GET;
const HEAD: Method = Method::HEAD;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;

const TAGGING: &str = "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>";
const NEW_TAGS: &str = "<CreateBucketConfiguration><Tags><Tag><Key>a</Key><Value>b</Value></Tag></Tags></CreateBucketConfiguration>";
const RETENTION: &str =
    "<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2033-01-01T00:00:00Z</RetainUntilDate></Retention>";
const HOLD: &str = "<LegalHold><Status>ON</Status></LegalHold>";

/// Names in a query that begin with `x-amz-` or `if-` are headers. Settings get no document that they would take: whether they
/// are asked for comes first.
const ROWS: &[Row] = &[
    Row(PUT, "/bkt", &[], "", &["s3:CreateBucket"]),
    Row(PUT, "/bkt", &[("x-amz-acl", "private")], "", &["s3:CreateBucket", "s3:PutBucketAcl"]),
    Row(PUT, "/bkt", &[], NEW_TAGS, &["s3:CreateBucket", "s3:TagResource"]),
    Row(HEAD, "/bkt", &[], "", &["s3:ListBucket"]),
    Row(DELETE, "/bkt", &[], "", &["s3:DeleteBucket"]),
    Row(GET, "/bkt", &[("location", "")], "", &["s3:GetBucketLocation"]),
    Row(GET, "/bkt", &[("versioning", "")], "", &["s3:GetBucketVersioning"]),
    Row(PUT, "/bkt", &[("versioning", "")], "x", &["s3:PutBucketVersioning"]),
    Row(GET, "/bkt", &[("encryption", "")], "", &["s3:GetEncryptionConfiguration"]),
    Row(PUT, "/bkt", &[("encryption", "")], "x", &["s3:PutEncryptionConfiguration"]),
    Row(DELETE, "/bkt", &[("encryption", "")], "", &["s3:PutEncryptionConfiguration"]),
    Row(GET, "/bkt", &[("requestPayment", "")], "", &["s3:GetBucketRequestPayment"]),
    Row(GET, "/bkt", &[("accelerate", "")], "", &["s3:GetAccelerateConfiguration"]),
    Row(GET, "/bkt", &[("logging", "")], "", &["s3:GetBucketLogging"]),
    Row(GET, "/bkt", &[("notification", "")], "", &["s3:GetBucketNotification"]),
    Row(PUT, "/bkt", &[("notification", "")], "x", &["s3:PutBucketNotification"]),
    Row(GET, "/bkt", &[("ownershipControls", "")], "", &["s3:GetBucketOwnershipControls"]),
    Row(PUT, "/bkt", &[("ownershipControls", "")], "x", &["s3:PutBucketOwnershipControls"]),
    Row(DELETE, "/bkt", &[("ownershipControls", "")], "", &["s3:PutBucketOwnershipControls"]),
    Row(GET, "/bkt", &[("publicAccessBlock", "")], "", &["s3:GetBucketPublicAccessBlock"]),
    Row(PUT, "/bkt", &[("publicAccessBlock", "")], "x", &["s3:PutBucketPublicAccessBlock"]),
    Row(DELETE, "/bkt", &[("publicAccessBlock", "")], "", &["s3:PutBucketPublicAccessBlock"]),
    Row(GET, "/bkt", &[("policy", "")], "", &["s3:GetBucketPolicy"]),
    Row(PUT, "/bkt", &[("policy", "")], "x", &["s3:PutBucketPolicy"]),
    Row(DELETE, "/bkt", &[("policy", "")], "", &["s3:DeleteBucketPolicy"]),
    Row(GET, "/bkt", &[("policyStatus", "")], "", &["s3:GetBucketPolicyStatus"]),
    Row(GET, "/bkt", &[("cors", "")], "", &["s3:GetBucketCORS"]),
    Row(PUT, "/bkt", &[("cors", "")], "x", &["s3:PutBucketCORS"]),
    Row(DELETE, "/bkt", &[("cors", "")], "", &["s3:PutBucketCORS"]),
    Row(GET, "/bkt", &[("lifecycle", "")], "", &["s3:GetLifecycleConfiguration"]),
    Row(PUT, "/bkt", &[("lifecycle", "")], "x", &["s3:PutLifecycleConfiguration"]),
    Row(DELETE, "/bkt", &[("lifecycle", "")], "", &["s3:PutLifecycleConfiguration"]),
    Row(GET, "/bkt", &[("tagging", "")], "", &["s3:GetBucketTagging"]),
    Row(PUT, "/bkt", &[("tagging", "")], "x", &["s3:PutBucketTagging"]),
    Row(DELETE, "/bkt", &[("tagging", "")], "", &["s3:PutBucketTagging"]),
    Row(GET, "/bkt", &[("website", "")], "", &["s3:GetBucketWebsite"]),
    Row(GET, "/bkt", &[("replication", "")], "", &["s3:GetReplicationConfiguration"]),
    Row(DELETE, "/bkt", &[("website", "")], "", &["s3:DeleteBucketWebsite"]),
    Row(DELETE, "/bkt", &[("replication", "")], "", &["s3:PutReplicationConfiguration"]),
    Row(PUT, "/bkt", &[("accelerate", "")], "x", &["s3:PutAccelerateConfiguration"]),
    Row(PUT, "/bkt", &[("requestPayment", "")], "x", &["s3:PutBucketRequestPayment"]),
    Row(PUT, "/bkt", &[("logging", "")], "x", &["s3:PutBucketLogging"]),
    Row(GET, "/bkt", &[("analytics", "")], "", &["s3:GetAnalyticsConfiguration"]),
    Row(GET, "/bkt", &[("intelligent-tiering", "")], "", &["s3:GetIntelligentTieringConfiguration"]),
    Row(GET, "/bkt", &[("inventory", "")], "", &["s3:GetInventoryConfiguration"]),
    Row(GET, "/bkt", &[("metrics", "")], "", &["s3:GetMetricsConfiguration"]),
    Row(GET, "/bkt", &[("object-lock", "")], "", &["s3:GetBucketObjectLockConfiguration"]),
    Row(PUT, "/bkt", &[("object-lock", "")], "x", &["s3:PutBucketObjectLockConfiguration"]),
    Row(GET, "/bkt", &[("acl", "")], "", &["s3:GetBucketAcl"]),
    Row(PUT, "/bkt", &[("acl", ""), ("x-amz-acl", "private")], "", &["s3:PutBucketAcl"]),
    Row(GET, "/bkt", &[], "", &["s3:ListBucket"]),
    Row(GET, "/bkt", &[("list-type", "2")], "", &["s3:ListBucket"]),
    Row(GET, "/bkt", &[("versions", "")], "", &["s3:ListBucketVersions"]),
    Row(GET, "/bkt", &[("uploads", "")], "", &["s3:ListBucketMultipartUploads"]),
    Row(GET, "/bkt/k", &[], "", &["s3:GetObject"]),
    Row(GET, "/bkt/k", &[("versionId", "null")], "", &["s3:GetObjectVersion"]),
    Row(HEAD, "/bkt/k", &[], "", &["s3:GetObject"]),
    Row(HEAD, "/bkt/k", &[("versionId", "null")], "", &["s3:GetObjectVersion"]),
    Row(
        GET,
        "/bkt/k",
        &[("attributes", ""), ("x-amz-object-attributes", "ETag")],
        "",
        &["s3:GetObjectAttributes", "s3:GetObject"],
    ),
    Row(
        GET,
        "/bkt/k",
        &[("attributes", ""), ("versionId", "null"), ("x-amz-object-attributes", "ETag")],
        "",
        &["s3:GetObjectVersionAttributes", "s3:GetObjectVersion"],
    ),
    Row(PUT, "/bkt/k", &[], "new", &["s3:PutObject"]),
    Row(PUT, "/bkt/k", &[("x-amz-tagging", "a=b")], "new", &["s3:PutObject", "s3:PutObjectTagging"]),
    Row(PUT, "/bkt/k", &[("x-amz-acl", "private")], "new", &["s3:PutObject", "s3:PutObjectAcl"]),
    Row(
        PUT,
        "/bkt/k",
        &[("x-amz-object-lock-legal-hold", "ON")],
        "new",
        &["s3:PutObject", "s3:PutObjectLegalHold"],
    ),
    Row(
        PUT,
        "/bkt/k",
        &[
            ("x-amz-object-lock-mode", "GOVERNANCE"),
            ("x-amz-object-lock-retain-until-date", "2033-01-01T00:00:00Z"),
        ],
        "new",
        &["s3:PutObject", "s3:PutObjectRetention"],
    ),
    Row(PUT, "/bkt/copy", &[("x-amz-copy-source", "/bkt/k")], "", &["s3:PutObject", "s3:GetObject"]),
    Row(
        PUT,
        "/bkt/copy",
        &[("x-amz-copy-source", "/bkt/k?versionId=null")],
        "",
        &["s3:PutObject", "s3:GetObjectVersion"],
    ),
    Row(
        PUT,
        "/bkt/copy",
        &[("x-amz-copy-source", "/bkt/tagged")],
        "",
        &["s3:PutObject", "s3:GetObject", "s3:GetObjectTagging", "s3:PutObjectTagging"],
    ),
    Row(
        PUT,
        "/bkt/copy",
        &[
            ("x-amz-copy-source", "/bkt/tagged"),
            ("x-amz-tagging-directive", "REPLACE"),
            ("x-amz-tagging", "c=d"),
        ],
        "",
        &["s3:PutObject", "s3:GetObject", "s3:PutObjectTagging"],
    ),
    Row(PUT, "/bkt/k", &[("if-match", "\"x\"")], "new", &["s3:PutObject", "s3:GetObject"]),
    Row(POST, "/bkt/k", &[("uploadId", "x"), ("if-match", "\"x\"")], "x", &["s3:PutObject", "s3:GetObject"]),
    Row(DELETE, "/bkt/gone", &[], "", &["s3:DeleteObject"]),
    Row(DELETE, "/bkt/k", &[("if-match", "\"x\"")], "", &["s3:DeleteObject", "s3:GetObject"]),
    Row(
        DELETE,
        "/bkt/k",
        &[("versionId", "null"), ("if-match", "\"x\"")],
        "",
        &["s3:DeleteObjectVersion", "s3:GetObject"],
    ),
    Row(DELETE, "/bkt/k", &[("x-amz-if-match-size", "1")], "", &["s3:DeleteObject", "s3:GetObject"]),
    Row(DELETE, "/bkt/gone", &[("versionId", "null")], "", &["s3:DeleteObjectVersion"]),
    Row(GET, "/bkt/k", &[("tagging", "")], "", &["s3:GetObjectTagging"]),
    Row(GET, "/bkt/k", &[("tagging", ""), ("versionId", "null")], "", &["s3:GetObjectVersionTagging"]),
    Row(PUT, "/bkt/k", &[("tagging", "")], TAGGING, &["s3:PutObjectTagging"]),
    Row(PUT, "/bkt/k", &[("tagging", ""), ("versionId", "null")], TAGGING, &["s3:PutObjectVersionTagging"]),
    Row(DELETE, "/bkt/k", &[("tagging", "")], "", &["s3:DeleteObjectTagging"]),
    Row(DELETE, "/bkt/k", &[("tagging", ""), ("versionId", "null")], "", &["s3:DeleteObjectVersionTagging"]),
    Row(GET, "/bkt/k", &[("acl", "")], "", &["s3:GetObjectAcl"]),
    Row(PUT, "/bkt/k", &[("acl", ""), ("x-amz-acl", "private")], "", &["s3:PutObjectAcl"]),
    Row(GET, "/bkt/k", &[("acl", ""), ("versionId", "null")], "", &["s3:GetObjectVersionAcl"]),
    Row(
        PUT,
        "/bkt/k",
        &[("acl", ""), ("versionId", "null"), ("x-amz-acl", "private")],
        "",
        &["s3:PutObjectVersionAcl"],
    ),
    // For these AWS has one action, whether a version is named or not.
    Row(GET, "/bkt/k", &[("retention", ""), ("versionId", "null")], "", &["s3:GetObjectRetention"]),
    Row(PUT, "/bkt/k", &[("retention", ""), ("versionId", "null")], RETENTION, &["s3:PutObjectRetention"]),
    Row(GET, "/bkt/k", &[("legal-hold", ""), ("versionId", "null")], "", &["s3:GetObjectLegalHold"]),
    Row(PUT, "/bkt/k", &[("legal-hold", ""), ("versionId", "null")], HOLD, &["s3:PutObjectLegalHold"]),
    Row(GET, "/bkt/k", &[("retention", "")], "", &["s3:GetObjectRetention"]),
    Row(PUT, "/bkt/k", &[("retention", "")], RETENTION, &["s3:PutObjectRetention"]),
    Row(GET, "/bkt/k", &[("legal-hold", "")], "", &["s3:GetObjectLegalHold"]),
    Row(PUT, "/bkt/k", &[("legal-hold", "")], HOLD, &["s3:PutObjectLegalHold"]),
    Row(POST, "/bkt/k", &[("uploads", "")], "", &["s3:PutObject"]),
    Row(
        POST,
        "/bkt/k",
        &[("uploads", ""), ("x-amz-tagging", "a=b")],
        "",
        &["s3:PutObject", "s3:PutObjectTagging"],
    ),
    Row(PUT, "/bkt/k", &[("partNumber", "1"), ("uploadId", "x")], "part", &["s3:PutObject"]),
    Row(
        PUT,
        "/bkt/k",
        &[("partNumber", "1"), ("uploadId", "x"), ("x-amz-copy-source", "/bkt/k")],
        "",
        &["s3:PutObject", "s3:GetObject"],
    ),
    Row(POST, "/bkt/k", &[("uploadId", "x")], "x", &["s3:PutObject"]),
    Row(DELETE, "/bkt/k", &[("uploadId", "x")], "", &["s3:AbortMultipartUpload"]),
    Row(GET, "/bkt/k", &[("uploadId", "x")], "", &["s3:ListMultipartUploadParts"]),
];

impl Row {
    fn call(&self) -> Call {
        let mut call = Call::new(self.0.clone(), self.1).body(self.3);
        for (name, value) in self.2 {
            call = if name.starts_with("x-amz-") || name.starts_with("if-") {
                call.header(name, value)
            } else {
                call.query(name, value)
            };
        }
        call
    }

    fn name(&self) -> String {
        format!("{} {} {:?}", self.0, self.1, self.2)
    }
}

pub(super) fn md5_of(body: &str) -> String {
    use base64::Engine;
    use md5::{Digest, Md5};
    base64::engine::general_purpose::STANDARD.encode(Md5::digest(body))
}

/// A policy that allows these actions and no other, on the bucket and what is in it.
fn only(actions: &[&str]) -> String {
    [statement("Allow", actions, "arn:aws:s3:::bkt"), statement("Allow", actions, "arn:aws:s3:::bkt/*")]
        .join(",")
}

#[tokio::test]
async fn every_operation_needs_each_of_its_actions_and_no_other() {
    let setup = Setup::new().await;
    setup.root(Call::put("/bkt/tagged", "x").header("x-amz-tagging", "a=b")).await.ok();
    let user = setup.user("u", &only(&["s3:ListAllMyBuckets"])).await;
    for row in ROWS {
        let stranger = setup.stranger(row.call()).await;
        assert!(denied(&stranger), "a stranger: {} {}", row.name(), stranger.status);
        setup.policy("u", &only(&["s3:ListAllMyBuckets"])).await;
        let answer = setup.by(&user, row.call()).await;
        assert!(denied(&answer), "nothing allowed: {} {}", row.name(), answer.status);
        for missing in row.4 {
            let all = only(&["s3:*"]);
            let without = [all, statement("Deny", &[missing], "arn:aws:s3:::bkt*")].join(",");
            setup.policy("u", &without).await;
            let answer = setup.by(&user, row.call()).await;
            assert!(denied(&answer), "{missing} denied: {} {}", row.name(), answer.status);
            if !answer.body.is_empty() {
                let message = answer.element("Message").to_owned();
                assert!(message.contains(missing) && message.contains("explicit deny"), "{message}");
            }
        }
        setup.policy("u", &only(row.4)).await;
        let answer = setup.by(&user, row.call()).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(!denied(&answer), "exactly {:?}: {} {text}", row.4, row.name());
    }
}

#[tokio::test]
async fn actions_on_another_bucket_or_key_are_not_enough() {
    let setup = Setup::new().await;
    setup.client.bucket("other").await;
    setup.root(Call::put("/other/k", "secret")).await.ok();
    setup.root(Call::put("/bkt/k2", "secret")).await.ok();
    let user = setup.user("u", &statement("Allow", &["s3:*"], "arn:aws:s3:::bkt/k")).await;
    let get = |path: &str| setup.by(&user, Call::get(path));
    assert_eq!(get("/bkt/k").await.ok().body, b"content");
    for path in ["/bkt/k2", "/other/k", "/bkt/K", "/bkt", "/other", "/bkt/k/"] {
        assert!(denied(&get(path).await), "{path}");
    }
    // A copy needs both ends.
    let copy = |to: &str, from: &str| setup.by(&user, Call::put(to, "").header("x-amz-copy-source", from));
    assert!(denied(&copy("/bkt/k", "/other/k").await));
    assert!(denied(&copy("/other/new", "/bkt/k").await));
}

#[tokio::test]
async fn batch_is_decided_object_by_object() {
    let setup = Setup::new().await;
    for key in ["mine/1", "mine/2", "theirs/1"] {
        setup.root(Call::put(&format!("/bkt/{key}"), "x")).await.ok();
    }
    let user = setup.user("u", &statement("Allow", &["s3:DeleteObject"], "arn:aws:s3:::bkt/mine/*")).await;
    let body = "<Delete><Object><Key>mine/1</Key></Object><Object><Key>theirs/1</Key></Object>\
                <Object><Key>mine/2</Key><VersionId>null</VersionId></Object></Delete>";
    let md5 = md5_of(body);
    let call = || Call::new(Method::POST, "/bkt").query("delete", "").header("content-md5", &md5).body(body);
    let answer = setup.by(&user, call()).await.ok();
    let text = answer.text();
    assert_eq!(text.matches("<Code>AccessDenied</Code>").count(), 2, "{text}");
    assert!(text.contains("<Deleted><Key>mine/1</Key></Deleted>"), "{text}");
    assert_eq!(setup.root(Call::get("/bkt/mine/1")).await.status, 404);
    setup.root(Call::get("/bkt/mine/2")).await.ok();
    setup.root(Call::get("/bkt/theirs/1")).await.ok();
    assert!(denied(&setup.stranger(call()).await));
}

#[tokio::test]
async fn buckets_are_listed_to_those_who_may_see_them() {
    let setup = Setup::new().await;
    for bucket in ["red", "green", "blue"] {
        setup.client.bucket(bucket).await;
    }
    let user = setup.user("u", &statement("Allow", &["s3:ListBucket"], "arn:aws:s3:::red")).await;
    let names = |answer: &super::Answer| -> Vec<String> {
        answer.text().split("<Name>").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&setup.by(&user, Call::get("/")).await.ok()), ["red"]);
    let one = Call::get("/").query("max-buckets", "1");
    assert_eq!(names(&setup.by(&user, one).await.ok()), ["red"]);
    setup.policy("u", &statement("Allow", &["s3:ListAllMyBuckets"], "arn:aws:s3:::*")).await;
    assert_eq!(names(&setup.by(&user, Call::get("/")).await.ok()), ["bkt", "blue", "green", "red"]);
    setup.policy("u", &statement("Allow", &["s3:GetObject"], "arn:aws:s3:::red/*")).await;
    assert!(denied(&setup.by(&user, Call::get("/")).await));
    assert!(denied(&setup.stranger(Call::get("/")).await));
}

#[tokio::test]
async fn who_may_not_list_does_not_learn_what_is_missing() {
    let setup = Setup::new().await;
    let read =
        statement("Allow", &["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"], "arn:aws:s3:::bkt/*");
    let user = setup.user("u", &read).await;
    let missing = || [Call::get("/bkt/none"), Call::new(Method::HEAD, "/bkt/none")];
    for call in missing() {
        assert!(denied(&setup.by(&user, call).await));
    }
    let copy = || Call::put("/bkt/to", "").header("x-amz-copy-source", "/bkt/none");
    assert!(denied(&setup.by(&user, copy()).await));
    setup.policy("u", &[read, statement("Allow", &["s3:ListBucket"], "arn:aws:s3:::bkt")].join(",")).await;
    for call in missing() {
        assert_eq!(setup.by(&user, call).await.status, 404);
    }
    assert_eq!(setup.by(&user, copy()).await.error(), (404, "NoSuchKey"));
    // That a bucket is missing is no secret.
    assert_eq!(setup.by(&user, Call::get("/nothere/k")).await.error(), (404, "NoSuchBucket"));
    assert_eq!(setup.stranger(Call::get("/nothere/k")).await.error(), (404, "NoSuchBucket"));
}

#[tokio::test]
async fn who_may_not_do_all_that_headers_of_a_new_bucket_ask_for_is_denied_and_makes_none() {
    let setup = Setup::new().await;
    let user = setup.user("u", &statement("Allow", &["s3:*"], "*")).await;
    let new = |name: &str, value: &str| Call::put("/new", "").header(name, value);
    let locked = || new("x-amz-bucket-object-lock-enabled", "true");
    let rows = [
        (Call::put("/new", ""), "s3:CreateBucket"),
        (Call::put("/new", NEW_TAGS), "s3:TagResource"),
        (new("x-amz-acl", "private"), "s3:PutBucketAcl"),
        (new("x-amz-grant-read", "id=x"), "s3:PutBucketAcl"),
        (new("x-amz-object-ownership", "BucketOwnerEnforced"), "s3:PutBucketOwnershipControls"),
        (locked(), "s3:PutBucketObjectLockConfiguration"),
        (locked(), "s3:PutBucketVersioning"),
    ];
    for (call, further) in rows {
        let all = statement("Allow", &["s3:*"], "*");
        setup.policy("u", &[all, statement("Deny", &[further], "*")].join(",")).await;
        let told = setup.by(&user, call).await;
        assert_eq!(told.error(), (403, "AccessDenied"), "{further} denied: {}", told.text());
        assert!(told.element("Message").contains(further), "{}", told.text());
        assert_eq!(setup.root(Call::get("/new")).await.error(), (404, "NoSuchBucket"), "{further} denied");
    }
    setup.policy("u", &statement("Allow", &["s3:*"], "*")).await;
    let ownership = new("x-amz-object-ownership", "BucketOwnerEnforced").header("x-amz-acl", "private");
    setup.by(&user, ownership).await.ok();
}

#[tokio::test]
async fn governance_is_bypassed_by_those_alone_who_may() {
    let setup = Setup::new().await;
    setup.root(Call::put("/locked", "").header("x-amz-bucket-object-lock-enabled", "true")).await.ok();
    let retained = || {
        Call::put("/locked/k", "x")
            .header("content-md5", &md5_of("x"))
            .header("x-amz-object-lock-mode", "GOVERNANCE")
            .header("x-amz-object-lock-retain-until-date", "2099-01-01T00:00:00Z")
    };
    let version = setup.root(retained()).await.ok().header("x-amz-version-id").unwrap().to_owned();
    let delete = |bypass: bool| {
        let call = Call::new(DELETE, "/locked/k").query("versionId", &version);
        if bypass { call.header("x-amz-bypass-governance-retention", "true") } else { call }
    };
    let all = statement("Allow", &["s3:*"], "*");
    let deny = statement("Deny", &["s3:BypassGovernanceRetention"], "*");
    let user = setup.user("u", &[all.clone(), deny].join(",")).await;
    assert!(denied(&setup.by(&user, delete(true)).await), "it may not");
    // Nor does a shorter retention get past it.
    let shorter = RETENTION.replace("2033", "2034");
    let shorten = Call::put("/locked/k", shorter.clone())
        .query("retention", "")
        .query("versionId", &version)
        .header("content-md5", &md5_of(&shorter))
        .header("x-amz-bypass-governance-retention", "true");
    assert!(denied(&setup.by(&user, shorten).await));
    setup.policy("u", &all).await;
    assert!(denied(&setup.by(&user, delete(false)).await), "it may and does not say so");
    setup.by(&user, delete(true)).await.ok();
}
