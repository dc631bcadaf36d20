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
