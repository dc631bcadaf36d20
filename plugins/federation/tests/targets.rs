//! Requests go where the server is that they are for.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod common;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use federation::Federation;
use tollgate_sdk::{
    Event, RequestVerdict, dns, http,
    serde_json::json,
    testing::{Facts, Harness, TestRequest},
};

/// Name, target and port of an SRV record.
type Record = (&'static str, &'static str, u16);

/// What the world says of `a.de`.
#[derive(Clone, Default)]
struct World {
    /// Of `/.well-known/matrix/server`; none: nobody is there.
    delegation: Arc<Mutex<Option<http::Response>>>,
    records: Arc<Mutex<Vec<Record>>>,
    asked: Arc<AtomicUsize>,
}

impl World {
    fn delegates(self, body: &str) -> Self {
        *self.delegation.lock().expect("a lock") = Some(http::Response::new(200).with_body(body));
        self
    }

    fn answers(self, status: u16) -> Self {
        *self.delegation.lock().expect("a lock") = Some(http::Response::new(status));
        self
    }

    fn record(self, name: &'static str, target: &'static str, port: u16) -> Self {
        self.records.lock().expect("a lock").push((name, target, port));
        self
    }

    fn harness(&self, name: &str) -> Harness<Federation> {
        let (world, facts) = (self.clone(), Facts { listener: "out".to_owned(), ..Facts::default() });
        let options = json!({"outbound": ["out"], "list": {"version": 1, "domainList": [{"domain": name}]}});
        let harness = Harness::configure(options).expect("legal options").with_facts(facts);
        let records = Arc::clone(&self.records);
        let harness = harness.with_matched(Event::Request, &[0]).with_http(move |request| {
            assert_eq!(request.url, "https://a.de/.well-known/matrix/server");
            world.asked.fetch_add(1, SeqCst);
            let answer = world.delegation.lock().expect("a lock").clone();
            answer.ok_or_else(|| http::Error::Connect("refused".to_owned()))
        });
        harness.with_dns(move |name| {
            let all = records.lock().expect("a lock").clone();
            let found = all.iter().filter(|(owner, ..)| *owner == name);
            let service =
                |(_, target, port): &Record| dns::Service { priority: 1, weight: 1, port: *port, target: (*target).to_owned() };
            Ok(found.map(service).collect())
        })
    }
}

/// A request for `name` that goes to this URL.
fn goes(harness: &Harness<Federation>, name: &str, upstream: &str) -> u16 {
    let mut request = TestRequest::put("/_matrix/federation/v1/send/1");
    upstream.clone_into(&mut request.upstream);
    let request = request.with_header("Authorization", format!("X-Matrix origin=\"own.de\",destination=\"{name}\""));
    match harness.request(request).verdict.expect("no failure") {
        RequestVerdict::Next => 200,
        RequestVerdict::Refuse(refusal) => refusal.status,
        verdict => panic!("{verdict:?}"),
    }
}

#[test]
fn own_hosts_need_no_lookup() {
    let world = World::default();
    let harness = world.harness("a.de");
    assert_eq!(goes(&harness, "a.de", "https://a.de:8448"), 200);
    assert_eq!(goes(&harness, "A.DE", "https://A.de.:8448"), 200);
    assert_eq!(world.asked.load(SeqCst), 0);
    for (name, own, other) in [
        ("a.de:443", "https://a.de", "https://a.de:8448"),
        ("a.de:8449", "https://a.de:8449", "https://a.de:8448"),
        ("192.0.2.1", "https://192.0.2.1:8448", "https://192.0.2.1"),
        ("[::1]:7", "https://[::1]:7", "https://[::2]:7"),
    ] {
        let harness = world.harness(name);
        assert_eq!((goes(&harness, name, own), goes(&harness, name, other)), (200, 403), "{name}");
    }
    assert_eq!(world.asked.load(SeqCst), 0);
}

#[test]
fn delegations_are_followed() {
    for (body, place) in [
        (r#"{"m.server":"m.a.de:443"}"#, "https://m.a.de"),
        (r#"{"m.server":"M.a.de"}"#, "https://m.a.de:8448"),
        (r#"{"m.server":"192.0.2.7","more":1}"#, "https://192.0.2.7:8448"),
        (r#"{"m.server":"[::7]:1"}"#, "https://[::7]:1"),
    ] {
        let harness = World::default().delegates(body).harness("a.de");
        assert_eq!(goes(&harness, "a.de", place), 200, "{body}");
        assert_eq!(goes(&harness, "a.de", "https://evil.de:8448"), 403, "{body}");
        assert_eq!(goes(&harness, "a.de", "https://evil.de"), 403, "{body}");
    }
}

#[test]
fn what_is_no_delegation_leads_nowhere() {
    for body in ["", "[]", r#"{"m.server":1}"#, r#"{"m.server":"evil.de/"}"#, r#"{"server":"evil.de"}"#, "\"evil.de\""] {
        let harness = World::default().delegates(body).harness("a.de");
        assert_eq!(goes(&harness, "a.de", "https://evil.de:8448"), 403, "{body}");
    }
}

#[test]
fn services_are_found_by_srv() {
    let world = World::default().answers(404).record("_matrix-fed._tcp.a.de", "fed.a.de.", 1234);
    let harness = world.record("_matrix._tcp.a.de", "old.a.de.", 1).harness("a.de");
    assert_eq!(goes(&harness, "a.de", "https://fed.a.de:1234"), 200);
    assert_eq!(goes(&harness, "a.de", "https://fed.a.de:1235"), 403);
    // The deprecated name counts only where there is no other.
    assert_eq!(goes(&harness, "a.de", "https://old.a.de:1"), 403);
    let old = World::default().answers(404).record("_matrix._tcp.a.de", "old.a.de.", 1).harness("a.de");
    assert_eq!(goes(&old, "a.de", "https://old.a.de:1"), 200);
    // Of a delegate without a port.
    let world = World::default().delegates(r#"{"m.server":"m.de"}"#).record("_matrix-fed._tcp.m.de", "x.m.de.", 9);
    let harness = world.record("_matrix-fed._tcp.a.de", "not.a.de.", 9).harness("a.de");
    assert_eq!(goes(&harness, "a.de", "https://x.m.de:9"), 200);
    assert_eq!(goes(&harness, "a.de", "https://not.a.de:9"), 403);
    // With one, nobody is asked.
    let world = World::default().delegates(r#"{"m.server":"m.de:1"}"#).record("_matrix-fed._tcp.m.de", "x.m.de.", 9);
    assert_eq!(goes(&world.harness("a.de"), "a.de", "https://x.m.de:9"), 403);
}

#[test]
fn what_was_found_is_kept_and_looked_up_again_when_it_does_not_fit() {
    let world = World::default().delegates(r#"{"m.server":"m.a.de:443"}"#);
    let harness = world.harness("a.de");
    for _ in 0..3 {
        assert_eq!(goes(&harness, "a.de", "https://m.a.de"), 200);
    }
    // Others don't fit, and nobody is asked more often than once in a minute.
    for _ in 0..3 {
        assert_eq!(goes(&harness, "a.de", "https://evil.de"), 403);
    }
    assert_eq!(world.asked.load(SeqCst), 1);
    harness.pass(Duration::from_hours(24));
    assert_eq!((goes(&harness, "a.de", "https://m.a.de"), world.asked.load(SeqCst)), (200, 2));
}

#[test]
fn who_cannot_be_asked_may_be_asked_later() {
    let world = World::default();
    let harness = world.harness("a.de");
    assert_eq!(goes(&harness, "a.de", "https://m.a.de"), 503);
    assert_eq!(goes(&harness, "a.de", "https://m.a.de"), 503);
    assert_eq!(world.asked.load(SeqCst), 1);
    let world = world.delegates(r#"{"m.server":"m.a.de:443"}"#);
    harness.pass(Duration::from_mins(1));
    assert_eq!((goes(&harness, "a.de", "https://m.a.de"), world.asked.load(SeqCst)), (200, 2));
    assert_eq!(goes(&World::default().answers(503).harness("a.de"), "a.de", "https://m.a.de"), 503);
}

#[test]
fn requests_without_tls_are_a_choice() {
    let harness = World::default().harness("a.de:80");
    assert_eq!(goes(&harness, "a.de:80", "http://a.de"), 403);
}

#[test]
fn media_go_to_their_server() {
    let harness = World::default().delegates(r#"{"m.server":"m.a.de:443"}"#).harness("a.de");
    let get = |upstream: &str| {
        let mut request = TestRequest::get("/_matrix/media/v3/download/a.de/1");
        upstream.clone_into(&mut request.upstream);
        matches!(harness.request(request).verdict.expect("no failure"), RequestVerdict::Next)
    };
    assert!(get("https://m.a.de") && get("https://a.de:8448") && !get("https://evil.de"));
}
