//! What the configuration says about addons.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use super::{grants::Grants, limits::Limits};
use crate::{
    hooks::{FailurePolicy, QuarantineRule},
    http::BearerToken,
    kv::{Memory, Store},
    outbound::{self, HttpGrants},
    upstream::OwnAddresses,
};

/// Everything that the addon host is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Directory of `*.wasm`, watched. It may be missing: until it is there, no addon is.
    pub plugins: PathBuf,
    /// Whether readiness minds that the directory is missing before it was ever there. Default yes.
    pub needs_plugins: bool,
    /// Directory for compiled code and the seed secret; made if it is missing, readable by its owner only.
    pub cache: PathBuf,
    /// Instances of flows that may live at one time, over all addons. Half of them is divided evenly among the addons in force,
    /// each part its addon's own; half is for whoever comes first. Beyond both a hook fails with
    /// [`HookError::NoSeat`](crate::hooks::HookError::NoSeat). Default 2,000.
    pub max_instances: u32,
    /// Bytes of linear memory that all instances together may have, touched or not. Default 4 GiB.
    pub guest_memory: usize,
    /// Bytes of stack that a guest's own code may use. Default 512 KiB.
    pub guest_stack: usize,
    /// Addons compiled at one time, each on one thread. Default 2, or 1 on a single core.
    pub compilers: usize,
    /// Largest component file in bytes. Default 64 MiB.
    pub max_component: u64,
    /// Largest options document in bytes, as it comes from a file, a server or somebody who puts it. Default 8 MiB.
    pub max_options: u64,
    /// How long a file has to stay unchanged before it is read. Default 100 ms.
    pub settle: Duration,
    /// How often directory and options files are looked at without having been told of a change. Default 3 s.
    pub rescan: Duration,
    /// By addon name. An addon that is not in it has `AddonSettings::default()`.
    pub addons: BTreeMap<String, AddonSettings>,
    /// Name of each listener with the order of its addons; without an order: every loaded addon, by name.
    pub listeners: Vec<(String, Option<Vec<String>>)>,
    /// What addons keep between flows. Only that of the start counts. Default in memory.
    pub store: Arc<dyn Store>,
    /// Where this process listens, which addons may not send requests to. Only that of the start counts.
    pub own_addresses: OwnAddresses,
    /// Whom addons ask for names of services; none: the system's servers. Only that of the start counts.
    pub nameservers: Option<Vec<SocketAddr>>,
}

/// What the configuration says about one addon.
#[derive(Debug, Clone, PartialEq)]
pub struct AddonSettings {
    /// What becomes of flows whose hooks fail. Default closed, 503.
    pub policy: FailurePolicy,
    /// When flows come to it no more. Default [`QuarantineRule::default`]; none: never.
    pub quarantine: Option<QuarantineRule>,
    /// Its budgets.
    pub limits: Limits,
    /// What it may ask for and do. Default everything that there is.
    pub grants: Arc<Grants>,
    /// Where the options for `configure` come from. Default none, which is `{}`.
    pub options: OptionsSource,
}

/// Where options come from.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum OptionsSource {
    /// `{}`.
    #[default]
    None,
    /// The configuration file.
    Inline(serde_json::Value),
    /// A file of JSON, watched.
    File(PathBuf),
    /// JSON on a server, asked for again and again.
    Url(Arc<OptionsUrl>),
}

/// A document on a server.
#[derive(Clone, PartialEq, Eq)]
pub struct OptionsUrl {
    url: Arc<str>,
    shown: Box<str>,
    token: Option<BearerToken>,
    interval: Duration,
}

impl Settings {
    /// These directories, defaults for the rest, one listener after the other to be added.
    #[must_use]
    pub fn new(plugins: impl Into<PathBuf>, cache: impl Into<PathBuf>) -> Self {
        Self {
            plugins: plugins.into(),
            needs_plugins: true,
            cache: cache.into(),
            max_instances: 2_000,
            guest_memory: 4 << 30,
            guest_stack: 512 << 10,
            compilers: std::thread::available_parallelism().map_or(1, |cores| cores.get().min(2)),
            max_component: 64 << 20,
            max_options: 8 << 20,
            settle: Duration::from_millis(100),
            rescan: Duration::from_secs(3),
            addons: BTreeMap::new(),
            listeners: Vec::new(),
            store: Arc::new(Memory::default()),
            own_addresses: OwnAddresses::default(),
            nameservers: None,
        }
    }

    /// What is said about this addon, or the defaults.
    #[must_use]
    pub fn addon(&self, name: &str) -> AddonSettings {
        self.addons.get(name).cloned().unwrap_or_default()
    }

    /// What each addon may have sent later, by its name.
    pub(super) fn outboxes(&self) -> HashMap<String, HttpGrants> {
        self.addons.iter().map(|(name, addon)| (name.clone(), addon.grants.outbox.clone())).collect()
    }

    /// Where this addon's component is.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.plugins.join(format!("{name}.wasm"))
    }

    /// Names that the configuration counts on: those with settings of their own and those in an order.
    pub fn expected(&self) -> impl Iterator<Item = &str> {
        let ordered = self.listeners.iter().filter_map(|(_, order)| order.as_ref()).flatten();
        self.addons.keys().chain(ordered).map(String::as_str)
    }
}

impl OptionsSource {
    /// Whether both are one place, at which the document may change.
    pub(super) fn is_same_place(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::None | Self::Inline(_), Self::None | Self::Inline(_)) => true,
            (Self::File(one), Self::File(other)) => one == other,
            (Self::Url(one), Self::Url(other)) => one.url == other.url,
            _ => false,
        }
    }
}

impl OptionsUrl {
    /// This `http` or `https` URL, asked with this token at this interval.
    ///
    /// # Errors
    /// [`outbound::Error::Invalid`] for any other URL, and for one with a user name or password.
    pub fn new(url: &str, token: Option<BearerToken>, interval: Duration) -> Result<Self, outbound::Error> {
        Ok(Self { url: url.into(), shown: outbound::shown(url)?.into(), token, interval })
    }

    /// All of it: its query may hold a secret.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    pub(super) const fn address(&self) -> &Arc<str> {
        &self.url
    }

    /// Without its query.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Sent as `Authorization: Bearer`.
    #[must_use]
    pub const fn token(&self) -> Option<&BearerToken> {
        self.token.as_ref()
    }

    /// How long after one request the next one comes, a tenth more or less.
    #[must_use]
    pub const fn interval(&self) -> Duration {
        self.interval
    }
}

impl fmt::Debug for OptionsUrl {
    /// Without what may be secret.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "OptionsUrl({} every {:?})", self.shown, self.interval)
    }
}

impl Default for AddonSettings {
    fn default() -> Self {
        Self {
            policy: FailurePolicy::default(),
            quarantine: Some(QuarantineRule::default()),
            limits: Limits::default(),
            grants: Arc::default(),
            options: OptionsSource::None,
        }
    }
}
