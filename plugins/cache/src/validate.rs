//! Validation: of what clients have (RFC 9110, 13; RFC 9111, 4.3.2), and of what is kept (RFC 9111, 4.3.3 and 4.3.4).

use tollgate_sdk::Header;

use crate::{entry::Entry, fields, freshness::Times, keep, key::Asker, options::Settings};

/// Fields of a 304 that say nothing about the kept response: they are about its bytes, which the cache has taken off their
/// codings, and the tag that it knows (RFC 9111, 3.2).
const NOT_MERGED: [&str; 5] = ["content-encoding", "content-range", "content-length", "etag", "transfer-encoding"];

/// What a 304 makes of the response that is kept.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refreshed {
    /// What the client is answered with.
    pub(crate) entry: Entry,
    /// Whether that is to be kept; else nothing is.
    pub(crate) is_kept: bool,
    /// Fields for this client alone.
    pub(crate) cookies: Vec<Header>,
}

/// Whether the client has what is kept: then it is answered 304.
pub(crate) fn is_known(asked: &[Header], entry: &Entry) -> bool {
    if entry.status != 200 {
        return false;
    }
    if fields::has(asked, "if-none-match") {
        let tag = fields::first(&entry.headers, "etag");
        return fields::values(asked, "if-none-match").any(|value| {
            fields::items(&String::from_utf8_lossy(value))
                .any(|wanted| wanted == "*" || tag.is_some_and(|tag| opaque(tag) == opaque(wanted.as_bytes())))
        });
    }
    let modified = fields::date(&entry.headers, "last-modified").or_else(|| fields::date(&entry.headers, "date"));
    let since = fields::date(asked, "if-modified-since");
    modified.zip(since).is_some_and(|(modified, since)| modified <= since)
}

/// What is kept after the upstream has answered 304 about it.
pub(crate) fn refreshed(kept: &Entry, not_modified: &[Header], asker: &Asker, times: Times, settings: &Settings) -> Refreshed {
    let lasts = |name, known: Option<&[u8]>| match (fields::first(not_modified, name), known) {
        (Some(said), Some(known)) => opaque(said) == opaque(known),
        _ => true,
    };
    let cookies: Vec<Header> = not_modified.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie")).cloned().collect();
    // About another response than this one, whatever the upstream was asked: the client gets what it was asked about.
    if !lasts("etag", kept.etag.as_deref())
        || kept.etag.is_none() && !lasts("last-modified", fields::first(&kept.headers, "last-modified"))
    {
        return Refreshed { entry: kept.clone(), is_kept: false, cookies };
    }
    let merged = merged(&kept.headers, not_modified, times);
    let renewed = keep::entry(kept.status, merged.clone(), asker, times, settings);
    let is_kept = renewed.is_ok();
    let mut entry = renewed.unwrap_or_else(|_| {
        let mut entry = kept.clone();
        entry.headers = fields::kept(merged);
        entry
    });
    entry.etag.clone_from(&kept.etag);
    Refreshed { entry, is_kept, cookies }
}

/// Weak comparison (RFC 9110, 8.8.3.2).
fn opaque(tag: &[u8]) -> &[u8] {
    let tag = tag.trim_ascii();
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

fn merged(kept: &[Header], not_modified: &[Header], times: Times) -> Vec<Header> {
    let is_merged = |(name, _): &&Header| !NOT_MERGED.iter().any(|other| name.eq_ignore_ascii_case(other));
    let new: Vec<Header> = not_modified.iter().filter(is_merged).cloned().collect();
    let is_replaced = |name: &str| fields::has(&new, name) || name.eq_ignore_ascii_case("date");
    let mut merged: Vec<Header> = kept.iter().filter(|(name, _)| !is_replaced(name)).cloned().collect();
    if !fields::has(&new, "date") {
        merged.push(("Date".to_owned(), httpdate::fmt_http_date(times.came).into_bytes()));
    }
    merged.extend(new);
    merged
}

#[cfg(test)]
mod tests;
