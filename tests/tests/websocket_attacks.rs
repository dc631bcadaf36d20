//! WebSockets of which one side breaks the rules, and what the other side is told.
#![cfg(test)]

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tollgate_tests::{
    RawClient, RawOrigin, SocketClient, SocketEnd, SocketFrame, Tollgate, addons::Hosted, close_payload, from_client,
    from_server, sockets,
};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
const AGREED: &str = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n";

fn script(body: Option<&Value>, actions: &Value) -> Value {
    json!({"rules": [{"on": "websocket-message", "body": body, "do": actions}]})
}

/// An origin that tells what it gets, of every connection, and sends nothing but what comes of `speech`.
async fn listening(fields: &'static str, speech: &'static [u8]) -> (RawOrigin, mpsc::UnboundedReceiver<SocketFrame>) {
    let (told, heard) = mpsc::unbounded_channel();
    let origin = sockets(fields, move |mut end: SocketEnd| {
        let told = told.clone();
        async move {
            end.send_raw(speech).await;
            while let Some(frame) = end.next().await {
                let _ = told.send(frame);
            }
        }
    })
    .await;
    (origin, heard)
}

#[tokio::test]
async fn clients_that_break_the_rules_are_told_so() {
    let (origin, mut heard) = listening("", b"").await;
    let host = Hosted::before(&origin.url()).scripted("a", &script(None, &json!([]))).start().await;
    let fragment = |first: u8, text: &str| from_client(first, text);
    let cases: &[(&str, Vec<u8>, u16)] = &[
        ("no mask", from_server(TEXT, "x"), 1002),
        ("RSV1 without compression", from_client(0xc1, "x"), 1002),
        ("RSV2", from_client(0xa1, "x"), 1002),
        ("RSV3", from_client(0x91, "x"), 1002),
        ("opcode 3", from_client(0x83, "x"), 1002),
        ("opcode 11", from_client(0x8b, "x"), 1002),
        ("opcode 15", from_client(0x8f, "x"), 1002),
        ("a ping of 126 bytes", from_client(0x89, [0; 126]), 1002),
        ("a ping in fragments", from_client(0x09, "x"), 1002),
        ("a continuation of nothing", from_client(0x80, "x"), 1002),
        ("interleaved", [fragment(0x01, "x"), fragment(0x81, "y")].concat(), 1002),
        ("a length of 64 bits", b"\x82\xff\x80\0\0\0\0\0\0\0".to_vec(), 1002),
        ("125 bytes in 16 bits", b"\x82\xfe\0\x7d".to_vec(), 1002),
        ("300 bytes in 64 bits", b"\x82\xff\0\0\0\0\0\0\x01\x2c".to_vec(), 1002),
        ("close code 999", from_client(CLOSE, close_payload(999, "")), 1002),
        ("close code 1005", from_client(CLOSE, close_payload(1005, "")), 1002),
        ("close code 1006", from_client(CLOSE, close_payload(1006, "")), 1002),
        ("half a close code", from_client(CLOSE, [3]), 1002),
        ("a reason that is no UTF-8", from_client(CLOSE, b"\x03\xe8\xff"), 1007),
        ("no UTF-8", from_client(TEXT, b"\xc0\x80"), 1007),
        ("no UTF-8, over fragments", [from_client(0x01, b"\xe2\x82"), from_client(0x80, b"a")].concat(), 1007),
        ("half a character", [from_client(0x01, b"a"), from_client(0x80, b"\xe2\x82")].concat(), 1007),
    ];
    for (what, bytes, code) in cases {
        let mut client = SocketClient::open(host.address(), "").await;
        client.send_raw(bytes).await;
        assert_eq!(client.frame().await.code(), *code, "{what}");
        client.expect_end().await;
        let told = heard.recv().await.expect("a frame");
        assert_eq!((told.code(), heard.try_recv().ok()), (1001, None), "{what}");
    }
}

#[tokio::test]
async fn origins_that_break_the_rules_are_told_so() {
    for (speech, code) in [
        (&b"\x81\x81\x01\x02\x03\x04x"[..], 1002),
        (b"\xc1\x01x", 1002),
        (b"\x81\x01\xff", 1007),
        (b"\x88\x02\x03\xee", 1002),
        (b"HTTP/1.1 200 OK\r\n\r\n", 1002),
    ] {
        let (origin, mut heard) = listening("", speech).await;
        let host = Hosted::before(&origin.url()).scripted("a", &script(None, &json!([]))).start().await;
        let mut client = SocketClient::open(host.address(), "").await;
        assert_eq!((client.frame().await.code(), heard.recv().await.expect("a frame").code()), (1014, code), "{speech:?}");
        client.expect_end().await;
    }
}

#[tokio::test]
async fn a_dead_origin_closes_the_client() {
    for is_reset in [false, true] {
        let origin = sockets("", move |mut end: SocketEnd| async move {
            end.send(TEXT, "last words").await;
            let _ = end.next().await;
            if is_reset { end.reset() } else { end.close().await }
        })
        .await;
        let host = Hosted::before(&origin.url()).scripted("a", &script(None, &json!([]))).start().await;
        let mut client = SocketClient::open(host.address(), "").await;
        assert_eq!(client.frame().await.shown(), (TEXT, "last words".to_owned()));
        client.send(TEXT, "go").await;
        assert_eq!(client.frame().await.code(), 1014);
        client.expect_end().await;
    }
}

#[tokio::test]
async fn a_dead_client_closes_the_origin() {
    let (origin, mut heard) = listening("", b"").await;
    let host = Hosted::before(&origin.url()).scripted("a", &script(None, &json!([]))).start().await;
    for is_reset in [false, true] {
        let mut client = SocketClient::open(host.address(), "").await;
        // In the middle of a message that nobody will see.
        client.send(0x01, "half").await;
        if is_reset {
            client.reset();
        } else {
            drop(client);
        }
        assert_eq!(heard.recv().await.expect("a frame").code(), 1001);
    }
}

#[tokio::test]
async fn heads_may_be_cut_at_each_byte() {
    let (origin, mut heard) = listening("", b"").await;
    let host = Hosted::before(&origin.url()).scripted("a", &script(None, &json!([{"message": "upper"}]))).start().await;
    let mut client = SocketClient::open(host.address(), "").await;
    for length in [1_usize, 130, 70_000] {
        let frame = from_client(BINARY, vec![b'a'; length]);
        for byte in &frame[..16.min(frame.len())] {
            client.send_raw([*byte]).await;
        }
        client.send_raw(frame.get(16..).unwrap_or_default()).await;
        assert!(heard.recv().await.expect("a frame").payload == vec![b'A'; length], "{length}");
    }
}

#[tokio::test]
async fn a_length_of_63_bits_takes_no_memory() {
    let (origin, _heard) = listening("", b"").await;
    let script = script(Some(&json!({"pass-unseen": 1000})), &json!([{"message": "upper"}]));
    let host = Hosted::before(&origin.url()).scripted("a", &script).start().await;
    let (before, memory) = (origin.received(), host.settled("a").await);
    let mut client = SocketClient::open(host.address(), "").await;
    client.send_raw(b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0").await;
    for _ in 0..64 {
        client.send_raw(vec![0; 1 << 20]).await;
    }
    tollgate_tests::eventually(async || origin.received() > before + (64 << 20)).await;
    assert!(host.peak_rss() < memory + (32 << 20), "{} after {memory}", host.peak_rss());
}

#[tokio::test]
async fn caps_are_kept_to() {
    for (body, length, is_seen) in
        [("refuse", 9, true), ("refuse", 10, true), ("refuse", 11, false), ("pass-unseen", 10, true), ("pass-unseen", 11, false)]
    {
        let (origin, mut heard) = listening("", b"").await;
        let script = script(Some(&json!({body: 10})), &json!([{"message": {"text": "seen"}}]));
        let host = Hosted::before(&origin.url()).scripted("a", &script).start().await;
        let mut client = SocketClient::open(host.address(), "").await;
        // In fragments, so that it is over the cap in the middle.
        client.send(0x01, "a".repeat(5)).await;
        client.send(0x80, "a".repeat(length - 5)).await;
        match (body, is_seen) {
            (_, true) => assert_eq!(heard.recv().await.expect("a frame").shown(), (TEXT, "seen".to_owned())),
            ("refuse", false) => {
                assert_eq!((client.frame().await.code(), heard.recv().await.expect("a frame").code()), (1009, 1001));
            }
            _ => {
                let mut got = Vec::new();
                loop {
                    let frame = heard.recv().await.expect("a frame");
                    got.extend_from_slice(&frame.payload);
                    if frame.first & 0x80 != 0 {
                        break;
                    }
                }
                assert_eq!(got, vec![b'a'; length]);
            }
        }
    }
}

#[tokio::test]
async fn deflate_bombs_are_too_large() {
    let (origin, mut heard) = listening(AGREED, b"").await;
    let host = Hosted::before(&origin.url()).scripted("a", &script(None, &json!([{"message": "upper"}]))).start().await;
    let before = host.settled("a").await;
    let mut client = SocketClient::open(host.address(), OFFER).await;
    let mut coder = flate2::Compress::new(flate2::Compression::best(), false);
    let mut bomb = Vec::with_capacity(1 << 20);
    coder.compress_vec(&vec![0; 64 << 20], &mut bomb, flate2::FlushCompress::Sync).expect("compressed");
    bomb.truncate(bomb.len() - 4);
    client.send(0xc2, bomb).await;
    assert_eq!((client.frame().await.code(), heard.recv().await.expect("a frame").code()), (1009, 1001));
    assert!(host.peak_rss() < before + (32 << 20), "{} after {before}", host.peak_rss());
}

#[tokio::test]
async fn no_form_of_a_request_gets_past_the_hooks() {
    const KEY: &str = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let (origin, _heard) = listening("", b"").await;
    let host = Hosted::before(&origin.url()).scripted("a", &script(None, &json!([{"message": "discard"}]))).start().await;
    for (method, protocols, key, sent) in [
        ("POST", "websocket", KEY, None),
        ("PUT", "websocket", KEY, None),
        ("GET", "foo", KEY, Some("foo")),
        ("GET", "websocket/13", KEY, None),
        ("GET", "websocket", "", None),
        ("GET", "foo, WebSocket", "", Some("foo")),
    ] {
        let mut client = RawClient::connect(host.address()).await;
        let head = format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: Upgrade\r\n");
        client.send(format!("{head}Upgrade: {protocols}\r\n{key}\r\n")).await;
        assert_eq!(client.response_head().await.status, 502, "{method} {protocols} {key:?}");
        let requests = origin.requests();
        assert_eq!(requests.last().expect("a request").fields.get("upgrade"), sent, "{method} {protocols} {key:?}");
    }
}

#[tokio::test]
async fn origins_switch_to_what_was_offered_alone() {
    let (origin, _heard) = listening("", b"").await;
    let tollgate = Tollgate::before(&origin.url()).await;
    for (protocols, status) in [("websocket", 101), ("foo, WEBSOCKET", 101), ("foo", 502), ("websocket/13", 502)] {
        let mut client = RawClient::connect(tollgate.address()).await;
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: {protocols}\r\n\r\n")).await;
        assert_eq!(client.response_head().await.status, status, "{protocols}");
    }
}

#[tokio::test]
async fn compressed_bytes_of_nothing_are_capped() {
    let blocks = b"\x00\x00\x00\xff\xff".repeat(100_000);
    for body in ["refuse", "pass-unseen"] {
        let (origin, mut heard) = listening(AGREED, b"").await;
        let script = script(Some(&json!({body: 1000})), &json!([{"message": "upper"}]));
        let host = Hosted::before(&origin.url()).scripted("a", &script).start().await;
        let mut client = SocketClient::open(host.address(), OFFER).await;
        client.send(0x42, &blocks).await;
        if body == "refuse" {
            assert_eq!((client.frame().await.code(), heard.recv().await.expect("a frame").code()), (1009, 1001));
        } else {
            // It goes on while its end has not come.
            tollgate_tests::eventually(async || origin.received() > blocks.len()).await;
        }
    }
}

#[tokio::test]
async fn compression_that_begins_anew_all_the_time_is_refused() {
    let (origin, mut heard) = listening(AGREED, b"").await;
    let host = Hosted::before(&origin.url()).scripted("a", &script(None, &json!([{"message": "upper"}]))).start().await;
    let mut client = SocketClient::open(host.address(), OFFER).await;
    client.send(0xc2, b"\x03\x00".repeat(50_000)).await;
    assert_eq!((client.frame().await.code(), heard.recv().await.expect("a frame").code()), (1007, 1001));
}

/// One that waits for so long within a message, and has little room.
async fn waiting(origin: &RawOrigin, body_idle: &str) -> Hosted {
    let host = Hosted::before(&origin.url()).scripted("a", &script(None, &json!([{"message": "upper"}])));
    host.set("timeouts.body_idle", body_idle).set("limits.held_bodies", "64KiB").start().await
}

#[tokio::test]
async fn messages_that_do_not_move_end_the_connection() {
    let (origin, mut heard) = listening("", b"").await;
    let (host, patient) = (waiting(&origin, "300ms").await, waiting(&origin, "none").await);
    let mut silent = SocketClient::open(host.address(), "").await;
    let mut slow = SocketClient::open(patient.address(), "").await;
    slow.send(0x01, "h").await;
    for (what, bytes) in [
        ("half a head", b"\x81".to_vec()),
        ("half a frame", from_client(TEXT, "half")[..8].to_vec()),
        ("half a message", from_client(0x01, "half")),
        ("a ping within a message", [from_client(0x01, "half"), from_client(0x89, "")].concat()),
    ] {
        let mut client = SocketClient::open(host.address(), "").await;
        client.send_raw(bytes).await;
        assert_eq!(client.frame().await.code(), 1008, "{what}");
        client.expect_end().await;
        let mut told = heard.recv().await.expect("a frame");
        if told.first == 0x89 {
            told = heard.recv().await.expect("a frame");
        }
        assert_eq!(told.code(), 1001, "{what}");
    }
    host.logged("the client broke the WebSocket: a message that did not move for too long").await;
    // Between messages there is no hurry, and where there is to be none, not within them, either.
    silent.send(TEXT, "whole").await;
    assert_eq!(heard.recv().await.expect("a frame").shown(), (TEXT, "WHOLE".to_owned()));
    slow.send(0x80, "alf").await;
    assert_eq!(heard.recv().await.expect("a frame").shown(), (TEXT, "HALF".to_owned()));
}

#[tokio::test]
async fn messages_of_origins_that_do_not_move_end_the_connection() {
    let (origin, mut heard) = listening("", b"\x81\x04ha").await;
    let host = waiting(&origin, "300ms").await;
    let mut client = SocketClient::open(host.address(), "").await;
    assert_eq!((client.frame().await.code(), heard.recv().await.expect("a frame").code()), (1014, 1008));
    client.expect_end().await;
}

#[tokio::test]
async fn unfinished_messages_do_not_take_all_room_for_ever() {
    let (origin, mut heard) = listening("", b"").await;
    let host = waiting(&origin, "2s").await;
    let held = async || host.admin().get("/metrics").await.text();
    let mut greedy = SocketClient::open(host.address(), "").await;
    greedy.send(0x02, vec![b'a'; 60_000]).await;
    tollgate_tests::eventually(async || held().await.contains("tollgate_held_bodies_bytes 60000")).await;
    for _ in 0..3 {
        let mut client = SocketClient::open(host.address(), "").await;
        client.send(BINARY, vec![b'a'; 10_000]).await;
        assert_eq!((client.frame().await.code(), heard.recv().await.expect("a frame").code()), (1013, 1001));
    }
    let warnings = || host.logs().matches("limits.held_bodies is used up").count();
    tollgate_tests::eventually(async || warnings() > 0).await;
    assert_eq!((greedy.frame().await.code(), heard.recv().await.expect("a frame").code()), (1008, 1001));
    tollgate_tests::eventually(async || held().await.contains("tollgate_held_bodies_bytes 0")).await;
    let mut client = SocketClient::open(host.address(), "").await;
    client.send(BINARY, vec![b'a'; 10_000]).await;
    assert_eq!(heard.recv().await.expect("a frame").payload, vec![b'A'; 10_000]);
    assert_eq!(warnings(), 1);
}
