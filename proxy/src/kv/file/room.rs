//! How far the file may grow, and what becomes of a transaction that wants more.
//!
//! A database whose file cannot grow is of no use any more, with all that it has in memory alone. So a transaction is on trial until
//! it is committed: it gets what it asks for, and what the file cannot have is in memory. Then it is undone as if it had not
//! been, and who wrote before loses nothing.

use std::{collections::HashMap, fs::File, io, sync::atomic::Ordering::Relaxed};

use parking_lot::Mutex;
use redb::{TableDefinition, WriteTransaction};
use rustix::{
    fs::{FallocateFlags, fallocate, fstatvfs},
    io::Errno,
};

use super::backend::Faults;

/// What there is for one open file.
#[derive(Debug)]
pub(super) struct Room {
    file: File,
    /// The most bytes that it may have.
    most: u64,
    pub(super) faults: Faults,
    trial: Mutex<Trial>,
}

/// A transaction that is not committed yet, or none.
#[derive(Debug, Default)]
struct Trial {
    is_on: bool,
    excess: Option<Excess>,
}

/// What a transaction wants that the file cannot have.
#[derive(Debug)]
struct Excess {
    why: String,
    /// Bytes that the file would have.
    len: u64,
    /// What would be at which offset.
    pages: HashMap<u64, Vec<u8>>,
}

/// Nothing, but that there is room for it.
const SPARE: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("spare");
/// More than half a page of redb, so that each has one of its own.
const SPARE_BYTES: usize = 3_000;
/// A small file grows by so much at one time; others double, and large ones grow by regions, two at most.
const SMALLEST_STEP: u64 = 8 << 20;
const LARGEST_STEP: u64 = 8 << 30;
/// Bytes beyond twice the limit that a commit is never given: by what is kept free, none comes to the limit.
const BEYOND: u64 = 64 << 20;

impl Room {
    pub(super) fn new(file: File, most: u64, faults: Faults) -> Self {
        Self { file, most, faults, trial: Mutex::default() }
    }

    /// What follows is on trial.
    pub(super) fn begin(&self) {
        *self.trial.lock() = Trial { is_on: true, excess: None };
    }

    /// What follows is to stand.
    pub(super) fn end(&self) {
        *self.trial.lock() = Trial::default();
    }

    /// Why what is on trial cannot be committed.
    pub(super) fn excess(&self) -> Option<String> {
        self.trial.lock().excess.as_ref().map(|excess| excess.why.clone())
    }

    /// Whether the next step of growth may be one too many.
    pub(super) fn is_tight(&self) -> bool {
        let Ok(len) = self.file.metadata().map(|found| found.len()) else { return true };
        let step = len.clamp(SMALLEST_STEP, LARGEST_STEP);
        let is_disk_full = || fstatvfs(&self.file).is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < step);
        len.saturating_add(step) > self.most || self.faults.is_full.load(Relaxed) || is_disk_full()
    }

    /// As long as redb takes it for.
    pub(super) fn len(&self) -> io::Result<u64> {
        match &self.trial.lock().excess {
            Some(excess) => Ok(excess.len),
            None => Ok(self.file.metadata()?.len()),
        }
    }

    pub(super) fn set_len(&self, len: u64) -> io::Result<()> {
        let now = self.file.metadata()?.len();
        let mut trial = self.trial.lock();
        if len <= now {
            trial.excess = None;
            return if len < now { self.file.set_len(len) } else { Ok(()) };
        }
        match self.reserve(now, len, trial.is_on) {
            Ok(()) => self.file.set_len(len),
            Err(error) if trial.is_on && is_full(&error) => {
                let pages = trial.excess.take().map(|before| before.pages).unwrap_or_default();
                trial.excess = Some(Excess { why: format!("no room: {error}"), len, pages });
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Takes the room on the disk before something is put there: a file with holes would fail when pages are written, and then
    /// as a whole.
    fn reserve(&self, from: u64, to: u64, is_trial: bool) -> io::Result<()> {
        let most = if is_trial { self.most } else { self.most.saturating_mul(2).saturating_add(BEYOND) };
        if to > most {
            let text = format!("the file would have {to} bytes, state_bytes is {}", self.most);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        if self.faults.is_full.load(Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        match fallocate(&self.file, FallocateFlags::empty(), from, to - from) {
            // Not every file system can.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
            reserved => Ok(reserved?),
        }
    }

    /// Keeps what would be beyond the end of the file; whether it is there.
    pub(super) fn keeps(&self, offset: u64, data: &[u8]) -> io::Result<bool> {
        let mut trial = self.trial.lock();
        let Some(excess) = &mut trial.excess else { return Ok(false) };
        let is_beyond = offset.saturating_add(data.len() as u64) > self.file.metadata()?.len();
        if is_beyond {
            excess.pages.insert(offset, data.to_vec());
        }
        Ok(is_beyond)
    }

    /// Gives what was kept of this place; whether something was.
    pub(super) fn recalls(&self, offset: u64, out: &mut [u8]) -> bool {
        let trial = self.trial.lock();
        let kept = trial.excess.as_ref().and_then(|excess| excess.pages.get(&offset)).filter(|page| page.len() == out.len());
        kept.map(|page| out.copy_from_slice(page)).is_some()
    }

    /// Takes so many pages and gives them back. Where they do not fit, there is an excess.
    pub(super) fn try_spare(&self, transaction: &WriteTransaction, pages: u32) -> Result<(), redb::Error> {
        let mut spare = transaction.open_table(SPARE)?;
        for number in 0..pages {
            drop(spare.insert_reserve(number, SPARE_BYTES)?);
            if self.trial.lock().excess.is_some() {
                break;
            }
        }
        drop(spare);
        transaction.delete_table(SPARE)?;
        Ok(())
    }
}

/// Whether the file cannot be larger, or the disk has no room.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::FileTooLarge | io::ErrorKind::QuotaExceeded)
}
