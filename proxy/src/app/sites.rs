//! Listeners of the configuration as running listeners.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use time::OffsetDateTime;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    admin::{Accepting, Controller},
    config::{self, Mirroring, Mode, UpstreamProtocol},
    flow::{FOREVER, Flows, Forward, Intercept, Rewrite, Route, Site},
    http1::HeadLimits,
    metrics::{ListenerMetrics, Metrics},
    mint::{self, Mint, Mirror},
    options::core::Options,
    server::{Listener, Shared, Sited, tls},
    targets::Target,
    upstream::{self, Client, Identity, Lookups, OwnAddresses, Protocol, Proxies, Proxy, ProxyKind, Settings},
    users::Doorkeeper,
};

/// Unused connections kept for one upstream.
const MAX_IDLE: usize = 256;
/// Unused connections kept for all upstreams of a listener: addons may choose many.
const MAX_KEPT: usize = 4096;
/// Names that clients choose and that are looked up at once: the process has 512 threads for all that blocks.
const LOOKUPS: usize = 64;

/// Everything that listens.
pub(super) struct Sites {
    flows: Arc<Flows>,
    metrics: Arc<Metrics>,
    options: Arc<ArcSwap<Options>>,
    draining: CancellationToken,
    closing: CancellationToken,
    tasks: TaskTracker,
    running: Vec<Running>,
    /// Where the process listens: here and, `others`, elsewhere.
    own: OwnAddresses,
    others: Vec<SocketAddr>,
    controller: Option<Arc<Controller>>,
}

struct Running {
    config: config::Listener,
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// A listener that is not yet in use.
enum Prepared {
    /// Binds anew.
    Fresh(config::Listener, Arc<Site>, Option<Arc<rustls::ServerConfig>>),
    /// Goes on with new settings.
    Same(usize, config::Listener, Arc<Site>, Option<Arc<rustls::ServerConfig>>),
}

impl Sites {
    /// Nothing listens yet.
    pub(super) const fn new(
        flows: Arc<Flows>,
        metrics: Arc<Metrics>,
        options: Arc<ArcSwap<Options>>,
        draining: CancellationToken,
        closing: CancellationToken,
        tasks: TaskTracker,
        own: OwnAddresses,
    ) -> Self {
        Self { flows, metrics, options, draining, closing, tasks, running: Vec::new(), own, others: Vec::new(), controller: None }
    }

    /// Forward listeners that are bound from now on have this controller.
    pub(super) fn set_controller(&mut self, controller: Option<Arc<Controller>>) {
        self.controller = controller;
    }

    /// The process listens there, too: neither addons nor clients of forward listeners may send requests there.
    pub(super) fn add_address(&mut self, address: SocketAddr) {
        self.others.push(address);
        self.tell_addresses();
    }

    fn tell_addresses(&self) {
        let addresses = self.running.iter().map(|running| running.address);
        self.own.set(addresses.chain(self.others.iter().copied()).collect());
    }

    /// Binds what is new in the configuration; nothing is accepted yet, and nothing has changed.
    ///
    /// # Errors
    /// When a certificate cannot be used or an address cannot be bound.
    pub(super) fn bind(&self, listeners: &[config::Listener]) -> anyhow::Result<Next> {
        let mut prepared = Vec::new();
        for listener in listeners {
            prepared.push(self.prepare(listener).with_context(|| format!("listener {}", listener.name))?);
        }
        let mut bound = Vec::new();
        for prepared in prepared {
            bound.push(match prepared {
                Prepared::Same(index, listener, site, tls) => Bound::Same(index, listener, site, tls),
                Prepared::Fresh(listener, site, tls) => {
                    let shared = Arc::new(Shared {
                        flows: Arc::clone(&self.flows),
                        sites: Sited::new(site, Arc::clone(&self.options)),
                        controller: self.controller.clone(),
                        tls: tls.map(ArcSwap::new),
                        accepting: Accepting::default(),
                        draining: self.draining.child_token(),
                        closing: self.closing.clone(),
                        tracker: self.tasks.clone(),
                    });
                    let socket = Listener::bind(listener.bind, Arc::clone(&shared))
                        .with_context(|| format!("listener {}: cannot bind {}", listener.name, listener.bind))?;
                    let address = socket.local_addr()?;
                    Bound::Fresh(Running { config: listener, address, shared }, socket)
                }
            });
        }
        Ok(Next(bound))
    }

    fn prepare(&self, listener: &config::Listener) -> anyhow::Result<Prepared> {
        let site = Arc::new(self.site(listener)?);
        let tls = listener.tls.as_ref().map(|tls| tls::server_config(&tls.cert, &tls.key)).transpose()?;
        let same = self
            .running
            .iter()
            .position(|running| is_same(&running.config, listener) && running.shared.tls.is_some() == tls.is_some());
        Ok(match same {
            Some(index) => Prepared::Same(index, listener.clone(), site, tls),
            None => Prepared::Fresh(listener.clone(), site, tls),
        })
    }

    /// Makes what listens what was bound. Listeners that stay keep their connections, which use the new settings from their next
    /// request on; those that go let their flows end.
    pub(super) fn take_over(&mut self, Next(bound): Next) {
        let mut old: Vec<Option<Running>> = std::mem::take(&mut self.running).into_iter().map(Some).collect();
        for bound in bound {
            match bound {
                Bound::Fresh(running, socket) => {
                    tracing::info!(
                        listener.name = %running.config.name,
                        listener.address = %running.address,
                        upstream.origin = %upstream_of(&running.config),
                        "listening"
                    );
                    self.tasks.spawn(socket.run());
                    self.running.push(running);
                }
                Bound::Same(index, listener, site, tls) => {
                    let Some(mut running) = old.get_mut(index).and_then(Option::take) else { continue };
                    running.shared.sites.set(site);
                    if let (Some(current), Some(fresh)) = (&running.shared.tls, tls) {
                        current.store(fresh);
                    }
                    if running.config.limits.connections != listener.limits.connections {
                        tracing::warn!(listener.name = %listener.name, "a change of limits.connections takes a restart");
                    }
                    running.config = listener;
                    self.running.push(running);
                }
            }
        }
        for gone in old.into_iter().flatten() {
            tracing::info!(listener.name = %gone.config.name, "no longer listening");
            gone.shared.draining.cancel();
        }
        self.tell_addresses();
    }

    fn site(&self, listener: &config::Listener) -> anyhow::Result<Site> {
        let limits = HeadLimits { count: listener.limits.header_count, bytes: listener.limits.header_bytes };
        let protocol = protocol(listener);
        let (tls, tls_http1) = upstream::tls::client_configs(listener.upstream_ca.as_deref(), protocol)?;
        let client = Client::new(Settings {
            protocol,
            identified: identity(listener)?.map(|identity| identity.upon(&tls, &tls_http1)),
            tls,
            tls_http1,
            connect_timeout: listener.timeouts.connect,
            response_timeout: listener.timeouts.response.unwrap_or(FOREVER),
            idle_timeout: listener.timeouts.idle,
            max_idle: MAX_IDLE,
            max_kept: MAX_KEPT,
            lookups: match &listener.mode {
                Mode::Reverse(_) => Lookups::default(),
                Mode::Forward(_) => Lookups::at_most(LOOKUPS),
            },
            head_limits: limits,
            proxies: proxies(&listener.proxies, &self.own)?,
        });
        let metrics = self.metrics.listener(&listener.name);
        Ok(Site {
            name: Arc::clone(&listener.name),
            route: self.route(listener, &metrics)?,
            routes: Arc::new(listener.routes.clone()),
            client: Arc::new(client),
            preserve_host: listener.preserve_host,
            trust: listener.trust_forwarded.clone(),
            rewrite: listener.rewrite.then(|| Rewrite { public: listener.public_url.clone() }),
            via: listener.via.clone(),
            limits: listener.limits.clone(),
            timeouts: listener.timeouts.clone(),
            half_close: listener.half_close,
            metrics,
            own: self.own.clone(),
            options: None,
        })
    }

    fn route(&self, listener: &config::Listener, metrics: &ListenerMetrics) -> anyhow::Result<Route> {
        Ok(match &listener.mode {
            Mode::Reverse(upstreams) => Route::Reverse(Arc::new(upstreams.clone())),
            Mode::Forward(config::Forward { clients, targets, users, intercept }) => Route::Forward(Forward {
                clients: clients.clone(),
                targets: Arc::new(targets.clone()),
                own: self.own.clone(),
                doorkeeper: match users {
                    Some(list) => Some(match self.doorkeeper(listener) {
                        Some(before) => before.next(&list.users),
                        None => Arc::new(Doorkeeper::new(Arc::clone(&list.users))?),
                    }),
                    None => None,
                },
                intercept: intercept
                    .as_ref()
                    .map(|settings| self::intercept(settings, metrics.certificates.clone()))
                    .transpose()?,
            }),
        })
    }

    /// Who keeps the door of the listener that goes on as this one.
    fn doorkeeper(&self, listener: &config::Listener) -> Option<Arc<Doorkeeper>> {
        let running = self.running.iter().find(|running| is_same(&running.config, listener))?;
        match &running.shared.sites.configured().route {
            Route::Forward(forward) => forward.doorkeeper.clone(),
            Route::Reverse(_) => None,
        }
    }

    /// Name and URL of each listener.
    pub(super) fn addresses(&self) -> impl Iterator<Item = (&str, String)> {
        self.running.iter().map(|running| {
            let scheme = if running.config.tls.is_some() { "https" } else { "http" };
            (&*running.config.name, format!("{scheme}://{}", running.address))
        })
    }

    /// The listeners by name, and whether each accepts connections.
    pub(super) fn life(&self) -> Vec<(Arc<str>, Accepting)> {
        let life = |running: &Running| (Arc::clone(&running.config.name), running.shared.accepting.clone());
        self.running.iter().map(life).collect()
    }
}

/// Listeners that are bound and not yet in use.
pub(super) struct Next(Vec<Bound>);

enum Bound {
    Fresh(Running, Listener),
    Same(usize, config::Listener, Arc<Site>, Option<Arc<rustls::ServerConfig>>),
}

/// Whether a listener's certificates can be used.
pub(super) fn check(listener: &config::Listener) -> anyhow::Result<()> {
    if let Some(tls) = &listener.tls {
        tls::server_config(&tls.cert, &tls.key)?;
    }
    if let Mode::Forward(config::Forward { intercept: Some(settings), .. }) = &listener.mode {
        intercept(settings, mint::Counts::default())?;
    }
    upstream::tls::client_config(listener.upstream_ca.as_deref(), protocol(listener))?;
    proxies(&listener.proxies, &OwnAddresses::default())?;
    identity(listener)?;
    Ok(())
}

/// What the proxy shows to upstreams, and to which.
fn identity(listener: &config::Listener) -> anyhow::Result<Option<Identity>> {
    let Some(config::ClientCert { cert, key, hosts }) = &listener.client_cert else { return Ok(None) };
    let identity = match (hosts, &listener.mode) {
        (None, Mode::Reverse(upstreams)) => {
            let upstreams = upstreams.clone();
            Identity::read(cert, key.as_deref(), move |origin| upstreams.have(origin))
        }
        (hosts, _) => {
            let hosts = hosts.clone().unwrap_or_default();
            let is_about = move |target: &Target| hosts.iter().any(|pattern| pattern.is_about(target));
            Identity::read(cert, key.as_deref(), move |origin| Target::of(origin).as_ref().is_some_and(&is_about))
        }
    };
    Ok(Some(identity?))
}

/// What looks into CONNECT, with no certificate yet.
fn intercept(settings: &config::Intercept, counts: mint::Counts) -> anyhow::Result<Arc<Intercept>> {
    let authority = mint::Authority::read(&settings.ca, settings.key.as_deref(), OffsetDateTime::now_utc())?;
    let mint = Mint::new(authority, settings.certificates, counts);
    let mirror = match settings.mirror {
        Mirroring::Off => None,
        Mirroring::Prefer => Some(Mirror::new(false, settings.certificates)),
        Mirroring::Require => Some(Mirror::new(true, settings.certificates)),
    };
    Ok(Arc::new(Intercept { mint, mirror, tunnel: settings.tunnel.clone(), only: settings.only.clone() }))
}

/// Proxies on the way to upstreams, if there are any.
fn proxies(settings: &config::Proxies, own: &OwnAddresses) -> anyhow::Result<Option<Arc<Proxies>>> {
    let proxy = |proxy: &config::Proxy| -> anyhow::Result<Arc<Proxy>> {
        let is_tls = proxy.kind == ProxyKind::Https;
        let tls = is_tls.then(|| upstream::tls::client_config(settings.ca.as_deref(), Protocol::Http1)).transpose()?;
        let (authority, credentials) = (proxy.authority.clone(), proxy.credentials.clone());
        Ok(Arc::new(Proxy { kind: proxy.kind, authority, credentials, tls, own: own.clone() }))
    };
    if settings.otherwise.is_none() && settings.of.is_empty() {
        return Ok(None);
    }
    let of = settings.of.iter().map(|(origin, of)| Ok((Arc::clone(origin), of.as_ref().map(proxy).transpose()?)));
    Ok(Some(Arc::new(Proxies {
        otherwise: settings.otherwise.as_ref().map(proxy).transpose()?,
        except: settings.except.clone(),
        of: of.collect::<anyhow::Result<_>>()?,
    })))
}

/// Whether both have one socket. Several may ask for a port of the system's choice.
fn is_same(running: &config::Listener, next: &config::Listener) -> bool {
    running.bind == next.bind && (next.bind.port() != 0 || running.name == next.name)
}

/// For the log.
fn upstream_of(listener: &config::Listener) -> String {
    match &listener.mode {
        Mode::Reverse(upstreams) => upstreams.to_string(),
        Mode::Forward(_) => "forward".to_owned(),
    }
}

const fn protocol(listener: &config::Listener) -> Protocol {
    match listener.upstream_protocol {
        UpstreamProtocol::Auto => Protocol::Auto,
        UpstreamProtocol::Http1 => Protocol::Http1,
        UpstreamProtocol::Http2 => Protocol::Http2,
    }
}
