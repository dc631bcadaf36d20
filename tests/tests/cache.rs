//! The addon `cache` on the wire: real requests, many at one time, coded bodies, a broken upstream.
#![cfg(test)]

use std::{
    io::{Read as _, Write as _},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tollgate_tests::{
    Client, Curl, RawClient, RawOrigin, Request, Version,
    addons::{Hosted, HostedBuilder, bundled},
};

fn builder(origin: &RawOrigin, options: &Value) -> HostedBuilder {
    Hosted::before(&origin.url()).guest("cache", &bundled("cache"), options).set("addon.cache.kv", "true")
}

async fn cached(origin: &RawOrigin, options: Value) -> Hosted {
    builder(origin, &options).start().await
}

/// A response with these fields and this body.
fn response(status: u16, fields: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!("HTTP/1.1 {status} Said\r\n{fields}\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// An upstream that answers each request by itself, and its number, from 0 on.
async fn origin(answer: impl Fn(&Request, usize) -> Vec<u8> + Send + Sync + 'static) -> RawOrigin {
    let (answer, count) = (Arc::new(answer), Arc::new(AtomicUsize::new(0)));
    RawOrigin::start(move |mut conversation| {
        let (answer, count) = (Arc::clone(&answer), Arc::clone(&count));
        async move {
            while let Some(request) = conversation.request().await {
                let said = answer(&request, count.fetch_add(1, SeqCst));
                if conversation.send(said).await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

/// An upstream whose answers are fresh and tell their number.
async fn counting() -> RawOrigin {
    origin(|_, number| response(200, "Cache-Control: max-age=600\r\nX-A: 1", format!("number {number}"))).await
}

#[tokio::test]
async fn answers_come_from_the_store() {
    let origin = counting().await;
    let host = cached(&origin, json!({})).await;
    let first = host.get("/a").await;
    assert_eq!((first.text().as_str(), first.header("cache-status")), ("number 0", Some("tollgate; fwd=uri-miss; stored")));
    assert_eq!(first.header("content-length"), Some("8"));
    for version in [Version::Http1, Version::Http2] {
        let again = Client::fetch(version, host.address(), "/a").await;
        assert_eq!((again.text().as_str(), again.header("x-a")), ("number 0", Some("1")));
        assert!(again.header("cache-status").is_some_and(|status| status.starts_with("tollgate; hit; ttl=")));
        assert!(again.header("age").is_some_and(|age| age.parse::<u64>().is_ok()));
    }
    assert_eq!(host.get("/b").await.text(), "number 1");
    assert_eq!(origin.requests().len(), 2);
}

#[tokio::test]
async fn curl_sees_one_answer() {
    let origin = counting().await;
    let host = cached(&origin, json!({})).await;
    let url = format!("http://{}/a", host.address());
    for _ in 0..2 {
        let answer = Curl::new(&url).run().await;
        assert_eq!(answer.body, b"number 0");
    }
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn of_a_hundred_one_goes_upstream() {
    let origin = RawOrigin::start(|mut conversation| async move {
        while conversation.request().await.is_some() {
            tokio::time::sleep(Duration::from_millis(300)).await;
            if conversation.send(response(200, "Cache-Control: max-age=600", "once")).await.is_err() {
                return;
            }
        }
    })
    .await;
    let host = cached(&origin, json!({ "lock_wait": "40s" })).await;
    let answers = join_all((0..100).map(|_| host.get("/a"))).await;
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.text() == "once"));
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn stale_answers_are_validated() {
    let origin = origin(|request, _| match request.fields.get("if-none-match") {
        Some("\"v1\"") => response(304, "ETag: \"v1\"\r\nCache-Control: max-age=600", ""),
        _ => response(200, "ETag: \"v1\"\r\nCache-Control: max-age=0", "body of v1"),
    })
    .await;
    let host = cached(&origin, json!({})).await;
    host.get("/a").await;
    let renewed = host.get("/a").await;
    assert_eq!((renewed.status.as_u16(), renewed.text().as_str()), (200, "body of v1"));
    assert_eq!(renewed.header("cache-status"), Some("tollgate; fwd=stale; fwd-status=304; stored"));
    assert_eq!(host.get("/a").await.text(), "body of v1");
    assert_eq!(origin.requests().len(), 2);
    // The client's own condition is answered from what is kept.
    for (tag, expected) in [("\"v1\"", 304), ("\"v0\"", 200)] {
        let answer = host.ask("GET", "/a", &[("if-none-match", tag)]).await;
        assert_eq!((answer.status.as_u16(), answer.text().is_empty()), (expected, expected == 304));
    }
    assert_eq!(origin.requests().len(), 2);
}

#[tokio::test]
async fn coded_answers_are_kept_plain() {
    let text = "a text that is long enough to be worth it ".repeat(100);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let coded = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish()).expect("gzip");
    let fields = "Cache-Control: max-age=600\r\nContent-Encoding: gzip\r\nETag: \"g\"\r\nVary: Accept-Encoding";
    let origin = origin(move |_, _| response(200, fields, &coded)).await;
    let host = cached(&origin, json!({})).await;
    let first = host.ask("GET", "/a", &[("accept-encoding", "gzip")]).await;
    let mut plain = String::new();
    GzDecoder::new(&first.body[..]).read_to_string(&mut plain).expect("gzip");
    assert_eq!(
        (plain.as_str(), first.header("content-encoding"), first.header("etag")),
        (text.as_str(), Some("gzip"), Some("\"g\""))
    );
    let again = host.ask("GET", "/a", &[("accept-encoding", "gzip")]).await;
    assert_eq!((again.text(), again.header("content-encoding"), again.header("etag")), (text, None, Some("W/\"g\"")));
    assert_eq!(origin.requests().len(), 1);
    // Who has the coded one, has it.
    let known = host.ask("GET", "/a", &[("accept-encoding", "gzip"), ("if-none-match", "\"g\"")]).await;
    assert_eq!((known.status.as_u16(), origin.requests().len()), (304, 1));
}

#[tokio::test]
async fn heads_are_answered_from_gets() {
    let origin = counting().await;
    let host = cached(&origin, json!({})).await;
    host.get("/a").await;
    let mut client = RawClient::connect(host.address()).await;
    client.send("HEAD /a HTTP/1.1\r\nHost: main\r\n\r\n").await;
    let missed = client.response_to("HEAD").await;
    // Under another Host it is another resource.
    assert_eq!((missed.status, origin.requests().len()), (200, 2));
    let host_field = host.address().to_string();
    client.send(format!("HEAD /a HTTP/1.1\r\nHost: {host_field}\r\n\r\n")).await;
    let head = client.response_to("HEAD").await;
    assert_eq!((head.status, head.fields.get("x-a"), origin.requests().len()), (200, Some("1"), 2));
    // As GET would have: the addon cannot edit bodies of responses.
    assert_eq!(head.fields.get("content-length"), Some("8"));
    assert!(head.fields.get("cache-status").is_some_and(|status| status.starts_with("tollgate; hit")));
}

#[tokio::test]
async fn changes_are_seen_at_once() {
    let origin = counting().await;
    let host = cached(&origin, json!({ "filter": "~p ^/a" })).await;
    assert_eq!(host.get("/a").await.text(), "number 0");
    assert_eq!(host.get("/a").await.text(), "number 0");
    host.post("/a", "x").await;
    assert_eq!(host.get("/a").await.text(), "number 2");
    // What the filter leaves out goes by.
    assert_eq!(host.get("/b").await.text(), "number 3");
    assert_eq!(host.get("/b").await.header("cache-status"), None);
}

#[tokio::test]
async fn users_get_their_own() {
    let origin = origin(|request, _| {
        response(200, "Cache-Control: max-age=600", format!("for {}", request.fields.get("authorization").unwrap_or("nobody")))
    })
    .await;
    let host = cached(&origin, json!({})).await;
    for _ in 0..2 {
        for user in ["a", "b"] {
            assert_eq!(host.ask("GET", "/", &[("authorization", user)]).await.text(), format!("for {user}"));
        }
        assert_eq!(host.get("/").await.text(), "for nobody");
    }
    assert_eq!(origin.requests().len(), 3);
}

#[tokio::test]
async fn broken_off_answers_are_not_kept() {
    let origin = RawOrigin::closing("HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 100\r\n\r\nhalf").await;
    let host = cached(&origin, json!({})).await;
    for _ in 0..2 {
        let mut client = RawClient::connect(host.address()).await;
        client.send(format!("GET /half HTTP/1.1\r\nHost: {}\r\n\r\n", host.address())).await;
        let seen = client.try_response("GET").await;
        assert!(seen.is_err() || seen.is_ok_and(|answer| answer.status == 502));
    }
    assert_eq!(origin.requests().len(), 2);
}

#[tokio::test]
async fn large_answers_pass_whole() {
    let large = "x".repeat(3_000_000);
    let body = large.clone();
    let origin = origin(move |_, _| response(200, "Cache-Control: max-age=600", &body)).await;
    let host = cached(&origin, json!({ "max_body": 1000 })).await;
    for _ in 0..2 {
        let answer = host.get("/large").await;
        assert_eq!(answer.text().len(), large.len());
        assert_eq!(answer.header("cache-status"), Some("tollgate; fwd=uri-miss"));
    }
    assert_eq!(origin.requests().len(), 2);
}

#[tokio::test]
async fn a_full_store_stops_nothing() {
    let origin = counting().await;
    let host = builder(&origin, &json!({})).set("addon.cache.kv_keys", "6").start().await;
    for number in 0..12 {
        assert_eq!(host.get(&format!("/{number}")).await.text(), format!("number {number}"));
    }
    assert_eq!(host.get("/0").await.text(), "number 0");
    assert!(host.times_logged("nothing is looked up or kept for this flow") > 0);
}

#[tokio::test]
async fn requests_with_content_go_by() {
    let origin = counting().await;
    let host = cached(&origin, json!({})).await;
    assert_eq!(host.get("/").await.text(), "number 0");
    let mut client = RawClient::connect(host.address()).await;
    for (number, framing) in [(1, "Content-Length: 1\r\n\r\nx"), (2, "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n")] {
        client.send(format!("GET / HTTP/1.1\r\nHost: {}\r\n{framing}", host.address())).await;
        let answer = client.response().await;
        assert_eq!(String::from_utf8_lossy(&answer.body), format!("number {number}"));
    }
    assert_eq!(host.get("/").await.text(), "number 0");
}

/// Who drops the addon in is told once what it lacks, and its flows go by.
#[tokio::test]
async fn without_its_grant_it_says_so_once() {
    let origin = counting().await;
    let host = Hosted::before(&origin.url()).guest("cache", &bundled("cache"), &json!({})).start().await;
    for number in 0..3 {
        assert_eq!(host.get("/a").await.text(), format!("number {number}"));
    }
    host.admin().reload("cache").await;
    host.get("/a").await;
    assert_eq!((host.times_logged("addon.cache.kv = true"), host.times_logged("WARN")), (1, 1), "{}", host.logs());
    let host = builder(&origin, &json!({})).start().await;
    host.get("/b").await;
    assert_eq!(host.times_logged("WARN"), 0, "{}", host.logs());
}
