//! Temporary credentials, and the service that gives them.

use reqwest::Method;
use strongroom_iam::Identity;
use time::OffsetDateTime;

use super::support::client::{encoded, hmac, sha256_hex};
use super::{Answer, Call, Keys, Setup, denied, get, statement};

/// A request to the token service, signed for `service`.
pub(crate) async fn sts(setup: &Setup, keys: &Keys, service: &str, fields: &[(&str, &str)]) -> Answer {
    let body: Vec<String> =
        fields.iter().map(|(name, value)| format!("{name}={}", encoded(value, false))).collect();
    let body = body.join("&");
    let format = time::macros::format_description!("[year][month][day]T[hour][minute][second]Z");
    let stamp = OffsetDateTime::now_utc().format(format).unwrap();
    let kind = "application/x-www-form-urlencoded; charset=utf-8";
    let mut headers = vec![
        ("content-type".to_owned(), kind.to_owned()),
        ("host".to_owned(), setup.client.host.clone()),
        ("x-amz-date".to_owned(), stamp.clone()),
    ];
    if let Some(token) = &keys.token {
        headers.push(("x-amz-security-token".to_owned(), token.clone()));
    }
    let names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let canonical = format!("POST\n/\n\n{lines}\n{names}\n{}", sha256_hex(body.as_bytes()));
    let scope = format!("{}/us-east-1/{service}/aws4_request", &stamp[..8]);
    let to_sign = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", sha256_hex(canonical.as_bytes()));
    let mut key = hmac(format!("AWS4{}", keys.secret).as_bytes(), &stamp.as_bytes()[..8]);
    for part in ["us-east-1", service, "aws4_request"] {
        key = hmac(&key, part.as_bytes());
    }
    let signature = hex::encode(hmac(&key, to_sign.as_bytes()));
    headers.push((
        "authorization".to_owned(),
        format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            keys.access_key
        ),
    ));
    setup.client.send_as(Call::new(Method::POST, "/").body(body), headers).await
}

pub(crate) const ASSUME: [(&str, &str); 4] = [
    ("Action", "AssumeRole"),
    ("Version", "2011-06-15"),
    ("RoleArn", "arn:aws:iam::strongroom:role/any"),
    ("RoleSessionName", "job@1"),
];

pub(crate) fn keys_of(answer: &Answer) -> Keys {
    Keys {
        access_key: answer.element("AccessKeyId").to_owned(),
        secret: answer.element("SecretAccessKey").to_owned(),
        token: Some(answer.element("SessionToken").to_owned()),
    }
}

#[tokio::test]
async fn session_does_what_its_maker_may_within_its_policy() {
    let setup = Setup::new().await;
    let user =
        setup.user("u", &statement("Allow", &["s3:GetObject", "s3:PutObject"], "arn:aws:s3:::bkt/*")).await;
    let whole = keys_of(&sts(&setup, &user, "sts", &ASSUME).await.ok());
    setup.by(&whole, get("/bkt/k")).await.ok();
    setup.by(&whole, Call::put("/bkt/new", "x")).await.ok();
    assert!(denied(&setup.by(&whole, Call::new(Method::DELETE, "/bkt/k")).await));

    let bound =
        super::policy(&statement("Allow", &["s3:GetObject", "s3:DeleteObject"], "arn:aws:s3:::bkt/*"));
    let mut fields = ASSUME.to_vec();
    fields.push(("Policy", &bound));
    fields.push(("DurationSeconds", "900"));
    let answer = sts(&setup, &user, "sts", &fields).await.ok();
    assert_eq!(answer.element("Arn"), "arn:aws:sts::000000000000:assumed-role/u/job@1");
    let less = keys_of(&answer);
    setup.by(&less, get("/bkt/k")).await.ok();
    assert!(denied(&setup.by(&less, Call::put("/bkt/new", "x")).await), "beyond its policy");
    assert!(denied(&setup.by(&less, Call::new(Method::DELETE, "/bkt/k")).await), "beyond its maker");
    // A session makes no sessions.
    assert_eq!(sts(&setup, &less, "sts", &ASSUME).await.error(), (403, "AccessDenied"));
    // It ends with its maker.
    setup.iam.delete_user(&Identity::Root, "u").await.ok();
    setup.iam.set_user_state(&Identity::Root, "u", strongroom_iam::State::Disabled).await.ok();
    assert!(!setup.by(&whole, get("/bkt/k")).await.status.is_success());
}

#[tokio::test]
async fn no_session_is_made_without_the_bounds_that_were_asked_for() {
    let setup = Setup::new().await;
    let user = setup.user("u", &statement("Allow", &["s3:*"], "*")).await;
    let bound = ("PolicyArns.member.1.arn", "arn:aws:iam::strongroom:policy/readonly");
    let answer = sts(&setup, &user, "sts", &[&ASSUME[..], &[bound]].concat()).await;
    assert_eq!(answer.error(), (501, "NotImplemented"));
    assert!(
        !answer.text().contains("SecretAccessKey") && answer.text().contains("Policy"),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn whether_somebody_may_make_a_session_depends_on_where_they_are() {
    let setup = Setup::new().await;
    let user = setup.user("u", &statement("Allow", &["s3:*"], "*")).await;
    for (condition, status) in [
        (r#"{"IpAddress":{"aws:SourceIp":"127.0.0.0/8"}}"#, 403),
        (r#"{"NotIpAddress":{"aws:SourceIp":"127.0.0.0/8"}}"#, 200),
        (r#"{"Bool":{"aws:SecureTransport":"false"}}"#, 403),
        (r#"{"Bool":{"aws:SecureTransport":"true"}}"#, 200),
    ] {
        let deny = format!(r#"{{"Effect":"Deny","Action":"sts:*","Resource":"*","Condition":{condition}}}"#);
        setup.policy("u", &deny).await;
        assert_eq!(sts(&setup, &user, "sts", &ASSUME).await.status, status, "{condition}");
    }
}

#[tokio::test]
async fn session_can_be_denied_by_the_role_that_it_names() {
    let setup = Setup::new().await;
    let allowed = statement("Allow", &["s3:*"], "*");
    let user = setup.user("u", &allowed).await;
    let other: Vec<_> = ASSUME.into_iter().filter(|(name, _)| *name != "RoleArn").collect();
    let mut auditor = other.clone();
    auditor.push(("RoleArn", "arn:aws:iam::strongroom:role/auditor"));
    for (resource, [any, as_auditor, unnamed]) in [
        (r#""Resource":"arn:aws:iam::strongroom:role/any""#, [403, 200, 200]),
        (r#""Resource":"arn:aws:iam::strongroom:role/a*""#, [403, 403, 200]),
        (r#""Resource":"*""#, [403, 403, 403]),
        (r#""NotResource":"arn:aws:iam::strongroom:role/any""#, [200, 403, 403]),
    ] {
        setup.policy("u", &format!(r#"{{"Effect":"Deny","Action":"sts:AssumeRole",{resource}}}"#)).await;
        for (fields, status) in [(&ASSUME[..], any), (&auditor, as_auditor), (&other, unnamed)] {
            let answer = sts(&setup, &user, "sts", fields).await;
            assert_eq!(answer.status, status, "{resource} {fields:?}");
        }
    }
    for resource in ["*", "arn:aws:iam::strongroom:role/any"] {
        setup.policy("u", &statement("Allow", &["sts:AssumeRole"], resource)).await;
        sts(&setup, &user, "sts", &ASSUME).await.ok();
    }
}

#[tokio::test]
async fn token_belongs_to_its_access_key() {
    let setup = Setup::new().await;
    let user = setup.user("u", &statement("Allow", &["s3:*"], "*")).await;
    let (one, two) = (
        keys_of(&sts(&setup, &user, "sts", &ASSUME).await.ok()),
        keys_of(&sts(&setup, &user, "sts", &ASSUME).await.ok()),
    );
    let mixed = Keys { token: two.token.clone(), ..one.clone() };
    assert_eq!(setup.by(&mixed, get("/bkt/k")).await.error(), (400, "InvalidToken"));
    let garbage = Keys { token: Some("garbage".to_owned()), ..one.clone() };
    assert_eq!(setup.by(&garbage, get("/bkt/k")).await.error(), (400, "InvalidToken"));
    let without = Keys { token: None, ..one.clone() };
    assert_eq!(setup.by(&without, get("/bkt/k")).await.error(), (403, "InvalidAccessKeyId"));
    let not_needed = Keys { token: one.token.clone(), ..user };
    assert_eq!(setup.by(&not_needed, get("/bkt/k")).await.error(), (400, "InvalidToken"));
    // A token that the signature does not cover is a token that somebody else put there.
    let mut call = get("/bkt/k");
    call.access_key.clone_from(&one.access_key);
    call.secret.clone_from(&one.secret);
    call.unsigned_headers.push(("x-amz-security-token".to_owned(), one.token.unwrap()));
    let answer = setup.root(call).await;
    assert_eq!(answer.error(), (403, "AccessDenied"));
    assert_eq!(answer.element("HeadersNotSigned"), "x-amz-security-token");
}

#[tokio::test]
async fn identity_is_told() {
    let setup = Setup::new().await;
    let user = setup.user("u", &statement("Deny", &["s3:*", "sts:*"], "*")).await;
    let root = Keys {
        access_key: super::support::ACCESS_KEY.to_owned(),
        secret: super::support::SECRET.to_owned(),
        token: None,
    };
    let fields = [("Action", "GetCallerIdentity"), ("Version", "2011-06-15")];
    let id = setup.iam.user("u").unwrap().id;
    for (keys, arn, id) in [
        (&user, "arn:aws:iam::000000000000:user/u", &*id),
        (&root, "arn:aws:iam::000000000000:root", "000000000000"),
    ] {
        let answer = sts(&setup, keys, "sts", &fields).await.ok();
        assert_eq!(answer.element("Arn"), arn);
        assert_eq!(answer.element("UserId"), id);
        assert_eq!(answer.element("Account"), "000000000000");
        assert!(
            answer
                .text()
                .contains("<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">")
        );
    }
    // Who is told that it may not makes no sessions.
    assert_eq!(sts(&setup, &user, "sts", &ASSUME).await.error(), (403, "AccessDenied"));
    setup.policy("u", &statement("Allow", &["s3:*"], "*")).await;
    let made = sts(&setup, &user, "sts", &ASSUME).await.ok();
    assert_eq!(made.element("AssumedRoleId"), format!("{id}:job@1"));
    let answer = sts(&setup, &keys_of(&made), "sts", &fields).await.ok();
    assert_eq!(answer.element("UserId"), format!("{id}:job@1"), "as aws:userid says it");
}

#[tokio::test]
async fn errors_are_in_the_words_of_the_token_service() {
    let setup = Setup::new().await;
    let user = setup.user("u", &statement("Allow", &["s3:*"], "*")).await;
    let with = |name: &'static str, value: &'static str| {
        let mut fields: Vec<_> = ASSUME.iter().copied().filter(|(other, _)| *other != name).collect();
        fields.push((name, value));
        fields
    };
    let bad = Keys { access_key: "AKIDNOBODY".to_owned(), ..user.clone() };
    let wrong = Keys { secret: "another secret".to_owned(), ..user.clone() };
    for (keys, fields, status, code) in [
        (&user, with("Action", "DropEverything"), 400, "InvalidAction"),
        (&user, with("Version", "1999-01-01"), 400, "InvalidAction"),
        (&user, with("DurationSeconds", "899"), 400, "ValidationError"),
        (&user, with("DurationSeconds", "43201"), 400, "ValidationError"),
        (&user, with("DurationSeconds", "soon"), 400, "ValidationError"),
        (&user, with("RoleSessionName", "a b"), 400, "ValidationError"),
        (&user, with("RoleArn", "short"), 400, "ValidationError"),
        (&user, with("Policy", "{}"), 400, "MalformedPolicyDocument"),
        (&bad, ASSUME.to_vec(), 403, "InvalidClientTokenId"),
        (&wrong, ASSUME.to_vec(), 403, "SignatureDoesNotMatch"),
    ] {
        let answer = sts(&setup, keys, "sts", &fields).await;
        assert_eq!(answer.error(), (status, code), "{fields:?}");
        let text = answer.text();
        assert!(text.contains(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender"
        ));
        assert!(!answer.element("RequestId").is_empty());
    }
    // What is signed for another service is not for this one.
    let answer = sts(&setup, &user, "s3", &ASSUME).await;
    assert_eq!(answer.error(), (403, "SignatureDoesNotMatch"));
    assert!(answer.text().contains("scoped to correct service: 'sts'"), "{}", answer.text());
    // Without a signature.
    let form = Call::new(Method::POST, "/").header("content-type", "application/x-www-form-urlencoded");
    let answer = setup.stranger(form.body("Action=AssumeRole&Version=2011-06-15")).await;
    assert_eq!(answer.error(), (403, "MissingAuthenticationToken"));
}
