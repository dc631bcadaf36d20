//! RFC 9111, 4.4: what requests that may change something make of what is kept.

use tollgate_sdk::{
    serde_json::json,
    testing::{TestRequest, TestResponse},
};

use crate::common::{Stage, by, fresh, saying};

#[test]
fn unsafe_methods_invalidate() {
    for (method, status, expected) in [
        ("POST", 200, "new"),
        ("PUT", 204, "new"),
        ("DELETE", 303, "new"),
        ("PATCH", 200, "new"),
        ("X-OWN", 200, "new"),
        ("POST", 400, "old"),
        ("POST", 500, "old"),
        ("OPTIONS", 200, "old"),
        ("TRACE", 200, "old"),
    ] {
        let stage = Stage::new(json!({}));
        stage.tell(TestRequest::get("/a"), fresh("old"));
        stage.tell(TestRequest::new(method, "/a").with_body("x"), TestResponse::new(status));
        assert_eq!(stage.get("/a"), expected, "{method} with {status}");
    }
}

#[test]
fn all_variants_are_invalidated() {
    let stage = Stage::new(json!({}));
    let varied = |body| fresh(body).with_header("Vary", "Accept");
    let requests = [
        TestRequest::get("/"),
        TestRequest::get("/").with_header("Accept", "a"),
        by("a"),
        TestRequest::get("/").with_header("X-Forwarded-Host", "b"),
    ];
    for request in &requests {
        stage.tell(request.clone(), varied("old"));
    }
    for request in &requests {
        assert_eq!(stage.body(request.clone()), "old");
    }
    stage.tell(TestRequest::post("/").with_header("Accept", "c"), TestResponse::new(200));
    for request in &requests {
        assert_eq!(stage.body(request.clone()), "new");
    }
}

#[test]
fn places_at_the_same_origin_are_invalidated() {
    let stage = Stage::new(json!({}));
    for path in ["/a", "/b?c", "/d", "/e"] {
        stage.tell(TestRequest::get(path), fresh("old"));
    }
    let done = TestResponse::new(201).with_header("Location", "/b?c").with_header("Content-Location", "http://tollgate.test/d");
    stage.tell(TestRequest::post("/x"), done);
    let elsewhere = TestResponse::new(201).with_header("Location", "http://other.test/e");
    stage.tell(TestRequest::post("/x"), elsewhere);
    assert_eq!(["/a", "/b?c", "/d", "/e"].map(|path| stage.get(path)), ["old", "new", "new", "old"]);
}

#[test]
fn answers_from_before_a_change_are_not_kept() {
    let stage = Stage::new(json!({ "lock_wait": "0s" }));
    stage.with(|harness| {
        let mut reading = harness.flow(TestRequest::get("/"));
        reading.request().expect("a verdict");
        let _ = harness.exchange(TestRequest::post("/"), |_| TestResponse::new(200));
        // Another one has come meanwhile, so that there is a place for answers again.
        harness.flow(TestRequest::get("/").with_header("Accept", "a")).request().expect("a verdict");
        reading.response(fresh("from before")).expect("a verdict");
    });
    assert_eq!(stage.get("/"), "new");
}

#[test]
fn writes_say_nothing_about_caching() {
    let stage = Stage::new(json!({}));
    let done = stage.ask(TestRequest::post("/"), saying("max-age=60", "posted"));
    assert_eq!((done.response().text(), done.response().header("cache-status")), ("posted", None));
    assert_eq!((stage.get("/").as_str(), stage.asked()), ("new", 2));
}
