//! How much of bodies all flows together hold for hooks.
#![cfg(test)]

use std::sync::Arc;

use http::Request;
use serde_json::json;
use tokio::sync::Semaphore;
use tollgate_tests::{Client, RawClient, RawOrigin, Version, addons::Hosted, eventually, full};

/// The least that can be set.
const LIMIT: usize = 64 << 10;

/// An origin that answers when there is a permit, with as many bytes as it was sent.
async fn gated() -> (RawOrigin, Arc<Semaphore>) {
    let permits = Arc::new(Semaphore::new(0));
    let shared = Arc::clone(&permits);
    let origin = RawOrigin::start(move |mut conversation| {
        let permits = Arc::clone(&shared);
        async move {
            while let Some(request) = conversation.request().await {
                permits.acquire().await.expect("a permit").forget();
                let body = vec![b'r'; request.body.len()];
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                if conversation.send([head.as_bytes(), &body].concat()).await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    (origin, permits)
}

async fn host(origin: &RawOrigin, event: &str) -> Hosted {
    let script = json!({"rules": [{"on": event, "filter": "~m POST", "body": "full"}]});
    Hosted::before(&origin.url()).scripted("a", &script).set("limits.held_bodies", LIMIT).start().await
}

fn post(bytes: usize) -> Request<tollgate_tests::BoxBody> {
    Request::post("/").body(full(vec![b'q'; bytes])).expect("a request")
}

async fn status(host: &Hosted, bytes: usize) -> u16 {
    Client::connect(Version::Http1, host.address()).await.ask(post(bytes)).await.status.as_u16()
}

#[tokio::test]
async fn the_limit_holds_below_at_above() {
    let (origin, permits) = gated().await;
    permits.add_permits(100);
    for event in ["request", "response"] {
        let host = host(&origin, event).await;
        for (bytes, expected) in [(LIMIT - 1, 200), (LIMIT, 200), (LIMIT + 1, 503), (LIMIT, 200)] {
            assert_eq!(status(&host, bytes).await, expected, "{event} {bytes}");
            // What a flow held is given back.
            eventually(async || host.admin().get("/metrics").await.text().contains("tollgate_held_bodies_bytes 0")).await;
        }
    }
}

#[tokio::test]
async fn flows_share_what_may_be_held() {
    let (origin, permits) = gated().await;
    let host = host(&origin, "request").await;
    let mut first = Client::connect(Version::Http2, host.address()).await;
    let held = tokio::spawn(first.start(post(LIMIT - 100)));
    eventually(async || origin.requests().len() == 1).await;
    let answer = Client::connect(Version::Http1, host.address()).await.ask(post(101)).await;
    assert_eq!((answer.status.as_u16(), answer.json()["errcode"].as_str()), (503, Some("M_UNKNOWN")));
    assert!(answer.text().contains("holds as many bodies as it may"), "{}", answer.text());
    // Those that nobody has to hold go by.
    permits.add_permits(3);
    let request = Request::put("/").body(full(vec![b'q'; LIMIT])).expect("a request");
    assert_eq!(Client::connect(Version::Http1, host.address()).await.ask(request).await.status, 200);
    assert_eq!(held.await.expect("a task").expect("a response").status(), 200);
    eventually(async || host.admin().get("/metrics").await.text().contains("tollgate_held_bodies_bytes 0")).await;
    assert_eq!(status(&host, 101).await, 200);
}

#[tokio::test]
async fn what_is_sent_on_is_held_no_more() {
    // Answers that never end, of which more than the cap is there at once.
    let origin = RawOrigin::start(|mut conversation| async move {
        while conversation.request().await.is_some() {
            let piece = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na000\r\n".to_vec(), vec![b'r'; 0xa000]].concat();
            let _ = conversation.send([&piece[..], b"\r\n"].concat()).await;
        }
    })
    .await;
    let script = json!({"rules": [{"on": "response", "body": {"pass-unseen": 1_000}}]});
    let host = Hosted::before(&origin.url()).scripted("a", &script).set("limits.held_bodies", LIMIT).start().await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = RawClient::connect(host.address()).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.response_head().await.status, 200);
        clients.push(client);
    }
}
