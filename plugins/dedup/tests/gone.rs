//! Posts whose entry is gone from the server.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod common;

use common::{ADA, HOME, boost, harness, message, passes, post, shown, stream};
use dedup::Dedup;
use tollgate_sdk::{
    serde_json::{Value, json},
    testing::Harness,
};

/// Ada has been shown entry 11, the boost of post 1.
fn boosted(options: Value) -> Harness<Dedup> {
    let harness = harness(options);
    assert_eq!(shown(&harness, HOME, ADA, &[boost("11", post("1", "a")), post("1", "a")]), ["11"]);
    harness
}

#[test]
fn another_entry_carries_what_lost_its_own() {
    let harness = boosted(json!({}));
    for _ in 0..2 {
        assert_eq!(shown(&harness, HOME, ADA, &[post("3", "c"), post("1", "a")]), ["3", "1"]);
    }
    // It is the one from then on, even when the boost comes back.
    assert_eq!(shown(&harness, HOME, ADA, &[boost("12", post("1", "a")), post("3", "c"), post("1", "a")]), ["3", "1"]);
}

#[test]
fn what_streams_brought_may_be_gone_too() {
    let harness = harness(json!({}));
    let mut flow = stream(&harness, "/api/v1/streaming");
    assert!(passes(&mut flow, message(&["user"], "update", &boost("11", post("1", "a")))));
    assert_eq!(shown(&harness, HOME, ADA, &[post("3", "c"), post("1", "a")]), ["3", "1"]);
}

#[test]
fn pages_that_span_the_place_tell() {
    for (query, top) in [("?max_id=30", "20"), ("?min_id=0&limit=3", "20"), ("?since_id=0", "3"), ("?limit=40", "12")] {
        let harness = boosted(json!({}));
        let items = [post(top, "t"), post("3", "c"), post("1", "a")];
        let items = if top == "3" { &items[1..] } else { &items };
        let shown = shown(&harness, &format!("{HOME}{query}"), ADA, items);
        assert_eq!(shown.last().map(String::as_str), Some("1"), "{query}");
    }
}

#[test]
fn others_tell_nothing() {
    let numbers = [post("20", "t"), post("3", "c"), post("1", "a")];
    // Below its place, above it, of what leaves out entries.
    for (query, items) in [
        ("?max_id=11", &numbers[1..]),
        ("?min_id=11", &[post("20", "t"), boost("13", post("1", "a"))]),
        ("", &[post("20", "t"), boost("13", post("1", "a")), post("12", "c")]),
        ("?only_media=true", &numbers),
        ("?%6dax_id=11", &numbers[1..]),
        // Not in order, or no numbers.
        ("", &[post("3", "c"), post("20", "t"), post("1", "a")]),
        ("", &[post("20", "t"), post("c", "c"), post("1", "a")]),
        ("", &[post("20", "t"), post("03", "c"), post("1", "a")]),
    ] {
        let harness = boosted(json!({}));
        let shown = shown(&harness, &format!("{HOME}{query}"), ADA, items);
        assert_eq!(shown.len(), items.len() - 1, "{query} {shown:?}");
    }
    for options in [json!({ "across_timelines": true }), json!({ "scope": "shared" }), json!({ "mode": "once" })] {
        let harness = boosted(options.clone());
        assert_eq!(shown(&harness, &format!("{HOME}?limit=9"), ADA, &numbers), ["20", "3"], "{options}");
    }
}
