//! Options, and what they subscribe to.
#![allow(
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    clippy::panic,
    reason = "helpers of tests; json! reads better without &"
)]

mod common;

use common::harness;
use dedup::Dedup;
use tollgate_sdk::{
    BodyMode, Event, OverCap,
    serde_json::{Value, json},
    testing::Harness,
};

fn refused(options: Value) -> Vec<String> {
    match Harness::<Dedup>::configure(options.clone()) {
        Ok(_) => panic!("{options} is legal"),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn all_errors_come_at_once() {
    let options = json!({
        "mode": "twice", "scope": "", "boosts": "none", "prefer": "last", "edits": "keep", "ttl": "7", "replay_window": "soon",
        "empty_page": "drop", "timelines": ["home", "profile"], "public_url": "fedi.test"
    });
    let expected = [
        r#"mode: is "twice", must be one of "entries", "once""#,
        r#"scope: is "", must be one of "user", "shared""#,
        r#"boosts: is "none", must be one of "first", "hide-all", "keep""#,
        r#"prefer: is "last", must be one of "first", "original""#,
        r#"edits: is "keep", must be one of "show", "hide""#,
        r#"empty_page: is "drop", must be one of "keep-last", "refill", "empty""#,
        r#"ttl: "7" is no duration like "7d", "5m" or "1h 30m""#,
        r#"replay_window: "soon" is no duration like "7d", "5m" or "1h 30m""#,
        r#"timelines[1]: is "profile", must be one of "home", "public", "tag", "list", "link", "trends""#,
        "public_url: must be a URL that starts with http:// or https://",
    ];
    assert_eq!(refused(options), expected);
}

#[test]
fn unknown_keys_and_types_are_refused() {
    assert!(refused(json!({ "modes": "once" }))[0].starts_with("modes: unknown field `modes`"));
    assert_eq!(refused(json!({ "ttl": 7 })), ["ttl: invalid type: integer `7`, expected a string"]);
    assert_eq!(refused(json!({ "explain": "yes" })), ["explain: invalid type: string \"yes\", expected a boolean"]);
}

#[test]
fn times_have_limits() {
    for ttl in ["59s", "59s 999ms", "0s", "365d 1s"] {
        let errors = refused(json!({ "ttl": ttl, "replay_window": "0s" }));
        assert_eq!(errors, [format!("ttl: is {ttl:?}, must be 1m to 365d")]);
    }
    for ttl in ["1m", "61s", "364d", "365d"] {
        let _legal = harness(json!({ "ttl": ttl, "replay_window": "0s" }));
    }
    for window in ["0s", "59m", "1h"] {
        let _legal = harness(json!({ "ttl": "1h", "replay_window": window }));
    }
    let errors = refused(json!({ "ttl": "1h", "replay_window": "1h 1s" }));
    assert_eq!(errors, [r#"replay_window: is "1h 1s", must not be longer than ttl, "1h""#]);
}

#[test]
fn public_urls_are_origins() {
    for url in ["https://fedi.test", "http://127.0.0.1:8080/", "https://[::1]:8443", ""] {
        let _legal = harness(json!({ "public_url": url }));
    }
    for url in
        ["wss://fedi.test", "https://", "https://:80", "https://fedi.test/path", "https://me:hunter2@fedi.test", "https://a?b"]
    {
        let errors = refused(json!({ "public_url": url })).join(" ");
        assert!(errors.starts_with("public_url: must be ") && !errors.contains("hunter2"), "{errors}");
    }
}

#[test]
fn bodies_are_asked_for_where_they_are_needed() {
    let all = harness(json!({}));
    let asked: Vec<_> = all.subscriptions().iter().map(|asked| (asked.event(), asked.body())).collect();
    let up_to = |mebibytes: u64| BodyMode::Full { cap: Some(mebibytes << 20), over_cap: OverCap::PassUnseen };
    let expected = [
        (Event::Response, up_to(1)),
        (Event::Response, up_to(4)),
        (Event::WebsocketMessage, up_to(1)),
        (Event::SseEvent, BodyMode::None),
        (Event::Request, BodyMode::None),
    ];
    assert_eq!(asked, expected);
    let pages = all.subscriptions()[1].filter_text();
    let paths = "timelines/home|timelines/public|timelines/tag/[^/]+|timelines/list/[^/]+|timelines/link|trends/statuses";
    assert!(pages.contains(&format!("~p '^/api/v1/({paths})$'")), "{pages}");
}

#[test]
fn what_is_off_is_not_subscribed_to() {
    let count = |options| harness(options).subscriptions().len();
    assert_eq!(count(json!({ "streaming": false })), 3);
    assert_eq!(count(json!({ "timelines": [] })), 2);
    let home = harness(json!({ "timelines": ["home"] }));
    assert!(home.subscriptions()[1].filter_text().contains("~p '^/api/v1/(timelines/home)$'"));
    // Without a token there is nothing to be done, unless all share.
    assert!(home.subscriptions()[1].filter_text().contains("authorization"));
    assert!(!harness(json!({ "scope": "shared" })).subscriptions()[1].filter_text().contains("authorization"));
}
