//! Requests that are sent later, in the harness.
#![allow(clippy::panic, reason = "helpers of tests may")]

use std::time::Duration;

use serde::Deserialize;
use tollgate_sdk::{
    Addon, Error, Event, Flow, OptionErrors, Request, RequestVerdict, Subscription, http, outbox,
    serde_json::json,
    testing::{Harness, HookFailure, TestRequest},
};

/// Reports each request, so often.
struct Reporting {
    options: Options,
}

#[derive(Deserialize)]
#[serde(default)]
struct Options {
    url: String,
    times: usize,
    timeout: u64,
    lifetime: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { url: "https://reports.test/".to_owned(), times: 1, timeout: 10_000, lifetime: 60_000 }
    }
}

impl Addon for Reporting {
    type Options = Options;

    fn configure(options: Options) -> Result<Self, OptionErrors> {
        Ok(Self { options })
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        vec![Subscription::to(Event::Request)]
    }

    fn request(&mut self, _: &Flow, request: &mut Request) -> Result<RequestVerdict, Error> {
        let timeout = Duration::from_millis(self.options.timeout);
        let report = http::Request::post(&self.options.url).timeout(timeout).body(request.path());
        for _ in 0..self.options.times {
            outbox::put(&report, Some(Duration::from_millis(self.options.lifetime)))?;
        }
        Ok(RequestVerdict::Next)
    }
}

fn harness(options: tollgate_sdk::serde_json::Value) -> Harness<Reporting> {
    Harness::configure(options).unwrap_or_else(|errors| panic!("{errors}"))
}

fn failure(harness: &Harness<Reporting>) -> String {
    match harness.request(TestRequest::get("/a")).verdict {
        Err(HookFailure::Failed(error)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_put_in_is_there_to_look_at() {
    let done = harness(json!({})).request(TestRequest::get("/a"));
    assert_eq!(done.verdict, Ok(RequestVerdict::Next));
    let bodies: Vec<_> = done.outbox.iter().map(|request| (request.url.as_str(), request.body.as_slice())).collect();
    assert_eq!(bodies, [("https://reports.test/", &b"/a"[..])]);
    assert!(done.http.is_empty());
}

#[test]
fn room_and_grant_are_up_to_the_test() {
    let two = || harness(json!({ "times": 2 }));
    assert_eq!(two().with_outbox_room(2).request(TestRequest::get("/a")).outbox.len(), 2);
    assert_eq!(failure(&two().with_outbox_room(1)), "the outbox is full: 1 requests wait, limit 1");
    assert!(failure(&two().without_outbox()).starts_with("denied: "));
}

#[test]
fn a_hook_puts_in_sixty_four() {
    assert_eq!(harness(json!({ "times": 64 })).request(TestRequest::get("/a")).outbox.len(), 64);
    assert!(failure(&harness(json!({ "times": 65 }))).starts_with("the outbox is full: 64 "));
}

#[test]
fn illegal_requests_are_not_taken() {
    for options in [json!({ "url": "ftp://a/" }), json!({ "timeout": 60_001 }), json!({ "lifetime": 86_400_001 })] {
        assert!(failure(&harness(options.clone())).starts_with("invalid: "), "{options}");
    }
    for options in [json!({ "timeout": 60_000 }), json!({ "lifetime": 86_400_000 })] {
        assert_eq!(harness(options).request(TestRequest::get("/a")).outbox.len(), 1);
    }
}
