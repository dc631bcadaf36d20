//! Pages over REST, in mode "entries".
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod common;

use std::time::Duration;

use common::{ADA, BOB, HOME, answer, ask, boost, edited, harness, ids, page, post, shown, uri};
use tollgate_sdk::{
    serde_json::{self, Value, json},
    testing::{Facts, HookFailure, TestRequest, TestResponse},
};

#[test]
fn boosts_of_shown_posts_are_dropped() {
    let harness = harness(json!({}));
    assert_eq!(shown(&harness, HOME, ADA, &[post("2", "b"), post("1", "a")]), ["2", "1"]);
    assert_eq!(shown(&harness, HOME, ADA, &[boost("4", post("1", "a")), post("3", "c")]), ["3"]);
}

#[test]
fn originals_of_shown_boosts_are_dropped() {
    let harness = harness(json!({}));
    assert_eq!(shown(&harness, HOME, ADA, &[boost("4", post("1", "a"))]), ["4"]);
    assert_eq!(shown(&harness, &format!("{HOME}?max_id=4"), ADA, &[post("3", "c"), post("1", "a")]), ["3"]);
    assert_eq!(shown(&harness, HOME, ADA, &[boost("5", post("1", "a")), boost("4", post("1", "a")), post("3", "c")]), ["4", "3"]);
}

#[test]
fn the_first_of_a_page_wins() {
    let harness = harness(json!({}));
    let items = [boost("4", post("1", "a")), post("3", "c"), boost("2", post("1", "a")), post("1", "a")];
    assert_eq!(shown(&harness, HOME, ADA, &items), ["4", "3"]);
}

#[test]
fn refreshes_show_what_they_showed() {
    let harness = harness(json!({}));
    let items = [boost("4", post("1", "a")), post("3", "c"), post("1", "a")];
    let first = shown(&harness, HOME, ADA, &items);
    assert_eq!(first, ["4", "3"]);
    for _ in 0..3 {
        // A reload, or a second tab.
        assert_eq!(shown(&harness, HOME, ADA, &items), first);
    }
    harness.pass(Duration::from_hours(1));
    assert_eq!(shown(&harness, HOME, ADA, &items), first);
    // The same further down, and with another cursor.
    let moved = [post("5", "e"), items[0].clone(), items[1].clone(), items[2].clone()];
    assert_eq!(shown(&harness, &format!("{HOME}?limit=40"), ADA, &moved), ["5", "4", "3"]);
    assert_eq!(shown(&harness, &format!("{HOME}?max_id=4"), ADA, &items[1..]), ["3"]);
}

#[test]
fn an_entry_twice_on_a_page_is_shown_once() {
    let harness = harness(json!({}));
    for _ in 0..2 {
        assert_eq!(shown(&harness, HOME, ADA, &[post("1", "a"), post("1", "a"), post("2", "b")]), ["1", "2"]);
    }
}

#[test]
fn quotes_and_replies_are_posts_of_their_own() {
    let harness = harness(json!({}));
    let mut quote = post("2", "b");
    quote["quote"] = json!({ "state": "accepted", "quoted_status": post("1", "a") });
    assert_eq!(shown(&harness, HOME, ADA, &[quote, post("1", "a")]), ["2", "1"]);
}

#[test]
fn users_have_seen_nothing_of_each_other() {
    let harness = harness(json!({}));
    assert_eq!(shown(&harness, HOME, ADA, &[post("1", "a")]), ["1"]);
    assert_eq!(shown(&harness, HOME, BOB, &[boost("2", post("1", "a")), post("3", "c")]), ["2", "3"]);
    assert_eq!(shown(&harness, HOME, ADA, &[boost("2", post("1", "a")), post("3", "c")]), ["3"]);
}

#[test]
fn tokens_count_wherever_they_are() {
    let harness = harness(json!({}));
    assert_eq!(shown(&harness, HOME, ADA, &[post("1", "a")]), ["1"]);
    let repeat = [boost("2", post("1", "a")), post("3", "c")];
    assert_eq!(shown(&harness, HOME, "bearer  ada-token", &repeat), ["3"]);
    assert_eq!(shown(&harness, &format!("{HOME}?limit=1&access_token=ada-token"), "", &repeat), ["3"]);
    // The field goes first, as upstream.
    assert_eq!(shown(&harness, &format!("{HOME}?access_token=ada-token"), BOB, &repeat), ["2", "3"]);
}

#[test]
fn without_a_token_nothing_is_touched() {
    let harness = harness(json!({ "explain": true }));
    for authorization in ["", "Basic YTpi", "[withheld]", "Bearer "] {
        for _ in 0..2 {
            let request = match authorization {
                "" => TestRequest::get(HOME),
                value => ask(HOME, value),
            };
            let done = answer(&harness, request, page(&[post("1", "a"), boost("2", post("1", "a"))]));
            assert_eq!((ids(&done).len(), done.header("x-tollgate-dedup")), (2, None), "{authorization}");
        }
    }
}

#[test]
fn shared_scope_is_one_for_all() {
    let harness = harness(json!({ "scope": "shared" }));
    assert_eq!(shown(&harness, "/api/v1/timelines/public", "", &[post("1", "a")]), ["1"]);
    let repeat = [boost("2", post("1", "a")), post("3", "c")];
    assert_eq!(shown(&harness, "/api/v1/timelines/public", BOB, &repeat), ["3"]);
}

#[test]
fn upstreams_are_apart() {
    let harness = harness(json!({}));
    assert_eq!(shown(&harness, HOME, ADA, &[post("1", "a")]), ["1"]);
    let other = TestRequest { upstream: "https://other.test".to_owned(), ..ask(HOME, ADA) };
    assert_eq!(ids(&answer(&harness, other, page(&[boost("2", post("1", "a")), post("3", "c")]))), ["2", "3"]);
}

#[test]
fn posts_are_forgotten_after_their_time() {
    let harness = harness(json!({ "ttl": "1h" }));
    let repeat = [boost("2", post("1", "a")), post("3", "c")];
    assert_eq!(shown(&harness, HOME, ADA, &[post("1", "a")]), ["1"]);
    harness.pass(Duration::from_secs(3599));
    // From the first sighting on: a refresh makes it no younger.
    assert_eq!(shown(&harness, HOME, ADA, &[post("1", "a")]), ["1"]);
    assert_eq!(shown(&harness, HOME, ADA, &repeat), ["3"]);
    harness.pass(Duration::from_secs(1));
    assert_eq!(shown(&harness, HOME, ADA, &repeat), ["2", "3"]);
}

#[test]
fn edits_make_posts_no_younger() {
    let harness = harness(json!({ "ttl": "1h" }));
    assert_eq!(shown(&harness, HOME, ADA, &[post("1", "a")]), ["1"]);
    harness.pass(Duration::from_mins(30));
    let facts = Facts::default();
    let harness = harness.with_facts(Facts { started: facts.started + 1_800_000_000_000, ..facts });
    assert_eq!(shown(&harness, HOME, ADA, &[boost("2", edited(post("1", "a"), 1))]), ["2"]);
    harness.pass(Duration::from_secs(30 * 60 - 1));
    let repeat = [boost("3", edited(post("1", "a"), 1)), post("9", "z")];
    assert_eq!(shown(&harness, HOME, ADA, &repeat), ["9"]);
    harness.pass(Duration::from_secs(1));
    assert_eq!(shown(&harness, HOME, ADA, &repeat), ["3", "9"]);
}

#[test]
fn surviving_items_are_the_upstreams_bytes() {
    let harness = harness(json!({}));
    let odd = r#"{ "z":1e3, "uri" : "https:\/\/posts.test\/odd" ,"id":"9", "big":12345678901234567890123, "a":"\u00e9\ud83e\udd8b", "z":2 }"#;
    let repeat = boost("2", post("1", "a")).to_string();
    assert_eq!(shown(&harness, HOME, ADA, &[post("1", "a")]), ["1"]);
    let body = format!(" [{odd} ,\n{repeat}, {} ]\n", post("3", "c"));
    let done = answer(&harness, ask(HOME, ADA), TestResponse::new(200).with_body(body));
    assert_eq!(done.text(), format!("[{odd},{}]", post("3", "c")));
}

#[test]
fn pages_without_repeats_are_not_edited() {
    let harness = harness(json!({}));
    let body = format!(" [\n {} , {}\t]\r\n", post("2", "b"), post("1", "a"));
    let response = TestResponse::new(200).with_header("ETag", "\"x\"").with_header("Content-Encoding", "gzip").with_body(body);
    let mut flow = harness.flow(ask(HOME, ADA));
    flow.response(response.clone()).expect("a verdict");
    // But for what caches are told.
    let private = response.with_header("Cache-Control", "private").with_header("Vary", "Authorization");
    assert_eq!(flow.staged_response(), private);
    let harness = common::harness(json!({ "scope": "shared" }));
    let mut flow = harness.flow(ask(HOME, ADA));
    flow.response(private.clone()).expect("a verdict");
    assert_eq!(flow.staged_response(), private);
    assert_eq!(flow.mutations(), []);
}

#[test]
fn cursors_stay_as_they_are() {
    let harness = harness(json!({}));
    assert_eq!(shown(&harness, HOME, ADA, &[post("1", "a")]), ["1"]);
    let response = page(&[boost("2", post("1", "a")), post("3", "c")]);
    let done = answer(&harness, ask(HOME, ADA), response.clone());
    assert_eq!((done.header("link"), ids(&done).len()), (response.header("link"), 1));
}

#[test]
fn a_feed_that_is_made_anew_is_filtered() {
    let harness = harness(json!({ "explain": true }));
    assert_eq!(shown(&harness, HOME, ADA, &[post("1", "a")]), ["1"]);
    let items = [boost("2", post("1", "a")), post("3", "c")];
    let response = TestResponse { status: 206, ..page(&items) }.with_header("ETag", "\"x\"").with_header("X-Other", "1");
    let done = answer(&harness, ask(HOME, ADA), response.clone());
    assert_eq!((done.status, ids(&done)), (206, vec!["3".to_owned()]));
    assert_eq!((done.header("x-other"), done.header("link")), (Some("1"), response.header("link")));
    assert_eq!(done.header("x-tollgate-dedup"), Some("kept=1 dropped=1"));
    // Parts of a whole, which can't be edited, are left alone.
    let response = response.with_header("Content-Range", "x");
    assert_eq!(answer(&harness, ask(HOME, ADA), response.clone()), response);
}

#[test]
fn other_answers_are_not_touched() {
    let harness = harness(json!({ "explain": true }));
    let items = [post("1", "a"), boost("2", post("1", "a"))];
    for status in [201, 202, 203, 299, 304, 401, 403, 404, 429, 500, 503] {
        let response = TestResponse { status, ..page(&items) };
        assert_eq!(answer(&harness, ask(HOME, ADA), response.clone()), response, "{status}");
    }
    for method in ["POST", "PUT", "DELETE", "HEAD", "get"] {
        let request = TestRequest { method: method.to_owned(), ..ask(HOME, ADA) };
        assert_eq!(answer(&harness, request, page(&items)), page(&items), "{method}");
    }
    for body in ["", "{}", r#"{"error":"The access token is invalid"}"#, "null", "[", "[{]", "[1,]", "\"[]\"", "[] []", "<html>"]
    {
        let response = TestResponse::new(200).with_body(body);
        assert_eq!(answer(&harness, ask(HOME, ADA), response.clone()), response, "{body}");
    }
    let response = TestResponse::new(200).with_body(&b"[\"\xff\"]"[..]);
    assert_eq!(answer(&harness, ask(HOME, ADA), response.clone()), response);
}

#[test]
fn items_without_identity_stay() {
    let harness = harness(json!({}));
    let odd =
        json!([null, 1, "a", [], {}, {"id": "1"}, {"id": 1, "uri": uri("a")}, {"id": "1", "uri": 7}, {"id": "1", "uri": null}]);
    let mut items: Vec<Value> = serde_json::from_value(odd).expect("an array");
    let twice: Vec<_> = items.iter().cloned().chain(items.iter().cloned()).collect();
    let done = answer(&harness, ask(HOME, ADA), TestResponse::new(200).with_json(&twice));
    assert_eq!(done.json::<Vec<Value>>(), twice);
    items.extend([post("1", "a"), boost("2", post("1", "a"))]);
    let done = answer(&harness, ask(HOME, ADA), TestResponse::new(200).with_json(&items));
    assert_eq!(done.json::<Vec<Value>>(), &items[..items.len() - 1]);
}

#[test]
fn what_was_done_is_told_on_demand() {
    let harness = harness(json!({ "explain": true }));
    let told = |items: &[Value]| answer(&harness, ask(HOME, ADA), page(items)).header("x-tollgate-dedup").map(str::to_owned);
    assert_eq!(told(&[post("1", "a"), post("2", "b")]).as_deref(), Some("kept=2 dropped=0"));
    assert_eq!(
        told(&[boost("3", post("1", "a")), boost("4", post("2", "b")), post("5", "e")]).as_deref(),
        Some("kept=1 dropped=2")
    );
    assert_eq!(told(&[boost("3", post("1", "a"))]).as_deref(), Some("kept=1 dropped=0"));
    assert_eq!(told(&[]).as_deref(), Some("kept=0 dropped=0"));
}

#[test]
fn without_a_store_the_failure_policy_decides() {
    let items = [post("1", "a"), boost("2", post("1", "a"))];
    let done = harness(json!({})).without_kv().exchange(ask(HOME, ADA), |_| page(&items));
    assert_eq!(done.response().status, 503);
    assert!(matches!(&done.failures[..], [HookFailure::Failed(error)] if error.to_string().starts_with("denied: kv")));
    let open = harness(json!({})).without_kv().fail_open();
    assert_eq!(open.exchange(ask(HOME, ADA), |_| page(&items)).response(), &page(&items));
}

#[test]
fn a_secret_that_is_none_is_named() {
    let harness = harness(json!({})).with_kv("secret", "1", "short");
    let done = harness.exchange(ask(HOME, ADA), |_| page(&[post("1", "a")]));
    assert_eq!(done.failures[0].to_string(), "failed: the secret in the store has 5 bytes, not 32");
}

#[test]
fn edited_posts_are_shown_again() {
    let harness = harness(json!({}));
    assert_eq!(shown(&harness, HOME, ADA, &[post("1", "a"), post("9", "z")]), ["1", "9"]);
    let again = [boost("2", edited(post("1", "a"), 1)), post("9", "z")];
    assert_eq!(shown(&harness, HOME, ADA, &again), ["2", "9"]);
    // Both stay, and the edit counts once.
    assert_eq!(shown(&harness, HOME, ADA, &[again[0].clone(), edited(post("1", "a"), 1)]), ["2", "1"]);
    assert_eq!(shown(&harness, HOME, ADA, &[boost("3", edited(post("1", "a"), 1)), post("9", "z")]), ["9"]);
    assert_eq!(shown(&harness, HOME, ADA, &[boost("3", edited(post("1", "a"), 2)), post("9", "z")]), ["3", "9"]);
}

#[test]
fn an_edit_that_was_shown_in_place_counts() {
    let harness = harness(json!({}));
    assert_eq!(shown(&harness, HOME, ADA, &[post("1", "a")]), ["1"]);
    assert_eq!(shown(&harness, HOME, ADA, &[edited(post("1", "a"), 5)]), ["1"]);
    assert_eq!(shown(&harness, HOME, ADA, &[boost("2", edited(post("1", "a"), 5)), post("9", "z")]), ["9"]);
}

#[test]
fn edits_change_nothing_where_they_are_hidden() {
    let harness = harness(json!({ "edits": "hide" }));
    assert_eq!(shown(&harness, HOME, ADA, &[post("1", "a")]), ["1"]);
    assert_eq!(shown(&harness, HOME, ADA, &[boost("2", edited(post("1", "a"), 1)), post("9", "z")]), ["9"]);
    assert_eq!(shown(&harness, HOME, ADA, &[edited(post("1", "a"), 1)]), ["1"]);
}

#[test]
fn only_the_last_eight_deliveries_are_remembered() {
    let harness = harness(json!({}));
    for second in 0..9 {
        let entry = boost(&format!("b{second}"), edited(post("1", "a"), second));
        assert_eq!(shown(&harness, HOME, ADA, &[entry, post("9", "z")]).len(), 2, "{second}");
        if second == 7 {
            let first = boost("b0", edited(post("1", "a"), 7));
            assert_eq!(shown(&harness, HOME, ADA, &[first, post("9", "z")]), ["b0", "9"]);
        }
    }
    let (first, second) = (boost("b0", edited(post("1", "a"), 8)), boost("b1", edited(post("1", "a"), 8)));
    assert_eq!(shown(&harness, HOME, ADA, &[first, second, post("9", "z")]), ["b1", "9"]);
}

#[test]
fn hidden_boosts_are_never_seen() {
    let harness = harness(json!({ "boosts": "hide-all" }));
    assert_eq!(shown(&harness, HOME, ADA, &[boost("2", post("1", "a")), post("3", "c")]), ["3"]);
    assert_eq!(shown(&harness, HOME, ADA, &[boost("2", post("1", "a")), post("1", "a")]), ["1"]);
}

#[test]
fn kept_boosts_count_for_nothing() {
    let harness = harness(json!({ "boosts": "keep" }));
    let items = [boost("3", post("1", "a")), boost("2", post("1", "a")), post("1", "a")];
    assert_eq!(shown(&harness, HOME, ADA, &items), ["3", "2", "1"]);
    assert_eq!(shown(&harness, HOME, ADA, &[post("4", "a"), post("9", "z")]), ["9"]);
}

#[test]
fn originals_are_preferred_within_a_page() {
    let harness = harness(json!({ "prefer": "original" }));
    let items = [boost("3", post("1", "a")), post("2", "b"), post("1", "a")];
    for _ in 0..2 {
        assert_eq!(shown(&harness, HOME, ADA, &items), ["2", "1"]);
    }
    // But not over what was shown before.
    assert_eq!(shown(&harness, HOME, ADA, &[boost("6", post("5", "e"))]), ["6"]);
    assert_eq!(shown(&harness, HOME, ADA, &[boost("6", post("5", "e")), post("5", "e")]), ["6"]);
}

#[test]
fn judged_pages_are_private() {
    for (before, after) in [
        (None, "private"),
        (Some("public, max-age=15, s-maxage=60"), "max-age=15, private"),
        (Some("Private, no-store"), "Private, no-store"),
        (Some("no-store"), "no-store, private"),
    ] {
        let upstream = page(&[post("1", "a")]).with_header("Vary", "Accept-Language, Origin");
        let upstream = before.into_iter().fold(upstream, |response, value| response.with_header("Cache-Control", value));
        let harness = harness(json!({}));
        let done = answer(&harness, ask(HOME, ADA), upstream.clone());
        assert_eq!(done.header("cache-control"), Some(after), "{before:?}");
        assert_eq!(done.header("vary"), Some("Accept-Language, Origin, Authorization"), "{before:?}");
        // Not what was not judged, or is for all.
        assert_eq!(answer(&harness, TestRequest::get(HOME), upstream.clone()), upstream);
        assert_eq!(answer(&common::harness(json!({ "scope": "shared" })), ask(HOME, ADA), upstream.clone()), upstream);
    }
}
