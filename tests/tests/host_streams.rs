//! Streamed bodies that hooks see piece by piece.
#![cfg(test)]

use std::{
    io::{Read as _, Write as _},
    sync::Arc,
};

use http::Request;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tollgate_tests::{Client, RawClient, RawOrigin, Version, addons::Hosted, channel, eventually};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nETag: \"strong\"\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Does this with each piece of a response.
fn to_pieces(actions: &Value) -> Value {
    json!({"rules": [{"on": "response-chunk", "do": actions}]})
}

/// The same with those of a request.
fn to_request_pieces(actions: &Value) -> Value {
    json!({"rules": [{"on": "request-chunk", "do": actions}]})
}

/// An origin that answers with these pieces, each when there is a permit for it, and then with this end.
async fn origin(pieces: &'static [&'static str], end: &'static str) -> (RawOrigin, Arc<Semaphore>) {
    let permits = Arc::new(Semaphore::new(0));
    let shared = Arc::clone(&permits);
    let origin = RawOrigin::start(move |mut conversation| {
        let permits = Arc::clone(&shared);
        async move {
            while conversation.request().await.is_some() {
                let _ = conversation.send(CHUNKED).await;
                for piece in pieces {
                    permits.acquire().await.expect("a permit").forget();
                    let _ = conversation.send(format!("{:x}\r\n{piece}\r\n", piece.len())).await;
                }
                permits.acquire().await.expect("a permit").forget();
                let _ = conversation.send(end).await;
            }
        }
    })
    .await;
    (origin, permits)
}

/// All of it at once.
async fn at_once(pieces: &'static [&'static str], end: &'static str) -> RawOrigin {
    let (origin, permits) = origin(pieces, end).await;
    permits.add_permits(1_000);
    origin
}

const END: &str = "0\r\n\r\n";

#[tokio::test]
async fn pieces_of_responses_are_replaced_and_framed_anew() {
    let origin = RawOrigin::answering(
        "HTTP/1.1 200 OK\r\nETag: \"strong\"\r\nContent-MD5: x\r\nDigest: y\r\nContent-Length: 5\r\n\r\nhello",
    )
    .await;
    let host = Hosted::before(&origin.url()).scripted("a", &to_pieces(&json!([{"piece": "double"}]))).start().await;
    let answer = RawClient::ask(host.address(), GET).await;
    assert_eq!((answer.text().as_str(), answer.fields.get("transfer-encoding")), ("hellohello", Some("chunked")));
    assert_eq!(answer.fields.get("etag"), Some("W/\"strong\""));
    assert_eq!((answer.fields.get("content-md5"), answer.fields.get("digest")), (None, None));
    let answer = Client::fetch(Version::Http2, host.address(), "/").await;
    assert_eq!((answer.text().as_str(), answer.header("content-length")), ("hellohello", None));
}

#[tokio::test]
async fn pieces_of_requests_are_replaced_and_framed_anew() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).scripted("a", &to_request_pieces(&json!([{"piece": "double"}]))).start().await;
    for version in Version::BOTH {
        let request = Request::post("/").body(tollgate_tests::full("hello")).expect("a request");
        assert_eq!(Client::connect(version, host.address()).await.ask(request).await.status, 200);
        let seen = origin.requests().pop().expect("a request");
        assert_eq!((seen.text().as_str(), seen.fields.get("content-length")), ("hellohello", None));
    }
    origin.assert_strict();
}

#[tokio::test]
async fn a_piece_goes_on_before_the_next_one_comes() {
    let (origin, permits) = origin(&["one", "two"], END).await;
    let host = Hosted::before(&origin.url()).scripted("a", &to_pieces(&json!([{"piece": "upper"}]))).start().await;
    let mut client = RawClient::connect(host.address()).await;
    client.send(GET).await;
    assert_eq!(client.response_head().await.status, 200);
    for piece in ["ONE", "TWO"] {
        permits.add_permits(1);
        assert_eq!(client.piece().await.expect("a piece").as_deref(), Some(piece.as_bytes()));
    }
    permits.add_permits(1);
    assert_eq!(client.piece().await.expect("an end"), None);
}

#[tokio::test]
async fn request_pieces_reach_the_upstream_one_by_one() {
    let origin = RawOrigin::start(|mut conversation| async move {
        while let Some(request) = conversation.head().await {
            let first = conversation.piece().await.expect("a piece").expect("a piece");
            // Only now does the client send the rest.
            let text = String::from_utf8_lossy(&first).into_owned();
            let _ = conversation.send("HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n").await;
            let rest = conversation.rest(request).await.expect("the rest").text();
            let body = format!("{text}+{rest}");
            let _ = conversation.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())).await;
        }
    })
    .await;
    let host = Hosted::before(&origin.url()).scripted("a", &to_request_pieces(&json!([{"piece": "upper"}]))).start().await;
    let mut client = RawClient::connect(host.address()).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n").await;
    eventually(async || origin.received() > 0).await;
    client.send("3\r\ntwo\r\n0\r\n\r\n").await;
    assert_eq!(client.response().await.text(), "ONE+TWO");
}

#[tokio::test]
async fn what_was_held_back_is_released_later() {
    let origin = at_once(&["one,", "two,", "three"], END).await;
    let script = to_pieces(&json!([{"piece": "hold"}, {"piece": {"last": [{"piece": "release"}]}}]));
    let host = Hosted::before(&origin.url()).scripted("a", &script).start().await;
    // Held until the end, then sent by the last call, which has no bytes of its own.
    assert_eq!(host.get("/").await.text(), "one,two,three");
}

#[tokio::test]
async fn discarded_pieces_never_arrive() {
    let origin = at_once(&["one"], END).await;
    let host = Hosted::before(&origin.url()).scripted("a", &to_pieces(&json!([{"piece": "discard"}]))).start().await;
    let answer = RawClient::ask(host.address(), GET).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, ""));
}

#[tokio::test]
async fn after_done_the_rest_goes_by_unseen() {
    let (origin, permits) = origin(&["one", "two", "three"], "0\r\nT: 1\r\n\r\n").await;
    let script = to_pieces(&json!([{"log": "piece {pieces}"}, {"piece": "upper"}, {"piece": {"nth": [2, [{"piece": "done"}]]}}]));
    let host = Hosted::before(&origin.url()).scripted("a", &script).start().await;
    let mut client = RawClient::connect(host.address()).await;
    client.send(GET).await;
    client.response_head().await;
    for piece in ["ONE", "TWO", "three"] {
        permits.add_permits(1);
        assert_eq!(client.piece().await.expect("a piece").as_deref(), Some(piece.as_bytes()));
    }
    permits.add_permits(1);
    client.piece().await.expect("an end");
    eventually(async || host.times_logged("piece 2") == 1).await;
    assert_eq!(host.times_logged("piece 3"), 0);
    assert_eq!(host.admin().status("a").await["calls"], 2);
}

#[tokio::test]
async fn large_pieces_are_cut() {
    const PIECE: usize = 64 << 10;
    for (bytes, expected) in [(PIECE - 1, 1), (PIECE, 1), (PIECE + 1, 2), (3 * PIECE, 3)] {
        let origin = RawOrigin::ok().await;
        // A hook before has collected the body, so that it comes as one piece.
        let script = json!({"rules": [
            {"on": "request", "body": "full"},
            {"on": "request-chunk", "do": [{"log": "a piece of {size}"}]},
        ]});
        let host = Hosted::before(&origin.url()).scripted("a", &script).start().await;
        host.post("/", vec![b'x'; bytes]).await;
        assert_eq!(origin.only_request().body.len(), bytes);
        eventually(async || host.times_logged("a piece of") == expected).await;
        assert!(host.times_logged("a piece of 65536") <= 3, "{bytes}");
    }
}

#[tokio::test]
async fn trailers_are_shown_and_edited_with_the_last_piece() {
    let origin = at_once(&["one"], "0\r\nX-Sum: 1\r\nX-Gone: 2\r\n\r\n").await;
    let script = to_pieces(&json!([{"log": "saw {trailer:x-sum} last {last}"}, {"piece": {"last": [
        {"piece": {"trailer": ["X-Sum", "{trailer:x-sum}+"]}},
        {"piece": {"trailer": ["X-New", "yes"]}},
    ]}}]));
    let host = Hosted::before(&origin.url()).scripted("a", &script).start().await;
    let answer = RawClient::ask(host.address(), GET).await;
    assert_eq!((answer.trailers.get("x-sum"), answer.trailers.get("x-gone")), (Some("1+"), Some("2")));
    assert_eq!(answer.trailers.get("x-new"), Some("yes"));
    eventually(async || host.times_logged("saw 1 last true") == 1).await;
    assert_eq!(host.times_logged("saw none last false"), 1);
}

#[tokio::test]
async fn trailers_cannot_be_set_before_the_end_nor_frame_anything() {
    let origin = at_once(&["one"], END).await;
    for (actions, why) in [
        (json!([{"piece": {"nth": [1, [{"piece": {"trailer": ["X-Early", "1"]}}]]}}]), "read-only"),
        (json!([{"piece": {"last": [{"piece": {"trailer": ["Content-Length", "1"]}}]}}]), "content-length"),
        (json!([{"piece": {"last": [{"piece": {"trailer": ["Authorization", "1"]}}]}}]), "authorization"),
        (json!([{"piece": {"last": [{"piece": {"trailer": ["X-A", "a\r\nb"]}}]}}]), "not legal"),
    ] {
        let host = Hosted::before(&origin.url()).scripted("a", &to_pieces(&actions)).start().await;
        let mut client = RawClient::connect(host.address()).await;
        client.send(GET).await;
        assert!(client.try_response("GET").await.is_err(), "{actions}");
        eventually(async || host.logs().to_lowercase().contains(why)).await;
    }
}

#[tokio::test]
async fn requests_go_down_the_chain_and_responses_up() {
    let origin = RawOrigin::answering("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n.").await;
    let mark = |tag: &str| {
        let append = json!([{"piece": {"nth": [1, [{"piece": "hold"}]]}}, {"log": format!("{tag} got {{data}}")}]);
        json!({"rules": [
            {"on": "request-chunk", "do": append},
            {"on": "response-chunk", "do": [{"log": format!("{tag} answered {{size}}")}, {"piece": "double"}]},
        ]})
    };
    let host = Hosted::before(&origin.url())
        .scripted("a", &mark("a"))
        .scripted("b", &mark("b"))
        .set("listener.main.addons", "[\"a\", \"b\"]")
        .start()
        .await;
    let answer = host.post("/", "x").await;
    assert_eq!(answer.text(), "....");
    eventually(async || host.times_logged("a answered 2") == 1 && host.times_logged("b answered 1") == 1).await;
    assert_eq!((host.times_logged("a got x"), host.times_logged("b got x")), (1, 0));
}

#[tokio::test]
async fn an_answer_of_an_addon_goes_through_the_hooks_before_it() {
    let origin = RawOrigin::ok().await;
    let answering = json!({"rules": [{"on": "request", "do": [{"respond": [200, [], "made"]}]}]});
    let host = Hosted::before(&origin.url())
        .scripted("a", &to_pieces(&json!([{"piece": "upper"}])))
        .scripted("b", &answering)
        .scripted("c", &to_pieces(&json!([{"piece": "double"}])))
        .set("listener.main.addons", "[\"a\", \"b\", \"c\"]")
        .start()
        .await;
    assert_eq!(host.get("/").await.text(), "MADE");
}

#[tokio::test]
async fn messages_without_a_body_have_no_pieces() {
    let origin = RawOrigin::answering("HTTP/1.1 204 No Content\r\n\r\n").await;
    let script = json!({"rules": [{"on": "request-chunk", "do": ["trap"]}, {"on": "response-chunk", "do": ["trap"]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &script).start().await;
    assert_eq!(host.get("/").await.status, 204);
    assert_eq!(host.ask("POST", "/", &[]).await.status, 204);
    let origin = RawOrigin::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").await;
    let host = Hosted::before(&origin.url()).scripted("a", &script).start().await;
    let mut client = RawClient::connect(host.address()).await;
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = client.response_to("HEAD").await;
    // What the hook might have made of the body is not known.
    assert_eq!((answer.status, answer.fields.get("content-length")), (200, None));
}

#[tokio::test]
async fn one_instance_sees_the_head_and_all_pieces() {
    let origin = at_once(&["a", "b"], END).await;
    let script = json!({"rules": [
        {"on": "request", "do": [{"log": "request {count}"}]},
        {"on": "request-chunk", "do": [{"log": "piece up {count}"}]},
        {"on": "response", "do": [{"log": "response {count}"}]},
        {"on": "response-chunk", "do": [{"log": "piece down {count}"}]},
        {"on": "finish", "do": [{"log": "finish {count}"}]},
    ]});
    let host = Hosted::before(&origin.url()).scripted("a", &script).start().await;
    host.post("/", "x").await;
    eventually(async || host.logs().contains("finish ")).await;
    for line in ["request 1", "piece up 2", "response 3", "piece down 4"] {
        assert_eq!(host.times_logged(line), 1, "{line} in {}", host.logs());
    }
    assert_eq!(host.admin().status("a").await["instances_created"], 1);
}

#[tokio::test]
async fn hooks_on_heads_cost_nothing_per_piece() {
    let origin = at_once(&["a", "b", "c", "d", "e", "f", "g", "h"], END).await;
    let script = json!({"rules": [{"on": "response", "do": [{"set": ["X-Seen", "1"]}]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &script).start().await;
    let answer = RawClient::ask(host.address(), GET).await;
    assert_eq!((answer.text().as_str(), answer.fields.get("x-seen")), ("abcdefgh", Some("1")));
    let addon = host.admin().status("a").await;
    assert_eq!((&addon["calls"], &addon["instances_live"]), (&json!(1), &json!(0)));
}

#[tokio::test]
async fn back_pressure_reaches_through_hooks() {
    let origin = RawOrigin::start(|mut conversation| async move {
        conversation.request().await;
        let _ = conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n").await;
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..1024 {
            if conversation.send(&piece).await.is_err() {
                return;
            }
        }
    })
    .await;
    let host = Hosted::before(&origin.url()).scripted("a", &to_pieces(&json!([]))).start().await;
    let mut client = RawClient::connect(host.address()).await;
    client.send(GET).await;
    client.response_head().await;
    let seen = async || host.admin().status("a").await["calls"].as_u64().unwrap_or_default();
    // The client reads nothing: what is under way ends at the buffers between.
    let mut last = 0;
    eventually(async || std::mem::replace(&mut last, seen().await) == last && last > 0).await;
    assert!(last < 2_000, "{last} pieces went by while nobody read");
    let taken: usize = 64 << 20;
    client.take(taken).await;
    eventually(async || seen().await > last).await;
}

#[tokio::test]
async fn a_large_body_goes_through_hooks_in_little_memory() {
    const BODY: usize = 256 << 20;
    let origin = RawOrigin::start(|mut conversation| async move {
        conversation.request().await;
        let _ = conversation.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY}\r\n\r\n")).await;
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..BODY >> 20 {
            if conversation.send(&piece).await.is_err() {
                return;
            }
        }
    })
    .await;
    let host = Hosted::before(&origin.url()).scripted("a", &to_pieces(&json!([{"piece": "upper"}]))).start().await;
    let before = host.settled("a").await;
    let mut client = Client::connect(Version::Http1, host.address()).await;
    let response = client.open(Request::get("/").body(tollgate_tests::empty()).expect("a request")).await.expect("a response");
    let (mut body, mut bytes) = (response.into_body(), 0);
    while let Some(frame) = body.frame().await {
        bytes += frame.expect("a frame").into_data().map_or(0, |data| data.len());
    }
    assert_eq!(bytes, BODY);
    let grown = host.peak_rss().saturating_sub(before);
    assert!(grown < (64 << 20), "memory grew by {grown} bytes");
}

/// A response of `data: N` lines with this coding, each line in a part of its own.
fn gzipped_parts() -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let mut response = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for number in 0..3 {
        encoder.write_all(format!("data: {number}\n").as_bytes()).expect("gzip");
        encoder.flush().expect("gzip");
        let part = std::mem::take(encoder.get_mut());
        response.extend([format!("{:x}\r\n", part.len()).as_bytes(), &part, b"\r\n"].concat());
    }
    let rest = encoder.finish().expect("gzip");
    response.extend([format!("{:x}\r\n", rest.len()).as_bytes(), &rest, b"\r\n0\r\n\r\n"].concat());
    response
}

#[tokio::test]
async fn pieces_come_plain_where_that_is_asked_for() {
    let origin = RawOrigin::answering(gzipped_parts()).await;
    let script = json!({"rules": [{"on": "response-chunk", "body": "full", "do": [{"piece": "upper"}, {"log": "saw {data}"}]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &script).start().await;
    let answer = RawClient::ask(host.address(), GET).await;
    assert_eq!((answer.text().as_str(), answer.fields.get("content-encoding")), ("DATA: 0\nDATA: 1\nDATA: 2\n", None));
    assert_eq!(answer.fields.get("vary"), Some("Accept-Encoding"));
    eventually(async || host.times_logged("saw data: 0") == 1).await;
}

#[tokio::test]
async fn pieces_stay_coded_where_it_is_not() {
    let origin = RawOrigin::answering(gzipped_parts()).await;
    let host = Hosted::before(&origin.url()).scripted("a", &to_pieces(&json!([]))).start().await;
    let answer = RawClient::ask(host.address(), GET).await;
    let mut plain = String::new();
    flate2::read::GzDecoder::new(&answer.body[..]).read_to_string(&mut plain).expect("gzip");
    assert_eq!((plain.as_str(), answer.fields.get("content-encoding")), ("data: 0\ndata: 1\ndata: 2\n", Some("gzip")));
}

#[tokio::test]
async fn coded_uploads_come_plain_by_pieces_of_the_cap() {
    let origin = RawOrigin::ok().await;
    let script = json!({"rules": [{"on": "request-chunk", "body": {"refuse": 10}, "do": [{"log": "a piece of {size}"}]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &script).start().await;
    let text = b"twenty-five bytes of text".to_vec();
    let body = zstd::encode_all(&text[..], 3).expect("zstd");
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Encoding: zstd\r\nContent-Length: {}\r\n\r\n", body.len());
    RawClient::ask(host.address(), [head.as_bytes(), &body].concat()).await;
    let seen = origin.only_request();
    assert_eq!((seen.body, seen.fields.get("content-encoding")), (text, None));
    eventually(async || host.times_logged("a piece of 10") == 2 && host.times_logged("a piece of 5") == 1).await;
}

#[tokio::test]
async fn bombs_are_broken_off() {
    let bomb = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&vec![0; 64 << 20]).expect("gzip");
        encoder.finish().expect("gzip")
    };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", bomb.len());
    let origin = RawOrigin::answering([head.as_bytes(), &bomb].concat()).await;
    let script = json!({"rules": [{"on": "response-chunk", "body": "full", "do": [{"piece": "discard"}]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &script).start().await;
    let mut client = RawClient::connect(host.address()).await;
    client.send(GET).await;
    assert!(client.try_response("GET").await.is_err());
    eventually(async || host.logs().contains("too large without its Content-Encoding")).await;
}

#[tokio::test]
async fn a_client_that_leaves_does_not_end_a_hook_in_the_middle() {
    let (origin, permits) = origin(&["one", "two"], END).await;
    let script = json!({"rules": [
        {"on": "response-chunk", "do": [{"log": "piece {pieces} begun"}, {"wait": 300}, {"log": "piece {pieces} done"}]},
        {"on": "finish", "do": [{"log": "finished complete={complete}"}]},
    ]});
    let host = Hosted::before(&origin.url()).scripted("a", &script).start().await;
    let mut client = RawClient::connect(host.address()).await;
    client.send(GET).await;
    client.response_head().await;
    permits.add_permits(1);
    eventually(async || host.times_logged("piece 1 begun") == 1).await;
    client.reset();
    eventually(async || host.times_logged("finished complete=false") == 1).await;
    assert_eq!(host.times_logged("piece 1 done"), 1);
    assert_eq!(host.admin().status("a").await["traps"], 0);
}

#[tokio::test]
async fn uploads_by_pieces_meet_their_limit() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url())
        .scripted("a", &to_request_pieces(&json!([{"piece": {"fill": 1}}])))
        .set("limits.request_body", 10)
        .start()
        .await;
    let (sender, body) = channel();
    let mut client = Client::connect(Version::Http1, host.address()).await;
    let asked = tokio::spawn(async move {
        client.try_ask(Request::post("/").body(body).expect("a request")).await.map(|answer| answer.status.as_u16())
    });
    // The limit counts what the client sends, not what is left of it.
    assert!(sender.send("123456").await);
    sender.send("12345").await;
    drop(sender);
    assert_eq!(asked.await.expect("a task").ok(), Some(413));
}
