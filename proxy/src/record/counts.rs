//! What was recorded, and what was not.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter},
};

/// How often the log tells of flows that are not recorded.
const TELL: Duration = Duration::from_secs(10);

/// Counters of one recording.
#[derive(Debug, Default)]
pub(super) struct Counts {
    written: AtomicU64,
    lost: [AtomicU64; Loss::ALL.len()],
    told: Mutex<Option<Instant>>,
}

/// Why a flow is not recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// Other flows held all the memory that there is for it.
    Memory,
    /// Too many waited for the disk.
    Queue,
    /// The file could not be written.
    Disk,
    /// Its entry is larger than the file may be.
    Size,
}

/// Shows them among the metrics.
#[derive(Debug)]
pub(super) struct Watch(pub(super) Arc<Counts>);

impl Loss {
    const ALL: [Self; 4] = [Self::Memory, Self::Queue, Self::Disk, Self::Size];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Queue => "queue",
            Self::Disk => "disk",
            Self::Size => "size",
        }
    }

    const fn why(self) -> &'static str {
        match self {
            Self::Memory => "other flows hold all of record.memory",
            Self::Queue => "too many flows wait for the disk",
            Self::Disk => "the file cannot be written",
            Self::Size => "the flow is larger than record.max_bytes",
        }
    }
}

impl Counts {
    /// A flow is in the file.
    pub(super) fn wrote(&self) {
        self.written.fetch_add(1, Relaxed);
    }

    /// Flows that were lost so.
    #[cfg(test)]
    pub(super) fn lost(&self, loss: Loss) -> u64 {
        self.lost[loss as usize].load(Relaxed)
    }

    /// A flow will not be.
    pub(super) fn lose(&self, loss: Loss) {
        self.lose_since(loss, &loss.why());
    }

    /// The same with what is known of why.
    pub(super) fn lose_since(&self, loss: Loss, why: &dyn fmt::Display) {
        if let Some(count) = self.lost.get(loss as usize) {
            count.fetch_add(1, Relaxed);
        }
        let mut told = self.told.lock();
        if told.is_some_and(|told| told.elapsed() < TELL) {
            return;
        }
        *told = Some(Instant::now());
        drop(told);
        let total: u64 = self.lost.iter().map(|count| count.load(Relaxed)).sum();
        tracing::warn!(record.lost = total, reason = loss.as_str(), why = %why, "flows are not recorded");
    }
}

impl Collector for Watch {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let written = ConstCounter::new(self.0.written.load(Relaxed));
        written.encode(encoder.encode_descriptor("recorded_flows", "Flows that were recorded", None, MetricType::Counter)?)?;
        let help = "Flows that were not recorded, by the reason";
        let mut family = encoder.encode_descriptor("unrecorded_flows", help, None, MetricType::Counter)?;
        for (loss, count) in Loss::ALL.into_iter().zip(&self.0.lost) {
            ConstCounter::new(count.load(Relaxed)).encode(family.encode_family(&[("reason", loss.as_str())])?)?;
        }
        Ok(())
    }
}
