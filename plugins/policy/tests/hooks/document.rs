//! The policy document around hooks.

use tollgate_sdk::{
    serde_json::{Value, json},
    testing::{TestRequest, TestResponse},
};

use super::common::{errcode, exchange, hook, policy, refusals};

fn put(json: Value) -> Value {
    json!({ "action": "pass.modifiedRequest", "injectJSONIntoRequest": json })
}

#[test]
fn unknown_keys_are_a_warning() {
    let harness = policy(json!({ "hooks": [], "hoks": [], "schemaVersion": 2, "homeserverUrl": "http://hs.test" }));
    let lines: Vec<_> = harness.log().iter().map(|line| line.message.as_str()).collect();
    assert_eq!(lines, ["hoks: unknown key of the policy, ignored"]);
}

#[test]
fn own_keys_have_bounds() {
    for (value, is_legal) in [(json!(0), false), (json!(1), true), (json!(3_600_000), true), (json!(3_600_001), false)] {
        let errors = refusals(json!({ "consultationLimitMilliseconds": value }));
        assert_eq!(errors.is_empty(), is_legal, "{errors:?}");
    }
    for (value, is_legal) in [(json!("refuse"), true), (json!("pass"), true), (json!("open"), false), (json!(true), false)] {
        assert_eq!(refusals(json!({ "onHookFailure": value })).is_empty(), is_legal);
    }
}

#[test]
fn services_that_may_take_too_long_are_a_warning() {
    for (retries, timeout, is_warned) in [(0, 50_000, false), (0, 50_001, true), (1, 24_000, false), (1, 25_001, true)] {
        let fields = json!({
            "action": "consult.RESTServiceURL", "RESTServiceURL": "http://a/", "RESTServiceRetryAttempts": retries,
            "RESTServiceRequestTimeoutMilliseconds": timeout, "RESTServiceRetryWaitTimeMilliseconds": 0,
        });
        let harness = policy(hook("beforeAnyRequest", fields));
        let is_there = harness.log().iter().any(|line| line.message.contains("are given up after 50s"));
        assert_eq!(is_there, is_warned, "{retries} {timeout}");
    }
}

#[test]
fn messages_that_cannot_be_modified_are_refused_or_pass() {
    let request = || TestRequest::post("/a").with_body("no JSON");
    let mut document = hook("beforeAnyRequest", put(json!({ "a": 1 })));
    let done = exchange(&policy(document.clone()), request());
    assert_eq!((done.response().status, errcode(&done).as_deref()), (400, Some("M_NOT_JSON")));
    assert!(done.sent.is_none() && done.failures.is_empty());
    assert!(done.log.iter().any(|line| line.message.contains("no JSON object") && format!("{line:?}").contains("\"h\"")));

    document["onHookFailure"] = json!("pass");
    let done = exchange(&policy(document), request());
    assert_eq!((done.response().status, done.sent.map(|sent| sent.body)), (200, Some(b"no JSON".to_vec())));
}

#[test]
fn parts_of_wholes_cannot_be_modified() {
    let request = || TestRequest::post("/a").with_header("Content-Range", "bytes 0-1/2").with_body("{}");
    let mut document = hook("beforeAnyRequest", put(json!({ "a": 1 })));
    let done = exchange(&policy(document.clone()), request());
    assert_eq!((done.response().status, errcode(&done).as_deref()), (400, Some("M_UNKNOWN")));
    document["onHookFailure"] = json!("pass");
    let done = exchange(&policy(document), request());
    assert_eq!((done.response().status, done.sent.map(|sent| sent.body)), (200, Some(b"{}".to_vec())));
}

#[test]
fn responses_that_cannot_be_modified_are_refused_or_pass() {
    let fields = json!({ "action": "pass.modifiedResponse", "injectJSONIntoResponse": { "a": 1 } });
    let mut document = hook("afterAnyRequest", fields);
    let run = |document: Value| policy(document).exchange(TestRequest::get("/a"), |_| TestResponse::new(200).with_body("[]"));
    let done = run(document.clone());
    assert_eq!((done.response().status, errcode(&done).as_deref()), (502, Some("M_UNKNOWN")));
    document["onHookFailure"] = json!("pass");
    assert_eq!(run(document).response().text(), "[]");
}
