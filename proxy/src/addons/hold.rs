//! Options that are held for a while: documents of several addons, in force together or not at all, and what comes back afterwards.
//!
//! What is held stands over everything that options come from, for an addon that is loaded anew as well as for one that goes and
//! comes back. Afterwards all is as though nothing had been held: what was put before is in force again, or what the source
//! showed meanwhile.

use std::{collections::BTreeMap, sync::Arc};

use tokio::{sync::OwnedMutexGuard, task::spawn_blocking};

use super::{
    changes::{Cause, Loaded, Shared, error_after},
    component::LoadError,
    entry::Entry,
    generation::Generation,
    loader::{Given, Source},
    options::{self, Choice, Document, Offer, Origin, Supply},
    registry::ChangeError,
    settings::{AddonSettings, OptionsSource, Settings},
};

/// An addon whose options are held.
pub(super) struct HeldAddon {
    /// What was in force before; none if its file was gone meanwhile.
    pub(super) generation: Option<Arc<Generation>>,
    /// While its file is gone: what is held for it.
    pub(super) heir: Option<Supply>,
}

/// Documents that their addons have accepted. None of them is in force yet; no other load of these addons begins before this is
/// committed or dropped.
pub struct Prepared {
    shared: Arc<Shared>,
    trials: Vec<Trial>,
}

struct Trial {
    entry: Arc<Entry>,
    document: Document,
    generation: Arc<Generation>,
    before: Arc<Generation>,
    _turn: OwnedMutexGuard<()>,
}

/// The way back of one addon.
struct Return {
    entry: Arc<Entry>,
    addon: AddonSettings,
    /// None: there is nothing that could be in force.
    generation: Option<Arc<Generation>>,
    /// None: those that were in force before.
    options: Option<(Document, Origin)>,
    /// What is still wrong.
    error: Option<String>,
    _turn: OwnedMutexGuard<()>,
}

/// Why the options of an addon are not restored.
const GONE: &str = "the addon is gone";

impl Shared {
    /// Tries a document for each of these addons, and changes nothing.
    ///
    /// # Errors
    /// Every document that is not to be held, and why.
    pub(super) async fn prepare(
        self: &Arc<Self>,
        documents: BTreeMap<String, Document>,
    ) -> Result<Prepared, Vec<(String, ChangeError)>> {
        let (mut trials, mut errors) = (Vec::new(), Vec::new());
        // In the order of their names: whoever else takes several turns does the same.
        for (name, document) in documents {
            match self.try_out(&name, document).await {
                Ok(trial) => trials.push(trial),
                Err(error) => errors.push((name, error)),
            }
        }
        if errors.is_empty() { Ok(Prepared { shared: Arc::clone(self), trials }) } else { Err(errors) }
    }

    async fn try_out(self: &Arc<Self>, name: &str, document: Document) -> Result<Trial, ChangeError> {
        let entry = self.entry(name).ok_or_else(|| ChangeError::Unknown(name.to_owned()))?;
        let turn = Arc::clone(&entry.turn).lock_owned().await;
        let before = entry.current().ok_or_else(|| ChangeError::NotInForce(entry.error()))?;
        let settings = self.settings();
        let (addon, cause) = (settings.addon(name), Cause::Put(document.clone()));
        match self.generation(&entry, &settings, &addon, &cause, &document, None).await? {
            Loaded::New(generation) => Ok(Trial { entry, document, generation: Arc::new(*generation), before, _turn: turn }),
            Loaded::Same => Err(LoadError::Internal("options that are tried are never the same".to_owned()).into()),
        }
    }

    /// Ends the holding for these addons: what would be in force without it is, in one swap. Tells what could not be restored, and
    /// why; nothing that was held is in force afterwards.
    pub(super) async fn release(self: &Arc<Self>, names: &[String]) -> BTreeMap<String, String> {
        let (mut returns, mut late) = (Vec::new(), Vec::new());
        for name in names {
            match self.way_back(name).await {
                Some(way) => returns.push(way),
                None => late.push(name.clone()),
            }
        }
        let (mut lost, moved) = self.give_back(returns).await;
        late.extend(moved);
        for name in late {
            if let Some(why) = self.release_late(&name).await {
                lost.insert(name, why);
            }
        }
        lost
    }

    async fn way_back(self: &Arc<Self>, name: &str) -> Option<Return> {
        let entry = self.entry(name)?;
        let turn = Arc::clone(&entry.turn).lock_owned().await;
        let settings = self.settings();
        let addon = settings.addon(name);
        let offer = match &addon.options {
            OptionsSource::Url(url) => entry.supply.offer(url, None),
            source => {
                let (source, limit) = (source.clone(), settings.max_options);
                let read = spawn_blocking(move || options::offer(&source, limit)).await;
                read.unwrap_or_else(|error| Offer::none(LoadError::Internal(error.to_string())))
            }
        };
        let Choice { document, origin } = entry.supply.base(&addon.options, offer);
        let before = self.held.lock().get(name).and_then(|held| held.generation.clone());
        let tried = match document {
            Ok(document) => {
                let generation = self.base(&entry, &settings, &addon, &document, &origin, before.as_ref()).await;
                generation.map(|(generation, error)| (generation, error, document))
            }
            Err(error) => Err(error),
        };
        let (generation, error, options) = match tried {
            Ok((generation, error, document)) => (Some(generation), error, Some((document, origin))),
            // As without the lock: what was in force before has stayed.
            Err(error) => {
                tracing::warn!(addon.name = name, %error, "the options of now cannot be put in force; those from before the lock are");
                entry.supply.refused(&addon.options, &origin, &error);
                (self.before(&entry, &addon, before).await, Some(error.to_string()), None)
            }
        };
        Some(Return { entry, addon, generation, options, error, _turn: turn })
    }

    /// What this document makes of the addon: where nothing else has changed, what was in force before. Also tells what is still
    /// wrong.
    async fn base(
        &self,
        entry: &Entry,
        settings: &Settings,
        addon: &AddonSettings,
        document: &Document,
        origin: &Origin,
        before: Option<&Arc<Generation>>,
    ) -> Result<(Arc<Generation>, Option<String>), LoadError> {
        let is_code_good = entry.error().is_none();
        let is_same = |before: &&Arc<Generation>| {
            let is_same_code = entry.current().is_some_and(|current| current.compiled().sha256 == before.compiled().sha256);
            is_code_good && is_same_code && before.setup().options == document.text && before.is_under(addon)
        };
        if let Some(before) = before.filter(is_same) {
            return Ok((Arc::clone(before), None));
        }
        // New code that what was held could not be tried with may do with this.
        let cause = if is_code_good { Cause::Put(document.clone()) } else { Cause::Asked };
        match self.generation(entry, settings, addon, &cause, document, before.map(Arc::as_ref)).await? {
            Loaded::New(generation) => Ok((Arc::new(*generation), error_after(entry, &cause, origin))),
            Loaded::Same => Err(LoadError::Internal("options that are tried are never the same".to_owned())),
        }
    }

    /// What was in force before, under the settings of now; none if it was gone meanwhile or cannot do with them.
    async fn before(&self, entry: &Entry, addon: &AddonSettings, before: Option<Arc<Generation>>) -> Option<Arc<Generation>> {
        let before = before?;
        if before.is_under(addon) {
            return Some(before);
        }
        let source = Source::Compiled(Box::new(before.compiled().clone()));
        let options = Given::again(Arc::clone(&before.setup().options), Some(&before));
        self.loader.load(&entry.name, addon, source, options, &entry.stats).await.ok().map(Arc::new)
    }

    /// Puts in force what comes back. Tells what is lost, and whose file came and went in the meantime.
    async fn give_back(self: &Arc<Self>, returns: Vec<Return>) -> (BTreeMap<String, String>, Vec<String>) {
        let (mut lost, mut moved, mut copies) = (BTreeMap::new(), Vec::new(), Vec::new());
        let settings = self.settings();
        {
            let entries = self.entries.read();
            let (here, gone): (Vec<_>, Vec<_>) = returns
                .into_iter()
                .partition(|way| entries.get(&way.entry.name).is_some_and(|entry| Arc::ptr_eq(entry, &way.entry)));
            moved.extend(gone.into_iter().map(|way| way.entry.name.to_string()));
            let number = self.force.change(&settings, |number, current| {
                for way in &here {
                    match &way.generation {
                        Some(generation) if way.entry.accept(generation, number, way.error.clone()) => {
                            current.insert(&way.entry.name, generation);
                        }
                        Some(_) => {}
                        None => {
                            let why = way.error.clone().unwrap_or_default();
                            if way.entry.withdraw(why.clone()) {
                                current.withdraw(&way.entry.name);
                            }
                            lost.insert(way.entry.name.to_string(), why);
                        }
                    }
                }
            });
            for way in here {
                self.held.lock().remove(&way.entry.name);
                let before = way.entry.supply.let_go();
                match (&way.options, before) {
                    (Some((document, origin)), _) => {
                        way.entry.supply.took(&way.addon.options, origin, document, number);
                        if matches!(origin, Origin::Server { .. }) {
                            copies.push((Arc::clone(&way.entry), way.addon.clone()));
                        }
                    }
                    (None, Some(before)) => way.entry.supply.took_back(before, number),
                    (None, None) => {}
                }
                if let Some(generation) = &way.generation {
                    self.tell(&way.entry, generation, number);
                }
            }
        }
        for (entry, addon) in copies {
            if let OptionsSource::Url(url) = &addon.options {
                self.save_copy(&entry, &settings, url).await;
            }
        }
        (lost, moved)
    }

    /// The same for an addon that is gone, or was and is back. Tells why its options are not restored.
    async fn release_late(self: &Arc<Self>, name: &str) -> Option<String> {
        self.held.lock().remove(name);
        let Some(entry) = self.entry(name) else { return Some(GONE.to_owned()) };
        match entry.supply.let_go() {
            Some(_) => self.load(&entry, Cause::File).await.err().map(|error| error.to_string()),
            None => None,
        }
    }
}

impl Prepared {
    /// Puts all of it in force, in one swap and each in a generation of its own, and holds it until it is released.
    ///
    /// # Errors
    /// Addons that are gone meanwhile; then nothing is changed.
    pub fn commit(self) -> Result<(), Vec<String>> {
        let Self { shared, trials } = self;
        let settings = shared.settings();
        let entries = shared.entries.read();
        let is_gone = |trial: &&Trial| !entries.get(&trial.entry.name).is_some_and(|entry| Arc::ptr_eq(entry, &trial.entry));
        let gone: Vec<String> = trials.iter().filter(is_gone).map(|trial| trial.entry.name.to_string()).collect();
        if !gone.is_empty() {
            return Err(gone);
        }
        if trials.is_empty() {
            return Ok(());
        }
        let number = shared.force.change(&settings, |number, current| {
            for Trial { entry, generation, .. } in &trials {
                if entry.accept(generation, number, entry.error()) {
                    current.insert(&entry.name, generation);
                }
            }
        });
        for Trial { entry, document, generation, before, _turn } in trials {
            let held = HeldAddon { generation: Some(before), heir: None };
            shared.held.lock().insert(Arc::clone(&entry.name), held);
            entry.supply.hold(&settings.addon(&entry.name).options, &document, number);
            shared.tell(&entry, &generation, number);
        }
        Ok(())
    }
}
