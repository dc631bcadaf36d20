//! What is found out once and then kept, for all flows: one asks, others wait for it.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde::{Serialize, de::DeserializeOwned};
use tollgate_sdk::{
    kv::{self, Bucket},
    serde_json,
};

/// For a lookup with all its questions, so that others wait for it no longer. Keys may take four questions of eight seconds.
const LOOKUP: Duration = Duration::from_secs(40);
/// Between two looks at what another one finds out: the first, and the longest. A look takes of the hook's CPU.
pub(crate) const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(320));

/// What `read` makes of what is known of `key`; where that is nothing, `ask` is, which also says how long it is good. None where
/// somebody else asks for too long.
pub(crate) fn find<T: Serialize + DeserializeOwned, R>(
    bucket: &str,
    key: &str,
    read: impl Fn(&T) -> Option<R>,
    ask: impl FnOnce() -> (T, Duration),
) -> Result<Option<R>, kv::Error> {
    let bucket = Bucket::new(bucket);
    let lock = format!("lock/{key}");
    let begun = Instant::now();
    let mut pause = PAUSES.0;
    loop {
        // What is kept in another form is as if there were none.
        let known: Option<T> = bucket.get(key)?.and_then(|value| serde_json::from_slice(&value).ok());
        if let Some(found) = known.as_ref().and_then(&read) {
            return Ok(Some(found));
        }
        let locked = Instant::now();
        if bucket.insert(&lock, "", LOOKUP)? {
            let (known, lifetime) = ask();
            let value = serde_json::to_vec(&known).map_err(|error| kv::Error::Value(error.to_string()))?;
            bucket.set(key, value, lifetime)?;
            // After that it may be another one's.
            if locked.elapsed() < LOOKUP {
                bucket.delete(&lock)?;
            }
            return Ok(read(&known));
        }
        if begun.elapsed() > LOOKUP {
            return Ok(None);
        }
        wait(&mut pause);
    }
}

/// Waits, and longer the next time.
pub(crate) fn wait(pause: &mut Duration) {
    thread::sleep(*pause);
    *pause = PAUSES.1.min(pause.saturating_mul(2));
}
