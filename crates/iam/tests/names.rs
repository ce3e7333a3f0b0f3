//! What may be called what.
#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod support;

use strongroom_iam::{IamError, Identity, Thing};
use support::open;

const POLICY: &str = r#"{"Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}"#;
const BY: &Identity = &Identity::Root;

#[tokio::test]
async fn names_that_differ_in_case_alone_are_not_given_twice() {
    let (_dir, _store, iam, _) = open();
    iam.create_user(BY, "alice").await.unwrap();
    iam.create_group(BY, "Staff").await.unwrap();
    iam.put_policy(BY, "team", POLICY, None).await.unwrap();
    let is = |error: IamError, kind: Thing, called: &str| matches!(error, IamError::Exists { thing, name } if thing == kind && name == called);
    for (name, there) in [("alice", "alice"), ("Alice", "alice"), ("ROOT", "root"), ("root", "root")] {
        assert!(is(iam.create_user(BY, name).await.unwrap_err(), Thing::User, there), "{name}");
    }
    assert!(is(iam.create_group(BY, "staff").await.unwrap_err(), Thing::Group, "Staff"));
    for (name, there) in [("Team", "team"), ("consoleadmin", "consoleAdmin"), ("ReadOnly", "readonly")] {
        assert!(
            is(iam.put_policy(BY, name, POLICY, None).await.unwrap_err(), Thing::Policy, there),
            "{name}"
        );
    }
    // One name may be a user's, a group's and a policy's, and a policy is replaced under its own.
    iam.create_user(BY, "team").await.unwrap();
    iam.create_group(BY, "team").await.unwrap();
    iam.put_policy(BY, "team", POLICY, None).await.unwrap();
    iam.delete_user(BY, "alice").await.unwrap();
    iam.create_user(BY, "Alice").await.unwrap();
    assert!(iam.user("alice").is_err(), "a name is found as it is written");
}
