//! What hooks of WebSockets may do, what they may not, and what becomes of sockets when they fail.
#![cfg(test)]

use serde_json::{Value, json};
use tollgate_tests::{RawOrigin, SocketClient, SocketEnd, addons::Hosted, close_payload, eventually, sockets};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const OFFER: &str =
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-other\r\nSec-WebSocket-Protocol: chat\r\n";
const ASKED: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
const AGREED: &str = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\nSec-WebSocket-Protocol: chat\r\n";

fn to_messages(actions: &Value) -> Value {
    json!({"rules": [{"on": "websocket-message", "do": actions}]})
}

async fn echoing() -> RawOrigin {
    sockets("", SocketEnd::echo).await
}

fn compressed(text: &str) -> Vec<u8> {
    let mut made = Vec::with_capacity(text.len() + 100);
    let mut coder = flate2::Compress::new(flate2::Compression::best(), false);
    coder.compress_vec(text.as_bytes(), &mut made, flate2::FlushCompress::Sync).expect("compressed");
    made.truncate(made.len() - 4);
    made
}

fn inflated(data: &[u8]) -> String {
    let mut plain = Vec::with_capacity(1 << 20);
    let mut decoder = flate2::Decompress::new(false);
    let whole = [data, &[0, 0, 0xff, 0xff]].concat();
    decoder.decompress_vec(&whole, &mut plain, flate2::FlushDecompress::Sync).expect("compression");
    String::from_utf8(plain).expect("text")
}

#[tokio::test]
async fn compression_is_agreed_on_and_undone() {
    let script = to_messages(&json!([{"message": {"holding": ["edit", [{"message": "upper"}]]}}]));
    let origin = sockets(AGREED, SocketEnd::echo).await;
    let host = Hosted::before(&origin.url()).scripted("a", &script).start().await;
    let mut client = SocketClient::open(host.address(), OFFER).await;
    assert_eq!(client.response.fields.get("sec-websocket-extensions"), Some(ASKED));
    assert_eq!(client.response.fields.get("sec-websocket-protocol"), Some("chat"));
    assert_eq!(origin.only_request().fields.get("sec-websocket-extensions"), Some(ASKED));
    // What is not edited keeps its bytes.
    let same = compressed("left as it is, left as it is");
    client.send(0xc1, &same).await;
    let frame = client.frame().await;
    assert_eq!((frame.first, &frame.payload), (0xc1, &same));
    client.send(0xc1, compressed("edit this, edit this")).await;
    let frame = client.frame().await;
    assert_eq!((frame.first, inflated(&frame.payload).as_str()), (0xc1, "EDIT THIS, EDIT THIS"));
    // Plain ones stay plain.
    client.send(TEXT, "edit that").await;
    assert_eq!(client.frame().await.shown(), (TEXT, "EDIT THAT".to_owned()));
    client.send(0x41, &same[..5]).await;
    client.send(0x80, &same[5..]).await;
    assert_eq!(client.frame().await.payload, same);
}

#[tokio::test]
async fn a_small_window_of_the_client_is_kept_to() {
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9\r\n";
    let origin = sockets(AGREED, SocketEnd::echo).await;
    let host = Hosted::before(&origin.url()).scripted("a", &to_messages(&json!([]))).start().await;
    let mut client = SocketClient::open(host.address(), offer).await;
    let answer = client.response.fields.get("sec-websocket-extensions").map(str::to_owned);
    assert_eq!(answer, Some(format!("{ASKED}; server_max_window_bits=9")));
    for (length, first) in [(512, 0xc1), (513, 0x81)] {
        client.send(0xc1, compressed(&"a".repeat(length))).await;
        assert_eq!(client.frame().await.first, first, "{length}");
    }
}

#[tokio::test]
async fn upstreams_that_switch_to_something_else_are_refused() {
    for fields in [
        "Sec-WebSocket-Extensions: x-other\r\n",
        "Sec-WebSocket-Extensions: permessage-deflate\r\n",
        "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_max_window_bits=9\r\n",
        "Sec-WebSocket-Accept: AAAA\r\n",
    ] {
        let origin = sockets(fields, SocketEnd::echo).await;
        let host = Hosted::before(&origin.url()).scripted("a", &to_messages(&json!([]))).start().await;
        let client = SocketClient::offer(host.address(), "/", OFFER).await;
        assert_eq!(client.response.status, 502, "{fields}");
    }
}

#[tokio::test]
async fn a_failed_hook_closes_both_sides_or_lets_messages_pass() {
    for failure in [
        json!("trap"),
        json!({"fail": "no"}),
        json!("spin"),
        json!({"message": {"close": [1005, ""]}}),
        json!({"message": {"bytes": [255]}}),
    ] {
        let script = to_messages(
            &json!([{"message": {"holding": ["bad", [failure.clone()]]}}, {"message": {"holding": ["good", [{"message": "upper"}]]}}]),
        );
        for on_error in ["closed", "open"] {
            let origin = echoing().await;
            let host = Hosted::before(&origin.url()).scripted("a", &script).set("addon.a.on_error", on_error).start().await;
            let mut other = SocketClient::open(host.address(), "").await;
            let mut client = SocketClient::open(host.address(), "").await;
            for socket in [&mut client, &mut other] {
                socket.send(TEXT, "good").await;
                assert_eq!(socket.frame().await.shown().1, "GOOD");
            }
            client.send(TEXT, "bad").await;
            if on_error == "open" {
                assert_eq!(client.frame().await.shown(), (TEXT, "bad".to_owned()), "{failure}");
                client.send(TEXT, "good").await;
                assert_eq!(client.frame().await.shown().1, "good", "{failure}");
            } else {
                assert_eq!(client.frame().await.code(), 1011, "{failure}");
                client.expect_end().await;
            }
            other.send(TEXT, "good").await;
            assert_eq!(other.frame().await.shown().1, "GOOD", "{failure}");
        }
    }
}

#[tokio::test]
async fn a_message_does_not_wait_for_the_hook_of_the_next_one() {
    let script = to_messages(&json!([{"message": {"holding": ["slow", [{"wait": 600_000}]]}}]));
    let origin = echoing().await;
    let host = Hosted::before(&origin.url()).scripted("a", &script).set("addon.a.wall", "600s").start().await;
    let mut client = SocketClient::open(host.address(), "").await;
    let both = [tollgate_tests::from_client(TEXT, "quick"), tollgate_tests::from_client(TEXT, "slow")].concat();
    client.send_raw(both).await;
    eventually(async || origin.received() > 0 && origin.seen()[0].windows(4).any(|bytes| bytes.starts_with(&[TEXT, 0x85]))).await;
}

#[tokio::test]
async fn who_may_only_look_changes_nothing() {
    for (action, is_let) in
        [(json!({"log": "saw {data}"}), true), (json!({"message": "upper"}), false), (json!({"message": "discard"}), false)]
    {
        let origin = echoing().await;
        let host =
            Hosted::before(&origin.url()).scripted("a", &to_messages(&json!([action]))).set("addon.a.edit", false).start().await;
        let mut client = SocketClient::open(host.address(), "").await;
        client.send(TEXT, "x").await;
        let frame = client.frame().await;
        if is_let {
            assert_eq!(frame.shown(), (TEXT, "x".to_owned()));
            host.logged("saw x").await;
        } else {
            assert_eq!(frame.code(), 1011, "{action}");
        }
    }
}

#[tokio::test]
async fn floods_of_both_sides_do_not_stop_each_other() {
    const COUNT: usize = 2_000;
    let origin = sockets("", |mut end: SocketEnd| async move {
        for _ in 0..COUNT {
            end.send(BINARY, vec![b'u'; 1_000]).await;
            assert_eq!(end.next().await.expect("a frame").payload.len(), 1_000);
        }
        end.send(TEXT, "all of it").await;
    })
    .await;
    let host = Hosted::before(&origin.url()).scripted("a", &to_messages(&json!([{"message": "upper"}]))).start().await;
    let before = host.settled("a").await;
    let mut client = SocketClient::open(host.address(), "").await;
    for _ in 0..COUNT {
        client.send(BINARY, vec![b'c'; 1_000]).await;
        assert_eq!(client.frame().await.payload[0], b'U');
    }
    assert_eq!(client.frame().await.shown().1, "ALL OF IT");
    assert!(host.peak_rss() < before + (32 << 20), "{} after {before}", host.peak_rss());
}

#[tokio::test]
async fn what_is_not_read_is_not_held() {
    const MESSAGES: usize = 128;
    let origin = sockets("", |mut end: SocketEnd| async move {
        for _ in 0..MESSAGES {
            end.send(BINARY, vec![b'u'; 1 << 20]).await;
        }
        let _ = end.next().await;
    })
    .await;
    let host = Hosted::before(&origin.url()).scripted("a", &to_messages(&json!([]))).start().await;
    let before = host.settled("a").await;
    let mut client = SocketClient::open(host.address(), "").await;
    // As long as it would take to have much more, if it were taken.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    for _ in 0..MESSAGES {
        assert_eq!(client.frame().await.payload.len(), 1 << 20);
    }
    assert!(host.peak_rss() < before + (48 << 20), "{} after {before}", host.peak_rss());
}

#[tokio::test]
async fn open_sockets_keep_their_generation() {
    let tag = |tag: &str| to_messages(&json!([{"message": {"text": format!("{tag}{{seen-so-far}}")}}]));
    let origin = echoing().await;
    let host = Hosted::before(&origin.url()).scripted("a", &tag("old")).start().await;
    let mut old = SocketClient::open(host.address(), "").await;
    old.send(TEXT, "x").await;
    assert_eq!(old.frame().await.shown().1, "old2");
    host.write_options("a", &tag("new"));
    let mut new = None;
    while new.is_none() {
        let mut socket = SocketClient::open(host.address(), "").await;
        socket.send(TEXT, "x").await;
        new = Some(socket.frame().await.shown().1).filter(|shown| shown == "new2");
    }
    old.send(TEXT, "x").await;
    assert_eq!(old.frame().await.shown().1, "old4");
}

#[tokio::test]
async fn finish_and_ledger_tell_of_messages() {
    let script = json!({"rules": [
        {"on": "websocket-message", "do": [
            {"message": {"holding": ["edit", [{"message": "upper"}]]}},
            {"message": {"holding": ["drop", [{"message": "discard"}]]}},
        ]},
        {"on": "finish", "do": [{"log": "{complete} {seen} {mutations}"}]},
    ]});
    let origin = echoing().await;
    let host = Hosted::before(&origin.url()).scripted("a", &script).start().await;
    let mut client = SocketClient::open(host.address(), "").await;
    for text in ["plain", "drop", "edit"] {
        client.send(TEXT, text).await;
    }
    for text in ["plain", "EDIT"] {
        assert_eq!(client.frame().await.shown().1, text);
    }
    client.send(CLOSE, close_payload(3333, "")).await;
    assert_eq!(client.frame().await.code(), 3333);
    client.expect_end().await;
    host.logged("true MessageCounts { from_client: 3, from_upstream: 2, edited: 1, dropped: 1, close_code: Some(3333) }").await;
    host.logged("messages of the request: 1 edited, 1 dropped").await;
}

#[tokio::test]
async fn subscriptions_have_filters_and_caps_that_make_sense() {
    for (rule, why) in [
        (json!({"on": "websocket-message", "body": {"truncate": 5}}), "are not truncated"),
        (json!({"on": "sse-event", "body": {"truncate": 5}}), "are not truncated"),
        (json!({"on": "websocket-message", "filter": "~b x"}), "which this event does not have"),
        (json!({"on": "websocket-message", "body": {"refuse": 11 << 20}}), "over max_body"),
    ] {
        let origin = echoing().await;
        let host = Hosted::before(&origin.url()).scripted("a", &json!({"rules": [rule]})).start().await;
        assert!(host.admin().refused("a").await.contains(why), "{rule}");
    }
}

#[tokio::test]
async fn clients_of_forward_listeners_have_hooks_too() {
    let origin = echoing().await;
    let host = Hosted::before(&origin.url())
        .scripted("a", &to_messages(&json!([{"message": "upper"}])))
        .with(|builder| builder.forward("forward"))
        .start()
        .await;
    let mut client = SocketClient::offer(host.address_of("forward"), &format!("{}/socket", origin.url()), "").await;
    assert_eq!(client.response.status, 101);
    client.send(TEXT, "x").await;
    assert_eq!(client.frame().await.shown().1, "X");
    assert_eq!(origin.targets(), ["/socket"]);
}

#[tokio::test]
async fn a_stop_closes_both_sides() {
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
    let mut host = Hosted::before(&origin.url()).scripted("a", &to_messages(&json!([]))).start().await;
    let mut client = SocketClient::open(host.address(), "").await;
    client.send(TEXT, "x").await;
    assert_eq!(heard.recv().await.expect("a frame").shown().1, "x");
    host.terminate();
    assert_eq!((client.frame().await.code(), heard.recv().await.expect("a frame").code()), (1001, 1001));
    client.send(CLOSE, close_payload(1001, "")).await;
    client.expect_end().await;
    assert_eq!(host.ended().await.code(), Some(0));
}
