//! Root credentials over a real store.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod support;

use std::fs;

use strongroom_iam::{Credentials, Iam, IamError, IamOptions, Identity, Secret};
use strongroom_store::{Command, GroupId, Write};
use support::store;
use tempfile::TempDir;

#[test]
fn credentials_are_made_once_and_shown_once() {
    let dir = TempDir::new().unwrap();
    let opened = store(dir.path());
    let (iam, first_start) = Iam::open(&opened, IamOptions::default(), None).unwrap();
    let shown = first_start.unwrap().credentials;
    let access_key = shown.access_key.as_str();
    assert_eq!(iam.secret_for(access_key).unwrap(), shown.secret);
    iam.root_was_shown().unwrap();

    let (again, first_start) = Iam::open(&opened, IamOptions::default(), None).unwrap();
    assert!(first_start.is_none());
    assert_eq!(again.secret_for(access_key).unwrap(), shown.secret);
}

#[test]
fn credentials_survive_a_restart() {
    let dir = TempDir::new().unwrap();
    let opened = store(dir.path());
    let (iam, shown) = Iam::open(&opened, IamOptions::default(), None).unwrap();
    let shown = shown.unwrap().credentials;
    iam.root_was_shown().unwrap();
    drop(iam);
    opened.close().unwrap();
    let (iam, first_start) = Iam::open(&store(dir.path()), IamOptions::default(), None).unwrap();
    assert!(first_start.is_none());
    assert_eq!(iam.secret_for(shown.access_key.as_str()).unwrap(), shown.secret);
}

#[test]
fn credentials_that_nobody_was_shown_are_there_to_show_at_the_next_opening() {
    let dir = TempDir::new().unwrap();
    let opened = store(dir.path());
    let first = Iam::open(&opened, IamOptions::default(), None).unwrap().1.unwrap().credentials;
    opened.close().unwrap();
    let opened = store(dir.path());
    // A start with the operator's own in between shows nothing.
    let configured = Credentials::from_parts(Some("operator".into()), Some("a long secret".into())).unwrap();
    assert!(Iam::open(&opened, IamOptions::default(), configured).unwrap().1.is_none());
    let (iam, second) = Iam::open(&opened, IamOptions::default(), None).unwrap();
    let second = second.expect("nobody was shown them").credentials;
    assert_eq!((first.access_key, first.secret), (second.access_key, second.secret));
    iam.root_was_shown().unwrap();
    iam.root_was_shown().unwrap();
    assert!(Iam::open(&opened, IamOptions::default(), None).unwrap().1.is_none());
}

#[test]
fn a_mark_of_a_later_version_is_not_guessed_at() {
    let dir = TempDir::new().unwrap();
    let opened = store(dir.path());
    Iam::open(&opened, IamOptions::default(), None).unwrap();
    let mark = |value: &[u8]| Command {
        group: GroupId::SYSTEM,
        checks: Vec::new(),
        writes: vec![Write::Put { key: b"iam/root-unshown".to_vec(), value: value.to_vec() }],
    };
    opened.commit_blocking(mark(&[2])).unwrap();
    let error = Iam::open(&opened, IamOptions::default(), None).unwrap_err();
    assert!(matches!(error, IamError::TooNew { version: 2, .. }), "{error}");
    opened.commit_blocking(mark(&[1, 1])).unwrap();
    let error = Iam::open(&opened, IamOptions::default(), None).unwrap_err();
    assert!(matches!(error, IamError::Damaged { .. }), "{error}");
}

#[test]
fn configured_credentials_are_used_and_not_stored() {
    let dir = TempDir::new().unwrap();
    let opened = store(dir.path());
    let configured = Credentials::from_parts(Some("operator".into()), Some("a long secret".into())).unwrap();
    let (iam, first_start) = Iam::open(&opened, IamOptions::default(), configured).unwrap();
    assert!(first_start.is_none());
    assert_eq!(iam.identity("operator"), Some(Identity::Root));
    assert!(opened.read(GroupId::SYSTEM).unwrap().get(b"iam/root").unwrap().is_none());
    let (_, first_start) = Iam::open(&opened, IamOptions::default(), None).unwrap();
    assert!(first_start.is_some(), "the configured pair was kept");
}

#[test]
fn only_the_right_pair_is_an_identity() {
    let dir = TempDir::new().unwrap();
    let configured = Credentials::from_parts(Some("operator".into()), Some("a long secret".into())).unwrap();
    let (iam, _) = Iam::open(&store(dir.path()), IamOptions::default(), configured).unwrap();
    let secret = |text: &str| Secret::parse(text.to_owned()).unwrap();
    assert_eq!(iam.authenticate("operator", &secret("a long secret")), Some(Identity::Root));
    assert_eq!(iam.authenticate("operator", &secret("a long secrex")), None);
    assert_eq!(iam.authenticate("operator", &secret("a long secret and more")), None);
    assert_eq!(iam.authenticate("Operator", &secret("a long secret")), None);
    assert!(iam.secret_for("").is_none() && iam.secret_for("operator2").is_none());
    assert!(!format!("{iam:?}").contains("a long secret"));
}

#[test]
fn damaged_row_is_an_error_and_not_a_reason_to_make_new_ones() {
    let dir = TempDir::new().unwrap();
    let opened = store(dir.path());
    Iam::open(&opened, IamOptions::default(), None).unwrap();
    let mut value = opened.read(GroupId::SYSTEM).unwrap().get(b"iam/root").unwrap().unwrap().to_vec();
    *value.last_mut().unwrap() ^= 1;
    let put = Write::Put { key: b"iam/root".to_vec(), value };
    opened.commit_blocking(Command { group: GroupId::SYSTEM, checks: vec![], writes: vec![put] }).unwrap();
    let error = Iam::open(&opened, IamOptions::default(), None).unwrap_err();
    assert!(matches!(error, IamError::Damaged { .. }), "{error:?}");
}

#[test]
fn no_file_of_the_store_shows_the_credentials() {
    let dir = TempDir::new().unwrap();
    let opened = store(dir.path());
    let shown = Iam::open(&opened, IamOptions::default(), None).unwrap().1.unwrap().credentials;
    opened.close().unwrap();
    let mut bytes_read = 0;
    let mut files = vec![dir.path().to_owned()];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        bytes_read += bytes.len();
        for text in [shown.access_key.as_str(), shown.secret.dangerous_expose(), "iam/root"] {
            assert!(!bytes.windows(text.len()).any(|window| window == text.as_bytes()), "{}", path.display());
        }
    }
    assert!(bytes_read > 4096, "the store has no files to look through");
}

#[tokio::test]
async fn credentials_are_sealed_anew_after_the_system_group_got_a_new_key() {
    let dir = TempDir::new().unwrap();
    let opened = store(dir.path());
    let (iam, shown) = Iam::open(&opened, IamOptions::default(), None).unwrap();
    let shown = shown.unwrap().credentials;
    let user = iam.key_user();
    let row = || opened.read(GroupId::SYSTEM).unwrap().get(b"iam/root").unwrap().unwrap().to_vec();
    let key_id = || u32::from_le_bytes(row()[1..5].try_into().unwrap());
    assert_eq!(key_id(), 1);
    let before = row();
    assert!(user.rewrap(GroupId::SYSTEM, 1, &mut |_| true).unwrap());
    assert_eq!(row(), before, "there was nothing to do");

    let active = opened.rotate_group_key(GroupId::SYSTEM).await.unwrap();
    let mut written = 0;
    let mut pace = |bytes| {
        written += bytes;
        true
    };
    assert!(user.rewrap(GroupId::SYSTEM, active, &mut pace).unwrap());
    assert_eq!(key_id(), active);
    assert!(written > before.len() as u64, "the session key is sealed anew as well");
    let (again, first_start) = Iam::open(&opened, IamOptions::default(), None).unwrap();
    assert_eq!(first_start.expect("nobody was shown them").credentials.secret, shown.secret);
    assert_eq!(again.secret_for(shown.access_key.as_str()).unwrap(), shown.secret);
    assert!(user.rewrap(GroupId(7), 1, &mut |_| false).unwrap(), "other groups have no credentials");
    drop((opened, iam, again));
    assert!(!user.rewrap(GroupId::SYSTEM, active, &mut |_| true).unwrap(), "the store is not kept open");
}

#[tokio::test]
async fn credentials_that_do_not_open_keep_their_key() {
    let dir = TempDir::new().unwrap();
    let opened = store(dir.path());
    let (iam, _) = Iam::open(&opened, IamOptions::default(), None).unwrap();
    let mut value = opened.read(GroupId::SYSTEM).unwrap().get(b"iam/root").unwrap().unwrap().to_vec();
    *value.last_mut().unwrap() ^= 1;
    let writes = vec![Write::Put { key: b"iam/root".to_vec(), value: value.clone() }];
    opened.commit(Command { group: GroupId::SYSTEM, checks: vec![], writes }).await.unwrap();
    let active = opened.rotate_group_key(GroupId::SYSTEM).await.unwrap();
    let user = iam.key_user();
    let error = user.rewrap(GroupId::SYSTEM, active, &mut |_| true).unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
    assert_eq!(opened.read(GroupId::SYSTEM).unwrap().get(b"iam/root").unwrap().unwrap().to_vec(), value);
}
