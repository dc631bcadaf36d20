//! What a flow leaves in its instance no other flow sees, and where instances come from makes no difference.
#![cfg(test)]

use std::sync::Arc;

use http::Request;
use serde_json::{Value, json};
use tokio::sync::Barrier;
use tollgate_tests::{
    Answer, Client, RawOrigin, Version,
    addons::{Hosted, guest},
    empty,
};

/// Counts calls in a global, and shows the counts of both hooks in the response.
fn counting() -> Value {
    json!({"rules": [
        {"on": "request", "do": [{"note": ["first", "{count}"]}]},
        {"on": "response", "do": [{"set": ["X-Counts", "{note:first} {count}"]}]},
        {"on": "finish", "do": [{"log": "finished as number {count}"}]},
    ]})
}

/// The same for a guest that holds a handle after `configure`.
fn counting_noisily() -> Value {
    let mut options = counting();
    options["configure"] = json!([{"print": "hello from configure"}]);
    options
}

/// An origin that answers none of so many requests before all of them are there.
async fn gathering(count: usize) -> RawOrigin {
    let all = Arc::new(Barrier::new(count));
    RawOrigin::start(move |mut conversation| {
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
    .await
}

/// So many flows that are all in their middle at one time.
async fn all_at_once(host: &Hosted, count: usize) -> Vec<Answer> {
    let mut flows = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..count.div_ceil(50) {
        clients.push(Client::connect(Version::Http2, host.address()).await);
    }
    for number in 0..count {
        let request = Request::get(format!("/{number}")).body(empty()).expect("a request");
        flows.push(tokio::spawn(clients[number / 50].start(request)));
    }
    let mut answers = Vec::new();
    for flow in flows {
        let response = tollgate_tests::within(flow).await.expect("a flow").expect("a response");
        answers.push(Answer::read(response).await.expect("a body"));
    }
    answers
}

async fn assert_nothing_is_shared(host: &Hosted, count: usize) {
    for answer in all_at_once(host, count).await {
        assert_eq!((answer.status.as_u16(), answer.header("x-counts")), (200, Some("1 2")));
    }
    // And of flows that are over, on one connection.
    let created = host.admin().counter("count", "instances_created").await;
    assert_eq!(created, count as u64);
}

#[tokio::test]
async fn concurrent_flows_share_no_globals() {
    let origin = gathering(200).await;
    let host = Hosted::before(&origin.url()).scripted("count", &counting()).start().await;
    host.admin().frozen("count").await;
    assert_nothing_is_shared(&host, 200).await;
}

#[tokio::test]
async fn replaying_flows_share_no_globals() {
    let origin = gathering(200).await;
    let host = Hosted::before(&origin.url()).scripted("count", &counting_noisily()).start().await;
    assert_nothing_is_shared(&host, 200).await;
    assert_eq!(host.admin().status("count").await["state"], "replay");
}

#[tokio::test]
async fn successive_flows_share_no_globals() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).scripted("count", &counting()).start().await;
    host.admin().frozen("count").await;
    for version in Version::BOTH {
        let mut client = Client::connect(version, host.address()).await;
        for _ in 0..10 {
            assert_eq!(client.get("/").await.header("x-counts"), Some("1 2"), "{version:?}");
        }
    }
}

#[tokio::test]
async fn hooks_of_a_flow_share_an_instance() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).scripted("count", &counting()).start().await;
    assert_eq!(host.get("/").await.header("x-counts"), Some("1 2"));
    host.logged("finished as number 3").await;
    assert_eq!(host.admin().counter("count", "instances_created").await, 1);
}

#[tokio::test]
async fn instances_go_with_their_flows() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).scripted("count", &counting()).start().await;
    for _ in 0..5 {
        host.get("/").await;
    }
    host.admin().until("count", |status| status["calls"] == 15 && status["instances_live"] == 0).await;
}

/// Shows what `configure` built.
fn building() -> Value {
    json!({"tag": "built", "table": 500, "rules": [
        {"on": "response", "do": [{"set": ["X-State", "{tag} {table} {order} {count}"]}]},
    ]})
}

/// A flow of which is known that its instance was configured by a replay.
async fn replayed(host: &Hosted) -> String {
    for _ in 0..20 {
        // A new generation replays until its snapshot is there.
        let fresh = host.admin().reload("state").await.json();
        let answer = host.get("/").await;
        let after = host.admin().status("state").await;
        if after["state"] == "replay" {
            assert_eq!(fresh["generation"], after["generation"]);
            return answer.header("x-state").expect("a state").to_owned();
        }
    }
    panic!("the snapshot was always there first");
}

#[tokio::test]
async fn snapshot_gives_what_replay_gives() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).scripted("state", &building()).start().await;
    let replayed = replayed(&host).await;
    host.admin().frozen("state").await;
    let frozen = host.get("/").await;
    assert_eq!(frozen.header("x-state"), Some(replayed.as_str()));
    // The sum of the squares of 0 to 499.
    assert!(replayed.starts_with("built 41541750 ") && replayed.ends_with(" 1"), "{replayed}");
}

#[tokio::test]
async fn restarted_proxies_have_the_same_seeds() {
    let origin = RawOrigin::ok().await;
    let mut states = Vec::new();
    for _ in 0..2 {
        let host = Hosted::before(&origin.url()).scripted("state", &building()).start().await;
        states.push(host.get("/").await.header("x-state").expect("a state").to_owned());
    }
    assert_eq!(states[0], states[1]);
}

#[tokio::test]
async fn other_installations_have_other_seeds() {
    let origin = RawOrigin::ok().await;
    let mut states = Vec::new();
    for _ in 0..2 {
        let home = tempfile::tempdir().expect("a directory");
        let host =
            Hosted::before(&origin.url()).scripted("state", &building()).with(|builder| builder.cache(home.path())).start().await;
        states.push(host.get("/").await.header("x-state").expect("a state").to_owned());
    }
    assert_ne!(states[0], states[1]);
}

#[tokio::test]
async fn random_numbers_differ_between_flows() {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [
        {"on": "request", "do": [{"note": ["first", "{random}"]}]},
        {"on": "response", "do": [{"set": ["X-Random", "{note:first} {random}"]}]},
    ]});
    let host = Hosted::before(&origin.url()).scripted("random", &options).start().await;
    host.admin().frozen("random").await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..10 {
        let answer = host.get("/").await;
        seen.extend(answer.header("x-random").expect("numbers").split(' ').map(str::to_owned));
    }
    assert_eq!(seen.len(), 20, "{seen:?}");
}

#[tokio::test]
async fn noisy_guest_replays_with_a_warning() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).guest("noisy", &guest("scripted"), &counting_noisily()).start().await;
    let status = host.admin().until("noisy", |status| !status["warning"].is_null()).await;
    assert_eq!(status["state"], "replay");
    let warning = status["warning"].as_str().unwrap_or_default();
    assert!(warning.contains("holds a handle") && warning.contains("configured anew"), "{warning}");
    assert_eq!(host.get("/").await.header("x-counts"), Some("1 2"));
    host.logged("hello from configure").await;
}

#[tokio::test]
async fn memory_of_ended_flows_is_zeroed() {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [
        {"on": "request", "filter": "~p ^/write$", "do": [{"take": 8 << 20}]},
        {"on": "request", "filter": "~p ^/read$", "do": [{"set": ["X-Residue", "{residue}"]}]},
    ]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).set("addon.a.cpu", "10s").start().await;
    host.admin().frozen("a").await;
    for _ in 0..5 {
        assert_eq!(host.get("/write").await.status, 200);
        host.admin().until("a", |status| status["instances_live"] == 0).await;
        assert_eq!(host.get("/read").await.status, 200);
    }
    let residues: Vec<_> =
        origin.requests().iter().filter_map(|request| request.fields.get("x-residue").map(str::to_owned)).collect();
    assert_eq!(residues, ["0"; 5]);
}

#[tokio::test]
async fn guests_may_print_in_hooks() {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [{"on": "request", "do": [{"print": "first of {id}\nsecond of {id}"}]}]});
    let host = Hosted::before(&origin.url()).scripted("printing", &options).start().await;
    let status = host.admin().frozen("printing").await;
    assert_eq!(status["warning"], Value::Null);
    assert_eq!(host.get("/").await.text(), "ok");
    host.logged("second of 1").await;
    for part in ["first of 1", "second of 1"] {
        let logs = host.logs();
        let line = logs.lines().find(|line| line.contains(part)).unwrap_or_default();
        assert!(line.contains("addon.name=\"printing\"") && line.contains("flow.id=1"), "{line}");
    }
}

#[tokio::test]
async fn guests_cannot_forge_log_lines() {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [{"on": "request", "do": [{"log": "harmless\nERROR forged\u{1b}[31m"}]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
    host.get("/").await;
    host.logged("harmless\\nERROR forged\\u{1b}[31m").await;
    assert!(!host.logs().contains('\u{1b}') && !host.logs().lines().any(|line| line.starts_with("ERROR")));
}

#[tokio::test]
async fn large_configured_state_is_frozen() {
    let origin = RawOrigin::ok().await;
    let mut options = counting();
    options["configure"] = json!([{"take": 24 << 20}]);
    let host = Hosted::before(&origin.url()).scripted("a", &options).set("addon.a.cpu", "10s").start().await;
    host.admin().frozen("a").await;
    assert_eq!(host.get("/").await.header("x-counts"), Some("1 2"));
}

#[tokio::test]
async fn who_keeps_nothing_waits_without_an_instance() {
    let origin = RawOrigin::ok().await;
    let mut options = counting();
    for hook in 0..2 {
        options["rules"][hook]["do"].as_array_mut().expect("actions").push(json!("let-go"));
    }
    let host = Hosted::before(&origin.url()).scripted("count", &options).start().await;
    assert_eq!(host.get("/").await.header("x-counts"), Some("1 1"));
    host.logged("finished as number 1").await;
    let status = host.admin().until("count", |status| status["instances_live"] == 0).await;
    assert_eq!(status["instances_created"], 3);
}

#[tokio::test]
async fn streams_of_who_keeps_nothing_take_no_seat() {
    const STREAMS: usize = 5;
    let (entered, waiting) = (Arc::new(tokio::sync::Semaphore::new(0)), Arc::new(tokio::sync::Semaphore::new(0)));
    let (enter, wait) = (Arc::clone(&entered), Arc::clone(&waiting));
    let origin = RawOrigin::start(move |mut conversation| {
        let (enter, wait) = (Arc::clone(&enter), Arc::clone(&wait));
        async move {
            conversation.request().await;
            enter.add_permits(1);
            let _permit = wait.acquire().await;
            let _ = conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await;
        }
    })
    .await;
    let mut options = counting();
    options["rules"][0]["do"].as_array_mut().expect("actions").push(json!("let-go"));
    let host = Hosted::before(&origin.url()).scripted("count", &options).set("addon.count.instances", 1).start().await;
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let address = host.address();
        streams.push(tokio::spawn(async move { Client::fetch(Version::Http1, address, "/").await }));
        // Each flow finds the one instance free for its request, and waits without it.
        entered.acquire().await.expect("a permit").forget();
    }
    host.admin().until("count", |status| status["instances_live"] == 0).await;
    waiting.add_permits(STREAMS);
    for stream in streams {
        assert_eq!(stream.await.expect("a flow").header("x-counts"), Some("1 1"));
    }
}
