//! JSON that loses nothing: the digits of numbers and the order of members stay, unlike in `serde_json::Value`.
//!
//! It is read as operators write it: see [`read`].

mod read;
#[cfg(test)]
mod tests;

use std::fmt::{self, Write as _};

pub use read::{Error, Lenient, Remark, read};

/// A document or a part of one. Shown it is compact, with `{:#}` indented by two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// As it was written.
    Number(Box<str>),
    /// Without its escapes.
    Text(String),
    /// In order.
    List(Vec<Json>),
    /// In order, each key once.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// The member of an object; none if this is no object or has no such member.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    fn write(&self, out: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        match self {
            Self::Null => out.write_str("null"),
            Self::Bool(value) => write!(out, "{value}"),
            Self::Number(digits) => out.write_str(digits),
            Self::Text(text) => quoted(out, text),
            Self::List(items) => each(out, ['[', ']'], items, depth, |out, item| item.write(out, depth + 1)),
            Self::Object(members) => each(out, ['{', '}'], members, depth, |out, (key, value)| {
                quoted(out, key)?;
                out.write_str(if out.alternate() { ": " } else { ":" })?;
                value.write(out, depth + 1)
            }),
        }
    }
}

fn each<T>(
    out: &mut fmt::Formatter<'_>,
    [open, close]: [char; 2],
    items: &[T],
    depth: usize,
    mut write: impl FnMut(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    out.write_char(open)?;
    for (place, item) in items.iter().enumerate() {
        out.write_str(if place == 0 { "" } else { "," })?;
        line(out, depth + 1)?;
        write(out, item)?;
    }
    if !items.is_empty() {
        line(out, depth)?;
    }
    out.write_char(close)
}

fn line(out: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
    if !out.alternate() {
        return Ok(());
    }
    out.write_char('\n')?;
    (0..depth).try_for_each(|_| out.write_str("  "))
}

fn quoted(out: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    out.write_str(&serde_json::to_string(text).map_err(|_| fmt::Error)?)
}

impl fmt::Display for Json {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(out, 0)
    }
}
