//! Answers requests from responses that it kept, as HTTP caches do (RFC 9111), for all users or for each alone.
//!
//! README.md is the manual. A request comes in through `asked.rs` and is looked up in `lookup.rs`; `fetched.rs` says what becomes
//! of an answer of the upstream, `keep.rs` which ones may be kept, `key.rs` and `store.rs` how and where.

mod asked;
mod control;
mod entry;
mod fetched;
mod fields;
mod freshness;
mod keep;
mod key;
mod lookup;
mod options;
mod serve;
mod status;
mod store;
mod subscribe;
mod validate;
mod write;

use tollgate_sdk::{
    Addon, Error, Flow, MadeResponse, OptionErrors, Outcome, Request, RequestVerdict, Response, ResponseVerdict, Subscription,
    UpstreamFailure,
};

use crate::{
    asked::Asked,
    control::Directives,
    lookup::{Fetch, Looked},
    status::{Forward, Status},
    write::Written,
};

use options::Settings;
pub use options::{Mode, Options};

/// The addon.
#[derive(Debug)]
pub struct Cache {
    settings: Settings,
    state: State,
}

/// What became of the flow's request.
#[derive(Debug, Default)]
enum State {
    /// It went by: nothing may be kept of its answer.
    #[default]
    Unseen,
    /// The same, and its answer tells why.
    Passed(Forward),
    /// It is answered.
    Answered,
    /// The upstream was asked.
    Fetching(Box<Fetch>),
    /// It may change something.
    Writing(Written),
}

impl Addon for Cache {
    type Options = Options;

    fn configure(options: Options) -> Result<Self, OptionErrors> {
        Ok(Self { settings: options.check()?, state: State::Unseen })
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        subscribe::of(&self.settings)
    }

    fn request(&mut self, flow: &Flow, request: &mut Request) -> Result<RequestVerdict, Error> {
        match request.method().as_str() {
            "GET" | "HEAD" if flow.is_matched(subscribe::READ) => Ok(self.read(flow, request)),
            "GET" | "HEAD" | "OPTIONS" | "TRACE" => Ok(RequestVerdict::Next),
            _ => {
                self.state = State::Writing(Written::new(request));
                Ok(RequestVerdict::Next)
            }
        }
    }

    fn response(&mut self, flow: &Flow, _: &Request, response: &mut Response) -> Result<ResponseVerdict, Error> {
        match std::mem::take(&mut self.state) {
            State::Unseen | State::Answered => {}
            State::Passed(why) => fetched::mark(response, &Status::forward(why), &self.settings),
            State::Fetching(fetch) => return Ok(fetch.answered(flow, response, &self.settings)),
            State::Writing(written) => {
                if let Err(error) = written.done(response, &self.settings) {
                    fetched::told(&error);
                }
            }
        }
        Ok(ResponseVerdict::Next)
    }

    fn upstream_error(&mut self, _: &Flow, _: &Request, _: &UpstreamFailure) -> Result<Option<MadeResponse>, Error> {
        let State::Fetching(mut fetch) = std::mem::take(&mut self.state) else { return Ok(None) };
        let made = fetch.stand_in(None, &self.settings);
        fetch.give_up();
        Ok(made)
    }

    fn finish(&mut self, _: &Flow, _: &Request, _: &Outcome) -> Result<(), Error> {
        // The client left before there was an answer: whoever waits for it may ask now.
        if let State::Fetching(mut fetch) = std::mem::take(&mut self.state) {
            fetch.give_up();
        }
        Ok(())
    }
}

impl Cache {
    fn read(&mut self, flow: &Flow, request: &mut Request) -> RequestVerdict {
        let looked = match Asked::new(flow, request, &self.settings) {
            Ok(Ok(asked)) => lookup::look(asked, &self.settings),
            Ok(Err(why)) => return self.pass(why, request),
            Err(error) => Err(error),
        };
        match looked {
            Ok(Looked::Answer(made)) => {
                self.state = State::Answered;
                made.into()
            }
            Ok(Looked::Fetch(mut fetch)) => {
                let verdict = fetch.validate(request);
                self.state = State::Fetching(fetch);
                verdict
            }
            Err(error) => {
                fetched::told(&error);
                self.pass(Forward::Bypass, request)
            }
        }
    }

    /// Without looking: to the upstream, if the request may go there.
    fn pass(&mut self, why: Forward, request: &Request) -> RequestVerdict {
        if Directives::of_request(&request.headers()).has("only-if-cached") {
            self.state = State::Answered;
            return lookup::unsatisfied(why, &self.settings).into();
        }
        self.state = State::Passed(why);
        RequestVerdict::Next
    }
}

tollgate_sdk::export!(Cache);
