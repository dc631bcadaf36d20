//! The counters of addons as metrics.

use std::{fmt, sync::Weak};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

use crate::addons::{AddonStatus, QuarantineState, Registry};

/// Asks the addon host when the metrics are read.
#[derive(Debug)]
pub struct AddonMetrics {
    registry: Weak<Registry>,
}

impl AddonMetrics {
    /// For the addons of this registry, as long as it lives.
    #[must_use]
    pub const fn new(registry: Weak<Registry>) -> Self {
        Self { registry }
    }
}

type Read<T> = fn(&AddonStatus) -> T;

const COUNTERS: [(&str, &str, Read<u64>); 12] = [
    ("addon_calls", "Hook calls that ended, however", |status| status.counters.calls),
    ("addon_traps", "Hook calls that trapped", |status| status.counters.traps),
    ("addon_errors", "Hook calls in which the addon returned an error", |status| status.counters.errors),
    ("addon_deadlines", "Hook calls over their CPU or wall budget", |status| status.counters.deadlines),
    ("addon_impossible_verdicts", "Hook calls with a verdict that cannot be carried out", |status| {
        status.counters.impossible_verdicts
    }),
    ("addon_without_instance", "Hook calls for which no instance could be had", |status| status.counters.without_instance),
    ("addon_calls_aside", "Hook calls that ran beside the threads that serve", |status| status.counters.calls_aside),
    ("addon_retries", "Hook calls made once more in a fresh instance", |status| status.counters.retries),
    ("addon_quarantines", "Times that the addon was quarantined", |status| status.quarantine.times),
    ("addon_refused_in_quarantine", "Flows kept away by a quarantine", |status| status.counters.refused_in_quarantine),
    ("addon_outbox_tries", "Tries of requests of addons that are sent later", |status| status.counters.outbox.tries),
    ("addon_instances", "Instances made for flows", |status| status.counters.instances_created),
];

const GAUGES: [(&str, &str, Read<u64>); 9] = [
    ("addon_quarantined", "1 while the addon is quarantined", |status| {
        u64::from(status.quarantine.state != QuarantineState::None)
    }),
    ("addon_http_in_flight", "Requests of addons of their own that are under way", |status| status.counters.http.in_flight),
    ("addon_outbox_waiting", "Requests of addons that wait to be sent", |status| status.counters.outbox.waiting as u64),
    ("addon_outbox_waiting_bytes", "Bytes of requests of addons that wait to be sent", |status| {
        status.counters.outbox.waiting_bytes as u64
    }),
    ("addon_kv_bytes", "Bytes of keys and values that the addon keeps", |status| {
        status.counters.kv.usage.map_or(0, |usage| usage.bytes as u64)
    }),
    ("addon_kv_keys", "Keys that the addon keeps", |status| status.counters.kv.usage.map_or(0, |usage| usage.keys as u64)),
    ("addon_instances_live", "Instances alive", |status| status.counters.instances_live),
    ("addon_memory_peak_bytes", "Most linear memory that one instance had", |status| status.counters.memory_peak_bytes as u64),
    ("addon_generation", "Number of the change that put the addon in force; 0: not in force", |status| status.generation),
];

impl Collector for AddonMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(registry) = self.registry.upgrade() else { return Ok(()) };
        let statuses = registry.statuses();
        for (name, help, read) in COUNTERS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for status in &statuses {
                ConstCounter::new(read(status)).encode(family.encode_family(&[("addon", status.name.as_str())])?)?;
            }
        }
        let mut family =
            encoder.encode_descriptor("addon_hook_seconds", "Time in hook calls, waits included", None, MetricType::Counter)?;
        for status in &statuses {
            let labels = [("addon", status.name.as_str())];
            ConstCounter::new(status.counters.hook_seconds).encode(family.encode_family(&labels)?)?;
        }
        let help = "How often something was over a budget of the addon, by the budget";
        let mut family = encoder.encode_descriptor("addon_over_budget", help, None, MetricType::Counter)?;
        for status in &statuses {
            for (budget, over) in &status.counters.over_budget {
                let labels = [("addon", status.name.as_str()), ("budget", budget)];
                ConstCounter::new(*over).encode(family.encode_family(&labels)?)?;
            }
        }
        let mut family = encoder.encode_descriptor(
            "addon_http_requests",
            "Requests of addons of their own, by what became of them",
            None,
            MetricType::Counter,
        )?;
        for status in &statuses {
            for (&outcome, &count) in &status.counters.http.requests {
                let labels = [("addon", status.name.as_str()), ("outcome", outcome)];
                ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
        let mut family = encoder.encode_descriptor(
            "addon_http_seconds",
            "Time in requests of addons of their own",
            None,
            MetricType::Counter,
        )?;
        for status in &statuses {
            let labels = [("addon", status.name.as_str())];
            ConstCounter::new(status.counters.http.seconds).encode(family.encode_family(&labels)?)?;
        }
        let help = "Requests for options to their server, by what became of them";
        let mut family = encoder.encode_descriptor("addon_options_fetches", help, None, MetricType::Counter)?;
        for status in &statuses {
            for (&outcome, &count) in status.options.fetches.iter().flatten() {
                let labels = [("addon", status.name.as_str()), ("outcome", outcome)];
                ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
        let help = "Since the server of the options last had them";
        let mut family = encoder.encode_descriptor("addon_options_age_seconds", help, None, MetricType::Gauge)?;
        for status in &statuses {
            let Some(age) = status.options.age_seconds else { continue };
            let value = i64::try_from(age).unwrap_or(i64::MAX);
            ConstGauge::new(value).encode(family.encode_family(&[("addon", status.name.as_str())])?)?;
        }
        let help = "Requests of addons that are sent later, by what became of them";
        let mut family = encoder.encode_descriptor("addon_outbox_requests", help, None, MetricType::Counter)?;
        for status in &statuses {
            for (&outcome, &count) in &status.counters.outbox.requests {
                let labels = [("addon", status.name.as_str()), ("outcome", outcome)];
                ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
        let help = "Operations of addons on keys and values, by what became of them";
        let mut family = encoder.encode_descriptor("addon_kv_operations", help, None, MetricType::Counter)?;
        for status in &statuses {
            for (&op, outcomes) in &status.counters.kv.operations {
                for (&outcome, &count) in outcomes {
                    let labels = [("addon", status.name.as_str()), ("op", op), ("outcome", outcome)];
                    ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        for (name, help, read) in GAUGES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for status in &statuses {
                let value = i64::try_from(read(status)).unwrap_or(i64::MAX);
                ConstGauge::new(value).encode(family.encode_family(&[("addon", status.name.as_str())])?)?;
            }
        }
        Ok(())
    }
}
