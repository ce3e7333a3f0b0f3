//! The table of operators.

use super::super::request::tests::request;
use super::*;

fn truth(
    operator: &str,
    key: &str,
    values: &[&str],
    facts: &[(&'static str, &str)],
    effect: Effect,
) -> Truth {
    let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
    let condition = Condition::parse(operator, key, &values, true).unwrap();
    request(facts, |request| condition.holds(request, effect))
}

fn holds(operator: &str, key: &str, values: &[&str], facts: &[(&'static str, &str)]) -> bool {
    truth(operator, key, values, facts, Effect::Allow) == Truth::Yes
}

#[test]
fn each_operator_compares_as_its_name_says() {
    // Operator, policy's values, a value that fits, one that does not.
    let table: &[(&str, &str, &[&str], &str, &str)] = &[
        ("StringEquals", "s3:prefix", &["a", "b*"], "b*", "bc"),
        ("StringEquals", "s3:prefix", &[""], "", "a"),
        ("StringNotEquals", "s3:prefix", &["a", "b"], "c", "b"),
        ("StringEqualsIgnoreCase", "s3:prefix", &["Äb"], "äB", "ab"),
        ("StringNotEqualsIgnoreCase", "s3:prefix", &["Ab"], "c", "aB"),
        ("StringLike", "s3:prefix", &["home/*", "x?"], "home/bob", "xyz"),
        ("StringNotLike", "s3:prefix", &["home/*"], "x", "home/"),
        ("ArnEquals", "s3:x-amz-copy-source", &["arn:aws:s3:::b/*"], "arn:aws:s3:::b/k", "b/k"),
        ("ArnLike", "s3:x-amz-copy-source", &["arn:*:s3:::b/k"], "arn:aws:s3:::b/k", "arn:aws:s3:::b/k2"),
        ("ArnNotEquals", "s3:x-amz-copy-source", &["arn:aws:s3:::b/*"], "x", "arn:aws:s3:::b/k"),
        ("ArnNotLike", "s3:x-amz-copy-source", &["arn:aws:s3:::b/*"], "x", "arn:aws:s3:::b/k"),
        ("NumericEquals", "s3:max-keys", &["10", "20"], "20.0", "11"),
        ("NumericNotEquals", "s3:max-keys", &["10"], "11", "10"),
        ("NumericLessThan", "s3:max-keys", &["10"], "9", "10"),
        ("NumericLessThanEquals", "s3:max-keys", &["10"], "10", "10.5"),
        ("NumericGreaterThan", "s3:max-keys", &["-1"], "0", "-1"),
        ("NumericGreaterThanEquals", "s3:max-keys", &["10"], "10", "9"),
        ("DateEquals", "s3:object-lock-retain-until-date", &["2020-09-13"], "2020-09-13T02:00:00+02:00", "1"),
        ("DateNotEquals", "s3:object-lock-retain-until-date", &["2020-09-13"], "1", "2020-09-13"),
        ("DateLessThan", "s3:object-lock-retain-until-date", &["2020-09-13"], "2020-09-12", "2020-09-13"),
        (
            "DateLessThanEquals",
            "s3:object-lock-retain-until-date",
            &["2020-09-13"],
            "2020-09-13",
            "2020-09-14",
        ),
        ("DateGreaterThan", "s3:object-lock-retain-until-date", &["2020-09-13"], "2020-09-14", "2020-09-13"),
        ("DateGreaterThanEquals", "s3:object-lock-retain-until-date", &["2020-09-13"], "2020-09-13", "x"),
        ("Bool", "aws:SecureTransport", &["true"], "TRUE", "false"),
        ("BinaryEquals", "s3:versionid", &["QUJD"], "QUJD", "QUJE"),
        ("IpAddress", "aws:SourceIp", &["10.0.0.0/8", "2001:db8::/32"], "10.1.1.1", "11.1.1.1"),
        ("NotIpAddress", "aws:SourceIp", &["10.0.0.0/8"], "11.1.1.1", "10.1.1.1"),
    ];
    for (operator, key, values, fits, fits_not) in table {
        let fact = crate::CONDITION_KEYS.iter().find(|known| **known == key.to_ascii_lowercase()).unwrap();
        assert!(holds(operator, key, values, &[(fact, fits)]), "{operator} {fits}");
        assert!(!holds(operator, key, values, &[(fact, fits_not)]), "{operator} {fits_not}");
    }
}

#[test]
fn missing_key_fails_what_asks_for_a_value_and_meets_what_excludes_one() {
    for (operator, expected) in [
        ("StringEquals", false),
        ("StringNotEquals", true),
        ("StringLike", false),
        ("StringNotLike", true),
        ("StringEqualsIfExists", true),
        ("StringNotEqualsIfExists", true),
        ("ForAllValues:StringEquals", true),
        ("ForAnyValue:StringEquals", false),
        ("ForAnyValue:StringNotEquals", false),
        ("ForAnyValue:StringEqualsIfExists", true),
    ] {
        assert_eq!(holds(operator, "s3:prefix", &["a"], &[]), expected, "{operator}");
    }
    assert!(!holds("NumericLessThan", "s3:max-keys", &["5"], &[]));
    assert!(!holds("IpAddress", "aws:SourceIp", &["0.0.0.0/0"], &[]));
    assert!(holds("NotIpAddress", "aws:SourceIp", &["0.0.0.0/0"], &[]));
}

#[test]
fn null_asks_whether_the_key_is_there() {
    let facts = [("s3:prefix", "")];
    assert!(holds("Null", "s3:prefix", &["true"], &[]));
    assert!(!holds("Null", "s3:prefix", &["true"], &facts));
    assert!(holds("Null", "s3:prefix", &["false"], &facts));
    assert!(!holds("Null", "s3:prefix", &["false"], &[]));
}

#[test]
fn sets_ask_for_all_or_for_any_of_several_values() {
    let tags: &[(&'static str, &str)] = &[("s3:requestobjecttagkeys", "a"), ("s3:requestobjecttagkeys", "b")];
    for (operator, values, expected) in [
        ("ForAllValues:StringEquals", &["a", "b", "c"][..], true),
        ("ForAllValues:StringEquals", &["a"], false),
        ("ForAnyValue:StringEquals", &["a", "x"], true),
        ("ForAnyValue:StringEquals", &["x"], false),
        ("ForAllValues:StringNotEquals", &["x"], true),
        ("ForAllValues:StringNotEquals", &["a"], false),
        ("ForAnyValue:StringNotEquals", &["a"], true),
        ("ForAnyValue:StringNotEquals", &["a", "b"], false),
        ("StringEquals", &["b"], true),
        ("StringNotEquals", &["b"], false),
    ] {
        assert_eq!(
            holds(operator, "s3:RequestObjectTagKeys", values, tags),
            expected,
            "{operator} {values:?}"
        );
    }
}

#[test]
fn tags_are_found_by_their_name() {
    let facts = [("s3:existingobjecttag/Project", "blue")];
    assert!(holds("StringEquals", "S3:ExistingObjectTag/Project", &["blue"], &facts));
    assert!(!holds("StringEquals", "s3:ExistingObjectTag/project", &["blue"], &facts));
    assert!(!holds("StringEquals", "s3:RequestObjectTag/Project", &["blue"], &facts));
}

#[test]
fn time_comes_from_the_request() {
    for key in ["aws:CurrentTime", "aws:EpochTime"] {
        assert!(holds("DateGreaterThan", key, &["2020-09-13T12:26:39Z"], &[]));
        assert!(holds("DateEquals", key, &["2020-09-13T12:26:40Z"], &[]));
        assert!(!holds("DateGreaterThan", key, &["1600000000"], &[]));
        assert!(holds("DateNotEquals", key, &["1600000001"], &[]));
    }
    assert!(holds("NumericLessThan", "aws:EpochTime", &["1600000001"], &[]));
    assert!(holds("StringLike", "aws:CurrentTime", &["2020-09-13T*"], &[]));
}

#[test]
fn variable_without_a_value_opens_nothing_and_closes_what_excludes_it() {
    let values = &["${aws:username}"];
    for (operator, allow, deny) in [
        ("StringEquals", Truth::Unknown, Truth::No),
        ("StringNotEquals", Truth::Unknown, Truth::Yes),
        ("StringLike", Truth::Unknown, Truth::No),
        ("StringNotLike", Truth::Unknown, Truth::Yes),
    ] {
        let facts = [("s3:prefix", "bob")];
        assert_eq!(truth(operator, "s3:prefix", values, &facts, Effect::Allow), allow, "{operator}");
        assert_eq!(truth(operator, "s3:prefix", values, &facts, Effect::Deny), deny, "{operator}");
        let facts = [("s3:prefix", "bob"), ("aws:username", "bob")];
        assert_eq!(holds(operator, "s3:prefix", values, &facts), !operator.contains("Not"), "{operator}");
    }
    // Another value that fits settles it.
    assert!(holds("StringEquals", "s3:prefix", &["${aws:username}", "bob"], &[("s3:prefix", "bob")]));
    assert!(holds("StringEquals", "s3:prefix", &["bob", "${aws:username}"], &[("s3:prefix", "bob")]));
}

#[test]
fn what_cannot_be_compared_is_refused_when_it_is_read() {
    for (operator, key, value) in [
        ("NumericEquals", "s3:max-keys", "ten"),
        ("NumericEquals", "s3:max-keys", "1e3"),
        ("NumericEquals", "s3:max-keys", "inf"),
        ("NumericEquals", "s3:max-keys", "1.2.3"),
        ("DateEquals", "aws:CurrentTime", "tomorrow"),
        ("Bool", "aws:SecureTransport", "yes"),
        ("IpAddress", "aws:SourceIp", "10.0.0.0/40"),
        ("BinaryEquals", "s3:versionid", "?"),
        ("ArnLike", "aws:PrincipalArn", "bob"),
        ("Null", "s3:prefix", "no"),
    ] {
        let error = Condition::parse(operator, key, &[value.to_owned()], true).unwrap_err();
        let of_value = matches!(error, PolicyFault::ConditionValue { .. } | PolicyFault::Address { .. });
        assert!(of_value, "{operator} {value}: {error:?}");
        assert_eq!(matches!(error, PolicyFault::Address { .. }), operator == "IpAddress");
    }
    for operator in [
        "",
        "stringEquals",
        "StringEqual",
        "NullIfExists",
        "ForAllValues:Null",
        "ForSomeValues:Bool",
        "IfExists",
        "ForAllValues:ForAnyValue:Bool",
        "StringEqualsIfExistsIfExists",
    ] {
        let error = Condition::parse(operator, "s3:prefix", &["true".into()], true).unwrap_err();
        assert!(matches!(error, PolicyFault::Operator { .. }), "{operator}: {error:?}");
    }
    let error = Condition::parse("StringEquals", "s3:nonsense", &["x".into()], true).unwrap_err();
    assert_eq!(error, PolicyFault::ConditionKey { name: "s3:nonsense".into() });
}
