//! A small HTTP/1.1 server in the shapes of Matrix and Mastodon, to put a proxy in front of.
//!
//! Everything is in memory and everybody is let in: any password logs in, every user is in every room. It is there to be
//! proxied, in the demo and in tests, not to be a homeserver.
//!
//! | Path | Answer |
//! |---|---|
//! | `GET /health` | `{"status":"ok"}` |
//! | any method on `/echo` and below | method, target, header fields and body as they arrived, as JSON |
//! | `GET /_matrix/client/versions` | `r0.6.1` and `v1.1` to `v1.14`, and unstable features |
//! | `GET`, `POST /_matrix/client/v3/login` | flows; an access token for any user and password |
//! | `GET /_matrix/client/v3/account/whoami` | who the token is |
//! | `POST /_matrix/client/v3/createRoom` | a room's id |
//! | `PUT /_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}` | an event's id, the same for the same transaction |
//! | `POST /_matrix/client/v3/rooms/{roomId}/report` | `{}`; new in Matrix v1.13 |
//! | `POST /_matrix/client/v3/rooms/{roomId}/ban`, `…/leave` | `{}`, and nothing happens |
//! | `PUT /_matrix/client/v3/profile/{userId}/displayname` | `{}` for the own one, and nothing happens |
//! | `POST /_matrix/client/v3/user_directory/search` | those who are logged in |
//! | `POST /_matrix/client/v3/keys/upload` | how many one-time keys of each kind there are by now |
//! | `POST /_matrix/client/v3/logout` | `{}`, and the token is none any more |
//! | `GET /_matrix/client/v3/sync` | what is new since `since`, after `timeout` ms at the latest |
//! | … and all of it below `/_matrix/client/r0` | the same |
//! | `GET /api/v1/instance` | a Mastodon instance |
//! | `GET /api/v1/timelines/home` | statuses, with a boost of one of them |

mod answer;
mod echo;
mod mastodon;
mod matrix;

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    answer::{Answer, Refused, json},
    matrix::Homeserver,
};

/// Bytes of a request's body; over it 413.
pub const BODY_LIMIT: usize = 16 << 20;

/// Connections at once; more wait until one ends.
pub const CONNECTION_LIMIT: usize = 1024;

/// Serves connections of this listener until the future is dropped, which closes them all.
pub async fn serve(listener: TcpListener) {
    let homeserver = Arc::new(Homeserver::default());
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
        let homeserver = homeserver.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| respond(homeserver.clone(), request));
            // A client that goes away is no news.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// A request whose body is complete.
pub(crate) struct Arrived {
    pub(crate) method: Method,
    /// Path and query as sent.
    pub(crate) target: String,
    /// Segments of the path, percent-decoded.
    pub(crate) segments: Vec<String>,
    pub(crate) headers: hyper::HeaderMap,
    pub(crate) body: Bytes,
}

impl Arrived {
    /// The value of a query parameter, percent-decoded.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        let (_, query) = self.target.split_once('?')?;
        let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| decoded(value))
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

async fn respond(homeserver: Arc<Homeserver>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let answer = match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => {
            let arrived = Arrived {
                target: head.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
                segments: head.uri.path().split('/').skip(1).map(decoded).collect(),
                method: head.method,
                headers: head.headers,
                body: body.to_bytes(),
            };
            route(&homeserver, &arrived).await
        }
        Err(cause) if cause.is::<LengthLimitError>() => {
            Refused(StatusCode::PAYLOAD_TOO_LARGE, "M_TOO_LARGE", "the body is too large").into()
        }
        Err(_) => Refused(StatusCode::BAD_REQUEST, "M_UNKNOWN", "the body did not arrive").into(),
    };
    Ok(answer.map(Full::new))
}

async fn route(homeserver: &Homeserver, request: &Arrived) -> Answer {
    let segments: Vec<&str> = request.segments.iter().map(String::as_str).collect();
    let is_get = matches!(request.method, Method::GET | Method::HEAD);
    match segments.as_slice() {
        ["health"] if is_get => json(&serde_json::json!({"status": "ok"})),
        ["echo", ..] => echo::echo(request),
        _ if request.method == Method::OPTIONS => answer::preflight(),
        ["_matrix", "client", rest @ ..] => homeserver.route(request, rest).await,
        ["api", "v1", rest @ ..] if is_get => mastodon::route(request, rest),
        _ => Refused(StatusCode::NOT_FOUND, "M_UNRECOGNIZED", "unknown path").into(),
    }
}
