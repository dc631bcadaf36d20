//! What a flow holds while it waits, and what is left of it when the proxy stops.
#![cfg(test)]

use serde_json::json;
use tollgate_tests::{
    RawClient, RawOrigin,
    addons::{Hosted, guest},
    eventually,
};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// An origin that takes requests and never answers.
async fn silent() -> RawOrigin {
    RawOrigin::start(|mut conversation| async move {
        conversation.request().await;
        conversation.take_all().await;
    })
    .await
}

#[tokio::test]
async fn replaced_responses_never_come_back() {
    let origin = RawOrigin::answering("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret").await;
    for body in [None, Some("full")] {
        let mut rule = json!({"on": "response", "do": [{"set": ["X-Seen", "<{body}>"]}, {"set-status": 200}]});
        if let Some(body) = body {
            rule["body"] = json!(body);
        }
        let host = Hosted::before(&origin.url())
            .scripted("a", &json!({"rules": [rule]}))
            .scripted("b", &json!({"rules": [{"on": "response", "do": [{"respond": [204, [], ""]}]}]}))
            .start()
            .await;
        let answer = host.get("/").await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, ""), "{body:?}");
        assert!(!answer.header("x-seen").unwrap_or_default().contains("secret"), "{answer:?}");
    }
}

#[tokio::test]
async fn waiting_flows_hold_no_instance() {
    let origin = silent().await;
    // As version-clamp does: every request, and the responses of one path.
    let rules = json!({"rules": [
        {"on": "request", "filter": "~p ^/answered$", "do": [{"respond": [200, [], "at once"]}]},
        {"on": "request"},
        {"on": "response", "filter": "~p ^/versions$ ~c 200"},
    ]});
    let host = Hosted::before(&origin.url()).scripted("a", &rules).set("limits.instances", 2).start().await;
    let mut waiting = Vec::new();
    for count in 1..=5 {
        let mut client = RawClient::connect(host.address()).await;
        client.send(GET).await;
        eventually(|| async { origin.requests().len() == count }).await;
        waiting.push(client);
    }
    assert_eq!(host.get("/answered").await.text(), "at once");
}

#[tokio::test]
async fn flows_closed_by_a_stop_finish() {
    let origin = silent().await;
    let rules = json!({"rules": [{"on": "finish", "do": [{"log": "finish of {target} ({error})"}]}]});
    let mut host = Hosted::before(&origin.url()).scripted("a", &rules).set("timeouts.grace", "100ms").start().await;
    let mut client = RawClient::connect(host.address()).await;
    client.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n").await;
    eventually(|| async { origin.requests().len() == 1 }).await;
    host.terminate();
    assert!(host.ended().await.success());
    assert_eq!(host.times_logged("finish of /held"), 1, "{}", host.logs());
}

#[tokio::test]
async fn stops_do_not_wait_for_loads() {
    let origin = RawOrigin::ok().await;
    let mut host = Hosted::before(&origin.url()).options("a", &json!({"configure": ["spin"]})).start().await;
    assert_eq!(host.get("/").await.status, 200);
    host.drop_in("a", &guest("scripted"));
    eventually(|| async { host.admin().status("a").await["state"] == "loading" }).await;
    host.terminate();
    assert!(host.ended().await.success());
    // Ten seconds of configure would have ended with this line.
    assert_eq!(host.times_logged("addon not loaded"), 0, "{}", host.logs());
}

#[tokio::test]
async fn small_pieces_cost_little_memory() {
    const PIECES: usize = 5_000;
    let origin = RawOrigin::start(|mut conversation| async move {
        while conversation.request().await.is_some() {
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            if conversation.send(head).await.is_err() {
                return;
            }
            for _ in 0..PIECES {
                if conversation.send("1\r\nx\r\n").await.is_err() {
                    return;
                }
            }
            if conversation.send("0\r\n\r\n").await.is_err() {
                return;
            }
        }
    })
    .await;
    let rules = json!({"rules": [{"on": "response", "body": "full", "do": [{"set": ["X-Seen", "yes"]}]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &rules).start().await;
    let before = host.settled("a").await;
    let answer = host.get("/").await;
    assert_eq!((answer.body.len(), answer.header("x-seen")), (PIECES, Some("yes")));
    // Each piece holding the buffer that it was read into would be 300 MiB.
    assert!(host.peak_rss() < before + (48 << 20), "{} after {before}", host.peak_rss());
}
