//! A small server that speaks as Mastodon does, to put a proxy in front of.
//!
//! Everything is in memory, and the people and what they say are invented. Everybody follows everybody. What was said before the
//! server started has the ids 101 to 132, boosts among it.
//!
//! Who logs in with an app is asked who they are. For those without one `ida-token`, `aron-token` and `mio-token` are always good.
//!
//! | Path | Answer |
//! |---|---|
//! | `GET /health` | `OK` |
//! | `GET /api/v1/instance`, `GET /api/v2/instance` | the instance, with the URL for streams |
//! | `POST /api/v1/apps`, `GET /oauth/authorize`, `POST /oauth/token`, `POST /oauth/revoke` | OAuth 2 with codes, or for an app alone |
//! | `GET /api/v1/accounts/verify_credentials`, `…/{id}`, `…/{id}/statuses` | somebody, and what they said |
//! | `GET /api/v1/timelines/home`, `public`, `tag/{tag}`, `list/1` | pages of 20 entries or of `limit`, by `max_id`, `since_id` and `min_id`, with `Link` |
//! | `GET`, `PUT`, `DELETE /api/v1/statuses/{id}`, `POST /api/v1/statuses` | posts |
//! | `POST /api/v1/statuses/{id}/reblog`, `…/unreblog` | boosts |
//! | `GET /api/v1/notifications` | boosts of what one said |
//! | `GET /api/v1/streaming` | WebSocket: a stream by the query, more by messages |
//! | `GET /api/v1/streaming/user`, `user/notification`, `public`, `public/local`, `public/remote`, `hashtag`, `list` | server-sent events |
//! | `GET /api/v1/streaming/health` | `OK` |
//!
//! Streams bring `update`, `status.update`, `delete` and `notification`, and a heartbeat: a ping, or the comment `:thump`.

mod answer;
mod events;
mod instance;
mod logins;
mod people;
mod request;
mod routes;
mod seed;
mod socket;
mod status;
mod streams;
mod timeline;
mod world;

use std::{convert::Infallible, sync::Arc, time::Duration};

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::{net::TcpListener, task::JoinSet};

use crate::{answer::Answer, request::Arrived, socket::Socket, world::World};

/// Connections at once; more wait until one ends.
pub const CONNECTION_LIMIT: usize = 1024;

/// Silence of a stream before it beats.
pub const HEARTBEAT: Duration = Duration::from_secs(15);

/// The id of everybody's one list.
pub(crate) const LIST: &str = "1";

/// Serves connections of this listener until the future is dropped, which closes them all.
pub async fn serve(listener: TcpListener, heartbeat: Duration) {
    let host = listener.local_addr().map_or_else(|_| "localhost".to_owned(), |address| address.to_string());
    let world = Arc::new(World::new(format!("http://{host}")));
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
        let world = Arc::clone(&world);
        connections.spawn(async move {
            let begun = Arc::new(Mutex::new(None));
            let next = Arc::clone(&begun);
            let service = service_fn(move |request| respond(Arc::clone(&world), heartbeat, Arc::clone(&next), request));
            // A client that goes away is no news.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
            let socket = begun.lock().take();
            if let Some(socket) = socket {
                socket.run().await;
            }
        });
    }
}

async fn respond(
    world: Arc<World>,
    heartbeat: Duration,
    next: Arc<Mutex<Option<Socket>>>,
    request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    let answered = match Arrived::read(request).await {
        Ok(request) => routes::route(&world, heartbeat, request),
        Err(refused) => Err(refused),
    };
    Ok(match answered {
        Ok((answer, socket)) => {
            *next.lock() = socket;
            answer
        }
        Err(refused) => refused.into(),
    })
}
