//! The thread that owns the file.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Arc, mpsc},
    time::{Duration, Instant, SystemTime},
};

use redb::{Database, DatabaseError, Durability, StorageError, WriteTransaction};

use super::{
    super::{Answer, Command, Page, Space, StoreError, shelf},
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
    /// What was answered and is in memory alone: done again where the file is opened again.
    journal: Vec<Written>,
    /// The mark of a commit of which it is not known whether it stands.
    attempt: Option<u64>,
    retry: Pause,
    full: Option<Full>,
    swept: Instant,
}

/// What is in memory alone.
struct Unsynced {
    since: Instant,
    bytes: usize,
}

/// What somebody was told is written.
struct Written {
    space: Space,
    commands: Vec<Command>,
    now: u64,
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

/// What came of a job. Whoever asked is told when the transaction stands.
enum Done {
    Apply(Result<Vec<Answer>, StoreError>),
    Scan(Page),
    Flush,
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
            journal: Vec::new(),
            attempt: None,
            retry: Pause::none(),
            full: None,
            swept: Instant::now(),
        })
    }

    /// Works until nobody is left who could ask for something; then has all of it on the disk.
    pub(super) fn run(mut self) {
        while let Some(jobs) = self.next() {
            self.work(jobs, false);
        }
        self.work(Vec::new(), true);
    }

    /// What has come in, or nothing when it is time for other things. None: no more will come.
    fn next(&self) -> Option<Vec<Job>> {
        let wait = match &self.unsynced {
            Some(unsynced) => SYNC.saturating_sub(unsynced.since.elapsed()),
            None => SWEEP,
        };
        match self.inbox.recv_timeout(wait) {
            Ok(job) => Some([job].into_iter().chain(self.inbox.try_iter().take(BATCH - 1)).collect()),
            Err(mpsc::RecvTimeoutError::Timeout) => Some(Vec::new()),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Does the jobs, those that add nothing also when there is no room for others.
    fn work(&mut self, jobs: Vec<Job>, is_last: bool) {
        for _ in 0..2 {
            if self.database.is_none() {
                self.reopen();
            }
            let Some(database) = self.database.take() else { return };
            let mut done = Vec::with_capacity(jobs.len());
            match guarded(|| self.transact(&database, &jobs, &mut done, is_last)) {
                Ok(()) => {
                    self.database = Some(database);
                    return jobs.into_iter().zip(done).for_each(|(job, done)| job.answer(done));
                }
                Err(error) => {
                    if self.failed(database, &error) {
                        return jobs.into_iter().zip(done).for_each(|(job, done)| job.answer(done));
                    }
                }
            }
        }
        if let Some(full) = &self.full {
            jobs.into_iter().for_each(|job| job.refuse(&full.why));
        }
    }

    fn transact(&mut self, database: &Database, jobs: &[Job], done: &mut Vec<Done>, is_last: bool) -> Result<(), redb::Error> {
        let transaction = database.begin_write()?;
        let full = self.full.as_ref().filter(|full| !full.pause.is_over()).map(|full| full.why.clone());
        let mut is_durable = is_last || self.unsynced.as_ref().is_some_and(Unsynced::is_due);
        let mut tables = Tables::open(&transaction, full)?;
        let mut written = Vec::new();
        let now = now();
        for job in jobs {
            done.push(match &job.work {
                Work::Apply(space, commands, _) => {
                    let mut part = tables.part(&space.addon)?;
                    let answers = match shelf::run(&mut part, space.quota, commands.clone(), now) {
                        Ok(answers) => Ok(answers),
                        Err(Fault::Refused(error)) => Err(error),
                        Err(Fault::File(error)) => return Err(error.into()),
                    };
                    let usage = part.settle()?;
                    self.shared.usages.lock().insert(space.addon.to_string(), usage);
                    if answers.is_ok() && commands.iter().any(|(_, op)| op.writes()) {
                        written.push(Written { space: space.clone(), commands: commands.clone(), now });
                    }
                    Done::Apply(answers)
                }
                Work::Scan(addon, scan, _) => Done::Scan(tables.part(addon)?.scan(scan, now)?),
                Work::Flush(_) => {
                    is_durable = true;
                    Done::Flush
                }
            });
        }
        if self.swept.elapsed() >= SWEEP {
            self.swept = Instant::now();
            self.sweep(&mut tables, now)?;
        }
        let (changed, has_added) = (tables.changed, tables.has_added);
        drop(tables);
        if has_added {
            tables::keep_spare(&transaction, self.place.most)?;
        }
        // While there is no room, nothing is told that is not on the disk: what goes is of use only then.
        is_durable = (is_durable && (changed.is_some() || self.unsynced.is_some())) || (changed.is_some() && self.full.is_some());
        if is_durable {
            self.commit(transaction)?;
        } else if let Some(bytes) = changed {
            let mut transaction = transaction;
            transaction.set_durability(Durability::None)?;
            transaction.commit()?;
            self.unsynced.get_or_insert_with(Unsynced::now).bytes += bytes;
            self.journal.append(&mut written);
        } else {
            transaction.abort()?;
        }
        if has_added && self.full.take().is_some() {
            tracing::info!(state.path = %self.place.path.display(), "keys and values can be kept again");
        }
        Ok(())
    }

    /// Has all of it on the disk, with a mark by which a commit that stood is known.
    fn commit(&mut self, mut transaction: WriteTransaction) -> Result<(), redb::Error> {
        let mark = now();
        tables::mark(&transaction, mark)?;
        self.attempt = Some(mark);
        transaction.set_durability(Durability::Immediate)?;
        transaction.commit()?;
        self.attempt = None;
        self.unsynced = None;
        self.journal.clear();
        Ok(())
    }

    /// Does again what was answered and is not in the file. Whether the last commit stood, and so all of it is there.
    fn replay(&mut self, database: &Database) -> Result<bool, redb::Error> {
        let transaction = database.begin_write()?;
        let has_stood = self.attempt.is_some() && tables::marked(&transaction)? == self.attempt;
        if has_stood || self.journal.is_empty() {
            transaction.abort()?;
            self.attempt = None;
            self.journal.clear();
            return Ok(has_stood);
        }
        let mut tables = Tables::open(&transaction, None)?;
        for written in &self.journal {
            let mut part = tables.part(&written.space.addon)?;
            match shelf::run(&mut part, written.space.quota, written.commands.clone(), written.now) {
                Ok(_) => {}
                Err(Fault::File(error)) => return Err(error.into()),
                Err(Fault::Refused(error)) => tracing::error!(%error, "a write that was answered is lost"),
            }
            let usage = part.settle()?;
            self.shared.usages.lock().insert(written.space.addon.to_string(), usage);
        }
        drop(tables);
        self.commit(transaction)?;
        Ok(false)
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

    /// The file is opened again, now or after a while. Whether the transaction stood nevertheless.
    fn failed(&mut self, database: Database, error: &redb::Error) -> bool {
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
            *self.shared.trouble.lock() = Some(format!("the file failed: {}", kind(error)));
            self.retry = self.retry.next();
        }
        self.reopen()
    }

    fn reopen(&mut self) -> bool {
        if !self.retry.is_over() {
            return false;
        }
        let opened = open(&self.place, &self.shared).and_then(|database| {
            let replayed = guarded(|| self.replay(&database));
            if replayed.as_ref().is_err_and(|error| matches!(error, redb::Error::Io(error) if is_full(error))) {
                tracing::error!(writes = self.journal.len(), "writes that were answered are lost: no room for them");
                self.journal.clear();
            }
            replayed.map(|has_stood| (database, has_stood)).map_err(|error| storage_error(&self.place, error))
        });
        match opened {
            Ok((database, has_stood)) => {
                self.database = Some(database);
                self.retry = Pause::none();
                *self.shared.trouble.lock() = None;
                tracing::info!(state.path = %self.place.path.display(), "keys and values are available again");
                has_stood
            }
            Err(error) => {
                tracing::error!(%error, "keys and values are not available");
                *self.shared.trouble.lock() = Some(error.kind());
                self.retry = self.retry.next();
                false
            }
        }
    }
}

/// A panic of redb's own checks of what it reads is an error.
fn guarded<T>(work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, redb::Error> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(redb::Error::Corrupted("a page cannot be what it should be".to_owned())))
}

/// What may be told to anybody.
fn kind(error: &redb::Error) -> String {
    match error {
        redb::Error::Io(error) => error.kind().to_string(),
        redb::Error::Corrupted(_) => "damaged".to_owned(),
        _ => "the database cannot go on".to_owned(),
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

impl Job {
    /// Whoever has gone meanwhile needs no answer.
    fn answer(self, done: Done) {
        match (self.work, done) {
            (Work::Apply(_, _, sender), Done::Apply(answers)) => drop(sender.send(answers)),
            (Work::Scan(_, _, sender), Done::Scan(page)) => drop(sender.send(Ok(page))),
            (Work::Flush(sender), Done::Flush) => drop(sender.send(())),
            // Each is what its job came to.
            _ => {}
        }
    }

    fn refuse(self, why: &str) {
        let why = StoreError::Unavailable(why.to_owned());
        match self.work {
            Work::Apply(_, _, sender) => drop(sender.send(Err(why))),
            Work::Scan(_, _, sender) => drop(sender.send(Err(why))),
            Work::Flush(sender) => drop(sender.send(())),
        }
    }
}
