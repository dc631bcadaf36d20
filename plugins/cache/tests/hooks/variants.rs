//! RFC 9111, 4.1: what else has to be alike; and what must not get in.

use tollgate_sdk::{
    serde_json::json,
    testing::{TestRequest, TestResponse},
};

use crate::common::{Stage, fresh, status};

fn accepting(value: &str) -> TestRequest {
    TestRequest::get("/").with_header("Accept", value)
}

#[test]
fn vary_tells_requests_apart() {
    let stage = Stage::new(json!({}));
    stage.tell(accepting("a"), fresh("for a").with_header("Vary", "Accept"));
    let other = stage.ask(accepting("b"), fresh("for b").with_header("Vary", "accept"));
    assert_eq!(status(&other), "tollgate; fwd=vary-miss; stored");
    assert_eq!((stage.body(accepting("a")).as_str(), stage.body(accepting("b")).as_str()), ("for a", "for b"));
    assert_eq!((stage.body(TestRequest::get("/")).as_str(), stage.asked()), ("new", 3));
}

#[test]
fn later_names_in_vary_count_for_all() {
    let stage = Stage::new(json!({}));
    let request = |accept: &str, language: &str| accepting(accept).with_header("Accept-Language", language);
    stage.tell(request("a", "de"), fresh("a de").with_header("Vary", "Accept"));
    stage.tell(request("b", "de"), fresh("b de").with_header("Vary", "Accept-Language"));
    assert_eq!(stage.body(request("b", "en")), "new");
    assert_eq!(stage.body(request("b", "de")), "b de");
}

#[test]
fn vary_by_all_is_never_kept() {
    let stage = Stage::new(json!({}));
    stage.tell(TestRequest::get("/"), fresh("old").with_header("Vary", "*"));
    assert_eq!(stage.get("/"), "new");
}

#[test]
fn fields_that_upstreams_go_by_poison_nobody() {
    for name in ["X-Forwarded-Host", "X-Forwarded-Scheme", "X-Original-URL", "X-HTTP-Method-Override", "Origin", "X-Mine"] {
        let stage = Stage::new(json!({ "keyed": ["X-Mine"] }));
        stage.tell(TestRequest::get("/").with_header(name, "evil.test"), fresh("evil"));
        assert_eq!(stage.get("/"), "new", "{name}");
    }
}

#[test]
fn all_of_the_url_counts() {
    let stage = Stage::new(json!({}));
    stage.tell(TestRequest::get("/a?b=1&c=2"), fresh("old"));
    for path in ["/a?c=2&b=1", "/a", "/a?b=1&c=2&", "/a/?b=1&c=2", "/%61?b=1&c=2", "/a?b=1&c=2.css"] {
        assert_eq!(stage.get(path), "new", "{path}");
    }
    let elsewhere = |scheme: &str, authority: &str, upstream: &str| TestRequest {
        scheme: scheme.to_owned(),
        authority: authority.to_owned(),
        upstream: upstream.to_owned(),
        ..TestRequest::get("/a?b=1&c=2")
    };
    let upstream = "http://upstream.test";
    assert_eq!(stage.body(elsewhere("http", "TOLLGATE.test:80", upstream)), "old");
    assert_eq!(stage.body(elsewhere("https", "tollgate.test", upstream)), "new");
    assert_eq!(stage.body(elsewhere("http", "other.test", upstream)), "new");
    assert_eq!(stage.body(elsewhere("http", "tollgate.test", "http://other.test")), "new");
}

#[test]
fn requests_with_content_go_by() {
    let stage = Stage::new(json!({}));
    let with_content = || TestRequest::get("/").with_body("x");
    stage.tell(with_content(), fresh("for x"));
    assert_eq!(stage.get("/"), "new");
    assert_eq!(stage.ask(with_content(), fresh("for x")).response().text(), "for x");
    let told = stage.ask(TestRequest::get("/").with_header("Content-Length", "1"), fresh("for x"));
    assert_eq!((told.response().text(), status(&told)), ("for x", "tollgate; fwd=bypass"));
}

#[test]
fn parts_go_by() {
    let stage = Stage::new(json!({}));
    let part = || TestRequest::get("/").with_header("Range", "bytes=0-1");
    let answer = || fresh("ol").with_header("Content-Range", "bytes 0-1/3");
    stage.tell(part(), TestResponse { status: 206, ..answer() });
    stage.tell(TestRequest::get("/"), TestResponse { status: 206, ..answer() });
    assert_eq!(stage.get("/"), "new");
    let done = stage.ask(part(), TestResponse { status: 206, ..answer() });
    assert_eq!((done.response().status, status(&done)), (206, "tollgate; fwd=bypass"));
}

#[test]
fn other_addons_answers_are_not_kept() {
    use tollgate_sdk::Origin;
    let stage = Stage::new(json!({}));
    for origin in [Origin::Core, Origin::Addon("other".to_owned())] {
        stage.tell(TestRequest::get("/"), TestResponse { origin, ..fresh("not mine") });
        assert_eq!(stage.ask(TestRequest::get("/"), TestResponse::new(200).with_body("x")).response().text(), "x");
    }
}
