//! What is counted, as Prometheus reads it (`OpenMetrics` text format).

use std::{
    fmt::{self, Write as _},
    sync::Arc,
    time::Duration,
};

use http::StatusCode;
use parking_lot::Mutex;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _, text::encode},
    metrics::{
        MetricType,
        counter::Counter,
        family::Family,
        gauge::{ConstGauge, Gauge},
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

use crate::{hooks::FailureKind, mint::Counts};

/// All counters of the process but those of addons, which the addon host keeps.
pub struct Metrics {
    registry: Mutex<Registry>,
    flows: Family<FlowLabels, Counter>,
    active: Family<ListenerLabel, Gauge>,
    latency: Family<ListenerLabel, Histogram>,
    connections: Family<ListenerLabel, Gauge>,
    accepted: Family<ListenerLabel, Counter>,
    failures: Family<FailureLabels, Counter>,
    interceptions: Family<InterceptionLabels, Counter>,
    minted: Family<ListenerLabel, Counter>,
    certificates: Family<ListenerLabel, Gauge>,
}

/// What became of a CONNECT that was to be looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interception {
    /// TLS stands.
    Tls,
    /// HTTP without TLS came.
    Cleartext,
    /// The client broke off the handshake once it had seen the certificate.
    Refused,
    /// The client went away before, or what it sent is no handshake.
    Aborted,
    /// It took too long.
    Late,
    /// Something came that is neither TLS nor HTTP.
    Unknown,
    /// There was no certificate for it.
    Unminted,
}

/// Counters of one listener.
pub struct ListenerMetrics {
    /// Flows that have begun and not ended.
    pub flows_active: Gauge,
    /// Open client connections.
    pub connections: Gauge,
    /// Connections accepted.
    pub accepted: Counter,
    /// Certificates of interception.
    pub certificates: Counts,
    latency: Histogram,
    interceptions: [Counter; 7],
    statuses: [Counter; 6],
    broken: Counter,
    failures: [Counter; 6],
}

struct Reading<F> {
    name: &'static str,
    help: &'static str,
    read: F,
}

impl<F: Fn() -> usize + Send + Sync + 'static> Collector for Reading<F> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let gauge = ConstGauge::new(i64::try_from((self.read)()).unwrap_or(i64::MAX));
        gauge.encode(encoder.encode_descriptor(self.name, self.help, None, MetricType::Gauge)?)
    }
}

impl<F> fmt::Debug for Reading<F> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ListenerLabel {
    listener: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FlowLabels {
    listener: String,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    listener: String,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InterceptionLabels {
    listener: String,
    outcome: &'static str,
}

const OUTCOMES: [&str; 7] = ["tls", "cleartext", "refused", "aborted", "late", "unknown", "unminted"];
const CLASSES: [&str; 6] = ["other", "1xx", "2xx", "3xx", "4xx", "5xx"];
const KINDS: [&str; 6] = ["dns", "connect", "tls", "timeout", "closed", "protocol"];

impl Metrics {
    /// Everything at zero.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let mut registry = Registry::with_prefix("tollgate");
        let flows = Family::<FlowLabels, Counter>::default();
        let active = Family::<ListenerLabel, Gauge>::default();
        // 0.5 ms to 65 s.
        let latency =
            Family::<ListenerLabel, Histogram>::new_with_constructor(|| Histogram::new(exponential_buckets(0.0005, 2.0, 18)));
        let connections = Family::<ListenerLabel, Gauge>::default();
        let accepted = Family::<ListenerLabel, Counter>::default();
        let failures = Family::<FailureLabels, Counter>::default();
        registry.register("flows", "Flows that ended, by class of status; none: no response was sent", flows.clone());
        registry.register("flows_active", "Flows that have begun and not ended", active.clone());
        registry.register_with_unit(
            "flow_duration",
            "From the head of the request to the end of the flow",
            Unit::Seconds,
            latency.clone(),
        );
        registry.register("connections_active", "Open client connections", connections.clone());
        registry.register("connections", "Client connections accepted", accepted.clone());
        registry.register("upstream_failures", "Flows without a response from their upstream, by kind", failures.clone());
        let interceptions = Family::<InterceptionLabels, Counter>::default();
        let (minted, certificates) = (Family::<ListenerLabel, Counter>::default(), Family::<ListenerLabel, Gauge>::default());
        registry.register("interceptions", "CONNECT requests that were looked into, by outcome", interceptions.clone());
        registry.register("certificates_minted", "Certificates that were minted for hosts", minted.clone());
        registry.register("certificates_kept", "Certificates for hosts that are kept", certificates.clone());
        let registry = Mutex::new(registry);
        Arc::new(Self { registry, flows, active, latency, connections, accepted, failures, interceptions, minted, certificates })
    }

    /// Counters of the listener of this name.
    #[must_use]
    pub fn listener(&self, name: &str) -> Arc<ListenerMetrics> {
        let label = ListenerLabel { listener: name.to_owned() };
        let flows = |status| self.flows.get_or_create_owned(&FlowLabels { listener: name.to_owned(), status });
        let failures = |kind| self.failures.get_or_create_owned(&FailureLabels { listener: name.to_owned(), kind });
        let interceptions =
            |outcome| self.interceptions.get_or_create_owned(&InterceptionLabels { listener: name.to_owned(), outcome });
        Arc::new(ListenerMetrics {
            certificates: Counts {
                minted: self.minted.get_or_create_owned(&label),
                kept: self.certificates.get_or_create_owned(&label),
            },
            interceptions: OUTCOMES.map(interceptions),
            flows_active: self.active.get_or_create_owned(&label),
            connections: self.connections.get_or_create_owned(&label),
            accepted: self.accepted.get_or_create_owned(&label),
            latency: self.latency.get_or_create_owned(&label),
            statuses: CLASSES.map(flows),
            broken: flows("none"),
            failures: KINDS.map(failures),
        })
    }

    /// Counters that somebody else keeps.
    pub fn watch(&self, collector: Box<dyn Collector>) {
        self.registry.lock().register_collector(collector);
    }

    /// A number that somebody else keeps, asked for when the metrics are read.
    pub fn watch_gauge(&self, name: &'static str, help: &'static str, read: impl Fn() -> usize + Send + Sync + 'static) {
        self.watch(Box::new(Reading { name, help, read }));
    }

    /// The text that Prometheus reads.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        if encode(&mut text, &self.registry.lock()).is_err() {
            let _ = writeln!(text, "# the metrics could not be written");
        }
        text
    }
}

impl ListenerMetrics {
    /// A flow ended with this status, or without a response.
    pub fn ended(&self, status: Option<StatusCode>, duration: Duration) {
        match status {
            Some(status) => self.refused(status),
            None => {
                self.broken.inc();
            }
        }
        self.latency.observe(duration.as_secs_f64());
    }

    /// A request was answered without becoming a flow.
    pub fn refused(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100);
        if let Some(counter) = self.statuses.get(class).or_else(|| self.statuses.first()) {
            counter.inc();
        }
    }

    /// A CONNECT was looked into.
    pub fn intercepted(&self, how: Interception) {
        let index = match how {
            Interception::Tls => 0,
            Interception::Cleartext => 1,
            Interception::Refused => 2,
            Interception::Aborted => 3,
            Interception::Late => 4,
            Interception::Unknown => 5,
            Interception::Unminted => 6,
        };
        if let Some(counter) = self.interceptions.get(index) {
            counter.inc();
        }
    }

    /// An upstream failed.
    pub fn upstream_failed(&self, kind: FailureKind) {
        let index = match kind {
            FailureKind::Dns => 0,
            FailureKind::Connect => 1,
            FailureKind::Tls => 2,
            FailureKind::Timeout => 3,
            FailureKind::Closed => 4,
            FailureKind::Protocol => 5,
        };
        if let Some(counter) = self.failures.get(index) {
            counter.inc();
        }
    }
}
