//! Accepting connections.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::BytesMut;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{Peer, Shared, http1, http2, sniff, switched::Switched};
use crate::{
    socket::{self, End, Socket},
    upstream::Tunnel,
};

/// How long accepting rests after an error such as a lack of descriptors.
const REST: Duration = Duration::from_millis(50);
/// Connections that the system holds for us until we accept them.
const BACKLOG: u32 = 1024;

/// A bound listener.
pub struct Listener {
    socket: TcpListener,
    shared: Arc<Shared>,
    permits: Arc<Semaphore>,
    open: Arc<AtomicUsize>,
}

/// Counts a connection for as long as it is open.
struct Open(Arc<AtomicUsize>);

impl Listener {
    /// Binds to `address`; port 0 lets the system choose. At most as many connections as the site's limits say are open at
    /// once: the next ones wait, unaccepted. Options that allow fewer do not bind listeners with a controller: clients of theirs
    /// could keep everybody from taking the options back.
    pub fn bind(address: SocketAddr, shared: Arc<Shared>) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let permits = Arc::new(Semaphore::new(shared.sites.configured().limits.connections));
        Ok(Self { socket: socket.listen(BACKLOG)?, shared, permits, open: Arc::default() })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Accepts until the drain begins.
    pub async fn run(self) {
        let _accepting = self.shared.accepting.begin();
        let draining = self.shared.draining.clone();
        tokio::select! {
            () = draining.cancelled() => {}
            () = self.accept_all() => {}
        }
    }

    async fn accept_all(&self) {
        loop {
            let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else { return };
            match self.socket.accept().await {
                Ok((stream, address)) => {
                    self.room().await;
                    self.start(stream, address, permit);
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    sleep(REST).await;
                }
            }
        }
    }

    /// Waits until as few connections are open as options say that there may be. They may change meanwhile, and say so to nobody.
    async fn room(&self) {
        while self.is_full() {
            sleep(REST).await;
        }
    }

    fn is_full(&self) -> bool {
        if self.shared.controller.is_some() {
            return false;
        }
        let site = self.shared.sites.now();
        site.options.is_some() && self.open.load(Relaxed) >= site.limits.connections
    }

    fn start(&self, stream: TcpStream, address: SocketAddr, permit: OwnedSemaphorePermit) {
        let shared = Arc::clone(&self.shared);
        let open = Open::count(&self.open);
        self.shared.tracker.spawn(async move {
            let metrics = Arc::clone(&shared.sites.now().metrics);
            metrics.accepted.inc();
            metrics.connections.inc();
            let closing = shared.closing.clone();
            tokio::select! {
                ended = serve(shared, stream, address) => {
                    if let Err(error) = ended {
                        tracing::debug!(client.address = %address, %error, "a connection ended");
                    }
                }
                () = closing.cancelled() => {}
            }
            metrics.connections.dec();
            drop(open);
            drop(permit);
        });
    }
}

impl Open {
    fn count(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Relaxed);
        Self(Arc::clone(open))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

async fn serve(shared: Arc<Shared>, stream: TcpStream, address: SocketAddr) -> io::Result<()> {
    // Boxed: one that was switched, which may be idle for long, should not hold the room that HTTP takes.
    if let Some(switched) = Box::pin(greet(Arc::clone(&shared), stream, address)).await? {
        switched.run(&shared.draining).await;
    }
    Ok(())
}

/// Speaks HTTP, until the end or until the connection is switched.
async fn greet(shared: Arc<Shared>, stream: TcpStream, address: SocketAddr) -> io::Result<Option<Switched>> {
    stream.set_nodelay(true)?;
    let patience = shared.patience().timeouts.header_read;
    let Some(tls) = &shared.tls else {
        let end = End::default();
        let (reader, writer) = socket::split(stream, end.clone());
        let peer = Peer { address, is_tls: false, inside: None };
        let client = Tunnel { reader: Box::new(reader), buffer: BytesMut::new(), writer: Box::new(writer), end };
        return speak(shared, peer, client).await;
    };
    let acceptor = TlsAcceptor::from(tls.load_full());
    let end = End::default();
    let stream = timeout(patience, acceptor.accept(Socket::new(stream, end.clone()))).await??;
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let peer = Peer { address, is_tls: true, inside: None };
    if is_http2 {
        Box::pin(http2::serve(shared, peer, stream)).await;
        return Ok(None);
    }
    let (reader, writer) = tokio::io::split(stream);
    speak(shared, peer, Tunnel { reader: Box::new(reader), buffer: BytesMut::new(), writer: Box::new(writer), end }).await
}

/// Finds out by the first bytes which version the client speaks (RFC 9113, 3.3).
pub(super) async fn speak(shared: Arc<Shared>, peer: Peer, client: Tunnel) -> io::Result<Option<Switched>> {
    let Tunnel { mut reader, mut buffer, writer, end } = client;
    let patience = shared.patience().timeouts.idle;
    let sniffed = tokio::select! {
        sniffed = timeout(patience, sniff::is_http2(&mut reader, &mut buffer)) => sniffed,
        () = shared.draining.cancelled() => return Ok(None),
    };
    match sniffed {
        Ok(Ok(true)) => Box::pin(http2::serve(shared, peer, sniff::Replay::new(buffer, reader, writer))).await,
        Ok(Ok(false)) => return Ok(http1::serve(shared, peer, Tunnel { reader, buffer, writer, end }).await),
        Ok(Err(error)) => return Err(error),
        Err(_) => {}
    }
    Ok(None)
}
