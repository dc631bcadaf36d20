//! Log lines: to standard error, as text or JSON; the level can change while running.

use anyhow::Context as _;
use tracing_subscriber::{EnvFilter, Registry, layer::SubscriberExt as _, reload, util::SubscriberInitExt as _};

use crate::{
    config::{Log, LogFormat},
    options::core::Options,
};

/// Changes the level.
pub(super) struct Handle(reload::Handle<EnvFilter, Registry>);

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
    Ok(Handle(handle))
}

impl Handle {
    /// Takes over the level; the format stays as it was at the start.
    pub(super) fn set(&self, log: &Log, options: &Options) {
        if let Ok(filter) = EnvFilter::try_new(level(log, options))
            && let Err(error) = self.0.reload(filter)
        {
            tracing::warn!(%error, "the log level cannot be changed");
        }
    }
}

/// The option goes over the configuration.
fn level<'a>(log: &'a Log, options: &'a Options) -> &'a str {
    options.log_level().unwrap_or(&log.level)
}
