//! Event hooks for every request and response of a Matrix homeserver, by a policy document.
//!
//! The options of the addon are the policy: a JSON object with `hooks`, and with what routes are checked against. What a hook
//! is, the addon's `README.md` says, field by field.
//!
//! | Key | Default | Meaning |
//! |---|---|---|
//! | `hooks` | `[]` | event hooks, in the order in which they run |
//! | `onHookFailure` | `"refuse"` | a message that a hook can't be applied to is answered with an error, or goes on without that hook: `"pass"` |
//! | `consultationLimitMilliseconds` | `50000` | how long services are waited for in one stage of a flow, all hooks and attempts together; 1 to 3600000 |
//!
//! Other keys are of policy checks and of who is asking; those that nobody knows are ignored with a warning.

mod chain;
mod checks;
mod consult;
mod document;
mod effects;
mod identity;
mod managed;
mod merge;
mod path;
mod pipeline;
mod stages;
mod subscribe;
mod visit;

use tollgate_sdk::{
    Addon, Error, Event, Flow, OptionErrors, Origin, Outcome, Request, RequestVerdict, Response, ResponseVerdict, Subscription,
};

use crate::{
    checks::Checked,
    consult::Patience,
    document::Terms,
    effects::{After, Before, Context, Deferred},
    visit::Visit,
};

pub use document::Document;

/// The addon.
#[derive(Debug)]
pub struct Policy {
    terms: Terms,
    /// What the request hook learned; none where it was not called.
    visit: Option<Visit>,
    deferred: Deferred,
}

impl Addon for Policy {
    type Options = Document;

    fn configure(document: Document) -> Result<Self, OptionErrors> {
        Ok(Self { terms: document.check()?, visit: None, deferred: Deferred::default() })
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        let mut subscriptions = subscribe::of(&self.terms.hooks);
        subscriptions.push(subscribe::to(Event::Request, &checks::refused_versions_filter()));
        subscriptions.extend(Checked::filters().into_iter().map(|filter| {
            let subscription = subscribe::to(Event::Request, &filter.expression);
            if filter.needs_body { subscription.with_body() } else { subscription }
        }));
        subscriptions.extend(self.terms.identity.subscriptions());
        subscriptions
    }

    fn request(&mut self, _flow: &Flow, request: &mut Request) -> Result<RequestVerdict, Error> {
        let visit = self.visit.insert(Visit::of(&self.terms, request));
        let context = Context::new(&self.terms, visit, &mut self.deferred);
        let answer = pipeline::before(&mut Before::new(context, request));
        Ok(answer.map_or(RequestVerdict::Next, RequestVerdict::Respond))
    }

    fn response(&mut self, _flow: &Flow, request: &Request, response: &mut Response) -> Result<ResponseVerdict, Error> {
        self.terms.identity.response(request, response);
        // What others answered is none of the homeserver's.
        if response.origin() != Origin::Upstream {
            return Ok(ResponseVerdict::Next);
        }
        let visit = self.visit.get_or_insert_with(|| Visit::of(&self.terms, request));
        let context = Context::new(&self.terms, visit, &mut self.deferred);
        let answer = pipeline::after(After::new(context, request, response));
        Ok(answer.map_or(ResponseVerdict::Next, ResponseVerdict::Replace))
    }

    fn finish(&mut self, _flow: &Flow, _request: &Request, _outcome: &Outcome) -> Result<(), Error> {
        self.deferred.send(Patience::new(self.terms.consultation_limit));
        Ok(())
    }
}

tollgate_sdk::export!(Policy);
