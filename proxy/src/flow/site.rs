//! What a listener tells its flows.

use std::sync::Arc;

use crate::{
    config::{Limits, Timeouts, TrustedPeers},
    http::Origin,
    http1::HeadLimits,
    metrics::ListenerMetrics,
    upstream::Client,
};

/// The settings of a listener that its flows work by. A reload makes a new one; flows keep theirs.
pub struct Site {
    /// Name of the listener.
    pub name: Arc<str>,
    /// Where requests go unless an addon says otherwise.
    pub upstream: Arc<Origin>,
    /// The way there.
    pub client: Arc<Client>,
    /// Whether upstreams see the Host that the client sent; default: their own.
    pub preserve_host: bool,
    /// Whose X-Forwarded-* fields are believed.
    pub trust: TrustedPeers,
    /// Pseudonym for a Via field; default: none is added.
    pub via: Option<String>,
    /// Limits of messages and connections.
    pub limits: Limits,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// Whether a client that has closed its sending side still gets its response. By default that ends the flow, since a
    /// client that went away looks the same.
    pub half_close: bool,
    /// Counters of this listener.
    pub metrics: Arc<ListenerMetrics>,
}

impl Site {
    /// Limits of the heads of requests.
    #[must_use]
    pub const fn head_limits(&self) -> HeadLimits {
        HeadLimits { count: self.limits.header_count, bytes: self.limits.header_bytes }
    }
}
