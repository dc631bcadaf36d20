//! What goes wrong: errors of the upstream, those of the proxy, and streams that end.

use serde_json::json;
use tollgate_tests::{Port, RawClient, RawOrigin, SocketClient, SocketEnd, close_payload};

use super::{HOME, STREAMING, hosted, open};

const ADA: &str = "Authorization: Bearer ada-token\r\n";

/// Answers everything so.
async fn answering(head: &'static str, body: &'static str) -> RawOrigin {
    RawOrigin::answering(format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())).await
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n{ADA}\r\n")
}

#[tokio::test]
async fn errors_of_the_upstream_pass_unchanged() {
    for (head, fields, body) in [
        (
            "401 Unauthorized",
            &[("www-authenticate", "Bearer realm=\"Doorkeeper\"")][..],
            r#"{"error":"The access token is invalid"}"#,
        ),
        ("403 Forbidden", &[], r#"{"error":"This action is outside the authorized scopes"}"#),
        ("404 Not Found", &[], r#"{"error":"Record not found"}"#),
        ("422 Unprocessable Content", &[], r#"{"error":"Validation failed","error_description":"x"}"#),
        (
            "429 Too Many Requests",
            &[
                ("retry-after", "120"),
                ("x-ratelimit-limit", "300"),
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-reset", "2026-01-02T03:05:00.000000Z"),
            ],
            r#"{"error":"Too many requests"}"#,
        ),
        ("500 Internal Server Error", &[], "<html>We're sorry, but something went wrong</html>"),
        ("502 Bad Gateway", &[], "<html>nginx</html>"),
        ("503 Service Unavailable", &[("retry-after", "7")], ""),
        ("504 Gateway Timeout", &[], "[]"),
    ] {
        let lines = fields.iter().fold(String::new(), |lines, (name, value)| lines + &format!("\r\n{name}: {value}"));
        let origin = answering(Box::leak(format!("{head}{lines}").into_boxed_str()), body).await;
        let host = hosted(&origin, &json!({})).start().await;
        for target in [HOME, "/api/v2/instance", "/api/v1/streaming/user", "/api/v1/accounts/1"] {
            let answer = RawClient::ask(host.address(), get(target)).await;
            assert_eq!(
                (format!("{} {}", answer.status, answer.reason), answer.text()),
                (head.to_owned(), body.to_owned()),
                "{target}"
            );
            for (name, value) in fields {
                assert_eq!(answer.fields.get(name), Some(*value), "{target}");
            }
        }
        // Instead of a WebSocket.
        let mut refused = SocketClient::offer(host.address(), STREAMING, ADA).await;
        assert_eq!(format!("{} {}", refused.response.status, refused.response.reason), head);
        assert_eq!(refused.raw().take(body.len()).await, body.as_bytes());
        assert_eq!(host.admin().counter("dedup", "errors").await, 0);
    }
}

#[tokio::test]
async fn errors_of_the_proxy_are_told_as_such() {
    // Nobody is there.
    let nobody = Port::reserve();
    let url = nobody.url();
    let silent = RawOrigin::start(|mut conversation| async move { while conversation.request().await.is_some() {} }).await;
    let ok = RawOrigin::ok().await;
    let start = |url: String| async move {
        let builder =
            tollgate_tests::addons::Hosted::before(&url).guest("dedup", &tollgate_tests::addons::bundled("dedup"), &json!({}));
        builder.set("addon.dedup.kv", true).with(|builder| builder.config_toml("[timeouts]\nresponse = \"300ms\"")).start().await
    };
    for (url, status) in [(url, 502), (silent.url(), 504)] {
        let host = start(url).await;
        for target in [HOME, "/api/v1/streaming/user"] {
            let answer = RawClient::ask(host.address(), get(target)).await;
            assert_eq!(answer.status, status, "{target}");
            let told: serde_json::Value = serde_json::from_str(&answer.text()).expect("JSON");
            assert!(told["error"].is_string(), "{told}");
        }
        let refused = SocketClient::offer(host.address(), STREAMING, ADA).await;
        assert_eq!(refused.response.status, status);
        assert!(!host.logs().contains("ada-token"));
    }
    let host = start(ok.url()).await;
    let answer = RawClient::ask(host.address(), format!("GET {HOME} HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")).await;
    assert_eq!((answer.status, ok.requests().len()), (400, 0));
}

/// A server whose WebSockets do this when something comes.
async fn upon_message<F>(end: impl Fn(SocketEnd) -> F + Send + Sync + Clone + 'static) -> RawOrigin
where
    F: Future<Output = ()> + Send + 'static,
{
    RawOrigin::start(move |mut conversation| {
        let end = end.clone();
        async move {
            while let Some(request) = conversation.request().await {
                if request.fields.get("upgrade").is_some() {
                    let mut socket = SocketEnd::accept(conversation, request, "").await;
                    socket.next().await;
                    return end(socket).await;
                }
                let _ = conversation.send("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
            }
        }
    })
    .await
}

async fn code_after(origin: &RawOrigin) -> u16 {
    let host = hosted(origin, &json!({})).start().await;
    let mut client = open(&host, STREAMING, ADA).await;
    client.send(0x81, "x").await;
    client.frame().await.code()
}

#[tokio::test]
async fn who_loses_the_upstream_is_told_so() {
    let closed = upon_message(SocketEnd::close).await;
    assert_eq!(code_after(&closed).await, 1014);
    let reset = upon_message(|end| async move { end.reset() }).await;
    assert_eq!(code_after(&reset).await, 1014);
    let broken = upon_message(|mut end| async move { end.send_raw([0xff, 0x00]).await }).await;
    assert_eq!(code_after(&broken).await, 1014);
    for code in [1000, 1001, 1003, 1008, 1011, 1012, 1013, 3000, 4999] {
        let origin = upon_message(move |mut end| async move {
            end.send(0x88, close_payload(code, "because")).await;
            end.next().await;
            end.close().await;
        })
        .await;
        assert_eq!(code_after(&origin).await, code);
    }
}

#[tokio::test]
async fn event_streams_end_as_the_upstream_s_do() {
    for is_whole in [true, false] {
        let origin = RawOrigin::start(move |mut conversation| async move {
            while let Some(request) = conversation.request().await {
                if !request.target.starts_with("/api/v1/streaming") {
                    let _ = conversation.send("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
                    continue;
                }
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
                let _ = conversation.send(format!("{head}4\r\n:)\n\n\r\n")).await;
                if !is_whole {
                    return conversation.reset();
                }
                let _ = conversation.send("0\r\n\r\n").await;
            }
        })
        .await;
        let host = hosted(&origin, &json!({})).start().await;
        let mut client = RawClient::connect(host.address()).await;
        client.send(get("/api/v1/streaming/user")).await;
        assert_eq!(client.response_head().await.status, 200);
        let mut got = Vec::new();
        let ended = loop {
            match client.piece().await {
                Ok(Some(piece)) => got.extend_from_slice(&piece),
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        assert_eq!(ended, is_whole, "a stream that broke off is not one that ended");
        assert!(b":)\n\n".starts_with(&got) && (!is_whole || !got.is_empty()));
    }
}
