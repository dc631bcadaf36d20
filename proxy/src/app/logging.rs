//! Log lines: to standard error, as text or JSON; the level can change while running.

use anyhow::Context as _;
use parking_lot::Mutex;
use tracing_subscriber::{EnvFilter, Registry, layer::SubscriberExt as _, reload, util::SubscriberInitExt as _};

use crate::{
    config::{Log, LogFormat},
    options::core::Options,
};

/// Changes the level.
pub(super) struct Handle {
    filter: reload::Handle<EnvFilter, Registry>,
    level: Mutex<Level>,
}

struct Level {
    configured: String,
    /// Goes before the configured one.
    option: Option<String>,
}

/// Starts logging.
pub(super) fn start(log: &Log, options: &Options) -> anyhow::Result<Handle> {
    let (filter, handle) = reload::Layer::new(EnvFilter::try_new(level(log, options)).context("log.level")?);
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => registry.with(layer.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))).try_init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    }
    .context("cannot start logging")?;
    Ok(Handle {
        filter: handle,
        level: Mutex::new(Level { configured: log.level.clone(), option: options.log_level().map(str::to_owned) }),
    })
}

impl Handle {
    /// Takes over the level; the format stays as it was at the start.
    pub(super) fn set(&self, log: &Log) {
        self.change(|level| level.configured.clone_from(&log.level));
    }

    /// The option `log_level`, if it is set, goes before what is configured.
    pub(super) fn set_option(&self, option: Option<&str>) {
        self.change(|level| level.option = option.map(str::to_owned));
    }

    fn change(&self, change: impl FnOnce(&mut Level)) {
        let mut level = self.level.lock();
        change(&mut level);
        let now = level.option.as_ref().unwrap_or(&level.configured);
        if let Ok(filter) = EnvFilter::try_new(now)
            && let Err(error) = self.filter.reload(filter)
        {
            tracing::warn!(%error, "the log level cannot be changed");
        }
    }
}

/// The option goes over the configuration.
fn level<'a>(log: &'a Log, options: &'a Options) -> &'a str {
    options.log_level().unwrap_or(&log.level)
}
