use std::time::Duration;

use super::*;

fn named(name: &str) -> Arc<str> {
    name.into()
}

/// Seats divided among `count` addons, `0`, `1` and so on.
fn divided(all: u32, count: u32) -> (Arc<Seats>, Vec<Arc<str>>) {
    let seats = Seats::new(all);
    let names: Vec<_> = (0..count).map(|number| named(&number.to_string())).collect();
    let addons: Vec<_> = names.iter().map(|name| (Arc::clone(name), all)).collect();
    seats.divide(&addons);
    (seats, names)
}

/// As many as it gets.
fn all_of(seats: &Arc<Seats>, name: &Arc<str>) -> Vec<Seat> {
    std::iter::from_fn(|| seats.take(name, u32::MAX).ok()).collect()
}

#[test]
fn greedy_addons_leave_each_other_their_own() {
    for (all, count, own) in
        [(2_000, 1, 1_000), (2_000, 2, 500), (2_000, 5, 200), (2_000, 9, 111), (9, 9, 1), (10, 9, 1), (1, 1, 1)]
    {
        let (seats, names) = divided(all, count);
        let Some((last, others)) = names.split_last() else { continue };
        let held: Vec<_> = others.iter().map(|name| all_of(&seats, name)).collect();
        let taken: usize = held.iter().map(Vec::len).sum();
        assert_eq!(seats.share(last).own, own, "{all} {count}");
        let got = all_of(&seats, last);
        assert!(got.len() >= own as usize, "{all} {count}: {} of {own}", got.len());
        assert_eq!(taken + got.len(), all as usize, "{all} {count}");
        drop((held, got));
        assert_eq!(seats.table.lock().common_taken, 0);
    }
}

#[test]
fn a_lonely_addon_has_all() {
    let (seats, names) = divided(2_000, 1);
    assert_eq!(names.first().map(|name| all_of(&seats, name).len()), Some(2_000));
}

#[test]
fn crowds_share_all() {
    let (seats, names) = divided(3, 4);
    assert_eq!(names.first().map(|name| (seats.share(name), all_of(&seats, name).len())), Some((Share { own: 0, common: 3 }, 3)));
}

#[test]
fn a_small_budget_leaves_the_rest_of_its_own_to_all() {
    let seats = Seats::new(100);
    let [few, many] = ["few", "many"].map(named);
    seats.divide(&[(Arc::clone(&few), 3), (Arc::clone(&many), 100)]);
    assert_eq!((seats.share(&few), seats.share(&many)), (Share { own: 3, common: 72 }, Share { own: 25, common: 72 }));
    let held: Vec<_> = std::iter::from_fn(|| seats.take(&few, 3).ok()).collect();
    assert_eq!((held.len(), seats.take(&few, 3).err()), (3, Some(Full::Addon(3))));
    assert_eq!(all_of(&seats, &many).len(), 97);
}

#[test]
fn what_was_taken_before_a_change_counts_after_it() {
    let (seats, names) = divided(8, 1);
    let Some(old) = names.first() else { return };
    let held = all_of(&seats, old);
    let new = named("new");
    seats.divide(&[(Arc::clone(old), 8), (Arc::clone(&new), 8)]);
    // Those who sit stay until they go; then the other's own come first.
    assert_eq!(seats.take(&new, 8).err(), Some(Full::All(Share { own: 2, common: 4 })));
    let mut held = held.into_iter();
    drop(held.next());
    assert!(seats.take(old, 8).is_err());
    let first = seats.take(&new, 8);
    assert!(first.is_ok());
    drop(held.next());
    assert!(seats.take(old, 8).is_err() && seats.take(&new, 8).is_ok());
    seats.divide(&[]);
    drop((held, first));
    let table = seats.table.lock();
    assert_eq!((table.rows.len(), table.taken, table.common_taken), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_who_wait_are_seated() {
    const WAITERS: usize = 64;
    for round in 0..50 {
        // One addon is held to its budget, the other by what all share.
        let seats = Seats::new(4);
        let [few, many] = ["few", "many"].map(named);
        seats.divide(&[(Arc::clone(&few), 2), (Arc::clone(&many), 4)]);
        let deadline = Instant::now() + Duration::from_secs(30);
        let waiters = (0..WAITERS).map(|number| {
            let (seats, name, most) = if number % 2 == 0 {
                (Arc::clone(&seats), Arc::clone(&few), 2)
            } else {
                (Arc::clone(&seats), Arc::clone(&many), 4)
            };
            tokio::spawn(async move {
                let seat = seats.take_in_time(&name, most, deadline).await;
                // Some sit for a while, some go at once, and some have gone before they are called.
                for _ in 0..number % 3 {
                    tokio::task::yield_now().await;
                }
                seat.is_ok()
            })
        });
        let leaving = (0..WAITERS).map(|_| {
            let (seats, few) = (Arc::clone(&seats), Arc::clone(&few));
            tokio::spawn(async move { seats.take_in_time(&few, 2, Instant::now() + Duration::from_micros(round)).await.is_ok() })
        });
        let (waiters, leaving): (Vec<_>, Vec<_>) = (waiters.collect(), leaving.collect());
        for waiter in waiters {
            assert!(waiter.await.expect("a waiter"), "one was forgotten in round {round}");
        }
        for one in leaving {
            let _ = one.await.expect("a waiter");
        }
        let table = seats.table.lock();
        assert_eq!((table.taken, table.common_taken, table.waiting), (0, 0, 0), "round {round}");
    }
}

#[tokio::test]
async fn waiting_has_an_end() {
    let (seats, names) = divided(1, 1);
    let Some(name) = names.first() else { return };
    let held = seats.take(name, 1);
    let deadline = || Instant::now() + Duration::from_millis(10);
    assert_eq!(seats.take_in_time(name, 1, deadline()).await.err(), Some(Full::Addon(1)));
    drop(held);
    assert!(seats.take_in_time(name, 1, deadline()).await.is_ok());
    assert_eq!(seats.table.lock().waiting, 0);
}
