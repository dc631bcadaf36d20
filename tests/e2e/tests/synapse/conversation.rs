//! What people do on a homeserver.

use serde_json::{Value, json};
use tollgate_e2e::{Stage, User, encoded};
use tollgate_tests::{Curl, Version, within};

/// A room of both, known by an alias.
async fn talk(stage: &Stage, version: Version) -> (User, User, String, String) {
    let mut alice = stage.user(version, "alice").await;
    let mut bob = stage.user(version, "bob").await;
    let name = format!("lobby-of-{}", alice.id.trim_start_matches('@').trim_end_matches(":localhost"));
    let alias = encoded(&format!("#{name}:localhost"));
    let room = alice.create_room(&json!({ "room_alias_name": name, "name": "Lobby", "preset": "private_chat" })).await;
    alice.call("POST", &format!("/_matrix/client/v3/rooms/{room}/invite"), &json!({ "user_id": bob.id })).await;
    let news = bob.sync(None, 0).await;
    assert!(encoded_keys(&news["rooms"]["invite"]).contains(&room), "{news:#}");
    bob.join(&alias).await;
    (alice, bob, room, alias)
}

fn encoded_keys(rooms: &Value) -> Vec<String> {
    rooms.as_object().into_iter().flatten().map(|(room, _)| encoded(room)).collect()
}

/// The words said in a room, as an answer to `/sync` tells them.
fn words(news: &Value, room: &str) -> Vec<String> {
    let rooms = news["rooms"]["join"].as_object();
    let room = rooms.into_iter().flatten().find(|(id, _)| encoded(id) == room).map(|(_, room)| room);
    let events = room.and_then(|room| room["timeline"]["events"].as_array()).into_iter().flatten();
    events.filter_map(|event| event["content"]["body"].as_str()).map(str::to_owned).collect()
}

#[tokio::test]
async fn people_talk_in_a_room() {
    let stage = Stage::clamped().await;
    for version in Version::BOTH {
        let (mut alice, mut bob, room, _) = talk(&stage, version).await;
        let first = alice.say(&room, "hello & welcome / 100 %").await;
        let second = bob.say(&room, "grüß dich 👋").await;
        assert_ne!(first, second);
        let news = bob.sync(None, 0).await;
        assert_eq!(words(&news, &room), ["hello & welcome / 100 %", "grüß dich 👋"], "{version:?}: {news:#}");
        let since = news["next_batch"].as_str().expect("a token").to_owned();
        alice.say(&room, "later").await;
        assert_eq!(words(&bob.sync(Some(&since), 10_000).await, &room), ["later"], "{version:?}");
        let page = alice.get(&format!("/_matrix/client/v3/rooms/{room}/messages?dir=b&limit=3")).await;
        let said: Vec<_> = page["chunk"].as_array().expect("events").iter().map(|event| &event["content"]["body"]).collect();
        assert_eq!(said, ["later", "grüß dich 👋", "hello & welcome / 100 %"], "{version:?}");
    }
}

#[tokio::test]
async fn long_poll_returns_when_another_speaks() {
    let stage = Stage::clamped().await;
    for version in Version::BOTH {
        let (mut alice, mut bob, room, _) = talk(&stage, version).await;
        let since = bob.sync(None, 0).await["next_batch"].as_str().expect("a token").to_owned();
        let news = bob.waiting_sync(&stage, &since).await;
        alice.say(&room, "ping").await;
        let answer = within(news).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(words(&answer.json(), &room), ["ping"], "{version:?}");
    }
}

#[tokio::test]
async fn second_login_is_another_device() {
    let stage = Stage::clamped().await;
    for version in Version::BOTH {
        let mut alice = stage.user(version, "alice").await;
        let mut again = alice.log_in_again(version).await;
        assert_eq!(again.get("/_matrix/client/v3/account/whoami").await["user_id"], alice.id.as_str());
        let devices = alice.get("/_matrix/client/v3/devices").await;
        assert_eq!(devices["devices"].as_array().map(Vec::len), Some(2), "{devices:#}");
        again.call("POST", "/_matrix/client/v3/logout", &json!({})).await;
        let refused = again.ask("GET", "/_matrix/client/v3/account/whoami", &Value::Null).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["errcode"]), (401, &json!("M_UNKNOWN_TOKEN")));
        alice.get("/_matrix/client/v3/account/whoami").await;
    }
}

#[tokio::test]
async fn encoded_names_arrive_as_sent() {
    let stage = Stage::clamped().await;
    for version in Version::BOTH {
        let (mut alice, _, room, alias) = talk(&stage, version).await;
        let id = encoded(&alice.id);
        assert!(alias.starts_with("%23") && alias.contains("%3A") && id.starts_with("%40"), "{alias} {id}");

        let target = format!("/_matrix/client/v3/directory/room/{alias}");
        assert_eq!(encoded(alice.get(&target).await["room_id"].as_str().expect("a room")), room);
        assert!(!stage.synapse.received(&target).is_empty(), "{target}");

        let target = format!("/_matrix/client/v3/profile/{id}/displayname");
        alice.call("PUT", &target, &json!({ "displayname": "Alice Ä." })).await;
        assert_eq!(alice.get(&target).await, json!({ "displayname": "Alice Ä." }));
        assert_eq!(stage.synapse.received(&target).len(), 2);

        let target = format!("/_matrix/client/v3/user/{id}/account_data/org.example.a%2Fb");
        alice.call("PUT", &target, &json!({ "seen": [1, 2.5, "%2F"] })).await;
        assert_eq!(alice.get(&target).await, json!({ "seen": [1, 2.5, "%2F"] }));
        assert_eq!(stage.synapse.received(&target).len(), 2);
    }
}

#[tokio::test]
async fn state_is_read_with_and_without_key() {
    let stage = Stage::clamped().await;
    for version in Version::BOTH {
        let (mut alice, bob, room, _) = talk(&stage, version).await;
        let state = alice.get(&format!("/_matrix/client/v3/rooms/{room}/state")).await;
        assert!(state.as_array().is_some_and(|events| events.iter().any(|event| event["type"] == "m.room.create")), "{state:#}");
        for key in ["", "/"] {
            let name = alice.get(&format!("/_matrix/client/v3/rooms/{room}/state/m.room.name{key}")).await;
            assert_eq!(name, json!({ "name": "Lobby" }), "{key:?}");
        }
        let member = format!("/_matrix/client/v3/rooms/{room}/state/m.room.member/{}", encoded(&bob.id));
        assert_eq!(alice.get(&member).await["membership"], "join");
        let topic = format!("/_matrix/client/v3/rooms/{room}/state/m.room.topic");
        alice.call("PUT", &topic, &json!({ "topic": "tolls" })).await;
        assert_eq!(alice.get(&topic).await["topic"], "tolls");
    }
}

#[tokio::test]
async fn refusals_of_the_homeserver_pass() {
    let stage = Stage::clamped().await;
    for version in Version::BOTH {
        let mut alice = stage.user(version, "alice").await;
        let refused = alice.ask("GET", "/_matrix/client/v3/rooms/%21none%3Alocalhost/state", &Value::Null).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["errcode"]), (403, &json!("M_FORBIDDEN")), "{version:?}");
        let refused = alice.ask("GET", "/_matrix/client/v3/directory/room/%23none%3Alocalhost", &Value::Null).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["errcode"]), (404, &json!("M_NOT_FOUND")), "{version:?}");
        assert_eq!(refused.header("server").map(|server| server.starts_with("Synapse/")), Some(true));
    }
}

#[tokio::test]
async fn homeserver_learns_the_client_address() {
    let stage = Stage::clamped().await;
    let path = "/_matrix/client/v3/login?from=elsewhere";
    let answer = Curl::new(&format!("{}{path}", stage.tollgate.url())).args(&["--interface", "127.0.0.42"]).run().await;
    assert_eq!(answer.status, 200, "{}", answer.stderr);
    let lines = stage.synapse.received(path);
    assert!(matches!(lines.as_slice(), [line] if line.starts_with("127.0.0.42 ")), "{lines:?}");
}
