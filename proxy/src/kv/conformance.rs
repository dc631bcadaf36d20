//! What every store promises, run over each of them.

mod model;

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::join_all;

use super::{
    Answer, Command, MAX_BATCH, MAX_BATCH_BYTES, MAX_VALUE, OVERHEAD, Op, Page, Place, Quota, Scan, Space, Store, StoreError,
    Usage,
};

/// A store, and what has to live as long.
pub(super) struct Bench {
    pub(super) store: Arc<dyn Store>,
    pub(super) _held: Box<dyn Any + Send + Sync>,
}

/// Tests of a store that the expression makes a [`Bench`] of.
macro_rules! conformance {
    ($bench:expr) => {
        mod conformance {
            use super::*;

            $crate::kv::conformance::conformance!($bench;
                operations_follow_the_model, entries_live_as_long_as_told, times_are_those_of_values, races_have_one_winner,
                swaps_of_a_hundred_tasks_add_up, scans_find_each_key_once, scans_keep_to_prefix_and_page, cursors_of_others_do_no_harm,
                sizes_hold_below_at_above, batches_hold_below_at_above, quotas_hold_below_at_above, all_or_nothing_is_done,
                what_has_expired_counts_no_more, spaces_are_apart);
        }
    };
    ($bench:expr; $($case:ident),+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let bench = $bench.await;
            $crate::kv::conformance::$case(&bench).await;
        })+
    };
}
pub(super) use conformance;

/// One addon's way to the store.
#[derive(Clone)]
pub(super) struct Addon {
    store: Arc<dyn Store>,
    space: Space,
}

impl Bench {
    pub(super) fn addon(&self, name: &str, quota: Quota) -> Addon {
        Addon { store: Arc::clone(&self.store), space: Space { addon: name.into(), quota } }
    }

    pub(super) fn a(&self) -> Addon {
        self.addon("a", Quota::default())
    }
}

pub(super) fn at(key: &str) -> Place {
    Place::new("b", key).expect("a place")
}

pub(super) fn value(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

impl Addon {
    pub(super) async fn all(&self, commands: Vec<Command>) -> Result<Vec<Answer>, StoreError> {
        self.store.apply(&self.space, commands).await
    }

    pub(super) async fn run(&self, key: &str, op: Op) -> Result<Answer, StoreError> {
        self.all(vec![(at(key), op)]).await.map(|answers| answers.into_iter().next().expect("an answer"))
    }

    pub(super) async fn set(&self, key: &str, text: &str) {
        assert_eq!(self.run(key, Op::Set(value(text), None)).await, Ok(Answer::Done(true)), "{key}");
    }

    pub(super) async fn get(&self, key: &str) -> Option<Bytes> {
        match self.run(key, Op::Get).await {
            Ok(Answer::Value(value)) => value,
            other => panic!("{other:?}"),
        }
    }

    async fn page(&self, prefix: &str, next: Option<&str>, limit: usize) -> Page {
        let scan = Scan::new("b", prefix, next, limit).expect("a scan");
        self.store.scan(&self.space, scan).await.expect("a page")
    }

    async fn keys(&self, prefix: &str, limit: usize) -> Vec<String> {
        let (mut keys, mut next) = (Vec::new(), None);
        loop {
            let page = self.page(prefix, next.as_deref(), limit).await;
            assert!(page.entries.len() <= limit);
            keys.extend(page.entries.into_iter().map(|(key, _)| key));
            next = page.next;
            if next.is_none() {
                return keys;
            }
        }
    }

    pub(super) fn usage(&self) -> Usage {
        self.store.usage(&self.space.addon).expect("a usage")
    }
}

pub(super) async fn operations_follow_the_model(bench: &Bench) {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a clock of today");
    let seed = u64::from(since.subsec_nanos()) ^ u64::from(std::process::id()) << 32;
    let quota = Quota { bytes: 1_500, keys: 9 };
    let (mut model, mut random) = (model::Model::new(quota), model::Random::new(seed));
    let addon = bench.addon("model", quota);
    for step in 0..2_000 {
        let commands = random.commands();
        let expected = model.apply(&commands);
        assert_eq!(addon.all(commands.clone()).await, expected, "seed {seed}, step {step}: {commands:?}");
        assert_eq!(addon.usage(), model.usage(), "seed {seed}, step {step}: {commands:?}");
    }
    let kept: Vec<String> = model.keys("b");
    assert_eq!(addon.keys("", 4).await, kept, "seed {seed}");
}

/// Waits until the key is gone; how long it was there at least was seen.
async fn gone(addon: &Addon, key: &str, start: Instant) -> Duration {
    for _ in 0..3_000 {
        // The time is taken first: the store may be slow to answer, but not early.
        if addon.get(key).await.is_none() {
            return start.elapsed();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{key} is still there");
}

pub(super) async fn entries_live_as_long_as_told(bench: &Bench) {
    let addon = bench.a();
    // One that stays: an addon's entries do not go as a whole.
    addon.set("and-stays", "1").await;
    let ttl = Duration::from_millis(120);
    for (key, op) in [
        ("set", Op::Set(value("1"), Some(ttl))),
        ("insert", Op::Insert(value("1"), Some(ttl))),
        ("swap", Op::Swap { expected: None, value: Some(value("1")), ttl: Some(ttl) }),
        ("sum", Op::Increment(1, Some(ttl))),
    ] {
        let start = Instant::now();
        addon.run(key, op).await.expect(key);
        let age = gone(&addon, key, start).await;
        assert!(age >= ttl, "{key} was gone after {age:?}");
        // As if it had never been there.
        assert_eq!(addon.run(key, Op::Delete).await, Ok(Answer::Done(false)), "{key}");
        assert_eq!(addon.run(key, Op::Swap { expected: None, value: None, ttl: None }).await, Ok(Answer::Done(true)), "{key}");
        assert_eq!(addon.run(key, Op::Increment(7, None)).await, Ok(Answer::Sum(7)), "{key}");
    }
    for ttl in [Duration::ZERO, Duration::from_micros(0)] {
        assert!(matches!(addon.run("k", Op::Set(value("1"), Some(ttl))).await, Err(StoreError::Invalid(_))));
    }
    for ttl in [Duration::from_hours(1_000_000), Duration::from_millis(u64::MAX), Duration::MAX] {
        addon.run("ever", Op::Set(value("1"), Some(ttl))).await.expect("set");
        assert_eq!(addon.get("ever").await, Some(value("1")), "{ttl:?}");
    }
    let expired = addon.page("s", None, 10).await;
    assert!(expired.entries.iter().all(|(_, value)| &**value == b"7"), "{expired:?}");
}

pub(super) async fn times_are_those_of_values(bench: &Bench) {
    let addon = bench.a();
    let short = Some(Duration::from_millis(100));
    addon.run("set", Op::Set(value("1"), short)).await.expect("set");
    addon.run("set", Op::Set(value("2"), None)).await.expect("set");
    addon.run("swap", Op::Set(value("1"), short)).await.expect("set");
    addon.run("swap", Op::Swap { expected: Some(value("1")), value: Some(value("2")), ttl: None }).await.expect("swap");
    addon.run("insert", Op::Set(value("1"), None)).await.expect("set");
    assert_eq!(addon.run("insert", Op::Insert(value("2"), short)).await, Ok(Answer::Done(false)));
    addon.run("sum", Op::Increment(1, None)).await.expect("a sum");
    assert_eq!(addon.run("sum", Op::Increment(1, short)).await, Ok(Answer::Sum(2)));
    let start = Instant::now();
    addon.run("kept", Op::Increment(1, short)).await.expect("a sum");
    assert_eq!(addon.run("kept", Op::Increment(1, Some(Duration::from_hours(1)))).await, Ok(Answer::Sum(2)));
    gone(&addon, "kept", start).await;
    for key in ["set", "swap", "insert", "sum"] {
        assert!(addon.get(key).await.is_some(), "{key}");
    }
}

pub(super) async fn races_have_one_winner(bench: &Bench) {
    let addon = bench.a();
    let inserts = (0..100).map(|number: u32| {
        let addon = addon.clone();
        tokio::spawn(async move { addon.run("k", Op::Insert(value(&number.to_string()), None)).await })
    });
    let ended = join_all(inserts).await;
    let winners: Vec<_> = ended.iter().enumerate().filter(|(_, end)| matches!(end, Ok(Ok(Answer::Done(true))))).collect();
    assert_eq!(winners.len(), 1, "{ended:?}");
    assert_eq!(addon.get("k").await, Some(value(&winners.first().expect("one").0.to_string())));
    let many = (0..20).map(|_| {
        let addon = addon.clone();
        tokio::spawn(async move {
            addon.all((0..40).map(|key| (at(&format!("page-{key}")), Op::Insert(value(""), None))).collect()).await
        })
    });
    let ended: Vec<_> = join_all(many).await.into_iter().map(|end| end.expect("a task").expect("answers")).collect();
    // Batches do not mix: all or nothing of the page was new to each.
    assert_eq!(ended.iter().filter(|answers| answers.iter().all(|answer| *answer == Answer::Done(true))).count(), 1);
    assert_eq!(ended.iter().filter(|answers| answers.iter().all(|answer| *answer == Answer::Done(false))).count(), 19);
}

pub(super) async fn swaps_of_a_hundred_tasks_add_up(bench: &Bench) {
    let addon = bench.a();
    addon.set("n", "0").await;
    let tasks = (0..100).map(|_| {
        let addon = addon.clone();
        tokio::spawn(async move {
            loop {
                let before = addon.get("n").await.expect("a number");
                let number: u32 = std::str::from_utf8(&before).expect("text").parse().expect("a number");
                let next = Some(value(&(number + 1).to_string()));
                let swapped = addon.run("n", Op::Swap { expected: Some(before), value: next, ttl: None }).await;
                assert_eq!(addon.run("sum", Op::Increment(0, None)).await, Ok(Answer::Sum(0)));
                if swapped.expect("an answer") == Answer::Done(true) {
                    return;
                }
            }
        })
    });
    for task in join_all(tasks).await {
        task.expect("a task");
    }
    assert_eq!(addon.get("n").await, Some(value("100")));
}

pub(super) async fn scans_find_each_key_once(bench: &Bench) {
    let addon = bench.a();
    let stable: Vec<String> = (0..300).map(|number| format!("{number:04}")).collect();
    for part in stable.chunks(100) {
        addon.all(part.iter().map(|key| (at(key), Op::Set(value(key), None))).collect()).await.expect("set");
    }
    let (is_over, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let writer = {
        let (addon, is_over, written) = (addon.clone(), Arc::clone(&is_over), Arc::clone(&written));
        tokio::spawn(async move {
            let mut number = 0_u32;
            while !is_over.load(Relaxed) {
                let key = format!("{:04}-new", number * 7 % 300);
                let again = format!("{:04}", number * 11 % 300);
                let write = vec![(at(&key), Op::Set(value("x"), None)), (at(&again), Op::Set(value(&again), None))];
                addon.all(write).await.expect("set");
                addon.run(&format!("{:04}-new", number * 13 % 300), Op::Delete).await.expect("delete");
                number += 1;
                written.store(number, Relaxed);
            }
        })
    };
    // At least while some was written.
    while written.load(Relaxed) < 100 {
        tokio::task::yield_now().await;
        let found = addon.keys("", 7).await;
        assert!(found.is_sorted(), "{found:?}");
        let found: Vec<_> = found.into_iter().filter(|key| !key.ends_with("-new")).collect();
        assert_eq!(found, stable);
    }
    is_over.store(true, Relaxed);
    writer.await.expect("a task");
}

pub(super) async fn scans_keep_to_prefix_and_page(bench: &Bench) {
    let addon = bench.a();
    let keys = ["a", "a\0", "a/", "ab", "abc", "abd", "b", "\u{e4}", "\u{10ffff}", "\u{10ffff}x"];
    for key in keys {
        addon.set(key, key).await;
    }
    let other = Place::new("b2", "abz").expect("a place");
    addon.all(vec![(other, Op::Set(value(""), None))]).await.expect("set");
    for (prefix, expected) in [
        ("", keys.to_vec()),
        ("a", vec!["a", "a\0", "a/", "ab", "abc", "abd"]),
        ("ab", vec!["ab", "abc", "abd"]),
        ("abd", vec!["abd"]),
        ("abe", vec![]),
        ("\u{10ffff}", vec!["\u{10ffff}", "\u{10ffff}x"]),
    ] {
        for limit in [1, 2, 3, 10] {
            assert_eq!(addon.keys(prefix, limit).await, expected, "{prefix:?} by {limit}");
        }
    }
    let page = addon.page("", None, keys.len()).await;
    assert_eq!((page.entries.last().map(|(_, value)| value.clone()), page.next), (Some(value("\u{10ffff}x")), None));
    // Three of 400 KiB are more than a page.
    for key in ["large-1", "large-2", "large-3"] {
        addon.run(key, Op::Set(vec![b'x'; 400 << 10].into(), None)).await.expect("set");
    }
    let page = addon.page("large", None, 10).await;
    assert_eq!((page.entries.len(), page.next.as_deref()), (2, Some("large-2")));
    assert_eq!(addon.page("large", page.next.as_deref(), 10).await.entries.len(), 1);
}

pub(super) async fn cursors_of_others_do_no_harm(bench: &Bench) {
    let addon = bench.a();
    for key in ["a1", "a2", "b1"] {
        addon.set(key, "").await;
    }
    assert!(matches!(Scan::new("b", "a", Some("b1"), 1), Err(StoreError::Invalid(_))));
    let keys = |page: Page| page.entries.into_iter().map(|(key, _)| key).collect::<Vec<_>>();
    // Of no key that is there, of another bucket, of another addon: it goes on behind it.
    assert_eq!(keys(addon.page("a", Some("a11"), 9).await), ["a2"]);
    assert_eq!(keys(addon.page("a", Some("a9"), 9).await), Vec::<String>::new());
    let other = bench.addon("other", Quota::default());
    assert_eq!(keys(other.page("a", Some("a1"), 9).await), Vec::<String>::new());
}

pub(super) async fn sizes_hold_below_at_above(bench: &Bench) {
    let addon = bench.a();
    let bytes: Bytes = (0..=255_u8).cycle().take(MAX_VALUE).collect::<Vec<_>>().into();
    for (length, is_legal) in [(0, true), (MAX_VALUE - 1, true), (MAX_VALUE, true)] {
        let value = bytes.slice(..length);
        assert_eq!(addon.run("large", Op::Set(value.clone(), None)).await.is_ok(), is_legal);
        assert_eq!(addon.get("large").await, Some(value));
    }
    let over = vec![0; MAX_VALUE + 1];
    assert!(matches!(addon.run("large", Op::Set(over.into(), None)).await, Err(StoreError::TooLarge(_))));
    let key = "\u{7f}".repeat(1 << 10);
    addon.set(&key, "long").await;
    assert_eq!(
        (addon.get(&key).await, addon.get("large").await.map(|value| value.len())),
        (Some(value("long")), Some(MAX_VALUE))
    );
}

pub(super) async fn batches_hold_below_at_above(bench: &Bench) {
    let addon = bench.a();
    let inserts = |count: usize, bytes: usize| -> Vec<Command> {
        (0..count).map(|number| (at(&number.to_string()), Op::Set(vec![1; bytes].into(), None))).collect()
    };
    let gets = |count: usize| -> Vec<Command> { (0..count).map(|number| (at(&number.to_string()), Op::Get)).collect() };
    assert_eq!(addon.all(Vec::new()).await, Ok(Vec::new()));
    assert_eq!(addon.all(inserts(MAX_BATCH, 1)).await.map(|answers| answers.len()), Ok(MAX_BATCH));
    assert!(matches!(addon.all(inserts(MAX_BATCH + 1, 1)).await, Err(StoreError::TooLarge(_))));
    assert_eq!(addon.all(gets(MAX_BATCH)).await.map(|answers| answers.len()), Ok(MAX_BATCH));
    assert!(matches!(addon.all(gets(MAX_BATCH + 1)).await, Err(StoreError::TooLarge(_))));
    assert!(addon.all(inserts(4, MAX_BATCH_BYTES / 4)).await.is_ok());
    assert!(matches!(addon.all(inserts(5, MAX_BATCH_BYTES / 4)).await, Err(StoreError::TooLarge(_))));
    assert_eq!(addon.all(gets(4)).await.map(|answers| answers.len()), Ok(4));
    // The fifth has one byte.
    assert!(
        matches!(addon.all(gets(5)).await, Err(StoreError::TooLarge(text)) if text.contains(&(MAX_BATCH_BYTES + 1).to_string()))
    );
}

pub(super) async fn quotas_hold_below_at_above(bench: &Bench) {
    let addon = bench.addon("small", Quota { bytes: 1_000, keys: 3 });
    // One byte each for bucket and key.
    let room = 1_000 - OVERHEAD - 2;
    let set = |bytes: usize| Op::Set(vec![0; bytes].into(), None);
    for bytes in [room - 1, room] {
        assert_eq!(addon.run("k", set(bytes)).await, Ok(Answer::Done(true)));
    }
    let refused = |text: &str| Err(StoreError::TooLarge(text.to_owned()));
    assert_eq!(addon.run("k", set(room + 1)).await, refused("1001 bytes, quota 1000"));
    assert_eq!(addon.usage(), Usage { bytes: 1_000, keys: 1 });
    assert_eq!(addon.run("k", set(1)).await, Ok(Answer::Done(true)));
    addon.set("2", "").await;
    addon.set("3", "").await;
    for op in [set(0), Op::Insert(value(""), None), Op::Increment(1, None)] {
        assert_eq!(addon.run("4", op).await, refused("4 keys, quota 3"));
    }
    assert_eq!(addon.run("2", Op::Delete).await, Ok(Answer::Done(true)));
    addon.set("4", "").await;
    assert_eq!(addon.usage(), Usage { bytes: 3 * (OVERHEAD + 2) + 1, keys: 3 });
    // Over a quota that has become smaller, what is there may shrink and go, and not grow.
    let less = bench.addon("small", Quota { bytes: 100, keys: 1 });
    assert_eq!(less.run("k", set(2)).await, refused("200 bytes, quota 100"));
    assert_eq!(less.run("k", set(0)).await, Ok(Answer::Done(true)));
    assert_eq!(less.run("3", Op::Delete).await, Ok(Answer::Done(true)));
    assert_eq!(less.usage(), Usage { bytes: 2 * (OVERHEAD + 2), keys: 2 });
}

pub(super) async fn all_or_nothing_is_done(bench: &Bench) {
    let addon = bench.addon("small", Quota { bytes: 10_000, keys: 3 });
    addon.set("k", "old").await;
    addon.set("gone", "old").await;
    let before = addon.usage();
    let ops = |last: Op| {
        vec![
            (at("k"), Op::Set(value("new"), Some(Duration::from_hours(1)))),
            (at("gone"), Op::Delete),
            (at("1"), Op::Insert(value(""), None)),
            (at("1"), Op::Increment(0, None)),
            (at("2"), last),
        ]
    };
    assert!(matches!(addon.all(ops(Op::Get)).await, Err(StoreError::Invalid(_))));
    let mut many = ops(Op::Insert(value(""), None));
    many.remove(3);
    many.push((at("3"), Op::Insert(value(""), None)));
    assert_eq!(addon.all(many).await, Err(StoreError::TooLarge("4 keys, quota 3".to_owned())));
    assert_eq!((addon.get("k").await, addon.get("gone").await), (Some(value("old")), Some(value("old"))));
    assert_eq!((addon.keys("", 10).await, addon.usage()), (vec!["gone".to_owned(), "k".to_owned()], before));
    let twice = vec![(at("x"), Op::Insert(value("1"), None)), (at("x"), Op::Insert(value("2"), None)), (at("x"), Op::Get)];
    let expected = vec![Answer::Done(true), Answer::Done(false), Answer::Value(Some(value("1")))];
    assert_eq!(addon.all(twice).await, Ok(expected));
}

pub(super) async fn what_has_expired_counts_no_more(bench: &Bench) {
    let addon = bench.addon("small", Quota { bytes: 200 * (OVERHEAD + 10), keys: 200 });
    let short = Some(Duration::from_millis(50));
    let start = Instant::now();
    let entries = (0..200).map(|number| (at(&format!("{number:03}")), Op::Set(value(""), short)));
    addon.all(entries.collect()).await.expect("set");
    gone(&addon, "199", start).await;
    // Places for all at one time, though nobody swept.
    let entries = (0..200).map(|number| (at(&format!("new-{number:03}")), Op::Insert(value(""), None)));
    assert!(addon.all(entries.collect()).await.expect("room").iter().all(|answer| *answer == Answer::Done(true)));
    assert_eq!((addon.usage().keys, addon.keys("", 50).await.len()), (200, 200));
}

pub(super) async fn spaces_are_apart(bench: &Bench) {
    let (one, other) = (bench.addon("one", Quota::default()), bench.addon("one.more", Quota::default()));
    one.set("k", "1").await;
    assert_eq!(other.get("k").await, None);
    other.set("k", "2").await;
    assert_eq!((one.get("k").await, other.get("k").await), (Some(value("1")), Some(value("2"))));
    assert_eq!(one.run("k", Op::Delete).await, Ok(Answer::Done(true)));
    assert_eq!((one.usage().keys, other.usage().keys), (0, 1));
    assert_eq!((one.keys("", 9).await.len(), other.keys("", 9).await.len()), (0, 1));
    let place = Place::new("c", "k").expect("a place");
    assert_eq!(other.all(vec![(place, Op::Get)]).await, Ok(vec![Answer::Value(None)]));
}
