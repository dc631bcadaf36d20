//! Where the time of a flow went.

use std::time::{Duration, Instant};

use super::har::Timings;
use crate::upstream::Steps;

/// Parts of the time from the head of the request to the end of the flow; those that are not -1 make up all of it.
///
/// - `blocked`: until a connection was asked for, request hooks included, and for a kept connection until it was had;
/// - `dns`, `connect` and, as a part of that, `ssl`: where a connection was made;
/// - `send`: until the request had been sent, or the response was there;
/// - `wait`: until the head of the response went to the client, response hooks included;
/// - `receive`: the rest.
pub(super) fn timings(begun: Instant, steps: &Steps, departed: Option<Instant>, end: Instant) -> (f64, Timings) {
    let mut cursor = begun;
    let bound = departed.unwrap_or(end).clamp(begun, end);
    // What is left over from one part is in the next; whatever order the clocks of threads show, none is negative.
    let mut until = |at: Instant| {
        let at = at.clamp(cursor, bound.max(cursor));
        let part = at - cursor;
        cursor = at;
        part
    };
    let is_fresh = steps.looked_up.is_some();
    let (mut blocked, mut dns, mut connect, mut ssl) = (None, None, None, None);
    if let Some(asked) = steps.asked {
        let was_blocked = until(asked);
        let ready = steps.ready.or(steps.secured).or(steps.connected);
        if is_fresh {
            blocked = Some(was_blocked);
            dns = steps.looked_up.map(&mut until);
            connect = ready.map(&mut until);
            ssl = steps.connected.zip(steps.secured).map(|(connected, secured)| secured.saturating_duration_since(connected));
        } else {
            blocked = Some(was_blocked + ready.map(&mut until).unwrap_or_default());
        }
    }
    let send = steps.sent.map(&mut until).unwrap_or_default();
    let wait = until(bound);
    let receive = end.saturating_duration_since(cursor);
    let parts = [blocked, dns, connect, Some(send), Some(wait), Some(receive)];
    let time: u128 = parts.iter().flatten().map(Duration::as_micros).sum();
    let ssl = ssl.map(|ssl| ssl.min(connect.unwrap_or_default()));
    let part = |part: Option<Duration>| part.map_or(-1.0, |part| milliseconds(part.as_micros()));
    let timings = Timings {
        blocked: part(blocked),
        dns: part(dns),
        connect: part(connect),
        ssl: part(ssl),
        send: part(Some(send)),
        wait: part(Some(wait)),
        receive: part(Some(receive)),
    };
    (milliseconds(time), timings)
}

fn milliseconds(micros: u128) -> f64 {
    // As it would be read: no sum of halves of microseconds.
    format!("{}.{:03}", micros / 1000, micros % 1000).parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(timings: &Timings) -> f64 {
        [timings.blocked, timings.dns, timings.connect, timings.send, timings.wait, timings.receive]
            .iter()
            .filter(|part| **part >= 0.0)
            .sum()
    }

    #[test]
    fn parts_make_up_the_whole() {
        let begun = Instant::now();
        let at = |millis: u64| Some(begun + Duration::from_millis(millis));
        let all =
            Steps { asked: at(1), looked_up: at(3), connected: at(6), secured: at(10), ready: at(15), sent: at(21), peer: None };
        let end = begun + Duration::from_millis(40);
        let (time, parts) = timings(begun, &all, at(30), end);
        let Timings { blocked, dns, connect, ssl, send, wait, receive } = parts;
        let shown = format!("{blocked} {dns} {connect} {ssl} {send} {wait} {receive}");
        assert_eq!(shown, "1 2 12 4 6 9 10");
        assert!((time - 40.0).abs() < 0.001 && (sum(&parts) - time).abs() < 0.001);
    }

    #[test]
    fn what_did_not_happen_is_told() {
        let begun = Instant::now();
        let at = |millis: u64| Some(begun + Duration::from_millis(millis));
        let end = begun + Duration::from_millis(9);
        let kept = Steps { asked: at(1), ready: at(2), sent: at(20), ..Steps::default() };
        for (steps, departed, missing) in [
            (Steps::default(), at(5), [true, true, true, true]),
            (Steps::default(), None, [true, true, true, true]),
            (kept, at(5), [false, true, true, true]),
            (Steps { asked: at(1), looked_up: at(2), ..Steps::default() }, at(5), [false, false, true, true]),
        ] {
            let (time, parts) = timings(begun, &steps, departed, end);
            let told = [parts.blocked, parts.dns, parts.connect, parts.ssl].map(|part| part < 0.0);
            assert_eq!(told, missing, "{steps:?}");
            assert!(parts.send >= 0.0 && parts.wait >= 0.0 && parts.receive >= 0.0, "{parts:?}");
            assert!((time - 9.0).abs() < 0.01 && (sum(&parts) - time).abs() < 0.001, "{parts:?}");
        }
    }
}
