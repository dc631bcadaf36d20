//! What the addon `dedup` subscribes to, as the proxy reads it: nothing else is ever shown to the addon. This test looks inside of both.
#![cfg(test)]

use bytes::Bytes;
use dedup::Dedup;
use http::{Method, StatusCode};
use tollgate::{
    filter::{Answer, Filter, Seen, View},
    http::{Field, Headers, RequestHead, ResponseHead, Scheme, Version},
};
use tollgate_sdk::{
    Event,
    serde_json::{Value, json},
    testing::Harness,
};

const TOKEN: (&str, &str) = ("Authorization", "Bearer a");

fn filters(options: &Value) -> Vec<(Event, Filter)> {
    let harness = Harness::<Dedup>::configure(options.clone()).expect("legal options");
    let all = harness.subscriptions().iter();
    all.map(|asked| (asked.event(), Filter::parse(asked.filter_text()).unwrap_or_else(|error| panic!("{error}")))).collect()
}

fn headers(fields: &[(&str, &str)]) -> Headers {
    let field = |(name, value): &(&str, &str)| {
        Field::new(Bytes::from(name.to_string()), Bytes::from(value.to_string())).expect("a field")
    };
    fields.iter().map(field).collect()
}

/// Whether the addon is called at this event for this request, and an answer with this status and these fields.
fn is_called(
    filters: &[(Event, Filter)],
    event: Event,
    request: (&str, &str, &[(&str, &str)]),
    answer: (u16, &[(&str, &str)]),
) -> bool {
    let (method, target, fields) = request;
    let request = RequestHead {
        method: Method::from_bytes(method.as_bytes()).expect("a method"),
        scheme: Scheme::Http,
        authority: "ex.org".parse().expect("an authority"),
        target: Bytes::copy_from_slice(target.as_bytes()),
        version: Version::Http11,
        headers: headers(fields),
    };
    let response = ResponseHead {
        status: StatusCode::from_u16(answer.0).expect("a status"),
        reason: None,
        version: Version::Http11,
        headers: headers(answer.1),
    };
    let view = View {
        listener: "main",
        peer: "192.0.2.1:1".parse().expect("an address"),
        upstream: &"http://fedi.test".parse().expect("an origin"),
        request: &request,
        request_body: Seen::Unknown,
        response: Some(&response),
        response_body: Seen::Absent,
        has_error: false,
        is_websocket: event == Event::WebsocketMessage,
    };
    filters.iter().any(|(asked, filter)| *asked == event && filter.evaluate(&view) == Answer::Yes)
}

#[test]
fn pages_are_asked_for_as_they_are() {
    let filters = filters(&json!({}));
    let home = "/api/v1/timelines/home";
    for (target, fields, answer, is_expected) in [
        (home, &[TOKEN][..], (200, &[][..]), true),
        (home, &[("authorization", "bEARER a")], (200, &[]), true),
        ("/api/v1/timelines/home?a&access_token=b", &[], (200, &[]), true),
        ("/api/v1/timelines/tag/%C3%A4?x", &[TOKEN], (200, &[]), true),
        (home, &[TOKEN], (206, &[]), true),
        (home, &[TOKEN], (206, &[("content-range", "bytes 0-1/2")]), false),
        (home, &[TOKEN], (206, &[("Content-Encoding", "gzip")]), true),
        (home, &[TOKEN], (200, &[("Content-Encoding", "gzip")]), true),
        (home, &[TOKEN], (401, &[]), false),
        (home, &[], (200, &[]), false),
        (home, &[("X-Authorization", "Bearer a")], (200, &[]), false),
        (home, &[("Authorization", "Basic a")], (200, &[]), false),
        ("/api/v1/timelines/home/", &[TOKEN], (200, &[]), false),
        ("/api/v1/timelines/tag/a%2Fb", &[TOKEN], (200, &[]), true),
        ("/api/v1/timelines/tag/a/b", &[TOKEN], (200, &[]), false),
        ("/x/api/v1/timelines/home", &[TOKEN], (200, &[]), false),
        ("/api/v1/statuses/1/context", &[TOKEN], (200, &[]), false),
        ("/api/v2/instance", &[], (200, &[]), true),
        ("/api/v2/instance", &[], (404, &[]), false),
        ("/api/v2/instance/peers", &[], (200, &[]), false),
    ] {
        assert_eq!(
            is_called(&filters, Event::Response, ("GET", target, fields), answer),
            is_expected,
            "{target} {fields:?} {answer:?}"
        );
        assert!(!is_called(&filters, Event::Response, ("POST", target, fields), answer), "{target}");
    }
}

#[test]
fn streams_are_asked_for_as_they_are() {
    let (own, shared) = (filters(&json!({})), filters(&json!({"scope": "shared"})));
    for (target, fields, has_token) in [
        ("/api/v1/streaming", &[TOKEN][..], true),
        ("/api/v1/streaming/?stream=user&access_token=a", &[], true),
        ("/api/v1/streaming?stream=user", &[("sec-websocket-protocol", "a")], true),
        ("/api/v1/streaming/public/local", &[], false),
    ] {
        for (event, status) in [(Event::WebsocketMessage, 101), (Event::SseEvent, 200)] {
            assert_eq!(is_called(&own, event, ("GET", target, fields), (status, &[])), has_token, "{target} {event:?}");
            assert!(is_called(&shared, event, ("GET", target, fields), (status, &[])), "{target} {event:?}");
            assert!(!is_called(&shared, event, ("GET", "/api/v1/streamings", fields), (status, &[])));
        }
    }
}
