//! The fence as clients meet it.
#![allow(clippy::panic, reason = "helpers of tests")]

use tollgate_sdk::{
    MadeResponse, RequestVerdict,
    serde_json::{Value, from_slice, json},
    testing::{Harness, TestRequest},
};
use version_clamp::VersionClamp;

fn harness(options: Value) -> Harness<VersionClamp> {
    Harness::configure(options).unwrap_or_else(|errors| panic!("{errors}"))
}

/// The answer of the fence; none if the request goes through.
fn refused(harness: &Harness<VersionClamp>, method: &str, target: &str) -> Option<MadeResponse> {
    let done = harness.request(TestRequest::new(method, target));
    assert_eq!(done.request, TestRequest::new(method, target), "the fence edits nothing");
    match done.verdict {
        Ok(RequestVerdict::Next) => None,
        Ok(RequestVerdict::Respond(response)) => Some(response),
        other => panic!("{method} {target}: {other:?}"),
    }
}

fn status(harness: &Harness<VersionClamp>, method: &str, target: &str) -> u16 {
    refused(harness, method, target).map_or(200, |response| response.status)
}

fn errcode(response: &MadeResponse) -> String {
    let body: Value = from_slice(&response.body).unwrap_or_else(|error| panic!("{error}"));
    body.get("errcode").and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn field(response: &MadeResponse, name: &str) -> Option<String> {
    let (_, value) = response.headers.iter().find(|(field, _)| field.eq_ignore_ascii_case(name))?;
    String::from_utf8(value.clone()).ok()
}

#[test]
fn matrix_is_the_default_fence() {
    let harness = harness(json!({}));
    assert_eq!(status(&harness, "GET", "/_matrix/client/v3/sync?since=a%2Fb"), 200);
    for path in [
        "/",
        "/index.html",
        "/_matrix/client/r0/sync",
        "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device",
        "/_synapse/admin/v1/users",
        "/_matrix/client/v3/sync/",
        "/_matrix/client/v3/Sync",
        "/_matrix",
        "*",
        "//",
        "/_matrix;x/client/versions",
    ] {
        assert_eq!(status(&harness, "GET", path), 404, "{path}");
        assert_eq!(status(&harness, "OPTIONS", path), 404, "{path}");
    }
}

#[test]
fn fence_off_sees_no_request() {
    let harness = harness(json!({ "fence": "off" }));
    assert_eq!(harness.subscriptions().len(), 1);
    assert_eq!(status(&harness, "BREW", "/anything/%2e%2e"), 200);
}

#[test]
fn encodings_lead_past_no_rule() {
    let harness = harness(json!({ "deny": ["GET /_matrix/client/v3/sync"] }));
    for path in [
        "/%5Fmatrix/client/v3/sync",
        "/_matrix/client/v3/%73ync",
        "/_matrix/client/v3/syn%63",
        "/_matrix%2Fclient/v3/sync",
        "/_matrix/client/v3/./sync",
        "/_matrix/client/v3/x/../sync",
        "/_matrix/client/v3/x/%2e%2E/sync",
        "/_matrix/client/v3//sync",
        "/_matrix/client/v3/profile/%2E./sync",
        "/_matrix/client/v3/profile/..%2F..%2Fsync",
        "/_matrix/client/v3/sync%00",
        "/_matrix/client/v3/sync%20",
        "/_matrix/client/v3/%sync",
        "/_matrix/client/v3/sync%2F",
        "/_matrix/client/v3/%2573ync",
    ] {
        assert_eq!(status(&harness, "GET", path), 404, "{path}");
    }
    // The same path in another encoding is the same path.
    assert_eq!(status(&harness, "GET", "/%5Fmatrix/client/%76ersions"), 200);
    assert_eq!(status(&harness, "GET", "/_matrix/federation/v1/query/%64irectory"), 400);
}

#[test]
fn literal_goes_before_parameter() {
    let harness = harness(json!({}));
    assert_eq!(status(&harness, "GET", "/_matrix/federation/v1/query/directory"), 400);
    assert_eq!(status(&harness, "GET", "/_matrix/federation/v1/query/directory?room_alias=%23a:b"), 200);
    assert_eq!(status(&harness, "GET", "/_matrix/federation/v1/query/other"), 200);
}

#[test]
fn query_names_are_read_decoded() {
    let harness = harness(json!({}));
    for (query, expected) in [("dir=b", 200), ("a=b&%64ir", 200), ("dir=", 200), ("Dir=b", 400), ("xdir=b", 400), ("a=dir", 400)]
    {
        assert_eq!(status(&harness, "GET", &format!("/_matrix/client/v3/rooms/!a:b/messages?{query}")), expected, "{query}");
    }
    let answer = refused(&harness, "HEAD", "/_matrix/client/v3/keys/changes?").expect("refused");
    assert!(String::from_utf8_lossy(&answer.body).contains("missing query parameter: from, to"));
}

#[test]
fn tim_closes_some_paths_by_name() {
    let harness = harness(json!({ "fence": "tim" }));
    for method in ["GET", "POST", "OPTIONS"] {
        let answer = refused(&harness, method, "/_matrix/client/v1/login/get_token").expect("refused");
        assert_eq!((answer.status, errcode(&answer).as_str()), (404, "M_NOT_FOUND"));
        let answer = refused(&harness, method, "/_matrix/federation/v1/publicRooms").expect("refused");
        assert_eq!((answer.status, errcode(&answer).as_str()), (403, "M_FORBIDDEN"));
    }
    for path in [
        "/_matrix/client/v3/voip/turnServer",
        "/_matrix/client/v3/events",
        "/metrics",
        "/actuator/health",
        "/_synapse/admin",
        "/_synapse/admin/%2e%2e/x",
    ] {
        assert_eq!(status(&harness, "GET", path), 404, "{path}");
    }
    assert_eq!(status(&harness, "DELETE", "/_synapse/admin/v1/rooms/!a:b"), 200);
}

#[test]
fn refusals_can_be_read_by_browsers() {
    let harness = harness(json!({}));
    for target in ["/x", "/_matrix/client/versions", "/_matrix/client/v3/keys/changes"] {
        let method = if target.ends_with("versions") { "POST" } else { "GET" };
        let answer = refused(&harness, method, target).expect("refused");
        assert_eq!(field(&answer, "access-control-allow-origin").as_deref(), Some("*"));
        assert_eq!(field(&answer, "content-type").as_deref(), Some("application/json"));
    }
}
