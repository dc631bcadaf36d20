//! The thread that owns the file.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
    time::{Duration, Instant, SystemTime},
};

use redb::{Durability, StorageError, WriteTransaction};

use super::{
    super::{Answer, Page, StoreError, Usage, shelf},
    Job, OpenError, SYNC, Shared, Work,
    opening::{Opened, Place, open},
    pause::Pause,
    room::is_full,
    tables::{Changes, Fault, Tables},
};

/// The thread's own.
pub(super) struct Worker {
    place: Place,
    inbox: mpsc::Receiver<Job>,
    shared: Arc<Shared>,
    /// None while the file is in trouble.
    file: Option<Opened>,
    unsynced: Option<Unsynced>,
    retry: Pause,
    full: Option<Full>,
    /// Pages that were seen to be free, less what was taken since.
    free: u32,
    swept: Instant,
    /// Expired entries that go at one time.
    sweep: usize,
}

/// What is in memory alone.
struct Unsynced {
    since: Instant,
    bytes: usize,
    /// Pages that it takes to have it on the disk.
    pages: u32,
}

/// Why nothing of so many bytes or more may be added, until it is tried again.
struct Full {
    why: String,
    least: usize,
    pause: Pause,
}

/// How a transaction is tried.
#[derive(Debug, Clone, Copy)]
struct Trial {
    /// The file may not be able to grow: there must be room for what comes after it.
    is_tight: bool,
    /// Nothing is added.
    refuses: bool,
    is_last: bool,
}

/// A transaction that there is no room for, and that was undone.
struct Excess {
    /// With which job; none: with what had expired.
    job: Option<usize>,
    why: String,
}

/// What was tried already with a job that there is no room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tried {
    Nothing,
    /// All of before is on the disk, and what it replaced is free.
    Synced,
    Refused,
}

/// What came of a job. Whoever asked is told when the transaction stands.
enum Done {
    Apply(Result<Vec<Answer>, StoreError>),
    Scan(Page),
    Flush,
}

/// Jobs in one transaction.
const BATCH: usize = 256;
/// The same where the file may not be able to grow.
const TIGHT_BATCH: usize = 8;
/// Bytes after which the disk is not waited for any longer.
const UNSYNCED: usize = 16 << 20;
/// How often all addons are looked through for what has expired, and how many entries go each time.
const SWEEP: Duration = Duration::from_secs(1);
const SWEPT: usize = 1_000;
/// Pages that stay free after something was added, for what removes: a batch of it takes two pages for each key, and some for the
/// way to them, before it frees any.
const KEPT: u32 = 640;
/// Pages beyond these that are looked for, not to look each time.
const AHEAD: u32 = 128;
/// Pages that a commit finds free: for lists of what was freed, and the way to them.
const COMMIT: u32 = 64;
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The same where there is no room.
const LONGEST_FULL: Duration = Duration::from_secs(2);

impl Worker {
    /// Opens the file.
    pub(super) fn new(place: Place, inbox: mpsc::Receiver<Job>, shared: Arc<Shared>) -> Result<Self, OpenError> {
        let file = Some(open(&place, &shared)?);
        let (retry, swept) = (Pause::none(), Instant::now());
        Ok(Self { place, inbox, shared, file, unsynced: None, retry, full: None, free: 0, swept, sweep: SWEPT })
    }

    /// Works until nobody is left who could ask for something; then has all of it on the disk.
    pub(super) fn run(mut self) {
        while let Some(jobs) = self.next() {
            self.work(jobs, false);
        }
        self.work(VecDeque::new(), true);
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

    fn work(&mut self, jobs: VecDeque<Job>, is_last: bool) {
        if self.file.is_none() {
            self.reopen();
        }
        // Without a file, the senders are dropped, and who waits reads of the trouble.
        let Some(file) = self.file.take() else { return };
        match catch_unwind(AssertUnwindSafe(|| self.all(&file, jobs, is_last))) {
            Ok(Ok(())) => self.file = Some(file),
            Ok(Err(error)) => self.failed(file, &error),
            // redb's own checks of what it reads.
            Err(_) => self.failed(file, &redb::Error::Corrupted("a page cannot be what it should be".to_owned())),
        }
    }

    /// Does all jobs, in one transaction if there is room for all of them; those that there is no room for, each alone, are
    /// refused.
    fn all(&mut self, file: &Opened, mut jobs: VecDeque<Job>, is_last: bool) -> Result<(), redb::Error> {
        let mut is_tight = file.room.is_tight();
        let most = |is_tight| if is_tight { TIGHT_BATCH } else { BATCH };
        let (mut count, mut tried) = (most(is_tight), Tried::Nothing);
        loop {
            count = count.min(jobs.len());
            let trial = Trial { is_tight, refuses: tried == Tried::Refused, is_last: is_last && count == jobs.len() };
            let group = jobs.make_contiguous().get(..count).unwrap_or_default();
            match self.transact(file, group, trial)? {
                Ok(done) => jobs.drain(..count).zip(done).for_each(|(job, done)| job.answer(done)),
                Err(excess) => {
                    is_tight = true;
                    match excess.job {
                        None => self.sweep = (self.sweep / 4).max(1),
                        Some(at) if count > 1 => count = at.clamp(1, count - 1),
                        Some(_) => match tried {
                            Tried::Nothing => {
                                self.sync(file)?;
                                tried = Tried::Synced;
                            }
                            Tried::Synced => {
                                self.refuse_more(excess.why, jobs.front());
                                tried = Tried::Refused;
                            }
                            Tried::Refused => {
                                if let Some(job) = jobs.pop_front() {
                                    job.refuse(excess.why);
                                }
                                (count, tried) = (most(is_tight), Tried::Nothing);
                            }
                        },
                    }
                    continue;
                }
            }
            if jobs.is_empty() {
                return Ok(());
            }
            (count, tried) = (most(is_tight), Tried::Nothing);
        }
    }

    /// Does these jobs in one transaction, or undoes it.
    fn transact(&mut self, file: &Opened, jobs: &[Job], trial: Trial) -> Result<Result<Vec<Done>, Excess>, redb::Error> {
        file.room.begin();
        let mut transaction = file.database.begin_write()?;
        let mut tables = Tables::open(&transaction)?;
        let (mut done, mut usages, mut is_flush) = (Vec::with_capacity(jobs.len()), Vec::new(), false);
        // The job that changed something last, and the bytes of the largest that something might be added for.
        let (mut changer, mut largest) = (0, None);
        let now = now();
        for (index, job) in jobs.iter().enumerate() {
            let (bytes, before) = (job.adds(), tables.changes.keys);
            tables.full = self.full.as_ref().filter(|full| trial.refuses || full.refuses(bytes)).map(|full| full.why.clone());
            if tables.full.is_none() {
                largest = largest.max(bytes);
            }
            done.push(match &job.work {
                Work::Apply(space, commands, _) => {
                    let mut part = tables.part(&space.addon)?;
                    let answers = match shelf::run(&mut part, space.quota, commands, now) {
                        Ok(answers) => Ok(answers),
                        Err(Fault::Refused(error)) => Err(error),
                        Err(Fault::File(error)) => return Err(error.into()),
                    };
                    usages.push((space.addon.to_string(), part.settle()?));
                    Done::Apply(answers)
                }
                Work::Scan(addon, scan, _) => Done::Scan(tables.part(addon)?.scan(scan, now)?),
                Work::Flush(_) => {
                    is_flush = true;
                    Done::Flush
                }
            });
            if let Some(why) = file.room.excess() {
                drop(tables);
                transaction.abort()?;
                return Ok(Err(Excess { job: Some(index), why }));
            }
            if tables.changes.keys > before {
                changer = index;
            }
        }
        if self.swept.elapsed() >= SWEEP {
            self.swept = Instant::now();
            sweep(&mut tables, now, self.sweep, &mut usages)?;
            if let Some(why) = file.room.excess() {
                drop(tables);
                transaction.abort()?;
                return Ok(Err(Excess { job: None, why }));
            }
            self.sweep = SWEPT;
        }
        let changes = tables.changes;
        drop(tables);
        let free = if trial.is_tight && changes.keys > 0 { self.spare(file, &transaction, changes)? } else { 0 };
        if let Some(why) = file.room.excess() {
            transaction.abort()?;
            return Ok(Err(Excess { job: (!jobs.is_empty()).then_some(changer), why }));
        }
        file.room.end();
        self.free = free;
        let is_due = |unsynced: &Unsynced| unsynced.is_due(trial.is_tight);
        let is_durable = trial.is_last || is_flush || self.unsynced.as_ref().is_some_and(is_due);
        if is_durable && (changes.keys > 0 || self.unsynced.is_some()) {
            transaction.set_durability(Durability::Immediate)?;
            transaction.commit()?;
            self.unsynced = None;
        } else if changes.keys > 0 {
            transaction.set_durability(Durability::None)?;
            transaction.commit()?;
            self.unsynced.get_or_insert_with(Unsynced::now).add(changes);
        } else {
            transaction.abort()?;
        }
        self.shared.usages.lock().extend(usages);
        if changes.has_added && self.full.as_ref().is_some_and(|full| largest >= Some(full.least)) {
            self.full = None;
            tracing::info!(state.path = %self.place.path.display(), "keys and values can be kept again");
        }
        Ok(Ok(done))
    }

    /// Tries whether enough pages are free after these changes, unless that is known; how many are.
    fn spare(&self, file: &Opened, transaction: &WriteTransaction, changes: Changes) -> Result<u32, redb::Error> {
        let (least, more) = if changes.has_added { (KEPT, AHEAD) } else { (COMMIT, 0) };
        let left = self.free.saturating_sub(changes.pages());
        if left >= least {
            return Ok(left);
        }
        file.room.try_spare(transaction, least + more)?;
        Ok(least + more)
    }

    /// Has on the disk what is in memory alone.
    fn sync(&mut self, file: &Opened) -> Result<(), redb::Error> {
        if self.unsynced.is_some() {
            file.room.end();
            let mut transaction = file.database.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            transaction.commit()?;
            self.unsynced = None;
        }
        Ok(())
    }

    /// Nothing that is as large as this one is added for a while.
    fn refuse_more(&mut self, why: String, job: Option<&Job>) {
        let Some(bytes) = job.and_then(Job::adds) else { return };
        if self.full.is_none() {
            tracing::warn!(state.path = %self.place.path.display(), why, bytes, "keys and values cannot be kept");
        }
        let before = self.full.as_ref().map(|full| (full.least.min(bytes), full.pause));
        let (least, pause) = before.unwrap_or((bytes, Pause::none()));
        let pause = pause.next(LONGEST_FULL);
        self.full = Some(Full { why, least, pause });
    }

    /// What is not on the disk is lost; the file is opened again, now or after a while.
    fn failed(&mut self, file: Opened, error: &redb::Error) {
        drop(file);
        self.unsynced = None;
        self.free = 0;
        let path = self.place.path.display();
        if let redb::Error::Io(error) = error
            && is_full(error)
        {
            let why = format!("no room: {error}");
            let pause = self.full.as_ref().map_or_else(Pause::none, |full| full.pause).next(LONGEST_PAUSE);
            tracing::error!(state.path = %path, why, "keys and values cannot be kept, and what was in memory alone is lost");
            self.full = Some(Full { why, least: 0, pause });
        } else {
            tracing::error!(state.path = %path, %error, "keys and values are not available");
            *self.shared.trouble.lock() = Some(format!("the file failed: {error}"));
            self.retry = self.retry.next(LONGEST_PAUSE);
        }
        self.reopen();
    }

    fn reopen(&mut self) {
        if !self.retry.is_over() {
            return;
        }
        match open(&self.place, &self.shared) {
            Ok(file) => {
                self.file = Some(file);
                self.retry = Pause::none();
                *self.shared.trouble.lock() = None;
                tracing::info!(state.path = %self.place.path.display(), "keys and values are available again");
            }
            Err(error) => {
                tracing::error!(%error, "keys and values are not available");
                *self.shared.trouble.lock() = Some(error.kind());
                self.retry = self.retry.next(LONGEST_PAUSE);
            }
        }
    }
}

/// Removes what has expired of all addons, some each time.
fn sweep(tables: &mut Tables<'_>, now: u64, most: usize, usages: &mut Vec<(String, Usage)>) -> Result<(), StorageError> {
    let mut left = most;
    for (addon, before) in tables.usages()? {
        let mut part = tables.part(&addon)?;
        match shelf::expire_some(&mut part, now, left) {
            Ok(_) => {}
            Err(Fault::File(error)) => return Err(error),
            Err(Fault::Refused(error)) => tracing::debug!(%error, "an expired entry stays"),
        }
        let after = part.settle()?;
        left = left.saturating_sub(before.keys.saturating_sub(after.keys));
        usages.push((addon, after));
    }
    Ok(())
}

/// Microseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

impl Unsynced {
    fn now() -> Self {
        Self { since: Instant::now(), bytes: 0, pages: 0 }
    }

    /// With a list of freed pages for each transaction.
    fn add(&mut self, changes: Changes) {
        self.bytes += changes.bytes;
        self.pages = self.pages.saturating_add(1 + changes.pages() / 256);
    }

    fn is_due(&self, is_tight: bool) -> bool {
        self.since.elapsed() >= SYNC || self.bytes >= UNSYNCED || (is_tight && self.pages >= COMMIT / 2)
    }
}

impl Changes {
    /// Pages that they may have taken: leaves and the way to them, and values in blocks of a power of two.
    fn pages(self) -> u32 {
        let pages = self.keys.saturating_mul(4).saturating_add(self.bytes / 2_048).saturating_add(16);
        u32::try_from(pages).unwrap_or(u32::MAX)
    }
}

impl Full {
    fn refuses(&self, bytes: Option<usize>) -> bool {
        !self.pause.is_over() && bytes >= Some(self.least)
    }
}

impl Job {
    /// Bytes of values that this may put there; none: it only reads and removes.
    fn adds(&self) -> Option<usize> {
        let Work::Apply(_, commands, _) = &self.work else { return None };
        commands.iter().filter_map(|(_, op)| op.puts()).reduce(|one, other| one + other)
    }

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

    fn refuse(self, why: String) {
        let why = StoreError::Unavailable(why);
        match self.work {
            Work::Apply(_, _, sender) => drop(sender.send(Err(why))),
            Work::Scan(_, _, sender) => drop(sender.send(Err(why))),
            Work::Flush(sender) => drop(sender.send(())),
        }
    }
}
