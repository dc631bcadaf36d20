//! Redirects of streams, which the proxy follows.

use serde_json::json;
use tollgate_tests::{RawOrigin, SocketClient, addons::HostedBuilder};

use super::{ADA, STREAMING, arrives, boost, hosted, mastodon, message, open, post, stream};

/// A server that sends those who want streams somewhere else.
async fn redirecting(status: u16, location: impl Fn(&str) -> String + Send + Sync + Clone + 'static) -> RawOrigin {
    RawOrigin::start(move |mut conversation| {
        let location = location.clone();
        async move {
            while let Some(request) = conversation.request().await {
                let head = if request.target.starts_with("/api/v1/streaming") {
                    format!("HTTP/1.1 {status} Elsewhere\r\nLocation: {}\r\n", location(&request.target))
                } else {
                    "HTTP/1.1 404 Not Found\r\n".to_owned()
                };
                if conversation.send(format!("{head}Content-Length: 0\r\n\r\n")).await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

fn before(origin: &RawOrigin) -> HostedBuilder {
    hosted(origin, &json!({})).set("addon.dedup.upstreams", r#"["private"]"#)
}

/// Targets of streams alone.
fn asked(origin: &RawOrigin) -> Vec<String> {
    origin.targets().into_iter().filter(|target| target.starts_with("/api/v1/streaming")).collect()
}

#[tokio::test]
async fn redirects_of_streams_are_followed() {
    for status in [301, 302, 307, 308] {
        let streams = mastodon(|_| None).await;
        let url = streams.url();
        let origin = redirecting(status, move |target| format!("{url}{target}")).await;
        let host = before(&origin).start().await;
        let mut client = stream(&host).await;
        assert!(arrives(&mut client, message(&["user"], "update", &post("1", "a"))).await);
        assert!(!arrives(&mut client, message(&["user"], "update", &boost("2", &post("1", "a")))).await, "{status}");
        let handshake = streams.only_request();
        assert_eq!((handshake.target.as_str(), handshake.fields.get("authorization")), (STREAMING, Some(ADA.1)));
        assert_eq!(handshake.fields.get("host"), streams.url().strip_prefix("http://"));
        assert_eq!(asked(&origin), [STREAMING]);
    }
}

#[tokio::test]
async fn all_ways_to_hand_over_a_token_are_kept() {
    let streams = mastodon(|_| None).await;
    let url = streams.url().replace("http://", "ws://");
    // It names the place alone.
    let origin = redirecting(301, move |_| format!("{url}/api/v1/streaming")).await;
    let host = before(&origin).start().await;
    for (target, fields) in [
        ("/api/v1/streaming?stream=user&access_token=ada-token", ""),
        ("/api/v1/streaming?stream=user", "Sec-WebSocket-Protocol: ada-token\r\n"),
    ] {
        let mut client = open(&host, target, fields).await;
        arrives(&mut client, message(&["user"], "update", &post("1", "a"))).await;
        let handshake = streams.requests().pop().expect("a handshake");
        assert_eq!(handshake.target, target);
        assert_eq!(handshake.fields.get("sec-websocket-protocol").is_some(), !fields.is_empty());
    }
}

#[tokio::test]
async fn event_streams_are_followed_too() {
    let streams = mastodon(|_| Some(("text/event-stream", ":)\n\n".to_owned()))).await;
    let url = streams.url();
    let origin = redirecting(302, move |target| format!("{url}{target}")).await;
    let host = before(&origin).start().await;
    assert_eq!(host.ask("GET", "/api/v1/streaming/user", &[ADA]).await.text(), ":)\n\n");
    // Anything but a stream is the client's affair, and so is what is not safe to send twice.
    assert_eq!(host.ask("POST", "/api/v1/streaming/user", &[ADA]).await.status, 302);
}

#[tokio::test]
async fn redirects_to_other_hosts_are_not_followed() {
    let elsewhere = mastodon(|_| None).await;
    for (name, grants, status) in [
        ("localhost", r#"["private", "*"]"#, 301),
        ("127.0.0.2", r#"["private", "*"]"#, 301),
        ("127.0.0.1@localhost", r#"["private", "*"]"#, 301),
        ("127.0.0.1", "[]", 301),
        ("127.0.0.1", r#"["*"]"#, 301),
        ("127.0.0.1", r#"["private"]"#, 303),
        ("127.0.0.1", r#"["private"]"#, 300),
    ] {
        let url = elsewhere.url().replace("127.0.0.1", name);
        let location = format!("{url}/api/v1/streaming");
        let told = location.clone();
        let origin = redirecting(status, move |_| told.clone()).await;
        let host = before(&origin).set("addon.dedup.upstreams", grants).start().await;
        let client = SocketClient::offer(host.address(), STREAMING, "Authorization: Bearer ada-token\r\n").await;
        assert_eq!((client.response.status, client.response.fields.get("location")), (status, Some(location.as_str())), "{name}");
        assert_eq!((elsewhere.connections(), asked(&origin).len()), (0, 1), "{name} {grants}");
    }
}

#[tokio::test]
async fn redirects_end_somewhere() {
    for (steps, expected) in [(4, 200), (5, 200), (6, 301), (usize::MAX, 301)] {
        let origin = RawOrigin::start(move |mut conversation| async move {
            while let Some(request) = conversation.request().await {
                let step: usize = request.target.rsplit("step=").next().and_then(|step| step.parse().ok()).unwrap_or(0);
                let head = if step < steps {
                    format!("HTTP/1.1 301 Elsewhere\r\nLocation: /api/v1/streaming/user?step={}\r\n", step + 1)
                } else {
                    "HTTP/1.1 200 OK\r\n".to_owned()
                };
                if conversation.send(format!("{head}Content-Length: 0\r\n\r\n")).await.is_err() {
                    return;
                }
            }
        })
        .await;
        let host = before(&origin).start().await;
        let answer = host.ask("GET", "/api/v1/streaming/user", &[ADA]).await;
        assert_eq!((answer.status.as_u16(), asked(&origin).len()), (expected, steps.min(5) + 1), "{steps}");
    }
}
