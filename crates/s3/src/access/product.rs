//! Identity × action × resource × condition × effect, all of it, through the decision that the face calls.
//!
//! The store, the identities, the policies and the tags are real, and so are the facts, which are read from the head of a
//! request. What is left out is HTTP: `tests/access/sample.rs` sends a sample of the same table through a listener.
//! What has to come out is said by `tests/access/oracle.rs`, which knows AWS's rules and nothing of our code.

use std::collections::BTreeSet;
use std::path::Path;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use strongroom_iam::{AccessKey, Facts, Iam, Identity, ServiceAccountSpec, SessionSpec, Target as To};
use strongroom_objects::request::{CreateBucket, PutRequest};
use strongroom_objects::{
    BucketName, BucketSettings, Content, DocumentKind, KmsUse, ObjectMeta, ObjectName, Objects, SseRequest,
    Tags,
};
use strongroom_telemetry::RequestId;
use time::OffsetDateTime;

use super::{Asker, Authority, KeyUse, Resource, facts};
use crate::error::ApiError;
use crate::request::RequestState;

#[path = "../../tests/access/oracle.rs"]
mod oracle;
#[path = "../../tests/support/mod.rs"]
mod support;

use oracle::{ACTIONS, CLASSES, CONDITIONS, How, Level, Outcome, Policy, Principal, Target, Who};

#[test]
fn every_action_that_the_code_asks_for_is_in_the_table() {
    let mut asked = BTreeSet::new();
    actions_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut asked);
    let table: BTreeSet<String> = ACTIONS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert!(asked.len() > 70, "they are found: {asked:?}");
    assert_eq!(asked, table, "an action that is not in the table is decided by nobody's rules");
}

/// Names of actions in the sources of a folder: those of keys of conditions begin with a small letter.
fn actions_in(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            actions_in(&path, found);
            continue;
        }
        if path.file_name().is_some_and(|name| name == "product.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for text in code.split('"') {
            let Some((service, name)) = text.split_once(':') else { continue };
            let is_name = name.starts_with(|first: char| first.is_ascii_uppercase())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
            if ["s3", "kms"].contains(&service) && is_name {
                found.insert(text.to_owned());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_be_done_is_what_the_rules_of_aws_say() {
    let dir = tempfile::tempdir().unwrap();
    let setup = Setup::new(dir.path()).await;
    let mut seen = [0_usize; 3];
    for condition in 0..CONDITIONS.len() {
        for round in 0..CLASSES.len() {
            for principal in [Principal::Other, Principal::Everybody] {
                let own = Policy { round, condition, principal: None };
                // Other classes than those of the identities' policy meet it in each round.
                let shift = if principal == Principal::Other { 1 } else { 1 + condition % 5 };
                let of_bucket = Policy { round: round + shift, condition, principal: Some(principal) };
                setup.set(&own, &of_bucket).await;
                for who in Who::ALL {
                    for (outcome, count) in setup.compare(who, &own, &of_bucket).await.iter().zip(&mut seen) {
                        *count += outcome;
                    }
                }
            }
        }
    }
    // The table decides something: none of the outcomes is a rare one.
    let total: usize = seen.iter().sum();
    assert!(total > 400_000 && seen.iter().all(|count| count * 10 > total), "{seen:?}");
}

struct Setup {
    authority: Authority,
    iam: Iam,
    objects: Objects,
    account: Identity,
    session: Identity,
}

impl Setup {
    async fn new(dir: &Path) -> Self {
        let (objects, iam) = support::parts(dir).await;
        for bucket in ["bkt", "other"] {
            let bucket = BucketName::parse(bucket).unwrap();
            let request = CreateBucket { owner: "me".into(), settings: BucketSettings::default() };
            objects.create_bucket(&bucket, request).await.unwrap();
            objects.set_public_access_block(&bucket, None).await.unwrap();
            for key in ["in/k", "out/k"] {
                objects.put(put(&bucket, key)).await.unwrap();
            }
        }
        let root = &Identity::Root;
        let first = Policy { round: 0, condition: 0, principal: None };
        iam.put_policy(root, "p", &first.json(), None).await.unwrap();
        for name in ["u", "m", "o"] {
            iam.create_user(root, name).await.unwrap();
        }
        iam.create_group(root, "g").await.unwrap();
        iam.add_to_group(root, "g", "m").await.unwrap();
        for to in [To::User("u".into()), To::Group("g".into())] {
            iam.attach_policy(root, "p", &to).await.unwrap();
        }
        let bound = oracle::ACCOUNT_BOUND.json();
        let spec = ServiceAccountSpec { policy: Some(&bound), ..ServiceAccountSpec::default() };
        let account = iam.create_service_account(root, &user("u"), spec).await.unwrap();
        let bound = oracle::SESSION_BOUND.json();
        let spec = SessionSpec { name: "job", duration_seconds: 3600, policy: Some(&bound) };
        let session = iam.assume_role(&user("u"), &spec).unwrap();
        let found = |key: &AccessKey, token: Option<&str>| iam.look_up(key.as_str(), token).unwrap().0;
        Self {
            authority: Authority::new(iam.clone(), objects.clone()),
            account: found(&account.access_key, None),
            session: found(&session.access_key, Some(&session.session_token)),
            iam,
            objects,
        }
    }

    fn identity(&self, who: Who) -> Identity {
        match who {
            Who::Root => Identity::Root,
            Who::User => user("u"),
            Who::Member => user("m"),
            Who::Other => user("o"),
            Who::Account => self.account.clone(),
            Who::Session => self.session.clone(),
            Who::Anonymous => Identity::Anonymous,
        }
    }

    async fn set(&self, own: &Policy, of_bucket: &Policy) {
        self.iam.put_policy(&Identity::Root, "p", &own.json(), None).await.unwrap();
        let json = of_bucket.json();
        // One that cannot be read would be taken for one that allows nothing.
        strongroom_iam::Policy::parse_bucket(&json, "bkt").unwrap();
        let bucket = BucketName::parse("bkt").unwrap();
        let set = self.objects.set_bucket_document(&bucket, DocumentKind::Policy, Some(json.into_bytes()));
        set.await.unwrap();
    }

    /// Asks for every action on every resource, and counts what came out.
    async fn compare(&self, who: Who, own: &Policy, of_bucket: &Policy) -> [usize; 3] {
        let asker = asker(self.identity(who), CONDITIONS[own.condition].how);
        let mut counts = [0; 3];
        let mut facts_of = Vec::new();
        for target in Target::of(Level::Object) {
            facts_of.push((*target, self.facts(&asker, *target).await));
        }
        for (index, (action, level)) in ACTIONS.iter().enumerate() {
            for target in Target::of(*level) {
                let facts = facts_of.iter().find(|(of, _)| of == target).map(|(_, facts)| facts);
                let told = self.ask(&asker, action, *target, facts.unwrap_or(&asker.facts));
                let expected = oracle::outcome(own, Some(of_bucket), who, index, *target);
                let said = match &told {
                    Ok(()) => Outcome::Allowed,
                    Err(error) if error.message.contains("explicit deny") => Outcome::DeniedInWords,
                    Err(_) => Outcome::NotAllowed,
                };
                // Who did not sign is told no reason, and needs a signature where keys are used.
                let fits = match who {
                    Who::Anonymous => (said == Outcome::Allowed) == (expected == Outcome::Allowed),
                    _ => said == expected,
                };
                assert!(
                    fits,
                    "{who:?} {action} {target:?}: {said:?} and not {expected:?}\nown: {}\nof the bucket: {}\nasked {:?}",
                    own.json(),
                    of_bucket.json(),
                    CONDITIONS[own.condition].how,
                );
                counts[expected as usize] += 1;
            }
        }
        counts
    }

    /// The request's, and the tags of what is there, as the gate adds them.
    async fn facts(&self, asker: &Asker, target: Target) -> Facts {
        let mut facts = asker.facts.clone();
        if let Target::Object(bucket, key) = target
            && let Some(tags) = self.authority.existing_tags(asker, bucket, key, None).await.unwrap()
        {
            super::authority::with_existing(&mut facts, &tags);
        }
        facts
    }

    fn ask(
        &self,
        asker: &Asker,
        action: &'static str,
        target: Target,
        facts: &Facts,
    ) -> Result<(), ApiError> {
        let resource = match target {
            Target::Service => Resource::Service,
            Target::Bucket(bucket) => Resource::Bucket(bucket),
            Target::Object(bucket, key) => Resource::Object(bucket, key),
            Target::Key(id) => {
                let purpose = match action {
                    "kms:Decrypt" => KeyUse::Decrypt,
                    _ => KeyUse::Encrypt,
                };
                let used = KmsUse { key_id: id.to_owned(), context: None, bucket_key: false };
                let object = Resource::Object("bkt", "in/k");
                return self.authority.require_key(asker, purpose, &used, object, "us-east-1");
            }
        };
        self.authority.require(asker, action, resource, facts)
    }
}

fn user(name: &str) -> Identity {
    Identity::User { name: strongroom_iam::Name::parse(name).unwrap() }
}

/// Who asks in this way, with the facts that the face reads from such a request.
fn asker(identity: Identity, how: How) -> Asker {
    const SSE: &str = "x-amz-server-side-encryption";
    let uri = match how {
        How::WithPrefix => Uri::from_static("/bkt?prefix=u%2Fx"),
        _ => Uri::from_static("/bkt"),
    };
    let mut headers = HeaderMap::new();
    match how {
        How::WithAes => drop(headers.insert(SSE, HeaderValue::from_static("AES256"))),
        How::WithKms(key) => {
            headers.insert(SSE, HeaderValue::from_static("aws:kms"));
            let name = HeaderName::from_static("x-amz-server-side-encryption-aws-kms-key-id");
            headers.insert(name, HeaderValue::from_static(key));
        }
        _ => {}
    }
    let peer = "127.0.0.1:4711".parse().unwrap();
    let state = RequestState::new(RequestId::from_random([0; 16]), how == How::OverTls, Some(peer));
    let read = || facts::of_request(&uri, &headers, &state, OffsetDateTime::UNIX_EPOCH);
    Asker::new(identity, Some("bkt"), read).unwrap()
}

fn put(bucket: &BucketName, key: &str) -> PutRequest {
    let tags: Tags = vec![("project".to_owned(), "red".to_owned())];
    PutRequest {
        bucket: bucket.clone(),
        name: ObjectName::parse(key.to_owned()).unwrap(),
        content: Content::empty(),
        meta: ObjectMeta { tags, ..ObjectMeta::default() },
        sse: SseRequest::Default,
        conditions: Default::default(),
        checksums: Default::default(),
        content_md5: None,
    }
}
