//! The example's policy, enforced on people.

use std::net::SocketAddr;

use hook_rest_service::Settings;
use http::{Request, header};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};
use tollgate_e2e::{Stage, User, encoded};
use tollgate_tests::{Answer, Client, Version, full};

const POLICY: &str = include_str!("../../../../examples/policy/policy.json");
const CREATE: &str = "/_matrix/client/r0/createRoom";
const SEARCH: &str = "/_matrix/client/r0/user_directory/search";

/// The service of the example, until it is dropped.
struct Service {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Service {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let settings = Settings { token: Some("SOME_TOKEN".to_owned()), seed: Some(1) };
        let task = tokio::spawn(async move { drop(hook_rest_service::serve(listener, settings).await) });
        Self { address, task }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The example as it is, with this service, and with these words in it replaced.
fn policy(service: SocketAddr, words: &[(&str, &str)]) -> String {
    let mut text = POLICY.replace("hook-rest-service:8080", &service.to_string());
    for (word, other) in words {
        assert!(text.contains(word), "{word}");
        text = text.replace(word, other);
    }
    text
}

async fn ban(by: &mut User, room: &str, whom: &User) -> Answer {
    by.ask("POST", &format!("/_matrix/client/r0/rooms/{room}/ban"), &json!({ "user_id": whom.id })).await
}

fn decoded(room: &str) -> String {
    room.replace("%21", "!").replace("%3A", ":")
}

#[tokio::test]
async fn people_are_banned_in_one_room_alone() {
    let service = Service::start().await;
    let bare = Stage::bare().await;
    let mut alice = bare.user(Version::Http1, "alice").await;
    let bob = bare.user(Version::Http1, "bob").await;
    let (closed, open) = (alice.create_room(&json!({})).await, alice.create_room(&json!({})).await);
    let words = [("!some-room-exception:server", decoded(&open)), ("!some-room:server", "[^/]+".to_owned())];
    let words: Vec<(&str, &str)> = words.iter().map(|(word, other)| (*word, other.as_str())).collect();
    let stage = Stage::policed(&policy(service.address, &words)).await;
    for version in Version::BOTH {
        let mut alice = User::known(version, stage.tollgate.address(), &alice).await;
        let refused = ban(&mut alice, &closed, &bob).await;
        let expected = json!({"errcode": "M_FORBIDDEN", "error": "Banning is forbidden on this server. We're nice like that!"});
        assert_eq!((refused.status.as_u16(), refused.json()), (403, expected), "{version:?}");
        assert_eq!(ban(&mut alice, &open, &bob).await.status, 200, "{version:?}");
    }
    let members = |room: &str| format!("/_matrix/client/v3/rooms/{room}/state/m.room.member/{}", encoded(&bob.id));
    assert_eq!(alice.ask("GET", &members(&closed), &Value::Null).await.status, 404);
    assert_eq!(alice.get(&members(&open)).await["membership"], "ban");
}

#[tokio::test]
async fn messages_say_hello_whatever_was_said() {
    let service = Service::start().await;
    let bare = Stage::bare().await;
    let owner = bare.user(Version::Http1, "alice").await;
    let stage = Stage::policed(&policy(service.address, &[("33-percent-chance", "chance?percent=0")])).await;
    for version in Version::BOTH {
        let mut alice = User::known(version, stage.tollgate.address(), &owner).await;
        let room = alice.create_room(&json!({})).await;
        let target = format!("/_matrix/client/r0/rooms/{room}/send/m.room.message/1");
        let sent = alice.call("PUT", &target, &json!({ "msgtype": "m.text", "body": "no" })).await;
        let event = encoded(sent["event_id"].as_str().expect("an event"));
        let page = alice.get(&format!("/_matrix/client/v3/rooms/{room}/event/{event}")).await;
        assert_eq!(page["content"], json!({ "msgtype": "m.text", "body": "Hello!" }), "{version:?}");
    }
}

#[tokio::test]
async fn rooms_are_made_if_the_service_says_so() {
    let service = Service::start().await;
    let stage = Stage::policed(&policy(service.address, &[])).await;
    let mut alice = stage.user(Version::Http2, "alice").await;
    let (mut made, mut rejected) = (0, 0);
    while made == 0 || rejected == 0 {
        let answer = alice.ask("POST", CREATE, &json!({})).await;
        let page = answer.json();
        if answer.status == 200 {
            made += 1;
            assert!(page["room_id"].is_string(), "{page}");
            assert_eq!(page["info"], "We're asynchronously logging this /createRoom call and telling you about it here.");
        } else {
            rejected += 1;
            assert_eq!((answer.status.as_u16(), &page["errcode"]), (403, &json!("M_FORBIDDEN")), "{page}");
        }
        assert!(made + rejected < 100, "{made} made, {rejected} rejected");
    }
    drop(service);
    let refused = alice.ask("POST", CREATE, &json!({})).await;
    assert_eq!(refused.json()["error"], "REST service down. Rejecting you to be on the safe side");
    let rooms = alice.get("/_matrix/client/v3/joined_rooms").await;
    assert_eq!(rooms["joined_rooms"].as_array().map(Vec::len), Some(made));
}

#[tokio::test]
async fn the_directory_is_for_some_people() {
    let service = Service::start().await;
    let bare = Stage::bare().await;
    let (george, paul) = (bare.user(Version::Http1, "george").await, bare.user(Version::Http1, "paul").await);
    let name = george.id.trim_start_matches('@').trim_end_matches(":localhost");
    let as_it_is = policy(service.address, &[("george|peter|admin", name)]);
    let rule = format!(r#""regex": "^@({name}):", "invert": true"#);
    assert!(as_it_is.contains(&rule), "{rule}");
    let corrected = as_it_is.replace(&rule, &rule.replace("true", "false"));
    for (policy, expected) in [(as_it_is, [403, 200]), (corrected, [200, 403])] {
        let stage = Stage::policed(&policy).await;
        for version in Version::BOTH {
            for (person, expected) in [(&george, expected[0]), (&paul, expected[1])] {
                let mut person = User::known(version, stage.tollgate.address(), person).await;
                let answer = person.ask("POST", SEARCH, &json!({ "search_term": "paul" })).await;
                assert_eq!(answer.status.as_u16(), expected, "{version:?} {}: {}", person.id, answer.text());
            }
        }
    }
}

#[tokio::test]
async fn managed_people_stay_and_are_known_until_they_log_out() {
    let bare = Stage::bare().await;
    let mut owner = bare.user(Version::Http1, "alice").await;
    let (kept, free) = (owner.create_room(&json!({})).await, owner.create_room(&json!({})).await);
    let policy = json!({
        "managedRoomIds": [decoded(&kept)],
        "users": [{"id": owner.id, "active": true, "authType": "passthrough", "joinedRooms": [{"roomId": decoded(&kept)}]}],
    });
    let stage = Stage::policed(&policy.to_string()).await;
    let mut alice = User::known(Version::Http2, stage.tollgate.address(), &owner).await;
    let leave = |room: &str| format!("/_matrix/client/v3/rooms/{room}/leave");
    for target in [leave(&kept), format!("{}/", leave(&kept)), leave(&kept).replace("/v3/", "/unstable/")] {
        for method in ["POST", "PUT"] {
            assert_eq!(alice.ask(method, &target, &json!({})).await.status, 403, "{method} {target}");
        }
    }
    assert_eq!(alice.ask("PUT", &format!("{}/transaction", leave(&kept)), &json!({})).await.status, 403);
    assert_eq!(alice.ask("POST", &leave(&free), &json!({})).await.status, 200);
    let rooms = alice.get("/_matrix/client/v3/joined_rooms").await;
    assert_eq!(rooms["joined_rooms"], json!([decoded(&kept)]));
    alice.call("POST", "/_matrix/client/v3/logout", &json!({})).await;
    let refused = alice.ask("POST", &leave(&free), &json!({})).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["errcode"]), (401, &json!("M_UNKNOWN_TOKEN")));
}

/// Synapse takes a token from what is JSON for everybody else. The proxy does not let that through.
#[tokio::test]
async fn tokens_do_not_hide_in_forms() {
    let bare = Stage::bare().await;
    let mut alice = bare.user(Version::Http1, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let stage = Stage::policed("{}").await;
    let body = json!({ "reason": format!("&access_token={}&", alice.token) }).to_string();
    let request = |path: &str| {
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        request.body(full(body.clone())).expect("a request")
    };
    let leave = format!("/_matrix/client/v3/rooms/{room}/leave");
    let through = Client::connect(Version::Http1, stage.tollgate.address()).await.ask(request(&leave)).await;
    assert_eq!((through.status.as_u16(), &through.json()["errcode"]), (403, &json!("M_FORBIDDEN")));
    let direct = Client::connect(Version::Http1, stage.synapse.address()).await.ask(request(&leave)).await;
    assert_eq!(direct.status, 200, "no way around any more, so this can go: {}", direct.text());
}
