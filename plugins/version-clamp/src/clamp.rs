//! The answer to `GET /_matrix/client/versions`, clamped.

use std::fmt;

use serde::{
    Deserialize,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::version::Version;

/// What stays of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clamp {
    /// The highest version that stays.
    pub(crate) max: Version,
    /// Whether `unstable_features` stays as it is.
    pub(crate) keeps_unstable_features: bool,
}

/// A changed answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Clamped {
    pub(crate) body: String,
    /// JSON of the entries of `versions` that were dropped since they are no versions.
    pub(crate) no_versions: Vec<String>,
}

/// A JSON object as it was written: keys in order, also repeated ones, and values as text, so that numbers keep their digits.
struct Object<'a>(Vec<(String, &'a RawValue)>);

impl Clamp {
    /// The clamped answer; none where it may stay byte for byte: it is within bounds, or no object with a list of versions.
    pub(crate) fn apply(&self, body: &[u8]) -> Option<Clamped> {
        let Object(entries) = serde_json::from_slice(body).ok()?;
        let mut no_versions = Vec::new();
        let mut has_versions = false;
        let mut is_changed = false;
        let mut out = String::with_capacity(body.len());
        for (key, value) in &entries {
            let new = match key.as_str() {
                "versions" => {
                    has_versions = true;
                    self.versions(serde_json::from_str(value.get()).ok()?, &mut no_versions)
                }
                "unstable_features" if !self.keeps_unstable_features => emptied(value),
                _ => None,
            };
            is_changed |= new.is_some();
            out.push(if out.is_empty() { '{' } else { ',' });
            out.push_str(&serde_json::to_string(key).ok()?);
            out.push(':');
            out.push_str(new.as_deref().unwrap_or_else(|| value.get()));
        }
        out.push('}');
        (has_versions && is_changed).then_some(Clamped { body: out, no_versions })
    }

    /// The list without what is above the highest version; none if all of it stays.
    fn versions(&self, entries: Vec<&RawValue>, no_versions: &mut Vec<String>) -> Option<String> {
        let count = entries.len();
        let mut kept = Vec::with_capacity(count);
        for entry in entries.into_iter().map(RawValue::get) {
            let text: Option<String> = serde_json::from_str(entry).ok();
            match text.and_then(|text| text.parse::<Version>().ok()) {
                Some(version) if version <= self.max => kept.push(entry),
                Some(_) => {}
                None => no_versions.push(entry.to_owned()),
            }
        }
        (kept.len() != count).then(|| format!("[{}]", kept.join(",")))
    }
}

/// An empty object in place of one with content.
fn emptied(value: &RawValue) -> Option<String> {
    let Object(features) = serde_json::from_str(value.get()).ok()?;
    (!features.is_empty()).then(|| "{}".to_owned())
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Object<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Object(entries))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}
