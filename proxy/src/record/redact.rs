//! Taking credentials out of what is recorded. What is left is as it was, so that it still shows what was sent.

mod json;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, cell::Cell};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

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
/// Where a parameter may begin, or the authority of a URL.
const MARKS: [char; 5] = ['?', '&', '#', ';', ':'];
/// Bytes of the name of a parameter that is looked at.
const MAX_NAME: usize = 128;
/// How deep documents within texts of documents, and values that are percent-encoded, are looked into; what is deeper is replaced
/// whole.
const DEPTH: usize = 4;
/// How many times its length is looked at of a text, codings taken off, and how much of any; what is coded in it beyond that is
/// replaced whole.
const WORK: usize = 16;
const MIN_WORK: usize = 4 << 10;
/// What is percent-encoded where a value is written anew.
const CODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'*').remove(b'/');

/// How far is looked.
#[derive(Debug, Clone, Copy)]
struct Look<'a> {
    /// Documents and codings within others that are left.
    depth: usize,
    /// Bytes that are left.
    left: &'a Cell<usize>,
    /// Whether the text asks for a token (RFC 6749, 4.1.3): then its `code` is a secret.
    is_grant: bool,
}

impl<'a> Look<'a> {
    /// All of this text.
    fn at(input: &str, left: &'a Cell<usize>) -> Self {
        Self { depth: DEPTH, left, is_grant: input.contains("grant_type") }
    }

    /// Into something within; none where that is too deep.
    fn deeper(self) -> Option<Self> {
        self.depth.checked_sub(1).map(|depth| Self { depth, ..self })
    }

    /// Whether so many bytes more may be looked at. What has no room takes all that is left, so that many of that kind cost nothing.
    fn has_left(self, bytes: usize) -> bool {
        let left = self.left.get().checked_sub(bytes);
        self.left.set(left.unwrap_or_default());
        left.is_some()
    }
}

/// The bytes that may be looked at within a text.
fn work(input: &str) -> Cell<usize> {
    Cell::new(input.len().saturating_mul(WORK).saturating_add(MIN_WORK))
}

/// What ends names, values and authorities of URLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// The text is one URL, one form, one value: what stands in it by right, and nothing else.
    Whole,
    /// Anything may follow them, after a space.
    Free,
}

impl Ends {
    fn has(self, character: char) -> bool {
        self == Self::Free && character.is_whitespace()
    }

    /// Whether a name of a parameter ends there.
    fn ends_name(self, character: char) -> bool {
        matches!(character, '=' | '&' | '?' | '#' | ';') || self.has(character) || (self == Self::Free && character == '"')
    }

    /// How long a value is. What is quoted in it is part of it, even with a space; so is a fragment behind it.
    fn value_len(self, value: &str) -> usize {
        let mut place = 0;
        while let Some(from) = value.get(place..) {
            let end =
                from.find(|character: char| character == '&' || self.has(character) || (self == Self::Free && character == '"'));
            let Some(end) = end else { break };
            let at = from.get(end..).unwrap_or_default();
            if !at.starts_with('"') {
                return place + end;
            }
            place += end + json::text_len(at);
        }
        value.len()
    }
}

/// A header field's value.
pub(super) fn field(name: &str, value: &[u8]) -> String {
    let name = name.to_ascii_lowercase();
    // Codes in fields are mostly those of errors.
    let is_part = |part: &str| (is_secret_parameter(part) && part != "code") || matches!(part, "dpop" | "session");
    let is_named = FIELDS.contains(&name.as_str()) || is_secret(&name) || name.split('-').any(is_part);
    let is_withheld = is_named && !HARMLESS.contains(&name.as_str());
    if is_withheld { REDACTED.to_owned() } else { text(&String::from_utf8_lossy(value)).into_owned() }
}

/// Whether a parameter of a query or a form of this name, percent-decoded, holds a secret.
pub(super) fn is_secret_parameter(name: &str) -> bool {
    is_secret(name) || PARAMETERS.contains(&letters(name).as_str())
}

/// A form (`application/x-www-form-urlencoded`).
pub(super) fn form(input: &str) -> String {
    json::document(&text(input))
}

/// Text that is one URL, one form or one value: secrets in parameters, and users in URLs. A value of a secret ends at `&` alone:
/// what nobody escaped is part of it. The start is the start of a parameter.
pub(super) fn text(input: &str) -> Cow<'_, str> {
    let left = work(input);
    text_within(input, Look::at(input, &left))
}

/// The same, with so much left that is looked into.
fn text_within<'a>(input: &'a str, look: Look<'_>) -> Cow<'a, str> {
    let mut out = String::new();
    let mut seen = Seen::default();
    let mut taken = parameter(input, 0, Ends::Whole, look, &mut seen, &mut out);
    if taken == 0 {
        // No parameter: what stands before the first one, as a path does.
        let path = input.get(..input.find(['?', '#', '&']).unwrap_or(input.len())).unwrap_or_default();
        if let Some(redacted) = coded(path, look) {
            out.push_str(&redacted);
            taken = path.len();
        }
    }
    let mut rest = input.get(taken..).unwrap_or_default();
    while let Some(at) = rest.find(MARKS) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        rest = from.get(mark(from, Ends::Whole, look, &mut seen, &mut out)..).unwrap_or_default();
    }
    if out.is_empty() {
        return Cow::Borrowed(input);
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The last value in which nothing was found.
#[derive(Debug, Default)]
struct Seen {
    /// Bytes of the input behind it.
    behind: Option<usize>,
}

/// Whether text begins as forms do.
fn begins_as_form(input: &str) -> bool {
    let start = input.trim_start();
    let end = start.find(|character: char| Ends::Free.ends_name(character) || "<>{}()[]'`,".contains(character));
    end.is_some_and(|end| end > 0 && end <= MAX_NAME && start.get(end..).is_some_and(|rest| rest.starts_with('=')))
}

/// Writes what stands at one of [`MARKS`], and what belongs to it if that is secret; tells how much of the input that was.
fn mark(from: &str, ends: Ends, look: Look<'_>, seen: &mut Seen, out: &mut String) -> usize {
    if from.starts_with(':') { user(from, ends, out) } else { parameter(from, 1, ends, look, seen, out) }
}

/// The same for what is a parameter, perhaps, behind a mark of so many bytes.
fn parameter(from: &str, mark: usize, ends: Ends, look: Look<'_>, seen: &mut Seen, out: &mut String) -> usize {
    let name = from.get(mark..).unwrap_or_default();
    let end = name.find(|character| ends.ends_name(character)).unwrap_or(name.len());
    let is_named = end > 0 && end <= MAX_NAME && name.get(end..).is_some_and(|rest| rest.starts_with('='));
    let name = name.get(..end).unwrap_or_default();
    let start = mark + end + 1;
    let rest = from.get(start..).unwrap_or_default();
    if is_named && is_secret_parameter(&percent_decode_str(name).decode_utf8_lossy()) {
        let length = ends.value_len(rest);
        out.push_str(from.get(..start).unwrap_or_default());
        out.push_str(if length > 0 { IN_URL } else { "" });
        return start + length;
    }
    if is_named && let Some((redacted, length)) = value(rest, ends, look, seen) {
        out.push_str(from.get(..start).unwrap_or_default());
        out.push_str(&redacted);
        return start + length;
    }
    out.push_str(from.get(..mark).unwrap_or_default());
    mark
}

/// The value that begins there without the secrets that are coded in it, and its length; none where there are none.
///
/// Of what was looked at as the end of another value, only what comes before the next parameter is looked at again: as the
/// beginning of a value it may be something else.
fn value(rest: &str, ends: Ends, look: Look<'_>, seen: &mut Seen) -> Option<(String, usize)> {
    let Some(again) = seen.behind.and_then(|behind| rest.len().checked_sub(behind)).filter(|again| *again > 0) else {
        let length = ends.value_len(rest);
        let redacted = coded(rest.get(..length)?, look);
        seen.behind = Some(rest.len() - length);
        return Some((redacted?, length));
    };
    let again = rest.get(..again)?;
    let piece = again.split(['?', '&', '#', ';']).next().unwrap_or(again);
    let begins = piece.get(..piece.len().min(3)).unwrap_or_default();
    let is_document = ["%7B", "%5B", "{", "["].iter().any(|start| begins.to_ascii_uppercase().starts_with(start));
    if is_document && !look.has_left(again.len()) {
        return Some((IN_URL.to_owned(), ends.value_len(rest)));
    }
    coded(if is_document { again } else { piece }, look)?;
    let length = ends.value_len(rest);
    Some((coded(rest.get(..length)?, look).unwrap_or_else(|| IN_URL.to_owned()), length))
}

/// A value that holds secrets once it is percent-decoded, as the URL of another does, without them; none where it holds none.
fn coded(value: &str, look: Look<'_>) -> Option<String> {
    if !value.contains('%') {
        return None;
    }
    if !look.has_left(value.len()) {
        return Some(IN_URL.to_owned());
    }
    let decoded = percent_decode_str(value).decode_utf8_lossy();
    if decoded == value {
        return None;
    }
    let Some(look) = look.deeper() else { return Some(IN_URL.to_owned()) };
    let redacted = if decoded.trim_start().starts_with(['{', '[']) {
        Cow::Owned(json::within(&decoded, look))
    } else {
        text_within(&decoded, look)
    };
    (redacted != decoded).then(|| utf8_percent_encode(&redacted, CODED).to_string())
}

/// The same for what may be the `://` of a URL.
fn user(from: &str, ends: Ends, out: &mut String) -> usize {
    let Some(authority) = from.strip_prefix("://") else {
        out.push(':');
        return 1;
    };
    out.push_str("://");
    let end = authority.find(|character| matches!(character, '/' | '?' | '#') || ends.has(character));
    let at = authority.get(..end.unwrap_or(authority.len())).and_then(|authority| authority.rfind('@'));
    if at.is_some() {
        out.push_str(IN_URL);
    }
    3 + at.unwrap_or_default()
}

/// Text in lines that may hold JSON, as events do and scripts.
pub(super) fn lines(input: &str) -> String {
    input.split_inclusive('\n').map(json).collect()
}
