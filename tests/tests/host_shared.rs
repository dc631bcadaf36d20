//! Instances that flows share, where the operator wants that: who has them, who never does, and when they go.
#![cfg(test)]

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Barrier;
use tollgate_tests::{Client, RawOrigin, Version, addons::Hosted, eventually};

/// Shows how many flows its instance has seen, and which one it is told of.
fn counting() -> Value {
    json!({"rules": [
        {"on": "request", "do": [{"note": ["count", "{count}"]}]},
        {"on": "response", "do": [{"set": ["X-Flow", "{note:count} {id}"]}]},
    ]})
}

/// A proxy with this guest as addon `a`, whose flows share instances.
async fn shared(origin: &RawOrigin, script: &Value, settings: &[(&str, &str)]) -> Hosted {
    let mut builder = Hosted::before(&origin.url()).scripted("a", script).set("addon.a.instance", "shared");
    for (key, value) in settings {
        builder = builder.set(&format!("addon.a.{key}"), value);
    }
    let host = builder.start().await;
    host.admin().frozen("a").await;
    host
}

/// What `X-Flow` says of a flow, and that its instance waits for another one now.
async fn flow(host: &Hosted, path: &str) -> Option<String> {
    let answer = host.get(path).await;
    settled(host).await;
    answer.header("x-flow").map(str::to_owned)
}

/// All flows have ended.
async fn settled(host: &Hosted) {
    let is_quiet = |line: &str| line.starts_with("tollgate_flows_active{") && line.ends_with(" 0");
    eventually(async || host.admin().get("/metrics").await.text().lines().any(is_quiet)).await;
}

#[tokio::test]
async fn one_flow_after_the_other_has_the_same_instance() {
    let origin = RawOrigin::ok().await;
    let host = shared(&origin, &counting(), &[]).await;
    for number in 1..=5 {
        // Facts are those of the flow, whoever had the instance before.
        assert_eq!(flow(&host, "/").await, Some(format!("{number} {number}")));
    }
    let status = host.admin().until("a", |status| status["instances_live"] == 1).await;
    assert_eq!((&status["instances_created"], &status["instances_reused"]), (&json!(1), &json!(4)));
    assert_eq!(status["limits"]["instance"], "shared");
}

#[tokio::test]
async fn without_the_option_no_flow_has_anothers() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).scripted("a", &counting()).start().await;
    host.admin().frozen("a").await;
    assert_eq!((flow(&host, "/").await, flow(&host, "/").await), (Some("1 1".to_owned()), Some("1 2".to_owned())));
    let status = host.admin().until("a", |status| status["instances_live"] == 0).await;
    assert_eq!((&status["instances_reused"], &status["limits"]["instance"]), (&json!(0), &json!("flow")));
}

#[tokio::test]
async fn no_two_flows_have_one_instance_at_one_time() {
    const FLOWS: usize = 10;
    let all = Arc::new(Barrier::new(FLOWS));
    let origin = RawOrigin::start(move |mut conversation| {
        let all = Arc::clone(&all);
        async move {
            while conversation.request().await.is_some() {
                all.wait().await;
                if conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    let host = shared(&origin, &counting(), &[]).await;
    for round in 1..=3 {
        let address = host.address();
        let flows: Vec<_> =
            (0..FLOWS).map(|_| tokio::spawn(async move { Client::fetch(Version::Http1, address, "/").await })).collect();
        for flow in flows {
            let answer = flow.await.expect("a flow");
            let count = answer.header("x-flow").and_then(|shown| shown.split(' ').next()).map(str::to_owned);
            // Each instance has seen one flow in each round.
            assert_eq!(count, Some(round.to_string()));
        }
        host.admin().until("a", |status| status["instances_reused"] == json!((round - 1) * FLOWS)).await;
    }
    assert_eq!(host.admin().counter("a", "instances_created").await, FLOWS as u64);
}

#[tokio::test]
async fn who_has_failed_sees_no_other_flow() {
    let origin = RawOrigin::ok().await;
    for failure in [json!("trap"), json!({"fail": "no"}), json!("spin")] {
        let mut script = counting();
        script["rules"].as_array_mut().expect("rules").push(json!({"on": "response", "filter": "~p ^/fail$", "do": [failure]}));
        let host = shared(&origin, &script, &[("quarantine", "false"), ("cpu", "10ms")]).await;
        let counts = |shown: Option<String>| shown.and_then(|shown| shown.split(' ').next().map(str::to_owned));
        assert_eq!(counts(flow(&host, "/").await).as_deref(), Some("1"));
        assert_eq!(host.get("/fail").await.status, 503);
        assert_eq!(counts(flow(&host, "/").await).as_deref(), Some("1"), "{failure}");
        assert_eq!(counts(flow(&host, "/").await).as_deref(), Some("2"), "{failure}");
    }
}

#[tokio::test]
async fn second_tries_are_without_what_others_left() {
    let origin = RawOrigin::ok().await;
    let script = json!({"rules": [{"on": "request", "do": [{"append": ["X-Try", "{count}"]}, {"sometimes": "trap"}]}]});
    let host = shared(&origin, &script, &[("quarantine", "false"), ("on_error", "retry")]).await;
    let mut seen = false;
    for _ in 0..200 {
        let before = host.admin().counter("a", "retries").await;
        let answer = host.get("/").await;
        if answer.status == 200 && host.admin().counter("a", "retries").await > before {
            let sent = origin.requests().last().and_then(|request| request.fields.get("x-try").map(str::to_owned));
            assert_eq!(sent.as_deref(), Some("1"));
            seen = true;
            break;
        }
    }
    assert!(seen, "no second try went well");
}

#[tokio::test]
async fn other_options_and_code_begin_anew() {
    let origin = RawOrigin::ok().await;
    let host = shared(&origin, &counting(), &[]).await;
    assert_eq!(flow(&host, "/").await.as_deref(), Some("1 1"));
    assert_eq!(flow(&host, "/").await.as_deref(), Some("2 2"));
    let generation = host.admin().status("a").await["generation"].clone();
    host.admin().reload("a").await;
    host.admin().until("a", |status| status["generation"] != generation && status["instances_live"] == 0).await;
    assert_eq!(flow(&host, "/").await.as_deref(), Some("1 3"));
}

#[tokio::test]
async fn who_takes_more_and_more_memory_goes() {
    let origin = RawOrigin::ok().await;
    let mut script = counting();
    for (path, bytes) in [("some", 3 << 20), ("much", 9 << 20)] {
        let filter = format!("~p ^/{path}$");
        script["rules"].as_array_mut().expect("rules").push(json!({"on": "request", "filter": filter, "do": [{"take": bytes}]}));
    }
    let host = shared(&origin, &script, &[("memory", "16MiB"), ("cpu", "10s")]).await;
    let mut counts = Vec::new();
    for path in ["/", "/some", "/", "/much", "/"] {
        counts.push(flow(&host, path).await.and_then(|shown| shown.split(' ').next().map(str::to_owned)).unwrap_or_default());
    }
    assert_eq!(counts, ["1", "2", "3", "4", "1"]);
}

#[tokio::test]
async fn waiting_instances_take_no_seat() {
    let origin = RawOrigin::ok().await;
    let only =
        |path: &str| json!({"rules": [{"on": "request", "filter": format!("~p ^/{path}$"), "do": [{"set": ["X", "{count}"]}]}]});
    let host = Hosted::before(&origin.url())
        .scripted("a", &only("a"))
        .scripted("b", &only("b"))
        .set("addon.a.instance", "shared")
        .set("limits.instances", 1)
        .start()
        .await;
    for name in ["a", "b"] {
        host.admin().frozen(name).await;
    }
    for _ in 0..2 {
        assert_eq!(host.get("/a").await.status, 200);
        host.admin().until("a", |status| status["instances_live"] == 1).await;
        // The one seat is free, though an instance of the other addon lives.
        assert_eq!(host.get("/b").await.status, 200);
        host.admin().until("b", |status| status["instances_live"] == 0).await;
    }
    assert_eq!(host.admin().counter("a", "instances_reused").await, 1);
}

#[tokio::test]
async fn what_is_printed_is_the_flows_that_prints() {
    let origin = RawOrigin::ok().await;
    // Its handle of standard output outlives the flow.
    let script = json!({"rules": [{"on": "request", "do": [{"print": "printed by {id}"}]}]});
    let host = shared(&origin, &script, &[]).await;
    for id in 1..=3 {
        flow(&host, "/").await;
        let text = format!("printed by {id}");
        host.logged(&text).await;
        let logs = host.logs();
        let line = logs.lines().find(|line| line.contains(&text)).unwrap_or_default();
        assert!(line.contains(&format!("flow.id={id}")), "{line}");
    }
    assert_eq!(host.admin().counter("a", "instances_created").await, 1);
}

#[tokio::test]
async fn random_numbers_are_never_those_of_before() {
    let origin = RawOrigin::ok().await;
    // It holds a handle after `configure`, and so configures each instance anew, with the same numbers.
    let script =
        json!({"configure": [{"print": "hello"}], "rules": [{"on": "response", "do": [{"set": ["X-Flow", "{random}"]}]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &script).set("addon.a.instance", "shared").start().await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..5 {
        seen.extend(flow(&host, "/").await);
    }
    assert_eq!((seen.len(), host.admin().counter("a", "instances_created").await), (5, 1));
}
