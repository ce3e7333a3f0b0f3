//! Entry points for tests that hand mangled bytes to the readers of this crate. Only with the feature `fuzzing`.

use std::sync::LazyLock;

use strongroom_seal::fuzzing::Decoder;
use strongroom_seal::{GroupKey, SecretKey, SeededRandom};

use crate::policy::Verdict;
use crate::policy::keys::Key;
use crate::policy::request::Request;
use crate::sealed::SealedValue;
use crate::{
    AccessKey, Arn, Credentials, Facts, Identity, Name, Policy, Secret, row, rows, samples, sealed, sessions,
};

/// The readers of this crate.
pub const DECODERS: &[Decoder] = &[
    Decoder::new("iam/credentials", credentials_seeds, credentials),
    Decoder::new("iam/access key", access_key_seeds, access_key),
    Decoder::new("iam/secret", secret_seeds, secret),
    Decoder::new("iam/name", || vec![b"alice".to_vec()], name),
    Decoder::new("iam/user row", || seed(0), |bytes| again(0, bytes)),
    Decoder::new("iam/group row", || seed(1), |bytes| again(1, bytes)),
    Decoder::new("iam/policy row", || seed(2), |bytes| again(2, bytes)).with_memory(16 << 10, 256),
    Decoder::new("iam/access key's body", || seed(3), |bytes| again(3, bytes)).with_memory(16 << 10, 256),
    Decoder::new("iam/token row", || seed(4), |bytes| again(4, bytes)),
    Decoder::new("iam/change row", || seed(5), |bytes| again(5, bytes)),
    Decoder::new("iam/sealed value", sealed_seeds, sealed_value),
    Decoder::new("iam/session token", session_seeds, session).with_memory(16 << 10, 256),
    // What stands behind a seal, which mangled bytes do not pass.
    Decoder::new("iam/credentials inside", inside_seeds, |bytes| row::read(bytes).is_ok()),
    Decoder::new("iam/session inside", || vec![sessions::sample_inside(&session_key())], sessions::is_inside)
        .with_memory(16 << 10, 256),
    Decoder::new("iam/change key", || vec![rows::change_key(7)], change_key),
    // The shortest pair has six bytes and becomes strings, keys of facts and a node of a tree.
    Decoder::new("iam/encryption context", context_seeds, encryption_context).with_memory(16 << 10, 400),
    Decoder::new("iam/policy of an identity", policy_seeds, identity_policy).with_memory(16 << 10, 256),
    Decoder::new("iam/policy of a bucket", bucket_policy_seeds, bucket_policy).with_memory(16 << 10, 256),
];

const ROW: &[u8] = b"iam/root";

fn key() -> GroupKey {
    GroupKey::from_bytes(&mut [3; 32])
}

fn credentials_seeds() -> Vec<Vec<u8>> {
    let random = SeededRandom::dangerous_from_seed(1);
    vec![row::seal(&Credentials::generate(&random), ROW, (3, &key()), &random)]
}

fn credentials(bytes: &[u8]) -> bool {
    static KNOWN: LazyLock<Vec<Vec<u8>>> = LazyLock::new(credentials_seeds);
    let opens = row::key_id(bytes).is_ok() && row::open(bytes, ROW, &key()).is_ok();
    assert!(!opens || KNOWN.iter().any(|known| known == bytes), "nobody else has the key");
    opens
}

fn inside_seeds() -> Vec<Vec<u8>> {
    let field =
        |text: &str| [&[u8::try_from(text.len()).unwrap_or_default(), 0, 0, 0], text.as_bytes()].concat();
    vec![[field("AKIAIOSFODNN7EXAMPLE"), field("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")].concat()]
}

fn change_key(bytes: &[u8]) -> bool {
    let Ok(seq) = rows::change_seq(bytes) else { return false };
    assert_eq!(rows::change_key(seq), bytes, "one encoding per value");
    true
}

fn context_seeds() -> Vec<Vec<u8>> {
    vec![b"{}".to_vec(), br#"{"project":"x","aws:s3:arn":"arn:aws:s3:::other/one"}"#.to_vec()]
}

/// What a client says of a key's use: what it is used for is not for clients to say.
fn encryption_context(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let mut facts = Facts::new();
    facts.set_encryption_context(text, &Arn::object("b", "k"));
    let own = Key::in_family("kms:encryptioncontext:", "aws:s3:arn").map(|own| {
        assert!(facts.values(&own).eq(["arn:aws:s3:::b/k"]), "there is one, and it is ours");
    });
    own.is_some()
}

fn access_key_seeds() -> Vec<Vec<u8>> {
    vec![b"AKIAIOSFODNN7EXAMPLE".to_vec(), b"abc".to_vec()]
}

fn access_key(bytes: &[u8]) -> bool {
    let parsed = std::str::from_utf8(bytes).ok().and_then(|text| AccessKey::parse(text).ok());
    parsed.is_some_and(|key| key.as_str().as_bytes() == bytes)
}

fn secret_seeds() -> Vec<Vec<u8>> {
    vec![b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_vec(), "pässwörter".into()]
}

fn secret(bytes: &[u8]) -> bool {
    let parsed = std::str::from_utf8(bytes).ok().and_then(|text| Secret::parse(text.to_owned()).ok());
    parsed.is_some_and(|secret| secret.dangerous_expose().as_bytes() == bytes)
}

fn name(bytes: &[u8]) -> bool {
    let parsed = std::str::from_utf8(bytes).ok().and_then(|text| Name::parse(text).ok());
    parsed.is_some_and(|name| name.as_str().as_bytes() == bytes)
}

fn seed(row: usize) -> Vec<Vec<u8>> {
    vec![samples::rows()[row].value.clone()]
}

fn again(row: usize, bytes: &[u8]) -> bool {
    static SAMPLES: LazyLock<[samples::Sample; 6]> = LazyLock::new(samples::rows);
    match (SAMPLES[row].again)(bytes) {
        Ok(encoded) => {
            assert_eq!(encoded, bytes, "what is read has one encoding");
            true
        }
        Err(_) => false,
    }
}

const SEALED_ROW: &[u8] = b"iam/key/AKID";

fn sealed_seeds() -> Vec<Vec<u8>> {
    let random = SeededRandom::dangerous_from_seed(1);
    vec![sealed::seal(b"a secret", SEALED_ROW, b"body", (3, &key()), &random)]
}

fn sealed_value(bytes: &[u8]) -> bool {
    static KNOWN: LazyLock<Vec<Vec<u8>>> = LazyLock::new(sealed_seeds);
    let opens = SealedValue::parse(bytes).is_ok_and(|value| value.open(SEALED_ROW, &key()).is_ok());
    assert!(!opens || KNOWN.iter().any(|known| known == bytes), "nobody else has the key");
    opens
}

fn session_key() -> SecretKey {
    SecretKey::from_bytes(&mut [4; 32])
}

fn session_seeds() -> Vec<Vec<u8>> {
    vec![sessions::sample(&session_key()).into_bytes()]
}

fn session(bytes: &[u8]) -> bool {
    static KNOWN: LazyLock<Vec<Vec<u8>>> = LazyLock::new(session_seeds);
    let opens = std::str::from_utf8(bytes).is_ok_and(|text| sessions::sample_opens(&session_key(), text));
    assert!(!opens || KNOWN.iter().any(|known| known == bytes), "nobody else has the key");
    opens
}

fn policy_seeds() -> Vec<Vec<u8>> {
    let documents = [
        r#"{"Version":"2012-10-17","Id":"x","Statement":[{"Sid":"a","Effect":"Allow","Action":["s3:Get*","kms:Decrypt"],"Resource":["arn:aws:s3:::b/${aws:username, 'x'}/*"],"Condition":{"StringLike":{"s3:prefix":["a*","?"]},"IpAddress":{"aws:SourceIp":"10.0.0.0/8"},"DateLessThan":{"aws:CurrentTime":"2030-01-01T00:00:00Z"}}}]}"#,
        r#"{"Statement":{"Effect":"Deny","NotAction":"s3:*","NotResource":"*","Condition":{"ForAllValues:NumericLessThanEqualsIfExists":{"s3:max-keys":[10,1.5]},"Null":{"s3:ExistingObjectTag/a":true},"ArnLike":{"aws:PrincipalArn":"arn:*:iam::*:user/*"},"BinaryEquals":{"s3:versionid":"QUJD"}}}}"#,
    ];
    documents.map(|text| text.as_bytes().to_vec()).to_vec()
}

fn bucket_policy_seeds() -> Vec<Vec<u8>> {
    let documents = [
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"},{"Effect":"Deny","NotPrincipal":{"AWS":["bob","arn:aws:iam::strongroom:root"]},"Action":"s3:*","Resource":["arn:aws:s3:::b","arn:aws:s3:::b/*"]}]}"#,
    ];
    documents.map(|text| text.as_bytes().to_vec()).to_vec()
}

fn identity_policy(bytes: &[u8]) -> bool {
    evaluated(bytes, Policy::parse_identity)
}

fn bucket_policy(bytes: &[u8]) -> bool {
    evaluated(bytes, |text| Policy::parse_bucket(text, "b"))
}

/// Reads a document and, if it is a policy, evaluates it.
fn evaluated(bytes: &[u8], parse: impl Fn(&str) -> Result<Policy, crate::PolicyError>) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let policy = match parse(text) {
        Ok(policy) => policy,
        Err(error) => {
            assert!(error.to_string().len() < 1024, "an error does not repeat the document");
            return false;
        }
    };
    assert_eq!(policy.to_json(), text);
    let mut facts = Facts::new();
    facts.set("s3:prefix", "abc");
    facts.set("aws:sourceip", "10.1.1.1");
    let request = Request {
        action: "s3:getobject",
        resource: "arn:aws:s3:::b/k",
        identity: &Identity::Anonymous,
        user_id: None,
        facts: &facts,
        now: 1_600_000_000,
    };
    // The same question has the same answer.
    let verdict: Verdict = policy.evaluate(&request);
    assert_eq!(policy.evaluate(&request), verdict);
    let _ = policy.is_public();
    true
}
