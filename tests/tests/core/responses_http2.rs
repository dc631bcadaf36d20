//! Responses of HTTP/2 upstreams: malformed ones, broken ones, and connections that are given up.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use bytes::Bytes;
use tollgate_tests::{Client, Frame, FrameOrigin, RawOrigin, Tollgate, Version, block, empty};

/// What is wrong, and the fields that have it.
type Case<'a> = (&'a str, &'a [(&'a str, &'a [u8])]);

/// An origin that answers each stream with the frames that this makes for it.
async fn origin_of(answer: impl Fn(u32) -> Vec<Frame> + Send + Sync + 'static) -> RawOrigin {
    let answer = Arc::new(answer);
    RawOrigin::start(move |conversation| {
        let answer = Arc::clone(&answer);
        async move {
            let Some(mut origin) = FrameOrigin::accept(conversation).await else { return };
            while let Some(stream) = origin.request().await {
                origin.send(&answer(stream)).await;
            }
        }
    })
    .await
}

async fn before(origin: &RawOrigin) -> Tollgate {
    Tollgate::builder().upstream(&origin.url()).set("listener.main.upstream_protocol", "h2").start().await
}

/// Asks with both versions; whatever comes is no success.
async fn assert_bad(origin: &RawOrigin, case: &str) {
    let tollgate = before(origin).await;
    for version in Version::BOTH {
        let mut client = Client::connect(version, tollgate.address()).await;
        let answer = client.try_ask(http::Request::get("/").body(empty()).expect("a request")).await;
        assert!(answer.as_ref().is_ok_and(|answer| answer.status == 502), "{case} {version:?}: {answer:?}");
    }
}

#[tokio::test]
async fn malformed_heads_are_bad_gateways() {
    let cases: [Case<'_>; 9] = [
        ("no status", &[("x", b"1")]),
        ("a short status", &[(":status", b"20")]),
        ("no number", &[(":status", b"abc")]),
        ("a line end in a value", &[(":status", b"200"), ("x", b"a\r\nSmuggled: 1")]),
        ("a NUL in a value", &[(":status", b"200"), ("x", b"a\0b")]),
        ("a line end in a name", &[(":status", b"200"), ("x: 1\r\ny", b"1")]),
        ("capitals in a name", &[(":status", b"200"), ("X", b"1")]),
        ("a late pseudo field", &[("x", b"1"), (":status", b"200")]),
        ("a switch of protocols", &[(":status", b"101")]),
    ];
    for (case, fields) in cases {
        let fields: Vec<(String, Vec<u8>)> = fields.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
        let origin = origin_of(move |stream| {
            let fields: Vec<(&str, &[u8])> = fields.iter().map(|(name, value)| (name.as_str(), &value[..])).collect();
            vec![Frame::headers(stream, &fields, true)]
        })
        .await;
        assert_bad(&origin, case).await;
    }
}

#[tokio::test]
async fn framing_fields_of_http1_never_pass() {
    for (name, value) in [("transfer-encoding", "chunked"), ("connection", "close"), ("keep-alive", "1"), ("upgrade", "x")] {
        let origin = origin_of(move |stream| {
            let head = Frame::headers(stream, &[(":status", b"200"), (name, value.as_bytes())], false);
            vec![head, Frame::data(stream, "ok", true)]
        })
        .await;
        let tollgate = before(&origin).await;
        for version in Version::BOTH {
            let answer = Client::fetch(version, tollgate.address(), "/").await;
            let is_refused = answer.status == 502;
            let is_clean = answer.text() == "ok" && answer.header(name) != Some(value) || name == "transfer-encoding";
            assert!(is_refused || (answer.text() == "ok" && is_clean), "{name} {version:?}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn untrue_lengths_break_the_message() {
    for (length, body) in [("3", "ab"), ("3", "abcd"), ("0", "a")] {
        let origin = origin_of(move |stream| {
            let head = Frame::headers(stream, &[(":status", b"200"), ("content-length", length.as_bytes())], false);
            vec![head, Frame::data(stream, body, true)]
        })
        .await;
        let tollgate = before(&origin).await;
        for version in Version::BOTH {
            let mut client = Client::connect(version, tollgate.address()).await;
            let answer = client.try_ask(http::Request::get("/").body(empty()).expect("a request")).await;
            let is_whole = answer.as_ref().is_ok_and(|answer| answer.status == 200 && !answer.body.is_empty());
            assert!(!is_whole, "{length} {body:?} {version:?}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn resets_within_a_body_break_the_message() {
    let origin = origin_of(|stream| {
        vec![Frame::headers(stream, &[(":status", b"200")], false), Frame::data(stream, "abc", false), Frame::reset(stream)]
    })
    .await;
    let tollgate = before(&origin).await;
    for version in Version::BOTH {
        let mut client = Client::connect(version, tollgate.address()).await;
        let answer = client.try_ask(http::Request::get("/").body(empty()).expect("a request")).await;
        assert!(answer.as_ref().is_err() || answer.as_ref().is_ok_and(|answer| answer.status == 502), "{version:?}: {answer:?}");
    }
}

#[tokio::test]
async fn resets_before_a_head_are_bad_gateways() {
    assert_bad(&origin_of(|stream| vec![Frame::reset(stream)]).await, "a reset").await;
}

#[tokio::test]
async fn pushes_are_refused() {
    let origin = origin_of(|stream| {
        let mut promise = 2_u32.to_be_bytes().to_vec();
        promise.extend(block(&[(":method", b"GET"), (":scheme", b"http"), (":authority", b"a"), (":path", b"/pushed")]));
        vec![Frame::new(5, 4, stream, promise), Frame::headers(stream, &[(":status", b"200")], true)]
    })
    .await;
    assert_bad(&origin, "a push").await;
}

#[tokio::test]
async fn streams_that_were_not_seen_are_sent_again() {
    // The first connection goes away and says that it has seen nothing: the request can be sent again, whatever it is.
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    let origin = origin_of(move |stream| {
        let ok = vec![Frame::headers(stream, &[(":status", b"200")], false), Frame::data(stream, "ok", true)];
        if count.fetch_add(1, SeqCst) == 1 {
            return vec![Frame::new(7, 0, 0, Bytes::from_static(&[0, 0, 0, 1, 0, 0, 0, 0]))];
        }
        ok
    })
    .await;
    let tollgate = before(&origin).await;
    let mut client = Client::connect(Version::Http1, tollgate.address()).await;
    assert_eq!(client.get("/").await.text(), "ok");
    let answer = client.get("/again").await;
    assert_eq!((answer.text().as_str(), requests.load(SeqCst), origin.connections()), ("ok", 3, 2));
}

#[tokio::test]
async fn refused_streams_are_sent_again() {
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    let origin = origin_of(move |stream| match count.fetch_add(1, SeqCst) {
        1 => vec![Frame::new(3, 0, stream, Bytes::from_static(&[0, 0, 0, 7]))],
        _ => vec![Frame::headers(stream, &[(":status", b"200")], false), Frame::data(stream, "ok", true)],
    })
    .await;
    let tollgate = before(&origin).await;
    let mut client = Client::connect(Version::Http1, tollgate.address()).await;
    assert_eq!(client.get("/").await.text(), "ok");
    let post = http::Request::post("/again").body(empty()).expect("a request");
    assert_eq!((client.ask(post).await.text().as_str(), requests.load(SeqCst)), ("ok", 3));
}

#[tokio::test]
async fn dead_connections_are_replaced_for_idempotent_requests() {
    for (method, status) in [("GET", 200), ("PUT", 200), ("POST", 502)] {
        let origin = RawOrigin::start(|conversation| async move {
            let index = conversation.index;
            let Some(mut origin) = FrameOrigin::accept(conversation).await else { return };
            while let Some(stream) = origin.request().await {
                if index == 0 && stream > 1 {
                    return;
                }
                origin.send(&[Frame::headers(stream, &[(":status", b"200")], false), Frame::data(stream, "ok", true)]).await;
            }
        })
        .await;
        let tollgate = before(&origin).await;
        let mut client = Client::connect(Version::Http2, tollgate.address()).await;
        assert_eq!(client.get("/").await.text(), "ok");
        let again = http::Request::builder().method(method).uri("/again").body(empty()).expect("a request");
        let answer = client.ask(again).await;
        assert_eq!(answer.status, status, "{method}: {}", answer.text());
    }
}

#[tokio::test]
async fn interim_responses_come_before_the_response() {
    let origin = origin_of(|stream| {
        vec![
            Frame::headers(stream, &[(":status", b"103"), ("link", b"</a>")], false),
            Frame::headers(stream, &[(":status", b"200")], false),
            Frame::data(stream, "ok", true),
        ]
    })
    .await;
    let tollgate = before(&origin).await;
    for version in Version::BOTH {
        assert_eq!(Client::fetch(version, tollgate.address(), "/").await.text(), "ok");
    }
}
