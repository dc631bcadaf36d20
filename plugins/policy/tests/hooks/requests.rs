//! `pass.modifiedRequest`.

use tollgate_sdk::{
    serde_json::{Value, json},
    testing::{Exchange, TestRequest},
};

use super::common::{exchange, hook, hooks, policy};

fn sent(fields: Value, request: TestRequest) -> TestRequest {
    let mut fields = fields;
    fields["action"] = json!("pass.modifiedRequest");
    let done = exchange(&policy(hook("beforeAnyRequest", fields)), request);
    assert_eq!(done.failures, []);
    done.sent.unwrap_or_else(|| panic!("{:?}", done.received))
}

fn body(done: &Exchange) -> &str {
    done.sent.as_ref().map(TestRequest::text).unwrap()
}

#[test]
fn members_are_merged_at_the_top() {
    let json = json!({ "body": "Hello!", "new": { "b": 1, "a": null }, "gone": null });
    let request = TestRequest::put("/a").with_body(r#"{"n":12345678901234567890, "body":"Bye","gone":{"x":1},"z":1.50}"#);
    let sent = sent(json!({ "injectJSONIntoRequest": json }), request);
    let wanted = r#"{"n":12345678901234567890, "body":"Hello!","gone":null,"z":1.50,"new":{"b":1,"a":null}}"#;
    assert_eq!(sent.text(), wanted);
}

#[test]
fn fields_are_set_with_json_and_without() {
    let headers = json!({ "X-A": "new", "X-B": "b" });
    let request = TestRequest::get("/a").with_header("x-a", "1").with_header("X-A", "2");
    let done = sent(json!({ "injectHeadersIntoRequest": headers }), request.clone());
    assert_eq!((done.header_values("x-a"), done.header("x-b")), (vec![b"new".to_vec()], Some("b")));
    let done = sent(json!({ "injectHeadersIntoRequest": headers, "injectJSONIntoRequest": {} }), request.clone());
    assert_eq!(done.header("x-b"), Some("b"));
    let fields = json!({ "injectHeadersIntoRequest": headers, "injectJSONIntoRequest": { "a": 1 } });
    let done = sent(fields, request.with_body("{}"));
    assert_eq!((done.header("x-b"), done.text()), (Some("b"), r#"{"a":1}"#));
}

#[test]
fn empty_changes_leave_bodies_alone() {
    let sent = sent(json!({ "injectJSONIntoRequest": {} }), TestRequest::put("/a").with_body("\0 no JSON"));
    assert_eq!(sent.body, b"\0 no JSON");
}

#[test]
fn changes_add_up_in_order() {
    let change = |id: &str, json: Value| json!({ "id": id, "eventType": "beforeAnyRequest", "action": "pass.modifiedRequest", "injectJSONIntoRequest": json });
    let policy = policy(hooks(json!([change("1", json!({ "a": 1, "b": 1 })), change("2", json!({ "b": 2, "c": 2 }))])));
    let done = exchange(&policy, TestRequest::put("/").with_body(r#"{"c":0}"#));
    assert_eq!(body(&done), r#"{"c":2,"a":1,"b":2}"#);
}
