//! Operations of one addon on keys and values, counted over all its generations.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use crate::kv::{Op, Usage};

/// Counters since the addon was first seen.
#[derive(Debug, Default)]
pub(in crate::addons) struct KvStats {
    ended: [[AtomicU64; Ended::NAMES.len()]; Op::NAMES.len()],
    /// Whether the log was told that the grant is missing.
    is_told: AtomicBool,
}

/// What they say at one moment.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct KvCounters {
    /// Operations that ended, by operation and then by what became of them: `ok`, `abandoned` for one that the hook's wall budget
    /// ended, or the error of the contract. What never happened is left out.
    pub operations: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    /// What the addon keeps; none if the store cannot tell.
    #[serde(flatten)]
    pub usage: Option<Usage>,
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Ok,
    Denied,
    Invalid,
    TooLarge,
    Unavailable,
    Abandoned,
}

impl Ended {
    /// In the order of the variants.
    const NAMES: [&'static str; 6] = ["ok", "denied", "invalid", "too_large", "unavailable", "abandoned"];
}

impl KvStats {
    /// An operation ended; `op` is its place in [`Op::NAMES`].
    pub(super) fn ended(&self, op: usize, ended: Ended) {
        if let Some(counter) = self.ended.get(op).and_then(|counters| counters.get(ended as usize)) {
            counter.fetch_add(1, Relaxed);
        }
    }

    /// True once: for the first operation of a hook that is not granted.
    pub(super) fn is_first_without_grant(&self) -> bool {
        !self.is_told.swap(true, Relaxed)
    }

    /// What the counters say.
    pub(in crate::addons) fn counters(&self) -> KvCounters {
        let outcomes = |counters: &[AtomicU64; Ended::NAMES.len()]| {
            let counts = counters.iter().map(|counter| counter.load(Relaxed));
            Ended::NAMES.into_iter().zip(counts).filter(|(_, count)| *count > 0).collect::<BTreeMap<_, _>>()
        };
        let operations = Op::NAMES.into_iter().zip(self.ended.iter().map(outcomes));
        KvCounters { operations: operations.filter(|(_, outcomes)| !outcomes.is_empty()).collect(), usage: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_is_counted_under_its_name() {
        let stats = KvStats::default();
        stats.ended(Op::Get.index(), Ended::Ok);
        stats.ended(Op::Get.index(), Ended::Ok);
        stats.ended(Op::Get.index(), Ended::Abandoned);
        stats.ended(Op::Increment(1, None).index(), Ended::TooLarge);
        let shown = serde_json::to_value(stats.counters()).expect("JSON");
        let expected = serde_json::json!({"operations": {"get": {"ok": 2, "abandoned": 1}, "increment": {"too_large": 1}}});
        assert_eq!(shown, expected);
    }
}
