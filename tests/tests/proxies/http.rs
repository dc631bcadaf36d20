//! HTTP proxies: URLs for what is plain, tunnels for the rest.

use tollgate_tests::{Authority, Client, Echo, RawClient, RawOrigin, SocketClient, SocketEnd, Tollgate, Version, sockets};

use crate::common::{Scripted, by_way_of, second};

#[tokio::test]
async fn plain_upstreams_are_asked_for_by_their_urls() {
    let proxy = Scripted::answering("200 OK").await;
    let tollgate = by_way_of(&proxy.url(), "http://upstream.test:8008").start().await;
    let mut client = Client::connect(Version::Http1, tollgate.address()).await;
    for target in ["/a?b", "/c"] {
        assert_eq!(client.get(target).await.text(), "no");
    }
    let head = "OPTIONS * HTTP/1.1\r\nHost: a\r\nProxy-Authorization: Basic aHVudGVyMg==\r\n\r\n";
    assert_eq!(RawClient::ask(tollgate.address(), head).await.text(), "no");
    let url = "http://upstream.test:8008";
    assert_eq!(proxy.targets(), [format!("{url}/a?b"), format!("{url}/c"), url.to_owned()]);
    for head in proxy.heads() {
        assert_eq!(head.matches("\r\nHost: upstream.test:8008\r\n").count(), 1, "{head}");
        // What the client had for a proxy was for this one.
        assert!(!head.contains("Proxy-Authorization"), "{head}");
    }
    assert_eq!(proxy.connections(), 1);
}

#[tokio::test]
async fn a_second_proxy_serves_all_kinds_of_upstreams() {
    let (second, authority) = (second().await, Authority::new());
    let identity = authority.localhost();
    for (origin, version) in [
        (Echo::http1().await, "HTTP/1.1"),
        (Echo::tls(&identity, &["http/1.1"]).await, "HTTP/1.1"),
        (Echo::tls(&identity, &["h2", "http/1.1"]).await, "HTTP/2.0"),
    ] {
        let url = origin.url().replace("127.0.0.1", "localhost");
        let builder = by_way_of(&second.url(), &url);
        let builder = if url.starts_with("https") { builder.upstream_ca(&authority) } else { builder };
        let tollgate = builder.start().await;
        let mut client = Client::connect(Version::Http1, tollgate.address()).await;
        for number in 0..3 {
            let echoed = client.get("/a").await.echoed();
            assert_eq!(
                (echoed.version.as_str(), echoed.target.as_str(), echoed.connection),
                (version, "/a", 0),
                "{number} {url}"
            );
        }
        let asked = if url.starts_with("https") { "CONNECT" } else { "GET" };
        // A tunnel is told of when it ends.
        drop(tollgate);
        second.logged(&format!("request.method={asked}")).await;
    }
    let origin = Echo::http2().await;
    let tollgate = by_way_of(&second.url(), &origin.url()).set("listener.main.upstream_protocol", "h2").start().await;
    assert_eq!(Client::fetch(Version::Http2, tollgate.address(), "/").await.echoed().version, "HTTP/2.0");
}

#[tokio::test]
async fn sockets_and_other_hosts_take_a_tunnel() {
    let (second, sockets) = (second().await, sockets("", SocketEnd::echo).await);
    let tollgate = by_way_of(&second.url(), &sockets.url()).start().await;
    let mut client = SocketClient::open(tollgate.address(), "").await;
    client.send(0x81, "hello").await;
    assert_eq!(client.frame().await.shown(), (0x81, "hello".to_owned()));
    assert_eq!(sockets.targets(), ["/"]);
    // An HTTP proxy would replace the client's Host.
    let origin = RawOrigin::ok().await;
    let tollgate = by_way_of(&second.url(), &origin.url()).set("listener.main.preserve_host", "true").start().await;
    let mut client = Client::connect(Version::Http1, tollgate.address()).await;
    for _ in 0..2 {
        let request = ::http::Request::get("/").header("host", "client.test").body(tollgate_tests::empty()).expect("a request");
        assert_eq!(client.ask(request).await.text(), "ok");
        assert_eq!(
            origin.requests().pop().and_then(|request| request.fields.get("host").map(str::to_owned)).as_deref(),
            Some("client.test")
        );
    }
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn a_connection_for_urls_is_none_for_sockets() {
    let sockets = sockets("", SocketEnd::echo).await;
    let second = second().await;
    let tollgate = by_way_of(&second.url(), &sockets.url()).start().await;
    // One that is kept is asked for URLs.
    let answer = Client::fetch(Version::Http1, tollgate.address(), "/plain").await;
    assert!(answer.status.as_u16() >= 400 || answer.status == 200);
    assert_eq!(SocketClient::open(tollgate.address(), "").await.response.status, 101);
    drop(tollgate);
    second.logged("request.method=CONNECT").await;
}

#[tokio::test]
async fn proxies_behind_tls_are_verified() {
    let (authority, stranger, origin) = (Authority::new(), Authority::new(), RawOrigin::ok().await);
    let second = Tollgate::builder().forward("main").tls(&authority.localhost()).start().await;
    let url = second.url().replace("127.0.0.1", "localhost");
    assert!(url.starts_with("https://"), "{url}");
    let ca = |authority: &Authority| format!("{:?}", authority.ca().to_string_lossy());
    let tollgate = by_way_of(&url, &origin.url()).set("listener.main.proxy_ca", ca(&authority)).start().await;
    assert_eq!(Client::fetch(Version::Http1, tollgate.address(), "/").await.text(), "ok");
    let tls = Echo::tls(&authority.localhost(), &["h2"]).await;
    let through = Tollgate::builder()
        .forward("main")
        .tls(&authority.localhost())
        .set("listener.main.targets.connect_ports", "any")
        .start()
        .await;
    let url = through.url().replace("127.0.0.1", "localhost");
    let upstream = tls.url().replace("127.0.0.1", "localhost");
    let tollgate = by_way_of(&url, &upstream).set("listener.main.proxy_ca", ca(&authority)).upstream_ca(&authority).start().await;
    assert_eq!(Client::fetch(Version::Http1, tollgate.address(), "/").await.echoed().version, "HTTP/2.0");
    let tollgate = by_way_of(&url, &origin.url()).set("listener.main.proxy_ca", ca(&stranger)).start().await;
    let answer = Client::fetch(Version::Http1, tollgate.address(), "/").await;
    assert_eq!((answer.status.as_u16(), origin.requests().len()), (502, 1));
    assert!(answer.text().contains("TLS with it failed"), "{}", answer.text());
}

#[tokio::test]
async fn forward_listeners_go_through_proxies() {
    let (second, authority) = (second().await, Authority::new());
    let origin = Echo::tls(&authority.localhost(), &["http/1.1"]).await;
    let plain = RawOrigin::ok().await;
    let tollgate = Tollgate::builder()
        .forward("main")
        .set("listener.main.targets.connect_ports", "any")
        .set("listener.main.proxy", format!("{:?}", second.url()))
        .start()
        .await;
    let answer = RawClient::ask(tollgate.address(), format!("GET {}/a HTTP/1.1\r\nHost: x\r\n\r\n", plain.url())).await;
    assert_eq!((answer.text().as_str(), plain.targets()), ("ok", vec!["/a".to_owned()]));
    // A tunnel of the second one, in that of the first.
    let curl = tollgate_tests::Curl::new(&format!("https://localhost:{}/b", origin.address().port()));
    let curl = curl.args(&["--noproxy", "", "--proxy", &tollgate.url(), "--cacert"]).arg(authority.ca());
    let answer = curl.run().await;
    assert_eq!(answer.status, 200, "{}", answer.stderr);
    second.logged("request.method=CONNECT").await;
    second.logged("request.method=GET").await;
}
