//! Asks a server of yours, the callback server, about flows in their middle, and does what it answers: answers clients in the
//! upstream's place, rewrites requests and responses, delays flows or breaks them off.
//!
//! For tests of clients, and compatible with the callback addon of complement-crypto. README.md is the manual; what the server is
//! sent is in `document.rs`, what it may answer in `answer.rs`.

mod answer;
mod document;
mod edit;
mod failure;
mod fields;
mod options;
mod plan;
mod send_error;

use std::{thread, time::Duration};

use tollgate_sdk::{
    Addon, Error, Flow, MadeResponse, OptionErrors, Request, RequestVerdict, Response, ResponseVerdict, Subscription, http, log,
};

use crate::{
    answer::{Action, Answer},
    document::Document,
    failure::Failure,
    options::{OnCallbackError, Options, Settings},
    plan::{Plan, Role},
};

/// Redirects of the callback server that are followed.
const REDIRECTS: u8 = 10;

/// The addon.
#[derive(Debug)]
pub struct Callback {
    settings: Settings,
    plan: Plan,
    /// Whether the client is answered 502 since the request callback failed: then the response callback has no say.
    is_refused: bool,
}

/// Which of the two callbacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Before anything goes upstream.
    #[default]
    Request,
    /// Before anything goes to the client.
    Response,
}

impl Addon for Callback {
    type Options = Options;

    fn configure(options: Options) -> Result<Self, OptionErrors> {
        let settings = options.check()?;
        let plan = Plan::new(&settings);
        Ok(Self { settings, plan, is_refused: false })
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        self.plan.subscriptions()
    }

    fn request(&mut self, flow: &Flow, request: &mut Request) -> Result<RequestVerdict, Error> {
        if !self.plan.is_called(flow, Role::Request) {
            return Ok(RequestVerdict::Next);
        }
        let done = match self.settings.error_to_send(flow, Phase::Request)? {
            Some(error) => Ok(error.made().into()),
            None => self.call_request(request),
        };
        let verdict = done.unwrap_or_else(|failure| match self.failed(Phase::Request, &failure) {
            Some(refused) => {
                self.is_refused = true;
                RequestVerdict::Respond(refused)
            }
            None => RequestVerdict::Next,
        });
        Ok(match verdict {
            RequestVerdict::Respond(made) => RequestVerdict::Respond(readable(made, request)),
            verdict => verdict,
        })
    }

    fn response(&mut self, flow: &Flow, request: &Request, response: &mut Response) -> Result<ResponseVerdict, Error> {
        if self.is_refused || !self.plan.is_called(flow, Role::Response) {
            return Ok(ResponseVerdict::Next);
        }
        let done = match self.settings.error_to_send(flow, Phase::Response)? {
            Some(error) => edit::response(&error, request, response),
            None => self.call_response(request, response),
        };
        Ok(done.unwrap_or_else(|failure| {
            let refused = self.failed(Phase::Response, &failure);
            refused.map_or(ResponseVerdict::Next, |refused| ResponseVerdict::Replace(readable(refused, request)))
        }))
    }
}

impl Callback {
    fn call_request(&self, request: &mut Request) -> Result<RequestVerdict, Failure> {
        let url = &self.settings.request_url;
        if url.is_empty() {
            return Ok(RequestVerdict::Next);
        }
        let answer = self.ask(url, &Document::of(request, None, self.settings.shows_headers)?)?;
        let Answer { delay, action } = Answer::parse(&answer, Phase::Request, self.settings.longest_delay())?;
        wait(delay);
        match action {
            Action::Nothing => Ok(RequestVerdict::Next),
            Action::Abort => Ok(RequestVerdict::Drop),
            Action::Respond(respond) => Ok(respond.made().into()),
            Action::Amend(amend) => edit::request(&amend, request).map(|()| RequestVerdict::Next),
        }
    }

    fn call_response(&self, request: &Request, response: &mut Response) -> Result<ResponseVerdict, Failure> {
        let url = &self.settings.response_url;
        if url.is_empty() {
            return Ok(ResponseVerdict::Next);
        }
        let answer = self.ask(url, &Document::of(request, Some(response), self.settings.shows_headers)?)?;
        let Answer { delay, action } = Answer::parse(&answer, Phase::Response, self.settings.longest_delay())?;
        wait(delay);
        match action {
            Action::Nothing | Action::Amend(_) => Ok(ResponseVerdict::Next),
            Action::Abort => Ok(ResponseVerdict::Drop),
            Action::Respond(respond) => edit::response(&respond, request, response),
        }
    }

    /// What the callback server answers. Its status is nobody's affair.
    fn ask(&self, url: &str, document: &Document) -> Result<Vec<u8>, Failure> {
        let request = http::Request::post(url).json(document).map_err(Failure::from_error)?;
        let response = request.timeout(self.settings.timeout).redirects(REDIRECTS).send().map_err(Failure::from_http)?;
        let media_type = response.header("content-type").unwrap_or_default();
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("application/json") {
            Ok(response.body)
        } else {
            Err(Failure::new("the answer is not of type application/json"))
        }
    }

    /// Tells of a callback that failed; what the client is answered, unless the flow goes on as it is.
    fn failed(&self, phase: Phase, failure: &Failure) -> Option<MadeResponse> {
        let what = match phase {
            Phase::Request => "request",
            Phase::Response => "response",
        };
        let error = failure.to_string();
        match self.settings.on_error {
            OnCallbackError::Pass => {
                log::warn!(error = error.as_str(); "the {what} callback failed: the flow goes on unchanged");
                None
            }
            OnCallbackError::Fail => {
                log::warn!(error = error.as_str(); "the {what} callback failed: the client is answered 502");
                Some(failure.made(what))
            }
        }
    }
}

/// Holds up this flow and no other.
fn wait(delay: Duration) {
    if !delay.is_zero() {
        thread::sleep(delay);
    }
}

/// With a field that lets pages read it, if it is one that asks and nothing is said about it yet.
fn readable(made: MadeResponse, request: &Request) -> MadeResponse {
    const ALLOW_ORIGIN: &str = "Access-Control-Allow-Origin";
    let is_said = made.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(ALLOW_ORIGIN));
    if is_said || request.header("origin").is_none() { made } else { made.header(ALLOW_ORIGIN, "*") }
}

tollgate_sdk::export!(Callback);
