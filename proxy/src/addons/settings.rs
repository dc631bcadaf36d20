//! What the configuration says about addons.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use crate::hooks::{FailurePolicy, QuarantineRule};

/// Everything that the addon host is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Directory of `*.wasm`, watched. It may be missing: until it is there, no addon is.
    pub plugins: PathBuf,
    /// Whether readiness minds that the directory is missing before it was ever there. Default yes.
    pub needs_plugins: bool,
    /// Directory for compiled code and the seed secret; made if it is missing, readable by its owner only.
    pub cache: PathBuf,
    /// Instances of flows that may live at one time, over all addons. Beyond it, a hook fails with
    /// [`HookError::NoSeat`](crate::hooks::HookError::NoSeat). Default 2,000.
    pub max_instances: u32,
    /// Addons compiled at one time, each on one thread. Default 2, or 1 on a single core.
    pub compilers: usize,
    /// Largest component file in bytes. Default 64 MiB.
    pub max_component: u64,
    /// Largest options file in bytes. Default 8 MiB.
    pub max_options: u64,
    /// How long a file has to stay unchanged before it is read. Default 100 ms.
    pub settle: Duration,
    /// How often directory and options files are looked at without having been told of a change. Default 3 s.
    pub rescan: Duration,
    /// By addon name. An addon that is not in it has `AddonSettings::default()`.
    pub addons: BTreeMap<String, AddonSettings>,
    /// Name of each listener with the order of its addons; without an order: every loaded addon, by name.
    pub listeners: Vec<(String, Option<Vec<String>>)>,
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
    /// Where the options for `configure` come from. Default none, which is `{}`.
    pub options: OptionsSource,
}

/// Budgets of one addon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Time on the CPU per hook, counted in ticks of 1 ms while the guest runs. Default 50 ms.
    pub cpu: Duration,
    /// Time per hook, waits included. Default 60 s.
    pub wall: Duration,
    /// Time for `configure`, on the CPU and in all. Default 10 s.
    pub configure: Duration,
    /// Bytes of linear memory of one instance, at most [`Limits::MAX_MEMORY`]. Default 64 MiB.
    pub memory: usize,
    /// Elements of all tables of one instance, at most [`Limits::MAX_TABLE`]. Default 10,000.
    pub table: usize,
    /// Handles of host resources that one instance may hold at one time. Default 256.
    pub handles: usize,
    /// Bytes of a body that the guest is shown or sets. Default 10 MiB.
    pub max_body: usize,
    /// Fields of a head that the guest edited or made. Default 256.
    pub header_count: usize,
    /// Bytes of the fields of a head that the guest edited or made, four for `: ` and CRLF of each included. Default 64 KiB.
    pub header_bytes: usize,
    /// Random bytes per hook. Default 64 KiB.
    pub random: u64,
    /// Log lines per second, over all instances; twice as many in a burst. Default 1,000.
    pub log_lines: u32,
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
            compilers: std::thread::available_parallelism().map_or(1, |cores| cores.get().min(2)),
            max_component: 64 << 20,
            max_options: 8 << 20,
            settle: Duration::from_millis(100),
            rescan: Duration::from_secs(3),
            addons: BTreeMap::new(),
            listeners: Vec::new(),
        }
    }

    /// What is said about this addon, or the defaults.
    #[must_use]
    pub fn addon(&self, name: &str) -> AddonSettings {
        self.addons.get(name).cloned().unwrap_or_default()
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

impl Default for AddonSettings {
    fn default() -> Self {
        Self {
            policy: FailurePolicy::default(),
            quarantine: Some(QuarantineRule::default()),
            limits: Limits::default(),
            options: OptionsSource::None,
        }
    }
}

impl Limits {
    /// Largest memory that any addon can be given, in bytes: the slots of the engine have this size.
    pub const MAX_MEMORY: usize = 256 << 20;
    /// Most table elements that any addon can be given.
    pub const MAX_TABLE: usize = 20_000;

    /// Bytes that one call may carry from the guest to the host. Twice a body, so that a guest that sets too large a one
    /// is told; beyond that it traps before the host has allocated anything.
    pub(super) fn hostcall_bytes(&self) -> usize {
        // Each field counts with the size of its pair of vectors on the host, too.
        let headers = self.header_bytes.saturating_add(self.header_count.saturating_mul(64));
        self.max_body.saturating_mul(2).saturating_add(headers).saturating_add(256 << 10)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cpu: Duration::from_millis(50),
            wall: Duration::from_mins(1),
            configure: Duration::from_secs(10),
            memory: 64 << 20,
            table: 10_000,
            handles: 256,
            max_body: 10 << 20,
            header_count: 256,
            header_bytes: 64 << 10,
            random: 64 << 10,
            log_lines: 1_000,
        }
    }
}
