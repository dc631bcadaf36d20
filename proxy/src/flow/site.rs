//! What a listener tells its flows.

use std::{net::IpAddr, sync::Arc, time::Duration};

use super::{Destination, Intercept};
use crate::{
    config::{Limits, Peers, Timeouts},
    http::Origin,
    http1::HeadLimits,
    metrics::ListenerMetrics,
    options::core::{Options, Term},
    routes::Routes,
    targets::{Refused, Target, Targets},
    upstream::{Client, Deviation, OwnAddresses, Upstreams},
    users::Doorkeeper,
};

/// The settings of a listener that its flows work by. A reload or a change of options makes a new one; flows keep theirs.
#[derive(Clone)]
pub struct Site {
    /// Name of the listener.
    pub name: Arc<str>,
    /// Where requests go unless an addon says otherwise.
    pub route: Route,
    /// What goes elsewhere, or is answered here.
    pub routes: Arc<Routes>,
    /// The way there.
    pub client: Arc<Client>,
    /// Whether upstreams see the Host that the client sent; default: their own.
    pub preserve_host: bool,
    /// Whose X-Forwarded-* fields are believed.
    pub trust: Peers,
    /// Whether fields that name an origin are rewritten; default: they are not.
    pub rewrite: Option<Rewrite>,
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
    /// Where nobody may go whom the configuration does not send there, since this process listens there.
    pub own: OwnAddresses,
    /// Options that are set, if one is. What they say about limits, timeouts and the way is in those already.
    pub options: Option<Arc<Options>>,
}

/// What "no limit" is for the head of a response.
pub const FOREVER: Duration = Duration::from_hours(87600);

/// Where the requests of a listener go.
#[derive(Clone)]
pub enum Route {
    /// To one of these upstreams.
    Reverse(Arc<Upstreams>),
    /// Where they say.
    Forward(Forward),
}

/// For which origin upstreams stand.
#[derive(Clone)]
pub struct Rewrite {
    /// The one that clients know; default: that of each request.
    pub public: Option<Origin>,
}

/// Who may use a forward listener, and where to.
#[derive(Clone)]
pub struct Forward {
    /// Clients that are served.
    pub clients: Peers,
    /// Where they may go.
    pub targets: Arc<Targets>,
    /// Where nobody may go, since this process listens there.
    pub own: OwnAddresses,
    /// Asks clients who they are; none: nobody does.
    pub doorkeeper: Option<Arc<Doorkeeper>>,
    /// How what is in CONNECT is looked into; none: it is not.
    pub intercept: Option<Arc<Intercept>>,
}

impl Site {
    /// The same under options that are set: limits are tightened and never loosened, timeouts replaced.
    #[must_use]
    pub fn under(&self, options: &Arc<Options>) -> Self {
        let effects = options.effects();
        let mut site = self.clone();
        let limits = &mut site.limits;
        limits.header_count = tighter(limits.header_count, effects.max_header_count);
        limits.header_bytes = tighter(limits.header_bytes, effects.max_header_bytes);
        limits.connections = tighter(limits.connections, effects.max_connections);
        limits.request_body = limits.request_body.into_iter().chain(effects.body_size_limit).min();
        let timeouts = &mut site.timeouts;
        timeouts.header_read = effects.request_timeout.unwrap_or(timeouts.header_read);
        timeouts.idle = effects.idle_timeout.unwrap_or(timeouts.idle);
        timeouts.body_idle = effects.body_idle_timeout.map_or(timeouts.body_idle, Term::limit);
        timeouts.connect = effects.connection_timeout.unwrap_or(timeouts.connect);
        timeouts.response = effects.response_timeout.map_or(timeouts.response, Term::limit);
        timeouts.flow = effects.flow_timeout.map_or(timeouts.flow, Term::limit);
        timeouts.tunnel = effects.tunnel_timeout.map_or(timeouts.tunnel, Term::limit);
        let deviation = Deviation {
            connect_timeout: Some(timeouts.connect),
            response_timeout: Some(timeouts.response.unwrap_or(FOREVER)),
            head_limits: Some(site.head_limits()),
            is_insecure: effects.ssl_insecure,
        };
        match self.client.deviating(deviation) {
            Ok(client) => site.client = Arc::new(client),
            Err(error) => tracing::error!(listener.name = %self.name, %error, "options about upstreams cannot be put in force"),
        }
        site.options = Some(Arc::clone(options));
        site
    }

    /// Most bytes of a response's body, as the upstream sends it; none: no limit.
    #[must_use]
    pub fn response_body(&self) -> Option<u64> {
        self.options.as_ref()?.effects().body_size_limit
    }

    /// Limits of the heads of requests.
    #[must_use]
    pub const fn head_limits(&self) -> HeadLimits {
        HeadLimits { count: self.limits.header_count, bytes: self.limits.header_bytes }
    }

    /// Upstreams that have a name, if there are any.
    pub(super) fn upstreams(&self) -> Option<Arc<Upstreams>> {
        match &self.route {
            Route::Reverse(upstreams) if !upstreams.named.is_empty() => Some(Arc::clone(upstreams)),
            _ => None,
        }
    }

    /// Whether clients say where their requests go.
    #[must_use]
    pub const fn is_forward(&self) -> bool {
        matches!(self.route, Route::Forward(_))
    }
}

fn tighter(limit: usize, option: Option<usize>) -> usize {
    option.map_or(limit, |option| option.min(limit))
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
