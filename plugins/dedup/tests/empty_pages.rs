//! Pages of repeats alone.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod common;

use common::{ADA, BOB, HOME, answer, ask, boost, harness, ids, page, post, shown};
use dedup::Dedup;
use tollgate_sdk::{
    http,
    serde_json::{Value, json},
    testing::{Harness, TestRequest, TestResponse},
};

/// An answer of the upstream to a request of the addon's own.
fn next_page(items: &[Value], next: Option<&str>) -> http::Response {
    let response = http::Response::new(200).with_body(json!(items).to_string());
    match next {
        Some(next) => {
            response.with_header("Link", format!("<https://upstream.test{HOME}?{next}>; rel=\"next\", <x>; rel=\"prev\""))
        }
        None => response,
    }
}

fn first_page() -> TestResponse {
    page(&[boost("12", post("2", "b")), boost("11", post("1", "a"))])
}

/// Has shown Ada the posts of the first page, and two more.
fn refilling(answers: impl Fn(&str) -> Result<http::Response, http::Error> + Send + Sync + 'static) -> Harness<Dedup> {
    let harness = harness(json!({ "empty_page": "refill", "explain": true }));
    assert_eq!(shown(&harness, HOME, ADA, &[post("1", "a"), post("2", "b"), post("3", "c"), post("4", "d")]).len(), 4);
    harness.with_http(move |request| {
        let target = request.url.strip_prefix("http://upstream.test").expect("the flow's own upstream");
        answers(target)
    })
}

fn refilled(harness: &Harness<Dedup>, request: TestRequest) -> (Vec<String>, Option<String>, Vec<http::Request>) {
    let done = harness.exchange(request, |_| first_page());
    assert_eq!(done.failures, []);
    (ids(done.response()), done.response().header("link").map(str::to_owned), done.http)
}

#[test]
fn the_last_item_of_a_page_stays() {
    let harness = harness(json!({ "explain": true }));
    assert_eq!(shown(&harness, HOME, ADA, &[post("1", "a"), post("2", "b")]).len(), 2);
    for _ in 0..2 {
        let done = answer(&harness, ask(HOME, ADA), first_page());
        assert_eq!((ids(&done), done.header("link")), (vec!["11".to_owned()], first_page().header("link")));
        assert_eq!(done.header("x-tollgate-dedup"), Some("kept=1 dropped=1"));
    }
    // A page of one is all of it.
    let body = format!("[ {} ]", boost("11", post("1", "a")));
    let response = TestResponse::new(200).with_body(body.clone());
    assert_eq!(answer(&harness, ask(HOME, ADA), response).text(), body);
    // An empty page is one.
    assert_eq!(answer(&harness, ask(HOME, ADA), TestResponse::new(200).with_body(" [ ]")).text(), " [ ]");
}

#[test]
fn pages_become_empty_on_demand() {
    let harness = harness(json!({ "empty_page": "empty" }));
    assert_eq!(shown(&harness, HOME, ADA, &[post("1", "a"), post("2", "b")]).len(), 2);
    let done = answer(&harness, ask(HOME, ADA), first_page());
    assert_eq!((done.text(), done.header("link")), ("[]", first_page().header("link")));
}

#[test]
fn the_next_page_stands_in() {
    let harness = refilling(|target| {
        assert_eq!(target, "/api/v1/timelines/home?max_id=1");
        Ok(next_page(&[boost("10", post("3", "c")), post("9", "z"), post("8", "y")], Some("max_id=8")))
    });
    for _ in 0..2 {
        let (ids, link, asked) = refilled(&harness, ask(HOME, ADA).with_header("User-Agent", "Moth/1"));
        assert_eq!(ids, ["9", "8"]);
        let expected = "<https://upstream.test/api/v1/timelines/home?max_id=8>; rel=\"next\", \
                        <http://upstream.test/api/v1/timelines/home?min_id=9>; rel=\"prev\"";
        assert_eq!(link.as_deref(), Some(expected));
        let fields = [("User-Agent", "Moth/1"), ("Authorization", ADA)];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        assert_eq!((asked.len(), asked[0].method.as_str(), &asked[0].headers[..]), (1, "GET", &fields[..]));
    }
}

#[test]
fn tokens_of_queries_are_sent_along() {
    let harness = refilling(|_| Ok(next_page(&[post("9", "z")], None)));
    let (ids, link, asked) = refilled(&harness, TestRequest::get(&format!("{HOME}?access_token=ada-token")));
    assert_eq!(ids, ["9"]);
    assert_eq!(link.as_deref(), Some("<http://upstream.test/api/v1/timelines/home?min_id=9>; rel=\"prev\""));
    assert_eq!(asked[0].headers, [("Authorization".to_owned(), ADA.as_bytes().to_vec())]);
}

#[test]
fn three_pages_are_followed_and_no_more() {
    let harness = refilling(|target| {
        let page: u32 = target.rsplit('=').next().expect("a cursor").parse().expect("a number");
        assert!(page <= 3, "{target}");
        Ok(next_page(&[boost(&format!("20{page}"), post("3", "c"))], Some(&format!("max_id={}", page + 1))))
    });
    let done = harness.exchange(ask(HOME, ADA), |_| first_page());
    assert_eq!((ids(done.response()), done.http.len()), (vec!["203".to_owned()], 3));
    let link = done.response().header("link").expect("a field");
    assert!(link.starts_with("<https://upstream.test/api/v1/timelines/home?max_id=4>; rel=\"next\""), "{link}");
    assert_eq!(done.response().header("x-tollgate-dedup"), Some("kept=1 dropped=4"));
}

#[test]
fn what_can_not_be_had_leaves_the_last_item() {
    let bodies = ["", "{}", "<html>", "[]", "[1"];
    let broken = bodies.map(|body| Ok(http::Response::new(200).with_body(body)));
    let statuses = [301, 401, 404, 429, 500].map(|status| Ok(http::Response::new(status).with_body("[{}]")));
    let errors = [Err(http::Error::Timeout), Err(http::Error::Denied("no grant".to_owned())), Err(http::Error::TooLarge(1))];
    for reply in broken.into_iter().chain(statuses).chain(errors) {
        let harness = refilling({
            let reply = reply.clone();
            move |_| reply.clone()
        });
        let (ids, link, asked) = refilled(&harness, ask(HOME, ADA));
        assert_eq!((ids, asked.len()), (vec!["11".to_owned()], 1), "{reply:?}");
        assert_eq!(link.as_deref(), first_page().header("link"));
    }
}

#[test]
fn newer_posts_are_not_made_up_of_older_ones() {
    let harness = refilling(|target| panic!("asked for {target}"));
    for (cursor, expected) in [("since_id=5", &[][..]), ("min_id=5", &["12"])] {
        let (ids, ..) = refilled(&harness, ask(&format!("{HOME}?{cursor}"), ADA));
        assert_eq!(ids, expected, "{cursor}");
    }
}

#[test]
fn who_polls_sees_no_repeat() {
    for mode in ["keep-last", "refill", "empty"] {
        let harness = harness(json!({ "empty_page": mode, "explain": true }));
        assert_eq!(shown(&harness, HOME, ADA, &[post("1", "a"), post("2", "b")]).len(), 2);
        for cursor in ["since_id=5", "since_id=5&min_id=&limit=40"] {
            let polled = |items: &[Value]| answer(&harness, ask(&format!("{HOME}?{cursor}"), ADA), page(items));
            let done = polled(&[boost("12", post("2", "b")), boost("11", post("1", "a"))]);
            assert_eq!((done.text(), done.header("link")), ("[]", first_page().header("link")), "{mode} {cursor}");
            assert_eq!(done.header("x-tollgate-dedup"), Some("kept=0 dropped=2"));
            // A page of one, too.
            assert_eq!(polled(&[boost("12", post("2", "b"))]).text(), "[]", "{mode} {cursor}");
        }
    }
    let harness = harness(json!({}));
    assert_eq!(shown(&harness, HOME, ADA, &[post("1", "a")]), ["1"]);
    assert_eq!(shown(&harness, &format!("{HOME}?since_id="), ADA, &[boost("11", post("1", "a"))]), ["11"], "no cursor");
}

#[test]
fn who_walks_upwards_goes_on() {
    for mode in ["keep-last", "refill"] {
        let harness = harness(json!({ "empty_page": mode, "explain": true }));
        assert_eq!(shown(&harness, HOME, ADA, &[post("1", "a"), post("2", "b")]).len(), 2);
        for cursor in ["min_id=5", "since_id=5&min_id=5"] {
            let target = format!("{HOME}?{cursor}");
            for _ in 0..2 {
                let done = answer(&harness, ask(&target, ADA), first_page());
                assert_eq!((ids(&done), done.header("link")), (vec!["12".to_owned()], first_page().header("link")), "{mode}");
                assert_eq!(done.header("x-tollgate-dedup"), Some("kept=1 dropped=1"));
            }
            // A page of one is all of it.
            assert_eq!(shown(&harness, &target, ADA, &[boost("12", post("2", "b"))]), ["12"], "{mode}");
        }
    }
    let harness = harness(json!({ "empty_page": "empty" }));
    assert_eq!(shown(&harness, HOME, ADA, &[post("1", "a"), post("2", "b")]).len(), 2);
    assert_eq!(answer(&harness, ask(&format!("{HOME}?min_id=5"), ADA), first_page()).text(), "[]", "as was asked for");
}

#[test]
fn other_hosts_and_timelines_are_not_asked() {
    let harness = refilling(|target| {
        assert_eq!(target, "/api/v1/timelines/home?max_id=1");
        Ok(next_page(&[post("9", "z")], None))
    });
    let links = [
        ("<https://evil.test/api/v1/timelines/home?max_id=1>; rel=\"next\"", "9"),
        ("<http://upstream.test/api/v1/accounts/1>; rel=\"next\"", "11"),
        ("<http://upstream.test.evil.test>; rel=\"next\"", "11"),
    ];
    for (link, expected) in links {
        let response = TestResponse::new(200).with_header("Link", link).with_body(first_page().body);
        assert_eq!(ids(&answer(&harness, ask(HOME, ADA), response)), [expected], "{link}");
    }
}

#[test]
fn pages_with_something_new_are_not_refilled() {
    let harness = refilling(|target| panic!("asked for {target}"));
    assert_eq!(shown(&harness, HOME, ADA, &[boost("12", post("2", "b")), post("9", "z")]), ["9"]);
    assert_eq!(shown(&harness, HOME, BOB, &[boost("12", post("2", "b"))]), ["12"]);
}
