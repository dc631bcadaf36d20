//! A store in memory: gone when the process ends.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, ready},
};
use parking_lot::Mutex;

use super::{Answer, Op, Place, Quota, Space, Store, StoreError, Usage};

/// Keys and values in memory.
#[derive(Debug, Default)]
pub struct Memory {
    spaces: Mutex<HashMap<Arc<str>, Arc<Mutex<Entries>>>>,
}

/// What one addon keeps.
#[derive(Debug, Default)]
struct Entries {
    by_place: HashMap<Arc<Place>, Entry>,
    /// When entries expire, soonest first. The number tells apart what expires at one time.
    expiries: BTreeMap<(Instant, u64), Arc<Place>>,
    bytes: usize,
    last: u64,
}

#[derive(Debug)]
struct Entry {
    value: Bytes,
    expiry: Option<(Instant, u64)>,
}

/// Expired entries that one operation removes: no flow pays for all that others left behind.
const STEP: usize = 64;

impl Store for Memory {
    fn apply(&self, space: &Space, place: Place, op: Op) -> BoxFuture<'static, Result<Answer, StoreError>> {
        let entries = Arc::clone(self.spaces.lock().entry(Arc::clone(&space.addon)).or_default());
        let answer = op.check().and_then(|()| entries.lock().apply(space.quota, place, op, Instant::now()));
        ready(answer).boxed()
    }

    fn usage(&self, addon: &str) -> Option<Usage> {
        let Some(entries) = self.spaces.lock().get(addon).map(Arc::clone) else { return Some(Usage::default()) };
        let now = Instant::now();
        loop {
            // The lock is let go between steps.
            let mut entries = entries.lock();
            if !entries.expire_some(now) {
                return Some(Usage { bytes: entries.bytes, keys: entries.by_place.len() });
            }
        }
    }
}

impl Entries {
    fn apply(&mut self, quota: Quota, place: Place, op: Op, now: Instant) -> Result<Answer, StoreError> {
        self.expire_some(now);
        let is_over = |entry: &Entry| entry.expiry.is_some_and(|(at, _)| at <= now);
        if self.by_place.get(&place).is_some_and(is_over) {
            self.remove(&place);
        }
        let place = Arc::new(place);
        let found = self.by_place.get(&place).map(|entry| entry.value.clone());
        Ok(match op {
            Op::Get => Answer::Value(found),
            Op::Set(value, ttl) => {
                self.put(quota, place, value, expiry(now, ttl), now)?;
                Answer::Done(true)
            }
            Op::Insert(value, ttl) => {
                if found.is_none() {
                    self.put(quota, place, value, expiry(now, ttl), now)?;
                }
                Answer::Done(found.is_none())
            }
            Op::Swap { expected, value, ttl } => {
                let is_due = found == expected;
                match value.filter(|_| is_due) {
                    Some(value) => self.put(quota, place, value, expiry(now, ttl), now)?,
                    None if is_due => drop(self.remove(&place)),
                    None => {}
                }
                Answer::Done(is_due)
            }
            Op::Delete => Answer::Done(self.remove(&place).is_some()),
            Op::Increment(by, ttl) => {
                let number = found.as_deref().map_or(Some(0), number).ok_or_else(|| invalid("number to increment"))?;
                let sum = number.checked_add(by).ok_or_else(|| invalid("sum beyond 64 bits"))?;
                let until = match self.by_place.get(&place) {
                    Some(entry) => entry.expiry.map(|(at, _)| at),
                    None => expiry(now, ttl),
                };
                self.put(quota, place, sum.to_string().into(), until, now)?;
                Answer::Sum(sum)
            }
        })
    }

    fn put(
        &mut self,
        quota: Quota,
        place: Arc<Place>,
        value: Bytes,
        until: Option<Instant>,
        now: Instant,
    ) -> Result<(), StoreError> {
        let cost = place.cost(value.len());
        let before = self.by_place.get(&place).map(|entry| place.cost(entry.value.len()));
        let bytes = loop {
            let bytes = self.bytes + cost - before.unwrap_or_default();
            let keys = self.by_place.len() + 1;
            // What is over already may shrink.
            let excess = if bytes > quota.bytes && bytes > self.bytes {
                format!("{bytes} bytes, quota {}", quota.bytes)
            } else if before.is_none() && keys > quota.keys {
                format!("{keys} keys, quota {}", quota.keys)
            } else {
                break bytes;
            };
            // What has expired counts no more. The entry itself has not.
            if !self.expire_one(now) {
                return Err(StoreError::TooLarge(excess));
            }
        };
        self.remove(&place);
        self.last += 1;
        let expiry = until.map(|until| (until, self.last));
        if let Some(expiry) = expiry {
            self.expiries.insert(expiry, Arc::clone(&place));
        }
        self.by_place.insert(place, Entry { value, expiry });
        self.bytes = bytes;
        Ok(())
    }

    fn remove(&mut self, place: &Place) -> Option<Entry> {
        let entry = self.by_place.remove(place)?;
        self.bytes -= place.cost(entry.value.len());
        if let Some(expiry) = &entry.expiry {
            self.expiries.remove(expiry);
        }
        Some(entry)
    }

    /// Removes a few of what has expired; whether there may be more.
    fn expire_some(&mut self, now: Instant) -> bool {
        (0..STEP).all(|_| self.expire_one(now))
    }

    /// Removes one that has expired; whether there was one.
    fn expire_one(&mut self, now: Instant) -> bool {
        let Some(soonest) = self.expiries.first_entry().filter(|soonest| soonest.key().0 <= now) else { return false };
        let place = soonest.remove();
        if let Some(entry) = self.by_place.remove(&place) {
            self.bytes -= place.cost(entry.value.len());
        }
        true
    }
}

/// None: never, or beyond the clock.
fn expiry(now: Instant, ttl: Option<Duration>) -> Option<Instant> {
    now.checked_add(ttl?)
}

fn number(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn invalid(what: &str) -> StoreError {
    StoreError::Invalid(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{super::OVERHEAD, *};

    const QUOTA: Quota = Quota { bytes: 10_000, keys: 3 };

    struct Clock {
        entries: Entries,
        now: Instant,
    }

    impl Clock {
        fn new() -> Self {
            Self { entries: Entries::default(), now: Instant::now() }
        }

        fn pass(&mut self, milliseconds: u64) {
            self.now += Duration::from_millis(milliseconds);
        }

        fn run(&mut self, key: &str, op: Op) -> Result<Answer, StoreError> {
            self.entries.apply(QUOTA, Place::new("b", key).expect("a place"), op, self.now)
        }

        fn get(&mut self, key: &str) -> Option<Bytes> {
            match self.run(key, Op::Get) {
                Ok(Answer::Value(value)) => value,
                other => panic!("{other:?}"),
            }
        }
    }

    fn value(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn entries_expire_at_their_time() {
        let mut clock = Clock::new();
        clock.run("a", Op::Set(value("1"), Some(ms(10)))).expect("set");
        clock.run("b", Op::Set(value("2"), None)).expect("set");
        clock.pass(9);
        assert_eq!(clock.get("a"), Some(value("1")));
        clock.pass(1);
        assert_eq!((clock.get("a"), clock.get("b")), (None, Some(value("2"))));
        assert_eq!(clock.run("a", Op::Insert(value("3"), Some(ms(5)))), Ok(Answer::Done(true)));
        // A new value has its own time.
        clock.run("a", Op::Set(value("4"), None)).expect("set");
        clock.pass(1_000_000);
        assert_eq!(clock.get("a"), Some(value("4")));
        assert!(clock.entries.expiries.is_empty());
    }

    #[test]
    fn no_operation_removes_all_that_has_expired() {
        let quota = Quota { bytes: 1 << 20, keys: 1000 };
        let (mut entries, now) = (Entries::default(), Instant::now());
        let place = |number: usize| Place::new("b", &number.to_string()).expect("a place");
        for number in 0..1000 {
            entries.apply(quota, place(number), Op::Set(value("1"), Some(ms(10))), now).expect("set");
        }
        let later = now + ms(10);
        assert_eq!(entries.apply(quota, place(999), Op::Get, later), Ok(Answer::Value(None)));
        assert_eq!(entries.by_place.len(), 1000 - STEP - 1);
        // All that is left has expired, and so is no reason to say no.
        let full = Quota { bytes: entries.bytes, keys: 1 };
        entries.apply(full, place(0), Op::Set(value("2"), None), later).expect("set");
        assert_eq!(entries.by_place.len(), 1);
    }

    #[test]
    fn insert_is_for_those_who_come_first() {
        let mut clock = Clock::new();
        assert_eq!(clock.run("a", Op::Insert(value("1"), None)), Ok(Answer::Done(true)));
        assert_eq!(clock.run("a", Op::Insert(value("2"), None)), Ok(Answer::Done(false)));
        assert_eq!(clock.get("a"), Some(value("1")));
    }

    #[test]
    fn swap_compares() {
        let mut clock = Clock::new();
        let swap = |expected: Option<&'static str>, new: Option<&'static str>| Op::Swap {
            expected: expected.map(value),
            value: new.map(value),
            ttl: None,
        };
        assert_eq!(clock.run("a", swap(Some("0"), Some("1"))), Ok(Answer::Done(false)));
        assert_eq!(clock.run("a", swap(None, Some("1"))), Ok(Answer::Done(true)));
        assert_eq!(clock.run("a", swap(Some("1"), Some("2"))), Ok(Answer::Done(true)));
        assert_eq!(clock.run("a", swap(Some("1"), None)), Ok(Answer::Done(false)));
        assert_eq!(clock.run("a", swap(Some("2"), None)), Ok(Answer::Done(true)));
        assert_eq!((clock.get("a"), clock.entries.bytes), (None, 0));
    }

    #[test]
    fn numbers_add_up_and_keep_their_time() {
        let mut clock = Clock::new();
        assert_eq!(clock.run("n", Op::Increment(5, Some(ms(10)))), Ok(Answer::Sum(5)));
        clock.pass(5);
        assert_eq!(clock.run("n", Op::Increment(-7, Some(ms(1_000)))), Ok(Answer::Sum(-2)));
        clock.pass(5);
        assert_eq!(clock.run("n", Op::Increment(1, None)), Ok(Answer::Sum(1)));
        clock.run("n", Op::Set(i64::MAX.to_string().into(), None)).expect("set");
        assert_eq!(clock.run("n", Op::Increment(1, None)), Err(invalid("sum beyond 64 bits")));
        clock.run("n", Op::Set(value("x"), None)).expect("set");
        assert_eq!(clock.run("n", Op::Increment(1, None)), Err(invalid("number to increment")));
    }

    #[test]
    fn quotas_hold_below_at_above() {
        let mut clock = Clock::new();
        for key in ["a", "b", "c"] {
            clock.run(key, Op::Set(value(""), Some(ms(10)))).expect(key);
        }
        assert!(matches!(clock.run("d", Op::Set(value(""), None)), Err(StoreError::TooLarge(_))));
        clock.run("a", Op::Set(value("changed"), Some(ms(10)))).expect("a key that is there");
        clock.pass(10);
        // What has expired counts no more.
        let cost = Place::new("b", "a").expect("a place").cost(0);
        let room = QUOTA.bytes - cost;
        clock.run("a", Op::Set(vec![0; room - 1].into(), None)).expect("below");
        clock.run("a", Op::Set(vec![0; room].into(), None)).expect("at");
        assert!(matches!(clock.run("a", Op::Set(vec![0; room + 1].into(), None)), Err(StoreError::TooLarge(_))));
        assert_eq!(clock.get("a").map(|value| value.len()), Some(room));
        assert!(clock.run("b", Op::Set(value(""), None)).is_err());
        assert_eq!(clock.run("a", Op::Delete), Ok(Answer::Done(true)));
        assert_eq!(clock.entries.bytes, 0);
    }

    #[test]
    fn places_and_values_keep_to_their_limits() {
        for (bucket, is_legal) in [("a", true), ("a.B_9-", true), ("", false), ("a b", false), ("a/b", false)] {
            assert_eq!(Place::new(bucket, "k").is_ok(), is_legal, "{bucket}");
        }
        for (length, is_legal) in [(0, false), (1, true), (1 << 10, true), ((1 << 10) + 1, false)] {
            assert_eq!(Place::new("b", &"k".repeat(length)).is_ok(), is_legal, "{length}");
        }
        assert!(Place::new(&"b".repeat(64), "k").is_ok() && Place::new(&"b".repeat(65), "k").is_err());
        for (length, is_legal) in [(1 << 20, true), ((1 << 20) + 1, false)] {
            assert_eq!(Op::Set(vec![0; length].into(), None).check().is_ok(), is_legal, "{length}");
        }
        assert!(Op::Increment(1, Some(Duration::ZERO)).check().is_err());
        assert!(Op::Increment(1, Some(ms(1))).check().is_ok());
    }

    #[tokio::test]
    async fn addons_have_spaces_of_their_own() {
        let memory = Memory::default();
        let space = |addon: &str| Space { addon: addon.into(), quota: Quota::default() };
        let place = || Place::new("b", "k").expect("a place");
        let set = memory.apply(&space("one"), place(), Op::Set(value("1"), None)).await;
        assert_eq!(set, Ok(Answer::Done(true)));
        assert_eq!(memory.apply(&space("two"), place(), Op::Get).await, Ok(Answer::Value(None)));
        assert_eq!(memory.apply(&space("one"), place(), Op::Get).await, Ok(Answer::Value(Some(value("1")))));
        assert_eq!(memory.usage("one"), Some(Usage { bytes: OVERHEAD + 3, keys: 1 }));
        assert_eq!((memory.usage("two"), memory.usage("three")), (Some(Usage::default()), Some(Usage::default())));
    }
}
