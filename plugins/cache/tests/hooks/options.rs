//! Options, and which flows come here.

use cache::Cache;
use tollgate_sdk::{
    BodyMode, Event, OverCap,
    serde_json::{Value, json},
    testing::Harness,
};

fn refused(options: Value) -> String {
    Harness::<Cache>::configure(options).map(drop).expect_err("errors").to_string()
}

#[test]
fn wrong_options_are_named() {
    for (options, expected) in [
        (json!({ "max_tll": "1h" }), "max_tll: unknown field `max_tll`"),
        (json!({ "max_ttl": 5 }), "max_ttl: invalid type: integer `5`, expected a string"),
        (json!({ "max_ttl": "5" }), "max_ttl: is \"5\", must be a time like 90s or 1h: "),
        (json!({ "max_ttl": "0s" }), "max_ttl: is 0s, must be 1ms to 1year"),
        (json!({ "default_ttl": "1" }), "default_ttl: is \"1\", must be a time"),
        (json!({ "mode": "both" }), "mode: unknown variant `both`, expected `shared` or `private`"),
        (json!({ "status_header": "a b" }), "status_header: is \"a b\", must be a token"),
        (json!({ "credentials": ["X-A", "a b"] }), "credentials[1]: is \"a b\", must be the name of a field"),
        (json!({ "keyed": [""] }), "keyed[0]: is \"\", must be the name of a field"),
    ] {
        let error = refused(options.clone());
        assert!(error.starts_with(expected), "{options}: {error}");
    }
}

#[test]
fn all_errors_come_at_once() {
    let error = refused(json!({ "max_ttl": "x", "lock_wait": "x", "max_body": 983_041, "keyed": ["("] }));
    for path in ["max_ttl: ", "lock_wait: ", "max_body: ", "keyed[0]: "] {
        assert!(error.contains(path), "{path} in {error}");
    }
}

#[test]
fn limits_are_exact() {
    let is_taken = |options: Value| Harness::<Cache>::configure(options).is_ok();
    for (key, good, bad) in [
        ("max_body", json!(983_040), json!(983_041)),
        ("max_ttl", json!("365days"), json!("366days")),
        ("max_ttl", json!("1ms"), json!("0s")),
        ("lock_wait", json!("50s"), json!("50001ms")),
        ("lock_wait", json!("0"), json!("-1s")),
        ("keep_stale", json!("0s"), json!("366days")),
        ("stale_if_error", json!("0s"), json!("")),
        ("status_header", json!("a".repeat(64)), json!("a".repeat(65))),
        ("keyed", json!(vec!["a"; 32]), json!(vec!["a"; 33])),
        ("credentials", json!(vec!["a"; 32]), json!(vec!["a"; 33])),
    ] {
        assert!(is_taken(json!({ key: good })), "{key}");
        assert!(!is_taken(json!({ key: bad })), "{key}");
    }
    assert!(is_taken(json!({ "max_body": 0 })));
}

#[test]
fn only_what_may_matter_comes_here() {
    let harness = Harness::<Cache>::configure(json!({ "filter": "~p ^/static", "max_body": 5 })).expect("options");
    let of = |event| -> Vec<_> { harness.subscriptions().iter().filter(|one| one.event() == event).collect() };
    let requests = of(Event::Request);
    assert_eq!(requests[0].filter_text(), "~m \"^(?-i:GET|HEAD)$\" & (~p ^/static)");
    assert_eq!(requests[0].body(), BodyMode::Full { cap: Some(0), over_cap: OverCap::PassUnseen });
    // Changes are seen, whatever the filter says.
    assert_eq!((requests[1].filter_text(), requests[1].body()), ("!~m \"^(?-i:GET|HEAD|OPTIONS|TRACE)$\"", BodyMode::None));
    let whole = harness.subscriptions().iter().position(|one| {
        one.event() == Event::Response && one.body() == BodyMode::Full { cap: Some(5), over_cap: OverCap::PassUnseen }
    });
    assert_eq!(whole, Some(3));
}
