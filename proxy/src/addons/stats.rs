//! Counters of one addon, over all its generations.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

pub use super::{http::HttpCounters, kv::KvCounters};
use super::{http::HttpStats, kv::KvStats, over::BudgetKind};
use crate::{
    hooks::HookError,
    kv::Usage,
    outbound::{Outbox, OutboxCounters},
};

/// Counters since the addon was first seen.
#[derive(Debug, Default)]
pub(super) struct Stats {
    calls: AtomicU64,
    traps: AtomicU64,
    errors: AtomicU64,
    deadlines: AtomicU64,
    verdicts: AtomicU64,
    no_instance: AtomicU64,
    nanoseconds: AtomicU64,
    instances: AtomicU64,
    live: AtomicU64,
    reused: AtomicU64,
    peak_memory: AtomicUsize,
    dropped_lines: AtomicU64,
    aside: AtomicU64,
    retries: AtomicU64,
    quarantines: AtomicU64,
    refused_in_quarantine: AtomicU64,
    over: [AtomicU64; BudgetKind::ALL.len()],
    pub(super) http: HttpStats,
    pub(super) kv: KvStats,
    pub(super) outbox: Arc<Outbox>,
}

/// What they say at one moment.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Counters {
    /// Hook calls that ended, however.
    pub calls: u64,
    /// Calls that ended in a trap.
    pub traps: u64,
    /// Calls in which the guest returned an error.
    pub errors: u64,
    /// Calls that used up their CPU or wall budget.
    pub deadlines: u64,
    /// Calls with a verdict that cannot be carried out.
    pub impossible_verdicts: u64,
    /// Calls for which no instance could be had.
    pub without_instance: u64,
    /// Time from call to end of all calls, waits included, in seconds.
    pub hook_seconds: f64,
    /// Instances made for flows.
    pub instances_created: u64,
    /// Those of them that live now, between two flows included.
    pub instances_live: u64,
    /// How often a flow got one that an earlier flow had (`instance = "shared"`).
    pub instances_reused: u64,
    /// Most bytes of linear memory that one instance had.
    pub memory_peak_bytes: usize,
    /// Log lines over the budget.
    pub log_lines_dropped: u64,
    /// Calls that ran on threads beside those that serve, from their begin or from when they were known to be long.
    pub calls_aside: u64,
    /// Calls that were made once more in a fresh instance.
    pub retries: u64,
    /// Flows that were kept away by a quarantine.
    pub refused_in_quarantine: u64,
    /// How often something was over a budget, by its name.
    pub over_budget: BTreeMap<&'static str, u64>,
    /// Requests of its own.
    pub http: HttpCounters,
    /// What it did with keys and values, and has of them.
    pub kv: KvCounters,
    /// Requests that are sent later.
    pub outbox: OutboxCounters,
}

impl Counters {
    /// With what the addon keeps.
    pub(super) const fn with_usage(mut self, usage: Option<Usage>) -> Self {
        self.kv.usage = usage;
        self
    }
}

/// Counts an instance as live while it lives.
pub(super) struct Alive(Arc<Stats>);

impl Stats {
    /// A call ended.
    pub(super) fn called(&self, took: Duration, error: Option<&HookError>) {
        if matches!(error, Some(HookError::Quarantined | HookError::NotLoaded | HookError::Coded(_))) {
            return;
        }
        self.calls.fetch_add(1, Relaxed);
        self.nanoseconds.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
        let counter = match error {
            None | Some(HookError::Gone | HookError::Quarantined | HookError::NotLoaded | HookError::Coded(_)) => return,
            Some(HookError::Trap(_)) => &self.traps,
            Some(HookError::Failed(_)) => &self.errors,
            Some(HookError::Deadline { .. }) => &self.deadlines,
            Some(HookError::Verdict(_)) => &self.verdicts,
            Some(HookError::Instance(_) | HookError::NoSeat { .. } | HookError::NoRoom(_)) => &self.no_instance,
        };
        counter.fetch_add(1, Relaxed);
    }

    /// An instance had so many bytes of memory.
    pub(super) fn saw_memory(&self, bytes: usize) {
        if self.peak_memory.load(Relaxed) < bytes {
            self.peak_memory.fetch_max(bytes, Relaxed);
        }
    }

    /// Something was over this budget.
    pub(super) fn over(&self, kind: BudgetKind) {
        if let Some(count) = self.over.get(kind as usize) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// A call went aside.
    pub(super) fn went_aside(&self) {
        self.aside.fetch_add(1, Relaxed);
    }

    /// A call is made once more.
    pub(super) fn retried(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    /// A quarantine began.
    pub(super) fn quarantined(&self) {
        self.quarantines.fetch_add(1, Relaxed);
    }

    /// How many began.
    pub(super) fn quarantines(&self) -> u64 {
        self.quarantines.load(Relaxed)
    }

    /// A flow was kept away.
    pub(super) fn refused_in_quarantine(&self) {
        self.refused_in_quarantine.fetch_add(1, Relaxed);
    }

    /// A log line was over this budget.
    pub(super) fn dropped_line(&self, kind: BudgetKind) {
        self.dropped_lines.fetch_add(1, Relaxed);
        self.over(kind);
    }

    /// An instance is made: counts as live until this is dropped.
    pub(super) fn making(stats: &Arc<Self>) -> Alive {
        stats.instances.fetch_add(1, Relaxed);
        stats.live.fetch_add(1, Relaxed);
        Alive(Arc::clone(stats))
    }

    /// A flow got an instance that another one had.
    pub(super) fn reused(&self) {
        self.reused.fetch_add(1, Relaxed);
    }

    /// What the counters say.
    #[allow(clippy::cast_precision_loss, reason = "nanoseconds of a century still fit to the microsecond")]
    pub(super) fn counters(&self) -> Counters {
        Counters {
            calls: self.calls.load(Relaxed),
            traps: self.traps.load(Relaxed),
            errors: self.errors.load(Relaxed),
            deadlines: self.deadlines.load(Relaxed),
            impossible_verdicts: self.verdicts.load(Relaxed),
            without_instance: self.no_instance.load(Relaxed),
            hook_seconds: self.nanoseconds.load(Relaxed) as f64 / 1e9,
            instances_created: self.instances.load(Relaxed),
            instances_live: self.live.load(Relaxed),
            instances_reused: self.reused.load(Relaxed),
            memory_peak_bytes: self.peak_memory.load(Relaxed),
            log_lines_dropped: self.dropped_lines.load(Relaxed),
            calls_aside: self.aside.load(Relaxed),
            retries: self.retries.load(Relaxed),
            refused_in_quarantine: self.refused_in_quarantine.load(Relaxed),
            over_budget: BudgetKind::ALL.iter().zip(&self.over).map(|(kind, over)| (kind.as_str(), over.load(Relaxed))).collect(),
            http: self.http.counters(),
            kv: self.kv.counters(),
            outbox: self.outbox.counters(),
        }
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_live_until_they_are_dropped() {
        let stats = Arc::<Stats>::default();
        let held = [Stats::making(&stats), Stats::making(&stats)];
        let counted = |stats: &Stats| (stats.counters().instances_created, stats.counters().instances_live);
        assert_eq!(counted(&stats), (2, 2));
        drop(held);
        assert_eq!(counted(&stats), (2, 0));
    }
}
