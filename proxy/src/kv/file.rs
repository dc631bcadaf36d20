//! A store in a file of this process: a B-tree of pages that are never written over (redb).
//!
//! One thread owns the file. It does what has come in together in one transaction, which is seen at once, and has it on the disk
//! within [`SYNC`]. A process that is killed loses at most what is younger, and never a part of a transaction.

mod backend;
mod opening;
mod pause;
mod room;
mod tables;
#[cfg(test)]
mod tests;
mod worker;

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    time::Duration,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{Answer, Command, Page, Scan, Space, Store, StoreError, Usage, check};

/// How long what was written may be in memory alone.
const SYNC: Duration = Duration::from_millis(500);
/// Operations that wait for the thread.
const WAITING: usize = 1_024;

/// Keys and values in a file.
pub struct File {
    jobs: mpsc::Sender<Job>,
    permits: Arc<Semaphore>,
    shared: Arc<Shared>,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{path}: another process uses it; each needs a file of its own, or Redis for all", path = .0.display())]
    Taken(PathBuf),
    /// Not written by this version.
    #[error("{path}: {why}; it is left as it is: move it away, or name another one", path = .0.display(), why = .1)]
    Foreign(PathBuf, String),
    /// What it holds is not as it was written.
    #[error("{path}: damaged, {why}; it is left as it is: move it away, or put back a copy", path = .0.display(), why = .1)]
    Damaged(PathBuf, String),
    /// It cannot be made, read or written.
    #[error("{path}: {why}", path = .0.display(), why = .1)]
    Io(PathBuf, std::io::Error),
}

impl OpenError {
    /// What may be told to anybody: no path.
    fn kind(&self) -> String {
        match self {
            Self::Taken(_) => "another process uses the file".to_owned(),
            Self::Foreign(..) => "the file is no store of this version".to_owned(),
            Self::Damaged(..) => "the file is damaged".to_owned(),
            Self::Io(_, error) => format!("the file failed: {}", error.kind()),
        }
    }
}

/// What others see of the thread's affairs.
#[derive(Debug, Default)]
struct Shared {
    usages: Mutex<HashMap<String, Usage>>,
    trouble: Mutex<Option<String>>,
}

/// What the thread is asked to do.
struct Job {
    work: Work,
    /// Held as long as the job waits.
    _permit: OwnedSemaphorePermit,
}

enum Work {
    Apply(Space, Vec<Command>, oneshot::Sender<Result<Vec<Answer>, StoreError>>),
    Scan(Arc<str>, Scan, oneshot::Sender<Result<Page, StoreError>>),
    Flush(oneshot::Sender<()>),
}

impl File {
    /// Opens the file, or makes it, for its owner only; it grows to at most so many bytes. Looks at all of it: what is damaged
    /// is found now.
    pub fn open(path: &Path, most: u64) -> Result<Self, OpenError> {
        Self::with(opening::Place { path: path.to_owned(), most, faults: backend::Faults::default() })
    }

    fn with(place: opening::Place) -> Result<Self, OpenError> {
        let shared = Arc::new(Shared::default());
        let (jobs, inbox) = mpsc::channel();
        let path = place.path.clone();
        let worker = worker::Worker::new(place, inbox, Arc::clone(&shared))?;
        let thread = std::thread::Builder::new().name("state".to_owned());
        thread.spawn(move || worker.run()).map_err(|error| OpenError::Io(path, error))?;
        Ok(Self { jobs, permits: Arc::new(Semaphore::new(WAITING)), shared })
    }

    /// Has the thread do something, and waits for it.
    fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(oneshot::Sender<T>) -> Work + Send + 'static,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let (jobs, permits, shared) = (self.jobs.clone(), Arc::clone(&self.permits), Arc::clone(&self.shared));
        async move {
            let ended = || {
                let why = shared.trouble.lock().clone();
                StoreError::Unavailable(why.unwrap_or_else(|| "the store has ended".to_owned()))
            };
            let permit = permits.acquire_owned().await.map_err(|_| ended())?;
            let (sender, answer) = oneshot::channel();
            jobs.send(Job { work: work(sender), _permit: permit }).map_err(|_| ended())?;
            answer.await.map_err(|_| ended())
        }
        .boxed()
    }
}

impl Store for File {
    fn apply(&self, space: &Space, commands: Vec<Command>) -> BoxFuture<'static, Result<Vec<Answer>, StoreError>> {
        let (space, checked) = (space.clone(), check(&commands));
        let asked = self.ask(move |sender| Work::Apply(space, commands, sender));
        async move {
            checked?;
            asked.await?
        }
        .boxed()
    }

    fn scan(&self, space: &Space, scan: Scan) -> BoxFuture<'static, Result<Page, StoreError>> {
        let addon = Arc::clone(&space.addon);
        let asked = self.ask(move |sender| Work::Scan(addon, scan, sender));
        async move { asked.await? }.boxed()
    }

    fn usage(&self, addon: &str) -> Option<Usage> {
        Some(self.shared.usages.lock().get(addon).copied().unwrap_or_default())
    }

    fn trouble(&self) -> Option<String> {
        self.shared.trouble.lock().clone()
    }

    fn flush(&self) -> BoxFuture<'static, ()> {
        let asked = self.ask(Work::Flush);
        async move { drop(asked.await) }.boxed()
    }
}

impl fmt::Debug for File {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("File").finish_non_exhaustive()
    }
}
