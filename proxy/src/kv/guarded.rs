//! A store that nobody waits for longer than its time limit, and that is counted.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{FutureExt as _, future::BoxFuture};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _},
    metrics::{
        MetricType, TypedMetric,
        counter::Counter,
        family::Family,
        gauge::ConstGauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Unit,
};
use tokio::time::timeout;

use super::{Answer, Command, Page, Scan, Space, Store, StoreError, Usage};

/// Puts a time limit on a store.
#[derive(Debug)]
pub struct Guarded {
    store: Arc<dyn Store>,
    limit: Duration,
    counts: Arc<Counts>,
}

/// Its counters, as Prometheus reads them.
#[derive(Debug)]
pub struct StoreMetrics {
    store: Arc<dyn Store>,
    counts: Arc<Counts>,
}

struct Counts {
    requests: Family<Labels, Counter>,
    time: Histogram,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    outcome: &'static str,
}

impl Guarded {
    /// Whoever waits longer than the limit gets [`StoreError::Unavailable`]; what was asked for may be done nevertheless.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, limit: Duration) -> Self {
        // 50 µs to 1.6 s.
        let counts = Counts { requests: Family::default(), time: Histogram::new(exponential_buckets(0.000_05, 2.0, 16)) };
        Self { store, limit, counts: Arc::new(counts) }
    }

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> StoreMetrics {
        StoreMetrics { store: Arc::clone(&self.store), counts: Arc::clone(&self.counts) }
    }

    fn limited<T: Send + 'static>(
        &self,
        work: BoxFuture<'static, Result<T, StoreError>>,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let (limit, counts) = (self.limit, Arc::clone(&self.counts));
        async move {
            let start = Instant::now();
            let result = timeout(limit, work).await;
            let result = result.unwrap_or_else(|_| Err(StoreError::Unavailable(format!("no answer within {limit:?}"))));
            let outcome = match &result {
                Ok(_) => "ok",
                Err(StoreError::Invalid(_)) => "invalid",
                Err(StoreError::TooLarge(_)) => "too_large",
                Err(StoreError::Unavailable(_)) => "unavailable",
            };
            counts.requests.get_or_create_owned(&Labels { outcome }).inc();
            counts.time.observe(start.elapsed().as_secs_f64());
            result
        }
        .boxed()
    }
}

impl Store for Guarded {
    fn apply(&self, space: &Space, commands: Vec<Command>) -> BoxFuture<'static, Result<Vec<Answer>, StoreError>> {
        self.limited(self.store.apply(space, commands))
    }

    fn scan(&self, space: &Space, scan: Scan) -> BoxFuture<'static, Result<Page, StoreError>> {
        self.limited(self.store.scan(space, scan))
    }

    fn usage(&self, addon: &str) -> Option<Usage> {
        self.store.usage(addon)
    }

    fn trouble(&self) -> Option<String> {
        self.store.trouble()
    }

    fn flush(&self) -> BoxFuture<'static, ()> {
        let (flush, limit) = (self.store.flush(), self.limit);
        async move { drop(timeout(limit, flush).await) }.boxed()
    }
}

impl Collector for StoreMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let is_up = ConstGauge::new(i64::from(self.store.trouble().is_none()));
        let help = "Whether the store of keys and values can be used";
        is_up.encode(encoder.encode_descriptor("state_up", help, None, MetricType::Gauge)?)?;
        let help = "Requests to the store of keys and values that ended, by outcome";
        let requests = &self.counts.requests;
        requests.encode(encoder.encode_descriptor("state_requests", help, None, Family::<Labels, Counter>::TYPE)?)?;
        let help = "Time that requests to the store of keys and values took";
        let time = encoder.encode_descriptor("state_request_duration", help, Some(&Unit::Seconds), Histogram::TYPE)?;
        self.counts.time.encode(time)
    }
}

impl fmt::Debug for Counts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Counts").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::pending;

    use super::{
        super::{Memory, Op, Place, Quota},
        *,
    };

    /// Answers after a while, or never.
    #[derive(Debug)]
    struct Slow(Option<Duration>);

    impl Store for Slow {
        fn apply(&self, _: &Space, _: Vec<Command>) -> BoxFuture<'static, Result<Vec<Answer>, StoreError>> {
            let Some(time) = self.0 else { return pending().boxed() };
            async move {
                tokio::time::sleep(time).await;
                Ok(Vec::new())
            }
            .boxed()
        }

        fn scan(&self, _: &Space, _: Scan) -> BoxFuture<'static, Result<Page, StoreError>> {
            pending().boxed()
        }

        fn usage(&self, _: &str) -> Option<Usage> {
            None
        }

        fn flush(&self) -> BoxFuture<'static, ()> {
            pending().boxed()
        }
    }

    /// Far more than the limits of tests.
    const PATIENCE: Duration = Duration::from_secs(20);

    fn space() -> Space {
        Space { addon: "a".into(), quota: Quota::default() }
    }

    #[tokio::test]
    async fn nobody_waits_longer_than_the_limit() {
        let short = Duration::from_millis(50);
        let late = || StoreError::Unavailable("no answer within 50ms".to_owned());
        for (answers, limit, expected) in [
            (Some(Duration::from_millis(60)), Duration::from_mins(1), Ok(Vec::new())),
            (Some(Duration::from_mins(10)), short, Err(late())),
            (None, short, Err(late())),
        ] {
            let store = Guarded::new(Arc::new(Slow(answers)), limit);
            let answer = timeout(PATIENCE, store.apply(&space(), Vec::new())).await;
            assert_eq!(answer.expect("an answer in time"), expected, "{answers:?}");
        }
        let store = Guarded::new(Arc::new(Slow(None)), short);
        let scan = Scan::new("b", "", None, 1).expect("a scan");
        assert_eq!(store.scan(&space(), scan).await, Err(late()));
        timeout(PATIENCE, store.flush()).await.expect("an end in time");
    }

    #[tokio::test]
    async fn requests_are_counted_by_outcome() {
        let store = Guarded::new(Arc::new(Memory::default()), Duration::from_mins(1));
        let place = || Place::new("b", "k").expect("a place");
        for op in [Op::Set("x".into(), None), Op::Get, Op::Increment(1, None), Op::Set(vec![0; (1 << 20) + 1].into(), None)] {
            drop(store.apply(&space(), vec![(place(), op)]).await);
        }
        let mut registry = prometheus_client::registry::Registry::default();
        registry.register_collector(Box::new(store.metrics()));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("text");
        for line in [
            "state_up 1",
            "state_requests_total{outcome=\"ok\"} 2",
            "state_requests_total{outcome=\"invalid\"} 1",
            "state_requests_total{outcome=\"too_large\"} 1",
            "state_request_duration_seconds_count 4",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }
}
