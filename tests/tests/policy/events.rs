//! Which event types run for which requests, and in which order.

use serde_json::{Value, json};
use tollgate_tests::addons::{Guarded, Service, hooks};

const TYPES: [(&str, &str); 8] = [
    ("any", "beforeAnyRequest"),
    ("authenticated", "beforeAuthenticatedRequest"),
    ("checked", "beforeAuthenticatedPolicyCheckedRequest"),
    ("unauthenticated", "beforeUnauthenticatedRequest"),
    ("after-any", "afterAnyRequest"),
    ("after-authenticated", "afterAuthenticatedRequest"),
    ("after-checked", "afterAuthenticatedPolicyCheckedRequest"),
    ("after-unauthenticated", "afterUnauthenticatedRequest"),
];

const SYNC: &str = "/_matrix/client/v3/sync";
const SEND: &str = "/_matrix/client/v3/rooms/!a:b/send/m.room.message/1";
const LOGIN: &str = "/_matrix/client/v3/login";
const PASSWORD: &str = "/_matrix/client/v3/account/password";

/// A hook of each type that leaves a field in the message that it is about.
fn marking() -> Value {
    let rows: Vec<(&str, &str, Value)> = TYPES
        .iter()
        .map(|(name, event)| {
            let is_after = event.starts_with("after");
            let what = if is_after { "Response" } else { "Request" };
            let mut hook = json!({"action": format!("pass.modified{what}"), "matchRules": []});
            hook[format!("injectHeadersInto{what}")] = json!({ format!("X-{name}"): "1" });
            (*name, *event, hook)
        })
        .collect();
    hooks(&rows)
}

#[tokio::test]
async fn event_types_depend_on_route_and_user() {
    let mut policy = marking();
    policy["flags"] = json!({"allowUnauthenticatedPasswordResets": true});
    let guarded = Guarded::by(&policy).await;
    let known = vec!["any", "authenticated", "after-any", "after-authenticated"];
    let checked = vec!["any", "authenticated", "checked", "after-any", "after-authenticated", "after-checked"];
    let unknown = vec!["any", "unauthenticated", "after-any", "after-unauthenticated"];
    let (george, stranger) = (Some("george-token"), Some("nobodys"));
    for (method, target, token, expected, ran) in [
        ("GET", SYNC, george, 200, known.clone()),
        ("GET", SYNC, None, 200, unknown.clone()),
        ("GET", SYNC, stranger, 401, unknown.clone()),
        ("GET", "/_matrix/media/v3/config", george, 200, known.clone()),
        ("GET", "/_matrix/client/unstable/x", george, 200, known.clone()),
        ("GET", "/", None, 200, unknown.clone()),
        ("PUT", SEND, george, 200, checked),
        ("PUT", SEND, None, 401, vec![]),
        ("PUT", SEND, stranger, 401, vec![]),
        ("POST", PASSWORD, None, 200, unknown.clone()),
        ("POST", LOGIN, None, 200, unknown.clone()),
        ("POST", LOGIN, george, 200, unknown.clone()),
        ("GET", "/_matrix/client/v2/sync", george, 403, vec![]),
        ("OPTIONS", SYNC, None, 200, vec![]),
    ] {
        let seen = guarded.homeserver.requests().len();
        let answer = guarded.ask(method, target, token, if method == "GET" { "" } else { "{}" }).await;
        let case = format!("{method} {target} {token:?}");
        assert_eq!(answer.status.as_u16(), expected, "{case}: {}", answer.text());
        let requests = guarded.homeserver.requests();
        let arrived = requests.get(seen);
        let has = |name: &str| {
            let field = format!("x-{name}");
            answer.header(&field).is_some() || arrived.is_some_and(|arrived| arrived.fields.has(&field))
        };
        let found: Vec<&str> = TYPES.iter().map(|(name, _)| *name).filter(|name| has(name)).collect();
        assert_eq!(found, ran, "{case}");
    }
}

#[tokio::test]
async fn a_silent_homeserver_closes_what_depends_on_users() {
    let guarded = Guarded::by(&marking()).await;
    guarded.homeserver.is_dumb(true);
    for (method, target, body) in [("GET", SYNC, ""), ("PUT", SEND, "{}")] {
        let answer = guarded.ask(method, target, Some("george-token"), body).await;
        assert_eq!((answer.status.as_u16(), answer.json()["errcode"].as_str()), (503, Some("M_UNKNOWN")), "{target}");
    }
    assert_eq!(guarded.homeserver.requests().len(), 0);
    assert_eq!(guarded.ask("GET", SYNC, None, "").await.status, 200, "nobody is nobody");
    guarded.homeserver.is_dumb(false);
    assert_eq!(guarded.ask("PUT", SEND, Some("george-token"), "{}").await.status, 200);
}

#[tokio::test]
async fn types_run_in_their_order_and_hooks_in_the_policys() {
    let service = Service::start().await;
    let number = service.told(r#"{"action":"pass.unmodified"}"#);
    let consult = || json!({"action": "consult.RESTServiceURL", "RESTServiceURL": service.at(&format!("/told/{number}")), "matchRules": []});
    // From the last type to the first, each twice.
    let names: Vec<(String, &str)> =
        TYPES.iter().rev().flat_map(|(name, event)| [(format!("{name}-1"), *event), (format!("{name}-2"), *event)]).collect();
    let rows: Vec<(&str, &str, Value)> = names.iter().map(|(name, event)| (name.as_str(), *event, consult())).collect();
    let guarded = Guarded::by(&hooks(&rows)).await;
    assert_eq!(guarded.ask("PUT", SEND, Some("george-token"), "{}").await.status, 200);
    let told = service.asked(&format!("/told/{number}"));
    let order: Vec<&str> = told.iter().filter_map(|told| told["meta"]["hookId"].as_str()).collect();
    assert_eq!(
        order,
        [
            "any-1",
            "any-2",
            "authenticated-1",
            "authenticated-2",
            "checked-1",
            "checked-2",
            "after-any-1",
            "after-any-2",
            "after-authenticated-1",
            "after-authenticated-2",
            "after-checked-1",
            "after-checked-2",
        ]
    );
}

#[tokio::test]
async fn a_skip_ends_its_own_type_alone() {
    let request = |name: &str, skip: bool| {
        json!({"action": "pass.modifiedRequest", "injectHeadersIntoRequest": {format!("X-{name}"): "1"},
            "skipNextHooksInChain": skip, "matchRules": []})
    };
    let response = |name: &str, skip: bool| {
        json!({"action": "pass.modifiedResponse", "injectHeadersIntoResponse": {format!("X-{name}"): "1"},
            "skipNextHooksInChain": skip, "matchRules": []})
    };
    let policy = hooks(&[
        ("first", "beforeAnyRequest", request("first", true)),
        ("second", "beforeAnyRequest", request("second", false)),
        ("third", "beforeAuthenticatedRequest", request("third", false)),
        ("fourth", "afterAnyRequest", response("fourth", true)),
        ("fifth", "afterAnyRequest", response("fifth", false)),
        ("sixth", "afterAuthenticatedRequest", response("sixth", false)),
    ]);
    let guarded = Guarded::by(&policy).await;
    let answer = guarded.ask("GET", SYNC, Some("george-token"), "").await;
    let arrived = guarded.homeserver.last_request();
    let before = ["x-first", "x-second", "x-third"].map(|name| arrived.fields.has(name));
    let after = ["x-fourth", "x-fifth", "x-sixth"].map(|name| answer.header(name).is_some());
    assert_eq!((before, after), ([true, false, true], [true, false, true]));
}

#[tokio::test]
async fn answers_after_do_not_stop_later_hooks() {
    let reject = json!({"action": "reject", "rejectionErrorCode": "M_X", "rejectionErrorMessage": "no", "matchRules": []});
    let inject = json!({"action": "pass.modifiedResponse", "injectJSONIntoResponse": {"added": 1}, "matchRules": []});
    let policy = hooks(&[("reject", "afterAnyRequest", reject), ("inject", "afterUnauthenticatedRequest", inject)]);
    let guarded = Guarded::by(&policy).await;
    let answer = guarded.ask("GET", "/", None, "").await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (403, r#"{"errcode":"M_X","error":"no","added":1}"#));
}

#[tokio::test]
async fn after_hooks_see_the_homeservers_answers_alone() {
    let mut policy = marking();
    policy["flags"] = json!({"forbidRoomCreation": true});
    let reject = json!({"action": "reject", "rejectionErrorCode": "M_X", "rejectionErrorMessage": "no"});
    let rejecting = hooks(&[("rejected", "beforeAnyRequest", reject)]);
    policy["hooks"].as_array_mut().expect("hooks").extend(rejecting["hooks"].as_array().expect("hooks").clone());
    let guarded = Guarded::by(&policy).await;
    for (target, status) in [("/rejected", 403), ("/_matrix/client/v3/createRoom", 403)] {
        let answer = guarded.ask("POST", target, Some("george-token"), "{}").await;
        assert_eq!(answer.status, status, "{target}");
        assert_eq!(answer.header("x-after-any"), None, "{target}");
    }
}
