//! Responses: malformed ones, those without body, and those that break off.

use tollgate_tests::{Client, RawClient, RawOrigin, Tollgate, Version, empty, eventually};

use crate::common::{assert_core_error, request};

/// An origin that answers `/N` with the Nth of these, then closes.
async fn origin_of(answers: &[&str]) -> RawOrigin {
    let answers: Vec<String> = answers.iter().map(ToString::to_string).collect();
    RawOrigin::start(move |mut conversation| {
        let answers = answers.clone();
        async move {
            let Some(request) = conversation.request().await else { return };
            let number: usize = request.target.trim_start_matches('/').parse().expect("a number");
            let _ = conversation.send(&answers[number]).await;
            conversation.close().await;
        }
    })
    .await
}

/// Each of these is a bad gateway to clients of both versions, whose connections go on.
async fn all_bad(answers: &[&str]) {
    let origin = origin_of(answers).await;
    let tollgate = Tollgate::before(&origin.url()).await;
    for version in Version::BOTH {
        let mut client = Client::connect(version, tollgate.address()).await;
        for (number, case) in answers.iter().enumerate() {
            let answer = client.get(&format!("/{number}")).await;
            let json = answer.json();
            assert_eq!((answer.status.as_u16(), json["errcode"].as_str()), (502, Some("M_UNKNOWN")), "{case:?} {version:?}");
            assert_eq!(answer.header("content-type"), Some("application/json"), "{case:?} {version:?}");
        }
    }
}

#[tokio::test]
async fn malformed_heads_are_bad_gateways() {
    all_bad(&[
        "",
        "<html>",
        "<html>\r\n\r\n",
        "garbage\r\n\r\n",
        "HTTP/1.1\r\n\r\n",
        "HTTP/1.1 \r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 099 X\r\n\r\n",
        "HTTP/1.1 600 X\r\n\r\n",
        "HTTP/1.1 999 X\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.2 200 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n",
        "HTTP/1.1 200 OK\r\nX : 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\n X: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: 1\r\n 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\x01b\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX\r\n\r\n",
        "HTTP/1.1 200 O\rK\r\n\r\n",
        "HTTP/1.1 200 O\0K\r\n\r\n",
    ])
    .await;
}

#[tokio::test]
async fn unclear_framing_is_a_bad_gateway() {
    let heads = [
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n",
        "Content-Length: 2\r\nContent-Length: 3\r\n",
        "Content-Length: 2, 3\r\n",
        "Content-Length: +2\r\n",
        "Content-Length: -2\r\n",
        "Content-Length: 0x2\r\n",
        "Content-Length: \r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: \x0bchunked\r\n",
    ]
    .map(|lines| format!("HTTP/1.1 200 OK\r\n{lines}\r\n2\r\nok\r\n0\r\n\r\n"));
    let old = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let all: Vec<&str> = heads.iter().map(String::as_str).chain([old]).collect();
    all_bad(&all).await;
}

#[tokio::test]
async fn unasked_switches_are_bad_gateways() {
    all_bad(&[
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ])
    .await;
}

#[tokio::test]
async fn repeated_equal_lengths_are_one() {
    let origin = RawOrigin::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok").await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let response = RawClient::ask(tollgate.address(), request("GET", "", "")).await;
    assert_eq!((response.text().as_str(), response.fields.all("content-length").count()), ("ok", 1));
}

#[tokio::test]
async fn statuses_and_reasons_pass() {
    let answers = [
        "HTTP/1.1 200 Fine\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 599 Odd one\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 504\r\nContent-Length: 0\r\n\r\n",
    ];
    let origin = origin_of(&answers).await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let expected = [(200, "Fine"), (299, ""), (404, "Not Found"), (503, "Busy"), (599, "Odd one"), (504, "Gateway Timeout")];
    for (number, (status, reason)) in expected.into_iter().enumerate() {
        let mut client = RawClient::connect(tollgate.address()).await;
        client.send(format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let response = client.response().await;
        assert_eq!((response.status, response.reason.as_str(), response.body.len()), (status, reason, 0));
        assert_eq!(Client::fetch(Version::Http2, tollgate.address(), &format!("/{number}")).await.status, status);
    }
}

#[tokio::test]
async fn broken_bodies_break_the_message() {
    let answers = [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0x1\r\nd\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX : 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
    ];
    let origin = origin_of(&answers).await;
    let tollgate = Tollgate::before(&origin.url()).await;
    for (number, case) in answers.iter().enumerate() {
        let mut client = RawClient::connect(tollgate.address()).await;
        client.send(format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let broken = client.try_response("GET").await;
        assert!(broken.is_err(), "{case:?}: {broken:?}");
        let mut client = Client::connect(Version::Http2, tollgate.address()).await;
        let get = http::Request::get(format!("/{number}")).body(empty()).expect("a request");
        let broken = client.try_ask(get).await;
        assert!(broken.is_err(), "{case:?}: {broken:?}");
    }
}

#[tokio::test]
async fn reset_bodies_break_the_message() {
    for version in Version::BOTH {
        // Without a length, the end of the connection is the end of the body; a reset is no such end.
        let origin = RawOrigin::start(|mut conversation| async move {
            conversation.request().await;
            let _ = conversation.send("HTTP/1.1 200 OK\r\n\r\nabc").await;
            conversation.reset();
        })
        .await;
        let tollgate = Tollgate::before(&origin.url()).await;
        let mut client = Client::connect(version, tollgate.address()).await;
        let broken = client.try_ask(http::Request::get("/").body(empty()).expect("a request")).await;
        assert!(broken.as_ref().is_err() || broken.as_ref().is_ok_and(|answer| answer.status == 502), "{version:?}: {broken:?}");
    }
}

#[tokio::test]
async fn bodies_may_end_with_the_connection() {
    for head in
        ["HTTP/1.1 200 OK\r\n", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", "HTTP/1.1 200 OK\r\nConnection: close\r\n"]
    {
        let origin = RawOrigin::closing(format!("{head}\r\nuntil the end")).await;
        let tollgate = Tollgate::before(&origin.url()).await;
        let mut client = RawClient::connect(tollgate.address()).await;
        for _ in 0..2 {
            client.send(request("GET", "", "")).await;
            let response = client.response().await;
            assert_eq!((response.text().as_str(), response.fields.get("transfer-encoding")), ("until the end", Some("chunked")));
        }
        assert_eq!(Client::fetch(Version::Http2, tollgate.address(), "/").await.text(), "until the end");
    }
}

#[tokio::test]
async fn bytes_beyond_a_response_are_dropped() {
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nEVIL!";
    for good in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n",
    ] {
        let origin = RawOrigin::answering(format!("{good}{evil}")).await;
        let tollgate = Tollgate::before(&origin.url()).await;
        let mut client = RawClient::connect(tollgate.address()).await;
        for _ in 0..4 {
            client.send(request("GET", "", "")).await;
            let response = client.response().await;
            assert_ne!(response.text(), "EVIL!", "{good:?}");
        }
        assert_eq!(origin.connections(), 4, "{good:?}");
    }
}

#[tokio::test]
async fn bytes_that_nobody_asked_for_are_dropped() {
    let origin = RawOrigin::start(|mut conversation| async move {
        while let Some(request) = conversation.request().await {
            let _ = conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            if request.target == "/first" {
                let _ = conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nEVIL!").await;
            }
        }
    })
    .await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    for _ in 0..10 {
        for target in ["/first", "/second"] {
            client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
            assert_eq!(client.response().await.text(), "ok");
        }
    }
}

#[tokio::test]
async fn answers_without_body_have_none() {
    let origin = RawOrigin::start(|mut conversation| async move {
        while let Some(request) = conversation.request().await {
            let answer = match (request.method.as_str(), request.target.as_str()) {
                ("HEAD", "/length") => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
                ("HEAD", "/chunks") => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                ("HEAD", _) => "HTTP/1.1 200 OK\r\n\r\n",
                (_, "/204") => "HTTP/1.1 204 No Content\r\n\r\n",
                (_, "/304") => "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"x\"\r\n\r\n",
                (_, "/0") => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                _ => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            };
            let _ = conversation.send(answer).await;
        }
    })
    .await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let cases = [
        ("HEAD", "/length", 200, Some("5")),
        ("HEAD", "/chunks", 200, None),
        ("HEAD", "/nothing", 200, None),
        ("GET", "/204", 204, None),
        ("GET", "/304", 304, Some("5")),
        ("GET", "/0", 200, Some("0")),
        ("GET", "/empty", 200, None),
    ];
    // All over one connection: had one of them a body, the next answer would be out of step.
    let mut raw = RawClient::connect(tollgate.address()).await;
    let mut http2 = Client::connect(Version::Http2, tollgate.address()).await;
    for (method, target, status, length) in cases {
        raw.send(format!("{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let response = raw.response_to(method).await;
        assert_eq!((response.status, response.body.len()), (status, 0), "{method} {target}");
        assert_eq!(response.fields.get("content-length"), length, "{method} {target}");
        let request = http::Request::builder().method(method).uri(target).body(empty()).expect("a request");
        let answer = http2.ask(request).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (status, 0), "{method} {target}");
        assert_eq!(answer.header("content-length"), length, "{method} {target}");
    }
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn bodies_where_none_may_be_are_dropped() {
    for (method, answer) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nEVIL!"),
        ("GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nEVIL!"),
        ("GET", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nEVIL!\r\n0\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nEVIL!"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nEVIL!\r\n0\r\n\r\n"),
    ] {
        let origin = RawOrigin::answering(answer).await;
        let tollgate = Tollgate::before(&origin.url()).await;
        let mut client = RawClient::connect(tollgate.address()).await;
        for _ in 0..3 {
            client.send(request(method, "", "")).await;
            let response = client.response_to(method).await;
            assert!(response.body.is_empty() && response.status < 400, "{answer:?}: {response:?}");
        }
        assert_eq!(origin.connections(), 3, "{answer:?}");
    }
}

#[tokio::test]
async fn trailers_pass_down() {
    let body = "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nSet-Cookie: a\r\n\r\n";
    let origin = RawOrigin::answering(body).await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let response = RawClient::ask(tollgate.address(), request("GET", "TE: trailers\r\nConnection: TE\r\n", "")).await;
    assert_eq!((response.text().as_str(), response.trailers.get("x-sum")), ("ok", Some("1")));
    // Not a field that may come late.
    assert_eq!(response.trailers.names().count(), 1);
    let answer = Client::fetch(Version::Http2, tollgate.address(), "/").await;
    assert_eq!((answer.text().as_str(), answer.trailers.len()), ("ok", 1));
    assert_eq!(answer.trailers["x-sum"], "1");
    assert_eq!(origin.requests()[0].fields.get("te"), Some("trailers"));
}

#[tokio::test]
async fn oversized_heads_are_bad_gateways() {
    let many = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{}\r\nok", "X: y\r\n".repeat(10));
    let long = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: {}\r\n\r\nok", "y".repeat(1024));
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(1 << 20));
    let fits = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{}\r\nok", "X: y\r\n".repeat(9));
    let origin = origin_of(&[&many, &long, &endless, &fits]).await;
    let tollgate =
        Tollgate::builder().upstream(&origin.url()).config_toml("[limits]\nheader_count = 10\nheader_bytes = 1024").start().await;
    for version in Version::BOTH {
        for (number, status) in [502, 502, 502, 200].into_iter().enumerate() {
            let answer = Client::fetch(version, tollgate.address(), &format!("/{number}")).await;
            assert_eq!(answer.status, status, "{number} {version:?}");
        }
    }
}

#[tokio::test]
async fn failed_exchanges_leave_the_client_in_step() {
    let origin = RawOrigin::start(|mut conversation| async move {
        while let Some(request) = conversation.request().await {
            let is_bad = request.target == "/bad";
            let answer = if is_bad { "nonsense\r\n\r\n" } else { "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" };
            let _ = conversation.send(answer).await;
        }
    })
    .await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send("GET /bad HTTP/1.1\r\nHost: a\r\n\r\nGET /good HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3)).await;
    for _ in 0..3 {
        assert_core_error(&client.response().await, 502, "nonsense");
        assert_eq!(client.response().await.text(), "ok");
    }
    eventually(async || origin.open() <= 1).await;
}
