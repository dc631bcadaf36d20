//! How clients say where they go, and what of it arrives.

use http::Request;
use tokio::net::TcpListener;
use tollgate_tests::{Authority, Client, Curl, Echo, RawClient, RawOrigin, Tollgate, Version, empty, full};

use crate::common::{assert_refused, get};

#[tokio::test]
async fn urls_reach_their_origin() {
    let (origin, tollgate) = (RawOrigin::ok().await, Tollgate::forward().await);
    let answer = RawClient::ask(tollgate.address(), get(&format!("{}/a?b=%2F", origin.url()), "X-Kept: 1\r\n")).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    let seen = origin.only_request();
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("GET", "/a?b=%2F"));
    assert_eq!(seen.fields.get("x-kept"), Some("1"));
}

#[tokio::test]
async fn the_target_counts_whatever_host_says() {
    let (origin, tollgate) = (RawOrigin::ok().await, Tollgate::forward().await);
    let url = origin.url();
    for host in ["elsewhere.test", "127.0.0.1:1", "", &url["http://".len()..]] {
        let request = format!("GET {url}/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(RawClient::ask(tollgate.address(), request).await.text(), "ok", "{host}");
    }
    for request in origin.requests() {
        assert_eq!(request.fields.all("host").collect::<Vec<_>>(), [&url["http://".len()..]]);
    }
}

#[tokio::test]
async fn targets_are_sent_as_origins_want_them() {
    let (origin, tollgate) = (RawOrigin::ok().await, Tollgate::forward().await);
    let at = origin.address();
    for (method, target, sent) in [
        ("GET", format!("HTTP://{at}"), "/"),
        ("GET", format!("http://{at}?a=b"), "/?a=b"),
        ("GET", format!("http://{at}/a/../b//c"), "/a/../b//c"),
        ("OPTIONS", format!("http://{at}"), "*"),
        ("OPTIONS", format!("http://{at}/"), "/"),
        ("GET", format!("http://localhost:{}/name", at.port()), "/name"),
        ("GET", format!("http://0x7f.1:{}/odd", at.port()), "/odd"),
    ] {
        let request = format!("{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(RawClient::ask(tollgate.address(), request).await.text(), "ok", "{target}");
        assert_eq!(origin.targets().last().map(String::as_str), Some(sent), "{target}");
    }
    origin.assert_strict();
}

#[tokio::test]
async fn ipv6_literals_are_targets() {
    let origin = RawOrigin::on(TcpListener::bind("[::1]:0").await.expect("a listener"), |mut conversation| async move {
        while conversation.request().await.is_some() {
            let _ = conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        }
    });
    let tollgate = Tollgate::forward().await;
    let answer = RawClient::ask(tollgate.address(), get(&format!("{}/", origin.url()), "")).await;
    assert_eq!(answer.text(), "ok");
    assert_eq!(origin.only_request().fields.get("host"), Some(format!("[::1]:{}", origin.address().port()).as_str()));
}

#[tokio::test]
async fn whoever_does_not_ask_a_proxy_is_told_so() {
    let tollgate = Tollgate::forward().await;
    let own = tollgate.address();
    for request in [
        "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n".to_owned(),
        format!("GET / HTTP/1.1\r\nHost: {own}\r\n\r\n"),
        "OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n".to_owned(),
        "GET /http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n".to_owned(),
        "GET / HTTP/1.0\r\n\r\n".to_owned(),
    ] {
        assert_refused(tollgate.address(), request, 400, "this is a forward proxy").await;
    }
}

#[tokio::test]
async fn bad_targets_are_refused() {
    let (origin, tollgate) = (RawOrigin::ok().await, Tollgate::forward().await);
    let at = origin.address();
    for target in [
        "a.test:80".to_owned(),
        format!("{at}/"),
        format!("//{at}/"),
        "http:///".to_owned(),
        "http://".to_owned(),
        format!("http:/{at}/"),
        format!("http:\\\\{at}\\"),
        format!("ftp://{at}/"),
        format!("ws://{at}/"),
        format!("file://{at}/etc/passwd"),
        format!("http://user:password@{at}/"),
        format!("http://@{at}/"),
        format!("http://{at}/#fragment"),
        format!("http://{at}\t/"),
        "http://127.0.0.1:0/".to_owned(),
        "http://127.0.0.1:65536/".to_owned(),
        "http://127.0.0.1:80:80/".to_owned(),
        "http://127.0.0.1:+80/".to_owned(),
        "http://[::1/".to_owned(),
        "http://::1/".to_owned(),
        "http://[fe80::1%25eth0]/".to_owned(),
        "http://127.0.0.%31/".to_owned(),
        "http://b\u{fc}cher.example/".to_owned(),
        "http://xn--\u{fc}/".to_owned(),
        format!("http://a.test,{at}/"),
        "http://1.2.3.4.5/".to_owned(),
        format!("*{at}"),
    ] {
        assert_refused(tollgate.address(), format!("GET {target} HTTP/1.1\r\nHost: {at}\r\n\r\n"), 400, "").await;
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn what_could_be_read_in_two_ways_is_refused() {
    let (origin, tollgate) = (RawOrigin::ok().await, Tollgate::forward().await);
    let url = origin.url();
    for (lines, body) in [
        ("Host: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ("Host: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n", "abc"),
        ("Host: a\r\nHost: b\r\n", ""),
        ("", ""),
        ("Host: a b\r\n", ""),
        ("Host: a\r\nTransfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
        ("Host: a\r\nX: 1\r\n y\r\n", ""),
    ] {
        assert_refused(tollgate.address(), format!("POST {url}/ HTTP/1.1\r\n{lines}\r\n{body}"), 400, "").await;
    }
    for first in [format!("GET  {url}/ HTTP/1.1"), format!("GET {url}/ x HTTP/1.1"), format!("GET {url}/ HTTP/1.1\nHost: a")] {
        assert_refused(tollgate.address(), format!("{first}\r\nHost: a\r\n\r\n"), 400, "").await;
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn each_request_of_a_connection_has_its_own_target() {
    let (one, other, tollgate) = (RawOrigin::ok().await, RawOrigin::ok().await, Tollgate::forward().await);
    let mut client = RawClient::connect(tollgate.address()).await;
    let pipelined: String = [(&one, "/1"), (&other, "/2"), (&one, "/3")]
        .map(|(origin, path)| format!("POST {}{path} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", origin.url()))
        .concat();
    client.send(pipelined).await;
    for _ in 0..3 {
        assert_eq!(client.response().await.text(), "ok");
    }
    assert_eq!((one.targets(), other.targets()), (vec!["/1".to_owned(), "/3".to_owned()], vec!["/2".to_owned()]));
    // Kept connections go by target.
    assert_eq!((one.connections(), other.connections()), (1, 1));
}

#[tokio::test]
async fn origins_are_told_nothing_of_client_and_proxy() {
    let origin = RawOrigin::answering(
        "HTTP/1.1 200 OK\r\nProxy-Authenticate: Basic\r\nProxy-Connection: keep-alive\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let tollgate = Tollgate::forward().await;
    let lines = "Proxy-Authorization: Basic aHVudGVyMg==\r\nProxy-Connection: keep-alive\r\nConnection: X-Gone\r\nX-Gone: 1\r\n\
                 X-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\n";
    let answer = RawClient::ask(tollgate.address(), get(&origin.url(), lines)).await;
    assert!(!answer.fields.has("proxy-authenticate") && !answer.fields.has("proxy-connection"), "{answer:?}");
    // What a client says of itself is its own affair.
    assert_eq!(origin.only_request().fields.names().collect::<Vec<_>>(), ["Host", "X-Forwarded-For", "Forwarded"]);
    assert!(!tollgate.logs().contains("aHVudGVyMg"));
}

#[tokio::test]
async fn via_is_added_where_it_is_asked_for() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::builder().forward("main").set("listener.main.via", "edge").start().await;
    let answer = RawClient::ask(tollgate.address(), get(&origin.url(), "Via: 1.0 before\r\n")).await;
    assert_eq!(origin.only_request().fields.get("via"), Some("1.0 before, 1.1 edge"));
    assert_eq!(answer.fields.get("via"), Some("1.1 edge"));
}

#[tokio::test]
async fn http2_clients_name_their_target() {
    let (origin, tollgate) = (Echo::http1().await, Tollgate::forward().await);
    let mut client = Client::connect(Version::Http2, tollgate.address()).await;
    let request = Request::post(format!("{}/a?b", origin.url())).body(full("body")).expect("a request");
    let echoed = client.ask(request).await.echoed();
    assert_eq!((echoed.method.as_str(), echoed.target.as_str(), echoed.length), ("POST", "/a?b", 4));
    assert_eq!(echoed.header("host"), Some(origin.address().to_string().as_str()));
    // Without another target it is the proxy itself.
    let answer = client.get("/").await;
    assert_eq!((answer.status.as_u16(), answer.json()["errcode"].as_str()), (403, Some("M_FORBIDDEN")));
    let tunnel = Request::connect(origin.address().to_string()).body(empty()).expect("a request");
    assert_eq!(client.ask(tunnel).await.status, 405);
}

#[tokio::test]
async fn https_is_spoken_for_clients_and_verified() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let origin = Echo::tls(&authority.localhost(), &["h2", "http/1.1"]).await;
    let url = format!("https://localhost:{}/a", origin.address().port());
    for (trusted, status) in [(&authority, 200), (&stranger, 502)] {
        let tollgate = Tollgate::builder().forward("main").upstream_ca(trusted).start().await;
        let answer = RawClient::ask(tollgate.address(), get(&url, "")).await;
        assert_eq!(answer.status, status);
        let request = Request::get(&url).body(empty()).expect("a request");
        assert_eq!(Client::connect(Version::Http2, tollgate.address()).await.ask(request).await.status, status);
    }
    assert_eq!(origin.requests(), 2);
}

#[tokio::test]
async fn clients_may_speak_tls_with_the_proxy() {
    let authority = Authority::new();
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::builder().forward("main").tls(&authority.localhost()).start().await;
    let config = authority.client_config(&["http/1.1"]);
    let mut client = RawClient::connect_tls(tollgate.address(), &config).await.expect("TLS");
    client.send(get(&origin.url(), "")).await;
    assert_eq!(client.response().await.text(), "ok");
}

#[tokio::test]
async fn websockets_pass_by_url() {
    let origin = RawOrigin::start(|mut conversation| async move {
        let Some(request) = conversation.request().await else { return };
        assert_eq!(request.fields.get("upgrade"), Some("websocket"));
        let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        let _ = conversation.send(switch).await;
        while let Some(bytes) = conversation.take(3).await {
            let _ = conversation.send(&bytes).await;
        }
    })
    .await;
    let tollgate = Tollgate::forward().await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(get(&format!("{}/ws", origin.url()), "Connection: Upgrade\r\nUpgrade: websocket\r\n")).await;
    let switched = client.response_head().await;
    assert_eq!((switched.status, switched.fields.get("connection")), (101, Some("Upgrade")));
    for text in ["abc", "def"] {
        client.send(text).await;
        assert_eq!(client.take(3).await, text);
    }
    assert_eq!(origin.only_request().target, "/ws");
}

#[tokio::test]
async fn curl_goes_through() {
    let (origin, tollgate) = (Echo::http1().await, Tollgate::forward().await);
    let proxy = tollgate.url();
    let curl = |url: String| Curl::new(&url).args(&["--noproxy", "", "--proxy", &proxy]);
    let plain = curl(format!("{}/plain", origin.url())).args(&["--data", "hello"]).run().await;
    assert_eq!((plain.status, String::from_utf8_lossy(&plain.body).contains("\"target\":\"/plain\"")), (200, true), "{plain:?}");
    let tunnelled = curl(format!("{}/tunnelled", origin.url())).arg("--proxytunnel").run().await;
    assert_eq!(tunnelled.status, 200, "{tunnelled:?}");
    let authority = Authority::new();
    let secret = Echo::tls(&authority.localhost(), &["h2", "http/1.1"]).await;
    let url = format!("https://localhost:{}/", secret.address().port());
    let over_tls = curl(url).arg("--cacert").arg(authority.ca()).run().await;
    assert_eq!((over_tls.status, over_tls.version.as_str()), (200, "2"), "{over_tls:?}");
    assert_eq!((origin.requests(), secret.requests()), (2, 1));
}
