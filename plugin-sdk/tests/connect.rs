//! The harness asks about CONNECT as the host does.
#![allow(clippy::panic, reason = "helpers of tests may")]

use tollgate_sdk::{
    Addon, Change, ConnectVerdict, Error, Event, Flow, NoOptions, OptionErrors, Refusal, Request, Subscription,
    serde_json::json,
    testing::{Facts, Harness, HookFailure, TestRequest},
};

/// Tunnels to one host, refuses others, and leaves it to the listener where a field says so.
struct Gate;

impl Addon for Gate {
    type Options = NoOptions;

    fn configure(_: NoOptions) -> Result<Self, OptionErrors> {
        Ok(Self)
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        vec![Subscription::to(Event::Connect)]
    }

    fn connect(&mut self, flow: &Flow, request: &Request, host: &str, port: u16) -> Result<ConnectVerdict, Error> {
        assert_eq!((flow.connect_id(), flow.proxy_user().as_deref()), (None, Some("ann")));
        flow.set_note("host", host)?;
        Ok(match (host, port) {
            _ if request.header_str("X-Pass").is_some() => ConnectVerdict::Next,
            ("pinned.test", 443) => ConnectVerdict::Tunnel,
            ("seen.test", 443) => ConnectVerdict::Intercept,
            ("odd.test", _) => ConnectVerdict::Refuse(Refusal::new(200, "M_ODD", "no error")),
            _ => ConnectVerdict::Refuse(Refusal::new(403, "M_FORBIDDEN", "no")),
        })
    }
}

fn harness() -> Harness<Gate> {
    let facts = Facts { proxy_user: Some("ann".to_owned()), ..Facts::default() };
    Harness::configure(json!({})).unwrap_or_else(|errors| panic!("{errors}")).with_facts(facts)
}

#[test]
fn verdicts_are_those_of_the_hook() {
    let harness = harness();
    for (host, expected) in [("pinned.test", ConnectVerdict::Tunnel), ("seen.test", ConnectVerdict::Intercept)] {
        let mut flow = harness.flow(TestRequest::get("/"));
        assert_eq!(flow.connect(host, 443), Ok(expected));
        assert_eq!(flow.notes().get("host").map(String::as_str), Some(host));
        assert_eq!(flow.mutations().len(), 1, "the note");
    }
    let mut flow = harness.flow(TestRequest::get("/").with_header("x-pass", "1"));
    assert_eq!(flow.connect("pinned.test", 443), Ok(ConnectVerdict::Next));
}

#[test]
fn refusals_are_written_down_and_checked() {
    let harness = harness();
    let mut flow = harness.flow(TestRequest::get("/"));
    assert!(matches!(flow.connect("pinned.test", 444), Ok(ConnectVerdict::Refuse(refusal)) if refusal.status == 403));
    assert!(
        flow.mutations().iter().any(|mutation| mutation.event == "connect" && mutation.changes.contains(&Change::Answered(403)))
    );
    let mut flow = harness.flow(TestRequest::get("/"));
    assert!(matches!(flow.connect("odd.test", 1), Err(HookFailure::Verdict(_))));
    assert!(flow.notes().is_empty());
}

/// Asks and has no opinion.
struct Silent;

impl Addon for Silent {
    type Options = NoOptions;

    fn configure(_: NoOptions) -> Result<Self, OptionErrors> {
        Ok(Self)
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        vec![Subscription::to(Event::Connect)]
    }
}

#[test]
fn no_opinion_is_the_default() {
    let harness: Harness<Silent> = Harness::configure(json!({})).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(harness.flow(TestRequest::get("/")).connect("a.test", 443), Ok(ConnectVerdict::Next));
}
