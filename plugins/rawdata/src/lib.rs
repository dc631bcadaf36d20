//! Reports to the performance data service of TI-Messenger: one for each request that its table names, once the request is over.
//!
//! It looks on: reports wait in the proxy's outbox, and no client waits for one. The README has options and fields.

mod operation;
mod options;
mod report;
mod user_agent;

use tollgate_sdk::{
    Addon, Error, Event, Flow, OptionErrors, Origin, Outcome, OverCap, Request, RequestVerdict, Subscription, log, outbox,
};

use crate::{
    operation::{Invited, Operation},
    options::{Options, Settings},
    report::Report,
};

/// The addon.
#[derive(Debug)]
pub struct Rawdata {
    /// None: idle.
    settings: Option<Settings>,
    /// Who is invited with this request.
    invited: Invited,
}

/// Bodies of invitations over this are not looked at.
const MAX_BODY: u64 = 256 << 10;

impl Addon for Rawdata {
    type Options = Options;

    fn configure(options: Options) -> Result<Self, OptionErrors> {
        Ok(Self { settings: options.check()?, invited: Invited::Nobody })
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        if self.settings.is_none() {
            return Vec::new();
        }
        let inviting =
            Subscription::to(Event::Request).filter(operation::INVITING).with_body_up_to(MAX_BODY, OverCap::PassUnseen);
        vec![inviting, Subscription::to(Event::Finish).filter(operation::REPORTED)]
    }

    fn request(&mut self, _flow: &Flow, request: &mut Request) -> Result<RequestVerdict, Error> {
        if let Some(settings) = &self.settings {
            self.invited = Invited::of(&request.body().unwrap_or_default(), settings.home_domain.as_deref());
        }
        Ok(RequestVerdict::Next)
    }

    /// Never fails: a quarantine would be felt by clients.
    fn finish(&mut self, flow: &Flow, request: &Request, outcome: &Outcome) -> Result<(), Error> {
        let Some(settings) = &self.settings else { return Ok(()) };
        // What an addon answered never was the homeserver's affair.
        if matches!(outcome.origin(), Some(Origin::Addon(_))) {
            return Ok(());
        }
        let is_outbound = settings.outbound_listeners.contains(&flow.listener());
        let Some(operation) = Operation::of(&request.method(), &request.path(), is_outbound, self.invited) else { return Ok(()) };
        let report = Report::new(settings, operation, flow, request, outcome);
        let letter = match settings.letter().json(&report) {
            Ok(letter) => letter,
            Err(error) => {
                log::warn!(error = error.to_string().as_str(); "a report has no JSON");
                return Ok(());
            }
        };
        match outbox::put(&letter, Some(settings.lifetime)) {
            Ok(()) => {}
            // The proxy counts these.
            Err(error @ outbox::Error::Full(_)) => log::debug!(error = error.to_string().as_str(); "a report is dropped"),
            Err(error) => log::warn!(error = error.to_string().as_str(); "a report cannot be sent"),
        }
        Ok(())
    }
}

tollgate_sdk::export!(Rawdata);
