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

/// For a lookup with all its questions, so that others wait for it no longer.
const LOOKUP: Duration = Duration::from_secs(20);
const GLANCE: Duration = Duration::from_millis(25);

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
    loop {
        // What is kept in another form is as if there were none.
        let known: Option<T> = bucket.get(key)?.and_then(|value| serde_json::from_slice(&value).ok());
        if let Some(found) = known.as_ref().and_then(&read) {
            return Ok(Some(found));
        }
        if bucket.insert(&lock, "", LOOKUP)? {
            let (known, lifetime) = ask();
            let value = serde_json::to_vec(&known).map_err(|error| kv::Error::Value(error.to_string()))?;
            bucket.set(key, value, lifetime)?;
            bucket.delete(&lock)?;
            return Ok(read(&known));
        }
        if begun.elapsed() > LOOKUP {
            return Ok(None);
        }
        thread::sleep(GLANCE);
    }
}
