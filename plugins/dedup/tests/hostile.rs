//! Servers that mean no good, and many at one time.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod common;

use std::{collections::BTreeSet, sync::Barrier, thread, time::Instant};

use common::{ADA, HOME, answer, ask, boost, harness, ids, message, page, passes, post, shown, stream};
use dedup::Dedup;
use tollgate_sdk::{
    serde_json::{Value, json},
    testing::{Harness, TestResponse},
};

#[test]
fn pages_over_the_cap_pass_unseen() {
    let harness = harness(json!({ "explain": true }));
    for size in [4 << 20, (4 << 20) + 1, 40 << 20] {
        let start = format!("[{},{},\"", post("1", "a"), boost("2", post("1", "a")));
        let body = format!("{start}{}\"]", "x".repeat(size - start.len() - 2));
        assert_eq!(body.len(), size);
        let done = answer(&harness, ask(HOME, ADA), TestResponse::new(200).with_body(body));
        let is_seen = size <= 4 << 20;
        assert_eq!(done.header("x-tollgate-dedup").is_some(), is_seen, "{size}");
        assert_eq!(done.body.len() < size, is_seen);
    }
}

#[test]
fn long_pages_pass_as_they_are() {
    for count in [199, 200, 201, 1000] {
        let harness = harness(json!({}));
        let items: Vec<Value> = (0..count).map(|id| post(&id.to_string(), "a")).collect();
        let expected = if count <= 200 { 1 } else { count };
        assert_eq!(shown(&harness, HOME, ADA, &items).len(), expected, "{count}");
    }
    let many = format!("[{}0]", "0,".repeat(1 << 20));
    assert_eq!(answer(&harness(json!({})), ask(HOME, ADA), TestResponse::new(200).with_body(many.clone())).text(), many);
}

#[test]
fn deep_pages_neither_break_nor_are_broken() {
    let harness = harness(json!({}));
    let (open, close) = ("[".repeat(10_000), "]".repeat(10_000));
    let deep = format!("{open}{close}");
    let body = format!("[{deep},{},{}]", post("1", "a"), boost("2", post("1", "a")));
    let done = answer(&harness, ask(HOME, ADA), TestResponse::new(200).with_body(body));
    assert_eq!(done.text(), format!("[{deep},{}]", post("1", "a")));
    let within = format!(r#"{{"id":"3","uri":"c","x":{deep},"reblog":null}}"#);
    let body = format!("[{within},{}]", within.replace("\"3\"", "\"4\""));
    let done = answer(&harness, ask(HOME, ADA), TestResponse::new(200).with_body(body));
    assert_eq!(done.text(), format!("[{within}]"));
    let alone = answer(&harness, ask(HOME, ADA), TestResponse::new(200).with_body(open.clone()));
    assert_eq!(alone.text(), open);
    let mut flow = stream(&harness, "/api/v1/streaming");
    assert!(passes(&mut flow, format!(r#"{{"stream":["user"],"event":"update","payload":{deep}}}"#)));
    let nested = format!("{}1{}", r#"{"urls":"#.repeat(10_000), "}".repeat(10_000));
    let done = answer(&harness, ask("/api/v1/instance", ""), TestResponse::new(200).with_body(nested.clone()));
    assert_eq!(done.text(), nested);
}

#[test]
fn items_that_can_be_read_in_two_ways_stay() {
    let harness = harness(json!({}));
    assert_eq!(shown(&harness, HOME, ADA, &[post("1", "a")]), ["1"]);
    let uri = common::uri("a");
    let items = [
        format!(r#"{{"id":"2","uri":"x","uri":"{uri}"}}"#),
        format!(r#"{{"id":"2","id":"3","uri":"{uri}"}}"#),
        format!(r#"{{"id":"2","uri":"{uri}","reblog":null,"reblog":{{"uri":"x"}}}}"#),
    ];
    let body = format!("[{}]", items.join(","));
    assert_eq!(answer(&harness, ask(HOME, ADA), TestResponse::new(200).with_body(body.clone())).text(), body);
}

#[test]
fn names_of_any_size_are_names() {
    let harness = harness(json!({}));
    let long = "9".repeat(1 << 19);
    let mut huge = post(&long, "a");
    huge["uri"] = json!(long);
    let sizes = |items: &[Value]| shown(&harness, HOME, ADA, items).iter().map(String::len).collect::<Vec<_>>();
    assert_eq!(sizes(&[huge.clone(), post("1", "a")]), [1 << 19, 1]);
    let mut again = huge.clone();
    again["id"] = json!(format!("{long}8"));
    assert_eq!(sizes(&[huge, again]), [1 << 19]);
    let tag = format!("/api/v1/timelines/tag/{}", "x".repeat(60_000));
    assert_eq!(shown(&harness, &tag, ADA, &[post("1", "a"), boost("2", post("1", "a"))]), ["1"]);
}

#[test]
fn nothing_of_a_user_is_kept_or_logged() {
    let harness = harness(json!({}));
    let done = harness.exchange(ask(&format!("{HOME}?access_token=hunter2"), ""), |_| page(&[post("1", "a")]));
    assert_eq!((done.log, done.notes.len()), (Vec::new(), 0));
    let request = ask(&format!("{HOME}?access_token=hunter2"), "");
    let failed = harness.without_kv().exchange(request, |_| page(&[post("1", "a")]));
    let told = format!("{:?} {:?} {:?}", failed.failures, failed.log, failed.received);
    assert!(failed.failures.len() == 1 && !told.contains("hunter2"), "{told}");
}

#[test]
fn many_at_one_time_see_the_same() {
    for mode in ["entries", "once"] {
        let harness = harness(json!({ "mode": mode }));
        let items: Vec<Value> = (0..20)
            .flat_map(|id| {
                [boost(&format!("b{id}"), post(&id.to_string(), &id.to_string())), post(&id.to_string(), &id.to_string())]
            })
            .collect();
        let seen: BTreeSet<Vec<String>> = thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(|| shown(&harness, HOME, ADA, &items))).collect();
            all.into_iter().map(|one| one.join().expect("no panic")).collect()
        });
        assert_eq!(seen.len(), 1, "{mode}: {seen:?}");
        assert_eq!(seen.first().map(Vec::len), Some(20));
    }
}

/// Two full pages of other boosts of the same posts, asked for at one time: names of the posts that each shows.
fn at_one_time(harness: &Harness<Dedup>, pages: &[Vec<Value>; 2]) -> [BTreeSet<String>; 2] {
    let start = Barrier::new(2);
    thread::scope(|scope| {
        let all = pages.each_ref().map(|items| {
            scope.spawn(|| {
                start.wait();
                let shown = shown(harness, HOME, ADA, items);
                shown.into_iter().map(|id| id.split_once('-').expect("a dash").1.to_owned()).collect()
            })
        });
        all.map(|one| one.join().expect("no panic"))
    })
}

fn boosts(name: &str) -> Vec<Value> {
    (0..200).map(|id| boost(&format!("{name}-{id}"), post(&id.to_string(), &id.to_string()))).collect()
}

#[test]
fn of_two_entries_at_one_time_one_wins() {
    for _ in 0..10 {
        let harness = harness(json!({ "empty_page": "empty" }));
        let pages = [boosts("a"), boosts("b")];
        let [one, other] = at_one_time(&harness, &pages);
        assert!(one.is_disjoint(&other), "{:?}", one.intersection(&other).collect::<Vec<_>>());
        assert_eq!(one.len() + other.len(), 200);
        // And they stay so.
        assert_eq!(at_one_time(&harness, &pages), [one, other]);
    }
}

#[test]
fn of_two_that_follow_a_deleted_one_wins() {
    for _ in 0..10 {
        let harness = harness(json!({ "empty_page": "empty" }));
        assert_eq!(shown(&harness, HOME, ADA, &boosts("first")).len(), 200);
        let mut flow = stream(&harness, "/api/v1/streaming");
        for id in 0..200 {
            assert!(passes(&mut flow, json!({ "stream": ["user"], "event": "delete", "payload": format!("first-{id}") })));
        }
        let [one, other] = at_one_time(&harness, &[boosts("a"), boosts("b")]);
        assert!(one.is_disjoint(&other), "{:?}", one.intersection(&other).collect::<Vec<_>>());
        assert_eq!(one.len() + other.len(), 200);
    }
}

#[test]
fn pages_are_judged_in_a_moment() {
    let harness = harness(json!({}));
    let items: Vec<Value> = (0..20).map(|id| post(&id.to_string(), &id.to_string())).collect();
    let response = page(&items);
    let (bytes, rounds) = (response.body.len(), 50);
    let started = Instant::now();
    for _ in 0..rounds {
        assert_eq!(ids(&answer(&harness, ask(HOME, ADA), response.clone())).len(), 20);
    }
    println!("{:?} for a page of {bytes} bytes, natively, with what the test itself does", started.elapsed() / rounds);
    assert!(passes(&mut stream(&harness, "/api/v1/streaming"), message(&["user"], "update", &items[0])));
}
