//! JSON objects that are looked at and edited as they were written: what is not edited keeps its bytes.

use std::fmt;

use serde::{
    Deserialize,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::refusal::Refused;

/// An object, with the text of each value.
#[derive(Debug, Clone)]
pub(crate) struct Object<'a> {
    text: &'a str,
    entries: Vec<(String, &'a str)>,
}

/// A JSON object's entries, also those whose key comes again.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Object<'a> {
    /// A whole body.
    ///
    /// # Errors
    ///
    /// `M_BAD_JSON` where it is anything but one JSON object in UTF-8.
    pub(crate) fn of_body(body: &'a [u8]) -> Result<Self, Refused> {
        let text = std::str::from_utf8(body).map_err(|_| Refused::bad_json("the body is not UTF-8"))?;
        Self::read(text).ok_or_else(|| Refused::bad_json("the body is no JSON object"))
    }

    /// None where it is no object.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        // Serde would read a struct, not a map, from a list; this can't, and says so itself.
        let Entries(entries) = serde_json::from_str(text).ok()?;
        Some(Self { text, entries: entries.into_iter().map(|(key, value)| (key, value.get())).collect() })
    }

    /// The text of a value; none where there is none, or it is null.
    ///
    /// # Errors
    ///
    /// `M_BAD_JSON` where the key comes twice: one server takes the first, another the last.
    pub(crate) fn get(&self, key: &str) -> Result<Option<&'a str>, Refused> {
        let mut values = self.entries.iter().filter(|(name, _)| name == key).map(|(_, value)| *value);
        let value = values.next();
        if values.next().is_some() {
            return Err(Refused::bad_json(format!("the key {key:?} is there twice")));
        }
        Ok(value.filter(|value| *value != "null"))
    }

    /// Whether there is a value, be it null.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, _)| name == key)
    }

    /// A value that is a string; none where it is something else.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub(crate) fn string(&self, key: &str) -> Result<Option<String>, Refused> {
        Ok(self.get(key)?.and_then(|value| serde_json::from_str(value).ok()))
    }

    /// A value that is an object; none where it is something else.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub(crate) fn object(&self, key: &str) -> Result<Option<Self>, Refused> {
        Ok(self.get(key)?.and_then(Self::read))
    }

    /// The texts of the items of a value that is a list; none where there is none.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), and `M_BAD_JSON` where it is something else.
    pub(crate) fn list(&self, key: &str) -> Result<Option<Vec<&'a str>>, Refused> {
        let Some(value) = self.get(key)? else { return Ok(None) };
        let items: Vec<&RawValue> = serde_json::from_str(value).map_err(|_| Refused::bad_json(format!("{key:?} is no list")))?;
        Ok(Some(items.into_iter().map(RawValue::get).collect()))
    }

    /// The text of the object with this value, in its place or at the start.
    pub(crate) fn with(&self, key: &str, value: &str) -> String {
        let found = self.entries.iter().find(|(name, _)| name == key).and_then(|(_, old)| self.place(old).zip(Some(old.len())));
        let (before, after, new) = if let Some((start, length)) = found {
            (start, start.saturating_add(length), value.to_owned())
        } else {
            let start = self.text.find('{').map_or(0, |brace| brace.saturating_add(1));
            let comma = if self.entries.is_empty() { "" } else { "," };
            // A string always has a JSON.
            let key = serde_json::to_string(key).unwrap_or_default();
            (start, start, format!("{key}:{value}{comma}"))
        };
        let part = |range: std::ops::Range<usize>| self.text.get(range).unwrap_or_default();
        format!("{}{new}{}", part(0..before), part(after..self.text.len()))
    }

    /// Where in the text this part of it starts.
    fn place(&self, part: &str) -> Option<usize> {
        (part.as_ptr() as usize).checked_sub(self.text.as_ptr() as usize)
    }
}

/// The length of a JSON string in UTF-16 code units, as JavaScript and Java count; none where it is no string.
pub(crate) fn utf16_len(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    let mut units = 0_usize;
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        if character == '\\' {
            // `\uXXXX` is one unit, half of a pair or not; each other escape is one character.
            if characters.next() == Some('u') {
                characters.by_ref().take(4).for_each(drop);
            }
            units = units.saturating_add(1);
        } else {
            units = units.saturating_add(character.len_utf16());
        }
    }
    Some(units)
}

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;

        impl<'de> Visitor<'de> for Reading {
            type Value = Entries<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(Reading)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_leave_all_other_bytes() {
        let text = " { \"a\" : 1.50e+3, \"b\":{ \"c\":[ ] } ,\"\\u0064\":12345678901234567890 } ";
        let object = Object::read(text).expect("an object");
        assert_eq!(object.with("b", "2"), " { \"a\" : 1.50e+3, \"b\":2 ,\"\\u0064\":12345678901234567890 } ");
        assert_eq!(object.with("d", "2"), " { \"a\" : 1.50e+3, \"b\":{ \"c\":[ ] } ,\"\\u0064\":2 } ");
        assert_eq!(object.with("e", "2"), text.replacen("{ ", "{\"e\":2, ", 1));
        assert_eq!(Object::read("{ }").map(|object| object.with("e", "2")).as_deref(), Some("{\"e\":2 }"));
    }

    #[test]
    fn keys_that_come_twice_have_no_value() {
        let object = Object::read(r#"{"a":1,"b":2,"\u0061":3,"c":null}"#).expect("an object");
        assert!(object.get("a").is_err());
        assert_eq!((object.get("b"), object.get("c"), object.get("d")), (Ok(Some("2")), Ok(None), Ok(None)));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for body in
            [&b""[..], b"[]", b"null", b"\"{}\"", b"{}{}", b"{\"a\":}", b"{a:1}", b"\xef\xbb\xbf{}", b"{\"a\":\"\xff\"}", b"{"]
        {
            assert!(Object::of_body(body).is_err(), "{}", String::from_utf8_lossy(body));
        }
        // Half of a surrogate pair in a value is for the homeserver to judge.
        assert!(Object::of_body(br#"{"a":"\ud800"}"#).is_ok());
    }

    #[test]
    fn lengths_are_in_utf16() {
        for (text, units) in [
            (r#""""#, Some(0)),
            (r#""abc""#, Some(3)),
            ("\"\u{e4}\u{20ac}\"", Some(2)),
            ("\"\u{1f600}\"", Some(2)),
            (r#""\ud83d\ude00""#, Some(2)),
            (r#""\ud83d""#, Some(1)),
            (r#""\n\"\\\u0041x""#, Some(5)),
            ("1", None),
        ] {
            assert_eq!(utf16_len(text), units, "{text}");
        }
    }
}
