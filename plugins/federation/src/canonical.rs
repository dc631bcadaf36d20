//! Canonical JSON (Matrix specification, Appendices), which is what signatures are of.

use tollgate_sdk::serde_json::{self, Value};

/// The largest integer that is legal, and the smallest with a minus.
const MAX_INTEGER: i64 = (1 << 53) - 1;

/// The bytes; none where a number is no integer of 53 bits.
pub(crate) fn write(value: &Value) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    append(value, &mut out)?;
    Some(out)
}

/// Its depth is bounded by that of what was read.
fn append(value: &Value, out: &mut Vec<u8>) -> Option<()> {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => serde_json::to_writer(out, value).ok(),
        Value::Number(number) => {
            // The specification has -0 and 1e10 as integers, too.
            let integer = number.as_i64().or_else(|| number.as_f64().and_then(whole))?;
            if !(-MAX_INTEGER..=MAX_INTEGER).contains(&integer) {
                return None;
            }
            out.extend_from_slice(integer.to_string().as_bytes());
            Some(())
        }
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                append(item, out)?;
            }
            out.push(b']');
            Some(())
        }
        Value::Object(fields) => {
            // UTF-8 sorts as code points do.
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            out.push(b'{');
            for (index, (name, value)) in fields.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                serde_json::to_writer(&mut *out, name).ok()?;
                out.push(b':');
                append(value, out)?;
            }
            out.push(b'}');
            Some(())
        }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "what has no fraction and 53 bits is exact")]
fn whole(number: f64) -> Option<i64> {
    let is_whole = number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0;
    is_whole.then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(json: &str) -> Option<String> {
        let value = serde_json::from_str(json).expect(json);
        write(&value).map(|bytes| String::from_utf8(bytes).expect("UTF-8"))
    }

    /// Of the specification.
    #[test]
    fn examples_become_what_is_said_there() {
        for (json, expected) in [
            ("{}", "{}"),
            (r#"{ "one": 1, "two": "Two" }"#, r#"{"one":1,"two":"Two"}"#),
            (r#"{ "b": "2", "a": "1" }"#, r#"{"a":"1","b":"2"}"#),
            (r#"{"b":"2","a":"1"}"#, r#"{"a":"1","b":"2"}"#),
            (
                r#"{ "auth": { "success": true, "mxid": "@john.doe:example.com", "profile": { "display_name": "John Doe",
                    "three_pids": [ { "medium": "email", "address": "john.doe@example.org" },
                    { "medium": "msisdn", "address": "123456789" } ] } } }"#,
                r#"{"auth":{"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":[{"address":"john.doe@example.org","medium":"email"},{"address":"123456789","medium":"msisdn"}]},"success":true}}"#,
            ),
            (r#"{ "a": "日本語" }"#, r#"{"a":"日本語"}"#),
            (r#"{ "本": 2, "日": 1 }"#, r#"{"日":1,"本":2}"#),
            (r#"{ "a": "\u65E5" }"#, r#"{"a":"日"}"#),
            (r#"{ "a": null }"#, r#"{"a":null}"#),
            (r#"{ "a": -0, "b": 1e10 }"#, r#"{"a":0,"b":10000000000}"#),
        ] {
            assert_eq!(canonical(json).as_deref(), Some(expected), "{json}");
        }
    }

    #[test]
    fn characters_are_escaped_where_they_have_to_be() {
        let json = r#"{"a":"\"\\\/\b\f\n\r\t\u0001\u001F\u007f\ud83d\ude00"}"#;
        let expected = "{\"a\":\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\u{7f}\u{1f600}\"}";
        assert_eq!(canonical(json).as_deref(), Some(expected));
    }

    #[test]
    fn numbers_are_integers_of_53_bits() {
        for (json, is_legal) in [
            ("9007199254740991", true),
            ("-9007199254740991", true),
            ("9007199254740992", false),
            ("-9007199254740992", false),
            ("18446744073709551616", false),
            ("1.5", false),
        ] {
            assert_eq!(canonical(json).is_some(), is_legal, "{json}");
            assert_eq!(canonical(&format!("{{\"a\":[{json}]}}")).is_some(), is_legal, "{json}");
        }
    }
}
