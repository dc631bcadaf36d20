//! What the admin interface is told about addons.

use std::path::PathBuf;

use serde_json::{Map, Value};

use super::{engine::Engine, grants::Grants, options::OptionsStatus, seats::Share, settings::AddonSettings, stats::Counters};
use crate::hooks::{BodyMode, OverCap, Subscription};

/// One addon at one moment.
#[derive(Debug, Clone, serde::Serialize)]
pub struct AddonStatus {
    /// File stem.
    pub name: String,
    /// Where it comes from.
    pub file: PathBuf,
    /// Of the component in force, in hexadecimal; none if none is.
    pub sha256: Option<String>,
    /// Number of the change that put it in force; 0 if it never was.
    pub generation: u64,
    /// Where it stands.
    pub state: State,
    /// Why the last load failed; none if it did not. What was in force before still is.
    pub error: Option<String>,
    /// What the operator should know, like why there is no snapshot.
    pub warning: Option<String>,
    /// What was forgiven in the options document in force, which is not strict JSON; each names line and column.
    pub warnings: Vec<String>,
    /// Where its options come from.
    pub options: OptionsStatus,
    /// Of the component in force.
    pub subscriptions: Vec<SubscriptionStatus>,
    /// Limit of one instance, in bytes.
    pub memory_limit_bytes: usize,
    /// Budgets by the keys of the configuration, with values as it would take them: of what is in force, else as configured.
    pub limits: Map<String, Value>,
    /// What it may ask for and do: of what is in force, else as configured.
    pub grants: Grants,
    /// Instances that are its own: nobody else has them, in use or not.
    pub instances_reserved: u32,
    /// Instances that it and all other addons share.
    pub instances_shared: u32,
    /// Whether it can only look.
    pub read_only: bool,
    /// Whether flows come to it.
    pub quarantine: QuarantineStatus,
    /// Since the addon was first seen.
    #[serde(flatten)]
    pub counters: Counters,
}

/// Where an addon stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The configuration names it, the directory does not have it.
    Missing,
    /// It is read, compiled or configured, and none is in force yet.
    Loading,
    /// In force; each instance is configured anew.
    Replay,
    /// In force; instances are copies of a configured one.
    Snapshot,
    /// None is in force: `error` says why.
    Failed,
}

/// Whether flows come to the generation in force.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct QuarantineStatus {
    /// Where it stands.
    pub state: QuarantineState,
    /// Until a flow is let through again; 0: the next one is. None while there is no quarantine, or a flow is let through.
    pub seconds_left: Option<f64>,
    /// Flows in which a hook failed, of those that count towards the next quarantine.
    pub failures: usize,
    /// Quarantines since the addon was first seen.
    pub times: u64,
}

/// Where a quarantine stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum QuarantineState {
    /// There is none.
    #[default]
    None,
    /// Flows are kept away.
    Quarantined,
    /// One flow is let through, all others are kept away.
    Probing,
}

/// A subscription as the addon wrote it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SubscriptionStatus {
    /// As in WIT: `upstream-error`.
    pub event: &'static str,
    /// Empty for every flow.
    pub filter: String,
    /// Most bytes of the body that the addon wants to see; none if it wants none.
    pub body_cap: Option<usize>,
    /// What happens beyond: `refuse`, `pass-unseen` or `truncate`.
    pub over_cap: Option<&'static str>,
}

/// Whether the proxy is as its configuration wants it.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Readiness {
    /// Addons that the configuration names but that are not in force.
    pub missing: Vec<String>,
    /// Addons whose last load failed, with the error.
    pub failed: Vec<(String, String)>,
    /// Addons that are quarantined. This does not make the proxy unready: clients can bring it about, and only flows can end it.
    pub quarantined: Vec<String>,
    /// Why the plugins directory cannot be read.
    pub directory: Option<String>,
}

impl Readiness {
    /// Whether nothing is amiss.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.missing.is_empty() && self.failed.is_empty() && self.directory.is_none()
    }
}

impl From<&Subscription> for SubscriptionStatus {
    fn from(subscription: &Subscription) -> Self {
        let (body_cap, over_cap) = match subscription.body {
            BodyMode::None => (None, None),
            BodyMode::Full { cap, over_cap: OverCap::Refuse } => (Some(cap), Some("refuse")),
            BodyMode::Full { cap, over_cap: OverCap::PassUnseen } => (Some(cap), Some("pass-unseen")),
            BodyMode::Full { cap, over_cap: OverCap::Truncate } => (Some(cap), Some("truncate")),
        };
        Self { event: subscription.event.as_str(), filter: subscription.filter_text.clone(), body_cap, over_cap }
    }
}

impl AddonStatus {
    /// An addon that the configuration names and nobody has seen.
    pub(super) fn missing(name: &str, file: PathBuf, settings: &AddonSettings, engine: &Engine) -> Self {
        let Share { own, common } = engine.seats().share(name);
        Self {
            name: name.to_owned(),
            file,
            sha256: None,
            generation: 0,
            state: State::Missing,
            error: None,
            warning: None,
            warnings: Vec::new(),
            options: OptionsStatus::of(&settings.options),
            subscriptions: Vec::new(),
            memory_limit_bytes: settings.limits.memory,
            limits: settings.limits.shown(engine.max_instances(), engine.guest_stack()),
            grants: Grants::clone(&settings.grants),
            instances_reserved: own,
            instances_shared: common,
            read_only: !settings.grants.edit,
            quarantine: QuarantineStatus::default(),
            counters: Counters::default().with_usage(engine.store().usage(name)),
        }
    }
}

/// In hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
