//! WebSocket messages and server-sent events.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod common;

use std::time::Duration;

use common::{ADA, BOB, HOME, ask, boost, edited, event_passes, harness, message, passes, post, shown, stream};
use tollgate_sdk::{
    SseEvent, SseVerdict, WebsocketKind, WebsocketMessage, WebsocketVerdict, serde_json::json, testing::TestRequest,
};

const STREAMING: &str = "/api/v1/streaming";

#[test]
fn repeats_do_not_come_through_sockets() {
    let harness = harness(json!({}));
    let mut flow = stream(&harness, STREAMING);
    assert!(passes(&mut flow, message(&["user"], "update", &post("1", "a"))));
    assert!(flow.has_let_go(), "an idle stream holds an instance");
    assert!(!passes(&mut flow, message(&["user"], "update", &boost("2", post("1", "a")))));
    // With its payload as an object, as others send it.
    let object = json!({ "stream": ["user"], "event": "update", "payload": boost("3", post("1", "a")) });
    assert!(!passes(&mut flow, &object));
    // The same entry again, here or in a second tab.
    assert!(passes(&mut flow, message(&["user"], "update", &post("1", "a"))));
    assert!(passes(&mut stream(&harness, STREAMING), message(&["user"], "update", &post("1", "a"))));
}

#[test]
fn pages_show_what_sockets_brought() {
    let harness = harness(json!({}));
    let mut flow = stream(&harness, STREAMING);
    assert!(passes(&mut flow, message(&["user"], "update", &boost("2", post("1", "a")))));
    assert_eq!(shown(&harness, HOME, ADA, &[boost("2", post("1", "a")), post("1", "a")]), ["2"]);
    assert_eq!(
        shown(&harness, &format!("{HOME}?max_id=4"), ADA, &[post("3", "c"), boost("2", post("1", "a")), post("1", "a")]),
        ["3", "2"]
    );
    assert!(!passes(&mut flow, message(&["user"], "update", &boost("4", post("3", "c")))));
}

#[test]
fn streams_are_the_timelines_of_their_names() {
    for (names, path) in [
        (&["user"][..], HOME),
        (&["public"], "/api/v1/timelines/public"),
        (&["public:media"], "/api/v1/timelines/public"),
        (&["public:local"], "/api/v1/timelines/public?local=true"),
        (&["public:local:media"], "/api/v1/timelines/public?local=true"),
        (&["public:remote"], "/api/v1/timelines/public?remote=true"),
        (&["public:remote:media"], "/api/v1/timelines/public?remote=true"),
        (&["hashtag", "Moths"], "/api/v1/timelines/tag/moths"),
        (&["hashtag:local", "moths"], "/api/v1/timelines/tag/moths"),
        (&["list", "12"], "/api/v1/timelines/list/12"),
    ] {
        let harness = harness(json!({}));
        let mut flow = stream(&harness, STREAMING);
        assert!(passes(&mut flow, message(names, "update", &post("1", "a"))));
        let other = if path == HOME { "/api/v1/timelines/public" } else { HOME };
        let items = [boost("2", post("1", "a")), post("3", "c")];
        assert_eq!(shown(&harness, path, ADA, &items), ["3"], "{names:?}");
        assert_eq!(shown(&harness, other, ADA, &items), ["2", "3"], "{names:?}");
    }
}

#[test]
fn streams_of_one_connection_are_apart() {
    let harness = harness(json!({}));
    let mut flow = stream(&harness, STREAMING);
    for names in [&["user"][..], &["public"], &["hashtag", "a"], &["hashtag", "b"], &["list", "1"], &["list", "2"]] {
        assert!(passes(&mut flow, message(names, "update", &post("1", "a"))), "{names:?}");
        assert!(!passes(&mut flow, message(names, "update", &boost("2", post("1", "a")))), "{names:?}");
    }
}

#[test]
fn other_streams_are_not_judged() {
    let harness = harness(json!({ "timelines": ["home", "tag", "list"] }));
    let mut flow = stream(&harness, STREAMING);
    for names in [&["direct"][..], &["user:notification"], &["public"], &["hashtag"], &["list"], &["list", ""], &["x"], &[]] {
        for status in [post("1", "a"), boost("2", post("1", "a"))] {
            assert!(passes(&mut flow, message(names, "update", &status)), "{names:?}");
        }
    }
}

#[test]
fn without_a_name_the_connection_tells() {
    let harness = harness(json!({}));
    let nameless = |status| json!({ "event": "update", "payload": status });
    for (target, path) in [
        ("/api/v1/streaming?stream=user", HOME),
        ("/api/v1/streaming/?stream=public:local", "/api/v1/timelines/public?local=true"),
        ("/api/v1/streaming?stream=hashtag&tag=Moths", "/api/v1/timelines/tag/moths"),
        ("/api/v1/streaming?list=9&stream=list", "/api/v1/timelines/list/9"),
    ] {
        let mut flow = stream(&harness, target);
        assert!(passes(&mut flow, nameless(post("1", "a"))));
        assert!(!passes(&mut flow, nameless(boost("2", post("1", "a")))), "{target}");
        assert_eq!(shown(&harness, path, ADA, &[boost("2", post("1", "a")), post("3", "c")]), ["3"], "{target}");
    }
    let mut flow = stream(&harness, STREAMING);
    assert!(passes(&mut flow, nameless(post("1", "a"))) && passes(&mut flow, nameless(boost("2", post("1", "a")))));
}

#[test]
fn everything_else_passes() {
    let harness = harness(json!({}));
    let mut flow = stream(&harness, STREAMING);
    let repeat = boost("2", post("1", "a"));
    assert!(passes(&mut flow, message(&["user"], "update", &post("1", "a"))));
    for event in ["notification", "conversation", "announcement", "filters_changed", "notifications_merged", "Update", ""] {
        assert!(passes(&mut flow, message(&["user"], event, &repeat)), "{event}");
    }
    for text in [
        "",
        "{",
        "[]",
        "null",
        r#"{"error":"Missing access token","status":401}"#,
        r#"{"stream":["user"],"event":"update"}"#,
        r#"{"stream":["user"],"event":"update","payload":""}"#,
        r#"{"stream":["user"],"event":"update","payload":"{"}"#,
        r#"{"stream":["user"],"event":"update","payload":null}"#,
        r#"{"stream":["user"],"event":"update","payload":[1]}"#,
        r#"{"stream":["user"],"event":"update","payload":"{\"id\":\"1\"}"}"#,
    ] {
        for _ in 0..2 {
            assert!(passes(&mut flow, text), "{text}");
        }
    }
    let data = message(&["user"], "update", &repeat).to_string().into_bytes();
    for (is_from_client, kind) in [(true, WebsocketKind::Text), (false, WebsocketKind::Binary)] {
        let message = WebsocketMessage { is_from_client, kind, data: data.clone() };
        assert_eq!(flow.websocket_message(message), Ok(WebsocketVerdict::Pass));
    }
    assert!(!passes(&mut flow, message(&["user"], "update", &repeat)));
}

#[test]
fn edits_of_shown_posts_pass() {
    let harness = harness(json!({}));
    let mut flow = stream(&harness, STREAMING);
    assert!(passes(&mut flow, message(&["user"], "update", &boost("2", post("1", "a")))));
    // The edit comes under the id of the post itself.
    assert!(passes(&mut flow, message(&["user"], "status.update", &edited(post("1", "a"), 1))));
    assert!(!passes(&mut flow, message(&["user"], "update", &boost("3", edited(post("1", "a"), 1)))));
    let hidden = common::harness(json!({ "edits": "hide" }));
    let mut flow = stream(&hidden, STREAMING);
    assert!(passes(&mut flow, message(&["user"], "update", &boost("2", post("1", "a")))));
    assert!(!passes(&mut flow, message(&["user"], "status.update", &edited(post("1", "a"), 1))));
}

#[test]
fn an_edit_brings_no_repeat_back() {
    let harness = harness(json!({}));
    let mut flow = stream(&harness, STREAMING);
    assert_eq!(shown(&harness, HOME, ADA, &[boost("2", post("1", "a")), post("1", "a")]), ["2"]);
    // Twice, the second time of the same second.
    for second in [1, 2, 2] {
        let is_passed = passes(&mut flow, message(&["user"], "status.update", &edited(post("1", "a"), second)));
        let items = [boost("2", edited(post("1", "a"), second)), edited(post("1", "a"), second)];
        assert_eq!(shown(&harness, HOME, ADA, &items), ["2"], "{second} {is_passed}");
    }
    // Nor where what carried it was deleted: a boost may carry it then.
    assert!(passes(&mut flow, json!({ "stream": ["user"], "event": "delete", "payload": "2" })));
    assert!(passes(&mut flow, message(&["user"], "status.update", &edited(post("1", "a"), 2))));
    assert!(passes(&mut flow, message(&["user"], "update", &boost("3", edited(post("1", "a"), 2)))));
    assert_eq!(shown(&harness, HOME, ADA, &[boost("3", edited(post("1", "a"), 2)), edited(post("1", "a"), 2)]), ["3"]);
}

#[test]
fn an_edit_is_no_first_sighting() {
    let harness = harness(json!({}));
    let mut flow = stream(&harness, STREAMING);
    assert!(passes(&mut flow, message(&["user"], "status.update", &edited(post("1", "a"), 1))));
    // Clients show no edit of what they don't have: so the boost is what shows it.
    assert!(passes(&mut flow, message(&["user"], "update", &boost("2", edited(post("1", "a"), 1)))));
}

#[test]
fn deleted_entries_are_forgotten() {
    let harness = harness(json!({ "ttl": "1h" }));
    let mut flow = stream(&harness, STREAMING);
    assert!(passes(&mut flow, message(&["user"], "update", &boost("2", post("1", "a")))));
    let repeat = message(&["user"], "update", &boost("3", post("1", "a")));
    assert!(passes(&mut flow, json!({ "stream": ["user"], "event": "delete", "payload": "77" })));
    assert!(!passes(&mut flow, &repeat));
    assert!(passes(&mut flow, json!({ "stream": ["user"], "event": "delete", "payload": "2" })));
    assert!(passes(&mut flow, &repeat));
    // Now that one carries it.
    assert!(!passes(&mut flow, message(&["user"], "update", &boost("4", post("1", "a")))));
    assert_eq!(shown(&harness, HOME, ADA, &[boost("3", post("1", "a")), boost("4", post("1", "a"))]), ["3"]);
    harness.pass(Duration::from_hours(1));
    assert!(passes(&mut flow, message(&["user"], "update", &boost("4", post("1", "a")))));
}

#[test]
fn deleted_entries_have_a_room_of_their_own() {
    let harness = harness(json!({}));
    let mut flow = stream(&harness, STREAMING);
    let delete = |id: u32| json!({ "stream": ["public"], "event": "delete", "payload": id.to_string() });
    for (id, name) in [("2", "a"), ("3", "b")] {
        assert!(passes(&mut flow, message(&["user"], "update", &boost(id, post("1", name)))));
    }
    // The same one twice takes nothing.
    for id in [2, 2, 3].into_iter().chain(1000..2023).chain(2000..2023) {
        assert!(passes(&mut flow, delete(id)));
    }
    let places: Vec<_> = (0..=255_u8).filter_map(|place| harness.kv("deleted", &format!("{place:02x}"))).collect();
    assert_eq!(places.iter().map(Vec::len).collect::<Vec<_>>(), [4096]);
    // The oldest was forgotten for the latest.
    assert!(!passes(&mut flow, message(&["user"], "update", &boost("4", post("1", "a")))));
    assert!(passes(&mut flow, message(&["user"], "update", &boost("5", post("1", "b")))));
}

#[test]
fn deletes_of_other_streams_are_nobodys_affair() {
    let harness = harness(json!({ "timelines": ["home"] }));
    let mut flow = stream(&harness, "/api/v1/streaming");
    assert!(passes(&mut flow, message(&["user"], "update", &boost("2", post("1", "a")))));
    let repeat = message(&["user"], "update", &boost("3", post("1", "a")));
    for names in [&["public"][..], &["direct"], &["hashtag"], &[]] {
        assert!(passes(&mut flow, json!({ "stream": names, "event": "delete", "payload": "2" })));
        assert!(!passes(&mut flow, &repeat), "{names:?}");
    }
    assert!(event_passes(&mut stream(&harness, "/api/v1/streaming/public"), "delete", "2"));
    assert!(!passes(&mut flow, &repeat));
    assert!(event_passes(&mut stream(&harness, "/api/v1/streaming/user"), "delete", "2"));
    assert!(passes(&mut flow, &repeat));
}

#[test]
fn pages_forget_what_was_deleted() {
    let harness = harness(json!({}));
    assert_eq!(shown(&harness, HOME, ADA, &[boost("2", post("1", "a"))]), ["2"]);
    assert!(event_passes(&mut stream(&harness, "/api/v1/streaming/user"), "delete", "2"));
    assert_eq!(shown(&harness, HOME, BOB, &[boost("2", post("1", "a"))]), ["2"]);
    // Two want it: the first has it.
    let items = [boost("4", post("1", "a")), boost("3", post("1", "a"))];
    assert_eq!(shown(&harness, HOME, ADA, &items), ["4"]);
    // Bob's is another store.
    assert_eq!(shown(&harness, HOME, BOB, &[items[0].clone(), post("9", "z")]), ["9"]);
}

#[test]
fn repeats_do_not_come_as_events() {
    let harness = harness(json!({}));
    for (target, path) in [
        ("/api/v1/streaming/user", HOME),
        ("/api/v1/streaming/public", "/api/v1/timelines/public"),
        ("/api/v1/streaming/public/local", "/api/v1/timelines/public?local=true"),
        ("/api/v1/streaming/public/remote", "/api/v1/timelines/public?remote=true"),
        ("/api/v1/streaming/hashtag?tag=Moths", "/api/v1/timelines/tag/moths"),
        ("/api/v1/streaming/hashtag/local?tag=owls", "/api/v1/timelines/tag/owls"),
        ("/api/v1/streaming/list?list=9", "/api/v1/timelines/list/9"),
    ] {
        let mut flow = stream(&harness, target);
        assert!(event_passes(&mut flow, "update", post("1", "a")), "{target}");
        assert!(event_passes(&mut flow, "update", post("1", "a")), "{target}");
        assert!(!event_passes(&mut flow, "update", boost("2", post("1", "a"))), "{target}");
        assert!(event_passes(&mut flow, "status.update", edited(post("1", "a"), 1)), "{target}");
        assert!(event_passes(&mut flow, "notification", boost("2", post("1", "a"))), "{target}");
        assert_eq!(shown(&harness, path, ADA, &[boost("2", post("1", "a")), post("3", "c")]), ["3"], "{target}");
    }
    for target in ["/api/v1/streaming/direct", "/api/v1/streaming/user/notification", "/api/v1/streaming/hashtag", "/other"] {
        let mut flow = stream(&harness, target);
        for status in [post("1", "a"), boost("2", post("1", "a"))] {
            assert!(event_passes(&mut flow, "update", status), "{target}");
        }
    }
    let untyped = SseEvent { data: boost("2", post("1", "a")).to_string(), ..SseEvent::default() };
    assert_eq!(stream(&harness, "/api/v1/streaming/user").sse_event(untyped), Ok(SseVerdict::Pass));
}

#[test]
fn data_over_lines_is_read_as_one() {
    let harness = harness(json!({}));
    let mut flow = stream(&harness, "/api/v1/streaming/user");
    assert!(event_passes(&mut flow, "update", post("1", "a")));
    let lines = tollgate_sdk::serde_json::to_string_pretty(&boost("2", post("1", "a"))).expect("JSON");
    assert!(lines.contains('\n') && !event_passes(&mut flow, "update", lines));
}

#[test]
fn tokens_of_subprotocols_count() {
    let harness = harness(json!({}));
    assert_eq!(shown(&harness, HOME, ADA, &[post("1", "a")]), ["1"]);
    let repeat = message(&["user"], "update", &boost("2", post("1", "a")));
    let with = |target: &str, value: &str| ask(target, "").with_header("Sec-WebSocket-Protocol", value);
    assert!(!passes(&mut harness.flow(with(STREAMING, "ada-token")), &repeat));
    assert!(passes(&mut harness.flow(with(STREAMING, "bob-token")), &repeat));
    assert!(!passes(&mut harness.flow(TestRequest::get("/api/v1/streaming?access_token=ada-token")), &repeat));
    // Nobody's, or one that is not shown: then it could be anybody's.
    for request in [ask(STREAMING, ""), with(STREAMING, "[withheld]")] {
        for id in ["2", "3", "4"] {
            let message = message(&["user"], "update", &boost(id, post("1", "a")));
            assert!(passes(&mut harness.flow(request.clone()), message), "{request:?}");
        }
    }
    // It is for streams alone.
    let done = harness.exchange(with(HOME, "ada-token"), |_| common::page(&[boost("2", post("1", "a")), post("3", "c")]));
    assert_eq!(common::ids(done.response()), ["2", "3"]);
}

#[test]
fn boosts_are_hidden_or_kept_in_streams_too() {
    for (boosts, is_shown) in [("hide-all", false), ("keep", true)] {
        let harness = harness(json!({ "boosts": boosts }));
        let mut flow = stream(&harness, STREAMING);
        for id in ["2", "3"] {
            assert_eq!(passes(&mut flow, message(&["user"], "update", &boost(id, post("1", "a")))), is_shown);
        }
        assert!(passes(&mut flow, message(&["user"], "update", &post("1", "a"))));
    }
}
