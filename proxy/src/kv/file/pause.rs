//! Times to wait before something is tried again.

use std::time::{Duration, Instant};

/// A time to wait, longer each time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pause {
    until: Instant,
    length: Duration,
}

const FIRST: Duration = Duration::from_millis(250);

impl Pause {
    /// Over at once.
    pub(super) fn none() -> Self {
        Self { until: Instant::now(), length: Duration::ZERO }
    }

    /// From now on, twice as long as this one.
    pub(super) fn next(self, longest: Duration) -> Self {
        let length = (self.length * 2).clamp(FIRST, longest);
        Self { until: Instant::now() + length, length }
    }

    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }
}
