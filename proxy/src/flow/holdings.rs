//! How much of bodies all flows together hold back for hooks: many clients with large bodies must not take all memory.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use crate::http::BodyError;

/// What all flows hold, and how much that may be.
#[derive(Debug)]
pub struct Holdings {
    held: AtomicUsize,
    limit: usize,
}

/// What one flow holds; given back when it is sent on, at the latest when the flow is over.
#[derive(Debug)]
pub(super) struct Share {
    holdings: Arc<Holdings>,
    held: AtomicUsize,
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

    /// Nothing yet, for a flow.
    pub(super) const fn share(self: Arc<Self>) -> Share {
        Share { holdings: self, held: AtomicUsize::new(0) }
    }
}

impl Share {
    /// Holds so many bytes more.
    pub(super) fn hold(&self, bytes: usize) -> Result<(), BodyError> {
        let Holdings { held, limit } = &*self.holdings;
        let add = |held: usize| held.checked_add(bytes).filter(|sum| sum <= limit);
        match held.fetch_update(Relaxed, Relaxed, add) {
            Ok(_) => {
                self.held.fetch_add(bytes, Relaxed);
                Ok(())
            }
            Err(_) => Err(BodyError::Crowded(*limit)),
        }
    }
}

impl Share {
    /// Holds so many bytes more, whatever the limit: they are here already, and others have to wait for that.
    pub(super) fn add(&self, bytes: usize) {
        self.holdings.held.fetch_add(bytes, Relaxed);
        self.held.fetch_add(bytes, Relaxed);
    }

    /// Holds so many bytes less.
    pub(super) fn give_back(&self, bytes: usize) {
        let less = |held: usize| Some(held.saturating_sub(bytes));
        let before = self.held.fetch_update(Relaxed, Relaxed, less).unwrap_or_default();
        self.holdings.held.fetch_sub(bytes.min(before), Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.holdings.held.fetch_sub(*self.held.get_mut(), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_for_all_flows_and_comes_back() {
        let holdings = Arc::new(Holdings::new(10));
        let (one, two) = (Arc::clone(&holdings).share(), Arc::clone(&holdings).share());
        assert!(one.hold(6).is_ok() && two.hold(3).is_ok() && two.hold(1).is_ok());
        assert!(matches!(two.hold(1), Err(BodyError::Crowded(10))));
        assert!(matches!(two.hold(usize::MAX), Err(BodyError::Crowded(10))));
        drop(one);
        assert_eq!(holdings.held(), 4);
        assert!(two.hold(6).is_ok() && two.hold(1).is_err());
        two.add(5);
        assert_eq!(holdings.held(), 15);
        two.give_back(7);
        assert_eq!(holdings.held(), 8);
        assert!(two.hold(2).is_ok() && two.hold(1).is_err());
        two.give_back(100);
        assert_eq!(holdings.held(), 0);
        drop(two);
        assert_eq!(holdings.held(), 0);
    }
}
