//! One certificate for one host.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
    server::NoServerSessionStorage,
};
use time::{Duration, OffsetDateTime};

use super::{AltName, Authority};
use crate::key_log::key_log;

/// How long a certificate is good for: short, since nobody can take it back.
const LIFETIME: Duration = Duration::days(7);
/// How long before its minting it begins, for clients whose clocks are behind.
const BACKDATED: Duration = Duration::days(1);
/// How long before its end another one is minted, for clients whose clocks are ahead.
const RENEWED: Duration = Duration::days(2);
/// Longest common name (RFC 5280, appendix A.1); longer hosts are in the alternative name alone, where clients look.
const COMMON_NAME: usize = 64;
/// Bytes of a serial number: the most that there may be (RFC 5280, 4.1.2.2).
const SERIAL: usize = 20;

/// Who a certificate is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    name: Box<str>,
    address: Option<IpAddr>,
    /// Whatever else the certificate is for.
    names: Arc<[AltName]>,
    /// Tells it from others.
    key: Box<str>,
}

/// A certificate and its key, ready for handshakes.
pub struct Leaf {
    config: Arc<ServerConfig>,
    certificate: CertificateDer<'static>,
    fresh_until: OffsetDateTime,
    was_refused: AtomicBool,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// The authority's own certificate has ended, or not yet begun: no client would take what it signs.
    #[error("the authority's own certificate is not valid now: {0}")]
    Authority(String),
    /// The system gave no random numbers.
    #[error("no random numbers: {0}")]
    Random(getrandom::Error),
    /// It cannot be made or signed.
    #[error("the certificate cannot be made: {0}")]
    Made(#[from] rcgen::Error),
    /// The TLS library does not take it.
    #[error("the certificate cannot be used: {0}")]
    Used(#[from] rustls::Error),
    /// The process stops.
    #[error("the process stops")]
    Stopping,
}

impl Subject {
    /// A host by its name, or by its address and that as text.
    pub(super) fn new(name: Box<str>, address: Option<IpAddr>) -> Self {
        Self { key: name.clone(), name, address, names: Arc::default() }
    }

    /// The same host, with other names that its certificate is for as well.
    pub(super) fn with_names(&self, names: &Arc<[AltName]>) -> Self {
        let mut key = self.name.to_string();
        for name in names.iter() {
            // No name has a space.
            key.push(' ');
            match name {
                AltName::Dns(name) => key.push_str(name),
                AltName::Address(address) => key.push_str(&address.to_string()),
            }
        }
        Self { name: self.name.clone(), address: self.address, names: Arc::clone(names), key: key.into() }
    }

    /// What else its certificate is for.
    #[must_use]
    pub fn names(&self) -> &[AltName] {
        &self.names
    }

    /// Whether a certificate for these names is for this host.
    pub(super) fn is_among(&self, names: &[AltName]) -> bool {
        names.iter().any(|name| name.is_about(&self.name, self.address))
    }

    /// What tells it from others.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// As it is known by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Leaf {
    /// Mints: ECDSA P-256, a key of its own, 158 random bits of serial number, for servers alone; from a day before `now` to a week
    /// after, and never longer than the authority itself.
    pub(super) fn mint(authority: &Authority, subject: &Subject, now: OffsetDateTime) -> Result<Self, MintError> {
        let (begin, end) = authority.validity();
        if now < begin || now >= end {
            return Err(MintError::Authority(format!("it is from {begin} to {end}")));
        }
        let mut params = CertificateParams::default();
        params.not_before = (now - BACKDATED).max(begin);
        params.not_after = (now + LIFETIME).min(end);
        params.serial_number = Some(serial()?);
        let own = match subject.address {
            Some(address) => AltName::Address(address),
            None => AltName::Dns(subject.name().into()),
        };
        let others = subject.names.iter().filter(|name| **name != own);
        for name in std::iter::once(&own).chain(others) {
            params.subject_alt_names.push(match name {
                AltName::Address(address) => SanType::IpAddress(*address),
                AltName::Dns(name) => SanType::DnsName((&**name).try_into()?),
            });
        }
        params.distinguished_name = DistinguishedName::new();
        if subject.name().len() <= COMMON_NAME {
            params.distinguished_name.push(DnType::CommonName, subject.name());
        }
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        // One that ends with the authority is the best that there will be.
        let fresh_until = if params.not_after < end { params.not_after - RENEWED } else { end };
        let key = KeyPair::generate()?;
        let certificate = authority.sign(&params, &key)?;
        let chain = std::iter::once(certificate.clone()).chain(authority.chain().iter().cloned()).collect();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key.into())?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // A handshake costs little here, and what is kept for none needs no bound.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        if let Some(log) = key_log() {
            config.key_log = log;
        }
        Ok(Self { config: Arc::new(config), certificate, fresh_until, was_refused: AtomicBool::new(false) })
    }

    /// For handshakes: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1, no resumption.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// The certificate alone.
    #[must_use]
    pub const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Notes that a client did not take it. True: it is the first one.
    pub fn refused(&self) -> bool {
        !self.was_refused.swap(true, Relaxed)
    }

    /// Whether it is still good for a while.
    pub(super) fn is_fresh(&self, now: OffsetDateTime) -> bool {
        now <= self.fresh_until
    }
}

fn serial() -> Result<SerialNumber, MintError> {
    let mut bytes = [0; SERIAL];
    getrandom::fill(&mut bytes).map_err(MintError::Random)?;
    // Positive, and of that length.
    if let Some(first) = bytes.first_mut() {
        *first = (*first & 0x3f) | 0x40;
    }
    Ok(SerialNumber::from_slice(&bytes))
}
