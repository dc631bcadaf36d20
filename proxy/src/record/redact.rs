//! Taking credentials out of what is recorded. What is left is as it was, so that it still shows what was sent.

mod json;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::secret::{REDACTED, is_secret, letters};

pub(super) use json::json;

/// What stands in place of a secret in a URL or a form, where brackets would be no legal ones.
const IN_URL: &str = "***";
/// Parameters that hold a secret beside those that are secrets by [`is_secret`]; letters alone.
const PARAMETERS: [&str; 8] = ["assertion", "auth", "code", "codeverifier", "jwt", "pwd", "sig", "signature"];
/// Fields that hold one.
const FIELDS: [&str; 3] = ["sec-websocket-protocol", "authentication-info", "proxy-authentication-info"];
/// Fields whose values are about secrets and none.
const HARMLESS: [&str; 4] =
    ["access-control-allow-credentials", "access-control-expose-headers", "sec-websocket-key", "idempotency-key"];
/// Where a value of a parameter ends.
const VALUE_END: [char; 10] = ['&', '#', '"', '\'', '<', '>', '\\', ' ', '\t', '\n'];
/// Where the authority of a URL ends.
const AUTHORITY_END: [char; 11] = ['/', '?', '#', '"', '\'', '<', '>', '\\', ' ', '\t', '\n'];
/// Bytes of the name of a parameter that is looked at.
const MAX_NAME: usize = 128;

/// A header field's value.
pub(super) fn field(name: &str, value: &[u8]) -> String {
    let name = name.to_ascii_lowercase();
    let is_withheld = FIELDS.contains(&name.as_str()) || (is_secret(&name) && !HARMLESS.contains(&name.as_str()));
    if is_withheld { REDACTED.to_owned() } else { text(&String::from_utf8_lossy(value)).into_owned() }
}

/// Whether a parameter of a query or a form of this name, percent-decoded, holds a secret.
pub(super) fn is_secret_parameter(name: &str) -> bool {
    is_secret(name) || PARAMETERS.contains(&letters(name).as_str())
}

/// A form (`application/x-www-form-urlencoded`).
pub(super) fn form(input: &str) -> String {
    // The first parameter has nothing before it that would tell it from other text.
    let marked = format!("&{input}");
    text(&marked).get(1..).unwrap_or_default().to_owned()
}

/// Text of any kind: secrets in parameters, and users in URLs.
pub(super) fn text(input: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut rest = input;
    while let Some(at) = rest.find(['?', '&', '#', ';', ':']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let length = if from.starts_with(':') { user(from, &mut out) } else { parameter(from, &mut out) };
        rest = from.get(length..).unwrap_or_default();
    }
    if out.is_empty() {
        return Cow::Borrowed(input);
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Writes what stands at the beginning of a parameter's name; tells how much of the input that was.
fn parameter(from: &str, out: &mut String) -> usize {
    let mark = from.len().min(1);
    let name = from.get(mark..).unwrap_or_default();
    let end = name.find(|character: char| VALUE_END.contains(&character) || "=?;".contains(character)).unwrap_or(name.len());
    let is_named = end > 0 && end <= MAX_NAME && name.get(end..).is_some_and(|rest| rest.starts_with('='));
    let name = name.get(..end).unwrap_or_default();
    if !is_named || !is_secret_parameter(&percent_decode_str(name).decode_utf8_lossy()) {
        out.push_str(from.get(..mark).unwrap_or_default());
        return mark;
    }
    let start = mark + end + 1;
    let value = from.get(start..).unwrap_or_default();
    let length = value.find(VALUE_END).unwrap_or(value.len());
    out.push_str(from.get(..start).unwrap_or_default());
    out.push_str(if length > 0 { IN_URL } else { "" });
    start + length
}

/// The same for what may be the `://` of a URL.
fn user(from: &str, out: &mut String) -> usize {
    let Some(authority) = from.strip_prefix("://") else {
        out.push(':');
        return 1;
    };
    out.push_str("://");
    let end = authority.find(AUTHORITY_END).unwrap_or(authority.len());
    let at = authority.get(..end).and_then(|authority| authority.rfind('@'));
    if at.is_some() {
        out.push_str(IN_URL);
    }
    3 + at.unwrap_or_default()
}

/// Text in lines that may hold JSON, as events do and scripts.
pub(super) fn lines(input: &str) -> String {
    input.split_inclusive('\n').map(json).collect()
}
