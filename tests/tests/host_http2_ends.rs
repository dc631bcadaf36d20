//! HTTP/2 connections that are given up (GOAWAY) in the middle of bodies that hooks see: what was whole stays whole, what was
//! cut is an error.
#![cfg(test)]

use std::sync::Arc;

use bytes::{BufMut as _, BytesMut};
use serde_json::json;
use tokio::sync::Semaphore;
use tollgate_tests::{
    Answer, Client, Frame, FrameClient, FrameOrigin, RawOrigin, Version, addons::Hosted, channel, empty, eventually,
};

const OK: &[(&str, &[u8])] = &[(":status", b"200")];

/// GOAWAY: streams up to this one are served, for this reason (RFC 9113, 6.8).
fn goaway(last: u32, code: u32) -> Frame {
    let mut payload = BytesMut::new();
    payload.put_u32(last);
    payload.put_u32(code);
    Frame::new(7, 0, 0, payload.freeze())
}

/// A proxy that makes capitals of what it sees.
async fn capitals(upstream: &RawOrigin, protocol: &str) -> Hosted {
    let script = json!({"rules": [
        {"on": "request-chunk", "do": [{"piece": "upper"}]},
        {"on": "response-chunk", "do": [{"piece": "upper"}]},
        {"on": "finish", "do": [{"log": "finished {status} {target} {complete}"}]},
    ]});
    Hosted::before(&upstream.url()).scripted("a", &script).set("listener.main.upstream_protocol", protocol).start().await
}

/// An origin that answers each stream with the frames that this makes for it; after the first it closes, if it does.
async fn ending(closes: bool, frames: impl Fn(u32) -> Vec<Frame> + Send + Sync + Clone + 'static) -> RawOrigin {
    RawOrigin::start(move |conversation| {
        let frames = frames.clone();
        async move {
            let Some(mut origin) = FrameOrigin::accept(conversation).await else { return };
            while let Some(stream) = origin.request().await {
                origin.send(&frames(stream)).await;
                if closes {
                    return;
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn upstreams_that_go_away_end_the_bodies_that_they_began() {
    // The head and a piece; then, when there is a permit for it, GOAWAY and the rest.
    let permits = Arc::new(Semaphore::new(0));
    let shared = Arc::clone(&permits);
    let origin = RawOrigin::start(move |conversation| {
        let permits = Arc::clone(&shared);
        async move {
            let Some(mut origin) = FrameOrigin::accept(conversation).await else { return };
            while let Some(stream) = origin.request().await {
                origin.send(&[Frame::headers(stream, OK, false), Frame::data(stream, "abc", false)]).await;
                permits.acquire().await.expect("a permit").forget();
                origin.send(&[goaway(stream, 0), Frame::data(stream, "def", true)]).await;
            }
        }
    })
    .await;
    let host = capitals(&origin, "h2").await;
    // Each goes over a connection of its own: the one before is given up.
    for round in 1..=5 {
        for version in Version::BOTH {
            let mut client = Client::connect(version, host.address()).await;
            let response = client.open(http::Request::get("/").body(empty()).expect("a request")).await.expect("a response");
            assert_eq!(response.status(), 200, "{version:?} {round}");
            permits.add_permits(1);
            let answer = Answer::read(response).await.expect("a whole body");
            assert_eq!(answer.text(), "ABCDEF", "{version:?} {round}");
        }
    }
    eventually(async || host.times_logged("finished 200 / true") == 10).await;
}

#[tokio::test]
async fn upstreams_that_go_away_and_close_break_bodies_off() {
    for (last, code) in [(1, 0), (0, 0), (1, 2)] {
        let origin = ending(true, move |stream| {
            let length = [(":status", &b"200"[..]), ("content-length", b"6")];
            let fields = if code == 0 { OK } else { &length };
            vec![Frame::headers(stream, fields, false), Frame::data(stream, "abc", false), goaway(last * stream, code)]
        })
        .await;
        let host = capitals(&origin, "h2").await;
        for version in Version::BOTH {
            let mut client = Client::connect(version, host.address()).await;
            let answer = client.try_ask(http::Request::get("/").body(empty()).expect("a request")).await;
            assert!(
                answer.as_ref().is_ok_and(|answer| answer.status == 502) || answer.is_err(),
                "{version:?} {last} {code}: {answer:?}"
            );
        }
        assert_eq!(host.times_logged("finished 200 / true"), 0, "{last} {code}");
    }
}

fn post(stream: u32, authority: &str) -> Frame {
    let fields = [(":method", &b"POST"[..]), (":scheme", b"http"), (":authority", authority.as_bytes()), (":path", b"/up")];
    Frame::headers(stream, &fields, false)
}

#[tokio::test]
async fn clients_that_go_away_end_the_bodies_that_they_began() {
    let origin = RawOrigin::answering("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").await;
    let host = capitals(&origin, "http1").await;
    let mut client = FrameClient::connect(host.address()).await;
    client.send(&[post(1, "a"), Frame::data(1, "abc", false), goaway(0, 0), Frame::data(1, "def", true)]).await;
    let mut answer = Vec::new();
    while let Some(frame) = client.outcome().await {
        assert!(frame.kind == 1 || frame.kind == 0, "{frame:?}");
        if frame.kind == 0 {
            answer.extend_from_slice(&frame.payload);
        }
        if frame.flags & 1 == 1 {
            break;
        }
    }
    assert_eq!((answer.as_slice(), origin.only_request().text().as_str()), (&b"DONE"[..], "ABCDEF"));
    eventually(async || host.times_logged("finished 200 /up true") == 1).await;
}

#[tokio::test]
async fn clients_that_go_away_within_a_body_make_no_request() {
    let origin = RawOrigin::ok().await;
    let host = capitals(&origin, "http1").await;
    // The last one leaves the connection as it is, and says that all is well.
    let no_error = Frame::new(3, 0, 1, bytes::Bytes::from_static(&[0; 4]));
    for (number, end) in (1..).zip([goaway(0, 0), goaway(0, 2), no_error]) {
        let mut client = FrameClient::connect(host.address()).await;
        client.send(&[post(1, "a"), Frame::data(1, "abc", false)]).await;
        // The origin has the first piece before the rest is cut off.
        eventually(async || origin.seen().len() == number && origin.seen().last().is_some_and(|seen| seen.ends_with(b"ABC\r\n")))
            .await;
        client.send(std::slice::from_ref(&end)).await;
        let kept = (end.kind == 3).then_some(client);
        eventually(async || host.times_logged("finished none /up false") == number && origin.aborted() == number).await;
        drop(kept);
    }
    assert_eq!(origin.requests().len(), 0);
    origin.assert_strict();
}

/// The same said of the stream: only END_STREAM is an end, and it is one whatever comes after it.
#[tokio::test]
async fn upstreams_that_reset_without_an_error_break_bodies_off() {
    for fields in [OK, &[(":status", b"200"), ("content-length", b"6")]] {
        let origin = ending(false, move |stream| {
            let no_error = Frame::new(3, 0, stream, bytes::Bytes::from_static(&[0; 4]));
            vec![Frame::headers(stream, fields, false), Frame::data(stream, "abc", false), no_error]
        })
        .await;
        let host = capitals(&origin, "h2").await;
        for version in Version::BOTH {
            let mut client = Client::connect(version, host.address()).await;
            let answer = client.try_ask(http::Request::get("/").body(empty()).expect("a request")).await;
            assert!(answer.as_ref().is_ok_and(|answer| answer.status == 502) || answer.is_err(), "{version:?}: {answer:?}");
        }
    }
}

/// So it is where the response comes before the request's end, after which such a reset is legal (RFC 9113, 8.1).
#[tokio::test]
async fn early_answers_are_whole_where_their_stream_was_ended() {
    let no_error = |stream| Frame::new(3, 0, stream, bytes::Bytes::from_static(&[0; 4]));
    for is_whole in [true, false] {
        let origin = ending(false, move |stream| {
            vec![Frame::headers(stream, OK, false), Frame::data(stream, "abc", is_whole), no_error(stream)]
        })
        .await;
        // With hooks and without: then the body goes by as it is.
        let plain = Hosted::before(&origin.url()).set("listener.main.upstream_protocol", "h2").start().await;
        for host in [capitals(&origin, "h2").await, plain] {
            for version in Version::BOTH {
                for _ in 0..5 {
                    let mut client = Client::connect(version, host.address()).await;
                    // A body whose end never comes.
                    let (sender, body) = channel();
                    let answer = client.try_ask(http::Request::post("/").body(body).expect("a request")).await;
                    match &answer {
                        Ok(answer) if answer.status == 200 => {
                            assert!(is_whole, "{version:?}: {answer:?}");
                            assert_eq!(answer.text().to_uppercase(), "ABC", "{version:?}");
                        }
                        other => assert!(!is_whole, "{version:?}: {other:?}"),
                    }
                    drop(sender);
                }
            }
        }
    }
}
