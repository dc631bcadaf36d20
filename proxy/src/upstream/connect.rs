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
    Marks, MayDial, Outgoing, Protocol, Settings, Tunnel,
    http1::Connection,
    http2, mark,
    pool::{Pool, Transport},
};
use crate::{
    hooks::FailureKind,
    http::{Origin, Scheme},
    http1::{Reader, Writer},
    socket::{self, End, Socket},
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
    /// Took longer than allowed.
    #[error("no connection in time")]
    Timeout,
}

impl ConnectError {
    /// For addons and statuses.
    #[must_use]
    pub const fn kind(&self) -> FailureKind {
        match self {
            Self::Dns(_) => FailureKind::Dns,
            Self::Denied | Self::Connect(_) => FailureKind::Connect,
            Self::Tls(_) => FailureKind::Tls,
            Self::Http2(_) => FailureKind::Protocol,
            Self::Timeout => FailureKind::Timeout,
        }
    }
}

/// Connects within the connect timeout; where the request is to upgrade the connection, TLS offers HTTP/1.1 alone. A fresh HTTP/2 connection is shared through the pool at once.
pub(super) async fn connect(
    request: &Outgoing,
    settings: &Settings,
    upgrades: bool,
    pool: &Arc<Pool>,
) -> Result<Transport, ConnectError> {
    let origin = &request.origin;
    let deadline = Instant::now() + settings.connect_timeout;
    let tls = settings.tls_for(origin, upgrades);
    let dial = dial(request, settings, tls);
    let (stream, peer) = timeout_at(deadline, dial).await.map_err(|_| ConnectError::Timeout)??;
    match stream {
        Stream::Tcp(stream) if settings.protocol == Protocol::Http2 => {
            let started = http2::start(stream, settings);
            let sender = timeout_at(deadline, started).await.map_err(|_| ConnectError::Timeout)?.map_err(ConnectError::Http2)?;
            pool.share(origin, peer, sender.clone());
            Ok(Transport::Http2(sender))
        }
        Stream::Tcp(stream) => {
            let end = End::default();
            let (reader, writer) = socket::split(stream, end.clone());
            Ok(Transport::Http1(Box::new(Connection::new(
                Arc::clone(origin),
                peer,
                Reader::new(Box::new(reader), BytesMut::new()),
                Writer::new(Box::new(writer)),
                end,
            ))))
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
            Ok(Transport::Http1(Box::new(Connection::new(
                Arc::clone(origin),
                peer,
                Reader::new(Box::new(reader), BytesMut::new()),
                Writer::new(Box::new(writer)),
                end,
            ))))
        }
    }
}

enum Stream {
    Tcp(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<Socket<TcpStream>>>),
}

/// A connection without anything on top, within the connect timeout.
pub(super) async fn tunnel(
    origin: &Origin,
    settings: &Settings,
    may_dial: Option<&MayDial>,
    marks: Option<&Marks>,
) -> Result<Tunnel, ConnectError> {
    let connected = timeout(settings.connect_timeout, connect_tcp(origin, settings, may_dial, marks));
    let (stream, _) = connected.await.map_err(|_| ConnectError::Timeout)??;
    let end = End::default();
    let (reader, writer) = socket::split(stream, end.clone());
    Ok(Tunnel { reader: Box::new(reader), buffer: BytesMut::new(), writer: Box::new(writer), end })
}

async fn dial(
    request: &Outgoing,
    settings: &Settings,
    tls: &Arc<rustls::ClientConfig>,
) -> Result<(Stream, SocketAddr), ConnectError> {
    let (origin, marks) = (&request.origin, request.marks.as_deref());
    let (stream, peer) = connect_tcp(origin, settings, request.may_dial.as_ref(), marks).await?;
    match origin.scheme {
        Scheme::Http => Ok((Stream::Tcp(stream), peer)),
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
        let (stream, _) = connect_tcp(origin, settings, may_dial, None).await?;
        let stream = secure(stream, origin, settings.tls_for(origin, false)).await?;
        let first =
            stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).map(|first| first.clone().into_owned());
        first.ok_or_else(|| ConnectError::Tls(io::Error::other("no certificate")))
    };
    timeout(settings.connect_timeout, asked).await.map_err(|_| ConnectError::Timeout)?
}

async fn secure(
    stream: TcpStream,
    origin: &Origin,
    tls: &Arc<rustls::ClientConfig>,
) -> Result<tokio_rustls::client::TlsStream<Socket<TcpStream>>, ConnectError> {
    let host = origin.authority.bare_host().to_owned();
    let name = ServerName::try_from(host).map_err(|error| ConnectError::Tls(io::Error::other(error)))?;
    let connector = TlsConnector::from(Arc::clone(tls));
    connector.connect(name, Socket::new(stream, End::default())).await.map_err(ConnectError::Tls)
}

async fn connect_tcp(
    origin: &Origin,
    settings: &Settings,
    may_dial: Option<&MayDial>,
    marks: Option<&Marks>,
) -> Result<(TcpStream, SocketAddr), ConnectError> {
    let host = origin.authority.bare_host();
    let mut addresses = settings.lookups.find(host, origin.port()).await.map_err(ConnectError::Dns)?;
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
