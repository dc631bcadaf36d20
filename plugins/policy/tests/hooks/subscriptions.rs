//! Which flows the core is asked for.

use policy::Policy;
use tollgate_sdk::{
    BodyMode, Event,
    serde_json::{Value, json},
    testing::Harness,
};

use super::common::{hook, hooks, policy, reject};

/// Filters of the subscriptions that are there because of hooks, with whether they want bodies.
fn filters(document: Value, event: Event) -> Vec<(String, bool)> {
    let without = policy(json!({}));
    let is_always = |text: &str| without.subscriptions().iter().any(|other| other.filter_text() == text);
    let harness = policy(document);
    let subscriptions = harness.subscriptions().iter().filter(|subscription| subscription.event() == event);
    let filters = subscriptions.map(|one| (one.filter_text().to_owned(), one.body() != BodyMode::None));
    filters.filter(|(text, _)| !is_always(text) && !text.contains(UNTIDY)).collect()
}

fn ruled(mut fields: Value, rules: Value) -> Value {
    fields["matchRules"] = rules;
    fields
}

fn change(stage: &str, json: Value) -> Value {
    json!({ "action": format!("pass.modified{stage}"), format!("injectJSONInto{stage}"): json, format!("injectHeadersInto{stage}"): { "X-A": "1" } })
}

/// Of paths that are sent back.
const UNTIDY: &str = "//|";

const PREFIX: &str = r#"!~m "(?-i:^OPTIONS$)" & "#;

#[test]
fn rules_become_filters() {
    let rules = json!([
        { "type": "method", "regex": "POST" },
        { "type": "route", "regex": "^/a\\.\"b{", "invert": true },
        { "type": "matrixUserID", "regex": "^@me:" },
    ]);
    let found = filters(hook("beforeAnyRequest", ruled(reject("M"), rules)), Event::Request);
    assert_eq!(found, [(format!(r#"{PREFIX}((~m "(?-i:POST)" & !~p "^/a\\.\"b\\{{"))"#), false)]);
}

#[test]
fn bodies_are_asked_for_where_they_matter() {
    let consult = json!({ "action": "consult.RESTServiceURL", "RESTServiceURL": "http://a/" });
    for (event, fields, asked, has_body) in [
        ("beforeAnyRequest", reject("M"), Event::Request, Some(false)),
        ("beforeAnyRequest", change("Request", json!({})), Event::Request, Some(false)),
        ("beforeAnyRequest", change("Request", json!({ "a": 1 })), Event::Request, Some(true)),
        ("beforeAnyRequest", consult.clone(), Event::Request, Some(true)),
        ("beforeAnyRequest", consult.clone(), Event::Response, None),
        ("beforeAnyRequest", consult.clone(), Event::Finish, Some(false)),
        ("beforeAnyRequest", reject("M"), Event::Finish, None),
        ("afterAnyRequest", change("Response", json!({})), Event::Response, Some(false)),
        ("afterAnyRequest", change("Response", json!({})), Event::Request, None),
        ("afterAnyRequest", change("Response", json!({ "a": 1 })), Event::Response, Some(true)),
        // Who asked has to be known in time.
        ("afterAuthenticatedRequest", reject("M"), Event::Request, Some(false)),
        // Services are told what was sent.
        ("afterAnyRequest", consult.clone(), Event::Request, Some(true)),
        ("afterAnyRequest", consult, Event::Response, Some(true)),
    ] {
        let shown = fields.to_string();
        let found = filters(hook(event, fields), asked);
        let wanted: Vec<_> = has_body.map(|has_body| (format!("{PREFIX}(~all)"), has_body)).into_iter().collect();
        assert_eq!(found, wanted, "{event} {asked:?} {shown}");
    }
}

#[test]
fn hooks_that_do_nothing_ask_for_nothing() {
    let pass = json!({ "action": "pass.unmodified", "skipNextHooksInChain": true });
    for event in [Event::Request, Event::Response, Event::Finish] {
        assert_eq!(filters(hook("beforeAnyRequest", pass.clone()), event), []);
        assert_eq!(filters(hook("afterAnyRequest", pass.clone()), event), []);
    }
}

#[test]
fn large_policies_stay_within_what_the_core_takes() {
    for count in [100, 5_000] {
        let hook = |number: usize| {
            let mut hook = ruled(reject("M"), json!([{ "type": "route", "regex": format!("^/a/{number}$") }]));
            hook["id"] = json!(number.to_string());
            hook["eventType"] = json!("beforeAnyRequest");
            hook
        };
        let document = hooks((0..count).map(hook).collect());
        let harness: Harness<Policy> = policy(document.clone());
        assert!(harness.subscriptions().len() < 100);
        for (filter, _) in filters(document, Event::Request) {
            assert!(filter.len() < 65_000 && filter.matches('~').count() < 100);
            assert_eq!(filter == format!("{PREFIX}(~all)"), count == 5_000);
        }
    }
}
