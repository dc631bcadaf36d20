//! What answers about responses do.
#![allow(clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

mod common;

use common::{answer, on_response, reason, sent, text};
use tollgate_sdk::{
    FailureKind, Origin, ResponseVerdict, UpstreamFailure, http,
    serde_json::{Value, json},
    testing::{Responded, TestRequest, TestResponse},
};

/// A response with fields of every kind.
fn upstream() -> TestResponse {
    TestResponse::new(200)
        .with_header("Date", "Sat, 21 Nov 2026 16:00:00 GMT")
        .with_header("Content-Type", "text/plain")
        .with_header("access-control-allow-origin", "*")
        .with_header("Set-Cookie", "a=1")
        .with_header("Set-Cookie", "b=2")
        .with_header("X-Own", "kept")
        .with_body("a text")
}

fn asked(reply: &str) -> Responded {
    on_response(json!({}), text(reply)).response(TestRequest::get("/"), upstream())
}

#[test]
fn nothing_known_changes_nothing() {
    for reply in ["{}", r#"{"foo":1}"#, r#"{"abort":false,"delay_ms":1}"#, r#"{"request_body":1,"request_headers":{"X":"1"}}"#] {
        let done = asked(reply);
        assert_eq!((done.verdict, &done.response, done.log.len()), (Ok(ResponseVerdict::Next), &upstream(), 0), "{reply}");
    }
}

#[test]
fn only_the_status_is_replaced() {
    let done = asked(r#"{"respond_status_code":418}"#);
    assert_eq!(done.response, TestResponse { status: 418, ..upstream() });
}

#[test]
fn only_the_body_is_replaced() {
    for (body, out) in
        [(r#"{"foo": "bar"}"#, r#"{"foo": "bar"}"#), ("\"str\"", "\"str\""), ("null", "null"), ("[1e3,1.10]", "[1e3,1.10]")]
    {
        let done = asked(&format!(r#"{{"respond_body":{body}}}"#));
        let mut expected = upstream().with_body(out);
        expected.headers[1].1 = b"application/json".to_vec();
        assert_eq!(done.response, expected, "{body}");
    }
}

#[test]
fn both_are_replaced() {
    let done = asked(r#"{"respond_status_code":403,"respond_body":{"foo":"bar"}}"#);
    assert_eq!((done.response.status, done.response.text()), (403, r#"{"foo":"bar"}"#));
}

#[test]
fn fields_are_replaced_and_removed() {
    let done = asked(r#"{"respond_headers":{"set-cookie":"c=3","X-Own":null,"X-New":["1","2"]}}"#);
    let values = |name: &str| done.response.header_values(name);
    assert_eq!(values("set-cookie"), [b"c=3"]);
    assert_eq!((values("x-own").len(), values("x-new")), (0, vec![b"1".to_vec(), b"2".to_vec()]));
    assert_eq!((done.response.status, done.response.text()), (200, "a text"));
    let done = asked(r#"{"respond_body":1,"respond_headers":{"content-type":"text/x"}}"#);
    assert_eq!(done.response.header_values("content-type"), [b"text/x"]);
}

#[test]
fn answers_without_body_stay_so() {
    for status in [204, 304] {
        let done = asked(&format!(r#"{{"respond_status_code":{status},"respond_body":{{}}}}"#));
        assert_eq!((done.verdict, done.response.status, done.log.len()), (Ok(ResponseVerdict::Next), status, 0));
        assert_eq!(done.response.header("content-type"), Some("text/plain"));
    }
    let harness = on_response(json!({}), answer(json!({ "respond_status_code": 203, "respond_body": {} })));
    let head = upstream().with_header("Content-Length", "6").with_header("ETag", "\"1\"").with_body("");
    let done = harness.response(TestRequest::new("HEAD", "/"), head);
    let Ok(ResponseVerdict::Replace(made)) = done.verdict else { panic!("{:?}", done.verdict) };
    assert_eq!((made.status, made.body.as_slice()), (203, &b"{}"[..]));
    let names: Vec<_> = made.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Date", "access-control-allow-origin", "Set-Cookie", "Set-Cookie", "X-Own", "Content-Type"]);
}

#[test]
fn connections_are_dropped() {
    assert_eq!(asked(r#"{"abort":true}"#).verdict, Ok(ResponseVerdict::Drop));
}

#[test]
fn impossible_answers_are_told_and_do_nothing() {
    for (reply, why) in [
        ("null", "no JSON object"),
        (r#"{"respond_status_code":"200"}"#, "respond_status_code must be a number"),
        (r#"{"respond_status_code":null}"#, "respond_status_code must be a number"),
        (r#"{"respond_status_code":1000}"#, "respond_status_code is 1000, must be 200 to 599"),
        (r#"{"respond_status_code":418,"respond_headers":{"X-A":"1","Connection":"close"}}"#, "Connection belongs to the proxy"),
        (r#"{"respond_body":1,"abort":true}"#, "exclude each other"),
    ] {
        let done = asked(reply);
        assert_eq!((&done.verdict, &done.response), (&Ok(ResponseVerdict::Next), &upstream()), "{reply}");
        assert!(reason(&done.log).contains(why), "{:?} is not {why}", done.log);
    }
}

#[test]
fn parts_of_bodies_are_not_replaced() {
    let part = TestResponse { status: 206, ..upstream() }.with_header("Content-Range", "bytes 0-5/10");
    let asked = |reply: Value| on_response(json!({}), answer(reply)).response(TestRequest::get("/"), part.clone());
    let done = asked(json!({ "respond_body": {}, "respond_headers": { "X-Own": "new" } }));
    assert_eq!((done.verdict, &done.response), (Ok(ResponseVerdict::Next), &part));
    assert!(reason(&done.log).contains("(206)"), "{:?}", done.log);
    let done = asked(json!({ "respond_body": {}, "respond_status_code": 200 }));
    assert_eq!((done.response.status, done.response.text()), (200, "{}"));
}

#[test]
fn refused_edits_leave_all_as_it_was() {
    // More than the proxy takes, though the answer alone is not.
    let full = (0..250).fold(upstream(), |response, number| response.with_header("X-Many", number.to_string()));
    let fields: Vec<String> = (0..10).map(|number| number.to_string()).collect();
    let reply = json!({ "respond_status_code": 418, "respond_headers": { "X-Own": "new", "X-More": fields } });
    let done = on_response(json!({}), answer(reply)).response(TestRequest::get("/"), full.clone());
    assert_eq!((done.verdict, &done.response), (Ok(ResponseVerdict::Next), &full));
    assert!(reason(&done.log).starts_with("X-More can't be changed: too large"), "{:?}", done.log);
}

#[test]
fn failures_are_502_if_wanted() {
    let harness = on_response(json!({ "on_callback_error": "fail" }), Err(http::Error::Connect("http://a".to_owned())));
    let done = harness.exchange(TestRequest::get("/"), |_| upstream());
    assert_eq!((done.response().status, done.response().header("x-own")), (502, None));
    let expected = json!({ "errcode": "M_UNKNOWN", "error": "response callback failed: no connection: http://a" });
    assert_eq!(done.response().json::<Value>(), expected);
    assert_eq!(reason(&done.log), "no connection: http://a");
}

#[test]
fn answers_of_others_are_asked_about() {
    for origin in [Origin::Core, Origin::Addon("other".to_owned())] {
        let response = TestResponse { origin, ..TestResponse::new(503) };
        let done = on_response(json!({}), answer(json!({}))).response(TestRequest::get("/"), response);
        assert_eq!(sent(&done.http[0])["response_code"], 503);
    }
    let failure = UpstreamFailure { kind: FailureKind::Connect, message: "refused".to_owned() };
    let harness = on_response(json!({}), answer(json!({ "respond_status_code": 200 })));
    let done = harness.exchange(TestRequest::get("/"), |_| failure);
    assert_eq!((&sent(&done.http[0])["response_code"], done.response().status), (&json!(502), 200));
}
