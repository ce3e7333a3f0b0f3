//! HTTPS: certificates from files, or one made for a trial.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::config::Tls;

/// Why HTTPS cannot be served.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("{}: has no certificate in PEM form", path.display())]
    NoCertificate { path: PathBuf },
    #[error("the certificate and the private key cannot be used together: {0}")]
    Pair(#[from] rustls::Error),
    #[error("no certificate could be made: {0}")]
    Made(#[from] rcgen::Error),
}

/// The configuration for [`Tls`], and a line to show with it.
pub(super) fn config(tls: &Tls, host: &str) -> Result<Option<Arc<ServerConfig>>, TlsError> {
    let (chain, key) = match tls {
        Tls::Off => return Ok(None),
        Tls::Files { cert, key } => (chain(cert)?, private_key(key)?),
        Tls::SelfSigned => self_signed(host)?,
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(Arc::new(config)))
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let file_error = |source| TlsError::File { path: path.to_owned(), source };
    let chain: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(file_error)?
        .collect::<Result<_, _>>()
        .map_err(file_error)?;
    if chain.is_empty() { Err(TlsError::NoCertificate { path: path.to_owned() }) } else { Ok(chain) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|source| TlsError::File { path: path.to_owned(), source })
}

/// The key of a trial's certificate stays in memory: it is gone when the server is.
fn self_signed(host: &str) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    if !names.iter().any(|name| name == host) {
        names.push(host.to_owned());
    }
    let made = rcgen::generate_simple_self_signed(names)?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    Ok((vec![made.cert.der().clone()], key.into()))
}
