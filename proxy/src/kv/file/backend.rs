//! The file as redb sees it: no larger than it may be.

use std::{
    fs::{self, OpenOptions},
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

use super::room::Room;

/// A file with a limit.
#[derive(Debug)]
pub(super) struct Bounded {
    file: FileBackend,
    room: Arc<Room>,
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
    pub(super) fn open(path: &Path, most: u64, faults: Faults) -> io::Result<(Self, Arc<Room>)> {
        if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "is no regular file"));
        }
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let room = Arc::new(Room::new(file.try_clone()?, most, faults));
        let file = FileBackend::new(file).map_err(io::Error::other)?;
        Ok((Self { file, room: Arc::clone(&room) }, room))
    }
}

impl StorageBackend for Bounded {
    fn len(&self) -> io::Result<u64> {
        self.room.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.room.recalls(offset, out) {
            return Ok(());
        }
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.room.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        // Nothing that is to be undone needs to be on the disk.
        if self.room.excess().is_some() { Ok(()) } else { self.file.sync_data() }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if self.room.faults.is_broken.load(Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if self.room.keeps(offset, data)? {
            return Ok(());
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
