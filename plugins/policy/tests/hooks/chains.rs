//! Hooks of one type, one after the other; before the homeserver is asked.

use tollgate_sdk::{
    serde_json::{Value, json},
    testing::TestRequest,
};

use super::common::{by, errcode, exchange, hooks, policy, reject};

/// A hook that leaves its name in a header field.
fn mark(id: &str, event: &str, skips: bool) -> Value {
    json!({ "id": id, "eventType": event, "action": "pass.modifiedRequest", "injectHeadersIntoRequest": { id: "1" },
            "skipNextHooksInChain": skips })
}

fn pass(id: &str, event: &str, skips: bool) -> Value {
    json!({ "id": id, "eventType": event, "action": "pass.unmodified", "skipNextHooksInChain": skips })
}

fn rejection(id: &str, event: &str) -> Value {
    let mut hook = reject(id);
    hook["id"] = json!(id);
    hook["eventType"] = json!(event);
    hook
}

/// The marks that reached the homeserver.
fn marks(chain: Value) -> Vec<String> {
    let done = exchange(&policy(hooks(chain)), by("me", TestRequest::get("/")));
    let sent = done.sent.unwrap_or_else(|| panic!("{:?}", done.received));
    sent.headers.into_iter().map(|(name, _)| name).filter(|name| name != "Authorization").collect()
}

const ANY: &str = "beforeAnyRequest";
const KNOWN: &str = "beforeAuthenticatedRequest";

#[test]
fn all_that_match_run_in_order() {
    assert_eq!(marks(json!([mark("a", ANY, false), mark("b", ANY, false), mark("c", ANY, false)])), ["a", "b", "c"]);
}

#[test]
fn types_go_before_places_in_the_document() {
    assert_eq!(marks(json!([mark("a", KNOWN, false), mark("b", ANY, false)])), ["b", "a"]);
}

#[test]
fn a_skip_ends_its_own_type_alone() {
    let chain = json!([mark("a", ANY, true), mark("b", ANY, false), mark("c", KNOWN, false)]);
    assert_eq!(marks(chain), ["a", "c"]);
    let chain = json!([pass("a", ANY, true), mark("b", ANY, false), mark("c", KNOWN, false)]);
    assert_eq!(marks(chain), ["c"]);
    let chain = json!([pass("a", ANY, false), mark("b", ANY, false)]);
    assert_eq!(marks(chain), ["b"]);
}

#[test]
fn a_skip_of_what_does_not_match_skips_nothing() {
    let mut skip = pass("a", ANY, true);
    skip["matchRules"] = json!([{ "type": "matrixUserID", "regex": "^@you:" }]);
    assert_eq!(marks(json!([skip, mark("b", ANY, false)])), ["b"]);
}

#[test]
fn an_answer_is_the_end() {
    let chain =
        json!([mark("a", ANY, false), rejection("M_FIRST", ANY), rejection("M_SECOND", ANY), rejection("M_OTHER", KNOWN)]);
    let done = exchange(&policy(hooks(chain)), by("me", TestRequest::get("/")));
    assert_eq!((errcode(&done).as_deref(), done.sent.is_none()), (Some("M_FIRST"), true));
}

#[test]
fn later_hooks_see_earlier_changes() {
    let chain = json!([
        { "id": "a", "eventType": ANY, "action": "pass.modifiedRequest", "injectJSONIntoRequest": { "a": 1 } },
        { "id": "b", "eventType": KNOWN, "action": "pass.modifiedRequest", "injectJSONIntoRequest": { "a": 2 } },
    ]);
    let done = exchange(&policy(hooks(chain)), by("me", TestRequest::put("/").with_body(r#"{"a":0,"b":0}"#)));
    assert_eq!(done.sent.unwrap().text(), r#"{"a":2,"b":0}"#);
}
