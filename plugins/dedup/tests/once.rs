//! Mode "once".
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod common;

use common::{ADA, BOB, HOME, boost, edited, harness, message, passes, post, shown, stream};
use dedup::Dedup;
use tollgate_sdk::{
    serde_json::{Value, json},
    testing::{Facts, Harness},
};

/// Some seconds later.
fn later(harness: Harness<Dedup>, seconds: u64) -> Harness<Dedup> {
    let facts = Facts::default();
    harness.with_facts(Facts { started: facts.started + seconds * 1_000_000_000, ..facts })
}

fn once(more: &Value) -> Harness<Dedup> {
    let mut options = json!({ "mode": "once", "empty_page": "empty" });
    for (key, value) in more.as_object().into_iter().flatten() {
        options[key] = value.clone();
    }
    harness(options)
}

#[test]
fn second_sightings_are_dropped() {
    let harness = once(&json!({}));
    assert_eq!(shown(&harness, HOME, ADA, &[post("2", "b"), post("1", "a")]), ["2", "1"]);
    let other = format!("{HOME}?max_id=3");
    assert_eq!(shown(&harness, &other, ADA, &[post("3", "c"), post("2", "b"), boost("4", post("1", "a"))]), ["3"]);
    assert_eq!(shown(&harness, HOME, BOB, &[post("2", "b")]), ["2"]);
}

#[test]
fn pages_are_given_again_within_the_window() {
    let items = [post("2", "b"), boost("4", post("1", "a")), post("1", "a")];
    let harness = once(&json!({ "replay_window": "1m" }));
    assert_eq!(shown(&harness, HOME, ADA, &items), ["2", "4"]);
    let harness = later(harness, 59);
    assert_eq!(shown(&harness, HOME, ADA, &items), ["2", "4"]);
    // What is new comes on top, and has a window of its own.
    let more = [post("5", "e"), items[0].clone(), items[1].clone()];
    assert_eq!(shown(&harness, HOME, ADA, &more), ["5", "2", "4"]);
    let harness = later(harness, 60);
    assert_eq!(shown(&harness, HOME, ADA, &more), ["5", "2", "4"]);
    let harness = later(harness, 61);
    assert_eq!(shown(&harness, HOME, ADA, &more), ["5"]);
    let harness = later(harness, 120);
    assert_eq!(shown(&harness, HOME, ADA, &more), Vec::<String>::new());
}

#[test]
fn tokens_are_no_part_of_a_cursor() {
    let harness = once(&json!({}));
    let path = |more: &str| format!("{HOME}?limit=2&max_id=5{more}");
    assert_eq!(shown(&harness, &path(""), ADA, &[post("1", "a")]), ["1"]);
    assert_eq!(shown(&harness, &path("&access_token=ada-token"), "", &[post("1", "a")]), ["1"]);
    assert_eq!(shown(&harness, &path("&min_id=1"), ADA, &[post("1", "a")]), Vec::<String>::new());
}

#[test]
fn without_a_window_nothing_comes_twice() {
    let harness = once(&json!({ "replay_window": "0s" }));
    assert_eq!(shown(&harness, HOME, ADA, &[post("1", "a")]), ["1"]);
    let harness = later(harness, 1);
    assert_eq!(shown(&harness, HOME, ADA, &[post("1", "a")]), Vec::<String>::new());
}

#[test]
fn edits_come_again_as_they_are_wanted() {
    for (edits, expected) in [("show", &["1"][..]), ("hide", &[])] {
        let harness = once(&json!({ "edits": edits }));
        assert_eq!(shown(&harness, HOME, ADA, &[post("1", "a")]), ["1"]);
        let other = format!("{HOME}?max_id=3");
        for _ in 0..2 {
            // The page with the edit is given again, too.
            assert_eq!(shown(&harness, &other, ADA, &[edited(post("1", "a"), 1)]), expected);
        }
        assert_eq!(shown(&harness, &format!("{HOME}?max_id=4"), ADA, &[edited(post("1", "a"), 1)]), Vec::<String>::new());
    }
}

#[test]
fn streams_and_pages_share_what_was_seen() {
    let harness = once(&json!({}));
    let mut flow = stream(&harness, "/api/v1/streaming");
    assert!(passes(&mut flow, message(&["user"], "update", &post("1", "a"))));
    assert!(!passes(&mut flow, message(&["user"], "update", &post("1", "a"))));
    assert!(!passes(&mut stream(&harness, "/api/v1/streaming"), message(&["user"], "update", &post("1", "a"))));
    assert_eq!(shown(&harness, HOME, ADA, &[post("1", "a"), post("2", "b")]), ["2"]);
    assert!(!passes(&mut flow, message(&["user"], "update", &post("2", "b"))));
}

#[test]
fn deleted_posts_are_forgotten() {
    let harness = once(&json!({}));
    assert_eq!(shown(&harness, HOME, ADA, &[boost("2", post("1", "a"))]), ["2"]);
    let mut flow = stream(&harness, "/api/v1/streaming");
    assert!(passes(&mut flow, json!({ "stream": ["user"], "event": "delete", "payload": "2" })));
    assert_eq!(shown(&harness, &format!("{HOME}?max_id=9"), ADA, &[boost("3", post("1", "a"))]), ["3"]);
}

#[test]
fn modes_know_nothing_of_each_other() {
    // The same store, as after a change of options.
    let entries = harness(json!({}));
    assert_eq!(shown(&entries, HOME, ADA, &[post("1", "a")]), ["1"]);
    let secret = entries.kv("secret", "1").expect("a secret");
    let once = once(&json!({})).with_kv("secret", "1", secret);
    assert_eq!(shown(&once, HOME, ADA, &[post("1", "a")]), ["1"]);
}
