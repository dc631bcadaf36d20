//! Fresh connections: name, address, TCP, TLS, and which HTTP is spoken on top.

use std::{io, net::SocketAddr, sync::Arc};

use bytes::BytesMut;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::TlsConnector;

use super::{
    Lookups, Marks, MayDial, Outgoing, Protocol, Settings, Tunnel,
    base::Base,
    http1::{Connection, Line},
    http2, mark,
    pool::{Pool, Transport},
    proxy::{Proxy, ProxyError, may_reach},
};
use crate::{
    hooks::FailureKind,
    http::{Origin, Scheme},
    http1::{Reader, Writer},
};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name has no address.
    #[error("the name cannot be resolved: {0}")]
    Dns(io::Error),
    /// None of its addresses may be dialled.
    #[error("no address of the host may be dialled")]
    Denied,
    /// No address answered; the last one's error.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// No trust, or nothing in common.
    #[error("TLS failed: {0}")]
    Tls(io::Error),
    /// The peer did not speak HTTP/2 as agreed.
    #[error("HTTP/2 failed: {0}")]
    Http2(hyper::Error),
    /// The proxy on the way, shown without credentials, made none.
    #[error("the proxy on the way: {1}")]
    Proxy(Box<str>, ProxyError),
    /// Took longer than allowed.
    #[error("no connection in time")]
    Timeout,
}

impl ConnectError {
    /// For addons and statuses.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Dns(_) => FailureKind::Dns,
            Self::Denied | Self::Connect(_) => FailureKind::Connect,
            Self::Tls(_) => FailureKind::Tls,
            Self::Http2(_) => FailureKind::Protocol,
            Self::Proxy(_, error) => error.kind(),
            Self::Timeout => FailureKind::Timeout,
        }
    }
}

/// Connects within the connect timeout, by way of the proxy if there is one; where the request is to upgrade the connection, TLS
/// offers HTTP/1.1 alone. A fresh HTTP/2 connection is shared through the pool at once.
pub(super) async fn connect(
    request: &Outgoing,
    settings: &Settings,
    way: Way<'_>,
    pool: &Arc<Pool>,
) -> Result<Transport, ConnectError> {
    let origin = &request.origin;
    let deadline = Instant::now() + settings.connect_timeout;
    let tls = settings.tls_for(origin, request.upgrade.is_some());
    let dial = dial(request, settings, way, tls);
    let (stream, peer) = timeout_at(deadline, dial).await.map_err(|_| ConnectError::Timeout)??;
    let line = |end| Line { origin: Arc::clone(origin), peer, end, proxy: way.asked_for_urls().map(Arc::clone) };
    match stream {
        Stream::Plain(stream) if settings.protocol == Protocol::Http2 => {
            let started = http2::start(stream, settings);
            let sender = timeout_at(deadline, started).await.map_err(|_| ConnectError::Timeout)?.map_err(ConnectError::Http2)?;
            pool.share(origin, peer, sender.clone());
            Ok(Transport::Http2(sender))
        }
        Stream::Plain(stream) => {
            let (reader, writer, end) = stream.halves().map_err(ConnectError::Connect)?;
            let (reader, writer) = (Reader::new(reader, BytesMut::new()), Writer::new(writer));
            Ok(Transport::Http1(Box::new(Connection::new(line(end), reader, writer))))
        }
        Stream::Tls(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
            let started = http2::start(*stream, settings);
            let sender = timeout_at(deadline, started).await.map_err(|_| ConnectError::Timeout)?.map_err(ConnectError::Http2)?;
            pool.share(origin, peer, sender.clone());
            Ok(Transport::Http2(sender))
        }
        Stream::Tls(_) if settings.protocol == Protocol::Http2 => {
            Err(ConnectError::Tls(io::Error::other("the upstream does not speak HTTP/2")))
        }
        Stream::Tls(stream) => {
            let end = stream.get_ref().0.end().clone();
            let (reader, writer) = tokio::io::split(*stream);
            let (reader, writer) = (Reader::new(Box::new(reader), BytesMut::new()), Writer::new(Box::new(writer)));
            Ok(Transport::Http1(Box::new(Connection::new(line(end), reader, writer))))
        }
    }
}

/// How to get to an upstream.
#[derive(Clone, Copy)]
pub(super) enum Way<'a> {
    /// Straight there.
    Direct,
    /// Through a tunnel of the proxy.
    Tunnel(&'a Arc<Proxy>),
    /// The proxy is asked for URLs.
    Urls(&'a Arc<Proxy>),
}

impl<'a> Way<'a> {
    /// The way of a request. A proxy is asked for URLs where nothing but the request itself is to reach the upstream: no TLS, no
    /// other protocol, no other name than its own.
    pub(super) fn of(request: &'a Outgoing, settings: &'a Settings) -> Self {
        let origin = &request.origin;
        let Some(proxy) = settings.proxy_for(origin) else { return Self::Direct };
        let is_plain = origin.scheme == Scheme::Http
            && settings.protocol != Protocol::Http2
            && request.upgrade.is_none()
            && request.host == origin.authority.as_str();
        if is_plain && proxy.takes_urls() { Self::Urls(proxy) } else { Self::Tunnel(proxy) }
    }

    /// The proxy that is asked for URLs.
    pub(super) const fn asked_for_urls(self) -> Option<&'a Arc<Proxy>> {
        match self {
            Self::Urls(proxy) => Some(proxy),
            Self::Direct | Self::Tunnel(_) => None,
        }
    }
}

enum Stream {
    Plain(Base),
    Tls(Box<tokio_rustls::client::TlsStream<Base>>),
}

/// A connection without anything on top, within the connect timeout.
pub(super) async fn tunnel(
    origin: &Origin,
    settings: &Settings,
    may_dial: Option<&MayDial>,
    marks: Option<&Marks>,
) -> Result<Tunnel, ConnectError> {
    let connected = bare(origin, settings, may_dial, marks);
    let stream = timeout(settings.connect_timeout, connected).await.map_err(|_| ConnectError::Timeout)??;
    let (reader, writer, end) = stream.halves().map_err(ConnectError::Connect)?;
    Ok(Tunnel { reader, buffer: BytesMut::new(), writer, end })
}

async fn dial(
    request: &Outgoing,
    settings: &Settings,
    way: Way<'_>,
    tls: &Arc<rustls::ClientConfig>,
) -> Result<(Stream, SocketAddr), ConnectError> {
    let (origin, marks) = (&request.origin, request.marks.as_deref());
    let (stream, peer) = match way {
        Way::Direct => direct(origin, settings, request.may_dial.as_ref(), marks).await?,
        Way::Tunnel(proxy) => proxy.connect(Some(origin), settings, marks).await?,
        Way::Urls(proxy) => proxy.connect(None, settings, marks).await?,
    };
    match origin.scheme {
        Scheme::Http => Ok((Stream::Plain(stream), peer)),
        Scheme::Https => {
            let stream = secure(stream, origin, tls).await?;
            mark(marks, Marks::secure);
            Ok((Stream::Tls(Box::new(stream)), peer))
        }
    }
}

/// The certificate of the peer, within the connect timeout.
pub(super) async fn certificate(
    origin: &Origin,
    settings: &Settings,
    may_dial: Option<&MayDial>,
) -> Result<CertificateDer<'static>, ConnectError> {
    let asked = async {
        let stream = bare(origin, settings, may_dial, None).await?;
        let stream = secure(stream, origin, settings.tls_for(origin, false)).await?;
        let first =
            stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).map(|first| first.clone().into_owned());
        first.ok_or_else(|| ConnectError::Tls(io::Error::other("no certificate")))
    };
    timeout(settings.connect_timeout, asked).await.map_err(|_| ConnectError::Timeout)?
}

/// A connection without anything on top, by way of the proxy if there is one.
async fn bare(
    origin: &Origin,
    settings: &Settings,
    may_dial: Option<&MayDial>,
    marks: Option<&Marks>,
) -> Result<Base, ConnectError> {
    let (stream, _) = match settings.proxy_for(origin) {
        Some(proxy) => {
            may_reach(origin, may_dial)?;
            proxy.connect(Some(origin), settings, marks).await?
        }
        None => direct(origin, settings, may_dial, marks).await?,
    };
    Ok(stream)
}

async fn secure(
    stream: Base,
    origin: &Origin,
    tls: &Arc<rustls::ClientConfig>,
) -> Result<tokio_rustls::client::TlsStream<Base>, ConnectError> {
    let host = origin.authority.bare_host().to_owned();
    let name = ServerName::try_from(host).map_err(|error| ConnectError::Tls(io::Error::other(error)))?;
    let connector = TlsConnector::from(Arc::clone(tls));
    connector.connect(name, stream).await.map_err(ConnectError::Tls)
}

async fn direct(
    origin: &Origin,
    settings: &Settings,
    may_dial: Option<&MayDial>,
    marks: Option<&Marks>,
) -> Result<(Base, SocketAddr), ConnectError> {
    let host = origin.authority.bare_host();
    let (stream, peer) = connect_tcp(host, origin.port(), &settings.lookups, may_dial, marks).await?;
    Ok((Base::new(stream), peer))
}

/// A connection to one of the addresses of a host.
pub(super) async fn connect_tcp(
    host: &str,
    port: u16,
    lookups: &Lookups,
    may_dial: Option<&MayDial>,
    marks: Option<&Marks>,
) -> Result<(TcpStream, SocketAddr), ConnectError> {
    let mut addresses = lookups.find(host, port).await.map_err(ConnectError::Dns)?;
    mark(marks, Marks::look_up);
    if let Some(may_dial) = may_dial {
        addresses.retain(|&address| may_dial(address));
        if addresses.is_empty() {
            return Err(ConnectError::Denied);
        }
    }
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no address");
    let mut connected = None;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                connected = Some((stream, address));
                break;
            }
            Err(error) => last = error,
        }
    }
    let (stream, peer) = connected.ok_or(ConnectError::Connect(last))?;
    mark(marks, |marks| marks.connect(peer));
    stream.set_nodelay(true).map_err(ConnectError::Connect)?;
    Ok((stream, peer))
}
