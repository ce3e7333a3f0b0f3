//! Kinds of identities, and keys of the key management.

use reqwest::Method;
use strongroom_iam::Identity;
use strongroom_objects::BucketName;

use super::tokens::{ASSUME, keys_of, sts};
use super::{Call, Keys, Setup, denied, get, statement};

const KMS: &str = "aws:kms";
const SSE: &str = "x-amz-server-side-encryption";

#[tokio::test]
async fn group_bucket_policy_and_deny_come_together() {
    let setup = Setup::new().await;
    let user = setup.user("u", &statement("Allow", &["s3:GetObject"], "arn:aws:s3:::bkt/*")).await;
    setup.by(&user, get("/bkt/k")).await.ok();
    // The bucket's policy denies what the user's own allows, for this user only.
    let deny = r#"{"Effect":"Deny","Principal":{"AWS":"arn:aws:iam::strongroom:user/u"},"Action":"s3:GetObject",
        "Resource":"arn:aws:s3:::bkt/*"}"#;
    setup.bucket_policy("bkt", deny).await;
    assert!(denied(&setup.by(&user, get("/bkt/k")).await));
    setup.root(get("/bkt/k")).await.ok();
    // And it allows what the user's own says nothing of.
    let allow = r#"{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::strongroom:user/u"},"Action":"s3:PutObject",
        "Resource":"arn:aws:s3:::bkt/*"}"#;
    setup.bucket_policy("bkt", allow).await;
    setup.by(&user, Call::put("/bkt/new", "x")).await.ok();
    // Who is disabled may do nothing, at once.
    setup.iam.set_user_state(&Identity::Root, "u", strongroom_iam::State::Disabled).await.unwrap();
    assert_eq!(setup.by(&user, get("/bkt/k")).await.status, 403);
}

#[tokio::test]
async fn unknown_keys_and_wrong_signatures_are_told_apart() {
    let setup = Setup::new().await;
    let user = setup.user("u", &statement("Allow", &["s3:*"], "*")).await;
    let unknown = super::Keys { access_key: "AKIDNOBODY".into(), ..user.clone() };
    assert_eq!(setup.by(&unknown, get("/bkt/k")).await.error(), (403, "InvalidAccessKeyId"));
    let wrong = super::Keys { secret: "another secret".into(), ..user };
    assert_eq!(setup.by(&wrong, get("/bkt/k")).await.error(), (403, "SignatureDoesNotMatch"));
}

#[tokio::test]
async fn keys_of_the_key_management_need_a_permission_of_their_own() {
    let setup = Setup::new().await;
    let stored = setup.root(Call::put("/bkt/kms", "secret").header(SSE, KMS)).await.ok();
    let arn = stored.header("x-amz-server-side-encryption-aws-kms-key-id").unwrap();
    let key_id = arn.rsplit('/').next().unwrap().to_owned();
    let s3 = statement("Allow", &["s3:*"], "*");
    let with = |actions: &[&str], key: &str| {
        [s3.clone(), statement("Allow", actions, &format!("arn:aws:kms:::key/{key}"))].join(",")
    };
    let user = setup.user("u", &s3).await;
    let put = || Call::put("/bkt/mine", "x").header(SSE, KMS);
    let copy = || Call::put("/bkt/plain", "").header("x-amz-copy-source", "/bkt/kms").header(SSE, "AES256");
    let begin = || Call::new(Method::POST, "/bkt/parts").query("uploads", "").header(SSE, KMS);
    for call in [put(), get("/bkt/kms"), copy(), begin()] {
        let answer = setup.by(&user, call).await;
        assert!(denied(&answer), "{}", answer.status);
        assert!(answer.element("Message").contains("kms:"), "{}", answer.text());
    }
    // Metadata is not encrypted with it.
    setup.by(&user, Call::new(Method::HEAD, "/bkt/kms")).await.ok();

    setup.policy("u", &with(&["kms:GenerateDataKey"], &key_id)).await;
    setup.by(&user, put()).await.ok();
    assert!(denied(&setup.by(&user, get("/bkt/mine")).await));
    assert!(denied(&setup.by(&user, copy()).await));
    let upload = setup.by(&user, begin()).await.ok().element("UploadId").to_owned();
    let part = || Call::put("/bkt/parts", "x").query("partNumber", "1").query("uploadId", &upload);
    assert!(denied(&setup.by(&user, part()).await));

    setup.policy("u", &with(&["kms:Decrypt"], &key_id)).await;
    assert_eq!(setup.by(&user, get("/bkt/kms")).await.ok().body, b"secret");
    setup.by(&user, copy()).await.ok();
    setup.by(&user, part()).await.ok();
    assert!(denied(&setup.by(&user, put()).await));

    setup.policy("u", &with(&["kms:*"], "another-key")).await;
    assert!(denied(&setup.by(&user, get("/bkt/kms")).await));
    // What the bucket does by itself needs the permission as well.
    setup
        .objects
        .set_default_encryption(
            &BucketName::parse("bkt").unwrap(),
            strongroom_objects::DefaultEncryption::Kms { key_id: None, bucket_key: false },
        )
        .await
        .unwrap();
    assert!(denied(&setup.by(&user, Call::put("/bkt/by-default", "x")).await));
    setup.by(&user, Call::put("/bkt/by-default", "x").header(SSE, "AES256")).await.ok();
    setup.policy("u", &with(&["kms:*"], &key_id)).await;
    setup.by(&user, Call::put("/bkt/by-default", "x")).await.ok();
}

#[tokio::test]
async fn service_account_does_what_its_parent_may_within_its_policy() {
    let setup = Setup::new().await;
    setup.user("u", &statement("Allow", &["s3:GetObject", "s3:PutObject"], "arn:aws:s3:::bkt/*")).await;
    let user = Identity::User { name: strongroom_iam::Name::parse("u").unwrap() };
    let bound = super::policy(&statement("Allow", &["s3:GetObject", "s3:DeleteObject"], "*"));
    let spec = strongroom_iam::ServiceAccountSpec { policy: Some(&bound), ..Default::default() };
    let made = setup.iam.create_service_account(&Identity::Root, &user, spec).await.unwrap();
    let keys = super::Keys {
        access_key: made.access_key.to_string(),
        secret: made.secret.dangerous_expose().to_owned(),
        token: None,
    };
    setup.by(&keys, get("/bkt/k")).await.ok();
    assert!(denied(&setup.by(&keys, Call::put("/bkt/k", "x")).await), "beyond its own policy");
    assert!(denied(&setup.by(&keys, Call::new(Method::DELETE, "/bkt/k")).await), "beyond its parent's");
}

#[tokio::test]
async fn refusal_says_which_kind_of_policy_it_comes_from() {
    let setup = Setup::new().await;
    let own = statement("Allow", &["s3:GetObject", "s3:PutObject"], "*");
    let user = setup.user("u", &own).await;
    let session = {
        let bound = super::policy(&statement("Allow", &["s3:GetObject"], "*"));
        let fields = [&ASSUME[..], &[("Policy", &*bound)]].concat();
        keys_of(&sts(&setup, &user, "sts", &fields).await.ok())
    };
    let told = async |keys: &Keys, call: Call| {
        let answer = setup.by(keys, call).await;
        assert_eq!(answer.error(), (403, "AccessDenied"), "{}", answer.text());
        let message = answer.element("Message").to_owned();
        message.split_once("&quot; ").map(|(_, why)| why.to_owned()).unwrap_or(message)
    };
    let delete = || Call::new(Method::DELETE, "/bkt/k");
    assert_eq!(
        told(&user, delete()).await,
        "because no identity-based policy allows the s3:DeleteObject action"
    );
    assert_eq!(
        told(&session, Call::put("/bkt/new", "x")).await,
        "because no session policy allows the s3:PutObject action"
    );
    let deny = r#"{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::bkt/*"}"#;
    setup.bucket_policy("bkt", deny).await;
    assert_eq!(told(&user, get("/bkt/k")).await, "with an explicit deny in a resource-based policy");
    setup.policy("u", &statement("Deny", &["s3:GetObject"], "*")).await;
    assert_eq!(told(&user, get("/bkt/k")).await, "with an explicit deny in an identity-based policy");
}
