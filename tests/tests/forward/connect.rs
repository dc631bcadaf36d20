//! CONNECT: tunnels that nobody looks into.

use tollgate_tests::{Client, Conversation, Port, RawClient, RawOrigin, Tollgate, Version, addons::Admin, eventually};

use crate::common::{assert_refused, connect};

/// Sends back whatever comes, and closes when the other side does.
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

/// A client with a tunnel to this origin.
async fn tunnel(tollgate: &Tollgate, origin: &RawOrigin) -> RawClient {
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(connect(origin.address())).await;
    established(&mut client).await;
    client
}

async fn established(client: &mut RawClient) {
    let head = client.response_head().await;
    assert_eq!((head.status, head.reason.as_str()), (200, "Connection established"));
    // None of these belongs to a tunnel (RFC 9110, 9.3.6).
    assert!(!head.fields.has("content-length") && !head.fields.has("transfer-encoding") && !head.fields.has("connection"));
}

#[tokio::test]
async fn bytes_pass_both_ways_as_they_are() {
    let (origin, tollgate) = (RawOrigin::start(echo).await, Tollgate::forward().await);
    let mut client = tunnel(&tollgate, &origin).await;
    for text in ["\x16\x03\x01\x00", "GET / HTTP/1.1\r\n\r\n", "CONNECT a:1 HTTP/1.1\r\n\r\n", "\r\n\r\n"] {
        client.send(text).await;
        assert_eq!(client.take(text.len()).await, text);
    }
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn much_passes_both_ways_at_once() {
    const PIECE: usize = 256 * 1024;
    let (origin, tollgate) = (RawOrigin::start(echo).await, Tollgate::forward().await);
    let mut client = tunnel(&tollgate, &origin).await;
    for number in 0..64 {
        let piece = vec![number; PIECE];
        client.send(&piece).await;
        assert!(client.take(PIECE).await == piece, "piece {number}");
    }
    assert!(tollgate.peak_rss() < 100 << 20);
}

#[tokio::test]
async fn what_comes_early_waits_for_the_tunnel() {
    let (origin, tollgate) = (RawOrigin::start(echo).await, Tollgate::forward().await);
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(format!("{}early", connect(origin.address()))).await;
    established(&mut client).await;
    assert_eq!(client.take(5).await, "early");
    assert_eq!(origin.seen(), [b"early"]);
}

#[tokio::test]
async fn nothing_of_the_request_reaches_the_other_end() {
    let (origin, tollgate) = (RawOrigin::start(echo).await, Tollgate::forward().await);
    let mut client = RawClient::connect(tollgate.address()).await;
    let at = origin.address();
    let lines = "Host: elsewhere.test\r\nProxy-Authorization: Basic aHVudGVyMg==\r\nContent-Length: 0\r\nX-Any: 1\r\n";
    client.send(format!("CONNECT {at} HTTP/1.1\r\n{lines}\r\n")).await;
    established(&mut client).await;
    client.half_close().await;
    client.expect_end().await;
    assert_eq!(origin.seen(), [b""]);
    let old = "CONNECT AT HTTP/1.0\r\n\r\n".replace("AT", &at.to_string());
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(old).await;
    established(&mut client).await;
}

#[tokio::test]
async fn either_side_may_close_its_half() {
    let origin = RawOrigin::start(|mut conversation| async move {
        let all = conversation.take_all().await;
        let _ = conversation.send(format!("got {}", String::from_utf8_lossy(&all))).await;
        conversation.half_close().await;
    })
    .await;
    let tollgate = Tollgate::forward().await;
    let mut client = tunnel(&tollgate, &origin).await;
    client.send("abc").await;
    client.half_close().await;
    assert_eq!(client.read_to_end().await, "got abc");
    let origin = RawOrigin::start(|mut conversation| async move {
        let _ = conversation.send("bye").await;
        conversation.half_close().await;
        conversation.take(3).await;
        std::future::pending::<()>().await;
    })
    .await;
    let mut client = tunnel(&tollgate, &origin).await;
    assert_eq!(client.read_to_end().await, "bye");
    client.send("abc").await;
    eventually(async || origin.seen()[0].ends_with(b"abc")).await;
}

#[tokio::test]
async fn a_side_that_is_lost_ends_the_tunnel() {
    let (origin, tollgate) = (RawOrigin::start(echo).await, Tollgate::forward().await);
    for is_reset in [true, false] {
        let client = tunnel(&tollgate, &origin).await;
        if is_reset {
            client.reset();
        } else {
            drop(client);
        }
        eventually(async || origin.open() == 0).await;
    }
    let resetting = RawOrigin::start(|mut conversation| async move {
        conversation.take(1).await;
        conversation.reset();
    })
    .await;
    let mut client = tunnel(&tollgate, &resetting).await;
    client.send("x").await;
    client.expect_end().await;
}

#[tokio::test]
async fn silence_ends_a_tunnel() {
    let origin = RawOrigin::start(echo).await;
    let tollgate = Tollgate::builder()
        .forward("main")
        .set("listener.main.targets.connect_ports", "any")
        .set("listener.main.timeouts.tunnel", "300ms")
        .start()
        .await;
    let mut client = tunnel(&tollgate, &origin).await;
    client.send("abc").await;
    assert_eq!(client.take(3).await, "abc");
    client.expect_end().await;
    eventually(async || origin.open() == 0).await;
    tollgate.logged("the tunnel broke").await;
}

#[tokio::test]
async fn moving_tunnels_outlive_the_limit() {
    let origin = RawOrigin::start(echo).await;
    let tollgate = Tollgate::builder()
        .forward("main")
        .set("listener.main.targets.connect_ports", "any")
        .set("listener.main.timeouts.tunnel", "2s")
        .start()
        .await;
    let mut client = tunnel(&tollgate, &origin).await;
    // Together longer than the limit.
    for _ in 0..12 {
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
        client.send("abc").await;
        assert_eq!(client.take(3).await, "abc");
    }
}

#[tokio::test]
async fn impossible_tunnels_are_refused() {
    let (origin, tollgate) = (RawOrigin::ok().await, Tollgate::forward().await);
    let at = origin.address();
    for (target, lines) in [
        ("127.0.0.1".to_owned(), ""),
        ("127.0.0.1:".to_owned(), ""),
        ("127.0.0.1:0".to_owned(), ""),
        ("127.0.0.1:65536".to_owned(), ""),
        (":443".to_owned(), ""),
        ("/".to_owned(), ""),
        ("*".to_owned(), ""),
        (format!("http://{at}/"), ""),
        (format!("http://{at}"), ""),
        (format!("u:p@{at}"), ""),
        (format!("{at}/"), ""),
        (at.to_string(), "Content-Length: 5\r\n"),
        (at.to_string(), "Transfer-Encoding: chunked\r\n"),
        (at.to_string(), "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"),
    ] {
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        assert_refused(tollgate.address(), request, 400, "").await;
    }
    assert_eq!(origin.connections(), 0);
    let nobody = Port::reserve();
    let dead = nobody.address();
    assert_refused(tollgate.address(), connect(dead), 502, "the tunnel failed: cannot connect").await;
    assert_refused(tollgate.address(), connect("nowhere.invalid:443"), 502, "the tunnel failed: the name").await;
}

#[tokio::test]
async fn what_follows_a_refused_tunnel_is_no_request() {
    let (origin, tollgate) = (RawOrigin::ok().await, Tollgate::forward().await);
    let smuggled = format!("GET {}/smuggled HTTP/1.1\r\nHost: a\r\n\r\n", origin.url());
    let nobody = Port::reserve();
    let dead = nobody.address();
    let denied = connect("169.254.169.254:443");
    for (request, status) in [(denied, 403), (connect("a"), 400), (connect(dead), 502)] {
        assert_refused(tollgate.address(), format!("{request}{smuggled}"), status, "").await;
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn only_some_ports_are_tunnelled_to() {
    let origin = RawOrigin::start(echo).await;
    let port = origin.address().port();
    let plain = Tollgate::builder().forward("main").start().await;
    let text = format!("CONNECT to port {port} is not allowed: it is not in targets.connect_ports");
    assert_refused(plain.address(), connect(origin.address()), 403, &text).await;
    let ports = format!("[{port}]");
    let open = Tollgate::builder().forward("main").set("listener.main.targets.connect_ports", ports).start().await;
    tunnel(&open, &origin).await;
    assert_refused(open.address(), connect("127.0.0.1:443"), 403, "CONNECT to port 443").await;
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn reverse_listeners_have_no_tunnels() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    assert_eq!(RawClient::ask(tollgate.address(), connect(origin.address())).await.status, 405);
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn tunnels_are_counted_and_logged_by_host_and_port() {
    let (origin, tollgate) = (RawOrigin::start(echo).await, Tollgate::forward().await);
    let admin = Admin::at(tollgate.admin());
    let metrics = async || admin.get("/metrics").await.text();
    let mut client = tunnel(&tollgate, &origin).await;
    assert!(metrics().await.contains("tollgate_flows_active{listener=\"main\"} 1"));
    client.send("secret").await;
    client.take(6).await;
    client.half_close().await;
    client.expect_end().await;
    eventually(async || metrics().await.contains("tollgate_flows_total{listener=\"main\",status=\"2xx\"} 1")).await;
    let flows = admin.get("/flows").await.json();
    let flow = &flows["flows"][0];
    let at = origin.address().to_string();
    assert_eq!((flow["method"].as_str(), flow["path"].as_str(), flow["error"].as_str()), (Some("CONNECT"), Some(&*at), None));
    assert_eq!(
        (flow["request_bytes"].as_u64(), flow["response_bytes"].as_u64(), flow["status"].as_u64()),
        (Some(6), Some(6), Some(200))
    );
    tollgate.logged(&format!("request.method=CONNECT request.path={at}")).await;
    let nobody = Port::reserve();
    let dead = nobody.address();
    assert_refused(tollgate.address(), connect(dead), 502, "").await;
    let text = metrics().await;
    assert!(text.contains("tollgate_upstream_failures_total{listener=\"main\",kind=\"connect\"} 1"), "{text}");
    assert!(!tollgate.logs().contains("secret"));
}

#[tokio::test]
async fn tunnels_carry_other_versions() {
    let origin = tollgate_tests::Echo::http2().await;
    let tollgate = Tollgate::forward().await;
    let mut stream = tokio::net::TcpStream::connect(tollgate.address()).await.expect("a connection");
    let head = read_head(&mut stream, &connect(origin.address())).await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let mut client = Client::over_stream(stream, Version::Http2, &origin.url()).await;
    assert_eq!(client.get("/inside").await.echoed().target, "/inside");
}

async fn read_head(stream: &mut tokio::net::TcpStream, request: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    stream.write_all(request.as_bytes()).await.expect("a request");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a head"));
    }
    String::from_utf8(head).expect("text")
}
