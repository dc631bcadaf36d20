//! `consult.RESTServiceURL`, waited for.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tollgate_sdk::{
    http,
    serde_json::{Value, json},
    testing::{Exchange, TestRequest, TestResponse},
};

use super::common::{SERVICE, answer, by, errcode, exchange, hook, hooks, payloads, reject, told, with_service};

const BEFORE: &str = "beforeAnyRequest";
const AFTER: &str = "afterAnyRequest";

fn consult() -> Value {
    json!({ "action": "consult.RESTServiceURL", "RESTServiceURL": SERVICE })
}

fn with(field: &str, value: Value) -> Value {
    let mut hook = consult();
    hook[field] = value;
    hook
}

/// A flow with a hook that asks a service that answers so.
fn asked(event: &str, fields: Value, response: http::Response) -> Exchange {
    let harness = with_service(hook(event, fields), move |_| Ok(response.clone()));
    exchange(&harness, TestRequest::put("/a").with_body("{}"))
}

#[test]
fn services_are_told_as_documented() {
    let harness = with_service(hook(BEFORE, consult()), |_| Ok(answer(&json!({ "action": "pass.unmodified" }))));
    let request = by("me", TestRequest::put("/_matrix/client/r0/x/%21a?q=%21a"))
        .with_header("Host", "ex.org")
        .with_header("x-m", "1")
        .with_header("X-M", "2")
        .with_body("{\"a\":1}\u{0}");
    let done = exchange(&harness, request);
    let wanted = json!({
        "meta": { "hookId": "h", "authenticatedMatrixUserId": "@me:ex.org" },
        "request": {
            "URI": "/_matrix/client/r0/x/%21a?q=%21a", "path": "/_matrix/client/r0/x/!a", "method": "PUT",
            "headers": { "Authorization": "Bearer me", "X-M": "1, 2" }, "payload": "{\"a\":1}\u{0}",
        },
        "response": null,
    });
    assert_eq!(payloads(&done), [wanted]);
    let request = told(&done)[0];
    assert_eq!((request.method.as_str(), request.url.as_str()), ("POST", SERVICE));
    assert_eq!(request.headers, [("Content-Type".to_owned(), b"application/json".to_vec())]);
    assert_eq!(request.timeout, Some(Duration::from_secs(30)));
    assert!(done.response().status == 200 && done.sent.is_some());
}

#[test]
fn after_hooks_tell_the_response_too() {
    let chain = hooks(json!([
        { "id": "x", "eventType": BEFORE, "action": "pass.modifiedRequest", "injectJSONIntoRequest": { "b": 2 } },
        { "id": "y", "eventType": AFTER, "action": "pass.modifiedResponse", "injectJSONIntoResponse": { "c": 3 } },
        { "id": "h", "eventType": AFTER, "action": "consult.RESTServiceURL", "RESTServiceURL": SERVICE },
    ]));
    let harness = with_service(chain, |_| Ok(answer(&json!({ "action": "pass.unmodified" }))));
    let done = harness.exchange(TestRequest::put("/a").with_body(r#"{"a":1}"#), |_| {
        TestResponse::new(201).with_header("x-s", "1").with_body(r#"{"d":4}"#)
    });
    let payload = &payloads(&done)[0];
    assert_eq!(payload["request"]["payload"], r#"{"a":1,"b":2}"#);
    assert_eq!(payload["meta"]["authenticatedMatrixUserId"], Value::Null);
    let wanted = json!({ "statusCode": 201, "headers": { "X-S": "1" }, "payload": r#"{"d":4,"c":3}"# });
    assert_eq!(payload["response"], wanted);
}

#[test]
fn bytes_that_are_no_text_are_told_as_such() {
    let harness = with_service(hook(BEFORE, consult()), |_| Ok(answer(&json!({ "action": "pass.unmodified" }))));
    let done = exchange(&harness, TestRequest::put("/a").with_body(b"a\xffb"));
    assert_eq!(payloads(&done)[0]["request"]["payload"], "a\u{fffd}b");
}

#[test]
fn calls_are_made_as_the_hook_says() {
    let mut fields = consult();
    fields["RESTServiceRequestMethod"] = json!("PUT");
    fields["RESTServiceRequestHeaders"] = json!({ "Authorization": "Bearer secret", "content-type": "application/x" });
    fields["RESTServiceRequestTimeoutMilliseconds"] = json!(3000);
    let done = asked(BEFORE, fields, answer(&json!({ "action": "pass.unmodified" })));
    let request = told(&done)[0];
    assert_eq!((request.method.as_str(), request.timeout), ("PUT", Some(Duration::from_secs(3))));
    let wanted = [("Authorization", "Bearer secret"), ("content-type", "application/x")];
    assert_eq!(request.headers, wanted.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())));
}

#[test]
fn answers_are_carried_out() {
    let done = asked(BEFORE, consult(), answer(&reject("M_SERVICE")));
    assert_eq!((errcode(&done).as_deref(), done.sent.is_none()), (Some("M_SERVICE"), true));
    let body = r#"{"action":"pass.modifiedRequest","injectJSONIntoRequest":{"n":12345678901234567890,"f":1.50}}"#;
    let done = asked(BEFORE, consult(), http::Response::new(200).with_body(body));
    assert_eq!(done.sent.unwrap().text(), r#"{"n":12345678901234567890,"f":1.50}"#);
    let change = json!({ "action": "pass.modifiedResponse", "injectJSONIntoResponse": { "a": 1 } });
    assert_eq!(asked(AFTER, consult(), answer(&change)).response().text(), r#"{"from":"homeserver","a":1}"#);
}

#[test]
fn failures_are_503() {
    for response in [
        http::Response::new(201).with_body(r#"{"action":"pass.unmodified"}"#),
        http::Response::new(204),
        http::Response::new(500),
        http::Response::new(302),
        http::Response::new(200),
        http::Response::new(200).with_body("[]"),
        http::Response::new(200).with_body("null"),
        http::Response::new(200).with_body("{}"),
        http::Response::new(200).with_body(r#"{"action":"pass.unmodified"} x"#),
        answer(&json!({ "action": "unknown" })),
        answer(&json!({ "action": "respond", "responseStatusCode": 99 })),
        answer(&json!({ "action": "pass.modifiedResponse", "injectJSONIntoResponse": {} })),
    ] {
        let shown = format!("{response:?}");
        let done = asked(BEFORE, consult(), response);
        assert_eq!((done.response().status, errcode(&done).as_deref()), (503, Some("M_UNKNOWN")), "{shown}");
        assert!(done.sent.is_none() && done.failures.is_empty(), "{shown}");
        assert!(done.log.iter().any(|line| line.message.contains("the consultation failed")), "{shown}");
    }
    let change = json!({ "action": "pass.modifiedRequest", "injectJSONIntoRequest": {} });
    assert_eq!(asked(AFTER, consult(), answer(&change)).response().status, 503);
}

#[test]
fn contingency_hooks_stand_in() {
    let fields = with("RESTServiceContingencyHook", reject("M_CONTINGENCY"));
    let done = asked(BEFORE, fields.clone(), http::Response::new(500));
    assert_eq!(errcode(&done).as_deref(), Some("M_CONTINGENCY"));
    // Also where the answer can't be applied.
    let change = json!({ "action": "pass.modifiedRequest", "injectJSONIntoRequest": { "a": 1 } });
    let harness = with_service(hook(BEFORE, fields), move |_| Ok(answer(&change)));
    let done = exchange(&harness, TestRequest::put("/a").with_body("no JSON"));
    assert_eq!(errcode(&done).as_deref(), Some("M_CONTINGENCY"));
}

#[test]
fn contingency_may_be_another_service() {
    let mut second = consult();
    second["RESTServiceURL"] = json!("http://second.test/");
    let harness = with_service(hook(BEFORE, with("RESTServiceContingencyHook", second)), |request| match request.url.as_str() {
        "http://second.test/" => Ok(answer(&reject("M_SECOND"))),
        _ => Err(http::Error::Timeout),
    });
    let done = exchange(&harness, TestRequest::put("/a"));
    assert_eq!(errcode(&done).as_deref(), Some("M_SECOND"));
    assert_eq!(payloads(&done)[1]["meta"]["hookId"], "h-contingency");
}

#[test]
fn services_may_pass_on_to_services() {
    let next = AtomicUsize::new(1);
    let harness = with_service(hook(BEFORE, consult()), move |_| {
        let hook = match next.fetch_add(1, Ordering::Relaxed) {
            3 => reject("M_THIRD"),
            number => json!({ "id": format!("n{number}"), "action": "consult.RESTServiceURL", "RESTServiceURL": SERVICE }),
        };
        Ok(answer(&hook))
    });
    let done = exchange(&harness, TestRequest::put("/a"));
    assert_eq!(errcode(&done).as_deref(), Some("M_THIRD"));
    let names: Vec<_> = payloads(&done).iter().map(|payload| payload["meta"]["hookId"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, ["h", "n1", "n2"]);
}

#[test]
fn services_that_only_pass_on_are_given_up() {
    let harness = with_service(hook(BEFORE, consult()), |_| Ok(answer(&consult())));
    let done = exchange(&harness, TestRequest::put("/a"));
    assert_eq!((done.response().status, told(&done).len()), (503, 8));
    assert_eq!(payloads(&done)[1]["meta"]["hookId"], "h-unnamed-response");
}

#[test]
fn attempts_are_made_as_often_as_wanted() {
    for (retries, attempts) in [(0, 1), (1, 2), (3, 4)] {
        let mut fields = with("RESTServiceRetryAttempts", json!(retries));
        fields["RESTServiceRetryWaitTimeMilliseconds"] = json!(1);
        let done = asked(BEFORE, fields, http::Response::new(500));
        assert_eq!((told(&done).len(), done.response().status), (attempts, 503));
    }
}

#[test]
fn a_later_attempt_may_succeed() {
    let count = AtomicUsize::new(0);
    let harness = with_service(hook(BEFORE, with("RESTServiceRetryAttempts", json!(5))), move |_| {
        match count.fetch_add(1, Ordering::Relaxed) {
            0 => Err(http::Error::Closed("gone".to_owned())),
            1 => Ok(http::Response::new(200).with_body("no JSON")),
            _ => Ok(answer(&reject("M_THIRD"))),
        }
    });
    let done = exchange(&harness, TestRequest::put("/a"));
    assert_eq!((errcode(&done).as_deref(), told(&done).len()), (Some("M_THIRD"), 3));
}

#[test]
fn what_is_not_granted_is_not_tried_again() {
    let harness = with_service(hook(BEFORE, with("RESTServiceRetryAttempts", json!(5))), |_| {
        Err(http::Error::Denied("not granted".to_owned()))
    });
    let done = exchange(&harness, TestRequest::put("/a"));
    assert_eq!((done.response().status, told(&done).len()), (503, 1));
}

#[test]
fn time_for_consultations_is_limited() {
    let mut fields = with("RESTServiceRetryAttempts", json!(5));
    fields["RESTServiceRetryWaitTimeMilliseconds"] = json!(3_600_000);
    fields["RESTServiceContingencyHook"] = reject("M_CONTINGENCY");
    let mut document = hook(BEFORE, fields);
    document["consultationLimitMilliseconds"] = json!(10_000);
    let harness = with_service(document, |_| Err(http::Error::Timeout));
    let done = exchange(&harness, TestRequest::put("/a"));
    // A wait that is too long is not begun.
    assert_eq!((errcode(&done).as_deref(), told(&done).len()), (Some("M_CONTINGENCY"), 1));
    assert!(told(&done)[0].timeout.is_some_and(|timeout| timeout <= Duration::from_secs(10)));
}

#[test]
fn skips_of_hook_and_answer_count() {
    let later = json!({ "id": "later", "eventType": BEFORE, "action": "reject", "rejectionErrorCode": "M_LATER", "rejectionErrorMessage": "" });
    for (own, answered, is_skipped) in [(false, false, false), (true, false, true), (false, true, true)] {
        let mut first = with("skipNextHooksInChain", json!(own));
        first["id"] = json!("first");
        first["eventType"] = json!(BEFORE);
        let harness = with_service(hooks(json!([first, later])), move |_| {
            Ok(answer(&json!({ "action": "pass.unmodified", "skipNextHooksInChain": answered })))
        });
        let done = exchange(&harness, TestRequest::get("/"));
        assert_eq!(errcode(&done).is_none(), is_skipped, "{own} {answered}");
    }
}

#[test]
fn what_answers_need_not_have_is_ignored() {
    let mut hook = reject("M_X");
    hook["eventType"] = json!("afterAnyRequest");
    hook["matchRules"] = json!([{ "type": "route", "regex": "^/never" }]);
    hook["comment"] = json!("mine");
    let done = asked(BEFORE, consult(), answer(&hook));
    assert_eq!(errcode(&done).as_deref(), Some("M_X"));
    for name in ["answer.eventType", "answer.matchRules", "answer.comment"] {
        assert!(done.log.iter().any(|line| line.message.starts_with(name)), "{name}: {:?}", done.log);
    }
}

#[test]
fn secrets_of_services_are_not_logged() {
    let mut fields = with("RESTServiceRequestHeaders", json!({ "Authorization": "Bearer hunter2" }));
    fields["RESTServiceURL"] = json!("http://hooks.test/?key=hunter2");
    let done = asked(BEFORE, fields, http::Response::new(200).with_body(r#"{"action":5,"x":"hunter2"}"#));
    assert_eq!(done.response().status, 503);
    assert!(!format!("{:?}", done.log).contains("hunter2"), "{:?}", done.log);
}
