//! What changes between the decision about a request and its operation: it is decided by what the operation finds.

use std::cell::Cell;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use reqwest::Method;
use strongroom_objects::{BucketName, ObjectName, Objects};

use super::{Answer, Call, Keys, Setup, denied, get};

/// Gives `/bkt/red` other tags right after they were read for a decision, once for each time it is armed: whoever reads tags
/// counts that on the thread of the server, which is that of the test.
struct Repaint {
    objects: Objects,
    armed: Cell<bool>,
}

impl Recorder for Repaint {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        if key.labels().any(|label| label.value() == "object_tags") && self.armed.take() {
            paint(&self.objects, "blue");
        }
        Counter::noop()
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// Tags the object while this thread waits.
fn paint(objects: &Objects, colour: &str) {
    let (objects, tags) = (objects.clone(), vec![("project".to_owned(), colour.to_owned())]);
    let painting = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let bucket = BucketName::parse("bkt").unwrap();
            let name = ObjectName::parse("red".to_owned()).unwrap();
            objects.set_object_tags(&bucket, &name, None, tags).await.unwrap();
        });
    });
    painting.join().unwrap();
}

#[tokio::test]
async fn tags_that_change_after_the_decision_are_decided_by_as_well() {
    let setup = Setup::new().await;
    setup.root(Call::put("/bkt/red", "content")).await.ok();
    let user = setup
        .user(
            "u",
            r#"{"Effect":"Allow","Action":["s3:GetObject","s3:GetObjectTagging","s3:GetObjectAttributes"],"Resource":"*",
                "Condition":{"StringEquals":{"s3:ExistingObjectTag/project":"red"}}},
               {"Effect":"Allow","Action":"s3:PutObject","Resource":"*"}"#,
        )
        .await;
    let begun = setup.root(Call::new(Method::POST, "/bkt/parts").query("uploads", "")).await.ok();
    let upload = begun.element("UploadId").to_owned();
    let repaint = Repaint { objects: setup.objects.clone(), armed: Cell::new(false) };
    let _recorder = metrics::set_default_local_recorder(&repaint);
    let source = |call: Call| call.header("x-amz-copy-source", "/bkt/red");
    let part = Call::put("/bkt/parts", "").query("partNumber", "1").query("uploadId", &upload);
    let calls = [
        get("/bkt/red"),
        Call::new(Method::HEAD, "/bkt/red"),
        get("/bkt/red").query("attributes", "").header("x-amz-object-attributes", "ObjectSize"),
        get("/bkt/red").query("tagging", ""),
        source(Call::put("/bkt/copy", "")).header("x-amz-tagging-directive", "REPLACE"),
        source(part),
    ];
    for (at, call) in calls.into_iter().enumerate() {
        paint(&setup.objects, "red");
        let told = ask(&setup, &user, &call).await;
        assert!(told.status.is_success(), "request {at} of what stays as it is: {}", told.status);
        repaint.armed.set(true);
        let told = ask(&setup, &user, &call).await;
        assert!(!repaint.armed.get(), "request {at} was decided by tags");
        assert!(denied(&told), "request {at} of what was repainted: {}", told.status);
    }
}

async fn ask(setup: &Setup, user: &Keys, call: &Call) -> Answer {
    setup.by(user, call.clone()).await
}
