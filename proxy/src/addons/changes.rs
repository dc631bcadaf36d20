//! How what is in force changes: loads, one swap, and the snapshot afterwards.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};
use tokio::task::{JoinSet, spawn_blocking};
use tokio_util::sync::CancellationToken;

use super::{
    component::LoadError,
    engine::Engine,
    entry::Entry,
    force::Force,
    generation::Generation,
    hold::HeldAddon,
    loader::{Given, Loader, Source},
    options::{self, Choice, Document, Had, Offer, Origin},
    settings::{AddonSettings, OptionsSource, Settings},
    status::Readiness,
};
use crate::hooks::{Addon as _, Chain};

/// Everything that a change of addons needs.
pub(super) struct Shared {
    settings: ArcSwap<Settings>,
    pub(super) loader: Loader,
    pub(super) entries: RwLock<BTreeMap<Arc<str>, Arc<Entry>>>,
    /// Whose options are held; locked after `entries`.
    pub(super) held: Mutex<BTreeMap<Arc<str>, HeldAddon>>,
    pub(super) force: Force,
    directory: Mutex<Directory>,
    /// Ends the following of servers.
    pub(super) stopped: CancellationToken,
}

#[derive(Default)]
struct Directory {
    error: Option<String>,
    was_there: bool,
    refused: BTreeMap<PathBuf, String>,
}

/// Why an addon is loaded.
pub(super) enum Cause {
    /// Its file is new or changed, or its settings may be others.
    File,
    /// Its options file changed.
    OptionsFile,
    /// Somebody wants it loaded, whether it changed or not.
    Asked,
    /// Somebody has new options.
    Put(Document),
    /// A server has new options.
    Fetched,
}

/// What a load led to.
pub(super) enum Loaded {
    New(Box<Generation>),
    /// What would be loaded is in force.
    Same,
}

// How long a generation has to be in force before its snapshot is taken: options that change all the time, as in tests
// of a Matrix server, would keep the compiler busy for nothing.
const STEADY: Duration = Duration::from_millis(100);

impl Shared {
    /// Nothing in force yet.
    pub(super) fn new(engine: Engine, settings: Settings) -> Self {
        let force = Force::new(&settings, Arc::clone(engine.seats()));
        let loader = Loader::new(engine, settings.compilers);
        Self {
            settings: ArcSwap::from_pointee(settings),
            loader,
            entries: RwLock::default(),
            held: Mutex::default(),
            force,
            directory: Mutex::default(),
            stopped: CancellationToken::new(),
        }
    }

    pub(super) const fn engine(&self) -> &Engine {
        self.loader.engine()
    }

    pub(super) fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    pub(super) fn chain(&self, listener: &str) -> Arc<Chain> {
        self.force.chain(listener)
    }

    pub(super) fn entry(&self, name: &str) -> Option<Arc<Entry>> {
        self.entries.read().get(name).cloned()
    }

    pub(super) fn entries(&self) -> Vec<Arc<Entry>> {
        self.entries.read().values().cloned().collect()
    }

    pub(super) fn readiness(&self) -> Readiness {
        let settings = self.settings();
        let is_in_force = |name: &str| self.entry(name).is_some_and(|entry| entry.current().is_some());
        let missing: BTreeSet<&str> = settings.expected().filter(|name| !is_in_force(name)).collect();
        let failed = self.entries().into_iter().filter_map(|entry| Some((entry.name.to_string(), entry.error()?)));
        let is_quarantined = |entry: &Arc<Entry>| entry.current().is_some_and(|current| current.quarantine().is_shut());
        let quarantined = self.entries().into_iter().filter(is_quarantined).map(|entry| entry.name.to_string()).collect();
        let directory = self.directory.lock();
        let refused = directory.refused.iter().map(|(path, error)| (path.display().to_string(), error.clone()));
        Readiness {
            missing: missing.into_iter().map(str::to_owned).collect(),
            failed: failed.chain(refused).collect(),
            quarantined,
            directory: directory.error.clone().filter(|_| directory.was_there || self.settings().needs_plugins),
        }
    }

    /// All that was there at the start is loaded: from now on the log tells of addons that are missed.
    pub(super) fn started(&self) {
        self.force.started(&self.settings());
    }

    /// What the directory looks like: why it cannot be read, and files that cannot be addons.
    pub(super) fn saw_directory(&self, error: Option<String>, refused: BTreeMap<PathBuf, String>) {
        let mut directory = self.directory.lock();
        if let Some(text) = error.as_ref().filter(|_| directory.error != error) {
            let path = &self.settings().plugins;
            tracing::warn!(directory = %path.display(), error = text, "cannot read the plugins directory; addons stay as they are");
        }
        if error.is_none() {
            for (path, error) in refused.iter().filter(|(path, _)| !directory.refused.contains_key(*path)) {
                tracing::warn!(file = %path.display(), error, "not an addon");
            }
            directory.refused = refused;
        }
        directory.was_there |= error.is_none();
        directory.error = error;
    }

    /// The entry of an addon whose file was seen.
    pub(super) fn seen(&self, name: &str) -> Arc<Entry> {
        let file = self.settings().file(name);
        let name: Arc<str> = Arc::from(name);
        let mut entries = self.entries.write();
        let supply = || self.held.lock().get_mut(&name).and_then(|held| held.heir.take()).unwrap_or_default();
        let new = || Arc::new(Entry::new(Arc::clone(&name), file, supply()));
        Arc::clone(entries.entry(Arc::clone(&name)).or_insert_with(new))
    }

    /// Its file is gone.
    pub(super) fn remove(&self, name: &str) {
        {
            let mut entries = self.entries.write();
            let Some(entry) = entries.remove(name) else { return };
            entry.remove();
            // Should it come back, what is held is still held.
            if let Some(held) = self.held.lock().get_mut(name) {
                *held = HeldAddon { generation: None, heir: entry.supply.heir() };
            }
        }
        self.force.change(&self.settings(), |_, current| current.remove(name));
        tracing::info!(addon.name = name, "addon removed");
    }

    /// Loads an addon and puts it in force. On failure what was in force stays, as far as the settings let it: see
    /// [`Self::hold_to_settings`].
    pub(super) async fn load(self: &Arc<Self>, entry: &Arc<Entry>, cause: Cause) -> Result<(), LoadError> {
        let fetched = self.fetch_for(entry, &cause).await;
        let (had, _fetching) = fetched.map_or((None, None), |(had, fetching)| (Some(had), Some(fetching)));
        let loaded = self.load_with(entry, cause, had).await;
        self.follow(entry);
        loaded
    }

    /// The same with what the server of the options has, if it was asked.
    pub(super) async fn load_with(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        cause: Cause,
        had: Option<Result<Had, LoadError>>,
    ) -> Result<(), LoadError> {
        let _turn = entry.turn.lock().await;
        entry.is_queued.store(false, SeqCst);
        if matches!(cause, Cause::Put(_)) && entry.supply.is_held() {
            return Err(LoadError::Held);
        }
        entry.begin();
        let settings = self.settings();
        let addon = settings.addon(&entry.name);
        let choice = self.choose(entry, &settings, &addon, &cause, had).await;
        let tried = self.attempt(entry, &settings, &addon, &cause, choice).await;
        let Err((error, origin)) = tried else { return Ok(()) };
        entry.supply.refused(&addon.options, &origin, &error);
        let has_none = entry.current().is_none();
        let is_put = matches!(cause, Cause::Put(_)) || entry.supply.is_held();
        let may_copy = has_none && error.is_of_options() && !is_put;
        if may_copy && self.take_copy(entry, &settings, &addon, &cause, &error).await {
            return Ok(());
        }
        // Options on trial say nothing about the file, nor does a server about what is in force: what was wrong still is.
        let is_on_trial = matches!(cause, Cause::Put(_)) || matches!(origin, Origin::Server { .. } | Origin::Nowhere);
        let is_kept = matches!(cause, Cause::Put(_)) || (is_on_trial && !has_none);
        let told = if is_kept { entry.error() } else { Some(error.to_string()) };
        let then = self.hold_to_settings(entry, told).await;
        tracing::warn!(addon.name = &*entry.name, %error, "addon not loaded; {then}");
        Err(error)
    }

    /// After a load that failed: whatever keeps new code or new options from being in force, the settings are, and an operator
    /// who takes a grant away means it. So code and options that are in force go on under the settings of now; what cannot do
    /// with the grants of now is in force no more, and its failure policy stands in its place. `error` tells of the load. Tells
    /// what became of it.
    async fn hold_to_settings(self: &Arc<Self>, entry: &Arc<Entry>, error: Option<String>) -> &'static str {
        const STAYS: &str = "what was in force stays";
        let addon = self.settings().addon(&entry.name);
        let Some(current) = entry.current().filter(|current| !current.is_under(&addon)) else {
            entry.end(error);
            return STAYS;
        };
        let source = Source::Compiled(Box::new(current.compiled().clone()));
        let options = Given::again(Arc::clone(&current.setup().options), Some(&current));
        match self.loader.load(&entry.name, &addon, source, options, &entry.stats).await {
            Ok(generation) => {
                self.accept(entry, generation, error);
                "what was in force goes on under the settings of now"
            }
            // Policies and budgets that it cannot do with take nothing from anybody.
            Err(_) if addon.grants == current.setup().grants => {
                entry.end(error);
                STAYS
            }
            Err(why) => {
                let why = why.to_string();
                self.force.change(&self.settings(), |_, current| {
                    if entry.withdraw(why) {
                        current.withdraw(&entry.name);
                    }
                });
                "what was in force is withdrawn: it cannot do with the grants of now"
            }
        }
    }

    // The document that is to be tried, and where it comes from.
    async fn choose(
        &self,
        entry: &Entry,
        settings: &Settings,
        addon: &AddonSettings,
        cause: &Cause,
        had: Option<Result<Had, LoadError>>,
    ) -> Choice {
        if let Cause::Put(document) = cause {
            return Choice { document: Ok(document.clone()), origin: Origin::Put };
        }
        let offer = match &addon.options {
            OptionsSource::Url(url) => entry.supply.offer(url, had),
            source => {
                let (source, limit) = (source.clone(), settings.max_options);
                let read = spawn_blocking(move || options::offer(&source, limit)).await;
                read.unwrap_or_else(|error| Offer::none(LoadError::Internal(error.to_string())))
            }
        };
        // Who asks wants to know that there is no answer.
        if matches!(cause, Cause::Asked) && offer.origin == Origin::Nowhere {
            return Choice { document: offer.document, origin: offer.origin };
        }
        entry.supply.choose(&addon.options, offer)
    }

    /// Puts a document in force, or tells why not.
    pub(super) async fn attempt(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        settings: &Settings,
        addon: &AddonSettings,
        cause: &Cause,
        choice: Choice,
    ) -> Result<(), (LoadError, Origin)> {
        let Choice { document, origin } = choice;
        let document = match document {
            Ok(document) => document,
            Err(error) => return Err((error, origin)),
        };
        let error = error_after(entry, cause, &origin);
        let before = entry.current().filter(|_| !matches!(cause, Cause::Put(_)));
        let number = match self.generation(entry, settings, addon, cause, &document, before.as_deref()).await {
            Ok(Loaded::New(generation)) => {
                tell_warnings(entry, &document);
                self.accept(entry, *generation, error)
            }
            Ok(Loaded::Same) => {
                entry.end(error);
                entry.number()
            }
            Err(error) => return Err((error, origin)),
        };
        entry.supply.took(&addon.options, &origin, &document, number);
        if let (Origin::Server { .. }, OptionsSource::Url(url)) = (&origin, &addon.options) {
            self.save_copy(entry, settings, url).await;
        }
        Ok(())
    }

    /// What these options make of the addon, not yet in force. Where they are those of the generation `before`, they keep their
    /// name; none: they are put in force anew.
    pub(super) async fn generation(
        &self,
        entry: &Entry,
        settings: &Settings,
        addon: &AddonSettings,
        cause: &Cause,
        document: &Document,
        before: Option<&Generation>,
    ) -> Result<Loaded, LoadError> {
        let current = entry.current();
        let wants_file = !matches!(cause, Cause::Put(_) | Cause::Fetched) || current.is_none();
        let (bytes, turn) = if wants_file {
            let turn = self.loader.turn().await;
            let (path, limit) = (entry.file.clone(), settings.max_component);
            let read = spawn_blocking(move || options::read(&path, "a component", limit)).await;
            (Some(read.map_err(|error| LoadError::Internal(error.to_string()))??), turn)
        } else {
            (None, None)
        };
        let mut is_same = false;
        let source = match (&current, bytes) {
            (Some(current), bytes) if bytes.as_ref().is_none_or(|bytes| *bytes == *current.compiled().bytes) => {
                is_same = document.text == current.setup().options && current.is_under(addon);
                Source::Compiled(Box::new(current.compiled().clone()))
            }
            (_, bytes) => Source::Bytes(bytes.unwrap_or_default().into(), turn),
        };
        if is_same && !matches!(cause, Cause::Asked | Cause::Put(_)) {
            return Ok(Loaded::Same);
        }
        let document = Arc::clone(&document.text);
        let options = Given::again(document, before);
        let generation = self.loader.load(&entry.name, addon, source, options, &entry.stats).await?;
        Ok(Loaded::New(Box::new(generation)))
    }

    fn accept(self: &Arc<Self>, entry: &Arc<Entry>, generation: Generation, error: Option<String>) -> u64 {
        let generation = Arc::new(generation);
        let number = self.force.change(&self.settings(), |number, current| {
            if entry.accept(&generation, number, error) {
                current.insert(&entry.name, &generation);
            }
        });
        self.tell(entry, &generation, number);
        number
    }

    /// The log is told what is in force, and its snapshot is taken when it is time.
    pub(super) fn tell(self: &Arc<Self>, entry: &Arc<Entry>, generation: &Generation, number: u64) {
        let events: BTreeSet<_> = generation.subscriptions().iter().map(|wanted| wanted.event.as_str()).collect();
        tracing::info!(addon.name = &*entry.name, generation = number, ?events, "addon in force");
        if entry.claim_freezing() {
            let (shared, entry) = (Arc::clone(self), Arc::clone(entry));
            tokio::spawn(async move { shared.freeze(&entry).await });
        }
    }

    // Takes snapshots of what is in force, until there is nothing to take.
    async fn freeze(&self, entry: &Entry) {
        while let Some(generation) = entry.next_to_freeze() {
            tokio::time::sleep(STEADY).await;
            let is_current = entry.current().is_some_and(|current| Arc::ptr_eq(&current, &generation));
            if !is_current {
                continue;
            }
            match self.loader.freeze(&generation).await {
                Ok(snapshot) => {
                    generation.freeze(snapshot);
                    tracing::info!(addon.name = &*entry.name, "instances start from a snapshot now");
                }
                Err(error) => {
                    let warning = format!("no snapshot, every instance is configured anew: {error}");
                    tracing::warn!(addon.name = &*entry.name, %error, "no snapshot, every instance is configured anew");
                    entry.give_up_freezing(&generation, warning);
                }
            }
        }
    }

    /// Takes over settings of addons and listeners, and loads what they change.
    pub(super) async fn update(self: &Arc<Self>, settings: Settings) {
        self.engine().carrier().grant(settings.outboxes());
        self.settings.store(Arc::new(settings));
        let mut loads = JoinSet::new();
        for entry in self.entries() {
            let shared = Arc::clone(self);
            // What is the same stays in force; what is not says so in the log.
            loads.spawn(async move { drop(shared.load(&entry, Cause::File).await) });
        }
        loads.join_all().await;
        self.force.change(&self.settings(), |_, _| {});
    }
}

/// What is still wrong if this load goes well.
pub(super) fn error_after(entry: &Entry, cause: &Cause, origin: &Origin) -> Option<String> {
    let before = entry.error();
    match cause {
        // It read no file.
        Cause::Put(_) | Cause::Fetched if entry.current().is_some() => before,
        // The file is as bad as it was.
        Cause::File | Cause::OptionsFile | Cause::Asked if matches!(origin, Origin::Put | Origin::Held) => {
            before.filter(|before| entry.supply.error().as_ref() == Some(before))
        }
        _ => None,
    }
}

fn tell_warnings(entry: &Entry, document: &Document) {
    let is_known = entry.current().is_some_and(|current| current.setup().options == document.text);
    for warning in document.warnings.iter().filter(|_| !is_known) {
        tracing::warn!(addon.name = &*entry.name, warning, "options: not strict JSON");
    }
}
