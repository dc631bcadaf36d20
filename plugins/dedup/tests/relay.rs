//! Streams on a host of their own.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod common;

use std::time::Duration;

use common::{ADA, HOME, answer, ask, boost, harness, message, passes, post, shown};
use dedup::Dedup;
use tollgate_sdk::{
    RequestVerdict, http,
    serde_json::{Value, json},
    testing::{Harness, TestFlow, TestRequest, TestResponse},
};

const STREAMING: &str = "/api/v1/streaming?stream=user";
const V2: &str = "/api/v2/instance";

/// An addon whose upstream says that its streams are there.
fn saying(options: Value, url: &str) -> Harness<Dedup> {
    let body = json!({ "configuration": { "urls": { "streaming": url } } }).to_string();
    harness(options).with_http(move |request| {
        assert!(!request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization")), "nobody's token");
        Ok(http::Response::new(if request.url.ends_with(V2) { 200 } else { 404 }).with_body(body.clone()))
    })
}

fn begun(harness: &Harness<Dedup>, upstream: &str) -> TestFlow<Dedup> {
    let request = TestRequest { upstream: upstream.to_owned(), ..ask(STREAMING, ADA) };
    let mut flow = harness.flow(request);
    assert_eq!(flow.request().expect("a verdict"), RequestVerdict::Next);
    flow
}

/// Where a stream goes, and what the log is told.
fn led(options: Value, upstream: &str, url: &str) -> (String, usize) {
    let flow = begun(&saying(options, url), upstream);
    (flow.staged_request().upstream, flow.log().len())
}

#[test]
fn streams_go_to_hosts_of_the_same_site() {
    const UP: &str = "https://upstream.example";
    for (url, expected) in [
        ("wss://streaming.upstream.example", "https://streaming.upstream.example"),
        ("wss://Streaming.Upstream.Example:4000/", "https://streaming.upstream.example:4000"),
        ("https://upstream.example:4000", "https://upstream.example:4000"),
        ("wss://upstream.example", UP),
        // The proxy's own.
        ("wss://tollgate.test", UP),
        ("", UP),
    ] {
        assert_eq!(led(json!({}), UP, url), (expected.to_owned(), 0), "{url}");
    }
}

#[test]
fn streams_of_other_hosts_go_to_the_upstream_with_a_warning() {
    const UP: &str = "https://upstream.co.uk";
    for url in [
        "wss://elsewhere.co.uk",
        "wss://upstream.co.uk.evil.test",
        "wss://evil-upstream.co.uk",
        "wss://co.uk",
        "wss://127.0.0.1",
        "wss://169.254.169.254",
        "wss://[::1]",
        "wss://upstream.co.uk@evil.test",
        "wss://streaming.upstream.co.uk/path",
        "ws://streaming.upstream.co.uk",
        "gopher://upstream.co.uk",
        "x",
    ] {
        assert_eq!(led(json!({}), UP, url), (UP.to_owned(), 1), "{url}");
    }
    let flow = begun(&saying(json!({}), "wss://elsewhere.co.uk"), UP);
    assert!(flow.log()[0].message.contains("they go to the upstream"), "{:?}", flow.log());
}

#[test]
fn listed_hosts_are_as_good() {
    const UP: &str = "https://upstream.test";
    for (listed, url, expected) in [
        ("streams.example", "wss://streams.example:4000", "https://streams.example:4000"),
        ("Streams.Example", "wss://streams.example", "https://streams.example"),
        ("*.example", "wss://a.b.example", "https://a.b.example"),
        ("127.0.0.1", "wss://127.0.0.1:4000", "https://127.0.0.1:4000"),
        ("*.example", "wss://example", UP),
        ("streams.example", "wss://a.streams.example", UP),
        // Never without TLS.
        ("streams.example", "ws://streams.example", UP),
    ] {
        assert_eq!(led(json!({ "streaming_hosts": [listed] }), UP, url).0, expected, "{listed} {url}");
    }
    let refused =
        |hosts: Value| Harness::<Dedup>::configure(json!({ "streaming_hosts": hosts })).err().map(|errors| errors.to_string());
    for host in ["", "*", "a:80", "wss://a", "a/b"] {
        assert!(refused(json!([host])).is_some_and(|error| error.contains("streaming_hosts[0]")), "{host:?}");
    }
    let many = |count: usize| refused(json!(vec!["a"; count]));
    assert_eq!((many(28), many(29)), (None, None));
    assert!(many(30).is_some_and(|error| error.contains("at most 29")));
}

#[test]
fn redirects_are_followed_to_the_same_hosts() {
    let followed = |options: Value, upstream: &str| begun(&saying(options, ""), upstream).staged_request().followed_hosts;
    assert_eq!(followed(json!({}), "https://a.upstream.test:1"), ["a.upstream.test", "upstream.test", "*.upstream.test"]);
    assert_eq!(followed(json!({}), "http://127.0.0.1:3000"), ["127.0.0.1"]);
    assert_eq!(followed(json!({ "streaming_hosts": ["*.B.test"] }), "http://web:3000"), ["web", "*.b.test"]);
}

#[test]
fn documents_that_pass_tell_where_streams_are() {
    let harness = harness(json!({})).with_http(|request| panic!("nobody is asked: {}", request.url));
    for host in ["streaming", "streams"] {
        let body = json!({ "configuration": { "urls": { "streaming": format!("ws://{host}.upstream.test") } } });
        answer(&harness, TestRequest::get(V2), TestResponse::new(200).with_json(&body));
        let flow = begun(&harness, "http://upstream.test");
        assert_eq!(flow.staged_request().upstream, format!("http://{host}.upstream.test"));
    }
}

#[test]
fn an_upstream_is_asked_once_an_hour() {
    let harness = saying(json!({}), "wss://streaming.upstream.test");
    let asked = || begun(&harness, "http://upstream.test").http().len();
    assert_eq!((asked(), asked()), (1, 0));
    harness.pass(Duration::from_mins(61));
    assert_eq!((asked(), asked()), (1, 0));
    // One that says nothing is asked for both documents, and again after a while.
    let silent = common::harness(json!({})).with_http(|_| Ok(http::Response::new(404)));
    let asked = || begun(&silent, "http://upstream.test").http().len();
    assert_eq!((asked(), asked()), (2, 0));
    silent.pass(Duration::from_mins(6));
    assert_eq!(asked(), 2);
}

#[test]
fn the_log_is_told_once_a_day() {
    let harness = saying(json!({}), "wss://elsewhere.test");
    let told = || begun(&harness, "http://upstream.test").log().len();
    assert_eq!((told(), told()), (1, 0));
    harness.pass(Duration::from_hours(25));
    assert_eq!((told(), told()), (1, 0));
}

#[test]
fn many_upstreams_take_a_bounded_store() {
    let harness = saying(json!({}), "wss://elsewhere.test");
    for number in 0..600 {
        begun(&harness, &format!("http://up{number}.test"));
    }
    let kept = (0..=255).filter(|slot| harness.kv("streaming", &format!("{slot:02x}")).is_some()).count();
    assert!(kept > 200, "{kept}");
    // What one says is not taken for another's.
    let flow = begun(&harness, "http://up0.test");
    assert_eq!(flow.staged_request().upstream, "http://up0.test");
}

#[test]
fn without_a_store_streams_are_led_all_the_same() {
    let harness = saying(json!({}), "wss://streaming.upstream.test").without_kv();
    assert_eq!(begun(&harness, "http://upstream.test").staged_request().upstream, "https://streaming.upstream.test");
    let long = format!("wss://{}.upstream.test", "a".repeat(600));
    let harness = saying(json!({}), &long);
    assert_eq!(begun(&harness, "http://upstream.test").staged_request().upstream, "http://upstream.test");
}

/// Wherever a stream goes, its posts are those of the server that pages are from.
#[test]
fn streams_share_what_was_seen_with_pages() {
    let harness = saying(json!({}), "wss://streaming.upstream.test");
    let mut flow = begun(&harness, "http://upstream.test");
    assert_eq!(flow.staged_request().upstream, "https://streaming.upstream.test");
    assert!(passes(&mut flow, message(&["user"], "update", &post("1", "a"))));
    assert_eq!(shown(&harness, HOME, ADA, &[boost("2", post("1", "a")), post("3", "c")]), ["3"]);
    assert!(!passes(&mut flow, message(&["user"], "update", &boost("4", post("3", "c")))));
}
