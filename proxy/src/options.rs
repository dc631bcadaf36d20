//! Options that change while running: those of the core and the documents of addons, under one roof, with one lock.
//!
//! A name is an option of the core or else an addon, whose value is its whole options document; it is taken as it is, dots and
//! dashes included. Who has the lock has set the options that it names, all of them or none, and they come back when it ends. What
//! is changed otherwise in the meantime is not lost: documents of addons as the addon host describes it, the configured options of
//! the core by [`Registry::configure`].

pub mod core;
mod lock;
mod request;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Weak},
    time::{Duration, Instant, SystemTime},
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use serde_json::{Map, Value};
use tokio::{sync::oneshot, time::sleep};

use self::lock::{Ended, Lock};
use crate::{
    addons::{self, ChangeError, Document, RefusedOption},
    json::{Json, Lenient},
};

pub use self::{
    lock::{Holder, Id, Unasked},
    request::Request,
};

/// All options, and the lock.
pub struct Registry {
    core: Arc<ArcSwap<core::Options>>,
    addons: Arc<addons::Registry>,
    /// Held while anything is changed: one after the other.
    turn: tokio::sync::Mutex<()>,
    inner: Mutex<Inner>,
    observers: Mutex<Vec<Observer>>,
    own: Weak<Self>,
}

/// Is told of the core's options when they have changed.
pub type Observer = Box<dyn Fn(&core::Options) + Send>;

struct Inner {
    /// As the configuration has them.
    configured: core::Options,
    lock: Option<Lock>,
    ended: Option<Ended>,
}

/// What unlocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// The id that the one who locked was given, or what was sent in its place.
    Id(Option<String>),
    /// None is needed.
    Force,
}

/// What could not be restored, by name, and why. It is not locked all the same.
pub type Lost = BTreeMap<String, String>;

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody has the lock.
    #[error("options already locked, did you forget to unlock?")]
    Held,
    /// Somebody else has the lock; how the one with this id ended, if that is known.
    #[error("refusing to unlock, wrong id supplied{}", told(*.0))]
    WrongId(Option<Unasked>),
    /// Nobody has the lock; how the last one ended, if its holder did not unlock it.
    #[error("options were not locked, mismatched lock/unlock calls{}", told(*.0))]
    NotLocked(Option<Unasked>),
    /// Values that are not taken; all of them.
    #[error("refused, and nothing was changed: {}", join(.0))]
    Refused(Vec<RefusedOption>),
    /// Options that the lock names.
    #[error("locked until somebody unlocks: {}", .0.join(", "))]
    Locked(Vec<String>),
    /// The host is at fault.
    #[error("internal error: {0}")]
    Internal(String),
}

fn told(how: Option<Unasked>) -> String {
    how.map(|how| format!("; the lock is no more: {how}")).unwrap_or_default()
}

fn join(refused: &[RefusedOption]) -> String {
    refused.iter().map(|RefusedOption { path, message }| format!("{path}: {message}")).collect::<Vec<_>>().join("; ")
}

impl Registry {
    /// Over these; what `core` holds now is taken for the configuration's.
    #[must_use]
    pub fn new(core: Arc<ArcSwap<core::Options>>, addons: Arc<addons::Registry>) -> Arc<Self> {
        let configured = core::Options::clone(&core.load());
        let inner = Mutex::new(Inner { configured, lock: None, ended: None });
        let turn = tokio::sync::Mutex::default();
        Arc::new_cyclic(|own| Self { core, addons, turn, inner, observers: Mutex::default(), own: Weak::clone(own) })
    }

    /// Options of the core that are in force.
    #[must_use]
    pub fn core(&self) -> Arc<core::Options> {
        self.core.load_full()
    }

    /// Who has the lock.
    #[must_use]
    pub fn holder(&self) -> Option<Holder> {
        self.inner.lock().lock.as_ref().map(Lock::holder)
    }

    /// Whether an option of this name would be an addon's.
    #[must_use]
    pub fn is_addon(&self, name: &str) -> bool {
        self.core.load().value(name).is_none() && self.addons.contains(name)
    }

    /// Has this told of the core's options, now and whenever they change. It must not wait, nor change options.
    pub fn observe(&self, observer: Observer) {
        let mut observers = self.observers.lock();
        observer(&self.core.load());
        observers.push(observer);
    }

    /// Locks with these options in force: all are tried first, then all are. Documents of addons make a generation of their own,
    /// also those that are in force already.
    ///
    /// Cancel safe: a lock that nobody waits for any more is not kept.
    ///
    /// # Errors
    /// As in [`Error`]; then nothing is locked and nothing changed.
    pub async fn lock(self: &Arc<Self>, request: Request) -> Result<Id, Error> {
        let (answer, answered) = oneshot::channel();
        let registry = Arc::clone(self);
        // On a task of its own: nothing may end a guest in the middle.
        tokio::spawn(async move {
            let locked = registry.take(request).await;
            if let Err(Ok(id)) = answer.send(locked) {
                tracing::info!("who locked the options is gone");
                drop(registry.end(Key::Id(Some(id.reveal().to_owned()))).await);
            }
        });
        answered.await.unwrap_or_else(|_| Err(Error::Internal("locking came to no end".to_owned())))
    }

    async fn take(&self, request: Request) -> Result<Id, Error> {
        let _turn = self.turn.lock().await;
        if self.inner.lock().lock.is_some() {
            return Err(Error::Held);
        }
        let id = Id::new().map_err(|error| Error::Internal(error.to_string()))?;
        let Request { options, owner, ttl } = request;
        let (changes, documents, mut refused) = self.sort(options);
        let before = self.core();
        let core = before.with(&changes).map_err(|errors| refused.extend(errors.into_iter().map(of_core)));
        let addons: Vec<String> = documents.keys().cloned().collect();
        let prepared = self.addons.prepare(documents).await;
        let prepared =
            prepared.map_err(|errors| refused.extend(errors.into_iter().flat_map(|(name, error)| of_addon(&name, error))));
        let (true, Ok(core), Ok(prepared)) = (refused.is_empty(), core, prepared) else { return Err(Error::Refused(refused)) };
        prepared.commit().map_err(|gone| Error::Refused(gone.iter().map(|name| refuse(name, "the addon is gone")).collect()))?;
        let saved = changes.keys().filter_map(|name| Some((name.clone(), before.value(name)?))).collect();
        self.put_in_force(core);
        let timer = ttl.map(|ttl| tokio::spawn(expire(Weak::clone(&self.own), id.clone(), ttl)).abort_handle());
        let ends = ttl.and_then(|ttl| Instant::now().checked_add(ttl));
        let lock = Lock { id: id.clone(), owner, since: SystemTime::now(), ends, saved, addons, timer };
        tracing::info!(lock.owner = ?lock.owner, lock.options = ?lock.names(), lock.ttl = ?ttl, "options locked");
        self.inner.lock().lock = Some(lock);
        Ok(id)
    }

    /// Values by whose they are, and names that are nobody's.
    fn sort(&self, options: Vec<(String, Json)>) -> (Map<String, Value>, BTreeMap<String, Document>, Vec<RefusedOption>) {
        let (mut changes, mut documents, mut refused) = (Map::new(), BTreeMap::new(), Vec::new());
        let core = self.core.load();
        for (name, json) in options {
            if core.value(&name).is_some() {
                match serde_json::from_str(&json.to_string()) {
                    Ok(value) => drop(changes.insert(name, value)),
                    Err(error) => refused.push(refuse(&name, &error.to_string())),
                }
            } else if !self.addons.contains(&name) {
                refused.push(refuse(&name, "there is no such option, nor an addon of this name"));
            } else if matches!(json, Json::Object(_)) {
                documents.insert(name, Lenient { json, warnings: Vec::new() }.into());
            } else {
                refused.push(refuse(&name, "must be an object: the options document of the addon"));
            }
        }
        (changes, documents, refused)
    }

    /// Restores what the lock changed, and ends it. Runs to its end even if nobody waits for it any more.
    ///
    /// # Errors
    /// That there is no lock, or that it is not this key's.
    pub async fn unlock(self: &Arc<Self>, key: Key) -> Result<Lost, Error> {
        let registry = Arc::clone(self);
        let ended = tokio::spawn(async move { registry.end(key).await });
        ended.await.unwrap_or_else(|error| Err(Error::Internal(error.to_string())))
    }

    async fn end(&self, key: Key) -> Result<Lost, Error> {
        let _turn = self.turn.lock().await;
        {
            let inner = self.inner.lock();
            let Some(lock) = &inner.lock else { return Err(Error::NotLocked(inner.ended.as_ref().map(|ended| ended.how))) };
            if let Key::Id(id) = &key {
                let is = |known: &Id| id.as_deref().is_some_and(|id| known.is(id));
                if !is(&lock.id) {
                    let ended = inner.ended.as_ref().filter(|ended| is(&ended.id));
                    return Err(Error::WrongId(ended.map(|ended| ended.how)));
                }
            }
        }
        let lost = self.restore((key == Key::Force).then_some(Unasked::Forced)).await;
        tracing::info!(lock.is_forced = key == Key::Force, lock.lost = ?lost, "options unlocked");
        Ok(lost)
    }

    /// Restores, then ends the lock. In the caller's turn.
    async fn restore(&self, how: Option<Unasked>) -> Lost {
        let (saved, addons) = match &self.inner.lock().lock {
            Some(lock) => (lock.saved.clone(), lock.addons.clone()),
            None => return Lost::new(),
        };
        let mut lost = self.addons.release(&addons).await;
        let (core, refused) = restored(&self.core(), &saved);
        self.put_in_force(core);
        lost.extend(refused);
        let mut inner = self.inner.lock();
        if let Some(lock) = inner.lock.take() {
            if let Some(timer) = lock.timer.filter(|_| !matches!(how, Some(Unasked::Expired(_)))) {
                timer.abort();
            }
            inner.ended = how.map(|how| Ended { id: lock.id, how });
        }
        lost
    }

    /// Changes options of the core until the proxy ends or their configuration changes; all or none.
    ///
    /// # Errors
    /// Values that are refused, or options that are locked.
    pub async fn set(&self, options: Vec<(String, Json)>) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        let (changes, documents, mut refused) = self.sort(options);
        refused.extend(documents.keys().map(|name| refuse(name, "an addon's document is put at /addons/NAME/options")));
        let core = self.core.load().with(&changes).map_err(|errors| refused.extend(errors.into_iter().map(of_core)));
        // It has to go with what the lock gives back, too.
        let saved = self.inner.lock().lock.as_ref().map(|lock| lock.saved.clone());
        if let (Some(saved), true) = (saved, refused.is_empty()) {
            let later = restored(&self.core(), &saved).0.with(&changes);
            refused.extend(later.err().into_iter().flatten().map(of_core));
        }
        let (true, Ok(core)) = (refused.is_empty(), core) else { return Err(Error::Refused(refused)) };
        let is_locked = |name: &&String| self.inner.lock().lock.as_ref().is_some_and(|lock| lock.holds(name));
        let locked: Vec<String> = changes.keys().filter(is_locked).cloned().collect();
        if !locked.is_empty() {
            return Err(Error::Locked(locked));
        }
        self.put_in_force(core);
        tracing::info!(options = ?changes.keys().collect::<Vec<_>>(), "options changed");
        Ok(())
    }

    /// The configuration has other options of the core: those that it changes are in force when this returns, but for locked ones:
    /// they are when somebody unlocks.
    ///
    /// # Errors
    /// Values that are refused; nothing is changed then.
    pub async fn configure(&self, configured: core::Options) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        let mut changes = Map::new();
        {
            let mut inner = self.inner.lock();
            for core::Definition { name, .. } in core::Options::definitions() {
                let Some(value) = configured.value(name).filter(|value| inner.configured.value(name).as_ref() != Some(value))
                else {
                    continue;
                };
                match inner.lock.as_mut().and_then(|lock| lock.saved.get_mut(*name)) {
                    Some(saved) => *saved = value,
                    None => drop(changes.insert((*name).to_owned(), value)),
                }
            }
            inner.configured = configured;
        }
        let changed = self.core.load().with(&changes);
        self.put_in_force(changed.map_err(|errors| Error::Refused(errors.into_iter().map(of_core).collect()))?);
        Ok(())
    }

    fn put_in_force(&self, next: core::Options) {
        let observers = self.observers.lock();
        if **self.core.load() == next {
            return;
        }
        core::put(&self.core, next);
        let now = self.core.load();
        observers.iter().for_each(|observer| observer(&now));
    }
}

/// Unlocks when the time is over, if it is still this lock.
async fn expire(registry: Weak<Registry>, id: Id, ttl: Duration) {
    sleep(ttl).await;
    let Some(registry) = registry.upgrade() else { return };
    let _turn = registry.turn.lock().await;
    let is_held = registry.inner.lock().lock.as_ref().is_some_and(|lock| lock.id == id);
    if is_held {
        let owner = registry.holder().and_then(|holder| holder.owner);
        let lost = registry.restore(Some(Unasked::Expired(ttl))).await;
        tracing::warn!(lock.owner = ?owner, lock.ttl = ?ttl, lock.lost = ?lost, "options unlocked: the ttl of the lock is over");
    }
}

/// With these values again. What no longer goes with the rest is left out, and told.
fn restored(core: &core::Options, saved: &Map<String, Value>) -> (core::Options, Lost) {
    if let Ok(core) = core.with(saved) {
        return (core, Lost::new());
    }
    let (mut core, mut lost) = (core.clone(), Lost::new());
    for (name, value) in saved {
        match core.with(&Map::from_iter([(name.clone(), value.clone())])) {
            Ok(next) => core = next,
            Err(errors) => lost.extend(errors.into_iter().map(|refused| (refused.name, refused.why))),
        }
    }
    (core, lost)
}

fn refuse(name: &str, why: &str) -> RefusedOption {
    RefusedOption { path: name.to_owned(), message: why.to_owned() }
}

fn of_core(refused: core::Refused) -> RefusedOption {
    RefusedOption { path: refused.name, message: refused.why }
}

/// What an addon has against its document, under its name.
fn of_addon(name: &str, error: ChangeError) -> Vec<RefusedOption> {
    let reasons = match error {
        ChangeError::Refused(reasons) => reasons,
        ChangeError::Load(error) => error.reasons(),
        error => return vec![refuse(name, &error.to_string())],
    };
    let below = |path: &str| if path.is_empty() { name.to_owned() } else { format!("{name}.{path}") };
    reasons.into_iter().map(|reason| RefusedOption { path: below(&reason.path), message: reason.message }).collect()
}

impl fmt::Debug for Registry {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Registry").field("core", &self.core.load()).finish_non_exhaustive()
    }
}
