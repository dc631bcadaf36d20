//! What a listener tells its flows.

use std::{net::IpAddr, sync::Arc};

use super::Destination;
use crate::{
    config::{Limits, Peers, Timeouts},
    http::Origin,
    http1::HeadLimits,
    metrics::ListenerMetrics,
    targets::{Refused, Target, Targets},
    upstream::{Client, OwnAddresses},
};

/// The settings of a listener that its flows work by. A reload makes a new one; flows keep theirs.
pub struct Site {
    /// Name of the listener.
    pub name: Arc<str>,
    /// Where requests go unless an addon says otherwise.
    pub route: Route,
    /// The way there.
    pub client: Arc<Client>,
    /// Whether upstreams see the Host that the client sent; default: their own.
    pub preserve_host: bool,
    /// Whose X-Forwarded-* fields are believed.
    pub trust: Peers,
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

/// Where the requests of a listener go.
pub enum Route {
    /// To this upstream.
    Reverse(Arc<Origin>),
    /// Where they say.
    Forward(Forward),
}

/// Who may use a forward listener, and where to.
pub struct Forward {
    /// Clients that are served.
    pub clients: Peers,
    /// Where they may go.
    pub targets: Arc<Targets>,
    /// Where nobody may go, since this process listens there.
    pub own: OwnAddresses,
}

impl Site {
    /// Limits of the heads of requests.
    #[must_use]
    pub const fn head_limits(&self) -> HeadLimits {
        HeadLimits { count: self.limits.header_count, bytes: self.limits.header_bytes }
    }

    /// Whether clients say where their requests go.
    #[must_use]
    pub const fn is_forward(&self) -> bool {
        matches!(self.route, Route::Forward(_))
    }
}

impl Forward {
    /// The way of this client to `origin`, if there may be one; each address is asked about again when it is dialled.
    pub fn destination(&self, origin: Origin, target: Target, client: IpAddr) -> Result<Destination, Refused> {
        self.targets.may_look_up(&target, client)?;
        let (own, targets) = (self.own.clone(), Arc::clone(&self.targets));
        Ok(Destination::chosen(origin, move |address| {
            if own.contains(address) { Err(Refused::Own) } else { targets.may_dial(&target, address.ip(), client) }
        }))
    }
}
