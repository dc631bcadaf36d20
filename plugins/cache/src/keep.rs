//! Which responses may be kept (RFC 9111, 3), and for whom.

use std::time::Duration;

use tollgate_sdk::Header;

use crate::{
    control::Directives,
    entry::{Entry, Limits, Spans},
    fields,
    freshness::{self, Times},
    key::Asker,
    options::{Mode, Settings},
};

/// Why a response is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// Its status, or what its fields say: the next one will hardly be another.
    Response,
    /// An error of the upstream, which may be over soon.
    Error,
}

/// Statuses that are never kept: parts (206) and what is about the request or its connection alone (304, 401, 407, 412, 416,
/// 417, 421, 425), and those of RFC 6585 (428, 429, 431, 511).
const NEVER: [u16; 14] = [206, 304, 401, 407, 408, 412, 416, 417, 421, 425, 428, 429, 431, 511];

/// Codings that the proxy takes off before a body is shown.
const KNOWN_CODINGS: [&str; 5] = ["br", "deflate", "gzip", "identity", "zstd"];

/// Fields, and bytes of their names and values: less than hooks may set by default, as those of the cache come to them.
const MOST_FIELDS: (usize, usize) = (200, 48 * 1024);

/// Names in Vary.
const MOST_VARY: usize = 16;

/// The response to a GET as it would be kept, or why it is not.
pub(crate) fn entry(status: u16, headers: Vec<Header>, asker: &Asker, times: Times, settings: &Settings) -> Result<Entry, Why> {
    let directives = Directives::of(&headers);
    let refused = if status >= 500 { Why::Error } else { Why::Response };
    if NEVER.contains(&status) || directives.has("no-store") || !is_whole(&headers, &directives) {
        return Err(refused);
    }
    let limits = limits(&directives, settings.mode);
    let is_private = directives.has("private") && (settings.mode == Mode::Shared || *asker == Asker::Nobody);
    // Its cookies are for who asked; whoever calls it public may still be wrong.
    let has_cookie = ["set-cookie", "set-cookie2"].iter().any(|name| fields::has(&headers, name));
    if is_private || has_cookie && !(settings.drop_set_cookie && directives.has("public")) || vary(&headers).is_none() {
        return Err(refused);
    }
    let fresh_for = freshness::time_left(status, &headers, &directives, times, settings).ok_or(refused)?;
    let spans = Spans {
        received: times.came,
        initial_age: freshness::initial_age(&headers, times),
        fresh_for,
        stale_if_error: directives.time("stale-if-error").or(settings.stale_if_error).unwrap_or_default(),
    };
    let etag = fields::first(&headers, "etag").map(<[u8]>::to_vec);
    let mut headers = decoded(fields::kept(headers));
    if !fields::has(&headers, "date") {
        headers.push(("Date".to_owned(), httpdate::fmt_http_date(times.came).into_bytes()));
    }
    let entry = Entry::new(status, headers, etag, spans, limits);
    // Neither fresh nor to be validated: of no use.
    if (fresh_for.is_zero() || limits.is_checked) && !entry.has_validator() && entry.kept_for(Duration::ZERO).is_zero() {
        return Err(refused);
    }
    if limits.is_checked && !entry.has_validator() { Err(refused) } else { Ok(entry) }
}

/// Names in Vary, in lower case, each once, in order; none where no two requests are alike, or there are too many names.
pub(crate) fn vary(headers: &[Header]) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for value in fields::values(headers, "vary") {
        names.extend(fields::items(&String::from_utf8_lossy(value)).map(str::to_ascii_lowercase));
    }
    names.sort_unstable();
    names.dedup();
    let is_possible = names.len() <= MOST_VARY && names.iter().all(|name| name != "*" && !name.contains(char::is_whitespace));
    is_possible.then_some(names)
}

fn limits(directives: &Directives, mode: Mode) -> Limits {
    let is_shared = mode == Mode::Shared;
    let strict: &[&str] = if is_shared { &["must-revalidate", "proxy-revalidate", "s-maxage"] } else { &["must-revalidate"] };
    Limits {
        // RFC 9111, 3.5.
        is_shareable: is_shared && ["public", "s-maxage", "must-revalidate"].iter().any(|name| directives.has(name)),
        is_strict: strict.iter().any(|name| directives.has(name)),
        // With names of fields it is about those alone; none is to be kept apart here.
        is_checked: directives.has("no-cache"),
    }
}

/// Whether the bytes that a hook is shown are the whole response, and may be kept without its codings.
fn is_whole(headers: &[Header], directives: &Directives) -> bool {
    let mut codings = Vec::new();
    for value in fields::values(headers, "content-encoding") {
        codings.extend(fields::items(&String::from_utf8_lossy(value)).map(str::to_ascii_lowercase));
    }
    let is_known = codings.iter().all(|coding| KNOWN_CODINGS.contains(&coding.as_str()));
    let may_be_taken_off = codings.is_empty() || !directives.has("no-transform");
    let is_event_stream = fields::text(headers, "content-type")
        .is_some_and(|media_type| media_type.trim_start().to_ascii_lowercase().starts_with("text/event-stream"));
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    let is_small = headers.len() <= MOST_FIELDS.0 && bytes <= MOST_FIELDS.1;
    let is_shown = !headers.iter().any(|(_, value)| fields::is_withheld(value));
    is_known && may_be_taken_off && is_small && is_shown && !is_event_stream && !fields::has(headers, "content-range")
}

/// The fields of a body whose codings were taken off: its tag is weak, and digests of the coded bytes don't hold.
fn decoded(mut headers: Vec<Header>) -> Vec<Header> {
    let is = |name: &str, others: &[&str]| others.iter().any(|other| name.eq_ignore_ascii_case(other));
    if !fields::has(&headers, "content-encoding") {
        return headers;
    }
    headers.retain(|(name, _)| !is(name, &["content-encoding", "content-md5", "digest", "content-digest", "repr-digest"]));
    for (name, value) in &mut headers {
        if is(name, &["etag"]) && !value.starts_with(b"W/") {
            *value = [b"W/", value.as_slice()].concat();
        }
    }
    headers
}

#[cfg(test)]
mod tests;
