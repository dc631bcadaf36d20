//! What happens to fields, targets and methods on the way through.

use tollgate_tests::{Answer, Client, Echo, Fields, RawClient, RawOrigin, Tollgate, Version, empty};

use crate::common::request;

/// A field list as text: `name=value`.
fn shown(fields: &Fields) -> Vec<String> {
    fields.0.iter().map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value))).collect()
}

/// Names of an answer over HTTP/2, which has a Date where the origin sent none (RFC 9110, 6.6.1).
fn names(answer: &Answer) -> Vec<&str> {
    answer.headers.keys().map(http::HeaderName::as_str).filter(|name| *name != "date").collect()
}

#[tokio::test]
async fn order_and_case_are_kept() {
    let answer = "HTTP/1.1 200 OK\r\nx-B: 1\r\nSET-Cookie: a\r\nX-a: 2\r\nset-cookie: b\r\nContent-Length: 0\r\nETag:\r\n\r\n";
    let origin = RawOrigin::answering(answer).await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let lines = "x-B: 1\r\nACCEPT: a\r\nX-a:   2 \r\naccept: b\r\nx-B: 3\r\nEmpty:\r\n";
    let response = RawClient::ask(tollgate.address(), request("GET", lines, "")).await;
    assert_eq!(shown(&response.fields), ["x-B=1", "SET-Cookie=a", "X-a=2", "set-cookie=b", "ETag=", "Content-Length=0"]);
    let host = format!("Host={}", origin.address());
    let expected = [
        host.as_str(),
        "x-B=1",
        "ACCEPT=a",
        "X-a=2",
        "accept=b",
        "x-B=3",
        "Empty=",
        "X-Forwarded-For=127.0.0.1",
        "X-Forwarded-Proto=http",
        "X-Forwarded-Host=a.test",
    ];
    assert_eq!(shown(&origin.only_request().fields), expected);
}

#[tokio::test]
async fn bytes_beyond_ascii_pass() {
    let origin = RawOrigin::answering(&b"HTTP/1.1 200 OK\r\nX: \xff\xc3\xa4\x80\r\nContent-Length: 0\r\n\r\n"[..]).await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: a\xff\tb\xc3\xa4\r\n\r\n").await;
    let response = client.response().await;
    assert_eq!(response.fields.0[0].1, b"\xff\xc3\xa4\x80");
    let (_, value) = origin.only_request().fields.0.into_iter().find(|(name, _)| name == "X").expect("the field");
    assert_eq!(value, b"a\xff\tb\xc3\xa4");
}

#[tokio::test]
async fn hop_by_hop_fields_stay_behind() {
    let hops = "Connection: x-hop, Keep-Alive\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nProxy-Authenticate: a\r\n\
                Proxy-Authorization: b\r\nTE: gzip\r\nUpgrade: foo\r\nconnection: X-Hop-2\r\nx-hop-2: 1\r\nHTTP2-Settings: x\r\n\
                X-Kept: 1\r\n";
    let origin = RawOrigin::answering(format!("HTTP/1.1 200 OK\r\n{hops}Content-Length: 2\r\n\r\nok")).await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let response = RawClient::ask(tollgate.address(), request("GET", hops, "")).await;
    assert_eq!(response.fields.names().collect::<Vec<_>>(), ["X-Kept", "Content-Length"]);
    let kept = ["Host", "X-Kept", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"];
    assert_eq!(origin.only_request().fields.names().collect::<Vec<_>>(), kept);
    let answer = Client::fetch(Version::Http2, tollgate.address(), "/").await;
    assert_eq!(names(&answer), ["x-kept", "content-length"]);
}

#[tokio::test]
async fn framing_cannot_be_nominated_away() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    for (lines, body) in [
        ("Connection: content-length\r\nContent-Length: 3\r\n", "abc"),
        ("Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
        ("Connection: host\r\nContent-Length: 3\r\n", "abc"),
        ("Connection: close, x-forwarded-for, x-forwarded-proto, x-forwarded-host\r\nContent-Length: 3\r\n", "abc"),
    ] {
        let response = RawClient::ask(tollgate.address(), request("POST", lines, body)).await;
        assert_eq!(response.status, 200, "{lines:?}");
    }
    for request in origin.requests() {
        assert_eq!((request.text().as_str(), request.fields.get("x-forwarded-for")), ("abc", Some("127.0.0.1")));
    }
    assert_eq!(origin.requests().len(), 4);
    origin.assert_strict();
}

#[tokio::test]
async fn host_is_the_upstreams() {
    for version in Version::BOTH {
        let origin = RawOrigin::ok().await;
        let tollgate = Tollgate::before(&origin.url()).await;
        Client::fetch(version, tollgate.address(), "http://a.test:81/x").await;
        let request = origin.only_request();
        assert_eq!(request.fields.get("host"), Some(origin.address().to_string().as_str()));
        assert_eq!(request.fields.get("x-forwarded-host"), Some("a.test:81"));
    }
}

#[tokio::test]
async fn host_can_be_preserved() {
    for version in Version::BOTH {
        let origin = RawOrigin::ok().await;
        let tollgate = Tollgate::builder().upstream(&origin.url()).set("listener.main.preserve_host", true).start().await;
        Client::fetch(version, tollgate.address(), "http://a.test:81/x").await;
        assert_eq!(origin.only_request().fields.get("host"), Some("a.test:81"));
        let echo = Echo::http2().await;
        let tollgate = Tollgate::builder()
            .upstream(&echo.url())
            .set("listener.main.preserve_host", true)
            .set("listener.main.upstream_protocol", "h2")
            .start()
            .await;
        let echoed = Client::fetch(version, tollgate.address(), "http://a.test:81/x").await.echoed();
        assert_eq!((echoed.authority.as_deref(), echoed.header("host")), (Some("a.test:81"), None));
    }
}

#[tokio::test]
async fn hostless_old_requests_get_the_upstreams() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::builder().upstream(&origin.url()).set("listener.main.preserve_host", true).start().await;
    for text in ["GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nHost:\r\n\r\n"] {
        assert_eq!(RawClient::ask(tollgate.address(), text).await.status, 200, "{text:?}");
    }
    for request in origin.requests() {
        assert_eq!(request.fields.get("host"), Some(origin.address().to_string().as_str()));
        assert!(!request.fields.has("x-forwarded-host"));
    }
}

/// What a client claims about where it comes from.
const CLAIMS: [(&str, &str); 5] = [
    ("x-forwarded-for", "1.2.3.4"),
    ("x-forwarded-for", "5.6.7.8"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "claimed.test"),
    ("forwarded", "for=1.2.3.4"),
];

async fn claimed(tollgate: &Tollgate, version: Version) {
    let mut claim = http::Request::get("http://a.test/");
    for (name, value) in CLAIMS {
        claim = claim.header(name, value);
    }
    let mut client = Client::connect(version, tollgate.address()).await;
    assert_eq!(client.ask(claim.body(empty()).expect("a request")).await.status, 200);
}

#[tokio::test]
async fn claims_of_strangers_are_replaced() {
    let origin = RawOrigin::ok().await;
    for trust in ["false", "\"10.0.0.0/8\"", "[\"192.0.2.1\", \"::1\"]"] {
        let tollgate = Tollgate::builder().upstream(&origin.url()).set("listener.main.trust_forwarded", trust).start().await;
        for version in Version::BOTH {
            claimed(&tollgate, version).await;
        }
    }
    for request in origin.requests() {
        let fields = &request.fields;
        assert_eq!(fields.all("x-forwarded-for").collect::<Vec<_>>(), ["127.0.0.1"]);
        assert_eq!(fields.all("x-forwarded-proto").collect::<Vec<_>>(), ["http"]);
        assert_eq!(fields.all("x-forwarded-host").collect::<Vec<_>>(), ["a.test"]);
        assert!(!fields.has("forwarded"));
    }
    assert_eq!(origin.requests().len(), 6);
}

#[tokio::test]
async fn claims_of_the_trusted_are_extended() {
    let origin = RawOrigin::ok().await;
    for trust in ["true", "\"loopback\"", "[\"10.0.0.0/8\", \"127.0.0.0/8\"]", "\"127.0.0.1\""] {
        let tollgate = Tollgate::builder().upstream(&origin.url()).set("listener.main.trust_forwarded", trust).start().await;
        for version in Version::BOTH {
            claimed(&tollgate, version).await;
        }
    }
    for request in origin.requests() {
        let fields = &request.fields;
        assert_eq!(fields.all("x-forwarded-for").collect::<Vec<_>>(), ["1.2.3.4, 5.6.7.8, 127.0.0.1"]);
        assert_eq!(fields.all("x-forwarded-proto").collect::<Vec<_>>(), ["https"]);
        assert_eq!(fields.all("x-forwarded-host").collect::<Vec<_>>(), ["claimed.test"]);
        assert_eq!(fields.all("forwarded").collect::<Vec<_>>(), ["for=1.2.3.4"]);
    }
    assert_eq!(origin.requests().len(), 8);
}

#[tokio::test]
async fn via_is_only_added_on_request() {
    let origin = RawOrigin::answering("HTTP/1.1 200 OK\r\nVia: 1.0 inner\r\nContent-Length: 0\r\n\r\n").await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let response = RawClient::ask(tollgate.address(), request("GET", "Via: 1.1 outer\r\n", "")).await;
    assert_eq!(response.fields.all("via").collect::<Vec<_>>(), ["1.0 inner"]);
    let tollgate = Tollgate::builder().upstream(&origin.url()).set("listener.main.via", "edge").start().await;
    let response = RawClient::ask(tollgate.address(), request("GET", "Via: 1.1 outer\r\n", "")).await;
    assert_eq!(response.fields.all("via").collect::<Vec<_>>(), ["1.0 inner, 1.1 edge"]);
    Client::fetch(Version::Http2, tollgate.address(), "/").await;
    let seen: Vec<_> = origin.requests().iter().map(|request| request.fields.get("via").map(str::to_owned)).collect();
    assert_eq!(seen, [Some("1.1 outer".to_owned()), Some("1.1 outer, 1.1 edge".to_owned()), Some("2 edge".to_owned())]);
}

#[tokio::test]
async fn nothing_else_is_added() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let response = RawClient::ask(tollgate.address(), request("GET", "", "")).await;
    assert_eq!(response.fields.names().collect::<Vec<_>>(), ["Content-Length"]);
    let answer = Client::fetch(Version::Http2, tollgate.address(), "/").await;
    assert_eq!(names(&answer), ["content-length"]);
}

#[tokio::test]
async fn targets_pass_as_they_are() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let targets = [
        "/a%2Fb%2f..%2e/../c/./d",
        "//double//slashes/",
        "/?",
        "/?q=%20&r=a+b&&=",
        "/a;b=c,d?e?f/g",
        "/!$&'()*+,;=:@-._~",
        "/%",
        "/%zz",
        "/[x]|y",
    ];
    for target in targets {
        let text = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(RawClient::ask(tollgate.address(), text).await.status, 200, "{target}");
    }
    assert_eq!(origin.targets(), targets);
    for target in &targets[..6] {
        assert_eq!(Client::fetch(Version::Http2, tollgate.address(), target).await.status, 200, "{target}");
    }
    assert_eq!(origin.targets()[targets.len()..], targets[..6]);
    let echo = Echo::http2().await;
    let tollgate = Tollgate::builder().upstream(&echo.url()).set("listener.main.upstream_protocol", "h2").start().await;
    for target in targets {
        let text = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let response = RawClient::ask(tollgate.address(), text).await;
        assert_eq!((response.status, response.json()["target"].as_str()), (200, Some(target)));
    }
}

#[tokio::test]
async fn targets_that_http2_cannot_carry_are_told() {
    let echo = Echo::http2().await;
    let tollgate = Tollgate::builder().upstream(&echo.url()).set("listener.main.upstream_protocol", "h2").start().await;
    for target in ["/\"x\"", "/<x>", "/{x}", "/a\\b", "/^`"] {
        let response = RawClient::ask(tollgate.address(), format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        match response.status {
            200 => assert_eq!(response.json()["target"].as_str(), Some(target)),
            status => assert_eq!(status, 502, "{target}"),
        }
    }
}

#[tokio::test]
async fn asterisk_is_for_options() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    for text in ["OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n"] {
        assert_eq!(RawClient::ask(tollgate.address(), text).await.status, 200);
    }
    assert_eq!(origin.targets(), ["*", "*"]);
    origin.assert_strict();
    let echo = Echo::http2().await;
    let tollgate = Tollgate::builder().upstream(&echo.url()).set("listener.main.upstream_protocol", "h2").start().await;
    let response = RawClient::ask(tollgate.address(), "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(response.json()["target"], "*", "{response:?}");
}

#[tokio::test]
async fn any_method_passes() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let methods = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "M-SEARCH", "get", "x!#$%&'*+.^_`|~"];
    for method in methods {
        assert_eq!(RawClient::ask(tollgate.address(), request(method, "", "")).await.status, 200, "{method}");
    }
    let seen: Vec<_> = origin.requests().into_iter().map(|request| request.method).collect();
    assert_eq!(seen, methods);
}

#[tokio::test]
async fn repeated_cookies_stay_apart() {
    let answer = "HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Expires=Wed, 21 Oct\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n";
    let origin = RawOrigin::answering(answer).await;
    let tollgate = Tollgate::before(&origin.url()).await;
    for version in Version::BOTH {
        let answer = Client::fetch(version, tollgate.address(), "/").await;
        let cookies: Vec<_> = answer.headers.get_all("set-cookie").iter().map(http::HeaderValue::as_bytes).collect();
        assert_eq!(cookies, [&b"a=1; Expires=Wed, 21 Oct"[..], b"b=2"]);
    }
}
