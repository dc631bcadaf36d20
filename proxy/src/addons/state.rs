//! What the host knows about one instance while its guest calls: the data of its store.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use wasmtime::{ResourceLimiter, Store};

use super::{
    budget::{self, Budget},
    call::Course,
    configure::Setup,
    http::Calls,
    kv::Keeping,
    limits::{Bytes, Limits},
    lines::Lines,
    outbox::Posting,
    over::BudgetKind,
    stage::Stage,
    stats::Stats,
    wasi::{Random, Wasi},
};
use crate::hooks::{Facts, Outcome};

/// Data of a store.
pub(super) struct HostState {
    pub(super) limits: Limits,
    pub(super) stats: Arc<Stats>,
    /// Bytes of stack that the guest may use.
    guest_stack: usize,
    pub(super) budget: Budget,
    pub(super) memory: Memory,
    pub(super) random: Random,
    /// Made when the guest first asks for a handle of WASI.
    pub(super) wasi: Option<Box<Wasi>>,
    pub(super) lines: Lines,
    /// Requests of its own.
    pub(super) calls: Calls,
    /// Requests that are sent later.
    pub(super) posting: Posting,
    /// What it keeps between flows.
    pub(super) keeping: Keeping,
    /// Names code and options.
    pub(super) generation: Arc<str>,
    /// Of the flow; none while `configure` runs without one.
    pub(super) facts: Option<Arc<Facts>>,
    /// The messages, while a hook runs.
    pub(super) stage: Option<Stage>,
    /// For `on-finish`.
    pub(super) outcome: Option<Outcome>,
    /// Whether a service of the host did something outside of the flow since the hook began: such a hook is not called once
    /// more. To be set by every service that does.
    pub(super) had_effect: bool,
    /// Whether the guest keeps nothing for later hooks.
    pub(super) lets_go: bool,
    /// Whether the store was unavailable to an operation since the hook began: a failure then says nothing about the addon.
    pub(super) was_store_unavailable: bool,
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
    // Since the call began.
    denied: Option<BudgetKind>,
    stats: Arc<Stats>,
    total: Arc<TotalMemory>,
}

/// Linear memory of all instances together.
#[derive(Debug)]
pub(super) struct TotalMemory {
    bytes: AtomicUsize,
    limit: usize,
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
    pub(super) fn store(setup: &Setup, purpose: Purpose) -> Store<Self> {
        let limits = &setup.limits;
        let data = Self {
            limits: *limits,
            stats: Arc::clone(&setup.stats),
            guest_stack: setup.engine.guest_stack(),
            budget: Budget::new(limits.cpu, limits.wall, Course::default()),
            memory: Memory::new(limits, purpose.extra_memory, Arc::clone(&setup.stats), setup.engine.memory()),
            random: purpose.random,
            wasi: None,
            lines: setup.lines.clone(),
            calls: Calls::new(setup),
            posting: Posting::new(setup),
            keeping: Keeping::new(setup),
            generation: Arc::clone(&setup.generation),
            facts: purpose.facts,
            stage: None,
            outcome: None,
            had_effect: false,
            lets_go: false,
            was_store_unavailable: false,
            panicked: None,
        };
        let mut store = Store::new(setup.engine.wasmtime(), data);
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(limits.hostcall_bytes());
        store.set_max_component_handles(limits.handles);
        budget::watch(&mut store);
        store
    }

    /// A call into the guest begins.
    pub(super) fn begin(&mut self, budget: Budget) {
        self.budget = budget;
        self.memory.denied = None;
    }

    /// What WASI keeps for this instance.
    pub(super) fn wasi(&mut self) -> &mut Wasi {
        let flow = self.facts.as_ref().map_or(0, |facts| facts.id);
        self.wasi.get_or_insert_with(|| Box::new(Wasi::new(self.limits.handles, flow)))
    }

    /// From now on it is this flow's.
    pub(super) fn of_flow(&mut self, facts: Option<Arc<Facts>>) {
        if let Some(wasi) = &self.wasi {
            wasi.flow.store(facts.as_ref().map_or(0, |facts| facts.id), Relaxed);
        }
        self.facts = facts;
    }

    /// Whether the guest holds no handle of the host, as far as WASI gave it one.
    pub(super) fn holds_no_handle(&self) -> bool {
        self.wasi.as_ref().is_none_or(|wasi| wasi.table.is_empty())
    }

    /// Why the guest trapped, in words: what it said itself, else what the engine says, and the budget that it was over.
    pub(super) fn explain(&mut self, error: &wasmtime::Error) -> String {
        let mut text = match self.panicked.take() {
            Some((message, place)) if place.is_empty() => format!("panicked: {message}"),
            Some((message, place)) => format!("panicked at {place}: {message}"),
            None => error.root_cause().to_string(),
        };
        if let Some(what) = self.memory.denied {
            let limit = match what {
                BudgetKind::Memory => self.memory.limit,
                BudgetKind::AllMemory => self.memory.total.limit,
                _ => self.memory.table_limit,
            };
            let what = what.as_str();
            text = format!("{text} (it had asked for more than its {what} limit of {limit})");
        }
        match BudgetKind::of(error) {
            Some(BudgetKind::Stack) => format!("{text} (over its guest stack of {})", Bytes(self.guest_stack)),
            Some(BudgetKind::Handles) => format!("{text} (over its budget of {} handles)", self.limits.handles),
            Some(BudgetKind::Hostcall) => {
                format!("{text} (over its hostcall_bytes of {})", Bytes(self.limits.hostcall_bytes()))
            }
            // These errors name their budget themselves.
            _ => text,
        }
    }
}

impl Memory {
    fn new(limits: &Limits, extra: usize, stats: Arc<Stats>, total: Arc<TotalMemory>) -> Self {
        Self {
            limit: limits.memory.min(Limits::MAX_MEMORY).saturating_add(extra),
            table_limit: limits.table.min(Limits::MAX_TABLE),
            bytes: 0,
            elements: 0,
            denied: None,
            stats,
            total,
        }
    }

    /// Bytes of linear memory that there are.
    pub(super) const fn held(&self) -> usize {
        self.bytes
    }

    fn deny(&mut self, kind: BudgetKind) {
        // A guest that is told no may ask again; it is one call that was over.
        if self.denied.replace(kind) != Some(kind) {
            self.stats.over(kind);
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.total.bytes.fetch_sub(self.bytes, Relaxed);
    }
}

impl TotalMemory {
    /// At most so many bytes.
    pub(super) const fn new(limit: usize) -> Self {
        Self { bytes: AtomicUsize::new(0), limit }
    }

    fn take(&self, bytes: usize) -> bool {
        let add = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.bytes.fetch_update(Relaxed, Relaxed, add).is_ok()
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let bytes = self.bytes.saturating_add(desired.saturating_sub(current));
        if bytes > self.limit || maximum.is_some_and(|maximum| desired > maximum) {
            self.deny(BudgetKind::Memory);
            return Ok(false);
        }
        if !self.total.take(bytes - self.bytes) {
            self.deny(BudgetKind::AllMemory);
            return Ok(false);
        }
        self.bytes = bytes;
        self.stats.saw_memory(bytes);
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let elements = self.elements.saturating_add(desired.saturating_sub(current));
        if elements > self.table_limit || maximum.is_some_and(|maximum| desired > maximum) {
            self.deny(BudgetKind::Table);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_tables_end_at_their_limits() -> wasmtime::Result<()> {
        let stats = Arc::<Stats>::default();
        let limits = Limits { memory: 100, table: 10, ..Limits::default() };
        let mut memory = Memory::new(&limits, 0, Arc::clone(&stats), Arc::new(TotalMemory::new(1_000)));
        // Over all memories, over all tables.
        assert!(memory.memory_growing(0, 60, None)? && memory.memory_growing(0, 40, None)?);
        assert!(!memory.memory_growing(40, 41, None)? && !memory.memory_growing(40, 41, None)?);
        assert_eq!(memory.denied, Some(BudgetKind::Memory));
        assert!(memory.table_growing(0, 9, None)? && memory.table_growing(9, 10, None)?);
        assert!(!memory.table_growing(0, 1, None)?);
        assert_eq!(memory.denied, Some(BudgetKind::Table));
        let over = stats.counters().over_budget;
        assert_eq!((over.get("memory"), over.get("table")), (Some(&1), Some(&1)));
        Ok(())
    }

    #[test]
    fn all_instances_share_what_there_is() -> wasmtime::Result<()> {
        let total = Arc::new(TotalMemory::new(100));
        let memory = || Memory::new(&Limits::default(), 0, Arc::default(), Arc::clone(&total));
        let (mut one, mut two) = (memory(), memory());
        assert!(one.memory_growing(0, 60, None)? && two.memory_growing(0, 39, None)?);
        assert!(two.memory_growing(39, 40, None)? && !two.memory_growing(40, 41, None)?);
        assert_eq!(two.denied, Some(BudgetKind::AllMemory));
        drop(one);
        assert!(two.memory_growing(40, 100, None)? && !two.memory_growing(100, 101, None)?);
        drop(two);
        assert_eq!(total.bytes.load(Relaxed), 0);
        Ok(())
    }
}
