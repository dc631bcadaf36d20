//! The admin listener: health, metrics, addons and their options, flows that have ended, as JSON.
//!
//! It is not for the clients of the proxy. Without a token it answers only on loopback, only to requests whose Host is an
//! address or `localhost` (a name could have been bound to this address by a stranger: DNS rebinding), and never to a page of
//! another origin. Through forward listeners the same pages are at a name of their own: [`Controller`].

mod addon_metrics;
mod controller;
mod dependencies;
mod flows;
mod guard;
mod health;
mod levels;
mod lock;
mod options;
mod redact;
mod routes;

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    addons::Registry,
    flow::Recent,
    http::{BearerToken, Body, body::Peer},
    http2,
    kv::Store,
    logging,
    metrics::Metrics,
    options::Registry as Options,
};

pub use addon_metrics::AddonMetrics;
pub use controller::Controller;
pub use dependencies::Dependencies;
pub use health::{Accepting, Health};

/// Connections at once.
const CONNECTIONS: usize = 64;
/// How long one connection may last.
const LIFETIME: Duration = Duration::from_mins(5);

/// What the admin listener tells about.
pub struct State {
    /// The addons.
    pub registry: Arc<Registry>,
    /// All options, and who has locked them.
    pub options: Arc<Options>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The process.
    pub health: Arc<Health>,
    /// Flows that have ended, if they are remembered.
    pub recent: Option<Arc<Recent>>,
    /// What addons keep between flows.
    pub store: Arc<dyn Store>,
    /// Levels of log lines.
    pub log: Arc<logging::Handle>,
}

/// The bound admin listener.
pub struct Server {
    socket: TcpListener,
    guard: Arc<guard::Guard>,
    state: Arc<State>,
}

impl Server {
    /// Binds there; without this token, if there is one, nothing but health is told.
    pub fn bind(address: SocketAddr, token: Option<BearerToken>, state: Arc<State>) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let guard = Arc::new(guard::Guard::new(token));
        Ok(Self { socket: socket.listen(64)?, guard, state })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until `ended`.
    pub async fn run(self, ended: CancellationToken) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                () = ended.cancelled() => return,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "an admin connection cannot be accepted");
                    sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let (guard, state) = (Arc::clone(&self.guard), Arc::clone(&self.state));
            tokio::spawn(async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    let (guard, state) = (Arc::clone(&guard), Arc::clone(&state));
                    let request = request.map(|incoming| http2::body(incoming, Peer::Client));
                    async move { Ok::<_, Infallible>(answer(&guard, &state, Entrance::Listener, request).await) }
                });
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(Duration::from_secs(30))
                    .serve_connection(TokioIo::new(stream), service);
                if let Ok(Err(error)) = timeout(LIFETIME, connection).await {
                    tracing::debug!(%error, "an admin connection ended");
                }
                drop(permit);
            });
        }
    }
}

/// By which way a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entrance {
    /// The admin listener.
    Listener,
    /// The controller's name, through a forward listener.
    Controller,
}

/// Answers a request that came by whatever way.
async fn answer(guard: &guard::Guard, state: &State, entrance: Entrance, request: Request<Body>) -> Response<Full<bytes::Bytes>> {
    let is_health = health::is_about(request.uri().path());
    match guard.check(request.headers(), is_health) {
        Ok(()) => routes::answer(state, entrance, request).await,
        Err(refusal) => routes::refuse(refusal.status(), &refusal.to_string()),
    }
}
