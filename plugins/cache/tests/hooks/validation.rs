//! RFC 9111, 4.3: conditional requests of clients and of the cache, and HEAD.

use tollgate_sdk::{
    serde_json::json,
    testing::{TestRequest, TestResponse},
};

use crate::common::{Stage, fresh, saying, status};

const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

fn tagged() -> TestResponse {
    fresh("old").with_header("ETag", "\"a\"").with_header("Last-Modified", MODIFIED).with_header("X-A", "1")
}

#[test]
fn clients_that_have_it_get_304() {
    let stage = Stage::new(json!({}));
    stage.tell(TestRequest::get("/"), tagged());
    for (name, value, expected) in [
        ("If-None-Match", "\"a\"", 304),
        ("If-None-Match", "W/\"a\"", 304),
        ("If-None-Match", "\"b\"", 200),
        ("If-Modified-Since", MODIFIED, 304),
        ("If-Modified-Since", "Sun, 06 Nov 1994 08:49:36 GMT", 200),
    ] {
        let done = stage.ask(TestRequest::get("/").with_header(name, value), fresh("new"));
        let response = done.response();
        assert_eq!((response.status, stage.asked()), (expected, 1), "{name}: {value}");
        if expected == 304 {
            assert_eq!((response.text(), response.header("etag"), response.header("x-a")), ("", Some("\"a\""), None));
            assert_eq!(response.header("cache-control"), Some("max-age=60"));
        }
    }
}

#[test]
fn stale_answers_are_validated() {
    let stage = Stage::new(json!({}));
    stage.tell(TestRequest::get("/"), tagged());
    stage.pass(61);
    let renewed =
        TestResponse::new(304).with_header("ETag", "\"a\"").with_header("X-A", "2").with_header("Cache-Control", "max-age=30");
    let done = stage.ask(TestRequest::get("/"), renewed);
    let sent = stage.last();
    assert_eq!((sent.header("if-none-match"), sent.header("if-modified-since")), (Some("\"a\""), Some(MODIFIED)));
    let response = done.response();
    assert_eq!((response.status, response.text(), response.header("x-a")), (200, "old", Some("2")));
    assert_eq!((status(&done), response.header("age")), ("tollgate; fwd=stale; fwd-status=304; stored", Some("0")));
    stage.pass(29);
    let done = stage.ask(TestRequest::get("/"), fresh("new"));
    assert_eq!((done.response().text(), done.response().header("x-a"), stage.asked()), ("old", Some("2"), 2));
    stage.pass(1);
    assert_eq!((stage.get("/").as_str(), stage.get("/").as_str(), stage.asked()), ("new", "new", 3));
}

#[test]
fn clients_conditions_stay_theirs() {
    // The client asks about "b", the cache about "a": what the upstream says is about "a".
    for (wanted, expected) in [("\"b\"", 200), ("\"a\"", 304), ("\"b\", \"a\"", 304)] {
        let stage = Stage::new(json!({}));
        stage.tell(TestRequest::get("/"), tagged());
        stage.pass(61);
        let asks = TestRequest::get("/").with_header("If-None-Match", wanted).with_header("If-Modified-Since", MODIFIED);
        let done = stage.ask(asks, TestResponse::new(304).with_header("ETag", "\"a\""));
        assert_eq!(stage.last().header_values("if-none-match"), [b"\"a\""]);
        assert_eq!(done.response().status, expected, "{wanted}");
    }
}

#[test]
fn answers_that_always_want_it_are_validated() {
    let stage = Stage::new(json!({}));
    for control in ["max-age=60, no-cache", "max-age=0"] {
        let path = format!("/{control}").replace(", ", "-");
        stage.tell(TestRequest::get(&path), saying(control, "old").with_header("ETag", "\"a\""));
        for _ in 0..2 {
            let done = stage.ask(TestRequest::get(&path), TestResponse::new(304));
            assert_eq!((done.response().status, done.response().text()), (200, "old"), "{control}");
        }
    }
    assert_eq!(stage.asked(), 6);
}

#[test]
fn a_304_that_nobody_asked_for_is_not_kept() {
    let stage = Stage::new(json!({}));
    let asks = TestRequest::get("/").with_header("If-None-Match", "\"x\"");
    let done = stage.ask(asks, TestResponse::new(304).with_header("Cache-Control", "max-age=60"));
    assert_eq!(done.response().status, 304);
    assert_eq!(stage.last().header("if-none-match"), Some("\"x\""));
    assert_eq!((stage.get("/").as_str(), stage.asked()), ("new", 2));
}

#[test]
fn another_answer_replaces_what_was_kept() {
    let stage = Stage::new(json!({}));
    stage.tell(TestRequest::get("/"), tagged());
    stage.pass(61);
    assert_eq!(stage.body(TestRequest::get("/")), "new");
    assert_eq!((stage.get("/").as_str(), stage.asked()), ("new", 2));
    // And what may not be kept removes it.
    let no_cache = || TestRequest::get("/").with_header("Cache-Control", "no-cache");
    stage.tell(no_cache(), saying("no-store", "secret"));
    stage.tell(TestRequest::get("/"), saying("no-store", "newer"));
    assert_eq!(stage.asked(), 4);
}

#[test]
fn heads_are_answered_from_gets_alone() {
    let stage = Stage::new(json!({}));
    let head = || TestRequest::new("HEAD", "/");
    stage.tell(head(), fresh(""));
    assert_eq!((stage.body(TestRequest::get("/")).as_str(), stage.asked()), ("new", 2));
    let done = stage.ask(head(), fresh(""));
    assert_eq!((done.response().status, stage.asked(), status(&done)), (200, 2, "tollgate; hit; ttl=60"));
    let known = stage.ask(head().with_header("If-Modified-Since", "Fri, 06 Nov 2099 08:49:37 GMT"), fresh(""));
    assert_eq!((known.response().status, stage.asked()), (304, 2));
    // Stale: it goes up as it is.
    stage.pass(61);
    stage.tell(head(), fresh(""));
    assert_eq!((stage.asked(), stage.last().header("if-none-match")), (3, None));
}
