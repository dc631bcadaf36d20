//! What happens before and beside a final response: 1xx, expectations, early answers.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Notify;
use tollgate_tests::{Answer, Client, Curl, Echo, RawClient, RawOrigin, Tollgate, Version, channel, empty, eventually, within};

use crate::common::{assert_core_error, request};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const EXPECT: &str = "Expect: 100-continue\r\nContent-Length: 3\r\n";

#[tokio::test]
async fn hints_come_before_the_response() {
    let go_on = Arc::new(Notify::new());
    let gate = Arc::clone(&go_on);
    let origin = RawOrigin::start(move |mut conversation| {
        let gate = Arc::clone(&gate);
        async move {
            while conversation.request().await.is_some() {
                let _ = conversation.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\n\r\n").await;
                gate.notified().await;
                let _ = conversation.send(OK).await;
            }
        }
    })
    .await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(request("GET", "", "")).await;
    let hint = client.response_head().await;
    assert_eq!((hint.status, hint.fields.all("link").collect::<Vec<_>>()), (103, vec!["</a>", "</b>"]));
    go_on.notify_one();
    assert_eq!(client.response().await.text(), "ok");
    // An HTTP/1.0 client knows no interim responses.
    go_on.notify_one();
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    let response = client.response().await;
    assert_eq!((response.text().as_str(), response.interim.len()), ("ok", 0));
    go_on.notify_one();
    assert_eq!(Client::fetch(Version::Http2, tollgate.address(), "/").await.text(), "ok");
}

#[tokio::test]
async fn interim_responses_carry_no_framing() {
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: X-Hop\r\nX-Hop: 1\r\nTransfer-Encoding: chunked\r\n\
                   Content-Length: 5\r\nUpgrade: x\r\nKeep-Alive: 1\r\n\r\n";
    let origin = RawOrigin::answering(format!("{interim}{OK}")).await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(request("GET", "", "")).await;
    match client.try_response("GET").await {
        Ok(response) => {
            assert_eq!((response.text().as_str(), response.interim.len()), ("ok", 1));
            assert_eq!(response.interim[0].fields.names().collect::<Vec<_>>(), ["Link"]);
        }
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn endless_interim_responses_are_a_bad_gateway() {
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let origin = RawOrigin::answering(interim.repeat(10_000)).await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let response = RawClient::ask(tollgate.address(), request("GET", "", "")).await;
    assert_core_error(&response, 502, "endless");
    assert!(response.interim.len() <= 32);
}

#[tokio::test]
async fn unasked_continues_are_swallowed() {
    let origin = RawOrigin::answering(format!("HTTP/1.1 100 Continue\r\n\r\n{OK}")).await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    for _ in 0..2 {
        client.send(request("GET", "", "")).await;
        let response = client.response().await;
        assert_eq!((response.text().as_str(), response.interim.len()), ("ok", 0));
    }
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn continue_is_relayed() {
    let origin = RawOrigin::start(|mut conversation| async move {
        while let Some(head) = conversation.head().await {
            assert_eq!(head.fields.get("expect"), Some("100-continue"));
            // The body must not come before this.
            assert!(conversation.wire().buffer.is_empty());
            let _ = conversation.send("HTTP/1.1 100 Continue\r\n\r\n").await;
            conversation.rest(head).await;
            let _ = conversation.send(OK).await;
        }
    })
    .await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    for lines in [EXPECT, "Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n"] {
        client.send(request("POST", lines, "")).await;
        let interim = client.response_head().await;
        assert_eq!((interim.status, interim.fields.names().count()), (100, 0));
        client.send(if lines == EXPECT { "abc" } else { "3\r\nabc\r\n0\r\n\r\n" }).await;
        assert_eq!(client.response().await.text(), "ok");
    }
    assert!(origin.requests().iter().all(|request| request.text() == "abc"));
    assert_eq!((origin.requests().len(), origin.connections()), (2, 1));
}

#[tokio::test]
async fn final_answers_come_without_continue() {
    let origin = RawOrigin::start(|mut conversation| async move {
        if conversation.head().await.is_some() {
            let _ = conversation.send("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno").await;
            conversation.take_all().await;
        }
    })
    .await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(request("POST", EXPECT, "")).await;
    let response = client.response().await;
    assert_eq!((response.status, response.interim.len(), response.text().as_str()), (413, 0, "no"));
    // Whether a body comes now nobody can tell, so nothing that comes now can be a request.
    assert_eq!(response.fields.get("connection"), Some("close"));
    client.send("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.expect_end().await;
    assert_eq!((origin.connections(), origin.requests().len()), (1, 0));
}

#[tokio::test]
async fn silent_origins_get_the_body_anyway() {
    // It knows nothing of expectations and waits for the body.
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(request("POST", EXPECT, "")).await;
    assert_eq!(client.response_head().await.status, 100);
    client.send("abc").await;
    assert_eq!(client.response().await.text(), "ok");
    assert_eq!(origin.only_request().text(), "abc");
}

#[tokio::test]
async fn impatient_clients_are_served() {
    // The body comes along without waiting.
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(request("POST", EXPECT, "abc")).await;
    assert_eq!(client.response().await.text(), "ok");
    assert_eq!(origin.only_request().text(), "abc");
}

#[tokio::test]
async fn core_refuses_without_continue() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::builder().upstream(&origin.url()).set("limits.request_body", 2).start().await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(request("POST", EXPECT, "")).await;
    let response = client.response().await;
    assert_core_error(&response, 413, "over the limit");
    assert_eq!((response.interim.len(), response.fields.get("connection")), (0, Some("close")));
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn expectations_without_body_change_nothing() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    for (method, lines) in [("GET", ""), ("POST", "Content-Length: 0\r\n")] {
        client.send(request(method, &format!("Expect: 100-continue\r\n{lines}"), "")).await;
        let response = client.response().await;
        assert_eq!((response.text().as_str(), response.interim.len(), response.fields.has("connection")), ("ok", 0, false));
    }
    assert!(origin.requests().iter().all(|request| !request.fields.has("expect")));
}

#[tokio::test]
async fn core_continues_before_http2_upstreams() {
    let echo = Echo::http2().await;
    let tollgate = Tollgate::builder().upstream(&echo.url()).set("listener.main.upstream_protocol", "h2").start().await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(request("POST", EXPECT, "")).await;
    assert_eq!(client.response_head().await.status, 100);
    client.send("abc").await;
    assert_eq!(client.response().await.json()["length"], 3);
}

#[tokio::test]
async fn old_clients_cannot_expect() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(format!("POST / HTTP/1.0\r\nHost: a\r\n{EXPECT}\r\nabc")).await;
    let response = client.response().await;
    assert_eq!((response.text().as_str(), response.interim.len()), ("ok", 0));
    assert!(!origin.only_request().fields.has("expect"));
}

#[tokio::test]
async fn curl_expects_and_uploads() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let body = "x".repeat(2 << 20);
    let file = tollgate.directory().join("body");
    std::fs::write(&file, &body).expect("a file");
    for version in ["--http1.1", "--http2-prior-knowledge", "--http1.0"] {
        let answer =
            Curl::new(&tollgate.url()).args(&[version, "-H", "Expect: 100-continue", "--upload-file"]).arg(&file).run().await;
        assert_eq!((answer.code, answer.status), (0, 200), "{version}: {answer:?}");
    }
    assert!(origin.requests().iter().all(|request| request.body.len() == body.len()));
    origin.assert_strict();
}

/// An origin that answers at the head of a request; whether it goes on to read is told.
async fn early_origin(reads_on: bool) -> RawOrigin {
    RawOrigin::start(move |mut conversation| async move {
        if conversation.head().await.is_some() {
            let _ = conversation.send("HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nenough").await;
            if reads_on {
                conversation.take_all().await;
            } else {
                // Keeps the connection open, unread, until the proxy gives it up.
                std::future::pending::<()>().await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn early_answers_overtake_the_upload() {
    for reads_on in [true, false] {
        for version in Version::BOTH {
            let origin = early_origin(reads_on).await;
            let tollgate = Tollgate::before(&origin.url()).await;
            let mut client = Client::connect(version, tollgate.address()).await;
            let (sender, body) = channel();
            let response = client.start(http::Request::post("/").body(body).expect("a request"));
            let upload = tokio::spawn(async move { while sender.send(Bytes::from(vec![b'x'; 64 * 1024])).await {} });
            // hyper may see the connection's end before it has read the answer, where it is still writing: the raw client
            // below is the judge of that. Here the answer must come while the upload never ends.
            let response = within(response).await;
            if let Ok(response) = response {
                let answer = within(Answer::read(response)).await.expect("a body");
                assert_eq!((answer.status.as_u16(), answer.text().as_str()), (413, "enoug"), "{version:?}");
            } else {
                assert_eq!(version, Version::Http1, "{response:?}");
            }
            upload.abort();
        }
    }
}

#[tokio::test]
async fn early_answers_reach_clients_that_still_send() {
    for reads_on in [true, false] {
        let origin = early_origin(reads_on).await;
        let tollgate = Tollgate::before(&origin.url()).await;
        let mut client = RawClient::connect(tollgate.address()).await;
        client.send(request("POST", "Content-Length: 100000000\r\n", &"x".repeat(100_000))).await;
        let response = client.response().await;
        assert_eq!((response.status, response.text().as_str()), (413, "enoug"), "reads on: {reads_on}");
        client.half_close().await;
        client.expect_end().await;
    }
}

#[tokio::test]
async fn bodies_flow_both_ways_at_once() {
    for version in Version::BOTH {
        let origin = RawOrigin::start(|mut conversation| async move {
            if conversation.head().await.is_some() {
                let _ = conversation.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
                while let Ok(Some(piece)) = conversation.piece().await {
                    let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
                    chunk.extend_from_slice(&piece);
                    chunk.extend_from_slice(b"\r\n");
                    let _ = conversation.send(chunk).await;
                }
                let _ = conversation.send("0\r\n\r\n").await;
                conversation.take_all().await;
            }
        })
        .await;
        let tollgate = Tollgate::before(&origin.url()).await;
        let mut client = Client::connect(version, tollgate.address()).await;
        let (sender, body) = channel();
        let response = client.start(http::Request::post("/").body(body).expect("a request"));
        let asked = tokio::spawn(response);
        assert!(sender.send("0").await);
        let response = within(asked).await.expect("a task").expect("a head before the end of the request");
        let mut body = response.into_body();
        for number in 0..20 {
            use http_body_util::BodyExt as _;
            let frame = within(body.frame()).await.expect("a frame").expect("no error");
            assert_eq!(frame.into_data().expect("data"), number.to_string());
            assert!(sender.send((number + 1).to_string()).await);
        }
        drop(sender);
    }
}

#[tokio::test]
async fn uploads_end_when_the_origin_goes() {
    for version in Version::BOTH {
        let origin = RawOrigin::start(|mut conversation| async move {
            conversation.head().await;
            conversation.reset();
        })
        .await;
        let tollgate = Tollgate::before(&origin.url()).await;
        let mut client = Client::connect(version, tollgate.address()).await;
        let (sender, body) = channel();
        let response = client.start(http::Request::post("/").body(body).expect("a request"));
        let upload = tokio::spawn(async move { while sender.send(Bytes::from(vec![b'x'; 64 * 1024])).await {} });
        if let Ok(response) = within(response).await {
            assert_eq!(response.status(), 502, "{version:?}");
        }
        upload.abort();
        eventually(async || origin.open() == 0).await;
        assert_eq!(Client::fetch(version, tollgate.address(), "/").await.status, 502);
    }
}

#[tokio::test]
async fn heads_pass_before_their_bodies() {
    let go_on = Arc::new(Notify::new());
    let gate = Arc::clone(&go_on);
    let origin = RawOrigin::start(move |mut conversation| {
        let gate = Arc::clone(&gate);
        async move {
            conversation.request().await;
            let _ = conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n").await;
            gate.notified().await;
            let _ = conversation.send("ok").await;
            conversation.close().await;
        }
    })
    .await;
    let tollgate = Tollgate::before(&origin.url()).await;
    for version in Version::BOTH {
        let mut client = Client::connect(version, tollgate.address()).await;
        let response = client.open(http::Request::get("/").body(empty()).expect("a request")).await.expect("a head");
        go_on.notify_one();
        assert_eq!(within(Answer::read(response)).await.expect("a body").text(), "ok");
    }
}
