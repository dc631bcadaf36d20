//! What the callback server is sent.
#![allow(clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

mod common;

use std::time::Duration;

use common::{REQUEST_URL, RESPONSE_URL, answer, on_request, on_response, sent};
use tollgate_sdk::{
    serde_json::{Value, json},
    testing::{TestRequest, TestResponse},
};

/// What is said of a request.
fn shown(request: TestRequest) -> Value {
    sent(&on_request(json!({}), answer(json!({}))).request(request).http[0])
}

/// What is said of a response, in whole.
fn shown_text(request: TestRequest, response: TestResponse) -> String {
    let done = on_response(json!({}), answer(json!({}))).response(request, response);
    String::from_utf8(done.http[0].body.clone()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn requests_are_told_key_by_key() {
    let mut request = TestRequest::post("/_matrix/client/v3/x?a=%21b").with_header("Authorization", "Bearer syt_abc");
    request.upstream = "http://hs1:8008".to_owned();
    let done = on_request(json!({}), answer(json!({}))).request(request.with_body(r#"{"a":1}"#));
    let [call] = &done.http[..] else { panic!("one call") };
    assert_eq!((call.method.as_str(), call.url.as_str()), ("POST", REQUEST_URL));
    assert_eq!(call.headers, [("Content-Type".to_owned(), b"application/json".to_vec())]);
    assert_eq!((call.timeout, call.redirects), (Some(Duration::from_secs(10)), 10));
    let expected =
        r#"{"method":"POST","access_token":"syt_abc","url":"http://hs1:8008/_matrix/client/v3/x?a=%21b","request_body":{"a":1}}"#;
    assert_eq!(String::from_utf8_lossy(&call.body), expected);
}

#[test]
fn responses_are_told_with_their_request() {
    let request = TestRequest::put("/a").with_header("Authorization", "Bearer t").with_body(r#"{"a":1}"#);
    let expected = r#"{"method":"PUT","access_token":"t","url":"http://upstream.test/a","response_code":201,"request_body":{"a":1},"response_body":{"ok":true}}"#;
    assert_eq!(shown_text(request, TestResponse::new(201).with_body(r#"{"ok":true}"#)), expected);
    let done = on_response(json!({}), answer(json!({}))).response(TestRequest::get("/"), TestResponse::new(200));
    assert_eq!(done.http[0].url, RESPONSE_URL);
}

#[test]
fn tokens_are_what_follows_the_prefix() {
    for (fields, token) in [
        (&[][..], ""),
        (&["Bearer syt_abc"], "syt_abc"),
        (&["Basic abc"], "Basic abc"),
        (&["bearer low"], "bearer low"),
        (&["Bearer  two"], " two"),
        (&["Bearer"], "Bearer"),
        (&["Bearer one", "Bearer two"], "one, Bearer two"),
    ] {
        let request = TestRequest::get("/?access_token=query");
        let request = fields.iter().fold(request, |request, value| request.with_header("authorization", value));
        assert_eq!(shown(request)["access_token"], token, "{fields:?}");
    }
}

#[test]
fn urls_are_those_of_the_upstream() {
    for (upstream, target, url) in [
        ("http://hs1:8008", "/a%2Fb/%c3%a4?x=%21&y", "http://hs1:8008/a%2Fb/%c3%a4?x=%21&y"),
        ("https://example.org", "/", "https://example.org/"),
        ("http://[::1]:8008", "/a", "http://[::1]:8008/a"),
        ("http://hs1:8008", "*", "http://hs1:8008"),
    ] {
        let mut request = TestRequest::new("OPTIONS", target).with_header("Host", "elsewhere");
        request.upstream = upstream.to_owned();
        assert_eq!(shown(request)["url"], url);
    }
}

#[test]
fn bodies_are_json_digit_for_digit() {
    for (body, json) in [
        (r#"{"a":1}"#, r#"{"a":1}"#),
        ("42", "42"),
        ("\"s\"", "\"s\""),
        ("[1, 2]", "[1, 2]"),
        ("false", "false"),
        (" {\"z\": 1.10, \"a\": 1e400}\n", "{\"z\": 1.10, \"a\": 1e400}"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        (r#""\u00e9\ud83d""#, r#""\u00e9\ud83d""#),
        ("null", "null"),
        ("", "null"),
        ("a=b", "null"),
        ("{\"a\":1", "null"),
        ("{} {}", "null"),
    ] {
        // Whatever the Content-Type.
        let request = TestRequest::post("/").with_header("Content-Type", "text/plain").with_body(body);
        let expected = format!(
            r#"{{"method":"POST","access_token":"","url":"http://upstream.test/","response_code":200,"request_body":{json},"response_body":{json}}}"#
        );
        assert_eq!(shown_text(request, TestResponse::new(200).with_body(body)), expected, "{body}");
    }
    let request = TestRequest::post("/").with_body(&b"\"\xff\""[..]);
    assert_eq!(shown(request)["request_body"], Value::Null);
}

#[test]
fn deep_bodies_are_told_too() {
    let body = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
    assert!(shown_text(TestRequest::get("/"), TestResponse::new(200).with_body(body.clone())).contains(&body));
}

#[test]
fn fields_are_told_if_wanted() {
    let request = || TestRequest::get("/").with_header("X-A", "1").with_header("B", "é").with_header("x-a", "2");
    let response = || TestResponse::new(200).with_header("Set-Cookie", "a=1").with_header("Set-Cookie", "b=2");
    for event in ["request", "response"] {
        let silent = on_response(json!({}), answer(json!({}))).response(request(), response());
        let told = sent(&silent.http[0]);
        assert!(told.get(format!("{event}_headers")).is_none(), "{told}");
    }
    let wanted = json!({ "callback_headers": true });
    let told = sent(&on_request(wanted.clone(), answer(json!({}))).request(request()).http[0]);
    assert_eq!(told["request_headers"], json!({ "X-A": ["1", "2"], "B": ["é"] }));
    assert!(told.get("response_headers").is_none());
    let told = sent(&on_response(wanted, answer(json!({}))).response(request(), response()).http[0]);
    assert_eq!(told["response_headers"], json!({ "Set-Cookie": ["a=1", "b=2"] }));
}

#[test]
fn every_method_is_told() {
    for method in ["OPTIONS", "HEAD", "DELETE", "PROPFIND"] {
        assert_eq!(shown(TestRequest::new(method, "/"))["method"], method);
    }
}
