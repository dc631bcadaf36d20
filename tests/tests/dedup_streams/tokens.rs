//! Tokens of streams: the upstream gets them, and nobody else.

use http::Method;
use serde_json::json;

use super::{HOME, arrives, boost, hosted, mastodon, message, open, page, post};

const TOKEN: &str = "ada-token-7f3a";

#[tokio::test]
async fn tokens_reach_the_upstream_and_nobody_else() {
    let origin = mastodon(|target| match target {
        HOME => page(&[boost("2", &post("1", "a")), post("3", "c")]),
        target if target.starts_with("/api/v1/streaming/user") => {
            Some(("text/event-stream", format!("event: update\ndata: {}\n\n", boost("4", &post("1", "a")))))
        }
        _ => None,
    })
    .await;
    let host = hosted(&origin, &json!({})).with(|builder| builder.log("debug").record()).start().await;
    let query = format!("/api/v1/streaming?stream=user&access_token={TOKEN}");
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    let protocol = format!("Sec-WebSocket-Protocol: {TOKEN}\r\n");
    for (index, (target, fields)) in
        [("/api/v1/streaming?stream=user", &bearer), ("/api/v1/streaming?stream=user", &protocol), (&query, &String::new())]
            .into_iter()
            .enumerate()
    {
        let mut client = open(&host, target, fields).await;
        let handshake = origin.requests().pop().expect("a handshake");
        assert_eq!(handshake.target, target);
        let sent = (handshake.fields.get("authorization"), handshake.fields.get("sec-websocket-protocol"));
        let expected = format!("Bearer {TOKEN}");
        match index {
            0 => assert_eq!(sent, (Some(expected.as_str()), None)),
            1 => assert_eq!(sent, (None, Some(TOKEN))),
            _ => assert_eq!(sent, (None, None)),
        }
        // Whichever way it comes, it is the same user's.
        let is_first = index == 0;
        assert_eq!(
            arrives(&mut client, message(&["user"], "update", &boost(&format!("1{index}"), &post("1", "a")))).await,
            is_first
        );
        client.send(0x88, [0x03, 0xe8]).await;
        client.frame().await;
        client.expect_end().await;
    }
    let event_stream = format!("/api/v1/streaming/user?access_token={TOKEN}");
    assert_eq!(host.get(&event_stream).await.text(), "", "a repeat");
    assert_eq!(host.get(&format!("{HOME}?access_token={TOKEN}")).await.status, 404);
    let recorded = host.recorded(5).await;
    assert!(!json!(recorded).to_string().contains(TOKEN), "{recorded:?}");
    let file = std::fs::read_to_string(host.har()).expect("a recording");
    assert!(!file.contains(TOKEN));
    for page in ["/flows", "/metrics", "/addons", "/options", "/health/ready"] {
        let shown = host.admin().send(Method::GET, page, "").await.text();
        assert!(!shown.is_empty() && !shown.contains(TOKEN), "{page}: {shown}");
    }
    let logs = host.logs();
    assert!(logs.contains("/api/v1/streaming") && !logs.contains(TOKEN), "{logs}");
}
