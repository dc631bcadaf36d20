//! Requests of one addon's own, counted over all its generations.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use super::super::stats::Stats;
use crate::outbound::Error;

/// Counters since the addon was first seen.
#[derive(Debug, Default)]
pub(in crate::addons) struct HttpStats {
    ended: [AtomicU64; Error::OUTCOMES.len()],
    nanoseconds: AtomicU64,
    in_flight: AtomicU32,
}

/// What they say at one moment.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct HttpCounters {
    /// Requests that ended, by what became of them: `ok` is any response, `abandoned` one that the hook's wall budget ended; the
    /// others are the errors of the contract. What never happened is left out.
    pub requests: BTreeMap<&'static str, u64>,
    /// Time of all that ended, in seconds.
    pub seconds: f64,
    /// Under way now.
    pub in_flight: u64,
}

/// Counts a request as under way while it lives.
pub(in crate::addons) struct InFlight(Arc<Stats>);

impl HttpStats {
    /// A request begins, unless so many are under way.
    pub(in crate::addons) fn begin(stats: &Arc<Stats>, limit: u32) -> Option<InFlight> {
        let more = |count: u32| (count < limit).then_some(count + 1);
        stats.http.in_flight.fetch_update(Relaxed, Relaxed, more).ok()?;
        Some(InFlight(Arc::clone(stats)))
    }

    /// A request ended, with a response or with this error.
    pub(in crate::addons) fn ended(&self, error: Option<&Error>, took: Duration) {
        self.count(error.map_or(0, Error::outcome), took);
    }

    /// The hook's wall budget ended a request.
    pub(in crate::addons) fn abandoned(&self, took: Duration) {
        self.count(Error::OUTCOMES.len() - 1, took);
    }

    fn count(&self, outcome: usize, took: Duration) {
        if let Some(counter) = self.ended.get(outcome) {
            counter.fetch_add(1, Relaxed);
        }
        self.nanoseconds.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// What the counters say.
    #[allow(clippy::cast_precision_loss, reason = "nanoseconds of a century still fit to the microsecond")]
    pub(in crate::addons) fn counters(&self) -> HttpCounters {
        let counts = self.ended.iter().map(|counter| counter.load(Relaxed));
        HttpCounters {
            requests: Error::OUTCOMES.into_iter().zip(counts).filter(|(_, count)| *count > 0).collect(),
            seconds: self.nanoseconds.load(Relaxed) as f64 / 1e9,
            in_flight: self.in_flight.load(Relaxed).into(),
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.http.in_flight.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_under_way_and_no_more() {
        let stats = Arc::new(Stats::default());
        let first = HttpStats::begin(&stats, 2);
        let second = HttpStats::begin(&stats, 2);
        assert!(first.is_some() && second.is_some() && HttpStats::begin(&stats, 2).is_none());
        drop(first);
        assert_eq!(stats.http.counters().in_flight, 1);
        assert!(HttpStats::begin(&stats, 2).is_some());
    }

    #[test]
    fn each_error_is_counted_under_its_name() {
        let stats = HttpStats::default();
        stats.ended(None, Duration::from_secs(1));
        stats.ended(Some(&Error::Timeout), Duration::from_secs(1));
        stats.ended(Some(&Error::TooLarge(1)), Duration::ZERO);
        stats.ended(Some(&Error::Busy(1)), Duration::ZERO);
        stats.abandoned(Duration::ZERO);
        let counters = stats.counters();
        let names: Vec<_> = counters.requests.into_iter().collect();
        assert_eq!(names, [("abandoned", 1), ("busy", 1), ("ok", 1), ("timeout", 1), ("too_large", 1)]);
        assert!((counters.seconds - 2.0).abs() < 1e-9);
    }
}
