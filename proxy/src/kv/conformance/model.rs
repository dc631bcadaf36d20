//! A store that is too simple to be wrong, and operations by chance.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;

use super::{
    super::{Answer, Command, OVERHEAD, Op, Place, Quota, StoreError, Usage},
    value,
};

/// Entries that never expire.
pub(super) struct Model {
    quota: Quota,
    entries: BTreeMap<(String, String), Bytes>,
}

/// Numbers by chance (xorshift).
pub(super) struct Random(u64);

const KEYS: [&str; 12] = ["a", "b", "a\0", "/", "", "key", "\u{e4}\u{10ffff}", "a b", "k\r\n", ":", "0", "12"];
const VALUES: [&[u8]; 14] = [
    b"",
    b"0",
    b"-0",
    b"+5",
    b"007",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b" 5",
    b"x",
    b"12:\0:\xff\xfe\r\n",
    b"5\n",
    b"--5",
    b"00000000000000000000000000000000001",
];
const SUMS: [i64; 7] = [0, 1, -1, 5, i64::MAX, i64::MIN, -7];

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap_or(0) % most
    }

    fn value(&mut self) -> Bytes {
        if self.below(4) == 0 { vec![7; self.below(700)].into() } else { Bytes::from_static(VALUES[self.below(VALUES.len())]) }
    }

    fn ttl(&mut self) -> Option<Duration> {
        [None, Some(Duration::from_hours(1)), Some(Duration::from_millis(u64::MAX))][self.below(3)]
    }

    fn op(&mut self) -> Op {
        match self.below(8) {
            0 => Op::Get,
            1 | 2 => Op::Set(self.value(), self.ttl()),
            3 => Op::Insert(self.value(), self.ttl()),
            4 => {
                let (expected, value) = (self.below(2) == 0, self.below(2) == 0);
                Op::Swap { expected: expected.then(|| self.value()), value: value.then(|| self.value()), ttl: self.ttl() }
            }
            5 => Op::Delete,
            _ => Op::Increment(SUMS[self.below(SUMS.len())], self.ttl()),
        }
    }

    pub(super) fn commands(&mut self) -> Vec<Command> {
        let count = if self.below(3) == 0 { 1 + self.below(5) } else { 1 };
        let command = |_| {
            let key = KEYS[self.below(KEYS.len())];
            let bucket = ["b", "b", "b", "b.2"][self.below(4)];
            (Place::new(bucket, if key.is_empty() { "empty" } else { key }).expect("a place"), self.op())
        };
        (0..count).map(command).collect()
    }
}

impl Model {
    pub(super) const fn new(quota: Quota) -> Self {
        Self { quota, entries: BTreeMap::new() }
    }

    pub(super) fn usage(&self) -> Usage {
        let cost = |((bucket, key), value): (&(String, String), &Bytes)| OVERHEAD + bucket.len() + key.len() + value.len();
        Usage { bytes: self.entries.iter().map(cost).sum(), keys: self.entries.len() }
    }

    pub(super) fn keys(&self, bucket: &str) -> Vec<String> {
        self.entries.keys().filter(|(other, _)| other == bucket).map(|(_, key)| key.clone()).collect()
    }

    pub(super) fn apply(&mut self, commands: &[Command]) -> Result<Vec<Answer>, StoreError> {
        let before = self.entries.clone();
        let answers: Result<Vec<_>, _> = commands.iter().map(|(place, op)| self.one(place, op)).collect();
        if answers.is_err() {
            self.entries = before;
        }
        answers
    }

    fn one(&mut self, place: &Place, op: &Op) -> Result<Answer, StoreError> {
        let at = (place.bucket.to_string(), place.key.to_string());
        let found = self.entries.get(&at).cloned();
        Ok(match op {
            Op::Get => Answer::Value(found),
            Op::Set(value, _) => self.put(at, value.clone()).map(|()| Answer::Done(true))?,
            Op::Insert(value, _) if found.is_none() => self.put(at, value.clone()).map(|()| Answer::Done(true))?,
            Op::Swap { expected, value: Some(value), .. } if found == *expected => {
                self.put(at, value.clone()).map(|()| Answer::Done(true))?
            }
            Op::Swap { expected, value: None, .. } if found == *expected => {
                self.entries.remove(&at);
                Answer::Done(true)
            }
            Op::Insert(..) | Op::Swap { .. } => Answer::Done(false),
            Op::Delete => Answer::Done(self.entries.remove(&at).is_some()),
            Op::Increment(by, _) => {
                let text = found.unwrap_or_else(|| value("0"));
                let number = std::str::from_utf8(&text).ok().and_then(|text| text.parse::<i64>().ok());
                let number = number.ok_or_else(|| StoreError::Invalid("number to increment".to_owned()))?;
                let sum = number.checked_add(*by).ok_or_else(|| StoreError::Invalid("sum beyond 64 bits".to_owned()))?;
                self.put(at, value(&sum.to_string())).map(|()| Answer::Sum(sum))?
            }
        })
    }

    fn put(&mut self, at: (String, String), value: Bytes) -> Result<(), StoreError> {
        let (before, is_new) = (self.usage(), !self.entries.contains_key(&at));
        self.entries.insert(at, value);
        let after = self.usage();
        if after.bytes > self.quota.bytes && after.bytes > before.bytes {
            return Err(StoreError::TooLarge(format!("{} bytes, quota {}", after.bytes, self.quota.bytes)));
        }
        if is_new && after.keys > self.quota.keys {
            return Err(StoreError::TooLarge(format!("{} keys, quota {}", after.keys, self.quota.keys)));
        }
        Ok(())
    }
}
