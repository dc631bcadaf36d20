//! RFC 9111, 4.2 and 5.2: how long answers are used, and what requests say about it.

use tollgate_sdk::{
    FailureKind, UpstreamFailure,
    serde_json::json,
    testing::{TestRequest, TestResponse},
};

use crate::common::{Stage, fresh, saying, status};

#[test]
fn answers_are_used_while_fresh() {
    let stage = Stage::new(json!({}));
    let first = stage.ask(TestRequest::get("/a"), fresh("old").with_header("X-A", "1").with_header("Age", "5"));
    assert_eq!((first.response().text(), status(&first)), ("old", "tollgate; fwd=uri-miss; stored"));
    stage.pass(10);
    let second = stage.ask(TestRequest::get("/a"), fresh("new"));
    let response = second.response();
    assert_eq!((response.text(), response.header("age"), response.header("x-a")), ("old", Some("15"), Some("1")));
    assert_eq!((status(&second), response.header("date").is_some()), ("tollgate; hit; ttl=45", true));
    stage.pass(44);
    assert_eq!((stage.get("/a").as_str(), stage.asked()), ("old", 1));
    stage.pass(1);
    assert_eq!((stage.get("/a").as_str(), stage.asked()), ("new", 2));
    assert_eq!((stage.get("/b").as_str(), stage.asked()), ("new", 3));
}

#[test]
fn nothing_is_used_for_longer_than_max_ttl() {
    let stage = Stage::new(json!({ "max_ttl": "30s" }));
    stage.tell(TestRequest::get("/"), fresh("old"));
    stage.pass(29);
    assert_eq!(stage.get("/"), "old");
    stage.pass(1);
    assert_eq!(stage.get("/"), "new");
}

#[test]
fn answers_without_a_time_need_an_option() {
    let plain = || TestResponse::new(200).with_body("old");
    let stage = Stage::new(json!({}));
    stage.tell(TestRequest::get("/"), plain());
    assert_eq!(stage.get("/"), "new");
    let stage = Stage::new(json!({ "default_ttl": "20s" }));
    stage.tell(TestRequest::get("/"), plain());
    stage.pass(19);
    assert_eq!(stage.get("/"), "old");
    stage.pass(1);
    assert_eq!(stage.get("/"), "new");
}

#[test]
fn requests_can_ask_for_more() {
    for (control, expected) in [
        ("no-cache", "new"),
        ("no-store", "new"),
        ("max-age=0", "new"),
        ("max-age=10", "old"),
        ("max-age=9", "new"),
        ("min-fresh=50", "old"),
        ("min-fresh=51", "new"),
        ("max-stale=5", "old"),
        ("only-if-cached", "old"),
    ] {
        let stage = Stage::new(json!({}));
        stage.tell(TestRequest::get("/"), fresh("old"));
        stage.pass(10);
        assert_eq!(stage.body(TestRequest::get("/").with_header("Cache-Control", control)), expected, "{control}");
    }
}

#[test]
fn requests_can_take_stale_answers() {
    for (control, answer, expected) in [
        ("max-stale", "max-age=60", "old"),
        ("max-stale=10", "max-age=60", "old"),
        ("max-stale=9", "max-age=60", "new"),
        ("max-stale", "max-age=60, must-revalidate", "new"),
        ("max-stale", "max-age=60, proxy-revalidate", "new"),
        ("max-stale", "s-maxage=60", "new"),
        ("max-stale", "max-age=60, no-cache", "new"),
    ] {
        let stage = Stage::new(json!({}));
        stage.tell(TestRequest::get("/"), saying(answer, "old").with_header("ETag", "\"a\""));
        stage.pass(70);
        let done = stage.ask(TestRequest::get("/").with_header("Cache-Control", control), fresh("new"));
        assert_eq!(done.response().text(), expected, "{control} of {answer}");
        if expected == "old" {
            assert_eq!(status(&done), "tollgate; hit; ttl=-10");
        }
    }
}

#[test]
fn only_if_cached_never_asks() {
    let stage = Stage::new(json!({}));
    let only = || TestRequest::get("/").with_header("Cache-Control", "only-if-cached");
    for request in [only(), only().with_header("Range", "bytes=0-1")] {
        assert_eq!(stage.ask(request, fresh("new")).response().status, 504);
    }
    stage.tell(TestRequest::get("/"), fresh("old"));
    assert_eq!((stage.body(only()).as_str(), stage.asked()), ("old", 1));
    stage.pass(60);
    assert_eq!((stage.ask(only(), fresh("new")).response().status, stage.asked()), (504, 1));
}

#[test]
fn no_store_keeps_nothing() {
    let stage = Stage::new(json!({}));
    let done = stage.ask(TestRequest::get("/").with_header("Cache-Control", "no-store"), fresh("old"));
    assert_eq!(status(&done), "tollgate; fwd=request");
    assert_eq!(stage.get("/"), "new");
    stage.tell(TestRequest::get("/x"), saying("max-age=60, no-store", "old"));
    assert_eq!(stage.get("/x"), "new");
}

#[test]
fn stale_answers_stand_in_for_errors() {
    let failure = || UpstreamFailure { kind: FailureKind::Connect, message: "refused".to_owned() };
    let options = || json!({ "stale_if_error": "30s" });
    for (options, answer, after, expected) in [
        (options(), "max-age=60", 89, 200),
        (options(), "max-age=60", 91, 502),
        (options(), "max-age=60, stale-if-error=10", 69, 200),
        (options(), "max-age=60, stale-if-error=10", 71, 502),
        (options(), "max-age=60, must-revalidate", 61, 502),
        (json!({}), "max-age=60", 61, 502),
        (json!({}), "max-age=60, stale-if-error=10", 61, 200),
    ] {
        let stage = Stage::new(options);
        stage.tell(TestRequest::get("/"), saying(answer, "old"));
        stage.pass(after);
        let failed = stage.ask(TestRequest::get("/"), failure());
        assert_eq!(failed.response().status, expected, "no answer, {after} s after {answer}");
        let refused = stage.ask(TestRequest::get("/"), TestResponse::new(502).with_body("no"));
        assert_eq!(refused.response().status, expected, "an error, {after} s after {answer}");
        if expected == 200 {
            assert_eq!((refused.response().text(), status(&refused)), ("old", "tollgate; fwd=stale; fwd-status=502"));
        }
        // Of other errors the client is told.
        assert_eq!(stage.ask(TestRequest::get("/"), TestResponse::new(404)).response().status, 404);
    }
}
