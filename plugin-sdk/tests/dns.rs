//! The domain name system in the test harness.
#![allow(clippy::panic, reason = "helpers of tests may")]

use std::time::Duration;

use tollgate_sdk::{
    Addon, Error, Event, Flow, NoOptions, OptionErrors, Request, RequestVerdict, Subscription, dns,
    serde_json::json,
    testing::{Harness, HookFailure, TestRequest},
};

/// Asks so often for what the path names.
struct Asks;

impl Addon for Asks {
    type Options = NoOptions;

    fn configure(_: NoOptions) -> Result<Self, OptionErrors> {
        assert_eq!(dns::srv("a.example", None), Err(dns::Error::Denied), "not within a hook");
        Ok(Self)
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        vec![Subscription::to(Event::Request)]
    }

    fn request(&mut self, flow: &Flow, request: &mut Request) -> Result<RequestVerdict, Error> {
        let (path, query) = (request.path(), request.query());
        let times = query.get("times").and_then(|times| times.parse().ok()).unwrap_or(1);
        let mut found = Vec::new();
        for _ in 0..times {
            found = dns::srv(path.trim_start_matches('/'), Duration::from_secs(1))?;
        }
        let targets: Vec<_> = found.iter().map(|service| service.target.as_str()).collect();
        flow.set_note("found", &targets.join(" "))?;
        Ok(RequestVerdict::Next)
    }
}

fn service(priority: u16, weight: u16, target: &str) -> dns::Service {
    dns::Service { priority, weight, port: 1, target: target.to_owned() }
}

fn asked(harness: &Harness<Asks>, target: &str) -> Result<Option<String>, String> {
    let done = harness.request(TestRequest::get(target));
    match done.verdict {
        Ok(_) => Ok(done.notes.get("found").cloned()),
        Err(HookFailure::Failed(error)) => Err(error.to_string()),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn without_answers_it_is_denied() {
    let harness = Harness::<Asks>::configure(json!({})).expect("no options");
    assert!(asked(&harness, "/a.example").is_err_and(|error| error.starts_with("denied")));
}

#[test]
fn answers_come_in_order_and_within_limits() {
    let harness = Harness::<Asks>::configure(json!({})).expect("no options").with_dns(|name| match name {
        "a.example" => Ok(vec![service(2, 9, "c."), service(1, 1, "b."), service(1, 2, "a.")]),
        "32.example" => Ok(vec![service(1, 1, "."); 32]),
        "33.example" => Ok(vec![service(1, 1, "."); 33]),
        _ => Err(dns::Error::Timeout),
    });
    assert_eq!(asked(&harness, "/a.example"), Ok(Some("a. b. c.".to_owned())));
    assert!(asked(&harness, "/32.example").is_ok());
    assert_eq!(asked(&harness, "/33.example"), Err("more than 32 records".to_owned()));
    assert_eq!(asked(&harness, "/b.example"), Err("no answer within the timeout".to_owned()));
    assert!(asked(&harness, "/a%20b").is_err_and(|error| error.starts_with("no legal question")));
    assert!(asked(&harness, "/a.example?times=64").is_ok());
    assert_eq!(asked(&harness, "/a.example?times=65"), Err("64 questions were asked already".to_owned()));
}
