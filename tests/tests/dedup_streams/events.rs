//! Server-sent events.

use serde_json::{Value, json};
use tollgate_tests::addons::Hosted;

use super::{ADA, HOME, Served, arrives, boost, hosted, mastodon, message, page, post, shown, stream};

fn event(name: &str, status: &Value) -> String {
    format!("event: {name}\ndata: {status}\n\n")
}

fn events(text: String) -> Served {
    Some(("text/event-stream", text))
}

async fn streamed(host: &Hosted, target: &str) -> String {
    host.ask("GET", target, &[ADA]).await.text()
}

#[tokio::test]
async fn events_pages_and_sockets_share_what_was_seen() {
    let origin = mastodon(|target| match target {
        "/api/v1/streaming/user" => events(event("update", &post("1", "a")) + &event("update", &boost("2", &post("1", "a")))),
        "/api/v1/streaming/user?later" => events(event("update", &boost("4", &post("3", "c")))),
        "/api/v1/streaming/hashtag?tag=Moths" => events(event("update", &boost("2", &post("1", "a")))),
        HOME => page(&[boost("2", &post("1", "a")), post("3", "c")]),
        "/api/v1/timelines/tag/moths" => page(&[boost("5", &post("1", "a")), post("6", "f")]),
        _ => None,
    })
    .await;
    let host = hosted(&origin, &json!({})).start().await;
    assert_eq!(streamed(&host, "/api/v1/streaming/user").await, event("update", &post("1", "a")));
    assert_eq!(shown(&host, HOME).await, ["3"]);
    assert_eq!(streamed(&host, "/api/v1/streaming/user?later").await, "");
    let mut client = stream(&host).await;
    assert!(!arrives(&mut client, message(&["user"], "update", &boost("7", &post("3", "c")))).await);
    // Another timeline.
    let first = event("update", &boost("2", &post("1", "a")));
    assert_eq!(streamed(&host, "/api/v1/streaming/hashtag?tag=Moths").await, first);
    assert_eq!(shown(&host, "/api/v1/timelines/tag/moths").await, ["6"]);
    assert_eq!(host.admin().counter("dedup", "errors").await, 0);
}

#[tokio::test]
async fn all_else_of_a_stream_keeps_its_bytes() {
    let repeat = boost("2", &post("1", "a"));
    let before = format!(":)\n\n{}:thump\n\n", event("update", &post("1", "a")));
    let after = format!(
        "event: delete\ndata: 99\n\nevent:notification\r\ndata: {repeat}\r\n\r\n:thump\n\nevent: update\ndata: {{broken\n\n\
         data: {repeat}\n\nevent: filters_changed\n\nevent: status.update\ndata: {}\n\nevent: update\nid: 7\nretry: 5\ndata: {}\n\n",
        json!({"id": "2"}),
        post("8", "h"),
    );
    let all = format!("{before}{}{after}", event("update", &repeat));
    let origin = mastodon(move |_| events(all.clone())).await;
    let host = hosted(&origin, &json!({})).start().await;
    assert_eq!(streamed(&host, "/api/v1/streaming/user").await, format!("{before}{after}"));
}

#[tokio::test]
async fn what_is_deleted_may_come_again() {
    let deleted = "event: delete\ndata: 2\n\n";
    let boosts = ["2", "3", "4", "5"].map(|id| event("update", &boost(id, &post("1", "a"))));
    let all = format!("{}{}{deleted}{}{}", boosts[0], boosts[1], boosts[2], boosts[3]);
    let origin = mastodon(move |_| events(all.clone())).await;
    let host = hosted(&origin, &json!({})).start().await;
    let expected = format!("{}{deleted}{}", boosts[0], boosts[2]);
    assert_eq!(streamed(&host, "/api/v1/streaming/user").await, expected);
}

#[tokio::test]
async fn streams_of_nobody_pass() {
    let all = event("update", &post("1", "a")) + &event("update", &boost("2", &post("1", "a")));
    let expected = all.clone();
    let origin = mastodon(move |_| events(all.clone())).await;
    let host = hosted(&origin, &json!({})).start().await;
    assert_eq!(host.get("/api/v1/streaming/public").await.text(), expected);
}
