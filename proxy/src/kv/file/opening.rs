//! Opening the file: whose it is, whether it is sound, what is in it.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::Arc,
};

use redb::{Database, DatabaseError};

use super::{
    OpenError, Shared,
    backend::{Bounded, Faults},
    room::Room,
    tables::{self, Tables},
};

/// Where the file is, and how large it may be.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    pub(super) most: u64,
    pub(super) faults: Faults,
}

/// A file that is open, and this process's alone.
pub(super) struct Opened {
    pub(super) database: Database,
    pub(super) room: Arc<Room>,
}

/// Pages of the file that are kept in memory, in bytes.
const CACHE: usize = 64 << 20;
/// A file that is so much larger than what it holds is made smaller when it is opened.
const SLACK: u64 = 64 << 20;

/// Opens the file and looks at all of it.
pub(super) fn open(place: &Place, shared: &Shared) -> Result<Opened, OpenError> {
    let (path, io) = (place.path.clone(), |error| OpenError::Io(place.path.clone(), error));
    let (backend, room) = Bounded::open(&place.path, place.most, place.faults.clone()).map_err(io)?;
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE).set_check_integrity_on_open(true).create_with_backend(backend)
    }));
    let damaged = || OpenError::Damaged(path.clone(), "a page cannot be what it should be".to_owned());
    let mut database = opened.map_err(|_| damaged())?.map_err(|error| open_error(place, error))?;
    let claimed = catch_unwind(AssertUnwindSafe(|| claim(&mut database, shared, &place.path, place.most)));
    claimed.map_err(|_| damaged())?.map_err(|error| storage_error(place, error))?.map_err(|why| OpenError::Foreign(path, why))?;
    Ok(Opened { database, room })
}

/// Checks whose file it is, makes it smaller if that is worth it, and reads what addons have.
fn claim(database: &mut Database, shared: &Shared, path: &std::path::Path, most: u64) -> Result<Result<(), String>, redb::Error> {
    let transaction = database.begin_write()?;
    if let Err(why) = tables::claim(&transaction)? {
        transaction.abort()?;
        return Ok(Err(why));
    }
    let usages = Tables::open(&transaction)?.usages()?;
    transaction.commit()?;
    let held: u64 = usages.iter().map(|(_, usage)| usage.bytes as u64).sum();
    let length = std::fs::metadata(path).map_or(0, |found| found.len());
    if length > most || length > held.saturating_mul(4).saturating_add(SLACK.min(most / 2)) {
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
