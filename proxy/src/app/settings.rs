//! The configuration as the addon host wants it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;

use crate::{
    addons::{AddonSettings, Readiness, Settings},
    config::{AddonConfig, Config},
};

/// Directory of compiled code: as configured, else one that goes with the process.
pub(super) fn cache(config: &Config) -> anyhow::Result<PathBuf> {
    match &config.cache {
        Some(cache) => Ok(cache.clone()),
        None => Ok(tempfile::tempdir().context("cannot make a directory for compiled code")?.keep()),
    }
}

/// A directory of compiled code for a run that leaves nothing behind.
pub(super) fn scratch_cache() -> anyhow::Result<tempfile::TempDir> {
    tempfile::tempdir().context("cannot make a directory for compiled code")
}

/// Settings of the addon host.
pub(super) fn addons(config: &Config, cache: &Path) -> Settings {
    let mut settings = Settings::new(&config.plugins, cache);
    // Only the default directory may be missing: a named one would have been an error of the configuration.
    settings.needs_plugins = config.plugins.exists();
    settings.max_instances = u32::try_from(config.instances).unwrap_or(u32::MAX);
    settings.guest_stack = config.guest_stack;
    settings.guest_memory = config.guest_memory;
    settings.nameservers.clone_from(&config.nameservers);
    settings.addons = config.addons.iter().map(|(name, addon)| (name.clone(), addon_settings(addon))).collect();
    settings.listeners = config.listeners.iter().map(|listener| (listener.name.to_string(), listener.addons.clone())).collect();
    settings
}

fn addon_settings(addon: &AddonConfig) -> AddonSettings {
    AddonSettings {
        policy: addon.policy.clone(),
        quarantine: addon.quarantine,
        limits: addon.limits,
        grants: Arc::clone(&addon.grants),
        options: addon.options.clone(),
    }
}

/// The addons that are not as they should be, each once.
pub(super) fn broken(readiness: &Readiness) -> BTreeSet<&str> {
    let failed = readiness.failed.iter().map(|(name, _)| name.as_str());
    failed.chain(readiness.missing.iter().map(String::as_str)).collect()
}
