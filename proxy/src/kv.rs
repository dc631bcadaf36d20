//! Stores of keys and values: what addons keep between flows.

#[cfg(test)]
mod conformance;
mod file;
mod guarded;
mod memory;
mod redis;
mod scan;
mod shelf;

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, ready},
};

pub use file::{File, OpenError};
pub use guarded::{Guarded, StoreMetrics};
pub use memory::Memory;
pub use redis::{Redis, RedisSettings};
pub use scan::{Page, Scan};

/// A store that all addons share, each in a space of its own.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Does operations one after the other, all of them or, if one fails, none, and nobody sees a state between two of them.
    /// Dropped before it ends, they may be done or not; so, too, after [`StoreError::Unavailable`].
    fn apply(&self, space: &Space, commands: Vec<Command>) -> BoxFuture<'static, Result<Vec<Answer>, StoreError>>;

    /// Some entries of a bucket, in the order of their keys. A key that is there all the time is found once, whatever is
    /// written meanwhile.
    fn scan(&self, space: &Space, scan: Scan) -> BoxFuture<'static, Result<Page, StoreError>>;

    /// What an addon has now; none if the store cannot tell. What has expired may count for a while.
    fn usage(&self, addon: &str) -> Option<Usage>;

    /// Why it cannot be used now. Default: it can.
    fn trouble(&self) -> Option<String> {
        None
    }

    /// Keeps for good what was written until now. Default: nothing is to be done.
    fn flush(&self) -> BoxFuture<'static, ()> {
        ready(()).boxed()
    }
}

/// An operation, and where.
pub type Command = (Place, Op);

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

/// Where an entry is. Legal: [`Place::new`] checks. In the order of buckets, then of keys.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
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
    /// The store cannot be reached, has no room or is in trouble.
    #[error("unavailable: {0}")]
    Unavailable(String),
}

/// Bytes that an entry counts beyond those of its bucket, key and value.
pub const OVERHEAD: usize = 64;

const MAX_BUCKET: usize = 64;
const MAX_KEY: usize = 1 << 10;
/// Largest value in bytes.
pub const MAX_VALUE: usize = 1 << 20;
/// Most operations done at one time.
pub const MAX_BATCH: usize = 256;
/// Most bytes of values that these may be given, and may answer with.
pub const MAX_BATCH_BYTES: usize = 4 << 20;

impl Place {
    /// Checks bucket and key.
    pub fn new(bucket: &str, key: &str) -> Result<Self, StoreError> {
        check_bucket(bucket)?;
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

fn check_bucket(bucket: &str) -> Result<(), StoreError> {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if bucket.is_empty() || bucket.len() > MAX_BUCKET || !bucket.bytes().all(is_legal) {
        let shown = bucket.get(..bucket.floor_char_boundary(MAX_BUCKET)).unwrap_or_default();
        return Err(StoreError::Invalid(format!("bucket {shown:?}")));
    }
    Ok(())
}

/// Checks operations that are to be done at one time: each of them, how many, and how large together.
pub fn check(commands: &[Command]) -> Result<(), StoreError> {
    if commands.len() > MAX_BATCH {
        return Err(StoreError::TooLarge(format!("{} keys at one time, limit {MAX_BATCH}", commands.len())));
    }
    commands.iter().try_for_each(|(_, op)| op.check())?;
    let bytes: usize = commands.iter().filter_map(|(_, op)| op.value()).map(Bytes::len).sum();
    if bytes > MAX_BATCH_BYTES {
        return Err(StoreError::TooLarge(format!("values of {bytes} bytes at one time, limit {MAX_BATCH_BYTES}")));
    }
    Ok(())
}

impl Op {
    /// Names of all operations, as in the contract.
    pub const NAMES: [&'static str; 9] =
        ["get", "set", "insert", "swap", "delete", "increment", "get_many", "insert_many", "scan"];
    /// Places of those that are no single operation.
    pub const GET_MANY: usize = 6;
    /// See [`Self::GET_MANY`].
    pub const INSERT_MANY: usize = 7;
    /// See [`Self::GET_MANY`].
    pub const SCAN: usize = 8;

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
    fn check(&self) -> Result<(), StoreError> {
        let ttl = match self {
            Self::Get | Self::Delete => None,
            Self::Set(_, ttl) | Self::Insert(_, ttl) | Self::Swap { ttl, .. } | Self::Increment(_, ttl) => *ttl,
        };
        if let Some(value) = self.value().filter(|value| value.len() > MAX_VALUE) {
            return Err(StoreError::TooLarge(format!("a value of {} bytes, limit {MAX_VALUE}", value.len())));
        }
        if ttl.is_some_and(|ttl| ttl.is_zero()) {
            return Err(StoreError::Invalid("time to live of 0".to_owned()));
        }
        Ok(())
    }

    /// What would be set.
    const fn value(&self) -> Option<&Bytes> {
        match self {
            Self::Set(value, _) | Self::Insert(value, _) => Some(value),
            Self::Swap { value, .. } => value.as_ref(),
            Self::Get | Self::Delete | Self::Increment(..) => None,
        }
    }

    /// Bytes of the value that it may put there, none if it puts none.
    fn puts(&self) -> Option<usize> {
        match self {
            Self::Increment(..) => Some(20),
            _ => self.value().map(Bytes::len),
        }
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
