//! Limits and timeouts, with the range of each.

use std::{ops::RangeInclusive, time::Duration};

use super::{
    Limits, Timeouts,
    check::Check,
    key::Key,
    raw::{RawLimits, RawTimeouts},
    units::{Count, Size, Span},
};

pub(crate) const HEADER_COUNT: RangeInclusive<Count> = Count(1)..=Count(1024);
pub(crate) const HEADER_BYTES: RangeInclusive<Size> = Size(1 << 10)..=Size(1 << 20);
pub(crate) const REQUEST_BODY: RangeInclusive<Size> = Size(0)..=Size(1 << 50);
pub(crate) const CONNECTIONS: RangeInclusive<Count> = Count(1)..=Count(1_000_000);
pub(crate) const H2_STREAMS: RangeInclusive<Count> = Count(1)..=Count(10_000);
pub(crate) const DECODE_RATIO: RangeInclusive<Count> = Count(1)..=Count(10_000);
pub(crate) const GUEST_STACK: RangeInclusive<Size> = Size(64 << 10)..=Size(4 << 20);
pub(crate) const GUEST_MEMORY: RangeInclusive<Size> = Size(1 << 20)..=Size(1 << 40);
pub(crate) const HELD_BODIES: RangeInclusive<Size> = Size(64 << 10)..=Size(1 << 40);
pub(crate) const INSTANCES: RangeInclusive<Count> = Count(1)..=Count(100_000);

pub(crate) const HEADER_READ: RangeInclusive<Span> = Span(SHORTEST)..=Span(HOUR);
pub(crate) const IDLE: RangeInclusive<Span> = Span(SHORTEST)..=Span(DAY);
pub(crate) const BODY_IDLE: RangeInclusive<Span> = Span(SHORTEST)..=Span(DAY);
pub(crate) const CONNECT: RangeInclusive<Span> = Span(SHORTEST)..=Span(Duration::from_mins(10));
pub(crate) const RESPONSE: RangeInclusive<Span> = Span(SHORTEST)..=Span(DAY);
pub(crate) const FLOW: RangeInclusive<Span> = Span(SHORTEST)..=Span(Duration::from_hours(7 * 24));
pub(crate) const TUNNEL: RangeInclusive<Span> = Span(SHORTEST)..=Span(Duration::from_hours(7 * 24));
pub(crate) const GRACE: RangeInclusive<Span> = Span(Duration::ZERO)..=Span(HOUR);

const SHORTEST: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// The limits at `key`; what is not set there is as in `outer`.
pub(super) fn limits(check: &mut Check, key: &Key, raw: &RawLimits, outer: &Limits) -> Limits {
    let mut count = |name, raw: &Option<_>, range, otherwise: usize| {
        usize_of(check.number(&key.join(name), raw.as_ref(), range, Count(otherwise as u64)).0)
    };
    let header_count = count("header_count", &raw.header_count, &HEADER_COUNT, outer.header_count);
    let connections = count("connections", &raw.connections, &CONNECTIONS, outer.connections);
    let h2_streams = count("h2_streams", &raw.h2_streams, &H2_STREAMS, outer.h2_streams as usize);
    let decode_ratio = count("decode_ratio", &raw.decode_ratio, &DECODE_RATIO, outer.decode_ratio);
    let header_bytes =
        check.number(&key.join("header_bytes"), raw.header_bytes.as_ref(), &HEADER_BYTES, Size(outer.header_bytes as u64));
    let request_body = check.number_or_off(
        &key.join("request_body"),
        raw.request_body.as_ref(),
        &REQUEST_BODY,
        "unlimited",
        outer.request_body.map(Size),
    );
    Limits {
        header_count,
        header_bytes: usize_of(header_bytes.0),
        request_body: request_body.map(|size| size.0),
        decode_ratio,
        connections,
        h2_streams: u32::try_from(h2_streams).unwrap_or(u32::MAX),
    }
}

/// The timeouts at `key`; what is not set there is as in `outer`.
pub(super) fn timeouts(check: &mut Check, key: &Key, raw: &RawTimeouts, outer: &Timeouts) -> Timeouts {
    let mut span =
        |name, raw: &Option<_>, range, otherwise| check.number(&key.join(name), raw.as_ref(), range, Span(otherwise)).0;
    let header_read = span("header_read", &raw.header_read, &HEADER_READ, outer.header_read);
    let idle = span("idle", &raw.idle, &IDLE, outer.idle);
    let connect = span("connect", &raw.connect, &CONNECT, outer.connect);
    let mut span_or_none = |name, raw: &Option<_>, range, otherwise: Option<Duration>| {
        check.number_or_off(&key.join(name), raw.as_ref(), range, "none", otherwise.map(Span)).map(|span| span.0)
    };
    Timeouts {
        header_read,
        idle,
        body_idle: span_or_none("body_idle", &raw.body_idle, &BODY_IDLE, outer.body_idle),
        connect,
        response: span_or_none("response", &raw.response, &RESPONSE, outer.response),
        flow: span_or_none("flow", &raw.flow, &FLOW, outer.flow),
        tunnel: span_or_none("tunnel", &raw.tunnel, &TUNNEL, outer.tunnel),
    }
}

/// As large as it can be; ranges keep it exact on 64 bits.
pub(super) fn usize_of(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
