//! Users, groups, policies, service accounts and tokens.

use serde_json::json;
use strongroom_iam::{Identity, Scope, Secret};

use crate::support::Server;

const POLICY: &str =
    r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}"#;

#[tokio::test]
async fn user_is_made_given_keys_and_policies_and_taken_away() {
    let server = Server::start().await;
    let made = server.root("POST", "/api/v1/users", &[], r#"{"name": "alice"}"#).await;
    assert_eq!((made.status, made.json()["enabled"].as_bool()), (201, Some(true)), "{made:?}");
    let again = server.root("POST", "/api/v1/users", &[], r#"{"name": "alice"}"#).await;
    assert_eq!((again.status, again.json()["error"]["code"].as_str()), (409, Some("UserExists")));
    let odd = server.root("POST", "/api/v1/users", &[], r#"{"name": "a/b"}"#).await;
    assert_eq!((odd.status, odd.json()["error"]["code"].as_str()), (400, Some("InvalidName")));

    let key = server.root("POST", "/api/v1/users/alice/keys", &[], "").await;
    assert_eq!(key.status, 201, "{key:?}");
    let (access_key, secret) = (key.json()["access_key"].clone(), key.json()["secret_key"].clone());
    let access_key = access_key.as_str().unwrap();
    let secret = Secret::parse(secret.as_str().unwrap().to_owned()).unwrap();
    assert!(server.iam.authenticate(access_key, &secret).is_some());
    let listed = server.root("GET", "/api/v1/users/alice/keys", &[], "").await;
    assert_eq!(listed.json()["access_keys"][0]["access_key"], access_key);
    assert!(!listed.body.contains(secret.dangerous_expose()), "a secret is shown once");
    assert_eq!(server.root("POST", "/api/v1/users", &[], r#"{"name": "bob"}"#).await.status, 201);
    let others = format!("/api/v1/users/bob/keys/{access_key}");
    assert_eq!(server.root("DELETE", &others, &[], "").await.status, 404, "it is not bob's");

    let path = "/api/v1/users/alice/policies/readonly";
    assert_eq!(server.root("PUT", path, &[], "").await.status, 204);
    assert_eq!(
        server.root("GET", "/api/v1/users/alice", &[], "").await.json()["policies"],
        json!(["readonly"])
    );
    assert_eq!(server.root("DELETE", path, &[], "").await.status, 204);
    assert_eq!(server.root("GET", "/api/v1/users/alice", &[], "").await.json()["policies"], json!([]));

    let off = server.root("PATCH", "/api/v1/users/alice", &[], r#"{"enabled": false}"#).await;
    assert_eq!(off.json()["enabled"], false);
    assert!(server.iam.authenticate(access_key, &secret).is_none());
    assert_eq!(server.root("DELETE", "/api/v1/users/alice", &[], "").await.status, 204);
    assert_eq!(server.root("GET", "/api/v1/users/alice", &[], "").await.status, 404);
    assert_eq!(server.root("GET", "/api/v1/users", &[], "").await.json()["users"][0]["name"], "bob");
}

#[tokio::test]
async fn group_gives_its_policies_to_its_members() {
    let server = Server::start().await;
    server.bucket("photos").await;
    let token = server.user("alice", &[], &strongroom_iam::Scope::ALL).await;
    let read = async || server.ask(&token, "GET", "/api/v1/buckets/photos/objects/a", &[], "").await.status;
    assert_eq!(server.root("POST", "/api/v1/groups", &[], r#"{"name": "staff"}"#).await.status, 201);
    assert_eq!(server.root("PUT", "/api/v1/groups/staff/policies/readonly", &[], "").await.status, 204);
    assert_eq!(read().await, 403);
    let joined = server.root("PUT", "/api/v1/groups/staff/members/alice", &[], "").await;
    assert_eq!((joined.status, joined.json()["members"].clone()), (200, json!(["alice"])));
    assert_eq!(read().await, 200);
    assert_eq!(server.root("DELETE", "/api/v1/groups/staff", &[], "").await.status, 409, "alice is in it");
    assert_eq!(server.root("DELETE", "/api/v1/groups/staff/members/alice", &[], "").await.status, 200);
    assert_eq!(read().await, 403);
    assert_eq!(server.root("DELETE", "/api/v1/groups/staff", &[], "").await.status, 204);
}

#[tokio::test]
async fn policy_has_versions_and_a_mistake_in_it_is_named() {
    let server = Server::start().await;
    let path = "/api/v1/policies/mine";
    let made = server.root("PUT", path, &["If-None-Match: *"], POLICY).await;
    assert_eq!(
        (made.status, made.json()["document"]["Version"].as_str()),
        (201, Some("2012-10-17")),
        "{made:?}"
    );
    assert_eq!(server.root("PUT", path, &["If-None-Match: *"], POLICY).await.status, 412);
    let seen = format!("If-Match: {}", made.headers["etag"]);
    let narrower = POLICY.replace("s3:*", "s3:GetObject");
    let changed = server.root("PUT", path, &[&seen], &narrower).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(server.root("PUT", path, &[&seen], POLICY).await.status, 412);
    assert_eq!(server.root("DELETE", path, &[&seen], "").await.status, 412);
    let shown = server.root("GET", path, &[], "").await;
    assert_eq!(shown.headers["etag"], changed.headers["etag"]);
    assert_eq!(shown.json()["document"]["Statement"][0]["Action"], "s3:GetObject");

    let wrong = server
        .root("PUT", path, &[], r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Maybe"}]}"#)
        .await;
    assert_eq!((wrong.status, wrong.json()["error"]["code"].as_str()), (400, Some("MalformedPolicy")));
    let canned = server.root("PUT", "/api/v1/policies/readonly", &[], POLICY).await;
    assert_eq!((canned.status, canned.json()["error"]["code"].as_str()), (409, Some("PolicyIsCanned")));
    let list = server.root("GET", "/api/v1/policies", &[], "").await.json();
    let names: Vec<_> =
        list["policies"].as_array().unwrap().iter().map(|policy| policy["name"].as_str().unwrap()).collect();
    for name in ["mine", "readonly", "readwrite", "writeonly", "consoleAdmin"] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }

    server.user("alice", &["mine"], &strongroom_iam::Scope::ALL).await;
    let used = server.root("DELETE", path, &[], "").await;
    assert_eq!((used.status, used.json()["error"]["code"].as_str()), (409, Some("InUse")));
    assert_eq!(server.root("DELETE", "/api/v1/users/alice/policies/mine", &[], "").await.status, 204);
    assert_eq!(server.root("DELETE", path, &[], "").await.status, 204);
}

#[tokio::test]
async fn service_account_is_bounded_and_expires() {
    let server = Server::start().await;
    server.user("alice", &["readwrite"], &strongroom_iam::Scope::ALL).await;
    let body = json!({
        "user": "alice", "description": "backup", "expires_in_seconds": 3600,
        "policy": serde_json::from_str::<serde_json::Value>(POLICY).unwrap(),
    });
    let made = server.root("POST", "/api/v1/service-accounts", &[], &body.to_string()).await;
    assert_eq!(made.status, 201, "{made:?}");
    let path = format!("/api/v1/service-accounts/{}", made.json()["access_key"].as_str().unwrap());
    let shown = server.root("GET", &path, &[], "").await.json();
    assert_eq!((shown["parent"].as_str(), shown["description"].as_str()), (Some("alice"), Some("backup")));
    assert!(shown["expires"].is_string() && shown["policy"]["Statement"].is_array());
    let off = server.root("PATCH", &path, &[], r#"{"enabled": false}"#).await;
    assert_eq!(off.json()["enabled"], false);
    assert_eq!(server.root("DELETE", &path, &[], "").await.status, 204);
    assert_eq!(server.root("GET", &path, &[], "").await.status, 404);
    let forever = server.root("POST", "/api/v1/service-accounts", &[], r#"{"expires_in_seconds": 0}"#).await;
    assert_eq!(forever.status, 400);
}

#[tokio::test]
async fn token_is_shown_once_and_listed_without_itself() {
    let server = Server::start().await;
    let body = r#"{"scopes": ["objects:read", "buckets:read"], "expires_in_seconds": 60, "description": "for tests"}"#;
    let made = server.root("POST", "/api/v1/tokens", &[], body).await;
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    let listed = server.root("GET", "/api/v1/tokens", &[], "").await;
    assert!(!listed.body.contains(made["token"].as_str().unwrap()));
    let tokens = listed.json()["tokens"].as_array().unwrap().clone();
    let found = tokens.iter().find(|token| token["id"] == made["info"]["id"]).unwrap();
    assert_eq!((found["owner"].as_str(), found["description"].as_str()), (Some("root"), Some("for tests")));
    assert_eq!(found["scopes"], json!(["buckets:read", "objects:read"]));
    let unknown = server.root("POST", "/api/v1/tokens", &[], r#"{"scopes": ["everything"]}"#).await;
    assert_eq!(unknown.status, 400);
    assert_eq!(server.root("DELETE", "/api/v1/tokens/nothing", &[], "").await.status, 404);
}

#[tokio::test]
async fn bound_of_a_service_account_is_changed_and_taken_away() {
    let server = Server::start().await;
    server.user("alice", &["readwrite"], &Scope::ALL).await;
    let bound = |action: &str| {
        format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"{action}","Resource":"*"}}]}}"#
        )
    };
    let new = format!(r#"{{"user": "alice", "policy": {}}}"#, bound("s3:GetObject"));
    let made = server.root("POST", "/api/v1/service-accounts", &[], &new).await;
    let access_key = made.json()["access_key"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/service-accounts/{access_key}/policy");
    let may_put = || {
        let (identity, _) = server.iam.look_up(&access_key, None).unwrap();
        let ask = strongroom_iam::Ask {
            identity: &identity,
            action: "s3:PutObject",
            resource: &strongroom_iam::Arn::object("b", "k"),
            facts: &strongroom_iam::Facts::new(),
        };
        server.iam.decide(&ask, None).is_allowed()
    };
    assert!(!may_put());
    let set = server.root("PUT", &path, &[], &bound("s3:PutObject")).await;
    assert_eq!((set.status, &set.json()["policy"]["Statement"][0]["Action"]), (200, &"s3:PutObject".into()));
    assert!(may_put());
    server.root("PUT", &path, &[], &bound("s3:GetObject")).await;
    assert!(!may_put());
    assert_eq!(server.root("DELETE", &path, &[], "").await.status, 200);
    assert!(may_put());
    assert_eq!(server.root("PUT", &path, &[], r#"{"Statement": []}"#).await.status, 400);
    let missing = "/api/v1/service-accounts/AKIDNOBODY/policy";
    assert_eq!(server.root("PUT", missing, &[], &bound("s3:*")).await.status, 404);
}

#[tokio::test]
async fn change_of_a_user_or_service_account_that_somebody_else_changed_is_refused() {
    let server = Server::start().await;
    assert_eq!(server.root("POST", "/api/v1/users", &[], r#"{"name": "alice"}"#).await.status, 201);
    let made = server.root("POST", "/api/v1/service-accounts", &[], r#"{"user": "alice"}"#).await;
    let account = format!("/api/v1/service-accounts/{}", made.json()["access_key"].as_str().unwrap());
    let bound = format!("{account}/policy");
    let (user, off, on) = ("/api/v1/users/alice", r#"{"enabled": false}"#, r#"{"enabled": true}"#);
    for (shown, changes) in [
        (user, [("PATCH", user, off), ("PATCH", user, on)]),
        (&account, [("PATCH", &*account, off), ("PATCH", &account, on)]),
        (&account, [("PUT", &bound, POLICY), ("DELETE", &bound, "")]),
    ] {
        let mut seen = server.root("GET", shown, &[], "").await.headers["etag"].clone();
        for (method, path, body) in changes {
            let matching = format!("If-Match: {seen}");
            let changed = server.root(method, path, &[&matching], body).await;
            assert_eq!(changed.status, 200, "{method} {path} {changed:?}");
            let stale = server.root(method, path, &[&matching], body).await;
            let code = stale.json()["error"]["code"].as_str().map(str::to_owned);
            assert_eq!((stale.status, code.as_deref()), (412, Some("PreconditionFailed")), "{method} {path}");
            seen = changed.headers["etag"].clone();
            assert_eq!(server.root("GET", shown, &[], "").await.headers["etag"], seen, "{method} {path}");
        }
        let free = server.root("PATCH", shown, &["If-None-Match: *"], on).await;
        assert_eq!(free.status, 412, "it is there");
        assert_eq!(server.root("PATCH", shown, &["If-Match: *"], on).await.status, 200);
    }
    for path in [&*account, user] {
        let stale = server.root("DELETE", path, &["If-Match: \"old\""], "").await;
        assert_eq!(stale.status, 412, "{path}: {stale:?}");
        let seen = format!("If-Match: {}", server.root("GET", path, &[], "").await.headers["etag"]);
        assert_eq!(server.root("DELETE", path, &[&seen], "").await.status, 204, "{path}");
    }
    // Groups have no versions, so a change for one of them would be one for any.
    let refused = server.root("POST", "/api/v1/groups", &["If-None-Match: *"], r#"{"name": "staff"}"#).await;
    assert_eq!((refused.status, refused.json()["error"]["code"].as_str()), (400, Some("InvalidHeader")));
    assert_eq!(server.root("GET", "/api/v1/groups/staff", &[], "").await.status, 404);
}

#[tokio::test]
async fn temporary_credentials_of_everybody_can_be_ended() {
    let server = Server::start().await;
    server.user("alice", &["readwrite"], &Scope::ALL).await;
    let alice = Identity::User { name: strongroom_iam::Name::parse("alice").unwrap() };
    let spec = || strongroom_iam::SessionSpec { name: "job", duration_seconds: 900, policy: None };
    let sessions = [&alice, &Identity::Root].map(|maker| server.iam.assume_role(maker, &spec()).unwrap());
    let taken = |session: &strongroom_iam::SessionCredentials| {
        server.iam.look_up(session.access_key.as_str(), Some(&session.session_token)).is_ok()
    };
    assert!(sessions.iter().all(taken));
    assert_eq!(server.root("DELETE", "/api/v1/sessions", &[], "").await.status, 204);
    assert!(!sessions.iter().any(taken));
    assert!(taken(&server.iam.assume_role(&alice, &spec()).unwrap()), "new ones can be made");
}

#[tokio::test]
async fn tokens_end_by_themselves_unless_somebody_wants_otherwise() {
    let server = Server::start().await;
    let made = async |expires: &str| {
        let body = format!(r#"{{"scopes": ["objects:read"]{expires}}}"#);
        let made = server.root("POST", "/api/v1/tokens", &[], &body).await;
        let id = made.json()["info"]["id"].as_str().unwrap().to_owned();
        let info = server.iam.tokens().into_iter().find(|token| token.id == id).unwrap();
        info.expires_at.map(|end| end - info.created_at)
    };
    let days = |seconds: Option<u64>| seconds.map(|seconds| (seconds + 60) / 86_400);
    assert_eq!(days(made("").await), Some(90));
    assert_eq!(made(r#", "expires_in_seconds": 0"#).await, None);
    assert_eq!(days(made(r#", "expires_in_seconds": 86400"#).await), Some(1));
}

#[tokio::test]
async fn lists_come_in_pages_that_miss_nothing_and_repeat_nothing() {
    let server = Server::start().await;
    let post = async |path: &str, body: &str| {
        let made = server.root("POST", path, &[], body).await;
        assert_eq!(made.status, 201, "{path}: {made:?}");
    };
    for number in 0..5 {
        post("/api/v1/users", &format!(r#"{{"name": "user{number}"}}"#)).await;
        post("/api/v1/groups", &format!(r#"{{"name": "group{number}"}}"#)).await;
        post("/api/v1/service-accounts", r#"{"user": "user0"}"#).await;
        post("/api/v1/tokens", r#"{"user": "user0", "scopes": ["buckets:read"]}"#).await;
        let policy = format!("/api/v1/policies/policy{number}");
        assert_eq!(server.root("PUT", &policy, &[], POLICY).await.status, 201);
    }
    for (list, entries, name) in [
        ("users", "users", "name"),
        ("groups", "groups", "name"),
        ("policies", "policies", "name"),
        ("service-accounts", "service_accounts", "access_key"),
        ("tokens", "tokens", "id"),
    ] {
        let path = format!("/api/v1/{list}");
        let names = |page: &serde_json::Value| -> Vec<String> {
            let entries = page[entries].as_array().unwrap().iter();
            entries.map(|entry| entry[name].as_str().unwrap().to_owned()).collect()
        };
        let whole = server.root("GET", &path, &[], "").await.json();
        assert!(whole.get("next").is_none(), "{whole}");
        let whole = names(&whole);
        assert!(whole.len() >= 5 && whole.is_sorted(), "{list}: {whole:?}");
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let page = server.root("GET", &format!("{path}?max=2{after}"), &[], "").await.json();
            let page_names = names(&page);
            assert!((1..=2).contains(&page_names.len()), "{page}");
            found.extend(page_names);
            match page.get("next") {
                Some(next) => after = format!("&after={}", next.as_str().unwrap()),
                None => break,
            }
        }
        assert_eq!(found, whole, "{list}");
        let odd = [
            ("max=0", "InvalidQuery"),
            ("max=1001", "InvalidQuery"),
            ("max=x", "MalformedQuery"),
            ("before=a", "MalformedQuery"),
        ];
        for (query, code) in odd {
            let refused = server.root("GET", &format!("{path}?{query}"), &[], "").await;
            assert_eq!((refused.status, refused.json()["error"]["code"].as_str()), (400, Some(code)));
        }
    }
}
