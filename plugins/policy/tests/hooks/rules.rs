//! What rules match.

use tollgate_sdk::{
    serde_json::{Value, json},
    testing::TestRequest,
};

use super::common::{by, errcode, exchange, hook, policy, reject};

/// Whether a hook with these rules runs for a request.
fn matches(rules: Value, request: TestRequest) -> bool {
    let mut fields = reject("M_MATCHED");
    fields["matchRules"] = rules;
    let done = exchange(&policy(hook("beforeAnyRequest", fields)), request);
    errcode(&done).as_deref() == Some("M_MATCHED")
}

fn rule(kind: &str, regex: &str) -> Value {
    json!([{ "type": kind, "regex": regex }])
}

fn inverted(kind: &str, regex: &str) -> Value {
    json!([{ "type": kind, "regex": regex, "invert": true }])
}

#[test]
fn methods_are_searched_with_case() {
    for (regex, method, is_match) in
        [("POST", "POST", true), ("^P", "PUT", true), ("POST", "GET", false), ("POST", "post", false), ("OS", "POST", true)]
    {
        assert_eq!(matches(rule("method", regex), TestRequest::new(method, "/")), is_match, "{regex} {method}");
        assert_eq!(matches(inverted("method", regex), TestRequest::new(method, "/")), !is_match, "{regex} {method}");
    }
}

#[test]
fn routes_are_decoded_paths_without_query() {
    for (regex, target, is_match) in [
        ("^/rooms/!a:ex.org/invite$", "/rooms/!a%3Aex.org/invite?x=y", true),
        ("^/rooms/!a:ex.org/invite$", "/rooms/%21a:ex.org/invite", true),
        ("x=y", "/rooms?x=y", false),
        ("^/rooms/[^/]+/ban$", "/rooms/a%2Fb/ban", true),
        ("/ROOMS", "/rooms", false),
        ("(?i)/ROOMS", "/rooms", true),
        ("^/a.b$", "/a%0Ab", true),
        ("^/\u{e4}$", "/%C3%A4", true),
        ("ooms", "/rooms", true),
    ] {
        assert_eq!(matches(rule("route", regex), TestRequest::get(target)), is_match, "{regex} {target}");
        assert_eq!(matches(inverted("route", regex), TestRequest::get(target)), !is_match, "{regex} {target}");
    }
}

#[test]
fn users_are_whole_matrix_ids() {
    for (regex, token, is_match) in [
        ("^@(george|peter):", "george", true),
        (":ex\\.org$", "a", true),
        ("^@george:", "peter", false),
        ("GEORGE", "george", false),
    ] {
        assert_eq!(matches(rule("matrixUserID", regex), by(token, TestRequest::get("/"))), is_match, "{regex} {token}");
        assert_eq!(matches(inverted("matrixUserID", regex), by(token, TestRequest::get("/"))), !is_match, "{regex} {token}");
    }
}

#[test]
fn unknown_users_match_inverted_rules_alone() {
    for request in [TestRequest::get("/"), by("stranger", TestRequest::get("/"))] {
        assert!(!matches(rule("matrixUserID", "."), request.clone()));
        assert!(!matches(rule("matrixUserID", ""), request.clone()));
        assert!(matches(inverted("matrixUserID", "."), request));
    }
}

#[test]
fn all_rules_have_to_match() {
    let rules = json!([
        { "type": "method", "regex": "POST" },
        { "type": "route", "regex": "^/rooms/!except:ex.org/ban", "invert": true },
        { "type": "route", "regex": "^/rooms/([^/]+)/ban" },
        { "type": "matrixUserID", "regex": "^@admin:", "invert": true },
    ]);
    for (method, target, token, is_match) in [
        ("POST", "/rooms/!a:ex.org/ban", "me", true),
        ("GET", "/rooms/!a:ex.org/ban", "me", false),
        ("POST", "/rooms/!except:ex.org/ban", "me", false),
        ("POST", "/rooms/!except%3Aex.org/ban", "me", false),
        ("POST", "/rooms/!a:ex.org/kick", "me", false),
        ("POST", "/rooms/!a:ex.org/ban", "admin", false),
    ] {
        assert_eq!(matches(rules.clone(), by(token, TestRequest::new(method, target))), is_match, "{method} {target} {token}");
    }
}

#[test]
fn no_rules_match_everything() {
    assert!(matches(json!([]), TestRequest::get("/")));
    assert!(matches(json!(null), TestRequest::new("PURGE", "/x%FF")));
}

#[test]
fn paths_that_could_be_tidied_are_sent_back() {
    let mut fields = reject("M_MATCHED");
    fields["matchRules"] = rule("route", "^/a/b$");
    let harness = policy(hook("beforeAnyRequest", fields));
    for (target, tidy) in [("//a/b?x=/", "/a/b?x=/"), ("/a/./b", "/a/b"), ("/x/%2e%2e/a/b", "/a/b")] {
        let done = exchange(&harness, TestRequest::put(target));
        assert_eq!((done.response().status, done.response().header("location")), (308, Some(tidy)), "{target}");
        assert!(done.sent.is_none());
    }
    // Without rules about routes there is nothing to get round.
    assert!(
        exchange(&policy(hook("beforeAnyRequest", json!({ "action": "pass.unmodified" }))), TestRequest::put("//a"))
            .sent
            .is_some()
    );
}

#[test]
fn preflights_are_the_homeservers() {
    assert!(!matches(json!([]), TestRequest::new("OPTIONS", "/")));
    assert!(matches(json!([]), TestRequest::new("options", "/")));
}
