//! What an addon keeps between flows, in the harness.
#![allow(clippy::panic, reason = "helpers of tests may")]

use std::time::Duration;

use serde::Deserialize;
use tollgate_sdk::{
    Addon, Error, Event, Flow, OptionErrors, Refusal, Request, RequestVerdict, Subscription,
    kv::{self, Bucket},
    serde_json::json,
    testing::{Harness, HookFailure, TestRequest},
};

/// Lets each path through twice in a minute, and fails after having counted where it is told to.
struct Twice {
    fails: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Options {
    fails: bool,
    early: bool,
}

impl Addon for Twice {
    type Options = Options;

    fn configure(options: Options) -> Result<Self, OptionErrors> {
        if options.early
            && let Err(error) = Bucket::new("hits").get("a")
        {
            return Err(OptionErrors::one("early", error.to_string()));
        }
        Ok(Self { fails: options.fails })
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        vec![Subscription::to(Event::Request)]
    }

    fn request(&mut self, _: &Flow, request: &mut Request) -> Result<RequestVerdict, Error> {
        let hits = Bucket::new("hits").increment(&request.path(), 1, Duration::from_mins(1))?;
        if self.fails {
            return Err(Error::new("told to"));
        }
        let is_within = hits <= 2;
        Ok(if is_within { RequestVerdict::Next } else { Refusal::new(429, "M_LIMIT_EXCEEDED", "twice a minute").into() })
    }
}

fn twice(options: tollgate_sdk::serde_json::Value) -> Harness<Twice> {
    Harness::configure(options).unwrap_or_else(|errors| panic!("{errors}"))
}

fn passes(harness: &Harness<Twice>) -> bool {
    matches!(harness.request(TestRequest::get("/a")).verdict, Ok(RequestVerdict::Next))
}

#[test]
fn flows_share_a_store() {
    let harness = twice(json!({}));
    assert_eq!([(); 3].map(|()| passes(&harness)), [true, true, false]);
    assert_eq!(harness.kv("hits", "/a").as_deref(), Some(&b"3"[..]));
    harness.pass(Duration::from_millis(59_999));
    assert!(!passes(&harness));
    // The time is that of the first.
    harness.pass(Duration::from_millis(1));
    assert!(passes(&harness));
    assert!(!passes(&twice(json!({})).with_kv("hits", "/a", "2")));
    assert!(passes(&twice(json!({}))));
}

#[test]
fn writes_of_failed_hooks_stay() {
    let harness = twice(json!({ "fails": true }));
    assert!(harness.request(TestRequest::get("/a")).verdict.is_err());
    assert_eq!(harness.kv("hits", "/a").as_deref(), Some(&b"1"[..]));
}

#[test]
fn what_is_not_granted_is_denied() {
    let denied = twice(json!({})).without_kv().request(TestRequest::get("/a")).verdict;
    assert_eq!(denied.err(), Some(HookFailure::Failed(kv::Error::Denied.into())));
    let early = Harness::<Twice>::configure(json!({ "early": true }));
    assert!(early.is_err_and(|errors| errors.to_string().contains("denied")));
}

/// Shows each post once: those of a path, apart by commas.
struct Once;

impl Addon for Once {
    type Options = Options;

    fn configure(_: Options) -> Result<Self, OptionErrors> {
        Ok(Self)
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        vec![Subscription::to(Event::Request)]
    }

    fn request(&mut self, _: &Flow, request: &mut Request) -> Result<RequestVerdict, Error> {
        let bucket = Bucket::new("posts");
        let path = request.path();
        let posts: Vec<(&str, &str)> = path.trim_start_matches('/').split(',').map(|post| (post, "seen")).collect();
        let is_new = bucket.insert_many(&posts, Duration::from_mins(1))?;
        let values = bucket.get_many(&posts.iter().map(|(post, _)| *post).collect::<Vec<_>>())?;
        let is_seen = values.iter().all(|value| value.as_deref() == Some(b"seen"));
        let mut found = Vec::new();
        let mut next = None;
        loop {
            let page = bucket.scan("p", next.as_deref(), 2)?;
            found.extend(page.entries.into_iter().map(|(key, _)| key));
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        Ok(Refusal::new(409, "M_SEEN", format!("{is_new:?} {is_seen} {}", found.join(" "))).into())
    }
}

#[test]
fn many_keys_are_asked_at_one_time() {
    let harness = Harness::<Once>::configure(json!({})).unwrap_or_else(|errors| panic!("{errors}"));
    let ask = |path: &str| match harness.request(TestRequest::get(path)).verdict {
        Ok(verdict) => format!("{verdict:?}"),
        Err(error) => format!("{error:?}"),
    };
    let first = ask("/p1,p2,p1,q");
    assert!(first.contains("[true, true, false, true] true p1 p2"), "{first}");
    let second = ask("/p2,p3,p4");
    assert!(second.contains("[false, true, true] true p1 p2 p3 p4"), "{second}");
    harness.pass(Duration::from_mins(1));
    assert!(ask("/p2").contains("[true] true p2"));
    // 256 keys, and one more.
    for (count, is_legal) in [(256, true), (257, false)] {
        let path: Vec<String> = (0..count).map(|number| number.to_string()).collect();
        assert_eq!(!ask(&format!("/{}", path.join(","))).contains("TooLarge"), is_legal, "{count}");
    }
}
