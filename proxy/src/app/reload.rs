//! Taking over a changed configuration while serving.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::{MissedTickBehavior, interval};

use super::{settings, sites::Sites, state};
use crate::{
    addons::Registry,
    admin::Dependencies,
    config::{Config, Forward, Mode, Sources, StateStore},
    logging, options,
};

/// How often the files are looked at: seldom enough to cost nothing, and true of every file system and of links that are
/// switched.
const LOOK: Duration = Duration::from_secs(1);

/// Knows the configuration in force and the files that it came from.
pub(super) struct Reloader {
    sources: Sources,
    config: Config,
    cache: PathBuf,
    log: Arc<logging::Handle>,
    options: Option<Arc<options::Registry>>,
    dependencies: Option<Arc<Dependencies>>,
    seen: Stamps,
    ticks: tokio::time::Interval,
}

/// The configuration's file at one moment.
pub(super) struct Seen(Stamps);

impl Seen {
    /// As it is now.
    pub(super) fn now(sources: &Sources) -> Self {
        Self(stamps(&sources.file.iter().cloned().collect::<Vec<_>>()))
    }
}

type Stamps = BTreeMap<PathBuf, Option<(SystemTime, u64)>>;

impl Reloader {
    /// `seen`: the configuration's file as it was before it was read.
    pub(super) fn new(sources: Sources, config: Config, cache: PathBuf, log: Arc<logging::Handle>, seen: Seen) -> Self {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut now = stamps(&files(&sources, &config));
        now.extend(seen.0);
        let seen = now;
        Self { sources, config, cache, log, options: None, dependencies: None, seen, ticks }
    }

    /// Where options of the core are put in force.
    pub(super) fn set_options(&mut self, options: Arc<options::Registry>) {
        self.options = Some(options);
    }

    /// What readiness asks.
    pub(super) fn set_dependencies(&mut self, dependencies: Arc<Dependencies>) {
        self.dependencies = Some(dependencies);
    }

    /// How long flows may go on after SIGTERM.
    pub(super) const fn grace(&self) -> Duration {
        self.config.grace
    }

    /// Waits until a file has changed and then been still for one look. Cancel safe.
    pub(super) async fn changed(&mut self) {
        let mut last = None;
        loop {
            self.ticks.tick().await;
            let now = stamps(&files(&self.sources, &self.config));
            if now == self.seen {
                last = None;
            } else if last.as_ref() == Some(&now) {
                return;
            } else {
                last = Some(now);
            }
        }
    }

    /// Reads the configuration again and puts it in force as a whole; any error leaves everything as it was.
    pub(super) async fn reload(&mut self, sites: &mut Sites, registry: &Arc<Registry>) {
        // Seen before they are read: what changes meanwhile is a change again.
        self.seen = stamps(&files(&self.sources, &self.config));
        let config = match self.sources.load() {
            Ok(config) => config,
            Err(errors) => {
                for error in &errors {
                    tracing::error!(%error, "the changed configuration is refused; the old one stays in force");
                }
                return;
            }
        };
        let fresh = stamps(&files(&self.sources, &config));
        let next = match sites.bind(&config.listeners) {
            Ok(next) => next,
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(error, "the changed configuration is refused; the old one stays in force");
                return;
            }
        };
        // Chains of new listeners must be there before their first flow, those of listeners that go until their last.
        let mut addons = settings::addons(&config, &self.cache);
        let old = settings::addons(&self.config, &self.cache).listeners;
        addons.listeners.extend(old.into_iter().filter(|(name, _)| config.listeners.iter().all(|new| *new.name != **name)));
        registry.update(addons).await;
        sites.take_over(next);
        for (key, is_same) in [
            ("admin", config.admin == self.config.admin),
            ("plugins", config.plugins == self.config.plugins),
            ("cache", config.cache == self.config.cache),
            ("state", config.state == self.config.state),
            ("nameservers", config.nameservers == self.config.nameservers),
            ("limits.instances", config.instances == self.config.instances),
            ("limits.guest_stack", config.guest_stack == self.config.guest_stack),
            ("limits.guest_memory", config.guest_memory == self.config.guest_memory),
            ("limits.held_bodies", config.held_bodies == self.config.held_bodies),
            ("record", config.record == self.config.record),
            ("log.format", config.log.format == self.config.log.format),
        ] {
            if !is_same {
                tracing::warn!(key, "this change takes a restart");
            }
        }
        if matches!(config.state.store, StateStore::Default(_)) && state::uses_kv(&config) && !state::uses_kv(&self.config) {
            tracing::warn!(
                key = "state",
                "what addons keep is in memory until the next start: no addon was to keep anything at this one"
            );
        }
        if let Some(options) = &self.options
            && let Err(error) = options.configure(config.options.clone()).await
        {
            tracing::warn!(%error, "the options of the changed configuration are not in force");
        }
        self.log.set(&config.log);
        if let Some(dependencies) = &self.dependencies {
            dependencies.replace(&config.dependencies);
        }
        let seen = std::mem::take(&mut self.seen);
        self.seen = fresh.into_iter().map(|(path, stamp)| (path.clone(), seen.get(&path).copied().unwrap_or(stamp))).collect();
        self.config = config;
        tracing::info!("the configuration was read again and is in force");
    }
}

fn files(sources: &Sources, config: &Config) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = sources.file.iter().cloned().collect();
    for listener in &config.listeners {
        files.extend(listener.tls.iter().flat_map(|tls| [tls.cert.clone(), tls.key.clone()]));
        files.extend(listener.upstream_ca.iter().chain(&listener.proxies.ca).cloned());
        let of = listener.proxies.of.iter().filter_map(|(_, proxy)| proxy.as_ref());
        files.extend(listener.proxies.otherwise.iter().chain(of).filter_map(|proxy| proxy.password_file.clone()));
        files.extend(listener.client_cert.iter().flat_map(|shown| std::iter::once(&shown.cert).chain(&shown.key)).cloned());
        if let Mode::Forward(Forward { intercept, users, .. }) = &listener.mode {
            files.extend(intercept.iter().flat_map(|intercept| std::iter::once(&intercept.ca).chain(&intercept.key)).cloned());
            files.extend(users.iter().filter_map(|users| users.file.clone()));
        }
    }
    files.extend(config.addons.values().filter_map(|addon| addon.options_token_file.clone()));
    files
}

fn stamps(files: &[PathBuf]) -> Stamps {
    let stamp = |path: &PathBuf| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    files.iter().map(|path| (path.clone(), stamp(path))).collect()
}
