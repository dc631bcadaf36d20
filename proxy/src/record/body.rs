//! Bodies as they are shown: as text without codings where they are text, else in base64.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use encoding_rs::{Encoding, UTF_8};

use super::{Style, redact, tape::Taken};
use crate::{
    http::{
        Headers,
        coding::{Bounds, Uncoded, codings, decode},
    },
    secret::REDACTED,
};

/// Types of bytes in which there are no credentials, beside images, fonts, sound and films.
const MEDIA: [&str; 7] = [
    "application/wasm",
    "application/zip",
    "application/pdf",
    "application/font-woff",
    "application/font-woff2",
    "application/x-font-ttf",
    "application/vnd.ms-fontobject",
];

/// A body for its entry.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) text: Option<String>,
    pub(super) is_base64: bool,
    /// Bytes of all of it, without codings; none where nobody knows.
    pub(super) size: Option<u64>,
    /// Why something is missing.
    pub(super) comment: Option<String>,
}

/// What a body is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    Form,
    /// In parts, that are of any kind.
    Multipart,
    /// Text with names of values as neither JSON nor forms have them.
    Markup,
    /// One document of JSON after the other.
    Jsons,
    Text,
    Binary,
}

/// Shows what was taken of the body of a message with these fields.
pub(super) fn show(body: &Taken, headers: &Headers, style: Style) -> Shown {
    let nothing = |why: &str| Shown { comment: Some(why.to_owned()), ..Shown::default() };
    if body.total == 0 {
        return Shown { size: Some(0), ..Shown::default() };
    }
    if style.bodies == 0 {
        return nothing("bodies are not recorded: record.bodies is 0");
    }
    if body.is_crowded {
        return nothing("the body is left out: other flows held all of record.memory");
    }
    let mut comments = Vec::new();
    if body.is_cut() {
        comments.push(format!("the first {} of {} bytes", body.bytes.len(), body.total));
    }
    let bounds = Bounds { cap: style.bodies, ratio: usize::MAX };
    let (plain, is_whole) = match codings(headers).map(|codings| (codings.is_empty(), codings)) {
        Ok((true, _)) => (body.bytes.clone(), !body.is_cut()),
        Ok((false, codings)) => match decode(&codings, &body.bytes, bounds) {
            Uncoded::Whole(plain) => (plain, !body.is_cut()),
            Uncoded::OverCap(plain) => {
                comments.push(format!("without codings cut after {} bytes", plain.len()));
                (plain, false)
            }
            Uncoded::Broken(plain) if body.is_cut() => (plain, false),
            Uncoded::Broken(_) => return coded(body, "the body is not what Content-Encoding says", style),
        },
        Err(_) => return coded(body, "the body has a content coding that is not known", style),
    };
    let size = is_whole.then_some(plain.len() as u64);
    let (text, is_base64) = match shown(&plain, headers, style, is_whole) {
        Ok((text, is_base64, remark)) => {
            comments.extend(remark.map(str::to_owned));
            (Some(text), is_base64)
        }
        Err(why) => {
            comments.push(why.to_owned());
            (None, false)
        }
    };
    let comment = (!comments.is_empty()).then(|| comments.join("; "));
    Shown { text, is_base64, size, comment }
}

/// A body whose codings stay on: what is in it cannot be looked at.
fn coded(body: &Taken, why: &str, style: Style) -> Shown {
    let (text, comment) = if style.has_secrets {
        (Some(BASE64_STANDARD.encode(&body.bytes)), why.to_owned())
    } else {
        (None, format!("{why}: it is left out, since credentials in it could not be replaced"))
    };
    Shown { is_base64: text.is_some(), text, size: None, comment: Some(comment) }
}

/// Text, whether it is base64, and a remark; or why there is none.
fn shown(
    plain: &[u8],
    headers: &Headers,
    style: Style,
    is_whole: bool,
) -> Result<(String, bool, Option<&'static str>), &'static str> {
    let mime = headers.get_str("content-type").unwrap_or_default();
    let kind = kind(mime, plain);
    if kind == Kind::Binary {
        return bytes(plain, mime, style, is_whole);
    }
    let (decoded, _, has_errors) = encoding(mime).decode(plain);
    // The last character of what was cut may be half of one.
    let decoded = if is_whole { &decoded } else { decoded.trim_end_matches(char::REPLACEMENT_CHARACTER) };
    let is_lossy = has_errors && decoded.contains(char::REPLACEMENT_CHARACTER);
    if style.has_secrets {
        return Ok(if is_lossy { (BASE64_STANDARD.encode(plain), true, None) } else { (decoded.to_owned(), false, None) });
    }
    if decoded.contains('\0') {
        return Err("the text is left out: its charset is not known, so that credentials in it could not be replaced");
    }
    let text = match kind {
        Kind::Json | Kind::Jsons => redact::json(decoded),
        Kind::Form => redact::form(decoded),
        // Behind a mark of its byte order.
        Kind::Text if begins_as_json(decoded.as_bytes()) => redact::json(decoded),
        Kind::Text => redact::lines(decoded),
        Kind::Markup => return Err("the document is left out, since credentials in its format are not replaced"),
        Kind::Multipart | Kind::Binary => {
            return Err("the parts are left out, since credentials in them are not replaced");
        }
    };
    Ok((text, false, is_lossy.then_some("bytes that are not of its charset are shown as U+FFFD")))
}

/// The same for what is no text by its type. Where it is some, secrets in it can be replaced.
fn bytes(plain: &[u8], mime: &str, style: Style, is_whole: bool) -> Result<(String, bool, Option<&'static str>), &'static str> {
    if !style.has_secrets {
        if let Some(decoded) = unmarked(plain, is_whole) {
            let is_json = begins_as_json(decoded.as_bytes());
            return Ok((if is_json { redact::json(&decoded) } else { redact::lines(&decoded) }, false, None));
        }
        if !is_media(mime) {
            return Err("the bytes are left out, since credentials in them could not be replaced");
        }
    }
    Ok((BASE64_STANDARD.encode(plain), true, None))
}

/// What bytes say in UTF-8, or as the mark of their byte order tells; none if that is no text.
fn unmarked(plain: &[u8], is_whole: bool) -> Option<Cow<'_, str>> {
    let (encoding, mark) = Encoding::for_bom(plain).unwrap_or((UTF_8, 0));
    let rest = plain.get(mark..)?;
    let text = if encoding == UTF_8 {
        let valid = match std::str::from_utf8(rest) {
            // The last character of what was cut may be half of one.
            Err(error) if !is_whole && error.error_len().is_none() => rest.get(..error.valid_up_to())?,
            _ => rest,
        };
        Cow::Borrowed(std::str::from_utf8(valid).ok()?)
    } else {
        let half = if is_whole { 0 } else { rest.len() % 2 };
        encoding.decode_without_bom_handling_and_without_replacement(rest.get(..rest.len() - half)?)?
    };
    (!text.contains('\0')).then_some(text)
}

/// Whether bytes of this type are shown to people, run or unpacked: they hold no credentials of a flow.
fn is_media(mime: &str) -> bool {
    let essence = mime.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let family = essence.split('/').next().unwrap_or_default();
    matches!(family, "image" | "font" | "audio" | "video") || MEDIA.contains(&essence.as_str())
}

/// By type; what has none, or one that says nothing, by how it begins.
fn kind(mime: &str, plain: &[u8]) -> Kind {
    let essence = mime.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let (family, name) = essence.split_once('/').unwrap_or((essence.as_str(), ""));
    let is = |names: &[&str]| names.contains(&name);
    match family {
        "multipart" => Kind::Multipart,
        "application" if is(&["x-www-form-urlencoded"]) => Kind::Form,
        _ if is(&["json"]) || name.ends_with("+json") => Kind::Json,
        _ if begins_as_json(plain) => Kind::Json,
        "image" if name.ends_with("+xml") => Kind::Text,
        _ if name.ends_with("+xml") || name.ends_with("+yaml") => Kind::Markup,
        "application" | "text" if is(&["xml", "yaml", "x-yaml", "toml", "x-toml"]) => Kind::Markup,
        _ if family != "image" && name != "html" && plain.trim_ascii_start().starts_with(b"<?xml") => Kind::Markup,
        "application" if is(&["x-ndjson", "jsonl", "json-seq"]) => Kind::Jsons,
        "text" => Kind::Text,
        "application" if is(&["javascript", "x-javascript", "ecmascript", "graphql", "sdp", "sql", "x-sh"]) => Kind::Text,
        "" if std::str::from_utf8(plain).is_ok() => Kind::Text,
        _ => Kind::Binary,
    }
}

/// Many a client sends JSON without saying so, or as something else.
fn begins_as_json(plain: &[u8]) -> bool {
    let mut bytes = plain.iter().filter(|byte| !byte.is_ascii_whitespace());
    matches!((bytes.next(), bytes.next()), (Some(b'{'), Some(b'"')) | (Some(b'['), Some(b'{' | b'[' | b'"')))
}

/// That of the parameter `charset`, else UTF-8.
fn encoding(mime: &str) -> &'static Encoding {
    let mut parameters = mime.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let charset = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    let label = charset.map(|(_, label)| label.trim().trim_matches('"'));
    label.and_then(|label| Encoding::for_label(label.as_bytes())).unwrap_or(UTF_8)
}

/// A form's fields.
pub(super) fn params(text: &str, mime: &str, has_secrets: bool) -> Option<Vec<super::har::Pair>> {
    (kind(mime, b"") == Kind::Form).then(|| pairs(text, has_secrets))
}

/// Names and values of a query or a form, percent-decoded.
pub(super) fn pairs(text: &str, has_secrets: bool) -> Vec<super::har::Pair> {
    let all = url::form_urlencoded::parse(text.as_bytes());
    all.map(|(name, value)| {
        let is_withheld = !has_secrets && !value.is_empty() && redact::is_secret_parameter(&name);
        let value = match (is_withheld, has_secrets) {
            (true, _) => REDACTED.to_owned(),
            (_, true) => value.into_owned(),
            _ => redact::text(&value).into_owned(),
        };
        super::har::Pair { name: name.into_owned(), value }
    })
    .collect()
}
