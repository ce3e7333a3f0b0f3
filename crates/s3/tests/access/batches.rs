//! What the document of a batch says of an object are that object's facts; what the batch itself says are nobody's.

use reqwest::Method;

use super::operations::md5_of;
use super::{Call, Keys, Setup, statement};

/// A batch of one object.
fn batch(inside: &str) -> Call {
    let body = format!("<Delete><Object>{inside}</Object></Delete>");
    let md5 = md5_of(&body);
    Call::new(Method::POST, "/bkt").query("delete", "").header("content-md5", &md5).body(body)
}

/// Whether the one object was deleted; otherwise the answer says why not.
async fn deletes(setup: &Setup, user: &Keys, call: Call) -> Result<(), String> {
    let answer = setup.by(user, call).await.ok();
    match answer.text().contains("<Deleted>") {
        true => Ok(()),
        false => Err(answer.element("Code").to_owned()),
    }
}

fn denied() -> Result<(), String> {
    Err("AccessDenied".to_owned())
}

#[tokio::test]
async fn version_of_an_object_in_a_batch_is_what_conditions_ask_for() {
    let setup = Setup::new().await;
    let on = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    setup.root(Call::put("/bkt", on).query("versioning", "")).await.ok();
    let put = || async {
        let stored = setup.root(Call::put("/bkt/k", "x")).await.ok();
        stored.header("x-amz-version-id").unwrap().to_owned()
    };
    let (kept, free) = (put().await, put().await);
    let all = statement("Allow", &["s3:*"], "*");
    let deny = format!(
        r#"{{"Effect":"Deny","Action":"s3:DeleteObjectVersion","Resource":"*",
            "Condition":{{"StringEquals":{{"s3:VersionId":"{kept}"}}}}}}"#
    );
    let user = setup.user("u", &[all, deny].join(",")).await;
    let version = |id: &str| batch(&format!("<Key>k</Key><VersionId>{id}</VersionId>"));
    assert_eq!(deletes(&setup, &user, version(&kept)).await, denied());
    // A version that the address of the batch names is none of its objects'.
    assert_eq!(deletes(&setup, &user, version(&kept).query("versionId", &free)).await, denied());
    assert_eq!(deletes(&setup, &user, version(&free).query("versionId", &kept)).await, Ok(()));
    setup.root(Call::get("/bkt/k").query("versionId", &kept)).await.ok();
    // Nor does it fulfil a condition for an object that names another version, or none.
    let only = format!(
        r#"{{"Effect":"Allow","Action":["s3:DeleteObject","s3:DeleteObjectVersion"],"Resource":"*",
            "Condition":{{"StringEquals":{{"s3:VersionId":"{free}"}}}}}}"#
    );
    setup.policy("u", &only).await;
    assert_eq!(deletes(&setup, &user, version(&kept).query("versionId", &free)).await, denied());
    assert_eq!(deletes(&setup, &user, batch("<Key>k</Key>").query("versionId", &free)).await, denied());
}

#[tokio::test]
async fn condition_of_an_object_in_a_batch_is_its_own() {
    let setup = Setup::new().await;
    let if_matched = r#"{"Effect":"Allow","Action":"s3:DeleteObject","Resource":"*",
        "Condition":{"Null":{"s3:if-match":"false"}}}"#;
    let user = setup.user("u", if_matched).await;
    let without = || batch("<Key>k</Key>");
    assert_eq!(deletes(&setup, &user, without()).await, denied());
    assert_eq!(deletes(&setup, &user, without().header("if-match", "*")).await, denied());
    assert_eq!(deletes(&setup, &user, batch("<Key>k</Key><ETag>*</ETag>")).await, Ok(()));
}

#[tokio::test]
async fn condition_in_a_batch_tells_nothing_to_who_may_not_read_the_object() {
    let setup = Setup::new().await;
    let found = setup.root(Call::get("/bkt/k")).await.ok();
    let right = found.header("etag").unwrap().trim_matches('"').to_owned();
    let wrong = "0".repeat(32);
    let delete = statement("Allow", &["s3:DeleteObject"], "*");
    let user = setup.user("u", &delete).await;
    let size = |size: &str| batch(&format!("<Key>k</Key><Size>{size}</Size>"));
    let tag = |tag: &str| batch(&format!("<Key>k</Key><ETag>{tag}</ETag>"));
    for call in [tag(&right), tag(&wrong), size("7"), size("8")] {
        assert_eq!(deletes(&setup, &user, call).await, denied());
    }
    setup.policy("u", &[delete, statement("Allow", &["s3:GetObject"], "*")].join(",")).await;
    for call in [tag(&wrong), size("8")] {
        assert_eq!(deletes(&setup, &user, call).await, Err("PreconditionFailed".to_owned()));
    }
    assert_eq!(deletes(&setup, &user, tag(&right)).await, Ok(()));
}
