//! The harness keeps the promises that the host keeps.
#![allow(clippy::panic, reason = "one hook has to, and helpers of tests may")]

use serde::Deserialize;
use tollgate_sdk::{
    Addon, BodyDigest, Change, EditError, Error, Event, FailureKind, Flow, MadeResponse, MessageKind, OptionErrors, Origin,
    Outcome, OverCap, Refusal, Request, RequestVerdict, Response, ResponseVerdict, Subscription, UpstreamFailure,
    log::Level,
    serde_json::{Value, json},
    testing::{Harness, HookFailure, TestRequest, TestResponse},
};

/// Does in each hook what the options say.
struct Probe {
    options: Options,
    calls: u32,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Options {
    request: String,
    response: String,
    body: String,
    cap: Option<u64>,
}

impl Addon for Probe {
    type Options = Options;

    fn configure(options: Options) -> Result<Self, OptionErrors> {
        tollgate_sdk::log::info!("configured");
        Ok(Self { options, calls: 0 })
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        let with_body = |subscription: Subscription| match (self.options.body.as_str(), self.options.cap) {
            ("full", None) => subscription.with_body(),
            ("refuse", Some(cap)) => subscription.with_body_up_to(cap, OverCap::Refuse),
            ("pass", Some(cap)) => subscription.with_body_up_to(cap, OverCap::PassUnseen),
            ("truncate", Some(cap)) => subscription.with_body_up_to(cap, OverCap::Truncate),
            _ => subscription,
        };
        vec![
            with_body(Subscription::to(Event::Request)),
            with_body(Subscription::to(Event::Response)),
            Subscription::to(Event::UpstreamError),
            Subscription::to(Event::Finish),
        ]
    }

    fn request(&mut self, flow: &Flow, request: &mut Request) -> Result<RequestVerdict, Error> {
        self.calls += 1;
        tollgate_sdk::log::warn!(calls = self.calls; "seen {}", request.url());
        request.set_header("X-Edited", "yes")?;
        flow.set_note("seen", "yes")?;
        match self.options.request.as_str() {
            "fail" => Err(Error::new("no")),
            "panic" => panic!("really {}", "no"),
            "respond" => Ok(MadeResponse::text(200, "mine").into()),
            "refuse" => Ok(Refusal::new(403, "M_FORBIDDEN", "no").into()),
            "impossible" => Ok(MadeResponse::empty(99).into()),
            "framing" => Ok(MadeResponse::empty(200).header("Content-Length", "5").into()),
            "drop" => Ok(RequestVerdict::Drop),
            "body" => {
                let body = request.body().map(|body| String::from_utf8_lossy(&body).into_owned());
                request.set_header("X-Body", body.unwrap_or_else(|| "none".to_owned()))?;
                match request.set_body("new") {
                    Ok(()) | Err(EditError::ReadOnly) => Ok(RequestVerdict::Next),
                    Err(error) => Err(error.into()),
                }
            }
            _ => Ok(RequestVerdict::Next),
        }
    }

    fn response(&mut self, _: &Flow, _: &Request, response: &mut Response) -> Result<ResponseVerdict, Error> {
        self.calls += 1;
        response.set_header("X-Calls", self.calls.to_string())?;
        response.set_header("X-Origin", format!("{:?}", response.origin()))?;
        match self.options.response.as_str() {
            "fail" => Err(Error::new("no")),
            "body" => {
                response.set_body("new")?;
                Ok(ResponseVerdict::Next)
            }
            "replace" => Ok(MadeResponse::text(201, "other").into()),
            _ => Ok(ResponseVerdict::Next),
        }
    }

    fn upstream_error(&mut self, _: &Flow, _: &Request, failure: &UpstreamFailure) -> Result<Option<MadeResponse>, Error> {
        Ok((failure.kind == FailureKind::Dns).then(|| MadeResponse::text(200, "from the cache")))
    }

    fn finish(&mut self, flow: &Flow, _: &Request, outcome: &Outcome) -> Result<(), Error> {
        tollgate_sdk::log::debug!("finished with {:?}", outcome.status());
        assert_eq!(outcome.mutations_left_out(), 0);
        tollgate_sdk::log::debug!("mutations {:?}", outcome.mutations());
        assert_eq!(flow.set_note("late", "yes"), Err(EditError::ReadOnly));
        Ok(())
    }
}

fn harness(options: Value) -> Harness<Probe> {
    Harness::configure(options).unwrap_or_else(|errors| panic!("{errors}"))
}

fn ok(_: &TestRequest) -> TestResponse {
    TestResponse::new(200).with_body("from upstream")
}

#[test]
fn flow_runs_all_hooks_on_one_addon() {
    let done = harness(json!({})).exchange(TestRequest::get("/a"), ok);
    assert_eq!(done.response().header("x-calls"), Some("2"));
    assert_eq!(done.response().header("x-origin"), Some("Upstream"));
    assert_eq!(done.sent.as_ref().and_then(|sent| sent.header("x-edited")), Some("yes"));
    assert_eq!(done.notes.get("seen").map(String::as_str), Some("yes"));
    assert_eq!(done.failures, []);
}

#[test]
fn each_flow_has_a_fresh_addon() {
    let harness = harness(json!({}));
    for _ in 0..2 {
        assert_eq!(harness.exchange(TestRequest::get("/"), ok).response().header("x-calls"), Some("2"));
    }
}

#[test]
fn log_lines_and_fields_are_caught() {
    let harness = harness(json!({}));
    assert_eq!(harness.log().iter().map(|line| line.message.as_str()).collect::<Vec<_>>(), ["configured"]);
    let log = harness.exchange(TestRequest::get("/a?b"), ok).log;
    assert_eq!((log[0].level, log[0].message.as_str()), (Level::Warn, "seen http://tollgate.test/a?b"));
    assert_eq!(log[0].fields, [("calls".to_owned(), "1".to_owned())]);
    assert_eq!(log[1].message, "finished with Some(200)");
}

#[test]
fn failed_hook_leaves_nothing_behind() {
    for how in ["fail", "panic", "impossible", "framing"] {
        let done = harness(json!({ "request": how })).request(TestRequest::get("/"));
        assert!(done.verdict.is_err(), "{how}");
        assert_eq!((done.request.headers.len(), done.notes.len()), (0, 0), "{how}");
    }
}

#[test]
fn failure_closes_or_opens_the_flow() {
    let closed = harness(json!({ "request": "fail" }));
    let done = closed.exchange(TestRequest::get("/"), ok);
    assert_eq!((done.response().status, &done.response().origin, done.sent.is_none()), (503, &Origin::Core, true));
    assert_eq!(done.failures, [HookFailure::Failed(Error::new("no"))]);

    let done = closed.fail_open().exchange(TestRequest::get("/"), ok);
    // The addon is gone: its response hook is not called.
    assert_eq!((done.response().status, done.response().header("x-calls")), (200, None));

    let done = harness(json!({ "response": "fail" })).fail_open().exchange(TestRequest::get("/"), ok);
    assert_eq!((done.response().status, done.response().header("x-calls")), (200, None));
}

#[test]
fn panics_tell_message_and_place() {
    let done = harness(json!({ "request": "panic" })).request(TestRequest::get("/"));
    let Err(HookFailure::Panicked { message, place }) = done.verdict else { panic!("{done:?}") };
    assert_eq!(message, "really no");
    assert!(place.contains("tests/harness.rs:"), "{place}");
}

#[test]
fn own_responses_pass_the_response_hook() {
    let done = harness(json!({ "request": "respond" })).with_name("probe").exchange(TestRequest::get("/"), ok);
    assert_eq!((done.response().text(), done.response().header("x-origin")), ("mine", Some("Addon(\"probe\")")));
    let done = harness(json!({ "request": "refuse" })).exchange(TestRequest::get("/"), ok);
    assert_eq!(done.response().json::<Value>(), json!({ "errcode": "M_FORBIDDEN", "error": "no" }));
    assert_eq!((done.response().status, done.response().header("x-calls")), (403, Some("2")));
}

#[test]
fn dropped_connection_has_no_response() {
    let done = harness(json!({ "request": "drop" })).exchange(TestRequest::get("/"), ok);
    assert_eq!((done.received, done.sent), (None, None));
    assert_eq!(done.log[1].message, "finished with None");
}

#[test]
fn upstream_failures_become_statuses() {
    let fail = |kind| move |_: &TestRequest| UpstreamFailure { kind, message: String::new() };
    let harness = harness(json!({}));
    for (kind, status, origin) in
        [(FailureKind::Timeout, 504, "Core"), (FailureKind::Tls, 502, "Core"), (FailureKind::Dns, 200, "Addon(\"addon\")")]
    {
        let done = harness.exchange(TestRequest::get("/"), fail(kind));
        assert_eq!((done.response().status, done.response().header("x-origin")), (status, Some(origin)), "{kind:?}");
    }
}

#[test]
fn body_is_seen_only_if_asked_for() {
    let sent = |options| {
        let request = TestRequest::post("/").with_header("Content-Encoding", "gzip").with_header("Content-Length", "9");
        let done = harness(options).request(request.with_body("old body"));
        assert_eq!(done.verdict, Ok(RequestVerdict::Next));
        done.request
    };
    let unasked = sent(json!({ "request": "body" }));
    assert_eq!((unasked.header("x-body"), unasked.text()), (Some("none"), "new"));
    let asked = sent(json!({ "request": "body", "body": "full" }));
    assert_eq!((asked.header("x-body"), asked.text()), (Some("old body"), "new"));
    assert_eq!((asked.header("content-length"), asked.header("content-encoding")), (Some("3"), None));
}

#[test]
fn caps_refuse_pass_or_truncate() {
    let options = |how: &str, cap| json!({ "request": "body", "body": how, "cap": cap });
    let request = || TestRequest::post("/").with_body("12345");

    for how in ["refuse", "pass", "truncate"] {
        assert_eq!(harness(options(how, 5)).request(request()).request.header("x-body"), Some("12345"), "{how} at the cap");
    }
    let done = harness(options("refuse", 4)).exchange(request(), ok);
    assert_eq!((done.response().status, &done.failures[..]), (413, &[HookFailure::OverCap(413)][..]));
    let done = harness(options("pass", 4)).request(request());
    assert_eq!((done.request.header("x-edited"), done.request.text()), (None, "12345"));
    let done = harness(options("truncate", 4)).request(request());
    assert_eq!((done.request.header("x-body"), done.request.text()), (Some("1234"), "12345"));
}

#[test]
fn answers_to_head_take_no_body() {
    let done = harness(json!({ "response": "body" })).exchange(TestRequest::new("HEAD", "/"), ok);
    assert!(matches!(&done.failures[..], [HookFailure::Failed(_)]), "{:?}", done.failures);
    let done = harness(json!({ "response": "body" })).exchange(TestRequest::get("/"), ok);
    assert_eq!(done.response().text(), "new");
}

#[test]
fn parts_of_a_whole_are_not_replaced() {
    let part = |_: &TestRequest| TestResponse::new(206).with_header("Content-Range", "bytes 0-3/9").with_body("part");
    let done = harness(json!({ "response": "body" })).exchange(TestRequest::get("/"), part);
    assert!(matches!(&done.failures[..], [HookFailure::Failed(_)]), "{:?}", done.failures);
    // One that does not say of what it is a part is whole.
    let whole = |_: &TestRequest| TestResponse::new(206).with_body("part");
    let done = harness(json!({ "response": "body" })).exchange(TestRequest::get("/"), whole);
    assert_eq!((done.failures.len(), done.response().text()), (0, "new"));
    let request = TestRequest::post("/").with_header("Content-Range", "bytes 0-3/9").with_body("part");
    let done = harness(json!({ "request": "body" })).request(request);
    assert!(matches!(done.verdict, Err(HookFailure::Failed(_))), "{:?}", done.verdict);
}

#[test]
fn test_says_which_subscriptions_match() {
    let harness = harness(json!({})).with_matched(Event::Request, &[]);
    let done = harness.exchange(TestRequest::get("/"), ok);
    assert_eq!(done.response().header("x-calls"), Some("1"));
}

#[test]
fn replaced_response_goes_out_instead() {
    let done = harness(json!({ "response": "replace" })).exchange(TestRequest::get("/"), ok);
    assert_eq!((done.response().status, done.response().text()), (201, "other"));
    assert_eq!(done.response().header("x-calls"), None);
}

#[test]
fn subscriptions_are_checked_as_at_load() {
    let refused = Harness::<Probe>::configure(json!({ "body": "refuse", "cap": 11 * 1024 * 1024 }));
    assert!(refused.is_err_and(|errors| errors.to_string().contains("max_body")));
}

#[test]
fn finish_is_told_what_was_changed() {
    let harness = harness(json!({"request": "body", "response": "replace", "body": "full"})).with_name("probe");
    let mut flow = harness.flow(TestRequest::post("/a").with_body("old"));
    assert!(flow.request().is_ok());
    assert!(flow.response(TestResponse::new(200)).is_ok());
    assert!(flow.finish(Some(flow.staged_response())).is_ok());
    let [request, response] = flow.mutations() else { panic!("{:?}", flow.mutations()) };
    assert_eq!((request.addon.as_str(), request.event.as_str(), response.event.as_str()), ("probe", "request", "response"));
    let digest = |bytes, sha256: &str| BodyDigest { bytes, sha256: sha256.to_owned() };
    assert_eq!(
        request.changes,
        [
            Change::Headers {
                message: MessageKind::Request,
                added: vec!["x-body".to_owned(), "x-edited".to_owned()],
                changed: vec![],
                removed: vec![],
                left_out: 0,
            },
            Change::Body {
                message: MessageKind::Request,
                before: Some(digest(3, "cba06b5736faf67e54b07b561eae94395e774c517a7d910a54369e1263ccfbd4")),
                after: digest(3, "11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437"),
            },
            Change::Notes { keys: vec!["seen".to_owned()], left_out: 0 },
        ]
    );
    assert_eq!(response.changes.last(), Some(&Change::Answered(201)));
    assert!(flow.log().iter().any(|line| line.message == format!("mutations {:?}", flow.mutations())));
}

#[test]
fn failed_hooks_change_nothing() {
    let mut flow = harness(json!({"request": "fail"})).flow(TestRequest::get("/"));
    assert!(flow.request().is_err());
    assert_eq!(flow.mutations(), []);
}
