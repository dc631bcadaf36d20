//! The way to upstreams: connections, their reuse, and one exchange upon them.
//!
//! A [`Client`] belongs to one listener: its settings hold for every origin that the listener's flows go to.

mod base;
mod choice;
mod connect;
mod deadline;
mod dial;
mod exchange;
mod http1;
mod http2;
mod identity;
mod insecure;
mod lookup;
mod marks;
mod own;
mod pool;
mod proxy;
pub mod tls;
mod upload;

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::Method;
use rustls::pki_types::CertificateDer;

use crate::{
    hooks::{FailureKind, UpstreamFailure},
    http::{Body, BodyError, Origin, RequestHead, ResponseHead},
    http1::{HeadLimits, ReadSide, WriteSide},
    socket::End,
};

pub use choice::{Condition, FIELD as UPSTREAM_FIELD, Misdirected, Named, Upstreams};
pub use connect::ConnectError;
use connect::Way;
pub use dial::{Dial, Stream};
pub use identity::{Identified, Identity};
pub use lookup::Lookups;
pub use marks::{Marks, Steps};
pub use own::OwnAddresses;
pub use proxy::{Credentials, Proxies, Proxy, ProxyError, ProxyKind, Reply as ProxyReply};
pub use tls::TlsError;

/// Which version of HTTP upstreams are spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// What TLS negotiates; HTTP/1.1 in cleartext.
    #[default]
    Auto,
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 only; in cleartext by prior knowledge.
    Http2,
}

/// How a listener's flows reach upstreams.
#[derive(Clone)]
pub struct Settings {
    /// Version of HTTP.
    pub protocol: Protocol,
    /// Trust for `https`.
    pub tls: Arc<rustls::ClientConfig>,
    /// The same with HTTP/1.1 alone on offer, for upgrades: HTTP/2 has none.
    pub tls_http1: Arc<rustls::ClientConfig>,
    /// Both with a certificate of the proxy's own, for upstreams that are to see it; none by default.
    pub identified: Option<Identified>,
    /// Name lookup, connection and TLS handshake together; default 10 s.
    pub connect_timeout: Duration,
    /// From the end of sending to the head of the response; default 120 s.
    pub response_timeout: Duration,
    /// How long an unused connection is kept; default 60 s.
    pub idle_timeout: Duration,
    /// Unused connections kept for one origin; default 256.
    pub max_idle: usize,
    /// Connections kept for all origins together; a default is the caller's.
    pub max_kept: usize,
    /// How names are looked up.
    pub lookups: Lookups,
    /// Of response heads and trailers.
    pub head_limits: HeadLimits,
    /// By way of which proxies; none: straight.
    pub proxies: Option<Arc<Proxies>>,
}

/// Sends requests to upstreams.
pub struct Client {
    settings: Settings,
    pool: Arc<pool::Pool>,
    /// Connections whose peers were not verified: never used for requests whose peers are to be.
    unverified: Arc<OnceLock<Arc<pool::Pool>>>,
}

/// What another client does in its own way.
#[derive(Debug, Clone, Copy, Default)]
pub struct Deviation {
    /// In place of [`Settings::connect_timeout`].
    pub connect_timeout: Option<Duration>,
    /// In place of [`Settings::response_timeout`].
    pub response_timeout: Option<Duration>,
    /// In place of [`Settings::head_limits`].
    pub head_limits: Option<HeadLimits>,
    /// Whether certificates are taken as they come.
    pub is_insecure: bool,
}

/// The head of a request on its way out: end-to-end fields only.
pub struct Outgoing {
    /// Method, target and fields; Host is not among them.
    pub head: RequestHead,
    /// Value of Host or `:authority`.
    pub host: String,
    /// Where to.
    pub origin: Arc<Origin>,
    /// Whether the body waits for the upstream's 100 (Continue), HTTP/1 only; at most a second.
    pub expects_continue: bool,
    /// Protocols that the client offers to switch to.
    pub upgrade: Option<Bytes>,
    /// Whether the client takes trailers (`TE: trailers`).
    pub takes_trailers: bool,
    /// Gets interim responses, 100 and 101 excepted.
    pub interim: Option<Interim>,
    /// Which addresses may be dialled; none: all.
    pub may_dial: Option<MayDial>,
    /// Who wants to know when its steps were over.
    pub marks: Option<Arc<Marks>>,
}

/// Whether an address may be dialled: asked for all that a name resolves to, and for the peer of each connection that was kept.
pub type MayDial = Arc<dyn Fn(SocketAddr) -> bool + Send + Sync>;

/// Where interim responses (103 and other 1xx) go.
pub type Interim = Arc<dyn Fn(ResponseHead) + Send + Sync>;

/// What came back.
pub enum Reply {
    /// A response and its body.
    Response(ResponseHead, Body),
    /// The upstream switched protocols.
    Upgraded(ResponseHead, Tunnel),
}

/// A stream in both directions that is no longer HTTP.
pub struct Tunnel {
    /// From the peer.
    pub reader: ReadSide,
    /// What the peer sent already.
    pub buffer: BytesMut,
    /// To the peer.
    pub writer: WriteSide,
    /// How the connection ends.
    pub(crate) end: End,
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub enum SendFailure {
    /// The request's body did not come to its end: the client's fault.
    #[error(transparent)]
    Client(BodyError),
    /// The upstream's fault.
    #[error("{}", .0.message)]
    Upstream(UpstreamFailure),
    /// [`Outgoing::may_dial`] refused every address; nothing was dialled.
    #[error("{}", .0.message)]
    Denied(UpstreamFailure),
}

impl Settings {
    fn proxy_for(&self, origin: &Origin) -> Option<&Arc<Proxy>> {
        self.proxies.as_ref()?.on_the_way_to(origin)
    }

    /// TLS for this origin; where the connection is to be upgraded, HTTP/1.1 alone.
    fn tls_for(&self, origin: &Origin, upgrades: bool) -> &Arc<rustls::ClientConfig> {
        let identified = self.identified.as_ref().and_then(|identified| identified.tls(origin, upgrades));
        identified.unwrap_or(if upgrades { &self.tls_http1 } else { &self.tls })
    }
}

impl Client {
    /// A client without connections. Must be called within a runtime: a task looks after idle connections.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let pool = pool::Pool::new(settings.max_idle, settings.max_kept, settings.idle_timeout);
        Self { settings, pool, unverified: Arc::default() }
    }

    /// A client with the same connections that does some things in another way. Connections to peers that are not verified are
    /// kept apart.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn deviating(&self, deviation: Deviation) -> Result<Self, TlsError> {
        let mut settings = self.settings.clone();
        settings.connect_timeout = deviation.connect_timeout.unwrap_or(settings.connect_timeout);
        settings.response_timeout = deviation.response_timeout.unwrap_or(settings.response_timeout);
        settings.head_limits = deviation.head_limits.unwrap_or(settings.head_limits);
        let unverified = Arc::clone(&self.unverified);
        if !deviation.is_insecure {
            return Ok(Self { settings, pool: Arc::clone(&self.pool), unverified });
        }
        settings.tls = insecure::client_config(settings.protocol)?;
        settings.tls_http1 = insecure::client_config(Protocol::Http1)?;
        settings.identified = settings.identified.as_ref().map(|identified| identified.moved(&settings.tls, &settings.tls_http1));
        let pool = unverified.get_or_init(|| pool::Pool::new(settings.max_idle, settings.max_kept, settings.idle_timeout));
        Ok(Self { pool: Arc::clone(pool), settings, unverified })
    }

    /// Sends a request and awaits the head of its response.
    ///
    /// A kept connection that turns out to be closed is replaced by a fresh one, once, if the request can be sent again:
    /// nothing of it was sent, or its method is idempotent (RFC 9110, 9.2.2) and its body is known.
    ///
    /// Cancel safe: dropping it closes the connection that was in use.
    pub async fn send(&self, request: &Outgoing, body: Body) -> Result<Reply, SendFailure> {
        let again = body.try_clone();
        let mut connection = self.connection(request, true).await?;
        let is_reused = connection.is_reused;
        let error = match self.exchange(connection.transport, request, body).await {
            Ok(reply) => return Ok(reply),
            Err(error) => error,
        };
        let may_repeat = is_reused && error.is_closed && (error.is_unsent || is_idempotent(&request.head.method));
        match again {
            Some(body) if may_repeat => {
                tracing::debug!(upstream.origin = %request.origin, "a kept connection was closed: sending again on a fresh one");
                connection = self.connection(request, false).await?;
                Box::pin(self.exchange(connection.transport, request, body)).await.map_err(|error| error.failure)
            }
            _ => Err(error.failure),
        }
    }

    /// Opens a connection that carries whatever its two ends say, within the connect timeout. The scheme of `origin` says nothing.
    ///
    /// Cancel safe.
    pub async fn tunnel(
        &self,
        origin: &Origin,
        may_dial: Option<&MayDial>,
        marks: Option<&Marks>,
    ) -> Result<Tunnel, SendFailure> {
        mark(marks, Marks::ask);
        let tunnel = connect::tunnel(origin, &self.settings, may_dial, marks).await.map_err(|error| explain(origin, &error))?;
        mark(marks, |marks| marks.ready(None));
        Ok(tunnel)
    }

    /// The certificate that an upstream shows, verified as always: over a connection of its own, which carries nothing, within the
    /// connect timeout.
    ///
    /// Cancel safe.
    pub async fn certificate(&self, origin: &Origin, may_dial: Option<&MayDial>) -> Result<CertificateDer<'static>, SendFailure> {
        connect::certificate(origin, &self.settings, may_dial).await.map_err(|error| explain(origin, &error))
    }

    async fn connection(&self, request: &Outgoing, may_reuse: bool) -> Result<pool::Taken, SendFailure> {
        let origin = &request.origin;
        let marks = request.marks.as_deref();
        mark(marks, Marks::ask);
        let way = Way::of(request, &self.settings);
        let mut may_dial = request.may_dial.as_ref();
        if !matches!(way, Way::Direct) {
            // Its peer is the proxy.
            proxy::may_reach(origin, may_dial.take()).map_err(|error| explain(origin, &error))?;
        }
        let needs_tunnel = way.asked_for_urls().is_none();
        let wanted = pool::Wanted { upgrades: request.upgrade.is_some(), needs_tunnel, may_dial };
        if may_reuse && let Some((transport, peer)) = self.pool.take(origin, &wanted) {
            mark(marks, |marks| marks.ready(Some(peer)));
            return Ok(pool::Taken { transport, is_reused: true });
        }
        // Boxed: most exchanges need no room for it.
        let connected = Box::pin(connect::connect(request, &self.settings, way, &self.pool)).await;
        let transport = connected.map_err(|error| explain(origin, &error))?;
        mark(marks, |marks| marks.ready(None));
        Ok(pool::Taken { transport, is_reused: false })
    }

    async fn exchange(&self, transport: pool::Transport, request: &Outgoing, body: Body) -> Result<Reply, exchange::Failed> {
        match transport {
            pool::Transport::Http1(connection) => connection.exchange(request, body, &self.settings, &self.pool).await,
            pool::Transport::Http2(sender) => Box::pin(http2::exchange(sender, request, body, &self.settings)).await,
        }
    }
}

/// Notes a step, if somebody wants to know.
fn mark(marks: Option<&Marks>, step: impl FnOnce(&Marks)) {
    if let Some(marks) = marks {
        step(marks);
    }
}

fn is_idempotent(method: &Method) -> bool {
    method.is_safe() || *method == Method::PUT || *method == Method::DELETE
}

fn explain(origin: &Origin, error: &ConnectError) -> SendFailure {
    match (error, failure(origin, error.kind(), error)) {
        (ConnectError::Denied, SendFailure::Upstream(failure)) => SendFailure::Denied(failure),
        // Where the proxy is is no business of clients.
        (ConnectError::Proxy(proxy, _), SendFailure::Upstream(failure)) => {
            tracing::debug!(proxy.url = %proxy, upstream.origin = %origin, error = failure.reason, "no way through a proxy");
            SendFailure::Upstream(UpstreamFailure { message: format!("{} ({proxy})", failure.message), ..failure })
        }
        (_, failure) => failure,
    }
}

fn failure(origin: &Origin, kind: FailureKind, why: impl std::fmt::Display) -> SendFailure {
    let reason = why.to_string();
    SendFailure::Upstream(UpstreamFailure { kind, message: format!("{origin}: {reason}"), reason })
}
