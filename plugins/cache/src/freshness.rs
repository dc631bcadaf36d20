//! How old a response is, and how long it is fresh (RFC 9111, 4.2).

use std::time::{Duration, SystemTime};

use tollgate_sdk::Header;

use crate::{
    control::{Directives, seconds},
    fields,
    options::{Mode, Settings},
};

/// When a response was asked for, and when it came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) asked: SystemTime,
    pub(crate) came: SystemTime,
}

/// Statuses that may be kept where nothing says for how long (RFC 9110, 15.1), without 206.
const BY_DEFAULT: [u16; 11] = [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501];

/// Of the time since Last-Modified (RFC 9111, 4.2.2).
const FRACTION: u32 = 10;

/// How old the response was when it came (RFC 9111, 4.2.3).
pub(crate) fn initial_age(headers: &[Header], times: Times) -> Duration {
    let delay = times.came.duration_since(times.asked).unwrap_or_default();
    let apparent = fields::date(headers, "date").and_then(|date| times.came.duration_since(date).ok()).unwrap_or_default();
    let age = fields::text(headers, "age").and_then(|text| fields::items(text).next()).and_then(seconds).unwrap_or_default();
    apparent.max(age.saturating_add(delay))
}

/// How long the response is fresh after it came: what it says less its age, and no more than `max_ttl`. None where nothing
/// says so, and nothing may be guessed.
pub(crate) fn time_left(
    status: u16,
    headers: &[Header],
    directives: &Directives,
    times: Times,
    settings: &Settings,
) -> Option<Duration> {
    let lifetime =
        explicit(headers, directives, times, settings.mode).or_else(|| guessed(status, headers, directives, times, settings))?;
    Some(lifetime.saturating_sub(initial_age(headers, times)).min(settings.max_ttl))
}

/// What the response says (RFC 9111, 4.2.1).
fn explicit(headers: &[Header], directives: &Directives, times: Times, mode: Mode) -> Option<Duration> {
    let shared = directives.time("s-maxage").filter(|_| mode == Mode::Shared);
    shared.or_else(|| directives.time("max-age")).or_else(|| expires(headers, times))
}

/// What is no date lies in the past, and so do two of them (RFC 9111, 5.3).
fn expires(headers: &[Header], times: Times) -> Option<Duration> {
    let mut values = fields::values(headers, "expires");
    let first = values.next()?;
    let is_one = values.all(|other| other == first);
    let date = fields::date(headers, "date").unwrap_or(times.came);
    let expires = fields::date(headers, "expires").filter(|_| is_one);
    Some(expires.and_then(|expires| expires.duration_since(date).ok()).unwrap_or_default())
}

fn guessed(status: u16, headers: &[Header], directives: &Directives, times: Times, settings: &Settings) -> Option<Duration> {
    if !BY_DEFAULT.contains(&status) && !directives.has("public") {
        return None;
    }
    let date = fields::date(headers, "date").unwrap_or(times.came);
    let since = fields::date(headers, "last-modified").and_then(|modified| date.duration_since(modified).ok());
    since.filter(|_| settings.heuristics).map(|since| since / FRACTION).or(settings.default_ttl)
}

#[cfg(test)]
mod tests;
