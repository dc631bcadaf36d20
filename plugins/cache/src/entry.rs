//! A response that was kept.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tollgate_sdk::Header;

use crate::{control::Directives, fields};

/// A response that was kept, with all that says how it may be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) status: u16,
    pub(crate) headers: Vec<Header>,
    /// The entity tag as the upstream wrote it: the one in `headers` may have become weak.
    pub(crate) etag: Option<Vec<u8>>,
    /// In milliseconds since the epoch, as are all times here.
    received: u64,
    initial_age: u64,
    fresh_for: u64,
    /// How long beyond its freshness it may stand in for errors.
    stale_if_error: u64,
    pub(crate) limits: Limits,
}

/// For whom and when a response may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub(crate) struct Limits {
    /// Whoever asks, with credentials or without.
    pub(crate) is_shareable: bool,
    /// Never when stale, whatever the request or an option allows.
    pub(crate) is_strict: bool,
    /// Only after the upstream said that it still holds.
    pub(crate) is_checked: bool,
}

/// Times of a response that is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spans {
    pub(crate) received: SystemTime,
    pub(crate) initial_age: Duration,
    pub(crate) fresh_for: Duration,
    pub(crate) stale_if_error: Duration,
}

/// What an entry is to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// To be answered with it.
    Fresh,
    /// To be answered with it, since the request takes stale ones.
    Stale,
    /// Not before the upstream was asked, since it is stale.
    Expired,
    /// Not before the upstream was asked, since the request wants that.
    Unwanted,
}

/// Of the form that `encode` writes.
const FORM: u8 = 1;

impl Entry {
    /// A response as it came, with fields that may be kept.
    pub(crate) fn new(status: u16, headers: Vec<Header>, etag: Option<Vec<u8>>, spans: Spans, limits: Limits) -> Self {
        Self {
            status,
            headers,
            etag,
            received: fields::milliseconds(spans.received),
            initial_age: fields::in_milliseconds(spans.initial_age),
            fresh_for: fields::in_milliseconds(spans.fresh_for),
            stale_if_error: fields::in_milliseconds(spans.stale_if_error),
            limits,
        }
    }

    /// As it is written into the store, before the body.
    pub(crate) fn encode(&self, body: &[u8]) -> Option<Vec<u8>> {
        let head = postcard::to_allocvec(self).ok()?;
        let length = u32::try_from(head.len()).ok()?;
        Some([&[FORM], &length.to_be_bytes()[..], &head, body].concat())
    }

    /// What `encode` wrote, with the body; none for anything else.
    pub(crate) fn decode(value: &[u8]) -> Option<(Self, Vec<u8>)> {
        let (&[form, a, b, c, d], rest) = value.split_first_chunk()?;
        if form != FORM {
            return None;
        }
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
        let (head, body) = rest.split_at_checked(length)?;
        Some((postcard::from_bytes(head).ok()?, body.to_vec()))
    }

    /// How long it has been here.
    fn resident(&self, now: SystemTime) -> u64 {
        fields::milliseconds(now).saturating_sub(self.received)
    }

    /// How old it is (RFC 9111, 4.2.3).
    pub(crate) fn age(&self, now: SystemTime) -> Duration {
        Duration::from_millis(self.initial_age.saturating_add(self.resident(now)))
    }

    /// How long it is still fresh.
    pub(crate) fn time_left(&self, now: SystemTime) -> Duration {
        Duration::from_millis(self.fresh_for.saturating_sub(self.resident(now)))
    }

    /// How long it has been stale.
    pub(crate) fn staleness(&self, now: SystemTime) -> Duration {
        Duration::from_millis(self.resident(now).saturating_sub(self.fresh_for))
    }

    /// Whether the upstream can tell if it still holds.
    pub(crate) fn has_validator(&self) -> bool {
        self.etag.is_some() || fields::has(&self.headers, "last-modified")
    }

    /// Whether it answers requests without the upstream, for however short a time.
    pub(crate) const fn is_ever_fresh(&self) -> bool {
        self.fresh_for > 0 && !self.limits.is_checked
    }

    /// What it is to a request with these directives (RFC 9111, 4.2 and 5.2.1).
    pub(crate) fn usable(&self, asked: &Directives, now: SystemTime) -> Use {
        if asked.has("no-cache") || asked.time("max-age").is_some_and(|most| self.age(now) > most) {
            return Use::Unwanted;
        }
        let left = self.time_left(now);
        if left.is_zero() || self.limits.is_checked {
            let most = asked.time_or_ever("max-stale").filter(|_| !self.limits.is_strict && !self.limits.is_checked);
            return if most.is_some_and(|most| self.staleness(now) <= most) { Use::Stale } else { Use::Expired };
        }
        if asked.time("min-fresh").is_some_and(|least| left < least) { Use::Unwanted } else { Use::Fresh }
    }

    /// Whether it may stand in for an error (RFC 5861, 4).
    pub(crate) fn stands_in(&self, now: SystemTime) -> bool {
        !self.limits.is_strict && !self.limits.is_checked && self.staleness(now) <= Duration::from_millis(self.stale_if_error)
    }

    /// How long it is of any use, with so much time to be validated.
    pub(crate) fn kept_for(&self, keep_stale: Duration) -> Duration {
        let validated = if self.has_validator() { keep_stale } else { Duration::ZERO };
        let beyond = if self.limits.is_strict { validated } else { validated.max(Duration::from_millis(self.stale_if_error)) };
        Duration::from_millis(self.fresh_for).saturating_add(beyond)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn entry(age: u64, fresh_for: u64, limits: Limits) -> Entry {
        let spans = Spans {
            received: NOW,
            initial_age: Duration::from_secs(age),
            fresh_for: Duration::from_secs(fresh_for),
            stale_if_error: Duration::from_secs(10),
        };
        Entry::new(200, vec![("A".to_owned(), b"\xff".to_vec())], None, spans, limits)
    }

    fn asks(value: &str) -> Directives {
        Directives::of_request(&[("Cache-Control".to_owned(), value.as_bytes().to_vec())])
    }

    #[test]
    fn what_is_written_is_read() {
        let entry = entry(1, 2, Limits { is_strict: true, ..Limits::default() });
        let written = entry.encode(b"body").expect("bytes");
        assert_eq!(Entry::decode(&written), Some((entry, b"body".to_vec())));
        for broken in [&b""[..], b"\x01", b"\x01\0\0\0\x09", b"\x02\0\0\0\0", &[1, 255, 255, 255, 255, 0]] {
            assert_eq!(Entry::decode(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn requests_say_what_is_fresh_enough() {
        // Five seconds old when it came, fresh for twenty; asked for after so many seconds.
        for (asked, after, expected) in [
            ("", 19, Use::Fresh),
            ("", 20, Use::Expired),
            ("no-cache", 0, Use::Unwanted),
            ("max-age=9", 4, Use::Fresh),
            ("max-age=9", 5, Use::Unwanted),
            ("max-age=0", 0, Use::Unwanted),
            ("min-fresh=5", 15, Use::Fresh),
            ("min-fresh=5", 16, Use::Unwanted),
            ("max-stale=3", 23, Use::Stale),
            ("max-stale=3", 24, Use::Expired),
            ("max-stale", 5000, Use::Stale),
            ("max-stale=3", 1, Use::Fresh),
            ("max-stale, max-age=9", 30, Use::Unwanted),
        ] {
            // At the second 4, it is 9 seconds old.
            let (now, entry) = (NOW + Duration::from_secs(after), entry(5, 20, Limits::default()));
            assert_eq!(entry.usable(&asks(asked), now), expected, "{asked:?} after {after} s");
        }
    }

    #[test]
    fn strict_ones_are_never_used_stale() {
        let (late, strict) = (NOW + Duration::from_secs(21), Limits { is_strict: true, ..Limits::default() });
        assert_eq!(entry(0, 20, strict).usable(&asks("max-stale"), late), Use::Expired);
        assert!(entry(0, 20, Limits::default()).stands_in(late) && !entry(0, 20, strict).stands_in(late));
        let checked = Limits { is_checked: true, ..Limits::default() };
        assert_eq!(entry(0, 20, checked).usable(&asks("max-stale"), NOW), Use::Expired);
        assert!(!entry(0, 20, checked).stands_in(late));
    }

    #[test]
    fn standing_in_ends() {
        for (after, expected) in [(29, true), (30, true), (31, false)] {
            assert_eq!(entry(0, 20, Limits::default()).stands_in(NOW + Duration::from_secs(after)), expected, "{after}");
        }
    }
}
