//! Keys of authorities, of every kind and in every shape that the TLS library reads.

use std::sync::Arc;

use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, PublicKeyData, SigningKey};
use rustls::{SignatureScheme, pki_types::PrivateKeyDer};

use super::certificate;

/// A private key that signs certificates.
pub(super) struct Signer {
    key: Arc<dyn rustls::sign::SigningKey>,
    kind: Kind,
    /// The public key as certificates have it, and its bits alone.
    info: Vec<u8>,
    bits: Vec<u8>,
}

/// How a key signs.
#[derive(Clone, Copy)]
struct Kind {
    scheme: SignatureScheme,
    algorithm: &'static rcgen::SignatureAlgorithm,
    name: &'static str,
}

/// In the order in which a key is asked: one of RSA has several schemes.
static KINDS: [Kind; 4] = [
    Kind { scheme: SignatureScheme::ECDSA_NISTP256_SHA256, algorithm: &PKCS_ECDSA_P256_SHA256, name: "ECDSA P-256" },
    Kind { scheme: SignatureScheme::ECDSA_NISTP384_SHA384, algorithm: &PKCS_ECDSA_P384_SHA384, name: "ECDSA P-384" },
    Kind { scheme: SignatureScheme::ED25519, algorithm: &PKCS_ED25519, name: "Ed25519" },
    Kind { scheme: SignatureScheme::RSA_PKCS1_SHA256, algorithm: &PKCS_RSA_SHA256, name: "RSA" },
];

impl Signer {
    /// None: the key is of no kind that can be used.
    pub(super) fn new(key: &PrivateKeyDer<'_>) -> Option<Self> {
        let key = rustls::crypto::ring::sign::any_supported_type(key).ok()?;
        let kind = *KINDS.iter().find(|kind| key.choose_scheme(&[kind.scheme]).is_some())?;
        let info = key.public_key()?.to_vec();
        let bits = certificate::key_bits(&info).ok()?;
        Some(Self { key, kind, info, bits })
    }

    /// What kind of key it is, for people.
    pub(super) const fn kind(&self) -> &'static str {
        self.kind.name
    }

    /// Whether this public key, as a certificate has it, is the other half.
    pub(super) fn fits(&self, info: &[u8]) -> bool {
        self.info == info
    }
}

impl PublicKeyData for Signer {
    fn subject_public_key_info(&self) -> Vec<u8> {
        self.info.clone()
    }

    fn der_bytes(&self) -> &[u8] {
        &self.bits
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.kind.algorithm
    }
}

impl SigningKey for Signer {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signer = self.key.choose_scheme(&[self.kind.scheme]).ok_or(rcgen::Error::UnsupportedSignatureAlgorithm)?;
        signer.sign(message).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}
