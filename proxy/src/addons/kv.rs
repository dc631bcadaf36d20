//! The `kv` interface: a guest waits for what the store does.

mod stats;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::time::timeout_at;

use super::{
    bindings::kv::{self as wit, Error as WitError},
    configure::Setup,
    state::HostState,
    stats::Stats,
};
use crate::kv::{self, Answer, Op, Place, Scan, Space, Store, StoreError};

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
    /// Waits for the store within the wall budget, and counts. A write counts as an effect outside of the flow unless `did_nothing`
    /// says better.
    async fn wait<T>(
        &mut self,
        (index, writes): (usize, bool),
        work: Result<BoxFuture<'static, Result<T, StoreError>>, Refusal>,
        did_nothing: impl Fn(&T) -> bool,
    ) -> Outcome<T> {
        let (deadline, over) = (self.budget.deadline(), self.budget.over_wall());
        let work = match work {
            Ok(work) => work,
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
        let did_nothing = match &result {
            Ok(value) => did_nothing(value),
            Err(error) => matches!(error, StoreError::Invalid(_) | StoreError::TooLarge(_)),
        };
        if did_nothing {
            self.had_effect = had_effect;
        }
        self.was_store_unavailable |= matches!(result, Err(StoreError::Unavailable(_)));
        let result = result.map_err(Refusal::Store);
        self.keeping.stats.kv.ended(index, result.as_ref().err().map_or(Ended::Ok, Refusal::ended));
        Ok(result.map_err(WitError::from))
    }

    async fn apply(&mut self, bucket: &str, key: &str, op: Op) -> Outcome<Answer> {
        let kind = (op.index(), op.writes());
        match self.all(kind, bucket, [(key, op)]).await? {
            Ok(answers) => match <[Answer; 1]>::try_from(answers) {
                Ok([answer]) => Ok(Ok(answer)),
                Err(answers) => Err(miscounted(answers.len())),
            },
            Err(error) => Ok(Err(error)),
        }
    }

    /// Does operations on a bucket at one time.
    async fn all<'a>(
        &mut self,
        kind: (usize, bool),
        bucket: &str,
        ops: impl IntoIterator<Item = (&'a str, Op)>,
    ) -> Outcome<Vec<Answer>> {
        let work = self.is_granted().and_then(|()| {
            let place = |(key, op): (&str, Op)| Place::new(bucket, key).map(|place| (place, op));
            let commands = ops.into_iter().take(kv::MAX_BATCH + 1).map(place).collect::<Result<Vec<_>, _>>();
            let commands = commands.and_then(|commands| kv::check(&commands).map(|()| commands)).map_err(Refusal::Store)?;
            Ok(self.keeping.store.apply(&self.keeping.space, commands))
        });
        let is_nothing = |answer: &Answer| matches!(answer, Answer::Done(false));
        self.wait(kind, work, |answers| answers.iter().all(is_nothing)).await
    }

    fn is_granted(&self) -> Result<(), Refusal> {
        // `configure` has no stage, be it run for a flow.
        if self.stage.is_none() {
            return Err(Refusal::Denied);
        }
        if self.keeping.is_granted {
            return Ok(());
        }
        if self.keeping.stats.kv.is_first_without_grant() {
            let name = &*self.keeping.space.addon;
            tracing::warn!(
                addon.name = name,
                "the addon wants to keep something and may not: `addon.{name}.kv = true` grants it; said once"
            );
        }
        Err(Refusal::Denied)
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

    async fn get_many(&mut self, bucket: String, keys: Vec<String>) -> Outcome<Vec<Option<Vec<u8>>>> {
        let ops = keys.iter().map(|key| (key.as_str(), Op::Get));
        let answers = match self.all((Op::GET_MANY, false), &bucket, ops).await? {
            Ok(answers) if answers.len() == keys.len() => answers,
            Ok(answers) => return Err(miscounted(answers.len())),
            Err(error) => return Ok(Err(error)),
        };
        let value = |answer| match answer {
            Answer::Value(value) => Ok(value.map(Vec::from)),
            other => Err(unfit(&other)),
        };
        answers.into_iter().map(value).collect::<wasmtime::Result<Vec<_>>>().map(Ok)
    }

    async fn set(&mut self, bucket: String, key: String, value: Vec<u8>, ttl: Option<u64>) -> Outcome<()> {
        Ok(self.is_done(&bucket, &key, Op::Set(value.into(), time(ttl))).await?.map(drop))
    }

    async fn insert(&mut self, bucket: String, key: String, value: Vec<u8>, ttl: Option<u64>) -> Outcome<bool> {
        self.is_done(&bucket, &key, Op::Insert(value.into(), time(ttl))).await
    }

    async fn insert_many(&mut self, bucket: String, entries: Vec<(String, Vec<u8>)>, ttl: Option<u64>) -> Outcome<Vec<bool>> {
        let (keys, values): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
        let ops = values.into_iter().map(|value| Op::Insert(value.into(), time(ttl)));
        let answers = match self.all((Op::INSERT_MANY, true), &bucket, keys.iter().map(String::as_str).zip(ops)).await? {
            Ok(answers) if answers.len() == keys.len() => answers,
            Ok(answers) => return Err(miscounted(answers.len())),
            Err(error) => return Ok(Err(error)),
        };
        let is_done = |answer| match answer {
            Answer::Done(is_done) => Ok(is_done),
            other => Err(unfit(&other)),
        };
        answers.into_iter().map(is_done).collect::<wasmtime::Result<Vec<_>>>().map(Ok)
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

    async fn scan(&mut self, bucket: String, prefix: String, cursor: Option<String>, limit: u32) -> Outcome<wit::Page> {
        let work = self.is_granted().and_then(|()| {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let scan = Scan::new(&bucket, &prefix, cursor.as_deref(), limit).map_err(Refusal::Store)?;
            Ok(self.keeping.store.scan(&self.keeping.space, scan))
        });
        let page = self.wait((Op::SCAN, false), work, |_| true).await?;
        Ok(page.map(|page| {
            let entries = page.entries.into_iter().map(|(key, value)| (key, Vec::from(value))).collect();
            wit::Page { entries, next: page.next }
        }))
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

fn miscounted(answers: usize) -> wasmtime::Error {
    wasmtime::Error::msg(format!("the store gave {answers} answers, which is not what was asked"))
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
