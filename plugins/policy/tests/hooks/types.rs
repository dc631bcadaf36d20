//! Which event types a flow goes through.

use tollgate_sdk::{
    ResponseVerdict, http,
    serde_json::{Value, json},
    testing::{TestRequest, TestResponse},
};

use super::common::{answer, by, errcode, exchange, hooks, policy, told, with_service};

const CHECKED: &str = "/_matrix/client/r0/createRoom";

const TYPES: [&str; 8] = [
    "beforeAnyRequest",
    "beforeAuthenticatedRequest",
    "beforeAuthenticatedPolicyCheckedRequest",
    "beforeUnauthenticatedRequest",
    "afterAnyRequest",
    "afterAuthenticatedRequest",
    "afterAuthenticatedPolicyCheckedRequest",
    "afterUnauthenticatedRequest",
];

/// The event types of a flow, in order: each asks a service of its name. In the document they are in the order of the alphabet,
/// backwards.
fn types(request: TestRequest) -> Vec<String> {
    let mut names = TYPES;
    names.sort_unstable_by(|left, right| right.cmp(left));
    let hook = |name: &str| json!({ "id": name, "eventType": name, "action": "consult.RESTServiceURL", "RESTServiceURL": format!("http://h/{name}") });
    let document = hooks(names.into_iter().map(hook).collect());
    let harness = with_service(document, |_| Ok(answer(&json!({ "action": "pass.unmodified" }))));
    let done = exchange(&harness, request);
    assert_eq!(done.failures, []);
    told(&done).iter().map(|request| request.url.trim_start_matches("http://h/").to_owned()).collect()
}

#[test]
fn open_routes_know_users_or_not() {
    let known = ["beforeAnyRequest", "beforeAuthenticatedRequest", "afterAnyRequest", "afterAuthenticatedRequest"];
    assert_eq!(types(by("me", TestRequest::get("/_matrix/client/v3/sync"))), known);
    let unknown = ["beforeAnyRequest", "beforeUnauthenticatedRequest", "afterAnyRequest", "afterUnauthenticatedRequest"];
    for request in [TestRequest::get("/x"), by("stranger", TestRequest::get("/x"))] {
        assert_eq!(types(request), unknown);
    }
    assert_eq!(types(TestRequest::get("/x?access_token=stranger")), unknown);
}

#[test]
fn checked_routes_have_types_of_their_own() {
    let wanted = [
        "beforeAnyRequest",
        "beforeAuthenticatedRequest",
        "beforeAuthenticatedPolicyCheckedRequest",
        "afterAnyRequest",
        "afterAuthenticatedRequest",
        "afterAuthenticatedPolicyCheckedRequest",
    ];
    assert_eq!(types(by("me", TestRequest::post(CHECKED).with_body("{}"))), wanted);
    // With another method it is a route like any other.
    assert_eq!(types(by("me", TestRequest::get(CHECKED))).len(), 4);
}

#[test]
fn nobody_is_known_who_logs_in() {
    let wanted = ["beforeAnyRequest", "beforeUnauthenticatedRequest", "afterAnyRequest", "afterUnauthenticatedRequest"];
    assert_eq!(types(by("me", TestRequest::post("/_matrix/client/v3/login"))), wanted);
}

#[test]
fn preflights_have_none() {
    assert_eq!(types(TestRequest::new("OPTIONS", CHECKED)), [""; 0]);
}

#[test]
fn checked_routes_need_somebody() {
    let harness = policy(json!({}));
    for (request, status, code) in [
        (TestRequest::post(CHECKED), 401, "M_MISSING_TOKEN"),
        (by("stranger", TestRequest::post(CHECKED)), 401, "M_UNKNOWN_TOKEN"),
        (by("silence", TestRequest::post(CHECKED)), 503, "M_UNKNOWN"),
    ] {
        let done = exchange(&harness, request.with_body("{}"));
        assert_eq!((done.response().status, errcode(&done).as_deref()), (status, Some(code)));
        assert!(done.sent.is_none());
    }
    assert_eq!(exchange(&harness, by("me", TestRequest::post(CHECKED)).with_body("{}")).response().status, 200);
}

#[test]
fn before_any_comes_before_the_token() {
    let reject = json!({ "id": "h", "eventType": "beforeAnyRequest", "action": "reject", "rejectionErrorCode": "M_FIRST", "rejectionErrorMessage": "" });
    let done = exchange(&policy(hooks(json!([reject]))), TestRequest::post(CHECKED));
    assert_eq!(errcode(&done).as_deref(), Some("M_FIRST"));
    assert!(done.http.is_empty(), "nobody is asked who it was");
}

#[test]
fn after_types_are_for_answers_of_the_homeserver() {
    let after = |id: &str| json!({ "id": id, "eventType": id, "action": "pass.modifiedResponse", "injectHeadersIntoResponse": { id: "1" } });
    let reject = json!({ "id": "r", "eventType": "beforeAnyRequest", "action": "reject", "rejectionErrorCode": "M", "rejectionErrorMessage": "",
        "matchRules": [{ "type": "method", "regex": "PUT" }] });
    let harness = policy(hooks(json!([after("afterAnyRequest"), after("afterUnauthenticatedRequest"), reject])));
    assert_eq!(exchange(&harness, TestRequest::get("/")).response().header("afterAnyRequest"), Some("1"));
    assert_eq!(exchange(&harness, TestRequest::put("/")).response().header("afterAnyRequest"), None);
    let other = TestResponse { origin: tollgate_sdk::Origin::Addon("another".to_owned()), ..TestResponse::new(200) };
    assert_eq!(harness.exchange(TestRequest::get("/"), |_| other).response().header("afterAnyRequest"), None);
}

#[test]
fn a_response_without_its_request_is_understood() {
    let hook = json!({ "id": "h", "eventType": "afterAuthenticatedRequest", "action": "pass.modifiedResponse",
        "injectHeadersIntoResponse": { "X-A": "1" }, "matchRules": [{ "type": "matrixUserID", "regex": "^@me:" }] });
    let harness = policy(hooks(json!([hook])));
    let done = harness.response(by("me", TestRequest::get("/")), TestResponse::new(200));
    assert_eq!(done.response.header("x-a"), Some("1"));
    let done = harness.response(by("you", TestRequest::get("/")), TestResponse::new(200));
    assert_eq!(done.response.header("x-a"), None);
}

#[test]
fn who_asked_is_known_before_the_token_ends() {
    let hook = json!({ "id": "h", "eventType": "afterAuthenticatedRequest", "action": "pass.modifiedResponse",
        "injectHeadersIntoResponse": { "X-A": "1" } });
    let harness = policy(hooks(json!([hook])));
    let mut flow = harness.flow(by("me", TestRequest::post("/_matrix/client/v3/logout")));
    flow.request().unwrap();
    let asked = flow.http().len();
    flow.response(TestResponse::new(200)).unwrap();
    assert_eq!((flow.http().len(), flow.staged_response().header("x-a")), (asked, Some("1")));
}

#[test]
fn who_can_not_be_told_is_not_taken_for_nobody() {
    let row = |event: &str, rules: Value| {
        let mut hook = json!({ "id": "h", "eventType": event, "matchRules": rules, "action": "pass.modifiedRequest", "injectHeadersIntoRequest": { "X-A": "1" } });
        if event.starts_with("after") {
            hook["action"] = json!("pass.modifiedResponse");
            hook["injectHeadersIntoResponse"] = json!({ "X-A": "1" });
            hook.as_object_mut().unwrap().remove("injectHeadersIntoRequest");
        }
        policy(hooks(json!([hook])))
    };
    let user = || json!([{ "type": "matrixUserID", "regex": "^@me:" }]);
    for (harness, is_closed) in [
        (row("beforeAuthenticatedRequest", json!([])), true),
        (row("afterAuthenticatedRequest", json!([])), true),
        (row("beforeAnyRequest", user()), true),
        (row("afterAnyRequest", user()), true),
        (row("beforeUnauthenticatedRequest", user()), true),
        (row("beforeAuthenticatedRequest", json!([{ "type": "route", "regex": "^/y" }])), false),
        (row("beforeAuthenticatedRequest", json!([{ "type": "method", "regex": "POST" }])), false),
        (row("beforeAuthenticatedPolicyCheckedRequest", json!([])), false),
        (row("beforeAnyRequest", json!([])), false),
        (row("beforeUnauthenticatedRequest", json!([])), false),
        (row("afterUnauthenticatedRequest", json!([])), false),
    ] {
        let status = if is_closed { 503 } else { 200 };
        let done = exchange(&harness, by("silence", TestRequest::get("/x")));
        assert_eq!((done.response().status, done.sent.is_none()), (status, is_closed));
        for request in [by("me", TestRequest::get("/x")), by("stranger", TestRequest::get("/x")), TestRequest::get("/x")] {
            assert_eq!(exchange(&harness, request).response().status, 200);
        }
    }
}

#[test]
fn who_can_not_be_told_after_gets_no_response() {
    let hook = json!({ "id": "h", "eventType": "afterAuthenticatedRequest", "action": "pass.modifiedResponse", "injectHeadersIntoResponse": { "X-A": "1" } });
    let harness = policy(hooks(json!([hook])));
    let done = harness.response(by("silence", TestRequest::get("/")), TestResponse::new(200));
    assert!(matches!(done.verdict, Ok(ResponseVerdict::Replace(made)) if made.status == 503));
}

#[test]
fn services_are_not_told_nobody_of_who_can_not_be_told() {
    let hook =
        json!({ "id": "h", "eventType": "beforeAnyRequest", "action": "consult.RESTServiceURL", "RESTServiceURL": "http://h/" });
    let harness = with_service(hooks(json!([hook])), |_| Ok(answer(&json!({ "action": "pass.unmodified" }))));
    let done = exchange(&harness, by("silence", TestRequest::get("/x")));
    assert_eq!((done.response().status, told(&done).len()), (503, 0));
}

#[test]
fn credentials_that_mean_more_than_one_thing_are_refused() {
    let hook = json!({ "id": "h", "eventType": "beforeAuthenticatedRequest", "action": "pass.modifiedRequest", "injectHeadersIntoRequest": { "X-A": "1" } });
    let harness = policy(hooks(json!([hook])));
    for (target, status, code) in [
        (format!("/x?user_id=@{}:b", "-".repeat(5_500)), 400, "M_INVALID_PARAM"),
        ("/x?a;user_id=@a:b".to_owned(), 400, "M_INVALID_PARAM"),
        ("/x?access_token=me".to_owned(), 401, "M_MISSING_TOKEN"),
    ] {
        let done = exchange(&harness, by("me", TestRequest::get(&target)));
        assert_eq!((done.response().status, errcode(&done).as_deref()), (status, Some(code)), "{target}");
        assert!(done.sent.is_none() && done.http.is_empty(), "{target}");
    }
}

#[test]
fn homeservers_are_asked_only_where_it_matters() {
    let hook = |rules: Value| {
        json!({ "id": "h", "eventType": "beforeAuthenticatedRequest", "action": "pass.modifiedRequest",
        "injectHeadersIntoRequest": { "X-A": "1" }, "matchRules": rules })
    };
    let harness = policy(hooks(json!([hook(json!([{ "type": "route", "regex": "^/a" }]))])));
    let asked = |target: &str| {
        let done: Vec<http::Request> = exchange(&harness, by("me", TestRequest::get(target))).http;
        done.len()
    };
    assert_eq!((asked("/b"), asked("/a")), (0, 1));
}
