//! Upgrades: bytes both ways after a 101, and never before.

use std::sync::Arc;

use tokio::sync::Notify;
use tollgate_tests::{Authority, Conversation, RawClient, RawOrigin, Tollgate, eventually, within};

use crate::common::{assert_core_error, request};

const OFFER: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: a2V5\r\n";
const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: b2s=\r\n\r\n";

/// Sends back whatever comes, to the end.
async fn echo(mut conversation: Conversation) {
    loop {
        let bytes = conversation.wire().buffer.split();
        if !bytes.is_empty() && conversation.send(&bytes).await.is_err() {
            return;
        }
        match conversation.wire().fill().await {
            Ok(1..) => {}
            _ => return conversation.half_close().await,
        }
    }
}

async fn echo_origin() -> RawOrigin {
    RawOrigin::start(|mut conversation| async move {
        if conversation.request().await.is_some() {
            let _ = conversation.send(SWITCH).await;
            echo(conversation).await;
        }
    })
    .await
}

#[tokio::test]
async fn bytes_pass_both_ways() {
    let origin = echo_origin().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(request("GET", OFFER, "")).await;
    let switched = client.response_head().await;
    assert_eq!((switched.status, switched.fields.get("connection")), (101, Some("Upgrade")));
    assert_eq!((switched.fields.get("upgrade"), switched.fields.get("sec-websocket-accept")), (Some("websocket"), Some("b2s=")));
    for text in ["\x00\r\n\r\nGET / HTTP/1.1\r\n\r\n", "b", "\u{1}\u{2}"] {
        client.send(text).await;
        assert_eq!(client.take(text.len()).await, text);
    }
    let offered = origin.only_request();
    assert_eq!((offered.fields.get("connection"), offered.fields.get("upgrade")), (Some("Upgrade"), Some("WebSocket")));
    assert_eq!(offered.fields.get("sec-websocket-key"), Some("a2V5"));
}

#[tokio::test]
async fn much_passes_both_ways_at_once() {
    const PIECE: usize = 256 * 1024;
    let origin = echo_origin().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(request("GET", OFFER, "")).await;
    assert_eq!(client.response_head().await.status, 101);
    for number in 0..64 {
        let piece = vec![number; PIECE];
        client.send(&piece).await;
        assert!(client.take(PIECE).await == piece, "piece {number}");
    }
    assert!(tollgate.peak_rss() < 100 << 20);
}

#[tokio::test]
async fn nothing_passes_before_the_switch() {
    let go_on = Arc::new(Notify::new());
    let gate = Arc::clone(&go_on);
    let origin = RawOrigin::start(move |mut conversation| {
        let gate = Arc::clone(&gate);
        async move {
            let Some(request) = conversation.request().await else { return };
            if request.target == "/other" {
                let _ = conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
                return;
            }
            gate.notified().await;
            let _ = conversation.send(SWITCH).await;
            echo(conversation).await;
        }
    })
    .await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(format!("{}early", request("GET", OFFER, ""))).await;
    eventually(async || origin.requests().len() == 1).await;
    client.send("bird").await;
    // By the time that another flow has gone all the way, the early bytes would have come too.
    RawClient::ask(tollgate.address(), "GET /other HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(origin.seen()[0].ends_with(b"\r\n\r\n"), "{:?}", origin.seen()[0].escape_ascii().to_string());
    go_on.notify_one();
    assert_eq!(client.response_head().await.status, 101);
    assert_eq!(client.take(9).await, "earlybird");
}

#[tokio::test]
async fn bytes_after_a_refused_upgrade_stay_here() {
    for refusal in ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno", "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"] {
        let origin = RawOrigin::answering(refusal).await;
        let tollgate = Tollgate::before(&origin.url()).await;
        let mut client = RawClient::connect(tollgate.address()).await;
        client.send(format!("{}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n", request("GET", OFFER, ""))).await;
        let response = client.response().await;
        assert_eq!((response.text().as_str(), response.fields.get("connection")), ("no", Some("close")));
        client.expect_end().await;
        assert_eq!(origin.targets(), ["/"]);
        origin.assert_strict();
    }
}

#[tokio::test]
async fn refused_upgrades_keep_the_connection() {
    let origin =
        RawOrigin::answering("HTTP/1.1 426 No\r\nUpgrade: x/1\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\nno").await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    for _ in 0..3 {
        client.send(request("GET", OFFER, "")).await;
        let response = client.response().await;
        assert_eq!((response.status, response.text().as_str()), (426, "no"));
    }
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn clients_may_close_their_half() {
    let origin = RawOrigin::start(|mut conversation| async move {
        conversation.request().await;
        let _ = conversation.send(SWITCH).await;
        let all = conversation.take_all().await;
        let _ = conversation.send(format!("got {}", String::from_utf8_lossy(&all))).await;
        conversation.half_close().await;
    })
    .await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(request("GET", OFFER, "")).await;
    assert_eq!(client.response_head().await.status, 101);
    client.send("abc").await;
    client.half_close().await;
    assert_eq!(client.read_to_end().await, "got abc");
}

#[tokio::test]
async fn upstreams_may_close_their_half() {
    let origin = RawOrigin::start(|mut conversation| async move {
        conversation.request().await;
        let _ = conversation.send(format!("{SWITCH}bye")).await;
        conversation.half_close().await;
        conversation.take(3).await;
        std::future::pending::<()>().await;
    })
    .await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(request("GET", OFFER, "")).await;
    assert_eq!(client.response_head().await.status, 101);
    assert_eq!(client.read_to_end().await, "bye");
    client.send("abc").await;
    eventually(async || origin.seen()[0].ends_with(b"abc")).await;
}

#[tokio::test]
async fn lost_clients_end_the_tunnel() {
    let origin = echo_origin().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    for is_reset in [true, false] {
        let mut client = RawClient::connect(tollgate.address()).await;
        client.send(request("GET", OFFER, "")).await;
        assert_eq!(client.response_head().await.status, 101);
        if is_reset {
            client.reset();
        } else {
            drop(client);
        }
        eventually(async || origin.open() == 0).await;
    }
}

#[tokio::test]
async fn lost_upstreams_end_the_tunnel() {
    let origin = RawOrigin::start(|mut conversation| async move {
        conversation.request().await;
        let _ = conversation.send(SWITCH).await;
        conversation.take(1).await;
        conversation.reset();
    })
    .await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(request("GET", OFFER, "")).await;
    assert_eq!(client.response_head().await.status, 101);
    client.send("x").await;
    client.expect_end().await;
}

#[tokio::test]
async fn improper_offers_are_not_passed_on() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    for text in [
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: websocket, h2c\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: \"x\"\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    ] {
        assert_eq!(RawClient::ask(tollgate.address(), text).await.text(), "ok", "{text:?}");
    }
    for request in origin.requests() {
        assert!(!request.fields.has("upgrade") && !request.fields.has("connection"), "{request:?}");
    }
}

#[tokio::test]
async fn switches_amid_an_upload_are_refused() {
    let origin = RawOrigin::start(|mut conversation| async move {
        conversation.head().await;
        let _ = conversation.send(SWITCH).await;
        conversation.take_all().await;
    })
    .await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(request("POST", &format!("{OFFER}Content-Length: 10\r\n"), "abc")).await;
    let response = client.response().await;
    assert_core_error(&response, 502, "still sending");
}

#[tokio::test]
async fn upgrades_may_have_bodies() {
    let origin = echo_origin().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(request("POST", &format!("{OFFER}Content-Length: 3\r\n"), "abc")).await;
    assert_eq!(within(client.response_head()).await.status, 101);
    client.send("def").await;
    assert_eq!(client.take(3).await, "def");
    assert_eq!(origin.only_request().text(), "abc");
}

#[tokio::test]
async fn tunnels_pass_tls() {
    let authority = Authority::new();
    let identity = authority.localhost();
    let origin = echo_origin().await;
    let tollgate = Tollgate::builder().upstream(&origin.url()).tls(&identity).start().await;
    let config = authority.client_config(&["http/1.1"]);
    let mut client = RawClient::connect_tls(tollgate.address(), &config).await.expect("TLS");
    client.send(request("GET", OFFER, "")).await;
    assert_eq!(client.response_head().await.status, 101);
    client.send("abc").await;
    assert_eq!(client.take(3).await, "abc");
    client.send("def").await;
    client.half_close().await;
    assert_eq!(client.read_to_end().await, "def");
}
