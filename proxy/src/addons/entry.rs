//! What is known about one addon: the generation in force, the last error, the counters.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Instant,
};

use parking_lot::Mutex;

use super::{
    engine::Engine,
    generation::Generation,
    grants::Grants,
    options::Supply,
    seats::Share,
    settings::AddonSettings,
    stats::Stats,
    status::{AddonStatus, QuarantineStatus, State, hex},
};
use crate::hooks::Addon as _;

/// An addon whose file was seen.
pub(super) struct Entry {
    pub(super) name: Arc<str>,
    pub(super) file: PathBuf,
    pub(super) stats: Arc<Stats>,
    /// Held while it is loaded: one load after the other.
    pub(super) turn: Arc<tokio::sync::Mutex<()>>,
    /// Whether a load waits for its turn: a second one would do the same.
    pub(super) is_queued: AtomicBool,
    /// Whether the log was told that it has no grant for what it uses.
    is_told: AtomicBool,
    /// Its options.
    pub(super) supply: Supply,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    current: Option<Arc<Generation>>,
    number: u64,
    error: Option<String>,
    warning: Option<String>,
    is_loading: bool,
    is_removed: bool,
    // Whether somebody takes snapshots, and of which generation none can be taken.
    is_freezing: bool,
    unfreezable: Option<Arc<Generation>>,
}

impl Entry {
    /// An addon that nothing is known about but its file, and options that were held before it was there.
    pub(super) fn new(name: Arc<str>, file: PathBuf, supply: Supply) -> Self {
        Self {
            name,
            file,
            stats: Arc::default(),
            turn: Arc::default(),
            is_queued: AtomicBool::new(false),
            is_told: AtomicBool::new(false),
            supply,
            inner: Mutex::default(),
        }
    }

    /// The generation in force.
    pub(super) fn current(&self) -> Option<Arc<Generation>> {
        self.inner.lock().current.clone()
    }

    /// Number of the change that put it in force; 0 if it never was.
    pub(super) fn number(&self) -> u64 {
        self.inner.lock().number
    }

    /// A load began.
    pub(super) fn begin(&self) {
        self.inner.lock().is_loading = true;
    }

    /// It ended and changed nothing, or failed with this error.
    pub(super) fn end(&self, error: Option<String>) {
        let mut inner = self.inner.lock();
        inner.is_loading = false;
        inner.error = error;
    }

    /// It ended with this generation, the `number`th change of all; an `error` that is left is about a newer file. False if
    /// the addon is gone meanwhile.
    pub(super) fn accept(&self, generation: &Arc<Generation>, number: u64, error: Option<String>) -> bool {
        let mut inner = self.inner.lock();
        inner.is_loading = false;
        if !inner.is_removed {
            inner.current = Some(Arc::clone(generation));
            inner.number = number;
            inner.error = error;
            inner.warning = None;
            inner.unfreezable = None;
        }
        !inner.is_removed
    }

    /// What is in force may not be any more, for this reason. False if the addon is gone meanwhile.
    pub(super) fn withdraw(&self, error: String) -> bool {
        let mut inner = self.inner.lock();
        inner.is_loading = false;
        if !inner.is_removed {
            inner.current = None;
            inner.error = Some(error);
            inner.warning = None;
        }
        !inner.is_removed
    }

    /// Nothing of it is in force any more, nor will be.
    pub(super) fn remove(&self) {
        {
            let mut inner = self.inner.lock();
            inner.is_removed = true;
            inner.current = None;
        }
        self.supply.changed.notify_one();
    }

    pub(super) fn is_removed(&self) -> bool {
        self.inner.lock().is_removed
    }

    /// Whether the caller is the one to take snapshots from now on.
    pub(super) fn claim_freezing(&self) -> bool {
        !std::mem::replace(&mut self.inner.lock().is_freezing, true)
    }

    /// The generation to take a snapshot of; none ends the claim.
    pub(super) fn next_to_freeze(&self) -> Option<Arc<Generation>> {
        let mut inner = self.inner.lock();
        let is_left = |current: &&Arc<Generation>| {
            !current.is_frozen() && !inner.unfreezable.as_ref().is_some_and(|known| Arc::ptr_eq(known, current))
        };
        let next = inner.current.as_ref().filter(is_left).cloned();
        inner.is_freezing = next.is_some();
        next
    }

    /// There is no snapshot of this generation; the warning says why.
    pub(super) fn give_up_freezing(&self, generation: &Arc<Generation>, warning: String) {
        let mut inner = self.inner.lock();
        if inner.current.as_ref().is_some_and(|current| Arc::ptr_eq(current, generation)) {
            inner.warning = Some(warning);
            inner.unfreezable = Some(Arc::clone(generation));
        }
    }

    /// Whether the grant `kv` that it needs is missing now and the log was not told: true once, until the grant is there.
    pub(super) fn is_news_that_kv_is_missing(&self, is_missing: bool) -> bool {
        !self.is_told.swap(is_missing, SeqCst) && is_missing
    }

    /// Why the last load failed.
    pub(super) fn error(&self) -> Option<String> {
        self.inner.lock().error.clone()
    }

    /// Whether the caller is to queue a load: none waits yet.
    pub(super) fn claim_queue(&self) -> bool {
        !self.is_queued.swap(true, SeqCst)
    }

    /// For the admin interface.
    pub(super) fn status(&self, settings: &AddonSettings, engine: &Engine) -> AddonStatus {
        // Before the lock: the supply asks the entry under its own.
        let (warnings, options) = self.supply.status(&settings.options);
        let inner = self.inner.lock();
        let current = inner.current.as_ref();
        let state = match current {
            Some(current) if current.is_frozen() => State::Snapshot,
            Some(_) => State::Replay,
            None if inner.is_loading => State::Loading,
            None if inner.error.is_some() => State::Failed,
            None => State::Loading,
        };
        let (limits, grants) = current.map_or((&settings.limits, &settings.grants), |current| {
            let setup = current.setup();
            (&setup.limits, &setup.grants)
        });
        let usage = engine.store().usage(&self.name);
        let Share { own, common } = engine.seats().share(&self.name);
        AddonStatus {
            name: self.name.to_string(),
            file: self.file.clone(),
            sha256: current.map(|current| hex(&current.compiled().sha256)),
            generation: inner.number,
            state,
            error: inner.error.clone(),
            warning: inner.warning.clone(),
            warnings,
            options,
            subscriptions: current.map_or_else(Vec::new, |current| current.subscriptions().iter().map(Into::into).collect()),
            memory_limit_bytes: limits.memory,
            limits: limits.shown(engine.max_instances(), engine.guest_stack()),
            grants: Grants::clone(grants),
            instances_reserved: own,
            instances_shared: common,
            read_only: !grants.edit,
            quarantine: current.map_or_else(QuarantineStatus::default, |current| current.quarantine().status(Instant::now())),
            counters: self.stats.counters().with_usage(usage),
        }
    }
}
