//! The process: what is started in which order, what signals do, and how it ends.

mod inspect;
mod reload;
mod settings;
mod sites;
mod state;

use std::{
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    addons::{Registry, State},
    admin,
    config::{Config, Sources},
    flow::{Flows, Recent},
    http::Holdings,
    kv::Store,
    logging,
    metrics::Metrics,
    options::{self, core},
    record::Recorder,
    upstream::OwnAddresses,
};

pub use inspect::inspect;

use sites::Sites;

/// How long `finish` events of flows that were closed may take at the very end.
const LAST_HOOKS: Duration = Duration::from_secs(2);

/// How long requests that addons wanted sent later may take at the very end.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

/// How long the last flows may take to be recorded at the very end.
const LAST_ENTRIES: Duration = Duration::from_secs(5);

/// Serves until a signal ends it.
///
/// On standard output, once everything listens: a line for each listener and one for the admin listener, `NAME URL`, then
/// `ready`. SIGTERM and SIGINT stop accepting, let flows end within the grace time and then close them; a second one ends at
/// once. SIGHUP reads the configuration again, as does a change of its file or of a certificate.
///
/// # Errors
/// Those of the configuration, all at once, before anything is bound; then those of binding.
pub fn run(sources: Sources) -> anyhow::Result<()> {
    let seen = reload::Seen::now(&sources);
    let config = sources.load()?;
    let log = logging::start(&config.log, &config.options)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?;
    let done = runtime.block_on(serve(sources, config, log, seen));
    runtime.shutdown_background();
    done
}

/// Validates the configuration, and every addon in the directory with its options.
///
/// # Errors
/// Those of the configuration, or one that names every addon that is missing or fails to load.
pub fn check(sources: &Sources) -> anyhow::Result<()> {
    let config = sources.load()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?;
    let (statuses, readiness) = runtime.block_on(async {
        for listener in &config.listeners {
            sites::check(listener).with_context(|| format!("listener {}", listener.name))?;
        }
        let scratch = settings::scratch_cache()?;
        let registry = Registry::start(settings::addons(&config, scratch.path())).await?;
        registry.shutdown().await;
        anyhow::Ok((registry.statuses(), registry.readiness()))
    })?;
    let mut out = std::io::stdout().lock();
    for status in &statuses {
        let state = if matches!(status.state, State::Replay | State::Snapshot) { "ok" } else { "FAILED" };
        writeln!(out, "{state:6} {}", status.name)?;
        if let Some(error) = &status.error {
            writeln!(out, "       {error}")?;
        }
        for warning in &status.warnings {
            writeln!(out, "       warning: {warning}")?;
        }
    }
    // One that is missing is the default one: any other would have been an error of the configuration.
    if let Some(directory) = &readiness.directory
        && config.plugins.exists()
    {
        anyhow::bail!("the plugins directory cannot be read: {directory}");
    }
    let broken = settings::broken(&readiness);
    let names = broken.iter().copied().collect::<Vec<_>>().join(", ");
    anyhow::ensure!(broken.is_empty(), "{} addon(s) cannot be used: {names}", broken.len());
    writeln!(out, "the configuration is valid: {} listener(s), {} addon(s)", config.listeners.len(), statuses.len())?;
    Ok(())
}

async fn serve(sources: Sources, config: Config, log: Arc<logging::Handle>, seen: reload::Seen) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let metrics = Metrics::new();
    let cache = settings::cache(&config)?;
    // Before certificates are read, so that a change from then on is seen as one.
    let mut reloader = reload::Reloader::new(sources, config.clone(), cache.clone(), Arc::clone(&log), seen);
    let own = OwnAddresses::default();
    let own_addresses = own.clone();
    let store = state::open(&config).await?;
    metrics.watch(Box::new(store.metrics()));
    let store: Arc<dyn Store> = Arc::new(store);
    let mut addons = settings::addons(&config, &cache);
    addons.store = Arc::clone(&store);
    addons.own_addresses = own.clone();
    let registry = Registry::start(addons).await?;
    metrics.watch(Box::new(admin::AddonMetrics::new(Arc::downgrade(&registry))));
    let live = Arc::new(ArcSwap::default());
    core::put(&live, config.options.clone());
    let options = options::Registry::new(Arc::clone(&live), Arc::clone(&registry));
    let levels = Arc::clone(&log);
    options.observe(Box::new(move |core| levels.set_option(core.log_level())));
    reloader.set_options(Arc::clone(&options));
    let stop = Stop::new();
    let recent = config.admin.as_ref().and_then(|admin| Recent::new(admin.recent_flows));
    let holdings = Arc::new(Holdings::new(config.held_bodies).telling("limits.held_bodies"));
    let held = Arc::clone(&holdings);
    metrics.watch_gauge("held_bodies_bytes", "Bytes of bodies that flows hold for hooks", move || held.held());
    let recorder = config.record.as_ref().map(|recording| Recorder::start(recording, &metrics)).transpose()?;
    let flows = Flows::new(Arc::clone(&registry) as Arc<_>, stop.tasks.clone(), holdings);
    let flows = Arc::new(flows.remembering(recent.clone()).recording(recorder.clone()));
    let mut sites =
        Sites::new(flows, Arc::clone(&metrics), live, stop.draining.clone(), stop.closing.clone(), stop.tasks.clone(), own);
    let dependencies = admin::Dependencies::new(own_addresses, &config.dependencies);
    let health = Arc::new(admin::Health {
        is_draining: AtomicBool::new(false),
        listeners: parking_lot::Mutex::default(),
        dependencies: Arc::clone(&dependencies),
    });
    reloader.set_dependencies(dependencies);
    let state = Arc::new(admin::State {
        registry: Arc::clone(&registry),
        options,
        metrics,
        health: Arc::clone(&health),
        recent,
        store: Arc::clone(&store),
        log,
    });
    sites.set_controller(controller(&config, &state));
    let listeners = sites.bind(&config.listeners)?;
    // Before anything is accepted, so that nothing can be sent there.
    let admin = admin_server(&config, &state)?;
    if let Some(server) = &admin {
        sites.add_address(server.local_addr()?);
    }
    sites.take_over(listeners);
    *health.listeners.lock() = sites.life();
    let admin_address = admin.as_ref().map(admin::Server::local_addr).transpose()?;
    if let Some(server) = admin {
        tokio::spawn(server.run(stop.ended.clone()));
    }
    announce(&sites, admin_address)?;
    while let Event::Reload = next_event(&mut signals, &mut reloader).await {
        tokio::select! {
            () = reloader.reload(&mut sites, &registry) => *health.listeners.lock() = sites.life(),
            () = signals.stop() => break,
        }
    }
    health.is_draining.store(true, Relaxed);
    stop.draining.cancel();
    let grace = reloader.grace();
    tracing::info!(grace.seconds = grace.as_secs_f64(), "stopping: flows may end");
    tokio::select! {
        () = stop.drain(grace, &registry) => tracing::info!("stopped"),
        () = signals.stop() => tracing::warn!("stopped at once by a second signal"),
    }
    store.flush().await;
    stop.ended.cancel();
    if let Some(recorder) = recorder {
        recorder.finish(LAST_ENTRIES).await;
    }
    Ok(())
}

/// The controller, if it has a name.
fn controller(config: &Config, state: &Arc<admin::State>) -> Option<Arc<admin::Controller>> {
    let settings = config.admin.as_ref()?;
    let host = settings.controller_host.as_deref()?;
    Some(Arc::new(admin::Controller::new(host, settings.token.clone(), Arc::clone(state))))
}

/// The admin listener, bound, if there is one.
fn admin_server(config: &Config, state: &Arc<admin::State>) -> anyhow::Result<Option<admin::Server>> {
    let Some(settings) = &config.admin else { return Ok(None) };
    let Some(listen) = settings.listen else { return Ok(None) };
    let server = admin::Server::bind(listen, settings.token.clone(), Arc::clone(state));
    server.map(Some).with_context(|| format!("admin: cannot bind {listen}"))
}

enum Event {
    Reload,
    Stop,
}

async fn next_event(signals: &mut Signals, reloader: &mut reload::Reloader) -> Event {
    tokio::select! {
        _ = signals.terminate.recv() => Event::Stop,
        _ = signals.interrupt.recv() => Event::Stop,
        _ = signals.hangup.recv() => Event::Reload,
        () = reloader.changed() => Event::Reload,
    }
}

fn announce(sites: &Sites, admin: Option<std::net::SocketAddr>) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for (name, url) in sites.addresses() {
        writeln!(out, "{name} {url}")?;
    }
    if let Some(address) = admin {
        writeln!(out, "admin http://{address}")?;
    }
    writeln!(out, "ready")?;
    Ok(out.flush()?)
}

/// What a stop goes by.
struct Stop {
    draining: CancellationToken,
    closing: CancellationToken,
    ended: CancellationToken,
    tasks: TaskTracker,
}

impl Stop {
    fn new() -> Self {
        Self {
            draining: CancellationToken::new(),
            closing: CancellationToken::new(),
            ended: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// Waits until all flows have ended, at most for the grace time; then ends them, and waits a little for their last hooks.
    async fn drain(&self, grace: Duration, registry: &Registry) {
        self.tasks.close();
        if timeout(grace, self.tasks.wait()).await.is_err() {
            tracing::warn!(tasks = self.tasks.len(), "the grace time is over: closing what is open");
            self.closing.cancel();
            let _ = timeout(LAST_HOOKS, self.tasks.wait()).await;
        }
        let _ = timeout(LAST_HOOKS, registry.shutdown()).await;
        // After the last hooks, which may have put something in.
        registry.close_outboxes(LAST_REQUESTS).await;
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        // A file that is as large as the process may make one is an error of its writer, not the end of the process.
        let _ = listen(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
