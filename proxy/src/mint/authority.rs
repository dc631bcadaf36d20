//! Who signs: a certificate and its key, as they are found in files.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD as STANDARD};
use rcgen::{CertificateParams, Issuer, KeyIdMethod, KeyPair};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{PemObject as _, SectionKind},
};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use super::{
    certificate::{self, Certificate},
    leaf::MintError,
    signer::Signer,
};

/// An authority's files may be this large.
const MAX_BYTES: u64 = 1 << 20;

/// An authority that can sign now.
pub struct Authority {
    /// Its certificate first, then others of its file, as handshakes show them.
    chain: Vec<CertificateDer<'static>>,
    issuer: Issuer<'static, Signer>,
    begin: OffsetDateTime,
    end: OffsetDateTime,
}

/// Why files make no authority.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {why}")]
pub struct AuthorityError {
    /// Which file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

/// What a certificate says about itself, for people.
#[derive(Debug, Clone)]
pub struct Description {
    /// Whose it is.
    pub subject: String,
    /// Who has signed it.
    pub issuer: String,
    /// Its number, in hexadecimal digits.
    pub serial: String,
    /// From when on it is valid.
    pub begin: OffsetDateTime,
    /// Until when.
    pub end: OffsetDateTime,
    /// Whether it may sign others.
    pub is_authority: bool,
    /// SHA-256 of the certificate, in pairs of hexadecimal digits with colons between.
    pub fingerprint: String,
}

/// What of a file matters.
#[derive(Default)]
struct Found {
    certificates: Vec<CertificateDer<'static>>,
    keys: Vec<PrivateKeyDer<'static>>,
}

impl Authority {
    /// Reads PEM files: certificate and key each in one, or both in `certificate`. Keys are PKCS#8, PKCS#1 or SEC1, of ECDSA P-256
    /// or P-384, Ed25519 or RSA. Among several certificates the one that the key fits signs; all are shown to clients.
    ///
    /// # Errors
    /// Naming the file and what is wrong: what is missing, encrypted, does not fit, is no authority, or not valid at `now`.
    pub fn read(certificate: &Path, key: Option<&Path>, now: OffsetDateTime) -> Result<Self, AuthorityError> {
        let fail = |path: &Path, why: String| AuthorityError { path: path.to_owned(), why };
        let found = Found::read(certificate)?;
        if found.certificates.is_empty() {
            return Err(fail(certificate, "holds no certificate".to_owned()));
        }
        let (of_key, keys) = match key {
            Some(path) => (path, Found::read(path)?.keys),
            None => (certificate, found.keys),
        };
        let Some(key) = keys.first() else {
            let hint = if key.is_none() { ": name the file of the key, too, where it is in another" } else { "" };
            return Err(fail(of_key, format!("holds no private key{hint}")));
        };
        let signer = Signer::new(key).ok_or_else(|| {
            fail(
                of_key,
                "the private key cannot be used: it must be ECDSA P-256 or P-384, Ed25519, or RSA of 2048 bits or more"
                    .to_owned(),
            )
        })?;
        let mut chain = found.certificates;
        let mut place = None;
        for (at, one) in chain.iter().enumerate() {
            if signer.fits(&parse(one, certificate)?.key) {
                place = Some(at);
                break;
            }
        }
        let Some(place) = place else {
            return Err(fail(of_key, format!("the private key does not belong to the certificate in {}", certificate.display())));
        };
        chain.swap(0, place);
        let Some(own) = chain.first().cloned() else { return Err(fail(certificate, "holds no certificate".to_owned())) };
        let parsed = parse(&own, certificate)?;
        let (begin, end) = (parsed.begin, parsed.end);
        may_sign(&parsed).map_err(|why| fail(certificate, why))?;
        if now >= end {
            return Err(fail(certificate, format!("the certificate has expired: it was valid until {end}")));
        }
        if now < begin {
            return Err(fail(certificate, format!("the certificate is not yet valid: it will be from {begin} on")));
        }
        let cannot = |why: String| fail(certificate, format!("the certificate cannot be used: {why}"));
        let mut params = CertificateParams::default();
        let odd = |_| cannot("its name has parts of several values, or in an odd character set".to_owned());
        params.distinguished_name = certificate::name(&parsed.subject).map_err(odd)?;
        if let Some(id) = parsed.key_id {
            params.key_identifier_method = KeyIdMethod::PreSpecified(id);
        }
        let authority = Self { chain, issuer: Issuer::new(params, signer), begin, end };
        // What clients compare: whether a certificate names its issuer byte by byte.
        let probe = authority.probe().map_err(|error| cannot(error.to_string()))?;
        if parse(&probe, certificate)?.issuer != parsed.subject {
            return Err(cannot("its name is written in a way that certificates of its own would not repeat".to_owned()));
        }
        Ok(authority)
    }

    /// Whether a key belongs to a certificate; if not, why.
    ///
    /// # Errors
    /// When it does not, or one of them cannot be read.
    pub fn owns(certificate: &[u8], key: &PrivateKeyDer<'_>) -> Result<(), &'static str> {
        let signer = Signer::new(key).ok_or("the private key cannot be used")?;
        let certificate = certificate::read(certificate).map_err(|_| "the certificate cannot be read")?;
        if signer.fits(&certificate.key) { Ok(()) } else { Err("the private key does not belong to the certificate") }
    }

    /// Its own certificate, the first one.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        self.chain.first().map_or(&[], |own| own.as_ref())
    }

    /// The same as PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        pem(self.certificate())
    }

    /// SHA-256 of its certificate, in pairs of hexadecimal digits with colons between.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        pairs(&Sha256::digest(self.certificate()))
    }

    /// The kind of its key.
    #[must_use]
    pub fn key_kind(&self) -> &'static str {
        self.issuer.key().kind()
    }

    pub(super) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    pub(super) const fn validity(&self) -> (OffsetDateTime, OffsetDateTime) {
        (self.begin, self.end)
    }

    pub(super) fn sign(&self, params: &CertificateParams, key: &KeyPair) -> Result<CertificateDer<'static>, MintError> {
        Ok(params.signed_by(key, &self.issuer)?.into())
    }

    fn probe(&self) -> Result<CertificateDer<'static>, MintError> {
        self.sign(&CertificateParams::default(), &KeyPair::generate()?)
    }
}

impl Description {
    /// Of the first certificate in a PEM file, with its DER.
    ///
    /// # Errors
    /// When the file cannot be read or holds none.
    pub fn read(path: &Path) -> Result<(Self, CertificateDer<'static>), AuthorityError> {
        let found = Found::read(path)?;
        let none = || AuthorityError { path: path.to_owned(), why: "holds no certificate".to_owned() };
        let found = found.certificates.into_iter().next().ok_or_else(none)?;
        let parsed = parse(&found, path)?;
        let description = Self {
            subject: certificate::shown(&parsed.subject),
            issuer: certificate::shown(&parsed.issuer),
            serial: pairs(&parsed.serial),
            begin: parsed.begin,
            end: parsed.end,
            is_authority: may_sign(&parsed).is_ok(),
            fingerprint: pairs(&Sha256::digest(&found)),
        };
        Ok((description, found))
    }
}

impl Found {
    fn read(path: &Path) -> Result<Self, AuthorityError> {
        let fail = |why: String| AuthorityError { path: path.to_owned(), why };
        let cannot_read = |error: io::Error| fail(format!("cannot be read: {error}"));
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(cannot_read)?;
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(cannot_read)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(fail(format!("is larger than {} KiB", MAX_BYTES >> 10)));
        }
        if let Some(how) = encryption(&bytes) {
            return Err(fail(format!(
                "the private key is encrypted ({how}): take the password off, as `openssl pkey -in FILE` does"
            )));
        }
        let mut found = Self::default();
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(&bytes) {
            let (kind, content) = section.map_err(|error| fail(format!("is no PEM: {error}")))?;
            match kind {
                SectionKind::Certificate => found.certificates.push(content.into()),
                other => found.keys.extend(PrivateKeyDer::from_pem(other, content)),
            }
        }
        if found.certificates.is_empty() && found.keys.is_empty() && bytes.first() == Some(&0x30) {
            return Err(fail("is DER: PEM is needed, as `openssl x509 -inform der -in FILE` writes it".to_owned()));
        }
        Ok(found)
    }
}

/// A certificate in PEM (RFC 7468): lines of 64 characters.
#[must_use]
pub fn pem(certificate: &[u8]) -> String {
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for (at, character) in STANDARD.encode(certificate).char_indices() {
        if at > 0 && at % 64 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push_str("\n-----END CERTIFICATE-----\n");
    text
}

fn pairs(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

/// How a key in this file is encrypted, if one is.
fn encryption(bytes: &[u8]) -> Option<&'static str> {
    let has = |text: &[u8]| memchr::memmem::find(bytes, text).is_some();
    if has(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") {
        return Some("PKCS#8");
    }
    has(b"Proc-Type: 4,ENCRYPTED").then_some("by OpenSSL")
}

fn parse(certificate: &CertificateDer<'_>, path: &Path) -> Result<Certificate, AuthorityError> {
    let why = || "holds a certificate that cannot be read".to_owned();
    certificate::read(certificate).map_err(|_| AuthorityError { path: path.to_owned(), why: why() })
}

/// Whether it may sign certificates (RFC 5280, 4.2.1.9 and 4.2.1.3).
fn may_sign(certificate: &Certificate) -> Result<(), String> {
    if !certificate.is_authority {
        return Err("the certificate is not one of an authority: its basic constraints do not say CA:TRUE".to_owned());
    }
    if !certificate.may_sign {
        return Err("the certificate may not sign others: its key usage lacks keyCertSign".to_owned());
    }
    Ok(())
}
