//! What people of two homeservers do with each other.

use http::{Request, header};
use serde_json::{Value, json};
use tollgate_e2e::{Federation, Home, User, encoded};
use tollgate_tests::full;

/// A sync waits so many milliseconds, and is asked so often at most.
const SYNC: (u32, usize) = (1_000, 30);

/// Syncs until somebody has said these words in a room, by its encoded id.
async fn hears(user: &mut User, room: &str, words: &str) -> Value {
    let mut since: Option<String> = None;
    for _ in 0..SYNC.1 {
        let page = user.sync(since.as_deref(), SYNC.0).await;
        since = page["next_batch"].as_str().map(str::to_owned);
        let rooms = page["rooms"]["join"].as_object().into_iter().flatten().filter(|(id, _)| encoded(id) == room);
        let events = rooms.flat_map(|(_, room)| room["timeline"]["events"].as_array().cloned().unwrap_or_default());
        if let Some(event) = events.into_iter().find(|event| event["content"]["body"] == words) {
            return event;
        }
    }
    panic!("{} does not hear {words:?}", user.id);
}

/// A room of the first homeserver that somebody of the second was invited to and has joined.
async fn shared_room(alice: &mut User, bob: &mut User) -> String {
    let room = alice.create_room(&json!({ "preset": "private_chat", "invite": [bob.id] })).await;
    bob.join(&room).await;
    room
}

/// That a request passed a listener, and was answered with 200.
async fn passed(home: &Home, listener: &str, start: &str) {
    let flows = home.flows(listener, start.split_once(' ').expect("a method and a path").1).await;
    assert!(
        flows.iter().any(|flow| flow.starts_with(&start.replacen(' ', " \"", 1)) && flow.ends_with(" 200")),
        "{start}: {flows:?}"
    );
}

pub(crate) async fn a_message_passes_both_proxies(federation: &Federation) {
    let [one, other] = &federation.homes;
    let (mut alice, mut bob) = (one.user("alice").await, other.user("bob").await);
    let room = shared_room(&mut alice, &mut bob).await;
    let sent = alice.say(&room, "through four listeners").await;
    let event = hears(&mut bob, &room, "through four listeners").await;
    assert_eq!((event["event_id"].as_str(), event["sender"].as_str()), (Some(sent.as_str()), Some(alice.id.as_str())));
    bob.say(&room, "and back").await;
    hears(&mut alice, &room, "and back").await;
    for (from, to) in [(one, other), (other, one)] {
        passed(from, "outbound", "PUT /_matrix/federation/v1/send/").await;
        passed(to, "inbound", "PUT /_matrix/federation/v1/send/").await;
    }
    passed(one, "outbound", "PUT /_matrix/federation/v2/invite/").await;
    passed(other, "inbound", "PUT /_matrix/federation/v2/invite/").await;
}

pub(crate) async fn rooms_are_joined_by_alias(federation: &Federation) {
    let [one, other] = &federation.homes;
    let (mut alice, mut bob) = (one.user("alice").await, other.user("bob").await);
    let alias = format!("room-of-{}", alice.id.split(':').next().unwrap_or_default().trim_start_matches('@'));
    let room = alice.create_room(&json!({ "preset": "private_chat", "room_alias_name": alias, "invite": [bob.id] })).await;
    bob.join(&encoded(&format!("#{alias}:{}", one.name))).await;
    alice.say(&room, "come in").await;
    hears(&mut bob, &room, "come in").await;
    for start in ["GET /_matrix/federation/v1/query/directory", "GET /_matrix/federation/v1/make_join/"] {
        passed(other, "outbound", start).await;
        passed(one, "inbound", start).await;
    }
    passed(one, "inbound", "PUT /_matrix/federation/v2/send_join/").await;
}

pub(crate) async fn media_cross(federation: &Federation) {
    let [one, other] = &federation.homes;
    let (mut alice, mut bob) = (one.user("alice").await, other.user("bob").await);
    let content: Vec<u8> =
        (0..2_000_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes().into_iter().take(1)).collect();
    let upload =
        Request::post("/_matrix/media/v3/upload?filename=noise").header(header::CONTENT_TYPE, "application/octet-stream");
    let answer = alice.send(upload.body(full(content.clone())).expect("a request")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let uri = answer.json()["content_uri"].as_str().expect("a URI").to_owned();
    let (server, id) = uri.trim_start_matches("mxc://").split_once('/').expect("a server and an id");
    assert_eq!(server, one.name);
    let answer = bob.ask("GET", &format!("/_matrix/client/v1/media/download/{server}/{id}"), &Value::Null).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.body.len(), content.len());
    assert!(answer.body == content, "other bytes");
    passed(other, "outbound", "GET /_matrix/federation/v1/media/download/").await;
    passed(one, "inbound", "GET /_matrix/federation/v1/media/download/").await;
}

pub(crate) async fn names_are_asked_for_across(federation: &Federation) {
    let [one, other] = &federation.homes;
    let (mut alice, mut bob) = (one.user("alice").await, other.user("bob").await);
    let own = format!("/_matrix/client/v3/profile/{}/displayname", encoded(&alice.id));
    alice.call("PUT", &own, &json!({ "displayname": "Alice of the first" })).await;
    assert_eq!(bob.get(&own).await["displayname"], "Alice of the first");
    passed(other, "outbound", "GET /_matrix/federation/v1/query/profile").await;
    passed(one, "inbound", "GET /_matrix/federation/v1/query/profile").await;
}
