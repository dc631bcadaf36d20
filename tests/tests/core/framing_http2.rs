//! Requests over HTTP/2 that no HTTP/1 message could carry as they are.

use tollgate_tests::{Client, Frame, FrameClient, RawOrigin, Tollgate, Version, block, eventually, full};

type FieldList<'a> = Vec<(&'a str, &'a [u8])>;

/// A GET with these fields in place of, or after, the usual ones.
fn fields<'a>(changes: &[(&'a str, &'a [u8])]) -> FieldList<'a> {
    let mut fields: FieldList<'a> = vec![(":method", b"GET"), (":scheme", b"http"), (":authority", b"a.test"), (":path", b"/")];
    for &(name, value) in changes {
        match fields.iter_mut().find(|(other, _)| *other == name && name.starts_with(':')) {
            Some(field) => field.1 = value,
            None => fields.push((name, value)),
        }
    }
    fields
}

/// The request is refused: reset, 400, or the end of the connection.
async fn assert_refused(tollgate: &Tollgate, frames: &[Frame], case: &str) {
    let mut client = FrameClient::connect(tollgate.address()).await;
    client.send(frames).await;
    match client.outcome().await {
        None => {}
        Some(frame) if frame.kind == 3 || frame.kind == 7 => {}
        Some(frame) => assert_eq!(frame.status(), Some(400), "{case}: {frame:?}"),
    }
}

/// Each of these field lists is refused, and nothing reaches the origin.
async fn all_refused<'a>(lists: impl IntoIterator<Item = FieldList<'a>>) {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    for list in lists {
        let case: Vec<_> = list.iter().map(|(name, value)| format!("{name}={}", value.escape_ascii())).collect();
        let case = case.join(" ");
        assert_refused(&tollgate, &[Frame::headers(1, &list, true)], &case).await;
        assert_eq!(origin.connections(), 0, "{case}: {:?}", origin.requests());
    }
}

#[tokio::test]
async fn line_ends_in_fields_are_refused() {
    all_refused([
        fields(&[("x", b"a\r\nSmuggled: 1")]),
        fields(&[("x", b"a\nSmuggled: 1")]),
        fields(&[("x", b"a\rb")]),
        fields(&[("x", b"a\0b")]),
        fields(&[("x", b"a\x7fb")]),
        fields(&[("x: 1\r\nsmuggled", b"1")]),
        fields(&[("x\n", b"1")]),
        fields(&[("x y", b"1")]),
        fields(&[("x:", b"1")]),
        fields(&[("", b"1")]),
        fields(&[("X", b"1")]),
        fields(&[("x\0", b"1")]),
    ])
    .await;
}

#[tokio::test]
async fn connection_fields_are_refused() {
    all_refused([
        fields(&[("transfer-encoding", b"chunked")]),
        fields(&[("transfer-encoding", b"identity")]),
        fields(&[("connection", b"close")]),
        fields(&[("connection", b"x-forwarded-for")]),
        fields(&[("keep-alive", b"1")]),
        fields(&[("proxy-connection", b"close")]),
        fields(&[("upgrade", b"websocket")]),
        fields(&[("te", b"chunked")]),
    ])
    .await;
}

#[tokio::test]
async fn odd_pseudo_fields_are_refused() {
    all_refused([
        fields(&[(":path", b"")]),
        fields(&[(":path", b"x")]),
        fields(&[(":path", b"*")]),
        fields(&[(":path", b"http://b.test/")]),
        fields(&[(":path", b"b.test:80")]),
        fields(&[(":path", b"?q")]),
        fields(&[(":path", b"/ HTTP/1.1\r\nSmuggled: 1\r\n\r\n")]),
        fields(&[(":path", b"/a b")]),
        fields(&[(":path", b"/\xc3\xa4")]),
        fields(&[(":method", b"")]),
        fields(&[(":method", b"GET / HTTP/1.1\r\nSmuggled: 1\r\n\r\nGET")]),
        fields(&[(":method", b"GET /x")]),
        fields(&[(":authority", b"")]),
        fields(&[(":authority", b"u@a.test")]),
        fields(&[(":authority", b"a.test/x")]),
        fields(&[(":authority", b"a.test b.test")]),
        fields(&[(":authority", b"a.test\r\nSmuggled: 1")]),
        fields(&[(":scheme", b"http\r\nSmuggled: 1")]),
        fields(&[(":status", b"200")]),
        fields(&[(":unknown", b"1")]),
        fields(&[("x", b"1"), (":path", b"/"), (":extra", b"1")]),
        vec![(":method", b"GET"), (":scheme", b"http"), (":authority", b"a.test")],
        vec![(":scheme", b"http"), (":authority", b"a.test"), (":path", b"/")],
        vec![(":method", b"GET"), (":authority", b"a.test"), (":path", b"/")],
        vec![(":method", b"GET"), (":scheme", b"http"), (":path", b"/")],
        vec![(":method", b"GET"), (":scheme", b"http"), (":authority", b"a.test"), (":path", b"/"), (":path", b"/x")],
        vec![(":method", b"GET"), (":method", b"PUT"), (":scheme", b"http"), (":authority", b"a.test"), (":path", b"/")],
        vec![(":method", b"GET"), (":scheme", b"http"), (":authority", b"a.test"), ("x", b"1"), (":path", b"/")],
    ])
    .await;
}

#[tokio::test]
async fn authority_and_host_must_agree() {
    all_refused([
        fields(&[("host", b"b.test")]),
        fields(&[("host", b"a.test"), ("host", b"b.test")]),
        fields(&[("host", b"a.test"), ("host", b"a.test")]),
        fields(&[("host", b"a.test:80")]),
        fields(&[("host", b"a.test, b.test")]),
        fields(&[("host", b"")]),
    ])
    .await;
}

#[tokio::test]
async fn lengths_must_be_true() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";
    for (length, body) in
        [("3", "abcd"), ("3", "ab"), ("0", smuggled), ("5", ""), ("+3", "abc"), ("3, 3", "abc"), ("x", "abc"), ("", "abc")]
    {
        let head = Frame::headers(1, &fields(&[(":method", b"POST"), ("content-length", length.as_bytes())]), body.is_empty());
        let frames = if body.is_empty() { vec![head] } else { vec![head, Frame::data(1, body, true)] };
        assert_refused(&tollgate, &frames, &format!("{length:?} {body:?}")).await;
    }
    let head = fields(&[(":method", b"POST"), ("content-length", b"3"), ("content-length", b"4")]);
    assert_refused(&tollgate, &[Frame::headers(1, &head, false), Frame::data(1, "abc", true)], "two lengths").await;
    eventually(async || origin.open() == 0).await;
    assert_eq!((origin.requests(), origin.violations()), (vec![], Vec::<String>::new()));
}

#[tokio::test]
async fn what_declares_nothing_goes_nowhere_before_its_end() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let head = |stream| Frame::headers(stream, &fields(&[(":method", b"POST"), ("content-length", b"0")]), false);
    let mut client = FrameClient::connect(tollgate.address()).await;
    client.send(&[head(1), head(3), Frame::headers(5, &fields(&[(":path", b"/after")]), true)]).await;
    let after = client.outcome().await.expect("a response");
    assert_eq!((after.stream, after.status()), (5, Some(200)));
    assert_eq!(origin.requests().len(), 1);
    // One says the truth, and the other one does not.
    client.send(&[Frame::data(1, "", true), Frame::data(3, "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n", true)]).await;
    let is_reset = |frame: &Frame| (frame.kind, frame.stream) == (3, 3) || frame.kind == 7;
    while client.outcome().await.is_some_and(|frame| !is_reset(&frame)) {}
    eventually(async || origin.requests().len() == 2).await;
    assert_eq!(origin.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn pseudo_fields_are_no_trailers() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let head = Frame::headers(1, &fields(&[(":method", b"POST")]), false);
    let trailers = Frame::new(1, 5, 1, block(&[(":path", b"/smuggled"), ("x-sum", b"1"), ("content-length", b"9")]));
    let mut client = FrameClient::connect(tollgate.address()).await;
    client.send(&[head, Frame::data(1, "abc", false), trailers]).await;
    assert_eq!(client.outcome().await.and_then(|frame| frame.status()), Some(200));
    let request = origin.only_request();
    assert_eq!((request.target.as_str(), request.trailers.names().collect::<Vec<_>>()), ("/", vec!["x-sum"]));
}

#[tokio::test]
async fn reset_bodies_never_make_requests() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = FrameClient::connect(tollgate.address()).await;
    client.send(&[Frame::headers(1, &fields(&[(":method", b"POST")]), false), Frame::data(1, "abc", false)]).await;
    eventually(async || origin.received() > 0).await;
    client.send(&[Frame::reset(1)]).await;
    eventually(async || origin.aborted() == 1).await;
    assert_eq!((origin.requests(), origin.violations()), (vec![], Vec::<String>::new()));
}

#[tokio::test]
async fn split_cookies_are_joined() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = FrameClient::connect(tollgate.address()).await;
    client.send(&[Frame::headers(1, &fields(&[("cookie", b"a=1"), ("cookie", b"b=2")]), true)]).await;
    assert_eq!(client.outcome().await.and_then(|frame| frame.status()), Some(200));
    let request = origin.only_request();
    assert_eq!(request.fields.all("cookie").collect::<Vec<_>>(), ["a=1; b=2"]);
}

#[tokio::test]
async fn one_host_reaches_the_origin() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::builder().upstream(&origin.url()).set("listener.main.preserve_host", true).start().await;
    let mut client = FrameClient::connect(tollgate.address()).await;
    client.send(&[Frame::headers(1, &fields(&[("host", b"a.test")]), true)]).await;
    assert_eq!(client.outcome().await.and_then(|frame| frame.status()), Some(200));
    assert_eq!(origin.only_request().fields.get("host"), Some("a.test"));
}

#[tokio::test]
async fn bodies_of_unknown_length_become_chunks() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = FrameClient::connect(tollgate.address()).await;
    let head = Frame::headers(1, &fields(&[(":method", b"POST")]), false);
    client.send(&[head, Frame::data(1, "abc", false), Frame::data(1, "", false), Frame::data(1, "def", true)]).await;
    assert_eq!(client.outcome().await.and_then(|frame| frame.status()), Some(200));
    let request = origin.only_request();
    assert_eq!((request.text().as_str(), request.fields.get("transfer-encoding")), ("abcdef", Some("chunked")));
}

#[tokio::test]
async fn known_lengths_are_told() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    for version in Version::BOTH {
        let mut client = Client::connect(version, tollgate.address()).await;
        client.ask(http::Request::put("/").body(full("abc")).expect("a request")).await;
    }
    for request in origin.requests() {
        assert_eq!((request.text().as_str(), request.fields.get("content-length")), ("abc", Some("3")));
    }
    origin.assert_strict();
}

#[tokio::test]
async fn connect_is_not_served() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = FrameClient::connect(tollgate.address()).await;
    client.send(&[Frame::headers(1, &[(":method", b"CONNECT"), (":authority", b"a.test:80")], false)]).await;
    let outcome = client.outcome().await;
    assert!(outcome.is_none_or(|frame| frame.status() != Some(200)));
    assert_eq!(origin.connections(), 0);
}
