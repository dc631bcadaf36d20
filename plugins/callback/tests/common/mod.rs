//! A callback server for native tests.
#![allow(
    dead_code,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    clippy::panic,
    clippy::unnecessary_wraps,
    reason = "helpers of tests, not all used by each; replies are results, and json! reads better without &"
)]

use callback::Callback;
use tollgate_sdk::{
    http,
    log::Level,
    serde_json::{Value, json},
    testing::{Harness, LogLine},
};

pub(crate) const REQUEST_URL: &str = "http://callback.test/request";
pub(crate) const RESPONSE_URL: &str = "http://callback.test/response";

/// What the server answers.
pub(crate) type Reply = Result<http::Response, http::Error>;

/// The addon with these options besides `base`.
pub(crate) fn harness(base: Value, more: Value) -> Harness<Callback> {
    let mut options = base;
    for (key, value) in more.as_object().into_iter().flatten() {
        options[key] = value.clone();
    }
    Harness::configure(options).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Asked about requests, with this answer to all.
pub(crate) fn on_request(more: Value, reply: Reply) -> Harness<Callback> {
    harness(json!({ "callback_request_url": REQUEST_URL }), more).with_http(move |_| reply.clone())
}

/// Asked about responses, with this answer to all.
pub(crate) fn on_response(more: Value, reply: Reply) -> Harness<Callback> {
    harness(json!({ "callback_response_url": RESPONSE_URL }), more).with_http(move |_| reply.clone())
}

/// This text, as JSON.
pub(crate) fn text(body: &str) -> Reply {
    Ok(http::Response::new(200).with_header("Content-Type", "application/json").with_body(body))
}

/// This value.
pub(crate) fn answer(value: Value) -> Reply {
    text(&value.to_string())
}

/// What the server was sent.
pub(crate) fn sent(request: &http::Request) -> Value {
    tollgate_sdk::serde_json::from_slice(&request.body).expect("JSON")
}

/// The reason in the only line.
#[track_caller]
pub(crate) fn reason(log: &[LogLine]) -> String {
    let [line] = log else { panic!("one line should be: {log:?}") };
    assert_eq!((line.level, line.fields[0].0.as_str()), (Level::Warn, "error"));
    line.fields[0].1.clone()
}
