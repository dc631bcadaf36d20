//! The one wasmtime engine of the process, every knob set on purpose.

use std::{path::Path, sync::Arc};

use tokio::runtime::Handle;
use wasmtime::{
    Cache, CacheConfig, Config, Enabled, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, component::Linker,
};

use super::{
    aside::{Aside, Lanes},
    bindings, cache,
    limits::Limits,
    rest::{self, Room},
    seats::Seats,
    settings::Settings,
    state::{HostState, TotalMemory},
    ticker::{Running, Ticker},
    wasi,
};
use crate::{
    dns::Names,
    kv::Store,
    outbound::{Carrier, Service},
};

/// Compiles components and holds the slots that instances live in. Cheap to share; its clock stops with the last handle.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    wasmtime: wasmtime::Engine,
    linker: Linker<HostState>,
    ticker: Ticker,
    aside: Aside,
    secret: cache::Secret,
    max_instances: u32,
    memory: Arc<TotalMemory>,
    guest_stack: usize,
    seats: Arc<Seats>,
    room: Arc<Room>,
    outbound: Outbound,
    carrier: Carrier,
    store: Arc<dyn Store>,
}

/// What makes requests of addons, and the runtime that their connections live in: that of the start, whichever the guest
/// runs in.
#[derive(Clone)]
pub(super) struct Outbound {
    pub(super) service: Arc<Service>,
    pub(super) names: Arc<Names>,
    pub(super) runtime: Handle,
}

// A component made by wit-component is one module, a shim with a table, and a fixup; more is allowed for composed ones.
const CORE_INSTANCES: u32 = 8;
const MEMORIES: u32 = 2;
const TABLES: u32 = 4;

// What is left to the host functions that a guest calls, beyond what its own code may use. Recursion in the guest ends in a
// trap at its limit; the host's part is never in the guest's hands.
const HOST_STACK: usize = 1 << 20;

// Most of the cost of a fresh instance is page faults. What stays resident in a slot is put back by copying instead.
const KEEP_RESIDENT: usize = 1 << 20;
// Without the kernel's help (PAGEMAP_SCAN, Linux 6.7) all of it is put back, touched or not, so less is kept.
const KEEP_RESIDENT_BLIND: usize = 128 << 10;
// Slots that stay warm for one addon while others are in use: bounds what an idle proxy keeps resident.
const WARM_SLOTS: u32 = 64;

// Slots beyond those of flows: so a change of options or code, which configures an instance, goes through when flows have
// taken all of theirs, and takes none away from them. Loads and snapshots at one time are far fewer.
const SPARE: u32 = 16;

// The part of the memory of all instances that those between two flows may have.
const RESTING: usize = 8;

const FUNCTION_CACHE: usize = 32 << 20;

impl Engine {
    /// An engine with slots for `settings.max_instances` and some more, stacks of `settings.guest_stack` and its cache in `settings.cache`.
    ///
    /// # Errors
    /// When the address space or the cache directory cannot be had.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn new(settings: &Settings) -> anyhow::Result<Self> {
        let directory = cache::directory(&settings.cache)?;
        let secret = cache::secret(&directory)?;
        let (max_instances, guest_stack) = (settings.max_instances, settings.guest_stack);
        let slots = max_instances.saturating_add(SPARE).saturating_add(rest::MOST);
        let wasmtime = wasmtime::Engine::new(&config(slots, guest_stack, &directory)?)?;
        let ticker = Ticker::start(&wasmtime)?;
        let aside = Aside::start()?;
        let mut linker = Linker::new(&wasmtime);
        bindings::add_to_linker(&mut linker)?;
        wasi::add_to_linker(&mut linker)?;
        let memory = Arc::new(TotalMemory::new(settings.guest_memory));
        let seats = Seats::new(max_instances);
        let room = Room::new(settings.guest_memory / RESTING);
        let service = Arc::new(Service::new(settings.own_addresses.clone()));
        let carrier = Carrier::new(&service, Handle::current());
        carrier.grant(settings.outboxes());
        let names = Arc::new(Names::new(settings.nameservers.clone()));
        let outbound = Outbound { service, names, runtime: Handle::current() };
        let store = Arc::clone(&settings.store);
        let shared = Shared {
            wasmtime,
            linker,
            ticker,
            aside,
            secret,
            max_instances,
            memory,
            guest_stack,
            seats,
            room,
            outbound,
            carrier,
            store,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    pub(super) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.shared.wasmtime
    }

    pub(super) fn linker(&self) -> &Linker<HostState> {
        &self.shared.linker
    }

    pub(super) fn secret(&self) -> &cache::Secret {
        &self.shared.secret
    }

    /// Seats for instances of flows.
    pub(super) fn seats(&self) -> &Arc<Seats> {
        &self.shared.seats
    }

    /// Room for instances between two flows.
    pub(super) fn room(&self) -> &Arc<Room> {
        &self.shared.room
    }

    /// Instances of flows that may live at one time.
    #[must_use]
    pub fn max_instances(&self) -> u32 {
        self.shared.max_instances
    }

    /// Where guests run that would hold up threads that serve.
    pub(super) fn aside(&self) -> Handle {
        self.lanes().aside
    }

    /// The same, and what is behind that.
    pub(super) fn lanes(&self) -> Lanes {
        self.shared.aside.lanes()
    }

    /// Bytes of stack that a guest's own code may use.
    #[must_use]
    pub fn guest_stack(&self) -> usize {
        self.shared.guest_stack
    }

    pub(super) fn outbound(&self) -> &Outbound {
        &self.shared.outbound
    }

    /// What takes requests that wait in outboxes to where they go.
    pub(super) fn carrier(&self) -> &Carrier {
        &self.shared.carrier
    }

    /// What all guests together have of memory.
    pub(super) fn memory(&self) -> Arc<TotalMemory> {
        Arc::clone(&self.shared.memory)
    }

    /// What addons keep between flows, whatever becomes of the addons.
    pub(super) fn store(&self) -> &Arc<dyn Store> {
        &self.shared.store
    }

    pub(super) fn running(&self) -> Running {
        self.shared.ticker.running()
    }
}

fn config(slots: u32, guest_stack: usize, cache: &Path) -> wasmtime::Result<Config> {
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool(slots)))
        .epoch_interruption(true)
        .consume_fuel(false)
        .max_wasm_stack(guest_stack)
        .async_stack_size(guest_stack.saturating_add(HOST_STACK))
        // Nothing of a stack is ever shown to a guest; zeroing would cost a system call a call.
        .async_stack_zeroing(false)
        .concurrency_support(false)
        .shared_memory(false)
        .wasm_threads(false)
        .wasm_gc(false)
        .wasm_function_references(false)
        .wasm_exceptions(false)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_relaxed_simd(false)
        .wasm_tail_call(false)
        // Names of functions are enough in a trap's backtrace; the map from code to bytes costs memory and load time.
        .generate_address_map(false)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(16))
        // Nothing here unwinds through guests: it would be more to write, read and map.
        .native_unwind_info(false)
        // Each compilation has one thread: flows keep the other cores, and what the allocator keeps back is halved.
        .parallel_compilation(false)
        .memory_init_cow(true)
        // Memories of snapshots up to the default limit are mapped, never copied, however scattered what is in them.
        .memory_guaranteed_dense_image_size(64 << 20)
        .cranelift_opt_level(OptLevel::Speed)
        .enable_incremental_compilation(Arc::new(cache::Functions::new(FUNCTION_CACHE)))?;
    let mut files = CacheConfig::new();
    files.with_directory(cache.join("code"));
    config.cache(Some(Cache::new(files)?));
    Ok(config)
}

fn pool(slots: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    let keep = if PoolingAllocationConfig::is_pagemap_scan_available() { KEEP_RESIDENT } else { KEEP_RESIDENT_BLIND };
    pool.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(4))
        .total_memories(slots)
        .total_tables(slots.saturating_mul(2))
        .total_stacks(slots)
        .total_gc_heaps(1)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_memories_per_module(1)
        .max_tables_per_module(2)
        .max_core_instance_size(1 << 20)
        .max_component_instance_size(1 << 20)
        .table_elements(Limits::MAX_TABLE)
        .max_memory_size(Limits::MAX_MEMORY)
        .max_unused_warm_slots(WARM_SLOTS)
        .linear_memory_keep_resident(keep)
        .table_keep_resident(64 << 10)
        .pagemap_scan(Enabled::Auto);
    pool
}
