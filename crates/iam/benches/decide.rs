//! What a decision costs: one policy of fifty statements, as an identity's and as a bucket's, and what reading a document costs.
//!
//! `cargo bench -p strongroom-iam` prints a table, `cargo bench -p strongroom-iam -- --json` one JSON object. Medians over rounds
//! in which all contenders take turns, so that a slow moment of the machine meets all of them.

#![allow(clippy::unwrap_used, reason = "a benchmark that fails should say so at once")]

use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use strongroom_iam::{
    Arn, Ask, Credentials, Decision, Facts, Iam, IamOptions, Identity, Name, Policy, Target,
};
use strongroom_seal::{Context, Envelope, OsRandom, RootKey, record};
use strongroom_store::{RootKeyError, RootKeys, Store, StoreOptions};
use zeroize::Zeroizing;

const STATEMENTS: usize = 50;
/// The medians are over this many rounds, after one that warms up.
const ROUNDS: usize = 15;

#[derive(Debug)]
struct MemoryKeys(RootKey);

impl RootKeys for MemoryKeys {
    fn wrap(&self, _: Option<&str>, key: &[u8; 32], context: &Context) -> Result<Envelope, RootKeyError> {
        let blob = record::seal(&self.0, context, key, &OsRandom);
        Ok(Envelope { provider: "memory".into(), key_id: "root".into(), key_version: 1, blob })
    }

    fn unwrap(&self, envelope: &Envelope, context: &Context) -> Result<Zeroizing<[u8; 32]>, RootKeyError> {
        let plain = record::open(&self.0, context, &envelope.blob).unwrap();
        Ok(Zeroizing::new(plain.as_slice().try_into().unwrap()))
    }
}

/// Conditions of the usual kinds. None of them ends a decision: a denial that applied would.
const CONDITIONS: [&str; 5] = [
    r#"{"StringLike":{"s3:prefix":["home/${aws:username}/*","shared/*"]}}"#,
    r#"{"IpAddress":{"aws:SourceIp":["10.0.0.0/8","192.168.0.0/16","2001:db8::/32"]}}"#,
    r#"{"StringNotEquals":{"s3:x-amz-acl":"private"},"Bool":{"aws:SecureTransport":"false"}}"#,
    r#"{"StringEquals":{"s3:ExistingObjectTag/project":["blue","green"]},"DateLessThan":{"aws:CurrentTime":"2040-01-01T00:00:00Z"}}"#,
    r#"{"Null":{"s3:x-amz-acl":"true"},"NumericLessThanEquals":{"s3:max-keys":"100"}}"#,
];

/// Fifty statements. `principal` is put into each, for bucket policies. With `broad` each is about the request up to its conditions.
fn document(principal: &str, broad: bool) -> String {
    let statement = |number: usize| {
        let effect = if number % 7 == 6 { "Deny" } else { "Allow" };
        let folder = if broad { "*".to_owned() } else { format!("team-{number}/*") };
        let condition = CONDITIONS[number % CONDITIONS.len()];
        format!(
            r#"{{"Effect":"{effect}",{principal}"Action":["s3:GetObject","s3:Put*"],"Resource":["arn:aws:s3:::b/{folder}","arn:aws:s3:::b/*/archive-{number}/?.tar"],"Condition":{condition}}}"#
        )
    };
    let statements: Vec<String> = (0..STATEMENTS).map(statement).collect();
    format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","))
}

struct Contender {
    name: &'static str,
    calls: u32,
    run: Box<dyn Fn()>,
}

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    let dir = tempfile::tempdir().unwrap();
    let keys = Arc::new(MemoryKeys(RootKey::generate(&OsRandom)));
    let store = Store::create_or_open(StoreOptions::new(dir.path().join("data"), keys)).unwrap();
    let root = Credentials::from_parts(Some("operator".into()), Some("a long secret".into())).unwrap();
    let (iam, _) = Iam::open(&store, IamOptions::default(), root).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let by = &Identity::Root;
        for (name, broad) in [("narrow", false), ("broad", true)] {
            iam.create_user(by, name).await.unwrap();
            iam.put_policy(by, name, &document("", broad), None).await.unwrap();
            iam.attach_policy(by, name, &Target::User(name.into())).await.unwrap();
        }
        iam.create_user(by, "bare").await.unwrap();
    });
    let for_two = document(r#""Principal":{"AWS":["a","bare"]},"#, true);
    let bucket_policy = Policy::parse_bucket(&for_two, "b").unwrap();
    let contenders = [
        decision("user's policy, statements about other objects", &iam, "narrow", None),
        decision("user's policy, every condition looked at", &iam, "broad", None),
        decision("bucket's policy, every condition looked at", &iam, "bare", Some(bucket_policy)),
        decision("no policy", &iam, "bare", None),
        Contender {
            name: "reading the document",
            calls: 20,
            run: Box::new(|| drop(black_box(Policy::parse_identity(&document("", true)).unwrap()))),
        },
    ];
    let mut times = vec![Vec::new(); contenders.len()];
    for round in 0..=ROUNDS {
        for (contender, times) in contenders.iter().zip(&mut times) {
            let start = Instant::now();
            (0..contender.calls).for_each(|_| (contender.run)());
            let took = start.elapsed() / contender.calls;
            if round > 0 {
                times.push(took);
            }
        }
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort();
        times[times.len() / 2]
    };
    let medians: Vec<Duration> = times.iter_mut().map(median).collect();
    let mut out = std::io::stdout().lock();
    let rows = contenders.iter().zip(&medians);
    if json {
        let fields = rows.map(|(contender, took)| format!("\"{}, ns\":{}", contender.name, took.as_nanos()));
        writeln!(out, "{{{}}}", fields.collect::<Vec<_>>().join(",")).unwrap();
    } else {
        writeln!(out, "{STATEMENTS} statements, median of {ROUNDS} rounds").unwrap();
        rows.for_each(|(contender, took)| {
            writeln!(out, "{:<48} {:>9.3} µs", contender.name, took.as_secs_f64() * 1e6).unwrap();
        });
    }
}

/// A GET of an object by a user who may not, with what the S3 face knows of it.
fn decision(name: &'static str, iam: &Iam, user: &str, bucket_policy: Option<Policy>) -> Contender {
    let identity = Identity::User { name: Name::parse(user).unwrap() };
    let mut facts = Facts::new();
    for (key, value) in [
        ("aws:sourceip", "172.16.1.1"),
        ("aws:securetransport", "true"),
        ("aws:useragent", "aws-cli/2.0"),
        ("s3:authtype", "REST-HEADER"),
        ("s3:signatureversion", "AWS4-HMAC-SHA256"),
        ("s3:x-amz-content-sha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("s3:signatureage", "1200"),
        ("s3:tlsversion", "1.3"),
        ("s3:x-amz-acl", "private"),
        ("s3:prefix", "other/"),
        ("s3:max-keys", "1000"),
    ] {
        facts.set(key, value);
    }
    facts.set_tag("s3:existingobjecttag/", "project", "red");
    let resource = Arn::object("b", "team-x/2020/09/13/report.parquet");
    let iam = iam.clone();
    let run = move || {
        let ask = Ask { identity: &identity, action: "s3:GetObject", resource: &resource, facts: &facts };
        let decision = iam.decide(black_box(&ask), bucket_policy.as_ref());
        assert_eq!(black_box(decision), Decision::ImplicitDeny);
    };
    Contender { name, calls: 2_000, run: Box::new(run) }
}
