//! What tests of `federation` share: a registration service, and who asks.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;
use tollgate_tests::{
    RawClient, RawOrigin, Response,
    addons::{Hosted, HostedBuilder, bundled},
};

/// A registration service that says what a test wants.
pub(crate) struct Registration {
    origin: RawOrigin,
    answer: Arc<Mutex<(u16, String)>>,
    asked: Arc<AtomicUsize>,
    held: watch::Sender<bool>,
}

impl Registration {
    pub(crate) async fn with(version: u64, domains: &[&str]) -> Self {
        let answer = Arc::new(Mutex::new((200, document(version, domains))));
        let (held, is_held) = watch::channel(false);
        let asked = Arc::new(AtomicUsize::new(0));
        let (shared, counted) = (Arc::clone(&answer), Arc::clone(&asked));
        let origin = RawOrigin::start(move |mut conversation| {
            let (answer, counted, mut is_held) = (Arc::clone(&shared), Arc::clone(&counted), is_held.clone());
            async move {
                while conversation.request().await.is_some() {
                    counted.fetch_add(1, SeqCst);
                    let _ = is_held.wait_for(|is_held| !is_held).await;
                    let (status, body) = answer.lock().clone();
                    let length = if status == 304 { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
                    let body = if status == 304 { "" } else { &body };
                    if conversation.send(format!("HTTP/1.1 {status} X\r\n{length}\r\n{body}")).await.is_err() {
                        return;
                    }
                }
            }
        });
        Self { origin: origin.await, answer, asked, held }
    }

    pub(crate) fn answers(&self, status: u16, body: impl Into<String>) {
        *self.answer.lock() = (status, body.into());
    }

    /// Whether it answers nobody.
    pub(crate) fn hold(&self, is_held: bool) {
        self.held.send_replace(is_held);
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(SeqCst)
    }

    pub(crate) fn targets(&self) -> Vec<String> {
        self.origin.targets()
    }

    pub(crate) fn url(&self) -> String {
        format!("{}/backend/federation", self.origin.url())
    }
}

pub(crate) fn document(version: u64, domains: &[&str]) -> String {
    let domains: Vec<_> =
        domains.iter().map(|domain| json!({"domain": domain, "isInsurance": false, "telematikID": "1-2"})).collect();
    json!({"version": version, "domainList": domains}).to_string()
}

/// The addon before an upstream, with what it needs.
pub(crate) fn guarded(upstream: &str, options: &Value) -> HostedBuilder {
    let host = Hosted::before(upstream).guest("federation", &bundled("federation"), options);
    host.set("addon.federation.kv", true).set("addon.federation.http", "[\"private\"]").set("state", "'memory:'")
}

/// What a server at `origin` is answered.
pub(crate) async fn ask(host: &Hosted, origin: &str) -> Response {
    let field = format!("Authorization: X-Matrix origin=\"{origin}\",destination=\"own.de\",key=\"ed25519:1\",sig=\"AA\"\r\n");
    request(host, "GET /_matrix/federation/v1/version", &field, "").await
}

pub(crate) async fn status(host: &Hosted, origin: &str) -> u16 {
    ask(host, origin).await.status
}

/// A request of a method and target, with these lines, each with its end, over a connection of its own.
pub(crate) async fn request(host: &Hosted, line: &str, lines: &str, body: &str) -> Response {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    RawClient::ask(host.address(), format!("{line} HTTP/1.1\r\nHost: own.de\r\n{lines}{length}\r\n{body}")).await
}

/// Status, code and text of a refusal.
pub(crate) fn refusal(response: &Response) -> (u16, String, String) {
    let json = response.json();
    let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
    (response.status, text("errcode"), text("error"))
}
