//! When the steps of an exchange were over, for whoever records flows.

use std::{net::SocketAddr, time::Instant};

use parking_lot::Mutex;

/// Notes the steps of one exchange as they are done. Where a second connection is tried, the steps of the first are forgotten.
#[derive(Debug, Default)]
pub struct Marks(Mutex<Steps>);

/// Steps in their order; none where one was not taken or not come to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Steps {
    /// A connection was asked for.
    pub asked: Option<Instant>,
    /// The name was looked up.
    pub looked_up: Option<Instant>,
    /// TCP was connected.
    pub connected: Option<Instant>,
    /// TLS was agreed upon.
    pub secured: Option<Instant>,
    /// The request could be sent.
    pub ready: Option<Instant>,
    /// The request was sent: over HTTP/2, its last piece was taken.
    pub sent: Option<Instant>,
    /// The other end of the connection.
    pub peer: Option<SocketAddr>,
}

impl Marks {
    /// So far.
    #[must_use]
    pub fn steps(&self) -> Steps {
        *self.0.lock()
    }

    /// Another connection is asked for.
    pub(super) fn ask(&self) {
        let mut steps = self.0.lock();
        let asked = steps.asked.or_else(|| Some(Instant::now()));
        *steps = Steps { asked, ..Steps::default() };
    }

    pub(super) fn look_up(&self) {
        self.0.lock().looked_up = Some(Instant::now());
    }

    pub(super) fn connect(&self, peer: SocketAddr) {
        let mut steps = self.0.lock();
        steps.connected = Some(Instant::now());
        steps.peer = Some(peer);
    }

    pub(super) fn secure(&self) {
        self.0.lock().secured = Some(Instant::now());
    }

    /// A connection is there, a kept one with this peer.
    pub(super) fn ready(&self, kept: Option<SocketAddr>) {
        let mut steps = self.0.lock();
        steps.ready = Some(Instant::now());
        steps.peer = kept.or(steps.peer);
    }

    pub(super) fn send(&self) {
        self.0.lock().sent.get_or_insert_with(Instant::now);
    }
}
