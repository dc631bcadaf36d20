//! HTTP/1.1 and HTTP/2 on either side, in cleartext and over TLS, and the certificates for it.

use http::{HeaderMap, HeaderValue};
use tollgate_tests::{
    Authority, Builder, Client, Curl, Echo, RawClient, RawOrigin, Tollgate, Version, channel, eventually, full,
};

use crate::common::{assert_core_error, request};

const SHA_OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// A POST with a body and trailers arrives as it was sent, and so does an answer with trailers.
async fn converse(client: &mut Client, upstream: Version) {
    let (sender, body) = channel();
    let post = http::Request::post("/path?query")
        .header("x-a", "1")
        .header("x-a", "2")
        .header("trailer", "x-sum")
        .body(body)
        .expect("a request");
    let asked = tokio::spawn(client.start(post));
    assert!(sender.send("ab").await && sender.send("c").await);
    sender.trailers(HeaderMap::from_iter([("x-sum".parse().expect("a name"), HeaderValue::from_static("1"))])).await;
    let response = asked.await.expect("a task").expect("a response");
    let answer = tollgate_tests::Answer::read(response).await.expect("a body");
    let echoed = answer.echoed();
    let version = if upstream == Version::Http1 { "HTTP/1.1" } else { "HTTP/2.0" };
    assert_eq!((echoed.version.as_str(), echoed.method.as_str(), echoed.target.as_str()), (version, "POST", "/path?query"));
    assert_eq!((echoed.length, echoed.sha256.as_str()), (3, SHA_OF_ABC));
    assert_eq!(
        echoed.headers.iter().filter(|(name, _)| name == "x-a").map(|(_, value)| value.as_str()).collect::<Vec<_>>(),
        ["1", "2"]
    );
    assert_eq!(echoed.trailers, [("x-sum".to_owned(), "1".to_owned())]);
    client.ready().await.expect("a connection");
    let answer = client.ask(http::Request::get("/trailers").header("te", "trailers").body(full("")).expect("a request")).await;
    assert_eq!((answer.text().as_str(), answer.trailers.get("x-sum").map(HeaderValue::as_bytes)), ("ok", Some(&b"1"[..])));
    assert_eq!(client.get("/bytes/100000").await.body.len(), 100_000);
    assert_eq!(client.get("/status/418").await.status, 418);
}

async fn pairs(echo: &Echo, upstream: Version, make: impl Fn(Builder) -> Builder) {
    let tollgate = make(Tollgate::builder().upstream(&echo.url())).start().await;
    for version in Version::BOTH {
        converse(&mut Client::connect(version, tollgate.address()).await, upstream).await;
    }
    let authority = Authority::new();
    let tollgate = make(Tollgate::builder().upstream(&echo.url()).tls(&authority.localhost())).start().await;
    assert!(tollgate.url().starts_with("https://"));
    for (offer, version) in [("http/1.1", Version::Http1), ("h2", Version::Http2)] {
        let mut client = Client::connect_tls(tollgate.address(), authority.client_config(&[offer])).await.expect("TLS");
        assert_eq!(client.version(), version);
        converse(&mut client, upstream).await;
    }
}

#[tokio::test]
async fn cleartext_http1_upstreams_are_served() {
    pairs(&Echo::http1().await, Version::Http1, |builder| builder).await;
}

#[tokio::test]
async fn cleartext_http2_upstreams_are_served() {
    let echo = Echo::http2().await;
    pairs(&echo, Version::Http2, |builder| builder.set("listener.main.upstream_protocol", "h2")).await;
    // Each of the two proxies needs one connection only.
    assert_eq!(echo.connections(), 2);
}

#[tokio::test]
async fn tls_http1_upstreams_are_served() {
    let authority = Authority::new();
    let echo = Echo::tls(&authority.localhost(), &["http/1.1"]).await;
    pairs(&echo, Version::Http1, |builder| builder.upstream_ca(&authority)).await;
}

#[tokio::test]
async fn tls_http2_upstreams_are_served() {
    let authority = Authority::new();
    let echo = Echo::tls(&authority.localhost(), &["h2", "http/1.1"]).await;
    pairs(&echo, Version::Http2, |builder| builder.upstream_ca(&authority)).await;
}

#[tokio::test]
async fn upstreams_can_be_held_to_http1() {
    let authority = Authority::new();
    let echo = Echo::tls(&authority.localhost(), &["h2", "http/1.1"]).await;
    let builder = Tollgate::builder().upstream(&echo.url()).set("listener.main.upstream_protocol", "http1");
    let tollgate = builder.upstream_ca(&authority).start().await;
    assert_eq!(Client::fetch(Version::Http2, tollgate.address(), "/").await.echoed().version, "HTTP/1.1");
}

#[tokio::test]
async fn upstreams_must_speak_what_is_asked() {
    let authority = Authority::new();
    let echo = Echo::tls(&authority.localhost(), &["http/1.1"]).await;
    let builder = Tollgate::builder().upstream(&echo.url()).set("listener.main.upstream_protocol", "h2");
    let tollgate = builder.upstream_ca(&authority).start().await;
    assert_eq!(Client::fetch(Version::Http1, tollgate.address(), "/").await.status, 502);
    let origin = RawOrigin::closing("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
    let tollgate = Tollgate::builder().upstream(&origin.url()).set("listener.main.upstream_protocol", "h2").start().await;
    assert_eq!(Client::fetch(Version::Http1, tollgate.address(), "/").await.status, 502);
}

#[tokio::test]
async fn untrusted_upstreams_are_bad_gateways() {
    let authority = Authority::new();
    let strangers = Authority::new();
    let cases = [
        ("another authority", strangers.localhost(), Some(&authority)),
        ("another name", authority.identity("other", &["other.test"]), Some(&authority)),
        ("the system's authorities", authority.localhost(), None),
    ];
    for (case, identity, trusted) in cases {
        let echo = Echo::tls(&identity, &["h2", "http/1.1"]).await;
        let builder = Tollgate::builder().upstream(&echo.url());
        let builder = if let Some(trusted) = trusted { builder.upstream_ca(trusted) } else { builder };
        let tollgate = builder.start().await;
        let response = RawClient::ask(tollgate.address(), request("GET", "", "")).await;
        assert_core_error(&response, 502, case);
        assert!(response.text().contains("TLS"), "{case}: {}", response.text());
        assert_eq!(echo.requests(), 0, "{case}");
    }
}

#[tokio::test]
async fn cleartext_upstreams_of_https_are_bad_gateways() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url().replace("http:", "https:")).await;
    assert_core_error(&RawClient::ask(tollgate.address(), request("GET", "", "")).await, 502, "cleartext");
}

#[tokio::test]
async fn protocols_are_told_apart_by_their_start() {
    let origin = RawOrigin::ok().await;
    let authority = Authority::new();
    let tollgate = Tollgate::builder().upstream(&origin.url()).tls(&authority.localhost()).start().await;
    // Without ALPN the preface decides, as in cleartext.
    let config = authority.client_config(&[]);
    let mut client = Client::connect_tls(tollgate.address(), config.clone()).await.expect("TLS");
    assert_eq!(client.get("/").await.text(), "ok");
    let mut client = RawClient::connect_tls(tollgate.address(), &config).await.expect("TLS");
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    assert_eq!(client.take(4).await[3], 4);
    assert_eq!(origin.requests()[0].fields.get("x-forwarded-proto"), Some("https"));
}

#[tokio::test]
async fn split_prefaces_are_recognised() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0" {
        client.send([*byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.take(4).await[3], 4);
    let mut client = RawClient::connect(tollgate.address()).await;
    for byte in b"PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n" {
        client.send([*byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.response().await.text(), "ok");
}

#[tokio::test]
async fn cleartext_on_tls_listeners_is_closed() {
    let origin = RawOrigin::ok().await;
    let authority = Authority::new();
    let tollgate = Tollgate::builder().upstream(&origin.url()).tls(&authority.localhost()).start().await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(request("GET", "", "")).await;
    assert!(!client.read_to_end().await.starts_with(b"HTTP"));
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn curl_speaks_all_of_it() {
    let echo = Echo::http1().await;
    let authority = Authority::new();
    let tollgate = Tollgate::builder().upstream(&echo.url()).tls(&authority.localhost()).start().await;
    let url = tollgate.url().replace("127.0.0.1", "localhost");
    for (flags, version) in [(&["--http1.1"][..], "1.1"), (&["--http2"], "2"), (&["--http1.0", "--no-alpn"], "1.1")] {
        let answer = Curl::new(&url).args(flags).args(&["--data", "abc", "--cacert"]).arg(authority.ca()).run().await;
        assert_eq!((answer.code, answer.status, answer.version.as_str()), (0, 200, version), "{flags:?}: {answer:?}");
        let echoed: tollgate_tests::Echoed = serde_json::from_slice(&answer.body).expect("an echo");
        assert_eq!((echoed.sha256.as_str(), echoed.header("x-forwarded-proto")), (SHA_OF_ABC, Some("https")), "{flags:?}");
    }
}

#[tokio::test]
async fn certificates_are_reloaded() {
    let origin = RawOrigin::ok().await;
    let authority = Authority::new();
    let identity = authority.localhost();
    let first = identity.der();
    let tollgate = Tollgate::builder().upstream(&origin.url()).tls(&identity).start().await;
    let config = authority.client_config(&["http/1.1"]);
    let mut old = RawClient::connect_tls(tollgate.address(), &config).await.expect("TLS");
    assert_eq!(old.certificate(), Some(&first));
    // Key and certificate cannot be written at once: what does not go together must not be taken over.
    let second = authority.localhost().der();
    assert_ne!(first, second);
    tollgate.reload().await;
    let new = RawClient::connect_tls(tollgate.address(), &config).await.expect("TLS");
    assert_eq!(new.certificate(), Some(&second));
    old.send(request("GET", "", "")).await;
    assert_eq!(old.response().await.text(), "ok");
    std::fs::write(&identity.cert, "no certificate").expect("a file");
    tollgate.reload().await;
    let new = RawClient::connect_tls(tollgate.address(), &config).await.expect("TLS");
    assert_eq!(new.certificate(), Some(&second));
}

#[tokio::test]
async fn changed_certificates_are_found_without_a_signal() {
    let origin = RawOrigin::ok().await;
    let authority = Authority::new();
    let identity = authority.localhost();
    let tollgate = Tollgate::builder().upstream(&origin.url()).tls(&identity).start().await;
    let second = authority.localhost().der();
    let config = authority.client_config(&["http/1.1"]);
    eventually(async || {
        let client = RawClient::connect_tls(tollgate.address(), &config).await.expect("TLS");
        client.certificate() == Some(&second)
    })
    .await;
}

#[tokio::test]
async fn trust_in_upstreams_is_reloaded() {
    let (old, new) = (Authority::new(), Authority::new());
    let echo = Echo::tls(&new.localhost(), &["http/1.1"]).await;
    let tollgate = Tollgate::builder().upstream(&echo.url()).upstream_ca(&old).start().await;
    assert_eq!(Client::fetch(Version::Http1, tollgate.address(), "/").await.status, 502);
    std::fs::copy(new.ca(), old.ca()).expect("a file");
    tollgate.reload().await;
    assert_eq!(Client::fetch(Version::Http1, tollgate.address(), "/").await.status, 200);
}
