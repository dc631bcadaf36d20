//! Who holds the lock, and how it ended.

use std::{
    fmt,
    time::{Duration, Instant, SystemTime},
};

use serde_json::{Map, Value};
use subtle::ConstantTimeEq as _;
use tokio::task::AbortHandle;

/// What unlocks: 16 lower-case hexadecimal digits that nobody can guess.
#[derive(Clone, PartialEq, Eq)]
pub struct Id(String);

/// The lock as everybody may see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Holder {
    /// Who, in their own words.
    pub owner: Option<String>,
    /// When it was taken.
    pub since: SystemTime,
    /// Until it unlocks itself, if it does.
    pub left: Option<Duration>,
    /// The options that it names, sorted.
    pub names: Vec<String>,
}

/// The lock as it is kept.
pub(super) struct Lock {
    pub(super) id: Id,
    pub(super) owner: Option<String>,
    pub(super) since: SystemTime,
    pub(super) ends: Option<Instant>,
    /// Options of the core as they come back.
    pub(super) saved: Map<String, Value>,
    /// Addons whose documents are held.
    pub(super) addons: Vec<String>,
    /// Unlocks when the time has come.
    pub(super) timer: Option<AbortHandle>,
}

/// A lock that ended without the one who took it.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) id: Id,
    pub(super) how: Unasked,
}

/// How a lock ends that its holder does not unlock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unasked {
    /// This time was over.
    Expired(Duration),
    /// Somebody forced it.
    Forced,
}

impl Id {
    /// A new one, from the system's randomness.
    ///
    /// # Errors
    /// When the system has none.
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        getrandom::u64().map(|number| Self(format!("{number:016x}")))
    }

    /// For its owner.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether it is this text; how long that takes tells nothing but their lengths.
    pub(super) fn is(&self, text: &str) -> bool {
        self.0.as_bytes().ct_eq(text.as_bytes()).into()
    }
}

/// Without the digits.
impl fmt::Debug for Id {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Id")
    }
}

impl fmt::Display for Unasked {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired(ttl) => write!(out, "it unlocked itself, as its ttl of {} s was over", ttl.as_secs_f64()),
            Self::Forced => out.write_str("somebody forced it open"),
        }
    }
}

impl Lock {
    pub(super) fn holds(&self, name: &str) -> bool {
        self.saved.contains_key(name) || self.addons.iter().any(|addon| addon == name)
    }

    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.saved.keys().chain(&self.addons).cloned().collect();
        names.sort();
        names
    }

    pub(super) fn holder(&self) -> Holder {
        let left = self.ends.map(|ends| ends.saturating_duration_since(Instant::now()));
        Holder { owner: self.owner.clone(), since: self.since, left, names: self.names() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_sixteen_digits_and_never_the_same() {
        let ids: Vec<Id> = (0..100).map(|_| Id::new().expect("randomness")).collect();
        for (index, id) in ids.iter().enumerate() {
            let text = id.reveal();
            assert!(text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{text}");
            assert!(!ids[..index].contains(id), "{text} twice");
            assert!(id.is(text) && !id.is("") && !id.is(&text[1..]) && !id.is(&format!("{text}0")));
            assert_eq!(format!("{id:?}"), "Id");
        }
    }
}
