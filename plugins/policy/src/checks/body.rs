//! Bodies of requests as the homeserver reads them.

use std::borrow::Cow;

use tollgate_sdk::serde_json::{self, Value};

use super::Denied;

/// The body's JSON object.
pub(super) fn object(body: &[u8]) -> Result<Value, Denied> {
    let value = serde_json::from_slice(body).or_else(|_| serde_json::from_slice(&without_lone_surrogates(body)));
    let value: Value = value.map_err(|_| Denied::bad_json("the body is no JSON"))?;
    if value.is_object() { Ok(value) } else { Err(Denied::bad_json("the body is no JSON object")) }
}

/// With U+FFFD in the place of each half of a surrogate pair: Python takes those, and they are in nothing that is looked for.
fn without_lone_surrogates(body: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Vec::new();
    let mut copied = 0;
    let mut place = 0_usize;
    while let Some(rest) = body.get(place..) {
        let Some(next) = rest.iter().position(|byte| *byte == b'\\') else { break };
        let start = place.saturating_add(next);
        place = match (surrogate(body, start), surrogate(body, start.saturating_add(6))) {
            (Some(high), Some(low)) if is_high(high) && !is_high(low) => start.saturating_add(12),
            (Some(_), _) => {
                out.extend_from_slice(body.get(copied..start).unwrap_or_default());
                out.extend_from_slice(b"\\ufffd");
                copied = start.saturating_add(6);
                copied
            }
            (None, _) => start.saturating_add(2),
        };
    }
    if copied == 0 {
        return Cow::Borrowed(body);
    }
    out.extend_from_slice(body.get(copied..).unwrap_or_default());
    Cow::Owned(out)
}

/// The surrogate that is escaped here.
fn surrogate(body: &[u8], start: usize) -> Option<u16> {
    let [b'\\', b'u', digits @ ..] = body.get(start..start.checked_add(6)?)? else { return None };
    let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
    u16::from_str_radix(digits, 16).ok().filter(|unit| (0xd800..0xe000).contains(unit))
}

const fn is_high(unit: u16) -> bool {
    unit < 0xdc00
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_pairs_are_told_from_pairs() {
        for (text, wanted) in [
            (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (r#""\ud83d""#, r#""\ufffd""#),
            (r#""\ude00\ud83d""#, r#""\ufffd\ufffd""#),
            (r#""\uD83D\uD83D\uDE00x""#, r#""\ufffd\uD83D\uDE00x""#),
            (r#""\\ud83d""#, r#""\\ud83d""#),
            (r#""\\\ud83d""#, r#""\\\ufffd""#),
            (r#""\ud83"#, r#""\ud83"#),
            ("\\", "\\"),
            ("", ""),
        ] {
            assert_eq!(without_lone_surrogates(text.as_bytes()), Cow::Borrowed(wanted.as_bytes()), "{text}");
        }
    }

    #[test]
    fn bodies_with_halves_of_pairs_are_judged() {
        assert_eq!(object(br#"{"\ud800":1,"a":"\udc00"}"#).map(|body| body["a"] == "\u{fffd}"), Ok(true));
        assert!(object(br#"{"a":"\ud800"x}"#).is_err() && object(br#""\ud800""#).is_err());
    }
}
