//! Who the proxy is to upstreams that ask for a certificate of their client (RFC 8446, 4.3.2).

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig,
    client::Resumption,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::{CertifiedKey, SingleCertAndKey},
};

use super::TlsError;
use crate::http::Origin;

/// Files may be this large.
const MAX_BYTES: u64 = 1 << 20;

/// A certificate with its key, and whom it is shown.
#[derive(Clone)]
pub struct Identity {
    shown: Arc<SingleCertAndKey>,
    is_for: Arc<IsFor>,
}

type IsFor = dyn Fn(&Origin) -> bool + Send + Sync;

/// TLS with an identity.
#[derive(Clone)]
pub struct Identified {
    identity: Identity,
    tls: Arc<ClientConfig>,
    tls_http1: Arc<ClientConfig>,
}

impl Identity {
    /// Reads PEM files: the certificate first and then those that lead to an authority; its key in a file of its own, or in the same.
    /// Keys are PKCS#8, PKCS#1 or SEC1, of ECDSA, Ed25519 or RSA.
    ///
    /// # Errors
    /// Naming the file and what is wrong: what is missing, encrypted or does not fit.
    pub fn read(
        certificate: &Path,
        key: Option<&Path>,
        is_for: impl Fn(&Origin) -> bool + Send + Sync + 'static,
    ) -> Result<Self, TlsError> {
        let fail = |path: &Path, why: &str| TlsError::File { path: path.to_owned(), why: why.to_owned() };
        let bytes = bytes(certificate)?;
        let chain = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| fail(certificate, &format!("is no PEM: {error}")))?;
        if chain.is_empty() {
            return Err(fail(certificate, "holds no certificate"));
        }
        let (of_key, bytes) = match key {
            Some(path) => (path, self::bytes(path)?),
            None => (certificate, bytes),
        };
        let is_encrypted = [&b"BEGIN ENCRYPTED PRIVATE KEY"[..], b"Proc-Type: 4,ENCRYPTED"];
        if is_encrypted.iter().any(|text| memchr::memmem::find(&bytes, text).is_some()) {
            return Err(fail(of_key, "the private key is encrypted: take the password off, as `openssl pkey -in FILE` does"));
        }
        let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| fail(of_key, "holds no private key"))?;
        let pair = CertifiedKey::from_der(chain, key, &ring::default_provider())
            .map_err(|error| fail(of_key, &format!("the private key cannot be used with the first certificate: {error}")))?;
        Ok(Self { shown: Arc::new(pair.into()), is_for: Arc::new(is_for) })
    }

    /// The same TLS with this identity.
    #[must_use]
    pub fn upon(self, tls: &Arc<ClientConfig>, tls_http1: &Arc<ClientConfig>) -> Identified {
        let with = |config: &Arc<ClientConfig>| {
            let mut config = ClientConfig::clone(config);
            config.client_auth_cert_resolver = Arc::clone(&self.shown) as _;
            // What was said without it is not to be gone on with.
            config.resumption = Resumption::default();
            Arc::new(config)
        };
        Identified { tls: with(tls), tls_http1: with(tls_http1), identity: self }
    }
}

impl Identified {
    /// For this origin, if it is to see the identity; where the connection is to be upgraded, HTTP/1.1 alone.
    pub(super) fn tls(&self, origin: &Origin, upgrades: bool) -> Option<&Arc<ClientConfig>> {
        (self.identity.is_for)(origin).then_some(if upgrades { &self.tls_http1 } else { &self.tls })
    }

    /// The same identity upon other TLS.
    pub(super) fn moved(&self, tls: &Arc<ClientConfig>, tls_http1: &Arc<ClientConfig>) -> Self {
        self.identity.clone().upon(tls, tls_http1)
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, TlsError> {
    let fail = |why: String| TlsError::File { path: PathBuf::from(path), why };
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|error| fail(format!("cannot be read: {error}")))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(fail(format!("is larger than {} KiB", MAX_BYTES >> 10)));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn pair() -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let certificate =
            CertificateParams::new(vec!["a.test".to_owned()]).expect("names").self_signed(&key).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    fn read(certificate: &str, key: Option<&str>) -> Result<Identity, String> {
        let directory = tempfile::tempdir().expect("a directory");
        let (at, at_key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
        std::fs::write(&at, certificate).expect("a file");
        std::fs::write(&at_key, key.unwrap_or_default()).expect("a file");
        Identity::read(&at, key.map(|_| at_key.as_path()), |_| true).map_err(|error| error.to_string())
    }

    #[test]
    fn pairs_are_read_from_one_file_or_two() {
        let (certificate, key) = pair();
        assert!(read(&certificate, Some(&key)).is_ok());
        assert!(read(&format!("{key}{certificate}"), None).is_ok());
        assert!(read(&format!("{certificate}text\n{key}"), None).is_ok());
    }

    #[test]
    fn what_does_not_fit_is_refused_by_file() {
        let ((certificate, key), (_, other)) = (pair(), pair());
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        for (certificate, key, expected) in [
            (certificate.as_str(), None, "cert.pem: holds no private key"),
            (key.as_str(), Some(key.as_str()), "cert.pem: holds no certificate"),
            (&certificate, Some(&other), "key.pem: the private key cannot be used"),
            (&certificate, Some(encrypted), "key.pem: the private key is encrypted"),
            ("", Some(&key), "cert.pem: holds no certificate"),
        ] {
            let error = read(certificate, key).err().unwrap_or_default();
            assert!(error.contains(expected), "{expected}: {error}");
        }
        let large = format!("{certificate}{}", " ".repeat(1 << 20));
        assert!(read(&large, Some(&key)).is_err_and(|error| error.contains("larger than 1024 KiB")));
    }
}
