//! Addons that a listener's order names and that are not in force.
#![cfg(test)]

use serde_json::{Value, json};
use tollgate_tests::{
    Client, RawOrigin, Version,
    addons::{Hosted, HostedBuilder, empty_component, guest, take_out},
    eventually,
};

/// Adds the name to responses.
fn signing(name: &str) -> Value {
    json!({"rules": [{"on": "response", "do": [{"append": ["X-Order", name]}]}]})
}

/// The listener wants `a` and `b`; `a` is there.
fn hosted(origin: &RawOrigin) -> HostedBuilder {
    Hosted::before(&origin.url())
        .with(|builder| builder.config_toml("addons = [\"a\", \"b\"]"))
        .scripted("a", &signing("a"))
        .options("b", &signing("b"))
}

/// What signed the response.
async fn signed(host: &Hosted) -> Vec<String> {
    let answer = host.get("/").await;
    answer.headers.get_all("x-order").iter().filter_map(|value| Some(value.to_str().ok()?.to_owned())).collect()
}

#[tokio::test]
async fn flows_are_refused_while_one_is_missing() {
    let origin = RawOrigin::ok().await;
    let host = hosted(&origin).start().await;
    let answer = host.get("/").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (503, Some("application/json")));
    assert_eq!(answer.json(), json!({"errcode": "M_UNKNOWN", "error": "addon b is not loaded"}));
    // Those before it see the answer.
    assert_eq!(answer.header("x-order"), Some("a"));
    assert_eq!(origin.connections(), 0);
    let ready = host.admin().get("/health/ready").await;
    assert_eq!((ready.status.as_u16(), &ready.json()["addons"]["missing"]), (503, &json!(["b"])));
    assert_eq!((host.times_logged("that is not loaded"), host.times_logged("are refused")), (1, 1), "{}", host.logs());
}

#[tokio::test]
async fn flows_pass_once_it_is_there() {
    let origin = RawOrigin::ok().await;
    let host = hosted(&origin).start().await;
    assert_eq!(host.get("/").await.status, 503);
    host.drop_in("b", &guest("scripted"));
    host.admin().in_force("b", &guest("scripted")).await;
    assert_eq!(signed(&host).await, ["b", "a"]);
}

#[tokio::test]
async fn flows_are_refused_when_one_is_removed() {
    let origin = RawOrigin::ok().await;
    let host = hosted(&origin).unknown("b", &guest("scripted")).start().await;
    assert_eq!(signed(&host).await, ["b", "a"]);
    take_out(&host.plugins(), "b");
    eventually(async || host.get("/").await.status == 503).await;
    assert_eq!(host.get("/").await.json()["error"], "addon b is not loaded");
}

#[tokio::test]
async fn flows_are_refused_when_one_fails_to_load() {
    let origin = RawOrigin::ok().await;
    let host = hosted(&origin).unknown("b", &empty_component()).start().await;
    host.admin().refused("b").await;
    assert_eq!(host.get("/").await.json()["error"], "addon b is not loaded");
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn failed_loads_of_new_code_refuse_nothing() {
    let origin = RawOrigin::ok().await;
    let host = hosted(&origin).unknown("b", &guest("scripted")).start().await;
    host.drop_in("b", &empty_component());
    host.admin().refused("b").await;
    assert_eq!(signed(&host).await, ["b", "a"]);
}

#[tokio::test]
async fn open_ones_are_left_out() {
    let origin = RawOrigin::ok().await;
    for on_error in ["open", "retry-open", "{ default = \"open\", finish = \"closed\" }"] {
        let host = hosted(&origin).set("addon.b.on_error", on_error).start().await;
        assert_eq!(signed(&host).await, ["a"], "{on_error}");
        assert_eq!(host.admin().get("/health/ready").await.status, 503);
        assert_eq!((host.times_logged("that is not loaded"), host.times_logged("pass without it")), (1, 1), "{}", host.logs());
    }
}

#[tokio::test]
async fn answers_are_as_configured() {
    let origin = RawOrigin::ok().await;
    let host = hosted(&origin).set("addon.b.error_status", 500).set("addon.b.error_body", "\"{}\"").start().await;
    let answer = host.get("/").await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (500, "{}"));
}

#[tokio::test]
async fn ended_chains_do_not_lead_past_it() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url())
        .with(|builder| builder.config_toml("addons = [\"a\", \"b\"]"))
        .scripted("a", &json!({"rules": [{"on": "request", "do": ["end-chain"]}]}))
        .start()
        .await;
    let answer = host.get("/").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["error"]), (503, &json!("addon b is not loaded")));
}

#[tokio::test]
async fn other_listeners_are_not_concerned() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url())
        .scripted("a", &signing("a"))
        .options("b", &signing("b"))
        .with(|builder| builder.listener("other", &origin.url()))
        .set("listener.other.addons", "[\"b\"]")
        .start()
        .await;
    // The configuration has a table for b, but this listener has no order.
    assert_eq!(signed(&host).await, ["a"]);
    assert_eq!(Client::fetch(Version::Http1, host.address_of("other"), "/").await.status, 503);
}

#[tokio::test]
async fn changed_orders_refuse_from_then_on() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url())
        .with(|builder| builder.config_toml("addons = [\"a\"]"))
        .scripted("a", &signing("a"))
        .start()
        .await;
    assert_eq!(signed(&host).await, ["a"]);
    std::fs::write(host.config_path(), host.config().replace("[\"a\"]", "[\"a\", \"b\"]")).expect("a file");
    host.reload().await;
    assert_eq!(host.get("/").await.json()["error"], "addon b is not loaded");
}

#[tokio::test]
async fn missing_ones_are_not_quarantined() {
    let origin = RawOrigin::ok().await;
    let host = hosted(&origin).set("addon.b.quarantine.failures", 1).start().await;
    for _ in 0..3 {
        assert_eq!(host.get("/").await.json()["error"], "addon b is not loaded");
    }
    let status = host.admin().status("b").await;
    assert_eq!((&status["quarantine"]["state"], &status["calls"]), (&json!("none"), &json!(0)));
}

#[tokio::test]
async fn responses_are_refused_where_only_they_are_closed() {
    let origin = RawOrigin::ok().await;
    let host = hosted(&origin).set("addon.b.on_error", "{default=\"closed\", request=\"open\"}").start().await;
    assert_eq!(host.get("/").await.status, 503);
    assert_eq!(origin.requests().len(), 1);
}
