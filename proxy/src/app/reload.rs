//! Taking over a changed configuration while serving.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::{MissedTickBehavior, interval};

use super::{logging, settings, sites::Sites};
use crate::{
    addons::Registry,
    config::{Config, Sources},
};

/// How often the files are looked at: seldom enough to cost nothing, and true of every file system and of links that are
/// switched.
const LOOK: Duration = Duration::from_secs(1);

/// Knows the configuration in force and the files that it came from.
pub(super) struct Reloader {
    sources: Sources,
    config: Config,
    cache: PathBuf,
    log: logging::Handle,
    seen: Stamps,
    ticks: tokio::time::Interval,
}

type Stamps = BTreeMap<PathBuf, Option<(SystemTime, u64)>>;

impl Reloader {
    pub(super) fn new(sources: Sources, config: Config, cache: PathBuf, log: logging::Handle) -> Self {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let seen = stamps(&files(&sources, &config));
        Self { sources, config, cache, log, seen, ticks }
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
        // Chains of new listeners must be there before their first flow.
        registry.update(settings::addons(&config, &self.cache)).await;
        if let Err(error) = sites.apply(&config.listeners) {
            tracing::error!(error = format!("{error:#}"), "the changed configuration is refused; the old one stays in force");
            registry.update(settings::addons(&self.config, &self.cache)).await;
            return;
        }
        for (key, is_same) in [
            ("admin", config.admin == self.config.admin),
            ("plugins", config.plugins == self.config.plugins),
            ("cache", config.cache == self.config.cache),
            ("limits.instances", config.instances == self.config.instances),
            ("log.format", config.log.format == self.config.log.format),
        ] {
            if !is_same {
                tracing::warn!(key, "this change takes a restart");
            }
        }
        self.log.set(&config.log);
        self.config = config;
        self.seen = stamps(&files(&self.sources, &self.config));
        tracing::info!("the configuration was read again and is in force");
    }
}

fn files(sources: &Sources, config: &Config) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = sources.file.iter().cloned().collect();
    for listener in &config.listeners {
        files.extend(listener.tls.iter().flat_map(|tls| [tls.cert.clone(), tls.key.clone()]));
        files.extend(listener.upstream_ca.clone());
    }
    files
}

fn stamps(files: &[PathBuf]) -> Stamps {
    let stamp = |path: &PathBuf| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    files.iter().map(|path| (path.clone(), stamp(path))).collect()
}
