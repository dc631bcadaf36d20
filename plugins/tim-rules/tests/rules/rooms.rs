//! New rooms, upgrades and join rules.

use tollgate_sdk::serde_json::json;

use super::common::{CLIENT, asked_with, assert_passes, assert_refused, edited, verdict, without};

fn create() -> String {
    format!("{CLIENT}/createRoom")
}

#[test]
fn versions_are_those_that_are_allowed() {
    for version in ["9", "10"] {
        assert_passes("POST", &create(), &json!({ "room_version": version }).to_string());
        assert_passes("POST", &format!("{CLIENT}/rooms/!a:b/upgrade"), &json!({ "new_version": version }).to_string());
    }
    for version in [json!("8"), json!("11"), json!(10), json!(""), json!(" 10"), json!(["10"]), json!("org.matrix.msc1")] {
        let (room, upgrade) = (json!({ "room_version": version }).to_string(), json!({ "new_version": version }).to_string());
        assert_refused("POST", &create(), &room, 400, "M_UNSUPPORTED_ROOM_VERSION");
        assert_refused("POST", &format!("{CLIENT}/rooms/!a:b/upgrade"), &upgrade, 400, "M_UNSUPPORTED_ROOM_VERSION");
    }
    assert_refused("POST", &format!("{CLIENT}/rooms/!a:b/upgrade"), "{}", 400, "M_BAD_JSON");
}

#[test]
fn rooms_without_a_version_get_the_default_one() {
    assert_eq!(edited(&create(), "{}"), r#"{"room_version":"10"}"#);
    assert_eq!(edited(&create(), r#" { "name" : "a" }"#), r#" {"room_version":"10", "name" : "a" }"#);
    assert_eq!(edited(&create(), r#"{"room_version":null}"#), r#"{"room_version":"10"}"#);
    let options = json!({ "room_versions": ["11"], "default_room_version": "11" });
    assert_eq!(asked_with(&options, "POST", &create(), "{}").request.text(), r#"{"room_version":"11"}"#);
    assert_eq!(verdict(&asked_with(&options, "POST", &create(), r#"{"room_version":"10"}"#)).0, 400);
    let off = without("room_versions");
    assert_eq!(asked_with(&off, "POST", &create(), r#"{"room_version":"1"}"#).request.text(), r#"{"room_version":"1"}"#);
}

#[test]
fn types_may_be_denied() {
    let room = |kind: &str| json!({ "room_version": "10", "creation_content": { "type": kind } }).to_string();
    assert_refused("POST", &create(), &room("de.gematik.tim.roomtype.default.v2"), 400, "M_BAD_JSON");
    let disguised = r#"{"room_version":"10","creation_content":{"t\u0079pe":"de.gematik.tim.roomtype.default.v\u0032"}}"#;
    assert_refused("POST", &create(), disguised, 400, "M_BAD_JSON");
    assert_passes("POST", &create(), &room("de.gematik.tim.roomtype.casereference.v1"));
    assert_passes("POST", &create(), &room("m.space"));
    let off = asked_with(&without("room_types"), "POST", &create(), &room("de.gematik.tim.roomtype.default.v2"));
    assert_eq!(verdict(&off).0, 200);
}

#[test]
fn new_rooms_begin_with_one_invitation() {
    let third = json!({ "medium": "email", "address": "a@b" });
    for (users, others, is_allowed) in [(0, 0, true), (1, 0, true), (2, 0, false), (0, 1, true), (1, 1, false), (0, 2, false)] {
        let invite = vec![json!("@a:b"); users];
        let room = json!({ "room_version": "10", "invite": invite, "invite_3pid": vec![third.clone(); others] }).to_string();
        if others > 0 {
            assert_refused("POST", &create(), &room, 400, "M_BAD_JSON");
        }
        // Where an address may invite, it counts.
        let done = asked_with(&without("invites"), "POST", &create(), &room);
        assert_eq!(verdict(&done).0, if is_allowed { 200 } else { 403 }, "{room}");
    }
    assert_passes("POST", &create(), r#"{"room_version":"10","invite":["@a:b"],"invite_3pid":[]}"#);
    assert_refused("POST", &create(), &json!({ "invite": ["@a:b", "@c:d"] }).to_string(), 403, "M_FORBIDDEN");
    assert_refused("POST", &create(), r#"{"invite":"@a:b"}"#, 400, "M_BAD_JSON");
    let two = json!({ "room_version": "10", "invite": ["@a:b", "@c:d"] }).to_string();
    assert_eq!(verdict(&asked_with(&json!({ "max_invites": 2 }), "POST", &create(), &two)).0, 200);
    assert_eq!(verdict(&asked_with(&without("one_invite"), "POST", &create(), &two)).0, 200);
}

#[test]
fn rooms_do_not_begin_with_members() {
    let member = r#"{"type":"m.room.member","state_key":"@a:b","content":{"membership":"invite"}}"#;
    for state in [
        member.to_owned(),
        format!(r#"{{"type":"m.room.topic","content":{{}}}},{member}"#),
        member.replace("m.room.member", r"m.room.m\u0065mber"),
        member.replace("\"type\"", "\"\\ud800\":1,\"type\""),
        "7".to_owned(),
    ] {
        let room = format!(r#"{{"room_version":"10","initial_state":[{state}]}}"#);
        assert_refused("POST", &create(), &room, 400, "M_BAD_JSON");
        for (rule, is_allowed) in [("invites", false), ("one_invite", false), ("federate", false)] {
            assert_eq!(verdict(&asked_with(&without(rule), "POST", &create(), &room)).0 == 200, is_allowed, "{rule} {state}");
        }
    }
    let room = format!(r#"{{"room_version":"10","initial_state":[{member}]}}"#);
    let neither = json!({ "rules": { "invites": false, "one_invite": false } });
    assert_eq!(verdict(&asked_with(&neither, "POST", &create(), &room)).0, 200);
}

#[test]
fn public_rooms_stay_at_home() {
    let rows = [
        (
            r#"{"room_version":"9","visibility":"public"}"#,
            r#"{"creation_content":{"m.federate":false},"room_version":"9","visibility":"public"}"#,
        ),
        (
            r#"{"room_version":"9", "preset":"public_chat","creation_content":{ "m.federate": true ,"x":1.0} }"#,
            r#"{"room_version":"9", "preset":"public_chat","creation_content":{ "m.federate": false ,"x":1.0} }"#,
        ),
        (
            r#"{"room_version":"9","visibility":"public","creation_content":{"x":[1]}}"#,
            r#"{"room_version":"9","visibility":"public","creation_content":{"m.federate":false,"x":[1]}}"#,
        ),
        (
            r#"{"room_version":"9","visibility":"public","creation_content":null}"#,
            r#"{"room_version":"9","visibility":"public","creation_content":{"m.federate":false}}"#,
        ),
        (
            r#"{"room_version":"9","initial_state":[{"type":"m.room.join_rules","content":{"join_rule":"public"}}]}"#,
            r#"{"creation_content":{"m.federate":false},"room_version":"9","initial_state":[{"type":"m.room.join_rules","content":{"join_rule":"public"}}]}"#,
        ),
    ];
    for (body, expected) in rows {
        assert_eq!(edited(&create(), body), expected);
    }
    // Both edits at one time.
    let both = r#"{"creation_content":{"m.federate":false},"room_version":"10","visibility":"public"}"#;
    assert_eq!(edited(&create(), r#"{"visibility":"public"}"#), both);
    for body in [
        r#"{"room_version":"9","visibility":"public","creation_content":{"m.federate":false}}"#,
        r#"{"room_version":"9","visibility":"private","preset":"private_chat"}"#,
        r#"{"room_version":"9","initial_state":[{"type":"m.room.join_rules","content":{"join_rule":"invite"}}]}"#,
    ] {
        assert_passes("POST", &create(), body);
    }
    let off = asked_with(&without("federate"), "POST", &create(), r#"{"room_version":"9","visibility":"public"}"#);
    assert_eq!(off.request.text(), r#"{"room_version":"9","visibility":"public"}"#);
}

#[test]
fn unknown_keys_and_numbers_keep_their_form() {
    let body = "{\n\t\"z\": 1.0e400, \"a\":12345678901234567890.10 ,\"z\":2, \"\\u00e4\":\"\\/\",\"preset\":\"public_chat\"}";
    let expected = body.replacen('{', "{\"creation_content\":{\"m.federate\":false},\"room_version\":\"10\",", 1);
    assert_eq!(edited(&create(), body), expected);
}

#[test]
fn keys_that_come_twice_hide_nothing() {
    for body in [
        r#"{"visibility":"private","visibility":"public"}"#,
        r#"{"visibility":"public","visib\u0069lity":"private"}"#,
        r#"{"preset":"private_chat","preset":"public_chat"}"#,
        r#"{"room_version":"10","room_version":"1"}"#,
        r#"{"invite":[],"invite":["@a:b","@c:d"]}"#,
        r#"{"creation_content":{},"creation_content":{"m.federate":true}}"#,
        r#"{"visibility":"public","creation_content":{"m.federate":false,"m.federate":true}}"#,
        r#"{"initial_state":[{"type":"a","type":"m.room.join_rules","content":{"join_rule":"public"}}]}"#,
    ] {
        assert_refused("POST", &create(), body, 400, "M_BAD_JSON");
    }
}

#[test]
fn what_is_no_object_is_refused() {
    for body in ["", "[]", "null", "{", "{}x", "\u{feff}{}", "{\"creation_content\":[]}", "{\"creation_content\":1}"] {
        assert_refused("POST", &create(), body, 400, "M_BAD_JSON");
    }
}

#[test]
fn rooms_do_not_become_public_later() {
    let target = format!("{CLIENT}/rooms/!a:b/state/m.room.join_rules/");
    assert_refused("PUT", &target, r#"{"join_rule":"public"}"#, 400, "M_INVALID_ROOM_STATE");
    assert_refused(
        "PUT",
        &format!("{CLIENT}/rooms/!a:b/state/m%2Eroom.join_rules"),
        r#"{"join_rule":"public"}"#,
        400,
        "M_INVALID_ROOM_STATE",
    );
    assert_refused("PUT", &target, r#"{"join_rule":"invite","join_rule":"public"}"#, 400, "M_BAD_JSON");
    assert_refused("PUT", &format!("{CLIENT}/rooms/!a:b/state/m.room.name"), "[]", 400, "M_BAD_JSON");
    for rule in ["invite", "knock", "restricted", "private"] {
        assert_passes("PUT", &target, &json!({ "join_rule": rule }).to_string());
    }
    assert_passes("PUT", &format!("{CLIENT}/rooms/!a:b/state/m.room.name"), r#"{"join_rule":"public"}"#);
    assert_eq!(verdict(&asked_with(&without("join_rules"), "PUT", &target, r#"{"join_rule":"public"}"#)).0, 200);
}

#[test]
fn no_disguise_leads_past_a_rule() {
    for target in [
        "/_matrix/client/r0/createRoom",
        "/_matrix/client/v1/createRoom",
        "/_matrix/client/unstable/createRoom",
        "/_matrix/client/unstable/org.matrix.msc1/createRoom",
        "/_matrix/client/api/v1/createRoom",
        "/_matrix/client/v3/createRoom/",
        "/_matrix/client/v3/createRoom/txn",
        "/_matrix/client/v3/createRoom?x=y",
        "/_matrix/client/v3/%63reateRoom",
        "/_matrix/client/v3/%2563reateRoom",
        "/_matrix%2Fclient%2Fv3%2FcreateRoom",
        "/_matrix/client//v3/createRoom",
        "/_matrix/./client/v3/x/../createRoom",
        "/_matrix/client/v3/x%2F..%2FcreateRoom",
        "/_matrix/client/v3/createRoom;x=y",
        "/_matrix/client/v3\\createRoom",
        "/_MATRIX/CLIENT/V3/CREATEROOM",
    ] {
        for method in ["POST", "PUT", "post"] {
            assert_refused(method, target, r#"{"room_version":"1"}"#, 400, "M_UNSUPPORTED_ROOM_VERSION");
        }
    }
}
