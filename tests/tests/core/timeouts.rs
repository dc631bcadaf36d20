//! Timeouts: each ends what it is for, with an error of its own.

use std::{sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::sleep,
};
use tollgate_tests::{
    Answer, Authority, Client, Frame, FrameClient, RawClient, RawOrigin, Response, Tollgate, Version, block, channel, empty,
    eventually, within,
};

use crate::common::{assert_core_error, request};

async fn timed(upstream: &str, timeouts: &str) -> Tollgate {
    Tollgate::builder().upstream(upstream).config_toml(&format!("[timeouts]\n{timeouts}")).start().await
}

/// An origin that takes requests and never answers.
async fn silent() -> RawOrigin {
    RawOrigin::start(|mut conversation| async move {
        conversation.request().await;
        conversation.take_all().await;
    })
    .await
}

#[track_caller]
fn assert_error(response: &Response, status: u16, text: &str) {
    assert_core_error(response, status, text);
    assert!(response.text().contains(text), "{} does not tell {text:?}", response.text());
}

#[tokio::test]
async fn slow_heads_end_at_their_limit() {
    let origin = RawOrigin::ok().await;
    let tollgate = timed(&origin.url(), "header_read = \"300ms\"").await;
    for start in ["G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: a\r\n"] {
        let mut client = RawClient::connect(tollgate.address()).await;
        client.send(start).await;
        assert_error(&client.response().await, 408, "in time");
        client.expect_end().await;
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn dripping_heads_end_at_their_limit() {
    let origin = RawOrigin::ok().await;
    let tollgate = timed(&origin.url(), "header_read = \"500ms\"").await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX: ").await;
    // Every byte is progress, and none of them puts the deadline off.
    let mut drips = 0;
    while client.try_send("x").await.is_ok() {
        drips += 1;
        assert!(drips < 3000, "it drips on");
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn slow_heads_give_their_place_back() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::builder()
        .upstream(&origin.url())
        .config_toml("[limits]\nconnections = 3\n[timeouts]\nheader_read = \"300ms\"\nidle = \"300ms\"")
        .start()
        .await;
    let mut slow = Vec::new();
    for start in ["", "P", "GET / HTTP/1.1\r\n"] {
        let mut client = RawClient::connect(tollgate.address()).await;
        client.send(start).await;
        slow.push(client);
    }
    assert_eq!(RawClient::ask(tollgate.address(), request("GET", "", "")).await.status, 200);
}

#[tokio::test]
async fn slow_handshakes_end_at_their_limit() {
    let authority = Authority::new();
    let identity = authority.localhost();
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::builder()
        .upstream(&origin.url())
        .config_toml("[timeouts]\nheader_read = \"300ms\"")
        .tls(&identity)
        .start()
        .await;
    for start in [&b""[..], b"\x16\x03\x01"] {
        let mut client = RawClient::connect(tollgate.address()).await;
        client.send(start).await;
        client.read_to_end().await;
    }
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let origin = RawOrigin::ok().await;
    let tollgate = timed(&origin.url(), "idle = \"300ms\"").await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.expect_end().await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(request("GET", "", "")).await;
    assert_eq!(client.response().await.status, 200);
    client.expect_end().await;
}

#[tokio::test]
async fn idle_http2_connections_are_closed() {
    let origin = RawOrigin::ok().await;
    let tollgate = timed(&origin.url(), "idle = \"300ms\"").await;
    let mut client = Client::connect(Version::Http2, tollgate.address()).await;
    assert_eq!(client.get("/").await.status, 200);
    client.ended().await;
    let mut client = FrameClient::connect(tollgate.address()).await;
    while client.next().await.is_some() {}
}

#[tokio::test]
async fn unfinished_http2_heads_are_given_up() {
    let origin = RawOrigin::ok().await;
    let tollgate = timed(&origin.url(), "idle = \"300ms\"").await;
    let mut client = FrameClient::connect(tollgate.address()).await;
    // END_HEADERS never comes.
    client.send(&[Frame::new(1, 1, 1, block(&[(":method", b"GET")]))]).await;
    while client.next().await.is_some() {}
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn busy_connections_are_not_idle() {
    for version in Version::BOTH {
        let origin = RawOrigin::start(|mut conversation| async move {
            while conversation.request().await.is_some() {
                sleep(Duration::from_millis(900)).await;
                let _ = conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            }
        })
        .await;
        let tollgate = timed(&origin.url(), "idle = \"300ms\"").await;
        assert_eq!(Client::fetch(version, tollgate.address(), "/").await.text(), "ok", "{version:?}");
    }
}

#[tokio::test]
async fn idle_upstream_connections_are_closed() {
    let origin = RawOrigin::ok().await;
    let tollgate = timed(&origin.url(), "idle = \"300ms\"").await;
    assert_eq!(RawClient::ask(tollgate.address(), request("GET", "", "")).await.status, 200);
    eventually(async || origin.open() == 0).await;
}

#[tokio::test]
async fn stalled_uploads_end_at_their_limit() {
    for version in Version::BOTH {
        let origin = silent().await;
        let tollgate = timed(&origin.url(), "body_idle = \"300ms\"").await;
        let mut client = Client::connect(version, tollgate.address()).await;
        let (sender, body) = channel();
        let response = client.start(http::Request::post("/").body(body).expect("a request"));
        assert!(sender.send("abc").await);
        let answer = within(Answer::read(within(response).await.expect("a head"))).await.expect("a body");
        assert_eq!((answer.status.as_u16(), answer.json()["errcode"].as_str()), (408, Some("M_UNKNOWN")), "{version:?}");
        assert!(answer.text().contains("client did not move"), "{}", answer.text());
        eventually(async || origin.open() == 0).await;
        assert_eq!((origin.aborted(), origin.requests().len()), (1, 0), "{version:?}");
    }
}

#[tokio::test]
async fn slow_uploads_that_move_go_on() {
    for version in Version::BOTH {
        let origin = RawOrigin::ok().await;
        let tollgate = timed(&origin.url(), "body_idle = \"1s\"\nresponse = \"1s\"\nheader_read = \"1s\"\nidle = \"1s\"").await;
        let mut client = Client::connect(version, tollgate.address()).await;
        let (sender, body) = channel();
        let response = client.start(http::Request::post("/").body(body).expect("a request"));
        let response = tokio::spawn(response);
        for _ in 0..15 {
            assert!(sender.send("abc").await);
            sleep(Duration::from_millis(100)).await;
        }
        drop(sender);
        assert_eq!(within(response).await.expect("a task").expect("a response").status(), 200, "{version:?}");
        assert_eq!(origin.only_request().body.len(), 45);
    }
}

/// An origin that sends a response of a gigabyte, as far as it is taken.
async fn endless() -> RawOrigin {
    RawOrigin::start(|mut conversation| async move {
        conversation.request().await;
        let _ = conversation.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 1 << 30)).await;
        let piece = vec![b'x'; 1 << 16];
        while conversation.send(&piece).await.is_ok() {}
    })
    .await
}

#[tokio::test]
async fn stalled_readers_are_given_up() {
    let origin = endless().await;
    let tollgate = timed(&origin.url(), "body_idle = \"300ms\"").await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(request("GET", "", "")).await;
    assert_eq!(client.response_head().await.status, 200);
    eventually(async || origin.open() == 0).await;
    // What was on its way still comes, but not the whole.
    while let Ok(Some(_)) = client.piece().await {}
}

#[tokio::test]
async fn stalled_http2_readers_are_given_up() {
    let origin = endless().await;
    let tollgate = timed(&origin.url(), "body_idle = \"300ms\"").await;
    let mut client = FrameClient::connect(tollgate.address()).await;
    let fields: [(&str, &[u8]); 4] = [(":method", b"GET"), (":scheme", b"http"), (":authority", b"a"), (":path", b"/")];
    client.send(&[Frame::headers(1, &fields, true)]).await;
    // The window is never opened.
    eventually(async || origin.connections() == 1 && origin.open() == 0).await;
}

#[tokio::test]
async fn silent_origins_time_out() {
    let origin = silent().await;
    let tollgate = timed(&origin.url(), "response = \"300ms\"").await;
    let mut client = RawClient::connect(tollgate.address()).await;
    // The flow is over, the client's connection is not.
    for _ in 0..2 {
        client.send(request("POST", "Content-Length: 3\r\n", "abc")).await;
        assert_error(&client.response().await, 504, "no response in time");
    }
    let answer = Client::fetch(Version::Http2, tollgate.address(), "/").await;
    assert_eq!(answer.status, 504);
    eventually(async || origin.open() == 0).await;
}

#[tokio::test]
async fn silent_http2_origins_time_out() {
    let origin = RawOrigin::start(|mut conversation| async move {
        // Its SETTINGS, and nothing more.
        let _ = conversation.send([0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
        conversation.take_all().await;
    })
    .await;
    let tollgate = Tollgate::builder()
        .upstream(&origin.url())
        .config_toml("[timeouts]\nresponse = \"300ms\"")
        .set("listener.main.upstream_protocol", "h2")
        .start()
        .await;
    for version in Version::BOTH {
        let answer = Client::fetch(version, tollgate.address(), "/").await;
        assert_eq!(answer.status, 504, "{version:?}");
    }
}

#[tokio::test]
async fn dripping_response_heads_time_out() {
    let origin = RawOrigin::start(|mut conversation| async move {
        conversation.request().await;
        let _ = conversation.send("HTTP/1.1 200 OK\r\nX: ").await;
        while conversation.send("x").await.is_ok() {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let tollgate = timed(&origin.url(), "response = \"500ms\"").await;
    let response = RawClient::ask(tollgate.address(), request("GET", "", "")).await;
    assert_error(&response, 504, "no response in time");
}

#[tokio::test]
async fn unreachable_origins_time_out() {
    // A listener whose queue is full: what comes after is neither accepted nor refused.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let listener = socket.listen(1).expect("a listener");
    let address = listener.local_addr().expect("an address");
    let mut waiting = Vec::new();
    while let Ok(stream) = tokio::time::timeout(Duration::from_millis(500), TcpStream::connect(address)).await {
        waiting.push(stream);
        assert!(waiting.len() < 100, "the queue does not fill");
    }
    let tollgate = timed(&format!("http://{address}"), "connect = \"300ms\"").await;
    for version in Version::BOTH {
        let answer = Client::fetch(version, tollgate.address(), "/").await;
        assert_eq!(answer.status, 504, "{version:?}");
        assert!(answer.text().contains("no connection in time"), "{}", answer.text());
    }
}

#[tokio::test]
async fn silent_tls_upstreams_time_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let url = format!("https://{}", listener.local_addr().expect("an address"));
    let tollgate = timed(&url, "connect = \"300ms\"").await;
    let response = RawClient::ask(tollgate.address(), request("GET", "", "")).await;
    assert_error(&response, 504, "no connection in time");
}

#[tokio::test]
async fn long_flows_end_at_their_limit() {
    for version in Version::BOTH {
        let origin = silent().await;
        let tollgate = timed(&origin.url(), "flow = \"300ms\"").await;
        let answer = Client::fetch(version, tollgate.address(), "/").await;
        assert_eq!(answer.status, 504, "{version:?}");
        assert!(answer.text().contains("the flow took too long"), "{}", answer.text());
        eventually(async || origin.open() == 0).await;
    }
}

#[tokio::test]
async fn long_bodies_end_with_their_flow() {
    for version in Version::BOTH {
        let origin = RawOrigin::start(|mut conversation| async move {
            conversation.request().await;
            let _ = conversation.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            while conversation.send("1\r\nx\r\n").await.is_ok() {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        let tollgate = timed(&origin.url(), "flow = \"500ms\"").await;
        let mut client = Client::connect(version, tollgate.address()).await;
        let broken = client.try_ask(http::Request::get("/").body(empty()).expect("a request")).await;
        assert!(broken.is_err(), "{version:?}: {broken:?}");
        eventually(async || origin.open() == 0).await;
    }
}

#[tokio::test]
async fn timeouts_can_be_off() {
    let go_on = Arc::new(tokio::sync::Notify::new());
    let gate = Arc::clone(&go_on);
    let origin = RawOrigin::start(move |mut conversation| {
        let gate = Arc::clone(&gate);
        async move {
            conversation.request().await;
            gate.notified().await;
            let _ = conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        }
    })
    .await;
    let tollgate = timed(&origin.url(), "flow = \"none\"\nresponse = \"none\"\nbody_idle = \"none\"").await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(request("GET", "", "")).await;
    eventually(async || origin.requests().len() == 1).await;
    go_on.notify_one();
    assert_eq!(client.response().await.text(), "ok");
}

#[tokio::test]
async fn upstream_bodies_that_stand_still_end() {
    let origin = RawOrigin::start(|mut conversation| async move {
        conversation.request().await;
        let _ = conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").await;
        conversation.take_all().await;
    })
    .await;
    let tollgate = timed(&origin.url(), "body_idle = \"300ms\"").await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(request("GET", "", "")).await;
    assert_eq!(client.response_head().await.status, 200);
    assert_eq!(client.read_to_end().await, "abc");
    eventually(|| async { origin.open() == 0 }).await;
}

#[tokio::test]
async fn pausing_senders_are_no_silent_upstreams() {
    let origin = RawOrigin::ok().await;
    let tollgate = timed(&origin.url(), "response = \"300ms\"").await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab").await;
    eventually(|| async { origin.received() > 0 }).await;
    sleep(Duration::from_millis(700)).await;
    client.send("cd").await;
    assert_eq!(client.response().await.status, 200);
}
