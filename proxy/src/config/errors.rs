//! What is wrong with a configuration.

use std::fmt;

/// One thing wrong. Shown on one line: `tollgate.toml: limits.connections = 0: must be a whole number from 1 to 1000000`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// File, flag or variable that it comes from.
    pub source: String,
    /// The key as `--set` takes it; empty if it is about the source as a whole.
    pub key: String,
    /// The value as written, without credentials and cut where it is long; none where there is no simple one.
    pub value: Option<String>,
    /// What is wrong with it, and what is allowed.
    pub problem: String,
}

/// Everything that is wrong: at least one error, one a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// None if the list is empty.
    pub(super) fn new(errors: Vec<ConfigError>) -> Option<Self> {
        (!errors.is_empty()).then_some(Self(errors))
    }

    /// One error about a whole source.
    pub(super) fn one(source: String, problem: String) -> Self {
        Self(vec![ConfigError { source, key: String::new(), value: None, problem }])
    }

    /// The errors, in the order of the sources.
    pub fn iter(&self) -> std::slice::Iter<'_, ConfigError> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a ConfigErrors {
    type Item = &'a ConfigError;
    type IntoIter = std::slice::Iter<'a, ConfigError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.source)?;
        if !self.key.is_empty() {
            write!(out, ": {}", self.key)?;
        }
        if let Some(value) = &self.value {
            write!(out, " = {value}")?;
        }
        write!(out, ": {}", self.problem)
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, error) in self.iter().enumerate() {
            let newline = if place == 0 { "" } else { "\n" };
            write!(out, "{newline}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
