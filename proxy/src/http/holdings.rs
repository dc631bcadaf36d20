//! How much of bodies all flows together hold back for hooks: many clients with large bodies must not take all memory.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use bytes::Bytes;

use super::BodyError;

/// What all flows hold, and how much that may be.
#[derive(Debug)]
pub struct Holdings {
    held: AtomicUsize,
    limit: usize,
}

/// A part of it, given back when this is dropped.
#[derive(Debug)]
pub struct Hold {
    holdings: Arc<Holdings>,
    bytes: usize,
}

/// Bytes, and what counts them.
struct Held {
    bytes: Bytes,
    _hold: Hold,
}

impl Holdings {
    /// At most so many bytes.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { held: AtomicUsize::new(0), limit }
    }

    /// Bytes held now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.load(Relaxed)
    }

    /// Whether that is more than may be: what hooks make counts when it is there.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.held() > self.limit
    }

    /// Nothing yet.
    #[must_use]
    pub fn hold(self: &Arc<Self>) -> Hold {
        Hold { holdings: Arc::clone(self), bytes: 0 }
    }

    /// The same bytes, counted until the last share of them is dropped, whatever the limit: they are here already, and others
    /// have to wait for that.
    #[must_use]
    pub fn count(self: &Arc<Self>, bytes: Bytes) -> Bytes {
        let mut hold = self.hold();
        hold.add(bytes.len());
        hold.keep(bytes)
    }
}

impl Hold {
    /// Bytes that it counts.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Nothing yet, in the same place.
    #[must_use]
    pub fn fresh(&self) -> Self {
        self.holdings.hold()
    }

    /// Counts so many bytes more, if all may hold so many more.
    ///
    /// # Errors
    /// When they may not: then nothing has changed.
    pub fn grow(&mut self, bytes: usize) -> Result<(), BodyError> {
        let Holdings { held, limit } = &*self.holdings;
        let add = |held: usize| held.checked_add(bytes).filter(|sum| sum <= limit);
        held.fetch_update(Relaxed, Relaxed, add).map_err(|_| BodyError::Crowded(*limit))?;
        self.bytes += bytes;
        Ok(())
    }

    /// Counts so many bytes more, whatever the limit.
    pub fn add(&mut self, bytes: usize) {
        self.holdings.held.fetch_add(bytes, Relaxed);
        self.bytes += bytes;
    }

    /// Counts nothing any more.
    pub fn give_back(&mut self) {
        self.holdings.held.fetch_sub(std::mem::take(&mut self.bytes), Relaxed);
    }

    /// The same bytes, counted by this until the last share of them is dropped.
    #[must_use]
    pub fn keep(self, bytes: Bytes) -> Bytes {
        if bytes.is_empty() { bytes } else { Bytes::from_owner(Held { bytes, _hold: self }) }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.holdings.held.fetch_sub(self.bytes, Relaxed);
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_for_all_flows_and_comes_back() {
        let holdings = Arc::new(Holdings::new(10));
        let (mut one, mut two) = (holdings.hold(), holdings.hold());
        assert!(one.grow(6).is_ok() && two.grow(3).is_ok() && two.grow(1).is_ok());
        assert!(matches!(two.grow(1), Err(BodyError::Crowded(10))));
        assert!(matches!(two.grow(usize::MAX), Err(BodyError::Crowded(10))));
        assert!(!holdings.is_over());
        drop(one);
        assert_eq!(holdings.held(), 4);
        assert!(two.grow(6).is_ok() && two.grow(1).is_err());
        two.add(1);
        assert!(holdings.is_over());
        drop(two);
        assert_eq!(holdings.held(), 0);
    }

    #[test]
    fn bytes_count_once_and_until_nobody_has_them() {
        let holdings = Arc::new(Holdings::new(2));
        let all = holdings.count(Bytes::from_static(b"abc"));
        let (clone, part) = (all.clone(), all.slice(1..2));
        assert_eq!((holdings.held(), &*part), (3, &b"b"[..]));
        drop((all, clone));
        assert_eq!(holdings.held(), 3);
        drop(part);
        assert_eq!(holdings.held(), 0);
        assert_eq!((holdings.count(Bytes::new()).len(), holdings.held()), (0, 0));
    }
}
