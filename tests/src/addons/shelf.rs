//! What `options_url` leads to.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use serde_json::Value;

use super::Hosted;
use crate::{
    addons::{HostedBuilder, guest, sha256},
    origin::RawOrigin,
    patience::eventually,
    wire::Request,
};

/// A server of one document, as most are: it has entity tags and answers 304. Its path was never used before, so nobody has a copy.
pub struct Shelf {
    origin: RawOrigin,
    shared: Arc<Shared>,
    path: String,
}

struct Shared {
    state: Mutex<State>,
    waiting: AtomicUsize,
}

/// What a [`Shelf`] answers.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Document(String),
    /// The same, as a server that knows no entity tags.
    Plain(String),
    /// This head, without a body.
    Status(String),
    Silent,
}

impl Shelf {
    /// With this document, on a port of 127.0.0.1.
    pub async fn with(document: impl std::fmt::Display) -> Self {
        let state = Mutex::new(State::Document(document.to_string()));
        let shared = Arc::new(Shared { state, waiting: AtomicUsize::new(0) });
        let of = Arc::clone(&shared);
        let origin = RawOrigin::start(move |mut conversation| {
            let shared = Arc::clone(&of);
            async move {
                while let Some(request) = conversation.request().await {
                    let state = shared.state.lock().clone();
                    let answer = match state {
                        State::Silent => {
                            shared.waiting.fetch_add(1, SeqCst);
                            conversation.take_all().await;
                            shared.waiting.fetch_sub(1, SeqCst);
                            return;
                        }
                        state => state.answer(&request),
                    };
                    if conversation.send(answer).await.is_err() {
                        return;
                    }
                }
            }
        });
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_nanos();
        Self { origin: origin.await, shared, path: format!("/policy-{now}") }
    }

    /// Has another document from now on.
    pub fn put(&self, document: impl std::fmt::Display) {
        *self.shared.state.lock() = State::Document(document.to_string());
    }

    /// The same without entity tags.
    pub fn put_plain(&self, document: impl std::fmt::Display) {
        *self.shared.state.lock() = State::Plain(document.to_string());
    }

    /// Answers with this status line and these fields: `500 Broken`, `302 Found\r\nLocation: /x`.
    pub fn fail(&self, status: &str) {
        *self.shared.state.lock() = State::Status(status.to_owned());
    }

    /// Answers nothing any more.
    pub fn fall_silent(&self) {
        *self.shared.state.lock() = State::Silent;
    }

    /// Requests that wait for an answer that never comes.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared.waiting.load(SeqCst)
    }

    /// Its URL, with a query.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}?key=query-secret", self.shown())
    }

    /// Without the query.
    #[must_use]
    pub fn shown(&self) -> String {
        format!("{}{}", self.origin.url(), self.path)
    }

    /// What it saw.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.origin.assert_strict();
        self.origin.requests()
    }

    /// Waits for so many more requests.
    pub async fn asked(&self, more: usize) {
        let wanted = self.requests().len() + more;
        eventually(async || self.requests().len() >= wanted).await;
    }

    /// What it calls a document.
    #[must_use]
    pub fn etag(document: impl std::fmt::Display) -> String {
        format!("\"{}\"", &sha256(document.to_string().as_bytes())[..16])
    }

    /// The scripted guest as `a` with the options that are here, asked for each second, and more lines of its table.
    #[must_use]
    pub fn before(&self, upstream: &str, more: &str) -> HostedBuilder {
        let table = self.table(more);
        Hosted::before(upstream).unknown("a", &guest("scripted")).with(|builder| builder.config_toml(&table))
    }

    /// The table `[addon.a]`.
    #[must_use]
    pub fn table(&self, more: &str) -> String {
        let interval = if more.contains("options_interval") { "" } else { "options_interval = \"1s\"\n" };
        format!("[addon.a]\noptions_url = \"{}\"\n{interval}{more}\n", self.url())
    }

    /// A document of the versioned guest.
    #[must_use]
    pub fn tagged(tag: &str) -> Value {
        super::versioned(tag)
    }
}

impl State {
    fn answer(self, request: &Request) -> String {
        let (document, etag) = match self {
            Self::Status(head) => return format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n"),
            Self::Document(document) => {
                let etag = Shelf::etag(&document);
                (document, format!("ETag: {etag}\r\n"))
            }
            Self::Plain(document) => (document, String::new()),
            Self::Silent => (String::new(), String::new()),
        };
        let known = request.fields.get("if-none-match").unwrap_or_default();
        if !etag.is_empty() && etag == format!("ETag: {known}\r\n") {
            return format!("HTTP/1.1 304 Not Modified\r\n{etag}\r\n");
        }
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{etag}Content-Length: {}\r\n\r\n{document}", document.len())
    }
}
