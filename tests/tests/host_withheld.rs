//! What an addon could find out about withheld values by setting some of its own, and what it is told of that.
#![cfg(test)]

use serde_json::{Value, json};
use tollgate_tests::{RawOrigin, addons::Hosted};

const WITHHOLD: &str = "[\"authorization\", \"x-secret*\"]";

/// What the guest `a` was told of changes on this path.
async fn told(host: &Hosted, path: &str) -> String {
    let start = format!("told on {path}: ");
    host.logged(&start).await;
    let logs = host.logs();
    let text = logs.split(&start).nth(1).and_then(|rest| rest.split(" (all)").next()).unwrap_or_default();
    text.to_owned()
}

/// A guest that does this with a request, and tells what it was told in the end.
fn guessing(actions: &Value) -> Value {
    json!({"rules": [
        {"on": "request", "do": actions},
        {"on": "finish", "do": [{"log": "told on {target}: {mutations} (all)"}]},
    ]})
}

/// What it is told where its guess is right, and where it is wrong.
async fn both(host: &Hosted) -> (String, String) {
    for (path, value) in [("/right", "guess"), ("/wrong", "other")] {
        assert_eq!(host.ask("GET", path, &[("Authorization", value), ("X-Open", value)]).await.status, 200);
    }
    (told(host, "/right").await, told(host, "/wrong").await)
}

/// Names of changed fields of a flow on this path, as the operator sees them.
async fn changed(host: &Hosted, path: &str) -> Value {
    let page = host.admin().get("/flows").await.json();
    let flows = page["flows"].as_array().cloned().unwrap_or_default();
    let flow = flows.into_iter().find(|flow| flow["path"] == path).expect("a flow");
    flow["mutations"][0]["changes"][0]["changed"].clone()
}

#[tokio::test]
async fn guesses_are_not_confirmed() {
    let origin = RawOrigin::ok().await;
    let script = guessing(&json!([{"set": ["Authorization", "guess"]}, {"set": ["X-Open", "mine"]}]));
    let host = Hosted::before(&origin.url()).scripted("a", &script).set("addon.a.withhold_headers", WITHHOLD).start().await;
    let (right, wrong) = both(&host).await;
    assert_eq!(right, "a request: headers Request + ~x-open - 0+0");
    assert_eq!(right, wrong);
    // Who looks after the proxy sees all of it.
    assert_eq!(changed(&host, "/right").await, json!(["x-open"]));
    assert_eq!(changed(&host, "/wrong").await, json!(["authorization", "x-open"]));
    // Who sees the values may know what became of them.
    let host = Hosted::before(&origin.url()).scripted("a", &script).start().await;
    let (right, wrong) = both(&host).await;
    assert_eq!((right.contains("authorization"), wrong.contains("authorization")), (false, true), "{right} {wrong}");
}

#[tokio::test]
async fn guesses_that_change_nothing_else_leave_no_trace() {
    let origin = RawOrigin::ok().await;
    let script = guessing(&json!([{"set": ["Authorization", "guess"]}]));
    let host = Hosted::before(&origin.url()).scripted("a", &script).set("addon.a.withhold_headers", WITHHOLD).start().await;
    let (right, wrong) = both(&host).await;
    assert_eq!((right.as_str(), wrong.as_str()), ("+0", "+0"));
}

#[tokio::test]
async fn guesses_are_not_confirmed_by_the_edits_of_others() {
    let origin = RawOrigin::ok().await;
    // The second addon puts the real one in.
    let real =
        json!({"rules": [{"on": "request", "do": [{"set": ["Authorization", "guess"]}, {"set": ["X-Open", "{target}"]}]}]});
    let host = Hosted::before(&origin.url())
        .scripted("a", &guessing(&json!([])))
        .scripted("b", &real)
        .set("addon.a.withhold_headers", WITHHOLD)
        .start()
        .await;
    let (right, wrong) = both(&host).await;
    assert_eq!(right, "b request: headers Request + ~x-open - 0+0");
    assert_eq!(right, wrong);
}

#[tokio::test]
async fn that_a_field_is_there_is_told() {
    let origin = RawOrigin::ok().await;
    let script = guessing(&json!([{"remove": "Authorization"}, {"set": ["X-Secret-New", "1"]}]));
    let host = Hosted::before(&origin.url()).scripted("a", &script).set("addon.a.withhold_headers", WITHHOLD).start().await;
    let (right, wrong) = both(&host).await;
    assert_eq!(right, "a request: headers Request +x-secret-new ~ -authorization 0+0");
    assert_eq!(right, wrong);
}

#[tokio::test]
async fn names_that_are_left_out_confirm_nothing() {
    let origin = RawOrigin::ok().await;
    // About as many as the ledger keeps: one more or less makes the difference there.
    for count in [60, 61, 62, 63, 64, 65, 70] {
        let script = guessing(&json!([{"set": ["Authorization", "guess"]}, {"flood": [count, 1]}]));
        let host = Hosted::before(&origin.url()).scripted("a", &script).set("addon.a.withhold_headers", WITHHOLD).start().await;
        let (right, wrong) = both(&host).await;
        assert!(right.contains("x-flood-0") && right.ends_with(" 1+0"), "{count}: {right}");
        assert_eq!(right, wrong, "{count}");
    }
}

#[tokio::test]
async fn what_fits_tells_no_length() {
    let origin = RawOrigin::ok().await;
    let mut actions: Vec<Value> = Vec::new();
    for bytes in (0..1_100).step_by(25) {
        actions.push(json!({"try": {"set": ["X-Own", "v".repeat(bytes)]}}));
        actions.push(json!({"try": {"set": ["X-Own", ""]}}));
        actions.push(json!({"try": {"append": ["X-Own", "v".repeat(bytes)]}}));
        actions.push(json!({"try": {"remove": "X-Own"}}));
    }
    actions.push(json!({"log": "told on {target}: {tried} (all)"}));
    let host = Hosted::before(&origin.url())
        .scripted("a", &json!({"rules": [{"on": "request", "do": actions}]}))
        .set("addon.a.withhold_headers", WITHHOLD)
        .set("addon.a.header_bytes", 1024)
        .set("addon.a.cpu", "5s")
        .start()
        .await;
    let mut first = String::new();
    for secret in [0, 1, 10, 100, 700, 2_000] {
        let path = format!("/{secret}");
        assert_eq!(host.ask("GET", &path, &[("X-Secret", &"s".repeat(secret))]).await.status, 200);
        let told = told(&host, &path).await;
        assert!(told.contains("done") && told.contains("too large"), "{told}");
        if first.is_empty() {
            first.clone_from(&told);
        }
        assert_eq!(told, first, "a secret of {secret} bytes");
    }
}

#[tokio::test]
async fn who_may_read_all_is_told_all() {
    let origin = RawOrigin::ok().await;
    let script = json!({"rules": [
        {"on": "request", "do": [{"try": {"append": ["X-Own", "v".repeat(600)]}}]},
        {"on": "response", "do": [{"set": ["X-Tried", "{tried}"]}]},
    ]});
    let host = Hosted::before(&origin.url()).scripted("a", &script).set("addon.a.header_bytes", 1024).start().await;
    let short = host.ask("GET", "/", &[("X-Secret", "s")]).await;
    let long = host.ask("GET", "/", &[("X-Secret", &"s".repeat(700))]).await;
    assert_eq!(short.header("x-tried"), Some("done"));
    assert!(long.header("x-tried").is_some_and(|tried| tried.ends_with("limit 1024")), "{:?}", long.header("x-tried"));
}

#[tokio::test]
async fn upstreams_are_not_asked_to_repeat_what_is_withheld() {
    let origin = RawOrigin::ok().await;
    let script = json!({"rules": [
        {"on": "request", "do": [{"try": {"set-method": "TRACE"}}]},
        {"on": "response", "do": [{"set": ["X-Tried", "{tried}"]}]},
    ]});
    let host = Hosted::before(&origin.url()).scripted("a", &script).set("addon.a.withhold_headers", WITHHOLD).start().await;
    let answer = host.get("/").await;
    assert_eq!(answer.header("x-tried"), Some("forbidden: TRACE, since values of fields are withheld"));
    let host = Hosted::before(&origin.url()).scripted("a", &script).start().await;
    assert_eq!(host.get("/").await.header("x-tried"), Some("done"));
    let methods: Vec<String> = origin.requests().into_iter().map(|request| request.method).collect();
    assert_eq!(methods, ["GET", "TRACE"]);
}
