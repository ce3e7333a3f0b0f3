//! Users, groups, policies, access keys and their changes over a real store.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

mod support;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use strongroom_iam::{
    ChangeKind, CredentialFault, Iam, IamError, IamOptions, Identity, Policy, Scope, ServiceAccountSpec,
    SessionSpec, State, Tag, Target, Thing, TokenSpec,
};
use strongroom_store::{Command, GroupId, Write};
use support::{NOW, identities, open, root, session, store, to_user, token_spec, user};

const READ: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}]}"#;
const WRITE: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:PutObject","Resource":"arn:aws:s3:::b/*"}]}"#;

const BY: &Identity = &Identity::Root;

#[tokio::test]
async fn users_come_and_go_by_their_names() {
    let (_dir, _store, iam, _) = open();
    let bob = iam.create_user(BY, "bob").await.unwrap();
    assert_eq!((bob.name.as_str(), bob.state, bob.created_at), ("bob", State::Enabled, NOW));
    assert!(bob.policies.is_empty() && bob.groups.is_empty());
    assert!(matches!(
        iam.create_user(BY, "bob").await,
        Err(IamError::Exists { thing: Thing::User, name }) if name == "bob"
    ));
    assert!(matches!(iam.create_user(BY, "root").await, Err(IamError::Exists { .. })));
    assert!(matches!(iam.create_user(BY, "b/b").await, Err(IamError::Name(_))));
    iam.create_user(BY, "alice").await.unwrap();
    let names: Vec<_> = iam.users().into_iter().map(|user| user.name.to_string()).collect();
    assert_eq!(names, ["alice", "bob"]);
    iam.set_user_state(BY, "bob", State::Disabled).await.unwrap();
    assert_eq!(iam.user("bob").unwrap().state, State::Disabled);
    iam.delete_user(BY, "bob").await.unwrap();
    assert!(matches!(iam.user("bob"), Err(IamError::NoSuch { thing: Thing::User, .. })));
    assert!(matches!(iam.delete_user(BY, "bob").await, Err(IamError::NoSuch { .. })));
    let again = iam.create_user(BY, "bob").await.unwrap();
    assert_ne!(again.id, bob.id, "another bob is not the same");
}

#[tokio::test]
async fn deleted_user_takes_along_whatever_acts_for_it() {
    let (_dir, _store, iam, _) = open();
    for name in ["bob", "eve"] {
        iam.create_user(BY, name).await.unwrap();
    }
    let key = iam.create_access_key(BY, "bob").await.unwrap();
    let account = iam.create_service_account(BY, &user("bob"), ServiceAccountSpec::default()).await.unwrap();
    let (_, token) = iam.create_token(BY, &user("bob"), token_spec()).await.unwrap();
    let by_user = iam.assume_role(&user("bob"), &session(900)).unwrap();
    let (identity, _) = iam.look_up(account.access_key.as_str(), None).unwrap();
    let by_account = iam.assume_role(&identity, &session(900)).unwrap();
    let other = iam.create_access_key(BY, "eve").await.unwrap();

    iam.delete_user(BY, "bob").await.unwrap();
    iam.create_user(BY, "bob").await.unwrap();
    for access_key in [&key.access_key, &account.access_key] {
        assert_eq!(iam.look_up(access_key.as_str(), None).unwrap_err(), CredentialFault::Unknown);
    }
    for session in [by_user, by_account] {
        let found = iam.look_up(session.access_key.as_str(), Some(&session.session_token));
        assert_eq!(found.unwrap_err(), CredentialFault::Token);
    }
    assert!(iam.authenticate_token(token.dangerous_expose()).is_none());
    assert_eq!(iam.access_keys(Some(&user("bob"))), []);
    assert_eq!(iam.look_up(other.access_key.as_str(), None).unwrap().0, user("eve"));
}

#[tokio::test]
async fn everything_survives_a_restart() {
    let (dir, opened, iam, _) = open();
    iam.create_user(BY, "bob").await.unwrap();
    iam.create_user(BY, "eve").await.unwrap();
    iam.set_user_state(BY, "eve", State::Disabled).await.unwrap();
    iam.create_group(BY, "readers").await.unwrap();
    iam.add_to_group(BY, "readers", "bob").await.unwrap();
    iam.put_policy(BY, "read", READ, None).await.unwrap();
    iam.attach_policy(BY, "read", &Target::Group("readers".into())).await.unwrap();
    iam.attach_policy(BY, "readwrite", &to_user("bob")).await.unwrap();
    let key = iam.create_access_key(BY, "bob").await.unwrap();
    let spec =
        ServiceAccountSpec { policy: Some(WRITE), description: "nightly", expires_at: Some(NOW + 5000) };
    let account = iam.create_service_account(BY, BY, spec).await.unwrap();
    iam.set_access_key_state(BY, account.access_key.as_str(), State::Disabled).await.unwrap();
    let (_, token) = iam.create_token(BY, &user("bob"), token_spec()).await.unwrap();
    let spec = SessionSpec { policy: Some(READ), ..session(900) };
    let temporary = iam.assume_role(&user("bob"), &spec).unwrap();
    let told = |iam: &Iam| {
        let lists = (iam.users(), iam.groups(), iam.policies(), iam.access_keys(None), iam.tokens());
        (lists, iam.changes_after(0, 100).unwrap(), iam.last_change())
    };
    let before = told(&iam);
    drop(iam);
    opened.close().unwrap();

    let again = store(dir.path());
    let (iam, _) = identities(&again);
    assert_eq!(told(&iam), before);
    assert_eq!(iam.look_up(key.access_key.as_str(), None).unwrap(), (user("bob"), key.secret));
    assert_eq!(iam.access_key(account.access_key.as_str()).unwrap().policy.as_deref(), Some(WRITE));
    assert_eq!(iam.authenticate_token(token.dangerous_expose()).unwrap().0, user("bob"));
    let (identity, secret) =
        iam.look_up(temporary.access_key.as_str(), Some(&temporary.session_token)).unwrap();
    assert_eq!((identity, secret), (temporary.identity, temporary.secret));
}

#[tokio::test]
async fn policies_have_tags_that_say_which_state_is_meant() {
    let (_dir, _store, iam, clock) = open();
    let first = iam.put_policy(BY, "p", READ, None).await.unwrap();
    assert_eq!((first.json.as_str(), first.created_at, first.canned), (READ, NOW, false));
    clock.advance(10);
    let other = Tag::from_client("0123");
    assert!(matches!(iam.put_policy(BY, "p", WRITE, Some(&other)).await, Err(IamError::Changed { .. })));
    assert!(matches!(iam.put_policy(BY, "new", WRITE, Some(&other)).await, Err(IamError::Changed { .. })));
    assert_eq!(iam.policy("p").unwrap(), first);
    let second = iam.put_policy(BY, "p", WRITE, Some(&first.tag)).await.unwrap();
    assert_ne!(second.tag, first.tag);
    assert_eq!((second.created_at, second.updated_at), (NOW, NOW + 10));
    assert!(matches!(iam.delete_policy(BY, "p", Some(&first.tag)).await, Err(IamError::Changed { .. })));
    iam.delete_policy(BY, "p", Some(&second.tag)).await.unwrap();
    assert!(matches!(iam.policy("p"), Err(IamError::NoSuch { thing: Thing::Policy, .. })));
    assert!(matches!(iam.put_policy(BY, "p", "{}", None).await, Err(IamError::Policy(_))));
}

#[tokio::test]
async fn canned_policies_are_there_and_stay_as_they_are() {
    let (_dir, _store, iam, _) = open();
    let names: Vec<_> = iam.policies().into_iter().map(|policy| policy.name.to_string()).collect();
    assert_eq!(names, ["consoleAdmin", "readonly", "readwrite", "writeonly"]);
    assert!(iam.policy("readonly").unwrap().canned);
    assert!(matches!(iam.put_policy(BY, "readonly", READ, None).await, Err(IamError::Canned { .. })));
    assert!(matches!(iam.delete_policy(BY, "readonly", None).await, Err(IamError::Canned { .. })));
}

#[tokio::test]
async fn what_is_in_use_is_not_deleted() {
    let (_dir, _store, iam, _) = open();
    iam.create_user(BY, "bob").await.unwrap();
    iam.create_group(BY, "g").await.unwrap();
    iam.put_policy(BY, "p", READ, None).await.unwrap();
    for target in [to_user("bob"), Target::Group("g".into())] {
        iam.attach_policy(BY, "p", &target).await.unwrap();
        let refused = iam.delete_policy(BY, "p", None).await;
        assert!(matches!(refused, Err(IamError::InUse { by, .. }) if by == target.to_string()));
        iam.detach_policy(BY, "p", &target).await.unwrap();
    }
    iam.delete_policy(BY, "p", None).await.unwrap();
    iam.add_to_group(BY, "g", "bob").await.unwrap();
    let refused = iam.delete_group(BY, "g").await;
    assert!(matches!(refused, Err(IamError::InUse { by, .. }) if by == "user/bob"));
    let group = iam.remove_from_group(BY, "g", "bob").await.unwrap();
    assert!(group.members.is_empty());
    iam.delete_group(BY, "g").await.unwrap();
    assert!(matches!(iam.attach_policy(BY, "p", &to_user("bob")).await, Err(IamError::NoSuch { .. })));
    assert!(matches!(iam.attach_policy(BY, "readonly", &to_user("no")).await, Err(IamError::NoSuch { .. })));
}

#[tokio::test]
async fn group_tells_its_members_at_once() {
    let (_dir, _store, iam, _) = open();
    iam.create_group(BY, "g").await.unwrap();
    for name in ["bob", "alice"] {
        iam.create_user(BY, name).await.unwrap();
        let group = iam.add_to_group(BY, "g", name).await.unwrap();
        assert!(group.members.iter().any(|member| member.as_str() == name));
    }
    assert_eq!(iam.groups()[0].members.len(), 2);
    iam.attach_policy(BY, "readonly", &Target::Group("g".into())).await.unwrap();
    assert_eq!(iam.group("g").unwrap().policies[0].as_str(), "readonly");
    iam.delete_user(BY, "bob").await.unwrap();
    assert_eq!(iam.group("g").unwrap().members[0].as_str(), "alice");
}

#[tokio::test]
async fn numbers_of_things_are_bounded() {
    let (_dir, _store, iam, _) = open();
    iam.create_user(BY, "bob").await.unwrap();
    for number in 0..33 {
        let name = format!("p{number}");
        iam.put_policy(BY, &name, READ, None).await.unwrap();
        let attached = iam.attach_policy(BY, &name, &to_user("bob")).await;
        assert_eq!(attached.is_ok(), number < 32, "{attached:?}");
    }
    for number in 0..=100 {
        let made = iam.create_access_key(BY, "bob").await;
        assert_eq!(made.is_ok(), number < 100, "{made:?}");
    }
    let long = "x".repeat(257);
    let spec = ServiceAccountSpec { description: &long, ..ServiceAccountSpec::default() };
    let refused = iam.create_service_account(BY, BY, spec).await;
    assert!(matches!(refused, Err(IamError::TooLong { length: 257, most: 256, .. })));
    let spec = ServiceAccountSpec { expires_at: Some(NOW), ..ServiceAccountSpec::default() };
    assert!(matches!(iam.create_service_account(BY, BY, spec).await, Err(IamError::ExpiryPassed)));
    let spec = TokenSpec { scopes: vec![], ..token_spec() };
    assert!(matches!(iam.create_token(BY, BY, spec).await, Err(IamError::NoScope)));
}

#[tokio::test]
async fn credentials_are_taken_while_they_and_their_owner_are_good() {
    let (_dir, _store, iam, clock) = open();
    iam.create_user(BY, "bob").await.unwrap();
    let key = iam.create_access_key(BY, "bob").await.unwrap();
    let spec = ServiceAccountSpec { expires_at: Some(NOW + 100), ..ServiceAccountSpec::default() };
    let account = iam.create_service_account(BY, &user("bob"), spec).await.unwrap();
    let fault = |access_key: &str| iam.look_up(access_key, None).err();
    let (key, account) = (key.access_key.as_str(), account.access_key.as_str());
    assert_eq!((fault(key), fault(account)), (None, None));
    assert_eq!(fault("nobody"), Some(CredentialFault::Unknown));
    iam.set_access_key_state(BY, key, State::Disabled).await.unwrap();
    assert_eq!((fault(key), fault(account)), (Some(CredentialFault::Disabled), None));
    iam.set_access_key_state(BY, key, State::Enabled).await.unwrap();
    iam.set_user_state(BY, "bob", State::Disabled).await.unwrap();
    assert_eq!(
        (fault(key), fault(account)),
        (Some(CredentialFault::Disabled), Some(CredentialFault::Disabled))
    );
    iam.set_user_state(BY, "bob", State::Enabled).await.unwrap();
    clock.advance(100);
    assert_eq!((fault(key), fault(account)), (None, Some(CredentialFault::Expired)));
    iam.delete_access_key(BY, key).await.unwrap();
    assert_eq!(fault(key), Some(CredentialFault::Unknown));
    assert!(matches!(iam.delete_access_key(BY, key).await, Err(IamError::NoSuch { .. })));
}

#[tokio::test]
async fn sessions_end_with_their_time_and_with_their_parent() {
    let (_dir, opened, iam, clock) = open();
    iam.create_user(BY, "bob").await.unwrap();
    let of = |parent: &Identity| iam.assume_role(parent, &session(900)).unwrap();
    let (by_root, by_bob) = (of(BY), of(&user("bob")));
    let fault = |iam: &Iam, session: &strongroom_iam::SessionCredentials| {
        iam.look_up(session.access_key.as_str(), Some(&session.session_token)).err()
    };
    assert_eq!((fault(&iam, &by_root), fault(&iam, &by_bob)), (None, None));
    // Without its token, or with another's, it is nothing.
    assert_eq!(iam.look_up(by_bob.access_key.as_str(), None).unwrap_err(), CredentialFault::Unknown);
    let crossed = iam.look_up(by_bob.access_key.as_str(), Some(&by_root.session_token));
    assert_eq!(crossed.unwrap_err(), CredentialFault::Token);
    // A permanent access key has no token.
    assert_eq!(iam.look_up("operator", Some(&by_root.session_token)).unwrap_err(), CredentialFault::Token);

    iam.set_user_state(BY, "bob", State::Disabled).await.unwrap();
    assert_eq!(fault(&iam, &by_bob), Some(CredentialFault::Disabled));
    iam.set_user_state(BY, "bob", State::Enabled).await.unwrap();
    clock.advance(899);
    assert_eq!(fault(&iam, &by_bob), None);
    clock.advance(1);
    assert_eq!(fault(&iam, &by_bob), Some(CredentialFault::Expired));

    let (by_root, by_bob) = (of(BY), of(&user("bob")));
    let options = IamOptions { clock: Arc::new(clock.clone()), ..IamOptions::default() };
    let (other_root, _) = Iam::open(&opened, options, Some(root("another secret"))).unwrap();
    assert_eq!(fault(&other_root, &by_root), Some(CredentialFault::Token), "its root had another secret");
    iam.revoke_sessions(BY).await.unwrap();
    assert_eq!(fault(&iam, &by_root), Some(CredentialFault::Token));
    assert_eq!(fault(&iam, &by_bob), Some(CredentialFault::Token));
}

#[tokio::test]
async fn sessions_are_bounded_and_make_no_others() {
    let (_dir, _store, iam, _) = open();
    for seconds in [0, 899, 43_201, u64::MAX] {
        assert!(
            matches!(iam.assume_role(BY, &session(seconds)), Err(IamError::Duration { .. })),
            "{seconds}"
        );
    }
    let made = iam.assume_role(BY, &session(43_200)).unwrap();
    assert!(matches!(iam.assume_role(&made.identity, &session(900)), Err(IamError::NotAParent { .. })));
    assert!(matches!(iam.assume_role(&Identity::Anonymous, &session(900)), Err(IamError::NotAParent { .. })));
    let refused = iam.create_service_account(BY, &made.identity, ServiceAccountSpec::default()).await;
    assert!(matches!(refused, Err(IamError::NotAParent { .. })));
    assert!(matches!(
        iam.create_token(BY, &made.identity, token_spec()).await,
        Err(IamError::NotAParent { .. })
    ));
    let long = format!("{}{}", READ, " ".repeat(2048));
    let spec = SessionSpec { policy: Some(&long), ..session(900) };
    assert!(matches!(iam.assume_role(BY, &spec), Err(IamError::TooLong { .. })));
    let longest = format!("{}{}", READ, " ".repeat(2048 - READ.len()));
    let spec = SessionSpec { policy: Some(&longest), ..session(900) };
    let made = iam.assume_role(BY, &spec).unwrap();
    assert!(iam.look_up(made.access_key.as_str(), Some(&made.session_token)).is_ok());
}

#[tokio::test]
async fn tokens_act_for_their_owner_until_they_are_revoked() {
    let (_dir, _store, iam, clock) = open();
    iam.create_user(BY, "bob").await.unwrap();
    let spec = TokenSpec {
        scopes: vec![Scope::ObjectsWrite, Scope::BucketsRead, Scope::ObjectsWrite],
        expires_at: Some(NOW + 50),
        description: "ci",
    };
    let (info, token) = iam.create_token(BY, &user("bob"), spec).await.unwrap();
    let text = token.dangerous_expose();
    assert!(text.starts_with(&format!("srt_{}_", info.id)), "{}", info.id);
    assert_eq!(info.scopes, [Scope::BucketsRead, Scope::ObjectsWrite]);
    assert_eq!(iam.authenticate_token(text), Some((user("bob"), info.clone())));
    let last = if text.ends_with('A') { "B" } else { "A" };
    for wrong in [
        "",
        "srt_",
        &text[..text.len() - 1],
        &format!("{text}A"),
        &format!("{}{last}", &text[..text.len() - 1]),
        &text.replacen("srt_", "srt-", 1),
    ] {
        assert!(iam.authenticate_token(wrong).is_none());
    }
    iam.set_user_state(BY, "bob", State::Disabled).await.unwrap();
    assert!(iam.authenticate_token(text).is_none());
    iam.set_user_state(BY, "bob", State::Enabled).await.unwrap();
    clock.advance(50);
    assert!(iam.authenticate_token(text).is_none());
    let (info, token) = iam.create_token(BY, BY, token_spec()).await.unwrap();
    assert_eq!(iam.authenticate_token(token.dangerous_expose()).unwrap().0, Identity::Root);
    iam.revoke_token(BY, &info.id).await.unwrap();
    assert!(iam.authenticate_token(token.dangerous_expose()).is_none());
    assert!(matches!(
        iam.revoke_token(BY, &info.id).await,
        Err(IamError::NoSuch { thing: Thing::Token, .. })
    ));
}

#[tokio::test]
async fn each_change_is_told_once_with_who_did_it() {
    use ChangeKind::*;
    let (_dir, _store, iam, _) = open();
    let by = user("admin");
    iam.create_user(&by, "bob").await.unwrap();
    iam.set_user_state(&by, "bob", State::Disabled).await.unwrap();
    iam.set_user_state(&by, "bob", State::Disabled).await.unwrap();
    iam.create_group(&by, "g").await.unwrap();
    iam.add_to_group(&by, "g", "bob").await.unwrap();
    iam.add_to_group(&by, "g", "bob").await.unwrap();
    iam.remove_from_group(&by, "g", "bob").await.unwrap();
    iam.put_policy(&by, "p", READ, None).await.unwrap();
    iam.put_policy(&by, "p", WRITE, None).await.unwrap();
    iam.attach_policy(&by, "p", &to_user("bob")).await.unwrap();
    iam.detach_policy(&by, "p", &to_user("bob")).await.unwrap();
    iam.delete_policy(&by, "p", None).await.unwrap();
    iam.delete_group(&by, "g").await.unwrap();
    let key = iam.create_access_key(&by, "bob").await.unwrap().access_key.to_string();
    iam.set_access_key_state(&by, &key, State::Disabled).await.unwrap();
    iam.delete_access_key(&by, &key).await.unwrap();
    let spec = ServiceAccountSpec::default();
    let account = iam.create_service_account(&by, &user("bob"), spec).await.unwrap().access_key.to_string();
    iam.set_service_account_policy(&by, &account, Some(READ)).await.unwrap();
    iam.delete_access_key(&by, &account).await.unwrap();
    let (token, _) = iam.create_token(&by, &user("bob"), token_spec()).await.unwrap();
    iam.revoke_token(&by, &token.id).await.unwrap();
    iam.delete_user(&by, "bob").await.unwrap();
    iam.revoke_sessions(&by).await.unwrap();
    let _refused = iam.delete_user(&by, "bob").await.unwrap_err();

    let bob = Some("user/bob");
    let expected = [
        (UserCreated, "bob", None),
        (UserUpdated, "bob", None),
        (GroupCreated, "g", None),
        (GroupMemberAdded, "g", Some("bob")),
        (GroupMemberRemoved, "g", Some("bob")),
        (PolicyCreated, "p", None),
        (PolicyUpdated, "p", None),
        (PolicyAttached, "p", bob),
        (PolicyDetached, "p", bob),
        (PolicyDeleted, "p", None),
        (GroupDeleted, "g", None),
        (AccessKeyCreated, &key, bob),
        (AccessKeyUpdated, &key, bob),
        (AccessKeyDeleted, &key, bob),
        (ServiceAccountCreated, &account, bob),
        (ServiceAccountUpdated, &account, bob),
        (ServiceAccountDeleted, &account, bob),
        (TokenCreated, &token.id, bob),
        (TokenRevoked, &token.id, bob),
        (UserDeleted, "bob", None),
        (SessionsRevoked, "sessions", None),
    ];
    let changes = iam.changes_after(0, 100).unwrap();
    let told: Vec<_> = changes
        .iter()
        .map(|change| (change.kind, change.subject.as_str(), change.target.as_deref()))
        .collect();
    assert_eq!(told, expected);
    for (seq, change) in (1..).zip(&changes) {
        assert_eq!((change.seq, change.at), (seq, NOW));
        assert_eq!(change.by, "arn:aws:iam::000000000000:user/admin");
    }
    assert_eq!(iam.last_change(), changes.len() as u64);
    assert_eq!(iam.changes_after(19, 1).unwrap(), changes[19..20]);
    assert_eq!(iam.changes_after(21, 9).unwrap(), []);
    assert_eq!(iam.changes_after(u64::MAX, 9).unwrap(), []);
}

#[tokio::test]
async fn changes_are_kept_for_a_while() {
    let (_dir, opened, iam, _) = open();
    iam.create_user(BY, "bob").await.unwrap();
    let row_key = |seq: u64| [b"iam/change/".as_slice(), &seq.to_be_bytes()].concat();
    let value = opened.read(GroupId::SYSTEM).unwrap().get(&row_key(1)).unwrap().unwrap().to_vec();
    let put = |seq: u64| Write::Put { key: row_key(seq), value: value.clone() };
    let writes = vec![put(2), put(3), put(65_537)];
    opened.commit(Command { group: GroupId::SYSTEM, checks: vec![], writes }).await.unwrap();
    drop(iam);
    let (iam, _) = identities(&opened);
    assert_eq!(iam.last_change(), 65_537);
    iam.create_user(BY, "eve").await.unwrap();
    let numbers: Vec<u64> = iam.changes_after(0, 9).unwrap().iter().map(|change| change.seq).collect();
    assert_eq!(numbers, [1, 3, 65_537, 65_538], "the one 65,536 before it is gone");
}

#[tokio::test]
async fn who_waits_for_changes_is_woken_by_the_next() {
    let (_dir, _store, iam, _) = open();
    let waiting = tokio::spawn({
        let iam = iam.clone();
        async move {
            iam.wait_changes(0, Duration::from_secs(600)).await;
            iam.last_change()
        }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    iam.create_user(BY, "bob").await.unwrap();
    assert_eq!(waiting.await.unwrap(), 1);
    iam.wait_changes(0, Duration::from_secs(600)).await;
    iam.wait_changes(1, Duration::ZERO).await;
}

#[tokio::test]
async fn changes_at_the_same_time_all_happen() {
    let (dir, opened, iam, _) = open();
    let makers: Vec<_> = (0..20)
        .map(|number| {
            let iam = iam.clone();
            tokio::spawn(async move { iam.create_user(BY, &format!("u{number:02}")).await })
        })
        .collect();
    for maker in makers {
        maker.await.unwrap().unwrap();
    }
    assert_eq!(iam.users().len(), 20);
    let numbers: Vec<u64> = iam.changes_after(0, 100).unwrap().iter().map(|change| change.seq).collect();
    assert_eq!(numbers, (1..=20).collect::<Vec<_>>());
    drop((iam, opened));
    assert_eq!(identities(&store(dir.path())).0.users().len(), 20);
}

/// What another writer committed is never overwritten by one who did not know of it.
#[tokio::test]
async fn writer_that_is_behind_reads_again() {
    let (_dir, opened, one, _) = open();
    let (other, _) = identities(&opened);
    one.create_user(BY, "bob").await.unwrap();
    assert!(other.users().is_empty());
    let refused = other.create_user(BY, "bob").await;
    assert!(matches!(refused, Err(IamError::Exists { .. })), "{refused:?}");
    other.create_user(BY, "eve").await.unwrap();
    one.create_user(BY, "zoe").await.unwrap();
    one.attach_policy(BY, "readonly", &to_user("eve")).await.unwrap();
    let numbers: Vec<u64> = one.changes_after(0, 9).unwrap().iter().map(|change| change.seq).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    assert_eq!(one.users().len(), 3);
}

#[tokio::test]
async fn secrets_follow_the_system_group_to_its_new_key() {
    let (dir, opened, iam, _) = open();
    iam.create_user(BY, "bob").await.unwrap();
    let mut keys = Vec::new();
    for _ in 0..70 {
        keys.push(iam.create_access_key(BY, "bob").await.unwrap());
    }
    let spec = ServiceAccountSpec { policy: Some(READ), ..ServiceAccountSpec::default() };
    keys.push(iam.create_service_account(BY, BY, spec).await.unwrap());
    let temporary = iam.assume_role(BY, &session(900)).unwrap();
    let key_ids = || {
        let reading = opened.read(GroupId::SYSTEM).unwrap();
        let (from, to) =
            (std::ops::Bound::Included(&b"iam/key/"[..]), std::ops::Bound::Excluded(&b"iam/l"[..]));
        let rows = reading.range(from, to).unwrap().map(|row| row.unwrap().1.to_vec());
        let session_key = reading.get(b"iam/session-key").unwrap().unwrap().to_vec();
        let id = |value: Vec<u8>| u32::from_le_bytes(value[1..5].try_into().unwrap());
        rows.chain([session_key]).map(id).collect::<Vec<_>>()
    };
    assert_eq!(key_ids(), vec![1; 72]);
    let user = iam.key_user();
    let active = opened.rotate_group_key(GroupId::SYSTEM).await.unwrap();
    assert!(!user.rewrap(GroupId::SYSTEM, active, &mut |_| false).unwrap(), "it was told to stop");
    assert!(user.rewrap(GroupId::SYSTEM, active, &mut |_| true).unwrap());
    assert_eq!(key_ids(), vec![active; 72]);
    // Made after it.
    keys.push(iam.create_access_key(BY, "bob").await.unwrap());
    assert_eq!(key_ids(), vec![active; 73]);
    drop(iam);
    opened.close().unwrap();
    let (iam, _) = identities(&store(dir.path()));
    for key in keys {
        assert_eq!(iam.look_up(key.access_key.as_str(), None).unwrap().1, key.secret);
    }
    assert!(iam.look_up(temporary.access_key.as_str(), Some(&temporary.session_token)).is_ok());
}

#[tokio::test]
async fn row_that_does_not_open_stops_the_start_and_keeps_its_key() {
    let (_dir, opened, iam, _) = open();
    iam.create_user(BY, "bob").await.unwrap();
    let key = iam.create_access_key(BY, "bob").await.unwrap();
    let row_key = format!("iam/key/{}", key.access_key).into_bytes();
    let put = async |value: Vec<u8>| {
        let writes = vec![Write::Put { key: row_key.clone(), value }];
        opened.commit(Command { group: GroupId::SYSTEM, checks: vec![], writes }).await.unwrap();
    };
    let good = opened.read(GroupId::SYSTEM).unwrap().get(&row_key).unwrap().unwrap().to_vec();
    let again = || Iam::open(&opened, IamOptions::default(), Some(root("a long secret"))).map(|_| ());
    let changed = |at: usize, by: u8| {
        let mut value = good.clone();
        value[at] ^= by;
        value
    };
    put(changed(good.len() - 1, 1)).await;
    assert!(matches!(again(), Err(IamError::Damaged { .. })));
    // The state, which is not sealed but bound to what is.
    put(changed(9, 1)).await;
    assert!(matches!(again(), Err(IamError::Damaged { .. })));
    put(changed(0, 3)).await;
    assert!(matches!(again(), Err(IamError::TooNew { version: 2, .. })));
    put(changed(good.len() - 1, 1)).await;
    let active = opened.rotate_group_key(GroupId::SYSTEM).await.unwrap();
    let error = iam.key_user().rewrap(GroupId::SYSTEM, active, &mut |_| true).unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
    put(good.clone()).await;
    assert!(iam.key_user().rewrap(GroupId::SYSTEM, active, &mut |_| true).unwrap());
    again().unwrap();
}

#[tokio::test]
async fn no_file_of_the_store_shows_identities() {
    let (dir, opened, iam, _) = open();
    iam.create_user(BY, "canary-user").await.unwrap();
    iam.put_policy(BY, "canary-policy", READ, None).await.unwrap();
    iam.attach_policy(BY, "canary-policy", &to_user("canary-user")).await.unwrap();
    let key = iam.create_access_key(BY, "canary-user").await.unwrap();
    let (info, token) = iam.create_token(BY, BY, token_spec()).await.unwrap();
    drop(iam);
    opened.close().unwrap();
    let canaries = [
        "canary-",
        "s3:GetObject",
        key.access_key.as_str(),
        key.secret.dangerous_expose(),
        &info.id,
        token.dangerous_expose(),
    ];
    let mut bytes_read = 0;
    let mut files = vec![dir.path().to_owned()];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        bytes_read += bytes.len();
        for text in canaries {
            assert!(!bytes.windows(text.len()).any(|window| window == text.as_bytes()), "{}", path.display());
        }
    }
    assert!(bytes_read > 4096, "the store has no files to look through");
}

/// The rows themselves, which are sealed by their pages only, show no secret either.
#[tokio::test]
async fn rows_show_no_secret() {
    let (_dir, opened, iam, _) = open();
    iam.create_user(BY, "bob").await.unwrap();
    let key = iam.create_access_key(BY, "bob").await.unwrap();
    let (_, token) = iam.create_token(BY, BY, token_spec()).await.unwrap();
    let (_, secret) = token.dangerous_expose().rsplit_once('_').unwrap();
    let reading = opened.read(GroupId::SYSTEM).unwrap();
    let everything = (std::ops::Bound::Unbounded, std::ops::Bound::Unbounded);
    let mut rows = 0;
    for row in reading.range(everything.0, everything.1).unwrap() {
        let (_, value) = row.unwrap();
        rows += 1;
        for text in [key.secret.dangerous_expose(), secret] {
            assert!(!value.windows(text.len()).any(|window| window == text.as_bytes()));
        }
    }
    assert!(rows >= 7);
    assert!(Policy::parse_identity(READ).is_ok());
}
