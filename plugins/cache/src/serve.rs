//! Responses made of what is kept.

use std::time::SystemTime;

use tollgate_sdk::{Header, MadeResponse};

use crate::{asked::Asked, entry::Entry, fields, status::Status, validate};

/// Fields of a response that a 304 repeats (RFC 9110, 15.4.5), and what else a client may go by.
const IN_304: [&str; 10] = [
    "cache-control",
    "cache-status",
    "content-location",
    "date",
    "etag",
    "expires",
    "last-modified",
    "vary",
    "access-control-allow-origin",
    "access-control-allow-credentials",
];

/// The answer to this request: 304, without the body, if the client has it already. These fields are for it alone.
pub(crate) fn answer(asked: &Asked, entry: Entry, body: Vec<u8>, status: Option<String>, own: Vec<Header>) -> MadeResponse {
    let age = entry.age(asked.now()).as_secs();
    let mut made = if validate::is_known(&asked.headers, &entry) {
        let is_told = |(name, _): &Header| IN_304.iter().any(|other| name.eq_ignore_ascii_case(other));
        MadeResponse { status: 304, headers: entry.headers.into_iter().filter(is_told).collect(), body: Vec::new() }
    } else {
        MadeResponse { status: entry.status, headers: entry.headers, body }
    };
    made.headers.extend(own);
    made = made.header("Age", age.to_string());
    match status {
        Some(status) => made.header("Cache-Status", status),
        None => made,
    }
}

/// How long it is fresh, or has been stale, in seconds.
pub(crate) fn ttl(entry: &Entry, now: SystemTime) -> i64 {
    let (left, over) = (fields::in_milliseconds(entry.time_left(now)), fields::in_milliseconds(entry.staleness(now)));
    let seconds = |milliseconds: u64| i64::try_from(milliseconds / 1000).unwrap_or(i64::MAX);
    if left > 0 { seconds(left) } else { -seconds(over) }
}

/// The status of an answer without the upstream.
pub(crate) fn hit(entry: &Entry, now: SystemTime) -> Status {
    Status::hit(ttl(entry, now))
}
