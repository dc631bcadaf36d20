//! Connections kept for reuse.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use hyper::client::conn::http2::SendRequest;
use parking_lot::Mutex;

use super::{MayDial, http1::Connection};
use crate::http::{Body, Origin};

/// How often connections that nobody asks for are looked after.
const SWEEP: Duration = Duration::from_secs(5);

/// A connection ready for an exchange.
pub(super) enum Transport {
    /// For one exchange at a time.
    Http1(Box<Connection>),
    /// A share of a connection for many.
    Http2(SendRequest<Body>),
}

/// A connection from the pool, or a fresh one.
pub(super) struct Taken {
    /// The connection.
    pub transport: Transport,
    /// Whether it was used before: then it may have been closed meanwhile.
    pub is_reused: bool,
}

/// What a request needs of a connection.
pub(super) struct Wanted<'a> {
    /// HTTP/1, since it is to switch protocols.
    pub upgrades: bool,
    /// One that leads to the upstream itself, and not to a proxy that is asked for URLs.
    pub needs_tunnel: bool,
    /// Who is asked about the peer.
    pub may_dial: Option<&'a MayDial>,
}

/// Keeps idle HTTP/1 connections and the shares of HTTP/2 connections, by origin.
pub(super) struct Pool {
    inner: Mutex<Inner>,
    max_idle: usize,
    max_kept: usize,
    idle_timeout: Duration,
}

#[derive(Default)]
struct Inner {
    origins: HashMap<Arc<Origin>, Kept>,
    /// Connections of all of them, as of the last change.
    count: usize,
}

#[derive(Default)]
struct Kept {
    idle: VecDeque<(Instant, Box<Connection>)>,
    shared: Option<Shared>,
}

struct Shared {
    sender: SendRequest<Body>,
    peer: SocketAddr,
    /// When an exchange last began upon it.
    used: Instant,
}

impl Pool {
    /// An empty pool, and a task that closes what is idle too long or was closed by the upstream.
    pub(super) fn new(max_idle: usize, max_kept: usize, idle_timeout: Duration) -> Arc<Self> {
        let pool = Arc::new(Self { inner: Mutex::default(), max_idle, max_kept, idle_timeout });
        tokio::spawn(sweep(Arc::downgrade(&pool)));
        pool
    }

    /// The connection that was used last, if one is kept and alive and is what is wanted; with its peer. Others are left.
    pub(super) fn take(&self, origin: &Arc<Origin>, wanted: &Wanted<'_>) -> Option<(Transport, SocketAddr)> {
        let may_use = |peer| wanted.may_dial.is_none_or(|may_dial| may_dial(peer));
        let mut inner = self.inner.lock();
        let Inner { origins, count } = &mut *inner;
        let kept = origins.get_mut(origin)?;
        let now = Instant::now();
        if let Some(shared) = kept.shared.as_mut().filter(|_| !wanted.upgrades) {
            if shared.sender.is_closed() {
                kept.shared = None;
                *count = count.saturating_sub(1);
            } else if may_use(shared.peer) {
                shared.used = now;
                return Some((Transport::Http2(shared.sender.clone()), shared.peer));
            }
        }
        let mut place = kept.idle.len();
        while let Some((_, connection)) = place.checked_sub(1).and_then(|last| kept.idle.get(last)) {
            place -= 1;
            let line = connection.line();
            if !may_use(line.peer) || (wanted.needs_tunnel && line.proxy.is_some()) {
                continue;
            }
            *count = count.saturating_sub(1);
            let Some((since, mut connection)) = kept.idle.remove(place) else { continue };
            if now.duration_since(since) < self.idle_timeout && connection.is_usable() {
                let peer = connection.line().peer;
                return Some((Transport::Http1(connection), peer));
            }
        }
        None
    }

    /// Keeps a connection whose last exchange is complete; the oldest of its origin goes when there are too many. Where as many
    /// as allowed are kept for all origins, it is closed.
    pub(super) fn put(&self, connection: Box<Connection>) {
        let mut inner = self.inner.lock();
        let Inner { origins, count } = &mut *inner;
        let is_full = *count >= self.max_kept;
        if self.max_idle == 0 || (is_full && !origins.contains_key(&connection.line().origin)) {
            return;
        }
        let kept = origins.entry(Arc::clone(&connection.line().origin)).or_default();
        if kept.idle.len() >= self.max_idle || is_full {
            match kept.idle.pop_front() {
                Some(_) => *count = count.saturating_sub(1),
                None => return,
            }
        }
        kept.idle.push_back((Instant::now(), connection));
        *count += 1;
    }

    /// Lets later exchanges share an HTTP/2 connection, unless as many as allowed are kept.
    pub(super) fn share(&self, origin: &Arc<Origin>, peer: SocketAddr, sender: SendRequest<Body>) {
        let mut inner = self.inner.lock();
        let Inner { origins, count } = &mut *inner;
        if *count >= self.max_kept {
            return;
        }
        let shared = Shared { sender, peer, used: Instant::now() };
        if origins.entry(Arc::clone(origin)).or_default().shared.replace(shared).is_none() {
            *count += 1;
        }
    }

    fn sweep(&self) {
        let now = Instant::now();
        let is_fresh = |since| now.duration_since(since) < self.idle_timeout;
        let mut inner = self.inner.lock();
        inner.origins.retain(|_, kept| {
            kept.idle.retain_mut(|(since, connection)| is_fresh(*since) && connection.is_usable());
            kept.shared.take_if(|shared| shared.sender.is_closed() || !is_fresh(shared.used));
            !kept.idle.is_empty() || kept.shared.is_some()
        });
        inner.count = inner.origins.values().map(|kept| kept.idle.len() + usize::from(kept.shared.is_some())).sum();
    }
}

async fn sweep(pool: Weak<Pool>) {
    let mut ticks = tokio::time::interval(SWEEP);
    loop {
        ticks.tick().await;
        match pool.upgrade() {
            Some(pool) => pool.sweep(),
            None => return,
        }
    }
}
