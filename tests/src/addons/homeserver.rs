//! A homeserver as far as addons ask it who somebody is.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use parking_lot::Mutex;

use crate::{
    origin::{Conversation, RawOrigin},
    wire::Request,
};

/// Where a homeserver tells whose a token is.
const WHOAMI: &str = "/_matrix/client/v3/account/whoami";

/// A homeserver on which `NAME-token` is the token of `@NAME:home`, until it is logged out.
pub struct Homeserver {
    origin: RawOrigin,
    state: Arc<State>,
}

type Answering = dyn Fn(&Request) -> Vec<u8> + Send + Sync;

struct State {
    ended: Mutex<BTreeSet<String>>,
    is_dumb: AtomicBool,
    answering: Box<Answering>,
}

/// Whose a token is.
#[must_use]
pub fn user_of(token: &str) -> String {
    format!("@{}:home", token.trim_end_matches("-token"))
}

impl Homeserver {
    /// What it answers to all but questions about tokens, unless a test says otherwise.
    pub const ANSWER: &str = r#"{"by":"homeserver","number":12345678901234567890.10}"#;

    /// Answers 200 with [`ANSWER`](Self::ANSWER).
    pub async fn start() -> Self {
        Self::answering(|_| Self::response(200, Self::ANSWER)).await
    }

    /// Answers whatever this makes of a request, whole.
    pub async fn answering(answer: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let state = Arc::new(State { ended: Mutex::default(), is_dumb: AtomicBool::new(false), answering: Box::new(answer) });
        let shared = Arc::clone(&state);
        let origin = RawOrigin::start(move |mut conversation| {
            let state = Arc::clone(&shared);
            async move {
                while let Some(request) = conversation.request().await {
                    if !respond(&mut conversation, &request, &state).await {
                        return;
                    }
                }
            }
        });
        Self { origin: origin.await, state }
    }

    /// A response with JSON.
    #[must_use]
    pub fn response(status: u16, body: &str) -> Vec<u8> {
        let length = body.len();
        format!("HTTP/1.1 {status} Made\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
    }

    /// What it saw.
    #[must_use]
    pub const fn origin(&self) -> &RawOrigin {
        &self.origin
    }

    /// As an upstream is written.
    #[must_use]
    pub fn url(&self) -> String {
        self.origin.url()
    }

    /// From now on it does not tell whose a token is, or does again.
    pub fn is_dumb(&self, is_dumb: bool) {
        self.state.is_dumb.store(is_dumb, SeqCst);
    }

    /// Ends a token without anybody's being told.
    pub fn end(&self, token: &str) {
        self.state.ended.lock().insert(token.to_owned());
    }

    /// How often it was asked whose a token is.
    #[must_use]
    pub fn questions(&self) -> usize {
        self.origin.targets().iter().filter(|target| target.starts_with(WHOAMI)).count()
    }

    /// What it was sent besides.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.origin.requests().into_iter().filter(|request| !request.target.starts_with(WHOAMI)).collect()
    }

    /// The last of these.
    #[must_use]
    #[track_caller]
    pub fn last_request(&self) -> Request {
        self.requests().pop().expect("a request")
    }
}

/// Whether the connection goes on.
async fn respond(conversation: &mut Conversation, request: &Request, state: &State) -> bool {
    let token = request.fields.get("authorization").and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    let unknown = || Homeserver::response(401, r#"{"errcode":"M_UNKNOWN_TOKEN","error":"unknown token","soft_logout":true}"#);
    let is_known = token.ends_with("-token") && !state.ended.lock().contains(token);
    let answer = if request.target.starts_with(WHOAMI) {
        if state.is_dumb.load(SeqCst) {
            Homeserver::response(500, "{}")
        } else if is_known {
            Homeserver::response(200, &format!(r#"{{"user_id":"{}"}}"#, user_of(token)))
        } else {
            unknown()
        }
    } else if !token.is_empty() && !is_known {
        unknown()
    } else {
        if request.target.ends_with("/logout") {
            state.ended.lock().insert(token.to_owned());
        }
        (state.answering)(request)
    };
    conversation.send(answer).await.is_ok()
}
