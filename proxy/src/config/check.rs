//! What checks of single values share: reading them, and collecting what is wrong.

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::Value;

use super::{
    errors::{ConfigError, ConfigErrors},
    files,
    key::Key,
    raw::Scalar,
    reader,
    tree::Tree,
    units::Unit,
};

/// Characters of a value that an error shows.
const SHOWN: usize = 80;

/// A document under examination.
#[derive(Debug)]
pub(super) struct Check {
    tree: Tree,
    failed: Vec<Key>,
    errors: Vec<ConfigError>,
}

impl Check {
    pub(super) const fn new(tree: Tree) -> Self {
        Self { tree, failed: Vec::new(), errors: Vec::new() }
    }

    /// Adds an error that is about a whole source.
    pub(super) fn fail_source(&mut self, source: String, problem: String) {
        self.errors.push(ConfigError { source, key: String::new(), value: None, problem });
    }

    /// Adds an error about the value at a key, or about its absence. A key fails once: what follows from the first error is
    /// no news.
    pub(super) fn fail(&mut self, key: &Key, problem: impl Into<String>) {
        let value = self.tree.get(key).and_then(|value| shown(key, value));
        self.fail_with(key, value, problem.into());
    }

    fn fail_with(&mut self, key: &Key, value: Option<String>, problem: String) {
        if self.failed.contains(key) {
            return;
        }
        let source = self.tree.source(key).label();
        self.errors.push(ConfigError { source, key: key.to_string(), value, problem });
        self.failed.push(key.clone());
    }

    /// Adds an error about the absence of a value, unless it, or what it should be in, was there and wrong.
    pub(super) fn fail_missing(&mut self, key: &Key, problem: &str) {
        if !self.has_failed(key) {
            self.fail(key, problem);
        }
    }

    /// Whether the value at a key, or one around it, is known to be wrong.
    pub(super) fn has_failed(&self, key: &Key) -> bool {
        self.failed.iter().any(|failed| failed.contains(key))
    }

    /// Whether something stands at a key.
    pub(super) fn is_set(&self, key: &Key) -> bool {
        self.tree.get(key).is_some()
    }

    /// The whole document as raw structs, faults reported and left out.
    pub(super) fn read<T: for<'de> Deserialize<'de> + Default>(&mut self) -> T {
        let document = self.tree.root().clone();
        reader::read(&document, |key, fault| {
            if fault.shows_value() {
                self.fail(&key, fault.problem);
            } else {
                self.fail_with(&key, None, fault.problem);
            }
        })
    }

    /// A number within a range, or what holds if none is given.
    pub(super) fn number<T: Unit>(&mut self, key: &Key, raw: Option<&Scalar>, range: &RangeInclusive<T>, otherwise: T) -> T {
        let Some(raw) = raw else { return otherwise };
        scalar(raw).filter(|number| range.contains(number)).unwrap_or_else(|| {
            self.fail(key, format!("must be {} from {} to {}", T::NAME, range.start(), range.end()));
            otherwise
        })
    }

    /// The same for a number that a word switches off.
    pub(super) fn number_or_off<T: Unit>(
        &mut self,
        key: &Key,
        raw: Option<&Scalar>,
        range: &RangeInclusive<T>,
        off: &str,
        otherwise: Option<T>,
    ) -> Option<T> {
        let Some(raw) = raw else { return otherwise };
        if *raw == Scalar::Text(off.to_owned()) {
            return None;
        }
        let number = scalar(raw).filter(|number| range.contains(number));
        if number.is_none() {
            self.fail(key, format!("must be {} from {} to {}, or {off:?}", T::NAME, range.start(), range.end()));
        }
        number
    }

    /// The value of a text, or the error that `parse` gives.
    pub(super) fn text<T>(&mut self, key: &Key, text: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        parse(text).map_err(|problem| self.fail(key, problem)).ok()
    }

    /// A path as it is meant where it is written.
    pub(super) fn path(&self, key: &Key, text: &str) -> PathBuf {
        self.tree.source(key).directory().join(text)
    }

    /// A path, and what is read there.
    pub(super) fn file<T>(
        &mut self,
        key: &Key,
        text: &str,
        open: impl FnOnce(&Path) -> Result<T, String>,
    ) -> Option<(PathBuf, T)> {
        let path = self.path(key, text);
        let content = open(&path).map_err(|problem| self.fail(key, problem)).ok()?;
        Some((path, content))
    }

    /// A path of a file that can be read.
    pub(super) fn readable(&mut self, key: &Key, text: &str) -> Option<PathBuf> {
        self.file(key, text, files::readable).map(|(path, ())| path)
    }

    /// What was made of the document, if nothing is wrong with it.
    pub(super) fn finish<T>(self, made: Option<T>) -> Result<T, ConfigErrors> {
        match (ConfigErrors::new(self.errors), made) {
            (None, Some(made)) => Ok(made),
            (Some(errors), _) => Err(errors),
            // What cannot be made has failed; should a check ever forget to say so, this is no reason to start.
            (None, None) => Err(ConfigErrors::one(String::new(), "the configuration is incomplete".to_owned())),
        }
    }
}

/// A name of a listener or an addon.
pub(super) fn name(text: &str) -> Result<(), String> {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if (1..=128).contains(&text.len()) && text.bytes().all(is_legal) {
        Ok(())
    } else {
        Err("must be a name of 1 to 128 letters, digits, '.', '_' and '-'".to_owned())
    }
}

fn scalar<T: Unit>(raw: &Scalar) -> Option<T> {
    match raw {
        Scalar::Number(number) => T::from_number(u64::try_from(*number).ok()?),
        Scalar::Text(text) => T::from_text(text),
    }
}

/// A simple value as written; nothing of secrets.
fn shown(key: &Key, value: &Value) -> Option<String> {
    let text = match value {
        _ if matches!(key.last(), Some("token" | "options_token" | "filter" | "proxy"))
            || key.0.iter().any(|segment| segment == "options" || segment == "users") =>
        {
            return None;
        }
        Value::Array(_) | Value::Table(_) => return None,
        // A query may hold a secret.
        Value::String(text) if matches!(key.last(), Some("options_url" | "url")) => {
            format!("{:?}", without_userinfo(text.split(['?', '#']).next().unwrap_or_default()))
        }
        Value::String(text) => format!("{:?}", without_userinfo(text)),
        other => other.to_string(),
    };
    Some(match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    })
}

/// Hides user name and password of a URL, or of what was meant to be one.
fn without_userinfo(text: &str) -> String {
    let scheme = text.split_once("://").map_or(String::new(), |(scheme, _)| format!("{scheme}://"));
    text.rsplit_once('@').map_or_else(|| text.to_owned(), |(_, rest)| format!("{scheme}***@{rest}"))
}
