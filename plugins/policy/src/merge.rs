//! Members put into JSON objects, without touching anything else of them.

use std::{collections::BTreeSet, ops::Range};

use serde_json::value::RawValue;

use crate::document::fields::Members;

/// The text is no JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoObject;

/// The object with these members: a value takes the place of the one that is there, the others come at the end, in their order.
///
/// Only the top level is looked at; `null` is a value like any other. All else of the text stays byte for byte: digits of
/// numbers, order of keys, white space. A key that is there several times has each of its values replaced, so that no reader
/// finds the old one.
pub(crate) fn merge(body: &[u8], members: &[(String, Box<RawValue>)]) -> Result<Vec<u8>, NoObject> {
    let text = std::str::from_utf8(body).map_err(|_| NoObject)?;
    let Members(present) = serde_json::from_str::<Members<&RawValue>>(text).map_err(|_| NoObject)?;
    let mut out = String::with_capacity(text.len());
    let mut replaced = BTreeSet::new();
    let mut copied = 0;
    for (key, value) in &present {
        let Some((key, new)) = members.iter().find(|(name, _)| name == key) else { continue };
        let place = place(text, value.get()).ok_or(NoObject)?;
        out.push_str(text.get(copied..place.start).ok_or(NoObject)?);
        out.push_str(new.get());
        copied = place.end;
        replaced.insert(key);
    }
    let rest = text.get(copied..).ok_or(NoObject)?;
    let (before, end) = rest.rsplit_once('}').ok_or(NoObject)?;
    // White space before the brace belongs after what is added.
    let content = before.trim_end();
    out.push_str(content);
    let mut is_empty = present.is_empty();
    for (key, value) in members.iter().filter(|(key, _)| !replaced.contains(key)) {
        if !is_empty {
            out.push(',');
        }
        is_empty = false;
        out.push_str(&serde_json::to_string(key).map_err(|_| NoObject)?);
        out.push(':');
        out.push_str(value.get());
    }
    out.push_str(before.get(content.len()..).ok_or(NoObject)?);
    out.push('}');
    out.push_str(end);
    Ok(out.into_bytes())
}

/// Where in a text a part of it is.
fn place(text: &str, part: &str) -> Option<Range<usize>> {
    let start = (part.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
    let place = start..start.checked_add(part.len())?;
    (text.get(place.clone()) == Some(part)).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn repeated_and_escaped_keys_are_all_replaced() {
        becomes(r#"{"a":1,"\u0061":2,"b":3}"#, r#"{"a":0}"#, r#"{"a":0,"\u0061":0,"b":3}"#);
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
