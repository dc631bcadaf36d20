//! Threads and reactions.

use tollgate_sdk::serde_json::{Value, json};

use super::common::{CLIENT, asked_with, assert_passes, assert_refused, verdict, without};

fn send(kind: &str) -> String {
    format!("{CLIENT}/rooms/!a:b/send/{kind}/txn")
}

fn relating(relation: &Value) -> String {
    json!({ "body": "a", "m.relates_to": relation }).to_string()
}

#[test]
fn there_are_no_threads() {
    let thread = relating(&json!({ "rel_type": "m.thread", "event_id": "$e" }));
    for kind in ["m.room.message", "m.room.encrypted", "m.reaction", "m.sticker", "anything"] {
        assert_refused("PUT", &send(kind), &thread, 400, "M_FORBIDDEN");
    }
    assert_refused("PUT", &send("a"), &relating(&json!({ "rel_type": "io.element.thread" })), 400, "M_FORBIDDEN");
    assert_refused("PUT", &send("a"), r#"{"m.relates_to":{},"m.relates_to":{"rel_type":"m.thread"}}"#, 400, "M_BAD_JSON");
    assert_refused("PUT", &send("a"), r#"{"m.relates_to":{"rel_type":"x","rel_type":"m.thread"}}"#, 400, "M_BAD_JSON");
    assert_refused("PUT", &send("a"), "no JSON", 400, "M_BAD_JSON");
    for relation in [json!({ "rel_type": "m.replace" }), json!({ "m.in_reply_to": { "event_id": "$e" } }), json!(null), json!(7)]
    {
        assert_passes("PUT", &send("m.room.message"), &relating(&relation));
    }
    assert_eq!(verdict(&asked_with(&without("threads"), "PUT", &send("m.room.message"), &thread)).0, 200);
}

#[test]
fn reactions_are_one_emoji() {
    let react = |key: &Value| relating(&json!({ "rel_type": "m.annotation", "event_id": "$e", "key": key }));
    for key in ["\u{1f44d}", "\u{2764}\u{fe0f}", "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}", "\u{1f1e9}\u{1f1ea}", "", "  "] {
        assert_passes("PUT", &send("m.reaction"), &react(&json!(key)));
    }
    let two = json!("\u{1f44d}\u{1f44d}");
    for key in [two.clone(), json!("ok"), json!("1"), json!("\u{1f44d} "), json!(7), json!(["\u{1f44d}"]), json!("mxc://a/b")] {
        assert_refused("PUT", &send("m.reaction"), &react(&key), 400, "M_BAD_JSON");
    }
    let other = relating(&json!({ "rel_type": "m.reference", "key": "\u{1f44d}" }));
    assert_refused("PUT", &send("m.reaction"), &other, 400, "M_BAD_JSON");
    assert_refused("PUT", &send("m.reaction"), &relating(&json!({ "key": "\u{1f44d}" })), 400, "M_BAD_JSON");
    let twice = r#"{"m.relates_to":{"rel_type":"m.annotation","key":"👍","key":"no"}}"#;
    assert_refused("PUT", &send("m.reaction"), twice, 400, "M_BAD_JSON");
    // Half of a surrogate pair is no emoji.
    let half = r#"{"m.relates_to":{"rel_type":"m.annotation","key":"\ud83d"}}"#;
    assert_refused("PUT", &send("m.reaction"), half, 400, "M_BAD_JSON");
    assert_passes("PUT", &send("m.room.message"), &react(&two));
    assert_eq!(verdict(&asked_with(&without("reactions"), "PUT", &send("m.reaction"), &react(&two))).0, 200);
}
