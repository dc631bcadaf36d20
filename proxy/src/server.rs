//! Listeners: accepting connections, and speaking HTTP with clients.

mod accept;
mod door;
mod http1;
mod http2;
mod intercept;
mod interim;
mod page;
mod request_body;
mod route;
mod sited;
mod sniff;
mod switched;
pub mod tls;
mod tunnel;
mod websocket;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    admin::{Accepting, Controller},
    flow::{Flows, Site},
    http1::HeadLimits,
};

pub use accept::Listener;
use route::Way;
pub use sited::Sited;

/// What every connection of a listener shares.
pub struct Shared {
    /// Runs the flows.
    pub flows: Arc<Flows>,
    /// The settings in force; a connection takes them anew for each request.
    pub sites: Sited,
    /// Answers what is for the controller's name, if it has one; forward listeners only.
    pub controller: Option<Arc<Controller>>,
    /// TLS, if the listener speaks it; new handshakes use what is in force.
    pub tls: Option<ArcSwap<rustls::ServerConfig>>,
    /// Whether connections are accepted.
    pub accepting: Accepting,
    /// Cancelled when the process is to stop: idle connections close, busy ones after their flow.
    pub draining: CancellationToken,
    /// Cancelled when the grace time is over: connections close as they are.
    pub closing: CancellationToken,
    /// Counts connections, so that a stop can wait for them.
    pub tracker: TaskTracker,
}

impl Shared {
    /// Limits of a head of which nobody knows yet whether it is for the controller: options do not bind that, or nobody could
    /// take them back.
    fn head_limits(&self, site: &Site) -> HeadLimits {
        if self.controller.is_some() { self.sites.configured().head_limits() } else { site.head_limits() }
    }

    /// How long such a connection may take until its request is there; likewise, where the controller can be asked for.
    fn patience(&self) -> Arc<Site> {
        let configured = self.controller.as_ref().map(|_| self.sites.configured());
        configured.filter(|site| site.is_forward()).unwrap_or_else(|| self.sites.now())
    }

    /// Longest wait for more of a body, either way: options do not bind that of the controller's messages, either.
    fn body_idle(&self, way: &Way, site: &Site) -> Option<Duration> {
        let is_own = matches!(way, Way::Controller);
        if is_own { self.sites.configured().timeouts.body_idle } else { site.timeouts.body_idle }
    }
}

/// One client connection.
#[derive(Clone)]
struct Peer {
    address: SocketAddr,
    is_tls: bool,
    /// The CONNECT that it is inside of.
    inside: Option<Arc<intercept::Inside>>,
}

impl Peer {
    /// The flow of the CONNECT that it is inside of.
    fn connect(&self) -> Option<u64> {
        self.inside.as_ref().map(|inside| inside.connect())
    }
}
