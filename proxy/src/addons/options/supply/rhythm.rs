//! When a server is asked.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
    time::{Duration, Instant},
};

use super::OptionsUrl;

/// When a server is asked again.
#[derive(Default)]
pub(super) struct Rhythm {
    /// Whom the last request went to, with which token.
    asked: Option<Arc<OptionsUrl>>,
    next: Option<Instant>,
    failures: u32,
}

/// How long after the first of several failures; doubled after each, up to the interval.
const FIRST_RETRY: Duration = Duration::from_secs(1);

impl Rhythm {
    /// A request has ended.
    pub(super) fn asked(&mut self, url: &Arc<OptionsUrl>) {
        if self.asked.as_ref() != Some(url) {
            self.failures = 0;
        }
        self.asked = Some(Arc::clone(url));
        self.plan();
    }

    /// What it brought is in force.
    pub(super) fn went_well(&mut self) {
        self.failures = 0;
        self.plan();
    }

    /// It brought nothing, or nothing that can be put in force.
    pub(super) fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
        self.plan();
    }

    /// How long until the next one.
    pub(super) fn wait(&self, url: &Arc<OptionsUrl>, now: Instant) -> Duration {
        if self.asked.as_ref() != Some(url) {
            return Duration::ZERO;
        }
        self.next.map_or(Duration::ZERO, |next| next.saturating_duration_since(now))
    }

    fn plan(&mut self) {
        let Some(url) = &self.asked else { return };
        // Far from cryptographic, and all that is needed to keep proxies that start together from asking together.
        let chance = u32::try_from(RandomState::new().hash_one(()) >> 32).unwrap_or_default();
        self.next = Instant::now().checked_add(delay(url.interval(), self.failures, f64::from(chance) / f64::from(u32::MAX)));
    }
}

/// The interval, or after failures less, a tenth more or less as `chance` from 0 to 1 says.
fn delay(interval: Duration, failures: u32, chance: f64) -> Duration {
    let base = match failures.checked_sub(1) {
        None => interval,
        Some(doublings) => FIRST_RETRY.saturating_mul(2_u32.saturating_pow(doublings)).min(interval),
    };
    base.mul_f64(0.9 + 0.2 * chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_tried_again_soon_and_then_less_often() {
        let minute = Duration::from_mins(1);
        for (failures, seconds) in [(0, 60), (1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (40, 60), (u32::MAX, 60)] {
            assert_eq!(delay(minute, failures, 0.5), Duration::from_secs(seconds), "{failures}");
        }
        assert_eq!(delay(Duration::from_secs(1), 9, 0.5), Duration::from_secs(1));
        let day = Duration::from_hours(24);
        assert_eq!((delay(day, 0, 0.0), delay(day, 0, 1.0)), (day.mul_f64(0.9), day.mul_f64(1.1)));
    }

    #[test]
    fn another_token_is_asked_with_at_once() {
        let url = |token: Option<&str>| {
            let token = token.map(|token| token.parse().expect("a token"));
            Arc::new(OptionsUrl::new("http://h/", token, Duration::from_mins(1)).expect("a URL"))
        };
        let (now, mut rhythm) = (Instant::now(), Rhythm::default());
        assert_eq!(rhythm.wait(&url(None), now), Duration::ZERO);
        rhythm.asked(&url(None));
        assert!(rhythm.wait(&url(None), now) > Duration::from_secs(50));
        assert_eq!(rhythm.wait(&url(Some("secret-token")), now), Duration::ZERO);
        rhythm.failed();
        assert!(rhythm.wait(&url(None), now) < Duration::from_secs(3));
        rhythm.went_well();
        assert!(rhythm.wait(&url(None), now) > Duration::from_secs(50));
    }
}
