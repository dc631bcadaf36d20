//! Messages of WebSockets.

use serde_json::json;

use super::{HOME, arrives, boost, hosted, mastodon, message, page, post, shown, stream};

#[tokio::test]
async fn sockets_and_pages_share_what_was_seen() {
    let origin = mastodon(|target| match target {
        HOME => page(&[boost("2", &post("1", "a")), post("3", "c")]),
        _ => None,
    })
    .await;
    let host = hosted(&origin, &json!({})).start().await;
    let mut client = stream(&host).await;
    // Streaming, then REST.
    assert!(arrives(&mut client, message(&["user"], "update", &post("1", "a"))).await);
    assert_eq!(shown(&host, HOME).await, ["3"]);
    // REST, then streaming: the payload as text, and as an object.
    assert!(!arrives(&mut client, message(&["user"], "update", &boost("4", &post("3", "c")))).await);
    let object = json!({"stream": ["user"], "event": "update", "payload": boost("5", &post("3", "c"))});
    assert!(!arrives(&mut client, object.to_string()).await);
    let fresh = format!(" {{ \"payload\" : {} , \"event\":\"update\"}}\n", post("6", "f"));
    assert!(arrives(&mut client, &fresh).await, "byte for byte");
    assert!(!arrives(&mut client, message(&["user"], "update", &boost("7", &post("6", "f")))).await);
    assert_eq!(host.admin().counter("dedup", "errors").await, 0);
}

#[tokio::test]
async fn edits_are_shown_once() {
    let origin = mastodon(|_| None).await;
    let host = hosted(&origin, &json!({})).start().await;
    let mut client = stream(&host).await;
    assert!(arrives(&mut client, message(&["user"], "update", &post("1", "a"))).await);
    let mut edited = boost("2", &post("1", "a"));
    edited["reblog"]["edited_at"] = json!("2025-01-02T04:00:00.000Z");
    for payload in [json!(edited.to_string()), edited] {
        let update = json!({"stream": ["user"], "event": "status.update", "payload": payload}).to_string();
        let is_first = payload.is_string();
        assert_eq!(arrives(&mut client, update).await, is_first, "an edit of another entry is a repeat once it was shown");
    }
}

#[tokio::test]
async fn all_else_passes_byte_for_byte() {
    let origin = mastodon(|_| None).await;
    let host = hosted(&origin, &json!({})).start().await;
    let mut client = stream(&host).await;
    let seen = message(&["user"], "update", &post("1", "a"));
    assert!(arrives(&mut client, &seen).await);
    let repeat = boost("2", &post("1", "a"));
    for event in ["notification", "conversation", "announcement", "announcement.reaction", "notifications_merged", "Update", ""] {
        for _ in 0..2 {
            assert!(arrives(&mut client, message(&["user"], event, &repeat)).await, "{event}");
        }
    }
    for odd in [
        r#"{"stream":["user"],"event":"filters_changed"}"#.to_owned(),
        r#"{"error":"Unknown stream type","status":400}"#.to_owned(),
        // What is broken somewhere.
        message(&["user"], "update", &repeat).replace("}\"}", "\"}"),
        message(&["user"], "update", &repeat).trim_end_matches('}').to_owned(),
        format!("{}x", message(&["user"], "update", &repeat)),
        format!("[{}]", message(&["user"], "update", &repeat)),
        json!({"stream": "user", "event": "update", "payload": repeat}).to_string(),
        json!({"stream": ["user"], "event": ["update"], "payload": repeat}).to_string(),
        json!({"stream": ["user"], "event": "update", "payload": [repeat]}).to_string(),
        json!({"stream": ["user"], "event": "update", "payload": 7}).to_string(),
        json!({"stream": ["user"], "event": "update", "payload": null}).to_string(),
        json!({"stream": ["user"], "event": "update", "payload": "\u{0}"}).to_string(),
        json!({"stream": ["user"], "event": "update", "payload": {"id": "2", "reblog": {"id": "1"}}}).to_string(),
        json!({"stream": ["user"], "event": "update", "payload": {"uri": "https://posts.test/a"}}).to_string(),
        "null".to_owned(),
        " ".to_owned(),
        String::new(),
    ] {
        assert!(arrives(&mut client, &odd).await, "{odd}");
    }
    // Nothing but text is read.
    client.send(0x82, message(&["user"], "update", &repeat)).await;
    assert_eq!(client.frame().await.first, 0x82);
    assert!(!arrives(&mut client, message(&["user"], "update", &repeat)).await);
    assert_eq!(host.admin().counter("dedup", "errors").await, 0);
}

#[tokio::test]
async fn what_is_deleted_may_come_again() {
    let origin = mastodon(|_| None).await;
    let host = hosted(&origin, &json!({})).start().await;
    let mut client = stream(&host).await;
    assert!(arrives(&mut client, message(&["user"], "update", &boost("2", &post("1", "a")))).await);
    assert!(!arrives(&mut client, message(&["user"], "update", &boost("3", &post("1", "a")))).await);
    assert!(arrives(&mut client, r#"{"stream":["user"],"event":"delete","payload":"2"}"#).await);
    assert!(arrives(&mut client, message(&["user"], "update", &boost("4", &post("1", "a")))).await);
    assert!(!arrives(&mut client, message(&["user"], "update", &boost("5", &post("1", "a")))).await);
}

#[tokio::test]
async fn what_others_delete_leaves_room_for_posts() {
    let origin =
        mastodon(|target| target.starts_with(HOME).then(|| page(&[boost("3", &post("1", "a")), post("1", "a")])).flatten()).await;
    let host = hosted(&origin, &json!({})).set("addon.dedup.kv_keys", 20).start().await;
    let mut client = stream(&host).await;
    for id in 0..60 {
        let delete = json!({"stream": ["public"], "event": "delete", "payload": format!("9{id}")});
        assert!(arrives(&mut client, delete.to_string()).await);
    }
    // The secret, where streams are, and what was deleted.
    assert_eq!(host.admin().status("dedup").await["kv"]["keys"], 3);
    assert_eq!(shown(&host, HOME).await, ["3"]);
}

#[tokio::test]
async fn streams_of_one_socket_are_their_own_timelines() {
    let origin = mastodon(|target| match target {
        "/api/v1/timelines/tag/moths" | "/api/v1/timelines/list/7" | "/api/v1/timelines/public?local=true" => {
            page(&[boost("3", &post("1", "a")), post("4", "d")])
        }
        _ => None,
    })
    .await;
    let host = hosted(&origin, &json!({})).start().await;
    let mut client = stream(&host).await;
    for names in [&["user"][..], &["public:local"], &["hashtag", "Moths"], &["list", "7"], &["direct"]] {
        assert!(arrives(&mut client, message(names, "update", &post("1", "a"))).await, "{names:?}");
        let is_judged = names != ["direct"];
        assert_eq!(arrives(&mut client, message(names, "update", &boost("2", &post("1", "a")))).await, !is_judged, "{names:?}");
    }
    for target in ["/api/v1/timelines/tag/moths", "/api/v1/timelines/list/7", "/api/v1/timelines/public?local=true"] {
        assert_eq!(shown(&host, target).await, ["4"], "{target}");
    }
}

#[tokio::test]
async fn idle_streams_take_nothing_from_timelines() {
    const STREAMS: usize = 10;
    let origin = mastodon(|target| match target {
        HOME => page(&[boost("2", &post("1", "a")), post("3", "c")]),
        _ => None,
    })
    .await;
    let host = hosted(&origin, &json!({})).set("addon.dedup.instances", 1).start().await;
    let mut clients = Vec::new();
    for _ in 0..STREAMS {
        clients.push(stream(&host).await);
    }
    for client in &mut clients {
        let _ = arrives(client, message(&["user"], "update", &post("1", "a"))).await;
    }
    // More streams than instances, and what they told of is known.
    host.admin().until("dedup", |status| status["instances_live"] == 0).await;
    assert_eq!(shown(&host, HOME).await, ["3"]);
    assert!(!arrives(&mut clients[0], message(&["user"], "update", &boost("4", &post("3", "c")))).await);
    assert_eq!(host.admin().counter("dedup", "errors").await, 0);
}

#[tokio::test]
async fn messages_over_a_mebibyte_pass_unjudged() {
    const MOST: usize = 1 << 20;
    let origin = mastodon(|_| None).await;
    let host = hosted(&origin, &json!({})).start().await;
    let mut client = stream(&host).await;
    assert!(arrives(&mut client, message(&["user"], "update", &post("1", "a"))).await);
    let mut repeat = message(&["user"], "update", &boost("2", &post("1", "a")));
    repeat.push_str(&" ".repeat(MOST - repeat.len()));
    assert!(!arrives(&mut client, &repeat).await);
    repeat.push(' ');
    client.send(super::TEXT, &repeat).await;
    let mut got = Vec::new();
    loop {
        let frame = client.frame().await;
        got.extend_from_slice(&frame.payload);
        if frame.first & 0x80 != 0 {
            break;
        }
    }
    assert!(got == repeat.as_bytes());
    // Those that are begun and not ended hold no more than that, either.
    let before = origin.received();
    client.send(0x01, " ".repeat(MOST + 1)).await;
    tollgate_tests::eventually(async || origin.received() > before + MOST).await;
}
