//! What is refused when an addon is loaded, and what `GET /addons` says of it.
#![cfg(test)]

use serde_json::{Value, json};
use tollgate_tests::{
    RawOrigin,
    addons::{Hosted, core_module, empty_component, exporting, guest, importing},
};

/// Why a component with these options is not loaded.
async fn refusal_of(component: &[u8], options: &Value) -> String {
    let host = Hosted::before("http://127.0.0.1:1").guest("a", component, options).start().await;
    let status = host.admin().status("a").await;
    assert_eq!((&status["state"], &status["sha256"], &status["generation"]), (&json!("failed"), &Value::Null, &json!(0)));
    status["error"].as_str().expect("an error").to_owned()
}

/// Why the scripted guest is not loaded with these rules.
async fn refusal(rules: &Value) -> String {
    refusal_of(&guest("scripted"), &json!({"rules": rules})).await
}

async fn assert_loads(options: &Value) {
    let host = Hosted::before("http://127.0.0.1:1").scripted("a", options).start().await;
    let status = host.admin().status("a").await;
    assert_eq!(status["error"], Value::Null);
    assert!(status["state"] == "replay" || status["state"] == "snapshot", "{status}");
}

#[tokio::test]
async fn broken_filters_tell_their_place() {
    let why = refusal(&json!([{"on": "request", "filter": "~m GET & ~x"}])).await;
    assert!(why.starts_with("subscriptions refused: [0] request: filter, at position 9: "), "{why}");
    let why = refusal(&json!([{"on": "request", "filter": "~p ^/a | ~u ("}])).await;
    assert!(why.starts_with("subscriptions refused: [0] request: filter, at position 1"), "{why}");
    let why = refusal(&json!([{"on": "request", "filter": "~u a{1000}{1000}"}])).await;
    assert!(why.contains("at position 3: ~u: the regular expression compiles to more than"), "{why}");
}

#[tokio::test]
async fn all_wrong_subscriptions_are_told_at_once() {
    let why = refusal(&json!([
        {"on": "connect", "body": "full"},
        {"on": "request", "filter": "("},
        {"on": "response"},
        {"on": "finish", "body": "full"},
    ]))
    .await;
    for part in ["[0] connect: body full", "[1] request: filter", "[3] finish: body full"] {
        assert!(why.contains(part), "{part}: {why}");
    }
    assert!(!why.contains("[2]"), "{why}");
}

#[tokio::test]
async fn subscriptions_are_counted() {
    let copies = |count: u64| json!({"copies": count, "rules": [{"on": "request", "filter": "~m NEVER"}]});
    assert_loads(&copies(255)).await;
    assert_loads(&copies(256)).await;
    let why = refusal_of(&guest("scripted"), &copies(257)).await;
    assert_eq!(why, "subscriptions refused: 257 of them, limit 256");
}

#[tokio::test]
async fn caps_stay_within_max_body() {
    let rules = |cap: u64| json!([{"on": "request", "body": {"refuse": cap}}]);
    let limit = 10 << 20;
    assert_loads(&json!({"rules": rules(limit)})).await;
    let why = refusal(&rules(limit + 1)).await;
    assert_eq!(why, "subscriptions refused: [0] request: a body cap of 10485761 bytes is over max_body (10485760)");
}

#[tokio::test]
async fn absent_caps_are_max_body() {
    let host = Hosted::before("http://127.0.0.1:1")
        .scripted("a", &json!({"rules": [{"on": "response", "body": "full"}]}))
        .set("addon.a.max_body", "1KiB")
        .start()
        .await;
    let status = host.admin().status("a").await;
    assert_eq!(status["subscriptions"], json!([{"event": "response", "filter": "", "body_cap": 1024, "over_cap": "refuse"}]));
}

#[tokio::test]
async fn bodies_of_other_events_are_refused() {
    for event in ["upstream-error", "finish"] {
        let why = refusal(&json!([{"on": event, "body": "full"}])).await;
        assert_eq!(why, format!("subscriptions refused: [0] {event}: body full is for messages and their pieces only"));
    }
}

#[tokio::test]
async fn body_filters_need_the_body() {
    for (event, filter) in
        [("request", "~b x"), ("request", "~bq x"), ("response", "~bs x"), ("response-chunk", "~bs x"), ("finish", "~b x")]
    {
        let why = refusal(&json!([{"on": event, "filter": filter}])).await;
        assert!(why.contains("the filter looks at the body"), "{event} {filter}: {why}");
    }
}

#[tokio::test]
async fn refused_options_are_all_told() {
    let why = refusal_of(
        &guest("scripted"),
        &json!({"refused": [["rules[0].method", "must be a method"], ["", "something is missing"]]}),
    )
    .await;
    assert_eq!(why, "options refused: rules[0].method: must be a method; something is missing");
}

#[tokio::test]
async fn misshapen_options_tell_their_path() {
    let why = refusal(&json!([{"on": "request", "do": [{"set": ["X-A", 5]}]}])).await;
    assert!(why.starts_with("options refused: rules[0].do[0]"), "{why}");
}

#[tokio::test]
async fn traps_in_configure_tell_why() {
    for (action, said) in [
        (json!("trap"), "unreachable"),
        (json!({"panic": "cannot be"}), "cannot be"),
        (json!("recurse"), "stack"),
        (json!({"take": 100 << 20}), "memory limit of 67108864"),
    ] {
        let why = refusal_of(&guest("scripted"), &json!({"configure": [action]})).await;
        assert!(why.starts_with("configure failed: ") && why.contains(said), "{action}: {why}");
    }
}

#[tokio::test]
async fn flows_are_unknown_to_configure() {
    let why = refusal_of(&guest("raw"), &json!({"early": true})).await;
    assert!(why.contains("called outside of a flow"), "{why}");
}

#[tokio::test]
async fn bad_files_tell_what_they_are() {
    let mut cut = guest("scripted");
    cut.truncate(cut.len() / 2);
    for (component, said) in [
        (b"not wasm".to_vec(), "not WebAssembly"),
        (Vec::new(), "not WebAssembly"),
        (core_module(), "a core WebAssembly module, not a component"),
        (b"\0asm\x0a\0\x01\0".to_vec(), "unknown version"),
        (cut, "not a valid component"),
        (empty_component(), "does not export tollgate:addon/hooks@0.1.0: not an addon"),
        (exporting("tollgate:addon/hooks@0.2.0"), "it exports tollgate:addon/hooks@0.2.0, this is tollgate:addon/hooks@0.1.0"),
        (exporting("tollgate:addon/hooks@0.1.0"), "does not fit the world"),
        (exporting("wasi:cli/run@0.2.0"), "not an addon"),
        (importing("wasi:http/types@0.2.0"), "imports what addons are not given: wasi:http/types@0.2.0"),
        (importing("tollgate:addon/other@0.1.0"), "imports what addons are not given: tollgate:addon/other@0.1.0"),
    ] {
        let why = refusal_of(&component, &json!({})).await;
        assert!(why.contains(said), "{said}: {why}");
    }
}

#[tokio::test]
async fn failed_addons_are_in_no_chain() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url())
        .scripted("a", &json!({"configure": ["trap"], "rules": [{"on": "request", "do": [{"respond": [200, [], "a"]}]}]}))
        .start()
        .await;
    assert_eq!(host.get("/").await.text(), "ok");
    let ready = host.admin().get("/health/ready").await;
    assert_eq!((ready.status.as_u16(), &ready.json()["addons"]["failed"]), (503, &json!(["a"])));
}

#[tokio::test]
async fn names_of_files_are_checked() {
    let host = Hosted::before("http://127.0.0.1:1").unknown("two words", &guest("scripted")).start().await;
    let ready = host.admin().get("/health/ready").await;
    assert_eq!(ready.status, 503);
    assert!(ready.json()["addons"]["failed"][0].as_str().is_some_and(|failed| failed.ends_with("two words.wasm")), "{ready:?}");
    assert_eq!(host.admin().get("/addons").await.json()["addons"], json!([]));
}

#[tokio::test]
async fn other_files_are_no_addons() {
    let host = Hosted::before("http://127.0.0.1:1").start().await;
    for name in ["notes.txt", "half.wasm.part", ".hidden"] {
        std::fs::write(host.plugins().join(name), "text").expect("a file");
    }
    host.drop_in("real", &guest("scripted"));
    host.admin().in_force("real", &guest("scripted")).await;
    let names: Vec<_> = host.admin().get("/addons").await.json()["addons"]
        .as_array()
        .map(|addons| addons.iter().map(|addon| addon["name"].clone()).collect())
        .unwrap_or_default();
    assert_eq!(names, [json!("real")]);
    assert_eq!(host.admin().get("/health/ready").await.status, 200);
}

#[tokio::test]
async fn configure_ends_with_its_time() {
    let why = refusal_of(&guest("scripted"), &json!({"configure": [{"wait": 60_000}]})).await;
    assert_eq!(why, "configure failed: over its configure budget of 10s");
}
