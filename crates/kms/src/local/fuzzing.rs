//! Entry points for mangled key files.

use strongroom_seal::fuzzing::{Decoder, unhex};

use super::header::{COVERED_LEN, HEADER_LEN, Header, summed};
use super::keys::Keys;

pub(crate) const DECODERS: &[Decoder] = &[
    Decoder::new("kms/key file header", header_seeds, header),
    // What stands behind the checksum, which mangled bytes do not pass.
    Decoder::new("kms/key file header, summed", covered_seeds, covered),
    // A key of one version takes 68 bytes on disk, and in memory a node of a tree and a key that wipes itself.
    Decoder::new("kms/key file body", body_seeds, body),
];

fn header_seeds() -> Vec<Vec<u8>> {
    [
        include_str!("../../tests/vectors/local-kms-v1-keyfile.hex"),
        include_str!("../../tests/vectors/local-kms-v1-passphrase.hex"),
    ]
    .iter()
    .map(|text| unhex(text.lines().next().unwrap_or_default())[..HEADER_LEN].to_vec())
    .collect()
}

fn header(bytes: &[u8]) -> bool {
    let Ok(bytes) = bytes.try_into() else { return false };
    let Ok(header) = Header::decode(bytes) else { return false };
    assert_eq!(header.encode(), *bytes, "one encoding per value");
    true
}

fn covered_seeds() -> Vec<Vec<u8>> {
    header_seeds().into_iter().map(|header| header[..COVERED_LEN].to_vec()).collect()
}

fn covered(bytes: &[u8]) -> bool {
    bytes.try_into().is_ok_and(|covered| header(&summed(covered)))
}

/// Keys as the specification lays them out, by hand: ids, states, versions.
fn body_seeds() -> Vec<Vec<u8>> {
    let key = |id: &str, state: u8, delete_after: u64, versions: u8| {
        let mut out = u32::try_from(id.len()).unwrap_or_default().to_le_bytes().to_vec();
        out.extend_from_slice(id.as_bytes());
        out.push(state);
        out.extend_from_slice(&delete_after.to_le_bytes());
        out.extend_from_slice(&1_700_000_000_u64.to_le_bytes());
        out.extend_from_slice(&u32::from(versions).to_le_bytes());
        for version in 0..versions {
            out.extend_from_slice(&1_700_000_001_u64.to_le_bytes());
            out.extend_from_slice(&[version; 32]);
        }
        out
    };
    let all = [key("default", 1, 0, 1), key("old", 3, 1_800_000_000, 2), key("strongroom-root", 1, 0, 3)];
    vec![
        vec![0; 4],
        [&[1, 0, 0, 0], all[0].as_slice()].concat(),
        [&[3, 0, 0, 0], all.concat().as_slice()].concat(),
    ]
}

fn body(bytes: &[u8]) -> bool {
    let Ok(keys) = Keys::decode(bytes) else { return false };
    assert_eq!(keys.encode().as_slice(), bytes, "one encoding per value");
    true
}
