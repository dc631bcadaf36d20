//! Members put into JSON objects, without touching anything else of them.

use std::{collections::BTreeMap, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The text is no JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoObject;

/// Members that are still to be merged, as if each had been merged when it came.
#[derive(Debug, Default)]
pub(crate) struct Additions {
    members: Vec<(String, Box<RawValue>)>,
    places: BTreeMap<String, usize>,
}

/// An object that is read from its start and written anew, in spans.
struct Merging<'m, 'd> {
    text: &'d str,
    members: &'m [(String, Box<RawValue>)],
    places: BTreeMap<&'m [u8], usize>,
    /// Of the members that are new, which are in the text.
    found: Vec<bool>,
    out: String,
    /// The text up to here is written, or left out.
    copied: usize,
    /// Where the last value ends.
    end: usize,
    is_empty: bool,
}

/// A key, as the place of the new member that has it.
struct Key<'p, 'm>(&'p BTreeMap<&'m [u8], usize>);

/// The object with these members: a value takes the place of the one that is there, the others come at the end, in their order.
///
/// Only the top level is looked at; `null` is a value like any other. All else of the text stays byte for byte: digits of
/// numbers, order of keys, white space. Of a key that is there several times the first is kept, so that no reader finds an old
/// value and what comes out is hardly longer than what went in.
pub(crate) fn merge(body: &[u8], members: &[(String, Box<RawValue>)]) -> Result<Vec<u8>, NoObject> {
    let text = std::str::from_utf8(body).map_err(|_| NoObject)?;
    let added: usize = members.iter().map(|(key, value)| key.len().saturating_add(value.get().len()).saturating_add(8)).sum();
    let merging = Merging {
        text,
        members,
        places: members.iter().zip(0..).map(|((key, _), place)| (key.as_bytes(), place)).collect(),
        found: vec![false; members.len()],
        out: String::with_capacity(text.len().saturating_add(added)),
        copied: 0,
        end: 0,
        is_empty: true,
    };
    let mut reader = serde_json::Deserializer::from_str(text);
    let merged = reader.deserialize_map(merging).map_err(|_| NoObject)?;
    reader.end().map_err(|_| NoObject)?;
    merged.finish().ok_or(NoObject)
}

impl Additions {
    pub(crate) const fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(crate) fn members(&self) -> &[(String, Box<RawValue>)] {
        &self.members
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Later values take the place of earlier ones.
    pub(crate) fn extend(&mut self, members: &[(String, Box<RawValue>)]) {
        for (key, value) in members {
            let place = self.places.get(key).and_then(|place| self.members.get_mut(*place));
            if let Some((_, before)) = place {
                before.clone_from(value);
            } else {
                self.places.insert(key.clone(), self.members.len());
                self.members.push((key.clone(), value.clone()));
            }
        }
    }
}

impl<'d> Merging<'_, 'd> {
    /// Takes the next member of the text; none where spans are not what they have to be.
    fn take(&mut self, place: Option<usize>, value: &'d RawValue) -> Option<()> {
        let start = (value.get().as_ptr() as usize).checked_sub(self.text.as_ptr() as usize)?;
        let end = start.checked_add(value.get().len())?;
        if let Some(place) = place {
            let is_found = self.found.get_mut(place)?;
            if std::mem::replace(is_found, true) {
                // With the comma before its key.
                self.out.push_str(self.text.get(self.copied..self.end)?);
            } else {
                self.out.push_str(self.text.get(self.copied..start)?);
                self.out.push_str(self.members.get(place)?.1.get());
            }
            self.copied = end;
        }
        self.end = end;
        self.is_empty = false;
        Some(())
    }

    /// Writes the rest.
    fn finish(mut self) -> Option<Vec<u8>> {
        let rest = self.text.get(self.copied..)?;
        let (before, end) = rest.rsplit_once('}')?;
        // White space before the brace belongs after what is added.
        let content = before.trim_end();
        self.out.push_str(content);
        for ((key, value), _) in self.members.iter().zip(&self.found).filter(|(_, is_found)| !**is_found) {
            if !self.is_empty {
                self.out.push(',');
            }
            self.is_empty = false;
            self.out.push_str(&serde_json::to_string(key).ok()?);
            self.out.push(':');
            self.out.push_str(value.get());
        }
        self.out.push_str(before.get(content.len()..)?);
        self.out.push('}');
        self.out.push_str(end);
        Some(self.out.into_bytes())
    }
}

impl<'d> Visitor<'d> for Merging<'_, 'd> {
    type Value = Self;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'d>>(mut self, mut map: A) -> Result<Self, A::Error> {
        while let Some(place) = map.next_key_seed(Key(&self.places))? {
            let value: &'d RawValue = map.next_value()?;
            self.take(place, value).ok_or_else(|| A::Error::custom("a span"))?;
        }
        Ok(self)
    }
}

impl<'d> DeserializeSeed<'d> for Key<'_, '_> {
    type Value = Option<usize>;

    // As bytes: half a surrogate pair is text to some readers, and no key of a policy.
    fn deserialize<D: Deserializer<'d>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_bytes(self)
    }
}

impl Visitor<'_> for Key<'_, '_> {
    type Value = Option<usize>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        self.visit_bytes(key.as_bytes())
    }

    fn visit_bytes<E: Error>(self, key: &[u8]) -> Result<Self::Value, E> {
        Ok(self.0.get(key).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::fields::Members;

    fn merged(body: &str, members: &str) -> Option<String> {
        let Members(members) = serde_json::from_str(members).unwrap();
        merge(body.as_bytes(), &members).ok().map(|text| String::from_utf8(text).unwrap())
    }

    #[track_caller]
    fn becomes(body: &str, members: &str, wanted: &str) {
        assert_eq!(merged(body, members).as_deref(), Some(wanted), "{body} with {members}");
    }

    #[test]
    fn values_are_replaced_in_place() {
        becomes(r#"{"a":1,"b":{"c":2},"d":3}"#, r#"{"b":"x"}"#, r#"{"a":1,"b":"x","d":3}"#);
        becomes("{ \"a\" : 1 ,\n\t\"b\" : [ ] }", r#"{"a":{"z":1,"a":2}}"#, "{ \"a\" : {\"z\":1,\"a\":2} ,\n\t\"b\" : [ ] }");
    }

    #[test]
    fn new_members_come_last_in_order() {
        becomes(r#"{"b":1}"#, r#"{"z":1,"a":2}"#, r#"{"b":1,"z":1,"a":2}"#);
        becomes("{}", r#"{"a":1}"#, r#"{"a":1}"#);
        becomes(" { } \n", r#"{"a":1}"#, " {\"a\":1 } \n");
        becomes("{\n  \"a\": 1\n}\n", r#"{"a":0,"b":2}"#, "{\n  \"a\": 0,\"b\":2\n}\n");
    }

    #[test]
    fn nothing_else_changes() {
        let body = r#"{"n":12345678901234567890,"f":1.0e+5,"s":"<&>\u00e4","z":null,"a":{"y":1,"b":2.50},"o":"}"}"#;
        becomes(body, "{}", body);
        becomes(body, r#"{"k":0.10}"#, &format!("{},\"k\":0.10}}", &body[..body.len() - 1]));
    }

    #[test]
    fn null_is_stored() {
        becomes(r#"{"a":1}"#, r#"{"a":null,"b":null}"#, r#"{"a":null,"b":null}"#);
    }

    #[test]
    fn no_repeated_key_keeps_an_old_value() {
        becomes(r#"{"a":1,"\u0061":2,"b":3}"#, r#"{"a":0}"#, r#"{"a":0,"b":3}"#);
        becomes(r#"{"a":1, "a":2 , "b":3,"a":4 }"#, r#"{"a":0,"c":1}"#, r#"{"a":0 , "b":3,"c":1 }"#);
        becomes(r#"{"b":1,"b":2}"#, r#"{"a":0}"#, r#"{"b":1,"b":2,"a":0}"#);
    }

    #[test]
    fn repeated_keys_do_not_multiply_what_is_injected() {
        let body = format!("{{{}\"\":1}}", "\"\":1,".repeat(100_000));
        let value = format!("\"{}\"", "x".repeat(10_000));
        becomes(&body, &format!("{{\"\":{value}}}"), &format!("{{\"\":{value}}}"));
    }

    #[test]
    fn lone_surrogates_are_no_obstacle() {
        becomes(r#"{"\ud800":"\udc00","a":1}"#, r#"{"a":0}"#, r#"{"\ud800":"\udc00","a":0}"#);
    }

    #[test]
    fn additions_are_what_merging_each_would_be() {
        let body = r#"{"b":0}"#;
        let rounds = [r#"{"z":1,"b":1}"#, r#"{"a":2,"z":2}"#, r#"{"b":3}"#];
        let mut one_by_one = body.to_owned();
        let mut additions = Additions::default();
        for round in rounds {
            one_by_one = merged(&one_by_one, round).unwrap();
            let Members(members) = serde_json::from_str(round).unwrap();
            additions.extend(&members);
        }
        let at_once = merge(body.as_bytes(), additions.members()).unwrap();
        assert_eq!((one_by_one.as_str(), at_once.as_slice()), (r#"{"b":3,"z":2,"a":2}"#, one_by_one.as_bytes()));
    }

    #[test]
    fn keys_are_escaped() {
        becomes("{}", r#"{"\"\n":1}"#, r#"{"\"\n":1}"#);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for body in ["", " ", "null", "[]", "1", "\"{}\"", "{", "{}x", "{\"a\":}", "{\"a\":1,}", "{}{}", "a=b", "\u{feff}{}"] {
            assert_eq!(merged(body, r#"{"a":1}"#), None, "{body}");
        }
        assert_eq!(merge(b"{\"a\":\"\xff\"}", &[]), Err(NoObject));
    }
}
