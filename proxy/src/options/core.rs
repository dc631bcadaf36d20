//! Options of the core: what each is called, what it takes, and what it means.
//!
//! Names and values are those of mitmproxy 10 where it has the option; each help text says where the meaning is another one.
//! An option that is not set leaves things as the listener's configuration has them. A flow takes one look when it starts and
//! keeps what it saw; the next request on the same connection is another flow.
//!
//! A flow meets them in this order. First the limits of its listener, as the options tighten them; then `ignore_hosts` and
//! `allow_hosts`, `block_list`, `anticache` and `anticomp`, all before the first addon; after the last addon `map_remote` and
//! `modify_headers`, so that addons see requests as clients sent them; then the upstream with `ssl_insecure`. Responses pass all
//! addons before `modify_headers`.

mod definitions;
mod hosts;
mod remote;
mod rules;
mod template;
#[cfg(test)]
mod tests;
mod values;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use serde_json::{Map, Value};

pub(crate) use hosts::Hosts;
pub(crate) use remote::Mapping;
pub(crate) use rules::{Block, Modification};

/// An option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Definition {
    /// Its name.
    pub name: &'static str,
    /// What it takes: `bool`, `optional int`, `optional str` or `sequence of str`.
    pub kind: &'static str,
    /// What it does, in a sentence or two.
    pub help: &'static str,
}

/// A change that is not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {why}")]
pub struct Refused {
    /// Name of the option, as it was given.
    pub name: String,
    /// What is wrong with the value, with the number of the entry, counted from 0, where it is one of several. Never quotes it.
    pub why: String,
}

/// Values of all options. By default none is set.
#[derive(Clone, Default)]
pub struct Options {
    /// What is set, as it was given.
    values: Map<String, Value>,
    effects: Effects,
    /// Whether it was said what streams.
    is_told: Arc<AtomicBool>,
}

/// What the values mean.
#[derive(Clone, Default)]
pub(crate) struct Effects {
    /// Bytes of a body, as sent.
    pub(crate) body_size_limit: Option<u64>,
    /// Bytes of a body up to which hooks may have it whole.
    pub(crate) stream_large_bodies: Option<u64>,
    pub(crate) anticache: bool,
    pub(crate) anticomp: bool,
    pub(crate) ssl_insecure: bool,
    pub(crate) allow_hosts: Option<Hosts>,
    pub(crate) ignore_hosts: Option<Hosts>,
    pub(crate) block_list: Vec<Block>,
    pub(crate) map_remote: Vec<Mapping>,
    pub(crate) modify_headers: Vec<Modification>,
    pub(crate) connection_timeout: Option<Duration>,
    pub(crate) request_timeout: Option<Duration>,
    pub(crate) response_timeout: Option<Term>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) body_idle_timeout: Option<Term>,
    pub(crate) flow_timeout: Option<Term>,
    pub(crate) tunnel_timeout: Option<Term>,
    pub(crate) max_header_count: Option<usize>,
    pub(crate) max_header_bytes: Option<usize>,
    pub(crate) max_connections: Option<usize>,
    pub(crate) log_level: Option<String>,
}

/// How long something may last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Term {
    Within(Duration),
    Endless,
}

impl Term {
    /// None: for ever.
    pub(crate) const fn limit(self) -> Option<Duration> {
        match self {
            Self::Within(limit) => Some(limit),
            Self::Endless => None,
        }
    }
}

impl Options {
    /// All options, by name.
    #[must_use]
    pub fn definitions() -> &'static [Definition] {
        &definitions::DEFINITIONS
    }

    /// The value of an option: `null`, `false` or no entries where it is not set. None: there is no such option.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<Value> {
        let definition = definitions::find(name)?;
        Some(self.values.get(name).cloned().unwrap_or_else(|| definitions::unset(definition)))
    }

    /// These options with some changed.
    ///
    /// # Errors
    /// All that is wrong with the changes; then none is made.
    pub fn with(&self, changes: &Map<String, Value>) -> Result<Self, Vec<Refused>> {
        let mut next = Self { is_told: Arc::default(), ..self.clone() };
        let mut refused = Vec::new();
        for (name, value) in changes {
            if let Err(why) = next.set(name, value) {
                refused.push(Refused { name: name.clone(), why });
            }
        }
        if refused.is_empty()
            && next.effects.allow_hosts.is_some()
            && next.effects.ignore_hosts.is_some()
            && let Some(name) = ["ignore_hosts", "allow_hosts"].into_iter().find(|name| changes.contains_key(*name))
        {
            let why = "ignore_hosts and allow_hosts exclude each other: one of them has to be empty".to_owned();
            refused.push(Refused { name: name.to_owned(), why });
        }
        if refused.is_empty() { Ok(next) } else { Err(refused) }
    }

    /// Whether no option is set.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.values.is_empty()
    }

    /// `log_level`, where it is set.
    #[must_use]
    pub fn log_level(&self) -> Option<&str> {
        self.effects.log_level.as_deref()
    }

    /// What the values mean.
    pub(crate) const fn effects(&self) -> &Effects {
        &self.effects
    }

    /// True once: for a flow that does as these options say in a way that should be said, but not for each flow.
    pub(crate) fn is_news(&self) -> bool {
        !self.is_told.swap(true, Relaxed)
    }

    fn set(&mut self, name: &str, value: &Value) -> Result<(), String> {
        let definition = definitions::find(name).ok_or_else(|| definitions::unknown(name))?;
        values::set(&mut self.effects, name, value)?;
        if *value == definitions::unset(definition) {
            self.values.remove(name);
        } else {
            self.values.insert(name.to_owned(), value.clone());
        }
        Ok(())
    }
}

/// Puts options in force for flows that start from now on. What is dangerous about them is logged when it is switched on.
pub fn put(live: &ArcSwap<Options>, next: Options) {
    let is_insecure = next.effects.ssl_insecure;
    let before = live.swap(next.into());
    match (before.effects.ssl_insecure, is_insecure) {
        (false, true) => tracing::warn!(
            "INSECURE: the option ssl_insecure is on: certificates of upstreams are NOT verified, and whoever is on the way there \
             can read and change everything"
        ),
        (true, false) => tracing::info!("the option ssl_insecure is off: certificates of upstreams are verified again"),
        _ => {}
    }
}

impl PartialEq for Options {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}

// Without the values: they may hold credentials.
impl fmt::Debug for Options {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.values.keys()).finish()
    }
}
