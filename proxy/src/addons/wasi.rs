//! As much of WASI 0.2 as Rust's standard library wants: clocks, random numbers, output as log lines.
//!
//! Everything else of it is absent: functions that answer with a list or an option answer with an empty one (no directory,
//! no environment variable, no terminal), all others trap. So there is no file, no socket and no environment to reach,
//! and no code of the host behind them.

mod clocks;
mod io;
mod random;
mod stdio;

use std::sync::{Arc, atomic::AtomicU64};

use wasmtime::{
    Result,
    component::{Component, HasSelf, Linker, LinkerInstance, ResourceTable, ResourceType, Type, Val, types::ComponentItem},
};
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, DynPollable, IoError,
    bindings::{cli, clocks as clock, random as rand},
};

use super::{engine::Engine, state::HostState};

pub(super) use random::Random;

/// Handles that a guest was given: made for the first one.
pub(super) struct Wasi {
    pub(super) table: ResourceTable,
    /// The flow that the instance is of; 0: none.
    pub(super) flow: Arc<AtomicU64>,
}

/// Interfaces that are there, without version.
const PRESENT: [&str; 12] = [
    "wasi:cli/exit",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/stderr",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];

/// Starts of the names of interfaces that may be imported though there is nothing behind them.
const ABSENT: [&str; 4] = ["wasi:cli/environment", "wasi:cli/terminal-", "wasi:filesystem/", "wasi:sockets/"];

impl Wasi {
    /// An empty table for what stands behind at most so many handles of the guest, which the store counts.
    pub(super) fn new(handles: usize, flow: u64) -> Self {
        let mut table = ResourceTable::new();
        // A handle may have something behind it that the guest has no handle of, like the alarm that a pollable is for.
        table.set_max_capacity(handles.saturating_mul(2));
        Self { table, flow: Arc::new(AtomicU64::new(flow)) }
    }
}

/// Whether a guest may import this interface of WASI.
pub(super) fn is_known(interface: &str) -> bool {
    PRESENT.contains(&interface) || is_absent(interface)
}

/// Whether a guest may import this interface and there is nothing behind it.
pub(super) fn is_absent(interface: &str) -> bool {
    ABSENT.iter().any(|start| interface.starts_with(start))
}

/// Links what is there.
pub(super) fn add_to_linker(linker: &mut Linker<HostState>) -> Result<()> {
    type Own = HasSelf<HostState>;
    clock::monotonic_clock::add_to_linker::<_, Own>(linker, |state| state)?;
    clock::wall_clock::add_to_linker::<_, Own>(linker, |state| state)?;
    rand::random::add_to_linker::<_, Own>(linker, |state| state)?;
    rand::insecure::add_to_linker::<_, Own>(linker, |state| state)?;
    rand::insecure_seed::add_to_linker::<_, Own>(linker, |state| state)?;
    cli::exit::add_to_linker::<_, Own>(linker, |state| state)?;
    cli::stdin::add_to_linker::<_, Own>(linker, |state| state)?;
    cli::stdout::add_to_linker::<_, Own>(linker, |state| state)?;
    cli::stderr::add_to_linker::<_, Own>(linker, |state| state)?;
    io::add_to_linker(linker)
}

/// Links what this component imports though it is absent.
pub(super) fn add_absent(engine: &Engine, linker: &mut Linker<HostState>, component: &Component) -> Result<()> {
    let ty = component.component_type();
    for (name, import) in ty.imports(engine.wasmtime()) {
        let interface = name.split('@').next().unwrap_or_default();
        let ComponentItem::ComponentInstance(instance) = import.ty else { continue };
        if !is_absent(interface) {
            continue;
        }
        let mut imported = linker.instance(name)?;
        for (item, export) in instance.exports(engine.wasmtime()) {
            match export.ty {
                ComponentItem::ComponentFunc(_) => absent_function(&mut imported, format!("{interface}#{item}"), item)?,
                ComponentItem::Resource(_) => imported.resource(item, resource(item), |_, _| Ok(()))?,
                _ => {}
            }
        }
    }
    Ok(())
}

fn absent_function(interface: &mut LinkerInstance<'_, HostState>, whole: String, name: &str) -> Result<()> {
    interface.func_new(name, move |_, ty, _, results| {
        for (result, ty) in results.iter_mut().zip(ty.results()) {
            *result = match ty {
                Type::List(_) => Val::List(Vec::new()),
                Type::Option(_) => Val::Option(None),
                _ => return Err(wasmtime::Error::msg(format!("{whole} is not there for addons"))),
            };
        }
        Ok(())
    })
}

// Absent interfaces mention handles of present ones; their own are never given out, so any type will do.
fn resource(name: &str) -> ResourceType {
    match name {
        "input-stream" => ResourceType::host::<DynInputStream>(),
        "output-stream" => ResourceType::host::<DynOutputStream>(),
        "pollable" => ResourceType::host::<DynPollable>(),
        "error" => ResourceType::host::<IoError>(),
        _ => ResourceType::host::<()>(),
    }
}
