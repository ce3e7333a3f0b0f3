//! What conditions can ask for, each with requests that fulfil it and requests that do not.

use super::{Call, Setup, denied, get};

/// An action, its resource, a condition, and requests with whether they are allowed.
type Row = (&'static str, &'static str, &'static str, Vec<(Call, bool)>);

async fn check(setup: &Setup, rows: Vec<Row>) {
    let user = setup.user("u", &super::statement("Allow", &["s3:ListAllMyBuckets"], "*")).await;
    for (action, resource, condition, requests) in rows {
        let allow = format!(
            "{{\"Effect\":\"Allow\",\"Action\":\"{action}\",\"Resource\":\"{resource}\",\"Condition\":{condition}}}"
        );
        // What else the requests need.
        let more = super::statement("Allow", &["s3:PutObjectTagging", "s3:PutObjectAcl", "kms:*"], "*");
        setup.policy("u", &[allow, more].join(",")).await;
        for (at, (call, allowed)) in requests.into_iter().enumerate() {
            let answer = setup.by(&user, call).await;
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            assert_eq!(!denied(&answer), allowed, "{condition}, request {at}: {} {text}", answer.status);
        }
    }
}

#[tokio::test]
async fn listings_are_bound_by_their_parameters() {
    let setup = Setup::new().await;
    let list = |query: &[(&str, &str)]| {
        query.iter().fold(get("/bkt").query("list-type", "2"), |call, (name, value)| call.query(name, value))
    };
    let bucket = "arn:aws:s3:::bkt";
    check(
        &setup,
        vec![
            (
                "s3:ListBucket",
                bucket,
                r#"{"StringLike":{"s3:prefix":"home/*"}}"#,
                vec![
                    (list(&[("prefix", "home/x y")]), true),
                    (list(&[("prefix", "other/")]), false),
                    (list(&[]), false),
                ],
            ),
            (
                "s3:ListBucket",
                bucket,
                r#"{"NumericLessThanEquals":{"s3:max-keys":"10"},"StringEquals":{"s3:delimiter":"/"}}"#,
                vec![
                    (list(&[("max-keys", "10"), ("delimiter", "/")]), true),
                    (list(&[("max-keys", "11"), ("delimiter", "/")]), false),
                    (list(&[("max-keys", "10"), ("delimiter", "-")]), false),
                    (list(&[("delimiter", "/")]), false),
                ],
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn parameter_that_is_given_twice_passes_no_condition() {
    let setup = Setup::new().await;
    let user = setup
        .user(
            "u",
            r#"{"Effect":"Allow","Action":"s3:ListBucket","Resource":"*","Condition":{"StringEquals":{"s3:prefix":"a"}}}"#,
        )
        .await;
    let twice = get("/bkt").query("prefix", "a").query("prefix", "b");
    assert_eq!(setup.by(&user, twice).await.error(), (400, "InvalidArgument"));
}

#[tokio::test]
async fn requests_are_bound_by_where_they_come_from() {
    let setup = Setup::new().await;
    let read = || get("/bkt/k");
    let with = |name: &str, value: &str| get("/bkt/k").header(name, value);
    let object = "arn:aws:s3:::bkt/*";
    let rows = [
        (r#"{"IpAddress":{"aws:SourceIp":"127.0.0.0/8"}}"#, vec![(read(), true)]),
        (r#"{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}"#, vec![(read(), false)]),
        (r#"{"NotIpAddress":{"aws:SourceIp":"127.0.0.1/32"}}"#, vec![(read(), false)]),
        (r#"{"Bool":{"aws:SecureTransport":"false"}}"#, vec![(read(), true)]),
        (r#"{"Bool":{"aws:SecureTransport":"true"}}"#, vec![(read(), false)]),
        (
            r#"{"StringLike":{"aws:UserAgent":"good/*"}}"#,
            vec![(with("user-agent", "good/1"), true), (with("user-agent", "bad/1"), false)],
        ),
        (
            r#"{"StringEquals":{"aws:Referer":"https://x/"}}"#,
            vec![
                (with("referer", "https://x/"), true),
                (with("referer", "https://y/"), false),
                (read(), false),
            ],
        ),
        (
            r#"{"StringEquals":{"s3:authType":"REST-HEADER","s3:signatureversion":"AWS4-HMAC-SHA256"}}"#,
            vec![(read(), true)],
        ),
        (r#"{"StringEquals":{"s3:authType":"REST-QUERY-STRING"}}"#, vec![(read(), false)]),
        (r#"{"NumericLessThan":{"s3:signatureAge":"600000"}}"#, vec![(read(), true)]),
        (r#"{"NumericGreaterThan":{"s3:signatureAge":"600000"}}"#, vec![(read(), false)]),
        (r#"{"DateLessThan":{"aws:CurrentTime":"2000-01-01T00:00:00Z"}}"#, vec![(read(), false)]),
        (r#"{"DateGreaterThan":{"aws:CurrentTime":"2000-01-01T00:00:00Z"}}"#, vec![(read(), true)]),
        (r#"{"StringEquals":{"aws:username":"u"}}"#, vec![(read(), true)]),
        (r#"{"StringEquals":{"aws:username":"v"}}"#, vec![(read(), false)]),
    ];
    let rows =
        rows.into_iter().map(|(condition, calls)| ("s3:GetObject", object, condition, calls)).collect();
    check(&setup, rows).await;
}

#[tokio::test]
async fn writes_are_bound_by_their_headers() {
    let setup = Setup::new().await;
    let put = |headers: &[(&str, &str)]| {
        headers.iter().fold(Call::put("/bkt/new", "x"), |call, (name, value)| call.header(name, value))
    };
    let object = "arn:aws:s3:::bkt/*";
    let sse = "x-amz-server-side-encryption";
    let rows = [
        (
            r#"{"StringEquals":{"s3:x-amz-server-side-encryption":"aws:kms"}}"#,
            vec![(put(&[(sse, "aws:kms")]), true), (put(&[(sse, "AES256")]), false), (put(&[]), false)],
        ),
        (
            r#"{"Null":{"s3:x-amz-server-side-encryption":"true"}}"#,
            vec![(put(&[]), true), (put(&[(sse, "AES256")]), false)],
        ),
        (
            r#"{"Null":{"s3:x-amz-server-side-encryption-customer-algorithm":"true"}}"#,
            vec![
                (put(&[]), true),
                (put(&[("x-amz-server-side-encryption-customer-algorithm", "AES256")]), false),
            ],
        ),
        (
            r#"{"StringEquals":{"s3:RequestObjectTag/project":"red"}}"#,
            vec![
                (put(&[("x-amz-tagging", "project=red&a=b")]), true),
                (put(&[("x-amz-tagging", "project=blue")]), false),
                (put(&[]), false),
            ],
        ),
        (
            r#"{"ForAllValues:StringEquals":{"s3:RequestObjectTagKeys":["a","b"]}}"#,
            vec![(put(&[("x-amz-tagging", "a=1&b=2")]), true), (put(&[("x-amz-tagging", "a=1&c=2")]), false)],
        ),
        (
            r#"{"StringEquals":{"s3:x-amz-storage-class":"STANDARD_IA"}}"#,
            vec![(put(&[("x-amz-storage-class", "STANDARD_IA")]), true), (put(&[]), false)],
        ),
        (
            r#"{"StringEquals":{"s3:x-amz-acl":"private"}}"#,
            vec![(put(&[("x-amz-acl", "private")]), true), (put(&[]), false)],
        ),
    ];
    let rows =
        rows.into_iter().map(|(condition, calls)| ("s3:PutObject", object, condition, calls)).collect();
    check(&setup, rows).await;
}

#[tokio::test]
async fn tags_of_what_is_there_count() {
    let setup = Setup::new().await;
    setup.root(Call::put("/bkt/red", "x").header("x-amz-tagging", "project=red")).await.ok();
    setup.root(Call::put("/bkt/blue", "x").header("x-amz-tagging", "project=blue")).await.ok();
    let user = setup
        .user(
            "u",
            r#"{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":"*",
                "Condition":{"StringEquals":{"s3:ExistingObjectTag/project":"red"}}},
               {"Effect":"Allow","Action":"s3:PutObject","Resource":"arn:aws:s3:::bkt/copy"}"#,
        )
        .await;
    setup.by(&user, get("/bkt/red")).await.ok();
    for path in ["/bkt/blue", "/bkt/k", "/bkt/none"] {
        assert!(denied(&setup.by(&user, get(path)).await), "{path}");
    }
    let copy = |from: &str| {
        Call::put("/bkt/copy", "")
            .header("x-amz-copy-source", from)
            .header("x-amz-tagging-directive", "REPLACE")
    };
    setup.by(&user, copy("/bkt/red")).await.ok();
    assert!(denied(&setup.by(&user, copy("/bkt/blue")).await));
}

/// AWS, "Enforce conditional writes on Amazon S3 buckets", Example 1, as a denial.
#[tokio::test]
async fn uploads_can_be_held_to_replace_nothing() {
    let setup = Setup::new().await;
    let all = super::statement("Allow", &["s3:*"], "*");
    let user = setup.user("u", &all).await;
    setup
        .bucket_policy(
            "bkt",
            r#"{"Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::bkt/*",
                "Condition":{"Null":{"s3:if-none-match":"true"},"Bool":{"s3:ObjectCreationOperation":"true"}}}"#,
        )
        .await;
    let new = |call: Call| call.header("if-none-match", "*");
    let put = |key: &str| Call::put(&format!("/bkt/{key}"), "x");
    let copy = |key: &str| Call::put(&format!("/bkt/{key}"), "").header("x-amz-copy-source", "/bkt/k");
    assert!(denied(&setup.by(&user, put("one")).await));
    assert!(denied(&setup.by(&user, copy("two")).await));
    setup.by(&user, new(put("one"))).await.ok();
    setup.by(&user, new(copy("two"))).await.ok();
    assert_eq!(setup.by(&user, new(put("k"))).await.error(), (412, "PreconditionFailed"));
    // What prepares an object in parts takes no condition, and is let through.
    let begin = Call::new(reqwest::Method::POST, "/bkt/large").query("uploads", "");
    let upload = setup.by(&user, begin).await.ok().element("UploadId").to_owned();
    let of_upload = |call: Call, number: &str| call.query("partNumber", number).query("uploadId", &upload);
    let part = setup.by(&user, of_upload(put("large"), "1")).await.ok();
    setup.by(&user, of_upload(copy("large"), "2")).await.ok();
    let body = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part></CompleteMultipartUpload>",
        part.header("etag").unwrap()
    );
    let complete =
        || Call::new(reqwest::Method::POST, "/bkt/large").query("uploadId", &upload).body(body.clone());
    assert!(denied(&setup.by(&user, complete()).await));
    setup.by(&user, new(complete())).await.ok();
}

#[tokio::test]
async fn tag_of_an_object_cannot_be_guessed_by_who_may_not_read_it() {
    let setup = Setup::new().await;
    setup.root(Call::put("/bkt/secret", "x").header("x-amz-tagging", "class=secret")).await.ok();
    let user = setup
        .user(
            "u",
            r#"{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject","s3:DeleteObject"],"Resource":"*"},
               {"Effect":"Deny","Action":"s3:GetObject","Resource":"*",
                "Condition":{"StringEquals":{"s3:ExistingObjectTag/class":"secret"}}}"#,
        )
        .await;
    let right = setup.root(get("/bkt/secret")).await.ok().header("etag").unwrap().to_owned();
    let wrong = format!("\"{}\"", "0".repeat(32));
    for tag in [&right, &wrong] {
        let delete = Call::new(reqwest::Method::DELETE, "/bkt/secret");
        let copy = Call::put("/bkt/secret", "").header("x-amz-copy-source", "/bkt/k");
        for call in [Call::put("/bkt/secret", "y"), delete, copy] {
            assert!(denied(&setup.by(&user, call.header("if-match", tag)).await), "{tag}");
        }
    }
    // What may be read may be compared.
    let put = |tag: &str| Call::put("/bkt/k", "y").header("if-match", tag);
    assert_eq!(setup.by(&user, put(&wrong)).await.error(), (412, "PreconditionFailed"));
    let tag = setup.root(get("/bkt/k")).await.ok().header("etag").unwrap().to_owned();
    setup.by(&user, put(&tag)).await.ok();
}

#[tokio::test]
async fn tag_in_a_condition_is_the_same_with_quotes_and_without() {
    let setup = Setup::new().await;
    let tag = setup.root(Call::put("/bkt/kept", "x")).await.ok().header("etag").unwrap().to_owned();
    let bare = tag.trim_matches('"').to_owned();
    let delete = Call::new(reqwest::Method::DELETE, "/bkt/kept");
    let user = setup.user("u", &super::statement("Allow", &["s3:*"], "*")).await;
    for written in [&tag, &bare] {
        let value = serde_json::to_string(written).unwrap();
        setup
            .policy(
                "u",
                &format!(
                    r#"{{"Effect":"Allow","Action":"s3:*","Resource":"*"}},{{"Effect":"Deny","Action":"s3:DeleteObject",
                        "Resource":"*","Condition":{{"StringEquals":{{"s3:if-match":{value}}}}}}}"#
                ),
            )
            .await;
        for sent in [&tag, &bare] {
            let answer = setup.by(&user, delete.clone().header("if-match", sent)).await;
            assert!(denied(&answer), "policy {written}, request {sent}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn variables_stand_for_the_one_who_asks() {
    let setup = Setup::new().await;
    let home = super::statement("Allow", &["s3:PutObject"], "arn:aws:s3:::bkt/home/${aws:username}/*");
    let (ann, bob) = (setup.user("ann", &home).await, setup.user("bob", &home).await);
    setup.by(&ann, Call::put("/bkt/home/ann/x", "1")).await.ok();
    setup.by(&bob, Call::put("/bkt/home/bob/x", "1")).await.ok();
    assert!(denied(&setup.by(&ann, Call::put("/bkt/home/bob/x", "1")).await));
    assert!(denied(&setup.by(&bob, Call::put("/bkt/home/ann/x", "1")).await));
}
