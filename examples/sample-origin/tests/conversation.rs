//! Conversations with the server over a socket.
#![cfg(test)]

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

struct Client {
    port: u16,
    token: String,
}

impl Client {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        tokio::spawn(sample_origin::serve(listener));
        Self { port, token: String::new() }
    }

    /// Status and body, as JSON where it is that.
    async fn ask(&self, method: &str, target: &str, body: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.expect("a connection");
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: sample\r\nConnection: close\r\nAuthorization: Bearer {}\r\nX-Two: a\r\nX-Two: b\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        );
        stream.write_all(request.as_bytes()).await.expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, serde_json::from_str(body).unwrap_or_default())
    }

    async fn log_in(&mut self, name: &str) {
        let login = json!({"type": "m.login.password", "identifier": {"type": "m.id.user", "user": name}, "password": "any"});
        let (status, answer) = self.ask("POST", "/_matrix/client/v3/login", &login.to_string()).await;
        assert_eq!((status, &answer["user_id"]), (200, &json!(format!("@{name}:sample"))));
        self.token = answer["access_token"].as_str().expect("a token").to_owned();
    }
}

#[tokio::test]
async fn versions_go_up_to_v1_14() {
    let (status, answer) = Client::new().await.ask("GET", "/_matrix/client/versions", "").await;
    let versions = answer["versions"].as_array().expect("versions");
    assert_eq!((status, versions.len(), &versions[0], &versions[14]), (200, 15, &json!("r0.6.1"), &json!("v1.14")));
    assert!(answer["unstable_features"].is_object());
}

#[tokio::test]
async fn messages_reach_a_waiting_sync() {
    let mut client = Client::new().await;
    client.log_in("ida").await;
    let (_, room) = client.ask("POST", "/_matrix/client/v3/createRoom", "{}").await;
    let room = room["room_id"].as_str().expect("a room").replace('!', "%21");
    let (_, first) = client.ask("GET", "/_matrix/client/v3/sync", "").await;
    assert_eq!(first["rooms"]["join"].as_object().map(serde_json::Map::len), Some(1));
    let sync = format!("/_matrix/client/v3/sync?timeout=30000&since={}", first["next_batch"].as_str().expect("a batch"));
    let send = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/t1");
    let ((_, news), (_, event)) = tokio::join!(client.ask("GET", &sync, ""), client.ask("PUT", &send, "{\"body\":\"hi\"}"));
    let arrived = &news["rooms"]["join"]["!room1:sample"]["timeline"]["events"][0];
    assert_eq!((&arrived["event_id"], &arrived["content"]["body"]), (&event["event_id"], &json!("hi")));
    assert_eq!(client.ask("PUT", &send, "{\"body\":\"hi\"}").await.1, event);
}

#[tokio::test]
async fn silent_sync_ends_in_time() {
    let mut client = Client::new().await;
    client.log_in("ida").await;
    let (status, answer) = client.ask("GET", "/_matrix/client/v3/sync?since=s0&timeout=10", "").await;
    assert_eq!((status, &answer["next_batch"], &answer["rooms"]["join"]), (200, &json!("s0"), &json!({})));
}

#[tokio::test]
async fn tokens_end_with_the_logout() {
    let mut client = Client::new().await;
    client.log_in("ida").await;
    let search = "/_matrix/client/r0/user_directory/search";
    let (status, found) = client.ask("POST", search, r#"{"search_term":"id"}"#).await;
    assert_eq!((status, &found["results"]), (200, &json!([{"user_id": "@ida:sample"}])));
    assert_eq!(client.ask("PUT", "/_matrix/client/r0/profile/@ida:sample/displayname", "{}").await.0, 200);
    assert_eq!(client.ask("PUT", "/_matrix/client/r0/profile/@tove:sample/displayname", "{}").await.0, 403);
    assert_eq!(client.ask("POST", "/_matrix/client/r0/rooms/!a:b/ban", "{}").await.0, 200);
    assert_eq!(client.ask("POST", "/_matrix/client/r0/logout", "").await.0, 200);
    assert_eq!(client.ask("POST", search, "{}").await.0, 401);
    let first = client.token.clone();
    client.log_in("ida").await;
    assert_ne!(client.token, first);
}

#[tokio::test]
async fn strangers_and_nonsense_are_refused() {
    let client = Client::new().await;
    for (method, target, body, status, errcode) in [
        ("GET", "/_matrix/client/v3/sync", "", 401, "M_MISSING_TOKEN"),
        ("GET", "/_matrix/client/v3/sync?access_token=x", "", 401, "M_UNKNOWN_TOKEN"),
        ("POST", "/_matrix/client/v3/login", "{", 400, "M_NOT_JSON"),
        ("POST", "/_matrix/client/v3/login", "[]", 400, "M_BAD_JSON"),
        ("POST", "/_matrix/client/v3/login", "{}", 400, "M_MISSING_PARAM"),
        ("DELETE", "/_matrix/client/versions", "", 405, "M_UNRECOGNIZED"),
        ("GET", "/_matrix/client/v9/nothing", "", 404, "M_UNRECOGNIZED"),
        ("GET", "/nothing", "", 404, "M_UNRECOGNIZED"),
    ] {
        let (found, answer) = client.ask(method, target, body).await;
        assert_eq!((found, &answer["errcode"]), (status, &json!(errcode)), "{method} {target}");
    }
}

#[tokio::test]
async fn echo_shows_what_arrived() {
    let (status, answer) = Client::new().await.ask("PATCH", "/echo/a%2Fb?c=d", "text").await;
    assert_eq!(status, 200);
    assert_eq!(
        (&answer["method"], &answer["path"], &answer["body"]),
        (&json!("PATCH"), &json!("/echo/a%2Fb?c=d"), &json!("text"))
    );
    let headers = answer["headers"].as_array().expect("headers");
    assert!(headers.contains(&json!(["x-two", "a"])) && headers.contains(&json!(["x-two", "b"])), "{headers:?}");
}

#[tokio::test]
async fn timeline_boosts_one_of_its_own() {
    let client = Client::new().await;
    let (status, timeline) = client.ask("GET", "/api/v1/timelines/home", "").await;
    assert_eq!((status, &timeline[1]["reblog"]["uri"]), (200, &timeline[3]["uri"]));
    let (_, instance) = client.ask("GET", "/api/v1/instance", "").await;
    assert_eq!(instance["uri"], "sample");
    assert_eq!(client.ask("GET", "/health", "").await, (200, json!({"status": "ok"})));
}

#[tokio::test]
async fn bodies_end_at_the_limit() {
    let client = Client::new().await;
    assert_eq!(client.ask("POST", "/echo", &"x".repeat(sample_origin::BODY_LIMIT)).await.0, 200);
    assert_eq!(client.ask("POST", "/echo", &"x".repeat(sample_origin::BODY_LIMIT + 1)).await.0, 413);
}

#[tokio::test]
async fn keys_are_counted_by_user_and_kind() {
    let mut client = Client::new().await;
    let keys = r#"{"one_time_keys": {"signed_curve25519:A": {}, "signed_curve25519:B": {}, "curve25519:A": "a"}}"#;
    assert_eq!(client.ask("POST", "/_matrix/client/v3/keys/upload", keys).await.0, 401);
    client.log_in("ida").await;
    for round in [1, 2] {
        let (status, answer) = client.ask("POST", "/_matrix/client/v3/keys/upload", keys).await;
        let counts = json!({"signed_curve25519": 2 * round, "curve25519": round});
        assert_eq!((status, answer), (200, json!({"one_time_key_counts": counts})));
    }
    client.log_in("otto").await;
    let (_, answer) = client.ask("POST", "/_matrix/client/v3/keys/upload", "{}").await;
    assert_eq!(answer, json!({"one_time_key_counts": {}}));
}
