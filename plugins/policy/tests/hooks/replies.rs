//! `reject` and `respond`.

use tollgate_sdk::{
    serde_json::{Value, json},
    testing::{TestRequest, TestResponse},
};

use super::common::{exchange, hook, policy};

fn replied(fields: Value) -> TestResponse {
    let done = exchange(&policy(hook("beforeAnyRequest", fields)), TestRequest::put("/a"));
    assert!(done.sent.is_none(), "the homeserver is not asked");
    done.response().clone()
}

fn responded(payload: Value, content_type: &str, is_as_it_is: bool) -> TestResponse {
    replied(json!({
        "action": "respond", "responseStatusCode": 200, "responsePayload": payload, "responseContentType": content_type,
        "responseSkipPayloadJSONSerialization": is_as_it_is,
    }))
}

#[test]
fn rejections_are_errors_of_matrix() {
    let response = replied(json!({
        "action": "reject", "responseStatusCode": 451, "rejectionErrorCode": "M_FORBIDDEN", "rejectionErrorMessage": "We're \"nice\""
    }));
    assert_eq!((response.status, response.header("content-type")), (451, Some("application/json")));
    assert_eq!(response.text(), r#"{"errcode":"M_FORBIDDEN","error":"We're \"nice\""}"#);
}

#[test]
fn rejections_are_403_by_default() {
    let fields = json!({ "action": "reject", "rejectionErrorCode": "", "rejectionErrorMessage": "" });
    assert_eq!(replied(fields).status, 403);
}

#[test]
fn responses_are_json_by_default() {
    let response =
        replied(json!({ "action": "respond", "responseStatusCode": 202, "responsePayload": { "z": [1.50], "a": "b" } }));
    assert_eq!((response.status, response.header("content-type")), (202, Some("application/json")));
    assert_eq!(response.text(), r#"{"z":[1.5],"a":"b"}"#);
}

#[test]
fn strings_are_json_or_as_they_are() {
    assert_eq!(responded(json!("a\"b"), "application/json", false).text(), r#""a\"b""#);
    assert_eq!(responded(json!("{\"a\":1}"), "application/json", true).text(), r#"{"a":1}"#);
    assert_eq!(responded(json!("<p>"), "text/html", false).text(), "<p>");
    assert_eq!(responded(json!({}), "application/json; charset=utf-8", false).text(), "{}");
    assert_eq!(responded(json!("a"), "text/html; charset=utf-8", true).header("content-type"), Some("text/html; charset=utf-8"));
}

#[test]
fn a_missing_payload_is_null() {
    assert_eq!(replied(json!({ "action": "respond", "responseStatusCode": 200 })).text(), "null");
}

#[test]
fn web_clients_may_read_replies() {
    for response in [responded(json!({}), "application/json", false), replied(super::common::reject("M_X"))] {
        assert_eq!(response.header("access-control-allow-origin"), Some("*"));
        assert!(response.header("access-control-allow-headers").is_some_and(|value| value.contains("Authorization")));
        assert!(response.header("access-control-allow-methods").is_some_and(|value| value.contains("PUT")));
    }
}
