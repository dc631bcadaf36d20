//! One accepted version of an addon: code, options and what they subscribe to.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::{
    bindings::hooks as wit,
    component::Compiled,
    configure::{Failure, Setup},
    engine::Engine,
    habit::Habits,
    instance::{FlowInstance, Live},
    limits::{InstanceUse, Limits},
    quarantine::Quarantine,
    rest::Resting,
    settings::AddonSettings,
    state::{HostState, Purpose},
    stats::Stats,
};
use crate::hooks::{self, Facts, FailurePolicy, HookError, Instance, Subscription};

/// A generation of an addon; flows keep the one that they started with.
pub(super) struct Generation {
    name: Arc<str>,
    policy: FailurePolicy,
    quarantine: Arc<Quarantine>,
    subscriptions: Vec<Subscription>,
    setup: Setup,
    compiled: Compiled,
    answer: Vec<wit::Subscription>,
    holds_handle: bool,
    habits: Habits,
    code: ArcSwap<Code>,
    // Where flows share instances.
    resting: Option<Resting<Box<Live>>>,
}

/// What instances are made of.
pub(super) enum Code {
    /// The component as it came: each instance is configured anew.
    Replay(Compiled),
    /// A configured one.
    Snapshot(Compiled),
}

impl Generation {
    /// A generation that replays `configure` until it is given a snapshot.
    pub(super) fn new(
        name: Arc<str>,
        settings: &AddonSettings,
        subscriptions: Vec<Subscription>,
        setup: Setup,
        compiled: Compiled,
        answer: Vec<wit::Subscription>,
        holds_handle: bool,
    ) -> Self {
        let code = ArcSwap::from_pointee(Code::Replay(compiled.clone()));
        let quarantine = Quarantine::new(Arc::clone(&name), settings.quarantine, Arc::clone(&setup.stats));
        let policy = settings.policy.clone();
        let is_shared = setup.limits.instance == InstanceUse::Shared;
        let resting = is_shared.then(|| Resting::new(Arc::clone(setup.engine.room())));
        let habits = Habits::default();
        Self { name, policy, quarantine, subscriptions, setup, compiled, answer, holds_handle, habits, code, resting }
    }

    /// From now on instances are made from this snapshot.
    pub(super) fn freeze(&self, snapshot: Compiled) {
        self.code.store(Arc::new(Code::Snapshot(snapshot)));
    }

    pub(super) fn is_frozen(&self) -> bool {
        matches!(**self.code.load(), Code::Snapshot(_))
    }

    pub(super) fn code(&self) -> Arc<Code> {
        self.code.load_full()
    }

    /// What the guest said to `configure`.
    pub(super) fn answer(&self) -> &[wit::Subscription] {
        &self.answer
    }

    /// Whether it held a handle of the host after it.
    pub(super) fn holds_handle(&self) -> bool {
        self.holds_handle
    }

    pub(super) fn compiled(&self) -> &Compiled {
        &self.compiled
    }

    pub(super) fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Whether it is under these settings, options apart.
    pub(super) fn is_under(&self, settings: &AddonSettings) -> bool {
        settings.limits == self.setup.limits
            && settings.grants == self.setup.grants
            && settings.policy == self.policy
            && settings.quarantine.as_ref() == self.quarantine.rule()
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.setup.limits
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.setup.engine
    }

    pub(super) const fn habits(&self) -> &Habits {
        &self.habits
    }

    /// It is in force: where flows share instances, they are kept for later flows.
    pub(super) fn begin(&self) {
        if let Some(resting) = &self.resting {
            resting.open();
        }
    }

    /// It is in force no more: later flows are another's.
    pub(super) fn end(&self) {
        if let Some(resting) = &self.resting {
            resting.close();
        }
    }

    /// An instance that an earlier flow left.
    pub(super) fn rested(&self) -> Option<Box<Live>> {
        self.resting.as_ref()?.take()
    }

    /// What becomes of a sound instance when its flow needs it no more. One that took more than half of the memory that it may have
    /// goes: what it never frees would fail a hook in the end.
    pub(super) fn left(&self, mut live: Box<Live>) {
        let bytes = live.memory();
        if let Some(resting) = self.resting.as_ref().filter(|_| bytes <= self.setup.limits.memory / 2) {
            live.rests();
            drop(resting.put(live, bytes));
        }
    }

    pub(super) fn quarantine(&self) -> &Arc<Quarantine> {
        &self.quarantine
    }

    pub(super) fn stats(&self) -> &Arc<Stats> {
        &self.setup.stats
    }
}

impl hooks::Addon for Generation {
    fn name(&self) -> &str {
        &self.name
    }

    fn subscriptions(&self) -> &[Subscription] {
        &self.subscriptions
    }

    fn may_edit(&self) -> bool {
        self.setup.grants.edit
    }

    fn may_set_response_bodies(&self) -> bool {
        self.setup.grants.edit && self.compiled.sets_response_bodies
    }

    fn policy(&self) -> &FailurePolicy {
        &self.policy
    }

    fn instance(self: Arc<Self>, facts: Arc<Facts>) -> Box<dyn Instance> {
        Box::new(FlowInstance::new(self, facts))
    }
}

impl Setup {
    /// A store for an instance of this setup.
    pub(super) fn store(&self, purpose: Purpose) -> wasmtime::Store<HostState> {
        HostState::store(self, purpose)
    }
}

impl From<Failure> for HookError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Instance(text) | Failure::WrongWorld(text) => Self::Instance(text),
            Failure::Trap(text) => Self::Trap(text),
            Failure::Over(over) => Self::Deadline { kind: over.kind.as_str(), limit: over.limit },
            Failure::Refused(_) => Self::Failed("configure refused options that it had accepted".to_owned()),
        }
    }
}
