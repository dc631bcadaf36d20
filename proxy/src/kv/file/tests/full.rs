//! What a file or a disk without room costs: who asks for more, and nobody else.

use super::*;

const MOST: u64 = 16 << 20;
const HUGE: Quota = Quota { bytes: 1 << 30, keys: 1_000_000 };

/// Fills the file with values of one size, some at one time, until that is refused; how many are there.
async fn fill_up(addon: &Addon, bytes: usize) -> usize {
    let mut kept = 0;
    for _ in 0..10_000 {
        let some = (kept..kept + 8).map(|number| (at(&format!("{number:06}")), Op::Set(vec![7; bytes].into(), None)));
        match addon.all(some.collect()).await {
            Ok(_) => kept += 8,
            Err(StoreError::Unavailable(why)) => {
                assert!(why.contains("no room: the file would have"), "{why}");
                return kept;
            }
            Err(other) => panic!("{other}"),
        }
    }
    panic!("{kept} values and no end");
}

/// Two addons: one that fills the file again and again with values of a size, one whose small writes are all kept.
async fn a_full_file_keeps_what_was_answered(bytes: usize) {
    let mut place = Place::new();
    place.most = MOST;
    let bench = place.open().await;
    let (greedy, modest) = (bench.addon("greedy", HUGE), bench.a());
    let (mut kept, mut refused, mut last) = (Vec::new(), 0, 0);
    for number in 0..120 {
        match modest.run(&number.to_string(), Op::Insert(value("1"), None)).await {
            Ok(answer) => {
                assert_eq!(answer, Answer::Done(true));
                kept.push(number);
            }
            Err(StoreError::Unavailable(why)) => assert!(why.contains("no room"), "{why}"),
            Err(other) => panic!("{other}"),
        }
        let step = usize::try_from(MOST).expect("a size") / bytes / 30 + 1;
        for part in 0..step {
            match fill(&greedy, &format!("{number}-{part}"), bytes).await {
                Ok(_) => {}
                Err(StoreError::Unavailable(why)) => {
                    assert!(why.contains("no room"), "{why}");
                    (refused, last) = (refused + 1, number);
                    break;
                }
                Err(other) => panic!("{other}"),
            }
        }
        // Removals go on at any time, and leave enough to be full again.
        if number % 2 == 0 {
            for part in 0..step {
                greedy.run(&format!("{}-{part}", number / 2), Op::Delete).await.expect("a removal");
            }
        }
        assert!(place.length() <= MOST, "{}", place.length());
    }
    assert!(refused > 0 && kept.len() > 20, "{refused} refused until {last}, {} kept", kept.len());
    assert_eq!(bench.store.trouble(), None);
    for number in &kept {
        assert_eq!(modest.get(&number.to_string()).await, Some(value("1")), "{number}");
    }
    bench.store.flush().await;
    drop((greedy, modest, bench));
    let bench = place.open().await;
    for number in &kept {
        assert_eq!(bench.a().get(&number.to_string()).await, Some(value("1")), "{number} after a restart");
    }
    assert!(place.length() <= MOST);
}

#[tokio::test]
async fn small_values_that_fill_the_file_take_nothing_of_others() {
    a_full_file_keeps_what_was_answered(3_000).await;
}

#[tokio::test]
async fn large_values_that_fill_the_file_take_nothing_of_others() {
    a_full_file_keeps_what_was_answered(900_000).await;
}

#[tokio::test]
async fn all_of_a_full_file_can_be_removed() {
    let mut place = Place::new();
    place.most = MOST;
    let bench = place.open().await;
    let addon = bench.addon("greedy", HUGE);
    for bytes in [1_500, 20_000] {
        let mut kept = fill_up(&addon, bytes).await;
        // What is as large as what was refused last is refused for a while, whatever has been removed since.
        while kept == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            kept = fill_up(&addon, bytes).await;
        }
        assert!(kept > 100, "{kept}");
        // In batches, each of which touches as many pages as it can: none needs more than is kept free.
        for first in 0..kept.div_ceil(200) {
            let keys = (first..kept).step_by(kept.div_ceil(200));
            let batch = keys.map(|number| (at(&format!("{number:06}")), Op::Delete)).collect();
            let answers = addon.all(batch).await.expect("a removal");
            assert!(answers.iter().all(|answer| *answer == Answer::Done(true)));
            assert!(place.length() <= MOST);
        }
        assert_eq!(addon.usage(), Usage::default());
    }
}

#[tokio::test]
async fn what_expired_makes_room_in_a_full_file() {
    let mut place = Place::new();
    place.most = MOST;
    let bench = place.open().await;
    let addon = bench.addon("greedy", HUGE);
    let short = Some(Duration::from_secs(2));
    let mut kept = 0;
    let why = loop {
        let batch = (0..50).map(|part| (at(&format!("{kept}-{part}")), Op::Set(vec![7; 2_000].into(), short))).collect();
        match addon.all(batch).await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
        assert!(kept < 10_000);
    };
    assert!(matches!(&why, StoreError::Unavailable(why) if why.contains("no room")), "{why}");
    eventually(async || addon.usage().keys == 0).await;
    eventually(async || fill(&addon, "again", 1 << 20).await.is_ok()).await;
    assert!(place.length() <= MOST);
}

#[tokio::test]
async fn holes_between_values_are_room_for_small_ones() {
    let mut place = Place::new();
    place.most = MOST;
    let bench = place.open().await;
    let addon = bench.addon("greedy", HUGE);
    let kept = fill_up(&addon, 3_000).await;
    let batch = |from: usize| (from..kept.min(from + 200)).step_by(2).map(|number| (at(&format!("{number:06}")), Op::Delete));
    for from in (0..kept).step_by(200) {
        addon.all(batch(from).collect()).await.expect("a removal");
    }
    eventually(async || fill(&addon, "again", 3_000).await.is_ok()).await;
    // No two holes are side by side, and most are filled again.
    let mut more = 0;
    while fill(&addon, &format!("more-{more}"), 3_000).await.is_ok() {
        more += 1;
    }
    assert!(more > kept / 8, "{more} in place of {}", kept / 2);
    assert!(place.length() <= MOST);
}

#[tokio::test]
async fn a_full_disk_takes_nothing_that_was_answered() {
    let place = Place::new();
    let bench = place.open().await;
    let (greedy, modest) = (bench.addon("greedy", HUGE), bench.a());
    modest.set("old", "1").await;
    bench.store.flush().await;
    for round in 0..5 {
        let key = round.to_string();
        modest.set(&key, "1").await;
        place.faults.is_full.store(true, Relaxed);
        let mut refused = None;
        for part in 0..200 {
            if let Err(error) = fill(&greedy, &format!("large-{round}-{part}"), 1 << 20).await {
                refused = Some(error);
                break;
            }
        }
        assert!(matches!(&refused, Some(StoreError::Unavailable(why)) if why.contains("no room")), "{refused:?}");
        place.faults.is_full.store(false, Relaxed);
        assert_eq!((modest.get(&key).await, modest.get("old").await), (Some(value("1")), Some(value("1"))));
        eventually(async || fill(&greedy, &format!("large-{round}"), 1 << 20).await.is_ok()).await;
    }
    bench.store.flush().await;
    drop((greedy, modest, bench));
    let bench = place.open().await;
    for round in 0..5 {
        assert_eq!(bench.a().get(&round.to_string()).await, Some(value("1")));
    }
}

#[tokio::test]
async fn a_file_grows_up_to_its_limit_and_not_beyond() {
    // What the file would have after the next step, with a limit below, at and above that.
    let mut place = Place::new();
    place.most = MOST;
    let bench = place.open().await;
    let kept = fill_up(&bench.addon("greedy", HUGE), 30_000).await;
    let large =
        vec![(at("over"), Op::Set(vec![7; 1 << 20].into(), None)), (at("over-2"), Op::Set(vec![7; 1 << 20].into(), None))];
    let Err(StoreError::Unavailable(why)) = bench.addon("greedy", HUGE).all(large).await else { panic!("room") };
    let next: u64 = why.split(' ').find_map(|word| word.parse().ok()).expect("a number");
    drop(bench);
    for (most, is_more) in [(next - 1, false), (next, true), (next + 1, true)] {
        let mut place = Place::new();
        place.most = most;
        let bench = place.open().await;
        let held = fill_up(&bench.addon("greedy", HUGE), 30_000).await;
        assert_eq!(held > kept + kept / 2, is_more, "{held} with a limit of {most}, {kept} with {MOST}");
        assert!(place.length() <= most);
    }
}
