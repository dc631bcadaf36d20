//! The addons of a proxy, for those who use them: flows, the admin interface, the process.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use tokio::{sync::watch, task::JoinHandle};

use super::{
    changes::{Cause, Shared},
    component::{LoadError, RefusedOption},
    engine::Engine,
    hold::Prepared,
    options::Document,
    settings::Settings,
    status::{AddonStatus, Readiness},
    watch::Watcher,
};
use crate::hooks::{Addons, Chain};

/// What is in the plugins directory, loaded, configured and kept up to date.
///
/// Dropping it ends the watching; chains that were given out go on working.
pub struct Registry {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    watching: Mutex<Option<JoinHandle<()>>>,
}

/// Why there is no registry.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the addon host: {0:#}")]
pub struct StartError(anyhow::Error);

/// Why an addon or its options were not taken. What was in force stays so.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// There is no addon of this name.
    #[error("there is no addon {0:?}")]
    Unknown(String),
    /// The addon refused the options; all that it had to say.
    #[error("the addon refuses these options")]
    Refused(Vec<RefusedOption>),
    /// It is there, and nothing of it is in force; why, if that is known.
    #[error("the addon is not in force{}", .0.as_deref().map(|why| format!(": {why}")).unwrap_or_default())]
    NotInForce(Option<String>),
    /// A lock has its options.
    #[error("the addon's options are locked: unlock them first")]
    Locked,
    /// It could not be loaded.
    #[error(transparent)]
    Load(LoadError),
}

impl Registry {
    /// Loads what is in the directory, then watches it.
    ///
    /// An addon that fails to load is in [`Self::statuses`] and in [`Self::readiness`], and is in no chain.
    ///
    /// # Errors
    /// When the engine cannot be made: no address space, or no cache directory.
    pub async fn start(settings: Settings) -> Result<Arc<Self>, StartError> {
        let engine = Engine::new(&settings).map_err(StartError)?;
        let shared = Arc::new(Shared::new(engine, settings));
        let (stop, stopped) = watch::channel(false);
        let mut watcher = Watcher::new(Arc::clone(&shared), stopped);
        watcher.first_look().await;
        shared.started();
        let watching = Mutex::new(Some(tokio::spawn(watcher.run())));
        Ok(Arc::new(Self { shared, stop, watching }))
    }

    /// All addons that are in the directory or in the configuration, by name.
    #[must_use]
    pub fn statuses(&self) -> Vec<AddonStatus> {
        let settings = self.shared.settings();
        let mut statuses = BTreeMap::new();
        for name in settings.expected() {
            let status = AddonStatus::missing(name, settings.file(name), &settings.addon(name), self.shared.engine());
            statuses.insert(name.to_owned(), status);
        }
        for entry in self.shared.entries() {
            let status = entry.status(&settings.addon(&entry.name), self.shared.engine());
            statuses.insert(entry.name.to_string(), status);
        }
        statuses.into_values().collect()
    }

    /// Whether all that the configuration names is in force, and everything loaded that could be.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        self.shared.readiness()
    }

    /// The options in force, as `configure` got them; none if the addon is not in force.
    #[must_use]
    pub fn options(&self, name: &str) -> Option<Arc<str>> {
        let current = self.shared.entry(name)?.current()?;
        Some(Arc::clone(&current.setup().options))
    }

    /// Whether there is an addon of this name, in force or not.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.shared.entry(name).is_some()
    }

    /// Largest options document, in bytes.
    #[must_use]
    pub fn max_options(&self) -> usize {
        usize::try_from(self.shared.settings().max_options).unwrap_or(usize::MAX)
    }

    /// Configures the addon with these options, in a generation of their own: in force when this returns. They last until its
    /// options file or what its options URL has changes, its component goes, or the proxy ends.
    pub async fn set_options(&self, name: &str, document: Document) -> Result<(), ChangeError> {
        self.change(name, Cause::Put(document)).await
    }

    /// Reads the addon's file and options again, from a server, too, and makes a new generation, even if nothing changed: in
    /// force when this returns.
    pub async fn reload(&self, name: &str) -> Result<(), ChangeError> {
        self.change(name, Cause::Asked).await
    }

    async fn change(&self, name: &str, cause: Cause) -> Result<(), ChangeError> {
        let entry = self.shared.entry(name).ok_or_else(|| ChangeError::Unknown(name.to_owned()))?;
        let shared = Arc::clone(&self.shared);
        // On a task of its own: a caller that goes away must not end a guest in the middle.
        let load = tokio::spawn(async move { shared.load(&entry, cause).await });
        load.await.unwrap_or_else(|error| Err(LoadError::Internal(error.to_string()))).map_err(ChangeError::from)
    }

    /// Tries a document for each of these addons and puts none of them in force yet.
    ///
    /// # Errors
    /// Every document that cannot be held, with the addon's name.
    pub async fn prepare(&self, documents: BTreeMap<String, Document>) -> Result<Prepared, Vec<(String, ChangeError)>> {
        self.shared.prepare(documents).await
    }

    /// Ends the holding of options of these addons, and restores what would be in force without it: what was put before, or what
    /// the source shows by now. Tells for which addons that failed, and why.
    pub async fn release(&self, names: &[String]) -> BTreeMap<String, String> {
        self.shared.release(names).await
    }

    /// Takes over settings of addons and listeners: new chains are in force when this returns, and addons whose settings
    /// changed were loaded anew; where that failed, the old generation stays. Directories and the number of instances are
    /// those of the start.
    pub async fn update(&self, settings: Settings) {
        let shared = Arc::clone(&self.shared);
        drop(tokio::spawn(async move { shared.update(settings).await }).await);
    }

    /// Tries once more what waits in outboxes of addons; for at most this time. For the end of the process: what is put in from then on
    /// is tried once.
    pub async fn close_outboxes(&self, within: std::time::Duration) {
        self.shared.engine().carrier().close(within).await;
    }

    /// Stops watching; addons in force stay so. Waits for loads of changed files that are under way.
    pub async fn shutdown(&self) {
        self.stop.send_replace(true);
        self.shared.stopped.cancel();
        let watching = self.watching.lock().take();
        if let Some(watching) = watching {
            drop(watching.await);
        }
    }
}

impl From<LoadError> for ChangeError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Options(refused) => Self::Refused(refused),
            LoadError::Held => Self::Locked,
            error => Self::Load(error),
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.shared.stopped.cancel();
    }
}

impl Addons for Registry {
    fn chain(&self, listener: &str) -> Arc<Chain> {
        self.shared.chain(listener)
    }
}
