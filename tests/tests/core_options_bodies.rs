//! Options of the core about the size of bodies: what is too large is refused, what is large is streamed.
#![cfg(test)]

use serde_json::{Value, json};
use tollgate_tests::{
    Answer, Client, Echo, Frame, FrameOrigin, RawClient, RawOrigin, Response, Version, WireError, addons::Hosted, channel,
    eventually, full, within,
};

/// Answers by itself what it sees of requests, and marks responses.
fn watching() -> Value {
    json!({"rules": [
        {"on": "request", "do": [{"set": ["X-Seen", "yes"]}, {"log": "saw a request"}]},
        {"on": "response", "do": [{"set": ["X-Watched", "yes"]}]},
    ]})
}

/// Shows the body that it sees in a field of the same message.
fn collecting(event: &str, body: &Value) -> Value {
    json!({"rules": [{"on": event, "body": body, "do": [{"set": ["X-Body", "{body}"]}]}]})
}

async fn post(host: &Hosted, version: Version, body: &str) -> Answer {
    let request = http::Request::post("/").body(full(body.to_owned())).expect("a request");
    Client::connect(version, host.address()).await.ask(request).await
}

fn sized(length: usize) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{}", "x".repeat(length))
}

fn chunked(length: usize) -> String {
    format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(length))
}

#[tokio::test]
async fn requests_over_the_limit_reach_no_addon() {
    let origin = Echo::http1().await;
    let host = Hosted::before(&origin.url()).scripted("a", &watching()).start().await;
    host.set_options("body_size_limit = \"1k\"").await;
    for version in Version::BOTH {
        for length in [1023, 1024] {
            let answer = post(&host, version, &"x".repeat(length)).await;
            assert_eq!((answer.status.as_u16(), answer.echoed().length), (200, length as u64), "{version:?}");
        }
        let (seen, requests) = (host.times_logged("saw a request"), origin.requests());
        let answer = post(&host, version, &"x".repeat(1025)).await;
        assert_eq!(answer.status, 413, "{version:?}");
        assert_eq!(answer.json()["errcode"], "M_TOO_LARGE", "{version:?}");
        assert_eq!(answer.header("x-watched"), None, "{version:?}");
        assert_eq!((host.times_logged("saw a request"), origin.requests()), (seen, requests), "{version:?}");
    }
}

#[tokio::test]
async fn bodies_without_a_length_are_counted() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).start().await;
    host.set_options("body_size_limit = 10").await;
    for (length, status) in [(9, 200), (10, 200), (11, 413)] {
        for version in Version::BOTH {
            let (body, sent) = channel();
            let request = http::Request::post("/").body(sent).expect("a request");
            let mut client = Client::connect(version, host.address()).await;
            let asked = tokio::spawn(client.start(request));
            for _ in 0..length {
                let _ = body.send("x").await;
            }
            drop(body);
            let response = within(asked).await.expect("a task").expect("a response");
            assert_eq!(response.status(), status, "{version:?} {length}");
        }
    }
    assert_eq!(origin.requests().len(), 4);
}

#[tokio::test]
async fn limits_of_listeners_are_never_loosened() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).set("limits.request_body", "5").start().await;
    for (options, accepted) in [("body_size_limit = \"1m\"", 5), ("body_size_limit = 3", 3), ("", 5)] {
        host.set_options(options).await;
        assert_eq!(post(&host, Version::Http1, &"x".repeat(accepted)).await.status, 200, "{options}");
        assert_eq!(post(&host, Version::Http1, &"x".repeat(accepted + 1)).await.status, 413, "{options}");
    }
}

#[tokio::test]
async fn responses_over_the_limit_are_failures() {
    for (length, status) in [(99, 200), (100, 200), (101, 502)] {
        let origin = RawOrigin::answering(sized(length)).await;
        let host = Hosted::before(&origin.url()).start().await;
        host.set_options("body_size_limit = 100").await;
        for version in Version::BOTH {
            let answer = Client::fetch(version, host.address(), "/").await;
            assert_eq!(answer.status, status, "{version:?} {length}");
            assert_eq!(answer.text().contains("over the limit of 100 bytes"), status == 502, "{version:?} {length}");
        }
        // What HEAD tells of a body is none.
        assert_eq!(host.ask("HEAD", "/", &[]).await.status, 200, "{length}");
    }
}

#[tokio::test]
async fn lengths_without_a_body_are_none() {
    let head: &[(&str, &[u8])] = &[(":status", b"200"), ("content-length", b"101")];
    let http2 = RawOrigin::start(move |conversation| async move {
        let Some(mut origin) = FrameOrigin::accept(conversation).await else { return };
        while let Some(stream) = origin.request().await {
            // The end comes after the head, in a frame of its own.
            origin.send(&[Frame::headers(stream, head, false)]).await;
            origin.send(&[Frame::data(stream, "", true)]).await;
        }
    });
    let http1 = RawOrigin::answering("HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n");
    for (origin, protocol) in [(http1.await, "http1"), (http2.await, "h2")] {
        let host = Hosted::before(&origin.url())
            .scripted("a", &collecting("response", &json!("full")))
            .set("listener.main.upstream_protocol", protocol)
            .start()
            .await;
        host.set_options("body_size_limit = 100\nstream_large_bodies = 100").await;
        let answer = host.ask("HEAD", "/", &[]).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-body")), (200, Some("")), "{protocol}");
    }
}

#[tokio::test]
async fn responses_that_turn_out_too_large_are_broken_off() {
    for (length, is_whole) in [(100, true), (101, false)] {
        let origin = RawOrigin::answering(chunked(length)).await;
        let host = Hosted::before(&origin.url()).start().await;
        host.set_options("body_size_limit = 100").await;
        let mut client = RawClient::connect(host.address()).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let response: Result<Response, WireError> = client.try_response("GET").await;
        assert_eq!(response.is_ok(), is_whole, "{length}");
        let mut http2 = Client::connect(Version::Http2, host.address()).await;
        let request = http::Request::get("/").body(tollgate_tests::empty()).expect("a request");
        assert_eq!(http2.try_ask(request).await.is_ok(), is_whole, "{length}");
    }
}

#[tokio::test]
async fn addons_can_answer_for_too_large_responses() {
    let origin = RawOrigin::answering(sized(101)).await;
    let script = json!({"rules": [{"on": "upstream-error", "do": [{"respond": [200, [], "instead: {error}"]}]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &script).start().await;
    host.set_options("body_size_limit = 100").await;
    let answer = host.get("/").await;
    assert_eq!(answer.status, 200);
    assert!(answer.text().starts_with("instead"), "{}", answer.text());
}

#[tokio::test]
async fn collected_responses_over_the_limit_are_failures() {
    let origin = RawOrigin::answering(chunked(101)).await;
    let host = Hosted::before(&origin.url()).scripted("a", &collecting("response", &json!("full"))).start().await;
    host.set_options("body_size_limit = 100").await;
    assert_eq!(host.get("/").await.status, 502);
    host.set_options("body_size_limit = 101").await;
    assert_eq!(host.get("/").await.status, 200);
}

#[tokio::test]
async fn large_bodies_are_streamed_past_hooks_that_want_them_whole() {
    let origin = Echo::http1().await;
    let request = json!({"rules": [
        {"on": "request", "body": "full", "do": [{"set": ["X-Body", "{body}"]}]},
        {"on": "request", "do": [{"set": ["X-Head", "yes"]}]},
    ]});
    let host = Hosted::before(&origin.url()).scripted("a", &request).start().await;
    host.set_options("stream_large_bodies = 10").await;
    for version in Version::BOTH {
        for (length, is_seen) in [(9, true), (10, true), (11, false)] {
            let body = "x".repeat(length);
            let echoed = post(&host, version, &body).await.echoed();
            assert_eq!(echoed.header("x-body"), is_seen.then_some(body.as_str()), "{version:?}");
            // The same guest's rule for heads: of several that match, one is what the guest does first.
            assert_eq!(echoed.header("x-head"), Some("yes"), "{version:?}");
            assert_eq!(echoed.length, length as u64, "{version:?}");
        }
    }
    assert_eq!(host.times_logged("pass hooks that want them whole unseen"), 1);
}

#[tokio::test]
async fn bodies_without_a_length_are_streamed_when_they_have_grown_large() {
    for (length, is_seen) in [(10, true), (11, false)] {
        let origin = RawOrigin::answering(chunked(length)).await;
        let host = Hosted::before(&origin.url()).scripted("a", &collecting("response", &json!("full"))).start().await;
        host.set_options("stream_large_bodies = 10").await;
        let answer = host.get("/").await;
        assert_eq!((answer.header("x-body").is_some(), answer.text().len()), (is_seen, length));
    }
}

#[tokio::test]
async fn streaming_goes_before_the_choice_of_a_subscription() {
    let origin = Echo::http1().await;
    let host = Hosted::before(&origin.url()).scripted("a", &collecting("request", &json!({"refuse": 5}))).start().await;
    host.set_options("stream_large_bodies = 10").await;
    for (length, status) in [(5, 200), (6, 413), (10, 413), (11, 200)] {
        assert_eq!(post(&host, Version::Http1, &"x".repeat(length)).await.status, status, "{length}");
    }
}

#[tokio::test]
async fn responses_begin_before_a_large_body_has_come() {
    let origin = RawOrigin::start(|mut conversation| async move {
        conversation.request().await;
        let _ = conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nfirst").await;
        conversation.take_all().await;
    })
    .await;
    let host = Hosted::before(&origin.url()).scripted("a", &collecting("response", &json!("full"))).start().await;
    host.set_options("stream_large_bodies = 50").await;
    let mut client = RawClient::connect(host.address()).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let head = client.response_head().await;
    assert_eq!((head.status, head.fields.get("x-body")), (200, None));
    assert_eq!(client.piece().await.expect("a piece").as_deref(), Some(&b"first"[..]));
    drop(client);
    eventually(async || origin.open() == 0).await;
}
