//! `consult.RESTServiceURL`, not waited for.

use tollgate_sdk::{
    http,
    serde_json::{Value, json},
    testing::TestRequest,
};

use super::common::{SERVICE, by, errcode, exchange, homeserver, hook, hooks, payloads, reject, told, with_service};

const BEFORE: &str = "beforeAnyRequest";

fn consult(result: Value) -> Value {
    json!({ "action": "consult.RESTServiceURL", "RESTServiceURL": SERVICE, "RESTServiceAsync": true, "RESTServiceAsyncResultHook": result })
}

#[allow(clippy::unnecessary_wraps, reason = "as services are")]
fn down(_: &http::Request) -> Result<http::Response, http::Error> {
    Ok(http::Response::new(500))
}

#[test]
fn nobody_waits_for_them() {
    let harness = with_service(hook(BEFORE, consult(Value::Null)), down);
    let mut flow = harness.flow(by("me", TestRequest::put("/a").with_body("{}")));
    flow.request().unwrap();
    flow.response(homeserver()).unwrap();
    let is_told = |request: &http::Request| request.url == SERVICE;
    assert!(!flow.http().iter().any(is_told), "not before the flow has ended");
    flow.finish(Some(homeserver())).unwrap();
    assert_eq!(flow.http().iter().filter(|request| is_told(request)).count(), 1);
}

#[test]
fn what_comes_of_them_changes_nothing() {
    let harness = with_service(hook(BEFORE, consult(Value::Null)), down);
    let done = exchange(&harness, TestRequest::put("/a").with_body("{}"));
    assert_eq!((done.response().status, done.failures.len(), told(&done).len()), (200, 0, 1));
    assert!(done.log.iter().any(|line| line.message.contains("asynchronous consultation failed")));
}

#[test]
fn the_result_hook_is_carried_out_at_once() {
    let harness = with_service(hook(BEFORE, consult(reject("M_RESULT"))), down);
    let done = exchange(&harness, TestRequest::put("/a"));
    assert_eq!((errcode(&done).as_deref(), done.sent.is_none(), told(&done).len()), (Some("M_RESULT"), true, 1));
    let result = json!({ "action": "pass.modifiedResponse", "injectJSONIntoResponse": { "info": "logged" } });
    let done = exchange(&with_service(hook("afterAnyRequest", consult(result)), down), TestRequest::put("/a"));
    assert_eq!(done.response().text(), r#"{"from":"homeserver","info":"logged"}"#);
}

#[test]
fn they_are_told_how_it_was_at_their_place() {
    let change = |id: &str, value: u8| json!({ "id": id, "eventType": BEFORE, "action": "pass.modifiedRequest", "injectJSONIntoRequest": { "n": value } });
    let mut consult = consult(Value::Null);
    consult["id"] = json!("told");
    consult["eventType"] = json!(BEFORE);
    let harness = with_service(hooks(json!([change("a", 1), consult, change("b", 2)])), down);
    let done = exchange(&harness, TestRequest::put("/a").with_body("{}"));
    assert_eq!(done.sent.as_ref().unwrap().text(), r#"{"n":2}"#);
    let payload = &payloads(&done)[0];
    assert_eq!((&payload["request"]["payload"], &payload["response"]), (&json!(r#"{"n":1}"#), &Value::Null));
}

#[test]
fn they_are_tried_again() {
    let mut fields = consult(Value::Null);
    fields["RESTServiceRetryAttempts"] = json!(2);
    let done = exchange(&with_service(hook(BEFORE, fields), down), TestRequest::put("/a"));
    assert_eq!(told(&done).len(), 3);
}

#[test]
fn a_flow_leaves_a_limited_number() {
    let many = |count: usize| {
        let hook = |number: usize| {
            let mut hook = consult(Value::Null);
            hook["id"] = json!(number.to_string());
            hook["eventType"] = json!(BEFORE);
            hook
        };
        let done = exchange(&with_service(hooks((0..count).map(hook).collect()), down), TestRequest::get("/"));
        (told(&done).len(), done.log.iter().filter(|line| line.message.contains("is not told")).count())
    };
    assert_eq!((many(15), many(16), many(17)), ((15, 0), (16, 0), (16, 1)));
}

#[test]
fn a_flow_leaves_limited_bytes_and_is_told_all_the_same() {
    const MOST: usize = 8 * 1024 * 1024;
    let told = |bytes: usize| {
        let body = "a".repeat(bytes);
        let done = exchange(&with_service(hook(BEFORE, consult(Value::Null)), down), TestRequest::put("/").with_body(body));
        assert_eq!(done.response().status, 200);
        let request = &payloads(&done)[0]["request"];
        (request["payload"].as_str().map(str::len), request["payloadTruncated"].clone())
    };
    assert_eq!(told(MOST - 1), (Some(MOST - 1), Value::Null));
    assert_eq!(told(MOST), (Some(MOST), Value::Null));
    assert_eq!(told(MOST + 1), (Some(MOST), json!(true)));
}
