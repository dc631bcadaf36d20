//! Options, and why they are refused.

use std::fmt;

use serde::{Deserialize, de::DeserializeOwned};

/// Options of an addon that has none: any key is refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoOptions {}

/// Why one option was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionError {
    /// Path of the option as in `rules[2].method`; empty for the whole document.
    pub path: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// Why options were refused: all reasons at once.
///
/// ```
/// use tollgate_sdk::OptionErrors;
///
/// fn check(rules: &[String]) -> Result<(), OptionErrors> {
///     let mut errors = OptionErrors::default();
///     for (index, rule) in rules.iter().enumerate() {
///         if rule.is_empty() {
///             errors.push(format!("rules[{index}]"), "must not be empty");
///         }
///     }
///     errors.or_ok(())
/// }
/// # assert_eq!(check(&["a".into(), "".into()]).unwrap_err().to_string(), "rules[1]: must not be empty");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OptionErrors {
    errors: Vec<OptionError>,
}

impl OptionErrors {
    /// One error.
    pub fn one(path: impl Into<String>, message: impl Into<String>) -> Self {
        let mut errors = Self::default();
        errors.push(path, message);
        errors
    }

    /// Adds one.
    pub fn push(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.errors.push(OptionError { path: path.into(), message: message.into() });
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    /// In the order in which they were found.
    pub fn iter(&self) -> std::slice::Iter<'_, OptionError> {
        self.errors.iter()
    }

    /// `value` if there is no error, else the errors.
    ///
    /// # Errors
    ///
    /// Itself, if it is not empty.
    pub fn or_ok<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }
}

/// Reads the options document; an empty text counts as `{}`.
pub(crate) fn parse<T: DeserializeOwned>(document: &str) -> Result<T, OptionErrors> {
    let document = if document.trim_ascii().is_empty() { "{}" } else { document };
    // Serde would read a struct from an array too, by position.
    if !document.trim_ascii_start().starts_with('{') {
        return Err(OptionErrors::one("", "the options must be a JSON object"));
    }
    let mut deserializer = serde_json::Deserializer::from_str(document);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let path = if path == "." { String::new() } else { path };
        OptionErrors::one(path, describe(error.inner()))
    })?;
    deserializer.end().map_err(|error| OptionErrors::one("", describe(&error)))?;
    Ok(value)
}

/// The host may have written the document anew: where a value is wrong its path is what helps, not a line of that text.
fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if !error.is_data() {
        return text;
    }
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}

impl IntoIterator for OptionErrors {
    type Item = OptionError;
    type IntoIter = std::vec::IntoIter<OptionError>;

    fn into_iter(self) -> Self::IntoIter {
        self.errors.into_iter()
    }
}

impl<'a> IntoIterator for &'a OptionErrors {
    type Item = &'a OptionError;
    type IntoIter = std::slice::Iter<'a, OptionError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for OptionError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { out.write_str(&self.message) } else { write!(out, "{}: {}", self.path, self.message) }
    }
}

impl fmt::Display for OptionErrors {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                out.write_str("; ")?;
            }
            error.fmt(out)?;
        }
        Ok(())
    }
}

impl std::error::Error for OptionErrors {}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Options {
        #[serde(default)]
        rules: Vec<Rule>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Rule {
        #[allow(dead_code, reason = "only read from JSON")]
        method: String,
    }

    fn refused(document: &str) -> String {
        parse::<Options>(document).expect_err(document).to_string()
    }

    #[test]
    fn wrong_values_are_named_by_path() {
        let error = refused(r#"{"rules": [{"method": "GET"}, {"method": 5}]}"#);
        assert_eq!(error, "rules[1].method: invalid type: integer `5`, expected a string");
        assert_eq!(refused("[]"), "the options must be a JSON object");
    }

    #[test]
    fn unknown_keys_are_named_by_path() {
        let error = refused(r#"{"rules": [{"method": "GET", "path": "/"}]}"#);
        assert_eq!(error, "rules[0].path: unknown field `path`, expected `method`");
    }

    #[test]
    fn empty_document_means_no_options() {
        for document in ["", " \n", "{}"] {
            assert!(parse::<Options>(document).is_ok_and(|options| options.rules.is_empty()), "{document:?}");
        }
    }

    #[test]
    fn no_options_refuses_any_key() {
        assert!(parse::<NoOptions>("{}").is_ok());
        assert_eq!(
            parse::<NoOptions>(r#"{"a": 1}"#).map_err(|e| e.to_string()),
            Err("a: unknown field `a`, there are no fields".into())
        );
    }

    #[test]
    fn broken_json_keeps_its_place() {
        assert!(refused("{\n!").contains("line 2 column 1"));
        assert!(refused("{} x").contains("trailing characters"));
    }
}
