//! A service for event hooks to consult: one route for each way to answer.
//!
//! Any method will do. The answers are hooks, but for those below `/fail`.
//!
//! | Path | Answer |
//! |---|---|
//! | `/dump` | writes what arrived to standard output, credentials left out; passes |
//! | `/pass/unmodified` | passes |
//! | `/pass/injectJSONIntoRequest`, `/pass/injectHeadersIntoRequest` | passes with the request changed |
//! | `/pass/injectJSONIntoResponse`, `/pass/injectHeadersIntoResponse` | passes with the response changed |
//! | `/reject/forbidden` | rejects |
//! | `/reject/with-33-percent-chance` | rejects one in three, passes the others |
//! | `/reject/with-chance?percent=N` | rejects `N` in a hundred, passes the others |
//! | `/respond/with-payload`, `/respond/with-text` | responds, with JSON or with text |
//! | `/consult/again?url=URL` | has that URL consulted |
//! | `/slow?milliseconds=N` | passes after that time, at most a minute |
//! | `/flaky?failures=N` | 500 to the first `N` of each hook, then passes once, then from the beginning |
//! | `/fail/with-status?status=N` | this status, with a hook that passes |
//! | `/fail/not-json`, `/fail/empty`, `/fail/unknown-action` | no hook at all |
//! | `/fail/huge` | a hook in a document of 64 MiB |
//! | `/fail/redirect?to=URL` | 307 to that URL |
//! | `/fail/disconnect` | none: closes the connection |
//!
//! With `?skip=true` a hook has `skipNextHooksInChain`.

mod answer;
mod chance;
mod dump;

use std::{collections::HashMap, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    HeaderMap, Request, Response, StatusCode, body::Incoming, header::AUTHORIZATION, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use subtle::ConstantTimeEq;
use tokio::{net::TcpListener, task::JoinSet};

use crate::{answer::Answer, chance::Chance};

/// Bytes of a request's body; over it 413.
pub const BODY_LIMIT: usize = 16 << 20;

/// Connections at once; more wait until one ends.
pub const CONNECTION_LIMIT: usize = 1024;

/// Hooks whose failures are counted; beyond it the counts begin anew.
const COUNTED: usize = 1000;

/// How the service answers.
#[derive(Debug, Default)]
pub struct Settings {
    /// What requests have to prove themselves with, as `Authorization: Bearer`; else 401. Default: nothing.
    pub token: Option<String>,
    /// Where chances start. Default: where the system says.
    pub seed: Option<u64>,
}

/// What all connections share.
struct Service {
    token: Option<String>,
    chance: Mutex<Chance>,
    /// Failures of `/flaky`, by hook.
    failures: Mutex<HashMap<String, u64>>,
}

/// A request whose body is complete.
struct Arrived {
    path: String,
    query: HashMap<String, String>,
    headers: HeaderMap,
    body: Bytes,
}

/// Serves connections of this listener until the future is dropped, which closes them all.
///
/// # Errors
///
/// If the system has no randomness.
pub async fn serve(listener: TcpListener, settings: Settings) -> io::Result<()> {
    let chance = settings.seed.map_or_else(Chance::of_the_system, |seed| Ok(Chance::starting_at(seed)))?;
    let service = Arc::new(Service { token: settings.token, chance: Mutex::new(chance), failures: Mutex::new(HashMap::new()) });
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= CONNECTION_LIMIT {
            connections.join_next().await;
        }
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, most likely; they come back when other connections end.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        // Small answers are to leave at once; where that cannot be had, they leave later.
        let _ = stream.set_nodelay(true);
        let service = service.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| respond(service.clone(), request));
            // A client that goes away is no news.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// An error closes the connection.
async fn respond(service: Arc<Service>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Disconnected> {
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => body.to_bytes(),
        Err(cause) if cause.is::<LengthLimitError>() => return Ok(plain(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large")),
        Err(_) => return Err(Disconnected),
    };
    let query = head.uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let arrived = Arrived {
        path: head.uri.path().to_owned(),
        query: query.map(|(name, value)| (decoded(name), decoded(value))).collect(),
        headers: head.headers,
        body,
    };
    if !service.is_trusted(&arrived) {
        return Ok(plain(StatusCode::UNAUTHORIZED, "the token is missing or wrong"));
    }
    match answer::to(&service, &arrived).await {
        Answer::Hook(hook) => Ok(json(StatusCode::OK, &hook)),
        Answer::HookWithStatus(status, hook) => Ok(json(status, &hook)),
        Answer::Bytes(bytes) => Ok(Response::new(Full::new(bytes))),
        Answer::Redirect(to) => {
            let mut response = plain(StatusCode::TEMPORARY_REDIRECT, "");
            response.headers_mut().insert(hyper::header::LOCATION, to);
            Ok(response)
        }
        Answer::Wrong(status, text) => Ok(plain(status, text)),
        Answer::Nothing => Err(Disconnected),
    }
}

impl Service {
    fn is_trusted(&self, request: &Arrived) -> bool {
        let Some(token) = &self.token else { return true };
        let found = request.headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        found.is_some_and(|found| found.ct_eq(token.as_bytes()).into())
    }

    /// Whether this call fails, if the first ones of a hook do.
    fn fails(&self, hook: &str, failures: u64) -> bool {
        let mut counts = self.failures.lock();
        if counts.len() >= COUNTED {
            counts.clear();
        }
        let count = counts.entry(hook.to_owned()).or_default();
        let is_failure = *count < failures;
        *count = if is_failure { count.saturating_add(1) } else { 0 };
        is_failure
    }
}

impl Arrived {
    fn parameter(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// A number in the query; none if there is none, an error if it is none up to this.
    fn number(&self, name: &str, most: u64) -> Result<Option<u64>, Answer> {
        let number = self.parameter(name).map(|text| text.parse().ok().filter(|number| *number <= most));
        match number {
            Some(None) => Err(Answer::Wrong(StatusCode::BAD_REQUEST, "a parameter is no number, or too large")),
            Some(number) => Ok(number),
            None => Ok(None),
        }
    }
}

/// Why a connection is closed without an answer.
#[derive(Debug)]
struct Disconnected;

impl std::fmt::Display for Disconnected {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("closed without an answer")
    }
}

impl std::error::Error for Disconnected {}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn json(status: StatusCode, document: &serde_json::Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(document.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response
}
