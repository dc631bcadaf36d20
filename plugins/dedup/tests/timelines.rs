//! What is a timeline, and which are the same.
#![allow(clippy::indexing_slicing, reason = "helpers of tests")]

mod common;

use common::{ADA, HOME, answer, ask, boost, harness, page, post, shown};
use tollgate_sdk::serde_json::json;

/// Whether what was shown at one path is a repeat at another.
fn is_same(options: &tollgate_sdk::serde_json::Value, one: &str, other: &str) -> bool {
    let harness = harness(options.clone());
    assert_eq!(shown(&harness, one, ADA, &[post("1", "a")]), ["1"], "{one}");
    let there = shown(&harness, other, ADA, &[boost("2", post("1", "a")), post("3", "c")]);
    assert_eq!(there.last().map(String::as_str), Some("3"));
    there.len() == 1
}

#[test]
fn each_timeline_is_filtered_on_its_own() {
    let all = [
        HOME,
        "/api/v1/timelines/public",
        "/api/v1/timelines/public?local=true",
        "/api/v1/timelines/public?remote=true",
        "/api/v1/timelines/tag/moths",
        "/api/v1/timelines/tag/owls",
        "/api/v1/timelines/list/1",
        "/api/v1/timelines/list/2",
        "/api/v1/timelines/link?url=https%3A%2F%2Fnews.test%2F1",
        "/api/v1/timelines/link?url=https%3A%2F%2Fnews.test%2F2",
        "/api/v1/trends/statuses",
    ];
    for one in all {
        for other in all {
            assert_eq!(is_same(&json!({}), one, other), one == other, "{one} {other}");
            assert!(is_same(&json!({ "across_timelines": true }), one, other), "{one} {other}");
        }
    }
}

#[test]
fn the_same_timeline_is_known_by_other_names() {
    for (one, other) in [
        (HOME, "/api/v1/timelines/%68ome?limit=40"),
        ("/api/v1/timelines/public", "/api/v1/timelines/public?local=false&only_media=true"),
        ("/api/v1/timelines/public", "/api/v1/timelines/public?local=true&remote=1"),
        ("/api/v1/timelines/public?local=1", "/api/v1/timelines/public?local=t&remote=0"),
        ("/api/v1/timelines/tag/Moths", "/api/v1/timelines/tag/mOTHS?any[]=owls"),
        ("/api/v1/timelines/tag/%C3%84hre", "/api/v1/timelines/tag/%C3%A4hre"),
        ("/api/v1/timelines/link?url=https://n.test/?a%2Bb", "/api/v1/timelines/link?limit=1&url=https%3A//n.test/%3Fa%2Bb"),
        ("/api/v1/trends/statuses?offset=20", "/api/v1/trends/statuses"),
    ] {
        assert!(is_same(&json!({}), one, other), "{one} {other}");
    }
}

#[test]
fn nothing_else_is_a_timeline() {
    let harness = harness(json!({ "explain": true }));
    for path in [
        "/",
        "/api/v1/timelines",
        "/api/v1/timelines/home/",
        "/api/v1/timelines/home/x",
        "/api/v1/timelines/homes",
        "/api/v1/timelines/Home",
        "/api/v2/timelines/home",
        "/x/api/v1/timelines/home",
        "//api/v1/timelines/home",
        "/api/v1/timelines%2Fhome",
        "/api/v1/timelines/direct",
        "/api/v1/timelines/tag",
        "/api/v1/timelines/tag/",
        "/api/v1/timelines/tag/a/b",
        "/api/v1/timelines/tag/%FF",
        "/api/v1/timelines/list",
        "/api/v1/timelines/list/",
        "/api/v1/timelines/list/1/accounts",
        "/api/v1/timelines/link",
        "/api/v1/timelines/link?url=",
        "/api/v1/trends",
        "/api/v1/trends/tags",
        "/api/v1/trends/links",
        "/api/v1/statuses/1",
        "/api/v1/statuses/1/context",
        "/api/v1/accounts/1/statuses",
        "/api/v1/bookmarks",
        "/api/v1/favourites",
        "/api/v1/notifications",
        "/api/v1/conversations",
        "/api/v2/search",
        "/api/v1/instance/peers",
    ] {
        let response = page(&[post("1", "a"), boost("2", post("1", "a"))]);
        assert_eq!(answer(&harness, ask(path, ADA), response.clone()), response, "{path}");
    }
}

#[test]
fn timelines_that_are_off_are_not_filtered() {
    let options = json!({ "timelines": ["home", "list"] });
    assert!(is_same(&options, HOME, HOME));
    assert!(is_same(&options, "/api/v1/timelines/list/1", "/api/v1/timelines/list/1"));
    for path in ["/api/v1/timelines/public", "/api/v1/timelines/tag/a", "/api/v1/timelines/link?url=a", "/api/v1/trends/statuses"]
    {
        assert!(!is_same(&options, path, path), "{path}");
    }
}
