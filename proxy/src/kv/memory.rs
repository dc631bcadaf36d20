//! A store in memory: gone when the process ends.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Instant,
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, ready},
};
use parking_lot::Mutex;

use super::{
    Answer, Command, Page, Place, Scan, Space, Store, StoreError, Usage, check,
    shelf::{self, Entry, STEP, Shelf},
};

/// Keys and values in memory.
#[derive(Debug)]
pub struct Memory {
    spaces: Mutex<HashMap<Arc<str>, Arc<Mutex<Entries>>>>,
    start: Instant,
}

/// What one addon keeps.
#[derive(Debug, Default)]
struct Entries {
    by_place: BTreeMap<Arc<Place>, Entry>,
    /// When entries expire, soonest first.
    expiries: BTreeSet<(u64, Arc<Place>)>,
    bytes: usize,
}

impl Memory {
    /// Microseconds of the store's life.
    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn entries(&self, addon: &Arc<str>) -> Arc<Mutex<Entries>> {
        Arc::clone(self.spaces.lock().entry(Arc::clone(addon)).or_default())
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self { spaces: Mutex::default(), start: Instant::now() }
    }
}

impl Store for Memory {
    fn apply(&self, space: &Space, commands: Vec<Command>) -> BoxFuture<'static, Result<Vec<Answer>, StoreError>> {
        let entries = self.entries(&space.addon);
        let answers = check(&commands).and_then(|()| shelf::run(&mut *entries.lock(), space.quota, &commands, self.now()));
        ready(answers).boxed()
    }

    fn scan(&self, space: &Space, scan: Scan) -> BoxFuture<'static, Result<Page, StoreError>> {
        let entries = self.entries(&space.addon);
        let page = entries.lock().scan(&scan, self.now());
        ready(page).boxed()
    }

    fn usage(&self, addon: &str) -> Option<Usage> {
        let Some(entries) = self.spaces.lock().get(addon).map(Arc::clone) else { return Some(Usage::default()) };
        let now = self.now();
        loop {
            // The lock is let go between steps.
            let mut entries = entries.lock();
            if !shelf::expire_some(&mut *entries, now, STEP).ok()? {
                return Some(entries.usage());
            }
        }
    }
}

impl Entries {
    fn scan(&self, scan: &Scan, now: u64) -> Result<Page, StoreError> {
        let start = Place { bucket: scan.bucket.clone(), key: scan.start().into() };
        let entries = self.by_place.range(Arc::new(start)..).take_while(|(place, _)| place.bucket == scan.bucket);
        scan.page(entries.map(|(place, entry)| Ok((place.key.to_string(), entry.clone()))), now)
    }
}

impl Shelf for Entries {
    type Error = StoreError;

    fn find(&mut self, place: &Place) -> Result<Option<Entry>, StoreError> {
        Ok(self.by_place.get(place).cloned())
    }

    fn put(&mut self, place: &Place, entry: Entry) -> Result<(), StoreError> {
        self.remove(place)?;
        let place = Arc::new(place.clone());
        self.bytes += place.cost(entry.value.len());
        if let Some(until) = entry.until {
            self.expiries.insert((until, Arc::clone(&place)));
        }
        self.by_place.insert(place, entry);
        Ok(())
    }

    fn remove(&mut self, place: &Place) -> Result<(), StoreError> {
        if let Some((place, entry)) = self.by_place.remove_entry(place) {
            self.bytes -= place.cost(entry.value.len());
            if let Some(until) = entry.until {
                self.expiries.remove(&(until, place));
            }
        }
        Ok(())
    }

    fn usage(&self) -> Usage {
        Usage { bytes: self.bytes, keys: self.by_place.len() }
    }

    fn expire_one(&mut self, now: u64) -> Result<bool, StoreError> {
        let Some((_, place)) = self.expiries.first().filter(|(until, _)| *until <= now) else { return Ok(false) };
        let place = Arc::clone(place);
        self.remove(&place)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::{
        super::{
            OVERHEAD, Op, Quota,
            conformance::{Bench, conformance},
        },
        *,
    };

    fn bench() -> Bench {
        Bench { store: Arc::new(Memory::default()), _held: Box::new(()) }
    }

    conformance!(ready(bench()));

    const QUOTA: Quota = Quota { bytes: 10_000, keys: 3 };

    struct Clock {
        entries: Entries,
        now: u64,
    }

    impl Clock {
        fn new() -> Self {
            Self { entries: Entries::default(), now: 7 }
        }

        fn pass(&mut self, milliseconds: u64) {
            self.now += 1_000 * milliseconds;
        }

        fn run(&mut self, key: &str, op: Op) -> Result<Answer, StoreError> {
            let commands = vec![(Place::new("b", key).expect("a place"), op)];
            let answers = shelf::run(&mut self.entries, QUOTA, &commands, self.now)?;
            Ok(answers.into_iter().next().expect("an answer"))
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
        let (mut entries, now) = (Entries::default(), 7);
        let apply = |entries: &mut Entries, quota, place, op, now| {
            shelf::run(entries, quota, &[(place, op)], now).map(|answers| answers.into_iter().next())
        };
        let place = |number: usize| Place::new("b", &number.to_string()).expect("a place");
        for number in 0..1000 {
            apply(&mut entries, quota, place(number), Op::Set(value("1"), Some(ms(10))), now).expect("set");
        }
        let later = now + 10_000;
        assert_eq!(apply(&mut entries, quota, place(999), Op::Delete, later), Ok(Some(Answer::Done(false))));
        assert_eq!(entries.by_place.len(), 1000 - STEP - 1);
        // All that is left has expired, and so is no reason to say no.
        let full = Quota { bytes: entries.bytes, keys: 1 };
        apply(&mut entries, full, place(0), Op::Set(value("2"), None), later).expect("set");
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
        assert_eq!(clock.run("n", Op::Increment(1, None)), Err(StoreError::Invalid("sum beyond 64 bits".to_owned())));
        clock.run("n", Op::Set(value("x"), None)).expect("set");
        assert_eq!(clock.run("n", Op::Increment(1, None)), Err(StoreError::Invalid("number to increment".to_owned())));
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
        let set = memory.apply(&space("one"), vec![(place(), Op::Set(value("1"), None))]).await;
        assert_eq!(set, Ok(vec![Answer::Done(true)]));
        let get = || vec![(place(), Op::Get)];
        assert_eq!(memory.apply(&space("two"), get()).await, Ok(vec![Answer::Value(None)]));
        assert_eq!(memory.apply(&space("one"), get()).await, Ok(vec![Answer::Value(Some(value("1")))]));
        assert_eq!(memory.usage("one"), Some(Usage { bytes: OVERHEAD + 3, keys: 1 }));
        assert_eq!((memory.usage("two"), memory.usage("three")), (Some(Usage::default()), Some(Usage::default())));
    }
}
