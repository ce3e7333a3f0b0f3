//! The code map as a check: arrows point down one list, and what a crate must not know it cannot name.

use crate::problem::{Problem, verdict};
use crate::workspace::{Package, Workspace};

/// Our crates, top to bottom: each may name those below it, never one above.
const LAYERS: &[&str] = &[
    "xtask",
    "strongroom-decoders",
    "strongroom",
    "strongroom-s3",
    "strongroom-api",
    "strongroom-manager",
    "strongroom-peer",
    "strongroom-sharing",
    "strongroom-cluster",
    "strongroom-objects",
    "strongroom-iam",
    "strongroom-kms",
    "strongroom-store",
    "strongroom-umbral",
    "strongroom-telemetry",
    "strongroom-seal",
];

/// What a crate must not name although the order of the layers would let it. `strongroom*` is all of ours.
const MUST_NOT_KNOW: &[(&str, &str, &[&str])] = &[
    ("xtask", "the product: it runs the binary from outside", &["strongroom*"]),
    ("strongroom", "any logic of its own", &["redb", "s3s", "argon2"]),
    (
        "strongroom-s3",
        "files, keys, pages",
        &["strongroom-kms", "strongroom-store", "redb", "rustix", "argon2"],
    ),
    ("strongroom-api", "files, keys, pages", &["strongroom-store", "redb", "rustix", "s3s"]),
    ("strongroom-manager", "HTTP faces", &["strongroom-s3", "strongroom-api", "axum", "s3s"]),
    (
        "strongroom-peer",
        "the index, root keys",
        &["strongroom-objects", "strongroom-store", "strongroom-kms"],
    ),
    ("strongroom-sharing", "the object server", &["strongroom-objects", "strongroom-store", "s3s"]),
    ("strongroom-cluster", "S3", &["strongroom-objects", "s3s"]),
    ("strongroom-objects", "HTTP, XML", HTTP),
    ("strongroom-iam", "HTTP", HTTP),
    ("strongroom-kms", "objects, store", &["strongroom-objects", "strongroom-store", "redb"]),
    ("strongroom-store", "what the values mean", &["md-5", "sha1", "serde_json", "http", "s3s"]),
    ("strongroom-umbral", "networks, files", &["tokio", "hyper", "reqwest", "rustix", "libp2p"]),
    ("strongroom-telemetry", "everything else", &["strongroom*"]),
    (
        "strongroom-seal",
        "I/O beyond Read, Write and AsyncRead",
        &["strongroom*", "rustix", "hyper", "socket2"],
    ),
];

const HTTP: &[&str] = &["http", "http-body", "hyper", "hyper-util", "axum", "s3s", "reqwest", "quick-xml"];

/// Libraries of symmetric ciphers: one crate of ours names them.
const CIPHERS: &[&str] = &[
    "aead",
    "aegis",
    "aes",
    "aes-gcm",
    "aes-gcm-siv",
    "aes-siv",
    "aws-lc-fips-sys",
    "aws-lc-rs",
    "aws-lc-sys",
    "boring",
    "cbc",
    "chacha20",
    "chacha20poly1305",
    "cipher",
    "ctr",
    "ocb3",
    "openssl",
    "openssl-sys",
    "orion",
    "ring",
    "salsa20",
    "sodiumoxide",
    "xsalsa20poly1305",
];

/// Foreign crates that may link a cipher library, each for its own work and never on stored bytes.
const CIPHER_EXCEPTIONS: &[(&str, &str)] = &[
    ("aws-lc-rs", "its own C library"),
    ("quinn-proto", "QUIC packets, an optional part of the HTTP client"),
    ("rand", "ChaCha as a random number generator"),
    ("rcgen", "signs the certificate of --tls-self-signed"),
    ("rustls", "TLS records"),
    ("rustls-webpki", "checks certificates"),
    ("x509-parser", "reads certificates"),
];

/// Libraries of curves: one crate of ours names them.
const CURVES: &[&str] = &["curve25519-dalek", "k256", "p256", "elliptic-curve", "x25519-dalek", "bls12_381"];

/// Features of tokio that do more than `AsyncRead`.
const TOKIO_IO: &[&str] = &["fs", "net", "process", "full"];

/// Checks the resolved graph and prints each arrow that should not be there.
pub(crate) fn run() -> Result<(), Problem> {
    let workspace = Workspace::load()?;
    let mut broken = Vec::new();
    let members: Vec<&Package> = workspace.members().collect();
    for package in &members {
        broken.extend(package_arrows(package));
    }
    for package in workspace.shipped() {
        let ours = members.iter().any(|member| member.name == package.name);
        let excepted = CIPHER_EXCEPTIONS.iter().any(|(name, _)| *name == package.name);
        let is_cipher = CIPHERS.contains(&package.name.as_str());
        if ours || excepted || is_cipher {
            continue;
        }
        for name in workspace.links(package).into_iter().filter(|name| CIPHERS.contains(name)) {
            broken.push(format!(
                "{} -> {name}: a new user of a cipher library; what does it seal?",
                package.name
            ));
        }
    }
    verdict("arrows", &format!("{} crates", members.len()), &broken)
}

fn package_arrows(package: &Package) -> Vec<String> {
    let mut broken = Vec::new();
    let from = package.name.as_str();
    let Some(layer) = position(from) else {
        return vec![format!(
            "{from} has no place in the list of layers; add it to xtask/src/checks/arrows.rs"
        )];
    };
    for dependency in package.dependencies.iter().filter(|d| d.ships()) {
        let to = dependency.name.as_str();
        if position(to).is_some_and(|below| below <= layer) {
            broken.push(format!("{from} -> {to}: points up"));
        }
        for (_, knows_not, names) in MUST_NOT_KNOW.iter().filter(|(name, ..)| *name == from) {
            if names.iter().any(|name| matches(name, to)) {
                broken.push(format!("{from} -> {to}: {from} must not know {knows_not}"));
            }
        }
        if CIPHERS.contains(&to) && from != "strongroom-seal" {
            broken.push(format!("{from} -> {to}: only strongroom-seal names a symmetric cipher library"));
        }
        if CURVES.contains(&to) && from != "strongroom-umbral" {
            broken.push(format!("{from} -> {to}: only strongroom-umbral names a curve"));
        }
        if from == "strongroom-seal" && to == "tokio" {
            for feature in dependency.features.iter().filter(|f| TOKIO_IO.contains(&f.as_str())) {
                broken.push(format!("{from} -> tokio/{feature}: seal reads and writes through traits alone"));
            }
        }
    }
    broken
}

fn position(name: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| *layer == name)
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependencies: &[(&str, Option<&str>)]) -> Package {
        let dependencies: Vec<_> = dependencies
            .iter()
            .map(|(name, kind)| serde_json::json!({"name": name, "kind": kind, "features": ["net"]}))
            .collect();
        serde_json::from_value(serde_json::json!({
            "id": name, "name": name, "version": "0", "license": null,
            "dependencies": dependencies,
        }))
        .unwrap()
    }

    #[test]
    fn an_arrow_that_points_up_is_named() {
        let found = package_arrows(&package("strongroom-store", &[("strongroom-objects", None)]));
        assert_eq!(found, ["strongroom-store -> strongroom-objects: points up"]);
    }

    #[test]
    fn a_crate_cannot_name_what_it_must_not_know() {
        assert_eq!(package_arrows(&package("strongroom-kms", &[("strongroom-store", None)])).len(), 1);
        assert_eq!(package_arrows(&package("strongroom-s3", &[("strongroom-kms", None)])).len(), 1);
        assert_eq!(package_arrows(&package("strongroom-objects", &[("hyper", None)])).len(), 1);
        assert_eq!(package_arrows(&package("strongroom-objects", &[("aes-gcm", None)])).len(), 1);
        assert_eq!(package_arrows(&package("strongroom-seal", &[("tokio", None)])).len(), 1);
    }

    #[test]
    fn arrows_down_and_arrows_of_tests_are_fine() {
        let down = package("strongroom-objects", &[("strongroom-store", None), ("strongroom-seal", None)]);
        assert!(package_arrows(&down).is_empty());
        assert!(
            package_arrows(&package("strongroom-store", &[("strongroom-objects", Some("dev"))])).is_empty()
        );
    }

    #[test]
    fn a_crate_without_a_place_is_named() {
        assert_eq!(package_arrows(&package("strongroom-misc", &[])).len(), 1);
    }
}
