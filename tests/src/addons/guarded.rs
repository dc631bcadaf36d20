//! A homeserver behind the policy addon.

use http::Request;
use serde_json::{Value, json};

use super::{Homeserver, Hosted, HostedBuilder, components};
use crate::{
    body::{BoxBody, empty, full},
    client::{Answer, Client, Version},
};

/// A proxy with the addon `policy`, and the homeserver behind it.
pub struct Guarded {
    /// The proxy.
    pub host: Hosted,
    /// The homeserver.
    pub homeserver: Homeserver,
}

/// Name of the addon.
const POLICY: &str = "policy";

impl Guarded {
    /// By this policy. It may ask services on this machine, a thousand at one time, and keep things.
    pub async fn by(policy: &Value) -> Self {
        Self::before(Homeserver::start().await, policy).await
    }

    /// The same before this homeserver.
    pub async fn before(homeserver: Homeserver, policy: &Value) -> Self {
        let host = Self::builder(&homeserver, policy).start().await;
        Self { host, homeserver }
    }

    /// The proxy to be.
    #[must_use]
    pub fn builder(homeserver: &Homeserver, policy: &Value) -> HostedBuilder {
        Hosted::before(&homeserver.url())
            .guest(POLICY, &components::bundled(POLICY), policy)
            .set("addon.policy.http", "[\"private\"]")
            .set("addon.policy.kv", "true")
            .set("addon.policy.calls", "1000")
    }

    /// Sends a request over HTTP/1.1; without a body if that is empty, without a token if there is none.
    pub async fn ask(&self, method: &str, target: &str, token: Option<&str>, body: &str) -> Answer {
        self.ask_over(Version::Http1, method, target, token, body).await
    }

    /// Sends a request over a connection of its own.
    pub async fn ask_over(&self, version: Version, method: &str, target: &str, token: Option<&str>, body: &str) -> Answer {
        let mut client = Client::connect(version, self.host.address()).await;
        client.ask(Self::request(method, target, token, body)).await
    }

    /// A request as Matrix clients send it.
    #[must_use]
    pub fn request(method: &str, target: &str, token: Option<&str>, body: &str) -> Request<BoxBody> {
        let mut request = Request::builder().method(method).uri(target);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = if body.is_empty() {
            request.body(empty())
        } else {
            request.header("content-type", "application/json").body(full(body.to_owned()))
        };
        request.expect("a request")
    }
}

/// A policy of these hooks: id, event type, and what they do. Each is for paths that begin with `/ID`.
#[must_use]
pub fn hooks(rows: &[(&str, &str, Value)]) -> Value {
    let hooks = rows.iter().map(|(id, event, fields)| {
        let mut hook = fields.clone();
        hook["id"] = json!(id);
        hook["eventType"] = json!(event);
        if hook.get("matchRules").is_none() {
            hook["matchRules"] = json!([{"type": "route", "regex": format!("^/{id}(/|$)")}]);
        }
        hook
    });
    json!({ "hooks": hooks.collect::<Vec<_>>() })
}
