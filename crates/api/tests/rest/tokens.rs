//! Every operation × every state that a token can be in × what policies say: what is answered, and that a refused request did nothing.
//!
//! The operations are those of `operations.rs`, which are held against the API's description: a new one without a row fails there.

use std::fmt::Write as _;

use serde_json::json;
use strongroom_iam::{Identity, Name, Scope, State, Target, TokenInfo, TokenSpec};
use strongroom_objects::BucketName;
use strongroom_objects::request::ListRequest;

use crate::operations::{OPEN, ROWS, Row, things};
use crate::support::{Server, token};

const ROOT: &Identity = &Identity::Root;
/// What a refusal asks for: that there is no token, and that it is not taken.
const MISSING: &str = "Bearer";
const INVALID: &str = "Bearer error=\"invalid_token\"";

fn user(name: &str) -> Identity {
    Identity::User { name: Name::parse(name).unwrap() }
}

/// Everything that the operations could change.
async fn everything(server: &Server) -> String {
    let iam = &server.iam;
    let mut text = format!("{:?}\n{:?}\n{:?}\n", iam.users(), iam.groups(), iam.policies());
    writeln!(text, "{:?}\n{:?}", iam.access_keys(None), iam.tokens()).unwrap();
    let buckets = server.objects.list_buckets("", None, 1000).await.unwrap();
    writeln!(text, "{buckets:?}").unwrap();
    let bucket = BucketName::parse("photos").unwrap();
    let (prefix, delimiter, after) = (String::new(), None, None);
    let request = ListRequest { bucket, prefix, delimiter, after, max: 1000 };
    writeln!(text, "{:?}", server.objects.list(request).await.unwrap()).unwrap();
    text
}

/// A token of a user of this name, for everything.
async fn token_of(server: &Server, name: &str, expires_at: Option<u64>) -> (TokenInfo, String) {
    let spec = TokenSpec { scopes: Scope::ALL.to_vec(), expires_at, ..TokenSpec::default() };
    let (info, secret) = server.iam.create_token(ROOT, &user(name), spec).await.unwrap();
    (info, secret.dangerous_expose().to_owned())
}

/// Headers by which nobody is known, and what is asked for then. Who would be known by them may do everything.
async fn unknown(server: &Server) -> Vec<(&'static str, Vec<String>, &'static str)> {
    let admin = async |name: &str| {
        server.iam.create_user(ROOT, name).await.unwrap();
        server.iam.attach_policy(ROOT, "consoleAdmin", &Target::User(name.into())).await.unwrap();
    };
    for name in ["asker", "disabled", "gone", "again"] {
        admin(name).await;
    }
    let (_, good) = token_of(server, "asker", None).await;
    let bearer = |token: &str| vec![format!("Authorization: Bearer {token}")];
    let end = if good.ends_with('x') { "y" } else { "x" };
    let other_secret = format!("{}{end}", &good[..good.len() - 1]);

    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let (_, expired) = token_of(server, "asker", Some(now + 3600)).await;
    server.clock.by(2 * 3600);
    let (info, revoked) = token_of(server, "asker", None).await;
    server.iam.revoke_token(ROOT, &info.id).await.unwrap();
    let (_, disabled) = token_of(server, "disabled", None).await;
    server.iam.set_user_state(ROOT, "disabled", State::Disabled).await.unwrap();
    let (_, gone) = token_of(server, "gone", None).await;
    server.iam.delete_user(ROOT, "gone").await.unwrap();
    let (_, again) = token_of(server, "again", None).await;
    server.iam.delete_user(ROOT, "again").await.unwrap();
    admin("again").await;

    vec![
        ("none", vec![], MISSING),
        ("another scheme", vec![format!("Authorization: Basic {good}")], MISSING),
        ("no scheme", vec![format!("Authorization: {good}")], MISSING),
        ("no token", vec!["Authorization: Bearer".to_owned()], MISSING),
        ("two", [bearer(&good), bearer(&good)].concat(), MISSING),
        ("a cookie", vec![format!("Cookie: token={good}"), format!("X-Api-Key: {good}")], MISSING),
        ("a prefix alone", bearer("srt_"), INVALID),
        ("half of one", bearer(&good[..good.len() / 2]), INVALID),
        ("one and more", bearer(&format!("{good}x")), INVALID),
        ("another case", bearer(&good.to_uppercase()), INVALID),
        ("another secret", bearer(&other_secret), INVALID),
        ("expired", bearer(&expired), INVALID),
        ("revoked", bearer(&revoked), INVALID),
        ("of who is disabled", bearer(&disabled), INVALID),
        ("of who is gone", bearer(&gone), INVALID),
        ("of one who was called so before", bearer(&again), INVALID),
    ]
}

#[tokio::test]
async fn no_operation_is_done_for_a_token_that_is_none_or_no_longer_one() {
    let server = Server::start().await;
    server.bucket("photos").await;
    let unknown = unknown(&server).await;
    for Row(method, path, request, body, ..) in ROWS {
        let (account, id) = things(&server).await;
        let request = request.replace("ACCOUNT", &account).replace("TOKEN", &id);
        let before = everything(&server).await;
        for (state, headers, challenge) in &unknown {
            let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
            let answer = server.ask("", method, &format!("/api/v1{request}"), &headers, body).await;
            assert_eq!(answer.status, 401, "{method} {path} with a token: {state}: {answer:?}");
            assert_eq!(answer.headers["www-authenticate"], *challenge, "{method} {path}: {state}");
        }
        assert_eq!(everything(&server).await, before, "{method} {path} {request}");
    }
    for (method, path) in OPEN {
        for (state, headers, _) in &unknown {
            let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
            let answer = server.ask("", method, &format!("/api/v1{path}"), &headers, "").await;
            let expected = if path == "/openapi.json" { 200 } else { 401 };
            assert_eq!(answer.status, expected, "{method} {path}: {state}");
        }
    }
}

#[tokio::test]
async fn no_operation_is_done_beyond_a_tokens_scopes_or_its_owners_policies() {
    let server = Server::start().await;
    server.bucket("photos").await;
    server.iam.create_user(ROOT, "asker").await.unwrap();
    let asker = user("asker");
    let mut tokens = Vec::new();
    for scope in Scope::ALL {
        let others: Vec<_> = Scope::ALL.into_iter().filter(|other| *other != scope).collect();
        let only = token(&server.iam, &asker, &[scope]).await;
        tokens.push((scope, only, token(&server.iam, &asker, &others).await));
    }
    let whole = token(&server.iam, &asker, &Scope::ALL).await;
    let allow = json!({"Effect": "Allow", "Action": "*", "Resource": "*"});
    for Row(method, path, request, body, scope, action, resource, _) in ROWS {
        let (account, id) = things(&server).await;
        let request = request.replace("ACCOUNT", &account).replace("TOKEN", &id);
        let (_, only, others) = tokens.iter().find(|(of, ..)| of == scope).unwrap();
        let deny = |action: &str| json!({"Effect": "Deny", "Action": action, "Resource": resource});
        let other_case = action.to_uppercase();
        for (policy, token, what) in [
            (json!([allow]), others, "without its scope"),
            (json!([allow, deny(action)]), only, "against a policy"),
            (json!([allow, deny(action)]), &whole, "against a policy, with every scope"),
            (json!([deny(&other_case), allow]), only, "against a policy in another case"),
            (json!([allow, deny("*")]), only, "against a policy on everything"),
            (json!([{"Effect": "Allow", "NotAction": action, "Resource": "*"}]), only, "without a policy"),
        ] {
            let document = json!({ "Statement": policy }).to_string();
            server.iam.put_policy(ROOT, "only", &document, None).await.unwrap();
            server.iam.attach_policy(ROOT, "only", &Target::User("asker".into())).await.unwrap();
            let before = everything(&server).await;
            let answer = server.ask(token, method, &format!("/api/v1{request}"), &[], body).await;
            assert_eq!(answer.status, 403, "{method} {path} {what}: {answer:?}");
            assert_eq!(everything(&server).await, before, "{method} {path} {what}");
        }
        let document = json!({ "Statement": [allow] }).to_string();
        server.iam.put_policy(ROOT, "only", &document, None).await.unwrap();
        let answer = server.ask(only, method, &format!("/api/v1{request}"), &[], body).await;
        assert!(![401, 403].contains(&answer.status), "{method} {path} with all that it needs: {answer:?}");
    }
}
