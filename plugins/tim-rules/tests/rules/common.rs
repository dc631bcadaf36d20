//! Requests to the rules.

use tim_rules::TimRules;
use tollgate_sdk::{
    RequestVerdict,
    serde_json::{Value, from_slice, json},
    testing::{Harness, Requested, TestRequest},
};

pub(crate) const CLIENT: &str = "/_matrix/client/v3";

pub(crate) fn harness(options: &Value) -> Harness<TimRules> {
    Harness::configure(options.clone()).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Status and errcode of what it came to; 200 where it goes on.
#[track_caller]
pub(crate) fn verdict(done: &Requested) -> (u16, String) {
    match &done.verdict {
        Ok(RequestVerdict::Next) => (200, String::new()),
        Ok(RequestVerdict::Respond(response)) => {
            let body: Value = from_slice(&response.body).expect("JSON");
            (response.status, body["errcode"].as_str().unwrap_or_default().to_owned())
        }
        other => panic!("{other:?}"),
    }
}

pub(crate) fn asked_with(options: &Value, method: &str, target: &str, body: &str) -> Requested {
    harness(options).request(TestRequest::new(method, target).with_body(body))
}

/// By the default rules.
pub(crate) fn asked(method: &str, target: &str, body: &str) -> Requested {
    asked_with(&json!({}), method, target, body)
}

/// With one rule switched off.
pub(crate) fn without(rule: &str) -> Value {
    json!({ "rules": { rule: false } })
}

#[track_caller]
pub(crate) fn assert_refused(method: &str, target: &str, body: &str, status: u16, errcode: &str) {
    assert_eq!(verdict(&asked(method, target, body)), (status, errcode.to_owned()), "{method} {target} {body}");
}

#[track_caller]
pub(crate) fn assert_passes(method: &str, target: &str, body: &str) {
    let done = asked(method, target, body);
    assert_eq!(verdict(&done), (200, String::new()), "{method} {target} {body}");
    assert_eq!(done.request.text(), body, "{target}");
}

/// What goes on in place of the body.
#[track_caller]
pub(crate) fn edited(target: &str, body: &str) -> String {
    let done = asked("POST", target, body);
    assert_eq!(verdict(&done), (200, String::new()), "{body}");
    done.request.text().to_owned()
}
