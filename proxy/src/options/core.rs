//! Options of the core: a flat map of names to values.

use arc_swap::ArcSwap;
use serde_json::{Map, Value};

/// What is known about an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Definition {
    /// Its name.
    pub name: &'static str,
    /// What its values are, like `bool` or `size`.
    pub kind: &'static str,
    /// What it does.
    pub help: &'static str,
}

/// A value that is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {why}")]
pub struct Refused {
    /// Of the option.
    pub name: String,
    /// What it must be.
    pub why: String,
}

/// The options; by default the configuration of listeners decides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    anticache: bool,
    body_size_limit: Option<String>,
    log_level: Option<String>,
}

const DEFINITIONS: [Definition; 3] = [
    Definition { name: "anticache", kind: "bool", help: "Strip headers that might cause the server to answer 304" },
    Definition { name: "body_size_limit", kind: "size", help: "Largest body of a message, like \"3m\"; null: the listener's" },
    Definition { name: "log_level", kind: "str", help: "What to log: off, error, warn, info, debug or trace; null: log.level" },
];

impl Options {
    /// All options that there are.
    #[must_use]
    pub const fn definitions() -> &'static [Definition] {
        &DEFINITIONS
    }

    /// The value of an option; none if there is no such option.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<Value> {
        let text = |text: &Option<String>| text.clone().map_or(Value::Null, Value::String);
        match name {
            "anticache" => Some(self.anticache.into()),
            "body_size_limit" => Some(text(&self.body_size_limit)),
            "log_level" => Some(text(&self.log_level)),
            _ => None,
        }
    }

    /// These options with other values for some names.
    ///
    /// # Errors
    /// Every value that is not taken; then none is.
    pub fn with(&self, changes: &Map<String, Value>) -> Result<Self, Vec<Refused>> {
        let (mut next, mut refused) = (self.clone(), Vec::new());
        for (name, value) in changes {
            if let Err(why) = next.set(name, value) {
                refused.push(Refused { name: name.clone(), why: why.to_owned() });
            }
        }
        if refused.is_empty() { Ok(next) } else { Err(refused) }
    }

    fn set(&mut self, name: &str, value: &Value) -> Result<(), &'static str> {
        match (name, value) {
            ("anticache", Value::Bool(value)) => self.anticache = *value,
            ("anticache", _) => return Err("must be true or false"),
            ("body_size_limit", Value::Null) => self.body_size_limit = None,
            ("body_size_limit", Value::String(text)) if is_size(text) => self.body_size_limit = Some(text.clone()),
            ("body_size_limit", _) => return Err("must be a size like \"3m\", or null"),
            ("log_level", Value::Null) => self.log_level = None,
            ("log_level", Value::String(text)) if is_level(text) => self.log_level = Some(text.clone()),
            ("log_level", _) => return Err("must be off, error, warn, info, debug or trace, or null"),
            _ => return Err("there is no such option"),
        }
        Ok(())
    }
}

/// Puts options in force for flows that start from now on.
pub fn put(live: &ArcSwap<Options>, next: Options) {
    live.store(next.into());
}

fn is_size(text: &str) -> bool {
    let digits = text.strip_suffix(['b', 'k', 'm', 'g', 't', 'B', 'K', 'M', 'G', 'T']).unwrap_or(text);
    digits.parse::<u64>().is_ok()
}

fn is_level(text: &str) -> bool {
    matches!(text, "off" | "error" | "warn" | "info" | "debug" | "trace")
}
