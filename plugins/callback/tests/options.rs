//! Options, what they subscribe to, and errors without a server.
#![allow(clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

mod common;

use std::time::Duration;

use callback::Callback;
use common::{REQUEST_URL, RESPONSE_URL, answer, harness, on_request, on_response};
use tollgate_sdk::{
    BodyMode, Event, OverCap,
    serde_json::{Value, json},
    testing::{Exchange, Facts, Harness, HookFailure, TestRequest, TestResponse},
};

fn subscribed(options: Value) -> Vec<(Event, String)> {
    let harness = harness(options, json!({}));
    let all = harness.subscriptions().iter();
    let body = BodyMode::Full { cap: None, over_cap: OverCap::Truncate };
    assert!(all.clone().all(|asked| asked.body() == body));
    all.map(|asked| (asked.event(), asked.filter_text().to_owned())).collect()
}

fn refused(options: &Value) -> String {
    match Harness::<Callback>::configure(options.clone()) {
        Ok(_) => panic!("{options} is legal"),
        Err(errors) => errors.to_string(),
    }
}

#[test]
fn without_urls_nothing_happens() {
    for options in [
        json!({}),
        json!({ "callback_request_url": "", "callback_response_url": "", "filter": null }),
        json!({ "filter": " " }),
        json!({ "send_error": null }),
    ] {
        assert_eq!(subscribed(options), []);
    }
    // A filter is read by the proxy all the same, so that one that is wrong is refused, and nothing matches it.
    let unused = "(~m GET | ~c 2) & !~all".to_owned();
    assert_eq!(subscribed(json!({ "filter": "~m GET | ~c 2" })), [(Event::Request, unused)]);
    assert!(refused(&json!({ "filter": "~m GET) | (~c 2" })).contains("parenthesis"));
}

#[test]
fn filters_go_to_the_proxy_as_they_are() {
    let (both, request) = ("~u sync ~m GET", "~u sync ~m GET".to_owned());
    assert_eq!(subscribed(json!({ "callback_request_url": REQUEST_URL, "filter": both })), [(Event::Request, request.clone())]);
    let two = json!({ "callback_request_url": REQUEST_URL, "callback_response_url": RESPONSE_URL, "filter": both });
    let whole = (Event::Request, String::new());
    assert_eq!(subscribed(two), [(Event::Request, request.clone()), whole.clone(), (Event::Response, request.clone())]);
    for filter in [Value::Null, json!("")] {
        let options = json!({ "callback_request_url": REQUEST_URL, "filter": filter });
        assert_eq!(subscribed(options), [(Event::Request, String::new())]);
    }
    // Bodies of requests are known to responses only if they are asked for.
    let response = json!({ "callback_response_url": RESPONSE_URL, "filter": both });
    assert_eq!(subscribed(response), [whole.clone(), (Event::Response, request)]);
    let later = json!({ "callback_response_url": RESPONSE_URL, "filter": "~c 200" });
    assert_eq!(subscribed(later), [whole, (Event::Response, "~c 200".to_owned())]);
    // Not of flows that can't have a callback.
    let here = "~l hs1".to_owned();
    let some = json!({ "callback_response_url": RESPONSE_URL, "filter": here });
    assert_eq!(subscribed(some), [(Event::Request, here.clone()), (Event::Response, here)]);
}

#[test]
fn subscriptions_for_bodies_call_nobody() {
    let done = on_response(json!({}), answer(json!({ "respond_status_code": 418 }))).request(TestRequest::get("/"));
    assert_eq!(done.http.len(), 0);
    // The one for the request's body alone.
    let options = json!({ "callback_request_url": REQUEST_URL, "callback_response_url": RESPONSE_URL, "filter": "~c 200" });
    let harness = harness(options, json!({})).with_http(|_| answer(json!({}))).with_matched(Event::Request, &[1]);
    assert_eq!(harness.request(TestRequest::get("/")).http.len(), 0);
}

#[test]
fn wrong_options_are_named() {
    for (options, why) in [
        (json!({ "callback_request_url": null }), "callback_request_url: invalid type: null, expected a string"),
        (json!({ "callback_response_url": 5 }), "callback_response_url: invalid type: integer `5`, expected a string"),
        (
            json!({ "callback_request_url": "localhost:1" }),
            "callback_request_url: must be a URL that starts with http:// or https://, or empty",
        ),
        (json!({ "callback_request_url": "ftp://a/" }), "callback_request_url: must be a URL"),
        (json!({ "callback_request_url": "http:///a" }), "callback_request_url: must name a host"),
        (json!({ "callback_request_url": "http://:80/a" }), "callback_request_url: must name a host"),
        (json!({ "callback_response_url": "http://u:hunter2@a/" }), "callback_response_url: must have no user name and password"),
        (json!({ "callback_request_url": "http://hunter2:99999/x" }), "callback_request_url: must have a port from 1 to 65535"),
        (json!({ "callback_request_url": "http://127.0.0.1:445566" }), "must have a port from 1 to 65535"),
        (json!({ "callback_response_url": "http://127.0.0.1:0/" }), "callback_response_url: must have a port from 1 to 65535"),
        (json!({ "callback_request_url": "http://hunter2:b:c/" }), "callback_request_url: must "),
        (json!({ "callback_request_url": "http://[::1/hunter2" }), "callback_request_url: must name a host: in brackets"),
        (json!({ "callback_request_url": "http://[::hunter2]/" }), "must name a host: in brackets"),
        (json!({ "callback_request_url": "http://256.0.0.1/" }), "must name a host: this is no IPv4 address"),
        (json!({ "callback_request_url": "http://exa mple/hunter2" }), "must have no white space"),
        (json!({ "callback_request_url": "http://a/hunter2 b" }), "must have no white space"),
        (json!({ "callback_request_url": "http://a/\thunter2" }), "must have no white space and no control characters"),
        (json!({ "callback_request_url": "http://a/\u{7f}" }), "must have no white space and no control characters"),
        (json!({ "callback_request_url": "http://hun^ter2/" }), "must name a host: this one has characters"),
        (json!({ "callback_request_url": "http://u:hunter2@a:99999/" }), "must have no user name and password"),
        (json!({ "filter": 5 }), "filter: invalid type: integer `5`, expected a string"),
        (json!({ "on_callback_error": "open" }), "on_callback_error: unknown variant `open`, expected `pass` or `fail`"),
        (json!({ "timeout": "10" }), "timeout: invalid type: string"),
        (json!({ "timeout": 0 }), "timeout: is 0, must be 0.001 to 50 seconds"),
        (json!({ "timeout": 50.001 }), "timeout: is 50.001, must be 0.001 to 50 seconds: for more, the addon's `wall`"),
        (json!({ "timeout": -1 }), "timeout: is -1"),
        (json!({ "send_error": { "count": 1 } }), "send_error: missing field `status`"),
        (json!({ "send_error": { "count": -1, "status": 504 } }), "send_error.count: invalid value"),
        (json!({ "send_error": { "status": 99 } }), "send_error.status: is 99, must be 200 to 599"),
        (json!({ "send_error": { "status": 600 } }), "send_error.status: is 600"),
        (json!({ "send_error": { "status": 504, "phase": "both" } }), "send_error.phase: unknown variant"),
        (json!({ "callback_url": "http://a" }), "callback_url: unknown field"),
    ] {
        let shown = refused(&options);
        assert!(shown.contains(why) && !shown.contains("hunter2"), "{shown} is not {why}");
    }
}

#[test]
fn urls_may_name_any_host() {
    for url in [
        "http://a",
        "https://a.b-c_d:65535/x?y#z",
        "http://127.0.0.1:1/",
        "http://[::1]:4000/a",
        "http://[fe80::1]",
        "http://b\u{fc}cher.example/%20",
    ] {
        assert_eq!(subscribed(json!({ "callback_request_url": url })).len(), 1, "{url}");
    }
}

#[test]
fn timeouts_are_as_configured() {
    for (timeout, expected) in [(json!(0.001), 1), (json!(1), 1_000), (json!(2.5), 2_500), (json!(50), 50_000)] {
        let done = on_request(json!({ "timeout": timeout }), answer(json!({}))).request(TestRequest::get("/"));
        assert_eq!(done.http[0].timeout, Some(Duration::from_millis(expected)));
    }
    // Together with it, a delay must leave the hook some time.
    let done = on_request(json!({ "timeout": 50 }), answer(json!({ "delay_ms": 5_001 }))).request(TestRequest::get("/"));
    assert!(common::reason(&done.log).contains("at most 5000"));
}

fn pass(harness: &Harness<Callback>) -> Exchange {
    harness.exchange(TestRequest::get("/"), |_| TestResponse::new(200).with_header("X-Own", "1"))
}

#[test]
fn the_first_flows_get_errors() {
    let harness = harness(json!({ "send_error": { "count": 2, "status": 504 } }), json!({}));
    for _ in 0..2 {
        let done = pass(&harness);
        assert_eq!((done.sent.as_ref(), done.response().status), (None, 504));
        assert_eq!(done.response().text(), r#"{"error":"callback.SendError"}"#);
    }
    let done = pass(&harness);
    assert_eq!((done.response().status, done.http.len()), (200, 0));
}

#[test]
fn without_a_count_all_get_errors() {
    for count in [json!({ "status": 504 }), json!({ "count": 0, "status": 504 })] {
        let harness = harness(json!({ "send_error": count }), json!({})).without_kv();
        for _ in 0..3 {
            assert_eq!(pass(&harness).response().status, 504);
        }
    }
}

#[test]
fn errors_after_the_upstream_keep_its_fields() {
    let harness = harness(json!({ "send_error": { "count": 1, "status": 504, "phase": "response" } }), json!({}));
    let done = pass(&harness);
    assert!(done.sent.is_some());
    assert_eq!((done.response().status, done.response().header("x-own")), (504, Some("1")));
    assert_eq!(done.response().text(), r#"{"error":"callback.SendError"}"#);
    assert_eq!(pass(&harness).response().status, 200);
}

#[test]
fn errors_come_before_callbacks() {
    let options = json!({
        "callback_request_url": REQUEST_URL, "callback_response_url": RESPONSE_URL, "send_error": { "count": 1, "status": 504 },
    });
    let harness = harness(options, json!({})).with_http(|_| answer(json!({})));
    let urls = |done: &Exchange| done.http.iter().map(|request| request.url.clone()).collect::<Vec<_>>();
    assert_eq!(urls(&pass(&harness)), [RESPONSE_URL]);
    assert_eq!(urls(&pass(&harness)), [REQUEST_URL, RESPONSE_URL]);
}

#[test]
fn each_generation_counts_anew() {
    let harness = harness(json!({ "send_error": { "count": 1, "status": 504 } }), json!({}));
    assert_eq!((pass(&harness).response().status, pass(&harness).response().status), (504, 200));
    let next = Facts { addon_generation: "0000000000000002".to_owned(), ..Facts::default() };
    let harness = harness.with_facts(next);
    assert_eq!((pass(&harness).response().status, pass(&harness).response().status), (504, 200));
}

#[test]
fn without_a_store_nothing_passes_silently() {
    let harness = harness(json!({ "send_error": { "count": 1, "status": 504 } }), json!({})).without_kv();
    let done = harness.request(TestRequest::get("/"));
    let Err(HookFailure::Failed(error)) = done.verdict else { panic!("{:?}", done.verdict) };
    assert!(error.to_string().contains("needs `kv = true`"), "{error}");
}
