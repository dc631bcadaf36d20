//! WebSockets under load: floods, many at one time, and messages that take long to inflate.
#![cfg(test)]

use std::net::{Ipv4Addr, SocketAddr};

use futures_util::{SinkExt as _, StreamExt as _};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_tungstenite::{WebSocketStream, accept_async, connect_async, tungstenite::Message};
use tollgate_tests::{SocketClient, SocketEnd, Tollgate, addons::Hosted, close_payload, from_client, sockets, within};

const TEXT: u8 = 0x81;
const PING: u8 = 0x89;
const AGREED: &str = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n";

fn to_messages(actions: &Value) -> Value {
    json!({"rules": [{"on": "websocket-message", "do": actions}]})
}

/// Text that does not repeat, in so many bytes.
fn text(length: usize) -> String {
    let letter = |n: u64| char::from(b'a' + u8::try_from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60).expect("four bits"));
    (0..length as u64).map(letter).collect()
}

/// Sends so many numbered messages, and meanwhile reads as many, each of which has to be the next.
async fn flood(
    socket: WebSocketStream<impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static>,
    count: usize,
) {
    let (mut sink, mut stream) = socket.split();
    let padding = "x".repeat(1_000);
    let sent = tokio::spawn(async move {
        for number in 0..count {
            sink.feed(Message::text(format!("{number} {padding}"))).await.expect("sent");
        }
        sink.flush().await.expect("sent");
        sink
    });
    for number in 0..count {
        let message = within(stream.next()).await.expect("a message").expect("a message");
        let text = message.to_text().expect("text");
        assert!(text.starts_with(&format!("{number} X")) && text.ends_with('X'), "{number}: {}", &text[..10.min(text.len())]);
    }
    drop(sent.await.expect("all of them"));
}

#[tokio::test]
async fn both_sides_flood_at_one_time() {
    const COUNT: usize = 10_000;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let origin = format!("http://{}", listener.local_addr().expect("its address"));
    let host = Hosted::before(&origin).scripted("a", &to_messages(&json!([{"message": "upper"}]))).start().await;
    let before = host.settled("a").await;
    let upstream = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        flood(accept_async(stream).await.expect("a handshake"), COUNT).await;
    });
    let (socket, _) = connect_async(format!("ws://{}/", host.address())).await.expect("a socket");
    flood(socket, COUNT).await;
    upstream.await.expect("all of them");
    assert!(host.peak_rss() < before + (32 << 20), "{} after {before}", host.peak_rss());
}

/// Opens so many sockets, and says something on each of them if `talks`.
async fn open(address: SocketAddr, count: usize, talks: bool) -> Vec<SocketClient> {
    let mut sockets = Vec::new();
    for _ in 0..count {
        let mut socket = SocketClient::open(address, "").await;
        if talks {
            socket.send(TEXT, "x").await;
            assert_eq!(socket.frame().await.shown().1, "x");
        }
        sockets.push(socket);
    }
    sockets
}

/// What one of many idle sockets takes. Many: the allocator takes memory by the MiB.
async fn each(tollgate: &Tollgate, talks: bool) -> u64 {
    const COUNT: usize = 1_000;
    // What there is once for all of them.
    drop(open(tollgate.address(), 200, talks).await);
    let before = tollgate.private_memory();
    let sockets = open(tollgate.address(), COUNT, talks).await;
    let after = tollgate.private_memory();
    drop(sockets);
    after.saturating_sub(before) / COUNT as u64
}

#[tokio::test]
async fn idle_sockets_take_little_memory() {
    // Both ends are here, and the proxy has this limit, too.
    let limit = getrlimit(Resource::Nofile);
    let current = Some(limit.maximum.unwrap_or(u64::MAX).min(8_192));
    setrlimit(Resource::Nofile, Rlimit { current, ..limit }).expect("a limit");
    let origin = sockets("", SocketEnd::echo).await;
    let unseen = each(&Tollgate::before(&origin.url()).await, false).await;
    assert!(unseen < MOST_QUIET, "{unseen} bytes a socket that nobody subscribes to");
    let host = Hosted::before(&origin.url()).scripted("a", &to_messages(&json!([]))).start().await;
    host.settled("a").await;
    for (talks, most) in [(false, MOST_QUIET), (true, MOST_AFTER_MESSAGE)] {
        let each = each(&host, talks).await;
        assert!(each < most, "{each} bytes a socket, talking: {talks}");
    }
}

/// Bytes that an idle socket may take, with room for noise, before a message and after one: then it has an instance.
const MOST_QUIET: u64 = 10 << 10;
const MOST_AFTER_MESSAGE: u64 = 96 << 10;

fn compressed(text: &str) -> Vec<u8> {
    let mut made = Vec::with_capacity(text.len() + 100);
    let mut coder = flate2::Compress::new(flate2::Compression::fast(), false);
    coder.compress_vec(text.as_bytes(), &mut made, flate2::FlushCompress::Sync).expect("compressed");
    made.truncate(made.len() - 4);
    made
}

fn inflated(data: &[u8]) -> String {
    let mut plain = Vec::with_capacity(9 << 20);
    let mut decoder = flate2::Decompress::new(false);
    decoder
        .decompress_vec(&[data, &[0, 0, 0xff, 0xff]].concat(), &mut plain, flate2::FlushDecompress::Sync)
        .expect("compression");
    String::from_utf8(plain).expect("text")
}

#[tokio::test]
async fn long_messages_are_inflated_beside_others() {
    let script = to_messages(&json!([{"message": {"from-client": [{"message": "upper"}]}}]));
    let origin = sockets(AGREED, SocketEnd::echo).await;
    let host = Hosted::before(&origin.url()).scripted("a", &script).start().await;
    let mut client = SocketClient::open(host.address(), "Sec-WebSocket-Extensions: permessage-deflate\r\n").await;
    // Near the cap of 10 MiB, of much and of little that repeats; whole, and in pieces with a ping after the first.
    for plain in [text(8 << 20), text(1 << 10).repeat(8 << 10)] {
        let bytes = compressed(&plain);
        client.send(0xc1, &bytes).await;
        assert!(inflated(&client.frame().await.payload) == plain.to_uppercase());
        let (first, rest) = bytes.split_at(bytes.len() / 2);
        client.send(0x41, first).await;
        client.send(PING, "between").await;
        assert_eq!(client.frame().await.shown().1, "between");
        client.send(0x80, rest).await;
        assert!(inflated(&client.frame().await.payload) == plain.to_uppercase());
    }
    client.send(0x88, close_payload(1000, "")).await;
    assert_eq!(client.frame().await.code(), 1000);
}

#[tokio::test]
async fn a_close_behind_a_long_message_waits_for_it() {
    let origin = sockets(AGREED, SocketEnd::echo).await;
    let host = Hosted::before(&origin.url()).scripted("a", &to_messages(&json!([{"message": "upper"}]))).start().await;
    let mut client = SocketClient::open(host.address(), "Sec-WebSocket-Extensions: permessage-deflate\r\n").await;
    let plain = text(1 << 20);
    let short = compressed("short");
    let both = [from_client(0xc1, compressed(&plain)), from_client(0xc1, short), from_client(0x88, close_payload(1000, ""))];
    client.send_raw(both.concat()).await;
    assert!(inflated(&client.frame().await.payload) == plain.to_uppercase());
    assert_eq!(inflated(&client.frame().await.payload), "SHORT");
    assert_eq!(client.frame().await.code(), 1000);
    client.expect_end().await;
}
