//! WebSockets whose messages hooks decide about.
#![cfg(test)]

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::{connect_async, tungstenite};
use tollgate_tests::{
    RawOrigin, SocketClient, SocketEnd, addons::Hosted, close_payload, eventually, from_client, from_server, sockets,
};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// Does this with each message.
fn to_messages(actions: &Value) -> Value {
    json!({"rules": [{"on": "websocket-message", "do": actions}]})
}

fn upper() -> Value {
    to_messages(&json!([{"message": "upper"}]))
}

async fn echoing() -> RawOrigin {
    sockets("", SocketEnd::echo).await
}

#[tokio::test]
async fn messages_of_both_sides_are_edited() {
    let script = to_messages(&json!([
        {"message": {"from-client": [{"message": {"text": "{data}+c"}}]}},
        {"message": {"from-upstream": [{"message": {"text": "{data}+u"}}]}},
    ]));
    let origin = echoing().await;
    let host = Hosted::before(&origin.url()).scripted("a", &script).start().await;
    let mut client = SocketClient::open(host.address(), "").await;
    for (first, text) in [(TEXT, "one"), (BINARY, "two"), (TEXT, "")] {
        client.send(first, text).await;
        assert_eq!(client.frame().await.shown(), (first, format!("{text}+c+u")));
    }
    origin.assert_strict();
}

#[tokio::test]
async fn a_client_library_gets_through() {
    let origin = echoing().await;
    let host = Hosted::before(&origin.url()).scripted("a", &upper()).start().await;
    let (mut socket, _) = connect_async(format!("ws://{}/", host.address())).await.expect("a socket");
    for number in 0..100 {
        socket.send(tungstenite::Message::text(format!("message {number}"))).await.expect("sent");
        let answer = socket.next().await.expect("an answer").expect("a message");
        assert_eq!(answer, tungstenite::Message::text(format!("MESSAGE {number}")));
    }
    socket.close(None).await.expect("closed");
    while let Some(message) = socket.next().await {
        assert!(message.expect("a close").is_close());
    }
    eventually(async || origin.open() == 0).await;
}

#[tokio::test]
async fn pings_pongs_and_closes_pass_in_order() {
    let origin = sockets("", |mut end: SocketEnd| async move {
        end.send(PING, "from the origin").await;
        end.echo().await;
    })
    .await;
    let host = Hosted::before(&origin.url()).scripted("a", &upper()).start().await;
    let mut client = SocketClient::open(host.address(), "").await;
    assert_eq!(client.frame().await.shown(), (PING, "from the origin".to_owned()));
    let burst = [from_client(PONG, "p"), from_client(TEXT, "a"), from_client(PING, "b"), from_client(TEXT, "c")].concat();
    client.send_raw(&burst).await;
    for (first, text) in [(TEXT, "A"), (PONG, "b"), (TEXT, "C")] {
        assert_eq!(client.frame().await.shown(), (first, text.to_owned()));
    }
    client.send(CLOSE, close_payload(4321, "so long")).await;
    let close = client.frame().await;
    assert_eq!((close.code(), &close.payload[2..]), (4321, &b"so long"[..]));
    client.expect_end().await;
}

#[tokio::test]
async fn a_close_of_the_origin_passes() {
    let origin = sockets("", |mut end: SocketEnd| async move {
        end.send(CLOSE, close_payload(3001, "enough")).await;
        let answer = end.next().await.expect("an answer");
        assert_eq!(answer.code(), 3001);
        end.close().await;
    })
    .await;
    let host = Hosted::before(&origin.url()).scripted("a", &upper()).start().await;
    let mut client = SocketClient::open(host.address(), "").await;
    let close = client.frame().await;
    assert_eq!((close.code(), &close.payload[2..]), (3001, &b"enough"[..]));
    client.send(CLOSE, &close.payload).await;
    client.expect_end().await;
    eventually(async || origin.open() == 0).await;
}

#[tokio::test]
async fn fragments_are_put_together() {
    let origin = echoing().await;
    let host = Hosted::before(&origin.url()).scripted("a", &upper()).start().await;
    let mut client = SocketClient::open(host.address(), "").await;
    client.send(0x01, "a").await;
    client.send(PING, "between").await;
    client.send(0x00, "").await;
    client.send(0x80, "b").await;
    assert_eq!(client.frame().await.shown(), (PONG, "between".to_owned()));
    assert_eq!(client.frame().await.shown(), (TEXT, "AB".to_owned()));
    client.send(BINARY, vec![b'a'; 70_000]).await;
    assert!(client.frame().await.payload == vec![b'A'; 70_000]);
}

#[tokio::test]
async fn no_two_frames_to_the_origin_have_one_mask() {
    const COUNT: usize = 40;
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let origin = sockets("", move |mut end: SocketEnd| {
        let told = told.clone();
        async move {
            while let Some(frame) = end.next().await {
                let _ = told.send(frame);
            }
        }
    })
    .await;
    let host = Hosted::before(&origin.url()).scripted("a", &upper()).start().await;
    let mut masks = std::collections::HashSet::new();
    for _ in 0..2 {
        // All at one time, and one after the other.
        let mut client = SocketClient::open(host.address(), "").await;
        client.send_raw(from_client(BINARY, "x").repeat(COUNT)).await;
        for _ in 0..COUNT {
            client.send(BINARY, "x").await;
        }
        for _ in 0..2 * COUNT {
            masks.insert(heard.recv().await.expect("a frame").mask);
        }
    }
    assert_eq!(masks.len(), 4 * COUNT);
}

#[tokio::test]
async fn messages_are_dropped_and_sockets_closed() {
    let script = to_messages(&json!([
        {"message": {"holding": ["drop", [{"message": "discard"}]]}},
        {"message": {"holding": ["close", [{"message": {"close": [4000, "by {side}"]}}]]}},
    ]));
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let origin = sockets("", move |mut end: SocketEnd| {
        let told = told.clone();
        async move {
            while let Some(frame) = end.next().await {
                let _ = told.send(frame);
            }
        }
    })
    .await;
    let host = Hosted::before(&origin.url()).scripted("a", &script).start().await;
    let mut client = SocketClient::open(host.address(), "").await;
    for text in ["one", "drop this", "two", "close now", "three"] {
        client.send(TEXT, text).await;
    }
    for text in ["one", "two"] {
        assert_eq!(heard.recv().await.expect("a frame").shown(), (TEXT, text.to_owned()));
    }
    for close in [heard.recv().await.expect("a frame"), client.frame().await] {
        assert_eq!((close.code(), &close.payload[2..]), (4000, &b"by client"[..]));
    }
    client.expect_end().await;
    assert_eq!(heard.try_recv().ok(), None);
}

#[tokio::test]
async fn one_instance_sees_all_messages_of_a_connection_in_order() {
    let script = to_messages(&json!([{"message": {"text": "{seen-so-far}:{side}:{kind}:{data}"}}]));
    let origin = echoing().await;
    let host = Hosted::before(&origin.url()).scripted("a", &script).start().await;
    let mut clients = Vec::new();
    for _ in 0..2 {
        clients.push(SocketClient::open(host.address(), "").await);
    }
    for round in 0..3 {
        for client in &mut clients {
            client.send(TEXT, "x").await;
            let (first, second) = (round * 2 + 1, round * 2 + 2);
            assert_eq!(client.frame().await.shown().1, format!("{second}:upstream:text:{first}:client:text:x"));
        }
    }
}

#[tokio::test]
async fn the_chain_is_walked_both_ways() {
    let tag = |tag: &str| to_messages(&json!([{"message": {"text": format!("{{data}}{tag}")}}]));
    let origin = echoing().await;
    let host = Hosted::before(&origin.url()).scripted("a", &tag("a")).scripted("b", &tag("b")).start().await;
    let mut client = SocketClient::open(host.address(), "").await;
    client.send(TEXT, "").await;
    assert_eq!(client.frame().await.shown().1, "abba");
}

#[tokio::test]
async fn no_byte_changes_where_nobody_subscribes() {
    const OFFER: &str =
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-other\r\nSec-WebSocket-Protocol: chat\r\n";
    let origin =
        sockets("Sec-WebSocket-Extensions: x-other\r\nSec-WebSocket-Protocol: chat\r\n", |mut end: SocketEnd| async move {
            while end.raw_back().await {}
        })
        .await;
    let filtered = json!({"rules": [{"on": "websocket-message", "filter": "~p ^/other$", "do": [{"message": "upper"}]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &filtered).start().await;
    let mut client = SocketClient::open(host.address(), OFFER).await;
    assert_eq!(client.response.fields.get("sec-websocket-extensions"), Some("x-other"));
    // No frames at all, or none that a proxy would let pass.
    for bytes in [&b"\xff\xff\xff"[..], &from_server(0x81, "unmasked"), &from_client(0xf3, "reserved")] {
        client.send_raw(bytes).await;
        assert_eq!(client.raw().take(bytes.len()).await, bytes);
    }
    let offered = origin.only_request();
    let extensions = offered.fields.get("sec-websocket-extensions");
    assert_eq!(extensions, Some("permessage-deflate; client_max_window_bits, x-other"));
}
