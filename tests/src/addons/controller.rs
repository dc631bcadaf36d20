//! The controller as a test suite uses it.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::Hosted;
use crate::{raw::RawClient, wire::Response};

/// A way to the pages for options.
#[derive(Debug, Clone, Copy)]
pub struct Controller {
    address: SocketAddr,
    is_forward: bool,
}

impl Controller {
    /// By its name, through this forward listener.
    #[must_use]
    pub const fn through(address: SocketAddr) -> Self {
        Self { address, is_forward: true }
    }

    /// On this admin listener.
    #[must_use]
    pub const fn at(address: SocketAddr) -> Self {
        Self { address, is_forward: false }
    }

    /// Sends this; `lines` of the head each with its end.
    pub async fn send(self, method: &str, path: &str, lines: &str, body: &str) -> Response {
        RawClient::ask(self.address, self.request(method, path, lines, body)).await
    }

    /// The bytes of a request.
    #[must_use]
    pub fn request(self, method: &str, path: &str, lines: &str, body: &str) -> String {
        let (target, host) =
            if self.is_forward { ("http://mitm.code", "mitm.code".to_owned()) } else { ("", self.address.to_string()) };
        let length = body.len();
        format!("{method} {target}{path} HTTP/1.1\r\nHost: {host}\r\n{lines}Content-Length: {length}\r\n\r\n{body}")
    }

    /// `POST` of JSON.
    pub async fn post(self, path: &str, body: &str) -> Response {
        self.send("POST", path, "Content-Type: application/json\r\n", body).await
    }

    /// `GET` of this path.
    pub async fn get(self, path: &str) -> Response {
        self.send("GET", path, "", "").await
    }

    /// Asks for the lock with this body.
    pub async fn try_lock(self, body: &Value) -> Response {
        self.post("/options/lock", &body.to_string()).await
    }

    /// Locks with these options; the id.
    #[track_caller]
    pub fn lock(self, options: &Value) -> impl Future<Output = String> {
        let body = json!({ "options": options });
        async move {
            let answer = self.try_lock(&body).await;
            assert_eq!(answer.status, 200, "{body}: {}", answer.text());
            answer.json()["reset_id"].as_str().expect("an id").to_owned()
        }
    }

    /// Unlocks with this id.
    pub async fn unlock(self, id: &str) -> Response {
        self.post("/options/unlock", &json!({ "reset_id": id }).to_string()).await
    }

    /// What is said about an option; null if it is not there.
    pub async fn option(self, name: &str) -> Value {
        let answer = self.get(&format!("/options/{name}")).await;
        if answer.status == 200 { answer.json() } else { Value::Null }
    }
}

impl Hosted {
    /// The controller through the listener `forward`.
    #[must_use]
    pub fn controller(&self) -> Controller {
        Controller::through(self.address_of("forward"))
    }

    /// Locks with these options of the addon `callback`. A lock that there is from before is unlocked.
    pub async fn lock(&self, options: &Value) {
        if self.held().lock().is_some() {
            self.unlock().await;
        }
        let id = self.controller().lock(&json!({ "callback": options })).await;
        *self.held().lock() = Some(id);
    }

    /// And unlocks.
    pub async fn unlock(&self) {
        let id = self.held().lock().take().expect("a lock");
        let answer = self.controller().unlock(&id).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "{}\n"));
    }
}
