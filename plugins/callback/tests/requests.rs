//! What answers about requests do.
#![allow(clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

mod common;

use common::{REQUEST_URL, RESPONSE_URL, answer, harness, on_request, reason, sent, text};
use tollgate_sdk::{
    MadeResponse, RequestVerdict, http,
    serde_json::{Value, json},
    testing::{Requested, TestRequest, TestResponse},
};

fn asked(reply: &str) -> Requested {
    on_request(json!({}), text(reply)).request(TestRequest::post("/").with_body("sent"))
}

#[track_caller]
fn made(done: &Requested) -> &MadeResponse {
    match &done.verdict {
        Ok(RequestVerdict::Respond(made)) => made,
        other => panic!("a response should be: {other:?} {:?}", done.log),
    }
}

/// Nothing was done, for this reason.
#[track_caller]
fn assert_failed(done: &Requested, why: &str) {
    assert_eq!(done.verdict, Ok(RequestVerdict::Next), "{why}");
    assert_eq!((done.request.body.as_slice(), done.request.headers.len()), (&b"sent"[..], 0), "{why}");
    let reason = reason(&done.log);
    assert!(reason.contains(why), "{reason} is not {why}");
}

#[test]
fn nothing_known_changes_nothing() {
    for reply in ["{}", " {} ", r#"{"foo":1}"#, r#"{"abort":false}"#, r#"{"request_body":null}"#, r#"{"delay_ms":0}"#] {
        let done = asked(reply);
        assert_eq!((done.verdict, done.log.len()), (Ok(RequestVerdict::Next), 0), "{reply}");
        assert_eq!(done.request.body, b"sent");
    }
}

#[test]
fn status_and_body_answer_at_once() {
    let done = on_request(json!({}), answer(json!({ "respond_status_code": 418, "respond_body": { "x": 1 } })))
        .exchange(TestRequest::get("/"), |_| -> TestResponse { panic!("nothing goes upstream") });
    assert_eq!((done.response().status, done.response().text()), (418, r#"{"x":1}"#));
    assert_eq!(done.response().headers, [("Content-Type".to_owned(), b"application/json".to_vec())]);
}

#[test]
fn what_is_left_out_has_defaults() {
    for (reply, status, body) in [
        (r#"{"respond_status_code":418}"#, 418, "null"),
        (r#"{"respond_body":{"x":1}}"#, 200, r#"{"x":1}"#),
        (r#"{"respond_status_code":200,"respond_body":"str"}"#, 200, "\"str\""),
        (r#"{"respond_body":null}"#, 200, "null"),
        (r#"{"respond_body":[1, 2]}"#, 200, "[1, 2]"),
        (r#"{"respond_body":{"e":1e3,"é":"\u00e9"}}"#, 200, r#"{"e":1e3,"é":"\u00e9"}"#),
    ] {
        let done = asked(reply);
        assert_eq!((made(&done).status, String::from_utf8_lossy(&made(&done).body).as_ref()), (status, body), "{reply}");
    }
}

#[test]
fn answers_without_body_have_no_type() {
    for status in [204, 304] {
        let done = asked(&format!(r#"{{"respond_status_code":{status},"respond_body":{{}}}}"#));
        assert_eq!(made(&done), &MadeResponse::empty(status));
    }
}

#[test]
fn fields_are_put_into_answers() {
    let fields = r#"{"X-A":"1","set-cookie":["a=1","b=2"],"content-type":"text/x","X-None":null}"#;
    let done = asked(&format!(r#"{{"respond_status_code":200,"respond_headers":{fields}}}"#));
    let expected = [("X-A", "1"), ("set-cookie", "a=1"), ("set-cookie", "b=2"), ("content-type", "text/x")];
    let shown: Vec<_> = made(&done).headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
    assert_eq!(shown, expected.map(|(name, value)| (name, value.as_bytes())));
}

#[test]
fn pages_may_read_answers() {
    let request = || TestRequest::get("/").with_header("Origin", "http://localhost:5173");
    let allowed = |reply: Value| {
        let done = on_request(json!({}), answer(reply)).exchange(request(), |_| TestResponse::new(200));
        done.response().header_values("access-control-allow-origin")
    };
    assert_eq!(allowed(json!({ "respond_status_code": 403 })), [b"*"]);
    let own = json!({ "access-control-allow-origin": "http://localhost:5173" });
    assert_eq!(allowed(json!({ "respond_status_code": 403, "respond_headers": own })), [b"http://localhost:5173"]);
}

#[test]
fn requests_are_amended() {
    let done = asked(r#"{"request_body":{"a":1.10},"request_headers":{"X-A":["1","2"],"Content-Type":"application/x"}}"#);
    assert_eq!((&done.verdict, done.request.text()), (&Ok(RequestVerdict::Next), r#"{"a":1.10}"#));
    assert_eq!(done.request.header_values("x-a"), [b"1", b"2"]);
    assert_eq!(done.request.header_values("content-type"), [b"application/x"]);
    let done = asked(r#"{"request_body":[]}"#);
    assert_eq!((done.request.text(), done.request.header("content-type")), ("[]", Some("application/json")));
    let harness = on_request(json!({}), answer(json!({ "request_headers": { "X-A": null } })));
    let done = harness.request(TestRequest::post("/").with_header("x-a", "1").with_body("kept"));
    assert_eq!((done.request.header("x-a"), done.request.text()), (None, "kept"));
}

#[test]
fn parts_of_bodies_are_not_replaced() {
    let part = TestRequest::put("/").with_header("Content-Range", "bytes 0-3/10").with_body("sent");
    let reply = json!({ "request_body": {}, "request_headers": { "X-A": "1" } });
    let done = on_request(json!({}), answer(reply)).request(part.clone());
    assert_eq!((done.verdict, &done.request), (Ok(RequestVerdict::Next), &part));
    assert!(reason(&done.log).contains("(Content-Range)"), "{:?}", done.log);
}

#[test]
fn what_was_sent_may_come_back() {
    // As from a server that adds to what it is sent.
    let reply = json!({ "method": "POST", "url": "x", "request_body": null, "request_headers": 5, "respond_status_code": 418 });
    assert_eq!(made(&asked(&reply.to_string())).status, 418);
}

#[test]
fn connections_are_dropped() {
    assert_eq!(asked(r#"{"abort":true}"#).verdict, Ok(RequestVerdict::Drop));
    assert_eq!(asked(r#"{"abort":true,"delay_ms":1}"#).verdict, Ok(RequestVerdict::Drop));
}

#[test]
fn impossible_answers_are_told_and_do_nothing() {
    for (reply, why) in [
        ("null", "no JSON object"),
        ("[]", "no JSON object"),
        ("[418, {}]", "no JSON object"),
        ("{", "no JSON object"),
        ("", "no JSON object"),
        (r#"{"respond_status_code":"418"}"#, "respond_status_code must be a number from 200 to 599"),
        (r#"{"respond_status_code":null,"respond_body":{}}"#, "respond_status_code must be a number"),
        (r#"{"respond_status_code":418.5}"#, "respond_status_code must be a number"),
        (r#"{"respond_status_code":99}"#, "respond_status_code is 99, must be 200 to 599"),
        (r#"{"respond_status_code":199}"#, "respond_status_code is 199"),
        (r#"{"respond_status_code":600}"#, "respond_status_code is 600"),
        (r#"{"respond_headers":{"X-A":"1"}}"#, "respond_headers answers no request"),
        (r#"{"respond_body":1,"respond_headers":["X-A"]}"#, "respond_headers must be an object"),
        (r#"{"respond_body":1,"respond_headers":{"X-A":1}}"#, "respond_headers must be an object"),
        (r#"{"respond_body":1,"respond_headers":null}"#, "respond_headers must be an object"),
        (r#"{"respond_body":1,"respond_headers":{"X A":"1"}}"#, "no name of a header field"),
        (r#"{"respond_body":1,"respond_headers":{"X-A":"1\r\nX-B: 2"}}"#, "the value of X-A"),
        (r#"{"respond_body":1,"respond_headers":{"X-A":[" 1"]}}"#, "the value of X-A"),
        (r#"{"respond_body":1,"respond_headers":{"Content-Length":"1"}}"#, "Content-Length belongs to the proxy"),
        (r#"{"request_headers":{"Host":"a"}}"#, "Host belongs to the proxy"),
        (r#"{"abort":1}"#, "abort must be true or false"),
        (r#"{"abort":true,"respond_body":1}"#, "exclude each other"),
        (r#"{"delay_ms":-1}"#, "delay_ms must be a whole number"),
        (r#"{"delay_ms":"5"}"#, "delay_ms must be a whole number"),
        (r#"{"delay_ms":45001}"#, "delay_ms is 45001, with this timeout at most 45000"),
    ] {
        assert_failed(&asked(reply), why);
    }
}

#[test]
fn so_many_fields_are_taken() {
    let reply = |count: usize| {
        let fields: Vec<String> = (0..count).map(|number| number.to_string()).collect();
        json!({ "request_headers": { "X-A": fields } }).to_string()
    };
    assert_eq!(asked(&reply(64)).request.header_values("x-a").len(), 64);
    assert_failed(&asked(&reply(65)), "65 values");
    let reply = |bytes: usize| json!({ "request_headers": { "X": "a".repeat(bytes - 1) } }).to_string();
    assert_eq!(asked(&reply(16 * 1024)).request.headers.len(), 1);
    assert_failed(&asked(&reply(16 * 1024 + 1)), "16385 bytes");
}

#[test]
fn servers_that_fail_are_told_and_do_nothing() {
    let typed = |media_type: &str| Ok(http::Response::new(200).with_header("Content-Type", media_type).with_body("{}"));
    for (reply, why) in [
        (typed("text/plain"), "not of type application/json"),
        (typed("application/jsonx"), "not of type application/json"),
        (typed("application/problem+json"), "not of type application/json"),
        (Ok(http::Response::new(200).with_body("{}")), "not of type application/json"),
        (Err(http::Error::Connect("http://a: refused".to_owned())), "no connection: http://a: refused"),
        (Err(http::Error::Timeout), "no response within the timeout"),
        (Err(http::Error::Denied("http://a: not granted".to_owned())), "denied"),
        (Err(http::Error::Busy(64)), "`calls`"),
    ] {
        assert_failed(&on_request(json!({}), reply).request(TestRequest::post("/").with_body("sent")), why);
    }
}

#[test]
fn status_of_the_server_is_nobodys_affair() {
    for status in [200, 404, 500] {
        let reply = http::Response::new(status).with_header("content-type", "Application/JSON; charset=utf-8");
        let done = on_request(json!({}), Ok(reply.with_body(r#"{"respond_status_code":418}"#))).request(TestRequest::get("/"));
        assert_eq!(made(&done).status, 418);
    }
}

#[test]
fn failures_are_502_if_wanted() {
    let options =
        json!({ "callback_request_url": REQUEST_URL, "callback_response_url": RESPONSE_URL, "on_callback_error": "fail" });
    let harness = harness(options, json!({})).with_http(|request| match request.url.as_str() {
        REQUEST_URL => Err(http::Error::Timeout),
        // What would make a failure look well again.
        _ => answer(json!({ "respond_status_code": 200 })),
    });
    let done = harness.exchange(TestRequest::get("/").with_header("Origin", "http://a"), |_| -> TestResponse {
        panic!("nothing goes upstream")
    });
    assert_eq!(done.response().status, 502);
    let expected = json!({ "errcode": "M_UNKNOWN", "error": "request callback failed: no response within the timeout" });
    assert_eq!(done.response().json::<Value>(), expected);
    assert_eq!(done.response().header("access-control-allow-origin"), Some("*"));
    assert_eq!((done.http.len(), reason(&done.log).as_str()), (1, "no response within the timeout"));
}

#[test]
fn made_answers_are_asked_about_too() {
    let options = json!({ "callback_request_url": REQUEST_URL, "callback_response_url": RESPONSE_URL });
    let harness = harness(options, json!({})).with_http(|request| match request.url.as_str() {
        REQUEST_URL => answer(json!({ "respond_status_code": 504, "respond_body": { "a": 1 } })),
        _ => answer(json!({ "respond_status_code": 505 })),
    });
    let done = harness.exchange(TestRequest::get("/"), |_| -> TestResponse { panic!("nothing goes upstream") });
    let told = sent(&done.http[1]);
    assert_eq!((&told["response_code"], &told["response_body"]), (&json!(504), &json!({ "a": 1 })));
    assert_eq!((done.response().status, done.response().text()), (505, r#"{"a":1}"#));
}

#[test]
fn bodies_over_the_cap_are_failures() {
    const CAP: usize = 10 << 20;
    let harness = on_request(json!({}), answer(json!({ "respond_status_code": 418 })));
    let asked = |byte: u8, count: usize| harness.request(TestRequest::post("/").with_body(vec![byte; count]));
    for (done, why) in [
        (asked(b'x', CAP + 1), "the request's body is over the addon's `max_body`"),
        // What is sent has the body in it, and is one itself.
        (asked(b'1', CAP), "limit 10485760"),
    ] {
        assert_eq!((&done.verdict, done.http.len()), (&Ok(RequestVerdict::Next), 0));
        assert!(reason(&done.log).ends_with(why), "{:?}", done.log);
    }
    assert_eq!(made(&asked(b'x', CAP)).status, 418);
    assert_eq!(made(&asked(b'1', CAP - 1_000)).status, 418);
}
