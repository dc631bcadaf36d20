//! Names of an upstream's certificate, for certificates that stand in its place.

use std::{
    net::IpAddr,
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant},
};

use lru::LruCache;
use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;
use tokio::sync::OnceCell;

use super::{Subject, certificate};

/// Names that are taken over, and their bytes in all.
const MAX_NAMES: usize = 100;
const MAX_BYTES: usize = 8 << 10;
/// How long names are kept before the upstream is asked again.
const KEPT: Duration = Duration::from_mins(5);

/// What a certificate is for, one of several (RFC 5280, 4.2.1.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AltName {
    /// A name in lower case; `*.` at its beginning stands for one label.
    Dns(Box<str>),
    /// An address.
    Address(IpAddr),
}

/// Asks upstreams for their names, and keeps them for five minutes.
pub struct Mirror {
    is_required: bool,
    kept: Mutex<LruCache<Box<str>, Arc<Slot>>>,
}

struct Slot {
    since: Instant,
    names: OnceCell<Arc<[AltName]>>,
}

/// Why there are no names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MirrorError {
    /// The upstream could not be asked, or proves nothing.
    #[error("{0}")]
    Unknown(String),
    /// Its certificate cannot be read.
    #[error("its certificate cannot be read")]
    Odd,
    /// Its certificate is for others.
    #[error("its certificate is not for this host")]
    Other,
    /// There are too many.
    #[error("its certificate has more than 100 names, or more than 8 KiB of them")]
    Crowd,
}

impl Mirror {
    /// Keeps the names of so many upstreams. `is_required`: without names there is no certificate.
    #[must_use]
    pub fn new(is_required: bool, room: NonZeroUsize) -> Self {
        Self { is_required, kept: Mutex::new(LruCache::new(room)) }
    }

    /// Whether there is no certificate without the upstream's names.
    #[must_use]
    pub const fn is_required(&self) -> bool {
        self.is_required
    }

    /// The subject with the names of the upstream at `place`, a text that stands for host and port. However many come at once, the
    /// upstream is asked once; failures are not kept.
    pub async fn names(
        &self,
        place: &str,
        subject: &Subject,
        ask: impl Future<Output = Result<CertificateDer<'static>, String>> + Send,
    ) -> Result<Subject, MirrorError> {
        let slot = self.slot(place, Instant::now());
        let asked = async {
            let certificate = ask.await.map_err(MirrorError::Unknown)?;
            let names = read(&certificate)?;
            if !subject.is_among(&names) {
                return Err(MirrorError::Other);
            }
            Ok(names.into())
        };
        let names = slot.names.get_or_try_init(|| asked).await?;
        Ok(subject.with_names(names))
    }

    fn slot(&self, place: &str, now: Instant) -> Arc<Slot> {
        let mut kept = self.kept.lock();
        if let Some(slot) = kept.get(place)
            && now.saturating_duration_since(slot.since) < KEPT
        {
            return Arc::clone(slot);
        }
        let slot = Arc::new(Slot { since: now, names: OnceCell::new() });
        kept.put(place.into(), Arc::clone(&slot));
        slot
    }
}

/// The names of a certificate, within bounds.
fn read(certificate: &[u8]) -> Result<Vec<AltName>, MirrorError> {
    let names = certificate::alternative_names(certificate).map_err(|_| MirrorError::Odd)?;
    let bytes: usize = names.iter().map(AltName::len).sum();
    if names.len() > MAX_NAMES || bytes > MAX_BYTES {
        return Err(MirrorError::Crowd);
    }
    Ok(names)
}

impl AltName {
    /// A name as a certificate has it; none where no client could mean it.
    pub(super) fn dns(text: &str) -> Option<Self> {
        let plain = text.strip_prefix("*.").unwrap_or(text);
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let is_name = !plain.is_empty() && text.len() <= 253 && plain.bytes().all(is_legal);
        is_name.then(|| Self::Dns(text.to_ascii_lowercase().into()))
    }

    fn len(&self) -> usize {
        match self {
            Self::Dns(name) => name.len(),
            Self::Address(IpAddr::V4(_)) => 4,
            Self::Address(IpAddr::V6(_)) => 16,
        }
    }

    /// Whether a host is meant: by its name in lower case, or its address.
    pub(super) fn is_about(&self, host: &str, address: Option<IpAddr>) -> bool {
        match (self, address) {
            (Self::Address(own), Some(address)) => *own == address,
            (Self::Dns(own), None) => match own.strip_prefix("*.") {
                Some(rest) => host.split_once('.').is_some_and(|(label, others)| !label.is_empty() && others == rest),
                None => **own == *host,
            },
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn certificate(names: &[String]) -> CertificateDer<'static> {
        let key = KeyPair::generate().expect("a key");
        CertificateParams::new(names.to_vec()).expect("names").self_signed(&key).expect("a certificate").into()
    }

    fn named(names: &[&str]) -> CertificateDer<'static> {
        certificate(&names.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    fn mirror() -> Mirror {
        Mirror::new(false, NonZeroUsize::new(2).expect("some"))
    }

    async fn of(certificate: CertificateDer<'static>, host: &str) -> Result<Subject, MirrorError> {
        mirror().names("a", &Subject::named(host), async { Ok(certificate) }).await
    }

    #[tokio::test]
    async fn names_and_addresses_are_taken_over() {
        let subject = of(named(&["A.test", "*.b.test", "127.0.0.1", "::1"]), "a.test").await.expect("names");
        let expected = ["a.test", "*.b.test"].map(|name| AltName::Dns(name.into()));
        let addresses = ["127.0.0.1", "::1"].map(|text| AltName::Address(text.parse().expect("an address")));
        assert_eq!(subject.names(), [expected.as_slice(), &addresses].concat());
    }

    #[tokio::test]
    async fn certificates_of_others_are_not_mirrored() {
        for (names, host, is_own) in [
            (&["a.test"][..], "a.test", true),
            (&["a.test"], "b.test", false),
            (&["*.a.test"], "b.a.test", true),
            (&["*.a.test"], "a.test", false),
            (&["*.a.test"], "c.b.a.test", false),
            (&["127.0.0.1"], "127.0.0.1", false),
        ] {
            let subject = of(named(names), host).await;
            assert_eq!(subject.is_ok(), is_own, "{names:?} {host}");
        }
        let address = Subject::new("127.0.0.1".into(), "127.0.0.1".parse().ok());
        assert!(mirror().names("a", &address, async { Ok(named(&["127.0.0.1"])) }).await.is_ok());
        assert_eq!(mirror().names("a", &address, async { Ok(vec![0].into()) }).await.err(), Some(MirrorError::Odd));
    }

    #[tokio::test]
    async fn names_have_a_limit() {
        let numbered = |count: usize| -> Vec<String> { (0..count).map(|number| format!("{number}.test")).collect() };
        for (count, is_taken) in [(99, true), (100, true), (101, false)] {
            assert_eq!(of(certificate(&numbered(count)), "0.test").await.is_ok(), is_taken, "{count}");
        }
        let long = |count: usize| -> Vec<String> {
            let label = "x".repeat(60);
            (0..count).map(|number| format!("{number:02}.{label}.{label}.{label}.test")).collect()
        };
        let each = long(1).first().map_or(0, String::len);
        let fits = MAX_BYTES / each;
        for (count, is_taken) in [(fits, true), (fits + 1, false)] {
            let names = long(count);
            let first = names.first().cloned().unwrap_or_default();
            assert_eq!(of(certificate(&names), &first).await.is_ok(), is_taken, "{count}");
        }
    }

    #[tokio::test]
    async fn upstreams_are_asked_once_in_a_while() {
        let (mirror, asked) = (mirror(), AtomicUsize::new(0));
        let subject = Subject::named("a.test");
        let ask = |ok: bool| {
            let asked = &asked;
            async move {
                asked.fetch_add(1, SeqCst);
                if ok { Ok(named(&["a.test"])) } else { Err("down".to_owned()) }
            }
        };
        assert!(mirror.names("a", &subject, ask(false)).await.is_err());
        for _ in 0..3 {
            assert!(mirror.names("a", &subject, ask(true)).await.is_ok());
        }
        assert_eq!(asked.load(SeqCst), 2);
        let slot = mirror.slot("a", Instant::now());
        let later = Instant::now() + KEPT;
        assert!(!Arc::ptr_eq(&slot, &mirror.slot("a", later)));
        for place in ["b", "c", "d"] {
            drop(mirror.slot(place, later));
        }
        assert_eq!(mirror.kept.lock().len(), 2);
    }
}
