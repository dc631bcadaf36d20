//! Connections kept for reuse.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use hyper::client::conn::http2::SendRequest;
use parking_lot::Mutex;

use super::http1::Connection;
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

/// Keeps idle HTTP/1 connections and the shares of HTTP/2 connections, by origin.
pub(super) struct Pool {
    origins: Mutex<HashMap<Arc<Origin>, Kept>>,
    max_idle: usize,
    idle_timeout: Duration,
}

#[derive(Default)]
struct Kept {
    idle: VecDeque<(Instant, Box<Connection>)>,
    shared: Option<SendRequest<Body>>,
}

impl Pool {
    /// An empty pool, and a task that closes what is idle too long or was closed by the upstream.
    pub(super) fn new(max_idle: usize, idle_timeout: Duration) -> Arc<Self> {
        let pool = Arc::new(Self { origins: Mutex::default(), max_idle, idle_timeout });
        tokio::spawn(sweep(Arc::downgrade(&pool)));
        pool
    }

    /// The connection that was used last, if one is kept and alive; of HTTP/1 alone if the request is to upgrade it.
    pub(super) fn take(&self, origin: &Arc<Origin>, upgrades: bool) -> Option<Transport> {
        let mut origins = self.origins.lock();
        let kept = origins.get_mut(origin)?;
        if let Some(sender) = kept.shared.as_ref().filter(|_| !upgrades) {
            if !sender.is_closed() {
                return Some(Transport::Http2(sender.clone()));
            }
            kept.shared = None;
        }
        let now = Instant::now();
        while let Some((since, mut connection)) = kept.idle.pop_back() {
            if now.duration_since(since) < self.idle_timeout && connection.is_usable() {
                return Some(Transport::Http1(connection));
            }
        }
        None
    }

    /// Keeps a connection whose last exchange is complete; the oldest goes when there are too many.
    pub(super) fn put(&self, connection: Box<Connection>) {
        let mut origins = self.origins.lock();
        let kept = origins.entry(Arc::clone(connection.origin())).or_default();
        if kept.idle.len() >= self.max_idle {
            kept.idle.pop_front();
        }
        if self.max_idle > 0 {
            kept.idle.push_back((Instant::now(), connection));
        }
    }

    /// Lets later exchanges share an HTTP/2 connection.
    pub(super) fn share(&self, origin: &Arc<Origin>, sender: SendRequest<Body>) {
        self.origins.lock().entry(Arc::clone(origin)).or_default().shared = Some(sender);
    }

    fn sweep(&self) {
        let now = Instant::now();
        self.origins.lock().retain(|_, kept| {
            kept.idle.retain_mut(|(since, connection)| now.duration_since(*since) < self.idle_timeout && connection.is_usable());
            kept.shared.take_if(|sender| sender.is_closed());
            !kept.idle.is_empty() || kept.shared.is_some()
        });
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
