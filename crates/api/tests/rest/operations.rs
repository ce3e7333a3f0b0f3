//! Every operation asks for exactly its scope and its action, to exactly its resource.

use std::collections::BTreeSet;

use serde_json::json;
use strongroom_iam::{Identity, Scope, ServiceAccountSpec, Target, TokenSpec};

use crate::support::{Server, token};

/// An operation as the document has it, a request for it, its scope, its action, its resource, and another resource of the same
/// kind.
pub(crate) struct Row(
    pub(crate) &'static str,
    pub(crate) &'static str,
    pub(crate) &'static str,
    pub(crate) &'static str,
    pub(crate) Scope,
    pub(crate) &'static str,
    pub(crate) &'static str,
    pub(crate) &'static str,
);

use Scope::{BucketsRead, BucketsWrite, IdentitiesRead, IdentitiesWrite, ObjectsRead, ObjectsWrite};

const BUCKET: &str = "arn:aws:s3:::photos";
const OTHER_BUCKET: &str = "arn:aws:s3:::other";
const OBJECT: &str = "arn:aws:s3:::photos/a";
const OTHER_OBJECT: &str = "arn:aws:s3:::photos/b";
const ALICE: &str = "arn:aws:iam::strongroom:user/alice";
const EVE: &str = "arn:aws:iam::strongroom:user/eve";
const STAFF: &str = "arn:aws:iam::strongroom:group/staff";
const OTHERS: &str = "arn:aws:iam::strongroom:group/others";
const POLICY: &str = "arn:aws:iam::strongroom:policy/pol";
const OTHER_POLICY: &str = "arn:aws:iam::strongroom:policy/other";
/// What is done to nothing in particular.
const ALL: &str = "*";

const NAMED: &str = r#"{"name": "alice"}"#;
const ENABLED: &str = r#"{"enabled": true}"#;
const DOCUMENT: &str = r#"{"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}"#;
const FOR_ALICE: &str = r#"{"user": "alice"}"#;
const TOKEN: &str = r#"{"user": "alice", "scopes": ["identities:write"]}"#;

#[rustfmt::skip]
pub(crate) const ROWS: &[Row] = &[
    Row("GET", "/buckets", "/buckets", "", BucketsRead, "s3:ListAllMyBuckets", ALL, "arn:aws:iam::strongroom:user/x"),
    Row("POST", "/buckets", "/buckets", r#"{"name": "photos"}"#, BucketsWrite, "s3:CreateBucket", BUCKET, OTHER_BUCKET),
    Row("GET", "/buckets/{bucket}", "/buckets/photos", "", BucketsRead, "s3:ListBucket", BUCKET, OTHER_BUCKET),
    Row("DELETE", "/buckets/{bucket}", "/buckets/photos", "", BucketsWrite, "s3:DeleteBucket", BUCKET, OTHER_BUCKET),
    Row("GET", "/buckets/{bucket}/encryption", "/buckets/photos/encryption", "", BucketsRead, "s3:GetEncryptionConfiguration", BUCKET, OTHER_BUCKET),
    Row("PUT", "/buckets/{bucket}/encryption", "/buckets/photos/encryption", ENABLED, BucketsWrite, "s3:PutEncryptionConfiguration", BUCKET, OTHER_BUCKET),
    Row("DELETE", "/buckets/{bucket}/encryption", "/buckets/photos/encryption", "", BucketsWrite, "s3:PutEncryptionConfiguration", BUCKET, OTHER_BUCKET),
    Row("GET", "/buckets/{bucket}/objects", "/buckets/photos/objects", "", ObjectsRead, "s3:ListBucket", BUCKET, OTHER_BUCKET),
    Row("GET", "/buckets/{bucket}/objects/{key}", "/buckets/photos/objects/a", "", ObjectsRead, "s3:GetObject", OBJECT, OTHER_OBJECT),
    Row("GET", "/buckets/{bucket}/objects/{key}", "/buckets/photos/objects/a?version=null", "", ObjectsRead, "s3:GetObjectVersion", OBJECT, OTHER_OBJECT),
    Row("HEAD", "/buckets/{bucket}/objects/{key}", "/buckets/photos/objects/a", "", ObjectsRead, "s3:GetObject", OBJECT, OTHER_OBJECT),
    Row("HEAD", "/buckets/{bucket}/objects/{key}", "/buckets/photos/objects/a?version=null", "", ObjectsRead, "s3:GetObjectVersion", OBJECT, OTHER_OBJECT),
    Row("PUT", "/buckets/{bucket}/objects/{key}", "/buckets/photos/objects/a", "{}", ObjectsWrite, "s3:PutObject", OBJECT, OTHER_OBJECT),
    Row("DELETE", "/buckets/{bucket}/objects/{key}", "/buckets/photos/objects/gone", "", ObjectsWrite, "s3:DeleteObject", "arn:aws:s3:::photos/gone", OTHER_OBJECT),
    Row("DELETE", "/buckets/{bucket}/objects/{key}", "/buckets/photos/objects/gone?version=null", "", ObjectsWrite, "s3:DeleteObjectVersion", "arn:aws:s3:::photos/gone", OTHER_OBJECT),
    Row("GET", "/users", "/users", "", IdentitiesRead, "iam:ListUsers", ALL, EVE),
    Row("POST", "/users", "/users", NAMED, IdentitiesWrite, "iam:CreateUser", ALICE, EVE),
    Row("GET", "/users/{user}", "/users/alice", "", IdentitiesRead, "iam:GetUser", ALICE, EVE),
    Row("PATCH", "/users/{user}", "/users/alice", ENABLED, IdentitiesWrite, "iam:UpdateUser", ALICE, EVE),
    Row("DELETE", "/users/{user}", "/users/missing", "", IdentitiesWrite, "iam:DeleteUser", "arn:aws:iam::strongroom:user/missing", EVE),
    Row("GET", "/users/{user}/keys", "/users/alice/keys", "", IdentitiesRead, "iam:ListAccessKeys", ALICE, EVE),
    Row("POST", "/users/{user}/keys", "/users/alice/keys", "", IdentitiesWrite, "iam:CreateAccessKey", ALICE, EVE),
    Row("PATCH", "/users/{user}/keys/{access_key}", "/users/alice/keys/AKIDNOBODY", ENABLED, IdentitiesWrite, "iam:UpdateAccessKey", ALICE, EVE),
    Row("DELETE", "/users/{user}/keys/{access_key}", "/users/alice/keys/AKIDNOBODY", "", IdentitiesWrite, "iam:DeleteAccessKey", ALICE, EVE),
    Row("PUT", "/users/{user}/policies/{policy}", "/users/alice/policies/pol", "", IdentitiesWrite, "iam:AttachUserPolicy", ALICE, EVE),
    Row("DELETE", "/users/{user}/policies/{policy}", "/users/alice/policies/pol", "", IdentitiesWrite, "iam:DetachUserPolicy", ALICE, EVE),
    Row("GET", "/groups", "/groups", "", IdentitiesRead, "iam:ListGroups", ALL, OTHERS),
    Row("POST", "/groups", "/groups", r#"{"name": "staff"}"#, IdentitiesWrite, "iam:CreateGroup", STAFF, OTHERS),
    Row("GET", "/groups/{group}", "/groups/staff", "", IdentitiesRead, "iam:GetGroup", STAFF, OTHERS),
    Row("DELETE", "/groups/{group}", "/groups/missing", "", IdentitiesWrite, "iam:DeleteGroup", "arn:aws:iam::strongroom:group/missing", OTHERS),
    Row("PUT", "/groups/{group}/members/{user}", "/groups/staff/members/alice", "", IdentitiesWrite, "iam:AddUserToGroup", STAFF, OTHERS),
    Row("DELETE", "/groups/{group}/members/{user}", "/groups/staff/members/alice", "", IdentitiesWrite, "iam:RemoveUserFromGroup", STAFF, OTHERS),
    Row("PUT", "/groups/{group}/policies/{policy}", "/groups/staff/policies/pol", "", IdentitiesWrite, "iam:AttachGroupPolicy", STAFF, OTHERS),
    Row("DELETE", "/groups/{group}/policies/{policy}", "/groups/staff/policies/pol", "", IdentitiesWrite, "iam:DetachGroupPolicy", STAFF, OTHERS),
    Row("GET", "/policies", "/policies", "", IdentitiesRead, "iam:ListPolicies", ALL, OTHER_POLICY),
    Row("GET", "/policies/{policy}", "/policies/pol", "", IdentitiesRead, "iam:GetPolicy", POLICY, OTHER_POLICY),
    Row("PUT", "/policies/{policy}", "/policies/new", DOCUMENT, IdentitiesWrite, "iam:CreatePolicy", "arn:aws:iam::strongroom:policy/new", OTHER_POLICY),
    Row("PUT", "/policies/{policy}", "/policies/pol", DOCUMENT, IdentitiesWrite, "iam:CreatePolicyVersion", POLICY, OTHER_POLICY),
    Row("DELETE", "/policies/{policy}", "/policies/missing", "", IdentitiesWrite, "iam:DeletePolicy", "arn:aws:iam::strongroom:policy/missing", OTHER_POLICY),
    Row("GET", "/service-accounts", "/service-accounts", "", IdentitiesRead, "iam:ListServiceAccounts", ALL, EVE),
    Row("POST", "/service-accounts", "/service-accounts", FOR_ALICE, IdentitiesWrite, "iam:CreateServiceAccount", ALICE, EVE),
    Row("GET", "/service-accounts/{access_key}", "/service-accounts/ACCOUNT", "", IdentitiesRead, "iam:ListServiceAccounts", ALICE, EVE),
    Row("PATCH", "/service-accounts/{access_key}", "/service-accounts/ACCOUNT", ENABLED, IdentitiesWrite, "iam:UpdateServiceAccount", ALICE, EVE),
    Row("PUT", "/service-accounts/{access_key}/policy", "/service-accounts/ACCOUNT/policy", DOCUMENT, IdentitiesWrite, "iam:UpdateServiceAccount", ALICE, EVE),
    Row("DELETE", "/service-accounts/{access_key}/policy", "/service-accounts/ACCOUNT/policy", "", IdentitiesWrite, "iam:UpdateServiceAccount", ALICE, EVE),
    Row("DELETE", "/service-accounts/{access_key}", "/service-accounts/ACCOUNT", "", IdentitiesWrite, "iam:DeleteServiceAccount", ALICE, EVE),
    Row("DELETE", "/sessions", "/sessions", "", IdentitiesWrite, "iam:RevokeSessions", ALL, EVE),
    Row("GET", "/tokens", "/tokens", "", IdentitiesRead, "iam:ListTokens", ALL, EVE),
    Row("POST", "/tokens", "/tokens", TOKEN, IdentitiesWrite, "iam:CreateToken", ALICE, EVE),
    Row("DELETE", "/tokens/{token}", "/tokens/TOKEN", "", IdentitiesWrite, "iam:DeleteToken", ALICE, EVE),
];

/// What needs no permission: who asks, and the description of the API.
pub(crate) const OPEN: [(&str, &str); 2] = [("GET", "/whoami"), ("GET", "/openapi.json")];

#[tokio::test]
async fn every_operation_of_the_document_has_a_row() {
    let server = Server::start().await;
    let document = server.root("GET", "/api/v1/openapi.json", &[], "").await.json();
    let mut described = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in ["get", "head", "post", "put", "patch", "delete"] {
            if operations.get(method).is_some() {
                described.insert((method.to_uppercase(), path.strip_prefix("/api/v1").unwrap().to_owned()));
            }
        }
    }
    let rows = ROWS.iter().map(|row| (row.0, row.1)).chain(OPEN);
    let rows: BTreeSet<_> = rows.map(|(method, path)| (method.to_owned(), path.to_owned())).collect();
    assert_eq!(described, rows);
}

/// What is there in every round: a user with a service account and a token, a group, a policy, a bucket.
pub(crate) async fn things(server: &Server) -> (String, String) {
    let root = &Identity::Root;
    for user in ["alice", "eve"] {
        drop(server.iam.create_user(root, user).await);
    }
    drop(server.iam.create_group(root, "staff").await);
    let alice = Identity::User { name: strongroom_iam::Name::parse("alice").unwrap() };
    server.iam.put_policy(root, "pol", DOCUMENT, None).await.unwrap();
    let made = server.iam.create_service_account(root, &alice, ServiceAccountSpec::default()).await.unwrap();
    let spec = TokenSpec { scopes: vec![ObjectsRead], ..TokenSpec::default() };
    let (token, _) = server.iam.create_token(root, &alice, spec).await.unwrap();
    (made.access_key.to_string(), token.id)
}

#[tokio::test]
async fn every_operation_needs_its_scope_and_its_action_to_its_resource_and_no_other() {
    let server = Server::start().await;
    server.bucket("photos").await;
    server.bucket("other").await;
    // It may do nothing but what this test lets it.
    server.user("asker", &[], &Scope::ALL).await;
    let asker = Identity::User { name: strongroom_iam::Name::parse("asker").unwrap() };
    let only = async |action: &str, resource: &str| {
        let document = json!({"Statement": [{"Effect": "Allow", "Action": action, "Resource": resource}]});
        server.iam.put_policy(&Identity::Root, "only", &document.to_string(), None).await.unwrap();
        drop(server.iam.attach_policy(&Identity::Root, "only", &Target::User("asker".into())).await);
    };
    for Row(method, path, request, body, scope, action, resource, other) in ROWS {
        let (account, id) = things(&server).await;
        let request = request.replace("ACCOUNT", &account).replace("TOKEN", &id);
        let ask = async |scopes: &[Scope]| {
            let token = token(&server.iam, &asker, scopes).await;
            server.ask(&token, method, &format!("/api/v1{request}"), &[], body).await
        };
        let all_but =
            |scope: Scope| Scope::ALL.into_iter().filter(|other| *other != scope).collect::<Vec<_>>();
        let name = format!("{method} {path} {request}");
        // Everything but what it needs: the action, the scope, the resource.
        let others =
            format!(r#"{{"Statement": [{{"Effect": "Allow", "NotAction": "{action}", "Resource": "*"}}]}}"#);
        server.iam.put_policy(&Identity::Root, "only", &others, None).await.unwrap();
        drop(server.iam.attach_policy(&Identity::Root, "only", &Target::User("asker".into())).await);
        assert_eq!(ask(&Scope::ALL).await.status, 403, "{name} without {action}");
        only(action, "*").await;
        let refused = ask(&all_but(*scope)).await;
        assert_eq!(refused.status, 403, "{name} without {scope}");
        assert!(refused.body.is_empty() || refused.body.contains(&scope.to_string()), "{name} {refused:?}");
        only(action, other).await;
        // Lists of what belongs to somebody show the asker's own.
        assert_eq!(ask(&[*scope]).await.status, 403, "{name} to {other}");
        only(action, resource).await;
        let answer = ask(&[*scope]).await;
        assert!(![401, 403].contains(&answer.status), "{name} with {action} to {resource}: {answer:?}");
    }
}

#[tokio::test]
async fn what_belongs_to_another_user_is_reached_through_no_path_of_ones_own() {
    let server = Server::start().await;
    let (account, id) = things(&server).await;
    let eve = "arn:aws:iam::strongroom:user/eve";
    let document = json!({"Statement": [{"Effect": "Allow", "Action": "iam:*", "Resource": eve}]});
    server.iam.put_policy(&Identity::Root, "eve", &document.to_string(), None).await.unwrap();
    server.iam.attach_policy(&Identity::Root, "eve", &Target::User("eve".into())).await.unwrap();
    let key = server.iam.create_access_key(&Identity::Root, "alice").await.unwrap().access_key;
    let by = Identity::User { name: strongroom_iam::Name::parse("eve").unwrap() };
    let token = token(&server.iam, &by, &Scope::ALL).await;
    for (method, path, body, status) in [
        ("GET", "/users/alice".to_owned(), "", 403),
        ("DELETE", format!("/users/alice/keys/{key}"), "", 403),
        // A path that names oneself and another's thing.
        ("DELETE", format!("/users/eve/keys/{key}"), "", 404),
        ("PATCH", format!("/users/eve/keys/{key}"), ENABLED, 404),
        ("GET", format!("/service-accounts/{account}"), "", 403),
        ("PATCH", format!("/service-accounts/{account}"), ENABLED, 403),
        ("PUT", format!("/service-accounts/{account}/policy"), DOCUMENT, 403),
        ("DELETE", format!("/service-accounts/{account}/policy"), "", 403),
        ("DELETE", format!("/service-accounts/{account}"), "", 403),
        ("DELETE", format!("/tokens/{id}"), "", 403),
        ("POST", "/tokens".to_owned(), TOKEN, 403),
        ("POST", "/service-accounts".to_owned(), FOR_ALICE, 403),
        ("DELETE", "/sessions".to_owned(), "", 403),
    ] {
        let answer = server.ask(&token, method, &format!("/api/v1{path}"), &[], body).await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
    }
    let shown = server.ask(&token, "GET", "/api/v1/service-accounts", &[], "").await.json();
    assert_eq!(shown["service_accounts"], json!([]));
    let shown = server.ask(&token, "GET", "/api/v1/tokens", &[], "").await.json();
    assert!(shown["tokens"].as_array().unwrap().iter().all(|token| token["owner"] == "eve"), "{shown}");
}

#[tokio::test]
async fn nobody_takes_from_a_user_or_a_group_by_deleting_it_what_it_may_not_take() {
    let server = Server::start().await;
    let root = &Identity::Root;
    server.user("asker", &[], &Scope::ALL).await;
    let asker = Identity::User { name: strongroom_iam::Name::parse("asker").unwrap() };
    let token = token(&server.iam, &asker, &Scope::ALL).await;
    things(&server).await;
    server.iam.create_access_key(root, "alice").await.unwrap();
    server.iam.add_to_group(root, "staff", "alice").await.unwrap();
    for to in [Target::User("alice".into()), Target::Group("empty".into())] {
        drop(server.iam.create_group(root, "empty").await);
        server.iam.attach_policy(root, "pol", &to).await.unwrap();
    }
    let all = |actions: &[(&str, &str)]| {
        let allow = |(action, resource): &(&str, &str)| json!({"Effect": "Allow", "Action": action, "Resource": resource});
        json!({"Statement": actions.iter().map(allow).collect::<Vec<_>>()}).to_string()
    };
    let may = async |document: &str| {
        server.iam.put_policy(root, "only", document, None).await.unwrap();
        drop(server.iam.attach_policy(root, "only", &Target::User("asker".into())).await);
    };
    let empty = "arn:aws:iam::strongroom:group/empty";
    for (path, needs) in [
        (
            "/api/v1/users/alice",
            &[
                ("iam:DeleteUser", ALICE),
                ("iam:DetachUserPolicy", ALICE),
                ("iam:RemoveUserFromGroup", STAFF),
                ("iam:DeleteAccessKey", ALICE),
                ("iam:DeleteServiceAccount", ALICE),
                ("iam:DeleteToken", ALICE),
            ][..],
        ),
        ("/api/v1/groups/empty", &[("iam:DeleteGroup", empty), ("iam:DetachGroupPolicy", empty)]),
    ] {
        for missing in needs {
            let others: Vec<_> = needs.iter().filter(|need| *need != missing).copied().collect();
            may(&all(&others)).await;
            let answer = server.ask(&token, "DELETE", path, &[], "").await;
            assert_eq!(answer.status, 403, "{path} without {missing:?}");
            assert!(answer.body.contains(missing.0), "{answer:?}");
        }
        // Which policy is taken counts as well.
        let but_one = all(needs).replace(
            r#"[{"#,
            r#"[{"Effect": "Deny", "Action": ["iam:DetachUserPolicy", "iam:DetachGroupPolicy"], "Resource": "*",
                 "Condition": {"ArnEquals": {"iam:PolicyARN": "arn:aws:iam::strongroom:policy/pol"}}}, {"#,
        );
        may(&but_one).await;
        assert_eq!(server.ask(&token, "DELETE", path, &[], "").await.status, 403, "{path}");
        may(&all(needs)).await;
        let answer = server.ask(&token, "DELETE", path, &[], "").await;
        assert_eq!(answer.status, 204, "{path}: {answer:?}");
    }
    // Who has nothing is deleted by who may delete users.
    server.iam.create_user(root, "bare").await.unwrap();
    may(&all(&[("iam:DeleteUser", "*")])).await;
    assert_eq!(server.ask(&token, "DELETE", "/api/v1/users/bare", &[], "").await.status, 204);
}
