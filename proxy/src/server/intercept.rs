//! What comes after CONNECT on a listener that intercepts: the first bytes tell TLS from cleartext, TLS ends here with a certificate
//! minted for the host, and requests inside become flows to where CONNECT said.

mod inside;

use std::{future::Future, io, pin::Pin, sync::Arc};

use bytes::BytesMut;
use rustls::server::Acceptor;
use tokio::{
    io::AsyncReadExt as _,
    time::{Instant, timeout_at},
};
use tokio_rustls::{LazyConfigAcceptor, StartHandshake, server::TlsStream};

use super::{Peer, Shared, accept::speak, http2, sniff::Replay};
use crate::{
    flow::{Ending, Route},
    http::Scheme,
    http1::ReadSide,
    metrics::{Interception, ListenerMetrics},
    mint::{Leaf, MirrorError, Subject},
    socket::End,
    upstream::Tunnel,
};

pub(super) use inside::{Connected, Inside};

/// The first byte of a TLS connection: a record of the handshake (RFC 8446, 5.1).
const HANDSHAKE: u8 = 0x16;

/// Serves what comes on a connection after the response to CONNECT, to its end, which is that of the flow. TLS must stand within the
/// time that a head may take.
///
/// A box, since connections inside of connections would have no size.
pub(super) fn run(
    shared: Arc<Shared>,
    peer: Peer,
    client: Tunnel,
    connected: Connected,
    mut ending: Ending,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        let deadline = Instant::now() + shared.patience().timeouts.header_read;
        let metrics = Arc::clone(&shared.sites.now().metrics);
        let handshake = Handshake { shared: &shared, peer: &peer, connected: &connected, metrics: &metrics, deadline };
        let begun = tokio::select! {
            begun = handshake.begin(client) => begun,
            () = shared.draining.cancelled() => return ending.record().fail("the proxy stops"),
        };
        let facts = Arc::clone(&ending.record().facts);
        match begun {
            None => return ending.record().fail("nothing came that could be looked into"),
            Some(Begun::Cleartext(client)) => {
                let inside = Inside::new(&connected, &facts, Scheme::Http, None);
                drop(connected);
                serve(shared, peer.inside(inside, false), client).await;
            }
            Some(Begun::Tls(stream, name, end)) => {
                let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let peer = peer.inside(Inside::new(&connected, &facts, Scheme::Https, name), true);
                drop(connected);
                if is_http2 {
                    http2::serve(shared, peer, *stream).await;
                } else {
                    let (reader, writer) = tokio::io::split(*stream);
                    let client = Tunnel { reader: Box::new(reader), buffer: BytesMut::new(), writer: Box::new(writer), end };
                    serve(shared, peer, client).await;
                }
            }
        }
        // How it ended is told by the flows inside.
        ending.complete();
    })
}

/// Speaks HTTP with what is inside, and whatever it is switched to.
async fn serve(shared: Arc<Shared>, peer: Peer, client: Tunnel) {
    // An end is an end here, whatever brought it.
    if let Ok(Some(switched)) = Box::pin(speak(Arc::clone(&shared), peer, client)).await {
        switched.run(&shared.draining).await;
    }
}

/// What a client has begun.
enum Begun {
    /// HTTP as it is.
    Cleartext(Tunnel),
    /// TLS, with the name that the client asked for, if it did.
    Tls(Box<TlsStream<Replay>>, Option<Box<str>>, End),
}

/// The beginning of what comes after CONNECT.
struct Handshake<'a> {
    shared: &'a Shared,
    peer: &'a Peer,
    connected: &'a Connected,
    metrics: &'a ListenerMetrics,
    deadline: Instant,
}

impl Handshake<'_> {
    /// None: it ended before it began, and that was counted.
    async fn begin(&self, mut client: Tunnel) -> Option<Begun> {
        match timeout_at(self.deadline, first(&mut client.reader, &mut client.buffer)).await {
            Ok(Ok(Some(HANDSHAKE))) => {}
            Ok(Ok(Some(byte))) if byte.is_ascii_alphabetic() => {
                self.metrics.intercepted(Interception::Cleartext);
                return Some(Begun::Cleartext(client));
            }
            Ok(Ok(Some(_))) => return self.failed(Interception::Unknown, "what came is neither TLS nor HTTP"),
            Ok(Ok(None) | Err(_)) => return self.failed(Interception::Aborted, "the client closed before it said anything"),
            Err(_) => return self.failed(Interception::Late, "the client said nothing in time"),
        }
        let Tunnel { reader, buffer, writer, end } = client;
        let hello = LazyConfigAcceptor::new(Acceptor::default(), Replay::new(buffer, reader, writer));
        let start = match timeout_at(self.deadline, hello).await {
            Ok(Ok(start)) => start,
            Ok(Err(error)) => return self.failed(Interception::Aborted, &format!("no TLS handshake: {error}")),
            Err(_) => return self.failed(Interception::Late, "the TLS handshake took too long"),
        };
        let name = start.client_hello().server_name().map(Box::<str>::from);
        let subject = match timeout_at(self.deadline, self.subject(name.as_deref())).await {
            Ok(Ok(subject)) => subject,
            Ok(Err(error)) => {
                self.metrics.intercepted(Interception::Unminted);
                tracing::warn!(connect.target = %self.connected, %error, "the upstream's names cannot be had, and tls.mirror requires them");
                return None;
            }
            Err(_) => return self.failed(Interception::Late, "the upstream took too long to show its names"),
        };
        match timeout_at(self.deadline, self.connected.intercept().mint.leaf(&subject)).await {
            Ok(Ok(leaf)) => self.finish(start, &leaf, name, end).await,
            Ok(Err(error)) => {
                self.metrics.intercepted(Interception::Unminted);
                tracing::error!(connect.target = %self.connected, %error, "no certificate for a client: its connection is closed");
                None
            }
            Err(_) => self.failed(Interception::Late, "the TLS handshake took too long"),
        }
    }

    /// Who the certificate is for, with the names of the upstream where these are wanted.
    async fn subject(&self, name: Option<&str>) -> Result<Subject, MirrorError> {
        let subject = self.connected.subject_for(name);
        let is_own = name.is_none_or(|name| self.connected.is_host(name));
        let Some(mirror) = self.connected.intercept().mirror.as_ref().filter(|_| is_own) else { return Ok(subject) };
        let origin = self.connected.origin(Scheme::Https);
        let site = self.shared.sites.now();
        let ask = async {
            let Route::Forward(forward) = &site.route else { return Err("this is no forward listener any more".to_owned()) };
            let destination = forward.destination(origin.clone(), self.connected.target().clone(), self.peer.address.ip());
            let guard = destination.map_err(|refused| refused.to_string())?.guard();
            let asked = site.client.certificate(&origin, guard.map(|guard| guard.0).as_ref()).await;
            asked.map_err(|failure| failure.to_string())
        };
        match mirror.names(&origin.to_string(), &subject, ask).await {
            Ok(mirrored) => Ok(mirrored),
            Err(error) if mirror.is_required() => Err(error),
            Err(error) => {
                tracing::debug!(connect.target = %self.connected, %error, "the upstream's names cannot be had");
                Ok(subject)
            }
        }
    }

    async fn finish(&self, start: StartHandshake<Replay>, leaf: &Leaf, name: Option<Box<str>>, end: End) -> Option<Begun> {
        match timeout_at(self.deadline, start.into_stream(leaf.config())).await {
            Ok(Ok(stream)) => {
                self.metrics.intercepted(Interception::Tls);
                Some(Begun::Tls(Box::new(stream), name, end))
            }
            Ok(Err(error)) => {
                self.metrics.intercepted(Interception::Refused);
                self.refused(leaf, &error);
                None
            }
            Err(_) => self.failed(Interception::Late, "the TLS handshake took too long"),
        }
    }

    /// Clients try again and again: the log says it aloud once for each certificate.
    fn refused(&self, leaf: &Leaf, error: &io::Error) {
        const WHY: &str = "a client broke off the TLS handshake: it does not trust the authority of this listener, or takes one \
                           certificate of that host alone; then name the host in tls.tunnel";
        if leaf.refused() {
            tracing::warn!(connect.target = %self.connected, %error, "{WHY}");
        } else {
            tracing::debug!(connect.target = %self.connected, %error, "{WHY}");
        }
    }

    fn failed(&self, how: Interception, why: &str) -> Option<Begun> {
        self.metrics.intercepted(how);
        tracing::debug!(connect.target = %self.connected, why, "nothing to intercept; what is neither TLS nor HTTP needs tls.tunnel");
        None
    }
}

impl Connected {
    /// Who the certificate is for: what the client asks for in TLS, else the host of CONNECT. Where these differ, requests are
    /// refused inside, where the client can read why.
    fn subject_for(&self, name: Option<&str>) -> Subject {
        match name {
            Some(name) if !self.is_host(name) => Subject::named(name),
            _ => Subject::of(self.target()),
        }
    }
}

/// The first byte that comes, left where it is. None: the end came instead.
async fn first(reader: &mut ReadSide, buffer: &mut BytesMut) -> io::Result<Option<u8>> {
    if buffer.is_empty() {
        reader.read_buf(buffer).await?;
    }
    Ok(buffer.first().copied())
}

impl Peer {
    /// The same client, within a connection of its own.
    fn inside(self, inside: Inside, is_tls: bool) -> Self {
        Self { is_tls, inside: Some(Arc::new(inside)), ..self }
    }
}
