//! Who may do what: identities, their policies, bounds and bucket policies together (`docs/spec/iam.md` §4).
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

mod support;

use strongroom_iam::{
    Arn, Ask, Decision, Facts, Iam, IamError, Identity, Name, Policy, ServiceAccountSpec, SessionSpec, State,
    Target,
};
use strongroom_store::{Command, GroupId, Write};
use support::{NOW, TestClock, identities, store};
use tempfile::TempDir;

const BY: &Identity = &Identity::Root;
use Decision::{Allow, ExplicitDeny, ImplicitDeny};

fn statement(effect: &str, action: &str, more: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"{effect}","Action":"{action}","Resource":"arn:aws:s3:::b/*"{more}}}]}}"#
    )
}

fn allow(action: &str) -> String {
    statement("Allow", action, "")
}

fn deny(action: &str) -> String {
    statement("Deny", action, "")
}

fn bucket_policy(effect: &str, principal: &str) -> Policy {
    let more = format!(r#","Principal":{principal}"#);
    Policy::parse_bucket(&statement(effect, "s3:GetObject", &more), "b").unwrap()
}

fn user(name: &str) -> Identity {
    Identity::User { name: Name::parse(name).unwrap() }
}

fn get(iam: &Iam, identity: &Identity, bucket_policy: Option<&Policy>) -> Decision {
    let (facts, resource) = (Facts::new(), Arn::object("b", "k"));
    iam.decide(&Ask { identity, action: "s3:GetObject", resource: &resource, facts: &facts }, bucket_policy)
}

/// Users with a policy of their own that allows, denies or says nothing, and what acts for them with bounds that do.
struct World {
    _dir: TempDir,
    iam: Iam,
    clock: TestClock,
}

impl World {
    async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let (iam, clock) = identities(&store(dir.path()));
        for (name, policy) in
            [("allow", allow("s3:GetObject")), ("deny", deny("s3:*")), ("silent", allow("s3:PutObject"))]
        {
            iam.create_user(BY, name).await.unwrap();
            iam.put_policy(BY, name, &policy, None).await.unwrap();
            iam.attach_policy(BY, name, &Target::User(name.into())).await.unwrap();
        }
        Self { _dir: dir, iam, clock }
    }

    async fn service_account(&self, parent: &Identity, policy: Option<&str>) -> Identity {
        let spec = ServiceAccountSpec { policy, ..ServiceAccountSpec::default() };
        let made = self.iam.create_service_account(BY, parent, spec).await.unwrap();
        self.iam.look_up(made.access_key.as_str(), None).unwrap().0
    }

    fn session(&self, parent: &Identity, policy: Option<&str>) -> Identity {
        let spec = SessionSpec { name: "s", duration_seconds: 900, policy };
        let made = self.iam.assume_role(parent, &spec).unwrap();
        let found = self.iam.look_up(made.access_key.as_str(), Some(&made.session_token)).unwrap().0;
        assert_eq!(found, made.identity);
        found
    }
}

/// The rule, written down once more: what each part says, to what it all comes.
fn expected(own: Decision, bounds: &[Decision], bucket: Decision) -> Decision {
    let all = [&[own, bucket], bounds].concat();
    if all.contains(&ExplicitDeny) {
        return ExplicitDeny;
    }
    let granted = own == Allow || bucket == Allow;
    if granted && bounds.iter().all(|bound| *bound == Allow) { Allow } else { ImplicitDeny }
}

#[tokio::test]
async fn every_combination_of_policies_comes_to_what_the_rule_says() {
    let world = World::new().await;
    let bounds = [
        (Allow, Some(allow("s3:Get*"))),
        (ExplicitDeny, Some(deny("s3:Get*"))),
        (ImplicitDeny, Some(allow("s3:List*"))),
        (Allow, None),
    ];
    let bucket_policies = [
        (ImplicitDeny, None),
        (Allow, Some(bucket_policy("Allow", r#""*""#))),
        (ExplicitDeny, Some(bucket_policy("Deny", r#""*""#))),
        (ImplicitDeny, Some(bucket_policy("Allow", r#"{"AWS":"nobody"}"#))),
        (ImplicitDeny, Some(bucket_policy("Deny", r#"{"AWS":"nobody"}"#))),
    ];
    let mut tried = 0;
    for (own, owner) in [
        (Allow, user("allow")),
        (ExplicitDeny, user("deny")),
        (ImplicitDeny, user("silent")),
        (Allow, BY.clone()),
    ] {
        let root = owner == *BY;
        for (of_bucket, bucket_policy) in &bucket_policies {
            let bucket_policy = bucket_policy.as_ref();
            let with = |identity: &Identity, bounds: &[Decision]| {
                let expected = expected(own, bounds, *of_bucket);
                let decision = get(&world.iam, identity, bucket_policy);
                assert_eq!(decision, expected, "{identity} {own:?} {bounds:?} {of_bucket:?}");
            };
            if root {
                assert_eq!(
                    get(&world.iam, &owner, bucket_policy),
                    Allow,
                    "the root is not bound by bucket policies"
                );
            } else {
                with(&owner, &[]);
            }
            for (account_bound, account_policy) in &bounds {
                let account = world.service_account(&owner, account_policy.as_deref()).await;
                with(&account, &[*account_bound]);
                for (session_bound, session_policy) in &bounds {
                    with(&world.session(&owner, session_policy.as_deref()), &[*session_bound]);
                    let bounded = world.session(&account, session_policy.as_deref());
                    with(&bounded, &[*account_bound, *session_bound]);
                    tried += 1;
                }
                let Identity::ServiceAccount { access_key, .. } = account else { panic!("not an account") };
                world.iam.delete_access_key(BY, access_key.as_str()).await.unwrap();
            }
        }
    }
    assert_eq!(tried, 4 * 5 * 4 * 4);
}

#[tokio::test]
async fn who_did_not_sign_has_the_bucket_policy_alone() {
    let world = World::new().await;
    let get = |policy: Option<&Policy>| get(&world.iam, &Identity::Anonymous, policy);
    assert_eq!(get(None), ImplicitDeny);
    assert_eq!(get(Some(&bucket_policy("Allow", r#""*""#))), Allow);
    assert_eq!(get(Some(&bucket_policy("Allow", r#"{"AWS":"allow"}"#))), ImplicitDeny);
    assert_eq!(get(Some(&bucket_policy("Deny", r#""*""#))), ExplicitDeny);
    assert_eq!(get(Some(&bucket_policy("Deny", r#"{"AWS":"strongroom"}"#))), ImplicitDeny);
}

#[tokio::test]
async fn bucket_policy_opens_to_those_it_names_and_what_acts_for_them() {
    let world = World::new().await;
    let policy = bucket_policy("Allow", r#"{"AWS":"arn:aws:iam::strongroom:user/silent"}"#);
    let named = user("silent");
    assert_eq!(get(&world.iam, &named, Some(&policy)), Allow);
    assert_eq!(get(&world.iam, &world.session(&named, None), Some(&policy)), Allow);
    assert_eq!(get(&world.iam, &world.service_account(&named, None).await, Some(&policy)), Allow);
    world.iam.create_user(BY, "other").await.unwrap();
    assert_eq!(get(&world.iam, &user("other"), Some(&policy)), ImplicitDeny);
}

#[tokio::test]
async fn decisions_follow_changes_at_once() {
    let world = World::new().await;
    let iam = &world.iam;
    iam.create_user(BY, "bob").await.unwrap();
    let bob = user("bob");
    let public = bucket_policy("Allow", r#""*""#);
    assert_eq!(get(iam, &bob, None), ImplicitDeny);
    iam.create_group(BY, "g").await.unwrap();
    iam.attach_policy(BY, "readonly", &Target::Group("g".into())).await.unwrap();
    iam.add_to_group(BY, "g", "bob").await.unwrap();
    assert_eq!(get(iam, &bob, None), Allow);
    iam.put_policy(BY, "p", &deny("s3:*"), None).await.unwrap();
    iam.attach_policy(BY, "p", &Target::User("bob".into())).await.unwrap();
    assert_eq!(get(iam, &bob, None), ExplicitDeny);
    iam.put_policy(BY, "p", &deny("s3:Put*"), None).await.unwrap();
    assert_eq!(get(iam, &bob, None), Allow);
    iam.set_user_state(BY, "bob", State::Disabled).await.unwrap();
    assert_eq!(get(iam, &bob, Some(&public)), ImplicitDeny, "not even what everybody may");
    iam.set_user_state(BY, "bob", State::Enabled).await.unwrap();
    iam.remove_from_group(BY, "g", "bob").await.unwrap();
    assert_eq!(get(iam, &bob, None), ImplicitDeny);
    iam.delete_user(BY, "bob").await.unwrap();
    assert_eq!(get(iam, &bob, Some(&public)), ImplicitDeny);
}

#[tokio::test]
async fn service_account_that_ended_may_nothing_in_a_request_under_way() {
    let world = World::new().await;
    let spec = ServiceAccountSpec { expires_at: Some(NOW + 10), ..ServiceAccountSpec::default() };
    let made = world.iam.create_service_account(BY, BY, spec).await.unwrap();
    let identity = world.iam.look_up(made.access_key.as_str(), None).unwrap().0;
    let session = world.session(&identity, None);
    assert_eq!(get(&world.iam, &identity, None), Allow);
    assert_eq!(get(&world.iam, &session, None), Allow);
    world.clock.advance(10);
    assert_eq!(get(&world.iam, &identity, None), ImplicitDeny);
    assert_eq!(get(&world.iam, &session, None), ImplicitDeny);
    // An identity that somebody made up.
    let access_key = made.access_key.clone();
    let forged = Identity::ServiceAccount { access_key, parent: Box::new(user("allow")) };
    assert_eq!(get(&world.iam, &forged, None), ImplicitDeny);
}

#[tokio::test]
async fn keys_of_the_kms_are_met_however_a_policy_spells_them() {
    let world = World::new().await;
    world.iam.create_user(BY, "bob").await.unwrap();
    let ask = |fact: Option<&str>| {
        let mut facts = Facts::new();
        if let Some(fact) = fact {
            facts.set("s3:x-amz-server-side-encryption-aws-kms-key-id", fact);
        }
        let (identity, resource) = (user("bob"), Arn::kms_key("k1"));
        world.iam.decide(
            &Ask { identity: &identity, action: "kms:Decrypt", resource: &resource, facts: &facts },
            None,
        )
    };
    for (number, arn) in
        ["arn:aws:kms:us-east-1:1111:key/k1", "arn:aws:kms:::key/k1", "arn:aws:kms:*:1111:key/*"]
            .into_iter()
            .enumerate()
    {
        let name = format!("bob{number}");
        let policy = format!(
            r#"{{"Statement":[{{"Effect":"Allow","Action":"kms:*","Resource":"*"}},
                {{"Effect":"Deny","Action":"kms:*","Resource":"{arn}"}}]}}"#
        );
        world.iam.put_policy(BY, &name, &policy, None).await.unwrap();
        world.iam.attach_policy(BY, &name, &Target::User("bob".into())).await.unwrap();
        assert_eq!(ask(None), ExplicitDeny, "{arn}");
        world.iam.detach_policy(BY, &name, &Target::User("bob".into())).await.unwrap();
    }
    for (number, spelling) in
        ["k1", "key/k1", "arn:aws:kms:::key/k1", "arn:aws:kms:us-east-1:1111:key/k1"].into_iter().enumerate()
    {
        let name = format!("fact{number}");
        let policy = format!(
            r#"{{"Statement":[{{"Effect":"Allow","Action":"kms:*","Resource":"*"}},
                {{"Effect":"Deny","Action":"kms:*","Resource":"*","Condition":
                  {{"StringEquals":{{"s3:x-amz-server-side-encryption-aws-kms-key-id":"{spelling}"}}}}}}]}}"#
        );
        world.iam.put_policy(BY, &name, &policy, None).await.unwrap();
        world.iam.attach_policy(BY, &name, &Target::User("bob".into())).await.unwrap();
        assert_eq!(ask(Some("arn:aws:kms:::key/k1")), ExplicitDeny, "{spelling}");
        assert_eq!(ask(Some("arn:aws:kms:::key/k2")), Allow, "{spelling}");
        world.iam.detach_policy(BY, &name, &Target::User("bob".into())).await.unwrap();
    }
}

#[tokio::test]
async fn whether_policies_ask_for_tags_is_known_before_anybody_reads_them() {
    let world = World::new().await;
    let name = |name: &str| Target::User(name.to_owned());
    world.iam.create_user(BY, "bob").await.unwrap();
    let plain = r#"{"Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#;
    world.iam.put_policy(BY, "p", plain, None).await.unwrap();
    world.iam.attach_policy(BY, "p", &name("bob")).await.unwrap();
    let bob = user("bob");
    let session = world.session(&bob, None);
    assert!(!world.iam.asks_for_tags(&bob) && !world.iam.asks_for_tags(&session));
    for asking in [
        r#""Resource":"*","Condition":{"Null":{"s3:existingObjectTag/a":"true"}}"#,
        r#""Resource":"*","Condition":{"Null":{"s3:existing\u004fbjectTag/a":"true"}}"#,
        r#""Resource":"arn:aws:s3:::b/${s3:ExistingObjectTag/a}""#,
    ] {
        let policy = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"s3:GetObject",{asking}}}]}}"#
        );
        world.iam.put_policy(BY, "p", &policy, None).await.unwrap();
        assert!(world.iam.asks_for_tags(&bob) && world.iam.asks_for_tags(&session), "{asking}");
    }
    assert!(!world.iam.asks_for_tags(&Identity::Root) && !world.iam.asks_for_tags(&Identity::Anonymous));
}

#[tokio::test]
async fn keys_and_the_service_itself_are_resources_too() {
    let world = World::new().await;
    let policy = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Action":["kms:GenerateDataKey","kms:Decrypt"],"Resource":"arn:aws:kms:*:*:key/orders-*",
         "Condition":{"StringEquals":{"kms:EncryptionContext:app":"shop"}}},
        {"Effect":"Allow","Action":"s3:ListAllMyBuckets","Resource":"arn:aws:s3:::*"},
        {"Effect":"Allow","Action":"iam:GetUser","Resource":"arn:aws:iam::strongroom:user/${aws:username}"}]}"#;
    world.iam.create_user(BY, "bob").await.unwrap();
    world.iam.put_policy(BY, "bob", policy, None).await.unwrap();
    world.iam.attach_policy(BY, "bob", &Target::User("bob".into())).await.unwrap();
    let mut facts = Facts::new();
    facts.set_tag("kms:encryptioncontext:", "app", "shop");
    let ask = |action: &'static str, resource: &Arn, facts: &Facts| {
        let identity = user("bob");
        world.iam.decide(&Ask { identity: &identity, action, resource, facts }, None)
    };
    assert_eq!(ask("kms:Decrypt", &Arn::kms_key("orders-1"), &facts), Allow);
    assert_eq!(ask("kms:Decrypt", &Arn::kms_key("orders-1"), &Facts::new()), ImplicitDeny);
    assert_eq!(ask("kms:Decrypt", &Arn::kms_key("other"), &facts), ImplicitDeny);
    assert_eq!(ask("kms:Encrypt", &Arn::kms_key("orders-1"), &facts), ImplicitDeny);
    assert_eq!(ask("s3:ListAllMyBuckets", &Arn::all(), &facts), Allow);
    assert_eq!(ask("iam:GetUser", &Arn::user("bob"), &facts), Allow);
    assert_eq!(ask("iam:GetUser", &Arn::user("eve"), &facts), ImplicitDeny);
    assert_eq!(ask("iam:ListUsers", &Arn::all(), &facts), ImplicitDeny);
}

#[tokio::test]
async fn policy_is_not_made_under_a_name_that_is_attached_already() {
    let dir = TempDir::new().unwrap();
    let store = store(dir.path());
    // A user to whom a policy of an earlier version is attached (`docs/spec/iam.md` §2).
    let text = |text: &str| [&u32::try_from(text.len()).unwrap().to_le_bytes()[..], text.as_bytes()].concat();
    let head = [&[1][..], &text("ABCDEFGHIJKLMNOP"), &[0], &7_u64.to_le_bytes()].concat();
    let lists = [&1_u32.to_le_bytes()[..], &text("diagnostics"), &0_u32.to_le_bytes()].concat();
    let write = Write::Put { key: b"iam/user/bob".to_vec(), value: [head, lists].concat() };
    let command = Command { group: GroupId::SYSTEM, checks: Vec::new(), writes: vec![write] };
    let copy = store.clone();
    let (iam, _) = tokio::task::spawn_blocking(move || {
        copy.commit_blocking(command).unwrap();
        identities(&copy)
    })
    .await
    .unwrap();
    let everything = allow("*");
    let made = iam.put_policy(BY, "diagnostics", &everything, None).await;
    assert!(matches!(made, Err(IamError::InUse { .. })), "{made:?}");
    iam.detach_policy(BY, "diagnostics", &Target::User("bob".into())).await.unwrap();
    iam.put_policy(BY, "diagnostics", &everything, None).await.unwrap();
    assert_eq!(get(&iam, &user("bob"), None), ImplicitDeny);
    let none = iam.detach_policy(BY, "missing", &Target::User("bob".into())).await;
    assert!(matches!(none, Err(IamError::NoSuch { .. })), "{none:?}");
}

#[tokio::test]
async fn what_goes_with_a_user_or_a_group_is_told_of_piece_by_piece_before_it() {
    use strongroom_iam::ChangeKind::*;
    let World { _dir, iam, .. } = World::new().await;
    iam.create_user(BY, "bob").await.unwrap();
    iam.create_group(BY, "g").await.unwrap();
    iam.add_to_group(BY, "g", "bob").await.unwrap();
    iam.attach_policy(BY, "readonly", &Target::User("bob".into())).await.unwrap();
    let key = iam.create_access_key(BY, "bob").await.unwrap().access_key.to_string();
    let spec = ServiceAccountSpec::default();
    let account = iam.create_service_account(BY, &user("bob"), spec).await.unwrap().access_key.to_string();
    let (token, _) = iam.create_token(BY, &user("bob"), support::token_spec()).await.unwrap();
    let before = iam.last_change();
    iam.delete_user(BY, "bob").await.unwrap();
    let mut told: Vec<_> = iam.changes_after(before, 100).unwrap();
    let last = told.pop().unwrap();
    assert_eq!((last.kind, last.subject.as_str(), last.target), (UserDeleted, "bob", None));
    let mut told: Vec<_> = told
        .iter()
        .map(|change| (change.kind.as_str(), &*change.subject, change.target.as_deref()))
        .collect();
    told.sort_unstable();
    let bob = Some("user/bob");
    let expected = [
        (AccessKeyDeleted.as_str(), key.as_str(), bob),
        (GroupMemberRemoved.as_str(), "g", Some("bob")),
        (PolicyDetached.as_str(), "readonly", bob),
        (ServiceAccountDeleted.as_str(), account.as_str(), bob),
        (TokenRevoked.as_str(), token.id.as_str(), bob),
    ];
    assert_eq!(told, expected);

    iam.attach_policy(BY, "readonly", &Target::Group("g".into())).await.unwrap();
    let before = iam.last_change();
    iam.delete_group(BY, "g").await.unwrap();
    let told = iam.changes_after(before, 100).unwrap();
    let told: Vec<_> =
        told.iter().map(|change| (change.kind, &*change.subject, change.target.as_deref())).collect();
    assert_eq!(told, [(PolicyDetached, "readonly", Some("group/g")), (GroupDeleted, "g", None)]);
}

#[tokio::test]
async fn sessions_that_were_made_before_a_time_can_be_denied() {
    let World { _dir, iam, clock } = World::new().await;
    let bob = user("bob");
    let spec = SessionSpec { name: "job", duration_seconds: 900, policy: None };
    iam.create_user(BY, "bob").await.unwrap();
    let key = iam.create_access_key(BY, "bob").await.unwrap().access_key;
    let older = iam.assume_role(&bob, &spec).unwrap();
    clock.advance(10);
    let newer = iam.assume_role(&bob, &spec).unwrap();
    // As AWS has it in "Revoking IAM role temporary security credentials".
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"},
        {"Effect":"Deny","Action":"*","Resource":"*",
         "Condition":{"DateLessThan":{"aws:TokenIssueTime":"2020-09-13T12:26:50Z"}}}]}"#;
    iam.put_policy(BY, "p", policy, None).await.unwrap();
    iam.attach_policy(BY, "p", &Target::User("bob".into())).await.unwrap();
    // Which access key signed for a session makes no difference.
    iam.delete_access_key(BY, key.as_str()).await.unwrap();
    for (made, decision) in [(older, ExplicitDeny), (newer, Allow)] {
        let found = iam.look_up(made.access_key.as_str(), Some(&made.session_token)).unwrap().0;
        assert_eq!((get(&iam, &found, None), get(&iam, &made.identity, None)), (decision, decision));
    }
    assert_eq!(get(&iam, &bob, None), Allow, "its permanent credentials have no such time");
}

#[tokio::test]
async fn canned_policies_open_what_their_names_say() {
    let world = World::new().await;
    let (object, key) = (Arn::object("b", "k"), Arn::kms_key("k"));
    let asks = [
        ("s3:GetObject", &object),
        ("s3:PutObject", &object),
        ("s3:DeleteObject", &object),
        ("kms:Decrypt", &key),
        ("iam:CreateUser", &key),
    ];
    for (policy, allowed) in [
        ("readonly", [true, false, false, false, false]),
        ("writeonly", [false, true, false, false, false]),
        ("readwrite", [true, true, true, false, false]),
        ("consoleAdmin", [true, true, true, true, true]),
    ] {
        let name = format!("u-{policy}");
        world.iam.create_user(BY, &name).await.unwrap();
        world.iam.attach_policy(BY, policy, &Target::User(name.clone())).await.unwrap();
        let identity = user(&name);
        for ((action, resource), allowed) in asks.into_iter().zip(allowed) {
            let facts = Facts::new();
            let decision =
                world.iam.decide(&Ask { identity: &identity, action, resource, facts: &facts }, None);
            assert_eq!(decision.is_allowed(), allowed, "{policy} {action}");
        }
    }
}

#[tokio::test]
async fn account_is_the_same_by_its_number_and_by_its_earlier_name() {
    let world = World::new().await;
    world.iam.create_user(BY, "bob").await.unwrap();
    world
        .iam
        .put_policy(BY, "bob", r#"{"Statement":{"Effect":"Deny","Action":"iam:None","Resource":"*"}}"#, None)
        .await
        .unwrap();
    world.iam.attach_policy(BY, "bob", &Target::User("bob".into())).await.unwrap();
    let bob = user("bob");
    let (resource, facts) = (Arn::user("bob"), {
        let mut facts = Facts::new();
        facts.set("iam:policyarn", Arn::policy("readonly").as_str());
        facts
    });
    assert_eq!(resource.as_str(), "arn:aws:iam::000000000000:user/bob");
    for (account, meant) in [
        ("000000000000", true),
        ("strongroom", true),
        ("strong*", true),
        ("*", true),
        ("111122223333", false),
        ("", false),
    ] {
        for (effect, decision) in [("Allow", Allow), ("Deny", ExplicitDeny)] {
            for statement in [
                format!(r#""Resource":"arn:aws:iam::{account}:user/bob""#),
                format!(
                    r#""Resource":"*","Condition":{{"ArnLike":{{"aws:PrincipalArn":"arn:aws:iam::{account}:user/bob",
                        "iam:PolicyARN":"arn:aws:iam::{account}:policy/*"}}}}"#
                ),
            ] {
                let document = format!(
                    r#"{{"Statement":{{"Effect":"{effect}","Action":"iam:AttachUserPolicy",{statement}}}}}"#
                );
                world.iam.put_policy(BY, "bob", &document, None).await.unwrap();
                let ask = Ask {
                    identity: &bob,
                    action: "iam:AttachUserPolicy",
                    resource: &resource,
                    facts: &facts,
                };
                let expected = if meant { decision } else { ImplicitDeny };
                assert_eq!(world.iam.decide(&ask, None), expected, "{document}");
            }
        }
    }
}
