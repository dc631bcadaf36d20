//! Where clients find streams.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod common;

use common::{answer, harness};
use tollgate_sdk::{
    serde_json::{Value, json},
    testing::{Facts, TestRequest, TestResponse},
};

const V2: &str = "/api/v2/instance";
const V1: &str = "/api/v1/instance";

fn v2(url: &str) -> String {
    format!(
        r#"{{ "domain":"posts.test", "usage":{{"users":{{"active_month":1e3}}}},
  "configuration" : {{"urls":{{"about":"https:\/\/posts.test\/about", "streaming" : {url} ,"status":null}},"vapid":{{}}}},
  "urls":{{"streaming_api":"wss://other"}}, "rules":[] }}"#
    )
}

fn v1(url: &str) -> String {
    format!(r#"{{"uri":"posts.test","urls":{{"streaming_api":{url}}},"configuration":{{"urls":{{"streaming":"wss://other"}}}}}}"#)
}

fn rewritten(options: Value, request: TestRequest, body: &str) -> String {
    answer(&harness(options), request, TestResponse::new(200).with_body(body)).text().to_owned()
}

#[test]
fn streams_are_found_at_the_proxy() {
    let options = json!({ "public_url": "https://fedi.test/" });
    let before = r#""wss:\/\/upstream.test""#;
    for (path, document) in [(V2, v2 as fn(&str) -> String), (V1, v1)] {
        let done = rewritten(options.clone(), TestRequest::get(path), &document(before));
        assert_eq!(done, document(r#""wss://fedi.test""#), "all else is as it was");
    }
}

#[test]
fn without_a_url_the_request_tells() {
    for (proto, scheme, expected) in [
        (None, "http", "ws://tollgate.test"),
        (None, "https", "wss://tollgate.test"),
        (Some("https"), "http", "wss://tollgate.test"),
        (Some("HTTPS, http"), "http", "wss://tollgate.test"),
        (Some("http"), "https", "ws://tollgate.test"),
        (Some(""), "https", "wss://tollgate.test"),
    ] {
        let request = TestRequest { scheme: scheme.to_owned(), ..TestRequest::get(V2) };
        let request = match proto {
            Some(proto) => request.with_header("X-Forwarded-Proto", proto),
            None => request,
        };
        let done = rewritten(json!({}), request, &v2(r#""wss://upstream.test""#));
        assert_eq!(done, v2(&format!("{expected:?}")), "{proto:?} {scheme}");
    }
    let request = TestRequest { authority: "127.0.0.1:8080".to_owned(), ..TestRequest::get(V1) };
    assert_eq!(rewritten(json!({}), request, &v1(r#""""#)), v1(r#""ws://127.0.0.1:8080""#));
    let request = TestRequest { authority: String::new(), ..TestRequest::get(V1) };
    assert_eq!(rewritten(json!({}), request, &v1(r#""wss://upstream.test""#)), v1(r#""wss://upstream.test""#));
}

#[test]
fn the_key_that_clients_read_is_rewritten() {
    let body = r#"{"urls":{"streaming_api":"a","streaming_api":"b"}}"#;
    assert_eq!(
        rewritten(json!({}), TestRequest::get(V1), body),
        r#"{"urls":{"streaming_api":"a","streaming_api":"ws://tollgate.test"}}"#
    );
}

#[test]
fn documents_without_streams_are_not_touched() {
    for path in [V1, V2] {
        for body in [
            "",
            "{",
            "{}",
            "[]",
            "null",
            r#"{"urls":null}"#,
            r#"{"urls":{}}"#,
            r#"{"urls":{"streaming_api":null}}"#,
            r#"{"urls":{"streaming_api":1}}"#,
            r#"{"configuration":{"urls":[]}}"#,
            r#"{"configuration":{"urls":{"streaming":{}}}}"#,
        ] {
            assert_eq!(rewritten(json!({}), TestRequest::get(path), body), body, "{path}");
        }
    }
    for (method, path) in
        [("POST", V2), ("GET", "/api/v2/instance/"), ("GET", "/api/v3/instance"), ("GET", "/api/v2/instance/rules")]
    {
        let body = v2(r#""wss://upstream.test""#);
        assert_eq!(rewritten(json!({}), TestRequest::new(method, path), &body), body);
    }
    for status in [206, 404, 500] {
        let response = TestResponse::new(status).with_body(v2(r#""wss://upstream.test""#));
        assert_eq!(answer(&harness(json!({})), TestRequest::get(V2), response.clone()), response);
    }
    let mut flow = harness(json!({})).flow(TestRequest::get(V2));
    flow.response(TestResponse::new(200).with_body(v2(r#""ws:\/\/tollgate.test""#))).expect("a verdict");
    assert_eq!(flow.mutations(), [], "it names the proxy already");
}

#[test]
fn streams_of_another_host_are_found_at_the_proxy_too() {
    for url in
        ["wss://streaming.upstream.test", "wss:\\/\\/elsewhere.test:4000", "wss://upstream.test:4000/x", "wss://[::1]:80/", "x"]
    {
        let done = rewritten(json!({}), TestRequest::get(V2), &v2(&format!("\"{url}\"")));
        assert_eq!(done, v2(r#""ws://tollgate.test""#), "{url}");
    }
}

#[test]
fn the_listener_knows_its_origin_better_than_the_request() {
    let asked = |options: Value, public: &str| {
        let facts = Facts { public_origin: Some(public.to_owned()), ..Facts::default() };
        let done = answer(
            &harness(options).with_facts(facts),
            TestRequest::get(V2),
            TestResponse::new(200).with_body(v2(r#""wss://upstream.test""#)),
        );
        done.text().to_owned()
    };
    assert_eq!(asked(json!({}), "https://fedi.test"), v2(r#""wss://fedi.test""#));
    assert_eq!(asked(json!({}), "http://fedi.test:8080"), v2(r#""ws://fedi.test:8080""#));
    assert_eq!(asked(json!({ "public_url": "https://own.test" }), "https://fedi.test"), v2(r#""wss://own.test""#));
}
