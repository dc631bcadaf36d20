//! Log lines: to standard error, as text or JSON; the level can change while running, and for a while.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use parking_lot::Mutex;
use tracing_subscriber::{EnvFilter, Registry, layer::SubscriberExt as _, reload, util::SubscriberInitExt as _};

use crate::{
    config::{Log, LogFormat},
    options::core::Options,
};

/// Changes the level.
pub struct Handle {
    filter: reload::Handle<EnvFilter, Registry>,
    level: Mutex<Level>,
}

struct Level {
    configured: String,
    /// Goes before the configured one.
    option: Option<String>,
    /// Goes before both.
    passing: Passing,
    reset_after: Duration,
}

/// What holds for a while.
#[derive(Default)]
struct Passing {
    /// For everything.
    all: Option<String>,
    /// For modules, whatever the rest is.
    targets: BTreeMap<String, String>,
    /// When all of it ends; none if there is nothing.
    ends: Option<Instant>,
}

/// What is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// As `log.level` has it.
    pub level: String,
    /// When it becomes again what it was, if it is for a while.
    pub resets_in: Option<Duration>,
}

/// Modules that have a level of their own for a while, at most.
const MAX_TARGETS: usize = 64;

/// Why a level is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Neither a level nor a module.
    #[error("{0}")]
    Invalid(String),
    /// There is an end to it.
    #[error("{MAX_TARGETS} targets have a level of their own already")]
    Full,
}

/// Starts logging.
pub(crate) fn start(log: &Log, options: &Options) -> anyhow::Result<Arc<Handle>> {
    let level = Level {
        configured: log.level.clone(),
        option: options.log_level().map(str::to_owned),
        passing: Passing::default(),
        reset_after: log.reset_after,
    };
    let (filter, handle) = reload::Layer::new(EnvFilter::try_new(level.now()).context("log.level")?);
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => registry.with(layer.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))).try_init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    }
    .context("cannot start logging")?;
    Ok(Arc::new(Handle { filter: handle, level: Mutex::new(level) }))
}

impl Handle {
    /// Takes over the level and how long others may hold; the format stays as it was at the start.
    pub(crate) fn set(&self, log: &Log) {
        self.change(|level| {
            level.configured.clone_from(&log.level);
            level.reset_after = log.reset_after;
        });
    }

    /// The option `log_level`, if it is set, goes before what is configured.
    pub(crate) fn set_option(&self, option: Option<&str>) {
        self.change(|level| level.option = option.map(str::to_owned));
    }

    /// A level for a module, or for everything and every module, which goes before the option and what is configured until
    /// `log.reset_after` has passed since the last such change. Must be called within the runtime.
    ///
    /// # Errors
    /// When it is no level or no module, or when too many modules have one.
    pub(crate) fn set_for_a_while(self: &Arc<Self>, level: &str, target: Option<&str>) -> Result<InForce, Refused> {
        let directive = target.map_or_else(|| level.to_owned(), |target| format!("{target}={level}"));
        if directive.contains(',') || (target.is_none() && directive.contains('=')) {
            return Err(Refused::Invalid("must be one level".to_owned()));
        }
        crate::config::log_level(&directive).map_err(Refused::Invalid)?;
        let mut refused = None;
        let (now, after) = self.change(|current| {
            let (passing, after) = (&mut current.passing, current.reset_after);
            match target {
                None => *passing = Passing { all: Some(level.to_owned()), ..Passing::default() },
                Some(target) if passing.targets.len() >= MAX_TARGETS && !passing.targets.contains_key(target) => {
                    refused = Some(Refused::Full);
                    return (current.in_force(), None);
                }
                Some(target) => {
                    passing.targets.insert(target.to_owned(), level.to_owned());
                }
            }
            passing.ends = Some(Instant::now() + after);
            (current.in_force(), Some(after))
        });
        if let Some(after) = after {
            let handle = Arc::downgrade(self);
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                if let Some(handle) = handle.upgrade() {
                    handle.end_what_is_over();
                }
            });
        }
        refused.map_or(Ok(now), Err)
    }

    /// Ends what holds for a while; what is in force then.
    pub(crate) fn reset(&self) -> InForce {
        self.change(|level| {
            level.passing = Passing::default();
            level.in_force()
        })
    }

    /// What is in force.
    pub(crate) fn in_force(&self) -> InForce {
        self.level.lock().in_force()
    }

    // A later change has put it off.
    fn end_what_is_over(&self) {
        let is_over = self.change(|level| {
            let is_over = level.passing.ends.is_some_and(|ends| Instant::now() >= ends);
            if is_over {
                level.passing = Passing::default();
            }
            is_over
        });
        if is_over {
            tracing::info!("log levels are again what they were");
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Level) -> T) -> T {
        let mut level = self.level.lock();
        let outcome = change(&mut level);
        let now = level.now();
        if let Ok(filter) = EnvFilter::try_new(now)
            && let Err(error) = self.filter.reload(filter)
        {
            tracing::warn!(%error, "the log level cannot be changed");
        }
        outcome
    }
}

impl Level {
    /// All of it as one list, of which the later directive counts.
    fn now(&self) -> String {
        let base = self.passing.all.as_ref().or(self.option.as_ref()).unwrap_or(&self.configured);
        let targets = self.passing.targets.iter().map(|(target, level)| format!(",{target}={level}"));
        std::iter::once(base.clone()).chain(targets).collect()
    }

    fn in_force(&self) -> InForce {
        let resets_in = self.passing.ends.map(|ends| ends.saturating_duration_since(Instant::now()));
        InForce { level: self.now(), resets_in }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that writes nowhere.
    fn handle(configured: &str, option: Option<&str>) -> Arc<Handle> {
        let (layer, filter) = reload::Layer::new(EnvFilter::new("off"));
        // The handle counts only as long as its layer is there.
        std::mem::forget(tracing_subscriber::registry().with(layer));
        let level = Level {
            configured: configured.to_owned(),
            option: option.map(str::to_owned),
            passing: Passing::default(),
            reset_after: Duration::from_mins(30),
        };
        Arc::new(Handle { filter, level: Mutex::new(level) })
    }

    #[tokio::test]
    async fn what_holds_for_a_while_goes_before_the_rest() {
        let handle = handle("info,a=warn", Some("error"));
        assert_eq!(handle.in_force(), InForce { level: "error".to_owned(), resets_in: None });
        let level = |target, level| handle.set_for_a_while(level, target).map(|now| now.level);
        assert_eq!(level(Some("a::b"), "trace"), Ok("error,a::b=trace".to_owned()));
        assert_eq!(level(Some("a::b"), "off"), Ok("error,a::b=off".to_owned()));
        assert_eq!(level(None, "debug"), Ok("debug".to_owned()));
        assert_eq!(level(Some("c"), "warn"), Ok("debug,c=warn".to_owned()));
        handle.set_option(None);
        assert!(handle.in_force().resets_in.is_some_and(|left| left > Duration::from_mins(29)));
        handle.end_what_is_over();
        assert_eq!(handle.in_force().level, "debug,c=warn");
        assert_eq!(handle.reset(), InForce { level: "info,a=warn".to_owned(), resets_in: None });
    }

    #[tokio::test]
    async fn only_single_levels_of_so_many_modules_are_taken() {
        let handle = handle("info", None);
        for (target, level) in [
            (None, "loud"),
            (None, "info,a=debug"),
            (None, "a=debug"),
            (Some("a,b"), "info"),
            (Some(""), "info"),
            (Some("a b"), "info"),
            (Some("a"), ""),
        ] {
            assert!(matches!(handle.set_for_a_while(level, target), Err(Refused::Invalid(_))), "{target:?} {level}");
        }
        for number in 0..MAX_TARGETS {
            assert!(handle.set_for_a_while("off", Some(&format!("m{number}"))).is_ok(), "{number}");
        }
        assert_eq!(handle.set_for_a_while("off", Some("one_more")), Err(Refused::Full));
        assert!(handle.set_for_a_while("warn", Some("m0")).is_ok());
    }
}
