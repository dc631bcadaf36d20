//! Counts one call of a hook, whatever way it ends.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Instant,
};

use super::{
    quarantine::{Probe, Quarantine, is_failure, may_be_of_the_store},
    stats::Stats,
};
use crate::hooks::HookError;

/// A call that is under way. Dropped by a panic of the host, it counts as a trap.
pub(super) struct Tally<'a> {
    stats: &'a Stats,
    quarantine: &'a Quarantine,
    // One failure a flow counts for the quarantine, however many instances the flow has.
    has_failed: &'a AtomicBool,
    start: Instant,
    probe: Option<Probe>,
    is_excused: bool,
    is_over: bool,
}

impl<'a> Tally<'a> {
    /// Of a call that begins now, in a flow that may have failed before.
    pub(super) fn begin(stats: &'a Stats, quarantine: &'a Quarantine, has_failed: &'a AtomicBool) -> Self {
        Self { stats, quarantine, has_failed, start: Instant::now(), probe: None, is_excused: false, is_over: false }
    }

    /// It decides about the quarantine.
    pub(super) fn probes(&mut self, probe: Option<Probe>) {
        self.probe = probe;
    }

    /// The store was unavailable to it: if it fails for that, the quarantine learns nothing, but the failure is counted.
    pub(super) const fn excuse(&mut self) {
        self.is_excused = true;
    }

    /// It has ended.
    pub(super) fn ended(mut self, error: Option<&HookError>) {
        self.count(error);
    }

    fn count(&mut self, error: Option<&HookError>) {
        self.is_over = true;
        let now = Instant::now();
        self.stats.called(now.saturating_duration_since(self.start), error);
        if self.is_excused && error.is_some_and(may_be_of_the_store) {
            // The next flow is the probe.
            self.probe = None;
            return;
        }
        let failure = error.filter(|error| is_failure(error));
        let is_first = failure.is_some() && !self.has_failed.swap(true, Relaxed);
        match (self.probe.take(), failure) {
            (Some(probe), _) => probe.ended(now, error),
            (None, Some(error)) if is_first => self.quarantine.failed(now, error),
            (None, _) => {}
        }
    }
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        if !self.is_over && thread::panicking() {
            self.count(Some(&HookError::Trap("a host function panicked".to_owned())));
        }
    }
}
