//! The addon `callback` while it waits for its server: for whom, and what is left of it.
#![cfg(test)]

use http::Request;
use serde_json::json;
use tokio::task::JoinSet;
use tollgate_tests::{
    Client, RawOrigin, Version,
    addons::{CallbackServer, Hosted, Reply},
    empty, eventually,
};

const FLOWS: usize = 500;
/// Requests at once on an HTTP/2 connection.
const STREAMS: usize = 100;

fn request(target: &str) -> Request<tollgate_tests::BoxBody> {
    Request::get(target).body(empty()).expect("a request")
}

/// Holds every flow, and answers 418.
async fn holding() -> CallbackServer {
    CallbackServer::start(|_| Reply::json(&json!({"respond_status_code": 418})).held()).await
}

#[tokio::test]
async fn five_hundred_held_flows_hold_up_no_others() {
    let (origin, server) = (RawOrigin::ok().await, holding().await);
    let host = Hosted::with_callback(&origin.url()).start().await;
    let url = server.at("/request");
    host.lock(&json!({"callback_request_url": url, "timeout": 50, "filter": "~p ^/held$", "on_callback_error": "fail"})).await;
    host.admin().frozen("callback").await;
    let mut held = JoinSet::new();
    let mut clients = Vec::new();
    for _ in 0..FLOWS / STREAMS {
        let mut client = Client::connect(Version::Http2, host.address()).await;
        for _ in 0..STREAMS {
            held.spawn(client.start(request("/held")));
        }
        clients.push(client);
    }
    eventually(async || server.calls().len() == FLOWS).await;
    for _ in 0..50 {
        assert_eq!(host.get("/free").await.text(), "ok");
    }
    assert!(held.try_join_next().is_none());
    server.release();
    for answer in held.join_all().await {
        assert_eq!(answer.expect("a response").status(), 418);
    }
    assert_eq!(origin.requests().len(), 50);
}

#[tokio::test]
async fn clients_that_leave_have_nothing_sent_upstream() {
    let (origin, server) = (RawOrigin::ok().await, CallbackServer::start(|_| Reply::nothing().held()).await);
    let host = Hosted::with_callback(&origin.url()).start().await;
    host.lock(&json!({"callback_request_url": server.at("/request"), "filter": "~p ^/left$"})).await;
    for (count, version) in Version::BOTH.into_iter().enumerate() {
        let mut client = Client::connect(version, host.address()).await;
        let flow = tokio::spawn(client.start(request("/left")));
        eventually(async || server.calls().len() == count + 1).await;
        flow.abort();
        drop(client);
    }
    let is_alone = async || {
        let metrics = host.admin().get("/metrics").await.text();
        metrics.lines().any(|line| line.starts_with("tollgate_connections_active") && line.ends_with(" 0"))
    };
    eventually(is_alone).await;
    server.release();
    // The hooks that nobody waits for come to their end.
    eventually(async || host.admin().status("callback").await["instances_live"] == 0).await;
    assert_eq!(host.get("/after").await.text(), "ok");
    assert_eq!(origin.targets(), ["/after"]);
}

#[tokio::test]
async fn clients_that_leave_a_held_response_harm_nobody() {
    let (origin, server) = (RawOrigin::ok().await, CallbackServer::start(|_| Reply::nothing().held()).await);
    let host = Hosted::with_callback(&origin.url()).start().await;
    host.lock(&json!({"callback_response_url": server.at("/response"), "filter": "~p ^/left$"})).await;
    let mut client = Client::connect(Version::Http1, host.address()).await;
    let flow = tokio::spawn(client.start(request("/left")));
    eventually(async || server.calls().len() == 1).await;
    flow.abort();
    drop(client);
    server.release();
    assert_eq!(host.get("/left").await.text(), "ok");
    assert_eq!(origin.targets(), ["/left", "/left"]);
}

#[tokio::test]
async fn held_flows_end_by_the_options_that_they_began_with() {
    let (origin, server) = (RawOrigin::ok().await, holding().await);
    let host = Hosted::with_callback(&origin.url()).start().await;
    host.lock(&json!({"callback_request_url": server.at("/request")})).await;
    let mut client = Client::connect(Version::Http1, host.address()).await;
    let flow = tokio::spawn(client.start(request("/held")));
    eventually(async || server.calls().len() == 1).await;
    host.unlock().await;
    assert_eq!(host.get("/after").await.text(), "ok");
    server.release();
    assert_eq!(flow.await.expect("a flow").expect("a response").status(), 418);
    assert_eq!((server.calls().len(), origin.targets()), (1, vec!["/after".to_owned()]));
}

#[tokio::test]
async fn delays_hold_up_their_own_flow_alone() {
    let (origin, server) = (RawOrigin::ok().await, CallbackServer::answering(json!({"delay_ms": 3_000})).await);
    let host = Hosted::with_callback(&origin.url()).start().await;
    host.lock(&json!({"callback_response_url": server.at("/response"), "filter": "~p ^/slow$"})).await;
    let mut client = Client::connect(Version::Http1, host.address()).await;
    let flow = tokio::spawn(client.start(request("/slow")));
    eventually(async || server.calls().len() == 1).await;
    assert_eq!(host.get("/fast").await.text(), "ok");
    assert!(!flow.is_finished());
    assert_eq!(flow.await.expect("a flow").expect("a response").status(), 200);
}
