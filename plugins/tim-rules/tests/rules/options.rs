//! Options that are none.

use tim_rules::TimRules;
use tollgate_sdk::{
    serde_json::{Value, json},
    testing::Harness,
};

fn error(options: Value) -> String {
    match Harness::<TimRules>::configure(options) {
        Ok(_) => panic!("it is taken"),
        Err(errors) => errors.to_string(),
    }
}

#[test]
fn unknown_names_are_refused_with_those_that_there_are() {
    let rule = error(json!({ "rules": { "thread": false } }));
    assert!(
        rule.starts_with("rules.thread: unknown field `thread`, expected one of `guests`, ") && rule.contains("`threads`"),
        "{rule}"
    );
    assert!(error(json!({ "room_version": ["9"] })).contains("expected one of"));
    assert!(error(json!({ "texts": { "guest": "" } })).starts_with("texts.guest: unknown field"));
    assert!(
        error(json!({ "invite_rejection_policy": "ALLOW_ALL" })).contains("`allow all`, `block all`")
            || error(json!({ "invite_rejection_policy": "ALLOW_ALL" })).contains("expected `allow all` or `block all`")
    );
    assert!(error(json!({ "rules": { "threads": "no" } })).starts_with("rules.threads: "));
}

#[test]
fn each_limit_has_a_range() {
    for (option, good, bad) in [
        ("redaction_hours", [1, 8_760], [0, 8_761]),
        ("status_message_length", [0, 65_535], [65_536, 65_537]),
        ("max_invites", [0, 1_000], [1_001, 1_002]),
    ] {
        for value in good {
            assert!(Harness::<TimRules>::configure(json!({ option: value })).is_ok(), "{option} {value}");
        }
        for value in bad {
            assert!(error(json!({ option: value })).starts_with(option), "{option} {value}");
        }
    }
    for (length, is_taken) in [(499, true), (500, true), (501, false)] {
        let options = json!({ "texts": { "guests": "\u{e4}".repeat(length) } });
        assert_eq!(Harness::<TimRules>::configure(options).is_ok(), is_taken, "{length}");
    }
}

#[test]
fn all_that_is_wrong_is_told() {
    let text = error(json!({ "room_versions": [], "concept": "proxy", "admin_token": "a b" }));
    for expected in [
        "room_versions: must not be empty",
        "default_room_version: \"10\" is not one of",
        "admin_token: must be a token",
        "home_domain: must be set",
    ] {
        assert!(text.contains(expected), "{text}");
    }
    let off = json!({ "room_versions": [], "rules": { "room_versions": false } });
    assert!(Harness::<TimRules>::configure(off).is_ok());
}

#[test]
fn without_rules_nothing_is_looked_at() {
    let names = [
        "guests",
        "status_message",
        "room_versions",
        "room_types",
        "one_invite",
        "federate",
        "invites",
        "threads",
        "reactions",
        "redactions",
        "join_rules",
        "permission_default",
        "push_rules",
    ];
    let rules: Value =
        names.into_iter().map(|name| (name.to_owned(), json!(false))).collect::<tollgate_sdk::serde_json::Map<_, _>>().into();
    let harness = Harness::<TimRules>::configure(json!({ "rules": rules })).expect("options");
    assert!(harness.subscriptions().is_empty());
}

#[test]
fn texts_are_the_operators() {
    let harness = Harness::<TimRules>::configure(json!({ "texts": { "guests": "Keine G\u{e4}ste" } })).expect("options");
    let done = harness.exchange(tollgate_sdk::testing::TestRequest::post("/_matrix/client/v3/register?kind=guest"), |_| {
        tollgate_sdk::testing::TestResponse::new(200)
    });
    assert_eq!(done.response().json::<Value>(), json!({ "errcode": "M_FORBIDDEN", "error": "Keine G\u{e4}ste" }));
}
