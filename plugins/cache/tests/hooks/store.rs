//! What the store holds, and what happens without it.

use cache::Cache;
use tollgate_sdk::{
    log::Level,
    serde_json::json,
    testing::{Harness, TestRequest, TestResponse},
};

use crate::common::{Stage, by, fresh, saying, status};

#[test]
fn without_a_store_flows_go_on() {
    let stage = Stage::of(Harness::<Cache>::configure(json!({})).expect("options").without_kv());
    for request in [TestRequest::get("/"), by("a"), TestRequest::post("/")] {
        let done = stage.ask(request, fresh("new"));
        assert_eq!((done.response().text(), done.failures.len()), ("new", 0));
        let [line] = done.log.as_slice() else { panic!("one line should be: {:?}", done.log) };
        // The proxy warns of it, once.
        assert_eq!(line.level, Level::Debug);
        assert!(line.message.contains("nothing is looked up or kept"), "{line:?}");
    }
    assert_eq!(stage.asked(), 3);
}

#[test]
fn bodies_are_kept_up_to_the_limit() {
    for (bytes, expected) in [(999, true), (1000, true), (1001, false)] {
        let stage = Stage::new(json!({ "max_body": 1000 }));
        let done = stage.ask(TestRequest::get("/"), fresh(&"x".repeat(bytes)));
        assert_eq!(done.response().body.len(), bytes);
        assert_eq!(stage.get("/").len() == bytes, expected, "{bytes}");
        assert_eq!(stage.asked() == 1, expected, "{bytes}");
    }
    // The largest body fits beside the largest head.
    let stage = Stage::new(json!({}));
    let large = fresh(&"x".repeat(960 * 1024)).with_header("X-Large", "y".repeat(48_000));
    stage.tell(TestRequest::get("/"), large);
    assert_eq!((stage.get("/").len(), stage.asked()), (960 * 1024, 1));
}

#[test]
fn empty_answers_are_kept() {
    let stage = Stage::new(json!({}));
    stage.tell(TestRequest::get("/"), TestResponse { status: 204, ..fresh("") });
    let done = stage.ask(TestRequest::get("/"), fresh("new"));
    assert_eq!((done.response().status, stage.asked()), (204, 1));
    stage.tell(TestRequest::get("/gone"), TestResponse { status: 404, ..saying("max-age=9", "gone") });
    let done = stage.ask(TestRequest::get("/gone"), fresh("new"));
    assert_eq!((done.response().status, done.response().text()), (404, "gone"));
}

#[test]
fn the_status_can_be_named_or_left_out() {
    let stage = Stage::new(json!({ "status_header": "Edge-1" }));
    assert_eq!(status(&stage.ask(TestRequest::get("/"), fresh("old"))), "Edge-1; fwd=uri-miss; stored");
    assert_eq!(status(&stage.ask(TestRequest::get("/"), fresh("new"))), "Edge-1; hit; ttl=60");
    let stage = Stage::new(json!({ "status_header": null }));
    for _ in 0..2 {
        assert_eq!(stage.ask(TestRequest::get("/"), fresh("old")).response().header("cache-status"), None);
    }
    // Those of caches before stay, and this one comes last.
    let stage = Stage::new(json!({}));
    let said = |body| fresh(body).with_header("Cache-Status", "before; hit");
    for last in ["tollgate; fwd=uri-miss; stored", "tollgate; hit; ttl=60"] {
        let done = stage.ask(TestRequest::get("/"), said("old"));
        assert_eq!(done.response().header_values("cache-status"), [b"before; hit".to_vec(), last.as_bytes().to_vec()]);
    }
}
