//! Who is let in, to what, and how often.

use strongroom_api::rest::RateLimit;
use strongroom_iam::{Identity, Scope, State};

use crate::support::{Server, token};

const OBJECT: &str = "/api/v1/buckets/photos/objects/a";
const ALL: &[Scope] = &Scope::ALL;

#[tokio::test]
async fn policies_and_scopes_both_have_to_allow_it() {
    let server = Server::start().await;
    server.bucket("photos").await;
    let nobody = server.user("nobody", &[], ALL).await;
    let reader = server.user("reader", &["readonly"], ALL).await;
    let writer = server.user("writer", &["readwrite"], ALL).await;
    let narrow = token(&server.iam, &Identity::Root, &[Scope::ObjectsRead]).await;
    for (who, get, put, settings) in [
        (&nobody, 403, 403, 403),
        (&reader, 200, 403, 403),
        (&writer, 200, 201, 200),
        (&narrow, 200, 403, 403),
        (&server.root, 200, 201, 200),
    ] {
        assert_eq!(server.ask(who, "GET", OBJECT, &[], "").await.status, get);
        let stored = server.ask(who, "PUT", OBJECT, &["Content-Type: text/plain"], "content of a").await;
        assert_eq!(stored.status, put, "{stored:?}");
        let path = "/api/v1/buckets/photos/encryption";
        assert_eq!(server.ask(who, "GET", path, &[], "").await.status, settings);
    }
    let refused = server.ask(&narrow, "GET", "/api/v1/users", &[], "").await;
    assert_eq!((refused.status, refused.json()["error"]["code"].as_str()), (403, Some("AccessDenied")));
    assert!(refused.body.contains("identities:read"), "{refused:?}");
}

#[tokio::test]
async fn bucket_policies_have_a_say_and_an_explicit_deny_wins() {
    use strongroom_objects::{BucketName, DocumentKind};
    let server = Server::start().await;
    server.bucket("photos").await;
    let nobody = server.user("nobody", &[], ALL).await;
    let writer = server.user("writer", &["readwrite"], ALL).await;
    let policy = r#"{"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::strongroom:user/nobody"}, "Action": "s3:GetObject",
         "Resource": "arn:aws:s3:::photos/*"},
        {"Effect": "Deny", "Principal": {"AWS": "arn:aws:iam::strongroom:user/writer"}, "Action": "s3:GetObject",
         "Resource": "arn:aws:s3:::photos/*"}]}"#;
    let bucket = BucketName::parse("photos").unwrap();
    let set = server.objects.set_bucket_document(&bucket, DocumentKind::Policy, Some(policy.into())).await;
    set.unwrap();
    assert_eq!(server.ask(&nobody, "GET", OBJECT, &[], "").await.status, 200);
    assert_eq!(server.ask(&writer, "GET", OBJECT, &[], "").await.status, 403);
    assert_eq!(server.ask(&writer, "DELETE", OBJECT, &[], "").await.status, 204);
}

#[tokio::test]
async fn who_may_not_list_does_not_learn_which_names_are_free() {
    let server = Server::start().await;
    server.bucket("photos").await;
    let policy = r#"{"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::photos/*"}]}"#;
    server.iam.put_policy(&Identity::Root, "get", policy, None).await.unwrap();
    let getter = server.user("getter", &["get"], ALL).await;
    let free = "/api/v1/buckets/photos/objects/free";
    assert_eq!(server.ask(&getter, "GET", OBJECT, &[], "").await.status, 200);
    assert_eq!(server.ask(&getter, "GET", free, &[], "").await.status, 403);
    assert_eq!(server.root("GET", free, &[], "").await.status, 404);
}

#[tokio::test]
async fn keys_of_the_kms_need_a_permission_of_their_own() {
    let server = Server::start().await;
    server.bucket("photos").await;
    let policy = r#"{"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}"#;
    server.iam.put_policy(&Identity::Root, "s3-alone", policy, None).await.unwrap();
    let user = server.user("user", &["s3-alone"], ALL).await;
    let kms = ["x-amz-server-side-encryption: aws:kms", "Content-Type: text/plain"];
    let path = "/api/v1/buckets/photos/objects/kms";
    assert_eq!(server.root("PUT", path, &kms, "secret").await.status, 201);
    let refused = server.ask(&user, "GET", path, &[], "").await;
    assert!(refused.status == 403 && refused.body.contains("kms:Decrypt"), "{refused:?}");
    let refused = server.ask(&user, "PUT", path, &kms, "other").await;
    assert!(refused.status == 403 && refused.body.contains("kms:GenerateDataKey"), "{refused:?}");
    let set = server.root(
        "PUT",
        "/api/v1/buckets/photos/encryption",
        &[],
        r#"{"enabled":true,"algorithm":"aws:kms"}"#,
    );
    assert_eq!(set.await.status, 200);
    let by_default = server.ask(&user, "PUT", path, &["Content-Type: text/plain"], "other").await;
    assert!(by_default.status == 403 && by_default.body.contains("kms:GenerateDataKey"), "{by_default:?}");
}

#[tokio::test]
async fn token_is_not_taken_once_it_is_revoked_or_its_user_disabled_or_gone() {
    let server = Server::start().await;
    let first = server.user("first", &["readonly"], ALL).await;
    let second = server.user("second", &["readonly"], ALL).await;
    let whoami = async |token: &str| server.ask(token, "GET", "/api/v1/whoami", &[], "").await;
    let found = whoami(&first).await;
    assert_eq!(found.json()["identity"], "arn:aws:iam::000000000000:user/first");
    let id = found.json()["token"]["id"].as_str().unwrap().to_owned();
    assert_eq!(server.root("DELETE", &format!("/api/v1/tokens/{id}"), &[], "").await.status, 204);
    assert_eq!(whoami(&first).await.status, 401);
    server.iam.set_user_state(&Identity::Root, "second", State::Disabled).await.unwrap();
    assert_eq!(whoami(&second).await.status, 401);
    server.iam.set_user_state(&Identity::Root, "second", State::Enabled).await.unwrap();
    assert_eq!(whoami(&second).await.status, 200);
    assert_eq!(server.root("DELETE", "/api/v1/users/second", &[], "").await.status, 204);
    assert_eq!(whoami(&second).await.status, 401);
}

#[tokio::test]
async fn token_cannot_make_one_that_may_do_more() {
    let server = Server::start().await;
    let narrow = token(&server.iam, &Identity::Root, &[Scope::IdentitiesWrite, Scope::ObjectsRead]).await;
    let ask = async |scopes: &str| {
        let body = format!("{{\"scopes\": [{scopes}]}}");
        server.ask(&narrow, "POST", "/api/v1/tokens", &[], &body).await
    };
    assert_eq!(ask("\"objects:read\", \"objects:write\"").await.status, 403);
    let made = ask("\"objects:read\"").await;
    assert_eq!(made.status, 201, "{made:?}");
    assert!(made.json()["token"].as_str().unwrap().starts_with("srt_"));
    assert_eq!(ask("").await.status, 400);
}

#[tokio::test]
async fn who_may_make_policies_cannot_rewrite_the_one_that_says_what_it_may() {
    let server = Server::start().await;
    let allow = |actions: &str| {
        format!(r#"{{"Statement": [{{"Effect": "Allow", "Action": [{actions}], "Resource": "*"}}]}}"#)
    };
    let makes = allow(r#""iam:CreatePolicy""#);
    server.iam.put_policy(&Identity::Root, "own", &makes, None).await.unwrap();
    let maker = server.user("maker", &["own"], ALL).await;
    let put = async |who: &str, path: &str, headers: &[&str]| {
        server
            .ask(who, "PUT", &format!("/api/v1/policies/{path}"), headers, &allow(r#""iam:*""#))
            .await
            .status
    };
    let seen = server.root("GET", "/api/v1/policies/own", &[], "").await.headers["etag"].clone();
    let matching = format!("If-Match: {seen}");
    for headers in [&[][..], &["If-Match: *"], &[&matching]] {
        assert_eq!(put(&maker, "own", headers).await, 403, "{headers:?}");
    }
    assert_eq!(put(&maker, "own", &["If-None-Match: *"]).await, 412, "which replaces nothing");
    assert_eq!(put(&maker, "new", &[]).await, 201);
    assert_eq!(put(&maker, "new", &[]).await, 403, "it is there now");
    assert_eq!(server.iam.policy("own").unwrap().json, makes);

    let changes = allow(r#""iam:CreatePolicyVersion""#);
    server.iam.put_policy(&Identity::Root, "changes", &changes, None).await.unwrap();
    let changer = server.user("changer", &["changes"], ALL).await;
    assert_eq!(put(&changer, "newer", &[]).await, 403, "there is none to change");
    assert_eq!(put(&changer, "new", &[]).await, 200);
}

#[tokio::test]
async fn administrator_can_be_kept_to_the_policies_that_it_may_attach() {
    let server = Server::start().await;
    server.iam.create_user(&Identity::Root, "alice").await.unwrap();
    server.iam.create_group(&Identity::Root, "staff").await.unwrap();
    let on_policies = |effect: &str, condition: &str| {
        format!(
            r#"{{"Effect": "{effect}", "Resource": "*", "Condition": {condition},
              "Action": ["iam:AttachUserPolicy", "iam:DetachUserPolicy", "iam:AttachGroupPolicy", "iam:DetachGroupPolicy"]}}"#
        )
    };
    let only = r#"{"ArnEquals": {"iam:PolicyARN": "arn:aws:iam::strongroom:policy/read*"}}"#;
    let all_but = r#"{"ArnLike": {"iam:PolicyARN": "arn:aws:iam::strongroom:policy/console*"}}"#;
    let any = r#"{"Null": {"iam:PolicyARN": "false"}}"#;
    for (name, statements) in [
        ("only", on_policies("Allow", only)),
        ("all-but", format!("{}, {}", on_policies("Allow", any), on_policies("Deny", all_but))),
    ] {
        let policy = format!(r#"{{"Statement": [{statements}]}}"#);
        server.iam.put_policy(&Identity::Root, name, &policy, None).await.unwrap();
        let delegate = server.user(name, &[name], ALL).await;
        for target in ["users/alice", "groups/staff", &format!("users/{name}")] {
            for (policy, status) in [("readonly", 204), ("consoleAdmin", 403)] {
                let path = format!("/api/v1/{target}/policies/{policy}");
                for method in ["PUT", "DELETE"] {
                    let answer = server.ask(&delegate, method, &path, &[], "").await;
                    assert_eq!(answer.status, status, "{name}: {method} {path} {answer:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn reads_of_what_a_tag_forbids_tell_nothing_of_it() {
    let server = Server::start().await;
    server.bucket("photos").await;
    let (bucket, name) = (
        strongroom_objects::BucketName::parse("photos").unwrap(),
        strongroom_objects::ObjectName::parse("a".to_owned()).unwrap(),
    );
    let etag = server.root("GET", OBJECT, &[], "").await.headers["etag"].clone();
    let denies = r#"{"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"},
        {"Effect": "Deny", "Action": ["s3:GetObject", "s3:GetObjectVersion"], "Resource": "*",
         "Condition": {"StringEquals": {"s3:ExistingObjectTag/secret": "yes"}}}]}"#;
    server.iam.put_policy(&Identity::Root, "tagged", denies, None).await.unwrap();
    let reader = server.user("reader", &["tagged"], ALL).await;
    let conditions = [
        (format!("If-None-Match: {etag}"), 304),
        ("If-Match: \"00000000000000000000000000000000\"".to_owned(), 412),
        ("Range: bytes=1000-".to_owned(), 416),
        (
            "x-amz-server-side-encryption-customer-algorithm: AES256\r\n\
             x-amz-server-side-encryption-customer-key: MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\r\n\
             x-amz-server-side-encryption-customer-key-MD5: hRasmdxgYDKV3nvbahU1MA=="
                .to_owned(),
            400,
        ),
    ];
    for (value, denied) in [("no", false), ("yes", true)] {
        let tags = vec![("secret".to_owned(), value.to_owned())];
        server.objects.set_object_tags(&bucket, &name, None, tags).await.unwrap();
        for path in [OBJECT.to_owned(), format!("{OBJECT}?version=null")] {
            for method in ["GET", "HEAD"] {
                for (condition, status) in &conditions {
                    let answer = server.ask(&reader, method, &path, &[condition], "").await;
                    let expected = if denied { 403 } else { *status };
                    assert_eq!(answer.status, expected, "{method} {path} {condition} {answer:?}");
                    assert!(!denied || !answer.headers.contains_key("content-range"), "{answer:?}");
                    assert!(!denied || !answer.headers.contains_key("etag"), "{answer:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn settings_of_a_bucket_are_shown_to_who_may_read_them() {
    let server = Server::start().await;
    server.bucket("photos").await;
    for (name, denied, shown) in [
        ("all", None, ["encryption", "versioning"].as_slice()),
        ("no-encryption", Some("s3:GetEncryptionConfiguration"), &["versioning"]),
        ("no-versioning", Some("s3:GetBucketVersioning"), &["encryption"]),
    ] {
        let denied = denied.map(|action| {
            format!(r#", {{"Effect": "Deny", "Action": "{action}", "Resource": "arn:aws:s3:::photos"}}"#)
        });
        let policy = format!(
            r#"{{"Statement": [{{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}{}]}}"#,
            denied.unwrap_or_default()
        );
        server.iam.put_policy(&Identity::Root, name, &policy, None).await.unwrap();
        let who = server.user(name, &[name], ALL).await;
        let one = server.ask(&who, "GET", "/api/v1/buckets/photos", &[], "").await;
        let all = server.ask(&who, "GET", "/api/v1/buckets", &[], "").await;
        for bucket in [&one.json(), &all.json()["buckets"][0]] {
            assert_eq!(bucket["name"], "photos", "{bucket}");
            let settings = ["encryption", "versioning"].map(|setting| bucket.get(setting).map(|_| setting));
            let settings: Vec<_> = settings.into_iter().flatten().collect();
            assert_eq!(settings, shown, "{name}: {bucket}");
        }
    }
}

#[tokio::test]
async fn what_is_roots_is_for_root_alone() {
    let server = Server::start().await;
    let admin = server.user("admin", &["consoleAdmin"], ALL).await;
    let made = server.root("POST", "/api/v1/service-accounts", &[], "{}").await;
    assert_eq!(made.status, 201, "{made:?}");
    let path = format!("/api/v1/service-accounts/{}", made.json()["access_key"].as_str().unwrap());
    for method in ["GET", "DELETE"] {
        let refused = server.ask(&admin, method, &path, &[], "").await;
        assert_eq!(refused.status, 403, "{refused:?}");
    }
    let own = server.ask(&admin, "POST", "/api/v1/service-accounts", &[], "{}").await;
    assert_eq!(own.status, 201, "{own:?}");
    let path = format!("/api/v1/service-accounts/{}", own.json()["access_key"].as_str().unwrap());
    assert_eq!(server.ask(&admin, "GET", &path, &[], "").await.json()["parent"], "admin");
}

#[tokio::test]
async fn policy_that_bounds_a_service_account_has_no_member_twice() {
    let server = Server::start().await;
    let statement = r#""Action": "s3:GetObject", "Resource": "*""#;
    for (effect, status) in [(r#""Effect": "Allow""#, 201), (r#""Effect": "Deny", "Effect": "Allow""#, 400)] {
        let body = format!(r#"{{"policy": {{"Statement": [{{{effect}, {statement}}}]}}}}"#);
        let answer = server.root("POST", "/api/v1/service-accounts", &[], &body).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    assert_eq!(server.iam.access_keys(None).len(), 1);
}

#[tokio::test]
async fn lists_of_everybodys_leave_out_what_a_policy_denies() {
    let server = Server::start().await;
    for user in ["alice", "eve"] {
        let path = format!("/api/v1/users/{user}");
        server.user(user, &[], ALL).await;
        assert_eq!(server.root("GET", &path, &[], "").await.status, 200);
        let body = format!(r#"{{"user": "{user}"}}"#);
        assert_eq!(server.root("POST", "/api/v1/service-accounts", &[], &body).await.status, 201);
    }
    let denies = r#"{"Statement": [{"Effect": "Allow", "Action": "iam:List*", "Resource": "*"},
        {"Effect": "Deny", "Action": ["iam:ListTokens", "iam:ListServiceAccounts"],
         "Resource": "arn:aws:iam::strongroom:user/alice"}]}"#;
    server.iam.put_policy(&Identity::Root, "not-alice", denies, None).await.unwrap();
    let auditor = server.user("auditor", &["not-alice"], ALL).await;
    for (path, list, owner) in
        [("/api/v1/tokens", "tokens", "owner"), ("/api/v1/service-accounts", "service_accounts", "parent")]
    {
        let owners = async |token: &str| {
            let shown = server.ask(token, "GET", path, &[], "").await.json();
            let of = |entry: &serde_json::Value| entry[owner].as_str().unwrap().to_owned();
            shown[list].as_array().unwrap().iter().map(of).collect::<std::collections::BTreeSet<_>>()
        };
        let shown = owners(&auditor).await;
        assert!(shown.contains("eve") && !shown.contains("alice"), "{path}: {shown:?}");
        assert!(owners(&server.root).await.contains("alice"), "{path}");
    }
}

#[tokio::test]
async fn identity_that_asks_too_often_is_told_to_wait_and_objects_go_on() {
    let server = Server::with(RateLimit { per_second: 1, burst: 3 }).await;
    let other = server.user("other", &["consoleAdmin"], ALL).await;
    server.bucket("photos").await;
    let mut refused = None;
    for _ in 0..10 {
        let answer = server.root("GET", "/api/v1/users", &[], "").await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("ten requests are more than three and one per second");
    assert_eq!(refused.json()["error"]["code"], "TooManyRequests");
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(server.root("GET", OBJECT, &[], "").await.status, 200);
    assert_eq!(server.ask(&other, "GET", "/api/v1/users", &[], "").await.status, 200);
    assert_eq!(server.door("GET", "/api/v1/users", "").await.status, 200);
}

#[tokio::test]
async fn door_needs_no_token_and_takes_the_caller_for_root() {
    let server = Server::start().await;
    assert_eq!(server.door("GET", "/api/v1/whoami", "").await.json()["identity"], "root");
    let made = server.door("POST", "/api/v1/users", r#"{"name": "alice"}"#).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(server.root("GET", "/api/v1/users/alice", &[], "").await.json()["name"], "alice");
    let elsewhere = server.root("GET", "/api/v1/admin/keys/groups", &[], "").await;
    assert_eq!(elsewhere.status, 404, "what only the door does is not on the port");
}

#[tokio::test]
async fn policies_can_ask_for_the_headers_of_a_request_and_for_its_key_and_context() {
    let server = Server::start().await;
    server.bucket("photos").await;
    let user = server.user("user", &[], ALL).await;
    let target = strongroom_iam::Target::User("user".to_owned());
    let sse = "x-amz-server-side-encryption: aws:kms";
    let context = "x-amz-server-side-encryption-context: eyJhcHAiOiJzaG9wIn0=";
    let stored = server.root("PUT", OBJECT, &[sse, "Content-Type: text/plain"], "x").await;
    let key_id = stored.json()["encryption"]["kms_key_id"].as_str().unwrap().to_owned();
    let named = format!("x-amz-server-side-encryption-aws-kms-key-id: {key_id}");
    let regional =
        format!("x-amz-server-side-encryption-aws-kms-key-id: arn:aws:kms:us-east-1:1111:key/{key_id}");
    let deny_key = format!(
        r#""s3:PutObject","Condition":{{"StringEquals":
          {{"s3:x-amz-server-side-encryption-aws-kms-key-id":"arn:aws:kms:us-east-1:1111:key/{key_id}"}}}}"#
    );
    for (denied, headers, status) in [
        (
            r#""s3:PutObject","Condition":{"StringLike":{"aws:UserAgent":"bad*"}}"#,
            &["User-Agent: bad/1"][..],
            403,
        ),
        (r#""s3:PutObject","Condition":{"StringLike":{"aws:UserAgent":"bad*"}}"#, &["User-Agent: good"], 201),
        (r#""s3:PutObject","Condition":{"StringLike":{"aws:Referer":"bad*"}}"#, &["Referer: bad"], 403),
        (r#""s3:PutObject","Condition":{"Null":{"s3:if-none-match":"true"}}"#, &[], 403),
        (r#""s3:PutObject","Condition":{"Null":{"s3:if-none-match":"true"}}"#, &["If-None-Match: *"], 412),
        (r#""s3:PutObject","Condition":{"Null":{"s3:if-match":"true"}}"#, &[], 403),
        (r#""s3:PutObject","Condition":{"Bool":{"s3:ObjectCreationOperation":"true"}}"#, &[], 403),
        // Who may not read an object may not guess its tag.
        (r#""s3:GetObject""#, &["If-Match: \"guess\""], 403),
        (r#""s3:GetObject""#, &["If-None-Match: \"guess\""], 403),
        (r#""s3:GetObject""#, &["If-None-Match: *"], 412),
        (r#""s3:ListBucket""#, &["If-Match: \"guess\""], 412),
        (r#""s3:PutObject","Condition":{"StringEquals":{"s3:ResourceAccount":"strongroom"}}"#, &[], 403),
        (deny_key.as_str(), &[sse, &named], 403),
        (deny_key.as_str(), &[sse, &regional], 403),
        (deny_key.as_str(), &[sse], 201),
        (
            r#""kms:*","Condition":{"StringEquals":{"kms:EncryptionContext:app":"shop"}}"#,
            &[sse, context],
            403,
        ),
        (r#""kms:*","Condition":{"StringEquals":{"kms:EncryptionContext:app":"shop"}}"#, &[sse], 201),
    ] {
        let policy = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":["s3:*","kms:*"],"Resource":"*"}},
              {{"Effect":"Deny","Resource":"*","Action":{denied}}}]}}"#
        );
        server.iam.put_policy(&Identity::Root, "facts", &policy, None).await.unwrap();
        server.iam.attach_policy(&Identity::Root, "facts", &target).await.unwrap();
        let all = [headers, &["Content-Type: text/plain"]].concat();
        let answer = server.ask(&user, "PUT", OBJECT, &all, "x").await;
        assert_eq!(answer.status, status, "{denied} {headers:?} {answer:?}");
    }
}
