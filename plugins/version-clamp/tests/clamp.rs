//! The clamp.
#![allow(clippy::panic, reason = "helpers of tests")]

use tollgate_sdk::{
    Event, Origin,
    log::Level,
    serde_json::{Value, json},
    testing::{Harness, Responded, TestRequest, TestResponse},
};
use version_clamp::VersionClamp;

fn respond(options: Value, response: TestResponse) -> Responded {
    let harness = Harness::<VersionClamp>::configure(options).unwrap_or_else(|errors| panic!("{errors}"));
    harness.response(TestRequest::get("/_matrix/client/versions"), response)
}

/// The body that the client gets for this one of the upstream.
fn clamped(options: Value, body: &str) -> String {
    respond(options, TestResponse::new(200).with_body(body)).response.text().to_owned()
}

#[test]
fn versions_up_to_the_highest_stay() {
    let kept = ["v1.11", "v1.11.0", "v1.10", "v1.10.9", "v1.2", "r0.0.1", "r0.6.1", "1.5", "v0.99"];
    let dropped = ["v1.12", "v1.11.1", "v2.0", "r2.0.0", "v1.11.99999999999999999999"];
    let no_versions =
        ["v1.11-beta", "v1.9-rc1", "v1.11.x", "v1.9.0-rc1", "v1", "V1.3", "unstable", "", "org.matrix.x", "v1.1.1.1"];
    for version in kept {
        let body = json!({ "versions": [version] }).to_string();
        assert_eq!(clamped(json!({}), &body), body);
    }
    for version in dropped.iter().chain(&no_versions) {
        let done = respond(json!({}), TestResponse::new(200).with_json(&json!({ "versions": ["v1.1", version] })));
        assert_eq!(done.response.text(), r#"{"versions":["v1.1"]}"#, "{version}");
        assert_eq!(done.log.len(), usize::from(no_versions.contains(version)), "{version}");
    }
}

#[test]
fn order_of_the_upstream_stays() {
    let body = r#"{"versions": ["r0.6.1", "v1.2", "v1.12", "v1.10", "v1.1", "v1.11"]}"#;
    assert_eq!(clamped(json!({}), body), r#"{"versions":["r0.6.1","v1.2","v1.10","v1.1","v1.11"]}"#);
}

#[test]
fn highest_version_is_an_option() {
    let body = r#"{"versions":["r0.6.1","v1.1","v1.5","v1.6"]}"#;
    assert_eq!(clamped(json!({ "max": "v1.5" }), body), r#"{"versions":["r0.6.1","v1.1","v1.5"]}"#);
    assert_eq!(clamped(json!({ "max": "r0.6.1" }), body), r#"{"versions":["r0.6.1"]}"#);
    assert_eq!(clamped(json!({ "max": "v1.6" }), body), body);
}

#[test]
fn unstable_features_are_dropped_or_kept() {
    let body = r#"{"versions": ["v1.1"], "unstable_features": {"a": true}}"#;
    assert_eq!(clamped(json!({}), body), r#"{"versions":["v1.1"],"unstable_features":{}}"#);
    assert_eq!(clamped(json!({ "unstable_features": "keep" }), body), body);
    let body = r#"{"versions": ["v1.1", "v2.0"], "unstable_features": {"a":  true}}"#;
    let kept = r#"{"versions":["v1.1"],"unstable_features":{"a":  true}}"#;
    assert_eq!(clamped(json!({ "unstable_features": "keep" }), body), kept);
}

#[test]
fn other_keys_keep_order_and_digits() {
    let body =
        r#"{"z": 1.10, "versions": ["v9.0"], "a": [1e400, 123456789012345678901234567890, {"y":1,"x":2}], "\u0041": null}"#;
    let kept = r#"{"z":1.10,"versions":[],"a":[1e400, 123456789012345678901234567890, {"y":1,"x":2}],"A":null}"#;
    assert_eq!(clamped(json!({}), body), kept);
}

#[test]
fn unchanged_answers_pass_byte_for_byte() {
    for body in [
        "{ \"versions\" : [ \"v1.1\" , \"v1.11\" ] }\n",
        r#"{"versions":[],"unstable_features":{ }}"#,
        r#"{"versions":["v1.1"],"unstable_features":null}"#,
    ] {
        let response = TestResponse::new(200).with_header("ETag", "\"1\"").with_header("Content-Encoding", "gzip");
        let done = respond(json!({}), response.with_body(body));
        assert_eq!(done.response.text(), body);
        assert_eq!((done.response.header("etag"), done.response.header("content-encoding")), (Some("\"1\""), Some("gzip")));
    }
}

#[test]
fn other_documents_pass_untouched() {
    for body in [
        "",
        "null",
        "[\"v2.0\"]",
        "not json",
        "{\"versions\": [\"v2.0\"]",
        "{\"versions\": \"v2.0\"}",
        "{\"versions\": {\"v2.0\": 1}}",
        "{\"unstable_features\": {\"a\": true}}",
        "{\"Versions\": [\"v2.0\"]}",
        "{\"a\": {\"versions\": [\"v2.0\"]}}",
    ] {
        assert_eq!(clamped(json!({}), body), body);
    }
    let done = respond(json!({}), TestResponse::new(200).with_body(&b"{\"versions\": [\"v2.0\"], \"a\": \"\xff\"}"[..]));
    assert_eq!(done.response.body, b"{\"versions\": [\"v2.0\"], \"a\": \"\xff\"}");
}

#[test]
fn repeated_and_escaped_keys_are_clamped() {
    let body = r#"{"versions":["v2.0"],"version\u0073":["v1.1","v\u0032.0"],"versions":["v1.2"]}"#;
    assert_eq!(clamped(json!({}), body), r#"{"versions":[],"versions":["v1.1"],"versions":["v1.2"]}"#);
}

#[test]
fn entries_that_are_no_versions_are_logged() {
    let done = respond(json!({}), TestResponse::new(200).with_body(r#"{"versions":[1.1,"v1.1",null,["v1.1"],"beta"]}"#));
    assert_eq!(done.response.text(), r#"{"versions":["v1.1"]}"#);
    let entries: Vec<_> = done.log.iter().map(|line| line.fields[0].1.as_str()).collect();
    assert_eq!(entries, ["1.1", "null", "[\"v1.1\"]", "\"beta\""]);
    assert!(done.log.iter().all(|line| line.level == Level::Warn && line.fields[0].0 == "entry"));
}

#[test]
fn only_answers_of_the_upstream_are_clamped() {
    let body = r#"{"versions":["v2.0"]}"#;
    for status in [201, 203, 404, 500] {
        assert_eq!(respond(json!({}), TestResponse::new(status).with_body(body)).response.text(), body);
    }
    for origin in [Origin::Core, Origin::Addon("other".to_owned())] {
        let mut response = TestResponse::new(200).with_body(body);
        response.origin = origin;
        assert_eq!(respond(json!({}), response).response.text(), body);
    }
}

#[test]
fn validators_of_the_old_body_go() {
    let response = TestResponse::new(200).with_header("ETag", "\"1\"").with_header("Cache-Control", "max-age=600");
    let done = respond(json!({}), response.with_body(r#"{"versions":["v2.0"]}"#));
    assert_eq!((done.response.header("etag"), done.response.header("cache-control")), (None, Some("max-age=600")));
}

#[test]
fn core_calls_for_nothing_else() {
    let harness = Harness::<VersionClamp>::configure(json!({})).expect("defaults are legal");
    let asked: Vec<_> = harness.subscriptions().iter().map(|asked| (asked.event(), asked.filter_text())).collect();
    let clamp = "~c 200 & ~m ^GET$ & ~p ^/_matrix/client/versions$";
    assert_eq!(asked, [(Event::Response, clamp), (Event::Request, "")]);
}

#[test]
fn fenced_requests_never_reach_the_upstream() {
    let harness = Harness::<VersionClamp>::configure(json!({})).expect("defaults are legal");
    let done = harness.exchange(TestRequest::get("/versions"), |_| TestResponse::new(200));
    assert_eq!((done.response().status, done.sent), (404, None));
    let done = harness.exchange(TestRequest::get("/_matrix/client/versions"), |_| {
        TestResponse::new(200).with_body(r#"{"versions":["v1.1","v2.0"]}"#)
    });
    assert_eq!(done.response().text(), r#"{"versions":["v1.1"]}"#);
}
