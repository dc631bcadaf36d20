//! Reports to the performance data service of TI-Messenger: one for each request that its table names, once the request is over.
//!
//! It looks on: reports wait in the proxy's outbox, and no client waits for one. The README has options and fields.

mod operation;
mod options;
mod report;
mod user_agent;

use tollgate_sdk::{
    Addon, Chunk, ChunkVerdict, Error, Event, Flow, OptionErrors, Origin, Outcome, Request, Subscription, log, outbox,
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
    /// The body of an invitation as far as it came, as it is on the wire.
    body: Vec<u8>,
}

/// Bodies of invitations over this are not looked at.
const MAX_BODY: usize = 256 << 10;

impl Addon for Rawdata {
    type Options = Options;

    fn configure(options: Options) -> Result<Self, OptionErrors> {
        Ok(Self { settings: options.check()?, body: Vec::new() })
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        if self.settings.is_none() {
            return Vec::new();
        }
        // In pieces: a body that nobody can decode is no affair of an addon that looks on.
        let inviting = Subscription::to(Event::RequestChunk).filter(operation::INVITING);
        vec![inviting, Subscription::to(Event::Finish).filter(operation::REPORTED)]
    }

    fn request_chunk(&mut self, _flow: &Flow, _request: &Request, chunk: Chunk) -> Result<ChunkVerdict, Error> {
        if self.body.len().saturating_add(chunk.data.len()) > MAX_BODY {
            self.body = Vec::new();
            return Ok(ChunkVerdict::pass().and_done());
        }
        self.body.extend_from_slice(&chunk.data);
        Ok(ChunkVerdict::pass())
    }

    /// Never fails: a quarantine would be felt by clients.
    fn finish(&mut self, flow: &Flow, request: &Request, outcome: &Outcome) -> Result<(), Error> {
        let Some(settings) = &self.settings else { return Ok(()) };
        // What an addon answered never was the homeserver's affair.
        if matches!(outcome.origin(), Some(Origin::Addon(_))) {
            return Ok(());
        }
        let is_outbound = settings.outbound_listeners.contains(&flow.listener());
        let invited = Invited::of(&request.path(), &self.body, settings.home_domain.as_deref());
        let Some(operation) = Operation::of(&request.method(), &request.path(), is_outbound, invited) else { return Ok(()) };
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
