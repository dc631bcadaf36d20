//! How long is waited after failures.

use std::time::Duration;

use tokio::time::Instant;

/// Waits after failures.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waits {
    /// After the first one; after each further one twice as long.
    pub(super) first: Duration,
    /// Not more than this, whatever number of failures.
    pub(super) longest: Duration,
    /// Factor for a wait, so that what failed at one time does not all come back at one time.
    pub(super) jitter: fn() -> f64,
}

/// Not more than this, whatever Retry-After says.
const LONGEST_ASKED: Duration = Duration::from_mins(10);

/// How an origin does.
#[derive(Debug, Default)]
pub(super) struct Pause {
    failures: u32,
    /// When the last one was seen: what began before says nothing new.
    since: Option<Instant>,
    until: Option<Instant>,
}

impl Waits {
    /// The time after so many failures.
    pub(super) fn after(&self, failures: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
        self.first.saturating_mul(doubled).min(self.longest).mul_f64((self.jitter)())
    }
}

impl Default for Waits {
    /// 1 s, 2 s, 4 s and so on to 60 s, a quarter more or less.
    fn default() -> Self {
        Self { first: Duration::from_secs(1), longest: Duration::from_mins(1), jitter }
    }
}

/// From 0.75 to 1.25.
fn jitter() -> f64 {
    use std::hash::{BuildHasher as _, RandomState};
    let random = u32::try_from(RandomState::new().hash_one(0_u8) >> 32).unwrap_or_default();
    0.75 + f64::from(random) / f64::from(u32::MAX) / 2.0
}

impl Pause {
    /// A try that began at `began` failed; the origin asked for this time, where it did. Tells whether it did well before.
    pub(super) fn failed(&mut self, began: Instant, now: Instant, asked: Option<Duration>, waits: &Waits) -> bool {
        if self.since.is_some_and(|since| began < since) {
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        self.since = Some(now);
        let asked = asked.unwrap_or_default().min(LONGEST_ASKED);
        self.until = now.checked_add(waits.after(self.failures).max(asked));
        self.failures == 1
    }

    /// A try did well. Tells whether those before had not.
    pub(super) fn went_well(&mut self) -> bool {
        self.until = None;
        std::mem::take(&mut self.failures) > 0
    }

    /// Whether the last try failed.
    pub(super) const fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// Until when nothing is tried.
    pub(super) fn until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn steady() -> Waits {
        Waits { jitter: || 1.0, ..Waits::default() }
    }

    #[test]
    fn waits_double_up_to_a_minute() {
        let seconds: Vec<u64> = (1..=9).map(|failures| steady().after(failures).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(steady().after(u32::MAX), 60 * SECOND);
        assert!((0..100).all(|_| (0.75..=1.25).contains(&jitter())));
    }

    #[test]
    fn failures_at_one_time_count_once() {
        let (mut pause, now) = (Pause::default(), Instant::now());
        let later = now + Duration::from_millis(5);
        assert!(pause.failed(now, later, None, &steady()));
        assert!(!pause.failed(now, later, None, &steady()));
        assert_eq!(pause.until(later), Some(later + SECOND));
        assert!(!pause.failed(later, later, None, &steady()));
        assert_eq!(pause.until(later), Some(later + 2 * SECOND));
        assert!(pause.went_well() && !pause.is_failing());
        assert_eq!(pause.until(later), None);
    }

    #[test]
    fn origins_may_ask_for_ten_minutes() {
        let now = Instant::now();
        for (asked, waits) in [(0, 1), (30, 30), (600, 600), (601, 600)] {
            let mut pause = Pause::default();
            pause.failed(now, now, Some(Duration::from_secs(asked)), &steady());
            assert_eq!(pause.until(now), Some(now + Duration::from_secs(waits)), "{asked}");
        }
    }
}
