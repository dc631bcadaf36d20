//! Users of the homeserver, with clients of their own.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use http::{HeaderValue, Request, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::ClientConfig;
use serde_json::{Value, json};
use tollgate_tests::{Answer, BoxBody, Client, Version, empty, eventually, full};

use crate::stage::Stage;

/// All but what never needs it (RFC 3986, 2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A text as one segment of a path: `%40alice%3Alocalhost`.
#[must_use]
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// A request with this JSON, or without a body if that is null.
#[must_use]
pub fn json_request(method: &str, target: &str, body: &Value) -> Request<BoxBody> {
    let request = Request::builder().method(method).uri(target);
    let request = if body.is_null() {
        request.body(empty())
    } else {
        request.header(header::CONTENT_TYPE, "application/json").body(full(body.to_string()))
    };
    request.expect("a request")
}

/// Who is logged in, on one connection.
pub struct User {
    client: Client,
    address: SocketAddr,
    /// As `@alice-0:localhost`.
    pub id: String,
    /// To log in with.
    pub password: String,
    /// Of this login.
    pub token: String,
}

impl User {
    /// Someone new whose name begins like this.
    pub async fn register(version: Version, address: SocketAddr, name: &str) -> Self {
        Self::register_by(Client::connect(version, address).await, address, name).await
    }

    /// The same over TLS to `localhost`.
    pub async fn register_over_tls(address: SocketAddr, config: Arc<ClientConfig>, name: &str) -> Self {
        Self::register_by(Client::connect_tls(address, config).await.expect("TLS"), address, name).await
    }

    async fn register_by(client: Client, address: SocketAddr, name: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("{name}-{}", COUNT.fetch_add(1, Relaxed));
        let password = format!("password of {name}");
        let auth = json!({ "type": "m.login.dummy" });
        let body = json!({ "username": name, "password": password, "auth": auth });
        Self::enter(client, address, "/_matrix/client/v3/register", &body, password).await
    }

    /// The same user, logged in once more, without TLS.
    pub async fn log_in_again(&self, version: Version) -> Self {
        let identifier = json!({ "type": "m.id.user", "user": self.id });
        let body = json!({ "type": "m.login.password", "identifier": identifier, "password": self.password });
        let client = Client::connect(version, self.address).await;
        Self::enter(client, self.address, "/_matrix/client/v3/login", &body, self.password.clone()).await
    }

    /// The same login over a connection of its own, perhaps by another way.
    pub async fn known(version: Version, address: SocketAddr, user: &Self) -> Self {
        let client = Client::connect(version, address).await;
        Self { client, address, id: user.id.clone(), password: user.password.clone(), token: user.token.clone() }
    }

    async fn enter(mut client: Client, address: SocketAddr, path: &str, body: &Value, password: String) -> Self {
        let answer = client.ask(json_request("POST", path, body)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let page = answer.json();
        Self { client, address, id: text(&page["user_id"]), password, token: text(&page["access_token"]) }
    }

    /// A request with the access token.
    #[must_use]
    pub fn request(&self, method: &str, target: &str, body: &Value) -> Request<BoxBody> {
        self.authorized(json_request(method, target, body))
    }

    /// The request with the access token.
    #[must_use]
    pub fn authorized(&self, mut request: Request<BoxBody>) -> Request<BoxBody> {
        let value = HeaderValue::try_from(format!("Bearer {}", self.token)).expect("a field value");
        request.headers_mut().insert(header::AUTHORIZATION, value);
        request
    }

    /// Sends a request with the access token; null is no body.
    pub async fn ask(&mut self, method: &str, target: &str, body: &Value) -> Answer {
        let request = self.request(method, target, body);
        self.client.ask(request).await
    }

    /// The same with any request.
    pub async fn send(&mut self, request: Request<BoxBody>) -> Answer {
        let request = self.authorized(request);
        self.client.ask(request).await
    }

    /// Sends a request that must succeed; null is no body.
    pub async fn call(&mut self, method: &str, target: &str, body: &Value) -> Value {
        let answer = self.ask(method, target, body).await;
        assert_eq!(answer.status, 200, "{method} {target}: {}", answer.text());
        answer.json()
    }

    /// Asks for a page that must be there.
    pub async fn get(&mut self, target: &str) -> Value {
        self.call("GET", target, &Value::Null).await
    }

    /// Makes a room, and tells its id, encoded.
    pub async fn create_room(&mut self, body: &Value) -> String {
        encoded(&text(&self.call("POST", "/_matrix/client/v3/createRoom", body).await["room_id"]))
    }

    /// Joins a room by its encoded id or alias.
    pub async fn join(&mut self, room: &str) {
        self.call("POST", &format!("/_matrix/client/v3/join/{room}"), &json!({})).await;
    }

    /// Sends a message to a room, and tells the id of its event.
    pub async fn say(&mut self, room: &str, words: &str) -> String {
        let target = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/{}", encoded(words));
        let event = self.call("PUT", &target, &json!({ "msgtype": "m.text", "body": words })).await;
        text(&event["event_id"])
    }

    /// What is new since a token, if there is one; waits so many milliseconds for it.
    pub async fn sync(&mut self, since: Option<&str>, timeout: u32) -> Value {
        let target = sync_target(since, timeout);
        self.get(&target).await
    }

    /// A sync that waits until something is new. Its request has reached the homeserver when this returns; what is returned
    /// waits for the answer.
    pub async fn waiting_sync(&mut self, stage: &Stage, since: &str) -> impl Future<Output = Answer> + use<> {
        let target = sync_target(Some(since), 30_000);
        let response = tokio::spawn(self.client.start(self.authorized(json_request("GET", &target, &Value::Null))));
        eventually(async || !stage.synapse.received(&target).is_empty()).await;
        async move {
            let response = response.await.expect("a task").expect("a response");
            Answer::read(response).await.expect("a body")
        }
    }
}

fn sync_target(since: Option<&str>, timeout: u32) -> String {
    let since = since.map(|since| format!("&since={}", encoded(since))).unwrap_or_default();
    format!("/_matrix/client/v3/sync?timeout={timeout}{since}")
}

/// A text that must be one.
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}
