//! How the process is: for probes, which have no token.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::{
    Dependencies, State,
    routes::{Answer, json_answer},
};

/// How the process is.
pub struct Health {
    /// Set when it stops: it is no longer ready.
    pub is_draining: AtomicBool,
    /// The listeners by name.
    pub listeners: parking_lot::Mutex<Vec<(Arc<str>, Accepting)>>,
    /// What has to answer.
    pub dependencies: Arc<Dependencies>,
}

/// Whether a listener accepts connections. Cheap to clone; all clones are about one listener.
#[derive(Debug, Clone, Default)]
pub struct Accepting(Arc<AtomicBool>);

/// Says so for as long as it lives.
pub(crate) struct WhileAccepting(Accepting);

impl Accepting {
    /// Connections are accepted from now on.
    pub(crate) fn begin(&self) -> WhileAccepting {
        self.0.store(true, Relaxed);
        WhileAccepting(self.clone())
    }

    fn is_true(&self) -> bool {
        self.0.load(Relaxed)
    }
}

impl Drop for WhileAccepting {
    fn drop(&mut self) {
        self.0.0.store(false, Relaxed);
    }
}

/// Whether the path tells of health alone.
pub(super) fn is_about(path: &str) -> bool {
    matches!(path, "/health/live" | "/health/ready" | "/actuator/health/liveness" | "/actuator/health/readiness")
}

/// An entry for each listener. While the process stops, listeners that accept no more are as they should be.
pub(super) fn live(state: &State) -> Answer {
    let is_draining = state.health.is_draining.load(Relaxed);
    let entry = |(name, accepting): &(Arc<str>, Accepting)| (name.to_string(), Value::Bool(is_draining || accepting.is_true()));
    let listeners: Map<String, Value> = state.health.listeners.lock().iter().map(entry).collect();
    let status = status(listeners.values().all(|is_alive| *is_alive == Value::Bool(true)));
    json_answer(status, &Value::Object(listeners))
}

/// What has to be there for flows to be served, and whether it is.
pub(super) async fn ready(state: &State) -> Answer {
    let dependencies = state.health.dependencies.look().await;
    let addons = state.registry.readiness();
    let is_draining = state.health.is_draining.load(Relaxed);
    let trouble = state.store.trouble();
    let is_ready = addons.is_ready() && !is_draining && trouble.is_none() && dependencies.values().all(|is_good| *is_good);
    let failed: Vec<&String> = addons.failed.iter().map(|(name, _)| name).collect();
    let page = json!({
        "ready": is_ready,
        "draining": is_draining,
        "dependencies": dependencies,
        "addons": {
            "missing": addons.missing,
            "failed": failed,
            "quarantined": addons.quarantined,
            "directory": addons.directory,
        },
        "state": trouble,
    });
    json_answer(status(is_ready), &page)
}

const fn status(is_good: bool) -> StatusCode {
    if is_good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
