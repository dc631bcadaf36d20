//! What the host knows about one instance while its guest calls: the data of its store.

use std::sync::Arc;

use wasmtime::{ResourceLimiter, Store};

use super::{
    budget::{self, Budget},
    call::Course,
    engine::Engine,
    lines::Lines,
    settings::Limits,
    stage::Stage,
    stats::Stats,
    wasi::{Random, Wasi},
};
use crate::hooks::{Facts, Outcome};

/// Data of a store.
pub(super) struct HostState {
    pub(super) limits: Limits,
    pub(super) budget: Budget,
    pub(super) memory: Memory,
    pub(super) random: Random,
    /// Made when the guest first asks for a handle of WASI.
    pub(super) wasi: Option<Box<Wasi>>,
    pub(super) lines: Lines,
    /// Of the flow; none while `configure` runs without one.
    pub(super) facts: Option<Arc<Facts>>,
    /// The messages, while a hook runs.
    pub(super) stage: Option<Stage>,
    /// For `on-finish`.
    pub(super) outcome: Option<Outcome>,
    /// Whether a service of the host did something outside of the flow since the hook began: such a hook is not called once
    /// more. To be set by every service that does.
    pub(super) had_effect: bool,
    /// Message and place, if the guest said that it is about to trap.
    pub(super) panicked: Option<(String, String)>,
}

/// Counts what the guest's memories and tables hold, and says no.
#[derive(Debug)]
pub(super) struct Memory {
    limit: usize,
    table_limit: usize,
    bytes: usize,
    elements: usize,
    denied: Option<&'static str>,
    stats: Arc<Stats>,
}

/// What a store is made for.
pub(super) struct Purpose {
    /// The flow; none for loading.
    pub(super) facts: Option<Arc<Facts>>,
    /// Random numbers for `configure`.
    pub(super) random: Random,
    /// Memory beyond the limit, for the page that taking a snapshot needs.
    pub(super) extra_memory: usize,
}

// Core instances, memories and tables of one store: one component, as the slots allow it.
const INSTANCES: usize = 8;
const TABLES: usize = 4;
const MEMORIES: usize = 2;

impl HostState {
    /// A store whose guest is watched and limited.
    pub(super) fn store(engine: &Engine, limits: &Limits, stats: &Arc<Stats>, lines: Lines, purpose: Purpose) -> Store<Self> {
        let data = Self {
            limits: *limits,
            budget: Budget::new(limits.cpu, limits.wall, Course::default()),
            memory: Memory {
                limit: limits.memory.min(Limits::MAX_MEMORY).saturating_add(purpose.extra_memory),
                table_limit: limits.table.min(Limits::MAX_TABLE),
                bytes: 0,
                elements: 0,
                denied: None,
                stats: Arc::clone(stats),
            },
            random: purpose.random,
            wasi: None,
            lines,
            facts: purpose.facts,
            stage: None,
            outcome: None,
            had_effect: false,
            panicked: None,
        };
        let mut store = Store::new(engine.wasmtime(), data);
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(limits.hostcall_bytes());
        store.set_max_component_handles(limits.handles);
        budget::watch(&mut store);
        store
    }

    /// What WASI keeps for this instance.
    pub(super) fn wasi(&mut self) -> &mut Wasi {
        self.wasi.get_or_insert_with(|| Box::new(Wasi::new(self.limits.handles)))
    }

    /// Whether the guest holds no handle of the host, as far as WASI gave it one.
    pub(super) fn holds_no_handle(&self) -> bool {
        self.wasi.as_ref().is_none_or(|wasi| wasi.table.is_empty())
    }

    /// Why the guest trapped, in words: what it said itself, else what the engine says, and a limit that it had met.
    pub(super) fn explain(&mut self, error: &wasmtime::Error) -> String {
        let mut text = match self.panicked.take() {
            Some((message, place)) if place.is_empty() => format!("panicked: {message}"),
            Some((message, place)) => format!("panicked at {place}: {message}"),
            None => error.root_cause().to_string(),
        };
        if let Some(what) = self.memory.denied {
            let limit = if what == "memory" { self.memory.limit } else { self.memory.table_limit };
            text = format!("{text} (it had asked for more than its {what} limit of {limit})");
        }
        text
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let bytes = self.bytes.saturating_add(desired.saturating_sub(current));
        if bytes > self.limit || maximum.is_some_and(|maximum| desired > maximum) {
            self.denied = Some("memory");
            return Ok(false);
        }
        self.bytes = bytes;
        self.stats.saw_memory(bytes);
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let elements = self.elements.saturating_add(desired.saturating_sub(current));
        if elements > self.table_limit || maximum.is_some_and(|maximum| desired > maximum) {
            self.denied = Some("table");
            return Ok(false);
        }
        self.elements = elements;
        Ok(true)
    }

    fn instances(&self) -> usize {
        INSTANCES
    }

    fn tables(&self) -> usize {
        TABLES
    }

    fn memories(&self) -> usize {
        MEMORIES
    }
}
