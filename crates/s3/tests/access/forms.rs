//! Uploads by HTML forms.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::support::client::hmac;
use super::{Answer, Call, Keys, Setup, denied, get, statement};

/// A form in the making.
pub(super) struct Form {
    fields: Vec<(String, String)>,
    conditions: Vec<String>,
    expires: Duration,
    file: Vec<u8>,
}

impl Form {
    pub(super) fn new(key: &str) -> Self {
        let mut form = Self {
            fields: Vec::new(),
            conditions: vec![r#"{"bucket":"bkt"}"#.to_owned()],
            expires: Duration::minutes(5),
            file: b"from a form".to_vec(),
        };
        form = form.field("key", key);
        form
    }

    /// A field, and the condition that it is as it is.
    pub(super) fn field(mut self, name: &str, value: &str) -> Self {
        self.conditions.push(format!("[\"eq\", \"${name}\", {}]", serde_json(value)));
        self.without_condition(name, value)
    }

    fn without_condition(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    fn condition(mut self, condition: &str) -> Self {
        self.conditions.push(condition.to_owned());
        self
    }

    fn file(mut self, file: &[u8]) -> Self {
        self.file = file.to_vec();
        self
    }

    pub(super) fn signed(mut self, keys: &Keys) -> Self {
        let now = OffsetDateTime::now_utc();
        let format = time::macros::format_description!("[year][month][day]T[hour][minute][second]Z");
        let stamp = now.format(format).unwrap();
        let scope = format!("{}/us-east-1/s3/aws4_request", &stamp[..8]);
        self = self
            .field("x-amz-algorithm", "AWS4-HMAC-SHA256")
            .field("x-amz-credential", &format!("{}/{scope}", keys.access_key))
            .field("x-amz-date", &stamp);
        if let Some(token) = &keys.token {
            self = self.field("x-amz-security-token", &token.clone());
        }
        let expires = (now + self.expires).format(&Rfc3339).unwrap();
        let policy =
            format!("{{\"expiration\":\"{expires}\",\"conditions\":[{}]}}", self.conditions.join(","));
        let policy = STANDARD.encode(policy);
        let mut key = hmac(format!("AWS4{}", keys.secret).as_bytes(), &stamp.as_bytes()[..8]);
        for part in ["us-east-1", "s3", "aws4_request"] {
            key = hmac(&key, part.as_bytes());
        }
        let signature = hex::encode(hmac(&key, policy.as_bytes()));
        self.without_condition("policy", &policy).without_condition("x-amz-signature", &signature)
    }

    pub(super) async fn send(&self, setup: &Setup) -> Answer {
        let mut body = Vec::new();
        for (name, value) in &self.fields {
            body.extend_from_slice(
                format!("--xyz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
                    .as_bytes(),
            );
        }
        body.extend_from_slice(
            b"--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"cat.gif\"\r\n\
              Content-Type: image/gif\r\n\r\n",
        );
        body.extend_from_slice(&self.file);
        body.extend_from_slice(
            b"\r\n--xyz\r\nContent-Disposition: form-data; name=\"submit\"\r\n\r\nGo\r\n--xyz--\r\n",
        );
        let kind = ("content-type".to_owned(), "multipart/form-data; boundary=xyz".to_owned());
        let mut call = Call::new(Method::POST, "/bkt").body(body);
        call.headers.clear();
        setup.client.send_as(call, vec![kind]).await
    }
}

fn serde_json(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

pub(super) fn root() -> Keys {
    Keys {
        access_key: super::support::ACCESS_KEY.to_owned(),
        secret: super::support::SECRET.to_owned(),
        token: None,
    }
}

#[tokio::test]
async fn form_becomes_an_object_with_all_it_says() {
    let setup = Setup::new().await;
    let tags = "<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>";
    let form = Form::new("up/cat.gif")
        .field("Content-Type", "image/gif")
        .field("x-amz-meta-who", "me")
        .field("tagging", tags)
        .field("x-amz-server-side-encryption", "aws:kms")
        .field("success_action_status", "201")
        .without_condition("x-ignore-me", "1")
        .condition(r#"["content-length-range", 1, 100]"#)
        .signed(&root());
    let answer = form.send(&setup).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!((answer.element("Bucket"), answer.element("Key")), ("bkt", "up/cat.gif"));
    assert_eq!(answer.header("x-amz-server-side-encryption"), Some("aws:kms"));
    assert!(answer.header("location").unwrap().ends_with("/bkt/up/cat.gif"));
    let stored = setup.root(get("/bkt/up/cat.gif")).await.ok();
    assert_eq!(stored.body, b"from a form");
    assert_eq!(stored.header("content-type"), Some("image/gif"));
    assert_eq!(stored.header("x-amz-meta-who"), Some("me"));
    assert_eq!(stored.header("x-amz-tagging-count"), Some("1"));
    assert_eq!(stored.header("etag"), answer.header("etag"));
}

#[tokio::test]
async fn customer_key_may_come_in_a_form() {
    use md5::{Digest, Md5};
    let setup = Setup::new().await;
    let (key, md5) = (STANDARD.encode([7; 32]), STANDARD.encode(Md5::digest([7; 32])));
    let names =
        ["algorithm", "key", "key-MD5"].map(|end| format!("x-amz-server-side-encryption-customer-{end}"));
    let mut form = Form::new("sealed");
    let mut read = get("/bkt/sealed");
    for (name, value) in names.iter().zip(["AES256", &key, &md5]) {
        form = form.field(name, value);
        read = read.header(&name.to_lowercase(), value);
    }
    assert_eq!(form.signed(&root()).send(&setup).await.status, 204);
    assert_eq!(setup.root(read).await.ok().body, b"from a form");
    assert_eq!(setup.root(get("/bkt/sealed")).await.status, 400);
}

#[tokio::test]
async fn large_file_streams_and_boundaries_inside_are_content() {
    let setup = Setup::new().await;
    let mut file: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    file.splice(1000..1000, b"\r\n--xy\r\n--xyy--\r\n".iter().copied());
    let form = Form::new("large").file(&file).signed(&root());
    assert_eq!(form.send(&setup).await.status, 204);
    assert_eq!(setup.root(get("/bkt/large")).await.ok().body, file);
}

#[tokio::test]
async fn what_the_policy_does_not_allow_is_not_stored() {
    let setup = Setup::new().await;
    let code = |answer: &Answer| (answer.status.as_u16(), answer.element("Code").to_owned());
    let sized = |range: &str| Form::new("no").condition(&format!("[\"content-length-range\", {range}]"));
    let mut late = Form::new("no");
    late.expires = Duration::seconds(-1);
    let mut tampered = Form::new("yes").signed(&root());
    tampered.fields[0].1 = "no".to_owned();
    let mut forged = Form::new("no").signed(&root());
    forged.fields.last_mut().unwrap().1 = "0".repeat(64);
    for (what, form, expected) in [
        ("too large", sized("0, 10").signed(&root()), (400, "EntityTooLarge")),
        ("too small", sized("12, 100").signed(&root()), (400, "EntityTooSmall")),
        ("late", late.signed(&root()), (403, "AccessDenied")),
        ("tampered", tampered, (403, "AccessDenied")),
        ("forged", forged, (403, "SignatureDoesNotMatch")),
        (
            "extra",
            Form::new("no").signed(&root()).without_condition("x-amz-meta-a", "1"),
            (403, "AccessDenied"),
        ),
        (
            "another's key",
            Form::new("no").signed(&Keys { access_key: "AKID".into(), ..root() }),
            (403, "InvalidAccessKeyId"),
        ),
        ("unsigned", Form::new("no"), (403, "AccessDenied")),
        (
            "bad encryption",
            Form::new("no").field("x-amz-server-side-encryption", "rot13").signed(&root()),
            (400, "InvalidArgument"),
        ),
    ] {
        let answer = form.send(&setup).await;
        assert_eq!(code(&answer), (expected.0, expected.1.to_owned()), "{what}: {}", answer.text());
        assert_eq!(setup.root(get("/bkt/no")).await.status, 404, "{what}");
    }
}

#[tokio::test]
async fn form_does_what_its_signer_may() {
    let setup = Setup::new().await;
    let user = setup.user("u", &statement("Allow", &["s3:PutObject"], "arn:aws:s3:::bkt/mine/*")).await;
    assert_eq!(Form::new("mine/x").signed(&user).send(&setup).await.status, 204);
    assert!(denied(&Form::new("theirs/x").signed(&user).send(&setup).await));
    let tagging = "<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>";
    assert!(denied(&Form::new("mine/x").field("tagging", tagging).signed(&user).send(&setup).await));
    let kms = Form::new("mine/x").field("x-amz-server-side-encryption", "aws:kms").signed(&user);
    assert!(denied(&kms.send(&setup).await));
    // The file's name is put in before anything is decided.
    assert_eq!(Form::new("mine/cat.gif").signed(&user).send(&setup).await.status, 204);
    let mut named = Form::new("mine/cat.gif").signed(&user);
    named.fields[0].1 = "mine/${filename}".to_owned();
    assert_eq!(named.send(&setup).await.status, 204);
    // Strangers may where the bucket lets them.
    setup.bucket_policy(
        "bkt",
        r#"{"Effect":"Allow","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::bkt/inbox/*"}"#,
    )
    .await;
    setup.unblock("bkt").await;
    assert_eq!(Form::new("inbox/x").send(&setup).await.status, 204);
    assert!(denied(&Form::new("mine/x").send(&setup).await));
}
