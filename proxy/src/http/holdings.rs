//! How much of bodies all flows together hold back for hooks: many clients with large bodies must not take all memory.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::Mutex;

use super::BodyError;

/// What all flows hold, and how much that may be.
#[derive(Debug)]
pub struct Holdings {
    held: AtomicUsize,
    limit: usize,
    told: Option<Told>,
}

/// What the log is told when there is no room.
#[derive(Debug)]
struct Told {
    /// The key of the limit.
    key: &'static str,
    at: Mutex<Option<Instant>>,
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

/// How often the log tells that there is no room.
const WARNING: Duration = Duration::from_mins(1);

impl Holdings {
    /// At most so many bytes.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { held: AtomicUsize::new(0), limit, told: None }
    }

    /// The same, and the log warns when there is no room, once a minute at most. Default: it does not.
    #[must_use]
    pub const fn telling(mut self, key: &'static str) -> Self {
        self.told = Some(Told { key, at: Mutex::new(None) });
        self
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
        let Holdings { held, limit, told } = &*self.holdings;
        let add = |held: usize| held.checked_add(bytes).filter(|sum| sum <= limit);
        if held.fetch_update(Relaxed, Relaxed, add).is_err() {
            if let Some(told) = told.as_ref().filter(|told| told.is_due(Instant::now())) {
                let (held, limit) = (held.load(Relaxed), *limit);
                tracing::warn!(held, limit, "{} is used up: what would have to be held is refused", told.key);
            }
            return Err(BodyError::Crowded(*limit));
        }
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

impl Told {
    /// Whether the log is to be told now.
    fn is_due(&self, now: Instant) -> bool {
        let mut at = self.at.lock();
        let is_due = at.is_none_or(|at| now.duration_since(at) >= WARNING);
        if is_due {
            *at = Some(now);
        }
        is_due
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
    fn the_log_is_told_once_a_minute() {
        let told = Told { key: "limit", at: Mutex::new(None) };
        let start = Instant::now();
        let due = [0, 1, 59, 60, 61, 119, 120].map(|seconds| told.is_due(start + Duration::from_secs(seconds)));
        assert_eq!(due, [true, false, false, true, false, false, true]);
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
