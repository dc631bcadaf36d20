//! The `kv` interface: a guest waits for what the store does.

mod stats;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::timeout_at;

use super::{
    bindings::kv::{self as wit, Error as WitError},
    configure::Setup,
    state::HostState,
    stats::Stats,
};
use crate::kv::{Answer, Op, Place, Space, Store, StoreError};

use stats::Ended;
pub use stats::KvCounters;
pub(super) use stats::KvStats;

/// What the operations of one instance go by.
pub(super) struct Keeping {
    store: Arc<dyn Store>,
    space: Space,
    is_granted: bool,
    stats: Arc<Stats>,
}

/// Why an operation was not done.
enum Refusal {
    /// Not granted, or not in a hook.
    Denied,
    /// The store says no.
    Store(StoreError),
}

type Outcome<T> = wasmtime::Result<Result<T, WitError>>;

impl Keeping {
    pub(super) fn new(setup: &Setup) -> Self {
        Self {
            store: Arc::clone(setup.engine.store()),
            space: Space { addon: Arc::clone(&setup.name), quota: setup.limits.kv },
            is_granted: setup.grants.kv,
            stats: Arc::clone(&setup.stats),
        }
    }
}

impl HostState {
    async fn apply(&mut self, bucket: &str, key: &str, op: Op) -> Outcome<Answer> {
        let (index, writes) = (op.index(), op.writes());
        let (deadline, over) = (self.budget.deadline(), self.budget.over_wall());
        let work = match self.place(bucket, key, &op) {
            Ok(place) => self.keeping.store.apply(&self.keeping.space, place, op),
            Err(refusal) => {
                self.keeping.stats.kv.ended(index, refusal.ended());
                return Ok(Err(refusal.into()));
            }
        };
        // True until it is known better, also where the wait below is the end.
        let had_effect = self.had_effect;
        self.had_effect |= writes;
        let Ok(result) = timeout_at(deadline, work).await else {
            self.keeping.stats.kv.ended(index, Ended::Abandoned);
            return Err(wasmtime::Error::new(over));
        };
        let did_nothing = matches!(result, Ok(Answer::Done(false)) | Err(StoreError::Invalid(_) | StoreError::TooLarge(_)));
        if did_nothing {
            self.had_effect = had_effect;
        }
        let result = result.map_err(Refusal::Store);
        self.keeping.stats.kv.ended(index, result.as_ref().err().map_or(Ended::Ok, Refusal::ended));
        Ok(result.map_err(WitError::from))
    }

    fn place(&self, bucket: &str, key: &str, op: &Op) -> Result<Place, Refusal> {
        // `configure` has no stage, be it run for a flow.
        if !self.keeping.is_granted || self.stage.is_none() {
            return Err(Refusal::Denied);
        }
        op.check().and_then(|()| Place::new(bucket, key)).map_err(Refusal::Store)
    }

    /// The same for operations that tell whether they were done.
    async fn is_done(&mut self, bucket: &str, key: &str, op: Op) -> Outcome<bool> {
        match self.apply(bucket, key, op).await? {
            Ok(Answer::Done(is_done)) => Ok(Ok(is_done)),
            Ok(other) => Err(unfit(&other)),
            Err(error) => Ok(Err(error)),
        }
    }
}

impl wit::Host for HostState {
    async fn get(&mut self, bucket: String, key: String) -> Outcome<Option<Vec<u8>>> {
        match self.apply(&bucket, &key, Op::Get).await? {
            Ok(Answer::Value(value)) => Ok(Ok(value.map(Vec::from))),
            Ok(other) => Err(unfit(&other)),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn set(&mut self, bucket: String, key: String, value: Vec<u8>, ttl: Option<u64>) -> Outcome<()> {
        Ok(self.is_done(&bucket, &key, Op::Set(value.into(), time(ttl))).await?.map(drop))
    }

    async fn insert(&mut self, bucket: String, key: String, value: Vec<u8>, ttl: Option<u64>) -> Outcome<bool> {
        self.is_done(&bucket, &key, Op::Insert(value.into(), time(ttl))).await
    }

    async fn swap(
        &mut self,
        bucket: String,
        key: String,
        expected: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
        ttl: Option<u64>,
    ) -> Outcome<bool> {
        let op = Op::Swap { expected: expected.map(Bytes::from), value: value.map(Bytes::from), ttl: time(ttl) };
        self.is_done(&bucket, &key, op).await
    }

    async fn delete(&mut self, bucket: String, key: String) -> Outcome<bool> {
        self.is_done(&bucket, &key, Op::Delete).await
    }

    async fn increment(&mut self, bucket: String, key: String, by: i64, ttl: Option<u64>) -> Outcome<i64> {
        match self.apply(&bucket, &key, Op::Increment(by, time(ttl))).await? {
            Ok(Answer::Sum(sum)) => Ok(Ok(sum)),
            Ok(other) => Err(unfit(&other)),
            Err(error) => Ok(Err(error)),
        }
    }
}

fn time(ttl: Option<u64>) -> Option<Duration> {
    ttl.map(Duration::from_millis)
}

/// A store that answers what was not asked is broken.
fn unfit(answer: &Answer) -> wasmtime::Error {
    let kind = match answer {
        Answer::Value(_) => "a value",
        Answer::Done(_) => "yes or no",
        Answer::Sum(_) => "a sum",
    };
    wasmtime::Error::msg(format!("the store answered with {kind}, which was not asked"))
}

impl Refusal {
    const fn ended(&self) -> Ended {
        match self {
            Self::Denied => Ended::Denied,
            Self::Store(StoreError::Invalid(_)) => Ended::Invalid,
            Self::Store(StoreError::TooLarge(_)) => Ended::TooLarge,
            Self::Store(StoreError::Unavailable(_)) => Ended::Unavailable,
        }
    }
}

impl From<Refusal> for WitError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Denied => Self::Denied,
            Refusal::Store(StoreError::Invalid(text)) => Self::Invalid(text),
            Refusal::Store(StoreError::TooLarge(text)) => Self::TooLarge(text),
            Refusal::Store(StoreError::Unavailable(text)) => Self::Unavailable(text),
        }
    }
}
