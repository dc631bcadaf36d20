//! What the tests of complement-crypto do to a client of a homeserver, with nothing but HTTP as the client.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use serde_json::{Map, Value, json};
use tollgate_e2e::{Suite, User, encoded};
use tollgate_tests::{
    Version,
    addons::{CallbackServer, Called, Reply},
    eventually,
};

const KEYS_UPLOAD: &str = "/_matrix/client/v3/keys/upload";
const KEYS_QUERY: &str = "/_matrix/client/v3/keys/query";
const KEYS_CLAIM: &str = "/_matrix/client/v3/keys/claim";

/// Answers with 504 as long as `is_over` says no.
fn send_error(is_over: impl Fn() -> bool) -> Reply {
    let error = json!({"respond_status_code": 504, "respond_body": {"error": "callback.SendError"}});
    if is_over() { Reply::nothing() } else { Reply::json(&error) }
}

fn is_request(called: &Called) -> bool {
    called.path == "/request"
}

fn both(server: &CallbackServer, filter: &str) -> Value {
    json!({"callback_request_url": server.at("/request"), "callback_response_url": server.at("/response"), "filter": filter})
}

/// One-time keys that no client would ever use.
fn keys(count: usize) -> Value {
    let keys: Map<String, Value> =
        (0..count).map(|number| (format!("curve25519:K{number}"), json!(format!("key{number}")))).collect();
    json!({"one_time_keys": keys})
}

fn to_device(users: &[&str]) -> Value {
    let messages: Map<String, Value> = users
        .iter()
        .map(|user| ((*user).to_owned(), json!({"*": {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "…"}})))
        .collect();
    json!({ "messages": messages })
}

async fn count_of_keys(user: &mut User) -> Value {
    user.call("POST", KEYS_UPLOAD, &json!({})).await["one_time_key_counts"]["curve25519"].clone()
}

#[tokio::test]
async fn an_invite_is_held_back_and_nothing_else() {
    let suite = Suite::start().await;
    let (mut alice, mut bob, mut carol) =
        (suite.user(0, "alice").await, suite.user(0, "bob").await, suite.user(0, "carol").await);
    let room = alice.create_room(&json!({})).await;
    let since = bob.sync(None, 0).await["next_batch"].as_str().expect("a token").to_owned();
    let server = CallbackServer::start(|called| {
        if called.told.to_string().contains(r#""membership":"invite""#) { Reply::nothing().held() } else { Reply::nothing() }
    })
    .await;
    let filter = format!("~u .*/sync.* ~hq {}", bob.token);
    let locked = suite.lock(&json!({"callback_response_url": server.at("/response"), "filter": filter})).await;
    alice.call("POST", &format!("/_matrix/client/v3/rooms/{room}/invite"), &json!({"user_id": bob.id})).await;
    let syncing = tokio::spawn(async move { bob.sync(Some(&since), 30_000).await });
    eventually(async || !server.calls().is_empty()).await;
    for other in [&mut alice, &mut carol] {
        other.sync(None, 0).await;
    }
    assert!(!syncing.is_finished());
    server.release();
    let page = syncing.await.expect("a sync");
    assert_eq!(page["rooms"]["invite"].as_object().map(Map::len), Some(1), "{page}");
    suite.unlock(&locked).await;
    let told = server.told("/response");
    assert_eq!((told.len(), &told[0]["response_code"], &told[0]["method"]), (1, &json!(200), &json!("GET")));
}

#[tokio::test]
async fn downloads_of_keys_fail_four_times() {
    let suite = Suite::start().await;
    let mut alice = suite.user(0, "alice").await;
    let tries = Arc::new(AtomicUsize::new(0));
    let server = CallbackServer::start({
        let tries = Arc::clone(&tries);
        move |called| if is_request(called) { send_error(|| tries.fetch_add(1, SeqCst) >= 4) } else { Reply::nothing() }
    })
    .await;
    let locked = suite.lock(&both(&server, " ~u .*/keys/query.* ~m POST")).await;
    let query = json!({"device_keys": {alice.id.clone(): []}});
    for expected in [504, 504, 504, 504, 200] {
        let answer = alice.ask("POST", KEYS_QUERY, &query).await;
        assert_eq!(answer.status.as_u16(), expected, "{}", answer.text());
        assert_eq!(answer.json()["error"] == "callback.SendError", expected == 504);
    }
    suite.unlock(&locked).await;
    // The response callback sees errors that never came from the homeserver, too.
    let codes: Vec<Value> = server.told("/response").iter().map(|told| told["response_code"].clone()).collect();
    assert_eq!(codes, [504, 504, 504, 504, 200].map(|code| json!(code)));
    assert_eq!(server.told("/request")[0]["request_body"], query);
}

#[tokio::test]
async fn uploads_of_keys_are_blocked_while_it_is_locked() {
    let suite = Suite::start().await;
    let mut alice = suite.user(0, "alice").await;
    let server = CallbackServer::start(|_| send_error(|| false)).await;
    let filter = format!("~u .*/keys/upload.* ~m POST ~hq {}", alice.token);
    let locked = suite.lock(&json!({"callback_request_url": server.at("/request"), "filter": filter})).await;
    for _ in 0..3 {
        assert_eq!(alice.ask("POST", KEYS_UPLOAD, &keys(5)).await.status, 504);
    }
    let mut direct = User::known(Version::Http1, suite.servers[0].address(), &alice).await;
    assert_eq!(count_of_keys(&mut direct).await, Value::Null);
    suite.unlock(&locked).await;
    assert_eq!(alice.call("POST", KEYS_UPLOAD, &keys(5)).await["one_time_key_counts"]["curve25519"], 5);
    assert_eq!(server.calls().len(), 3);
}

/// Without a callback server, counted by the addon.
#[tokio::test]
async fn claims_of_keys_fail_twice_for_each_lock() {
    let suite = Suite::start().await;
    let mut alice = suite.user(0, "alice").await;
    let claim = json!({"one_time_keys": {alice.id.clone(): {"NOBODY": "signed_curve25519"}}});
    let options = json!({"send_error": {"count": 2, "status": 504}, "filter": "~u .*/keys/claim.* ~m POST"});
    for _ in 0..2 {
        let locked = suite.lock(&options).await;
        for expected in [504, 504, 200, 200] {
            assert_eq!(alice.ask("POST", KEYS_CLAIM, &claim).await.status.as_u16(), expected);
        }
        suite.unlock(&locked).await;
        assert_eq!(alice.ask("POST", KEYS_CLAIM, &claim).await.status, 200);
    }
}

#[tokio::test]
async fn messages_to_devices_are_seen_whole_and_arrive() {
    let suite = Suite::start().await;
    let (mut alice, mut bob) = (suite.user(0, "alice").await, suite.user(0, "bob").await);
    let server = CallbackServer::answering(json!({})).await;
    let filter = "~u .*/sendToDevice.* ~m PUT";
    let locked = suite.lock(&json!({"callback_response_url": server.at("/response"), "filter": filter})).await;
    let crowd: Vec<String> = (0..99).map(|number| format!("@nobody-{number}:localhost")).collect();
    let users: Vec<&str> = crowd.iter().map(String::as_str).chain([bob.id.as_str()]).collect();
    let body = to_device(&users);
    alice.call("PUT", "/_matrix/client/v3/sendToDevice/m.room.encrypted/1", &body).await;
    alice.call("PUT", "/_matrix/client/v3/sendToDevice/m.other/2", &body).await;
    suite.unlock(&locked).await;
    let told = server.told("/response");
    let encrypted: Vec<&Value> =
        told.iter().filter(|told| told["url"].as_str().is_some_and(|url| url.contains("m.room.encrypted"))).collect();
    assert_eq!((told.len(), encrypted.len()), (2, 1));
    assert_eq!((&encrypted[0]["request_body"], &encrypted[0]["access_token"]), (&body, &json!(alice.token)));
    assert_eq!(encrypted[0]["request_body"]["messages"].as_object().map(Map::len), Some(100));
    let events = bob.sync(None, 0).await["to_device"]["events"].clone();
    assert_eq!(events.as_array().map(Vec::len), Some(2), "{events}");
}

#[tokio::test]
async fn a_message_gets_through_though_its_sender_sees_an_error() {
    let suite = Suite::start().await;
    let (mut alice, mut bob) = (suite.user(0, "alice").await, suite.user(0, "bob").await);
    let options = json!({"send_error": {"status": 504, "phase": "response"}, "filter": "~u .*/sendToDevice.*"});
    let locked = suite.lock(&options).await;
    let target = "/_matrix/client/v3/sendToDevice/m.room.encrypted/same";
    let body = to_device(&[&bob.id]);
    for _ in 0..3 {
        assert_eq!(alice.ask("PUT", target, &body).await.status, 504);
    }
    suite.unlock(&locked).await;
    alice.call("PUT", target, &body).await;
    // The homeserver knows one transaction.
    let events = bob.sync(None, 0).await["to_device"]["events"].clone();
    assert_eq!(events.as_array().map(Vec::len), Some(1), "{events}");
}

#[tokio::test]
async fn senders_of_events_are_spoofed() {
    let suite = Suite::start().await;
    let (mut alice, mut bob) = (suite.user(0, "alice").await, suite.user(0, "bob").await);
    let room = alice.create_room(&json!({"invite": [bob.id]})).await;
    bob.join(&room).await;
    alice.say(&room, "hello").await;
    let server = CallbackServer::start(|called| {
        let mut page = called.told["response_body"].clone();
        for room in page["rooms"]["join"].as_object_mut().into_iter().flatten() {
            for event in room.1["timeline"]["events"].as_array_mut().into_iter().flatten() {
                if event["type"] == "m.room.message" {
                    event["sender"] = json!("@mallory:localhost");
                }
            }
        }
        Reply::json(&json!({ "respond_body": page }))
    })
    .await;
    let filter = format!("~u .*/sync.* ~hq {}", bob.token);
    let locked = suite.lock(&json!({"callback_response_url": server.at("/response"), "filter": filter})).await;
    let senders = |page: &Value| {
        let joined = page["rooms"]["join"].as_object().into_iter().flatten();
        let events = joined.flat_map(|(_, room)| room["timeline"]["events"].as_array().into_iter().flatten());
        events.filter(|event| event["type"] == "m.room.message").map(|event| event["sender"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(senders(&bob.sync(None, 0).await), ["@mallory:localhost"]);
    assert_eq!(senders(&alice.sync(None, 0).await), [json!(alice.id)]);
    suite.unlock(&locked).await;
    assert_eq!(senders(&bob.sync(None, 0).await), [json!(alice.id)]);
}

/// The client is killed while the response to its upload is held: the homeserver has the keys, and the next flow goes by.
#[tokio::test]
async fn a_client_that_dies_while_its_response_is_held_harms_nobody() {
    let suite = Suite::start().await;
    let (mut alice, mut bob) = (suite.user(0, "alice").await, suite.user(0, "bob").await);
    let is_first = AtomicBool::new(true);
    let server =
        CallbackServer::start(move |_| if is_first.swap(false, SeqCst) { Reply::nothing().held() } else { Reply::nothing() })
            .await;
    let filter = "~u .*/keys/upload.* ~m POST";
    let locked = suite.lock(&json!({"callback_response_url": server.at("/response"), "filter": filter})).await;
    let mut doomed = User::known(Version::Http1, suite.tollgate.address(), &alice).await;
    let dying = tokio::spawn(async move { doomed.ask("POST", KEYS_UPLOAD, &keys(3)).await });
    eventually(async || !server.calls().is_empty()).await;
    dying.abort();
    assert!(dying.await.is_err_and(|error| error.is_cancelled()));
    assert_eq!(count_of_keys(&mut alice).await, 3);
    assert_eq!(bob.call("POST", KEYS_UPLOAD, &keys(2)).await["one_time_key_counts"]["curve25519"], 2);
    server.release();
    suite.unlock(&locked).await;
    eventually(async || suite.tollgate.logs().contains("client")).await;
    assert_eq!(count_of_keys(&mut alice).await, 3);
}

/// Errors while a flag is set, in one lock.
#[tokio::test]
async fn behaviour_changes_without_a_lock_of_its_own() {
    let suite = Suite::start().await;
    let mut alice = suite.user(0, "alice").await;
    let is_over = Arc::new(AtomicBool::new(false));
    let server = CallbackServer::start({
        let is_over = Arc::clone(&is_over);
        move |called| if is_request(called) { send_error(|| is_over.load(SeqCst)) } else { Reply::nothing() }
    })
    .await;
    let locked = suite.lock(&both(&server, &format!(" ~u .*/sync.* ~hq {}", alice.token))).await;
    let sync = "/_matrix/client/v3/sync?timeout=0";
    for (over, status) in [(false, 504), (false, 504), (true, 200), (false, 504), (true, 200)] {
        is_over.store(over, SeqCst);
        assert_eq!(alice.ask("GET", sync, &Value::Null).await.status.as_u16(), status);
    }
    suite.unlock(&locked).await;
    assert_eq!(server.told("/request").len(), 5);
}

/// One set of options for both; filters tell them apart.
#[tokio::test]
async fn two_homeservers_share_one_lock() {
    let suite = Suite::start().await;
    let (mut alice, mut bob) = (suite.user(0, "alice").await, suite.user(1, "bob").await);
    let server = CallbackServer::answering(json!({})).await;
    let whoami = "/_matrix/client/v3/account/whoami";
    let second = suite.servers[1].url();
    for (filter, expected) in [(json!(null), vec![0, 1]), (json!(format!("~u {second}")), vec![1]), (json!("~l main"), vec![0])] {
        let told = server.calls().len();
        let locked = suite.lock(&json!({"callback_response_url": server.at("/response"), "filter": filter})).await;
        let busy = suite.control("/options/lock", &json!({"options": {}})).await;
        assert_eq!((busy.status.as_u16(), busy.text().trim()), (400, "options already locked, did you forget to unlock?"));
        alice.get(whoami).await;
        bob.get(whoami).await;
        suite.unlock(&locked).await;
        let urls: Vec<Value> = server.calls().split_off(told).into_iter().map(|call| call.told["url"].clone()).collect();
        let expected: Vec<Value> =
            expected.iter().map(|server| json!(format!("{}{whoami}", suite.servers[*server].url()))).collect();
        assert_eq!(urls, expected, "{filter}");
    }
    let wrong = suite.control("/options/unlock", &json!({"reset_id": encoded("no")})).await;
    assert_eq!((wrong.status.as_u16(), wrong.text().trim()), (400, "options were not locked, mismatched lock/unlock calls"));
}
