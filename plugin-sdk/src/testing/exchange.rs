//! Whole flows.

use std::collections::BTreeMap;

use super::{Answer, Harness, HookFailure, LogLine, TestFlow, TestRequest, TestResponse};
use crate::{Addon, FailureKind, Origin, Refusal, RequestVerdict, ResponseVerdict, http};

/// What a flow came to.
#[derive(Debug)]
#[must_use]
pub struct Exchange {
    /// What went upstream; none if the request was answered or dropped before.
    pub sent: Option<TestRequest>,
    /// What the client was sent; none if its connection was dropped. See [`response`](Self::response).
    pub received: Option<TestResponse>,
    /// Why hooks had no verdict, in order.
    pub failures: Vec<HookFailure>,
    /// Notes at the end of the flow.
    pub notes: BTreeMap<String, String>,
    /// Requests of their own that the hooks made, in order.
    pub http: Vec<http::Request>,
    /// Requests that the hooks put into the addon's outbox, in order.
    pub outbox: Vec<http::Request>,
    /// What the hooks logged.
    pub log: Vec<LogLine>,
}

/// What a `request` hook came to.
#[derive(Debug)]
#[must_use]
pub struct Requested {
    /// [`RequestVerdict::Next`] also where no subscription asks for the event.
    pub verdict: Result<RequestVerdict, HookFailure>,
    /// The request as the next addon would see it.
    pub request: TestRequest,
    /// Notes after the hook.
    pub notes: BTreeMap<String, String>,
    /// Requests of its own that the hook made, in order.
    pub http: Vec<http::Request>,
    /// Requests that it put into the addon's outbox, in order.
    pub outbox: Vec<http::Request>,
    /// What the hook logged.
    pub log: Vec<LogLine>,
}

/// What a `response` hook came to.
#[derive(Debug)]
#[must_use]
pub struct Responded {
    /// [`ResponseVerdict::Next`] also where no subscription asks for the event.
    pub verdict: Result<ResponseVerdict, HookFailure>,
    /// The response as the next addon would see it, unless the verdict replaces it.
    pub response: TestResponse,
    /// Notes after the hook.
    pub notes: BTreeMap<String, String>,
    /// Requests of its own that the hook made, in order.
    pub http: Vec<http::Request>,
    /// Requests that it put into the addon's outbox, in order.
    pub outbox: Vec<http::Request>,
    /// What the hook logged.
    pub log: Vec<LogLine>,
}

impl Exchange {
    /// What the client was sent.
    ///
    /// # Panics
    ///
    /// If its connection was dropped instead.
    pub fn response(&self) -> &TestResponse {
        match &self.received {
            Some(response) => response,
            None => panic!("the client's connection was dropped; failures: {:?}", self.failures),
        }
    }
}

impl<A: Addon> Harness<A> {
    /// Runs the `request` hook alone, on a fresh addon.
    pub fn request(&self, request: TestRequest) -> Requested {
        let mut flow = self.flow(request);
        let verdict = flow.request();
        let (http, outbox, log) = (flow.http(), flow.outbox(), flow.log().to_vec());
        Requested { verdict, request: flow.staged_request(), notes: flow.notes(), http, outbox, log }
    }

    /// Runs the `response` hook alone, on a fresh addon.
    pub fn response(&self, request: TestRequest, response: TestResponse) -> Responded {
        let mut flow = self.flow(request);
        let verdict = flow.response(response);
        let (http, outbox, log) = (flow.http(), flow.outbox(), flow.log().to_vec());
        Responded { verdict, response: flow.staged_response(), notes: flow.notes(), http, outbox, log }
    }

    /// Runs a whole flow on a fresh addon: the `request` hook; then, unless that answered, `upstream` with what is sent, and the
    /// `upstream_error` hook if it fails; then the `response` hook and the `finish` hook.
    ///
    /// `upstream` returns a [`TestResponse`] or an [`UpstreamFailure`](crate::UpstreamFailure).
    pub fn exchange<U: Into<Answer>>(&self, request: TestRequest, upstream: impl FnOnce(&TestRequest) -> U) -> Exchange {
        let mut flow = self.flow(request);
        let mut run = Run { is_open: self.is_open, origin: Origin::Addon(self.name.clone()), failures: Vec::new() };
        let mut sent = None;
        let received = match run.answer(&mut flow, upstream, &mut sent) {
            // No addon sees how the core refuses a request that is too large.
            Some(response) if response.status == 413 && response.origin == Origin::Core => Some(response),
            Some(response) => run.show(&mut flow, response),
            None => None,
        };
        let finished = flow.finish(received.clone());
        run.note(finished.err());
        let (http, outbox, log) = (flow.http(), flow.outbox(), flow.log().to_vec());
        Exchange { sent, received, failures: run.failures, notes: flow.notes(), http, outbox, log }
    }
}

struct Run {
    is_open: bool,
    origin: Origin,
    failures: Vec<HookFailure>,
}

impl Run {
    /// The response before the response hook.
    fn answer<A: Addon, U: Into<Answer>>(
        &mut self,
        flow: &mut TestFlow<A>,
        upstream: impl FnOnce(&TestRequest) -> U,
        sent: &mut Option<TestRequest>,
    ) -> Option<TestResponse> {
        match flow.request() {
            Ok(RequestVerdict::Next | RequestVerdict::EndChain) => {}
            Ok(RequestVerdict::Respond(response)) => return Some(TestResponse::made(response, self.origin.clone())),
            Ok(RequestVerdict::Refuse(refusal)) => {
                return Some(TestResponse::made(refusal.into_response(), self.origin.clone()));
            }
            Ok(RequestVerdict::Drop) => return None,
            Err(failure) => {
                if let Some(response) = self.fail(failure) {
                    return Some(response);
                }
            }
        }
        let request = flow.staged_request();
        let answer = upstream(&request).into();
        *sent = Some(request);
        let failure = match answer {
            Answer::Response(response) => return Some(response),
            Answer::Failure(failure) => failure,
        };
        match flow.upstream_error(&failure) {
            Ok(Some(response)) => Some(TestResponse::made(response, self.origin.clone())),
            Ok(None) => Some(unavailable(failure.kind)),
            Err(failed) => Some(self.fail(failed).unwrap_or_else(|| unavailable(failure.kind))),
        }
    }

    /// The response after the response hook.
    fn show<A: Addon>(&mut self, flow: &mut TestFlow<A>, response: TestResponse) -> Option<TestResponse> {
        match flow.response(response) {
            Ok(ResponseVerdict::Next) => Some(flow.staged_response()),
            Ok(ResponseVerdict::Replace(response)) => Some(TestResponse::made(response, self.origin.clone())),
            Ok(ResponseVerdict::Drop) => None,
            Err(failure) => Some(self.fail(failure).unwrap_or_else(|| flow.staged_response())),
        }
    }

    /// What the client is answered after this failure; none if the flow goes on.
    fn fail(&mut self, failure: HookFailure) -> Option<TestResponse> {
        let response = match &failure {
            HookFailure::OverCap(status) => Some(core(*status, "M_TOO_LARGE", "the body is too large")),
            // The failure before is the one that counts.
            HookFailure::Gone => return None,
            _ if self.is_open => None,
            _ => Some(core(503, "M_UNKNOWN", "an addon failed")),
        };
        self.failures.push(failure);
        response
    }

    fn note(&mut self, failure: Option<HookFailure>) {
        self.failures.extend(failure.filter(|failure| *failure != HookFailure::Gone));
    }
}

fn unavailable(kind: FailureKind) -> TestResponse {
    match kind {
        FailureKind::Timeout => core(504, "M_UNKNOWN", "the upstream did not answer in time"),
        _ => core(502, "M_UNKNOWN", "the upstream could not be reached"),
    }
}

fn core(status: u16, errcode: &str, error: &str) -> TestResponse {
    TestResponse::made(Refusal::new(status, errcode, error).into_response(), Origin::Core)
}
