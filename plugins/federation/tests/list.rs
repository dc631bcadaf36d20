//! The list: asked for, kept, and never replaced by a bad one.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod common;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use common::{list, server};
use federation::Federation;
use tollgate_sdk::{
    RequestVerdict, http,
    serde_json::json,
    testing::{Harness, TestResponse},
};

const URL: &str = "https://registration.test/backend/federation";

/// What the registration service answers, and how often it was asked.
#[derive(Clone)]
struct Registration {
    answer: Arc<Mutex<Result<http::Response, http::Error>>>,
    asked: Arc<AtomicUsize>,
}

impl Registration {
    fn with(document: &str) -> Self {
        Self { answer: Arc::new(Mutex::new(Ok(found(document)))), asked: Arc::default() }
    }

    fn answers(&self, answer: Result<http::Response, http::Error>) {
        *self.answer.lock().expect("a lock") = answer;
    }

    fn asked(&self) -> usize {
        self.asked.load(SeqCst)
    }

    fn harness(&self) -> Harness<Federation> {
        let service = self.clone();
        let harness = Harness::configure(json!({"inbound": ["test"], "url": URL})).expect("legal options");
        harness.with_matched(tollgate_sdk::Event::Request, &[0]).with_http(move |request| {
            assert!(request.url.starts_with(URL), "{}", request.url);
            service.asked.fetch_add(1, SeqCst);
            service.answer.lock().expect("a lock").clone()
        })
    }
}

fn found(document: &str) -> http::Response {
    http::Response::new(200).with_body(document)
}

/// One flow from a server, to its end: its status, and the URLs that were asked.
fn flow(harness: &Harness<Federation>, origin: &str) -> (u16, Vec<String>) {
    let mut flow = harness.flow(server(origin));
    let status = match flow.request().expect("no failure") {
        RequestVerdict::Next => 200,
        RequestVerdict::Refuse(refusal) => refusal.status,
        verdict => panic!("{verdict:?}"),
    };
    let before = flow.http().len();
    flow.finish(Some(TestResponse::new(status))).expect("no failure");
    (status, flow.http().into_iter().skip(before).map(|request| request.url).collect())
}

fn status(harness: &Harness<Federation>, origin: &str) -> u16 {
    flow(harness, origin).0
}

#[test]
fn the_first_flow_waits_for_the_list_and_no_other() {
    let service = Registration::with(&list(7, &["a.de"]));
    let harness = service.harness();
    assert_eq!((status(&harness, "a.de"), status(&harness, "b.de"), service.asked()), (200, 403, 1));
    harness.pass(Duration::from_secs(59));
    assert_eq!((status(&harness, "a.de"), service.asked()), (200, 1));
    harness.pass(Duration::from_secs(1));
    service.answers(Ok(found(&list(8, &["b.de"]))));
    // It goes by the list that is there, and asks when its client has the answer.
    assert_eq!(flow(&harness, "a.de"), (200, vec![format!("{URL}?version=7")]));
    assert_eq!((status(&harness, "a.de"), status(&harness, "b.de"), service.asked()), (403, 200, 2));
}

#[test]
fn unchanged_lists_stay() {
    let service = Registration::with(&list(7, &["a.de"]));
    let harness = service.harness();
    assert_eq!(status(&harness, "a.de"), 200);
    service.answers(Ok(http::Response::new(304)));
    for times in 2..5 {
        harness.pass(Duration::from_mins(1));
        assert_eq!((status(&harness, "a.de"), status(&harness, "b.de"), service.asked()), (200, 403, times));
    }
}

#[test]
fn bad_lists_never_replace_a_good_one() {
    let service = Registration::with(&list(7, &["a.de"]));
    let harness = service.harness();
    assert_eq!(status(&harness, "a.de"), 200);
    for answer in [
        Ok(found("")),
        Ok(found("{\"version\":8,\"domainList\":[{\"domain\":\"b.de\"},{\"domain\":\"not one\"}]}")),
        Ok(found(&list(8, &["b.de"])[1..])),
        Ok(http::Response::new(500).with_body(list(8, &["b.de"]))),
        Ok(http::Response::new(204)),
        Ok(http::Response::new(302).with_header("Location", "https://elsewhere.test")),
        Ok(found(&" ".repeat((4 << 20) + 1))),
        Err(http::Error::Timeout),
        Err(http::Error::Tls("no trust".to_owned())),
    ] {
        harness.pass(Duration::from_hours(1));
        let before = service.asked();
        service.answers(answer.clone());
        assert_eq!((status(&harness, "a.de"), status(&harness, "b.de")), (200, 403), "{answer:?}");
        assert_eq!(service.asked(), before + 1, "{answer:?}");
        assert_eq!((status(&harness, "a.de"), status(&harness, "b.de")), (200, 403), "{answer:?}");
    }
    // And an empty one is a good one.
    harness.pass(Duration::from_hours(1));
    service.answers(Ok(found(&list(9, &[]))));
    assert_eq!((status(&harness, "a.de"), status(&harness, "a.de")), (200, 403));
}

#[test]
fn failures_are_counted_logged_and_followed_by_pauses() {
    let service = Registration::with(&list(7, &["a.de"]));
    let harness = service.harness();
    assert_eq!(status(&harness, "a.de"), 200);
    service.answers(Err(http::Error::Connect("refused".to_owned())));
    harness.pass(Duration::from_mins(1));
    for (failures, pause) in [(1, 5), (2, 10), (3, 20)] {
        let asked = service.asked();
        let mut flow = harness.flow(server("a.de"));
        flow.request().expect("no failure");
        flow.finish(None).expect("no failure");
        let line = flow.log().iter().find(|line| line.message.contains("no new federation list")).expect("a line").clone();
        let field = |name: &str| line.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        assert_eq!((field("failures"), field("seconds")), (Some(&*failures.to_string()), Some(&*pause.to_string())));
        assert!(field("why").is_some_and(|why| why.contains("refused")), "{line:?}");
        harness.pass(Duration::from_secs(pause - 1));
        assert_eq!((status(&harness, "a.de"), service.asked()), (200, asked + 1));
        harness.pass(Duration::from_secs(1));
    }
    service.answers(Ok(http::Response::new(304)));
    let asked = service.asked();
    assert_eq!((status(&harness, "a.de"), service.asked()), (200, asked + 1));
    service.answers(Err(http::Error::Timeout));
    harness.pass(Duration::from_mins(1));
    assert_eq!(status(&harness, "a.de"), 200);
    harness.pass(Duration::from_secs(5));
    // After a success they begin anew.
    let asked = service.asked();
    assert_eq!((status(&harness, "a.de"), service.asked()), (200, asked + 1));
}

#[test]
fn without_any_list_nobody_is_let_through() {
    let service = Registration::with("nonsense");
    let harness = service.harness();
    let refused = harness.request(server("a.de"));
    match refused.verdict.expect("no failure") {
        RequestVerdict::Refuse(refusal) => {
            let shown = (refusal.status, refusal.errcode.as_str(), refusal.error.as_str());
            assert_eq!(shown, (503, "M_UNKNOWN", "the federation list is not available"));
        }
        verdict => panic!("{verdict:?}"),
    }
    assert!(refused.log.iter().any(|line| line.message.contains("there is no federation list")), "{:?}", refused.log);
    // Within the pause nobody is asked, and nobody waits.
    assert_eq!((status(&harness, "a.de"), service.asked()), (503, 1));
    harness.pass(Duration::from_secs(5));
    service.answers(Ok(found(&list(1, &["a.de"]))));
    assert_eq!((status(&harness, "a.de"), service.asked()), (200, 2));
}

#[test]
fn large_lists_are_whole() {
    let names: Vec<_> = (0..20_000).map(|index| format!("{index}.example.de")).collect();
    let service = Registration::with(&list(1, &names.iter().map(String::as_str).collect::<Vec<_>>()));
    let harness = service.harness();
    for index in [0, 1, 9_999, 19_999] {
        assert_eq!(status(&harness, &names[index]), 200);
    }
    assert_eq!((status(&harness, "20000.example.de"), status(&harness, "example.de")), (403, 403));
}

#[test]
fn lists_from_before_the_last_are_removed() {
    let service = Registration::with(&list(1, &["a.de"]));
    let harness = service.harness();
    let prefix =
        URL.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let is_there = |id: u32| harness.kv("list", &format!("{prefix:016x}/list/{id}/0")).is_some();
    assert_eq!(status(&harness, "a.de"), 200);
    for (version, there) in [(2, [true, true, false]), (3, [false, true, true])] {
        harness.pass(Duration::from_mins(1));
        service.answers(Ok(found(&list(version, &["a.de", "b.de"]))));
        assert_eq!(status(&harness, "a.de"), 200);
        assert_eq!([1, 2, 3].map(is_there), there, "{version}");
    }
}

#[test]
fn lists_of_the_options_need_no_store() {
    let options = json!({"inbound": ["test"], "list": {"version": 1, "domainList": [{"domain": "A.de", "isInsurance": true}]}});
    let harness = Harness::<Federation>::configure(options).expect("legal options");
    let harness = harness.with_matched(tollgate_sdk::Event::Request, &[0]).without_kv();
    assert_eq!((status(&harness, "a.de"), status(&harness, "b.de")), (200, 403));
}
