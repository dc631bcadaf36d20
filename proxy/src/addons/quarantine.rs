//! Keeps flows away from an addon that keeps failing, and tries one now and then.

#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{
    over::BudgetKind,
    stats::Stats,
    status::{QuarantineState, QuarantineStatus},
};
use crate::hooks::{HookError, QuarantineRule};

/// Whether flows come to one generation of an addon. All times are given by the caller.
pub(super) struct Quarantine {
    name: Arc<str>,
    rule: Option<QuarantineRule>,
    stats: Arc<Stats>,
    // All that a flow of a sound addon looks at; for how long is in `inner`.
    is_shut: AtomicBool,
    // Flows that were let to the addon while it was not quarantined.
    flows: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    // The last ones, at most as many as it takes.
    failures: VecDeque<Failure>,
    shut: Option<Shut>,
    // End and length of the last quarantine.
    last: Option<(Instant, Duration)>,
}

struct Failure {
    at: Instant,
    // How many flows there had been.
    flows: u64,
}

struct Shut {
    until: Instant,
    length: Duration,
    is_probed: bool,
}

/// A flow that is let through to see how the addon is. Dropped without an outcome, the next flow is.
pub(super) struct Probe {
    quarantine: Arc<Quarantine>,
    is_over: bool,
}

/// The flow is kept away.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused;

/// Whether it is the addon's fault.
pub(super) const fn is_failure(error: &HookError) -> bool {
    match error {
        HookError::Trap(_) | HookError::Failed(_) | HookError::Deadline { .. } | HookError::Verdict(_) => true,
        HookError::Instance(_)
        | HookError::NoSeat { .. }
        | HookError::NoRoom(_)
        | HookError::Quarantined
        | HookError::NotLoaded
        | HookError::Coded(_)
        | HookError::Gone => false,
    }
}

/// Whether it may come from a store that was unavailable to the hook.
pub(super) fn may_be_of_the_store(error: &HookError) -> bool {
    match error {
        HookError::Trap(_) | HookError::Failed(_) => true,
        HookError::Deadline { kind, .. } => *kind == BudgetKind::Wall.as_str(),
        _ => false,
    }
}

impl Quarantine {
    /// For a new generation: nothing is known against it. Without a rule it is never quarantined.
    pub(super) fn new(name: Arc<str>, rule: Option<QuarantineRule>, stats: Arc<Stats>) -> Arc<Self> {
        let (is_shut, flows) = (AtomicBool::new(false), AtomicU64::new(0));
        Arc::new(Self { name, rule, stats, is_shut, flows, inner: Mutex::default() })
    }

    pub(super) const fn rule(&self) -> Option<&QuarantineRule> {
        self.rule.as_ref()
    }

    /// Whether flows are kept away, or all but a probe.
    pub(super) fn is_shut(&self) -> bool {
        self.is_shut.load(Relaxed)
    }

    /// A flow comes, `is_new` unless it came before and needs another instance; it may be the probe.
    pub(super) fn admit(self: &Arc<Self>, now: Instant, is_new: bool) -> Result<Option<Probe>, Refused> {
        if self.is_shut.load(Acquire) {
            let mut inner = self.inner.lock();
            // Else it has just ended.
            if let Some(shut) = &mut inner.shut {
                if now < shut.until || shut.is_probed {
                    if is_new {
                        self.stats.refused_in_quarantine();
                    }
                    return Err(Refused);
                }
                shut.is_probed = true;
                tracing::info!(addon.name = &*self.name, "a flow is let through to the quarantined addon");
                return Ok(Some(Probe { quarantine: Arc::clone(self), is_over: false }));
            }
        }
        if is_new {
            self.flows.fetch_add(1, Relaxed);
        }
        Ok(None)
    }

    /// A hook failed for the first time in its flow, which was no probe.
    pub(super) fn failed(&self, now: Instant, error: &HookError) {
        let Some(rule) = &self.rule else { return };
        let mut inner = self.inner.lock();
        // Flows that began before it say nothing new.
        if inner.shut.is_some() {
            return;
        }
        let flows = self.flows.load(Relaxed);
        inner.failures.push_back(Failure { at: now, flows });
        while inner.failures.len() > rule.failures.max(1) {
            inner.failures.pop_front();
        }
        let Some(oldest) = inner.failures.front().filter(|_| inner.failures.len() >= rule.failures) else { return };
        let of = flows.saturating_sub(oldest.flows).saturating_add(1);
        let failures = inner.failures.len() as u64;
        if now.saturating_duration_since(oldest.at) > rule.within || failures * 100 < of.saturating_mul(rule.share.into()) {
            return;
        }
        let length = match inner.last {
            Some((end, length)) if now.saturating_duration_since(end) <= rule.within => rule.doubled(length),
            _ => rule.first.min(rule.longest),
        };
        inner.failures.clear();
        inner.shut = Some(Shut { until: now + length, length, is_probed: false });
        self.is_shut.store(true, Release);
        self.stats.quarantined();
        tracing::warn!(
            addon.name = &*self.name,
            seconds = length.as_secs_f64(),
            failures,
            within.seconds = rule.within.as_secs_f64(),
            last = %error,
            "addon quarantined: it keeps failing"
        );
    }

    /// For the admin interface.
    pub(super) fn status(&self, now: Instant) -> QuarantineStatus {
        let times = self.stats.quarantines();
        let Some(rule) = &self.rule else { return QuarantineStatus { times, ..QuarantineStatus::default() } };
        let inner = self.inner.lock();
        let (state, seconds_left) = match &inner.shut {
            None => (QuarantineState::None, None),
            Some(shut) if shut.is_probed => (QuarantineState::Probing, None),
            Some(shut) => (QuarantineState::Quarantined, Some(shut.until.saturating_duration_since(now).as_secs_f64())),
        };
        let is_recent = |failure: &&Failure| now.saturating_duration_since(failure.at) <= rule.within;
        QuarantineStatus { state, seconds_left, failures: inner.failures.iter().filter(is_recent).count(), times }
    }
}

impl Probe {
    /// Its hook has ended: well, badly, or in a way that says nothing about the addon.
    pub(super) fn ended(mut self, now: Instant, error: Option<&HookError>) {
        let quarantine = Arc::clone(&self.quarantine);
        let Some(rule) = &quarantine.rule else { return };
        let mut inner = quarantine.inner.lock();
        match error {
            None => {
                inner.last = inner.shut.take().map(|shut| (now, shut.length));
                inner.failures.clear();
                quarantine.is_shut.store(false, Release);
                tracing::info!(addon.name = &*quarantine.name, "a hook went well: the quarantine is over");
            }
            Some(error) if is_failure(error) => {
                let Some(shut) = &mut inner.shut else { return };
                let length = rule.doubled(shut.length);
                *shut = Shut { until: now + length, length, is_probed: false };
                let seconds = length.as_secs_f64();
                tracing::warn!(addon.name = &*quarantine.name, seconds, %error, "a hook failed again: the addon stays quarantined");
            }
            // What is left to do is done by dropping the probe, after the lock.
            Some(_) => return,
        }
        self.is_over = true;
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        if !self.is_over
            && let Some(shut) = &mut self.quarantine.inner.lock().shut
        {
            shut.is_probed = false;
        }
    }
}

impl QuarantineRule {
    fn doubled(&self, length: Duration) -> Duration {
        length.saturating_mul(2).min(self.longest)
    }
}
