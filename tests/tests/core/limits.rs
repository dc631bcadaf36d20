//! Limits, each below, at and above.

use http_body_util::BodyExt as _;
use tollgate_tests::{
    Client, Frame, FrameClient, RawClient, RawOrigin, Tollgate, Version, channel, empty, eventually, full, within,
};

use crate::common::{assert_core_error, assert_refused, request};

async fn limited(origin: &RawOrigin, limits: &str) -> Tollgate {
    Tollgate::builder().upstream(&origin.url()).config_toml(&format!("[limits]\n{limits}")).start().await
}

#[tokio::test]
async fn field_count_ends_at_its_limit() {
    for limit in [5, 100, 300] {
        let origin = RawOrigin::ok().await;
        let tollgate = limited(&origin, &format!("header_count = {limit}")).await;
        for count in [limit - 1, limit] {
            // Host is one of them.
            let response = RawClient::ask(tollgate.address(), request("GET", &"X: y\r\n".repeat(count - 1), "")).await;
            assert_eq!(response.status, 200, "{count} of {limit}");
        }
        assert_refused(tollgate.address(), request("GET", &"X: y\r\n".repeat(limit), ""), 431).await;
        assert_eq!(origin.requests().len(), 2);
        for (count, status) in [(limit - 1, 200), (limit, 200), (limit + 1, 431)] {
            let mut get = http::Request::get("/");
            for _ in 0..count {
                get = get.header("x", "y");
            }
            let mut client = Client::connect(Version::Http2, tollgate.address()).await;
            let answer = client.ask(get.body(empty()).expect("a request")).await;
            assert_eq!(answer.status, status, "{count} of {limit}");
        }
        assert_eq!(origin.requests().len(), 4);
    }
}

#[tokio::test]
async fn head_bytes_end_at_their_limit() {
    const LIMIT: usize = 2048;
    let origin = RawOrigin::ok().await;
    let tollgate = limited(&origin, &format!("header_bytes = {LIMIT}")).await;
    let empty_head = request("GET", "X: \r\n", "").len();
    let sized = |size: usize| request("GET", &format!("X: {}\r\n", "y".repeat(size - empty_head)), "");
    for size in [LIMIT - 1, LIMIT] {
        assert_eq!(RawClient::ask(tollgate.address(), sized(size)).await.status, 200, "{size}");
    }
    for size in [LIMIT + 1, 2 * LIMIT, 100 * LIMIT] {
        assert_refused(tollgate.address(), sized(size), 431).await;
    }
    // A target, a name, or a line without end is no way around.
    assert_refused(tollgate.address(), format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(LIMIT)), 431).await;
    assert_refused(tollgate.address(), "x".repeat(LIMIT), 431).await;
    assert_eq!(origin.requests().len(), 2);
}

#[tokio::test]
async fn head_bytes_are_limited_over_http2() {
    let origin = RawOrigin::ok().await;
    let tollgate = limited(&origin, "header_bytes = 2048").await;
    for (size, status) in [(1000, 200), (4000, 431)] {
        let mut client = Client::connect(Version::Http2, tollgate.address()).await;
        let get = http::Request::get("/").header("x", "y".repeat(size)).body(empty()).expect("a request");
        match client.try_ask(get).await {
            Ok(answer) => assert_eq!(answer.status, status, "{size}"),
            Err(error) => assert_eq!(status, 431, "{size}: {error}"),
        }
    }
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn trailers_are_limited_too() {
    let origin = RawOrigin::ok().await;
    let tollgate = limited(&origin, "header_count = 10\nheader_bytes = 1024").await;
    let send = |trailers: String| request("POST", "Transfer-Encoding: chunked\r\n", &format!("3\r\nabc\r\n0\r\n{trailers}\r\n"));
    assert_eq!(RawClient::ask(tollgate.address(), send("X: y\r\n".repeat(10))).await.status, 200);
    for trailers in ["X: y\r\n".repeat(11), format!("X: {}\r\n", "y".repeat(1024)), format!("X: {}\r\n", "y".repeat(1 << 20))] {
        assert_refused(tollgate.address(), send(trailers), 400).await;
    }
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn request_bodies_end_at_their_limit() {
    const LIMIT: usize = 100_000;
    for version in Version::BOTH {
        let origin = RawOrigin::ok().await;
        let tollgate = limited(&origin, &format!("request_body = {LIMIT}")).await;
        for (size, is_taken) in [(LIMIT - 1, true), (LIMIT, true), (LIMIT + 1, false)] {
            let body = vec![b'x'; size];
            let mut client = Client::connect(version, tollgate.address()).await;
            let known = client.ask(http::Request::post("/").body(full(body.clone())).expect("a request")).await;
            let mut client = Client::connect(version, tollgate.address()).await;
            let (sender, pieces) = channel();
            let response = client.start(http::Request::post("/").body(pieces).expect("a request"));
            let upload = tokio::spawn(async move {
                for piece in body.chunks(7_000) {
                    if !sender.send(piece.to_vec()).await {
                        return;
                    }
                }
            });
            let unknown = within(response).await.expect("a response");
            let expected = if is_taken { 200 } else { 413 };
            assert_eq!((known.status.as_u16(), unknown.status().as_u16()), (expected, expected), "{size} {version:?}");
            if !is_taken {
                assert_eq!(known.json()["errcode"], "M_TOO_LARGE");
                let text = within(unknown.into_body().collect()).await.expect("a body").to_bytes();
                assert!(String::from_utf8_lossy(&text).contains("M_TOO_LARGE"));
            }
            upload.abort();
        }
        assert_eq!(origin.requests().len(), 4, "{version:?}");
        assert_eq!(origin.violations(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn bodies_can_be_forbidden() {
    let origin = RawOrigin::ok().await;
    let tollgate = limited(&origin, "request_body = 0").await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(request("GET", "", "")).await;
    assert_eq!(client.response().await.status, 200);
    client.send(request("POST", "Content-Length: 0\r\n", "")).await;
    assert_eq!(client.response().await.status, 200);
    client.send(request("POST", "Content-Length: 1\r\n", "x")).await;
    assert_core_error(&client.response().await, 413, "one byte");
    assert_eq!(origin.requests().len(), 2);
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let origin = RawOrigin::ok().await;
    let tollgate = limited(&origin, "connections = 2").await;
    let mut first = RawClient::connect(tollgate.address()).await;
    let mut second = RawClient::connect(tollgate.address()).await;
    for client in [&mut first, &mut second] {
        client.send(request("GET", "", "")).await;
        assert_eq!(client.response().await.status, 200);
    }
    let mut third = RawClient::connect(tollgate.address()).await;
    third.send(request("GET", "", "")).await;
    for client in [&mut first, &mut second] {
        client.send(request("GET", "", "")).await;
        assert_eq!(client.response().await.status, 200);
    }
    assert_eq!(origin.requests().len(), 4);
    drop(first);
    assert_eq!(third.response().await.status, 200);
    // A reset gives the place back as well.
    second.reset();
    assert_eq!(RawClient::ask(tollgate.address(), request("GET", "", "")).await.status, 200);
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused() {
    let origin = RawOrigin::start(|mut conversation| async move {
        conversation.request().await;
        std::future::pending::<()>().await;
    })
    .await;
    let tollgate = limited(&origin, "h2_streams = 2").await;
    let mut client = FrameClient::connect(tollgate.address()).await;
    let settings = client.next().await.expect("SETTINGS");
    let announced = settings.payload.chunks(6).any(|setting| setting == [0, 3, 0, 0, 0, 2]);
    assert!(settings.kind == 4 && announced, "{settings:?}");
    let fields: [(&str, &[u8]); 4] = [(":method", b"GET"), (":scheme", b"http"), (":authority", b"a"), (":path", b"/")];
    // The client acts upon the settings only when it has acknowledged them; by then it is bound by them.
    client.send(&[Frame::headers(1, &fields, true), Frame::headers(3, &fields, true)]).await;
    eventually(async || origin.requests().len() == 2).await;
    client.send(&[Frame::headers(5, &fields, true)]).await;
    let refused = client.outcome().await.expect("a frame");
    // REFUSED_STREAM: the request can be sent again.
    assert_eq!((refused.kind, refused.stream, &refused.payload[..]), (3, 5, &[0, 0, 0, 7][..]));
    assert_eq!(origin.requests().len(), 2);
}

#[tokio::test]
async fn listeners_have_limits_of_their_own() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::builder()
        .upstream(&origin.url())
        .listener("tight", &origin.url())
        .config_toml("[limits]\nrequest_body = 10")
        .set("listener.tight.limits.request_body", 5)
        .start()
        .await;
    let send = request("POST", "Content-Length: 8\r\n", "12345678");
    assert_eq!(RawClient::ask(tollgate.address(), &send).await.status, 200);
    assert_eq!(RawClient::ask(tollgate.address_of("tight"), &send).await.status, 413);
}

#[tokio::test]
async fn lack_of_descriptors_is_survived() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let limit = rustix::process::Rlimit { current: Some(40), maximum: Some(40) };
    let pid = rustix::process::Pid::from_raw(tollgate.pid());
    rustix::process::prlimit(pid, rustix::process::Resource::Nofile, limit).expect("a limit");
    let mut clients = Vec::new();
    for _ in 0..60 {
        clients.push(RawClient::connect(tollgate.address()).await);
    }
    tollgate.logged("a connection cannot be accepted").await;
    drop(clients);
    eventually(async || {
        let mut client = RawClient::connect(tollgate.address()).await;
        client.send(request("GET", "", "")).await;
        client.try_response("GET").await.is_ok_and(|response| response.status == 200)
    })
    .await;
    // It rests between attempts rather than filling the log.
    assert!(tollgate.logs().matches("cannot be accepted").count() < 1000);
}

#[tokio::test]
async fn refusals_of_head_have_no_body() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::builder()
        .upstream(&origin.url())
        .forward("forward")
        .set("limits.header_count", "5")
        .set("limits.header_bytes", "2048")
        .set("limits.request_body", "10")
        .start()
        .await;
    let lines = "X: 1\r\n".repeat(6);
    let long = "x".repeat(3000);
    for (listener, request, status) in [
        ("main", "HEAD / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("main", "HEAD / HTTP/1.1\r\nHost: a\r\nExpect: wonders\r\n\r\n".to_owned(), 417),
        ("main", format!("HEAD / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"), 431),
        ("main", format!("HEAD / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"), 431),
        ("main", "HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world".to_owned(), 413),
        ("forward", "HEAD http://169.254.169.254/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 403),
    ] {
        let mut client = RawClient::connect(tollgate.address_of(listener)).await;
        client.send(&request).await;
        let answer = client.response_to("HEAD").await;
        assert_eq!(answer.status, status, "{request}");
        assert!(answer.fields.get("content-length").is_some_and(|length| length != "0"), "{request}: {answer:?}");
        if status != 413 {
            client.expect_end().await;
        }
    }
    let mut request = http::Request::head("/");
    for place in 0..6 {
        request = request.header(format!("x-{place}"), "1");
    }
    let mut client = Client::connect(Version::Http2, tollgate.address()).await;
    let answer = client.ask(request.body(empty()).expect("a request")).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (431, 0));
    assert!(answer.header("content-length").is_some_and(|length| length != "0"), "{answer:?}");
}
