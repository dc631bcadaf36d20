//! The admin listener as its users see it.

use std::{
    net::SocketAddr,
    panic::Location,
    time::{Duration, Instant},
};

use http::{Method, Request};
use serde_json::Value;
use tokio::time::sleep;

use crate::{
    body::{BoxBody, full},
    client::{Answer, Client, Version},
    patience::PATIENCE,
};

/// Asks the admin listener, each time over a connection of its own.
#[derive(Debug, Clone, Copy)]
pub struct Admin {
    address: SocketAddr,
}

impl Admin {
    /// At this address.
    #[must_use]
    pub const fn at(address: SocketAddr) -> Self {
        Self { address }
    }

    /// Any request.
    pub async fn ask(self, request: Request<BoxBody>) -> Answer {
        Client::connect(Version::Http1, self.address).await.ask(request).await
    }

    /// Sends this body.
    pub async fn send(self, method: Method, path: &str, body: impl Into<bytes::Bytes>) -> Answer {
        self.ask(Request::builder().method(method).uri(path).body(full(body)).expect("a request")).await
    }

    /// `GET` of this path.
    pub async fn get(self, path: &str) -> Answer {
        self.send(Method::GET, path, "").await
    }

    /// All that is said about one addon; null if nothing is.
    pub async fn status(self, name: &str) -> Value {
        let answer = self.get("/addons").await.json();
        let found = answer["addons"].as_array().into_iter().flatten().find(|status| status["name"] == name);
        found.cloned().unwrap_or_default()
    }

    /// Waits until what is said about an addon is as `wanted`, and tells it.
    #[track_caller]
    pub fn until(self, name: &str, wanted: impl Fn(&Value) -> bool) -> impl Future<Output = Value> {
        let (place, start) = (Location::caller(), Instant::now());
        async move {
            loop {
                let status = self.status(name).await;
                if wanted(&status) {
                    return status;
                }
                assert!(start.elapsed() < PATIENCE, "what {place} waits for did not come in {PATIENCE:?}: {status:#}");
                sleep(Duration::from_millis(10)).await;
            }
        }
    }

    /// Waits until an addon of this content is in force.
    pub async fn in_force(self, name: &str, component: &[u8]) -> Value {
        let sha256 = super::sha256(component);
        self.until(name, |status| status["sha256"] == sha256.as_str()).await
    }

    /// Waits until instances of an addon are copies of a configured one.
    pub async fn frozen(self, name: &str) -> Value {
        self.until(name, |status| status["state"] == "snapshot").await
    }

    /// Waits until the last load of an addon has failed; why.
    pub async fn refused(self, name: &str) -> String {
        let status = self.until(name, |status| !status["error"].is_null()).await;
        status["error"].as_str().unwrap_or_default().to_owned()
    }

    /// A counter of an addon.
    pub async fn counter(self, name: &str, counter: &str) -> u64 {
        self.status(name).await[counter].as_u64().unwrap_or_else(|| panic!("no counter {counter} of {name}"))
    }

    /// How often something was over a budget of an addon.
    pub async fn over_budget(self, name: &str, budget: &str) -> u64 {
        let status = self.status(name).await;
        status["over_budget"][budget].as_u64().unwrap_or_else(|| panic!("no budget {budget} of {name}: {status:#}"))
    }

    /// Puts options in force.
    pub async fn put_options(self, name: &str, options: &Value) -> Answer {
        self.send(Method::PUT, &format!("/addons/{name}/options"), options.to_string()).await
    }

    /// Loads an addon again.
    pub async fn reload(self, name: &str) -> Answer {
        self.send(Method::POST, &format!("/addons/{name}/reload"), "").await
    }
}
