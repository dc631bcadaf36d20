//! What operations do to the entries of one addon, wherever these are.

use std::time::Duration;

use bytes::Bytes;

use super::{Answer, Command, MAX_BATCH_BYTES, Op, Place, Quota, StoreError, Usage};

/// A value, and the microsecond from which on it is as if it had never been there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) value: Bytes,
    /// None: for ever.
    pub(super) until: Option<u64>,
}

/// Where one addon's entries are. Nobody else changes them while operations run.
pub(super) trait Shelf {
    type Error: From<StoreError>;

    /// The entry there, also if it has expired.
    fn find(&mut self, place: &Place) -> Result<Option<Entry>, Self::Error>;
    /// Puts an entry there, whatever was there.
    fn put(&mut self, place: &Place, entry: Entry) -> Result<(), Self::Error>;
    /// Removes the entry there, if there is one.
    fn remove(&mut self, place: &Place) -> Result<(), Self::Error>;
    /// What all entries count, expired ones included.
    fn usage(&self) -> Usage;
    /// Removes one that has expired; whether there was one.
    fn expire_one(&mut self, now: u64) -> Result<bool, Self::Error>;
    /// Why nothing may be added, whatever the quota.
    fn is_full(&self) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// Expired entries that one batch removes: no flow pays for all that others left behind.
pub(super) const STEP: usize = 64;

/// A batch under way.
struct Run<'a, S> {
    shelf: &'a mut S,
    quota: Quota,
    now: u64,
    /// What was there before, in the order of changes.
    undo: Vec<(Place, Option<Entry>)>,
}

impl Entry {
    pub(super) fn is_over(&self, now: u64) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// Does all operations, or none.
pub(super) fn run<S: Shelf>(shelf: &mut S, quota: Quota, commands: &[Command], now: u64) -> Result<Vec<Answer>, S::Error> {
    if commands.iter().any(|(_, op)| op.writes()) {
        expire_some(shelf, now, STEP)?;
    }
    let mut run = Run { shelf, quota, now, undo: Vec::new() };
    let (mut answers, mut bytes) = (Vec::with_capacity(commands.len()), 0);
    for (place, op) in commands {
        let answer = run.one(place, op).and_then(|answer| {
            if let Answer::Value(Some(value)) = &answer {
                bytes += value.len();
            }
            if bytes > MAX_BATCH_BYTES { Err(too_much(bytes).into()) } else { Ok(answer) }
        });
        match answer {
            Ok(answer) => answers.push(answer),
            Err(error) => {
                run.undo()?;
                return Err(error);
            }
        }
    }
    Ok(answers)
}

/// What was asked for is more than one answer holds.
pub(super) fn too_much(bytes: usize) -> StoreError {
    StoreError::TooLarge(format!("values of {bytes} bytes at one time, limit {MAX_BATCH_BYTES}"))
}

/// Removes at most so many that have expired; whether there may be more.
pub(super) fn expire_some<S: Shelf>(shelf: &mut S, now: u64, most: usize) -> Result<bool, S::Error> {
    for _ in 0..most {
        if !shelf.expire_one(now)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// When an entry of this age expires. None: never, or beyond the clock.
pub(super) fn until(now: u64, ttl: Option<Duration>) -> Option<u64> {
    now.checked_add(u64::try_from(ttl?.as_micros()).ok()?)
}

impl<S: Shelf> Run<'_, S> {
    fn one(&mut self, place: &Place, op: &Op) -> Result<Answer, S::Error> {
        let found = self.shelf.find(place)?.filter(|entry| !entry.is_over(self.now));
        Ok(match op {
            Op::Get => Answer::Value(found.map(|entry| entry.value)),
            Op::Set(value, ttl) => {
                let until = until(self.now, *ttl);
                self.put(place, Entry { value: value.clone(), until })?;
                Answer::Done(true)
            }
            Op::Insert(value, ttl) => {
                let is_free = found.is_none();
                if is_free {
                    let until = until(self.now, *ttl);
                    self.put(place, Entry { value: value.clone(), until })?;
                }
                Answer::Done(is_free)
            }
            Op::Swap { expected, value, ttl } => {
                let is_due = found.as_ref().map(|entry| &entry.value) == expected.as_ref();
                match value.clone().filter(|_| is_due) {
                    Some(value) => {
                        let until = until(self.now, *ttl);
                        self.put(place, Entry { value, until })?;
                    }
                    None if is_due => self.remove(place)?,
                    None => {}
                }
                Answer::Done(is_due)
            }
            Op::Delete => {
                let was_there = found.is_some();
                self.remove(place)?;
                Answer::Done(was_there)
            }
            Op::Increment(by, ttl) => {
                let before = found.as_ref().map_or(Some(0), |entry| number(&entry.value));
                let before = before.ok_or_else(|| invalid("number to increment"))?;
                let sum = before.checked_add(*by).ok_or_else(|| invalid("sum beyond 64 bits"))?;
                let until = found.map_or_else(|| until(self.now, *ttl), |entry| entry.until);
                self.put(place, Entry { value: sum.to_string().into(), until })?;
                Answer::Sum(sum)
            }
        })
    }

    fn put(&mut self, place: &Place, entry: Entry) -> Result<(), S::Error> {
        let cost = place.cost(entry.value.len());
        loop {
            let old = self.shelf.find(place)?;
            let before = old.as_ref().map(|entry| place.cost(entry.value.len()));
            let usage = self.shelf.usage();
            let bytes = usage.bytes + cost - before.unwrap_or_default();
            let keys = usage.keys + 1;
            // What is over already may shrink.
            let excess = if bytes > self.quota.bytes && bytes > usage.bytes {
                format!("{bytes} bytes, quota {}", self.quota.bytes)
            } else if before.is_none() && keys > self.quota.keys {
                format!("{keys} keys, quota {}", self.quota.keys)
            } else {
                if bytes > usage.bytes {
                    self.shelf.is_full()?;
                }
                self.shelf.put(place, entry)?;
                self.undo.push((place.clone(), old));
                return Ok(());
            };
            // What has expired counts no more.
            if !self.shelf.expire_one(self.now)? {
                return Err(StoreError::TooLarge(excess).into());
            }
        }
    }

    fn remove(&mut self, place: &Place) -> Result<(), S::Error> {
        if let Some(old) = self.shelf.find(place)? {
            self.shelf.remove(place)?;
            self.undo.push((place.clone(), Some(old)));
        }
        Ok(())
    }

    fn undo(&mut self) -> Result<(), S::Error> {
        for (place, old) in std::mem::take(&mut self.undo).into_iter().rev() {
            match old {
                Some(entry) => self.shelf.put(&place, entry)?,
                None => self.shelf.remove(&place)?,
            }
        }
        Ok(())
    }
}

fn number(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn invalid(what: &str) -> StoreError {
    StoreError::Invalid(what.to_owned())
}
