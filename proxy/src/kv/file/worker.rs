//! The thread that owns the file.

use std::{
    collections::VecDeque,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Arc, mpsc},
    time::{Duration, Instant, SystemTime},
};

use redb::{Database, DatabaseError, Durability, StorageError};
use tokio::sync::oneshot;

use super::{
    super::{Answer, Page, StoreError, shelf},
    Job, OpenError, SYNC, Shared, Work,
    backend::{Bounded, Faults},
    tables::{self, Fault, Tables},
};

/// Where the file is, and how large it may be.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    pub(super) most: u64,
    pub(super) faults: Faults,
}

/// The thread's own.
pub(super) struct Worker {
    place: Place,
    inbox: mpsc::Receiver<Job>,
    shared: Arc<Shared>,
    /// None while the file is in trouble.
    database: Option<Database>,
    unsynced: Option<Unsynced>,
    retry: Pause,
    full: Option<Full>,
    swept: Instant,
}

/// What is in memory alone.
struct Unsynced {
    since: Instant,
    bytes: usize,
}

/// Why nothing may be added, until it is tried again.
struct Full {
    why: String,
    pause: Pause,
}

/// A time to wait, longer each time.
#[derive(Debug, Clone, Copy)]
struct Pause {
    until: Instant,
    length: Duration,
}

/// Jobs of one transaction. Whoever asked is answered when it stands.
#[derive(Default)]
struct Batch {
    jobs: VecDeque<Job>,
    answers: Vec<Reply>,
}

enum Reply {
    Apply(oneshot::Sender<Result<Vec<Answer>, StoreError>>, Result<Vec<Answer>, StoreError>),
    Scan(oneshot::Sender<Result<Page, StoreError>>, Page),
    Flush(oneshot::Sender<()>),
}

/// Jobs in one transaction.
const BATCH: usize = 256;
/// Bytes after which the disk is not waited for any longer.
const UNSYNCED: usize = 16 << 20;
/// Pages of the file that are kept in memory, in bytes.
const CACHE: usize = 64 << 20;
/// How often all addons are looked through for what has expired, and how many entries go each time.
const SWEEP: Duration = Duration::from_secs(1);
const SWEPT: usize = 1_000;
/// A file that is so much larger than what it holds is made smaller when it is opened.
const SLACK: u64 = 64 << 20;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

impl Worker {
    /// Opens the file.
    pub(super) fn new(place: Place, inbox: mpsc::Receiver<Job>, shared: Arc<Shared>) -> Result<Self, OpenError> {
        let database = open(&place, &shared)?;
        Ok(Self {
            place,
            inbox,
            shared,
            database: Some(database),
            unsynced: None,
            retry: Pause::none(),
            full: None,
            swept: Instant::now(),
        })
    }

    /// Works until nobody is left who could ask for something; then has all of it on the disk.
    pub(super) fn run(mut self) {
        while let Some(jobs) = self.next() {
            self.work(Batch { jobs, answers: Vec::new() }, false);
        }
        self.work(Batch::default(), true);
    }

    /// What has come in, or nothing when it is time for other things. None: no more will come.
    fn next(&self) -> Option<VecDeque<Job>> {
        let wait = match &self.unsynced {
            Some(unsynced) => SYNC.saturating_sub(unsynced.since.elapsed()),
            None => SWEEP,
        };
        match self.inbox.recv_timeout(wait) {
            Ok(job) => Some([job].into_iter().chain(self.inbox.try_iter().take(BATCH - 1)).collect()),
            Err(mpsc::RecvTimeoutError::Timeout) => Some(VecDeque::new()),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
        }
    }

    fn work(&mut self, mut batch: Batch, is_last: bool) {
        if self.database.is_none() {
            self.reopen();
        }
        // Without a file, the senders are dropped, and who waits reads of the trouble.
        let Some(database) = self.database.take() else { return };
        match catch_unwind(AssertUnwindSafe(|| self.transact(&database, &mut batch, is_last))) {
            Ok(Ok(())) => self.database = Some(database),
            Ok(Err(error)) => self.failed(database, &error),
            // redb's own checks of what it reads.
            Err(_) => self.failed(database, &redb::Error::Corrupted("a page cannot be what it should be".to_owned())),
        }
    }

    fn transact(&mut self, database: &Database, batch: &mut Batch, is_last: bool) -> Result<(), redb::Error> {
        let mut transaction = database.begin_write()?;
        let full = self.full.as_ref().filter(|full| !full.pause.is_over()).map(|full| full.why.clone());
        let mut is_durable = is_last || self.unsynced.as_ref().is_some_and(Unsynced::is_due);
        let mut tables = Tables::open(&transaction, full)?;
        let now = now();
        while let Some(job) = batch.jobs.pop_front() {
            match job.work {
                Work::Apply(space, commands, sender) => {
                    let mut part = tables.part(&space.addon)?;
                    let answers = match shelf::run(&mut part, space.quota, commands, now) {
                        Ok(answers) => Ok(answers),
                        Err(Fault::Refused(error)) => Err(error),
                        Err(Fault::File(error)) => return Err(error.into()),
                    };
                    let usage = part.settle()?;
                    self.shared.usages.lock().insert(space.addon.to_string(), usage);
                    batch.answers.push(Reply::Apply(sender, answers));
                }
                Work::Scan(addon, scan, sender) => {
                    batch.answers.push(Reply::Scan(sender, tables.part(&addon)?.scan(&scan, now)?));
                }
                Work::Flush(sender) => {
                    is_durable = true;
                    batch.answers.push(Reply::Flush(sender));
                }
            }
        }
        if self.swept.elapsed() >= SWEEP {
            self.swept = Instant::now();
            self.sweep(&mut tables, now)?;
        }
        let changed = tables.changed;
        drop(tables);
        // After trouble nothing is told that is not on the disk.
        let is_probe = changed.is_some() && self.full.as_ref().is_some_and(|full| full.pause.is_over());
        is_durable = (is_durable && (changed.is_some() || self.unsynced.is_some())) || is_probe;
        if is_durable {
            transaction.set_durability(Durability::Immediate)?;
            transaction.commit()?;
            self.unsynced = None;
        } else if let Some(bytes) = changed {
            transaction.set_durability(Durability::None)?;
            transaction.commit()?;
            self.unsynced.get_or_insert_with(Unsynced::now).bytes += bytes;
        } else {
            transaction.abort()?;
        }
        if is_probe && self.full.take().is_some() {
            tracing::info!(state.path = %self.place.path.display(), "keys and values can be kept again");
        }
        batch.answers.drain(..).for_each(Reply::send);
        Ok(())
    }

    /// Removes what has expired of all addons, some each time.
    fn sweep(&self, tables: &mut Tables<'_>, now: u64) -> Result<(), StorageError> {
        let mut left = SWEPT;
        for (addon, before) in tables.usages()? {
            let mut part = tables.part(&addon)?;
            match shelf::expire_some(&mut part, now, left) {
                Ok(_) => {}
                Err(Fault::File(error)) => return Err(error),
                Err(Fault::Refused(error)) => tracing::debug!(%error, "an expired entry stays"),
            }
            let after = part.settle()?;
            left = left.saturating_sub(before.keys.saturating_sub(after.keys));
            self.shared.usages.lock().insert(addon, after);
        }
        Ok(())
    }

    /// What is not on the disk is lost; the file is opened again, now or after a while.
    fn failed(&mut self, database: Database, error: &redb::Error) {
        drop(database);
        self.unsynced = None;
        let path = self.place.path.display();
        let is_full = matches!(error, redb::Error::Io(error) if is_full(error));
        if is_full {
            let pause = self.full.as_ref().map_or_else(Pause::first, |full| full.pause.next());
            let why = format!("no room: {error}");
            tracing::warn!(state.path = %path, why, retry.seconds = pause.length.as_secs_f64(), "keys and values cannot be kept");
            self.full = Some(Full { why, pause });
        } else {
            tracing::error!(state.path = %path, %error, "keys and values are not available");
            *self.shared.trouble.lock() = Some(format!("the file failed: {error}"));
            self.retry = self.retry.next();
        }
        self.reopen();
    }

    fn reopen(&mut self) {
        if !self.retry.is_over() {
            return;
        }
        match open(&self.place, &self.shared) {
            Ok(database) => {
                self.database = Some(database);
                self.retry = Pause::none();
                *self.shared.trouble.lock() = None;
                tracing::info!(state.path = %self.place.path.display(), "keys and values are available again");
            }
            Err(error) => {
                tracing::error!(%error, "keys and values are not available");
                *self.shared.trouble.lock() = Some(error.to_string());
                self.retry = self.retry.next();
            }
        }
    }
}

/// Opens the file and looks at all of it.
fn open(place: &Place, shared: &Shared) -> Result<Database, OpenError> {
    let (path, io) = (place.path.clone(), |error| OpenError::Io(place.path.clone(), error));
    let backend = Bounded::open(&place.path, place.most, place.faults.clone()).map_err(io)?;
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE).set_check_integrity_on_open(true).create_with_backend(backend)
    }));
    let damaged = || OpenError::Damaged(path.clone(), "a page cannot be what it should be".to_owned());
    let mut database = opened.map_err(|_| damaged())?.map_err(|error| open_error(place, error))?;
    let claimed = catch_unwind(AssertUnwindSafe(|| claim(&mut database, shared, &place.path, place.most)));
    claimed.map_err(|_| damaged())?.map_err(|error| storage_error(place, error))?.map_err(|why| OpenError::Foreign(path, why))?;
    Ok(database)
}

/// Checks whose file it is, makes it smaller if that is worth it, and reads what addons have.
fn claim(database: &mut Database, shared: &Shared, path: &std::path::Path, most: u64) -> Result<Result<(), String>, redb::Error> {
    let transaction = database.begin_write()?;
    if let Err(why) = tables::claim(&transaction)? {
        transaction.abort()?;
        return Ok(Err(why));
    }
    let usages = Tables::open(&transaction, None)?.usages()?;
    transaction.commit()?;
    let held: u64 = usages.iter().map(|(_, usage)| usage.bytes as u64).sum();
    let length = std::fs::metadata(path).map_or(0, |found| found.len());
    if length > held.saturating_mul(4).saturating_add(SLACK.min(most / 2)) {
        match database.compact() {
            Ok(_) => tracing::info!(state.path = %path.display(), "the file of keys and values was made smaller"),
            Err(error) => tracing::warn!(state.path = %path.display(), %error, "the file of keys and values stays large"),
        }
    }
    *shared.usages.lock() = usages.into_iter().collect();
    Ok(Ok(()))
}

fn open_error(place: &Place, error: DatabaseError) -> OpenError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::Taken(place.path.clone()),
        DatabaseError::UpgradeRequired(format) => {
            OpenError::Foreign(place.path.clone(), format!("of redb's format {format}, which this version does not read"))
        }
        other => storage_error(place, other.into()),
    }
}

fn storage_error(place: &Place, error: redb::Error) -> OpenError {
    match error {
        redb::Error::Io(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => {
            OpenError::Foreign(place.path.clone(), format!("no store of keys and values ({error})"))
        }
        redb::Error::Io(error) => OpenError::Io(place.path.clone(), error),
        other => OpenError::Damaged(place.path.clone(), other.to_string()),
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::FileTooLarge | io::ErrorKind::QuotaExceeded)
}

/// Microseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

impl Unsynced {
    fn now() -> Self {
        Self { since: Instant::now(), bytes: 0 }
    }

    fn is_due(&self) -> bool {
        self.since.elapsed() >= SYNC || self.bytes >= UNSYNCED
    }
}

impl Pause {
    fn none() -> Self {
        Self { until: Instant::now(), length: Duration::ZERO }
    }

    fn first() -> Self {
        Self::none().next()
    }

    fn next(self) -> Self {
        let length = (self.length * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        Self { until: Instant::now() + length, length }
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }
}

impl Reply {
    /// Whoever has gone meanwhile needs no answer.
    fn send(self) {
        match self {
            Self::Apply(sender, answers) => drop(sender.send(answers)),
            Self::Scan(sender, page) => drop(sender.send(Ok(page))),
            Self::Flush(sender) => drop(sender.send(())),
        }
    }
}
