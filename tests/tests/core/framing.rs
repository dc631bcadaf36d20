//! Requests that two recipients could read differently: the origin sees one well-formed request or nothing.

use tollgate_tests::{RawClient, RawOrigin, Tollgate, eventually};

use crate::common::{assert_core_error, assert_refused, request};

/// What a smuggler wants the origin to take for a request.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// Each of these heads, with a second request behind it, is answered with 400; nothing reaches the origin.
async fn all_refused(heads: impl IntoIterator<Item = impl AsRef<str>>) {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    for head in heads {
        assert_refused(tollgate.address(), format!("{}{SMUGGLED}", head.as_ref()), 400).await;
    }
    assert_eq!((origin.connections(), origin.requests()), (0, vec![]));
}

#[tokio::test]
async fn length_and_coding_together_are_refused() {
    all_refused(
        [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
            "Content-Length: 5\r\nTransfer-Encoding: identity\r\n",
            "Content-Length: 5\r\nTransfer-Encoding: x\r\n",
            "Content-Length: 5\r\nTransfer-Encoding:\r\n",
        ]
        .map(|lines| request("POST", lines, "0\r\n\r\n")),
    )
    .await;
}

#[tokio::test]
async fn codings_but_one_chunked_are_refused() {
    let single = [
        "chunked, chunked",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, identity",
        "identity",
        "identity, chunked",
        "xchunked",
        "chunkedx",
        "chunked;q=1",
        "\"chunked\"",
        "'chunked'",
        "chun ked",
        "chunked,",
        ",chunked",
        ", chunked",
        "chunk\u{e9}d",
        "x",
        "cow",
        "",
    ]
    .map(|value| format!("Transfer-Encoding: {value}\r\n"));
    let repeated =
        ["chunked", "identity", "x", ""].map(|value| format!("Transfer-Encoding: chunked\r\ntransfer-encoding: {value}\r\n"));
    all_refused(single.iter().chain(&repeated).map(|lines| request("POST", lines, "0\r\n\r\n"))).await;
}

#[tokio::test]
async fn lengths_but_one_number_are_refused() {
    let single = [
        "1, 1",
        "1,1",
        "1, 2",
        "1,",
        ",1",
        "+1",
        "-1",
        "-0",
        "1 1",
        "0x1",
        "1_0",
        "1e1",
        "1.0",
        "1;a",
        "\"1\"",
        "\u{ff11}",
        "18446744073709551616",
        "99999999999999999999999999",
        "18446744073709551617",
        "x",
        "",
    ]
    .map(|value| format!("Content-Length: {value}\r\n"));
    let repeated = ["1", "2", "", "x"].map(|value| format!("Content-Length: 1\r\nContent-Length: {value}\r\n"));
    all_refused(single.iter().chain(&repeated).map(|lines| request("POST", lines, "a"))).await;
}

#[tokio::test]
async fn lone_line_ends_and_controls_are_refused() {
    all_refused([
        "GET / HTTP/1.1\nHost: a.test\n\n",
        "GET / HTTP/1.1\nHost: a.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\n\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nX: a\nY: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nX: a\rY: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nX: a\r\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nX: \rTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nX\r: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nX\n: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nX: a\0b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nX\0: a\r\n\r\n",
        "GET /\0 HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nX: a\x01b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nX: a\x0bb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nX: a\x7fb\r\n\r\n",
        "\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "\rGET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "\0GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
    ])
    .await;
}

#[tokio::test]
async fn codings_among_controls_are_refused() {
    all_refused(
        [
            "Transfer-Encoding: \x0bchunked\r\n",
            "Transfer-Encoding: chunked\x0b\r\n",
            "Transfer-Encoding: \x0cchunked\r\n",
            "Transfer-Encoding:\x00chunked\r\n",
            "Transfer-Encoding: chunked\x00\r\n",
            "Transfer-Encoding: chunked\r \r\n",
            "Transfer-Encoding:\n chunked\r\n",
            "Transfer-Encoding:\r\n chunked\r\n",
            "Content-Length: 1\x0b\r\n",
            "Content-Length: \x0c1\r\n",
            "Content-Length: 1\x00\r\n",
        ]
        .map(|lines| request("POST", lines, "0\r\n\r\n")),
    )
    .await;
}

#[tokio::test]
async fn blanks_around_names_are_refused() {
    all_refused(
        [
            "X : 1\r\n",
            "X\t: 1\r\n",
            "Transfer-Encoding : chunked\r\n",
            "Transfer-Encoding\t: chunked\r\n",
            "Content-Length : 1\r\n",
            " X: 1\r\n",
            "\tX: 1\r\n",
            "X: 1\r\n 2\r\n",
            "X: 1\r\n\t2\r\n",
            "X: 1\r\n \r\n",
            "Transfer-Encoding:\r\n\tchunked\r\n",
            "Content-Length: 1\r\n 0\r\n",
            "X\r\n",
            ": 1\r\n",
            "X Y: 1\r\n",
            "X(Y): 1\r\n",
            "\u{e9}: 1\r\n",
            "\"X\": 1\r\n",
        ]
        .map(|lines| request("POST", lines, "")),
    )
    .await;
    all_refused(["GET / HTTP/1.1\r\n Host: a.test\r\n\r\n", "GET / HTTP/1.1\r\n\tX: 1\r\nHost: a.test\r\n\r\n"]).await;
}

#[tokio::test]
async fn odd_request_lines_are_refused() {
    all_refused(
        [
            "GET  / HTTP/1.1",
            "GET / HTTP/1.1 ",
            "GET /  HTTP/1.1",
            "GET\t/ HTTP/1.1",
            "GET /\tHTTP/1.1",
            " GET / HTTP/1.1",
            "GET / a HTTP/1.1",
            "GET /",
            "GET",
            "GET / HTTP/1.2",
            "GET / HTTP/1",
            "GET / HTTP/1.10",
            "GET / HTTP/0.9",
            "GET / HTTP/2.0",
            "GET / HTTP/11",
            "GET / http/1.1",
            "GET / HTTPS/1.1",
            "G@T / HTTP/1.1",
            "G\u{c9}T / HTTP/1.1",
            "GET a HTTP/1.1",
            "GET * HTTP/1.1",
            "GET /a#b HTTP/1.1",
            "GET /\u{e9} HTTP/1.1",
            "GET /\x7f HTTP/1.1",
            "GET ftp://a.test/ HTTP/1.1",
            "GET http:/a.test/ HTTP/1.1",
            "GET http:///x HTTP/1.1",
            "GET http://u@a.test/ HTTP/1.1",
            "GET http://a.test:99999/ HTTP/1.1",
            "GET ://a.test/ HTTP/1.1",
            "GET a.test:80 HTTP/1.1",
            "PRI * HTTP/2.0",
        ]
        .map(|line| format!("{line}\r\nHost: a.test\r\n\r\n")),
    )
    .await;
}

#[tokio::test]
async fn every_request_has_one_host() {
    all_refused(
        [
            "",
            "Host: a.test\r\nHost: a.test\r\n",
            "Host: a.test\r\nhost: b.test\r\n",
            "Host: a.test, b.test\r\n",
            "Host: u@a.test\r\n",
            "Host: a.test/path\r\n",
            "Host: a.test b.test\r\n",
            "Host: http://a.test\r\n",
            "Host: a.test:x\r\n",
            "Host: a.test:99999\r\n",
            "Host: [::1\r\n",
            "Host: \u{e9}\r\n",
        ]
        .map(|lines| format!("GET / HTTP/1.1\r\n{lines}\r\n")),
    )
    .await;
}

#[tokio::test]
async fn chunks_need_http_1_1() {
    all_refused([
        "POST / HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: identity\r\n\r\n",
    ])
    .await;
}

#[tokio::test]
async fn odd_chunks_never_make_requests() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    for body in [
        "0x3\r\nabc\r\n0\r\n\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "-1\r\nabc\r\n0\r\n\r\n",
        " 3\r\nabc\r\n0\r\n\r\n",
        "\t3\r\nabc\r\n0\r\n\r\n",
        "3 \r\nabc\r\n0\r\n\r\n",
        "3\t\r\nabc\r\n0\r\n\r\n",
        "3_0\r\nabc\r\n0\r\n\r\n",
        "3g\r\nabc\r\n0\r\n\r\n",
        "3.0\r\nabc\r\n0\r\n\r\n",
        "3,3\r\nabc\r\n0\r\n\r\n",
        "x\r\nabc\r\n0\r\n\r\n",
        "\r\nabc\r\n0\r\n\r\n",
        ";a\r\nabc\r\n0\r\n\r\n",
        "3\0\r\nabc\r\n0\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "3\rabc\r\n0\r\n\r\n",
        "3\n\rabc\r\n0\r\n\r\n",
        "3;a\nb\r\nabc\r\n0\r\n\r\n",
        "3;a\rb\r\nabc\r\n0\r\n\r\n",
        "3;a\0b\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\r\nabc0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nabc\rX0\r\n\r\n",
        "3\r\nabc\r\n0\n\r\n",
        "3\r\nabc\r\n0\r\n\n",
        "3\r\nabc\r\n0 \r\n\r\n",
        "3\r\nabc\r\n0\r\n X: 1\r\n\r\n",
        "3\r\nabc\r\n0\r\nX : 1\r\n\r\n",
        "3\r\nabc\r\n0\r\nX: 1\r\n 2\r\n\r\n",
        "3\r\nabc\r\n0\r\nX: a\nY: b\r\n\r\n",
        "3\r\nabc\r\n0\r\nX: a\0\r\n\r\n",
        "3\r\nabc\r\n0\r\nX\r\n\r\n",
        "11111111111111111\r\nabc\r\n0\r\n\r\n",
        "10000000000000003\r\nabc\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        "00000000000000000003\r\nabc\r\n0\r\n\r\n",
    ] {
        assert_refused(tollgate.address(), request("POST", "Transfer-Encoding: chunked\r\n", &format!("{body}{SMUGGLED}")), 400)
            .await;
        let long = format!("3;{}\r\nabc\r\n0\r\n\r\n{SMUGGLED}", "x".repeat(64 * 1024));
        assert_refused(tollgate.address(), request("POST", "Transfer-Encoding: chunked\r\n", &long), 400).await;
    }
    assert_eq!((origin.requests(), origin.violations()), (vec![], Vec::<String>::new()));
}

#[tokio::test]
async fn legal_odd_chunks_are_made_plain() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    let body = "3;a=b;c=\"d;e\"\r\nabc\r\n003 ;x\r\ndef\r\n0A\r\n0123456789\r\n0;last\r\nX-Sum: 1\r\nContent-Length: 9\r\nHost: b\r\n\r\n";
    client.send(request("POST", "Transfer-Encoding:\tChunked \r\n", body)).await;
    assert_eq!(client.response().await.status, 200);
    client.send(SMUGGLED.replace("smuggled", "next")).await;
    assert_eq!(client.response().await.status, 200);
    let requests = origin.requests();
    assert_eq!((requests[0].text().as_str(), requests[0].trailers.get("x-sum")), ("abcdef0123456789", Some("1")));
    assert_eq!(requests[0].trailers.names().count(), 1);
    assert_eq!(origin.targets(), ["/", "/next"]);
    origin.assert_strict();
}

#[tokio::test]
async fn broken_off_bodies_never_make_requests() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    for (lines, body) in [
        ("Content-Length: 10\r\n", "abc"),
        ("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n"),
        ("Transfer-Encoding: chunked\r\n", "3\r\nab"),
        ("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n"),
    ] {
        let before = origin.aborted();
        let mut client = RawClient::connect(tollgate.address()).await;
        client.send(request("POST", lines, body)).await;
        client.half_close().await;
        client.read_to_end().await;
        eventually(async || origin.aborted() > before).await;
    }
    assert_eq!((origin.requests(), origin.violations()), (vec![], Vec::<String>::new()));
}

#[tokio::test]
async fn requests_may_come_byte_by_byte() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    let text = request("POST", "Transfer-Encoding: chunked\r\nX: y\r\n", "3\r\nabc\r\n1\r\nd\r\n0\r\nT: 1\r\n\r\n");
    for byte in text.as_bytes() {
        client.send([*byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.response().await.status, 200);
    assert_eq!(origin.only_request().text(), "abcd");
}

#[tokio::test]
async fn empty_lines_before_requests_are_skipped() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    for lines in ["\r\n", "\r\n\r\n"] {
        client.send(format!("{lines}{}", request("GET", "", ""))).await;
        assert_eq!(client.response().await.status, 200);
    }
    assert_eq!(origin.requests().len(), 2);
    origin.assert_strict();
}

#[tokio::test]
async fn absolute_targets_decide_the_authority() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::builder().upstream(&origin.url()).set("listener.main.preserve_host", true).start().await;
    for target in ["http://b.test:81/p?q", "HTTP://b.test:81/p?q"] {
        let response = RawClient::ask(tollgate.address(), format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n")).await;
        assert_eq!(response.status, 200);
    }
    for request in origin.requests() {
        assert_eq!((request.target.as_str(), request.fields.get("host")), ("/p?q", Some("b.test:81")));
        assert_eq!(request.fields.get("x-forwarded-host"), Some("b.test:81"));
    }
    origin.assert_strict();
}

#[tokio::test]
async fn refused_bodies_are_no_requests() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::builder().upstream(&origin.url()).set("limits.request_body", 10).start().await;
    let mut client = RawClient::connect(tollgate.address()).await;
    let length = SMUGGLED.len();
    client.send(request("POST", &format!("Content-Length: {length}\r\n"), SMUGGLED)).await;
    assert_core_error(&client.response().await, 413, "by length");
    let chunks = format!("{length:x}\r\n{SMUGGLED}\r\n0\r\n\r\n");
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(request("POST", "Transfer-Encoding: chunked\r\n", &chunks)).await;
    assert_core_error(&client.response().await, 413, "by chunks");
    client.send(request("GET", "Connection: close\r\n", "")).await;
    let rest = client.read_to_end().await;
    assert!(!String::from_utf8_lossy(&rest).contains("smuggled"));
    assert!(!origin.targets().contains(&"/smuggled".to_owned()), "{:?}", origin.requests());
    origin.assert_strict();
}

#[tokio::test]
async fn bodies_left_unread_are_drained() {
    // Nothing listens there: the core answers without having read the body.
    let tollgate = Tollgate::before("http://127.0.0.1:1").await;
    let mut client = RawClient::connect(tollgate.address()).await;
    let length = SMUGGLED.len();
    client.send(request("POST", &format!("Content-Length: {length}\r\n"), SMUGGLED)).await;
    client.send(request("GET", "Connection: close\r\n", "")).await;
    for case in ["the first", "the second"] {
        assert_core_error(&client.response().await, 502, case);
    }
    client.expect_end().await;
}

#[tokio::test]
async fn large_bodies_left_unread_end_the_connection() {
    let tollgate = Tollgate::before("http://127.0.0.1:1").await;
    let mut client = RawClient::connect(tollgate.address()).await;
    let body = SMUGGLED.repeat(40_000);
    client.send(request("POST", &format!("Content-Length: {}\r\n", body.len() + 1), &body)).await;
    assert_core_error(&client.response().await, 502, "too much to drain");
    client.send("x").await;
    client.send(request("GET", "", "")).await;
    client.expect_end().await;
}

#[tokio::test]
async fn unknown_expectations_are_refused() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    for value in ["100-continue, x", "x", "200-ok"] {
        let body = format!("Content-Length: {}\r\nExpect: {value}\r\n", SMUGGLED.len());
        assert_refused(tollgate.address(), request("POST", &body, SMUGGLED), 417).await;
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn connect_is_not_served() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    assert_refused(tollgate.address(), format!("CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n{SMUGGLED}"), 405).await;
    assert_eq!(origin.connections(), 0);
}
