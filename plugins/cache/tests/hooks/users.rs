//! RFC 9111, 3.5: answers to one user are no other's.

use proptest::prelude::*;
use tollgate_sdk::{serde_json::json, testing::TestRequest};

use crate::common::{Stage, by, fresh, saying, status};

#[test]
fn users_have_their_own() {
    let stage = Stage::new(json!({}));
    stage.tell(by("a"), fresh("for a"));
    for (request, expected) in [(by("b"), "new"), (TestRequest::get("/"), "new"), (by("a"), "for a"), (by("b"), "new")] {
        assert_eq!(stage.body(request), expected);
    }
    assert_eq!(stage.asked(), 3);
    // With another cookie it is somebody else.
    assert_eq!(stage.body(by("a").with_header("Cookie", "id=1")), "new");
    assert_eq!(stage.asked(), 4);
}

#[test]
fn cookies_and_named_fields_tell_users_apart() {
    let stage = Stage::new(json!({ "credentials": ["X-Api-Key"] }));
    for name in ["Cookie", "X-Api-Key", "Proxy-Authorization"] {
        let request = |value: &str| TestRequest::get("/").with_header(name, value);
        stage.tell(request("1"), fresh("for 1"));
        assert_eq!(stage.body(request("1")), "for 1", "{name}");
        assert_eq!(stage.body(request("2")), "new", "{name}");
    }
}

#[test]
fn answers_for_nobody_are_no_users() {
    let stage = Stage::new(json!({}));
    stage.tell(TestRequest::get("/"), fresh("for nobody"));
    assert_eq!(stage.body(by("a")), "new");
    assert_eq!(stage.body(TestRequest::get("/")), "for nobody");
}

#[test]
fn public_answers_are_for_all() {
    for control in ["public, max-age=60", "s-maxage=60", "max-age=60, must-revalidate"] {
        let stage = Stage::new(json!({}));
        stage.tell(by("a"), saying(control, "for all"));
        for request in [by("b"), TestRequest::get("/"), by("a").with_header("Cookie", "x")] {
            assert_eq!(stage.body(request), "for all", "{control}");
        }
        assert_eq!(stage.asked(), 1, "{control}");
    }
}

#[test]
fn a_public_answer_opens_no_others() {
    let stage = Stage::new(json!({}));
    let languages = |request: TestRequest, language| request.with_header("Accept-Language", language);
    let varied = |control, body| saying(control, body).with_header("Vary", "Accept-Language");
    stage.tell(languages(by("a"), "de"), varied("public, max-age=60", "for all"));
    stage.tell(languages(by("a"), "en"), varied("max-age=60", "for a"));
    stage.tell(languages(TestRequest::get("/"), "fr"), varied("max-age=60", "for nobody"));
    assert_eq!(stage.body(languages(by("b"), "de")), "for all");
    assert_eq!(stage.body(languages(by("b"), "en")), "new");
    assert_eq!(stage.body(languages(by("b"), "fr")), "new");
    assert_eq!(stage.body(languages(TestRequest::get("/"), "en")), "new");
    assert_eq!(stage.body(languages(by("a"), "en")), "for a");
}

#[test]
fn what_was_once_public_gives_way() {
    let stage = Stage::new(json!({}));
    stage.tell(by("a"), saying("public, max-age=60", "for all").with_header("ETag", "\"1\""));
    stage.pass(60);
    stage.tell(by("a"), fresh("for a").with_header("ETag", "\"2\""));
    assert_eq!((stage.body(by("a")).as_str(), stage.asked()), ("for a", 2));
    assert_eq!(stage.body(by("b")), "new");
}

#[test]
fn private_answers_need_the_private_mode() {
    let private = || saying("private, max-age=60", "for a");
    let shared = Stage::new(json!({}));
    shared.tell(by("a"), private());
    assert_eq!(shared.body(by("a")), "new");
    let stage = Stage::new(json!({ "mode": "private" }));
    stage.tell(by("a"), private());
    assert_eq!((stage.body(by("a")).as_str(), stage.body(by("b")).as_str()), ("for a", "new"));
    // Nobody in particular is not one user.
    let stage = Stage::new(json!({ "mode": "private" }));
    stage.tell(TestRequest::get("/"), private());
    assert_eq!(stage.body(TestRequest::get("/")), "new");
    // Public ones aren't shared either.
    let stage = Stage::new(json!({ "mode": "private" }));
    stage.tell(by("a"), saying("public, s-maxage=60, max-age=60", "for a"));
    assert_eq!((stage.body(by("a")).as_str(), stage.body(by("b")).as_str()), ("for a", "new"));
}

#[test]
fn cookies_that_are_set_are_nobody_elses() {
    let setting = |control| saying(control, "old").with_header("Set-Cookie", "id=1");
    let stage = Stage::new(json!({}));
    stage.tell(TestRequest::get("/"), setting("public, max-age=60"));
    assert_eq!(stage.body(TestRequest::get("/")), "new");
    let stage = Stage::new(json!({ "drop_set_cookie": true }));
    stage.tell(TestRequest::get("/a"), setting("max-age=60"));
    assert_eq!(stage.get("/a"), "new");
    let first = stage.ask(TestRequest::get("/b"), setting("public, max-age=60"));
    assert_eq!(first.response().header("set-cookie"), Some("id=1"));
    let second = stage.ask(TestRequest::get("/b"), fresh("new"));
    assert_eq!((second.response().text(), second.response().header("set-cookie")), ("old", None));
}

#[test]
fn users_that_are_not_shown_share_nothing() {
    let stage = Stage::new(json!({}));
    let hidden = || TestRequest::get("/").with_header("Authorization", "[withheld]");
    let done = stage.ask(hidden(), saying("public, max-age=60", "for a"));
    assert_eq!(status(&done), "tollgate; fwd=bypass");
    assert_eq!((stage.body(hidden()).as_str(), stage.asked()), ("new", 2));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_user_gets_what_another_was_told(users in prop::collection::vec((0_u8..4, "[a-c ]{0,2}"), 2..12), is_shared: bool) {
        let stage = Stage::new(json!({ "mode": if is_shared { "shared" } else { "private" } }));
        for (kind, value) in users {
            let (request, name) = match kind {
                0 => (TestRequest::get("/"), "nobody".to_owned()),
                1 => (TestRequest::get("/").with_header("Authorization", &value), format!("a:{value}")),
                2 => (TestRequest::get("/").with_header("Cookie", &value), format!("c:{value}")),
                _ => (
                    TestRequest::get("/").with_header("Authorization", &value).with_header("Cookie", &value),
                    format!("ac:{value}"),
                ),
            };
            let done = stage.ask(request, fresh(&name));
            prop_assert_eq!(done.response().text(), name);
        }
    }
}
