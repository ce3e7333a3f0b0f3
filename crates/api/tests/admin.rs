//! The administrator's door over a real socket.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

mod client;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use client::Answer;
use strongroom_api::admin::{
    Admin, AdminDeps, AdminError, AuditPage, AuditPlace, BackupProgress, BackupState, BackupStatus,
    ChangeReseal, ChangeRootKey, Checkpoint, EventsReport, Fault, GroupKey, KeyGroup, KeyReport, KeyState,
    ResealProgress, ResealStage, ResealStatus, RootKey, RootKeyChange, RootKeyName, RootKeyUse, RotateKeys,
    RotatedKey, RotatedKeys, StartBackup, serve,
};
use strongroom_telemetry::RequestId;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;

/// Remembers what it was asked, and answers with numbers that can be told apart.
#[derive(Default)]
struct Scripted(Mutex<Vec<String>>);

impl Scripted {
    fn asked(&self, what: impl std::fmt::Debug) {
        self.0.lock().unwrap().push(format!("{what:?}"));
    }
}

fn root(key_version: u32) -> RootKeyName {
    RootKeyName { provider: "local".into(), key_id: "root".into(), key_version }
}

fn backup(state: BackupState) -> BackupStatus {
    let progress = BackupProgress { stage: "rows".into(), rows: 17, ..BackupProgress::default() };
    BackupStatus { target: "/backups".into(), state, progress, snapshot: None, removed: None, error: None }
}

fn status() -> ResealStatus {
    let progress = ResealProgress {
        group: 3,
        bucket: Some("b".into()),
        key_ids: vec![1, 2],
        stage: ResealStage::Pages,
        pages_done: 5,
        pages_total: 9,
        moved_bytes: 20_480,
        trouble: None,
    };
    ResealStatus { paused: false, rate_kib_per_second: 1024, workers: 2, groups: vec![progress] }
}

#[async_trait]
impl Admin for Scripted {
    async fn key_report(&self, bucket: Option<String>) -> Result<KeyReport, AdminError> {
        self.asked(&bucket);
        if let Some(name) = bucket.filter(|name| name != "b") {
            return Err(AdminError::new(Fault::Missing, "NoSuchBucket", format!("no bucket `{name}`")));
        }
        let key = GroupKey {
            id: 2,
            state: KeyState::Active,
            created_lsn: 7,
            created_unix_seconds: 1_700_000_000,
            age_seconds: 60,
            seals: 11,
            sealed_bytes: 4096,
            last_used_unix_seconds: None,
            root: Some(root(1)),
        };
        let group = KeyGroup { group: 3, bucket: Some("b".into()), keys: vec![key] };
        Ok(KeyReport { root: root(1), keyring_generation: 4, groups: vec![group] })
    }

    async fn rotate_keys(&self, which: RotateKeys) -> Result<RotatedKeys, AdminError> {
        self.asked(&which);
        let rotated = vec![RotatedKey { group: 3, bucket: Some("b".into()), key_id: 3 }];
        Ok(RotatedKeys { rotated, not_rotated: vec![] })
    }

    async fn root_key(&self) -> Result<RootKey, AdminError> {
        Ok(RootKey {
            root: root(1),
            newest_version: Some(2),
            wraps: vec![RootKeyUse { root: root(1), keys: 5 }],
        })
    }

    async fn change_root_key(&self, change: ChangeRootKey) -> Result<RootKeyChange, AdminError> {
        self.asked(&change);
        match change.key_id.as_deref() {
            Some("locked") => Err(AdminError::new(Fault::Unavailable, "RootKeyUnavailable", "it is locked")),
            Some("broken") => Err(AdminError::new(Fault::Store, "Store", "the disk is gone")),
            Some("same") => Err(AdminError::new(Fault::Conflict, "SameRootKey", "it is in use already")),
            _ => Ok(RootKeyChange { from: root(1), to: root(2), keys: 5 }),
        }
    }

    async fn reseal_status(&self) -> Result<ResealStatus, AdminError> {
        Ok(status())
    }

    async fn change_reseal(&self, change: ChangeReseal) -> Result<ResealStatus, AdminError> {
        self.asked(change);
        Ok(status())
    }

    async fn checkpoint(&self) -> Result<Checkpoint, AdminError> {
        self.asked("checkpoint");
        Ok(Checkpoint { applied_lsn: 12, log_bytes: 4096 })
    }

    async fn start_backup(&self, start: StartBackup) -> Result<BackupStatus, AdminError> {
        self.asked(&start);
        Ok(backup(BackupState::Running))
    }

    async fn backup_status(&self) -> Result<BackupStatus, AdminError> {
        Ok(backup(BackupState::Done))
    }

    async fn stop_backup(&self) -> Result<BackupStatus, AdminError> {
        self.asked("stop the backup");
        Ok(backup(BackupState::Failed))
    }

    async fn audit(&self, after: AuditPlace) -> Result<AuditPage, AdminError> {
        self.asked(after);
        Ok(AuditPage { acts: Vec::new(), next: after })
    }

    async fn events(&self) -> Result<EventsReport, AdminError> {
        self.asked("who is told of events");
        Ok(EventsReport { targets: Vec::new() })
    }
}

struct Door {
    socket: PathBuf,
    admin: Arc<Scripted>,
    _dir: tempfile::TempDir,
    _stop: oneshot::Sender<()>,
}

impl Door {
    fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("admin.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let admin = Arc::new(Scripted::default());
        let next = AtomicU8::new(1);
        let deps = AdminDeps {
            rest: None,
            admin: Arc::clone(&admin) as Arc<dyn Admin>,
            request_ids: Arc::new(move || RequestId::from_random([next.fetch_add(1, Ordering::SeqCst); 16])),
        };
        tokio::spawn(serve(listener, deps, async move {
            let _ = stopped.await;
        }));
        Self { socket, admin, _dir: dir, _stop: stop }
    }

    async fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let length = body.len();
        let bytes = format!(
            "{method} /api/v1/admin{path} HTTP/1.1\r\nHost: door\r\nConnection: close\r\n{headers}\
             Content-Length: {length}\r\n\r\n{body}"
        );
        client::exchange(UnixStream::connect(&self.socket).await.unwrap(), &bytes).await
    }

    async fn json(&self, method: &str, path: &str, body: &str) -> Answer {
        self.send(method, path, "Content-Type: application/json\r\n", body).await
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.admin.0.lock().unwrap())
    }
}

#[tokio::test]
async fn every_path_answers_with_its_json() {
    let door = Door::open();
    for (method, path, body, field, expected) in [
        ("GET", "/keys/groups", "", "/groups/0/keys/0/state", "\"active\""),
        ("GET", "/keys/groups?bucket=b", "", "/groups/0/keys/0/sealed_bytes", "4096"),
        ("POST", "/keys/rotate", r#"{"which":"all"}"#, "/rotated/0/key_id", "3"),
        ("POST", "/keys/rotate", r#"{"which":"bucket","bucket":"b"}"#, "/rotated/0/bucket", "\"b\""),
        ("GET", "/keys/root", "", "/newest_version", "2"),
        ("POST", "/keys/root/change", r#"{"key_id":"new"}"#, "/to/key_version", "2"),
        ("GET", "/reseal", "", "/groups/0/stage", "\"pages\""),
        ("PATCH", "/reseal", r#"{"paused":true}"#, "/rate_kib_per_second", "1024"),
        ("POST", "/checkpoint", "", "/applied_lsn", "12"),
        ("POST", "/backup", r#"{"target":"/backups"}"#, "/state", "\"running\""),
        ("GET", "/backup", "", "/progress/rows", "17"),
        ("DELETE", "/backup", "", "/state", "\"failed\""),
    ] {
        let answer = door.json(method, path, body).await;
        assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
        assert_eq!(answer.json().pointer(field).unwrap().to_string(), expected, "{method} {path}");
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    let asked = door.asked();
    assert_eq!(asked[0], "None");
    assert_eq!(asked[1], "Some(\"b\")");
    assert_eq!(asked[3], "Bucket { bucket: \"b\" }");
    assert_eq!(asked[4], "ChangeRootKey { key_id: Some(\"new\"), create_key: false, new_version: false }");
    assert_eq!(asked[5], "ChangeReseal { paused: Some(true), rate_kib_per_second: None }");
}

#[tokio::test]
async fn what_a_request_should_not_say_is_refused_before_anything_is_done() {
    let door = Door::open();
    let long = format!(r#"{{"key_id":"{}"}}"#, "x".repeat(70_000));
    for (method, path, body, status, code) in [
        ("POST", "/keys/rotate", r#"{"which":"all","bucket":"b"}"#, 400, "MalformedBody"),
        ("POST", "/keys/rotate", r#"{"which":"some"}"#, 400, "MalformedBody"),
        ("POST", "/keys/rotate", r#"{"which":"bucket"}"#, 400, "MalformedBody"),
        ("POST", "/keys/rotate", "", 400, "MalformedBody"),
        ("POST", "/keys/root/change", r#"{"key-id":"b"}"#, 400, "MalformedBody"),
        ("POST", "/keys/root/change", &long, 413, "BodyTooLarge"),
        ("PATCH", "/reseal", r#"{"paused":1}"#, 400, "MalformedBody"),
        ("PATCH", "/reseal", r#"{"rate_kib_per_second":4294967296}"#, 400, "MalformedBody"),
        ("PATCH", "/reseal", r#"{"paused":true"#, 400, "MalformedBody"),
        ("POST", "/backup", r#"{"target":"/b","delete":true}"#, 400, "MalformedBody"),
        ("GET", "/keys/groups?name=b", "", 400, "MalformedQuery"),
        ("GET", "/keys/nothing", "", 404, "NotFound"),
        ("GET", "/keys/rotate", "", 405, "MethodNotAllowed"),
    ] {
        let answer = door.json(method, path, body).await;
        assert_eq!(answer.status, status, "{method} {path} {answer:?}");
        assert_eq!(answer.json().pointer("/error/code").unwrap(), code, "{method} {path}");
        assert!(answer.json().pointer("/error/message").unwrap().as_str().unwrap().len() > 10);
        assert_eq!(answer.json()["error"]["request_id"], answer.headers["x-request-id"].as_str());
    }
    let untyped = door.send("POST", "/keys/rotate", "", r#"{"which":"all"}"#).await;
    assert_eq!((untyped.status, &untyped.json()["error"]["code"]), (415, &"NotJson".into()));
    assert_eq!(door.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn wrong_method_is_told_the_right_ones() {
    let door = Door::open();
    for (path, allowed) in
        [("/keys/rotate", "POST"), ("/keys/groups", "GET,HEAD"), ("/reseal", "GET,HEAD,PATCH")]
    {
        let answer = door.send("DELETE", path, "", "").await;
        assert_eq!((answer.status, answer.headers["allow"].as_str()), (405, allowed), "{path}");
    }
}

#[tokio::test]
async fn status_says_whose_fault_it_is() {
    let door = Door::open();
    for (key_id, status, code) in
        [("same", 409, "SameRootKey"), ("locked", 503, "RootKeyUnavailable"), ("broken", 500, "Store")]
    {
        let answer = door.json("POST", "/keys/root/change", &format!(r#"{{"key_id":"{key_id}"}}"#)).await;
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (status, &code.into()));
    }
    let missing = door.json("GET", "/keys/groups?bucket=c", "").await;
    assert_eq!(missing.status, 404);
    assert_eq!(missing.json()["error"]["message"], "no bucket `c`");
}
