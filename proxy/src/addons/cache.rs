//! What the engine keeps between compilations: code of single functions in memory, whole components and a secret on disk.

use std::{
    borrow::Cow,
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use wasmtime::CacheStore;
use wasmtime_wasi::p2::bindings::random::random::Host as _;

/// Compiled functions by content, so that recompiling a component of which little changed takes little time.
///
/// Two generations of at most half the capacity each: when the young one is full, the old one is dropped. An entry that is
/// used moves to the young one.
#[derive(Debug)]
pub(super) struct Functions {
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    young: HashMap<Vec<u8>, Arc<[u8]>>,
    old: HashMap<Vec<u8>, Arc<[u8]>>,
    bytes: usize,
}

/// A secret of this cache directory: the seeds of guests are derived from it, so that no client can guess them, and they
/// are the same after a restart, so that the cache is hit.
pub(super) type Secret = [u8; 32];

impl Functions {
    /// At most so many bytes of keys and values.
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, state: Mutex::default() }
    }
}

impl State {
    fn put(&mut self, key: Vec<u8>, value: Arc<[u8]>, half: usize) -> bool {
        let size = key.len() + value.len();
        if size > half {
            return false;
        }
        if self.bytes + size > half {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
        if self.young.insert(key, value).is_none() {
            self.bytes += size;
        }
        true
    }
}

impl CacheStore for Functions {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        let mut state = self.state.lock();
        if let Some(value) = state.young.get(key) {
            return Some(Cow::Owned(value.to_vec()));
        }
        let (key, value) = state.old.remove_entry(key)?;
        let found = value.to_vec();
        state.put(key, value, self.capacity / 2);
        Some(Cow::Owned(found))
    }

    fn insert(&self, key: &[u8], value: Vec<u8>) -> bool {
        self.state.lock().put(key.to_vec(), value.into(), self.capacity / 2)
    }
}

/// Makes the directory, for its owner only, and tells its absolute path.
pub(super) fn directory(path: &Path) -> io::Result<PathBuf> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    #[cfg(unix)]
    if std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path)?.permissions()) & 0o022 != 0 {
        // Whoever writes there decides what code this process runs.
        tracing::warn!(directory = %path.display(), "others may write to the cache of compiled code");
    }
    path.canonicalize()
}

/// Reads the directory's secret, or makes one.
pub(super) fn secret(directory: &Path) -> io::Result<Secret> {
    let path = directory.join("seed");
    match fs::read(&path) {
        Ok(bytes) => {
            if let Ok(secret) = Secret::try_from(bytes) {
                return Ok(secret);
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let bytes = wasmtime_wasi::random::WasiRandomCtx::default().get_random_bytes(32).map_err(io::Error::other)?;
    let secret = Secret::try_from(bytes).map_err(|_| io::Error::other("no random bytes"))?;
    // Written aside and renamed: another process that starts now reads all of it or nothing.
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    io::Write::write_all(&mut file, &secret)?;
    file.persist(path)?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn used_entries_outlive_unused_ones() {
        let cache = Functions::new(400);
        assert!(cache.insert(b"used", vec![1; 40]));
        for round in 0..100_u8 {
            assert!(cache.insert(&[round, 0, 0, 0], vec![round; 40]));
            assert!(cache.get(b"used").is_some());
        }
        assert!(cache.get(&[0, 0, 0, 0]).is_none());
    }

    #[test]
    fn entries_over_half_the_capacity_are_refused() {
        let cache = Functions::new(100);
        assert!(!cache.insert(b"key", vec![0; 60]));
        assert!(cache.get(b"key").is_none());
    }

    #[test]
    fn the_secret_survives_a_restart() -> io::Result<()> {
        let home = tempfile::tempdir()?;
        let path = directory(&home.path().join("a/b"))?;
        let first = secret(&path)?;
        assert_ne!(first, [0; 32]);
        assert_eq!(first, secret(&path)?);
        Ok(())
    }
}
