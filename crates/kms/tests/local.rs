//! The local provider: its contract, its file, its sentences.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

mod conformance;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use strongroom_kms::local::{Cost, Method};
use strongroom_kms::{
    DEFAULT_KEY_ID, KeyState, KmsError, LocalKms, LocalKmsError, LocalKmsOptions, Passphrase, Provider,
    ROOT_KEY_ID, Unlock, WhenMissing,
};
use strongroom_seal::{Context, Envelope, Label, SeededRandom};
use tempfile::TempDir;

const PASSPHRASE: &str = "correct horse battery staple";
const CHEAP: Cost = Cost { memory_kib: 8 * 1024, passes: 1, lanes: 1 };

fn passphrase(text: &str) -> Unlock {
    Unlock::Passphrase(Passphrase::new(text.to_owned()))
}

fn options(dir: &Path, unlock: Unlock, when_missing: WhenMissing) -> LocalKmsOptions {
    LocalKmsOptions {
        when_missing,
        cost: CHEAP,
        random: Arc::new(SeededRandom::dangerous_from_seed(7)),
        now: || 1_700_000_000,
        ..LocalKmsOptions::new(dir, unlock)
    }
}

fn create(dir: &Path, unlock: Unlock) -> LocalKms {
    LocalKms::open(options(dir, unlock, WhenMissing::Create)).unwrap()
}

fn open(dir: &Path, unlock: Unlock) -> Result<LocalKms, LocalKmsError> {
    LocalKms::open(options(dir, unlock, WhenMissing::Refuse))
}

fn key_file(dir: &TempDir, content: &[u8]) -> Unlock {
    let path = dir.path().join("my.key");
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    Unlock::KeyFile(path)
}

fn context() -> Context {
    Context::new(Label::KmsDataKey, "here")
}

fn file_of(dir: &TempDir) -> std::path::PathBuf {
    dir.path().join("local.kms")
}

#[tokio::test]
async fn local_provider_conforms() {
    let dir = TempDir::new().unwrap();
    conformance::holds(&create(dir.path(), Unlock::Generated)).await;
}

#[tokio::test]
async fn every_change_survives_a_restart() {
    let dir = TempDir::new().unwrap();
    let kms = create(dir.path(), passphrase(PASSPHRASE));
    let first = kms.wrap(ROOT_KEY_ID, &[1; 32], &context()).await.unwrap();
    kms.rotate(ROOT_KEY_ID).await.unwrap();
    let second = kms.wrap(ROOT_KEY_ID, &[2; 32], &context()).await.unwrap();
    kms.create_key("a").await.unwrap();
    kms.create_key("b").await.unwrap();
    kms.set_state("a", KeyState::Disabled).await.unwrap();
    kms.set_state("b", KeyState::PendingDeletion { delete_after: 9 }).await.unwrap();
    let (keys, generation) = (kms.list().await.unwrap(), kms.generation());
    assert_eq!(generation.1, 6);
    drop(kms);

    let kms = open(dir.path(), passphrase(PASSPHRASE)).unwrap();
    assert_eq!(kms.list().await.unwrap(), keys);
    assert_eq!(kms.generation(), generation);
    assert_eq!(
        keys.iter().map(|key| key.id.as_str()).collect::<Vec<_>>(),
        ["a", "b", DEFAULT_KEY_ID, ROOT_KEY_ID]
    );
    assert_eq!(kms.unwrap(&first, &context()).await.unwrap().dangerous_expose(), &[1; 32]);
    assert_eq!(kms.unwrap(&second, &context()).await.unwrap().dangerous_expose(), &[2; 32]);
}

#[tokio::test]
async fn generated_unlock_key_moved_elsewhere_is_a_key_file() {
    let (dir, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let envelope = create(dir.path(), Unlock::Generated).wrap("default", &[3; 32], &context()).await.unwrap();
    let moved = elsewhere.path().join("k");
    fs::rename(dir.path().join("unlock.key"), &moved).unwrap();
    let error = open(dir.path(), Unlock::Generated).unwrap_err();
    assert!(matches!(error, LocalKmsError::UnlockKeyMissing { .. }), "{error:?}");
    let kms = open(dir.path(), Unlock::KeyFile(moved)).unwrap();
    kms.unwrap(&envelope, &context()).await.unwrap();
}

#[test]
fn files_are_readable_by_their_owner_alone_and_nothing_else_is_left() {
    let dir = TempDir::new().unwrap();
    let kms_dir = dir.path().join("made/here");
    create(&kms_dir, Unlock::Generated);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&kms_dir), 0o700);
    let mut names: Vec<_> = fs::read_dir(&kms_dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["local.kms", "unlock.key"]);
    for name in names {
        assert_eq!(mode(&kms_dir.join(name)), 0o600);
    }
}

#[test]
fn missing_files_are_named_and_never_made_anew() {
    let dir = TempDir::new().unwrap();
    let error = open(dir.path(), Unlock::Generated).unwrap_err();
    assert!(matches!(error, LocalKmsError::Missing { .. }), "{error:?}");
    assert!(error.to_string().contains(ROOT_KEY_ID) && error.to_string().contains("backup"), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "refusing left something behind");

    create(dir.path(), Unlock::Generated);
    let before = fs::read(file_of(&dir)).unwrap();
    fs::remove_file(dir.path().join("unlock.key")).unwrap();
    for when_missing in [WhenMissing::Refuse, WhenMissing::Create] {
        let error = LocalKms::open(options(dir.path(), Unlock::Generated, when_missing)).unwrap_err();
        assert!(matches!(error, LocalKmsError::UnlockKeyMissing { .. }), "{error:?}");
        assert!(error.to_string().contains(ROOT_KEY_ID), "{error}");
        assert!(!dir.path().join("unlock.key").exists());
    }
    assert_eq!(fs::read(file_of(&dir)).unwrap(), before);
}

#[test]
fn unlock_key_left_by_a_crash_is_kept_and_used() {
    let dir = TempDir::new().unwrap();
    create(dir.path(), Unlock::Generated);
    let secret = fs::read(dir.path().join("unlock.key")).unwrap();
    fs::remove_file(file_of(&dir)).unwrap();
    fs::write(dir.path().join("local.kms.tmp"), b"torn").unwrap();
    create(dir.path(), Unlock::Generated);
    assert_eq!(fs::read(dir.path().join("unlock.key")).unwrap(), secret);
    open(dir.path(), Unlock::Generated).unwrap();
}

#[test]
fn opening_to_create_keeps_the_keys_that_are_there() {
    let dir = TempDir::new().unwrap();
    create(dir.path(), passphrase(PASSPHRASE));
    let before = fs::read(file_of(&dir)).unwrap();
    create(dir.path(), passphrase(PASSPHRASE));
    assert_eq!(fs::read(file_of(&dir)).unwrap(), before);
}

#[test]
fn wrong_unlock_key_is_not_taken_for_damage() {
    let dir = TempDir::new().unwrap();
    create(dir.path(), passphrase(PASSPHRASE));
    let error = open(dir.path(), passphrase("correct horse battery stable")).unwrap_err();
    assert!(matches!(error, LocalKmsError::WrongUnlockKey { method: Method::Passphrase, .. }), "{error:?}");
    assert!(
        error.to_string().starts_with("wrong passphrase") && error.to_string().contains(ROOT_KEY_ID),
        "{error}"
    );
    let error = open(dir.path(), Unlock::Generated).unwrap_err();
    assert!(
        matches!(
            error,
            LocalKmsError::OtherMethod { made_with: Method::Passphrase, given: Method::KeyFile, .. }
        ),
        "{error:?}"
    );

    let dir = TempDir::new().unwrap();
    let mut content = [9; 40];
    create(dir.path(), key_file(&dir, &content));
    content[39] ^= 1;
    let error = open(dir.path(), key_file(&dir, &content)).unwrap_err();
    assert!(matches!(error, LocalKmsError::WrongUnlockKey { method: Method::KeyFile, .. }), "{error:?}");
}

#[test]
fn any_changed_byte_is_damage_and_not_a_wrong_key() {
    let dir = TempDir::new().unwrap();
    create(dir.path(), key_file(&dir, &[9; 32]));
    let whole = fs::read(file_of(&dir)).unwrap();
    let opened = |bytes: &[u8]| {
        fs::write(file_of(&dir), bytes).unwrap();
        open(dir.path(), Unlock::KeyFile(dir.path().join("my.key")))
    };
    for at in 0..whole.len() {
        for flip in [0x01, 0x80] {
            let mut changed = whole.clone();
            changed[at] ^= flip;
            let error = opened(&changed).unwrap_err();
            let expected = match error {
                LocalKmsError::Damaged { .. } => true,
                LocalKmsError::TooNew { .. } => (8..10).contains(&at),
                _ => false,
            };
            assert!(expected, "byte {at}: {error:?}");
        }
    }
    for length in (0..whole.len()).step_by(7).chain([whole.len() - 1]) {
        let error = opened(&whole[..length]).unwrap_err();
        assert!(matches!(error, LocalKmsError::Damaged { .. }), "cut to {length}: {error:?}");
    }
    let error = opened(&[whole.as_slice(), &[0]].concat()).unwrap_err();
    assert!(matches!(error, LocalKmsError::Damaged { .. }), "{error:?}");
    opened(&whole).unwrap();
}

#[tokio::test]
async fn body_of_another_generation_does_not_open_under_this_header() {
    let dir = TempDir::new().unwrap();
    let kms = create(dir.path(), key_file(&dir, &[9; 32]));
    let old = fs::read(file_of(&dir)).unwrap();
    kms.set_state("default", KeyState::Disabled).await.unwrap();
    let mut spliced = fs::read(file_of(&dir)).unwrap();
    assert_eq!(old.len(), spliced.len());
    spliced[136..].copy_from_slice(&old[136..]);
    fs::write(file_of(&dir), spliced).unwrap();
    let error = open(dir.path(), Unlock::KeyFile(dir.path().join("my.key"))).unwrap_err();
    assert!(matches!(error, LocalKmsError::Damaged { what: "sealed keys", .. }), "{error:?}");
}

#[test]
fn absurd_cost_in_the_header_is_refused_before_it_is_paid() {
    use sha2::{Digest, Sha256};
    let dir = TempDir::new().unwrap();
    create(dir.path(), passphrase(PASSPHRASE));
    let whole = fs::read(file_of(&dir)).unwrap();
    for (at, value) in [(12, u32::MAX), (12, 1024), (12, 0), (16, u32::MAX), (16, 0), (20, 9), (20, 0)] {
        let mut changed = whole.clone();
        changed[at..at + 4].copy_from_slice(&value.to_le_bytes());
        let checksum = Sha256::digest(&changed[..104]);
        changed[104..136].copy_from_slice(&checksum);
        fs::write(file_of(&dir), changed).unwrap();
        let error = open(dir.path(), passphrase(PASSPHRASE)).unwrap_err();
        assert!(matches!(error, LocalKmsError::Cost { .. }), "{at} {value}: {error:?}");
    }
}

#[test]
fn newer_version_is_told_apart() {
    let dir = TempDir::new().unwrap();
    create(dir.path(), passphrase(PASSPHRASE));
    let mut whole = fs::read(file_of(&dir)).unwrap();
    whole[8] = 2;
    fs::write(file_of(&dir), whole).unwrap();
    let error = open(dir.path(), passphrase(PASSPHRASE)).unwrap_err();
    assert!(matches!(error, LocalKmsError::TooNew { version: 2, .. }), "{error:?}");
}

#[test]
fn key_file_that_others_can_open_is_refused() {
    let dir = TempDir::new().unwrap();
    let unlock = key_file(&dir, &[9; 32]);
    let Unlock::KeyFile(path) = &unlock else { unreachable!() };
    create(dir.path(), Unlock::KeyFile(path.clone()));
    for mode in [0o640, 0o604, 0o644, 0o620, 0o601] {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        let error = open(dir.path(), Unlock::KeyFile(path.clone())).unwrap_err();
        assert!(matches!(error, LocalKmsError::Exposed { mode: found, .. } if found == mode), "{error:?}");
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
    fs::set_permissions(path, Permissions::from_mode(0o400)).unwrap();
    open(dir.path(), Unlock::KeyFile(path.clone())).unwrap();
}

#[test]
fn key_file_must_be_a_regular_file_of_sensible_length() {
    let dir = TempDir::new().unwrap();
    for length in [0, 31, 65537] {
        let unlock = key_file(&dir, &vec![9; length]);
        let error = LocalKms::open(options(dir.path(), unlock, WhenMissing::Create)).unwrap_err();
        assert!(matches!(error, LocalKmsError::UnlockKeyShape { .. }), "{length}: {error:?}");
    }
    let unlock = Unlock::KeyFile(dir.path().to_owned());
    let error = LocalKms::open(options(dir.path(), unlock, WhenMissing::Create)).unwrap_err();
    assert!(matches!(error, LocalKmsError::UnlockKeyShape { .. }), "{error:?}");
    create(dir.path(), key_file(&dir, &vec![9; 65536]));
}

#[test]
fn short_passphrase_is_refused_for_a_new_file_and_leaves_nothing() {
    let dir = TempDir::new().unwrap();
    let error = LocalKms::open(options(dir.path(), passphrase("1234567"), WhenMissing::Create)).unwrap_err();
    assert!(matches!(error, LocalKmsError::PassphraseTooShort), "{error:?}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn change_by_another_process_is_never_overwritten() {
    let dir = TempDir::new().unwrap();
    let first = create(dir.path(), passphrase(PASSPHRASE));
    let second = open(dir.path(), passphrase(PASSPHRASE)).unwrap();
    second.create_key("theirs").await.unwrap();
    let error = first.create_key("ours").await.unwrap_err();
    assert!(matches!(error, KmsError::Unavailable { .. }), "{error:?}");
    assert!(error.to_string().contains("another process"), "{error}");
    assert!(
        matches!(first.describe("ours").await, Err(KmsError::NotFound { .. })),
        "not durable, yet visible"
    );
    first.probe().await.unwrap();
    let reopened = open(dir.path(), passphrase(PASSPHRASE)).unwrap();
    reopened.describe("theirs").await.unwrap();
}

#[tokio::test]
async fn failed_write_changes_nothing() {
    let dir = TempDir::new().unwrap();
    let kms = create(dir.path(), passphrase(PASSPHRASE));
    let before = fs::read(file_of(&dir)).unwrap();
    // A directory in the way of the temporary file: fails for every user, root too.
    fs::create_dir(dir.path().join("local.kms.tmp")).unwrap();
    let error = kms.rotate("default").await.unwrap_err();
    assert!(matches!(error, KmsError::Unavailable { .. }), "{error:?}");
    assert_eq!(fs::read(file_of(&dir)).unwrap(), before);
    assert_eq!(kms.describe("default").await.unwrap().version(), 1);
    fs::remove_dir(dir.path().join("local.kms.tmp")).unwrap();
    assert_eq!(kms.rotate("default").await.unwrap(), 2);
}

#[tokio::test]
async fn root_key_is_neither_disabled_nor_deleted() {
    let dir = TempDir::new().unwrap();
    let kms = create(dir.path(), passphrase(PASSPHRASE));
    for state in [KeyState::Disabled, KeyState::PendingDeletion { delete_after: 0 }] {
        let error = kms.set_state(ROOT_KEY_ID, state).await.unwrap_err();
        assert!(matches!(error, KmsError::Protected { .. }), "{error:?}");
    }
    kms.probe().await.unwrap();
}

#[tokio::test]
async fn a_key_that_wraps_the_stores_own_is_neither_disabled_nor_deleted() {
    let dir = TempDir::new().unwrap();
    let kms = create(dir.path(), passphrase(PASSPHRASE));
    kms.create_key("store-2026").await.unwrap();
    let away = [KeyState::Disabled, KeyState::PendingDeletion { delete_after: 1_800_000_000 }];
    for guarded in ["store-2026", "not there"] {
        kms.guard(guarded);
    }
    for state in away {
        let error = kms.set_state("store-2026", state).await.unwrap_err();
        assert!(matches!(error, KmsError::Protected { .. }), "{error:?}");
        assert!(matches!(kms.set_state("not there", state).await, Err(KmsError::NotFound { .. })));
    }
    kms.set_state("store-2026", KeyState::Enabled).await.unwrap();
    kms.rotate("store-2026").await.unwrap();
    kms.set_state(DEFAULT_KEY_ID, KeyState::Disabled).await.unwrap();
    drop(kms);
    // Whoever opens the store next guards what the store needs by then.
    let kms = open(dir.path(), passphrase(PASSPHRASE)).unwrap();
    kms.set_state("store-2026", KeyState::Disabled).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_changes_are_all_kept() {
    let dir = TempDir::new().unwrap();
    let kms = create(dir.path(), passphrase(PASSPHRASE));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..8 {
        let kms = kms.clone();
        tasks.spawn(async move { kms.create_key(&format!("k{number}")).await.map(drop) });
    }
    while let Some(result) = tasks.join_next().await {
        result.unwrap().unwrap();
    }
    assert_eq!(open(dir.path(), passphrase(PASSPHRASE)).unwrap().list().await.unwrap().len(), 10);
}

#[tokio::test]
async fn no_key_shows_in_the_file_or_in_debug_output() {
    let dir = TempDir::new().unwrap();
    let kms = create(dir.path(), passphrase(PASSPHRASE));
    let file = fs::read(file_of(&dir)).unwrap();
    for text in [ROOT_KEY_ID, DEFAULT_KEY_ID, PASSPHRASE] {
        assert!(!file.windows(text.len()).any(|window| window == text.as_bytes()), "{text} is readable");
    }
    let shown = format!("{kms:?} {:?}", options(dir.path(), passphrase(PASSPHRASE), WhenMissing::Refuse));
    assert!(!shown.contains(PASSPHRASE) && !shown.contains("RootKey"), "{shown}");
}

/// The files of `docs/spec/local-kms.md` §11: made again byte for byte, and opened.
#[tokio::test]
async fn vectors_are_reproduced_and_open() {
    for (name, unlock) in [("local-kms-v1-keyfile", None), ("local-kms-v1-passphrase", Some(PASSPHRASE))] {
        let vector = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/vectors/{name}.hex"));
        let dir = TempDir::new().unwrap();
        let content: [u8; 32] = std::array::from_fn(|at| u8::try_from(at).unwrap());
        let unlock = || unlock.map_or_else(|| key_file(&dir, &content), passphrase);
        let made = create(dir.path(), unlock());
        let envelope = made.wrap(DEFAULT_KEY_ID, &[0x42; 32], &context()).await.unwrap();
        let text = format!(
            "{}\n{}\n",
            hex::encode(fs::read(file_of(&dir)).unwrap()),
            hex::encode(envelope.encode())
        );
        if std::env::var_os("STRONGROOM_WRITE_VECTORS").is_some() {
            fs::write(&vector, &text).unwrap();
        }
        let frozen = fs::read_to_string(&vector).unwrap();
        assert_eq!(text, frozen, "{name}");

        let (file, envelope) = frozen.trim_end().split_once('\n').unwrap();
        fs::write(file_of(&dir), hex::decode(file).unwrap()).unwrap();
        let envelope = Envelope::decode(&hex::decode(envelope).unwrap()).unwrap();
        let key = open(dir.path(), unlock()).unwrap().unwrap(&envelope, &context()).await.unwrap();
        assert_eq!(key.dangerous_expose(), &[0x42; 32]);
    }
}

#[tokio::test]
async fn every_call_is_counted_and_every_failure_has_its_kind() {
    use strongroom_telemetry::{Metrics, names};
    let metrics = Metrics::install().unwrap();
    let dir = TempDir::new().unwrap();
    let kms = create(dir.path(), passphrase(PASSPHRASE));
    let envelope = kms.wrap(DEFAULT_KEY_ID, &[0; 32], &context()).await.unwrap();
    kms.unwrap(&envelope, &Context::new(Label::KmsDataKey, "elsewhere")).await.unwrap_err();
    kms.probe().await.unwrap();
    let text = metrics.render();
    for series in [
        format!("{}{{provider=\"local\",operation=\"wrap\"}}", names::KMS_CALLS),
        format!("{}_count{{provider=\"local\",operation=\"unwrap\"}}", names::KMS_CALL_SECONDS),
        format!("{}{{provider=\"local\",operation=\"probe\"}}", names::KMS_CALLS),
        format!(
            "{}{{provider=\"local\",operation=\"unwrap\",error=\"wrong_context_or_damaged\"}}",
            names::KMS_ERRORS
        ),
        format!("{}{{provider=\"local\",state=\"enabled\"}}", names::KMS_KEYS),
    ] {
        let line = text
            .lines()
            .find(|line| line.starts_with(&series))
            .unwrap_or_else(|| panic!("{series} is missing"));
        let value: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
        assert!(value >= 1.0, "{line}");
    }
    assert!(!text.contains("elsewhere"));
}
