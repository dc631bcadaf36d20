//! Connections: kept, reused, pipelined, retried and given up, on both sides.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use tokio::sync::Notify;
use tollgate_tests::{Client, RawClient, RawOrigin, Tollgate, Version, eventually, full};

use crate::common::{assert_core_error, request};

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let origin = RawOrigin::start(|mut conversation| async move {
        while let Some(request) = conversation.request().await {
            let body = format!("{}:{}", request.target, request.text());
            let _ = conversation.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())).await;
        }
    })
    .await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    let mut all = String::new();
    for number in 0..40 {
        all += match number % 3 {
            0 => format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n"),
            1 => format!("POST /{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"),
            _ => format!("PUT /{number} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        }
        .as_str();
    }
    client.send(all).await;
    for number in 0..40 {
        let body = if number % 3 == 0 { "" } else { "abc" };
        assert_eq!(client.response().await.text(), format!("/{number}:{body}"));
    }
    origin.assert_strict();
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn connections_are_kept_on_both_sides() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    for version in Version::BOTH {
        let mut client = Client::connect(version, tollgate.address()).await;
        for _ in 0..10 {
            assert_eq!(client.get("/").await.text(), "ok");
        }
    }
    assert_eq!((origin.connections(), origin.requests().len()), (1, 20));
}

#[tokio::test]
async fn clients_close_when_they_say_so() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    for lines in ["Connection: close\r\n", "Connection: x, Close\r\n", "Connection: keep-alive\r\nConnection: close\r\n"] {
        let mut client = RawClient::connect(tollgate.address()).await;
        client.send(request("GET", lines, "")).await;
        let response = client.response().await;
        assert_eq!((response.status, response.fields.get("connection")), (200, Some("close")));
        client.expect_end().await;
    }
    assert!(origin.requests().iter().all(|request| !request.fields.has("connection")));
}

#[tokio::test]
async fn http_1_0_clients_are_served() {
    let origin = RawOrigin::start(|mut conversation| async move {
        while let Some(request) = conversation.request().await {
            let answer = if request.target == "/chunks" {
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\n\r\n2\r\nok\r\n0\r\nT: 1\r\n\r\n"
            } else {
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
            };
            let _ = conversation.send(answer).await;
        }
    })
    .await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    let response = client.response().await;
    assert_eq!((response.text().as_str(), response.fields.get("content-length")), ("ok", Some("2")));
    client.expect_end().await;
    // Such a client knows no chunks: the end of the connection tells the end of the body.
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send("GET /chunks HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n").await;
    let response = client.response().await;
    assert_eq!((response.text().as_str(), response.trailers.names().count()), ("ok", 0));
    assert!(!response.fields.has("transfer-encoding") && !response.fields.has("trailer"), "{response:?}");
    client.expect_end().await;
    assert!(origin.requests().iter().all(|request| request.version == "HTTP/1.1" && request.fields.has("host")));
    origin.assert_strict();
}

#[tokio::test]
async fn http_1_0_clients_may_keep_connections() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    for _ in 0..3 {
        client.send("POST / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\nContent-Length: 3\r\n\r\nabc").await;
        let response = client.response().await;
        assert_eq!((response.text().as_str(), response.fields.get("connection")), ("ok", Some("keep-alive")));
    }
    assert_eq!(origin.requests().len(), 3);
}

/// An origin whose first connection serves one request and then, at the next one, is closed without an answer.
async fn dying_origin() -> RawOrigin {
    RawOrigin::start(|mut conversation| async move {
        let mut left = if conversation.index == 0 { 1 } else { usize::MAX };
        while conversation.request().await.is_some() {
            if left == 0 {
                return;
            }
            left -= 1;
            let _ = conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        }
    })
    .await
}

#[tokio::test]
async fn idempotent_requests_survive_dead_connections() {
    for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"] {
        for version in Version::BOTH {
            let origin = dying_origin().await;
            let tollgate = Tollgate::before(&origin.url()).await;
            let mut client = Client::connect(version, tollgate.address()).await;
            client.get("/").await;
            let request = http::Request::builder().method(method).uri("/again").body(full("")).expect("a request");
            assert_eq!(client.ask(request).await.status, 200, "{method} {version:?}");
            assert_eq!((origin.connections(), origin.requests().len()), (2, 3), "{method} {version:?}");
        }
    }
}

#[tokio::test]
async fn other_requests_are_never_sent_twice() {
    for (method, body) in [("POST", ""), ("POST", "abc"), ("PATCH", "abc"), ("PUT", "abc"), ("FOO", "")] {
        let origin = dying_origin().await;
        let tollgate = Tollgate::before(&origin.url()).await;
        let mut client = RawClient::connect(tollgate.address()).await;
        client.send(request("GET", "", "")).await;
        client.response().await;
        client.send(request(method, &format!("Content-Length: {}\r\n", body.len()), body)).await;
        let response = client.response().await;
        // A body that went by is gone: whatever the method, it cannot be sent again.
        assert_core_error(&response, 502, method);
        assert_eq!((origin.connections(), origin.requests().len()), (1, 2), "{method}");
    }
}

#[tokio::test]
async fn fresh_connections_are_not_tried_twice() {
    let origin = RawOrigin::start(|mut conversation| async move {
        conversation.request().await;
    })
    .await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let response = RawClient::ask(tollgate.address(), request("GET", "", "")).await;
    assert_core_error(&response, 502, "closed");
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn closed_connections_are_not_reused() {
    static REQUESTS: AtomicUsize = AtomicUsize::new(0);
    let origin = RawOrigin::start(|mut conversation| async move {
        if conversation.request().await.is_some() {
            REQUESTS.fetch_add(1, SeqCst);
            let _ = conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        }
    })
    .await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    for round in 1..=5 {
        // Not idempotent: would be lost if it went over the closed connection.
        client.send(request("POST", "Content-Length: 0\r\n", "")).await;
        assert_eq!(client.response().await.status, 200);
        eventually(async || origin.open() == 0).await;
        assert_eq!(REQUESTS.load(SeqCst), round);
    }
}

#[tokio::test]
async fn upstreams_close_when_they_say_so() {
    for head in ["HTTP/1.1 200 OK\r\nConnection: close\r\n", "HTTP/1.0 200 OK\r\n"] {
        let origin = RawOrigin::answering(format!("{head}Content-Length: 2\r\n\r\nok")).await;
        let tollgate = Tollgate::before(&origin.url()).await;
        let mut client = RawClient::connect(tollgate.address()).await;
        for _ in 0..3 {
            client.send(request("GET", "", "")).await;
            let response = client.response().await;
            assert_eq!((response.text().as_str(), response.fields.has("connection")), ("ok", false));
        }
        assert_eq!(origin.connections(), 3);
    }
}

#[tokio::test]
async fn clients_that_leave_free_the_origin() {
    for version in Version::BOTH {
        let origin = RawOrigin::start(|mut conversation| async move {
            conversation.request().await;
            conversation.take_all().await;
        })
        .await;
        let tollgate = Tollgate::before(&origin.url()).await;
        let mut client = Client::connect(version, tollgate.address()).await;
        let asked = tokio::spawn(client.start(http::Request::get("/").body(full("")).expect("a request")));
        eventually(async || origin.requests().len() == 1).await;
        asked.abort();
        drop(client);
        eventually(async || origin.open() == 0).await;
    }
}

#[tokio::test]
async fn clients_that_reset_free_the_origin() {
    let origin = RawOrigin::start(|mut conversation| async move {
        conversation.request().await;
        conversation.take_all().await;
    })
    .await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(request("GET", "", "")).await;
    eventually(async || origin.requests().len() == 1).await;
    client.reset();
    eventually(async || origin.open() == 0).await;
}

#[tokio::test]
async fn half_closed_clients_are_served_on_request() {
    for is_served in [true, false] {
        let go_on = Arc::new(Notify::new());
        let gate = Arc::clone(&go_on);
        let origin = RawOrigin::start(move |mut conversation| {
            let gate = Arc::clone(&gate);
            async move {
                if conversation.request().await.is_some() {
                    tokio::select! {
                        () = gate.notified() => drop(conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await),
                        _ = conversation.take_all() => {}
                    }
                }
            }
        })
        .await;
        let tollgate = Tollgate::builder().upstream(&origin.url()).set("listener.main.half_close", is_served).start().await;
        let mut client = RawClient::connect(tollgate.address()).await;
        client.send(request("GET", "", "")).await;
        eventually(async || origin.requests().len() == 1).await;
        client.half_close().await;
        if is_served {
            go_on.notify_one();
            assert_eq!(client.response().await.text(), "ok");
        } else {
            client.expect_end().await;
            eventually(async || origin.open() == 0).await;
        }
    }
}

#[tokio::test]
async fn dead_upstreams_are_bad_gateways() {
    let tollgate = Tollgate::before("http://127.0.0.1:1").await;
    let response = RawClient::ask(tollgate.address(), request("GET", "", "")).await;
    assert_core_error(&response, 502, "refused");
    for version in Version::BOTH {
        let answer = Client::fetch(version, tollgate.address(), "/").await;
        assert_eq!((answer.status.as_u16(), answer.json()["errcode"].as_str()), (502, Some("M_UNKNOWN")));
    }
}

#[tokio::test]
async fn unknown_names_are_bad_gateways() {
    let tollgate = Tollgate::before("http://no-such-host.invalid").await;
    let response = RawClient::ask(tollgate.address(), request("GET", "", "")).await;
    assert_core_error(&response, 502, "no address");
}

#[tokio::test]
async fn every_address_of_a_name_is_tried() {
    // `localhost` is ::1 as well, where nothing listens.
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&format!("http://localhost:{}", origin.address().port())).await;
    assert_eq!(RawClient::ask(tollgate.address(), request("GET", "", "")).await.text(), "ok");
}

#[tokio::test]
async fn any_method_may_have_a_body() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::before(&origin.url()).await;
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "FOO"] {
        let mut client = RawClient::connect(tollgate.address()).await;
        client.send(request(method, "Content-Length: 3\r\n", "abc")).await;
        assert_eq!(client.response_to(method).await.status, 200, "{method}");
    }
    assert!(origin.requests().iter().all(|request| request.text() == "abc"));
    origin.assert_strict();
}

#[tokio::test]
async fn nothing_is_left_of_odd_flows() {
    let origin = RawOrigin::start(|mut conversation| async move {
        let Some(head) = conversation.head().await else { return };
        let _ = match head.target.as_str() {
            "/ok" => conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await,
            "/broken" => conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok").await,
            "/reset" => return conversation.reset(),
            _ => {
                conversation.take_all().await;
                Ok(())
            }
        };
    })
    .await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let before = tollgate.descriptors();
    for _ in 0..10 {
        for text in ["GET /ok", "GET /broken", "GET /reset", "GET /silent", "POST /silent", "nonsense"] {
            let mut client = RawClient::connect(tollgate.address()).await;
            client.send(format!("{text} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na")).await;
            if text.ends_with("silent") || text.ends_with("ok") {
                client.reset();
            } else {
                client.half_close().await;
                client.read_to_end().await;
            }
        }
        let mut client = Client::connect(Version::Http2, tollgate.address()).await;
        let asked = tokio::spawn(client.start(http::Request::get("/silent").body(full("")).expect("a request")));
        tokio::task::yield_now().await;
        asked.abort();
    }
    eventually(async || tollgate.descriptors() <= before + 1).await;
    // A flow ends a moment after its sockets.
    eventually(async || {
        let metrics = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let metrics = RawClient::ask(tollgate.admin(), metrics).await.text();
        let left = |line: &&str| line.starts_with("tollgate_flows_active{") || line.starts_with("tollgate_connections_active{");
        let left: Vec<&str> = metrics.lines().filter(left).collect();
        left.len() == 2 && left.iter().all(|line| line.ends_with(" 0"))
    })
    .await;
}

#[tokio::test]
async fn rests_of_answered_uploads_are_drained() {
    let origin = RawOrigin::start(|mut conversation| async move {
        while let Some(head) = conversation.head().await {
            let answer = if head.method == "GET" { "HTTP/1.1 200 OK\r\n" } else { "HTTP/1.1 403 Forbidden\r\n" };
            let _ = conversation.send(format!("{answer}Content-Length: 2\r\n\r\nok")).await;
            if head.method != "GET" {
                return drop(conversation.take_all().await);
            }
        }
    })
    .await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let mut client = RawClient::connect(tollgate.address()).await;
    client.send(request("POST", "Content-Length: 100000\r\n", "")).await;
    assert_eq!(client.response().await.status, 403);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(10_000).get(..100_000).expect("enough")).await;
    client.send(request("GET", "", "")).await;
    assert_eq!(client.response().await.status, 200);
    client.send(request("GET", "Connection: close\r\n", "")).await;
    assert_eq!(client.response().await.status, 200);
    client.expect_end().await;
}
