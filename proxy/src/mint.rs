//! Certificates for hosts that clients reach through an intercepting listener: minted when the first client asks for a host, signed
//! by an authority that those clients trust.

mod authority;
mod certificate;
mod create;
mod leaf;
mod mirror;
mod signer;
#[cfg(test)]
mod tests;

use std::{num::NonZeroUsize, sync::Arc};

use lru::LruCache;
use parking_lot::Mutex;
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
use time::OffsetDateTime;
use tokio::sync::OnceCell;

use crate::{heavy, targets::Target};

pub use authority::{Authority, AuthorityError, Description, pem};
pub use create::{CreateError, New, Written, create};
pub use leaf::{Leaf, MintError, Subject};
pub use mirror::{AltName, Mirror, MirrorError};

/// Certificates of an authority, each minted once and kept while it is of use.
///
/// At most as many are kept as it was made for: the one that nobody has asked for for longest makes room. All live as long as this
/// does; a changed authority takes another mint.
pub struct Mint {
    authority: Arc<Authority>,
    kept: Mutex<LruCache<Box<str>, Arc<Slot>>>,
    counts: Counts,
}

/// Where a certificate is, or will be.
type Slot = OnceCell<Arc<Leaf>>;

/// What a mint counts.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// Certificates that were minted.
    pub minted: Counter,
    /// Certificates that are kept.
    pub kept: Gauge,
}

impl Mint {
    /// Keeps as many certificates as `room` says.
    #[must_use]
    pub fn new(authority: Authority, room: NonZeroUsize, counts: Counts) -> Self {
        counts.kept.set(0);
        Self { authority: Arc::new(authority), kept: Mutex::new(LruCache::new(room)), counts }
    }

    /// Who signs.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// A certificate for a host that is good for a while yet. However many ask for it at once, it is minted once.
    ///
    /// # Errors
    /// When the authority is no longer, or not yet, valid, or cannot sign. The next one who asks tries again.
    pub async fn leaf(&self, subject: &Subject) -> Result<Arc<Leaf>, MintError> {
        let kept = self.slot(subject, None);
        let leaf = self.filled(&kept, subject).await?;
        if leaf.is_fresh(OffsetDateTime::now_utc()) {
            return Ok(leaf);
        }
        self.filled(&self.slot(subject, Some(&kept)), subject).await
    }

    /// Where the certificate is, or will be; in place of `stale`, if that is still there.
    fn slot(&self, subject: &Subject, stale: Option<&Arc<Slot>>) -> Arc<Slot> {
        let mut kept = self.kept.lock();
        if let Some(slot) = kept.get(subject.key())
            && stale.is_none_or(|stale| !Arc::ptr_eq(slot, stale))
        {
            return Arc::clone(slot);
        }
        let slot = Arc::default();
        kept.put(subject.key().into(), Arc::clone(&slot));
        self.counts.kept.set(i64::try_from(kept.len()).unwrap_or(i64::MAX));
        slot
    }

    async fn filled(&self, slot: &Slot, subject: &Subject) -> Result<Arc<Leaf>, MintError> {
        let mint = || async {
            let (authority, subject) = (Arc::clone(&self.authority), subject.clone());
            let minted = heavy::run(move || Leaf::mint(&authority, &subject, OffsetDateTime::now_utc())).await;
            let leaf = minted.ok_or(MintError::Stopping)??;
            self.counts.minted.inc();
            Ok(Arc::new(leaf))
        };
        slot.get_or_try_init(mint).await.cloned()
    }
}

impl Subject {
    /// The host of a target, as URLs are read: lower case, addresses in one way of writing.
    #[must_use]
    pub fn of(target: &Target) -> Self {
        Self::new(target.name().into(), target.address())
    }

    /// A name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let name = name.strip_suffix('.').unwrap_or(name);
        Self::new(name.to_ascii_lowercase().into(), None)
    }
}
