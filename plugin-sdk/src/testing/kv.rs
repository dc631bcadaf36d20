//! The store as the test harness has it: in memory, for all flows of a harness.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::kv::{Error, Page};

/// What the flows of a harness share.
#[derive(Clone)]
pub(crate) struct Kept {
    store: Option<Arc<Mutex<Store>>>,
}

#[derive(Default)]
struct Store {
    entries: BTreeMap<(String, String), Entry>,
    now: Duration,
}

struct Entry {
    value: Vec<u8>,
    until: Option<Duration>,
}

/// Takes the store away again, also when the hook panics.
pub(super) struct Lent(());

const MAX_BUCKET: usize = 64;
const MAX_KEY: usize = 1 << 10;
const MAX_VALUE: usize = 1 << 20;
const MAX_BATCH: usize = 256;
const MAX_BATCH_BYTES: usize = 4 << 20;
const MAX_PAGE: u32 = 1_000;
const PAGE_BYTES: usize = 1 << 20;

thread_local! {
    static CURRENT: RefCell<Kept> = const { RefCell::new(Kept::denied()) };
}

impl Kept {
    /// Nothing may be kept.
    pub(super) const fn denied() -> Self {
        Self { store: None }
    }

    /// For the hook that runs now on this thread.
    pub(super) fn lend(&self) -> Lent {
        CURRENT.set(self.clone());
        Lent(())
    }

    fn lock(&self) -> Option<MutexGuard<'_, Store>> {
        // A test that panicked meanwhile has failed already.
        self.store.as_ref().map(|store| store.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn preset(&self, bucket: &str, key: &str, value: &[u8]) {
        if let Some(mut store) = self.lock() {
            store.entries.insert(place(bucket, key), Entry { value: value.to_vec(), until: None });
        }
    }

    pub(super) fn get(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        self.lock()?.entries.get(&place(bucket, key)).map(|entry| entry.value.clone())
    }

    pub(super) fn pass(&self, time: Duration) {
        if let Some(mut store) = self.lock() {
            store.now = store.now.saturating_add(time);
            let now = store.now;
            store.entries.retain(|_, entry| entry.until.is_none_or(|until| until > now));
        }
    }
}

impl Default for Kept {
    fn default() -> Self {
        Self { store: Some(Arc::default()) }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        CURRENT.set(Kept::denied());
    }
}

impl Store {
    fn put(&mut self, place: (String, String), value: &[u8], ttl: Option<u64>) {
        let until = ttl.and_then(|ttl| self.now.checked_add(Duration::from_millis(ttl)));
        self.entries.insert(place, Entry { value: value.to_vec(), until });
    }
}

fn place(bucket: &str, key: &str) -> (String, String) {
    (bucket.to_owned(), key.to_owned())
}

/// Does it to the store of the hook that runs, if the proxy would.
fn apply<T>(
    bucket: &str,
    key: &str,
    value: Option<&[u8]>,
    ttl: Option<u64>,
    work: impl FnOnce(&mut Store, (String, String)) -> Result<T, Error>,
) -> Result<T, Error> {
    let kept = CURRENT.with_borrow(Clone::clone);
    let mut store = kept.lock().ok_or(Error::Denied)?;
    check(bucket, key, value, ttl)?;
    work(&mut store, place(bucket, key))
}

/// As the proxy checks.
fn check(bucket: &str, key: &str, value: Option<&[u8]>, ttl: Option<u64>) -> Result<(), Error> {
    if let Some(value) = value.filter(|value| value.len() > MAX_VALUE) {
        return Err(Error::TooLarge(format!("a value of {} bytes, limit {MAX_VALUE}", value.len())));
    }
    if ttl == Some(0) {
        return Err(Error::Invalid("time to live of 0".to_owned()));
    }
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if bucket.is_empty() || bucket.len() > MAX_BUCKET || !bucket.bytes().all(is_legal) {
        return Err(Error::Invalid("bucket".to_owned()));
    }
    if key.is_empty() || key.len() > MAX_KEY {
        return Err(Error::Invalid(format!("key of {} bytes, not 1 to {MAX_KEY}", key.len())));
    }
    Ok(())
}

/// For many keys at one time.
fn check_batch(keys: usize, bytes: usize) -> Result<(), Error> {
    if keys > MAX_BATCH {
        return Err(Error::TooLarge(format!("{keys} keys at one time, limit {MAX_BATCH}")));
    }
    if bytes > MAX_BATCH_BYTES {
        return Err(Error::TooLarge(format!("values of {bytes} bytes at one time, limit {MAX_BATCH_BYTES}")));
    }
    Ok(())
}

pub(crate) fn get(bucket: &str, key: &str) -> Result<Option<Vec<u8>>, Error> {
    apply(bucket, key, None, None, |store, place| Ok(store.entries.get(&place).map(|entry| entry.value.clone())))
}

pub(crate) fn get_many(bucket: &str, keys: &[&str]) -> Result<Vec<Option<Vec<u8>>>, Error> {
    check_batch(keys.len(), 0)?;
    let values = keys.iter().map(|key| get(bucket, key)).collect::<Result<Vec<_>, _>>()?;
    check_batch(keys.len(), values.iter().flatten().map(Vec::len).sum())?;
    Ok(values)
}

pub(crate) fn set(bucket: &str, key: &str, value: &[u8], ttl: Option<u64>) -> Result<(), Error> {
    apply(bucket, key, Some(value), ttl, |store, place| {
        store.put(place, value, ttl);
        Ok(())
    })
}

pub(crate) fn insert(bucket: &str, key: &str, value: &[u8], ttl: Option<u64>) -> Result<bool, Error> {
    apply(bucket, key, Some(value), ttl, |store, place| {
        let is_free = !store.entries.contains_key(&place);
        if is_free {
            store.put(place, value, ttl);
        }
        Ok(is_free)
    })
}

pub(crate) fn insert_many(bucket: &str, entries: &[(&str, &[u8])], ttl: Option<u64>) -> Result<Vec<bool>, Error> {
    check_batch(entries.len(), entries.iter().map(|(_, value)| value.len()).sum())?;
    entries.iter().try_for_each(|(key, value)| check(bucket, key, Some(value), ttl))?;
    entries.iter().map(|(key, value)| insert(bucket, key, value, ttl)).collect()
}

pub(crate) fn scan(bucket: &str, prefix: &str, next: Option<&str>, limit: u32) -> Result<Page, Error> {
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Error::Invalid(format!("limit of {limit} entries, not 1 to {MAX_PAGE}")));
    }
    if next.is_some_and(|next| next.is_empty() || !next.starts_with(prefix)) {
        return Err(Error::Invalid("cursor: it is not of a scan with this prefix".to_owned()));
    }
    // A prefix may be empty, unlike a key.
    apply(bucket, if prefix.is_empty() { "-" } else { prefix }, None, None, |store, _| {
        let mut found = store.entries.iter().filter(|((other, key), _)| {
            other == bucket && key.starts_with(prefix) && next.is_none_or(|next| key.as_str() > next)
        });
        let mut page = Page::default();
        let mut bytes = 0;
        for ((_, key), entry) in &mut found {
            bytes += key.len() + entry.value.len();
            let is_full = page.entries.len() == limit as usize || (!page.entries.is_empty() && bytes > PAGE_BYTES);
            if is_full {
                page.next = page.entries.last().map(|(key, _)| key.clone());
                return Ok(page);
            }
            page.entries.push((key.clone(), entry.value.clone()));
        }
        Ok(page)
    })
}

pub(crate) fn swap(
    bucket: &str,
    key: &str,
    expected: Option<&[u8]>,
    value: Option<&[u8]>,
    ttl: Option<u64>,
) -> Result<bool, Error> {
    apply(bucket, key, value, ttl, |store, place| {
        let is_due = store.entries.get(&place).map(|entry| entry.value.as_slice()) == expected;
        match value {
            Some(value) if is_due => store.put(place, value, ttl),
            None if is_due => drop(store.entries.remove(&place)),
            _ => {}
        }
        Ok(is_due)
    })
}

pub(crate) fn delete(bucket: &str, key: &str) -> Result<bool, Error> {
    apply(bucket, key, None, None, |store, place| Ok(store.entries.remove(&place).is_some()))
}

pub(crate) fn increment(bucket: &str, key: &str, by: i64, ttl: Option<u64>) -> Result<i64, Error> {
    apply(bucket, key, None, ttl, |store, place| {
        let number = |value: &[u8]| std::str::from_utf8(value).ok()?.parse::<i64>().ok();
        let found = store.entries.get_mut(&place);
        let before = found.as_ref().map_or(Some(0), |entry| number(&entry.value));
        let before = before.ok_or_else(|| Error::Invalid("number to increment".to_owned()))?;
        let sum = before.checked_add(by).ok_or_else(|| Error::Invalid("sum beyond 64 bits".to_owned()))?;
        let text = sum.to_string().into_bytes();
        match found {
            Some(entry) => entry.value = text,
            None => store.put(place, &text, ttl),
        }
        Ok(sum)
    })
}
