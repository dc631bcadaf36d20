//! Event streams whose events hooks decide about.
#![cfg(test)]

use std::{
    io::{Read as _, Write as _},
    sync::Arc,
};

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tollgate_tests::{Client, RawClient, RawOrigin, Version, addons::Hosted, eventually};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n";
const END: &[u8] = b"0\r\n\r\n";

/// Does this with each event.
fn to_events(actions: &Value) -> Value {
    json!({"rules": [{"on": "sse-event", "do": actions}]})
}

fn head(fields: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n{fields}Transfer-Encoding: chunked\r\n\r\n")
}

fn chunk(data: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat()
}

/// An origin that sends this stream, and no more.
async fn streaming(stream: &'static str) -> RawOrigin {
    RawOrigin::answering([head("ETag: \"x\"\r\n").as_bytes(), &chunk(stream.as_bytes()), END].concat()).await
}

/// An origin that sends these pieces, each when there is a permit for it.
async fn paced(fields: &'static str, pieces: Vec<Vec<u8>>) -> (RawOrigin, Arc<Semaphore>) {
    let permits = Arc::new(Semaphore::new(0));
    let (shared, pieces) = (Arc::clone(&permits), Arc::new(pieces));
    let origin = RawOrigin::start(move |mut conversation| {
        let (permits, pieces) = (Arc::clone(&shared), Arc::clone(&pieces));
        async move {
            while conversation.request().await.is_some() {
                let _ = conversation.send(head(fields)).await;
                for piece in &*pieces {
                    permits.acquire().await.expect("a permit").forget();
                    let _ = conversation.send(chunk(piece)).await;
                }
                permits.acquire().await.expect("a permit").forget();
                let _ = conversation.send(END).await;
            }
        }
    })
    .await;
    (origin, permits)
}

/// What the client gets of this stream.
async fn through(stream: &'static str, script: &Value) -> String {
    let origin = streaming(stream).await;
    let host = Hosted::before(&origin.url()).scripted("a", script).start().await;
    RawClient::ask(host.address(), GET).await.text()
}

const STREAM: &str =
    ": hello\n\nevent: add\ndata: one\nid: 1\n: inside\nretry: 5\n\n:beat\ndata: two\r\n\r\ndata\n\nother: x\n\ndata: cut";

#[tokio::test]
async fn what_is_not_edited_keeps_its_bytes() {
    assert_eq!(through(STREAM, &to_events(&json!([]))).await, STREAM);
}

#[tokio::test]
async fn events_are_shown_and_replaced() {
    let script = to_events(&json!([{"message": {"text": "{event}|{event-id}|{retry}|{data}"}}]));
    let expected = ": hello\n\n: inside\nevent: add\nid: 1\nretry: 5\ndata: add|1|5|one\n\n\
                    :beat\ndata: none|none|none|two\n\ndata: none|none|none|\n\nother: x\n\ndata: none|none|none|cut\n\n";
    assert_eq!(through(STREAM, &script).await, expected);
    let script = to_events(&json!([{"message": {"fields": ["new", "9", 7]}}]));
    assert_eq!(through("data: x\ndata: y\n\n", &script).await, "event: new\nid: 9\nretry: 7\ndata: x\ndata: y\n\n");
}

#[tokio::test]
async fn dropped_events_leave_their_comments() {
    let script = to_events(&json!([{"message": {"holding": ["o", [{"message": "discard"}]]}}]));
    assert_eq!(through(STREAM, &script).await, ": hello\n\n: inside\n:beat\ndata\n\nother: x\n\ndata: cut");
    assert_eq!(through("data: no\r\n\r\ndata: x\r\rdata: no\r\r", &script).await, "data: x\r\r");
}

#[tokio::test]
async fn an_addon_ends_a_stream_in_good_order() {
    let script = to_events(&json!([{"message": {"holding": ["last", [{"message": "end"}, {"message": "upper"}]]}}]));
    let (origin, permits) = paced("", vec![b"data: one\n\n".to_vec(), b"data: last\n\ndata: more\n\n".to_vec()]).await;
    let host = Hosted::before(&origin.url()).scripted("a", &script).start().await;
    permits.add_permits(2);
    // The origin never ends it.
    assert_eq!(RawClient::ask(host.address(), GET).await.text(), "data: one\n\ndata: LAST\n\n");
    // It learns so when it sends more.
    permits.add_permits(1);
    eventually(async || origin.open() == 0).await;
}

#[tokio::test]
async fn other_types_are_no_event_streams() {
    let origin =
        RawOrigin::answering("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\ndata: x\n\n").await;
    let host = Hosted::before(&origin.url()).scripted("a", &to_events(&json!([{"message": "discard"}]))).start().await;
    let answer = RawClient::ask(host.address(), GET).await;
    assert_eq!((answer.text().as_str(), answer.fields.get("content-length")), ("data: x\n\n", Some("9")));
}

/// Compressed so that each part is there at once, or none.
fn coded(coding: &str, parts: &[&str]) -> Vec<Vec<u8>> {
    fn cut<W: std::io::Write>(mut coder: W, parts: &[&str], out: impl Fn(&mut W) -> &mut Vec<u8>) -> Vec<Vec<u8>> {
        let mut pieces = Vec::new();
        for part in parts {
            coder.write_all(part.as_bytes()).expect("coded");
            coder.flush().expect("coded");
            pieces.push(std::mem::take(out(&mut coder)));
        }
        pieces
    }
    match coding {
        "gzip" => cut(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default()), parts, |coder| coder.get_mut()),
        "deflate" => {
            cut(flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default()), parts, |coder| coder.get_mut())
        }
        "br" => cut(brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22), parts, |coder| coder.get_mut()),
        "zstd" => cut(zstd::stream::write::Encoder::new(Vec::new(), 3).expect("a coder"), parts, |coder| coder.get_mut()),
        _ => parts.iter().map(|part| part.as_bytes().to_vec()).collect(),
    }
}

#[tokio::test]
async fn each_event_reaches_the_client_before_the_next_one_is_sent() {
    for (coding, fields) in [
        ("identity", ""),
        ("gzip", "Content-Encoding: gzip\r\n"),
        ("deflate", "Content-Encoding: deflate\r\n"),
        ("br", "Content-Encoding: br\r\n"),
        ("zstd", "Content-Encoding: zstd\r\n"),
    ] {
        let pieces = coded(coding, &["data: one\n\n", ": beat\n", "data: t", "wo\n\n"]);
        let (origin, permits) = paced(fields, pieces).await;
        let host = Hosted::before(&origin.url()).scripted("a", &to_events(&json!([{"message": "upper"}]))).start().await;
        let mut client = RawClient::connect(host.address()).await;
        client.send(GET).await;
        let head = client.response_head().await;
        assert_eq!((head.status, head.fields.get("content-encoding")), (200, None), "{coding}");
        for expected in ["data: ONE\n\n", ": beat\n", "data: TWO\n\n"] {
            permits.add_permits(if expected.ends_with("TWO\n\n") { 2 } else { 1 });
            let mut got = Vec::new();
            while got.len() < expected.len() {
                got.extend_from_slice(&client.piece().await.expect("a piece").expect("more"));
            }
            assert_eq!(String::from_utf8_lossy(&got), expected, "{coding}");
        }
    }
}

#[tokio::test]
async fn both_versions_get_the_same() {
    let origin = streaming("data: a\n\ndata: b\n\n").await;
    let host = Hosted::before(&origin.url()).scripted("a", &to_events(&json!([{"message": "upper"}]))).start().await;
    for version in Version::BOTH {
        assert_eq!(Client::fetch(version, host.address(), "/").await.text(), "data: A\n\ndata: B\n\n");
    }
}

#[tokio::test]
async fn the_cap_is_kept_to() {
    // Each as many bytes as it says, its end included.
    const EVENTS: &str = "data: 12\n\ndata: 123\n\ndata: 1\n\n";
    let script = |body: &str, cap: u64| json!({"rules": [{"on": "sse-event", "body": {body: cap}, "do": [{"message": {"text": "seen"}}]}]});
    let seen = "data: seen\n\n";
    assert_eq!(through(EVENTS, &script("pass-unseen", 9)).await, format!("data: 12\n\ndata: 123\n\n{seen}"));
    assert_eq!(through(EVENTS, &script("pass-unseen", 10)).await, format!("{seen}data: 123\n\n{seen}"));
    assert_eq!(through(EVENTS, &script("pass-unseen", 11)).await, seen.repeat(3));
    assert_eq!(through(EVENTS, &script("refuse", 11)).await, seen.repeat(3));
    let origin = streaming(EVENTS).await;
    let host = Hosted::before(&origin.url()).scripted("a", &script("refuse", 10)).start().await;
    let mut client = RawClient::connect(host.address()).await;
    client.send(GET).await;
    assert!(client.try_response("GET").await.is_err(), "not broken off");
}

#[tokio::test]
async fn a_failed_hook_breaks_the_stream_off_or_lets_the_rest_pass() {
    for on_error in ["closed", "open"] {
        let script = to_events(&json!([{"message": "upper"}, {"message": {"holding": ["bad", ["trap"]]}}]));
        let origin = streaming("data: a\n\ndata: bad\n\ndata: c\n\n").await;
        let host = Hosted::before(&origin.url()).scripted("a", &script).set("addon.a.on_error", on_error).start().await;
        let mut client = RawClient::connect(host.address()).await;
        client.send(GET).await;
        assert_eq!(client.response_head().await.status, 200);
        let mut got = Vec::new();
        let ended = loop {
            match client.piece().await {
                Ok(Some(piece)) => got.extend_from_slice(&piece),
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        let expected = if on_error == "open" { "data: A\n\ndata: bad\n\ndata: c\n\n" } else { "data: A\n\n" };
        assert_eq!((String::from_utf8_lossy(&got).as_ref(), ended), (expected, on_error == "open"), "{on_error}");
    }
}

#[tokio::test]
async fn who_may_only_look_changes_nothing() {
    let script = to_events(&json!([{"log": "saw {data}"}, {"message": {"holding": ["edit", [{"message": "upper"}]]}}]));
    let origin = streaming("data: a\n\ndata: edit\n\n").await;
    let host = Hosted::before(&origin.url()).scripted("a", &script).set("addon.a.edit", false).start().await;
    let mut client = RawClient::connect(host.address()).await;
    client.send(GET).await;
    let head = client.response_head().await;
    assert_eq!(head.fields.get("etag"), Some("\"x\""));
    assert_eq!(client.piece().await.expect("a piece").as_deref(), Some(&b"data: a\n\n"[..]));
    assert!(client.piece().await.is_err(), "an edit that is not granted fails closed");
    host.logged("saw a").await;
}

#[tokio::test]
async fn finish_and_ledger_tell_of_events() {
    let script = json!({"rules": [
        {"on": "sse-event", "do": [
            {"message": {"holding": ["one", [{"message": "upper"}]]}},
            {"message": {"holding": ["two", [{"message": "discard"}]]}},
        ]},
        {"on": "finish", "do": [{"log": "{seen} {mutations}"}]},
    ]});
    let origin = streaming("data: one\n\ndata: two\n\ndata: three\n\n").await;
    let host = Hosted::before(&origin.url()).scripted("a", &script).start().await;
    assert_eq!(RawClient::ask(host.address(), GET).await.text(), "data: ONE\n\ndata: three\n\n");
    host.logged("from_upstream: 3, edited: 1, dropped: 1").await;
    host.logged("messages of the response: 1 edited, 1 dropped").await;
}

#[tokio::test]
async fn bombs_do_not_get_in() {
    let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    coder.write_all(b"data: ").expect("coded");
    for _ in 0..64 {
        coder.write_all(&vec![b'a'; 1 << 20]).expect("coded");
    }
    let bomb = coder.finish().expect("coded");
    let mut plain = Vec::new();
    assert!(flate2::read::GzDecoder::new(&bomb[..]).take(100).read_to_end(&mut plain).is_ok());
    let (origin, permits) = paced("Content-Encoding: gzip\r\n", vec![bomb]).await;
    permits.add_permits(2);
    let host = Hosted::before(&origin.url()).scripted("a", &to_events(&json!([{"message": "upper"}]))).start().await;
    let before = host.settled("a").await;
    let mut client = RawClient::connect(host.address()).await;
    client.send(GET).await;
    assert!(client.try_response("GET").await.is_err(), "a bomb came through");
    assert!(host.peak_rss() < before + (32 << 20), "{} after {before}", host.peak_rss());
}
