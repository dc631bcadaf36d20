//! Secrets in JSON: found by the names of members, also in a document that is cut, broken, or in a text within another.

use super::{Ends, Look, MARKS, MAX_NAME, REDACTED, Seen, begins_as_form, form, letters, mark, text_within, work};

/// Names of members that hold a secret, letters and digits alone: whole ones, parts, ends.
const WHOLE: [&str; 10] =
    ["assertion", "bearer", "clientassertion", "codeverifier", "jwt", "private", "pwd", "sessionkey", "sig", "signature"];
const PARTS: [&str; 9] =
    ["password", "passwd", "passphrase", "secret", "credential", "authorization", "apikey", "privatekey", "cookie"];
const ENDS: [&str; 2] = ["token", "tokens"];

/// The document with secrets replaced, and everything else as it was written. What begins as a form is one.
pub(in crate::record) fn json(input: &str) -> String {
    if begins_as_form(input) { form(input) } else { document(input) }
}

/// The same for what is no form, or was looked at as one.
pub(super) fn document(input: &str) -> String {
    let left = work(input);
    within(input, Look::at(input, &left))
}

/// The same, with so much left that is looked into.
pub(super) fn within(input: &str, look: Look<'_>) -> String {
    let mut seen = Seen::default();
    let mut out = String::with_capacity(input.len());
    let mut rest = input;
    while let Some(at) = rest.find(|character| matches!(character, '"' | '\'') || MARKS.contains(&character)) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        if from.starts_with('\'') {
            rest = from.get(single(from, &mut out)..).unwrap_or_default();
            continue;
        }
        if !from.starts_with('"') {
            rest = from.get(mark(from, Ends::Free, look, &mut seen, &mut out)..).unwrap_or_default();
            continue;
        }
        let (quoted, after) = from.split_at(text_len(from));
        let value = after.trim_start().strip_prefix(':').map(str::trim_start);
        match value {
            Some(value) if is_secret_member(&unescaped(quoted)) || (look.is_grant && quoted == "\"code\"") => {
                let (kept, value) = from.split_at(from.len() - value.len());
                out.push_str(kept);
                let (secret, after) = value.split_at(value_len(value));
                // A switch is no secret, whatever it is about.
                let is_shown = matches!(secret, "" | "null" | "true" | "false");
                out.push_str(if is_shown { secret } else { "\"[redacted]\"" });
                rest = after;
            }
            _ => {
                string(quoted, look, &mut out);
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// Writes what stands at a single quote, as programs print what they would send: the name of a member that holds a secret, and
/// without it the secret, else the quote alone; tells how much of the input that was.
fn single(from: &str, out: &mut String) -> usize {
    let member = || {
        let name = from.get(1..)?.split(['\'', '\n']).next().filter(|name| name.len() <= MAX_NAME)?;
        let value = from.get(name.len() + 1..)?.strip_prefix('\'')?.trim_start().strip_prefix(':')?.trim_start();
        is_secret_member(&unescaped(&format!("\"{name}\""))).then_some(value)
    };
    let Some(value) = member() else {
        out.push('\'');
        return 1;
    };
    let start = from.len() - value.len();
    out.push_str(from.get(..start).unwrap_or_default());
    let secret = value.get(..value_len(value)).unwrap_or_default();
    // As a switch in JSON, or in Python.
    let is_shown = matches!(secret, "" | "null" | "true" | "false" | "None" | "True" | "False");
    out.push_str(if is_shown { secret } else { "'[redacted]'" });
    start + secret.len()
}

/// Writes a text, quotes included; one without an end has none there, either.
fn string(quoted: &str, look: Look<'_>, out: &mut String) {
    let content = unescaped(quoted);
    let start = content.trim_start();
    let is_document = start.starts_with(['{', '[']) && start.contains('"');
    let redacted = if is_document {
        look.deeper()
            .filter(|look| look.has_left(content.len()))
            .map_or_else(|| REDACTED.to_owned(), |look| within(&content, look))
    } else {
        content.split_inclusive('\n').map(|line| text_within(line, look)).collect()
    };
    if redacted == content {
        return out.push_str(quoted);
    }
    let written = serde_json::Value::String(redacted).to_string();
    let has_end = text_end(quoted).is_some();
    out.push_str(if has_end { &written } else { written.strip_suffix('"').unwrap_or(&written) });
}

fn is_secret_member(name: &str) -> bool {
    let name = letters(name);
    WHOLE.contains(&name.as_str()) || PARTS.iter().any(|part| name.contains(part)) || ENDS.iter().any(|end| name.ends_with(end))
}

/// Where the text that begins with a quote ends, behind its last quote of the same kind.
fn text_end(from: &str) -> Option<usize> {
    let quote = *from.as_bytes().first()?;
    let mut is_escaped = false;
    for (place, byte) in from.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            byte if byte == quote => return Some(place + 1),
            _ => {}
        }
    }
    None
}

/// The same; all of it if it has no end.
pub(super) fn text_len(from: &str) -> usize {
    text_end(from).unwrap_or(from.len())
}

/// How long a value is, whatever it is.
fn value_len(value: &str) -> usize {
    if value.starts_with(['"', '\'']) {
        return text_len(value);
    }
    if !value.starts_with(['{', '[']) {
        return value.find([',', '}', ']', ' ', '\t', '\r', '\n']).unwrap_or(value.len());
    }
    let (mut place, mut depth) = (0, 0_usize);
    while let Some(from) = value.get(place..).filter(|from| !from.is_empty()) {
        let Some(next) = from.find(['"', '\'', '{', '}', '[', ']']) else { break };
        let at = from.get(next..).unwrap_or_default();
        place += next + if at.starts_with(['"', '\'']) { text_len(at) } else { 1 };
        if at.starts_with(['{', '[']) {
            depth += 1;
        } else if at.starts_with(['}', ']']) {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return place;
            }
        }
    }
    value.len()
}

/// What a text says; forgiving, as it may be cut.
fn unescaped(quoted: &str) -> String {
    let end = if text_end(quoted).is_some() { quoted.len() - 1 } else { quoted.len() };
    let mut rest = quoted.get(1..end).unwrap_or_default();
    let mut units: Vec<u16> = Vec::new();
    let mut out = String::with_capacity(rest.len());
    loop {
        let unit = rest.strip_prefix("\\u").and_then(|digits| u16::from_str_radix(digits.get(..4)?, 16).ok());
        if let Some(unit) = unit {
            units.push(unit);
            rest = rest.get(6..).unwrap_or_default();
            continue;
        }
        out.extend(char::decode_utf16(units.drain(..)).map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER)));
        let mut characters = rest.chars();
        match characters.next() {
            None => return out,
            Some('\\') => match characters.next() {
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some('t') => out.push('\t'),
                Some('b') => out.push('\u{8}'),
                Some('f') => out.push('\u{c}'),
                Some(other) => out.push(other),
                None => {}
            },
            Some(character) => out.push(character),
        }
        rest = characters.as_str();
    }
}
