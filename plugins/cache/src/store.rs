//! What is kept, and where: all in the addon's store.
//!
//! Each target has an index in the bucket `index`. It names an epoch, which is part of all keys of its variants: who
//! replaces or removes the index makes all of them unreachable at once, and whoever asked the upstream before can keep nothing
//! under the old one. What is unreachable expires.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tollgate_sdk::kv::{Bucket, Error};

use crate::{
    asked::Asked,
    entry::Entry,
    fields,
    key::{self, Asker},
    options::Settings,
};

/// The requests for one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Index {
    pub(crate) epoch: String,
    /// Names of fields that tell responses apart: of all responses together.
    vary: Vec<String>,
    /// Whether there was a response for all, whoever asks.
    is_shareable: bool,
    /// Whether there was any.
    has_responses: bool,
    /// How long the last of its variants lives.
    until: u64,
}

/// A response from the store.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) entry: Entry,
    pub(crate) body: Vec<u8>,
    /// Its key.
    key: String,
}

/// What the store has for a request.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) kept: Option<Kept>,
    /// Whether there are responses to requests with other fields.
    pub(crate) has_others: bool,
    pub(crate) epoch: String,
    /// Names what the request asks for, for locks and marks.
    pub(crate) question: String,
}

/// That this flow is the one that asks the upstream.
#[derive(Debug)]
pub(crate) struct Lock {
    question: String,
    token: String,
}

/// How long an index lives in which nothing is kept: as long as an upstream may take.
const EMPTY_FOR: Duration = Duration::from_mins(10);
/// How long it is remembered that a response was not to be kept.
const UNKEPT_FOR: Duration = Duration::from_mins(1);
/// At least how long a lock lives whose owner is lost.
const LOCKED_FOR: Duration = Duration::from_secs(10);
/// Largest value of the store.
const MOST_BYTES: usize = 1 << 20;
/// How often a change of the index is tried anew when others change it.
const TRIES: usize = 4;
/// Names that tell responses to one target apart.
const MOST_VARY: usize = 32;
const SECRET: &str = "users";

/// The secret that hashes of credentials are made with: drawn once for all flows.
pub(crate) fn secret() -> Result<Vec<u8>, Error> {
    let bucket = Bucket::new("secret");
    if let Some(secret) = bucket.get(SECRET)? {
        return Ok(secret);
    }
    // Of all who try at one time, one draws.
    bucket.insert(SECRET, random::<32>()?, None)?;
    bucket.get(SECRET)?.ok_or_else(|| Error::Unavailable("the secret was not kept".to_owned()))
}

/// What there is for this request. Makes an index if there is none.
pub(crate) fn find(asked: &Asked, settings: &Settings) -> Result<Found, Error> {
    let index = match index(&asked.target)? {
        Some((index, _)) => index,
        None => begin(asked)?,
    };
    let variant = |asker: &Asker| key::variant(&index.epoch, asker, &asked.headers, settings, &index.vary);
    let own = variant(&asked.asker);
    let is_known = !key::is_withheld(&asked.headers, settings, &index.vary);
    let open = (index.is_shareable && asked.asker != Asker::Nobody).then(|| variant(&Asker::Nobody));
    let mut kept = None;
    if index.has_responses && is_known {
        // What is not for all who ask is found under their own keys alone.
        let shared = open.as_deref().map(read).transpose()?.flatten().filter(|kept| kept.entry.limits.is_shareable);
        let is_fresh = |kept: &Kept| !kept.entry.time_left(asked.now()).is_zero();
        // What was once for all gives way to what is fresh for this one.
        kept = if shared.as_ref().is_some_and(is_fresh) { shared } else { read(&own)?.or(shared) };
    }
    Ok(Found { kept, has_others: index.has_responses, epoch: index.epoch, question: open.unwrap_or(own) })
}

/// Keeps a response to a request that was asked in this epoch; false where that is over, or the response is too large.
pub(crate) fn put(asked: &Asked, epoch: &str, entry: &Entry, body: &[u8], settings: &Settings) -> Result<bool, Error> {
    let Some(value) = entry.encode(body).filter(|value| value.len() <= MOST_BYTES) else { return Ok(false) };
    let Some(vary) = crate::keep::vary(&entry.headers) else { return Ok(false) };
    let ttl = entry.kept_for(settings.keep_stale).max(Duration::from_millis(1));
    let now = asked.now();
    for _ in 0..TRIES {
        let Some((index, before)) = index(&asked.target)?.filter(|(index, _)| index.epoch == epoch) else { return Ok(false) };
        let next = index.with(&vary, entry.limits.is_shareable, now, ttl);
        if next.vary.len() > MOST_VARY || key::is_withheld(&asked.headers, settings, &next.vary) {
            return Ok(false);
        }
        if next != index && !index_bucket().swap(&asked.target, Some(&before), Some(&written(&next)?), next.ttl(now))? {
            continue;
        }
        let asker = if entry.limits.is_shareable { &Asker::Nobody } else { &asked.asker };
        let key = key::variant(epoch, asker, &asked.headers, settings, &next.vary);
        responses().set(&key, &value, ttl)?;
        return Ok(true);
    }
    Ok(false)
}

/// Removes one response.
pub(crate) fn remove(kept: &Kept) -> Result<(), Error> {
    responses().delete(&kept.key).map(drop)
}

/// Forgets all responses to requests for this target.
pub(crate) fn invalidate(target: &str) -> Result<(), Error> {
    index_bucket().delete(target).map(drop)
}

/// Takes the lock for this question, if it is free.
pub(crate) fn lock(question: &str, wait: Duration) -> Result<Option<Lock>, Error> {
    let token = key::hex(&random::<8>()?);
    let is_taken = Bucket::new("locks").insert(question, &token, LOCKED_FOR.max(wait.saturating_mul(2)))?;
    Ok(is_taken.then(|| Lock { question: question.to_owned(), token }))
}

/// Gives the lock back, unless it has got lost and is another's. Marks that the answer was not to be kept: then nobody waits for
/// the next one.
pub(crate) fn unlock(lock: &Lock, is_kept: bool) -> Result<(), Error> {
    if !is_kept {
        Bucket::new("unkept").set(&lock.question, "", UNKEPT_FOR)?;
    }
    Bucket::new("locks").swap(&lock.question, Some(lock.token.as_bytes()), None, None).map(drop)
}

/// Whether an answer to this question was not to be kept, a short time ago.
pub(crate) fn is_unkept(question: &str) -> Result<bool, Error> {
    Ok(Bucket::new("unkept").get(question)?.is_some())
}

fn index_bucket() -> Bucket {
    Bucket::new("index")
}

fn responses() -> Bucket {
    Bucket::new("responses")
}

fn read(key: &str) -> Result<Option<Kept>, Error> {
    let value = responses().get(key)?;
    Ok(value.as_deref().and_then(Entry::decode).map(|(entry, body)| Kept { entry, body, key: key.to_owned() }))
}

/// The index of a target, and how it is written.
fn index(target: &str) -> Result<Option<(Index, Vec<u8>)>, Error> {
    let Some(value) = index_bucket().get(target)? else { return Ok(None) };
    Ok(postcard::from_bytes(&value).ok().map(|index| (index, value)))
}

/// A new index, or the one that another flow has made meanwhile.
fn begin(asked: &Asked) -> Result<Index, Error> {
    let fresh = Index {
        epoch: key::hex(&random::<16>()?),
        vary: Vec::new(),
        is_shareable: false,
        has_responses: false,
        until: fields::milliseconds(asked.now()).saturating_add(fields::in_milliseconds(EMPTY_FOR)),
    };
    if index_bucket().insert(&asked.target, written(&fresh)?, EMPTY_FOR)? {
        return Ok(fresh);
    }
    match index(&asked.target)? {
        Some((index, _)) => Ok(index),
        // What can't be read is nobody's.
        None => index_bucket().set(&asked.target, written(&fresh)?, EMPTY_FOR).map(|()| fresh),
    }
}

fn written(index: &Index) -> Result<Vec<u8>, Error> {
    postcard::to_allocvec(index).map_err(|error| Error::Value(error.to_string()))
}

fn random<const COUNT: usize>() -> Result<[u8; COUNT], Error> {
    let mut bytes = [0; COUNT];
    getrandom::fill(&mut bytes).map_err(|error| Error::Unavailable(error.to_string()))?;
    Ok(bytes)
}

impl Index {
    /// With one response more.
    fn with(&self, vary: &[String], is_shareable: bool, now: SystemTime, ttl: Duration) -> Self {
        let mut names = [self.vary.as_slice(), vary].concat();
        names.sort_unstable();
        names.dedup();
        Self {
            epoch: self.epoch.clone(),
            vary: names,
            is_shareable: self.is_shareable || is_shareable,
            has_responses: true,
            until: self.until.max(fields::milliseconds(now).saturating_add(fields::in_milliseconds(ttl))),
        }
    }

    fn ttl(&self, now: SystemTime) -> Duration {
        Duration::from_millis(self.until.saturating_sub(fields::milliseconds(now)).max(1))
    }
}
