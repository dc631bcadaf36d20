//! Requests that are held against the policy, and how they are not sent past it.

use serde_json::{Value, json};
use tollgate_tests::{
    RawClient, Version,
    addons::{Guarded, Homeserver},
};

const KEPT: &str = "/_matrix/client/v3/rooms/!kept:home";
const PLAIN_ROOM: &str = r#"{"name":"a"}"#;
const ENCRYPTED_ROOM: &str =
    r#"{"initial_state":[{"type":"m.room.encryption","state_key":"","content":{"algorithm":"m.megolm.v1.aes-sha2"}}]}"#;

/// `@managed:home` is kept in a room, `@passthrough:home` has a password of its own.
fn policy(flags: &Value) -> Value {
    json!({
        "schemaVersion": 2,
        "flags": flags,
        "managedRoomIds": ["!kept:home"],
        "users": [
            {"id": "@managed:home", "active": true, "authType": "plain", "authCredential": "secret", "joinedRooms": [{"roomId": "!kept:home"}]},
            {"id": "@passthrough:home", "active": true, "authType": "passthrough"},
            {"id": "@builder:home", "active": true, "forbidRoomCreation": false, "forbidEncryptedRoomCreation": true},
        ],
    })
}

#[tokio::test]
async fn each_check_denies_what_it_is_for() {
    let (managed, other, builder) = (Some("managed-token"), Some("other-token"), Some("builder-token"));
    let own_member = format!("{KEPT}/state/m.room.member/@managed:home");
    let other_member = format!("{KEPT}/state/m.room.member/@other:home");
    let leave = format!("{KEPT}/leave");
    let kick = format!("{KEPT}/kick");
    let encryption = format!("{KEPT}/state/m.room.encryption");
    let create = "/_matrix/client/r0/createRoom";
    let name = "/_matrix/client/v3/profile/@managed:home/displayname";
    let avatar = "/_matrix/client/v3/profile/%40managed:home/avatar_url";
    let proposed = "/_matrix/client/unstable/uk.tcpip.msc4133/profile/@managed:home/displayname";
    let whole = "/_matrix/client/v3/profile/@managed:home";
    let upgrade = "/_matrix/client/v3/rooms/!kept:home/upgrade";
    let password = "/_matrix/client/v3/account/password";
    let deactivate = "/_matrix/client/v3/account/deactivate";
    let none = json!({});
    let rows = [
        (none.clone(), "POST", leave.as_str(), managed, "", 403),
        (none.clone(), "POST", leave.as_str(), other, "", 200),
        (none.clone(), "POST", "/_matrix/client/v3/rooms/!free:home/leave", managed, "", 200),
        (none.clone(), "POST", kick.as_str(), managed, r#"{"user_id":"@managed:home"}"#, 403),
        (none.clone(), "POST", kick.as_str(), managed, r#"{"user_id":"@other:home"}"#, 200),
        (none.clone(), "POST", kick.as_str(), managed, "no JSON", 403),
        (none.clone(), "PUT", own_member.as_str(), managed, r#"{"membership":"leave"}"#, 403),
        (none.clone(), "PUT", other_member.as_str(), managed, r#"{"membership":"leave"}"#, 200),
        (none.clone(), "PUT", encryption.as_str(), managed, "{}", 200),
        (json!({"forbidEncryptedRoomCreation": true}), "PUT", encryption.as_str(), other, "{}", 403),
        (none.clone(), "POST", create, other, PLAIN_ROOM, 200),
        (json!({"forbidRoomCreation": true}), "POST", create, other, PLAIN_ROOM, 403),
        (json!({"forbidRoomCreation": true}), "POST", create, builder, PLAIN_ROOM, 200),
        (none.clone(), "POST", create, builder, ENCRYPTED_ROOM, 403),
        (json!({"forbidEncryptedRoomCreation": true}), "POST", create, other, ENCRYPTED_ROOM, 403),
        (json!({"forbidUnencryptedRoomCreation": true}), "POST", create, other, ENCRYPTED_ROOM, 200),
        (json!({"forbidUnencryptedRoomCreation": true}), "POST", create, other, PLAIN_ROOM, 403),
        (none.clone(), "POST", create, other, "no JSON", 403),
        (none.clone(), "PUT", name, managed, r#"{"displayname":"x"}"#, 403),
        (json!({"allowCustomUserDisplayNames": true}), "PUT", name, managed, r#"{"displayname":"x"}"#, 200),
        (json!({"allowCustomUserDisplayNames": true}), "PUT", name, managed, r#"{"displayname":"[x] x"}"#, 403),
        (none.clone(), "PUT", avatar, managed, "{}", 403),
        (json!({"allowCustomUserAvatars": true}), "PUT", avatar, managed, "{}", 200),
        (none.clone(), "PUT", proposed, managed, r#"{"displayname":"x"}"#, 403),
        (json!({"allowCustomUserDisplayNames": true}), "PUT", proposed, managed, r#"{"displayname":"x"}"#, 200),
        (none.clone(), "PUT", "/_matrix/client/v3/profile/@managed:home/displayname_", managed, "{}", 403),
        (none.clone(), "PUT", whole, managed, "{}", 403),
        (none.clone(), "PATCH", whole, managed, "{}", 403),
        (none.clone(), "PATCH", whole, other, "{}", 200),
        (none.clone(), "GET", whole, managed, "", 200),
        (none.clone(), "POST", upgrade, other, r#"{"new_version":"11"}"#, 200),
        (json!({"forbidRoomCreation": true}), "POST", upgrade, other, r#"{"new_version":"11"}"#, 403),
        (none.clone(), "POST", kick.as_str(), managed, r#"{"reason":"\ud800","user_id":"@managed:home"}"#, 403),
        (none.clone(), "POST", kick.as_str(), managed, r#"{"reason":"\ud800","user_id":"@other:home"}"#, 200),
        (none.clone(), "POST", deactivate, managed, "{}", 403),
        (none.clone(), "POST", deactivate, other, "{}", 200),
        (none.clone(), "POST", password, None, "{}", 403),
        (json!({"allowUnauthenticatedPasswordResets": true}), "POST", password, None, "{}", 200),
        (none.clone(), "POST", password, Some("passthrough-token"), "{}", 403),
        (json!({"allowCustomPassthroughUserPasswords": true}), "POST", password, Some("passthrough-token"), "{}", 200),
        (json!({"allowCustomPassthroughUserPasswords": true}), "POST", password, managed, "{}", 403),
        (none.clone(), "POST", password, other, "{}", 200),
        (none.clone(), "PUT", "/_matrix/client/v3/rooms/!kept:home/send/m.room.message/1", managed, "{}", 200),
    ];
    let guarded = Guarded::by(&policy(&none)).await;
    let mut in_force = none;
    for (flags, method, target, token, body, expected) in rows {
        if flags != in_force {
            let answer = guarded.host.admin().put_options("policy", &policy(&flags)).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            in_force = flags.clone();
        }
        let arrived = guarded.homeserver.requests().len();
        let answer = guarded.ask(method, target, token, body).await;
        let case = format!("{flags} {method} {target} {token:?} {body}");
        assert_eq!(answer.status.as_u16(), expected, "{case}: {}", answer.text());
        let has_arrived = guarded.homeserver.requests().len() > arrived;
        assert_eq!(has_arrived, expected == 200, "{case}");
        if expected == 403 {
            let errcode = if body == "no JSON" { "M_BAD_JSON" } else { "M_FORBIDDEN" };
            assert_eq!(answer.json()["errcode"], errcode, "{case}");
        }
    }
}

#[tokio::test]
async fn no_disguise_gets_a_room_created() {
    let guarded = Guarded::by(&policy(&json!({"forbidRoomCreation": true}))).await;
    let disguises = [
        "/_matrix/client/v3/createRoom",
        "/_matrix/client/v3/createRoom/",
        "/_matrix/client/v3/createRoom?x=/_matrix/client/v3/sync",
        "//_matrix/client/v3/createRoom",
        "/_matrix/client//v3/createRoom",
        "/_matrix/client/v3/./createRoom",
        "/_matrix/client/v3/x/../createRoom",
        "/_matrix/client/v3/x/%2e%2e/createRoom",
        "/_matrix/client/v3/x/..%2FcreateRoom",
        "/_matrix/client/v3%2FcreateRoom",
        "/_matrix/client/v3/%63reateRoom",
        "/_matrix/client/v3/%2563reateRoom",
        "/%5Fmatrix/client/v3/createRoom",
        "/_matrix/client/v3/CREATEROOM",
        "/_matrix/client/v3/createRoom;a=b",
        "/_matrix/client/unstable/createRoom",
        "/_matrix/client/api/v1/createRoom",
        "/_matrix/client/r0/createRoom",
        "/_matrix/client/v1/createRoom",
        "/_matrix/client/v3/createRoom/transaction",
        "/x\\..\\_matrix\\client\\v3\\createRoom",
    ];
    for target in disguises {
        for method in ["POST", "PUT"] {
            let mut client = RawClient::connect(guarded.host.address()).await;
            let head = format!("{method} {target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer other-token\r\n");
            client
                .send(format!("{head}Content-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}"))
                .await;
            let status = client.response().await.status;
            assert!(matches!(status, 308 | 400 | 403), "{method} {target}: {status}");
        }
    }
    assert_eq!(guarded.homeserver.requests().len(), 0);
}

#[tokio::test]
async fn versions_of_the_api_have_a_gate() {
    let guarded = Guarded::by(&json!({})).await;
    for version in Version::BOTH {
        for (path, expected) in [
            ("/_matrix/client/r0/sync", 200),
            ("/_matrix/client/v1/sync", 200),
            ("/_matrix/client/v3/sync", 200),
            ("/_matrix/client/unstable/sync", 200),
            ("/_matrix/client/versions", 200),
            ("/_matrix/federation/v2/send", 200),
            ("/_matrix/client/v2/sync", 403),
            ("/_matrix/client/r1/sync", 403),
            ("/_matrix/client/v4", 403),
            ("/_matrix/client/v%32/sync", 403),
            ("/_matrix/client/v2%2Fsync", 403),
        ] {
            let answer = guarded.ask_over(version, "GET", path, None, "").await;
            assert_eq!(answer.status.as_u16(), expected, "{version:?} {path}: {}", answer.text());
            if expected == 403 {
                assert_eq!(answer.json()["errcode"], "M_FORBIDDEN", "{path}");
            }
        }
    }
}

#[tokio::test]
async fn wrong_policies_change_nothing() {
    let guarded = Guarded::by(&policy(&json!({"forbidRoomCreation": true}))).await;
    let mut wrong = policy(&json!({"forbidRoomCreation": "no", "forbidRoomCreations": false}));
    wrong["users"][0]["joinedRooms"][0]["roomId"] = json!("kept");
    let answer = guarded.host.admin().put_options("policy", &wrong).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    for path in ["flags.forbidRoomCreation", "flags.forbidRoomCreations", "users[0].joinedRooms[0].roomId"] {
        assert!(answer.text().contains(path), "{path}: {}", answer.text());
    }
    let answer = guarded.ask("POST", "/_matrix/client/v3/createRoom", Some("other-token"), "{}").await;
    assert_eq!(answer.status, 403);
}

#[tokio::test]
async fn flows_that_nothing_is_about_never_enter_the_addon() {
    let guarded = Guarded::by(&policy(&json!({}))).await;
    let calls = guarded.host.admin().counter("policy", "calls").await;
    for target in ["/_matrix/client/v3/sync", "/_matrix/client/versions", "/_matrix/media/v3/config", "/"] {
        assert_eq!(guarded.ask("GET", target, Some("other-token"), "").await.text(), Homeserver::ANSWER);
    }
    assert_eq!(guarded.host.admin().counter("policy", "calls").await, calls);
    assert_eq!(guarded.homeserver.questions(), 0);
}
