//! JSON objects as they were written, read field by field.

use std::{fmt, marker::PhantomData, ops::RangeInclusive};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use tollgate_sdk::OptionErrors;

/// Members of a JSON object in order, also repeated ones.
#[derive(Debug)]
pub(crate) struct Members<R>(pub(crate) Vec<(String, R)>);

/// What is wrong with a hook, and what is only strange.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Of the hook that is read.
    pub(crate) hook: String,
    /// They refuse the policy, or fail the consultation.
    pub(crate) errors: OptionErrors,
    /// They are logged.
    pub(crate) warnings: Vec<String>,
    /// Whether fields that nobody knows are only strange: in answers of services.
    pub(crate) is_lenient: bool,
}

/// One object, of which fields are taken one after the other.
pub(crate) struct Fields<'d, 'r> {
    /// Of the object, as in `hooks[2].matchRules[0]`.
    path: String,
    members: Vec<(String, &'d RawValue)>,
    report: &'r mut Report,
}

/// How many characters may be wrong in a name for it to be taken for another one.
const NEAR: usize = 2;

impl Report {
    /// Adds an error about this path.
    pub(crate) fn error(&mut self, path: &str, message: impl fmt::Display) {
        self.errors.push(path, format!("hook {:?}: {message}", self.hook));
    }

    /// Adds a warning about this path.
    pub(crate) fn warn(&mut self, path: &str, message: impl fmt::Display) {
        self.warnings.push(format!("{path}: hook {:?}: {message}", self.hook));
    }
}

impl<'d, 'r> Fields<'d, 'r> {
    /// Reads an object; none, and an error, where it is something else.
    pub(crate) fn read(path: impl Into<String>, value: &'d RawValue, report: &'r mut Report) -> Option<Self> {
        let path = path.into();
        let Ok(Members(members)) = serde_json::from_str::<Members<&RawValue>>(value.get()) else {
            report.error(&path, format_args!("must be a JSON object, and is {}", kind(value)));
            return None;
        };
        let mut fields = Self { path, members, report };
        fields.refuse_repeats();
        Some(fields)
    }

    /// The field's value; none where it is missing or `null`.
    pub(crate) fn take(&mut self, name: &str) -> Option<&'d RawValue> {
        self.take_as_written(name).filter(|value| value.get() != "null")
    }

    /// The field's value; none where it is missing.
    pub(crate) fn take_as_written(&mut self, name: &str) -> Option<&'d RawValue> {
        let place = self.members.iter().position(|(member, _)| member == name)?;
        Some(self.members.remove(place).1)
    }

    /// A text.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        self.typed(name, "a string")
    }

    /// A text that has to be there.
    pub(crate) fn needed_text(&mut self, name: &str) -> Option<String> {
        let is_there = self.has(name);
        let text = self.text(name);
        if !is_there {
            self.missing(name);
        }
        text
    }

    /// `true` or `false`. Default: false.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        self.typed(name, "true or false").unwrap_or_default()
    }

    /// A whole number within these bounds, of this unit.
    pub(crate) fn whole(&mut self, name: &str, range: RangeInclusive<u64>, unit: &str) -> Option<u64> {
        let value = self.take(name)?;
        let number = serde_json::from_str(value.get()).ok().filter(|number| range.contains(number));
        if number.is_none() {
            self.error(name, format_args!("must be a whole number{unit} from {} to {}", range.start(), range.end()));
        }
        number
    }

    /// Texts by name, in order.
    pub(crate) fn texts(&mut self, name: &str) -> Option<Vec<(String, String)>> {
        let value = self.take(name)?;
        let Ok(Members(members)) = serde_json::from_str::<Members<String>>(value.get()) else {
            self.error(name, "must be a JSON object whose values are strings");
            return None;
        };
        Some(members)
    }

    /// An object whose values stay as they were written.
    pub(crate) fn members(&mut self, name: &str) -> Option<Vec<(String, Box<RawValue>)>> {
        let value = self.take(name)?;
        let Ok(Members(members)) = serde_json::from_str::<Members<Box<RawValue>>>(value.get()) else {
            self.error(name, format_args!("must be a JSON object, and is {}", kind(value)));
            return None;
        };
        for (key, place) in members.iter().map(|(key, _)| key).zip(0..) {
            if members.iter().take(place).any(|(before, _)| before == key) {
                self.error(name, format_args!("{key:?} is there twice"));
            }
        }
        Some(members)
    }

    /// Whether the field is there and not `null`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.members.iter().any(|(member, value)| member == name && value.get() != "null")
    }

    /// Adds an error about this field.
    pub(crate) fn error(&mut self, name: &str, message: impl fmt::Display) {
        let path = self.path_of(name);
        self.report.error(&path, message);
    }

    /// The field has to be there.
    pub(crate) fn missing(&mut self, name: &str) {
        self.error(name, "is missing");
    }

    /// Adds a warning about this field.
    pub(crate) fn warn(&mut self, name: &str, message: impl fmt::Display) {
        let path = self.path_of(name);
        self.report.warn(&path, message);
    }

    /// Path of a field.
    pub(crate) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Where to report what is in a field.
    pub(crate) const fn report(&mut self) -> &mut Report {
        self.report
    }

    /// No more fields are wanted: those that are left have no effect if they are among `known`, and are errors if not.
    pub(crate) fn finish(mut self, known: &[&str], why_idle: &str) {
        for (name, _) in std::mem::take(&mut self.members) {
            if known.contains(&name.as_str()) {
                self.warn(&name, format_args!("has no effect{why_idle}"));
                continue;
            }
            let near = known.iter().min_by_key(|known| distance(known, &name)).filter(|known| distance(known, &name) <= NEAR);
            let hint = near.map(|near| format!("; {near:?} is meant?")).unwrap_or_default();
            if self.report.is_lenient {
                self.warn(&name, format_args!("unknown field, ignored{hint}"));
            } else {
                self.error(&name, format_args!("unknown field{hint}"));
            }
        }
    }

    fn typed<T: DeserializeOwned>(&mut self, name: &str, wanted: &str) -> Option<T> {
        let value = self.take(name)?;
        let read = serde_json::from_str(value.get()).ok();
        if read.is_none() {
            self.error(name, format_args!("must be {wanted}, and is {}", kind(value)));
        }
        read
    }

    fn refuse_repeats(&mut self) {
        let mut kept: Vec<(String, &RawValue)> = Vec::with_capacity(self.members.len());
        for (name, value) in std::mem::take(&mut self.members) {
            if kept.iter().any(|(before, _)| *before == name) {
                self.error(&name, "is there twice");
            } else {
                kept.push((name, value));
            }
        }
        self.members = kept;
    }
}

/// What kind of JSON a value is, for people.
pub(crate) fn kind(value: &RawValue) -> &'static str {
    match value.get().as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "true or false",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// How many characters have to be added, removed or replaced; case does not count.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().map(|character| character.to_ascii_lowercase()).collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, character) in left.chars().map(|character| character.to_ascii_lowercase()).enumerate() {
        let mut corner = index;
        let mut before = index.saturating_add(1);
        for (cell, other) in row.iter_mut().skip(1).zip(&right) {
            let replaced = corner.saturating_add(usize::from(character != *other));
            corner = *cell;
            before = replaced.min(corner.saturating_add(1)).min(before.saturating_add(1));
            *cell = before;
        }
        if let Some(first) = row.first_mut() {
            *first = index.saturating_add(1);
        }
    }
    row.last().copied().unwrap_or_default()
}

impl<'de, R: Deserialize<'de>> Deserialize<'de> for Members<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<R>(PhantomData<R>);

        impl<'de, R: Deserialize<'de>> Visitor<'de> for Entries<R> {
            type Value = Members<R>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<R>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Entries(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits() {
        for (left, right, edits) in
            [("", "", 0), ("a", "", 1), ("", "ab", 2), ("invert", "Invert", 0), ("regex", "rgex", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(left, right), edits, "{left} {right}");
        }
    }
}
