//! Requests of an addon's own, in the harness.
#![allow(clippy::panic, reason = "helpers of tests may")]

use serde::Deserialize;
use tollgate_sdk::{
    Addon, Error, Event, Flow, OptionErrors, Refusal, Request, RequestVerdict, Subscription, http,
    serde_json::{Value, json},
    testing::{Harness, HookFailure, Requested, TestRequest, TestResponse},
};

/// Asks a service about each request.
struct Asking {
    url: String,
    times: usize,
}

#[derive(Deserialize)]
#[serde(default)]
struct Options {
    url: String,
    times: usize,
    early: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { url: "https://check.test/".to_owned(), times: 1, early: false }
    }
}

impl Addon for Asking {
    type Options = Options;

    fn configure(options: Options) -> Result<Self, OptionErrors> {
        if options.early
            && let Err(error) = http::Request::get(&options.url).send()
        {
            return Err(OptionErrors::one("early", error.to_string()));
        }
        Ok(Self { url: options.url, times: options.times })
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        vec![Subscription::to(Event::Request), Subscription::to(Event::Finish)]
    }

    fn request(&mut self, _: &Flow, request: &mut Request) -> Result<RequestVerdict, Error> {
        let ask = http::Request::post(&self.url).bearer("token").json(&json!({ "path": request.path() }))?;
        for _ in 1..self.times {
            ask.send()?;
        }
        let response = ask.send()?;
        if response.is_success() && response.json::<bool>()? {
            request.set_header("X-Checked", response.header("x-by").unwrap_or("nobody"))?;
            return Ok(RequestVerdict::Next);
        }
        Ok(Refusal::new(403, "M_FORBIDDEN", format!("{} of {}", response.status, response.url)).into())
    }
}

fn asking(options: Value) -> Harness<Asking> {
    Harness::configure(options).unwrap_or_else(|errors| panic!("{errors}"))
}

fn failure(done: Requested) -> String {
    match done.verdict {
        Err(HookFailure::Failed(error)) => error.to_string(),
        other => panic!("no failure: {other:?}"),
    }
}

#[test]
fn the_test_answers_and_reads_what_was_asked() {
    let harness = asking(json!({})).with_http(|request| {
        assert_eq!(request.url, "https://check.test/");
        Ok(http::Response::new(200).with_header("X-By", "service").with_body("true"))
    });
    let done = harness.exchange(TestRequest::get("/a?b"), |_| TestResponse::new(200));
    let sent = done.sent.as_ref().expect("a request");
    assert_eq!(sent.header("x-checked"), Some("service"));
    let [asked] = done.http.as_slice() else { panic!("{:?}", done.http) };
    assert_eq!((asked.method.as_str(), &asked.body[..]), ("POST", &br#"{"path":"/a"}"#[..]));
    assert!(asked.headers.contains(&("Authorization".to_owned(), b"Bearer token".to_vec())));
}

#[test]
fn a_status_is_no_error() {
    let harness = asking(json!({})).with_http(|_| Ok(http::Response::new(500)));
    let done = harness.exchange(TestRequest::get("/"), |_| TestResponse::new(200));
    assert_eq!(done.response().json::<Value>()["error"], "500 of https://check.test/");
}

#[test]
fn errors_of_the_test_reach_the_hook() {
    let harness = asking(json!({})).with_http(|_| Err(http::Error::Timeout));
    assert_eq!(failure(harness.request(TestRequest::get("/"))), "no response within the timeout");
}

#[test]
fn without_an_answer_all_is_denied() {
    let done = asking(json!({})).request(TestRequest::get("/"));
    assert!(done.http.is_empty());
    assert!(failure(done).starts_with("denied: "));
}

#[test]
fn configure_makes_no_requests() {
    let refused = Harness::<Asking>::configure(json!({"early": true})).expect_err("refused");
    assert!(refused.to_string().starts_with("early: denied: "), "{refused}");
}

#[test]
fn illegal_requests_never_reach_the_test() {
    let harness = asking(json!({"url": "ftp://check.test/"})).with_http(|_| Ok(http::Response::new(200)));
    let done = harness.request(TestRequest::get("/"));
    assert!(done.http.is_empty());
    assert!(failure(done).starts_with("no legal request: "));
}

#[test]
fn a_hook_makes_64_requests() {
    for (times, is_allowed) in [(63, true), (64, true), (65, false)] {
        let harness = asking(json!({"times": times})).with_http(|_| Ok(http::Response::new(200).with_body("true")));
        let done = harness.request(TestRequest::get("/"));
        assert_eq!((done.verdict.is_ok(), done.http.len()), (is_allowed, times.min(64)));
    }
}

#[test]
fn large_responses_are_too_large() {
    let harness = asking(json!({})).with_http(|_| Ok(http::Response::new(200).with_body(vec![b' '; (10 << 20) + 1])));
    assert_eq!(failure(harness.request(TestRequest::get("/"))), "the body of the response is over 10485760 bytes");
}
