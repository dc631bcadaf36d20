//! Where a value stands: `listener.0.bind`.

use std::fmt;

/// Names of tables and indices of arrays, from the top. Shown as `--set` takes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Key(pub(super) Vec<String>);

impl Key {
    /// The one of the whole document.
    pub(super) const fn root() -> Self {
        Self(Vec::new())
    }

    /// The one below this with that name or index.
    pub(super) fn join(&self, segment: impl fmt::Display) -> Self {
        let mut segments = self.0.clone();
        segments.push(segment.to_string());
        Self(segments)
    }

    /// Whether it is this or one below.
    pub(super) fn contains(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }

    /// The last name or index.
    pub(super) fn last(&self) -> Option<&str> {
        self.0.last().map(String::as_str)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, segment) in self.0.iter().enumerate() {
            let dot = if place == 0 { "" } else { "." };
            if !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
                write!(out, "{dot}{segment}")?;
            } else {
                write!(out, "{dot}{segment:?}")?;
            }
        }
        Ok(())
    }
}
