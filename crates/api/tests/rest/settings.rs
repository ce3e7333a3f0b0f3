//! Buckets and their encryption.

use crate::support::Server;

const PATH: &str = "/api/v1/buckets/photos/encryption";

#[tokio::test]
async fn encryption_is_set_in_the_form_that_clients_know() {
    let server = Server::start().await;
    server.bucket("photos").await;
    let fresh = server.root("GET", PATH, &[], "").await;
    assert_eq!(fresh.json()["algorithm"], "AES256");
    assert_eq!(fresh.json()["enabled"], true);
    let body = r#"{"enabled": true, "algorithm": "aws:kms", "bucket_key_enabled": true}"#;
    let set = server.root("PUT", PATH, &[], body).await;
    assert_eq!((set.status, set.json()["algorithm"].as_str()), (200, Some("aws:kms")), "{set:?}");
    assert_eq!(set.json()["bucket_key_enabled"], true);
    let stored =
        server.root("PUT", "/api/v1/buckets/photos/objects/b", &["Content-Type: text/plain"], "b").await;
    assert_eq!(stored.json()["encryption"]["algorithm"], "aws:kms");
    for off in [r#"{"enabled": false}"#, ""] {
        let method = if off.is_empty() { "DELETE" } else { "PUT" };
        let reset = server.root(method, PATH, &[], off).await;
        assert_eq!((reset.status, reset.json()["algorithm"].as_str()), (200, Some("AES256")), "{reset:?}");
        assert_eq!(reset.json()["enabled"], true, "nothing is ever stored in the clear");
    }
    let missing = server.root("PUT", PATH, &[], r#"{"enabled": true, "kms_key_id": "no-such-key"}"#).await;
    assert_eq!(
        (missing.status, missing.json()["error"]["code"].as_str()),
        (400, Some("KMS.NotFoundException"))
    );
}

#[tokio::test]
async fn change_of_a_setting_that_somebody_else_changed_is_refused() {
    let server = Server::start().await;
    server.bucket("photos").await;
    let seen = server.root("GET", PATH, &[], "").await.headers["etag"].clone();
    let matching = format!("If-Match: {seen}");
    let body = r#"{"enabled": true, "algorithm": "aws:kms"}"#;
    let first = server.root("PUT", PATH, &[&matching], body).await;
    assert_eq!(first.status, 200);
    assert_ne!(first.headers["etag"], seen);
    for method in ["PUT", "DELETE"] {
        let second = server.root(method, PATH, &[&matching], if method == "PUT" { body } else { "" }).await;
        assert_eq!(
            (second.status, second.json()["error"]["code"].as_str()),
            (412, Some("PreconditionFailed"))
        );
    }
    let again = format!("If-Match: {}", first.headers["etag"]);
    assert_eq!(server.root("DELETE", PATH, &[&again], "").await.status, 200);
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused_by_name() {
    let server = Server::start().await;
    server.bucket("photos").await;
    let long = format!("{{\"enabled\": true, \"kms_key_id\": \"{}\"}}", "k".repeat(70_000));
    for (headers, body, status, code) in [
        (&[][..], r#"{"enabled": true, "key": "k"}"#, 400, "MalformedBody"),
        (&[][..], r#"{"enabled": "yes"}"#, 400, "MalformedBody"),
        (&[][..], r#"{"enabled": true, "algorithm": "ROT13"}"#, 400, "MalformedBody"),
        (&[][..], "{", 400, "MalformedBody"),
        (&[][..], r#"[true, "AES256"]"#, 400, "MalformedBody"),
        (&["Content-Type: text/plain"][..], "{}", 415, "NotJson"),
        (&[][..], &long, 413, "BodyTooLarge"),
        (&["If-None-Match: \"a\""][..], r#"{"enabled": true}"#, 400, "InvalidHeader"),
    ] {
        let refused = server.root("PUT", PATH, headers, body).await;
        let told = refused.json()["error"]["code"].as_str().unwrap_or_default().to_owned();
        assert_eq!((refused.status, told.as_str()), (status, code), "{refused:?}");
    }
    for (path, status, code) in [
        ("/api/v1/buckets?max=0", 400, "InvalidQuery"),
        ("/api/v1/buckets?unknown=1", 400, "MalformedQuery"),
        ("/api/v1/buckets/NOT-A-NAME", 400, "InvalidBucketName"),
        ("/api/v1/buckets/%ff", 400, "MalformedPath"),
        ("/api/v1/buckets/missing", 404, "NoSuchBucket"),
        ("/api/v1/nothing", 404, "NotFound"),
    ] {
        let refused = server.root("GET", path, &[], "").await;
        let told = refused.json()["error"]["code"].as_str().unwrap_or_default().to_owned();
        assert_eq!((refused.status, told.as_str()), (status, code), "{refused:?}");
    }
}

#[tokio::test]
async fn buckets_are_made_listed_in_pages_and_deleted() {
    let server = Server::start().await;
    for name in ["one", "two", "three"] {
        let body = format!("{{\"name\": \"{name}\"}}");
        let made = server.root("POST", "/api/v1/buckets", &[], &body).await;
        assert_eq!(
            (made.status, made.headers["location"].as_str()),
            (201, &*format!("/api/v1/buckets/{name}"))
        );
    }
    let again = server.root("POST", "/api/v1/buckets", &[], r#"{"name": "one"}"#).await;
    assert_eq!(again.status, 409, "{again:?}");
    let names = |page: &serde_json::Value| -> Vec<String> {
        let buckets = page["buckets"].as_array().unwrap();
        buckets.iter().map(|bucket| bucket["name"].as_str().unwrap().to_owned()).collect()
    };
    let first = server.root("GET", "/api/v1/buckets?max=2", &[], "").await.json();
    assert_eq!(names(&first), ["one", "three"]);
    let after = format!("/api/v1/buckets?after={}", first["next"].as_str().unwrap());
    assert_eq!(names(&server.root("GET", &after, &[], "").await.json()), ["two"]);
    assert_eq!(server.root("DELETE", "/api/v1/buckets/one", &[], "").await.status, 204);
    assert_eq!(server.root("GET", "/api/v1/buckets/one", &[], "").await.status, 404);
    server.bucket("full").await;
    assert_eq!(server.root("DELETE", "/api/v1/buckets/full", &[], "").await.status, 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn change_with_if_match_does_not_undo_one_that_came_through_s3_meanwhile() {
    use strongroom_objects::{BucketName, DefaultEncryption};
    let server = Server::start().await;
    server.bucket("photos").await;
    let bucket = BucketName::parse("photos").unwrap();
    let kms = r#"{"enabled": true, "algorithm": "aws:kms"}"#;
    for round in 0..40 {
        let seen = format!("If-Match: {}", server.root("GET", PATH, &[], "").await.headers["etag"]);
        // As S3's PutBucketEncryption does it.
        let by_s3 = DefaultEncryption::Dsse { key_id: None, bucket_key: round % 2 == 0 };
        let wanted = by_s3.clone();
        let change =
            server.objects.set_bucket_settings(&bucket, move |settings| settings.encryption = wanted);
        let headers = [seen.as_str()];
        let (set, changed) = tokio::join!(server.root("PUT", PATH, &headers, kms), change);
        changed.unwrap();
        // Either the change with the condition came first, or it was refused.
        assert!([200, 412].contains(&set.status), "{set:?}");
        assert_eq!(server.objects.bucket_settings(&bucket).unwrap().encryption, by_s3, "round {round}");
    }
}

#[tokio::test]
async fn customers_keys_are_part_of_the_setting_and_of_its_version() {
    use strongroom_objects::BucketName;
    let server = Server::start().await;
    server.bucket("photos").await;
    let bucket = BucketName::parse("photos").unwrap();
    let before = server.root("GET", PATH, &[], "").await;
    assert_eq!(before.json()["customer_keys_blocked"], false);
    server
        .objects
        .set_bucket_settings(&bucket, |settings| settings.customer_keys_blocked = true)
        .await
        .unwrap();
    let matching = format!("If-Match: {}", before.headers["etag"]);
    let stale = server.root("PUT", PATH, &[&matching], r#"{"enabled": true}"#).await;
    assert_eq!(stale.status, 412, "{stale:?}");
    let set = server.root("PUT", PATH, &[], r#"{"enabled": true}"#).await;
    assert_eq!(set.json()["customer_keys_blocked"], true, "who does not speak of it leaves it as it is");
    let set = server.root("PUT", PATH, &[], r#"{"enabled": true, "customer_keys_blocked": false}"#).await;
    assert_eq!(set.json()["customer_keys_blocked"], false);
    server.root("PUT", PATH, &[], r#"{"enabled": true, "customer_keys_blocked": true}"#).await;
    assert!(server.objects.bucket_settings(&bucket).unwrap().customer_keys_blocked);
    let reset = server.root("DELETE", PATH, &[], "").await;
    assert_eq!(reset.json()["customer_keys_blocked"], false, "as DeleteBucketEncryption of S3 has it");
}

#[tokio::test]
async fn key_of_another_region_is_refused() {
    let server = Server::start().await;
    server.bucket("photos").await;
    let key = "arn:aws:kms:eu-west-1:111122223333:key/k";
    let body = format!("{{\"enabled\": true, \"kms_key_id\": \"{key}\"}}");
    let named = format!("x-amz-server-side-encryption-aws-kms-key-id: {key}");
    let headers = ["x-amz-server-side-encryption: aws:kms", &named, "Content-Type: text/plain"];
    for refused in [
        server.root("PUT", PATH, &[], &body).await,
        server.root("PUT", "/api/v1/buckets/photos/objects/b", &headers, "b").await,
    ] {
        assert_eq!(
            (refused.status, refused.json()["error"]["code"].as_str()),
            (400, Some("KMS.NotFoundException"))
        );
        assert!(refused.body.contains("eu-west-1"), "{refused:?}");
    }
}
