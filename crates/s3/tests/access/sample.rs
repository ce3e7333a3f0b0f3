//! A sample of the table that `src/access/product.rs` goes through as a whole, sent through a listener: signatures, the reading
//! of requests and the gate are in between.

use reqwest::Method;
use strongroom_iam::{Identity, Name, ServiceAccountSpec, SessionSpec, Target as To};

use super::oracle::{self, CONDITIONS, How, Outcome, Policy, Principal, Target, Who};
use super::{Call, Keys, Setup, denied, get};

/// Requests that need one action, and what it is done to.
fn calls() -> Vec<(&'static str, Target, Call)> {
    let (bkt, other) = (Target::Bucket("bkt"), Target::Bucket("other"));
    let (inside, outside) = (Target::Object("bkt", "in/k"), Target::Object("bkt", "out/k"));
    let elsewhere = Target::Object("other", "in/k");
    let of = |path: &str, subresource: &str| get(path).query(subresource, "");
    let version = |method: Method, path: &str| Call::new(method, path).query("versionId", "null");
    vec![
        ("s3:GetObject", inside, get("/bkt/in/k")),
        ("s3:GetObject", outside, get("/bkt/out/k")),
        ("s3:GetObject", elsewhere, get("/other/in/k")),
        ("s3:GetObject", inside, Call::new(Method::HEAD, "/bkt/in/k")),
        ("s3:GetObjectVersion", inside, version(Method::GET, "/bkt/in/k")),
        ("s3:GetObjectTagging", inside, of("/bkt/in/k", "tagging")),
        ("s3:GetObjectAcl", inside, of("/bkt/in/k", "acl")),
        ("s3:GetObjectAcl", outside, of("/bkt/out/k", "acl")),
        ("s3:PutObject", Target::Object("bkt", "in/new"), Call::put("/bkt/in/new", "x")),
        ("s3:PutObject", Target::Object("bkt", "out/new"), Call::put("/bkt/out/new", "x")),
        ("s3:DeleteObject", Target::Object("bkt", "in/none"), Call::new(Method::DELETE, "/bkt/in/none")),
        ("s3:DeleteObjectVersion", Target::Object("bkt", "in/none"), version(Method::DELETE, "/bkt/in/none")),
        ("s3:ListBucket", bkt, get("/bkt").query("list-type", "2")),
        ("s3:ListBucket", other, get("/other").query("list-type", "2")),
        ("s3:ListBucket", bkt, Call::new(Method::HEAD, "/bkt")),
        ("s3:ListBucketVersions", bkt, of("/bkt", "versions")),
        ("s3:ListBucketMultipartUploads", bkt, of("/bkt", "uploads")),
        ("s3:GetBucketLocation", bkt, of("/bkt", "location")),
        ("s3:GetBucketVersioning", bkt, of("/bkt", "versioning")),
        ("s3:GetBucketAcl", bkt, of("/bkt", "acl")),
        ("s3:GetBucketAcl", other, of("/other", "acl")),
        ("s3:GetEncryptionConfiguration", bkt, of("/bkt", "encryption")),
        ("s3:GetBucketPolicyStatus", bkt, of("/bkt", "policyStatus")),
        ("s3:GetLifecycleConfiguration", bkt, of("/bkt", "lifecycle")),
    ]
}

fn asked(call: Call, how: How) -> Call {
    const SSE: &str = "x-amz-server-side-encryption";
    match how {
        How::Plainly | How::OverTls => call,
        How::WithAes => call.header(SSE, "AES256"),
        How::WithKms(key) => {
            call.header(SSE, "aws:kms").header("x-amz-server-side-encryption-aws-kms-key-id", key)
        }
        How::WithPrefix => call.query("prefix", "u/x"),
    }
}

struct People {
    user: Keys,
    member: Keys,
    other: Keys,
    account: Keys,
    session: Keys,
}

impl People {
    async fn new(setup: &Setup) -> Self {
        let root = &Identity::Root;
        let first = Policy { round: 0, condition: 0, principal: None };
        setup.iam.put_policy(root, "p", &first.json(), None).await.unwrap();
        setup.iam.create_group(root, "g").await.unwrap();
        let keys = async |name: &str| {
            setup.iam.create_user(root, name).await.unwrap();
            let made = setup.iam.create_access_key(root, name).await.unwrap();
            let secret = made.secret.dangerous_expose().to_owned();
            Keys { access_key: made.access_key.to_string(), secret, token: None }
        };
        let (user, member, other) = (keys("u").await, keys("m").await, keys("o").await);
        setup.iam.add_to_group(root, "g", "m").await.unwrap();
        for to in [To::User("u".into()), To::Group("g".into())] {
            setup.iam.attach_policy(root, "p", &to).await.unwrap();
        }
        let maker = Identity::User { name: Name::parse("u").unwrap() };
        let bound = oracle::ACCOUNT_BOUND.json();
        let spec = ServiceAccountSpec { policy: Some(&bound), ..ServiceAccountSpec::default() };
        let made = setup.iam.create_service_account(root, &maker, spec).await.unwrap();
        let secret = made.secret.dangerous_expose().to_owned();
        let account = Keys { access_key: made.access_key.to_string(), secret, token: None };
        let bound = oracle::SESSION_BOUND.json();
        let spec = SessionSpec { name: "job", duration_seconds: 3600, policy: Some(&bound) };
        let made = setup.iam.assume_role(&maker, &spec).unwrap();
        let secret = made.secret.dangerous_expose().to_owned();
        let token = Some(made.session_token);
        let session = Keys { access_key: made.access_key.to_string(), secret, token };
        Self { user, member, other, account, session }
    }

    fn keys(&self, who: Who) -> Option<&Keys> {
        match who {
            Who::Root | Who::Anonymous => None,
            Who::User => Some(&self.user),
            Who::Member => Some(&self.member),
            Who::Other => Some(&self.other),
            Who::Account => Some(&self.account),
            Who::Session => Some(&self.session),
        }
    }
}

#[tokio::test]
async fn sample_of_the_product_is_decided_over_http_as_the_rules_of_aws_say() {
    let setup = Setup::new().await;
    setup.client.bucket("other").await;
    for bucket in ["bkt", "other"] {
        setup.unblock(bucket).await;
        for key in ["in/k", "out/k"] {
            let put = Call::put(&format!("/{bucket}/{key}"), "x").header("x-amz-tagging", "project=red");
            setup.root(put).await.ok();
        }
    }
    let people = People::new(&setup).await;
    let mut seed = 0x5eed_u64;
    let mut next = |below: usize| {
        // Xorshift: the same numbers in every run.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap()
    };
    let mut seen = [0_usize; 2];
    let principals = [Principal::Other, Principal::Everybody];
    for (condition, principal) in (0..CONDITIONS.len()).flat_map(|of| principals.map(|who| (of, who))) {
        // A listener speaks TLS or does not; `conditions.rs` asks one that does.
        if CONDITIONS[condition].how == How::OverTls {
            continue;
        }
        let round = next(6);
        let own = Policy { round, condition, principal: None };
        let of_bucket = Policy { round: round + 1 + next(5), condition, principal: Some(principal) };
        setup.iam.put_policy(&Identity::Root, "p", &own.json(), None).await.unwrap();
        let json = of_bucket.json();
        let statements = json.split_once("\"Statement\":[").unwrap().1.strip_suffix("]}").unwrap();
        setup.bucket_policy("bkt", statements).await;
        for who in Who::ALL {
            for (action, target, call) in calls() {
                let how = CONDITIONS[condition].how;
                let call = asked(call, how);
                let mut outcomes = vec![expected(&own, &of_bucket, who, action, target)];
                // A write under a key of the KMS needs that key.
                if let (How::WithKms(key), "s3:PutObject") = (how, action) {
                    let key = Target::Key(key);
                    outcomes.push(expected(&own, &of_bucket, who, "kms:GenerateDataKey", key));
                }
                let allowed = outcomes.iter().all(|outcome| *outcome == Outcome::Allowed);
                let (told, text) = send(&setup, &people, who, call).await;
                assert_eq!(
                    told,
                    allowed,
                    "{who:?} {action} {target:?} {how:?}: {text}\nown: {}\nof the bucket: {json}",
                    own.json()
                );
                seen[usize::from(allowed)] += 1;
            }
        }
    }
    assert!(seen.iter().sum::<usize>() > 5_000 && seen.iter().all(|count| *count > 1_200), "{seen:?}");
}

fn expected(own: &Policy, of_bucket: &Policy, who: Who, action: &'static str, target: Target) -> Outcome {
    oracle::outcome(own, Some(of_bucket), who, oracle::index_of(action), target)
}

/// Whether it was let through, and what was told.
async fn send(setup: &Setup, people: &People, who: Who, call: Call) -> (bool, String) {
    let answer = match (who, people.keys(who)) {
        (_, Some(keys)) => setup.by(keys, call).await,
        (Who::Root, None) => setup.root(call).await,
        _ => setup.stranger(call).await,
    };
    let text = format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body));
    // What AWS tells those who did not sign instead.
    let unsigned = text.contains("require AWS Signature Version 4");
    (!denied(&answer) && !unsigned, text)
}
