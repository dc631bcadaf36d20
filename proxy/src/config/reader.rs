//! Reads raw structs from the merged document, with the key of each fault.

use serde::{
    Deserialize, Deserializer,
    de::{self, IntoDeserializer, MapAccess, SeqAccess, Visitor, value::StrDeserializer},
    forward_to_deserialize_any,
};
use toml::Value;

use super::{key::Key, suggest::nearest};

/// Why a document does not fit the structs.
#[derive(Debug)]
pub(super) struct Fault {
    /// Segments of the key, the last one first.
    upwards: Vec<String>,
    /// For people.
    pub(super) problem: String,
    /// Whether the key is wrong, whatever its value.
    is_about_key: bool,
}

impl Fault {
    /// Whether an error should show the value: under a key that nobody knows it may be anything, a secret too.
    pub(super) const fn shows_value(&self) -> bool {
        !self.is_about_key
    }
}

struct Reader<'a>(&'a Value);

struct Entries<'a> {
    rest: toml::map::Iter<'a, String, Value>,
    current: Option<(&'a str, &'a Value)>,
}

struct Items<'a> {
    rest: std::iter::Enumerate<std::slice::Iter<'a, Value>>,
}

/// Reads a document that may be wrong in many places: each fault is reported, and read as if nothing stood there.
pub(super) fn read<T: for<'de> Deserialize<'de> + Default>(document: &Value, mut report: impl FnMut(Key, Fault)) -> T {
    let mut document = document.clone();
    let mut failed = Vec::new();
    loop {
        match T::deserialize(Reader(&document)) {
            Ok(raw) => return raw,
            Err(fault) => {
                let key = Key(fault.upwards.iter().rev().cloned().collect());
                let is_removed = remove(&mut document, &key.0);
                failed.push(key.clone());
                report(key.clone(), fault);
                // Each turn leaves less of the document, or is the last: an item that is wrong as a table and as a string, too,
                // cannot be left out.
                if !is_removed || failed.iter().filter(|other| **other == key).count() > 2 {
                    return T::default();
                }
            }
        }
    }
}

/// Removes the value at a path. In an array something empty takes its place, so that the other items keep their numbers: a
/// table, and if that is what was wrong, a string.
fn remove(value: &mut Value, path: &[String]) -> bool {
    match (value, path) {
        (Value::Table(table), [last]) => table.remove(last).is_some(),
        (Value::Table(table), [first, rest @ ..]) => table.get_mut(first).is_some_and(|below| remove(below, rest)),
        (Value::Array(items), [first, rest @ ..]) => {
            let Some(item) = first.parse::<usize>().ok().and_then(|place| items.get_mut(place)) else { return false };
            if !rest.is_empty() {
                return remove(item, rest);
            }
            let is_table = item.is_table();
            *item = if is_table { Value::String(String::new()) } else { Value::Table(toml::Table::new()) };
            // A string that replaced a table is the end of it.
            true
        }
        _ => false,
    }
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0 {
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Integer(number) => visitor.visit_i64(*number),
            Value::Float(number) if number.is_finite() => visitor.visit_f64(*number),
            Value::Float(_) => Err(de::Error::custom("must be a finite number")),
            Value::Boolean(is_true) => visitor.visit_bool(*is_true),
            Value::Datetime(time) => visitor.visit_string(time.to_string()),
            Value::Array(items) => visitor.visit_seq(Items { rest: items.iter().enumerate() }),
            Value::Table(table) => visitor.visit_map(Entries { rest: table.iter(), current: None }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.0 {
            Value::String(text) => visitor.visit_enum(StrDeserializer::new(text)),
            _ => Err(de::Error::unknown_variant("", variants)),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Fault;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        self.current = self.rest.next().map(|(name, value)| (name.as_str(), value));
        let Some((name, _)) = self.current else { return Ok(None) };
        seed.deserialize(name.into_deserializer()).map(Some).map_err(|fault: Fault| fault.below(name))
    }

    fn next_value_seed<V: de::DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let (name, value) = self.current.ok_or_else(|| <Fault as de::Error>::custom("has no value"))?;
        seed.deserialize(Reader(value)).map_err(|fault| fault.below(name))
    }
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Fault;

    fn next_element_seed<T: de::DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some((place, value)) = self.rest.next() else { return Ok(None) };
        seed.deserialize(Reader(value)).map(Some).map_err(|fault| fault.below(&place.to_string()))
    }
}

impl Fault {
    fn new(problem: String) -> Self {
        Self { upwards: Vec::new(), problem, is_about_key: false }
    }

    fn below(mut self, segment: &str) -> Self {
        self.upwards.push(segment.to_owned());
        self
    }
}

impl de::Error for Fault {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(match expected.to_string().as_str() {
            "a sequence" => "must be an array".to_owned(),
            "a map" => "must be a table".to_owned(),
            "a boolean" => "must be true or false".to_owned(),
            expected => format!("must be {expected}"),
        })
    }

    fn unknown_field(name: &str, known: &'static [&'static str]) -> Self {
        let problem = match nearest(name, known) {
            Some(near) => format!("unknown key; did you mean {near}?"),
            None => format!("unknown key; known here: {}", known.join(", ")),
        };
        Self { upwards: Vec::new(), problem, is_about_key: true }
    }

    fn unknown_variant(name: &str, known: &'static [&'static str]) -> Self {
        let quoted: Vec<_> = known.iter().map(|name| format!("{name:?}")).collect();
        Self::new(match nearest(name, known) {
            Some(near) if !name.is_empty() => format!("must be {}; did you mean {near:?}?", quoted.join(" or ")),
            _ => format!("must be {}", quoted.join(" or ")),
        })
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.problem)
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, default, expecting = "a table")]
    struct Raw {
        name: Option<String>,
        count: Option<u64>,
        mode: Option<Mode>,
        words: Option<Vec<String>>,
        below: Option<Box<Raw>>,
        each: Option<Vec<Raw>>,
        any: Option<serde_json::Value>,
        modes: Option<Vec<Mode>>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        Left,
        Right,
    }

    fn faults(text: &str) -> (Raw, Vec<String>) {
        let mut faults = Vec::new();
        let raw = read(&Value::Table(toml::from_str(text).expect("a document")), |key, fault| {
            faults.push(format!("{key}: {fault}"));
        });
        (raw, faults)
    }

    #[test]
    fn sound_documents_are_read_whole() {
        let (raw, faults) = faults(
            "name = 'n'
count = 3
mode = 'left'
words = ['a']
below.count = 1
[[each]]
name = 'e'",
        );
        assert_eq!(faults, Vec::<String>::new());
        assert_eq!((raw.mode, raw.count, raw.words), (Some(Mode::Left), Some(3), Some(vec!["a".to_owned()])));
    }

    #[test]
    fn every_fault_is_reported_with_its_key() {
        let (raw, mut faults) = faults(
            "name = 3
cuont = 1
mode = 'lift'
words = ['a', 1]
count = 2
[below]
colour = 'x'
[[each]]
[[each]]
count = -1",
        );
        faults.sort();
        faults.dedup_by_key(|fault| fault.split(':').next().map(str::to_owned));
        assert_eq!(
            faults,
            [
                "below.colour: unknown key; known here: name, count, mode, words, below, each, any, modes",
                "cuont: unknown key; did you mean count?",
                "each.1.count: invalid value: integer `-1`, expected u64",
                "mode: must be \"left\" or \"right\"; did you mean \"left\"?",
                "name: must be a string",
                "words.1: must be a string",
            ]
        );
        assert_eq!(raw.count, Some(2));
    }

    #[test]
    fn items_that_are_no_table_keep_their_place() {
        let (raw, faults) = faults("each = [1, { name = 'second' }]");
        assert_eq!(faults, ["each.0: must be a table"]);
        assert_eq!(raw.each.and_then(|mut each| each.pop()).and_then(|last| last.name).as_deref(), Some("second"));
    }

    #[test]
    fn options_become_json() {
        let (raw, faults) = faults("any = { a = [1, 2.5, true, 'x'], t = 2020-01-02 }");
        assert_eq!((raw.any, faults), (Some(serde_json::json!({"a": [1, 2.5, true, "x"], "t": "2020-01-02"})), vec![]));
    }

    #[test]
    fn items_that_cannot_be_left_out_end_the_reading() {
        let (raw, faults) = faults("count = 1\nmodes = ['left', 'up']");
        assert_eq!(raw, Raw::default());
        assert!(faults.iter().all(|fault| fault.starts_with("modes.1: must be \"left\" or \"right\"")), "{faults:?}");
    }

    #[test]
    fn endless_numbers_are_no_options() {
        assert_eq!(faults("any = { a = [1.0, nan] }").1, ["any.a.1: must be a finite number"]);
    }
}
