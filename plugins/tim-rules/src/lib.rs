//! What TI-Messenger asks of requests to a Matrix homeserver, beyond its endpoints (those are `version-clamp`'s) and its federation.
//!
//! Each rule can be switched off; the README has them all.

mod account_data;
mod create_room;
mod emoji;
mod invite;
mod object;
mod options;
mod path;
mod permission;
mod presence;
mod push_rules;
mod query;
mod redaction;
mod refusal;
mod route;
mod send;
mod state;
mod subscribe;
mod upgrade;

use std::time::SystemTime;

use tollgate_sdk::{Addon, Error, Flow, OptionErrors, Request, RequestVerdict, Response, ResponseVerdict, Subscription};

use crate::{
    options::{Options, Settings},
    refusal::Refused,
    route::Route,
};

/// The addon.
#[derive(Debug)]
pub struct TimRules {
    settings: Settings,
}

/// What a rule says about a request.
type Judged = Result<Option<String>, Refused>;

impl Addon for TimRules {
    type Options = Options;

    fn configure(options: Options) -> Result<Self, OptionErrors> {
        options.check().map(|settings| Self { settings })
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        subscribe::to(&self.settings)
    }

    fn request(&mut self, flow: &Flow, request: &mut Request) -> Result<RequestVerdict, Error> {
        match self.judge(flow.started(), request) {
            Ok(None) => Ok(RequestVerdict::Next),
            Ok(Some(body)) => {
                request.set_body(body)?;
                Ok(RequestVerdict::Next)
            }
            Err(refused) => Ok(refused.into_response().into()),
        }
    }

    fn response(&mut self, _flow: &Flow, request: &Request, response: &mut Response) -> Result<ResponseVerdict, Error> {
        account_data::supply(&self.settings, request, response)?;
        Ok(ResponseVerdict::Next)
    }
}

impl TimRules {
    /// The body that goes on in place of the one that came; none where that may stay.
    fn judge(&self, now: SystemTime, request: &Request) -> Judged {
        let (settings, method, target) = (&self.settings, request.method(), request.path_and_query());
        if settings.rules.push_rules {
            push_rules::check(settings, &method, &target)?;
        }
        let mut edited: Option<String> = None;
        // A request that may mean two things has to be right as each of them.
        for (index, route) in Route::readings(&method, &target).into_iter().enumerate() {
            if route.is_judged_by_body(settings) {
                refusal::coded(request)?;
            }
            let body = || edited.clone().map(String::into_bytes).or_else(|| request.body()).unwrap_or_default();
            let judged = match route {
                Route::Register => refusal::guests(settings, request).map(|()| None),
                Route::Presence => presence::check(settings, &body()).map(|()| None),
                Route::CreateRoom => {
                    invite::with_room(settings, request, &body()).and_then(|()| create_room::check(settings, &body()))
                }
                Route::Upgrade => upgrade::check(settings, &body()).map(|()| None),
                Route::Invite => invite::check(settings, request, &body()).map(|()| None),
                Route::State { kind, key } => self.state(request, &kind, &key, &body()).map(|()| None),
                Route::Send { room, kind } => send::check(settings, &kind, &body()).and_then(|redacted| match redacted {
                    Some(event) => self.redaction(request, now, (&room, &event), index).map(|()| None),
                    None => Ok(None),
                }),
                Route::Redact { room, event } => self.redaction(request, now, (&room, &event), index).map(|()| None),
                Route::FederatedInvite { is_body } => invite::federated(settings, request, &body(), is_body).map(|()| None),
            };
            if let Some(body) = judged? {
                edited = Some(body);
            }
        }
        Ok(edited)
    }

    /// An event that there is not, in a reading of the path that is not the first one, is what a slash in an event ID makes.
    fn redaction(&self, request: &Request, now: SystemTime, event: (&str, &str), reading: usize) -> Result<(), Refused> {
        match redaction::check(&self.settings, request, now, event) {
            Err(redaction::Failure::Absent) if reading > 0 => Ok(()),
            result => result.map_err(redaction::Failure::into_refused),
        }
    }

    fn state(&self, request: &Request, kind: &str, key: &str, body: &[u8]) -> Result<(), Refused> {
        state::check(&self.settings, kind, body)?;
        if kind == state::MEMBER { invite::as_state(&self.settings, request, key, body) } else { Ok(()) }
    }
}

tollgate_sdk::export!(TimRules);
