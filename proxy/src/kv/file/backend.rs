//! The file as redb sees it: no larger than it may be.

use std::{
    fs::{self, File, OpenOptions},
    io,
    ops::Bound,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use redb::{BackendError, StorageBackend, backends::FileBackend};
use rustix::{
    fs::{FallocateFlags, fallocate},
    io::Errno,
};

/// A file with a limit.
#[derive(Debug)]
pub(super) struct Bounded {
    file: FileBackend,
    /// The same one.
    whole: File,
    most: u64,
    faults: Faults,
}

/// What goes wrong with a file. In production nothing but what really does.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults {
    /// The disk has no room for a larger file.
    pub(super) is_full: Arc<AtomicBool>,
    /// Nothing can be written.
    pub(super) is_broken: Arc<AtomicBool>,
}

impl Bounded {
    /// Opens or makes the file, for its owner only. Anything that is there, and no regular file, is refused.
    pub(super) fn open(path: &Path, most: u64, faults: Faults) -> io::Result<Self> {
        if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "is no regular file"));
        }
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let whole = file.try_clone()?;
        let file = FileBackend::new(file).map_err(io::Error::other)?;
        Ok(Self { file, whole, most, faults })
    }

    /// Takes the room on the disk before something is put there: a file with holes would fail when pages are written, and then
    /// as a whole.
    fn reserve(&self, from: u64, to: u64) -> io::Result<()> {
        if self.faults.is_full.load(Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        match fallocate(&self.whole, FallocateFlags::empty(), from, to - from) {
            // Not every file system can.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
            reserved => Ok(reserved?),
        }
    }
}

impl StorageBackend for Bounded {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let now = self.file.len()?;
        if len > self.most && len > now {
            let text = format!("the file would have {len} bytes, state_bytes is {}", self.most);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        if len > now {
            self.reserve(now, len)?;
        }
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if self.faults.is_broken.load(Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}
