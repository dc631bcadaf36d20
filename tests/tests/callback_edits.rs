//! What answers to the addon `callback` make of messages on the wire, and which flows it is asked about.
#![cfg(test)]

use std::io::{Read as _, Write as _};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use http::Request;
use serde_json::{Value, json};
use tollgate_tests::{
    Client, RawClient, RawOrigin, Version,
    addons::{CallbackServer, Hosted, Reply},
    full,
};

/// A proxy with the response callback.
async fn on_response(origin: &RawOrigin, server: &CallbackServer, filter: Value) -> Hosted {
    let host = Hosted::with_callback(&origin.url()).start().await;
    host.lock(&json!({"callback_response_url": server.at("/response"), "filter": filter})).await;
    host
}

/// A proxy with the request callback.
async fn on_request(origin: &RawOrigin, server: &CallbackServer) -> Hosted {
    let host = Hosted::with_callback(&origin.url()).start().await;
    host.lock(&json!({"callback_request_url": server.at("/request")})).await;
    host
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish()).expect("gzip")
}

#[tokio::test]
async fn coded_responses_are_told_plain() {
    let text = r#"{"number": 123456789012345678901234567890}"#;
    let fields = format!("Content-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: {}", gzip(text).len());
    let origin = RawOrigin::answering([format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n").as_bytes(), &gzip(text)].concat()).await;
    let server = CallbackServer::start(|called| {
        let is_edited = called.told["url"].as_str().is_some_and(|url| url.ends_with("/edited"));
        if is_edited { Reply::json(&json!({"respond_body": {"foo": "bar"}})) } else { Reply::nothing() }
    })
    .await;
    let host = on_response(&origin, &server, Value::Null).await;
    let taking = [("accept-encoding", "gzip")];
    let answer = host.ask("GET", "/", &taking).await;
    assert_eq!((answer.header("content-encoding"), answer.body.as_ref()), (Some("gzip"), gzip(text).as_slice()));
    assert_eq!(
        server.told("/response")[0]["response_body"]["number"],
        serde_json::from_str::<Value>(text).expect("JSON")["number"]
    );
    let answer = host.ask("GET", "/edited", &taking).await;
    let mut plain = String::new();
    GzDecoder::new(answer.body.as_ref()).read_to_string(&mut plain).expect("gzip");
    assert_eq!((answer.header("content-encoding"), plain.as_str()), (Some("gzip"), r#"{"foo":"bar"}"#));
    let answer = host.get("/edited").await;
    assert_eq!((answer.header("content-encoding"), answer.text().as_str()), (None, r#"{"foo":"bar"}"#));
}

#[tokio::test]
async fn coded_requests_are_told_plain() {
    let (origin, server) = (RawOrigin::ok().await, CallbackServer::answering(json!({})).await);
    let host = on_request(&origin, &server).await;
    let request = Request::post("/").header("content-encoding", "gzip").body(full(gzip(r#"{"a":1}"#))).expect("a request");
    Client::connect(Version::Http1, host.address()).await.ask(request).await;
    assert_eq!(server.told("/request")[0]["request_body"], json!({"a": 1}));
    assert_eq!(origin.only_request().body, gzip(r#"{"a":1}"#));
}

#[tokio::test]
async fn fields_that_still_hold_are_kept() {
    let fields = "Date: Sat, 21 Nov 2026 16:00:00 GMT\r\nContent-Type: text/plain\r\nETag: \"1\"\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\naccess-control-allow-origin: *\r\nX-Own: 1";
    let origin = RawOrigin::answering(format!("HTTP/1.1 200 OK\r\n{fields}\r\nContent-Length: 6\r\n\r\na text")).await;
    let server = CallbackServer::start(|called| match called.told["url"].as_str().and_then(|url| url.rsplit('/').next()) {
        Some("body") => Reply::json(&json!({"respond_body": {}})),
        Some("status") => Reply::json(&json!({"respond_status_code": 500})),
        _ => Reply::json(&json!({"foo": 1})),
    })
    .await;
    let host = on_response(&origin, &server, Value::Null).await;
    for (target, status, content_type, etag, text) in [
        ("/body", 200, "application/json", "W/\"1\"", "{}"),
        ("/status", 500, "text/plain", "\"1\"", "a text"),
        ("/nothing", 200, "text/plain", "\"1\"", "a text"),
    ] {
        let answer = host.get(target).await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (status, text), "{target}");
        let length = text.len().to_string();
        for (name, value) in [
            ("date", "Sat, 21 Nov 2026 16:00:00 GMT"),
            ("content-type", content_type),
            ("content-length", &length),
            ("etag", etag),
            ("access-control-allow-origin", "*"),
            ("x-own", "1"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{target}");
        }
        let cookies: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
        assert_eq!(cookies, ["a=1", "b=2"], "{target}");
    }
}

#[tokio::test]
async fn answers_to_head_tell_of_the_new_body() {
    let origin = RawOrigin::answering("HTTP/1.1 200 OK\r\nX-Own: 1\r\nContent-Length: 1000\r\n\r\n").await;
    let server = CallbackServer::answering(json!({"respond_body": {"foo": "bar"}})).await;
    let host = on_response(&origin, &server, Value::Null).await;
    let mut client = RawClient::connect(host.address()).await;
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = client.response_to("HEAD").await;
    assert_eq!((answer.status, answer.fields.get("content-length"), answer.fields.get("x-own")), (200, Some("13"), Some("1")));
    assert_eq!(answer.fields.get("content-type"), Some("application/json"));
    assert_eq!(server.told("/response")[0]["method"], "HEAD");
}

#[tokio::test]
async fn requests_go_upstream_as_answered() {
    let origin = RawOrigin::ok().await;
    let amended = json!({"request_body": {"a": 2}, "request_headers": {"X-New": ["1", "2"], "X-Old": null}});
    let server = CallbackServer::start(move |_| Reply::json(&amended)).await;
    let host = on_request(&origin, &server).await;
    for version in Version::BOTH {
        let request = Request::put("/").header("x-old", "1").body(full(r#"{"a":  1}"#)).expect("a request");
        assert_eq!(Client::connect(version, host.address()).await.ask(request).await.text(), "ok");
        let sent = origin.requests().pop().expect("a request");
        assert_eq!((sent.text().as_str(), sent.fields.get("content-length")), (r#"{"a":2}"#, Some("7")));
        assert_eq!(sent.fields.all("x-new").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!((sent.fields.has("x-old"), sent.fields.get("content-type")), (false, Some("application/json")));
    }
    origin.assert_strict();
}

#[tokio::test]
async fn connections_are_dropped() {
    let (origin, server) = (RawOrigin::ok().await, CallbackServer::answering(json!({"abort": true})).await);
    let host = Hosted::with_callback(&origin.url()).start().await;
    for (key, requests) in [("callback_request_url", 0), ("callback_response_url", 1)] {
        host.lock(&json!({key: server.at("/")})).await;
        let mut client = RawClient::connect(host.address()).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        client.expect_end().await;
        assert_eq!(origin.requests().len(), requests, "{key}");
    }
}

#[tokio::test]
async fn filters_about_responses_are_asked_with_the_request() {
    let origin = RawOrigin::start(|mut conversation| async move {
        while let Some(request) = conversation.request().await {
            let status = if request.target == "/missing" { 404 } else { 200 };
            let answer = format!("HTTP/1.1 {status} Answer\r\nContent-Length: 8\r\n\r\n{{\"b\": 1}}");
            if conversation.send(answer).await.is_err() {
                return;
            }
        }
    })
    .await;
    let server = CallbackServer::answering(json!({})).await;
    let host = Hosted::with_callback(&origin.url()).start().await;
    let both = json!({"callback_request_url": server.at("/request"), "callback_response_url": server.at("/response")});
    for (filter, requests, responses) in [
        ("~c 404", 0, 1),
        ("~s", 0, 2),
        ("~q", 2, 0),
        ("~bq a", 2, 2),
        ("~bs b", 0, 2),
        ("~bs nothing", 0, 0),
        ("!~q & ~m POST", 0, 2),
        ("", 2, 2),
    ] {
        let mut options = both.clone();
        options["filter"] = json!(filter);
        host.lock(&options).await;
        let before = (server.told("/request").len(), server.told("/response").len());
        host.post("/found", r#"{"a":1}"#).await;
        host.post("/missing", r#"{"a":1}"#).await;
        let (asked, made) = (server.told("/request").split_off(before.0), server.told("/response").split_off(before.1));
        assert_eq!((asked.len(), made.len()), (requests, responses), "{filter}");
        assert!(asked.iter().chain(&made).all(|told| told["request_body"] == json!({"a": 1})), "{filter}: {made:?}");
        assert!(made.iter().all(|told| told["response_body"] == json!({"b": 1})), "{filter}: {made:?}");
    }
    // Without a request callback, the request is known all the same.
    for filter in ["~c 404", "~u missing"] {
        host.lock(&json!({"callback_response_url": server.at("/alone"), "filter": filter})).await;
        host.post("/missing", r#"{"a":1}"#).await;
        let told = server.told("/alone").pop().expect("a call");
        assert_eq!((&told["request_body"], &told["response_code"]), (&json!({"a": 1}), &json!(404)), "{filter}");
    }
}

#[tokio::test]
async fn bodies_are_told_wherever_requests_are_sent() {
    let (origin, server) = (RawOrigin::ok().await, CallbackServer::answering(json!({})).await);
    let host = Hosted::with_callback(&origin.url()).set("options.map_remote", json!(["|/old/(.*)|/new/\\1"])).start().await;
    for filter in ["~u /new/", "/new/", "~p ^/new/", "!~u /old/", "~m POST"] {
        for more in [json!({}), json!({"callback_request_url": server.at("/request")})] {
            let mut options = json!({"callback_response_url": server.at("/response"), "filter": filter});
            options.as_object_mut().expect("options").extend(more.as_object().cloned().expect("options"));
            host.lock(&options).await;
            let before = server.told("/response").len();
            assert_eq!(host.post("/old/x", r#"{"body":1}"#).await.text(), "ok");
            let told = server.told("/response").split_off(before);
            let [told] = told.as_slice() else { panic!("{filter}: {told:?}") };
            assert_eq!(told["url"], json!(format!("{}/new/x", origin.url())), "{filter}");
            assert_eq!(told["request_body"], json!({"body": 1}), "{filter}");
        }
    }
}

#[tokio::test]
async fn large_documents_are_told_whole() {
    let devices: Value =
        (0..20_000).map(|number| (format!("@user-{number}:hs1"), json!({"*": number}))).collect::<serde_json::Map<_, _>>().into();
    let body = json!({"messages": devices}).to_string();
    let (origin, server) = (RawOrigin::ok().await, CallbackServer::answering(json!({})).await);
    let host = Hosted::with_callback(&origin.url()).set("addon.callback.cpu", "5s").start().await;
    let both = json!({"callback_request_url": server.at("/request"), "callback_response_url": server.at("/response")});
    host.lock(&both).await;
    assert_eq!(host.post("/", body.clone()).await.text(), "ok");
    for path in ["/request", "/response"] {
        assert_eq!(server.told(path)[0]["request_body"]["messages"], devices, "{path}");
    }
    assert_eq!(origin.only_request().text(), body);
}
