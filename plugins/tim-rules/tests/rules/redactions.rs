//! Old events.

use std::sync::{Arc, Mutex};

use tim_rules::TimRules;
use tollgate_sdk::{
    http::{Error, Response},
    serde_json::{Value, json},
    testing::{Facts, Harness, Requested, TestRequest},
};

use super::common::{CLIENT, harness, verdict};

/// The time of the request, in milliseconds.
const NOW: u64 = 1_800_000_000_000;
const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;

fn target() -> String {
    format!("{CLIENT}/rooms/!r:b/redact/$e%2Fx/txn")
}

fn at_now(options: &Value) -> Harness<TimRules> {
    harness(options).with_facts(Facts { started: NOW * 1_000_000, ..Facts::default() })
}

/// A redaction of an event of this age.
fn redacted(options: &Value, age: u64) -> Requested {
    let answer = json!({ "event_id": "$e", "origin_server_ts": NOW - age });
    at_now(options)
        .with_http(move |_| Ok(Response::new(200).with_body(answer.to_string())))
        .request(TestRequest::put(&target()).with_header("Authorization", "Bearer t").with_body("{}"))
}

/// Where the homeserver answers so.
fn answered(options: &Value, answer: impl Fn() -> Result<Response, Error> + Send + Sync + 'static) -> (u16, String) {
    verdict(&at_now(options).with_http(move |_| answer()).request(TestRequest::put(&target())))
}

#[test]
fn a_day_is_whole_minutes() {
    for (age, status) in
        [(0, 200), (DAY - 1, 200), (DAY, 200), (DAY + MINUTE - 1, 200), (DAY + MINUTE, 403), (DAY + MINUTE + 1, 403)]
    {
        assert_eq!(verdict(&redacted(&json!({}), age)).0, status, "{age}");
    }
    let two = json!({ "redaction_hours": 2 });
    for (age, status) in [(DAY / 12, 200), (DAY / 12 + MINUTE, 403)] {
        assert_eq!(verdict(&redacted(&two, age)).0, status, "{age}");
    }
    assert_eq!(verdict(&redacted(&json!({}), DAY + MINUTE)).1, "M_FORBIDDEN");
}

#[test]
fn the_homeserver_is_asked_as_the_client() {
    let done = redacted(&json!({}), 0);
    let question = done.http.first().expect("a question");
    assert_eq!(question.url, "http://upstream.test/_matrix/client/v3/rooms/%21r%3Ab/event/%24e%2Fx");
    assert_eq!(question.headers, [("Authorization".to_owned(), b"Bearer t".to_vec())]);
    // A slash may separate or not: where it does, there is no such event.
    assert_eq!(done.http.len(), 2);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let at = Arc::clone(&seen);
    let harness = at_now(&json!({})).with_http(move |request| {
        at.lock().expect("a lock").push(request.url.clone());
        let status = if request.url.contains("/event/%24e%2Fx?") { 200 } else { 404 };
        Ok(Response::new(status).with_body(json!({ "origin_server_ts": NOW }).to_string()))
    });
    let query = format!("{}?access_token=a%20b&user_id=%40a%3Ab&x=y", target());
    assert_eq!(verdict(&harness.request(TestRequest::put(&query))).0, 200);
    let url = "http://upstream.test/_matrix/client/v3/rooms/%21r%3Ab/event/%24e%2Fx?access_token=a%20b&user_id=%40a%3Ab";
    assert_eq!(seen.lock().expect("a lock").first().map(String::as_str), Some(url));
}

#[test]
fn or_by_the_admin_api() {
    let options = json!({ "admin_token": "secret" });
    for (age, status) in [(DAY, 200), (DAY + MINUTE, 403)] {
        let answer = json!({ "event": { "origin_server_ts": NOW - age }, "origin_server_ts": 1, "events_before": [] });
        let harness = at_now(&options).with_http(move |_| Ok(Response::new(200).with_body(answer.to_string())));
        let done = harness.request(TestRequest::put(&target()).with_header("Authorization", "Bearer t"));
        assert_eq!(verdict(&done).0, status);
        let question = done.http.first().expect("a question");
        assert_eq!(question.url, "http://upstream.test/_synapse/admin/v1/rooms/%21r%3Ab/context/%24e%2Fx");
        assert_eq!(question.headers, [("Authorization".to_owned(), b"Bearer secret".to_vec())]);
    }
    assert_eq!(answered(&options, || Ok(Response::new(401))), (502, "M_UNKNOWN".to_owned()));
}

#[test]
fn failures_let_nothing_through() {
    let none = json!({});
    // Not so where the other reading of the path names an old event.
    let old = || {
        at_now(&json!({})).with_http(|request: &tollgate_sdk::http::Request| {
            let age = if request.url.ends_with("/event/%24e") { 2 * DAY } else { 0 };
            Ok(Response::new(200).with_body(json!({ "origin_server_ts": NOW - age }).to_string()))
        })
    };
    assert_eq!(verdict(&old().request(TestRequest::put(&target()))).0, 403);
    for status in [403, 404, 500, 302] {
        assert_eq!(answered(&none, move || Ok(Response::new(status))), (502, "M_UNKNOWN".to_owned()), "{status}");
    }
    for body in [
        "",
        "{}",
        "[]",
        r#"{"origin_server_ts":"1"}"#,
        r#"{"origin_server_ts":-1}"#,
        r#"{"origin_server_ts":1,"origin_server_ts":2}"#,
    ] {
        let answer = move || Ok(Response::new(200).with_body(body));
        assert_eq!(answered(&none, answer), (502, "M_UNKNOWN".to_owned()), "{body}");
    }
    for error in [Error::Timeout, Error::Connect("no".to_owned())] {
        assert_eq!(answered(&none, move || Err(error.clone())), (403, "M_FORBIDDEN".to_owned()));
    }
}

#[test]
fn clients_learn_that_their_token_is_no_good() {
    let body = r#"{"errcode":"M_UNKNOWN_TOKEN","error":"x","soft_logout":true}"#;
    let harness = at_now(&json!({}))
        .with_http(move |_| Ok(Response::new(401).with_header("Content-Type", "application/json").with_body(body)));
    let done = harness.exchange(TestRequest::put(&target()), |_| tollgate_sdk::testing::TestResponse::new(200));
    assert_eq!((done.response().status, done.response().text(), done.sent.is_none()), (401, body, true));
}

#[test]
fn redactions_that_are_sent_as_messages_count_too() {
    let answer = || {
        let old = json!({ "origin_server_ts": NOW - 2 * DAY });
        at_now(&json!({})).with_http(move |_| Ok(Response::new(200).with_body(old.to_string())))
    };
    let send = format!("{CLIENT}/rooms/!r:b/send/m.room.redaction/txn");
    let redact = |body: &str| verdict(&answer().request(TestRequest::put(&send).with_body(body))).0;
    assert_eq!(redact(r#"{"redacts":"$e"}"#), 403);
    assert_eq!(redact(r#"{"redacts":"$new","redacts":"$e"}"#), 400);
    assert_eq!(redact("{}"), 200);
    let off = json!({ "rules": { "redactions": false } });
    let done = harness(&off).request(TestRequest::put(&target()).with_body("{}"));
    assert_eq!((verdict(&done).0, done.http.len()), (200, 0));
}
