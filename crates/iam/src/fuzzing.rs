//! Entry points for tests that hand mangled bytes to the readers of this crate. Only with the feature `fuzzing`.

use std::sync::LazyLock;

use strongroom_seal::fuzzing::Decoder;
use strongroom_seal::{GroupKey, SeededRandom};

use crate::{AccessKey, Credentials, Secret, row};

/// The readers of this crate.
pub const DECODERS: &[Decoder] = &[
    Decoder::new("iam/credentials", credentials_seeds, credentials),
    Decoder::new("iam/access key", access_key_seeds, access_key),
    Decoder::new("iam/secret", secret_seeds, secret),
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
