//! What actions of event hooks come to over the wire.

use http::HeaderValue;
use serde_json::{Value, json};
use tollgate_tests::{
    Client, Version,
    addons::{Guarded, Homeserver, hooks},
};

const BEFORE: &str = "beforeAnyRequest";
const AFTER: &str = "afterAnyRequest";
const SENT: &str = r#"{"msgtype":"m.text","big":12345678901234567890,"body":"x","small":1.10}"#;

#[tokio::test]
async fn requests_arrive_as_hooks_left_them() {
    let merged = r#"{"msgtype":"m.text","big":12345678901234567890,"body":"Hello!","small":1.10,"none":null}"#;
    let json = json!({"body": "Hello!", "none": null});
    let headers = json!({"X-Modified": "1", "User-Agent": "a hook"});
    let policy = hooks(&[
        ("pass", BEFORE, json!({"action": "pass.unmodified"})),
        ("json", BEFORE, json!({"action": "pass.modifiedRequest", "injectJSONIntoRequest": json})),
        ("headers", BEFORE, json!({"action": "pass.modifiedRequest", "injectHeadersIntoRequest": headers})),
        (
            "empty",
            BEFORE,
            json!({"action": "pass.modifiedRequest", "injectJSONIntoRequest": {}, "injectHeadersIntoRequest": headers}),
        ),
        (
            "both",
            BEFORE,
            json!({"action": "pass.modifiedRequest", "injectJSONIntoRequest": json, "injectHeadersIntoRequest": headers}),
        ),
    ]);
    let guarded = Guarded::by(&policy).await;
    for version in Version::BOTH {
        for (target, body, has_headers) in [
            ("/pass", SENT, false),
            ("/json", merged, false),
            ("/headers", SENT, true),
            ("/empty", SENT, true),
            ("/both", merged, true),
        ] {
            let answer = guarded.ask_over(version, "PUT", target, None, SENT).await;
            assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, Homeserver::ANSWER), "{version:?} {target}");
            let arrived = guarded.homeserver.last_request();
            assert_eq!((arrived.target.as_str(), arrived.text().as_str()), (target, body), "{version:?}");
            let expected = if has_headers { (Some("1"), Some("a hook")) } else { (None, None) };
            assert_eq!((arrived.fields.get("x-modified"), arrived.fields.get("user-agent")), expected, "{version:?} {target}");
        }
        // Without a body there is none to change, but there are fields.
        let answer = guarded.ask_over(version, "GET", "/headers", None, "").await;
        assert_eq!((answer.status.as_u16(), guarded.homeserver.last_request().fields.get("x-modified")), (200, Some("1")));
    }
    guarded.homeserver.origin().assert_strict();
}

#[tokio::test]
async fn answers_come_in_the_place_of_the_homeservers() {
    let rows = [
        (
            "reject",
            json!({"action": "reject", "rejectionErrorCode": "M_X", "rejectionErrorMessage": "no \"way\""}),
            (403, "application/json", r#"{"errcode":"M_X","error":"no \"way\""}"#),
        ),
        (
            "reject-with",
            json!({"action": "reject", "responseStatusCode": 451, "rejectionErrorCode": "M_X", "rejectionErrorMessage": ""}),
            (451, "application/json", r#"{"errcode":"M_X","error":""}"#),
        ),
        (
            "respond",
            json!({"action": "respond", "responseStatusCode": 200, "responsePayload": {"b": 1, "a": 2}}),
            (200, "application/json", r#"{"b":1,"a":2}"#),
        ),
        (
            "respond-string",
            json!({"action": "respond", "responseStatusCode": 201, "responsePayload": "{\"a\":1}"}),
            (201, "application/json", r#""{\"a\":1}""#),
        ),
        (
            "respond-as-is",
            json!({"action": "respond", "responseStatusCode": 200, "responsePayload": "{\"a\":1}", "responseSkipPayloadJSONSerialization": true}),
            (200, "application/json", r#"{"a":1}"#),
        ),
        (
            "respond-text",
            json!({"action": "respond", "responseStatusCode": 503, "responsePayload": "gone fishing", "responseContentType": "text/plain"}),
            (503, "text/plain", "gone fishing"),
        ),
    ];
    let named: Vec<(String, String, &Value)> = rows
        .iter()
        .flat_map(|(id, fields, _)| {
            [(format!("b-{id}"), BEFORE.to_owned(), fields), (format!("a-{id}"), AFTER.to_owned(), fields)]
        })
        .collect();
    let named: Vec<(&str, &str, Value)> =
        named.iter().map(|(id, event, fields)| (id.as_str(), event.as_str(), (*fields).clone())).collect();
    let guarded = Guarded::by(&hooks(&named)).await;
    for (id, _, (status, kind, body)) in &rows {
        for (stage, is_asked) in [("b", false), ("a", true)] {
            let target = format!("/{stage}-{id}");
            let answer = guarded.ask("PUT", &target, None, SENT).await;
            let found = (answer.status.as_u16(), answer.header("content-type"), answer.text());
            assert_eq!(found, (*status, Some(*kind), (*body).to_owned()), "{target}");
            assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{target}");
            assert_eq!(guarded.homeserver.origin().targets().contains(&target), is_asked, "{target}");
        }
    }
}

#[tokio::test]
async fn responses_arrive_as_hooks_left_them() {
    let json = json!({"by": "hook", "new": [1]});
    let merged = r#"{"by":"hook","number":12345678901234567890.10,"new":[1]}"#;
    let headers = json!({"X-Modified": "1", "Content-Type": "application/x"});
    let policy = hooks(&[
        ("json", AFTER, json!({"action": "pass.modifiedResponse", "injectJSONIntoResponse": json})),
        ("headers", AFTER, json!({"action": "pass.modifiedResponse", "injectHeadersIntoResponse": headers})),
        (
            "both",
            AFTER,
            json!({"action": "pass.modifiedResponse", "injectJSONIntoResponse": json, "injectHeadersIntoResponse": headers}),
        ),
    ]);
    let guarded = Guarded::by(&policy).await;
    for version in Version::BOTH {
        for (target, body, has_headers) in [
            ("/json", merged, false),
            ("/headers", Homeserver::ANSWER, true),
            ("/both", merged, true),
            ("/other", Homeserver::ANSWER, false),
        ] {
            let answer = guarded.ask_over(version, "GET", target, None, "").await;
            assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, body), "{version:?} {target}");
            let kind = if has_headers { "application/x" } else { "application/json" };
            let found = (answer.header("x-modified"), answer.header("content-type"));
            assert_eq!(found, (has_headers.then_some("1"), Some(kind)), "{version:?} {target}");
            assert_eq!(answer.header("content-length"), Some(body.len().to_string().as_str()), "{version:?} {target}");
        }
    }
}

#[tokio::test]
async fn what_is_no_object_is_an_error_that_names_the_hook() {
    let policy = hooks(&[
        ("request", BEFORE, json!({"action": "pass.modifiedRequest", "injectJSONIntoRequest": {"a": 1}})),
        ("response", AFTER, json!({"action": "pass.modifiedResponse", "injectJSONIntoResponse": {"a": 1}})),
    ]);
    let homeserver = Homeserver::answering(|_| Homeserver::response(200, "[1]")).await;
    let guarded = Guarded::before(homeserver, &policy).await;
    for body in ["[1]", "null", "no JSON", "\"a\""] {
        let answer = guarded.ask("PUT", "/request", None, body).await;
        assert!(answer.status.is_client_error(), "{body}: {} {}", answer.status, answer.text());
        assert!(answer.json()["errcode"].is_string(), "{}", answer.text());
    }
    assert_eq!(guarded.homeserver.requests().len(), 0);
    let answer = guarded.ask("GET", "/response", None, "").await;
    assert!(answer.status.is_server_error() && answer.json()["errcode"].is_string(), "{} {}", answer.status, answer.text());
    for id in ["request", "response"] {
        assert!(
            guarded.host.times_logged(&format!("\"{id}\"")) > 0 || guarded.host.times_logged(&format!("hook={id}")) > 0,
            "{id}"
        );
    }
}

#[tokio::test]
async fn changes_accumulate_in_the_order_of_the_policy() {
    let inject = |member: &str| {
        json!({"action": "pass.modifiedRequest", "injectJSONIntoRequest": {"last": member, member: true},
            "matchRules": [{"type": "method", "regex": "^PUT$"}]})
    };
    let policy = hooks(&[("one", BEFORE, inject("one")), ("two", BEFORE, inject("two")), ("three", BEFORE, inject("three"))]);
    let guarded = Guarded::by(&policy).await;
    guarded.ask("PUT", "/", None, "{}").await;
    let arrived = guarded.homeserver.last_request();
    assert_eq!(arrived.text(), r#"{"last":"three","one":true,"two":true,"three":true}"#);
}

#[tokio::test]
async fn a_reset_has_no_body() {
    let respond = json!({"action": "respond", "responseStatusCode": 205, "responsePayload": {"a": 1}});
    let inject = json!({"action": "pass.modifiedResponse", "injectJSONIntoResponse": {"a": 1}});
    let mut later = inject;
    later["matchRules"] = json!([{"type": "route", "regex": "^/after$"}]);
    let guarded =
        Guarded::by(&hooks(&[("before", BEFORE, respond.clone()), ("after", AFTER, respond), ("later", AFTER, later)])).await;
    for version in Version::BOTH {
        for target in ["/before", "/after"] {
            let answer = guarded.ask_over(version, "PUT", target, None, SENT).await;
            let found = (answer.status.as_u16(), answer.body.len(), answer.header("content-type"));
            assert_eq!(found, (205, 0, None), "{version:?} {target}");
        }
    }
}

#[tokio::test]
async fn paths_too_long_for_rules_are_refused() {
    let header = json!({"action": "pass.modifiedRequest", "injectHeadersIntoRequest": {"X-A": "1"},
        "matchRules": [{"type": "route", "regex": "b$"}]});
    let later = json!({"action": "pass.modifiedResponse", "injectHeadersIntoResponse": {"X-A": "1"},
        "matchRules": [{"type": "route", "regex": "c$"}]});
    let guarded = Guarded::by(&hooks(&[("header", BEFORE, header), ("later", AFTER, later)])).await;
    // As it is decoded.
    let path = |length: usize, end: &str| format!("/%61{}{end}", "a".repeat(length - 3));
    for version in Version::BOTH {
        for end in ["b", "c"] {
            for (length, expected) in [(8191, 200), (8192, 200), (8193, 414)] {
                let answer = guarded.ask_over(version, "GET", &path(length, end), None, "").await;
                assert_eq!(answer.status.as_u16(), expected, "{version:?} {length} {end}: {}", answer.text());
            }
            let answer = guarded.ask_over(version, "GET", &path(8193, end), None, "").await;
            assert_eq!(answer.json()["errcode"], "M_UNKNOWN", "{version:?} {end}");
        }
        // Paths that no rule can match are none of the addon's.
        assert_eq!(guarded.ask_over(version, "GET", &path(8193, "d"), None, "").await.status, 200);
    }
}

#[tokio::test]
async fn a_hook_that_fails_changes_nothing() {
    let homeserver = Homeserver::start().await;
    let both = json!({"action": "pass.modifiedRequest", "injectJSONIntoRequest": {"a": 1}, "matchRules": [],
        "injectHeadersIntoRequest": {"X-Allowed": "new", "X-New-Allowed": "1", "Y": "1"}});
    let mut policy = hooks(&[("both", BEFORE, both)]);
    policy["onHookFailure"] = json!("pass");
    let host = Guarded::builder(&homeserver, &policy).set("addon.policy.write_headers", "[\"X-*\"]").start().await;
    let guarded = Guarded { host, homeserver };
    for version in Version::BOTH {
        let mut client = Client::connect(version, guarded.host.address()).await;
        let mut request = Guarded::request("PUT", "/", None, SENT);
        request.headers_mut().insert("x-allowed", HeaderValue::from_static("old"));
        assert_eq!(client.ask(request).await.status, 200, "{version:?}");
        let arrived = guarded.homeserver.last_request();
        let fields = ["x-allowed", "x-new-allowed", "y"].map(|name| arrived.fields.get(name));
        assert_eq!((arrived.text().as_str(), fields), (SENT, [Some("old"), None, None]), "{version:?}");
    }
}
