//! Bodies stream: a gigabyte passes through a small process, nothing waits for its end, and who does not read stops the other
//! side from sending.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::SeqCst},
};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde_json::json;
use tokio::sync::Notify;
use tollgate_tests::{Client, RawClient, RawOrigin, Tollgate, Version, addons::Hosted, channel, empty, eventually, within};

const GIB: u64 = 1 << 30;
/// What the process may occupy, whatever passes through it.
const MEMORY: u64 = 100 << 20;
/// What may be on its way with nobody reading: buffers of the system on three connections, and our own.
const IN_FLIGHT: u64 = 32 << 20;
const PIECE: usize = 256 * 1024;

#[track_caller]
fn assert_small(tollgate: &Tollgate) {
    let peak = tollgate.peak_rss();
    assert!(peak < MEMORY, "{} MiB", peak >> 20);
}

/// An origin that counts what it reads, and answers when that is over. It starts to read when it is told to.
async fn reading_origin(count: &Arc<AtomicU64>, start: &Arc<Notify>) -> RawOrigin {
    let (count, start) = (Arc::clone(count), Arc::clone(start));
    RawOrigin::start(move |mut conversation| {
        let (count, start) = (Arc::clone(&count), Arc::clone(&start));
        async move {
            if conversation.head().await.is_none() {
                return;
            }
            start.notified().await;
            while let Ok(Some(piece)) = conversation.piece().await {
                count.fetch_add(piece.len() as u64, SeqCst);
            }
            let _ = conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            conversation.take_all().await;
        }
    })
    .await
}

/// An origin that sends so many bytes and counts them; the first piece at once, the rest when it is told to.
async fn sending_origin(total: u64, count: &Arc<AtomicU64>, go_on: &Arc<Notify>) -> RawOrigin {
    let (count, go_on) = (Arc::clone(count), Arc::clone(go_on));
    RawOrigin::start(move |mut conversation| {
        let (count, go_on) = (Arc::clone(&count), Arc::clone(&go_on));
        async move {
            if conversation.request().await.is_none() {
                return;
            }
            let _ = conversation.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n")).await;
            let piece = vec![b'x'; PIECE];
            for number in 0..total / PIECE as u64 {
                if number == 1 {
                    go_on.notified().await;
                }
                if conversation.send(&piece).await.is_err() {
                    return;
                }
                count.fetch_add(PIECE as u64, SeqCst);
            }
            conversation.take_all().await;
        }
    })
    .await
}

/// Waits until a count stands still: then whoever counts is held up.
async fn at_rest(count: &AtomicU64) -> u64 {
    let mut before = u64::MAX;
    eventually(async || {
        let now = count.load(SeqCst);
        let is_still = now == before;
        before = now;
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        is_still && now > 0
    })
    .await;
    before
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gigabyte_downloads_stream() {
    let (sent, go_on) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
    let origin = sending_origin(GIB, &sent, &go_on).await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.response_head().await.fields.get("content-length"), Some("1073741824"));
    let mut received = client.piece().await.expect("a body").expect("a piece").len() as u64;
    // The first bytes are here, and the origin holds the others back until now.
    assert!(sent.load(SeqCst) <= PIECE as u64);
    go_on.notify_one();
    while let Some(piece) = client.piece().await.expect("a body") {
        received += piece.len() as u64;
    }
    assert_eq!(received, GIB);
    assert_small(&tollgate);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gigabyte_uploads_stream() {
    let (received, start) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
    let origin = reading_origin(&received, &start).await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {GIB}\r\n\r\n")).await;
    start.notify_one();
    let piece = vec![b'x'; PIECE];
    client.send(&piece).await;
    // The first bytes are there before the others are sent.
    eventually(async || received.load(SeqCst) == PIECE as u64).await;
    for _ in 1..GIB / PIECE as u64 {
        client.send(&piece).await;
    }
    assert_eq!(client.response().await.text(), "ok");
    assert_eq!(received.load(SeqCst), GIB);
    assert_small(&tollgate);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gigabyte_uploads_stream_in_chunks() {
    let (received, start) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
    let origin = reading_origin(&received, &start).await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    start.notify_one();
    let mut chunk = format!("{PIECE:x}\r\n").into_bytes();
    chunk.resize(chunk.len() + PIECE, b'x');
    chunk.extend_from_slice(b"\r\n");
    for _ in 0..GIB / PIECE as u64 {
        client.send(&chunk).await;
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(client.response().await.text(), "ok");
    assert_eq!(received.load(SeqCst), GIB);
    assert_small(&tollgate);
}

/// An addon that edits heads and wants no bodies.
async fn with_addon(origin: &RawOrigin) -> Hosted {
    let edit = json!({"append": ["X-Edited", "yes"]});
    let rules = json!({"rules": [{"on": "request", "do": [edit.clone()]}, {"on": "response", "do": [edit]}]});
    Hosted::before(&origin.url()).scripted("editor", &rules).start().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gigabytes_stream_past_addons() {
    let (sent, go_on) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
    let origin = sending_origin(GIB, &sent, &go_on).await;
    let host = with_addon(&origin).await;
    let before = host.settled("editor").await;
    let mut client = RawClient::connect(host.address()).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.response_head().await.fields.get("x-edited"), Some("yes"));
    go_on.notify_one();
    let mut received = 0;
    while let Some(piece) = client.piece().await.expect("a body") {
        received += piece.len() as u64;
    }
    assert_eq!(received, GIB);
    assert_flat(&host, before);
    let (read, start) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
    let origin = reading_origin(&read, &start).await;
    let host = with_addon(&origin).await;
    let before = host.settled("editor").await;
    let mut client = RawClient::connect(host.address()).await;
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {GIB}\r\n\r\n")).await;
    start.notify_one();
    let piece = vec![b'x'; PIECE];
    for _ in 0..GIB / PIECE as u64 {
        client.send(&piece).await;
    }
    assert_eq!(client.response().await.text(), "ok");
    assert_eq!(read.load(SeqCst), GIB);
    assert_flat(&host, before);
}

/// That a body took next to nothing of memory, far less than its length.
fn assert_flat(host: &Hosted, before: u64) {
    let grown = host.peak_rss().saturating_sub(before);
    assert!(grown < (32 << 20), "{} MiB more than before", grown >> 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_bodies_stream() {
    const TOTAL: u64 = 256 << 20;
    let (sent, go_on) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
    let origin = sending_origin(TOTAL, &sent, &go_on).await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = Client::connect(Version::Http2, tollgate.address()).await;
    let response = client.open(http::Request::get("/").body(empty()).expect("a request")).await.expect("a head");
    let mut body = response.into_body();
    let mut received = 0;
    while let Some(frame) = within(body.frame()).await {
        received += frame.expect("a frame").into_data().expect("data").len() as u64;
        go_on.notify_one();
    }
    assert_eq!(received, TOTAL);
    let (received, start) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
    let origin = reading_origin(&received, &start).await;
    let uploading = Tollgate::before(&origin.url()).await;
    let mut client = Client::connect(Version::Http2, uploading.address()).await;
    let (sender, body) = channel();
    let asked = tokio::spawn(client.start(http::Request::post("/").body(body).expect("a request")));
    start.notify_one();
    for _ in 0..TOTAL / PIECE as u64 {
        assert!(sender.send(vec![b'x'; PIECE]).await);
    }
    drop(sender);
    assert_eq!(within(asked).await.expect("a task").expect("a response").status(), 200);
    assert_eq!(received.load(SeqCst), TOTAL);
    assert_small(&tollgate);
    assert_small(&uploading);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_do_not_read_hold_the_origin_up() {
    const TOTAL: u64 = 128 << 20;
    for version in Version::BOTH {
        let (sent, go_on) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
        go_on.notify_one();
        let origin = sending_origin(TOTAL, &sent, &go_on).await;
        let tollgate = Tollgate::before(&origin.url()).await;
        let mut client = Client::connect(version, tollgate.address()).await;
        let response = client.open(http::Request::get("/").body(empty()).expect("a request")).await.expect("a head");
        let stalled = at_rest(&sent).await;
        assert!(stalled < IN_FLIGHT, "{} MiB went out, {version:?}", stalled >> 20);
        assert_eq!(within(response.into_body().collect()).await.expect("a body").to_bytes().len() as u64, TOTAL);
        assert_small(&tollgate);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn origins_that_do_not_read_hold_the_client_up() {
    const TOTAL: u64 = 128 << 20;
    for version in Version::BOTH {
        let (received, start) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
        let origin = reading_origin(&received, &start).await;
        let tollgate = Tollgate::before(&origin.url()).await;
        let mut client = Client::connect(version, tollgate.address()).await;
        let (sender, body) = channel();
        let asked = tokio::spawn(client.start(http::Request::post("/").body(body).expect("a request")));
        let sent = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&sent);
        tokio::spawn(async move {
            let piece = Bytes::from(vec![b'x'; PIECE]);
            for _ in 0..TOTAL / PIECE as u64 {
                if !sender.send(piece.clone()).await {
                    return;
                }
                counted.fetch_add(PIECE as u64, SeqCst);
            }
        });
        let stalled = at_rest(&sent).await;
        assert!(stalled < IN_FLIGHT, "{} MiB went out, {version:?}", stalled >> 20);
        start.notify_one();
        assert_eq!(within(asked).await.expect("a task").expect("a response").status(), 200);
        assert_eq!(received.load(SeqCst), TOTAL);
        assert_small(&tollgate);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_stalled_clients_stay_bounded() {
    let sent = Arc::new(AtomicU64::new(0));
    let go_on = Arc::new(Notify::new());
    let origin = sending_origin(GIB, &sent, &go_on).await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut clients = Vec::new();
    for _ in 0..40 {
        let mut client = RawClient::connect(tollgate.address()).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        clients.push(client);
    }
    eventually(async || {
        go_on.notify_one();
        origin.requests().len() == 40 && sent.load(SeqCst) > 40 * PIECE as u64
    })
    .await;
    at_rest(&sent).await;
    assert_small(&tollgate);
}
