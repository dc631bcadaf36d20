//! After hooks.

use tollgate_sdk::{
    serde_json::{Value, json},
    testing::{TestRequest, TestResponse},
};

use super::common::{by, errcode, exchange, hook, hooks, policy};

const ANY: &str = "afterAnyRequest";
const KNOWN: &str = "afterAuthenticatedRequest";

fn change(id: &str, event: &str, json: Value, skips: bool) -> Value {
    json!({ "id": id, "eventType": event, "action": "pass.modifiedResponse", "injectJSONIntoResponse": json,
            "injectHeadersIntoResponse": { id: "1" }, "skipNextHooksInChain": skips })
}

fn rejection(id: &str, event: &str, skips: bool) -> Value {
    json!({ "id": id, "eventType": event, "action": "reject", "rejectionErrorCode": id, "rejectionErrorMessage": "no",
            "skipNextHooksInChain": skips })
}

fn response(chain: Value) -> TestResponse {
    let done = exchange(&policy(hooks(chain)), by("me", TestRequest::get("/")));
    assert_eq!(done.failures, []);
    done.response().clone()
}

#[test]
fn responses_are_modified_in_order() {
    let chain = json!([change("x-a", ANY, json!({ "n": 1, "from": "a" }), false), change("x-b", ANY, json!({ "n": 2 }), false)]);
    let response = response(chain);
    assert_eq!(response.text(), r#"{"from":"a","n":2}"#);
    assert_eq!((response.header("x-a"), response.header("x-b"), response.status), (Some("1"), Some("1"), 200));
}

#[test]
fn digits_and_order_stay() {
    let fields = json!({ "action": "pass.modifiedResponse", "injectJSONIntoResponse": { "fronted": true } });
    let body = r#"{ "z": 12345678901234567890, "a": 1.50, "s": "<&>" }"#;
    let done = policy(hook(ANY, fields)).exchange(TestRequest::get("/"), |_| TestResponse::new(404).with_body(body));
    assert_eq!(done.response().text(), r#"{ "z": 12345678901234567890, "a": 1.50, "s": "<&>","fronted":true }"#);
    assert_eq!(done.response().status, 404);
}

#[test]
fn answers_do_not_stop_later_hooks() {
    let chain = json!([
        rejection("M_A", ANY, false),
        change("x-b", ANY, json!({ "more": 1 }), false),
        change("x-c", KNOWN, json!({}), false)
    ]);
    let response = response(chain);
    assert_eq!((response.status, response.text()), (403, r#"{"errcode":"M_A","error":"no","more":1}"#));
    assert_eq!((response.header("x-b"), response.header("x-c")), (Some("1"), Some("1")));
    assert_eq!(response.header("access-control-allow-origin"), Some("*"));
}

#[test]
fn the_last_answer_counts() {
    let response = response(json!([rejection("M_A", ANY, false), rejection("M_B", KNOWN, false)]));
    assert_eq!(response.text(), r#"{"errcode":"M_B","error":"no"}"#);
}

#[test]
fn a_skip_ends_its_own_type_alone() {
    let chain = json!([rejection("M_A", ANY, true), rejection("M_B", ANY, false), change("x-c", KNOWN, json!({}), false)]);
    let answer = response(chain);
    assert_eq!((answer.text(), answer.header("x-c")), (r#"{"errcode":"M_A","error":"no"}"#, Some("1")));
    let chain = json!([
        change("x-a", ANY, json!({}), true),
        change("x-b", ANY, json!({}), false),
        change("x-c", KNOWN, json!({}), false)
    ]);
    let answer = response(chain);
    assert_eq!((answer.header("x-a"), answer.header("x-b"), answer.header("x-c")), (Some("1"), None, Some("1")));
}

#[test]
fn replaced_responses_keep_nothing() {
    let fields = json!({ "action": "respond", "responseStatusCode": 200, "responsePayload": {} });
    let upstream = TestResponse::new(500).with_header("Set-Cookie", "a=b").with_header("Content-Encoding", "gzip").with_body("x");
    let done = policy(hook(ANY, fields)).exchange(TestRequest::get("/"), |_| upstream);
    let response = done.response();
    assert_eq!((response.status, response.text()), (200, "{}"));
    assert_eq!((response.header("set-cookie"), response.header("content-encoding")), (None, None));
}

#[test]
fn where_no_body_can_be_none_is_modified() {
    let fields = json!({ "action": "pass.modifiedResponse", "injectJSONIntoResponse": { "a": 1 }, "injectHeadersIntoResponse": { "X-A": "1" } });
    let policy = policy(hook(ANY, fields));
    for (method, status) in [("HEAD", 200), ("GET", 204), ("GET", 304)] {
        let done = policy.exchange(TestRequest::new(method, "/"), |_| TestResponse::new(status));
        assert_eq!((done.response().status, done.response().header("x-a")), (status, Some("1")), "{method}");
        assert!(done.response().body.is_empty());
    }
}

#[test]
fn a_failure_ends_what_comes_after() {
    let chain = json!([change("x-a", ANY, json!({ "a": 1 }), false), rejection("M_B", KNOWN, false)]);
    let done = policy(hooks(chain)).exchange(by("me", TestRequest::get("/")), |_| TestResponse::new(200).with_body("no JSON"));
    assert_eq!((done.response().status, errcode(&done).as_deref()), (502, Some("M_UNKNOWN")));
}
