//! Calls to the host that are under way when the time of their hook is over.
#![cfg(test)]

use serde_json::{Value, json};
use tollgate_tests::{
    RawOrigin,
    addons::{Hosted, HostedBuilder, Service},
    eventually,
};

/// Does this in the request hook of `/end`, fails open, and tells in the response hook whether the instance is still there.
fn ended_by_wall(origin: &RawOrigin, actions: &Value) -> HostedBuilder {
    let script = json!({"rules": [
        {"on": "request", "filter": "~p ^/end$", "do": actions},
        {"on": "request", "filter": "~p ^/look$", "do": [{"kv": {"op": "get", "key": "k"}}, {"respond": [200, [], "{kv}"]}]},
        {"on": "response", "filter": "~p ^/end$", "do": [{"set": ["X-Alive", "{count}"]}]},
    ]});
    Hosted::before(&origin.url())
        .scripted("a", &script)
        .set("addon.a.on_error", "open")
        .set("addon.a.kv", true)
        .set("addon.a.http", "[\"private\"]")
        .set("addon.a.cpu", "10s")
        .set("addon.a.wall", "300ms")
}

/// Panics unless the flow went on without the addon, whose instance is gone.
async fn is_ended(host: &Hosted) {
    let answer = host.get("/end").await;
    assert_eq!((answer.status.as_u16(), answer.header("x-alive")), (200, None));
    host.logged("over its wall budget of 300ms").await;
    let status = host.admin().until("a", |status| status["instances_live"] == 0).await;
    assert_eq!((&status["deadlines"], &status["traps"], &status["http"]["in_flight"]), (&json!(1), &json!(0), &json!(0)));
}

#[tokio::test]
async fn requests_of_addons_end_with_their_hook() {
    for path in ["/silent", "/stuck"] {
        let (origin, service) = (RawOrigin::ok().await, Service::start().await);
        let fetch = json!([{"kv": {"op": "set", "key": "k", "value": "kept"}}, {"fetch": {"url": service.at(path)}}]);
        let host = ended_by_wall(&origin, &fetch).start().await;
        is_ended(&host).await;
        // The connection is closed, not left behind, and what was written before stays.
        eventually(async || service.origin().open() == 0).await;
        assert_eq!(host.get("/look").await.text(), "kept", "{path}");
        assert_eq!(host.admin().get("/addons/a").await.json()["http"]["requests"]["abandoned"], 1, "{path}");
    }
}

#[tokio::test]
async fn operations_on_keys_end_with_their_hook() {
    let origin = RawOrigin::ok().await;
    let endless = json!([{"kv": {"op": "increment", "key": "k", "times": 3_000_000}}]);
    let host = ended_by_wall(&origin, &endless).set("addon.a.memory", "256MiB").start().await;
    is_ended(&host).await;
    // Each was done or not: none goes on afterwards.
    let sum = host.get("/look").await.text();
    assert!(sum.parse::<u64>().is_ok_and(|sum| sum > 0), "{sum}");
    assert_eq!(host.get("/look").await.text(), sum);
    let status = host.admin().get("/addons/a").await.json();
    assert_eq!(status["kv"]["keys"], 1, "{status:#}");
}
