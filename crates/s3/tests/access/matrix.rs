//! Kinds of identities × forms of statements × calls: what is allowed, and that nothing else is.

use reqwest::Method;
use strongroom_iam::{Identity, Name, ServiceAccountSpec, SessionSpec, State, Target};

use super::{Call, Keys, Setup, denied, get, policy, statement};

/// Calls by their names. Those that only read are what bounds let through.
fn calls() -> Vec<(&'static str, bool, Call)> {
    vec![
        ("get", true, get("/bkt/k")),
        ("get secret", true, get("/bkt/secret/k")),
        ("get own", true, get("/bkt/home/u/k")),
        ("get theirs", true, get("/bkt/home/v/k")),
        ("get other", true, get("/other/k")),
        ("put", false, Call::put("/bkt/new", "x")),
        ("delete", false, Call::new(Method::DELETE, "/bkt/none")),
        ("list", false, get("/bkt").query("list-type", "2")),
    ]
}

const ALL: &[&str] = &["get", "get secret", "get own", "get theirs", "get other", "put", "delete", "list"];
const EVERYTHING: &str = r#"{"Effect":"Allow","Action":"s3:*","Resource":"*"}"#;

/// Statements, and the calls that they allow.
fn rows(user_id: &str) -> Vec<(String, &'static [&'static str])> {
    let with = |deny: &str| format!("{EVERYTHING},{deny}");
    vec![
        (EVERYTHING.to_owned(), ALL),
        (
            r#"{"Effect":"Allow","Action":"s3:*","Resource":["arn:aws:s3:::bkt","arn:aws:s3:::bkt/*"]}"#
                .to_owned(),
            &["get", "get secret", "get own", "get theirs", "put", "delete", "list"],
        ),
        (
            r#"{"Effect":"Allow","NotAction":["s3:PutObject","s3:List*"],"Resource":"*"}"#.to_owned(),
            &["get", "get secret", "get own", "get theirs", "get other", "delete"],
        ),
        (
            r#"{"Effect":"Allow","Action":"s3:GetObject","NotResource":"arn:aws:s3:::bkt/secret/*"}"#
                .to_owned(),
            &["get", "get own", "get theirs", "get other"],
        ),
        (
            with(r#"{"Effect":"Deny","NotAction":"s3:Get*","Resource":"*"}"#),
            &["get", "get secret", "get own", "get theirs", "get other"],
        ),
        (
            with(
                r#"{"Effect":"Deny","Action":"s3:*","NotResource":"arn:aws:s3:::bkt/home/${aws:username}/*"}"#,
            ),
            &["get own"],
        ),
        (
            with(
                r#"{"Effect":"Deny","Action":"s3:GetObject","Resource":"arn:aws:s3:::bkt/home/${aws:username}/*"}"#,
            ),
            &["get", "get secret", "get theirs", "get other", "put", "delete", "list"],
        ),
        (
            r#"{"Effect":"Allow","Action":"s3:GetObject","Resource":"*",
                "Condition":{"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::strongroom:user/u"}}}"#
                .to_owned(),
            &["get", "get secret", "get own", "get theirs", "get other"],
        ),
        (
            r#"{"Effect":"Allow","Action":"s3:GetObject","Resource":"*",
                "Condition":{"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::strongroom:user/v"}}}"#
                .to_owned(),
            &[],
        ),
        (
            // A session has its name behind its maker's id.
            format!(
                r#"{{"Effect":"Allow","Action":"s3:GetObject","Resource":"*",
                    "Condition":{{"StringLike":{{"aws:userid":["{user_id}","{user_id}:*"]}}}}}}"#
            ),
            &["get", "get secret", "get own", "get theirs", "get other"],
        ),
        (
            with(
                r#"{"Effect":"Deny","Action":"s3:*","Resource":"*",
                    "Condition":{"StringNotEqualsIfExists":{"aws:username":"u"}}}"#,
            ),
            ALL,
        ),
        (
            with(
                r#"{"Effect":"Deny","Action":"s3:*","Resource":"*",
                    "Condition":{"StringEquals":{"aws:username":"${aws:username}"}}}"#,
            ),
            &[],
        ),
    ]
}

async fn check(
    setup: &Setup,
    who: &str,
    keys: Option<&Keys>,
    allowed: impl Fn(&str, bool) -> bool,
    told: &str,
) {
    for (name, reads, call) in calls() {
        let answer = match keys {
            Some(keys) => setup.by(keys, call).await,
            None => setup.stranger(call).await,
        };
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(!denied(&answer), allowed(name, reads), "{who}, {name}, {told}: {} {text}", answer.status);
    }
}

async fn setup() -> Setup {
    let setup = Setup::new().await;
    setup.client.bucket("other").await;
    for path in ["/bkt/secret/k", "/bkt/home/u/k", "/bkt/home/v/k", "/other/k"] {
        setup.root(Call::put(path, "x")).await.ok();
    }
    setup
}

#[tokio::test]
async fn every_kind_of_identity_is_bound_by_every_form_of_statement() {
    let setup = setup().await;
    let root = &Identity::Root;
    let direct = setup.user("u", EVERYTHING).await;
    let user = Identity::User { name: Name::parse("u").unwrap() };
    let bound = policy(&statement("Allow", &["s3:GetObject"], "*"));
    let account = async |policy: Option<&str>| {
        let spec = ServiceAccountSpec { policy, ..ServiceAccountSpec::default() };
        let made = setup.iam.create_service_account(root, &user, spec).await.unwrap();
        let secret = made.secret.dangerous_expose().to_owned();
        Keys { access_key: made.access_key.to_string(), secret, token: None }
    };
    let session = |maker: &Identity, policy: Option<&str>| {
        let spec = SessionSpec { name: "job", duration_seconds: 900, policy };
        let made = setup.iam.assume_role(maker, &spec).unwrap();
        let secret = made.secret.dangerous_expose().to_owned();
        Keys { access_key: made.access_key.to_string(), secret, token: Some(made.session_token) }
    };
    let (free, bounded) = (account(None).await, account(Some(&bound)).await);
    let by_account = setup.iam.look_up(&bounded.access_key, None).unwrap().0;
    let kinds = [
        ("user", direct.clone(), false),
        ("service account", free, false),
        ("bounded service account", bounded, true),
        ("session", session(&user, None), false),
        ("bounded session", session(&user, Some(&bound)), true),
        ("session of a bounded service account", session(&by_account, None), true),
    ];
    let id = setup.iam.user("u").unwrap().id;
    for through_group in [false, true] {
        if through_group {
            setup.iam.detach_policy(root, "u", &Target::User("u".into())).await.unwrap();
            setup.iam.create_group(root, "g").await.unwrap();
            setup.iam.attach_policy(root, "u", &Target::Group("g".into())).await.unwrap();
            check(&setup, "not in the group yet", Some(&direct), |_, _| false, "").await;
            setup.iam.add_to_group(root, "g", "u").await.unwrap();
        }
        for (statements, allowed) in rows(&id) {
            setup.policy("u", &statements).await;
            for (who, keys, bounded) in &kinds {
                let may = |name: &str, reads: bool| allowed.contains(&name) && (reads || !bounded);
                check(&setup, who, Some(keys), may, &statements).await;
            }
            check(&setup, "a stranger", None, |_, _| false, &statements).await;
        }
    }
    setup.policy("u", EVERYTHING).await;
    setup.iam.set_user_state(root, "u", State::Disabled).await.unwrap();
    for (who, keys, _) in &kinds {
        for (name, _, call) in calls() {
            let status = setup.by(keys, call).await.status.as_u16();
            assert!([400, 403].contains(&status), "{who} of a disabled user, {name}: {status}");
        }
    }
}

#[tokio::test]
async fn who_is_not_named_by_not_principal_is_denied() {
    let setup = setup().await;
    let (u, v) = (setup.user("u", EVERYTHING).await, setup.user("v", EVERYTHING).await);
    let deny = r#"{"Effect":"Deny","NotPrincipal":{"AWS":"arn:aws:iam::strongroom:user/u"},"Action":"s3:GetObject",
        "Resource":"arn:aws:s3:::bkt/*"}"#;
    setup.bucket_policy("bkt", deny).await;
    check(&setup, "u", Some(&u), |_, _| true, deny).await;
    let of_bucket = ["get", "get secret", "get own", "get theirs"];
    check(&setup, "v", Some(&v), |name, _| !of_bucket.contains(&name), deny).await;
    check(&setup, "a stranger", None, |_, _| false, deny).await;
    setup.root(get("/bkt/k")).await.ok();
}
