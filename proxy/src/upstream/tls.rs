//! Trust in upstreams.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer, pki_types::pem::PemObject as _};

use super::Protocol;
use crate::key_log::key_log;

/// Why trust could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read or holds no certificate.
    #[error("{path}: {why}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The TLS library refused the settings.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}

/// Verifies upstreams against the certificates in `ca` (PEM), or against the system's roots.
pub fn client_config(ca: Option<&Path>, protocol: Protocol) -> Result<Arc<ClientConfig>, TlsError> {
    config(roots(ca)?, protocol)
}

/// The same, and one for HTTP/1 alone: certificates are read once. Sessions of one are not resumed by the other.
pub fn client_configs(ca: Option<&Path>, protocol: Protocol) -> Result<(Arc<ClientConfig>, Arc<ClientConfig>), TlsError> {
    let roots = roots(ca)?;
    Ok((config(Arc::clone(&roots), protocol)?, config(roots, Protocol::Http1)?))
}

fn roots(ca: Option<&Path>) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca {
        let fail = |why: String| TlsError::File { path: path.to_owned(), why };
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| fail(error.to_string()))? {
            let certificate = certificate.map_err(|error| fail(error.to_string()))?;
            roots.add(certificate).map_err(|error| fail(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(fail("holds no certificate".to_owned()));
        }
    } else {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "a system root certificate cannot be read");
        }
        roots.add_parsable_certificates(found.certs);
    }
    Ok(Arc::new(roots))
}

fn config(roots: Arc<RootCertStore>, protocol: Protocol) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn(protocol);
    if let Some(log) = key_log() {
        config.key_log = log;
    }
    Ok(Arc::new(config))
}

/// What is offered.
pub(super) fn alpn(protocol: Protocol) -> Vec<Vec<u8>> {
    match protocol {
        Protocol::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Protocol::Http1 => vec![b"http/1.1".to_vec()],
        Protocol::Http2 => vec![b"h2".to_vec()],
    }
}
