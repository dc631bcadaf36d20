//! What is broken off never looks whole, to whoever it goes.
#![cfg(test)]

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::Notify,
};
use tokio_rustls::TlsAcceptor;
use tollgate_tests::{
    Authority, Client, Frame, FrameClient, FrameOrigin, RawClient, RawOrigin, Tollgate, Version, addons::Hosted, empty,
    eventually, within,
};

const OLD_GET: &str = "GET / HTTP/1.0\r\nHost: a\r\n\r\n";
/// Without a length that could be told beforehand.
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";

/// Answers so, and ends the connection in good order or not.
async fn breaking(answer: &'static str, is_reset: bool) -> RawOrigin {
    RawOrigin::start(move |mut conversation| async move {
        if conversation.request().await.is_none() {
            return;
        }
        let _ = conversation.send(answer).await;
        if is_reset { conversation.reset() } else { conversation.close().await }
    })
    .await
}

/// Over TLS if there is an authority to trust.
async fn connect(tollgate: &Tollgate, authority: Option<&Authority>) -> RawClient {
    match authority {
        None => RawClient::connect(tollgate.address()).await,
        Some(authority) => {
            RawClient::connect_tls(tollgate.address(), &authority.client_config(&["http/1.1"])).await.expect("TLS")
        }
    }
}

/// All that a client gets of an answer whose end is that of the connection.
async fn until_the_end(mut client: RawClient) -> io::Result<String> {
    client.send(OLD_GET).await;
    let head = client.response_head().await;
    assert!(!head.fields.has("content-length") && !head.fields.has("transfer-encoding"), "{head:?}");
    let rest = within(client.wire().take_all()).await?;
    Ok(String::from_utf8_lossy(&rest).into_owned())
}

#[track_caller]
fn assert_reset(ended: &io::Result<String>, case: &str) {
    let kind = ended.as_ref().map_err(io::Error::kind);
    assert_eq!(kind, Err(io::ErrorKind::ConnectionReset), "{case}: {ended:?}");
}

#[tokio::test]
async fn ends_of_connections_are_resets() {
    let authority = Authority::new();
    let identity = authority.localhost();
    for (case, answer, is_reset) in [
        ("the last chunk is missing", CHUNKED, false),
        ("the rest of a chunk is missing", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc", false),
        ("no chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nx", false),
        ("a reset amid chunks", CHUNKED, true),
        ("a reset in place of an end", "HTTP/1.1 200 OK\r\n\r\nabc", true),
    ] {
        let origin = breaking(answer, is_reset).await;
        let plain = Tollgate::before(&origin.url()).await;
        let coded = Tollgate::builder().upstream(&origin.url()).tls(&identity).start().await;
        for (tollgate, authority) in [(&plain, None), (&coded, Some(&authority))] {
            let mut client = connect(tollgate, authority).await;
            client.send(OLD_GET).await;
            // The reset may overtake what went before it, and a 502 may be in time.
            let ended = within(client.wire().take_all()).await.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            if ended.as_ref().is_ok_and(|text| text.starts_with("HTTP/1.1 502 ")) {
                assert!(is_reset, "{case}: {ended:?}");
                continue;
            }
            assert_reset(&ended, &format!("{case}, TLS {}", authority.is_some()));
        }
    }
}

#[tokio::test]
async fn whole_bodies_end_in_good_order() {
    let authority = Authority::new();
    let origin = RawOrigin::closing("HTTP/1.1 200 OK\r\n\r\nabc").await;
    let plain = Tollgate::before(&origin.url()).await;
    let coded = Tollgate::builder().upstream(&origin.url()).tls(&authority.localhost()).start().await;
    assert_eq!(until_the_end(connect(&plain, None).await).await.expect("an end"), "abc");
    // With TLS an end without a word is an error of its own.
    assert_eq!(until_the_end(connect(&coded, Some(&authority)).await).await.expect("an end"), "abc");
}

#[tokio::test]
async fn failed_hooks_end_connections_by_reset() {
    let origin =
        RawOrigin::answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n").await;
    let script = json!({"rules": [{"on": "response-chunk", "do": [{"piece": {"last": ["trap"]}}]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &script).start().await;
    assert_reset(&until_the_end(connect(&host, None).await).await, "a trap");
}

#[tokio::test]
async fn flows_that_took_too_long_end_by_reset() {
    let origin = RawOrigin::start(|mut conversation| async move {
        conversation.request().await;
        let _ = conversation.send(CHUNKED).await;
        conversation.take_all().await;
    })
    .await;
    let tollgate = Tollgate::builder().upstream(&origin.url()).config_toml("[timeouts]\nflow = \"300ms\"").start().await;
    assert_reset(&until_the_end(connect(&tollgate, None).await).await, "out of time");
}

#[tokio::test]
async fn a_stop_that_waits_no_longer_ends_by_reset() {
    let origin = RawOrigin::start(|mut conversation| async move {
        conversation.request().await;
        let _ = conversation.send(CHUNKED).await;
        conversation.take_all().await;
    })
    .await;
    let tollgate = Tollgate::builder().upstream(&origin.url()).config_toml("[timeouts]\ngrace = \"100ms\"").start().await;
    let mut client = connect(&tollgate, None).await;
    client.send(OLD_GET).await;
    client.response_head().await;
    assert_eq!(client.take(3).await, "abc");
    tollgate.terminate();
    let ended = within(client.wire().take_all()).await.map(|_| String::new());
    assert_reset(&ended, "stopped");
}

#[tokio::test]
async fn lengths_and_chunks_lack_their_end() {
    for (answer, version) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "1.1"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "1.0"),
        (CHUNKED, "1.1"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", "1.1"),
    ] {
        let origin = breaking(answer, false).await;
        let tollgate = Tollgate::before(&origin.url()).await;
        let mut client = RawClient::connect(tollgate.address()).await;
        client.send(format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n")).await;
        let text = String::from_utf8_lossy(&client.read_to_end().await).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        if answer.contains("Length") {
            assert!(head.contains("Content-Length: 9") && body == "abc", "{version}: {text:?}");
        } else {
            assert!(head.contains("chunked") && body == "3\r\nabc\r\n", "{version}: {text:?}");
        }
    }
}

#[tokio::test]
async fn streams_are_reset_without_an_end() {
    let get: [(&str, &[u8]); 4] = [(":method", b"GET"), (":scheme", b"http"), (":authority", b"a"), (":path", b"/")];
    for answer in [CHUNKED, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"] {
        let origin = breaking(answer, false).await;
        let tollgate = Tollgate::before(&origin.url()).await;
        let mut client = FrameClient::connect(tollgate.address()).await;
        client.send(&[Frame::headers(1, &get, true)]).await;
        loop {
            let frame = client.outcome().await.expect("a reset before the end of the connection");
            assert!(frame.kind == 3 || frame.flags & 1 == 0, "{answer:?}: an end of the stream: {frame:?}");
            if frame.kind == 3 {
                assert_ne!(frame.payload[..], [0, 0, 0, 0], "{answer:?}: no error");
                break;
            }
        }
    }
}

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";

#[tokio::test]
async fn lost_sides_of_a_tunnel_are_lost_on_the_other() {
    let origin = RawOrigin::start(|mut conversation| async move {
        conversation.request().await;
        let _ = conversation.send(format!("{SWITCH}abc")).await;
        conversation.take(1).await;
        conversation.reset();
    })
    .await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(UPGRADE).await;
    client.response_head().await;
    assert_eq!(client.take(3).await, "abc");
    client.send("x").await;
    let ended = within(client.wire().take_all()).await.map(|_| String::new());
    assert_reset(&ended, "the upstream is lost");

    let lost = Arc::new(Notify::new());
    let told = Arc::clone(&lost);
    let origin = RawOrigin::start(move |mut conversation| {
        let told = Arc::clone(&told);
        async move {
            conversation.request().await;
            let _ = conversation.send(SWITCH).await;
            if conversation.wire().take_all().await.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset) {
                told.notify_one();
            }
        }
    })
    .await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(UPGRADE).await;
    client.response_head().await;
    client.send("abc").await;
    eventually(async || origin.received() > 0 && origin.seen()[0].ends_with(b"abc")).await;
    client.reset();
    within(lost.notified()).await;
}

/// A TLS origin whose answer ends with the connection: with or without a word.
async fn ending_tls(authority: &Authority, says_so: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    let acceptor = TlsAcceptor::from(authority.localhost().server_config(&["http/1.1"]));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.expect("a request"));
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nabc").await.expect("sent");
            stream.flush().await.expect("sent");
            if says_so {
                stream.shutdown().await.expect("sent");
                let _ = stream.read(&mut [0]).await;
            }
        }
    });
    port
}

#[tokio::test]
async fn ends_without_a_word_are_none_with_tls() {
    let authority = Authority::new();
    for says_so in [true, false] {
        let port = ending_tls(&authority, says_so).await;
        let upstream = format!("https://localhost:{port}");
        let tollgate = Tollgate::builder().upstream(&upstream).upstream_ca(&authority).start().await;
        for version in Version::BOTH {
            let mut client = Client::connect(version, tollgate.address()).await;
            let answer = client.try_ask(http::Request::get("/").body(empty()).expect("a request")).await;
            let is_whole = answer.as_ref().is_ok_and(|answer| answer.status == 200 && answer.text() == "abc");
            assert_eq!(is_whole, says_so, "{version:?}: {answer:?}");
        }
    }
}

/// Uploads of which something is missing, to be sent as they are; whether the client goes away after them.
fn broken_uploads() -> Vec<(Vec<u8>, bool)> {
    let coded = zstd::encode_all(&b"an upload, an upload, an upload"[..], 3).expect("zstd");
    let cut = &coded[..coded.len() - 3];
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Encoding: zstd\r\nContent-Length: {}\r\n\r\n", cut.len());
    let post = "POST / HTTP/1.1\r\nHost: a\r\n";
    vec![
        (format!("{post}Content-Length: 9\r\n\r\nabc").into(), true),
        (format!("{post}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").into(), true),
        (format!("{post}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n").into(), true),
        (format!("{post}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nx\r\n").into(), false),
        ([head.as_bytes(), cut].concat(), false),
    ]
}

/// What an addon makes of the pieces of an upload: it only looks at them, or has them without their codings.
fn pieces(has_hook: bool) -> Value {
    let rules =
        if has_hook { json!([{"on": "request-chunk", "body": "full", "do": [{"log": "saw {data}"}]}]) } else { json!([]) };
    json!({ "rules": rules })
}

#[tokio::test]
async fn uploads_never_look_whole() {
    for has_hook in [false, true] {
        for (upload, goes_away) in broken_uploads() {
            let case = format!("hook {has_hook}: {}", upload.escape_ascii());
            let is_cut_within = String::from_utf8_lossy(&upload).contains("zstd");
            if is_cut_within && !has_hook {
                // As a message it is whole, and nobody looks into it.
                continue;
            }
            let origin = RawOrigin::ok().await;
            let host = Hosted::before(&origin.url()).scripted("a", &pieces(has_hook)).start().await;
            let mut client = RawClient::connect(host.address()).await;
            client.send(&upload).await;
            if goes_away {
                client.half_close().await;
                client.read_to_end().await;
            } else {
                let answer = client.response().await;
                assert_eq!(answer.status, 400, "{case}: {answer:?}");
            }
            eventually(async || origin.open() == 0).await;
            assert_eq!((origin.requests(), origin.violations()), (vec![], Vec::<String>::new()), "{case}");
        }
    }
}

#[tokio::test]
async fn uploads_never_look_whole_over_http2() {
    for has_hook in [false, true] {
        for (upload, goes_away) in broken_uploads() {
            let case = format!("hook {has_hook}: {}", upload.escape_ascii());
            if String::from_utf8_lossy(&upload).contains("zstd") && !has_hook {
                continue;
            }
            // Streams that were opened, that were reset, and that look whole.
            let counts: Arc<[AtomicUsize; 3]> = Arc::default();
            let shared = Arc::clone(&counts);
            let origin = RawOrigin::start(move |conversation| {
                let counts = Arc::clone(&shared);
                async move {
                    let Some(mut origin) = FrameOrigin::accept(conversation).await else { return };
                    while let Some(frame) = origin.frame().await {
                        let is_end = matches!(frame.kind, 0 | 1) && frame.flags & 1 == 1;
                        for (count, is_so) in counts.iter().zip([frame.kind == 1, frame.kind == 3, is_end]) {
                            count.fetch_add(usize::from(is_so), SeqCst);
                        }
                    }
                }
            })
            .await;
            let host = Hosted::before(&origin.url())
                .scripted("a", &pieces(has_hook))
                .set("listener.main.upstream_protocol", "h2")
                .start()
                .await;
            let mut client = RawClient::connect(host.address()).await;
            client.send(&upload).await;
            if goes_away {
                client.half_close().await;
                client.read_to_end().await;
            } else {
                let answer = client.response().await;
                assert_eq!(answer.status, 400, "{case}: {answer:?}");
            }
            eventually(async || counts[0].load(SeqCst) == counts[1].load(SeqCst)).await;
            assert_eq!(counts[2].load(SeqCst), 0, "{case}");
        }
    }
}
