//! Stores of keys and values: what addons keep between flows.

mod memory;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;

pub use memory::Memory;

/// A store that all addons share, each in a space of its own.
pub trait Store: Send + Sync + 'static {
    /// Does one operation, atomically. Dropped before it ends, it may be done or not.
    fn apply(&self, space: &Space, place: Place, op: Op) -> BoxFuture<'static, Result<Answer, StoreError>>;

    /// What an addon has now; none if the store cannot tell.
    fn usage(&self, addon: &str) -> Option<Usage>;
}

/// What an addon has of a store, by the measure of its [`Quota`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Usage {
    /// Bytes of buckets, keys and values, with [`OVERHEAD`] for each entry.
    pub bytes: usize,
    /// Entries.
    pub keys: usize,
}

/// What one addon has of a store.
#[derive(Debug, Clone)]
pub struct Space {
    /// The addon's name.
    pub addon: Arc<str>,
    /// How much it may keep.
    pub quota: Quota,
}

/// How much an addon may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Bytes of buckets, keys and values, with [`OVERHEAD`] for each entry. Default 16 MiB.
    pub bytes: usize,
    /// Entries. Default 100,000.
    pub keys: usize,
}

/// Where an entry is. Legal: [`Place::new`] checks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    bucket: Box<str>,
    key: Box<str>,
}

/// An operation.
#[derive(Debug, Clone)]
pub enum Op {
    /// Answers with the value.
    Get,
    /// Sets the value.
    Set(Bytes, Option<Duration>),
    /// Sets the value if there is none; tells whether it did.
    Insert(Bytes, Option<Duration>),
    /// Sets or removes the value if the one before is as expected; tells whether it did.
    Swap {
        /// None: there is no value.
        expected: Option<Bytes>,
        /// None: to be removed.
        value: Option<Bytes>,
        /// Of the new value.
        ttl: Option<Duration>,
    },
    /// Removes the entry; tells whether there was one.
    Delete,
    /// Adds to a number; tells the sum.
    Increment(i64, Option<Duration>),
}

/// What an operation answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Of `Get`.
    Value(Option<Bytes>),
    /// Whether something was done.
    Done(bool),
    /// Of `Increment`.
    Sum(i64),
}

/// Why an operation was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Not a legal bucket, key, time or number.
    #[error("invalid {0}")]
    Invalid(String),
    /// Over a limit or the quota.
    #[error("too large: {0}")]
    TooLarge(String),
    /// The store cannot be reached.
    #[error("unavailable: {0}")]
    Unavailable(String),
}

/// Bytes that an entry counts beyond those of its bucket, key and value.
pub const OVERHEAD: usize = 64;

const MAX_BUCKET: usize = 64;
const MAX_KEY: usize = 1 << 10;
/// Largest value in bytes.
pub const MAX_VALUE: usize = 1 << 20;

impl Place {
    /// Checks bucket and key.
    pub fn new(bucket: &str, key: &str) -> Result<Self, StoreError> {
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if bucket.is_empty() || bucket.len() > MAX_BUCKET || !bucket.bytes().all(is_legal) {
            return Err(StoreError::Invalid(format!(
                "bucket {:?}",
                bucket.get(..bucket.floor_char_boundary(MAX_BUCKET)).unwrap_or_default()
            )));
        }
        if key.is_empty() || key.len() > MAX_KEY {
            return Err(StoreError::Invalid(format!("key of {} bytes, not 1 to {MAX_KEY}", key.len())));
        }
        Ok(Self { bucket: bucket.into(), key: key.into() })
    }

    /// Bytes that an entry here counts with a value of so many.
    fn cost(&self, value: usize) -> usize {
        OVERHEAD + self.bucket.len() + self.key.len() + value
    }
}

impl Op {
    /// Names of all operations, as in the contract.
    pub const NAMES: [&'static str; 6] = ["get", "set", "insert", "swap", "delete", "increment"];

    /// Place of this one in [`Self::NAMES`].
    #[must_use]
    pub const fn index(&self) -> usize {
        match self {
            Self::Get => 0,
            Self::Set(..) => 1,
            Self::Insert(..) => 2,
            Self::Swap { .. } => 3,
            Self::Delete => 4,
            Self::Increment(..) => 5,
        }
    }

    /// Checks values and times.
    pub fn check(&self) -> Result<(), StoreError> {
        let (value, ttl) = match self {
            Self::Get | Self::Delete => (None, None),
            Self::Set(value, ttl) | Self::Insert(value, ttl) => (Some(value), *ttl),
            Self::Swap { value, ttl, .. } => (value.as_ref(), *ttl),
            Self::Increment(_, ttl) => (None, *ttl),
        };
        if let Some(value) = value.filter(|value| value.len() > MAX_VALUE) {
            return Err(StoreError::TooLarge(format!("a value of {} bytes, limit {MAX_VALUE}", value.len())));
        }
        if ttl.is_some_and(|ttl| ttl.is_zero()) {
            return Err(StoreError::Invalid("time to live of 0".to_owned()));
        }
        Ok(())
    }

    /// Whether it may change something.
    #[must_use]
    pub const fn writes(&self) -> bool {
        !matches!(self, Self::Get)
    }
}

impl Default for Quota {
    fn default() -> Self {
        Self { bytes: 16 << 20, keys: 100_000 }
    }
}
