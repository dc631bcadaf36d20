//! Freezing a configured instance into a component, so that flows need not configure theirs.

use wasmtime::{
    Store,
    component::{ComponentNamedList, Instance, Lift, WasmList},
};
use wasmtime_wizer::{ComponentInstanceState, Wizer};

use super::{
    bindings::hooks as wit,
    budget::{self, Budget},
    call::Course,
    component::{Compiled, LoadError, chain, compile},
    configure::Setup,
    limits::Limits,
    state::{HostState, Purpose},
    wasi::Random,
};

/// Why flows go on with a replay of `configure`.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfrozen {
    /// A snapshot holds memories and globals, not the host's tables.
    #[error("the guest holds a handle of the host after configure; did it print there? the log import needs none")]
    Handle,
    /// Something else than code and options decides.
    #[error("configure answered differently the second time")]
    Unsteady,
    /// The component does what snapshots cannot hold, or a step failed.
    #[error("{0}")]
    Failed(String),
}

// Reading a memory grows it by a page, and each is read twice.
const EXTRA_MEMORY: usize = 8 * (64 << 10);

/// Configures an instance of `code` once more and freezes it. `answer` is what it said the first time.
///
/// Takes up to seconds of CPU and of waiting for the guest: not for a thread that serves.
pub(super) async fn freeze(setup: &Setup, code: &Compiled, answer: &[wit::Subscription]) -> Result<Compiled, Unfrozen> {
    let wizer = Wizer::new();
    let (context, instrumented) = wizer.instrument_component(&code.bytes).map_err(failed)?;
    let instrumented = compile(&setup.engine, instrumented.into())?;
    let _running = setup.engine.running();
    let mut access = configure(setup, &instrumented, answer).await?;
    let frozen = wizer.snapshot_component(&context, &mut access).await.map_err(failed)?;
    if let Some(error) = access.error {
        return Err(failed(error));
    }
    drop(access.store);
    let frozen = compile(&setup.engine, frozen.into())?;
    try_out(setup, &frozen).await.map_err(failed)?;
    Ok(frozen)
}

async fn configure(setup: &Setup, code: &Compiled, answer: &[wit::Subscription]) -> Result<Access, Unfrozen> {
    let mut store = store(setup, Random::seeded(setup.seed, setup.limits.random));
    store.set_hostcall_fuel(Limits::MAX_MEMORY + EXTRA_MEMORY);
    let guest = code.blueprint.instantiate(&mut store).await.map_err(failed)?;
    match guest.configure(&mut store, &setup.options).await.map_err(failed)? {
        Ok(same) if same == answer => {}
        _ => return Err(Unfrozen::Unsteady),
    }
    if !store.data().holds_no_handle() {
        return Err(Unfrozen::Handle);
    }
    budget::begin(&mut store, Budget::configure(setup.limits.configure, Course::default()));
    Ok(Access { store, instance: *guest.instance(), last: 0, error: None })
}

async fn try_out(setup: &Setup, code: &Compiled) -> wasmtime::Result<()> {
    let mut store = store(setup, Random::system(setup.limits.random));
    code.blueprint.instantiate(&mut store).await.map(drop)
}

fn store(setup: &Setup, random: Random) -> Store<HostState> {
    let purpose = Purpose { facts: None, random, extra_memory: EXTRA_MEMORY };
    let mut store = setup.store(purpose);
    budget::begin(&mut store, Budget::configure(setup.limits.configure, Course::default()));
    store
}

/// Reads memories and globals through the exports that instrumentation added.
struct Access {
    store: Store<HostState>,
    instance: Instance,
    // Length of the memory read last.
    last: usize,
    // The trait has no way to fail: after the first error it reads zeros, and the result is thrown away.
    error: Option<wasmtime::Error>,
}

impl Access {
    async fn call<R>(&mut self, instance: &str, function: &str) -> wasmtime::Result<R>
    where
        R: Lift + Send + Sync + 'static,
        (R,): ComponentNamedList,
    {
        let missing = || wasmtime::Error::msg("instrumentation has left no access");
        let instance = self.instance.get_export_index(&mut self.store, None, instance).ok_or_else(missing)?;
        let function = self.instance.get_export_index(&mut self.store, Some(&instance), function).ok_or_else(missing)?;
        let function = self.instance.get_typed_func::<(), (R,)>(&mut self.store, function)?;
        Ok(function.call_async(&mut self.store, ()).await?.0)
    }

    async fn number<R>(&mut self, instance: &str, function: &str) -> R
    where
        R: Lift + Default + Send + Sync + 'static,
        (R,): ComponentNamedList,
    {
        match self.call(instance, function).await {
            Ok(number) => number,
            Err(error) => {
                self.error.get_or_insert(error);
                R::default()
            }
        }
    }
}

impl ComponentInstanceState for Access {
    async fn call_func_ret_list_u8(&mut self, instance: &str, func: &str, contents: impl FnOnce(&[u8]) + Send) {
        match self.call::<WasmList<u8>>(instance, func).await {
            Ok(list) => {
                let bytes = list.as_le_slice(&self.store);
                self.last = bytes.len();
                contents(bytes);
            }
            Err(error) => {
                self.error.get_or_insert(error);
                contents(&vec![0; self.last]);
            }
        }
    }

    async fn call_func_ret_s32(&mut self, instance: &str, func: &str) -> i32 {
        self.number(instance, func).await
    }

    async fn call_func_ret_s64(&mut self, instance: &str, func: &str) -> i64 {
        self.number(instance, func).await
    }

    async fn call_func_ret_f32(&mut self, instance: &str, func: &str) -> u32 {
        self.number::<f32>(instance, func).await.to_bits()
    }

    async fn call_func_ret_f64(&mut self, instance: &str, func: &str) -> u64 {
        self.number::<f64>(instance, func).await.to_bits()
    }
}

impl From<LoadError> for Unfrozen {
    fn from(error: LoadError) -> Self {
        Self::Failed(error.to_string())
    }
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(error: wasmtime::Error) -> Unfrozen {
    Unfrozen::Failed(chain(&error))
}
