//! From bytes and options to a generation, and from a generation to its snapshot.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime_wasi::{p2::bindings::random::random::Host as _, random::WasiRandomCtx};

use super::{
    call::Course,
    component::{Compiled, LoadError, compile},
    configure::{self, Setup},
    engine::Engine,
    generation::Generation,
    lines::Lines,
    settings::AddonSettings,
    snapshot::{self, Unfrozen},
    stats::Stats,
};
use crate::hooks::Addon as _;

/// Compiles, configures and freezes, off the threads that serve and never too much of it at one time.
pub(super) struct Loader {
    engine: Engine,
    compilers: Semaphore,
    // Files in memory at one time: a thousand new ones do not take a thousand times their size.
    loads: Arc<Semaphore>,
}

/// To be held while a file is read and compiled.
pub(super) type Turn = OwnedSemaphorePermit;

/// Where the code of a generation comes from.
pub(super) enum Source {
    /// A file's content, with the turn to compile it.
    Bytes(Bytes, Option<Turn>),
    /// The generation before: only options are new.
    Compiled(Box<Compiled>),
}

/// The options of a generation.
pub(super) struct Given {
    document: Arc<str>,
    // None: they are to have a new one.
    name: Option<Arc<str>>,
}

const LOADS: usize = 4;

impl Given {
    /// Put in force now, whatever was before: they get a name that no others had.
    pub(super) const fn anew(document: Arc<str>) -> Self {
        Self { document, name: None }
    }

    /// Those that this generation has, if it has these: only code or settings are new, so that they keep their name.
    pub(super) fn again(document: Arc<str>, generation: Option<&Generation>) -> Self {
        let same = generation.map(Generation::setup).filter(|setup| setup.options == document);
        Self { document, name: same.map(|setup| Arc::clone(&setup.generation)) }
    }
}

impl Loader {
    /// A loader that compiles so many components at one time.
    pub(super) fn new(engine: Engine, compilers: usize) -> Self {
        Self { engine, compilers: Semaphore::new(compilers.max(1)), loads: Arc::new(Semaphore::new(LOADS)) }
    }

    pub(super) const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// To be held while a file is read and compiled. None: never.
    pub(super) async fn turn(&self) -> Option<Turn> {
        Arc::clone(&self.loads).acquire_owned().await.ok()
    }

    /// A generation of this code with these options, if it asks for no more than it is granted.
    pub(super) async fn load(
        &self,
        name: &Arc<str>,
        settings: &AddonSettings,
        source: Source,
        options: Given,
        stats: &Arc<Stats>,
    ) -> Result<Generation, LoadError> {
        let generation = self.configure(name, settings, source, options, stats).await?;
        let violations = settings.grants.violations(generation.subscriptions());
        if violations.is_empty() {
            Ok(generation)
        } else {
            Err(LoadError::NotGranted(violations.iter().map(ToString::to_string).collect()))
        }
    }

    /// A generation of this code with these options, whatever it asks for.
    pub(super) async fn configure(
        &self,
        name: &Arc<str>,
        settings: &AddonSettings,
        source: Source,
        options: Given,
        stats: &Arc<Stats>,
    ) -> Result<Generation, LoadError> {
        let compiled = match source {
            Source::Compiled(compiled) => *compiled,
            // The turn ends here: how long `configure` takes is the guest's affair, and must not hold up the loads of others.
            Source::Bytes(bytes, _turn) => self.compile(bytes).await?,
        };
        let Given { document: options, name: generation } = options;
        let setup = Setup {
            engine: self.engine.clone(),
            name: Arc::clone(name),
            limits: settings.limits,
            grants: Arc::clone(&settings.grants),
            seed: Setup::seed(&self.engine, &compiled, &options),
            options,
            generation: generation.map_or_else(name_generation, Ok)?,
            lines: Lines::new(Arc::clone(name), &settings.limits, Arc::clone(stats)),
            stats: Arc::clone(stats),
        };
        let (work, blueprint, limits) = (setup.clone(), compiled.blueprint.clone(), settings.limits);
        let configured = self.engine.aside().spawn(async move {
            let configured = work.configure(&blueprint, None, Course::default()).await?;
            // Filters are anybody's, too, and take their time to compile.
            let subscriptions = configure::check(&configured.answer, &limits)?;
            Ok::<_, LoadError>((subscriptions, configured.answer, !configured.store.data().holds_no_handle()))
        });
        let (subscriptions, answer, holds_handle) =
            configured.await.map_err(|error| LoadError::Internal(error.to_string()))??;
        Ok(Generation::new(Arc::clone(name), settings, subscriptions, setup, compiled, answer, holds_handle))
    }

    async fn compile(&self, bytes: Bytes) -> Result<Compiled, LoadError> {
        let _permit = self.compilers.acquire().await;
        let engine = self.engine.clone();
        // The compiler is large and its input is anybody's: a panic of it is an error of the component.
        let work = engine.aside().spawn_blocking(move || compile(&engine, bytes));
        work.await.unwrap_or_else(|error| Err(LoadError::Invalid(error.to_string())))
    }

    /// A snapshot of this generation.
    pub(super) async fn freeze(&self, generation: &Arc<Generation>) -> Result<Compiled, Unfrozen> {
        if generation.holds_handle() {
            return Err(Unfrozen::Handle);
        }
        let _permit = self.compilers.acquire().await;
        let (generation, aside) = (Arc::clone(generation), self.engine.aside());
        let runtime = aside.clone();
        let work = move || runtime.block_on(snapshot::freeze(generation.setup(), generation.compiled(), generation.answer()));
        aside.spawn_blocking(work).await.unwrap_or_else(|error| Err(Unfrozen::Failed(error.to_string())))
    }
}

/// A name that no options had before.
fn name_generation() -> Result<Arc<str>, LoadError> {
    let number = WasiRandomCtx::default().get_random_u64().map_err(|error| LoadError::Internal(error.to_string()))?;
    Ok(format!("{number:016x}").into())
}
