//! Services that hooks consult: what they are told, and what becomes of the flow when they fail.

use serde_json::{Value, json};
use tollgate_tests::{
    Answer, Port, Version,
    addons::{Guarded, Homeserver, Service, hooks},
    eventually,
};

const BEFORE: &str = "beforeAnyRequest";
const AFTER: &str = "afterAnyRequest";
const PASS: &str = r#"{"action":"pass.unmodified"}"#;

fn consult(url: &str) -> Value {
    json!({"action": "consult.RESTServiceURL", "RESTServiceURL": url})
}

fn with_contingency(mut hook: Value) -> Value {
    hook["RESTServiceContingencyHook"] =
        json!({"action": "reject", "responseStatusCode": 418, "rejectionErrorCode": "M_DOWN", "rejectionErrorMessage": "down"});
    hook
}

fn assert_is_homeservers(answer: &Answer, what: &str) {
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, Homeserver::ANSWER), "{what}");
}

#[tokio::test]
async fn answers_are_carried_out() {
    let service = Service::start().await;
    let reject = json!({"action": "reject", "rejectionErrorCode": "M_X", "rejectionErrorMessage": "no"});
    let inject =
        json!({"action": "pass.modifiedRequest", "injectJSONIntoRequest": {"a": 1}, "injectHeadersIntoRequest": {"X-A": "1"}});
    let again = consult(&service.telling(&reject));
    let policy = hooks(&[
        ("pass", BEFORE, consult(&service.telling(PASS))),
        ("reject", BEFORE, consult(&service.telling(&reject))),
        ("inject", BEFORE, consult(&service.telling(&inject))),
        ("again", BEFORE, consult(&service.telling(again))),
        (
            "respond",
            BEFORE,
            consult(&service.telling(json!({"action": "respond", "responseStatusCode": 202, "responsePayload": []}))),
        ),
        (
            "after",
            AFTER,
            consult(&service.telling(json!({"action": "pass.modifiedResponse", "injectJSONIntoResponse": {"by": "x"}}))),
        ),
        ("redirect", BEFORE, consult(&service.at(&format!("/redirect/307?{}", service.telling(&reject))))),
    ]);
    let guarded = Guarded::by(&policy).await;
    for version in Version::BOTH {
        assert_is_homeservers(&guarded.ask_over(version, "PUT", "/pass", None, "{}").await, "pass");
        for target in ["/reject", "/again", "/redirect"] {
            let answer = guarded.ask_over(version, "PUT", target, None, "{}").await;
            assert_eq!((answer.status.as_u16(), answer.json()["errcode"].as_str()), (403, Some("M_X")), "{version:?} {target}");
        }
        guarded.ask_over(version, "PUT", "/inject", None, r#"{"b":2}"#).await;
        let arrived = guarded.homeserver.last_request();
        assert_eq!((arrived.text().as_str(), arrived.fields.get("x-a")), (r#"{"b":2,"a":1}"#, Some("1")));
        let answer = guarded.ask_over(version, "PUT", "/respond", None, "{}").await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (202, "[]"));
        assert_eq!(guarded.ask_over(version, "GET", "/after", None, "").await.json()["by"], "x");
    }
}

#[tokio::test]
async fn failures_lead_to_the_contingency_or_503() {
    let service = Service::start().await;
    let told = |document: &str| service.telling(document);
    let good = service.told(PASS);
    let unused = Port::reserve();
    let nobody = format!("{}/", unused.url());
    let urls = [
        ("s201", service.at(&format!("/status/201/{good}"))),
        ("s203", service.at(&format!("/status/203/{good}"))),
        ("s404", service.at(&format!("/status/404/{good}"))),
        ("s500", service.at(&format!("/status/500/{good}"))),
        ("redirect-to-404", service.at(&format!("/redirect/302?{}", service.at(&format!("/status/404/{good}"))))),
        ("redirect-nowhere", service.at("/redirect/302?ftp://a/")),
        ("empty", told("")),
        ("not-json", told("this is no JSON")),
        ("trailing", told(r#"{"action":"pass.unmodified"} x"#)),
        ("null", told("null")),
        ("list", told("[]")),
        ("object", told("{}")),
        ("unknown-action", told(r#"{"action":"dance"}"#)),
        ("wrong-stage", told(r#"{"action":"pass.modifiedResponse","injectJSONIntoResponse":{"a":1}}"#)),
        ("incomplete", told(r#"{"action":"reject"}"#)),
        ("huge", service.at(&format!("/length/{}", (10 << 20) + 1))),
        ("closed", service.at("/closed")),
        ("cut", service.at("/cut")),
        ("garbage", service.at("/garbage")),
        ("silent", service.at("/silent")),
        ("stuck", service.at("/stuck")),
        ("nobody", nobody),
    ];
    let quick = |url: &str| {
        let mut hook = consult(url);
        hook["RESTServiceRequestTimeoutMilliseconds"] = json!(1_000);
        hook
    };
    let mut rows: Vec<(String, Value)> = Vec::new();
    for (name, url) in &urls {
        rows.push((format!("{name}-c"), with_contingency(quick(url))));
        rows.push((format!("{name}-n"), quick(url)));
    }
    let rows: Vec<(&str, &str, Value)> = rows.iter().map(|(name, hook)| (name.as_str(), BEFORE, hook.clone())).collect();
    let guarded = Guarded::by(&hooks(&rows)).await;
    for (name, _) in &urls {
        let answer = guarded.ask("PUT", &format!("/{name}-c"), None, "{}").await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["errcode"].as_str()),
            (418, Some("M_DOWN")),
            "{name}: {}",
            answer.text()
        );
        let answer = guarded.ask("PUT", &format!("/{name}-n"), None, "{}").await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["errcode"].as_str()),
            (503, Some("M_UNKNOWN")),
            "{name}: {}",
            answer.text()
        );
    }
    assert_eq!(guarded.homeserver.requests().len(), 0);
}

#[tokio::test]
async fn attempts_are_as_many_as_the_hook_says() {
    let service = Service::start().await;
    let document = service.told(PASS);
    let with_retries = |retries: u32| {
        let mut hook = with_contingency(consult(&service.at(&format!("/flaky/{document}"))));
        hook["RESTServiceRetryAttempts"] = json!(retries);
        hook["RESTServiceRetryWaitTimeMilliseconds"] = json!(1);
        hook
    };
    let policy = hooks(&[("two", BEFORE, with_retries(2)), ("none", BEFORE, with_retries(0))]);
    let guarded = Guarded::by(&policy).await;
    let attempts = || service.asked(&format!("/flaky/{document}")).len();
    assert_is_homeservers(&guarded.ask("PUT", "/two", None, "{}").await, "two retries");
    assert_eq!(attempts(), 3);
    assert_eq!(guarded.ask("PUT", "/none", None, "{}").await.status, 418);
    assert_eq!(attempts(), 4);
}

#[tokio::test]
async fn services_are_told_what_the_document_says() {
    let service = Service::start().await;
    let (before, after) = (service.told(PASS), service.told(PASS));
    let mut first = consult(&service.at(&format!("/told/{before}")));
    first["RESTServiceRequestMethod"] = json!("PUT");
    first["RESTServiceRequestHeaders"] = json!({"Authorization": "Bearer SOME_TOKEN"});
    let second = consult(&service.at(&format!("/told/{after}")));
    let rules = json!([{"type": "route", "regex": "^/_matrix/client/r0/rooms/!a:b/x$"}]);
    first["matchRules"] = rules.clone();
    let mut second = second;
    second["matchRules"] = rules;
    let guarded = Guarded::by(&hooks(&[("before", BEFORE, first), ("after", AFTER, second)])).await;
    let target = "/_matrix/client/r0/rooms/%21a:b/x?q=%21a";
    let body = r#"{"a": 12345678901234567890}"#;
    guarded.ask("PUT", target, Some("george-token"), body).await;

    let told = service.asked(&format!("/told/{before}")).pop().expect("a consultation");
    assert_eq!(told["meta"], json!({"hookId": "before", "authenticatedMatrixUserId": "@george:home"}));
    assert_eq!(told["response"], Value::Null);
    let request = &told["request"];
    assert_eq!(request["URI"], target);
    assert_eq!(request["path"], "/_matrix/client/r0/rooms/!a:b/x");
    assert_eq!((&request["method"], &request["payload"]), (&json!("PUT"), &json!(body)));
    assert_eq!(request["headers"]["Authorization"], "Bearer george-token");
    assert_eq!(request["headers"]["Content-Type"], "application/json");
    assert_eq!(request["headers"].get("Host"), None);
    let arrived = service.origin().requests().into_iter().find(|request| request.target == format!("/told/{before}"));
    let arrived = arrived.expect("a consultation");
    assert_eq!((arrived.method.as_str(), arrived.fields.get("authorization")), ("PUT", Some("Bearer SOME_TOKEN")));
    assert_eq!(arrived.fields.get("content-type"), Some("application/json"));

    let told = service.asked(&format!("/told/{after}")).pop().expect("a consultation");
    assert_eq!(told["meta"], json!({"hookId": "after", "authenticatedMatrixUserId": "@george:home"}));
    assert_eq!(told["request"]["payload"], json!(body));
    let response = &told["response"];
    assert_eq!((&response["statusCode"], &response["payload"]), (&json!(200), &json!(Homeserver::ANSWER)));
    assert_eq!(response["headers"]["Content-Type"], "application/json");
}

#[tokio::test]
async fn nobody_waits_for_asynchronous_calls() {
    let service = Service::start().await;
    let held = service.told(PASS);
    let mut hook = consult(&service.at(&format!("/held/{held}")));
    hook["RESTServiceAsync"] = json!(true);
    hook["RESTServiceAsyncResultHook"] =
        json!({"action": "pass.modifiedResponse", "injectJSONIntoResponse": {"info": "told later"}});
    let guarded = Guarded::by(&hooks(&[("later", AFTER, hook)])).await;
    for version in Version::BOTH {
        // The service holds its answer all the time.
        let answer = guarded.ask_over(version, "POST", "/later", None, "{}").await;
        assert_eq!(answer.json()["info"], "told later", "{version:?}");
    }
    eventually(async || service.asked(&format!("/held/{held}")).len() == 2).await;
    let told = service.asked(&format!("/held/{held}")).remove(0);
    assert_eq!(told["response"]["payload"], Homeserver::ANSWER);
    service.release();
}

#[tokio::test]
async fn whoever_sends_much_is_told_of_all_the_same() {
    let service = Service::start().await;
    let number = service.told(PASS);
    let told = format!("/told/{number}");
    let mut hook = consult(&service.at(&told));
    hook["RESTServiceAsync"] = json!(true);
    let homeserver = Homeserver::start().await;
    // A quote takes two bytes of what a service is told.
    let host =
        Guarded::builder(&homeserver, &hooks(&[("audit", AFTER, hook)])).set("addon.policy.max_body", "20000").start().await;
    let guarded = Guarded { host, homeserver };
    for version in Version::BOTH {
        for (length, is_cut) in [(5_000, false), (19_000, true)] {
            let body = format!("\"{}\"", "\\\"".repeat(length / 2));
            let before = service.asked(&told).len();
            assert_is_homeservers(&guarded.ask_over(version, "POST", "/audit", None, &body).await, "audit");
            eventually(async || service.asked(&told).len() > before).await;
            let payload = service.asked(&told).pop().expect("a call");
            let (request, response) = (&payload["request"], &payload["response"]);
            let told = request["payload"].as_str().expect("a payload");
            assert!(body.starts_with(told) && (told.len() < body.len()) == is_cut, "{version:?} {length}: {}", told.len());
            assert_eq!(request["payloadTruncated"], if is_cut { json!(true) } else { Value::Null }, "{version:?} {length}");
            assert_eq!(
                (&response["payload"], &response["payloadTruncated"]),
                (&json!(Homeserver::ANSWER), &Value::Null),
                "{version:?} {length}"
            );
        }
    }
}
