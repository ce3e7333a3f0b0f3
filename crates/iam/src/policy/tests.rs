//! Whole documents: what is taken, what it means, and what holds for any of them.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::request::tests::request;
use super::*;

fn identity(document: &Value) -> Policy {
    Policy::parse_identity(&document.to_string()).unwrap()
}

fn bucket(document: &Value) -> Policy {
    Policy::parse_bucket(&document.to_string(), "b").unwrap()
}

fn statement(statement: Value) -> Value {
    json!({"Version": "2012-10-17", "Statement": [statement]})
}

/// What the policy says of an action of the user in `aws:username`, or else of nobody.
fn verdict(policy: &Policy, action: &str, resource: &str, facts: &[(&'static str, &str)]) -> Verdict {
    request(facts, |request| {
        let asked = Request {
            action: &action.to_ascii_lowercase(),
            resource,
            identity: request.identity,
            user_id: request.user_id,
            facts: request.facts,
            now: request.now,
        };
        policy.evaluate(&asked)
    })
}

#[test]
fn statement_applies_to_its_actions_and_resources() {
    let policy = identity(&statement(json!({
        "Sid": "x", "Effect": "Allow", "Action": ["s3:Get*", "s3:PUTOBJECT"], "Resource": ["arn:aws:s3:::b/*", "arn:aws:s3:::c"],
    })));
    for (action, resource, allowed) in [
        ("s3:GetObject", "arn:aws:s3:::b/k", true),
        ("s3:PutObject", "arn:aws:s3:::b/a/b:c", true),
        ("s3:GetBucketLocation", "arn:aws:s3:::c", true),
        ("s3:GetObject", "arn:aws:s3:::c/k", false),
        ("s3:GetObject", "arn:aws:s3:::B/k", false),
        ("s3:DeleteObject", "arn:aws:s3:::b/k", false),
        ("kms:Get", "arn:aws:s3:::b/k", false),
    ] {
        let expected = if allowed { Verdict::Allow } else { Verdict::Silent };
        assert_eq!(verdict(&policy, action, resource, &[]), expected, "{action} {resource}");
    }
}

#[test]
fn opposites_apply_to_everything_else() {
    let policy = identity(&statement(json!({
        "Effect": "Deny", "NotAction": "s3:GetObject", "NotResource": ["arn:aws:s3:::b/free/*"],
    })));
    for (action, resource, denied) in [
        ("s3:PutObject", "arn:aws:s3:::b/k", true),
        ("kms:Decrypt", "arn:aws:kms:::key/k", true),
        ("s3:GetObject", "arn:aws:s3:::b/k", false),
        ("s3:PutObject", "arn:aws:s3:::b/free/k", false),
    ] {
        let expected = if denied { Verdict::Deny } else { Verdict::Silent };
        assert_eq!(verdict(&policy, action, resource, &[]), expected, "{action} {resource}");
    }
}

#[test]
fn home_folders_are_those_of_who_asks() {
    let policy = identity(&json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::b",
         "Condition": {"StringLike": {"s3:prefix": ["${aws:username}/*"]}}},
        {"Effect": "Allow", "Action": "s3:*Object", "Resource": "arn:aws:s3:::b/${aws:username}/*"},
    ]}));
    let bob: &[(&'static str, &str)] = &[("aws:username", "bob"), ("s3:prefix", "bob/x")];
    assert_eq!(verdict(&policy, "s3:ListBucket", "arn:aws:s3:::b", bob), Verdict::Allow);
    assert_eq!(verdict(&policy, "s3:GetObject", "arn:aws:s3:::b/bob/k", bob), Verdict::Allow);
    assert_eq!(verdict(&policy, "s3:GetObject", "arn:aws:s3:::b/eve/k", bob), Verdict::Silent);
    assert_eq!(verdict(&policy, "s3:GetObject", "arn:aws:s3:::b/bob/k", &[]), Verdict::Silent);
    let older = identity(&json!({"Statement":
        {"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::b/${aws:username}"}}));
    assert_eq!(verdict(&older, "s3:GetObject", "arn:aws:s3:::b/bob", bob), Verdict::Silent);
    assert_eq!(verdict(&older, "s3:GetObject", "arn:aws:s3:::b/${aws:username}", bob), Verdict::Allow);
}

#[test]
fn all_but_what_has_no_value_is_not_everything() {
    let statement_with = |effect: &str| {
        identity(&statement(json!({
            "Effect": effect, "Action": "s3:*", "NotResource": "arn:aws:s3:::b/${aws:username}/*",
        })))
    };
    // Nobody signed, so there is no name to put in.
    assert_eq!(verdict(&statement_with("Allow"), "s3:GetObject", "arn:aws:s3:::b/k", &[]), Verdict::Silent);
    assert_eq!(verdict(&statement_with("Deny"), "s3:GetObject", "arn:aws:s3:::b/k", &[]), Verdict::Deny);
}

#[test]
fn every_condition_has_to_hold() {
    let policy = bucket(&statement(json!({
        "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::b/*",
        "Condition": {
            "StringNotEquals": {"s3:x-amz-server-side-encryption": "aws:kms", "s3:x-amz-acl": "private"},
            "Bool": {"aws:SecureTransport": false},
        },
    })));
    let put = |facts: &[(&'static str, &str)]| verdict(&policy, "s3:PutObject", "arn:aws:s3:::b/k", facts);
    assert_eq!(put(&[("aws:securetransport", "false")]), Verdict::Deny);
    assert_eq!(put(&[("aws:securetransport", "true")]), Verdict::Silent);
    assert_eq!(put(&[]), Verdict::Silent);
    let kms = [("aws:securetransport", "false"), ("s3:x-amz-server-side-encryption", "aws:kms")];
    assert_eq!(put(&kms), Verdict::Silent);
}

#[test]
fn principals_are_whom_a_bucket_policy_is_for() {
    let with = |principal: Value| {
        bucket(&statement(json!({
            "Effect": "Allow", "Principal": principal, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*",
        })))
    };
    let get = |policy: &Policy, user: Option<&str>| {
        let facts: Vec<_> = user.map(|user| ("aws:username", user)).into_iter().collect();
        verdict(policy, "s3:GetObject", "arn:aws:s3:::b/k", &facts) == Verdict::Allow
    };
    for everybody in [json!("*"), json!({"AWS": "*"}), json!({"AWS": ["bob", "*"]})] {
        assert!(get(&with(everybody.clone()), None) && get(&with(everybody), Some("eve")));
    }
    for bob in [
        json!({"AWS": "bob"}),
        json!({"AWS": "arn:aws:iam::000000000000:user/bob"}),
        // As earlier versions told them.
        json!({"AWS": "arn:aws:iam::strongroom:user/bob"}),
        json!({"AWS": ["alice", "arn:aws:iam:::user/bob"]}),
    ] {
        let policy = with(bob);
        assert!(get(&policy, Some("bob")) && !get(&policy, Some("eve")) && !get(&policy, None));
    }
    for account in
        ["arn:aws:iam::000000000000:root", "000000000000", "arn:aws:iam::strongroom:root", "strongroom"]
    {
        let account = with(json!({ "AWS": account }));
        assert!(!get(&account, Some("bob")), "it leaves that to bob's own policies");
    }
    for bad in [
        json!("bob"),
        json!({"AWS": "123456789012"}),
        json!({"AWS": "arn:aws:iam::123456789012:user/bob"}),
        json!({"AWS": "arn:aws:iam::strongroom:role/bob"}),
        json!({"AWS": "b*"}),
        json!({"Service": "s3.amazonaws.com"}),
        json!({"CanonicalUser": "abc"}),
    ] {
        let document = statement(json!({
            "Effect": "Allow", "Principal": bad, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*",
        }));
        let error = Policy::parse_bucket(&document.to_string(), "b").unwrap_err();
        assert!(error.to_string().starts_with("Invalid principal in policy"), "{error}");
    }
}

#[test]
fn not_principal_spares_those_it_names() {
    let policy = bucket(&statement(json!({
        "Effect": "Deny", "NotPrincipal": {"AWS": ["bob"]}, "Action": "s3:*", "Resource": "arn:aws:s3:::b/*",
    })));
    let get = |facts: &[(&'static str, &str)]| verdict(&policy, "s3:GetObject", "arn:aws:s3:::b/k", facts);
    assert_eq!(get(&[("aws:username", "bob")]), Verdict::Silent);
    assert_eq!(get(&[("aws:username", "eve")]), Verdict::Deny);
    assert_eq!(get(&[]), Verdict::Deny);
    let account = bucket(&statement(json!({
        "Effect": "Deny", "Principal": {"AWS": "000000000000"}, "Action": "s3:*", "Resource": "arn:aws:s3:::b/*",
    })));
    let get = |facts: &[(&'static str, &str)]| verdict(&account, "s3:GetObject", "arn:aws:s3:::b/k", facts);
    assert_eq!(get(&[("aws:username", "bob")]), Verdict::Deny);
    assert_eq!(get(&[]), Verdict::Silent);
}

#[test]
fn mistakes_are_named_with_their_place() {
    let good = json!({
        "Sid": "one", "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*",
    });
    let with = |change: &dyn Fn(&mut serde_json::Map<String, Value>)| {
        let mut statement = good.clone();
        change(statement.as_object_mut().unwrap());
        json!({"Version": "2012-10-17", "Statement": [good.clone(), statement]})
    };
    let set = |name: &str, value: Value| {
        with(&|statement| {
            statement.insert("Sid".into(), json!("two"));
            statement.insert(name.into(), value.clone());
        })
    };
    let without = |name: &str| {
        with(&|statement| {
            statement.insert("Sid".into(), json!("two"));
            statement.remove(name);
        })
    };
    for (document, expected) in [
        (json!([]), "Policies must be valid JSON and the first byte must be '{'"),
        (json!({"Version": "2012-10-17"}), "Missing required field Statement"),
        (
            json!({"Version": "2013-10-17", "Statement": good}),
            "The policy must contain a valid version string",
        ),
        (json!({"Statement": []}), "Could not parse the policy: Statement is empty!"),
        (json!({"Statement": 1}), "Could not parse the policy: Statement has a value that it cannot have"),
        (json!({"Statement": good, "Statements": 1}), "Unknown field Statements"),
        (with(&|_| {}), "Statement IDs (SID) in a single policy must be unique (statement 2 \"one\", Sid)"),
        (without("Effect"), "Missing required field Effect (statement 2 \"two\", Effect)"),
        (without("Principal"), "Missing required field Principal (statement 2 \"two\", Principal)"),
        (without("Action"), "Missing required field Action (statement 2 \"two\", Action)"),
        (without("Resource"), "Missing required field Resource (statement 2 \"two\", Resource)"),
        (set("Effect", json!("allow")), "Invalid effect: allow (statement 2 \"two\", Effect)"),
        (
            set("Action", json!("s3:GetObjct")),
            "Policy has invalid action: s3:GetObjct (statement 2 \"two\", Action)",
        ),
        (
            set("Action", json!("kms:Decrypt")),
            "Policy has invalid action: kms:Decrypt (statement 2 \"two\", Action)",
        ),
        (
            set("Action", json!([])),
            "Could not parse the policy: Action has a value that it cannot have (statement 2 \"two\", Action)",
        ),
        (
            set("NotAction", json!("s3:*")),
            "Action and NotAction must not be in one statement (statement 2 \"two\", Action)",
        ),
        (
            set("Resource", json!("arn:aws:s3:::c/*")),
            "Policy has invalid resource: arn:aws:s3:::c/* (statement 2 \"two\", Resource)",
        ),
        (set("Resource", json!("*")), "Policy has invalid resource: * (statement 2 \"two\", Resource)"),
        (
            set("Resource", json!("arn:aws:s3:::bc/*")),
            "Policy has invalid resource: arn:aws:s3:::bc/* (statement 2 \"two\", Resource)",
        ),
        (
            set("Resource", json!("arn:aws:s3:::b")),
            "Action does not apply to any resource(s) in statement: s3:getobject (statement 2 \"two\", Action)",
        ),
        (
            set("Resource", json!("arn:aws:s3:::b/${x}")),
            "Invalid policy variable: ${x} (statement 2 \"two\", Resource)",
        ),
        (
            set("Condition", json!({"StringEqual": {"s3:prefix": "x"}})),
            "Invalid Condition type : StringEqual (statement 2 \"two\", Condition)",
        ),
        (
            set("Condition", json!({"Bool": {"aws:MultiFactorAuthPresent": "x"}})),
            "Policy has an invalid condition key: aws:MultiFactorAuthPresent (statement 2 \"two\", Condition)",
        ),
        (
            set("Condition", json!({"Bool": {"aws:SecureTransport": "x"}})),
            "Invalid value in condition: x (statement 2 \"two\", Condition)",
        ),
        (
            set("Condition", json!([])),
            "Could not parse the policy: Condition has a value that it cannot have (statement 2 \"two\", Condition)",
        ),
        (set("Extra", json!(1)), "Unknown field Extra (statement 2 \"two\")"),
    ] {
        let error = Policy::parse_bucket(&document.to_string(), "b").unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    let error = Policy::parse_bucket("{true}", "b").unwrap_err();
    assert_eq!(error.to_string(), "This policy contains invalid Json");
    let error = Policy::parse_identity(&statement(good).to_string()).unwrap_err();
    assert_eq!(error.fault, PolicyFault::Unknown { name: "Principal".into() });
    let allow_others = statement(json!({
        "Effect": "Allow", "NotPrincipal": {"AWS": "bob"}, "Action": "s3:*", "Resource": "arn:aws:s3:::b/*",
    }));
    let error = Policy::parse_bucket(&allow_others.to_string(), "b").unwrap_err();
    assert_eq!(error.fault, PolicyFault::AllowNotPrincipal);
}

#[test]
fn sentence_of_aws_and_where_it_is_are_told_apart() {
    for (principal, action, resource, sentence, detail) in [
        (
            json!("*"),
            json!("s3:No"),
            json!("arn:aws:s3:::b/*"),
            "Policy has invalid action",
            "s3:No (statement 1, Action)",
        ),
        (
            json!("*"),
            json!([]),
            json!("arn:aws:s3:::b/*"),
            "Policy has invalid action",
            "(statement 1, Action)",
        ),
        (json!("*"), json!("s3:*"), json!([]), "Policy has invalid resource", "(statement 1, Resource)"),
        (
            json!([]),
            json!("s3:*"),
            json!("arn:aws:s3:::b"),
            "Invalid principal in policy",
            "(statement 1, Principal)",
        ),
    ] {
        let document = json!({"Statement": {
            "Effect": "Allow", "Principal": principal, "Action": action, "Resource": resource,
        }});
        let error = Policy::parse_bucket(&document.to_string(), "b").unwrap_err();
        assert_eq!((error.sentence().as_str(), error.detail().as_deref()), (sentence, Some(detail)));
    }
    let error = Policy::parse_bucket("[]", "b").unwrap_err();
    assert_eq!((error.sentence(), error.detail()), (error.to_string(), None));
}

#[test]
fn documents_are_bounded() {
    let one = json!({"Effect": "Allow", "Action": "*", "Resource": "*"});
    let many = |count: usize| json!({"Statement": vec![one.clone(); count]}).to_string();
    assert!(Policy::parse_identity(&many(STATEMENTS_MAX)).is_ok());
    let error = Policy::parse_identity(&many(STATEMENTS_MAX + 1)).unwrap_err();
    assert_eq!(error.fault, PolicyFault::TooManyStatements { most: STATEMENTS_MAX });
    let padded = format!("{}{}", many(1), " ".repeat(Policy::LEN_MAX));
    let error = Policy::parse_identity(&padded).unwrap_err();
    assert_eq!(error.fault, PolicyFault::TooLong { most: Policy::LEN_MAX });
}

#[test]
fn whole_bucket_and_its_objects_may_be_meant_by_one_pattern() {
    for resource in ["arn:aws:s3:::b*", "arn:aws:s3:::b?"] {
        let document = statement(json!({
            "Effect": "Allow", "Principal": "*", "Action": ["s3:ListBucket", "s3:GetObject"], "Resource": resource,
        }));
        assert!(Policy::parse_bucket(&document.to_string(), "b").is_ok(), "{resource}");
    }
    let both = statement(json!({
        "Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": ["arn:aws:s3:::b", "arn:aws:s3:::b/*"],
    }));
    assert!(Policy::parse_bucket(&both.to_string(), "b").is_ok());
}

#[test]
fn public_is_what_nobody_is_kept_from() {
    let is_public = |principal: Value, condition: Value| {
        bucket(&statement(json!({
            "Effect": "Allow", "Principal": principal, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*",
            "Condition": condition,
        })))
        .is_public()
    };
    assert!(is_public(json!("*"), json!({})));
    assert!(is_public(json!({"AWS": ["bob", "*"]}), json!({})));
    assert!(!is_public(json!({"AWS": "bob"}), json!({})));
    for (public, condition) in [
        (false, json!({"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}})),
        (true, json!({"IpAddress": {"aws:SourceIp": ["192.0.2.0/24", "0.0.0.0/1"]}})),
        (true, json!({"IpAddressIfExists": {"aws:SourceIp": "192.0.2.0/24"}})),
        (true, json!({"NotIpAddress": {"aws:SourceIp": "192.0.2.0/24"}})),
        (false, json!({"StringEquals": {"aws:userid": "UID1"}})),
        (true, json!({"StringLike": {"aws:userid": "UID*"}})),
        (true, json!({"StringEquals": {"aws:userid": "${aws:userid}"}})),
        (true, json!({"StringEquals": {"aws:Referer": "https://example.com"}})),
        (true, json!({"ForAllValues:StringEquals": {"aws:userid": "UID1"}})),
        (false, json!({"ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::strongroom:user/bob"}})),
        (true, json!({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::strongroom:user/*"}})),
    ] {
        assert_eq!(is_public(json!("*"), condition.clone()), public, "{condition}");
    }
    let deny = bucket(&statement(json!({
        "Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*",
    })));
    assert!(!deny.is_public());
}

fn any_statement() -> impl Strategy<Value = Value> {
    let effect = prop::sample::select(vec!["Allow", "Deny"]);
    let action =
        prop::sample::subsequence(vec!["s3:GetObject", "s3:Put*", "*", "kms:Decrypt", "s3:?etObject"], 1..4);
    let resource = prop::sample::subsequence(
        vec!["arn:aws:s3:::b/*", "*", "arn:aws:s3:::b/${aws:username}/*", "arn:*:s3:::*", "arn:aws:s3:::c/k"],
        1..4,
    );
    let condition = prop::sample::subsequence(
        vec![
            ("StringLike", "s3:prefix", "a*"),
            ("StringNotEquals", "s3:prefix", "${aws:username}"),
            ("Bool", "aws:SecureTransport", "true"),
            ("NotIpAddress", "aws:SourceIp", "10.0.0.0/8"),
            ("Null", "s3:prefix", "true"),
        ],
        0..3,
    );
    (effect, action, resource, condition, any::<bool>(), any::<bool>()).prop_map(
        |(effect, action, resource, condition, not_action, not_resource)| {
            let condition: serde_json::Map<_, _> = condition
                .into_iter()
                .map(|(operator, key, value)| (operator.to_owned(), json!({ key: value })))
                .collect();
            json!({
                "Effect": effect,
                if not_action { "NotAction" } else { "Action" }: action,
                if not_resource { "NotResource" } else { "Resource" }: resource,
                "Condition": condition,
            })
        },
    )
}

fn any_facts() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    prop::sample::subsequence(
        vec![
            ("aws:username", "bob"),
            ("s3:prefix", "abc"),
            ("aws:securetransport", "true"),
            ("aws:sourceip", "10.1.1.1"),
        ],
        0..5,
    )
}

fn any_ask() -> impl Strategy<Value = (&'static str, &'static str)> {
    (
        prop::sample::select(vec!["s3:GetObject", "s3:PutObject", "kms:Decrypt", "s3:DeleteObject"]),
        prop::sample::select(vec!["arn:aws:s3:::b/bob/k", "arn:aws:s3:::b/k", "arn:aws:s3:::c/k", "*"]),
    )
}

/// Every list of the document the other way round.
fn reversed(json: &Value) -> Value {
    match json {
        Value::Array(items) => Value::Array(items.iter().rev().map(reversed).collect()),
        Value::Object(members) => {
            Value::Object(members.iter().rev().map(|(name, value)| (name.clone(), reversed(value))).collect())
        }
        other => other.clone(),
    }
}

proptest! {
    #[test]
    fn order_changes_nothing(
        statements in prop::collection::vec(any_statement(), 1..6), facts in any_facts(), (action, resource) in any_ask(),
    ) {
        let document = json!({"Version": "2012-10-17", "Statement": statements});
        let (one, other) = (identity(&document), identity(&reversed(&document)));
        prop_assert_eq!(verdict(&one, action, resource, &facts), verdict(&other, action, resource, &facts));
    }

    #[test]
    fn explicit_deny_wins_beside_anything(
        mut statements in prop::collection::vec(any_statement(), 0..6), at in any::<prop::sample::Index>(),
        facts in any_facts(), (action, resource) in any_ask(),
    ) {
        let deny = json!({"Effect": "Deny", "Action": action, "Resource": "*"});
        statements.insert(at.index(statements.len() + 1), deny);
        let policy = identity(&json!({"Version": "2012-10-17", "Statement": statements}));
        prop_assert_eq!(verdict(&policy, action, resource, &facts), Verdict::Deny);
    }

    /// Each statement by itself, and the rule: denied if one denies, or else allowed if one allows.
    #[test]
    fn statements_do_not_change_each_other(
        statements in prop::collection::vec(any_statement(), 1..6), facts in any_facts(), (action, resource) in any_ask(),
    ) {
        let all = identity(&json!({"Version": "2012-10-17", "Statement": statements.clone()}));
        let alone: Vec<_> = statements
            .iter()
            .map(|one| verdict(&identity(&statement(one.clone())), action, resource, &facts))
            .collect();
        let expected = [Verdict::Deny, Verdict::Allow]
            .into_iter()
            .find(|verdict| alone.contains(verdict))
            .unwrap_or(Verdict::Silent);
        prop_assert_eq!(verdict(&all, action, resource, &facts), expected);
    }

    #[test]
    fn nothing_panics(text in ".{0,200}", key in "[a-zA-Z0-9:/-]{0,30}", value in ".{0,30}", operator in "[A-Za-z:]{0,30}") {
        let _ = Policy::parse_identity(&text);
        let document = statement(json!({
            "Effect": "Allow", "Action": text, "Resource": value, "Condition": {operator: {key: value.clone()}},
        }));
        if let Ok(policy) = Policy::parse_identity(&document.to_string()) {
            verdict(&policy, "s3:GetObject", &value, &[("s3:prefix", &value)]);
        }
        let _ = Policy::parse_bucket(&document.to_string(), &value);
    }

    #[test]
    fn documents_that_are_nearly_policies_do_not_panic(at in any::<prop::sample::Index>(), byte in any::<u8>(), one in any_statement()) {
        let mut text = statement(one).to_string().into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        if let Ok(policy) = Policy::parse_identity(&String::from_utf8_lossy(&text)) {
            verdict(&policy, "s3:GetObject", "arn:aws:s3:::b/k", &[]);
        }
    }
}
