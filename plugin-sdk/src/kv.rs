//! Keys and values that outlive flows, new code and new options, shared by all flows of the addon and seen by no other addon.
//!
//! ```no_run
//! use std::time::Duration;
//! use tollgate_sdk::{Error, kv::Bucket};
//!
//! # fn seen(id: &str) -> Result<bool, Error> {
//! // True for the first flow alone, however many come at one time.
//! let is_first = Bucket::new("posts").insert(id, "", Duration::from_secs(3600))?;
//! # Ok(!is_first)
//! # }
//! # fn count(user: &str) -> Result<bool, Error> {
//! // A window of a minute, from the first hit on.
//! let hits = Bucket::new("hits").increment(user, 1, Duration::from_secs(60))?;
//! # Ok(hits > 100)
//! # }
//! ```
//!
//! The configuration has to grant it: `kv = true` in the addon's table; `kv_bytes` and `kv_keys` say how much the addon may keep.
//! Operations are atomic, take effect at once, and stay so if the hook fails later; a hook that wrote something is not tried
//! again by the failure policy `retry`. They can be used in every hook, and not in [`configure`](crate::Addon::configure).
//!
//! How long things are kept beyond the process depends on the proxy's `state`.
#![cfg_attr(
    not(target_arch = "wasm32"),
    doc = "In tests, flows of a harness share a store: [`Harness::with_kv`](crate::testing::Harness::with_kv)."
)]

mod error;

use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};

use crate::host::kv as host;

pub use error::Error;

/// Keys of one kind, apart from those of other buckets.
///
/// Its name is 1 to 64 letters, digits, `.`, `_` and `-`; keys are 1 to 1,024 bytes; values are up to 1 MiB. All else is
/// [`Error::Invalid`] or [`Error::TooLarge`] when it is used. A time to live is a [`Duration`], rounded up to milliseconds, at
/// least one, or `None`: for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    name: String,
}

/// Some entries of a bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page {
    /// Keys and values, in the order of the keys.
    pub entries: Vec<(String, Vec<u8>)>,
    /// Where the next page begins; none: there is no more. A page may have no entries, and a next one nevertheless.
    pub next: Option<String>,
}

impl Bucket {
    /// The bucket of this name; there is nothing to be made or opened.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }

    /// The value; none if there is none.
    ///
    /// # Errors
    ///
    /// As said in [`Error`].
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        host::get(&self.name, key)
    }

    /// The values of up to 256 keys at one time, in their order. A server is asked once.
    ///
    /// # Errors
    ///
    /// As said in [`Error`]; [`Error::TooLarge`] also for more keys, or for values of more than 4 MiB together.
    pub fn get_many(&self, keys: &[impl AsRef<str>]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let keys: Vec<&str> = keys.iter().map(AsRef::as_ref).collect();
        host::get_many(&self.name, &keys)
    }

    /// The value as text.
    ///
    /// # Errors
    ///
    /// As said in [`Error`]; [`Error::Value`] where it is no UTF-8.
    pub fn get_str(&self, key: &str) -> Result<Option<String>, Error> {
        let text = self.get(key)?.map(String::from_utf8).transpose();
        text.map_err(|error| Error::Value(error.to_string()))
    }

    /// The value, read as JSON.
    ///
    /// # Errors
    ///
    /// As said in [`Error`]; [`Error::Value`] where it is no JSON, or not of this shape.
    pub fn get_json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        let value = self.get(key)?.map(|value| serde_json::from_slice(&value)).transpose();
        // The error's text would tell parts of the value.
        value.map_err(|error| Error::Value(format!("not the expected JSON at column {}", error.column())))
    }

    /// Sets the value, whatever was there, with this time to live.
    ///
    /// # Errors
    ///
    /// As said in [`Error`].
    pub fn set(&self, key: &str, value: impl AsRef<[u8]>, ttl: impl Into<Option<Duration>>) -> Result<(), Error> {
        host::set(&self.name, key, value.as_ref(), milliseconds(ttl.into()))
    }

    /// Sets the value to this one's JSON.
    ///
    /// # Errors
    ///
    /// As said in [`Error`]; [`Error::Value`] where the value has no JSON, like a map whose keys are no strings.
    pub fn set_json(&self, key: &str, value: &(impl Serialize + ?Sized), ttl: impl Into<Option<Duration>>) -> Result<(), Error> {
        let value = serde_json::to_vec(value).map_err(|error| Error::Value(error.to_string()))?;
        self.set(key, value, ttl)
    }

    /// Sets the value if there is none; tells whether there was none. Of all who try at one time, one does it.
    ///
    /// # Errors
    ///
    /// As said in [`Error`].
    pub fn insert(&self, key: &str, value: impl AsRef<[u8]>, ttl: impl Into<Option<Duration>>) -> Result<bool, Error> {
        host::insert(&self.name, key, value.as_ref(), milliseconds(ttl.into()))
    }

    /// Does the same for up to 256 keys at one time, and tells of each whether there was none, in their order. A key that comes
    /// twice is there the second time. A server is asked once: what a page of posts takes that are to be shown once.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use tollgate_sdk::{Error, kv::Bucket};
    /// # fn fresh<'a>(posts: &[&'a str]) -> Result<Vec<&'a str>, Error> {
    /// let page: Vec<_> = posts.iter().map(|id| (*id, "")).collect();
    /// let is_new = Bucket::new("posts").insert_many(&page, Duration::from_secs(3600))?;
    /// # Ok(posts.iter().zip(is_new).filter(|(_, is_new)| *is_new).map(|(id, _)| *id).collect())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As said in [`Error`], and then nothing was set; [`Error::TooLarge`] also for more keys, or for values of more than 4 MiB
    /// together.
    pub fn insert_many(
        &self,
        entries: &[(impl AsRef<str>, impl AsRef<[u8]>)],
        ttl: impl Into<Option<Duration>>,
    ) -> Result<Vec<bool>, Error> {
        let entries: Vec<(&str, &[u8])> = entries.iter().map(|(key, value)| (key.as_ref(), value.as_ref())).collect();
        host::insert_many(&self.name, &entries, milliseconds(ttl.into()))
    }

    /// Sets the value if what is there is `expected`, where none stands for nothing; no new value removes the entry. Tells
    /// whether it was done.
    ///
    /// # Errors
    ///
    /// As said in [`Error`].
    pub fn swap(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        value: Option<&[u8]>,
        ttl: impl Into<Option<Duration>>,
    ) -> Result<bool, Error> {
        host::swap(&self.name, key, expected, value, milliseconds(ttl.into()))
    }

    /// Removes the entry; tells whether there was one.
    ///
    /// # Errors
    ///
    /// As said in [`Error`].
    pub fn delete(&self, key: &str) -> Result<bool, Error> {
        host::delete(&self.name, key)
    }

    /// Adds to a number, written in decimal digits, and tells the sum. Nothing counts as 0: then the entry gets this time to
    /// live; one that is there keeps its own.
    ///
    /// # Errors
    ///
    /// As said in [`Error`]; [`Error::Invalid`] also where there is no number, and for a sum beyond 64 bits.
    pub fn increment(&self, key: &str, by: i64, ttl: impl Into<Option<Duration>>) -> Result<i64, Error> {
        host::increment(&self.name, key, by, milliseconds(ttl.into()))
    }

    /// Up to `limit` (1 to 1,000) entries whose keys begin with `prefix`, in the order of the keys; fewer where keys and values have
    /// more than 1 MiB. From the first on, or behind a page before: `next` is its [`Page::next`]. A key that is there all the time
    /// is found once, whatever is written meanwhile.
    ///
    /// # Errors
    ///
    /// As said in [`Error`]; [`Error::Invalid`] also for a `next` that does not begin with the prefix.
    pub fn scan(&self, prefix: &str, next: Option<&str>, limit: u32) -> Result<Page, Error> {
        host::scan(&self.name, prefix, next, limit)
    }
}

/// Rounded up, so that a time that is none stays illegal and no other becomes it.
fn milliseconds(ttl: Option<Duration>) -> Option<u64> {
    ttl.map(|ttl| u64::try_from(ttl.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_round_up_to_milliseconds() {
        for (ttl, expected) in [
            (Duration::ZERO, 0),
            (Duration::from_nanos(1), 1),
            (Duration::from_millis(1), 1),
            (Duration::from_micros(1_001), 2),
            (Duration::MAX, u64::MAX),
        ] {
            assert_eq!(milliseconds(Some(ttl)), Some(expected), "{ttl:?}");
        }
        assert_eq!(milliseconds(None), None);
    }
}
