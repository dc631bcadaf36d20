//! Fields of the policy document, read strictly: what has another type is an error that names its path.

use std::{fmt, ops::RangeInclusive};

use tollgate_sdk::{
    OptionErrors,
    serde_json::{Map, Value},
};

/// One object of the document. A field that is `null` counts as absent: that is how programs in Go write what is empty.
pub(crate) struct Fields<'d, 'e> {
    /// Of the object; empty for the document.
    path: String,
    object: &'d Map<String, Value>,
    errors: &'e mut OptionErrors,
}

impl<'d, 'e> Fields<'d, 'e> {
    /// Those of the document itself.
    pub(crate) const fn of_document(document: &'d Map<String, Value>, errors: &'e mut OptionErrors) -> Self {
        Self { path: String::new(), object: document, errors }
    }

    /// Those of a value at this path; none, and an error, if it is no object.
    pub(crate) fn of(path: String, value: &'d Value, errors: &'e mut OptionErrors) -> Option<Self> {
        match value {
            Value::Object(object) => Some(Self { path, object, errors }),
            other => {
                errors.push(path, format!("must be an object, not {}", kind(other)));
                None
            }
        }
    }

    /// Those of the object in a field.
    pub(crate) fn object(&mut self, key: &str) -> Option<Fields<'d, '_>> {
        let value = self.value(key)?;
        Fields::of(self.path(key), value, self.errors)
    }

    /// Errors for fields that are none of these: a misspelt one would do nothing.
    pub(crate) fn refuse_others(&mut self, known: &[&str]) {
        for key in self.object.keys().filter(|key| !known.contains(&key.as_str())) {
            self.errors.push(self.path(key), format!("unknown field, expected one of {}", known.join(", ")));
        }
    }

    pub(crate) fn boolean(&mut self, key: &str) -> Option<bool> {
        match self.value(key)? {
            Value::Bool(value) => Some(*value),
            other => self.mistyped(key, "true or false", other),
        }
    }

    pub(crate) fn text(&mut self, key: &str) -> Option<&'d str> {
        match self.value(key)? {
            Value::String(value) => Some(value),
            other => self.mistyped(key, "a string", other),
        }
    }

    /// The entries of a list; empty where there is none.
    pub(crate) fn list(&mut self, key: &str) -> &'d [Value] {
        match self.value(key) {
            None => &[],
            Some(Value::Array(values)) => values,
            Some(other) => self.mistyped(key, "a list", other).unwrap_or_default(),
        }
    }

    /// A whole number in this range.
    pub(crate) fn number(&mut self, key: &str, range: &RangeInclusive<i64>) -> Option<i64> {
        let value = self.value(key)?;
        let number = value.as_i64().filter(|number| range.contains(number));
        if number.is_none() {
            self.refuse(key, format!("must be a whole number from {} to {}, not {}", range.start(), range.end(), shown(value)));
        }
        number
    }

    /// An error about a field.
    pub(crate) fn refuse(&mut self, key: &str, message: impl Into<String>) {
        self.errors.push(self.path(key), message);
    }

    /// As in `users[2].id`.
    pub(crate) fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// For errors about what a field holds.
    pub(crate) const fn errors(&mut self) -> &mut OptionErrors {
        self.errors
    }

    fn value(&self, key: &str) -> Option<&'d Value> {
        self.object.get(key).filter(|value| !value.is_null())
    }

    fn mistyped<T>(&mut self, key: &str, expected: &str, found: &Value) -> Option<T> {
        self.refuse(key, format!("must be {expected}, not {}", kind(found)));
        None
    }
}

/// Without the value: it may be a credential.
impl fmt::Debug for Fields<'_, '_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Fields").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What a value is, for error texts.
pub(crate) const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Numbers as they are, all else by its kind.
fn shown(value: &Value) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        other => kind(other).to_owned(),
    }
}
